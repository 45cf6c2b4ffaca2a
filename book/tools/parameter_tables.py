"""The table of its parameters that every chapter shows, made from the chapter when it is built."""

import copy
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


def parameter_table(notebook: Path) -> str:
    """A folded box in MyST: name, type, default and meaning of each, and a command that runs."""
    parameters = declared(notebook)
    rows = [
        f"| `{name}` | {p['inferred_type_name']} | `{p['default']}` | {_escaped(p['help'])} |"
        for name, p in parameters.items()
    ]
    number = notebook.stem.split("_")[0]
    changed = _example(parameters)
    lines = [
        f":::{{dropdown}} {TITLE}",
        "| name | type | default | meaning |",
        "|---|---|---|---|",
        *rows,
        "",
        "At full size, but for one of them (several are separated by spaces; a text may have",
        "spaces as well, and needs no quotation marks):",
        "",
        "```",
        f'make run CHAPTER={number} DEFAULTS=1 P="{changed}"',
        "```",
        "",
        f"Small, with everything computed anew: `make run CHAPTER={number}`. The executed notebook",
        f"lands in `_build/run/{notebook.parent.name}/{notebook.name}`.",
        "",
        "On Binder the package is there; on Colab the first cell of the notebook installs it.",
        ":::",
    ]
    return "\n".join(lines)


def with_parameter_table(executed: nbformat.NotebookNode, notebook: Path) -> nbformat.NotebookNode:
    """A copy of an executed chapter in which the table of ``notebook`` follows the parameters.

    The cell of parameters itself is folded. A page without parameters stays as it is.
    """
    shown = copy.deepcopy(executed)
    for place, cell in enumerate(shown.cells):
        if "parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-cell"]
            table = nbformat.v4.new_markdown_cell(parameter_table(notebook))
            shown.cells.insert(place + 1, table)
            break
    return shown


def _example(parameters: dict[str, dict]) -> str:
    # The first number, halved, or the first switch, thrown: what any chapter has.
    for name, p in parameters.items():
        if p["inferred_type_name"] in ("int", "float"):
            half = float(p["default"]) / 2
            return f"{name}={int(half) if p['inferred_type_name'] == 'int' else half:g}"
    for name, p in parameters.items():
        if p["inferred_type_name"] == "bool":
            return f"{name}={p['default'] != 'True'}"
    return "NAME=VALUE"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
