"""Parameters as a caller writes them: text, read as what the chapter declares each of them to be.

So ``50`` is a number for one chapter and text for another, and text stays as it was written.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from parameter_tables import declared

_NEXT_NAME = re.compile(r"\s+(?=[^\W\d]\w*=)")  # between a value and the name after it
_SWITCHES = {"true": True, "yes": True, "false": False, "no": False}


class BadRequest(Exception):
    """A request that names something there is not."""


class _Reader(NamedTuple):
    """How text becomes a value, by a function that raises ValueError, and what it is to be like."""

    read: Callable[[str], Any]
    form: str


def _text(value: Any) -> str:
    if not isinstance(value, str):  # a list or a table of a file
        raise ValueError(value)
    return value


def _whole(text: str) -> int:
    with suppress(ValueError):
        return int(text)
    number = float(text)  # 1e3
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise ValueError(text)
    return _SWITCHES[text.lower()]


_READERS = {
    "int": _Reader(_whole, "a whole number, such as 50 or 1e3"),
    "float": _Reader(float, "a number, such as 0.5 or 1e-3"),
    "bool": _Reader(_switch, "true, false, yes or no"),
    "str": _Reader(str, "text"),
}


def given(items: list[str], several: str | None, file: Path | None) -> dict[str, Any]:
    """Name → text, from a file, from several NAME=VALUE in one text, and one by one; the last wins.

    In one text a value reaches to the next name, so that there may be spaces in it.

    Raises:
        BadRequest: what is not NAME=VALUE; as `written`.
    """
    texts = written(file) if file else {}
    for item in [*filter(None, _NEXT_NAME.split((several or "").strip())), *items]:
        name, sign, text = item.partition("=")
        if not sign or not name:
            raise BadRequest(f"parameters are written as NAME=VALUE; got {item!r}: give it so")
        texts[name] = text
    return texts


def written(file: Path) -> dict[str, Any]:
    """Name → text, from lines NAME: VALUE of a file in YAML.

    Raises:
        BadRequest: a file that cannot be read, or holds something else.
    """
    lines = "write lines NAME: VALUE, in quotation marks where YAML has a meaning of its own"
    try:
        # All that is no list and no table is text so.
        texts = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader) or {}
    except OSError as error:
        what = f"a file of parameters can be read; got {file} ({error.strerror})"
        raise BadRequest(f"{what}: give the path of one, as seen from {Path.cwd()}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise BadRequest(f"parameters are YAML in UTF-8; got {file} ({why}): {lines}") from error
    if not isinstance(texts, dict):
        raise BadRequest(f"a file of parameters has names; got {texts!r} in {file}: {lines}")
    return texts


def quick(root: Path) -> dict[str, dict[str, str]]:
    """The quick parameters of every chapter: name → text."""
    return written(root / "book" / "parameters" / "quick.yml")


def checked(notebook: Path, texts: dict[str, Any]) -> dict[str, Any]:
    """Name → value, by the types that the chapter declares.

    A parameter whose name ends in ``_file`` is the path of a file, relative to the working folder;
    the value is absolute, because a chapter works in a folder of its own.

    Raises:
        BadRequest: a name that is not declared, or a text that is not of the declared type.
    """
    there = declared(notebook)
    values = {}
    for name, text in texts.items():
        if name not in there:
            raise BadRequest(f"{notebook.stem} has no parameter {name!r}. {_listing(notebook)}")
        kind = there[name]["inferred_type_name"]
        what = f"{name} of {notebook.stem} is {kind}; got {text!r}"
        reader = _READERS.get(kind)
        if reader is None:
            fix = f"change it in the notebook, as only {', '.join(_READERS)} can be given"
            raise BadRequest(f"{what}: {fix}")
        try:
            values[name] = reader.read(_text(text))
        except ValueError:
            fix = f"give {reader.form}"
            raise BadRequest(f"{what}: {fix}. {_listing(notebook)}") from None
        if name.endswith("_file") and text:
            values[name] = _path(what, text)
    return values


def live(notebook: Path, values: dict[str, Any]) -> dict[str, bool]:
    """``recorded`` is False where other parameters are asked for, and nothing is said of records.

    What a record holds nevertheless is loaded: see `companion.results.result`.
    """
    there = declared(notebook)
    if "recorded" not in there or "recorded" in values:
        return {}
    defaults = checked(notebook, {n: there[n]["default"].strip("\"'") for n in values})
    changed = [name for name in values if values[name] != defaults[name]]
    if not changed:
        return {}
    what = f"{notebook.stem} is asked for another {', '.join(changed)}"
    print(f"{what}: what no record holds is computed now, which can take long")
    return {"recorded": False}


def _path(what: str, text: str) -> str:
    path = Path(text).absolute()
    try:
        path.open("rb").close()
    except OSError as error:
        fix = f"give the path of a file that can be read, as seen from {Path.cwd()}"
        raise BadRequest(f"{what} ({error.strerror}): {fix}") from None
    return str(path)


def _listing(notebook: Path) -> str:
    rows = [
        f"  {name}: {p['inferred_type_name']} = {p['default']}  # {p['help']}"
        for name, p in declared(notebook).items()
    ]
    return f"{notebook.stem} has the parameters\n" + "\n".join(rows)
