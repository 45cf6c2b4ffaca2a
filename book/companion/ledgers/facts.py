"""The ledger of facts: values read from the package, beside the origins that facts.yml states."""

import dataclasses
import inspect
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from companion import (
    algorithms,
    alignment,
    course_comparison,
    courses,
    effects,
    gradients,
    lazy_rich,
    learned_rule,
    mechanism,
    meta_training,
    parts,
    plastic_pathways,
    published_settings,
    race,
    recovery,
    rule_dynamics,
    rule_space,
    search,
    settings,
)
from companion import estimators as estimator_signal
from companion import experiment as experiments
from companion import statistics as resampling
from plasticity.dynamics import fixed_points, laziness, points, portrait
from plasticity.learning import criterion, trial
from plasticity.meta import estimators, score_function, train
from plasticity.model import exploration, network, tasks
from plasticity.recovery import regression
from plasticity.rules import three_factor

LEDGER = Path(__file__).with_name("facts.yml")
_SELECTIVE = ("term", "kick", "mean", "learning rate", "clip")
ORIGINS = {"paper": "the paper", "other": "other work", "ours": "ours"}
# Title of a table → what its parameters are parameters of.
GROUPS: dict[str, tuple[Callable, ...]] = {
    "Model": (network.Dynamics, exploration.Kicks, network.random_network),
    "Tasks": tuple(tasks.TASKS.values()),
    "Learning": (trial.Learner, three_factor.make_rule, three_factor.single_term),
    "Settings": (
        settings.association_setting,
        settings.brief_setting,
        settings.miconi_setting,
        settings.selective_setting,
    ),
    "Measures": (criterion.trials_to_criterion, resampling.bootstrap_interval),
    "Gradients": (
        settings.dense_rule,
        gradients.GradientValidation,
        gradients.TangentGrowth,
        estimators.Pathwise,
        estimators.EvolutionStrategy,
        score_function.WeightScore,
        score_function.ParameterScore,
        estimator_signal.EstimatorSignal,
        race.RaceTuning,
        race.Race,
    ),
    "Outer loop": (
        train.MetaTraining,
        meta_training.Training,
        learned_rule.Shortlist,
        learned_rule.Selection,
        learned_rule.MetaComparison,
        courses.Courses,
        course_comparison.CourseTuning,
        course_comparison.CourseComparison,
        mechanism.TraceAgreement,
        mechanism.PredictedTuning,
        mechanism.PredictedComparison,
        parts.PartTuning,
        parts.PartComparison,
        parts.AloneTuning,
        parts.AloneComparison,
        parts.ElsewhereTuning,
        parts.ElsewhereComparison,
        published_settings.PublishedTuning,
        published_settings.PublishedComparison,
        rule_space.RuleSpace,
        rule_space.SpaceTuning,
        rule_space.SpaceComparison,
        rule_space.FactorTuning,
        rule_space.FactorComparison,
        plastic_pathways.PathwayCourses,
        plastic_pathways.PathwayTuning,
        plastic_pathways.PathwayComparison,
    ),
    "Analysis": (
        fixed_points.find_fixed_points,
        points.distinct_points,
        portrait.draw_portrait,
        portrait.unperturbed_trials,
        portrait.point_measures,
        effects.rule_effect,
        rule_dynamics.RuleDynamics,
        lazy_rich.LazyRich,
        laziness.tangent_kernel,
    ),
    "Other algorithms": (
        search.Search,
        algorithms.AlgorithmTuning,
        algorithms.AlgorithmComparison,
        alignment.AlgorithmAlignment,
        alignment.TermAlignment,
        alignment.SingleKick,
        alignment.KickAlignment,
    ),
    "Recovery": (
        regression.Assumed,
        regression.recover_rule,
        recovery.RuleRecovery,
        recovery.RecoveredLearning,
        recovery.ExampleRecording,
    ),
}


def parameters(source: Callable) -> dict[str, object]:
    """Name → default of the parameters that have one; what an experiment needs is no parameter."""
    if dataclasses.is_dataclass(source):
        defaults = {field.name: _default(field) for field in dataclasses.fields(source)}
    else:
        defaults = {n: p.default for n, p in inspect.signature(source).parameters.items()}
    none = (inspect.Parameter.empty, dataclasses.MISSING)
    elsewhere = experiments.Experiment | regression.Assumed  # whose values are listed themselves
    return {
        name: value
        for name, value in defaults.items()
        if value not in none and not isinstance(value, elsewhere)
    }


def _default(field: dataclasses.Field) -> object:
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def values() -> dict[str, dict[str, dict[str, object]]]:
    """Group → function or class → parameter → value: all that wants an origin."""
    groups = {
        group: {source.__name__: parameters(source) for source in sources}
        for group, sources in GROUPS.items()
    }
    groups["Measures"]["Experiment"] = {"fraction": experiments.Experiment.fraction}
    groups["Settings"] |= {
        "brief durations": {
            f"{task}.{name}": value
            for task, durations in settings.BRIEF.items()
            for name, value in durations.items()
        },
        "Miconi's setting as made": _differences(settings.miconi_setting()),
        "Miconi's selective integration": {
            f"{version}: {name}": value
            for version, values in settings.SELECTIVE.items()
            for name, value in zip(_SELECTIVE, values, strict=True)
        },
    }
    return groups


def _differences(setting: settings.Setting) -> dict[str, object]:
    """What a setting has that the defaults have not."""
    learner, plain = setting.learner, trial.Learner()
    pairs = [
        ("dynamics", vars(learner.dynamics), vars(plain.dynamics)),
        ("exploration", vars(learner.exploration), vars(plain.exploration)),
        ("learner", vars(learner), vars(plain)),
        ("rule", *(_numbers(r) for r in (setting.rule, three_factor.miconi(degree=3)))),
    ]
    return {"readout": setting.readout} | {
        f"{name}.{key}": value
        for name, made, usual in pairs
        for key, value in made.items()
        if key not in ("dynamics", "exploration") and value != usual[key]
    }


def _numbers(rule: three_factor.ThreeFactor) -> dict[str, object]:
    numbers = {name: getattr(rule, name) for name in ("learning_rate", "tau_e", "clip")}
    return {
        # Of float32, what was written.
        **{name: float(f"{float(value):g}") for name, value in numbers.items()},
        "third_factor": type(rule.third_factor),
        "onset": rule.trace.onset,
        "plain_sum": rule.trace.plain_sum,
    }


def origins(path: Path = LEDGER) -> dict[str, dict[str, tuple[str, str, str]]]:
    """Function or class → parameter → (origin, meaning, remark), from facts.yml."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
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


def table(group: str, path: Path = LEDGER) -> str:
    """One group as a table in MyST."""
    known = origins(path)
    steps = {f"Training.{k}": f"{v:g}" for k, v in meta_training.STEPS.items()}
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


def counts(path: Path = LEDGER) -> dict[str, int]:
    """How many values are the paper's, of other work, and ours."""
    stated = [value[0] for entry in origins(path).values() for value in entry.values()]
    return {text: stated.count(origin) for origin, text in ORIGINS.items()}


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
