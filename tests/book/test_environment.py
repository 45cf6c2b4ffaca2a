"""pyproject.toml, requirements.lock and environment.yml say the same."""

import json
import re
import tomllib
from itertools import product
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")


def _declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    lines = project["dependencies"] + [line for extra in extras for line in extra]
    return [Requirement(line) for line in lines]


def _disagreements(lock: str) -> list[str]:
    """What in the lock does not fit the declared ranges, or ties it to one place."""
    lines = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    wrong = [line for line in lines if "://" in line or "--" in line or "==" not in line]
    pins = [Requirement(line) for line in lines]
    for wanted, python in product(_declared(), PYTHONS):
        here = {"python_full_version": f"{python}.0", "python_version": python}
        exact = [
            pin
            for pin in pins
            if canonicalize_name(pin.name) == canonicalize_name(wanted.name)
            and (pin.marker is None or pin.marker.evaluate(here))
        ]
        if len(exact) != 1:
            wrong.append(f"{wanted.name} is {'twice there' if exact else 'missing'} for {python}")
        elif not all(wanted.specifier.contains(one.version) for one in exact[0].specifier):
            wrong.append(f"{exact[0]} is outside {wanted}")
    return wrong


def test_the_lock_holds_what_is_declared():
    assert _disagreements((ROOT / "requirements.lock").read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("jax==0.10", "jax==0.9", "outside"),
        ("papermill==", "papermole==", "missing"),
        ("scipy==", "scipy==1.0 ; python_full_version < '3.12'\nscipy==", "twice"),
        ("optax==0.2.8", "optax==0.2.8 ; python_full_version < '3.13'", "missing for 3.13"),
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
    assert environment["dependencies"] == [f"python={PYTHONS[-1]}", "pip", pip]


def test_every_place_that_names_versions_of_python_names_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = SpecifierSet(project["requires-python"])
    assert [p for p in (f"3.{minor}" for minor in range(8, 20)) if p in allowed] == list(PYTHONS)
    installer = (ROOT / "book" / "tools" / "install.sh").read_text()
    assert f"in {' '.join(reversed(PYTHONS))};" in installer
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
    steps = str(workflow["jobs"]["book"]["steps"])
    assert PYTHONS[0] in steps and PYTHONS[-1] in steps
    assert workflow["jobs"]["library"]["strategy"]["matrix"]["python"] == list(PYTHONS)


def test_the_container_starts_by_what_make_can_do():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    makefile = (ROOT / "Makefile").read_text()
    for command in container["postCreateCommand"].split(" && "):
        program, target, *values = command.split()
        assert program == "make" and f"\n{target}:" in makefile
        for value in values:
            assert list((ROOT / "book" / "chapters").glob(f"{value.removeprefix('CHAPTER=')}_*"))
    python = re.search(r"python:(\d\.\d+)", container["image"])[1]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert f"python={python}" in environment["dependencies"], "one Python in every container"
