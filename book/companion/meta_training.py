"""A setting in which learning is likely, for chapter 07, and the outer loop of its sixth attempt.

The rules that this loop offers are chosen in `companion.learned_rule`; chapters 08 to 10 take the
one of its choice apart. Chapter 07 itself is `companion.courses`.
"""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from companion.compilation import double_precision
from companion.experiment import Experiment, Variable
from companion.seeds import seed
from companion.settings import brief_setting
from companion.tuning import SIZES, at_sizes, first_errors, outcomes, visibility
from plasticity.learning.setting import Setting
from plasticity.meta.estimators import Estimator, Pathwise
from plasticity.meta.score_function import WeightScore
from plasticity.meta.train import MetaTraining, MetaTrainingResult, coordinate_scale, meta_train
from plasticity.rules.base import Rule
from plasticity.rules.three_factor import miconi, node_perturbation
from plasticity.types import require

TASKS = {"association": "delayed_association", "integration": "evidence_integration"}
POWERS = {"k": range(6), "ell": range(6)}  # of the presynaptic rate, of the fluctuation


# Kick rate (Hz), kick amplitude, delay (ms; cue and response scale with it), τ_x (ms).
Case = tuple[float, float, float, float]
MAP: tuple[Case, ...] = tuple(product((1.0, 3.0, 10.0), (0.5, 1.0, 2.0), (200.0, 400.0), (20.0,)))
MAP += ((3.0, 2.0, 200.0, 5.0), (3.0, 2.0, 200.0, 100.0))
QUANTITIES = ("kick rate", "kick amplitude", "delay", "tau filter")


@dataclass(frozen=True, kw_only=True)
class SettingMap(Experiment):
    """How many networks learn in each setting, by θ_33 and by the rule that is told the kicks."""

    name = "setting_map"
    title = "Trials to criterion over kicks, delays and filters"
    axis = "case"
    seeds = {"map": seed("map")}
    variables = {
        "cases": Variable(("case", "quantity"), "kick rate, amplitude, delay and τ_x of a case"),
        "trials": Variable(("case", "rule", "size", "network"), "trials to criterion", "trials"),
        "reached": Variable(("case", "rule", "size", "network"), "whether the criterion was met"),
        "visible": Variable(("case",), "R² of the best odd polynomial in Δ for the kick"),
        "errors": Variable(
            ("case", "rule", "network", "trial"), "error of first trials at the first size"
        ),
    }

    cases: tuple[Case, ...] = MAP
    n_units: int = 100
    n_networks: int = 24
    n_trials: int = 400
    sizes: tuple[float, ...] = SIZES[2:8]

    def coordinates(self):
        return {
            "case": range(len(self.cases)),
            "quantity": list(QUANTITIES),
            "rule": ["(3,3)", "node perturbation"],
            "size": self.sizes,
            "network": range(self.n_networks),
            "trial": range(1, min(16, self.n_trials) + 1),
        }

    def measure_one(self, index: int):
        setting, number = self._setting(index), self.seeds["map"]
        networks = range(self.n_networks)
        results = [
            outcomes(setting, at_sizes(setting, rule, self.sizes), number, networks, self.n_trials)
            for rule in self._rules()
        ]
        return {
            "cases": self.cases[index],
            "trials": [result.trials for result, _ in results],
            "reached": [result.reached for result, _ in results],
            "visible": visibility(setting, seed=number),
            "errors": [errors[0, :, :16] for _, errors in results],
        }

    def measure_one_again(self, index: int, recorded: xr.Dataset):
        setting, networks = self._setting(index), range(self.n_networks)
        stacks = [at_sizes(setting, rule, self.sizes[:1]) for rule in self._rules()]
        return {
            "errors": [first_errors(setting, s, self.seeds["map"], networks)[0] for s in stacks]
        }

    def _setting(self, index: int) -> Setting:
        rate, amplitude, delay, tau = self.cases[index]
        times = {"cue": delay / 2, "delay": delay, "response": delay}
        kicks = {"kick_rate": rate, "kick_amplitude": amplitude, "tau_filter": tau}
        return brief_setting(n_units=self.n_units, **kicks, **times)

    @staticmethod
    def _rules() -> tuple[Rule, Rule]:
        return miconi(), node_perturbation()


STARTS = ("zero", "(3,3)", "random")
# Of the outer loop; ours, chosen on networks of other seeds.
TRAINING_RATE = 5e-4
STEPS = {"step_size": 0.3, "sparsity": 0.01}
ESTIMATORS: dict[str, Estimator] = {
    "pathwise": Pathwise(),
    "U carried": WeightScore(sigma=1e-3, carry=True),
}
# The most that is spent on the second task, which is learned within fewer trials.
SECOND: dict[str, int] = {
    "n_iterations": 24,
    "n_networks": 64,
    "n_trials": 60,
    "n_validation": 64,
}


def capped(kind: type, most: Mapping[str, int], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given``, and where it or the default of ``kind`` is above ``most``, that."""
    usual = {f.name: f.default for f in dataclasses.fields(kind)}
    return dict(given) | {name: min(n, given.get(name, usual[name])) for name, n in most.items()}


def training_setting(task: str, n_units: int, learning_rate: float) -> Setting:
    """The setting of a task of `TASKS` in which the outer loop runs."""
    return brief_setting(TASKS[task], n_units=n_units, learning_rate=learning_rate)


def start_coefficients(name: str, scale: np.ndarray) -> np.ndarray:
    """θ to start from: zero, θ_33 = −1, or N(0, 1/4) in units of ψ.

    Raises:
        ValueError: an unknown start.
    """
    require(name in STARTS, "a start of the book", repr(name), f"choose from {STARTS}")
    theta = np.zeros((6, 6))
    if name == "(3,3)":
        theta[3, 3] = -1.0
    if name == "random":
        theta = 0.5 * np.random.default_rng(seed("training")).normal(size=(6, 6)) / scale
    return theta


@dataclass(frozen=True, kw_only=True)
class Training(Experiment):
    """The outer loop from several starts.

    With U carried a lifetime costs some six times as much, and ``n_carried`` of them make a step:
    the same time.

    Attributes:
        brief: whether it has a name of its own, for a course of other sizes.
    """

    title = "The outer loop from several starts"
    axis = "start"
    tolerance = 1e-6
    variables = {
        "scale": Variable(("start", "k", "ell"), "s, size of a term relative to that of θ_33"),
        "coefficients": Variable(
            ("start", "iterate", "k", "ell"), "θ before each iteration and after the last"
        ),
        "averaged": Variable(("start", "iterate", "k", "ell"), "running average of θ"),
        "objectives": Variable(("start", "iteration"), "mean reward of the training lifetimes"),
        "gradient_norms": Variable(
            ("start", "iteration", "norm"), "‖∂J/∂ψ‖ over lifetimes, before it is cut"
        ),
        "lost": Variable(("start", "iteration"), "lifetimes left out of the gradient"),
        "evaluated": Variable(("start", "evaluation"), "iteration whose average was evaluated"),
        "held_out_rewards": Variable(("start", "evaluation"), "mean reward, validation networks"),
        "held_out_trials": Variable(
            ("start", "evaluation"), "restricted mean, validation networks", "trials"
        ),
        "held_out_lost": Variable(("start", "evaluation"), "validation lifetimes that blew up"),
        "selected": Variable(("start",), "iteration of the best average"),
        "chosen": Variable(("start", "k", "ell"), "θ of the best average"),
        "seconds_taken": Variable(("start",), "time of the course", "s"),
        "first_objectives": Variable(
            ("start", "small iteration"), "objectives of a small course in float64"
        ),
        "first_iterates": Variable(("start", "small iterate"), "ψ of that course, one by one"),
    }

    task: str = "association"
    estimator: str = "pathwise"
    brief: bool = False
    starts: tuple[str, ...] = STARTS
    n_units: int = 100
    n_iterations: int = 100
    n_networks: int = 96
    n_carried: int = 16
    n_trials: int = 120
    n_validation: int = 128
    validation_trials: int = 400
    learning_rate: float = TRAINING_RATE

    @classmethod
    def of(cls, task: str, **sizes) -> "Training":
        """The course of a task, with the sizes given; the second task has `SECOND` at most."""
        most = {} if task == "association" else SECOND
        return cls(task=task, **capped(cls, most, sizes))

    @property
    def name(self) -> str:
        brief = "brief" if self.estimator == "pathwise" else "carried"
        return f"meta_training_{brief if self.brief else self.task}"

    @property
    def seeds(self) -> dict[str, int]:
        """Of training, of the choice, and of the test that must meet neither."""
        test = seed(f"test, {self.task}")
        return {"training": seed("training"), "validation": seed("validation"), "test": test}

    def coordinates(self):
        return POWERS | {
            "start": list(self.starts),
            "iterate": range(self.n_iterations + 1),
            "iteration": range(self.n_iterations),
            "evaluation": self.evaluations(),
            "norm": ["median", "largest"],
        }

    def evaluations(self) -> list[int]:
        """Iterations whose average is evaluated."""
        every = self.config().validate_every
        return sorted({*range(0, self.n_iterations, every), self.n_iterations})

    def config(self, **changes) -> MetaTraining:
        """What the outer loop is run with."""
        config = MetaTraining(
            n_iterations=self.n_iterations,
            n_networks=self.n_carried if self.estimator == "U carried" else self.n_networks,
            n_trials=self.n_trials,
            **STEPS,
            validate_every=max(1, self.n_iterations // 10),
            n_validation=self.n_validation,
            validation_trials=self.validation_trials,
            training_seed=self.seeds["training"],
            validation_seed=self.seeds["validation"],
            test_seed=self.seeds["test"],
        )
        return dataclasses.replace(config, **changes)

    def measure_one(self, index: int):
        began = time.perf_counter()
        course = self._course(index, self.config())
        seconds = time.perf_counter() - began
        fields = course._asdict()
        arrays = {name: fields[name] for name in fields if name not in ("rule", "selected")}
        choice = {"selected": course.selected, "chosen": course.rule.coefficients}
        return arrays | choice | {"seconds_taken": seconds} | self._small_course(index)

    def measure_one_again(self, index: int, recorded: xr.Dataset):
        return self._small_course(index)

    def _course(self, index: int, config: MetaTraining, **options) -> MetaTrainingResult:
        setting = training_setting(self.task, self.n_units, self.learning_rate)
        scale = coordinate_scale(setting, setting.rule, self.seeds["training"])
        start = start_coefficients(self.starts[index], scale)
        return meta_train(setting, ESTIMATORS[self.estimator], start, config, **options)

    def _small_course(self, index: int) -> dict[str, np.ndarray]:
        """Two iterations on few networks in float64: what is measured again."""
        small = {"n_iterations": 2, "n_networks": 3, "n_trials": 8, "n_validation": 2}
        short = {"validation_trials": 20, "validate_every": 2}
        with double_precision():
            course = self._course(index, self.config(**small, **short), progress=False)
        return {
            "first_objectives": course.objectives,
            "first_iterates": (course.coefficients[1:] * course.scale).ravel(),
        }
