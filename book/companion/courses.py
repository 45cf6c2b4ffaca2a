"""Chapter 07: rules that the outer loop learns, from several starts and many times.

How they are judged is in `companion.course_comparison`, with the protocol.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import xarray as xr

from companion.compilation import double_precision
from companion.experiment import Experiment, Variable
from companion.seeds import seed
from companion.settings import brief_setting
from companion.tuning import activity_moments, first_activity, moments_of_pairs
from plasticity.learning.setting import Setting
from plasticity.meta.estimators import Pathwise
from plasticity.meta.train import MetaTraining, MetaTrainingResult, meta_train
from plasticity.rules.coordinates import InCoordinates, in_coordinates
from plasticity.rules.three_factor import SoftBound, make_rule

# Ours. A unit of a coordinate moves weights by steps of this r.m.s. size per unit of third factor,
# about as much as a good single term does; c₀ is near the best hard clips of single terms.
UNIT, LIMIT = 0.01, 3e-3
# Start and number of courses. The coordinates of a random one are N(0, 1/36): of length 1 or so, as
# that of (3,3) is.
STARTS = (("zero", 8), ("(3,3)", 4), ("random", 4))


@cache
def term_sizes(setting: Setting, number: int, n: int = 16, degree: int = 5) -> np.ndarray:
    """R.m.s. over synapses of the trace of each term in first trials of n networks, (d+1, d+1)."""
    rates, shifts, _ = first_activity(setting, number, n)
    weights = np.asarray(setting.rule.trace.weights(rates.shape[1], setting.learner.dynamics))
    sizes = np.zeros((degree + 1, degree + 1))
    for k, ell in np.ndindex(sizes.shape):
        weighted = weights[:, None] * shifts**ell
        traces = np.einsum("nti,ntj->nij", weighted, rates**k, optimize=True)
        sizes[k, ell] = np.sqrt(np.mean(traces**2))
    return sizes


def basis(setting: Setting, number: int, degree: int = 5) -> np.ndarray:
    """Single terms, each of the size at which its steps are `UNIT`, ((d+1)², d+1, d+1)."""
    sizes = term_sizes(setting, number, degree=degree)
    return np.eye(sizes.size).reshape(-1, *sizes.shape) * UNIT / sizes


def trace_correlations(thetas, setting: Setting, number: int, n: int = 16) -> np.ndarray:
    """How alike rules (R, d+1, d+1) are: correlations of what they add to the trace, (R, R).

    Of Σ_kℓ θ_kℓ r_j^k Δ_i^ℓ over synapses, steps and first trials of n networks, not centred.
    """
    rates, shifts, _ = first_activity(setting, number, n)
    degree = np.shape(thetas)[-1] - 1
    pairs = moments_of_pairs(activity_moments(rates, shifts, degree))
    products = np.einsum("akl,bmn,klmn->ab", thetas, thetas, pairs, optimize=True)
    norms = np.sqrt(np.diag(products))
    return products / np.outer(norms, norms)


def start_coordinates(start: str, number: int) -> np.ndarray:
    """ψ at the start of a course, without that of the bound, (36,).

    Raises:
        KeyError: an unknown start.
    """
    hebbian = np.zeros((6, 6))
    hebbian[3, 3] = -1.0
    drawn = np.random.default_rng(number).normal(size=36) / 6
    return {"zero": np.zeros(36), "(3,3)": hebbian.ravel(), "random": drawn}[start]


_DIMS = ("course", "iterate", "coordinate")


@dataclass(frozen=True, kw_only=True)
class Courses(Experiment):
    """Courses of the outer loop, which learns coefficients and the bound on updates together.

    Attributes:
        starts: name and number of courses of each.
    """

    name = "courses"
    title = "The outer loop from several starts, many times"
    axis = "course"
    tolerance = 1e-6
    optimised = True
    variables = {
        "psi": Variable(_DIMS, "ψ before each iteration and after the last"),
        "averaged": Variable(_DIMS, "running average of ψ"),
        "objectives": Variable(("course", "iteration"), "mean reward of the training lifetimes"),
        "gradient_norms": Variable(("course", "iteration", "norm"), "‖∂J/∂ψ‖ over lifetimes"),
        "lost": Variable(("course", "iteration"), "lifetimes left out of the gradient"),
        "rewards": Variable(
            ("course", "evaluation"), "mean reward under the average, validation networks"
        ),
        "trials": Variable(
            ("course", "evaluation"), "restricted mean to criterion, validation networks", "trials"
        ),
        "selected": Variable(("course",), "iteration of the best average"),
        "theta": Variable(("course", "k", "ell"), "θ of the best average, for η = 1"),
        "limit": Variable(("course",), "c of the best average"),
        "sizes": Variable(("course", "k", "ell"), "r.m.s. of the trace of a term in first trials"),
        "first_objectives": Variable(
            ("course", "small iteration"), "objectives of a small course in float64"
        ),
        "first_iterates": Variable(("course", "small iterate"), "ψ of that course, one by one"),
    }

    starts: tuple[tuple[str, int], ...] = STARTS
    n_units: int = 100
    n_iterations: int = 30
    n_networks: int = 32
    n_trials: int = 120
    n_validation: int = 128
    validation_trials: int = 300
    step_size: float = 0.08

    @property
    def seeds(self) -> dict[str, int]:
        """Of the first course, the others counting on; of the choice; and of the judges."""
        names = {"courses": "courses", "choice": "choice of iterates", "test": "learned rules"}
        return {use: seed(name) for use, name in names.items()}

    @property
    def courses(self) -> list[tuple[str, int]]:
        """Start, and number from 1, of each."""
        return [(start, i) for start, n in self.starts for i in range(1, n + 1)]

    @property
    def names(self) -> list[str]:
        """Of the rules that are learned: "from zero, 1" and so on."""
        return [f"from {start}, {i}" for start, i in self.courses]

    @property
    def setting(self) -> Setting:
        """Where they learn."""
        return brief_setting(n_units=self.n_units)

    def coordinates(self):
        every = self._config(0).validate_every
        return {
            "course": self.names,
            "iterate": range(self.n_iterations + 1),
            "iteration": range(self.n_iterations),
            "coordinate": [f"({k},{ell})" for k, ell in np.ndindex(6, 6)] + ["log bound"],
            "norm": ["median", "largest"],
            "evaluation": sorted({*range(0, self.n_iterations, every), self.n_iterations}),
            "k": range(6),
            "ell": range(6),
        }

    def measure_one(self, index: int):
        course = self._course(index)
        rule = course.rule.composed
        return {
            "psi": course.coefficients,
            "averaged": course.averaged,
            "objectives": course.objectives,
            "gradient_norms": course.gradient_norms,
            "lost": course.lost,
            "rewards": course.held_out_rewards,
            "trials": course.held_out_trials,
            "selected": course.selected,
            "theta": rule.coefficients,
            "limit": rule.clip,
            "sizes": term_sizes(self.setting, self.seeds["choice"]),
        } | self._small_course(index)

    def measure_one_again(self, index: int, recorded: xr.Dataset):
        return self._small_course(index)

    def _config(self, index: int, **changes) -> MetaTraining:
        numbers = {
            "n_iterations": self.n_iterations,
            "n_networks": self.n_networks,
            "n_trials": self.n_trials,
            "n_validation": self.n_validation,
            "validation_trials": self.validation_trials,
            "validate_every": max(1, self.n_iterations // 10),
            "step_size": self.step_size,
            "sparsity": 0.0,
        }
        return MetaTraining(
            **(numbers | changes),
            training_seed=self.seeds["courses"] + index,
            validation_seed=self.seeds["choice"],
            test_seed=self.seeds["test"],
        )

    def _start(self, index: int) -> InCoordinates:
        start, _ = self.courses[index]
        terms = basis(self.setting, self.seeds["choice"])
        psi = start_coordinates(start, self.seeds["courses"] + index)
        theta = np.tensordot(psi, terms, axes=1)
        return in_coordinates(make_rule(theta, learning_rate=1.0, bound=SoftBound(LIMIT)), terms)

    def _course(self, index: int, **changes) -> MetaTrainingResult:
        rule, config = self._start(index), self._config(index, **changes)
        return meta_train(self.setting, Pathwise(), rule, config, scale=np.ones(37))

    def _small_course(self, index: int) -> dict[str, np.ndarray]:
        small = {"n_iterations": 2, "n_networks": 3, "n_trials": 8, "n_validation": 2}
        short = {"validation_trials": 20, "validate_every": 2}
        with double_precision():
            course = self._course(index, **small, **short)
        return {
            "first_objectives": course.objectives,
            "first_iterates": course.coefficients[1:].ravel(),
        }
