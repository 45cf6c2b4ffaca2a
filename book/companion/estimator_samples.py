"""Lifetimes of a setting, and what every estimator of the meta-gradient makes of them."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from plasticity.learning.setting import Setting
from plasticity.meta.estimators import (
    Estimator,
    EvolutionStrategy,
    ExplicitTrace,
    Pathwise,
)
from plasticity.meta.score_function import (
    ParameterScore,
    Scores,
    WeightScore,
    sample_scores,
    score_gradients,
)

REFERENCE = "pathwise"
_TOGETHER = 48
Nested = tuple[tuple[float, ...], ...]
_VARIANTS = {"no baseline": {"baseline": "none"}, "immediate": {"credit": "immediate"}}


class Sample(NamedTuple):
    """What a sampler makes of B lifetimes at S horizons; NaN where it is not finite.

    Attributes:
        gradients: of every variant, as ∂J/∂ψ, for each horizon (variants, B, P).
        returns: mean reward as sampled, for each horizon (B,).
        cost: seconds of one core for a lifetime, (S,).
    """

    gradients: list[np.ndarray]
    returns: list[np.ndarray]
    cost: np.ndarray


class Sampler(NamedTuple):
    """Lifetimes that are simulated once, and the estimates made of them.

    Attributes:
        kind: "weight", "carried", "parameter", "evolution", "pathwise" or "explicit".
        size: σ or the spread; none for the last two.
        variants: of how rewards are credited, each a case of its own.
        n_units: N if not that of the experiment; such cases have no reference direction.
    """

    kind: str
    size: float = 0.0
    variants: tuple[str, ...] = ("",)
    n_units: int | None = None

    def names(self) -> list[str]:
        """Names of the cases."""
        size = f" {self.size:g}" if self.size else ""
        units = f", N = {self.n_units}" if self.n_units else ""
        return [f"{self.kind}{size}{units}{f', {v}' if v else ''}" for v in self.variants]

    def sample(
        self,
        setting: Setting,
        scale: np.ndarray,
        seed: int,
        lifetimes: Sequence[int],
        horizons: Sequence[int],
    ) -> Sample:
        """Estimates of ∂J/∂ψ, ψ = θ · ``scale``, from the lifetimes of these numbers.

        They come in equal parts; the seconds for a lifetime are those of the last part, so that
        they do not count compilation.
        """
        parts = np.array_split(np.array(lifetimes), max(2, len(lifetimes) // _TOGETHER))
        arguments = [setting.arguments(seed, part) for part in parts]
        scored = self.kind in ("weight", "carried", "parameter")
        sample = self._scored if scored else self._whole
        gradients, returns, cost = sample(hashable(scale), arguments, horizons)
        flat = [g.reshape(*g.shape[:2], -1) / scale.ravel() for g in gradients]
        return Sample(flat, returns, np.array(cost))

    def estimator(self, scale: Nested) -> Estimator:
        """The estimator in coordinates of such a scale."""
        return {
            "pathwise": lambda: Pathwise(),
            "evolution": lambda: EvolutionStrategy(spread=self.size, scale=scale),
            "parameter": lambda: ParameterScore(spread=self.size, scale=scale),
            "weight": lambda: WeightScore(sigma=self.size),
            "carried": lambda: WeightScore(sigma=self.size, carry=True),
            "explicit": lambda: ExplicitTrace(),
        }[self.kind]()

    def _whole(self, scale, arguments, horizons) -> Sample:
        """Estimators of whole lifetimes, simulated anew for every horizon."""
        estimator = self.estimator(scale)
        timed = [_timed(estimator, arguments, horizon) for horizon in horizons]
        gradients = [
            np.where(estimate.finite[:, None, None], estimate.gradients, np.nan)[None]
            for estimate, _ in timed
        ]
        returns = [estimate.returns for estimate, _ in timed]
        return Sample(gradients, returns, np.array([seconds for _, seconds in timed]))

    def _scored(self, scale, arguments, horizons) -> Sample:
        """Score functions: first trials of the longest lifetimes serve every horizon."""
        estimator = self.estimator(scale)
        longest = max(horizons)
        whole, seconds = _timed(partial(sample_scores, estimator), arguments, longest)
        cut = [Scores(*(a[:, :horizon] for a in whole[:3]), whole.finite) for horizon in horizons]
        gradients = [self._credited(scores) for scores in cut]
        returns = [scores.rewards.mean(axis=1) for scores in cut]
        return Sample(gradients, returns, np.array([seconds * h / longest for h in horizons]))

    def _credited(self, scores: Scores) -> np.ndarray:
        each = [score_gradients(*scores, **_VARIANTS.get(v, {})) for v in self.variants]
        return np.where(scores.finite[None, :, None, None], np.stack(each), np.nan)


MIDDLE = 1e-3  # σ that is looked at more closely


def samplers(
    sigmas: tuple[float, ...] = (3e-4, MIDDLE, 3e-3), smaller: tuple[int, ...] = (25, 50)
) -> tuple[Sampler, ...]:
    """What the book compares: all estimators at N, that on weights in smaller networks as well.

    The one at σ = 10⁻³ also with rewards credited in other ways and with U carried.
    """
    scores = [Sampler("weight", s, ("", *_VARIANTS) if s == MIDDLE else ("",)) for s in sigmas]
    return (
        Sampler("pathwise"),
        Sampler("evolution", 0.1),
        Sampler("evolution", 0.3),
        Sampler("parameter", 0.3),
        *scores,
        Sampler("carried", MIDDLE),
        Sampler("explicit"),
        *(Sampler("weight", MIDDLE, n_units=n) for n in smaller),
    )


def hashable(matrix: np.ndarray) -> Nested:
    """A matrix as nested tuples, which estimators and caches take."""
    return tuple(tuple(row) for row in np.asarray(matrix).tolist())


def _timed(estimate: Callable, arguments, horizon: int):
    """All parts joined, and the processor time of one lifetime in the last.

    Time of the process, not of the clock: it does not grow where the machine has other work.
    """
    parts = []
    for part in arguments:
        start = time.process_time()
        parts.append(jax.block_until_ready(estimate(*part, horizon)))
        seconds = (time.process_time() - start) / len(part[0])
    return jax.tree.map(_joined, *parts), seconds


def _joined(*parts) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts])
