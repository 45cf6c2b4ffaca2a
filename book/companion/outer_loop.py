"""Experiments that are courses of the outer loop, several in each of some arms."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from companion.compilation import double_precision
from companion.experiment import Experiment, Variable
from companion.settings import brief_setting
from plasticity.learning.setting import Setting
from plasticity.meta.estimators import Pathwise
from plasticity.meta.train import MetaTraining, MetaTrainingResult, meta_train
from plasticity.rules.base import Rule
from plasticity.types import require

# What every such experiment records of a course.
COURSE_VARIABLES = {
    "objectives": Variable(("course", "iteration"), "mean reward of the training lifetimes"),
    "lost": Variable(("course", "iteration"), "lifetimes left out of the gradient"),
    "trials": Variable(
        ("course", "evaluation"), "restricted mean to criterion, validation networks", "trials"
    ),
    "selected": Variable(("course",), "iteration of the best average"),
    "first_objectives": Variable(
        ("course", "small iteration"), "objectives of a small course in float64"
    ),
}


@dataclass(frozen=True, kw_only=True)
class OuterLoop(Experiment):
    """Courses in the brief setting; a subclass says where each starts, and what else it records.

    Attributes:
        arms: what is learned.
        n_courses: in each arm; the same training networks in all.
        n_iterations: updates of a course.
    """

    axis = "course"
    tolerance = 1e-6
    optimised = True

    arms: tuple[str, ...] = ()
    n_courses: int = 5
    n_units: int = 100
    n_iterations: int = 30
    n_networks: int = 16
    n_trials: int = 120
    n_validation: int = 64
    validation_trials: int = 200
    step_size: float = 0.08

    @property
    def courses(self) -> list[tuple[str, int]]:
        """Arm, and number from 1, of each."""
        return [(arm, i) for arm in self.arms for i in range(1, self.n_courses + 1)]

    @property
    def names(self) -> list[str]:
        """Of the rules that are learned: "d = 1, 1" and so on."""
        return [f"{arm}, {i}" for arm, i in self.courses]

    @property
    def setting(self) -> Setting:
        """Where they learn."""
        return brief_setting(n_units=self.n_units)

    def iterations(self, arm: str) -> int:
        """Of a course of an arm."""
        return self.n_iterations

    def sparsity(self, arm: str) -> float:
        """Pull to zero, of a course of an arm."""
        return 0.0

    def start(self, arm: str) -> tuple[Rule, np.ndarray]:
        """The rule that a course begins with, and the scale of its parameters."""
        raise NotImplementedError(f"{type(self).__name__}.start")

    def evaluated(self, arm: str) -> list[int]:
        """Iterations whose average is evaluated: six, if they divide so."""
        n = self.iterations(arm)
        return sorted({*range(0, n, max(1, n // 5)), n})

    def configuration(self, index: int, **changes) -> MetaTraining:
        """Of the outer loop in that course."""
        arm, number = self.courses[index]
        n = self.iterations(arm)
        numbers = {
            "n_iterations": n,
            "n_networks": self.n_networks,
            "n_trials": self.n_trials,
            "n_validation": self.n_validation,
            "validation_trials": self.validation_trials,
            "validate_every": max(1, n // 5),
            "step_size": self.step_size,
            "sparsity": self.sparsity(arm),
        }
        return MetaTraining(
            **(numbers | changes),
            training_seed=self.seeds["courses"] + number - 1,
            validation_seed=self.seeds["choice"],
            test_seed=self.seeds["test"],
        )

    def course(self, index: int, **changes) -> MetaTrainingResult:
        """That course of the outer loop."""
        rule, scale = self.start(self.courses[index][0])
        config = self.configuration(index, **changes)
        return meta_train(self.setting, Pathwise(), rule, config, scale=scale)

    def small_course(self, index: int) -> MetaTrainingResult:
        """The same, scaled down, in float64: what is measured again to verify a record."""
        small = {"n_iterations": 2, "n_networks": 3, "n_trials": 8, "n_validation": 2}
        with double_precision():
            return self.course(index, **small, validation_trials=20, validate_every=2)

    def series(self, course: MetaTrainingResult, labels) -> dict[str, np.ndarray]:
        """What is recorded of a course, with NaN after its end, but for the small course."""
        of = {
            "objectives": (course.objectives, labels["iteration"]),
            "lost": (course.lost, labels["iteration"]),
            "trials": (course.held_out_trials, labels["evaluation"]),
        }
        filled = {name: _filled(series, len(along)) for name, (series, along) in of.items()}
        return filled | {"selected": course.selected}

    def measure_one_again(self, index: int, recorded: xr.Dataset):
        return self.measure_small(index)

    def measure_small(self, index: int) -> dict[str, np.ndarray]:
        """Arrays of the small course."""
        raise NotImplementedError(f"{type(self).__name__}.measure_small")


def _filled(series: np.ndarray, length: int) -> np.ndarray:
    full = np.full(length, np.nan)
    full[: len(series)] = series
    return full


def check_names(kind: str, names: tuple[str, ...], known) -> None:
    """Raise ValueError for no names, or for unknown ones."""
    unknown = [name for name in names if name not in known]
    fine, value = bool(names) and not unknown, unknown or "none"
    require(fine, f"{kind} of this chapter", value, f"choose from {[*known]}")
