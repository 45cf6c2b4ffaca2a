"""The package reads from the bottom up: each module imports only from those above it."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "plasticity"
ORDER = [
    "types",
    "threads",
    "ascent",
    "records",
    "checkpoints",
    "statistics",
    "comparison",
    "signal_to_noise",
    "tasks",
    "network",
    "dynamics.points",
    "dynamics.fixed_points",
    "dynamics.spectrum",
    "dynamics.alignment",
    "dynamics.plane",
    "exploration",
    "reward",
    "eligibility",
    "three_factor",
    "learning",
    "lifetimes",
    "tangent",
    "sensitivity",
    "differences",
    "settings",
    "dynamics.portrait",
    "held_out",
    "tuning",
    "gradient_cost",
    "gradient_recordings",
    "meta_gradient",
    "score_function",
    "toys",
    "meta_training",
    "estimator_samples",
    "estimator_recordings",
    "meta_recordings",
    "held_out_recordings",
    "black_box",
    "dissection",
    "dynamics_recordings",
    "recordings",
    "figures",
]


def _imports(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def _module(imported: str) -> str:
    """The module that "plasticity.module.name" names; one of a subpackage keeps its prefix."""
    parts = imported.split(".")[1:]
    return ".".join(parts[: 2 if (PACKAGE / parts[0]).is_dir() else 1])


def _violations(name: str, source: str) -> list[str]:
    above = set(ORDER[: ORDER.index(name)])
    inside = {_module(i) for i in _imports(source) if i.startswith("plasticity.")}
    wrong = sorted(inside - above)
    if name != "figures" and any(i.split(".")[0] == "matplotlib" for i in _imports(source)):
        wrong.append("matplotlib")
    return wrong


def _paths() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.stem != "__init__"
    }


def test_modules_import_only_from_above():
    assert sorted(_paths()) == sorted(ORDER)
    for name, path in _paths().items():
        assert _violations(name, path.read_text()) == [], name


def test_a_violation_is_found():
    assert _violations("network", "from plasticity.learning.trial import Learner") == ["learning"]
    assert _violations("network", "import matplotlib.pyplot as plt") == ["matplotlib"]
    assert _violations("network", "from plasticity import records, figures") == ["figures"]
    inner = "from plasticity.dynamics.spectrum import jacobian"
    assert _violations("dynamics.fixed_points", inner) == ["dynamics.spectrum"]


def test_modules_stay_short():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path.name
