"""The ledger of facts: values read from the package, beside the origins that facts.yml states."""

import dataclasses
import inspect
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from companion import (
    effects as comparison,
)
from companion import (
    gradients as gradient_recordings,
)
from companion import (
    held_out_recordings,
    meta_recordings,
    settings,
    statistics,
)
from companion import (
    record as records,
)
from companion import rule_dynamics as dynamics
from plasticity.dynamics import fixed_points, points, portrait
from plasticity.learning.trial import trial as learning
from plasticity.meta import estimators as meta_gradient
from plasticity.meta import score_function
from plasticity.meta import train as meta_training
from plasticity.model import exploration, network, tasks
from plasticity.rules import three_factor

ORIGINS = {"paper": "the paper", "other": "other work", "ours": "ours"}
# Title of a table → what its parameters are parameters of.
GROUPS: dict[str, tuple[Callable, ...]] = {
    "Model": (network.Dynamics, exploration.Exploration, network.random_network),
    "Tasks": tuple(tasks.TASKS.values()),
    "Learning": (learning.Learner, three_factor.make_rule, three_factor.single_term),
    "Settings": (settings.association_setting, settings.brief_setting, settings.miconi_setting),
    "Measures": (
        statistics.trials_to_criterion,
        statistics.bootstrap_interval,
        records.verify_record,
    ),
    "Gradients": (
        settings.dense_rule,
        gradient_recordings.gradient_validation,
        gradient_recordings.tangent_growth,
        meta_gradient.Pathwise,
        meta_gradient.EvolutionStrategy,
        score_function.WeightScore,
        score_function.ParameterScore,
    ),
    "Outer loop": (
        meta_training.MetaTraining,
        meta_recordings.meta_training,
        held_out_recordings.shortlist,
        held_out_recordings.selection,
        held_out_recordings.meta_comparison,
        held_out_recordings.confirmation,
    ),
    "Analysis": (
        fixed_points.find_fixed_points,
        points.distinct_points,
        portrait.draw_portrait,
        portrait.unperturbed_trials,
        portrait.point_measures,
        comparison.rule_effect,
        dynamics.rule_dynamics,
    ),
}


def parameters(source: Callable) -> dict[str, object]:
    """Name → default of the parameters that have one."""
    made = {f.name: f.default_factory() for f in _fields(source) if _made(f)}
    found = inspect.signature(source).parameters
    kept = {n: p.default for n, p in found.items() if p.default is not p.empty}
    return {name: made.get(name, value) for name, value in kept.items()}


def _fields(source: Callable):
    return dataclasses.fields(source) if dataclasses.is_dataclass(source) else ()


def _made(field) -> bool:
    return field.default_factory is not dataclasses.MISSING


def values() -> dict[str, dict[str, dict[str, object]]]:
    """Group → function or class → parameter → value: all that wants an origin."""
    found = {
        group: {source.__name__: parameters(source) for source in sources}
        for group, sources in GROUPS.items()
    }
    found["Settings"] |= {
        "brief durations": {
            f"{task}.{name}": value
            for task, durations in settings.BRIEF.items()
            for name, value in durations.items()
        },
        "Miconi's setting as made": _differences(settings.miconi_setting()),
    }
    return found


def _differences(setting: settings.Setting) -> dict[str, object]:
    """What a setting has that the defaults have not."""
    learner, plain = setting.learner, learning.Learner()
    pairs = [
        ("dynamics", vars(learner.dynamics), vars(plain.dynamics)),
        ("exploration", vars(learner.exploration), vars(plain.exploration)),
        ("learner", vars(learner), vars(plain)),
        ("rule", *(_numbers(r) for r in (setting.rule, three_factor.miconi(degree=3)))),
    ]
    return {
        f"{name}.{key}": value
        for name, made, usual in pairs
        for key, value in made.items()
        if key not in ("dynamics", "exploration") and value != usual[key]
    }


def _numbers(rule: three_factor.Rule) -> dict[str, object]:
    return {
        name: float(f"{float(value):g}")  # of float32, what was written
        for name, value in rule._asdict().items()
        if name not in ("coefficients", "true_kick")
    }


def origins(path: Path) -> dict[str, dict[str, tuple[str, str, str]]]:
    """Function or class → parameter → (origin, meaning, remark), from facts.yml."""
    rows = yaml.safe_load(path.read_text())
    return {name: {k: tuple(v) for k, v in entry.items()} for name, entry in rows.items()}


def unexplained(found: dict[str, dict], known: dict[str, dict]) -> list[str]:
    """Values without an origin, and origins without a value."""
    of = {name: set(entry) for group in found.values() for name, entry in group.items()}
    wrong = []
    for name in sorted(of.keys() | known.keys()):
        here, there = of.get(name, set()), set(known.get(name, ()))
        wrong += [f"no origin of {name}.{key}" for key in sorted(here - there)]
        wrong += [f"no value of {name}.{key}" for key in sorted(there - here)]
    return wrong


def table(group: str, path: Path) -> str:
    """One group as a table in MyST."""
    known = origins(path)
    steps = {f"meta_training.{k}": f"{v:g}" for k, v in meta_recordings.STEPS.items()}
    lines = ["| value | origin | meaning and remark |", "|---|---|---|"]
    for source, entry in values()[group].items():
        lines.append(f"| **{source}** | | |")
        for name, value in entry.items():
            origin, meaning, remark = known[source][name]
            for key, text in steps.items():
                meaning = meaning.replace(f"{{{key}}}", text)
            note = f"{meaning} – {remark}" if remark else meaning
            lines.append(f"| `{name}` = {shown(value)} | {ORIGINS[origin]} | {note} |")
    return "\n".join(lines)


def counts(path: Path) -> dict[str, int]:
    """How many values are the paper's, of other work, and ours."""
    found = [row[0] for entry in origins(path).values() for row in entry.values()]
    return {text: found.count(origin) for origin, text in ORIGINS.items()}


def shown(value: object) -> str:
    """A value as the ledger prints it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | int | np.number):
        return "∞" if math.isinf(value) else f"{value:.6g}"
    if isinstance(value, tuple):
        inside = [shown(item) for item in value]
        joined = f"({', '.join(inside)})"
        return joined if len(inside) < 8 else f"{len(inside)} from {inside[0]} to {inside[-1]}"
    if dataclasses.is_dataclass(value):
        return "as above"
    if callable(value):
        return f"`{value.__name__}`"
    return str(value)
