"""Chapters 04 and 05: whether tangents are right, how they grow, and what gradients cost."""

import warnings
from dataclasses import dataclass
from itertools import groupby

import jax
import numpy as np
import xarray as xr

from companion import gradient_cost
from companion.experiment import Experiment, Variable
from companion.gradient_cost import METHODS, reward_gradient
from companion.labels import term_labels, unfolded
from companion.seeds import seed
from companion.settings import association_setting, dense_rule
from plasticity.derivatives.differences import Comparison, compare_with_differences
from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.derivatives.tangent import Differentiation
from plasticity.files import Arrays
from plasticity.learning.criterion import trials_to_criterion
from plasticity.learning.setting import Setting
from plasticity.rules.base import Rule, stack
from plasticity.rules.three_factor import miconi
from plasticity.types import require

HALF_DECADES = tuple(float(f"{10.0**e:.4g}") for e in np.arange(-3, -7.5, -0.5))
# The update of the first trial is linear in θ, so that its steps may be large.
FIRST_STEPS = tuple(10.0**e for e in range(4, -9, -1))
REWARDS = ("fixed", "differentiated")
_AGAIN = 10  # trials
_GROWTH_AGAIN = 5  # at high rates a few trials amplify the last digit of draws in float32
_AT_ONCE, _MOST = 24, 480  # networks that learn together until enough meet the criterion
_MOST_TERMS = 64


@dataclass(frozen=True, kw_only=True)
class GradientValidation(Experiment):
    """Tangents against central differences of the update and of W, for all 36 coefficients.

    The networks are the first of the seed that meet the criterion within the trials. A run is one
    of them with rewards held fixed or differentiated; `by_rewards` tells these apart.

    Attributes:
        relative_steps: of the differences, see `plasticity.derivatives.differences.step_sizes`.
        n_synapses: whose derivatives are kept one by one.
    """

    name = "gradient_validation"
    title = "Tangents against central differences, trial by trial"
    axis = "run"
    part = 2  # one a core
    tolerance = 1e-3  # random draws are in float32, whose last digit differs between processors
    seeds = {"validation of gradients": seed("validation of gradients")}
    variables = {
        "chosen": Variable(("run",), "number of the network among those of the seed"),
        "errors": Variable(("run", "trial"), "mean error of every trial"),
        "update_norms": Variable(("run", "term", "trial"), "‖∂μ/∂θ‖ of the update, forward mode"),
        "weight_norms": Variable(("run", "term", "trial"), "‖∂W/∂θ‖ after it, forward mode"),
        "update_gaps": Variable(
            ("run", "term", "trial"), "‖difference quotient − ∂μ/∂θ‖ with the middle step"
        ),
        "weight_gaps": Variable(
            ("run", "term", "trial"), "‖difference quotient − ∂W/∂θ‖ with the middle step"
        ),
        "update_curve": Variable(
            ("run", "mark", "term", "step"), "relative error of the update of a trial"
        ),
        "weight_curve": Variable(
            ("run", "mark", "term", "step"), "relative error of the weights after a trial"
        ),
        "crossed": Variable(
            ("run", "mark", "term", "step"), "whether the two sides have met different corners"
        ),
        "sample": Variable(
            ("run", "mark", "differentiation", "synapse", "term"),
            "∂μ/∂θ of some synapses in a trial",
        ),
        "first_curve": Variable(
            ("run", "term", "first_step"), "relative error of the first update, wide range of steps"
        ),
    }

    n_units: int = 100
    n_networks: int = 4
    n_trials: int = 500
    learning_rate: float = 3e-4
    relative_steps: tuple[float, ...] = HALF_DECADES
    n_synapses: int = 40

    @property
    def marks(self) -> tuple[int, int, int]:
        """The first, the middle and the last trial, counted from 1."""
        return 1, self.n_trials // 2, self.n_trials

    def coordinates(self):
        networks = range(1, self.n_networks + 1)
        return {
            "run": [f"rewards {rewards}, network {n}" for rewards in REWARDS for n in networks],
            "trial": range(1, self.n_trials + 1),
            "term": term_labels(),
            "mark": self.marks,
            "step": self.relative_steps,
            "first_step": FIRST_STEPS,
            "differentiation": ["forward mode", "central difference"],
        }

    def by_rewards(self, data: xr.Dataset) -> xr.Dataset:
        """A result with the dimensions rewards (of `REWARDS`) and network in place of run."""
        return unfolded(data, "run", rewards=REWARDS, network=range(1, self.n_networks + 1))

    def measure(self, which: np.ndarray):
        with jax.enable_x64(True):
            setting, rule = self._problem()
            numbers = self._networks_that_learn(setting, rule)
            each = [
                self._compared(setting, rule, numbers[np.array([*runs]) % self.n_networks], rewards)
                for rewards, runs in groupby(which, key=self._differentiated)
            ]
        return {name: np.concatenate([arrays[name] for arrays in each]) for name in each[0]}

    def measure_one_again(self, index: int, recorded: xr.Dataset):
        setting, rule = self._problem()
        number = self.seeds["validation of gradients"]
        arguments = setting.arguments(number, [int(recorded.chosen)], rule)
        differentiation = Differentiation(rewards=self._differentiated(index))
        trials = min(_AGAIN, self.n_trials)
        result = learn_with_tangents(*arguments, trials, differentiation=differentiation)
        return {"errors": result.lifetime.errors[0], "weight_norms": result.norms[0].T}

    def _problem(self) -> tuple[Setting, Rule]:
        setting = association_setting(n_units=self.n_units)
        return setting, dense_rule(setting, learning_rate=self.learning_rate)

    def _differentiated(self, run: int) -> bool:
        return bool(run >= self.n_networks)

    def _networks_that_learn(self, setting: Setting, rule: Rule) -> np.ndarray:
        """Numbers of the first networks of the seed that meet the criterion."""
        numbers: list[int] = []
        for start in range(0, _MOST, _AT_ONCE):
            tried = np.arange(start, start + _AT_ONCE)
            with warnings.catch_warnings():
                # Without a clip one or another network blows up, and is not chosen.
                warnings.filterwarnings("ignore", "non-finite activity", RuntimeWarning)
                number = self.seeds["validation of gradients"]
                correct = setting.learn(number, tried, self.n_trials, rule).correct
            numbers += tried[trials_to_criterion(correct).reached].tolist()
            if len(numbers) >= self.n_networks:
                break
        wanted = (
            f"{self.n_networks} of {_MOST} networks meet the criterion in {self.n_trials} trials"
        )
        require(len(numbers) >= self.n_networks, wanted, len(numbers), "allow more trials")
        return np.array(numbers[: self.n_networks])

    def _compared(self, setting: Setting, rule: Rule, numbers: np.ndarray, rewards: bool) -> Arrays:
        """The arrays of the networks of these numbers, with rewards differentiated or not."""
        arguments = setting.arguments(self.seeds["validation of gradients"], numbers, rule)
        differentiation = Differentiation(rewards=rewards)
        options = {"differentiation": differentiation, "n_synapses": self.n_synapses}
        # A lifetime has at least a trial of each condition.
        first = compare_with_differences(*arguments, 2, FIRST_STEPS, **options)
        whole = compare_with_differences(*arguments, self.n_trials, self.relative_steps, **options)
        first, whole = jax.tree.map(np.asarray, (first, whole))
        first_curve = _curve(first.update_gaps, first.update_norms, [0])[:, 0]
        return {"chosen": numbers} | self._kept(whole) | {"first_curve": first_curve}

    def _kept(self, result: Comparison) -> Arrays:
        marks = [mark - 1 for mark in self.marks]
        middle = len(self.relative_steps) // 2
        return {
            "errors": result.errors,
            "update_norms": np.swapaxes(result.update_norms, 1, 2).astype(np.float32),
            "weight_norms": np.swapaxes(result.weight_norms, 1, 2).astype(np.float32),
            "update_gaps": np.swapaxes(result.update_gaps[:, :, middle], 1, 2).astype(np.float32),
            "weight_gaps": np.swapaxes(result.weight_gaps[:, :, middle], 1, 2).astype(np.float32),
            "update_curve": _curve(result.update_gaps, result.update_norms, marks),
            "weight_curve": _curve(result.weight_gaps, result.weight_norms, marks),
            "crossed": np.swapaxes(result.crossed[:, marks], 2, 3),
            "sample": result.sample[:, marks],
        }


def _curve(gaps: np.ndarray, norms: np.ndarray, marks: list[int]) -> np.ndarray:
    """Relative error at the marks, (runs, marks, P, E)."""
    return np.swapaxes(gaps[:, marks] / norms[:, marks, None], 2, 3)


@dataclass(frozen=True, kw_only=True)
class TangentGrowth(Experiment):
    """‖U‖ over trials for θ_33 at several learning rates, rewards differentiated, updates clipped.

    Attributes:
        every: norms are kept of each so many trials, from the first.
    """

    name = "tangent_growth"
    title = "Growth of tangents over trials of learning by θ_33"
    part = 4
    tolerance = 1e-3  # as above
    seeds = {"growth": seed("growth")}
    variables = {
        "errors": Variable(("network", "rate", "trial"), "mean error of every trial"),
        "norms": Variable(("network", "rate", "term", "mark"), "‖∂W/∂θ‖ after a trial"),
    }

    n_units: int = 100
    n_networks: int = 16
    n_trials: int = 500
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    clip: float = 1e-2
    every: int = 10

    def coordinates(self):
        return {
            "network": range(self.n_networks),
            "rate": self.learning_rates,
            "trial": range(1, self.n_trials + 1),
            "term": term_labels(),
            "mark": range(1, self.n_trials + 1, self.every),
        }

    def measure(self, which: np.ndarray):
        with jax.enable_x64(True):
            return self._followed(which, self.n_trials)

    def measure_again(self, which: np.ndarray, recorded: xr.Dataset):
        return self._followed(which, min(_GROWTH_AGAIN, self.n_trials))

    def _followed(self, which: np.ndarray, horizon: int) -> Arrays:
        setting = association_setting(n_units=self.n_units)
        rules = stack([miconi(learning_rate=eta, clip=self.clip) for eta in self.learning_rates])
        arguments = setting.arguments(self.seeds["growth"], which, rules)
        differentiation = Differentiation(rewards=True)
        result = learn_with_tangents(*arguments, horizon, differentiation=differentiation)
        norms = np.asarray(result.norms)[:, :, :: self.every]
        errors = np.asarray(result.lifetime.errors)
        return {"errors": errors.swapaxes(0, 1), "norms": norms.transpose(1, 0, 3, 2)}


Size = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class GradientCost(Experiment):
    """Time and memory of the methods of `companion.gradient_cost` for problems of several sizes.

    The sizes vary along one axis at a time from the base.

    Attributes:
        n_units, n_steps, degree, n_trials: N, T, d and H.
        base: N, T, d and H where another one is varied.
        alone: whether each measurement has a process of its own, on one core.
    """

    name = "gradient_cost"
    title = "Time and memory of the gradient of the reward by four methods"
    axis = "problem"
    tolerance = 1e-2  # entries up to fifty, from ten trials in float32, against float64
    seeds = {"costs": seed("costs")}
    variables = {
        "sizes": Variable(("problem", "size"), "units, steps of a trial, degree and trials"),
        "gaps": Variable(("problem", "algorithm"), "relative difference from the closed form"),
        "time": Variable(
            ("problem", "algorithm"), "fastest of up to five calls, compiled before", "s"
        ),
        "planned": Variable(("problem", "algorithm"), "working memory that XLA plans for", "byte"),
        "resident": Variable(
            ("problem", "algorithm"), "peak of the resident size above that before the call", "byte"
        ),
        "gradients": Variable(
            ("problem", "coefficient"),
            "of the mean reward of ten trials by the closed form, in the order of θ's rows; NaN"
            " beyond the last",
        ),
    }

    n_units: tuple[int, ...] = (25, 50, 100, 200, 400)
    n_steps: tuple[int, ...] = (25, 50, 100, 200, 400)
    degree: tuple[int, ...] = (1, 3, 5, 7)
    n_trials: tuple[int, ...] = (10, 30, 100, 300, 1000)
    base: Size = (100, 100, 5, 30)
    alone: bool = True

    def coordinates(self):
        return {
            "problem": [problem_label(size) for size in self.sizes],
            "size": list(SYMBOLS),
            "algorithm": list(METHODS),
        }

    @property
    def sizes(self) -> list[Size]:
        """N, T, d and H of every problem, the base first."""
        varied = [self.base]
        for place, values in enumerate((self.n_units, self.n_steps, self.degree, self.n_trials)):
            varied += [(*self.base[:place], v, *self.base[place + 1 :]) for v in values]
        return list(dict.fromkeys(varied))

    def along(self, symbol: str) -> list[str]:
        """Labels of the problems that differ from the base in this size only, ascending."""
        place = SYMBOLS.index(symbol)
        others = [i for i in range(len(SYMBOLS)) if i != place]
        alike = [size for size in self.sizes if all(size[i] == self.base[i] for i in others)]
        return [problem_label(size) for size in sorted(alike)]

    def measure_one(self, index: int):
        size = self.sizes[index]
        measure = gradient_cost.measure_alone if self.alone else gradient_cost.measure
        costs = [measure(method, *size) for method in METHODS]
        exact = np.array(costs[0].gradient)
        gaps = [np.linalg.norm(c.gradient - exact) / np.linalg.norm(exact) for c in costs]
        numbers = {
            name: [getattr(c, name) for c in costs] for name in ("time", "planned", "resident")
        }
        return {"sizes": size, "gaps": gaps} | numbers | {"gradients": self._short_gradient(size)}

    def measure_one_again(self, index: int, recorded: xr.Dataset):
        return {"gradients": self._short_gradient(self.sizes[index])}

    def _short_gradient(self, size: Size) -> np.ndarray:
        """By the closed form, of ten trials, (64,)."""
        options = {"number": self.seeds["costs"]}
        compiled, arguments = reward_gradient("closed form", *size[:3], 10, **options)
        gradient = np.asarray(compiled(*arguments))
        padded = np.full(_MOST_TERMS, np.nan)
        padded[: len(gradient)] = gradient
        return padded


SYMBOLS = ("N", "T", "d", "H")


def problem_label(size: Size) -> str:
    """Such as "N = 100, T = 100, d = 5, H = 30"."""
    return ", ".join(f"{symbol} = {value}" for symbol, value in zip(SYMBOLS, size, strict=True))
