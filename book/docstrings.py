"""Sphinx extension: docstrings of the package, written as plain text, become reStructuredText.

In them `name` is code, an indented block is an equation or a table to be shown as it stands, and
asterisks and bars are what they look like. Sections such as Args are left to napoleon.
"""

import re

SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Warns", "Yields")
_HEAD = re.compile(rf"({'|'.join(SECTIONS)}):$")
_CODE = re.compile(r"(``[^`]+``|`[^`]+`)")


def to_rest(lines: list[str]) -> list[str]:
    """The lines of a docstring, without its common indent, as reStructuredText."""
    made: list[str] = []
    section = literal = False
    for number, line in enumerate(lines):
        indented = line.startswith(" ")
        if _HEAD.match(line):
            section, literal = True, False
        elif line and not indented:
            section = literal = False
        elif indented and not section and not literal and (number == 0 or not lines[number - 1]):
            literal = True
            made += ["::", ""]
        made.append(line if literal else _inline(line))
    return made


def _inline(line: str) -> str:
    parts = _CODE.split(line)
    for index, part in enumerate(parts):
        if index % 2:
            parts[index] = f"``{part.strip('`')}``"
        else:
            part = re.sub(r"([*|\\])", r"\\\1", part)
            parts[index] = re.sub(r"(\w)_(?!\w)", r"\1\\_", part)
    return "".join(parts)


def _process(app, what, name, obj, options, lines) -> None:
    lines[:] = to_rest(lines)


def _skip(app, what, name, obj, skip, options) -> bool | None:
    # What a NamedTuple says of its fields ("Alias for field number 0") is no documentation.
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app) -> dict:
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon's 500
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
