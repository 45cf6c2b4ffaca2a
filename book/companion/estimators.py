"""Chapter 06: how much each estimator of the meta-gradient says about a rule, and at what cost."""

from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
import xarray as xr

from companion.courses import Courses
from companion.estimator_samples import (
    REFERENCE,
    Nested,
    Sample,
    Sampler,
    hashable,
    samplers,
)
from companion.experiment import Experiment, Variable
from companion.labels import term_labels, unfolded
from companion.places import PLACES, coordinate_sizes, place_coordinates, rule_at
from companion.seeds import seed
from companion.settings import brief_setting
from companion.signal_to_noise import alignment, mean_and_error, normalised, signal_to_noise
from plasticity.files import Arrays
from plasticity.learning.setting import Setting
from plasticity.rules.base import stack
from plasticity.types import require

STEPS = (0.03, 0.1)  # about ψ = 0.1 to 0.7, the way of a course; ours
_AGAIN = 4  # trials
_KEPT = 2  # lifetimes of a case whose first estimates are kept


class Case(NamedTuple):
    """What one label of `EstimatorSignal` stands for.

    Attributes:
        place: one of `companion.places.PLACES`.
        sampler: which makes the estimates.
        variant: number of the sampler's variant.
    """

    place: str
    sampler: Sampler
    variant: int

    @property
    def simulated(self) -> tuple[str, Sampler]:
        """What cases that share their lifetimes have in common."""
        return self.place, self.sampler


_MOMENTS = ("mean", "standard error")
_INTERVAL = ("estimate", "low", "high")


@dataclass(frozen=True, kw_only=True)
class EstimatorSignal(Experiment):
    """Mean and spread of estimates of ∂J/∂ψ where there is something to find.

    A case is an estimator at a place; `by_place` tells the two apart. All have the same networks
    and keys, "carried" fewer of them. In the form "normalised" each estimate is divided by its
    norm. Lifetimes from the number ``n_lifetimes`` on make up the reference direction, and steps
    are tried on as many of them as are judged. A pilot of 96 lifetimes of 60 trials found S of
    evolution strategies at 0.013 with a standard error of 0.006; twice as many find that with 80%
    power.

    Attributes:
        courses: one of which shows what half-way is.
        places: of `companion.places.PLACES`.
        horizons: H, trials of a lifetime.
        n_lifetimes: judged, of each estimator.
        n_reference: others, for the reference direction.
        n_carried: judged where tangents are carried, which is slow.
        which: samplers, that of the reference first.

    Raises:
        ValueError: another sampler first.
    """

    name = "estimator_signal"
    title = "Signal and noise of estimators of the meta-gradient"
    axis = "case"
    tolerance = 2e-3  # unit vectors and returns of four trials: float32 errs by some 1e-5
    fraction = 0.02
    seeds = {"estimators": seed("estimators")}
    variables = {
        "mean": Variable(
            ("case", "horizon", "form", "moment", "term"), "estimate of ∂J/∂ψ, over lifetimes"
        ),
        "signal": Variable(
            ("case", "horizon", "form", "interval"),
            "squared signal over variance of one lifetime, with its 95% interval",
        ),
        "direction": Variable(
            ("case", "horizon", "form", "interval"),
            "cosine of the mean with the reference, with its 95% interval",
        ),
        "uphill": Variable(
            ("case", "horizon", "form", "moment"), "part of an estimate along the reference"
        ),
        "norms": Variable(
            ("case", "horizon", "lifetime"), "norm of each estimate, NaN beyond the last"
        ),
        "counts": Variable(("case", "horizon", "count"), "lifetimes, and those not finite"),
        "reference": Variable(
            ("case", "horizon", "moment", "term"), "the estimate over other networks"
        ),
        "gap": Variable(
            ("case", "horizon", "moment"),
            "return minus that of the undisturbed rule in the same lifetime",
        ),
        "cost": Variable(
            ("case", "horizon"), "of one core for a lifetime; depends on the machine", "s"
        ),
        "first_returns": Variable(
            ("case", "first_lifetime"), f"mean reward of {_AGAIN} trials as sampled"
        ),
        "first_gradients": Variable(
            ("case", "first_lifetime", "term"), f"estimate from {_AGAIN} trials over its norm"
        ),
        "gain": Variable(
            ("case", "step", "change", "moment"),
            "change of the mean reward on other networks by a step along the mean of the"
            " normalised estimates of the longest horizon, by the opposite step, and half the"
            " difference of the two, which is odd in the step",
        ),
    }

    n_units: int = 100
    courses: Courses = Courses()
    places: tuple[str, ...] = PLACES
    horizons: tuple[int, ...] = (30, 60, 120)
    n_lifetimes: int = 192
    n_reference: int = 288
    n_carried: int = 32
    which: tuple[Sampler, ...] = samplers()

    def __post_init__(self) -> None:
        first = self.which[0]
        require(first.names() == [REFERENCE], f"{REFERENCE} first", first, "reorder")

    @property
    def estimators(self) -> list[str]:
        """Names of the estimators, each of which makes a case at every place."""
        return [name for sampler in self.which for name in sampler.names()]

    @property
    def cases(self) -> list[Case]:
        """What the labels stand for, in their order."""
        return [
            Case(place, sampler, variant)
            for place in self.places
            for sampler in self.which
            for variant in range(len(sampler.variants))
        ]

    def coordinates(self):
        return {
            "case": [f"{name}, {place}" for place in self.places for name in self.estimators],
            "horizon": self.horizons,
            "form": ["raw", "normalised"],
            "moment": _MOMENTS,
            "interval": _INTERVAL,
            "count": ["lifetimes", "not finite"],
            "term": term_labels(),
            "lifetime": range(self.n_lifetimes),
            "first_lifetime": range(_KEPT),
            "step": STEPS,
            "change": ["up", "down", "odd part"],
        }

    def by_place(self, data: xr.Dataset) -> xr.Dataset:
        """A result with the dimensions place and estimator in place of case."""
        return unfolded(data, "case", place=self.places, estimator=self.estimators)

    def parts(self) -> list[np.ndarray]:
        """Cases that share their lifetimes are measured in one go."""
        groups = groupby(range(self.length), key=self._simulated)
        return [np.array([*positions]) for _, positions in groups]

    def measure(self, which: np.ndarray, courses: xr.Dataset):
        each = []
        for (place, sampler), positions in groupby(which, key=self._simulated):
            arrays = self._judged(hashable(place_coordinates(place, courses)), sampler)
            variants = [self.cases[position].variant for position in positions]
            each.append({name: array[variants] for name, array in arrays.items()})
        return {name: np.concatenate([arrays[name] for arrays in each]) for name in each[0]}

    def measure_one_again(self, index: int, recorded: xr.Dataset, courses: xr.Dataset):
        place, sampler, variant = self.cases[index]
        first = self._first_lifetimes(hashable(place_coordinates(place, courses)), sampler)
        return {name: array[variant] for name, array in first.items()}

    def sample(self, psi: Nested, sampler: Sampler, lifetimes, horizons) -> Sample:
        """What a sampler makes of the lifetimes of these numbers at ψ."""
        setting, sizes = self.setting(psi, sampler.n_units)
        return sampler.sample(setting, sizes, self.seeds["estimators"], lifetimes, horizons)

    def setting(self, psi: Nested, n_units: int | None = None) -> tuple[Setting, np.ndarray]:
        """The setting with the rule at ψ, and sizes of coordinates; of N units, or as many."""
        setting = brief_setting(n_units=n_units or self.n_units)
        sizes = coordinate_sizes(setting)
        return replace(setting, rule=rule_at(np.array(psi), sizes)), sizes

    def _simulated(self, position: int) -> tuple[str, Sampler]:
        return self.cases[position].simulated

    def _judged(self, psi: Nested, sampler: Sampler) -> Arrays:
        """The arrays of all variants of a sampler."""
        lifetimes = range(self.n_carried if sampler.kind == "carried" else self.n_lifetimes)
        sample = self.sample(psi, sampler, lifetimes, self.horizons)
        rewards = undisturbed_rewards(self, psi, sampler.n_units)[: len(lifetimes)]
        # Smaller networks have another reference, which is not asked for.
        others = [None] * len(self.horizons) if sampler.n_units else reference(self, psi)
        gaps = [
            returns - rewards[:, :horizon].mean(axis=1)
            for returns, horizon in zip(sample.returns, self.horizons, strict=True)
        ]
        variants = []
        for variant in range(len(sampler.variants)):
            columns = [
                self._numbers(gradients[variant], gap, other)
                for gradients, gap, other in zip(sample.gradients, gaps, others, strict=True)
            ]
            variants.append(_stacked(columns) | {"cost": sample.cost})
        arrays = _stacked(variants) | self._first_lifetimes(psi, sampler)
        return arrays | {"gain": self._gains(psi, sampler, arrays["mean"][:, -1, 1, 0])}

    def _numbers(self, estimates: np.ndarray, gap: np.ndarray, others: np.ndarray | None) -> Arrays:
        """The numbers of one case at one horizon."""
        finite = np.isfinite(estimates[:, 0])
        good = estimates[finite]
        others = np.full((2, good.shape[1]), np.nan) if others is None else normalised(others)
        north = others.mean(axis=0)
        both = (good, normalised(good))
        norms = np.linalg.norm(good, axis=1)
        missing = self.n_lifetimes - len(norms)
        return {
            "mean": np.stack([mean_and_error(x) for x in both]),
            "signal": np.stack([signal_to_noise(x) for x in both]),
            "direction": np.stack([alignment(x, north) for x in both]),
            "uphill": np.stack([mean_and_error(x @ north / np.linalg.norm(north)) for x in both]),
            "norms": np.pad(norms, (0, missing), constant_values=np.nan),
            "counts": np.array([len(estimates), len(estimates) - len(good)]),
            "reference": mean_and_error(others),
            "gap": mean_and_error(gap[finite]),
        }

    def _gains(self, psi: Nested, sampler: Sampler, means: np.ndarray) -> np.ndarray:
        """What steps along the means, (variants, P), change on other networks."""
        (setting, sizes), number = self.setting(psi, sampler.n_units), self.seeds["estimators"]
        directions = normalised(means).reshape(-1, 1, 1, *sizes.shape)
        moves = np.multiply.outer(STEPS, (1.0, -1.0))[..., None, None] * directions
        moved_to = (np.array(psi) + moves).reshape(-1, *sizes.shape)
        rules = stack([rule_at(one, sizes) for one in moved_to])
        others, longest = np.arange(self.n_lifetimes, 2 * self.n_lifetimes), max(self.horizons)
        moved = np.asarray(setting.learn(number, others, longest, rules).rewards, float)
        change = moved - undisturbed_rewards(self, psi, sampler.n_units)[self.n_lifetimes :]
        up, down = np.moveaxis(change.mean(axis=-1).reshape(*moves.shape[:3], -1), 2, 0)
        three = np.stack([up, down, (up - down) / 2], axis=2)
        return np.moveaxis(mean_and_error(np.moveaxis(three, -1, 0)), 0, -1)

    def _first_lifetimes(self, psi: Nested, sampler: Sampler) -> Arrays:
        sample = self.sample(psi, sampler, range(_KEPT), (_AGAIN,))
        each = [normalised(gradients) for gradients in sample.gradients[0]]
        returns = [sample.returns[0]] * len(each)
        return {"first_returns": np.stack(returns), "first_gradients": np.stack(each)}


@cache
def reference(experiment: EstimatorSignal, psi: Nested) -> list[np.ndarray]:
    """Finite estimates by `REFERENCE` from other networks, at each horizon, (B, P)."""
    first = experiment.n_lifetimes
    others = np.arange(first, first + experiment.n_reference)
    sample = experiment.sample(psi, experiment.which[0], others, experiment.horizons)
    return [g[0][np.isfinite(g[0, :, 0])] for g in sample.gradients]


@cache
def undisturbed_rewards(
    experiment: EstimatorSignal, psi: Nested, n_units: int | None
) -> np.ndarray:
    """Rewards of the rule itself, (2 B, longest horizon)."""
    lifetimes, longest = range(2 * experiment.n_lifetimes), max(experiment.horizons)
    setting, _ = experiment.setting(psi, n_units)
    rewards = setting.learn(experiment.seeds["estimators"], lifetimes, longest).rewards
    return np.asarray(rewards, float)


def _stacked(each: list[Arrays]) -> Arrays:
    return {name: np.stack([arrays[name] for arrays in each]) for name in each[0]}
