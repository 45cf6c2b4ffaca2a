"""Sphinx extension: docstrings of the package, written as plain text, become reStructuredText.

In them `name` is code, an indented block is an equation or a table to be shown as it stands, and
asterisks and bars are what they look like. Sections such as Args become lists.
"""

import inspect
import re

SECTIONS = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Raises": "Raises",
    "Returns": "Returns",
    "Warns": "Warns",
}
_HEAD = re.compile(rf"({'|'.join(SECTIONS)}):$")
_ENTRY = re.compile(r" {4}(\w+(?:, \w+)*): ?(.*)$")
_CODE = re.compile(r"(``[^`]+``|`[^`]+`)")


def to_rest(lines: list[str]) -> list[str]:
    """The lines of a docstring, without its common indent, as reStructuredText."""
    made: list[str] = []
    section = literal = False
    before = ""
    for line in lines:
        indented = line.startswith(" ")
        head, entry = _HEAD.match(line), _ENTRY.match(line)
        if head:
            section, literal = True, False
            made += [f":{SECTIONS[head[1]]}:"]
        elif section and entry:
            made.append(f"    * ``{entry[1]}``: {_inline(entry[2])}")
        elif section and (indented or not line):
            # What an entry goes on with stands below its first word.
            made.append(_inline(re.sub(r"^ {8}", " " * 6, line)))
        else:
            if line and not indented:
                section = literal = False
            elif indented and not literal and not before:
                literal = True
                made += ["::", ""]
            made.append(line if literal else _inline(line))
        before = line
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
    # Fields are explained where their class is, also one whose default is a function.
    own = isinstance(obj, property) or inspect.isfunction(obj)
    return True if what == "class" and not own else None


def setup(app) -> dict:
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
