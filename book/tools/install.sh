#!/bin/sh
# Makes a virtual environment and installs into it, by uv, or by pip where uv does not work.
#
#   install.sh FOLDER [PYTHON [WHAT ...]]    default: what the lock file names, and this folder
#
# Without PYTHON it takes the newest one from 3.11 to 3.13 that works; a command of that name may be
# there and fail, as those of pyenv do for a version that is not chosen.
set -eu
folder=$1
python=${2:-}
if [ $# -gt 2 ]; then shift 2; else set -- -r requirements.lock -e .; fi
allowed='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
works='import ctypes, ensurepip, sqlite3, ssl, venv'
if [ -z "$python" ]; then
    for version in 3.13 3.12 3.11; do
        if "python$version" -c "$works" >/dev/null 2>&1; then
            python=python$version
            break
        fi
    done
fi
if [ -z "$python" ]; then
    echo "no Python from 3.11 to 3.13 that works was found: install python3.13 and its module venv," \
        "or name a Python by make PYTHON=/path/to/python" >&2
    exit 1
fi
if ! { "$python" -c "$allowed" && "$python" -c "$works"; }; then
    echo "PYTHON is a Python from 3.11 to 3.13 with its module venv; got $python: name another" >&2
    exit 1
fi
"$python" -m venv --clear "$folder"
new=$folder/bin/python
pip="$new -m pip install -qq --disable-pip-version-check"
# uv takes seconds for what pip takes a minute and a half for.
if ! { $pip uv && "$folder/bin/uv" pip install --quiet --python "$new" "$@"; }; then
    echo "uv could not install: pip does it, which takes longer" >&2
    $pip "$@"
fi
