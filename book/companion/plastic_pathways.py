"""Chapter 13: which of the weights of a network have to learn.

The protocol, written before anything was judged.

*Questions*: the paper lets recurrent weights learn and nothing else. What do the same traces give on
the weights of the input and of the output, alone and together with W; and does it help to learn a
rule for each pathway?

*Fixed rules*: the terms (1,5) and (3,3), on every set of pathways in `SETS`. One step and one bound,
in units of the weights: a change of W_in counts by its size relative to W_in, and so on. Where
several pathways learn, those after the first have their step multiplied by a number that is searched
for as well. Three searches for each, on networks of their own.

*Learned rules*: five courses of the outer loop from zero for W_in alone, for W_out alone, and for
all three pathways at once, each with coefficients and a bound of its own; in the setting, with the
coordinates, the training networks and the updates of the courses of chapter 12 at d = 5, which
learned W alone and are judged beside them. Step and bound of every learned rule are searched for.

*Judge*: the restricted mean of trials to criterion over 300 trials on 256 networks that chose
nothing. For each fixed rule, every set less W alone, paired by network; intervals count the chance
of searches, pooled, and hold together for twelve. For learned rules, each kind less W alone, by t
over courses and networks, for three.

*Size*: in chapter 12 means differed by some 5% from search to search and from course to course. With
three searches, and twelve differences, some 15% are found with 80% power; of learned rules some 6
trials of 70.

*Chapter 10*: what a plastic readout does to e-prop is read from the record of that chapter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr

from companion.compilation import double_precision
from companion.competition import (
    Comparison,
    Competition,
    Tuning,
    comparison_variables,
    tuning_variables,
)
from companion.contest import (
    NUMBERS,
    Algorithm,
    Contest,
    Ladder,
    share_bent,
)
from companion.course_comparison import tuned_rule
from companion.courses import LIMIT, UNIT
from companion.experiment import Experiment, Variable
from companion.parts import SMALL
from companion.rule_space import REFERENCE, RuleSpace
from companion.search import Search
from companion.seeds import seed
from companion.settings import brief_setting
from plasticity.learning.lifetime import Observer
from plasticity.learning.setting import Setting
from plasticity.learning.trial import draw_episode, initial_learning_state, learn_trial
from plasticity.meta.estimators import Pathwise
from plasticity.meta.train import MetaTraining, MetaTrainingResult, meta_train
from plasticity.rules.base import Rule
from plasticity.rules.coordinates import in_coordinates
from plasticity.rules.pathways import PATHWAYS, Pathways, on_pathways
from plasticity.rules.three_factor import SoftBound, make_rule, zero
from plasticity.types import require

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
    weights, traces = np.asarray(weights), 0.0
    for k, ell in zip(*np.nonzero(theta), strict=True):
        weighted = weights[:, None] * seen.post**ell
        traces += theta[k, ell] * np.einsum("nti,ntj->nij", weighted, seen.pre**k, optimize=True)
    return float(np.sqrt(np.mean(np.square(traces))))


def single(k: int, ell: int, degree: int = 5) -> np.ndarray:
    """θ_kℓ = −1 alone, (d+1, d+1)."""
    theta = np.zeros((degree + 1, degree + 1))
    theta[k, ell] = -1.0
    return theta


@dataclass(frozen=True, kw_only=True)
class PathwayCourses(Experiment):
    """Courses of the outer loop that learn a rule for each pathway.

    Attributes:
        arms: of `LEARNED`.
        n_courses: of each.
    """

    name = "pathway_courses"
    title = "The outer loop over rules for input and output"
    axis = "course"
    tolerance = 1e-6
    optimised = True
    variables = {
        "psi": Variable(
            ("course", "iterate", "pathway", "coordinate"),
            "ψ before each iteration; NaN where there is none",
        ),
        "objectives": Variable(("course", "iteration"), "mean reward of the training lifetimes"),
        "lost": Variable(("course", "iteration"), "lifetimes left out of the gradient"),
        "trials": Variable(
            ("course", "evaluation"), "restricted mean to criterion, validation networks", "trials"
        ),
        "selected": Variable(("course",), "iteration of the best average"),
        "theta": Variable(("course", "pathway", "k", "ell"), "θ of the best average, for η = 1"),
        "limit": Variable(("course", "pathway"), "c of the best average"),
        "first_objectives": Variable(
            ("course", "small iteration"), "objectives of a small course in float64"
        ),
        "first_iterate": Variable(
            ("course", "pathway", "coordinate"), "ψ after that course; NaN where there is none"
        ),
    }

    arms: tuple[str, ...] = LEARNED
    n_courses: int = 5
    n_units: int = 100
    n_iterations: int = 30
    n_networks: int = 16
    n_trials: int = 120
    n_validation: int = 64
    validation_trials: int = 200
    step_size: float = 0.08

    def __post_init__(self) -> None:
        unknown = [arm for arm in self.arms if arm not in LEARNED]
        require(not unknown, "pathways of learned rules", unknown, f"choose from {[*LEARNED]}")

    @property
    def seeds(self) -> dict[str, int]:
        """Of the first course, those of chapter 12; of the choice; and of the judges."""
        names = {"courses": "space, courses", "choice": "pathways, choice of iterates"}
        return {use: seed(name) for use, name in names.items()} | {"test": seed("pathways")}

    @property
    def courses(self) -> list[tuple[str, int]]:
        """Arm, and number from 1, of each."""
        return [(arm, i) for arm in self.arms for i in range(1, self.n_courses + 1)]

    @property
    def names(self) -> list[str]:
        """Of the rules that are learned: "W_in, learned, 1" and so on."""
        return [f"{arm}, learned, {i}" for arm, i in self.courses]

    @property
    def setting(self) -> Setting:
        """Where they learn."""
        return brief_setting(n_units=self.n_units)

    def coordinates(self):
        return {
            "course": self.names,
            "iterate": range(self.n_iterations + 1),
            "iteration": range(self.n_iterations),
            "pathway": [PATHWAYS[name] for name in EVERY],
            "coordinate": [f"({k},{ell})" for k, ell in np.ndindex(6, 6)] + ["log bound"],
            "evaluation": self._config(0).evaluations,
            "k": range(6),
            "ell": range(6),
        }
