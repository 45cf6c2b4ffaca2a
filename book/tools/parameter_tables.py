"""The table of its parameters that every chapter shows, made from the chapter when it is built."""

import copy
from collections.abc import Mapping
from pathlib import Path

import nbformat
import papermill

TITLE = "Parameters of this chapter, and how to change one"


def declared(notebook: Path) -> dict[str, dict]:
    """Name → type, default and comment of the parameters of a chapter; empty if it has none."""
    cells = nbformat.read(notebook, as_version=4).cells
    if not any("parameters" in cell.metadata.get("tags", []) for cell in cells):
        return {}  # papermill would warn
    return papermill.inspect_notebook(str(notebook))


def example(notebook: Path, small: Mapping[str, str]) -> tuple[str, str]:
    """A parameter and a value that is worth a try beside the quick ones, ``small``.

    The first whole number, and one more; else the first number, and half as much again; else the
    first that is quick.
    """
    parameters = declared(notebook)
    for kind, other in (("int", lambda n: n + 1), ("float", lambda x: 1.5 * x)):
        for name, p in parameters.items():
            if p["inferred_type_name"] == kind:
                return name, f"{other(float(small.get(name, p['default']))):g}"
    return next(iter(small.items()))


def parameter_table(notebook: Path, small: Mapping[str, str]) -> str:
    """A folded box in MyST: name, type, default and meaning of each, and a command that runs."""
    rows = [
        f"| `{name}` | {p['inferred_type_name']} | `{p['default']}` | {_escaped(p['help'])} |"
        for name, p in declared(notebook).items()
    ]
    number = notebook.stem.split("_")[0]
    lines = [
        f":::{{dropdown}} {TITLE}",
        "| name | type | default | meaning |",
        "|---|---|---|---|",
        *rows,
        "",
        "Small, with everything computed anew, but for one of them (several are separated by",
        "spaces; a text may have spaces as well, and needs no quotation marks):",
        "",
        "```",
        'make run CHAPTER={} P="{}={}"'.format(number, *example(notebook, small)),
        "```",
        "",
        f"The executed notebook lands in `_build/run/{notebook.parent.name}/{notebook.name}`. With",
        "`DEFAULTS=1` as well, the other parameters are those of the table: what a record holds is",
        "loaded, and what none holds is computed, which can take hours. Checks that are made at",
        "the defaults alone are left out then.",
        "",
        "On Binder the package is there; on Colab the first cell of the notebook installs it.",
        ":::",
    ]
    return "\n".join(lines)


def with_parameter_table(
    executed: nbformat.NotebookNode, notebook: Path, small: Mapping[str, str]
) -> nbformat.NotebookNode:
    """A copy of an executed chapter in which the table of ``notebook`` follows the parameters.

    The cell of parameters itself is folded. A page without parameters stays as it is.
    """
    shown = copy.deepcopy(executed)
    for place, cell in enumerate(shown.cells):
        if "parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-cell"]
            box = nbformat.v4.new_markdown_cell(parameter_table(notebook, small))
            shown.cells.insert(place + 1, box)
            break
    return shown


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
