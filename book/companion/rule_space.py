"""Chapter 12: how large a space of rules is worth searching.

The protocol, written before anything was judged.

*Questions*: do rules of a higher degree learn faster, and what do time constants that are learned
beside θ add? And how much hangs on the third factor: on the baseline R̄ and on a graded reward?

*Rules*: of every arm in `ARMS` five courses of the outer loop from zero, in the setting and the
coordinates of chapter 07, with the same training networks in all arms and as many iterations as
take the time that thirty take at d = 5. A pull to zero is a tenth of a step. Time constants start
at those of the setting, and τ_w at 1,000 trials.

*Judge*: step and bound of every rule are chosen by the same search; then the restricted mean of
trials to criterion over 300 trials on 256 networks that chose nothing. Of every arm the mean over
its courses less that of d = 5, with intervals by t over courses and networks that hold together
for all arms (Bonferroni). What such a test finds with 80% power is printed beside them.

*Size*: in chapter 07 the means of courses from zero had a standard deviation of 1.1 trials of 70.
Five courses an arm and eleven intervals then find differences of about 3 trials, 4%.

*Third factors*: three rules, the terms (3,3) and (1,5) and the learned one, each under every factor
in `FACTORS` with step and bound chosen anew; paired by network, differences from a baseline of each
condition with the rate of the other chapters.

*Changed after a first judgement of the third factors*: each rule was searched for once, and (3,3)
with the usual factor came out at 89 trials, where the same rule had come out at 75 beside the
courses. So every search is made three times, the first as it was, and intervals count the chance of
searches, by its variance relative to the mean, pooled over all pairs.
"""

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import xarray as xr

from companion.competition import (
    Comparison,
    Competition,
    Tuning,
    by_labels,
    comparison_variables,
    tuning_variables,
)
from companion.contest import Algorithm, Contest, share_bent
from companion.course_comparison import NOTHING, tuned
from companion.courses import LIMIT, basis
from companion.experiment import Variable
from companion.outer_loop import COURSE_VARIABLES, OuterLoop, check_names
from companion.parts import SMALL
from companion.search import Search
from companion.seeds import seed
from companion.settings import brief_setting
from plasticity.rules.coordinates import InCoordinates, in_coordinates
from plasticity.rules.learned import learned_rule
from plasticity.rules.three_factor import (
    SoftBound,
    make_rule,
    node_perturbation,
    single_term,
)
from plasticity.rules.time_constants import TIMES, with_time_constants


class Arm(NamedTuple):
    """What a course learns, and how long.

    Attributes:
        degree: d.
        times: time constants that are learned beside θ.
        sparse: whether coefficients are pulled to zero.
        share: of the iterations, so that all arms take the same time.
    """

    degree: int = 5
    times: tuple[str, ...] = ()
    sparse: bool = False
    share: float = 1.0


REFERENCE = "d = 5"
# Iterations in the time of one at d = 5, by degree from 1 on, measured on one machine.
SHARES = (1.75, 1.63, 1.35, 1.16, 1.0, 0.84, 0.70)
ARMS: dict[str, Arm] = {
    f"d = {degree}": Arm(degree, share=share) for degree, share in enumerate(SHARES, 1)
}
ARMS |= {"d = 5, sparse": Arm(sparse=True)}
ARMS |= {name: Arm(times=(name,)) for name in TIMES}
ARMS |= {"all three": Arm(times=TIMES)}
# Least and first values: ms, ms, trials. A unit of their coordinates is a factor of e³.
FIRST_TIMES = {"tau_e": (10.0, 1000.0), "tau_filter": (10.0, 20.0), "tau_w": (1.0, 1000.0)}
TIME_UNIT = 3.0
# Of the pull to zero, in steps.
PULL = 0.1
_WIDEST = max(arm.degree for arm in ARMS.values())
COORDINATES = [f"({k},{ell})" for k, ell in np.ndindex(_WIDEST + 1, _WIDEST + 1)]
COORDINATES += ["log bound", *TIMES]


def places_of(arm: Arm) -> np.ndarray:
    """Where the coordinates of an arm stand among those of all, (P + 1 + n,)."""
    powers = np.ndindex(arm.degree + 1, arm.degree + 1)
    names = [f"({k},{ell})" for k, ell in powers] + ["log bound", *arm.times]
    return np.array([COORDINATES.index(name) for name in names])


@dataclass(frozen=True, kw_only=True)
class RuleSpace(OuterLoop):
    """Courses of the outer loop in spaces of other sizes.

    Attributes:
        arms: of `ARMS`.
    """

    name = "rule_space"
    title = "The outer loop over other degrees and time constants"
    variables = {
        "psi": Variable(
            ("course", "iterate", "coordinate"), "ψ before each iteration; NaN where there is none"
        ),
        "theta": Variable(("course", "k", "ell"), "θ of the best average, for η = 1"),
        "limit": Variable(("course",), "c of the best average"),
        "times": Variable(
            ("course", "time constant"),
            "τ of the best average (ms, ms, trials); NaN if not its own",
        ),
        "first_iterate": Variable(("course", "coordinate"), "ψ after that course"),
    } | COURSE_VARIABLES

    arms: tuple[str, ...] = tuple(ARMS)

    def __post_init__(self) -> None:
        check_names("arms", self.arms, ARMS)

    @property
    def seeds(self) -> dict[str, int]:
        """Of the first course, the others counting on; of the choice; and of the judges."""
        names = {"courses": "space, courses", "choice": "space, choice of iterates"}
        return {use: seed(name) for use, name in names.items()} | {"test": seed("space of rules")}

    def iterations(self, arm: str) -> int:
        """Of a course of an arm; all arms take the same time."""
        return max(1, round(self.n_iterations * ARMS[arm].share))

    def sparsity(self, arm: str) -> float:
        """Pull to zero, of a course of an arm."""
        return PULL * self.step_size if ARMS[arm].sparse else 0.0

    def start(self, arm: str) -> tuple[InCoordinates, np.ndarray]:
        """Zero, and the first time constants."""
        degree, times = ARMS[arm].degree, ARMS[arm].times
        theta = np.zeros((degree + 1, degree + 1))
        rule = make_rule(theta, learning_rate=1.0, bound=SoftBound(LIMIT))
        terms = basis(self.setting, self.seeds["choice"], degree)
        rule = in_coordinates(rule, terms, {name: FIRST_TIMES[name] for name in times})
        scale = np.ones(rule.parameters.shape)
        scale[scale.size - len(times) :] = 1 / TIME_UNIT
        return rule, scale

    def coordinates(self):
        longest = max(self.iterations(arm) for arm in self.arms)
        return {
            "course": self.names,
            "iterate": range(longest + 1),
            "iteration": range(longest),
            "coordinate": COORDINATES,
            "evaluation": range(max(len(self.evaluated(arm)) for arm in self.arms)),
            "k": range(_WIDEST + 1),
            "ell": range(_WIDEST + 1),
            "time constant": list(TIMES),
        }

    def measure_one(self, index: int):
        arm = ARMS[self.courses[index][0]]
        course, size = self.course(index), arm.degree + 1
        rule, labels = course.rule, self.coordinates()
        times = {name: float(value) for name, value in rule.time_constants.items()}
        theta = np.zeros((_WIDEST + 1, _WIDEST + 1))
        theta[:size, :size] = np.tensordot(rule.parameters[: size**2], rule.basis, axes=1)
        psi = np.full((len(labels["iterate"]), len(COORDINATES)), np.nan)
        psi[: len(course.coefficients), places_of(arm)] = course.coefficients
        return {
            "psi": psi,
            "theta": theta,
            "limit": LIMIT * np.exp(float(rule.parameters[size**2])),
            "times": [times.get(name, np.nan) for name in TIMES],
            **self.series(course, labels),
        } | self.measure_small(index)

    def measure_small(self, index: int) -> dict[str, np.ndarray]:
        """Objectives and last iterate of the small course."""
        course, psi = self.small_course(index), np.full(len(COORDINATES), np.nan)
        psi[places_of(ARMS[self.courses[index][0]])] = course.coefficients[-1]
        return {"first_objectives": course.objectives, "first_iterate": psi}


def recorded_rule(course: xr.Dataset, added: dict[str, float] | None = None, **options):
    """The rule of a course, with its time constants and ``added`` ones; options of `make_rule`."""
    own = dict(zip(TIMES, course.times.values.tolist(), strict=True))
    own = {name: value for name, value in own.items() if np.isfinite(value)}
    return with_time_constants(make_rule(course.theta.values, **options), **own, **(added or {}))


# Beside what was learned.
REFERENCES = ("(1,5)", "(3,3)", "node perturbation", "no learning")


def entrants(courses: xr.Dataset) -> dict[str, Algorithm]:
    """Name → rule, as a competitor that chooses its step and its bound."""
    makes = {"(1,5)": partial(single_term, 1, 5), "(3,3)": partial(single_term, 3, 3)}
    for name in courses.course.values.tolist():
        makes[name] = partial(recorded_rule, courses.sel(course=name))
    found = {name: tuned(make) for name, make in makes.items()}
    kicks = tuned(node_perturbation, "reward, its kicks")
    return found | {"node perturbation": kicks, "no learning": NOTHING}


@dataclass(frozen=True, kw_only=True)
class _Spaces(Competition):
    """Rules that were learned in spaces of other sizes, and references.

    Attributes:
        courses: where they come from.
    """

    axis = "rule"

    courses: RuleSpace = RuleSpace()
    n_trials: int = 300

    @property
    def competitors(self) -> list[str]:
        """The references, and a rule of each course."""
        return [*REFERENCES, *self.courses.names]

    def contest(self, index: int, courses: xr.Dataset) -> Contest:
        """The rule of that number, where the courses learned."""
        return Contest(self.courses.setting, entrants(courses)[self.competitors[index]])


@dataclass(frozen=True, kw_only=True)
class SpaceTuning(_Spaces, Tuning):
    """Step and bound of every rule, searched for on validation networks."""

    name = "space_tuning"
    title = "Steps and bounds of rules from spaces of other sizes"
    seeds = {"validation": seed("space, choice of bounds")}
    variables = tuning_variables("rule")

    search: Search = SMALL
    n_trials: int = 200  # that a search sees


@dataclass(frozen=True, kw_only=True)
class SpaceComparison(_Spaces, Comparison):
    """Every rule at the step and bound chosen for it, on networks that chose nothing."""

    name = "space_comparison"
    title = "Rules from spaces of other sizes, on networks that they have not met"
    seeds = {"test": seed("space of rules")}
    variables = comparison_variables("rule")
    saturation = staticmethod(share_bent)

    tuning: SpaceTuning = SpaceTuning()
    n_networks: int = 256


def by_arm(values: xr.DataArray, courses: RuleSpace) -> xr.DataArray:
    """What each learned rule gave, (rule, …), by arm and number of the course."""
    arms, numbers = zip(*courses.courses, strict=True)
    of = values.sel(rule=courses.names).drop_vars("rule")
    labelled = of.assign_coords(arm=("rule", list(arms)), course=("rule", list(numbers)))
    return labelled.set_index(rule=["arm", "course"]).unstack("rule").sel(arm=list(courses.arms))


class Factor(NamedTuple):
    """What differs from the learner of the setting, and what it is."""

    changes: dict[str, object]
    meaning: str


USUAL = "each condition, 0.25"
FACTORS: dict[str, Factor] = {
    USUAL: Factor({}, "as in the other chapters"),
    **{
        f"each condition, {rate:g}": Factor({"baseline_rate": rate}, f"R̄ moves by {rate:g}")
        for rate in (0.05, 0.1, 0.5, 1.0)
    },
    "shared, 0.25": Factor({"per_condition": False}, "one R̄ for all conditions"),
    "shared, 0.05": Factor({"per_condition": False, "baseline_rate": 0.05}, "one R̄, slower"),
    "none": Factor({"baseline_rate": 0.0, "initial_baseline": 0.0}, "R̄ = 0: the reward itself"),
    "binary reward": Factor({"reward": "binary", "initial_baseline": 0.0}, "1 if correct, else 0"),
}
RULES = {
    "(3,3)": partial(single_term, 3, 3),
    "(1,5)": partial(single_term, 1, 5),
    "learned": lambda **options: make_rule(learned_rule().coefficients, **options),
}


@dataclass(frozen=True, kw_only=True)
class _Factors(Competition):
    """Rules under other third factors.

    Attributes:
        factors: of `FACTORS`.
        n_searches: for the numbers of each pair, each on networks of its own.
    """

    axis = "attempt at a pair"

    factors: tuple[str, ...] = tuple(FACTORS)
    n_searches: int = 3
    n_units: int = 100
    n_trials: int = 300

    def __post_init__(self) -> None:
        check_names("third factors", self.factors, FACTORS)

    @property
    def attempts(self) -> list[tuple[int, str, str]]:
        """Number of the search, factor and rule."""
        return list(product(range(1, self.n_searches + 1), self.factors, RULES))

    @property
    def competitors(self) -> list[str]:
        """The same, as labels."""
        return ["; ".join(map(str, one)) for one in self.attempts]

    def contest(self, index: int) -> Contest:
        """The rule of that pair under its factor."""
        _, factor, rule = self.attempts[index]
        setting = brief_setting(n_units=self.n_units)
        learner = replace(setting.learner, **FACTORS[factor].changes)
        return Contest(replace(setting, learner=learner), tuned(RULES[rule]))


@dataclass(frozen=True, kw_only=True)
class FactorTuning(_Factors, Tuning):
    """Step and bound of rules under other third factors, searched for on validation networks."""

    name = "factor_tuning"
    title = "Steps and bounds of rules under other third factors"
    seeds = {
        "validation": seed("choice under other factors"),
        "searched again": seed("factors, searched again"),
    }
    variables = tuning_variables(_Factors.axis)

    search: Search = SMALL
    n_trials: int = 200  # that a search sees

    def validation_seed(self, index: int) -> int:
        """Of the networks that choose, others for each search."""
        return self.seed_of_search(self.attempts[index][0])


@dataclass(frozen=True, kw_only=True)
class FactorComparison(_Factors, Comparison):
    """Rules under other third factors, at what was chosen there, on networks that chose nothing."""

    name = "factor_comparison"
    title = "Rules under other third factors, on networks that they have not met"
    seeds = {"test": seed("other third factors")}
    variables = comparison_variables(_Factors.axis)
    saturation = staticmethod(share_bent)

    tuning: FactorTuning = FactorTuning()
    n_networks: int = 256


def by_factor(values: xr.DataArray) -> xr.DataArray:
    """What each attempt gave, (search, factor, rule, …)."""
    return by_labels(values, ("search", "factor", "rule"))
