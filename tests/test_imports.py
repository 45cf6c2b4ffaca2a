"""The package reads from the bottom up: each module imports only from those above it."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "plasticity"
ORDER = [
    "types",
    "ascent",
    "records",
    "checkpoints",
    "statistics",
    "signal_to_noise",
    "tasks",
    "network",
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
    "black_box",
    "dissection",
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


def _violations(name: str, source: str) -> list[str]:
    above = set(ORDER[: ORDER.index(name)])
    inside = {i.split(".")[1] for i in _imports(source) if i.startswith("plasticity.")}
    wrong = sorted(inside - above)
    if name != "figures" and any(i.split(".")[0] == "matplotlib" for i in _imports(source)):
        wrong.append("matplotlib")
    return wrong


def test_modules_import_only_from_above():
    found = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
    assert found == sorted(ORDER)
    for name in ORDER:
        assert _violations(name, (PACKAGE / f"{name}.py").read_text()) == [], name


def test_a_violation_is_found():
    assert _violations("network", "from plasticity.learning import Learner") == ["learning"]
    assert _violations("network", "import matplotlib.pyplot as plt") == ["matplotlib"]
    assert _violations("network", "from plasticity import records, figures") == ["figures"]


def test_modules_stay_short():
    for path in PACKAGE.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path.name
