"""Imports go one way: notebooks → companion → library, and in the library from folder to folder."""

import ast
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
# What is higher may import what is lower; derivatives and dynamics do not know each other.
LAYERS = {
    "types": 0,
    "files": 1,
    "values": 1,
    "model": 2,
    "rules": 3,
    "learning": 4,
    "derivatives": 5,
    "dynamics": 5,
    "meta": 6,
    "recovery": 6,
}
# What only the book needs: the library is installed without it.
BOOKS_OWN = {"companion", "matplotlib", "pandas", "xarray", "h5netcdf", "cmaes"}
TOOLS = {path.stem for path in (BOOK / "tools").rglob("*.py")}


def _imports(source: str) -> set[str]:
    """Dotted names of all that a program imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _violations(layer: str, source: str) -> list[str]:
    """What a module of the library in ``layer`` may not import."""
    wrong = []
    for name in sorted(_imports(source)):
        top, _, inside = name.partition(".")
        below = inside.split(".")[0]
        if top == "plasticity":
            fits = below == layer or LAYERS.get(below, len(LAYERS)) < LAYERS[layer]
            wrong += [] if fits else [name]
        elif top in BOOKS_OWN:
            wrong.append(name)
    return wrong


def _library() -> list[tuple[str, Path]]:
    inside = [path.relative_to(ROOT / "plasticity") for path in (ROOT / "plasticity").rglob("*.py")]
    return [(path.with_suffix("").parts[0], path) for path in inside if path != Path("__init__.py")]


def test_folders_of_the_library_import_only_what_lies_below():
    assert {layer for layer, _ in _library()} == set(LAYERS)
    for layer, path in _library():
        assert _violations(layer, (ROOT / "plasticity" / path).read_text()) == [], path


def test_the_companion_imports_no_tools_and_notebooks_import_packages():
    for path in (BOOK / "companion").rglob("*.py"):
        assert not {name.split(".")[0] for name in _imports(path.read_text())} & TOOLS, path
    for path in BOOK.rglob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        code = [c.source for c in cells if c.cell_type == "code" and "%cd" not in c.source]
        assert not {n.split(".")[0] for n in _imports("\n".join(code))} & TOOLS, path.name


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        ("model", "from plasticity.learning.trial import Learner"),
        ("model", "def f():\n    from plasticity import rules"),
        ("derivatives", "import plasticity.dynamics.spectrum"),
        ("dynamics", "from plasticity import derivatives"),
        ("learning", "from plasticity import learn"),  # the face of the package, which imports it
        ("meta", "from companion.settings import brief_setting"),
        ("meta", "import matplotlib.pyplot as plt"),
    ],
)
def test_a_violation_is_found(layer, source):
    assert _violations(layer, source) != []
    assert _violations("meta", "import jax\nfrom plasticity.dynamics import spectrum") == []
