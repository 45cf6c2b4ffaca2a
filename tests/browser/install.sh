#!/bin/sh
# What the browser tests need, where this is ours to install: on a machine with CI=true, or for
# root with apt. Elsewhere, or if it fails, those tests skip and say how; with CI=true they fail.
cd "$(dirname "$0")" || exit 1
with_apt() {
    quickly="-qq -o Acquire::http::Timeout=20 -o Acquire::Retries=1"
    become=$([ "$(id -u)" = 0 ] || echo "sudo -n")
    # Words of these are meant to be split.
    timeout 120 $become apt-get update $quickly
    timeout 400 $become env DEBIAN_FRONTEND=noninteractive \
        apt-get install $quickly --yes --no-install-recommends "$@"
}
install() {
    for browser in chromium chromium-browser google-chrome; do
        command -v "$browser" >/dev/null && break
    done
    command -v "$browser" >/dev/null || with_apt chromium
    command -v npm >/dev/null || with_apt nodejs npm
    [ node_modules/.package-lock.json -nt package-lock.json ] ||
        timeout 200 npm ci --no-audit --no-fund --loglevel=error
}
if [ "$CI" = true ] || { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }; then
    install >&2 || echo "browser tests will skip: they could not be installed" >&2
fi
exit 0
