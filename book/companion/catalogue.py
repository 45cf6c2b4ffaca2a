"""The book's experiments by name: what `make reproduce` records and chapters show.

One table, so that nothing is listed twice: what an experiment needs follows from its own fields.
"""

from collections.abc import Iterable

from companion.algorithms import AlgorithmComparison, AlgorithmCost, AlgorithmTuning
from companion.alignment import (
    AlgorithmAlignment,
    KickAlignment,
    TermAlignment,
    UpdateProgress,
)
from companion.course_comparison import CourseComparison, CourseTuning
from companion.courses import Courses
from companion.estimators import EstimatorSignal
from companion.experiment import Experiment
from companion.gradients import GradientCost, GradientValidation, TangentGrowth
from companion.lazy_rich import LazyRich
from companion.learned_rule import MetaComparison, Selection, Shortlist
from companion.mechanism import PredictedComparison, PredictedTuning, TraceAgreement
from companion.meta_training import TASKS, SettingMap, Training
from companion.miconi import Parity, SelectiveIntegration
from companion.parts import (
    AloneComparison,
    AloneTuning,
    ElsewhereComparison,
    ElsewhereTuning,
    PartComparison,
    PartTuning,
)
from companion.plastic_pathways import PathwayComparison, PathwayCourses, PathwayTuning
from companion.published_settings import PublishedComparison, PublishedTuning
from companion.race import Race, RaceTuning
from companion.recovery import ExampleRecording, RecoveredLearning, RuleRecovery
from companion.rule_comparison import RuleComparison, RuleTuning
from companion.rule_dynamics import RuleDynamics
from companion.rule_space import (
    FactorComparison,
    FactorTuning,
    RuleSpace,
    SpaceComparison,
    SpaceTuning,
)
from companion.settings import QUIRKS, SELECTIVE
from plasticity.types import require

# What chapter 03 compares with its 96 networks: the first 48, up to the program's horizon.
BRIEFER = {"n_networks": 48, "n_trials": 3000}
# Regimes of chapter 07: with a bound on updates, and without.
BOUNDED = (True, False)
# Published settings in which other rules have been tried.
PUBLISHED = ("nonmatch", "selective")
# Tasks of chapter 10.
CONTESTED = ("association", "integration", "long delay")


def catalogued(experiments: Iterable[Experiment]) -> dict[str, Experiment]:
    """Name → experiment, each after those that it needs.

    Raises:
        ValueError: two experiments of one name, a need that is not listed (or with other
            parameters), experiments that need each other.
    """
    listed: dict[str, Experiment] = {}
    for experiment in experiments:
        once = experiment.name not in listed
        require(once, "experiments have names of their own", repr(experiment.name), "rename one")
        listed[experiment.name] = experiment
    ordered: dict[str, Experiment] = {}

    def add(experiment: Experiment, above: tuple[str, ...]) -> None:
        name, path = experiment.name, (*above, experiment.name)
        rule, fix = "an experiment does not need itself", "break the circle"
        require(name not in above, rule, " → ".join(path), fix)
        for field, need in experiment.needs.items():
            known = listed.get(need.name) == need
            rule = "an experiment needs what is listed, with the same parameters"
            require(known, rule, f"{field} of {name}", f"list {need!r}, or change the field")
            add(need, path)
        ordered.setdefault(name, experiment)

    for experiment in listed.values():
        add(experiment, ())
    return ordered


EXPERIMENTS: dict[str, Experiment] = catalogued(
    [
        RuleTuning(),
        RuleComparison(),
        Parity(),
        Parity(told_kicks=True, **BRIEFER),
        *(Parity(without=quirk, **BRIEFER) for quirk in QUIRKS),
        *(SelectiveIntegration(version=version) for version in SELECTIVE),
        *(PublishedTuning.of(place) for place in PUBLISHED),
        *(PublishedComparison.of(PublishedTuning.of(place)) for place in PUBLISHED),
        GradientValidation(),
        TangentGrowth(),
        GradientCost(),
        SettingMap(),
        *(Training.of(task) for task in TASKS),
        Courses(),
        EstimatorSignal(),
        RaceTuning(),
        Race(),
        *(CourseTuning(bounded=bounded) for bounded in BOUNDED),
        *(CourseComparison.of(CourseTuning(bounded=bounded)) for bounded in BOUNDED),
        *(Shortlist.of(task) for task in TASKS),
        *(Selection.of(task) for task in TASKS),
        TraceAgreement(),
        PredictedTuning(),
        PredictedComparison(),
        PartTuning(),
        PartComparison(),
        AloneTuning(),
        AloneComparison(),
        ElsewhereTuning(),
        ElsewhereComparison(),
        MetaComparison(),
        RuleDynamics(),
        LazyRich(),
        RuleSpace(),
        SpaceTuning(),
        SpaceComparison(),
        FactorTuning(),
        FactorComparison(),
        PathwayCourses(),
        PathwayTuning(),
        PathwayComparison(),
        RuleRecovery(),
        RecoveredLearning(),
        ExampleRecording(),
        *(AlgorithmTuning.of(task) for task in CONTESTED),
        *(AlgorithmComparison.of(task) for task in CONTESTED),
        AlgorithmCost(),
        AlgorithmAlignment(),
        TermAlignment(),
        UpdateProgress(),
        KickAlignment(),
    ]
)
