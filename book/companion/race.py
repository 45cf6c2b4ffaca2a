"""Chapter 06: every method drives the outer loop, from the same rules and for the same time.

The protocol, written before a course was judged.

*Question*: how far does each method bring a rule in the same time?

*Methods*: the estimators of `companion.estimator_samples`, each with the ascent of
`plasticity.meta.train`, and the CMA evolution strategy, which needs no gradient (`cmaes`; Hansen
2016). All learn the 36 coefficients in the coordinates of chapter 07, at one soft bound.

*Time*: seconds of one core for what a method draws and differentiates, as `EstimatorSignal`
measured them for a lifetime; a budget is a number of iterations, so that a course can be had again.
Programs are compiled before.

*Effort*: a step size of its own, the best of five by one course each, on networks that judge
nothing. (The largest of the five was added when two methods had done best at the largest of four,
before any course was judged; below the smallest there is nothing but the start.) Lifetimes,
networks an iteration, momentum and averaging are the same for all; CMA-ES meets a quarter as many
networks with each of its 14 candidates.

*Starts*: those of `companion.places`.

*Judge*: trials to criterion, restricted to 300, of the last average of ψ on 128 networks that chose
nothing; five courses a method, which share their networks from method to method. The mean over
courses, less that of pathwise, with a 95% interval by t over courses and networks together,
corrected for the six methods: below zero a method is faster, above it slower, and if it holds zero,
it cannot be told which. A course that breaks off, for most of its lifetimes are not finite, counts
300 trials on all networks.

*Size*: what five courses tell apart with 80% power follows from their spread, and is printed.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
import xarray as xr
from cmaes import CMA

from companion.compilation import double_precision
from companion.courses import Courses
from companion.estimator_samples import MIDDLE, Sampler, hashable
from companion.estimators import EstimatorSignal
from companion.experiment import Experiment, Variable
from companion.labels import term_labels
from companion.places import PLACES, coordinate_sizes, place_coordinates, rule_at
from companion.seeds import seed
from companion.settings import brief_setting
from companion.tuning import VERIFIED
from plasticity.learning.criterion import failure_reward, surviving_trials
from plasticity.learning.setting import Setting
from plasticity.meta.train import MetaTraining, meta_train
from plasticity.rules.base import Rule, stack

CMA_ES = "CMA-ES"
SAMPLERS = {
    name: sampler
    for sampler in (
        Sampler("pathwise"),
        Sampler("evolution", 0.1),
        Sampler("parameter", 0.3),
        Sampler("weight", MIDDLE),
        Sampler("carried", MIDDLE),
        Sampler("explicit"),
    )
    for name in sampler.names()
}
METHODS = (*SAMPLERS, CMA_ES)
# ‖Δψ‖ of a first step, of CMA-ES the spread of a coordinate. The ways are some 0.7 long. (Ours.)
STEPS = (0.01, 0.04, 0.16, 0.64, 2.56)
_MOST, _AVERAGING = 256, 0.8
_SMALL = {"n_networks": 2, "n_trials": 6}  # of a course in float64, of two iterations
_KEPT = 8  # networks whose first errors are kept


class Course(NamedTuple):
    """What a method made of a rule.

    Attributes:
        psi: running averages of ψ, from the start on, (iterations + 1, 36).
        objectives: mean reward of the lifetimes of each iteration, (iterations,).
    """

    psi: np.ndarray
    objectives: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Raced(Experiment):
    """Courses of the outer loop by several methods.

    Attributes:
        courses: one of which shows what half-way is.
        signal: what measured the seconds of a lifetime.
        methods: of `METHODS`.
        n_networks: B, lifetimes of an iteration.
        n_trials: H of a lifetime; one of the horizons of ``signal``.
        budget: seconds of a course.
        n_judges: networks on which the last average is judged.
        judged_trials: the horizon there.
    """

    axis = "course"
    tolerance = 1e-6
    fraction = 0.01
    optimised = True
    variables = {
        "psi": Variable(("course", "coordinate"), "the average of ψ with which a course ends"),
        "iterations": Variable(("course",), "steps of ascent that the budget pays for"),
        "objectives": Variable(
            ("course", "iteration"), "mean reward of the lifetimes; NaN after the last"
        ),
        "broken": Variable(("course",), "whether most lifetimes of an iteration were not finite"),
        "trials": Variable(("course", "network"), "trials to criterion", "trials"),
        "reached": Variable(("course", "network"), "whether the criterion was met"),
        "started": Variable(("course", "network"), "trials of the rule at the start", "trials"),
        "errors": Variable(("course", "first network", "trial"), "mean error of first trials"),
        "first_iterates": Variable(
            ("course", "small iterate"), "averages of ψ of a small course in float64"
        ),
    }

    courses: Courses = Courses()
    signal: EstimatorSignal = EstimatorSignal()
    methods: tuple[str, ...] = METHODS
    places: tuple[str, ...] = PLACES
    n_units: int = 100
    n_networks: int = 32
    n_trials: int = 60
    budget: float = 30.0
    n_judges: int = 128
    judged_trials: int = 300

    def coordinates(self):
        return {
            "course": [", ".join(map(str, one)) for one in self.entries],
            "coordinate": term_labels(),
            "iteration": range(_MOST),
            "network": range(self.n_judges),
            "first network": range(min(_KEPT, self.n_judges)),
            "trial": range(1, VERIFIED + 1),
        }

    @property
    def entries(self) -> list[tuple[str, str, float]]:
        """Method, place, and what else tells courses apart, of each."""
        raise NotImplementedError(f"{type(self).__name__}.entries")

    def step(self, index: int, **needs: xr.Dataset) -> float:
        """The step size of a course."""
        raise NotImplementedError(f"{type(self).__name__}.step")

    def training_seed(self, index: int) -> int:
        """Of the networks that a course meets."""
        raise NotImplementedError(f"{type(self).__name__}.training_seed")

    @cached_property
    def setting(self) -> Setting:
        """Where they learn."""
        return brief_setting(n_units=self.n_units)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Of the coordinates, (6, 6)."""
        return coordinate_sizes(self.setting)

    def iterations(self, method: str, place: str, signal: xr.Dataset) -> int:
        """How many the budget pays for, at least one."""
        # CMA-ES differentiates nothing; an antithetic pair is two lifetimes.
        priced = method if method in SAMPLERS else Sampler("evolution", 0.1).names()[0]
        seconds = float(signal.cost.sel(case=f"{priced}, {place}", horizon=self.n_trials))
        lifetimes: float = self.n_networks
        if method == CMA_ES:
            lifetimes = self._candidates * self._networks_each / 2
        return int(np.clip(round(self.budget / (seconds * lifetimes)), 1, _MOST))

    def measure_one(self, index: int, courses: xr.Dataset, signal: xr.Dataset, **needs):
        method, place, _ = self.entries[index]
        start, step = place_coordinates(place, courses), self.step(index, **needs)
        n_iterations = self.iterations(method, place, signal)
        objectives, broken = np.full(_MOST, np.nan), False
        ended = start.ravel()
        try:
            course = self._course(index, start, step, n_iterations)
            ended, objectives[:n_iterations] = course.psi[-1], course.objectives
        except FloatingPointError:
            broken = True
        trials, reached, errors = self._judged(ended)
        if broken:
            trials, reached = np.full_like(trials, self.judged_trials), np.zeros_like(reached)
        return {
            "psi": ended,
            "iterations": n_iterations,
            "objectives": objectives,
            "broken": broken,
            "trials": trials,
            "reached": reached,
            "started": self._started(tuple(start.ravel().tolist())),
            "errors": errors,
        } | self._small_course(index, start, step)

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, courses: xr.Dataset, signal: xr.Dataset, **needs
    ):
        _, place, _ = self.entries[index]
        start = place_coordinates(place, courses)
        return self._small_course(index, start, self.step(index, **needs))

    def _judged(self, psi: np.ndarray):
        """Trials to criterion of the rule at ψ, whether it was met, and first errors."""
        place = (self.seeds["judges"], np.arange(self.n_judges), self.judged_trials)
        lifetimes = self.setting.learn(*place, self._rule(psi))
        met = surviving_trials(lifetimes)
        errors = np.asarray(lifetimes.errors)[:_KEPT, :VERIFIED]
        return met.trials, met.reached, errors

    @cache  # noqa: B019 - one of a few experiments, which live as long as the process
    def _started(self, psi: tuple[float, ...]) -> np.ndarray:
        """Trials to criterion of the rule that courses begin with."""
        return self._judged(np.array(psi))[0]

    def _rule(self, psi: np.ndarray) -> Rule:
        return rule_at(psi.reshape(self.sizes.shape), self.sizes)

    def _small_course(self, index: int, start: np.ndarray, step: float) -> dict[str, np.ndarray]:
        with double_precision():
            small = replace(self, **_SMALL)
            course = small._course(index, start, step, 2)
        return {"first_iterates": course.psi[1:].ravel()}

    def _course(self, index: int, start: np.ndarray, step: float, n_iterations: int) -> Course:
        method, *_ = self.entries[index]
        if method == CMA_ES:
            return self._by_selection(index, start, step, n_iterations)
        estimator = SAMPLERS[method].estimator(hashable(self.sizes))
        config = MetaTraining(
            n_iterations=n_iterations,
            n_networks=self.n_networks,
            n_trials=self.n_trials,
            step_size=step,
            sparsity=0.0,
            averaging=_AVERAGING,
            # The loop's own choice among iterates is not used: the last average is judged.
            n_validation=1,
            validation_trials=20,
            validate_every=n_iterations,
            training_seed=self.training_seed(index),
        )
        rule = rule_at(start, self.sizes)
        trained = meta_train(self.setting, estimator, rule, config, scale=self.sizes)
        psi = (trained.averaged * self.sizes).reshape(n_iterations + 1, -1)
        return Course(psi, trained.objectives)

    @property
    def _networks_each(self) -> int:
        return max(1, self.n_networks // 4)

    @property
    def _candidates(self) -> int:
        return CMA(np.zeros(36), 1.0).population_size

    def _by_selection(self, index: int, start, step: float, n_iterations: int) -> Course:
        """CMA-ES on the mean reward of lifetimes, each generation on networks of its own."""
        number, n = self.training_seed(index), self._networks_each
        search = CMA(start.ravel(), step, seed=number)
        psi, objectives = [start.ravel()], []
        for i in range(n_iterations):
            candidates = [search.ask() for _ in range(search.population_size)]
            rules = stack(
                [rule_at(one.reshape(self.sizes.shape), self.sizes) for one in candidates]
            )
            runs = np.arange(i * n, (i + 1) * n)
            lifetimes = self.setting.learn(number, runs, self.n_trials, rules)
            failure = failure_reward(self.setting.learner)
            rewards = np.nan_to_num(np.asarray(lifetimes.rewards, float), nan=failure)
            returns = rewards.mean(axis=(1, 2))
            search.tell(list(zip(candidates, (-returns).tolist(), strict=True)))
            # The same running average as that of `meta_train`.
            share = (1 - _AVERAGING) / (1 - _AVERAGING ** (i + 2))
            psi.append(psi[-1] + share * (search.mean - psi[-1]))
            objectives.append(returns.mean())
        return Course(np.array(psi), np.array(objectives))


@dataclass(frozen=True, kw_only=True)
class RaceTuning(_Raced):
    """One course of every method from every start at each of five step sizes."""

    name = "race_tuning"
    title = "Step sizes of methods of the outer loop, tried alike"
    seeds = {"courses": seed("race, tried"), "judges": seed("choice of first steps")}

    steps: tuple[float, ...] = STEPS

    @property
    def entries(self) -> list[tuple[str, str, float]]:
        """Method, place and step size of each course."""
        return list(product(self.methods, self.places, self.steps))

    def step(self, index: int) -> float:
        return self.entries[index][2]

    def training_seed(self, index: int) -> int:
        return self.seeds["courses"]

    def best_step(self, method: str, place: str, tuning: xr.Dataset) -> float:
        """The step size whose course ended with the fewest trials to criterion."""
        labels = [", ".join(map(str, (method, place, step))) for step in self.steps]
        return self.steps[int(tuning.trials.sel(course=labels).mean("network").values.argmin())]


@dataclass(frozen=True, kw_only=True)
class Race(_Raced):
    """Five courses of every method from every start, at the step size chosen for it."""

    name = "race"
    title = "Methods of the outer loop, for the same time from the same rules"
    seeds = {"courses": seed("race, courses"), "judges": seed("race")}

    tuning: RaceTuning = RaceTuning()
    n_courses: int = 5

    @property
    def entries(self) -> list[tuple[str, str, int]]:
        """Method, place and number of each course."""
        return list(product(self.methods, self.places, range(1, self.n_courses + 1)))

    def step(self, index: int, tuning: xr.Dataset) -> float:
        method, place, _ = self.entries[index]
        return self.tuning.best_step(method, place, tuning)

    def training_seed(self, index: int) -> int:
        return self.seeds["courses"] + self.entries[index][2] - 1
