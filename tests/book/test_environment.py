"""pyproject.toml, requirements.lock and environment.yml say the same."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def _declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    lines = project["dependencies"] + [line for extra in extras for line in extra]
    return [Requirement(line) for line in lines]


def _disagreements(lock: str) -> list[str]:
    """What in the lock does not fit the declared ranges, or ties it to one place."""
    lines = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    wrong = [line for line in lines if "://" in line or "--" in line or "==" not in line]
    pins = {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}
    for wanted in _declared():
        pin = pins.get(canonicalize_name(wanted.name))
        if pin is None:
            wrong.append(f"{wanted.name} is missing")
        elif not any(wanted.specifier.contains(exact.version) for exact in pin.specifier):
            wrong.append(f"{pin} is outside {wanted}")
    return wrong


def test_the_lock_holds_what_is_declared():
    assert _disagreements((ROOT / "requirements.lock").read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("jax==0.10", "jax==0.9", "outside"),
        ("papermill==", "papermole==", "missing"),
        ("numpy==", "numpy @ https://example.org/numpy==", "https"),
    ],
)
def test_a_tampered_lock_is_found(old, new, found):
    lock = (ROOT / "requirements.lock").read_text()
    assert old in lock
    tampered = "\n".join(line.replace(old, new) for line in lock.splitlines())
    assert any(found in line for line in _disagreements(tampered))


def test_conda_installs_the_lock_and_nothing_else():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = {"pip": ["-r requirements.lock", "-e ."]}
    assert environment["dependencies"] == ["python=3.11", "pip", pip]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.12"
