"""Chapter 13: which of the weights of a network have to learn.

The protocol, written before anything was judged.

*Questions*: the paper lets recurrent weights learn and nothing else. What do the same traces give
on the weights of the input and of the output, alone and together with W; and does it help to learn
a rule for each pathway?

*Fixed rules*: the terms (1,5) and (3,3), on every set of pathways in `SETS`. One step and one
bound, in units of the weights: a change of W_in counts by its size relative to W_in, and so on.
Where several pathways learn, those after the first have their step multiplied by a number that is
searched for as well. Three searches for each, on networks of their own.

*Learned rules*: five courses of the outer loop from zero for W_in alone, for W_out alone, and for
all three pathways at once, each with coefficients and a bound of its own; in the setting, with the
coordinates, the training networks and the updates of the courses of chapter 12 at d = 5, which
learned W alone and are judged beside them. Step and bound of every learned rule are searched for.

*Judge*: the restricted mean of trials to criterion over 300 trials on 256 networks that chose
nothing. For each fixed rule, every set less W alone, paired by network; intervals count the chance
of searches, pooled, and hold together for twelve. For learned rules, each kind less W alone, by t
over courses and networks, for three.

*Size*: in chapter 12 means differed by some 5% from search to search and from course to course.
With three searches, and twelve differences, some 15% are found with 80% power; of learned rules
some 6 trials of 70.

*Chapter 10*: what a plastic readout does to e-prop is read from the record of that chapter.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr

from companion.competition import (
    Comparison,
    Competition,
    Tuning,
    comparison_variables,
    tuning_variables,
)
from companion.contest import Algorithm, Contest, Ladder, share_bent
from companion.course_comparison import NOTHING
from companion.courses import LIMIT, UNIT
from companion.experiment import Variable
from companion.mechanism import end_traces
from companion.outer_loop import COURSE_VARIABLES, OuterLoop, check_names
from companion.parts import SMALL
from companion.rule_space import REFERENCE, RuleSpace
from companion.search import Search
from companion.seeds import seed
from plasticity.learning.setting import Setting
from plasticity.learning.trial import draw_episode, initial_learning_state, learn_trial
from plasticity.rules.base import Rule
from plasticity.rules.coordinates import InCoordinates, in_coordinates
from plasticity.rules.pathways import PATHWAYS, Pathways, on_pathways
from plasticity.rules.three_factor import SoftBound, make_rule, single_term, zero

EVERY = tuple(PATHWAYS)
# Sets of pathways that learn; the first named comes first.
SETS: dict[str, tuple[str, ...]] = {
    "W": ("recurrent",),
    "W_in": ("inward",),
    "W_out": ("outward",),
    "W and W_in": ("recurrent", "inward"),
    "W and W_out": ("recurrent", "outward"),
    "W_in and W_out": ("inward", "outward"),
    "all": EVERY,
}
ALONE = "W"
TERMS = {"(1,5)": (1, 5), "(3,3)": (3, 3)}
LEARNED = ("W_in", "W_out", "all")
# Times the step of the first pathway: half decades about 1.
RATIOS = Ladder(tuple(float(f"{10 ** (e / 2):.3g}") for e in range(-8, 9)), 6, 5)
_UNBOUNDED = 1e10


class Sides(NamedTuple):
    """What synapses of a pathway see in first trials of n networks.

    Attributes:
        pre, post: (n, T, M) and (n, T, N).
        weight: r.m.s. of the weights, relative to that of W.
    """

    pre: np.ndarray
    post: np.ndarray
    weight: float


@cache
def sides(setting: Setting, number: int, n: int = 16) -> dict[str, Sides]:
    """Of each pathway; nothing has learned yet."""
    keys, networks, task, _, learner = setting.arguments(number, range(n))
    rule, of_none = zero(), Pathways()

    @jax.jit
    @jax.vmap
    def first(key, network):
        state = initial_learning_state(network, task, rule, learner)
        episode = draw_episode(key, 0, task, learner, network.W.shape[0])
        seen = learn_trial(state, episode, network, rule, learner)[1].seen
        views = {name: of_none.seen(name, seen) for name in EVERY}
        return {name: (view.rates, view.fluctuations) for name, view in views.items()}

    sizes = {name: np.sqrt(np.mean(np.square(w))) for name, w in networks._asdict().items()}
    return {
        name: Sides(*map(np.asarray, both), float(sizes[PATHWAYS[name]] / sizes["W"]))
        for name, both in first(keys, networks).items()
    }


def trace_size(setting: Setting, number: int, name: str, theta: np.ndarray) -> float:
    """R.m.s. over the synapses of a pathway of the trace of θ in first trials."""
    seen = sides(setting, number)[name]
    weights = setting.rule.trace.weights(seen.pre.shape[1], setting.learner.dynamics)
    traces = end_traces(theta, seen.pre, seen.post, np.asarray(weights))
    return float(np.sqrt(np.mean(np.square(traces))))


@dataclass(frozen=True, kw_only=True)
class PathwayCourses(OuterLoop):
    """Courses of the outer loop that learn a rule for each pathway.

    Attributes:
        arms: of `LEARNED`.
    """

    name = "pathway_courses"
    title = "The outer loop over rules for input and output"
    variables = {
        "psi": Variable(
            ("course", "iterate", "pathway", "coordinate"),
            "ψ before each iteration; NaN where there is none",
        ),
        "theta": Variable(("course", "pathway", "k", "ell"), "θ of the best average, for η = 1"),
        "limit": Variable(("course", "pathway"), "c of the best average; NaN where W stays"),
        "first_iterate": Variable(
            ("course", "pathway", "coordinate"), "ψ after that course; NaN where there is none"
        ),
    } | COURSE_VARIABLES

    arms: tuple[str, ...] = LEARNED

    def __post_init__(self) -> None:
        check_names("learned pathways", self.arms, LEARNED)

    @property
    def seeds(self) -> dict[str, int]:
        """Of the first course, those of chapter 12; of the choice; and of the judges."""
        names = {"courses": "space, courses", "choice": "pathways, choice of iterates"}
        return {use: seed(name) for use, name in names.items()} | {"test": seed("pathways")}

    def start(self, arm: str) -> tuple[Pathways, np.ndarray]:
        """Zero on each pathway of the arm."""
        rules = {name: self._zero(name) for name in SETS[arm]}
        rule = on_pathways(**rules)
        return rule, np.ones(rule.parameters.shape)

    def _zero(self, name: str) -> InCoordinates:
        seen = sides(self.setting, self.seeds["choice"])[name]
        bound = SoftBound(LIMIT * seen.weight)
        terms = np.eye(36).reshape(36, 6, 6)
        sizes = [trace_size(self.setting, self.seeds["choice"], name, term) for term in terms]
        unit = UNIT * seen.weight / np.array(sizes)
        rule = make_rule(np.zeros((6, 6)), learning_rate=1.0, bound=bound)
        return in_coordinates(rule, terms * unit[:, None, None])

    def coordinates(self):
        return {
            "course": self.names,
            "iterate": range(self.n_iterations + 1),
            "iteration": range(self.n_iterations),
            "pathway": [PATHWAYS[name] for name in EVERY],
            "coordinate": [f"({k},{ell})" for k, ell in np.ndindex(6, 6)] + ["log bound"],
            "evaluation": self.evaluated(self.arms[0]),
            "k": range(6),
            "ell": range(6),
        }

    def measure_one(self, index: int):
        arm, course = self.courses[index][0], self.course(index)
        theta, limit = np.zeros((len(EVERY), 6, 6)), np.full(len(EVERY), np.nan)
        for name, rule in course.rule.rules.items():
            place, composed = EVERY.index(name), rule.composed
            theta[place], limit[place] = composed.coefficients, composed.clip
        return {
            "psi": _by_pathway(course.coefficients, arm),
            "theta": theta,
            "limit": limit,
            **self.series(course, self.coordinates()),
        } | self.measure_small(index)

    def measure_small(self, index: int) -> dict[str, np.ndarray]:
        """Objectives and last iterate of the small course."""
        course, arm = self.small_course(index), self.courses[index][0]
        last = _by_pathway(course.coefficients[-1], arm)
        return {"first_objectives": course.objectives, "first_iterate": last}


def _by_pathway(psi: np.ndarray, arm: str) -> np.ndarray:
    """Flat parameters (…, n · 37) as (…, pathway, 37)."""
    every = np.full((*psi.shape[:-1], len(EVERY), 37), np.nan)
    for place, part in enumerate(np.split(psi, len(SETS[arm]), axis=-1)):
        every[..., EVERY.index(SETS[arm][place]), :] = part
    return every


class PathwayContest(Contest):
    """A rule for pathways in a setting; the number "readout" multiplies steps after the first."""

    @property
    def ladders(self) -> dict[str, Ladder]:
        """Of the free numbers."""
        ladders = super().ladders
        return ladders | {"readout": RATIOS} if "readout" in ladders else ladders

    def rule(self, values: dict[str, float], units: tuple[float, float]) -> Rule:
        """The rule at these values; steps are in units of its own traces, whatever ``units``."""
        step, ratio = (float(np.nan_to_num(values[name])) for name in ("step", "readout"))
        clip = None if np.isnan(values["bound"]) else values["bound"]
        return self.algorithm.make(1.0, step, clip, ratio)


class Scaled(NamedTuple):
    """How a pathway learns, in proportion to the step and the bound.

    Attributes:
        theta: (6, 6).
        rate: η at a step of one.
        limit: c at a bound of one.
    """

    theta: np.ndarray
    rate: float
    limit: float


def entrant(parts: dict[str, Scaled], *, ratio: bool) -> Algorithm:
    """Rules on pathways as a competitor, the first at the step, others at ``ratio`` of theirs."""
    first = next(iter(parts))

    def make(size, step, clip, times):
        clip = _UNBOUNDED if clip is None else min(clip, _UNBOUNDED)
        rules = {}
        for name, part in parts.items():
            rate = step * part.rate * (times if ratio and name != first else 1.0)
            bound = SoftBound(clip * part.limit)
            rules[name] = make_rule(part.theta, learning_rate=rate, bound=bound)
        return on_pathways(**rules)

    numbers = ("step", "bound", "readout") if ratio else ("step", "bound")
    return Algorithm(make, "reward", "as it is", numbers)


def same_term(setting: Setting, number: int, names: tuple[str, ...], theta) -> Algorithm:
    """One θ on several pathways; a step is the change over the weights, of each by itself."""
    parts = {}
    for name in names:
        weight = sides(setting, number)[name].weight
        size = trace_size(setting, number, name, theta)
        parts[name] = Scaled(theta, weight / size, weight)
    return entrant(parts, ratio=len(names) > 1)


def learned_rules(setting: Setting, number: int, theta: dict, limit: dict) -> Algorithm:
    """What was learned for each pathway, in the proportions in which it was learned."""
    first = next(iter(theta))
    weight = sides(setting, number)[first].weight
    size = trace_size(setting, number, first, theta[first])
    rate = weight / size if size > 0 else 0.0  # a course may end where it began
    parts = {n: Scaled(t, rate, weight * limit[n] / limit[first]) for n, t in theta.items()}
    return entrant(parts, ratio=False)


FLOOR = "no learning"


@dataclass(frozen=True, kw_only=True)
class _Pathways(Competition):
    """Fixed and learned rules on sets of pathways.

    Attributes:
        courses, space: where learned rules come from: of several pathways, and of W alone.
        sets: of `SETS`, for fixed rules.
        n_searches: for the numbers of each fixed rule.
    """

    axis = "entrant"

    courses: PathwayCourses = PathwayCourses()
    space: RuleSpace = RuleSpace()
    sets: tuple[str, ...] = tuple(SETS)
    n_searches: int = 3
    n_trials: int = 300

    def __post_init__(self) -> None:
        check_names("sets of pathways", self.sets, SETS)

    @property
    def fixed(self) -> list[tuple[str, str, int]]:
        """Set, term and number of the search, of each."""
        return list(product(self.sets, TERMS, range(1, self.n_searches + 1)))

    @property
    def of_W(self) -> list[str]:
        """Courses of chapter 12 that learned a rule for W alone."""
        both = zip(self.space.names, self.space.courses, strict=True)
        return [name for name, (arm, _) in both if arm == REFERENCE]

    @property
    def competitors(self) -> list[str]:
        """Fixed rules, learned ones, and no learning."""
        fixed = ["; ".join(map(str, one)) for one in self.fixed]
        return [*fixed, *self.courses.names, *(f"{ALONE}, {n}" for n in self.of_W), FLOOR]

    def contest(self, index: int, courses: xr.Dataset, space: xr.Dataset) -> Contest:
        """The rule of that number, where the courses learned."""
        setting, number = self.courses.setting, self.courses.seeds["choice"]
        n_fixed, names = len(self.fixed), self.courses.names
        if index < n_fixed:
            of, term, _ = self.fixed[index]
            algorithm = same_term(
                setting, number, SETS[of], np.asarray(single_term(*TERMS[term]).coefficients)
            )
            return PathwayContest(setting, algorithm)
        place = index - n_fixed
        if place < len(names):
            arm, one = self.courses.courses[place][0], courses.sel(course=names[place])
            theta = {n: one.theta.values[EVERY.index(n)] for n in SETS[arm]}
            limit = {n: float(one.limit[EVERY.index(n)]) for n in SETS[arm]}
            return PathwayContest(setting, learned_rules(setting, number, theta, limit))
        if place - len(names) < len(self.of_W):
            one = space.sel(course=self.of_W[place - len(names)])
            theta = {"recurrent": one.theta.values[:6, :6]}
            given = theta, {"recurrent": 1.0}
            return PathwayContest(setting, learned_rules(setting, number, *given))
        return Contest(setting, NOTHING)


@dataclass(frozen=True, kw_only=True)
class PathwayTuning(_Pathways, Tuning):
    """Step, bound and ratio of every rule, searched for on validation networks."""

    name = "pathway_tuning"
    title = "Steps and bounds of rules on sets of pathways"
    seeds = {
        "validation": seed("pathways, choice of steps"),
        "searched again": seed("pathways, searched again"),
    }
    variables = tuning_variables("entrant")

    search: Search = SMALL
    n_trials: int = 200  # that a search sees

    def validation_seed(self, index: int) -> int:
        """Of the networks that choose, others for each search."""
        return self.seed_of_search(self.fixed[index][2] if index < len(self.fixed) else 1)


@dataclass(frozen=True, kw_only=True)
class PathwayComparison(_Pathways, Comparison):
    """Every rule at the numbers chosen for it, on networks that chose nothing."""

    name = "pathway_comparison"
    title = "Rules on sets of pathways, on networks that they have not met"
    seeds = {"test": seed("pathways")}
    variables = comparison_variables("entrant")
    saturation = staticmethod(share_bent)

    tuning: PathwayTuning = PathwayTuning()
    n_networks: int = 256
