"""What `import plasticity as pl` gives is documented, listed, and works as the README says."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import plasticity as pl

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "book" / "pages"
FOLDERS = {"model", "rules", "learning", "derivatives", "meta", "dynamics", "recovery"}
SUBPACKAGES = FOLDERS | {"types", "files", "values"}


def _summary(target) -> str:
    """First paragraph of a docstring, on one line."""
    return " ".join(inspect.getdoc(target).split("\n\n")[0].split())


def test_the_names_are_sorted_there_and_not_too_many():
    assert pl.__all__ == sorted(pl.__all__) and len(set(pl.__all__)) == len(pl.__all__)
    assert 35 <= len(pl.__all__) <= 72
    # The last is there where types are checked.
    given = {name for name in vars(pl) if not name.startswith("_")} - {"jaxtyping"}
    assert set(pl.__all__) == given - SUBPACKAGES


def test_no_name_hides_a_module():
    for name in SUBPACKAGES:
        assert inspect.ismodule(importlib.import_module(f"plasticity.{name}"))
        assert inspect.ismodule(getattr(pl, name))


@pytest.mark.parametrize("name", pl.__all__)
def test_every_name_is_documented(name):
    target = getattr(pl, name)
    written = inspect.getdoc(target)
    assert written and re.search(r"[.:)]$", _summary(target)), "a sentence"
    # What a dataclass or a named tuple makes of itself is no documentation.
    assert not written.startswith(f"{name}(")
    functions = [target]
    if inspect.isclass(target):
        assert "Attributes:" in written
        fields = target.__annotations__
        assert [f for f in fields if not re.search(rf"^ {{4}}.*\b{f}\b.*: ", written, re.M)] == []
        functions = [f for n, f in vars(target).items() if inspect.isfunction(f) and n[0] != "_"]
    for function in functions:
        assert inspect.getdoc(function), function.__qualname__


def test_every_name_has_its_line_in_the_api_pages():
    """The list says what the docstring says, in its order, and leads to where it is explained."""
    page = (PAGES / "api" / "names.md").read_text()
    listed = re.findall(r"^\| \{py:obj\}`(\w+) <(.+)>` \| (.+) \|$", page, re.MULTILINE)
    assert sorted(name for name, *_ in listed) == pl.__all__
    explained = "".join(path.read_text() for path in (PAGES / "api").glob("*.md"))
    for name, full, line in listed:
        target = getattr(pl, name)
        assert full == f"{target.__module__}.{name}"
        assert f".. automodule:: {target.__module__}\n   :members:\n" in explained
        assert line.replace("\\|", "|") == _summary(target), f"write: {_summary(target)}"


def _exists(name: str) -> bool:
    """Whether ``plasticity.<name>`` is a module, an attribute or a field."""
    target = pl
    for part in name.split("."):
        if part in getattr(target, "__annotations__", ()):
            return name.endswith(part)
        if not hasattr(target, part):
            return False
        target = getattr(target, part)
    return True


def test_every_name_of_the_notation_exists():
    names = re.findall(r"\| `([\w.]+)` \|", (PAGES / "notation.md").read_text())
    assert len(names) > 35
    assert [name for name in names if not _exists(name)] == []
    assert _exists("WeightScore.sigma") and _exists("model.network.Trajectory.states")
    assert not _exists("Network.W_feedback") and not _exists("model.networks.Network")


def _examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)


def test_the_examples_of_the_readme_run_as_they_stand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples, names = _examples(), {}
    assert len(examples) >= 5 and "import plasticity as pl" in examples[0]
    for example in examples:
        exec(example, names)
        assert capsys.readouterr().out, example
    assert (tmp_path / "run.npz").exists()


def test_the_examples_need_nothing_of_the_book():
    wanted = re.findall(r"^\s*(?:import|from) (\w+)", "".join(_examples()), re.MULTILINE)
    assert set(wanted) <= {"plasticity", "numpy", "jax"}


def test_importing_takes_nothing_heavy_along():
    heavy = ("matplotlib", "pandas", "xarray", "scipy.stats", "companion")
    program = f"import plasticity, sys; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
