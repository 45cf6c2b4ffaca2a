"""Lifetimes of a setting, and what every estimator of the meta-gradient makes of them."""

import time
from typing import NamedTuple

import jax
import numpy as np

from plasticity.learning.setting import Setting
from plasticity.meta.estimators import EvolutionStrategy, Pathwise
from plasticity.meta.score_function import (
    ParameterScore,
    Scores,
    WeightScore,
    sample_scores,
    score_gradients,
)

REFERENCE = "evolution 0.4"
_TOGETHER = 48
_VARIANTS = {
    "no baseline": {"baseline": "none"},
    "all rewards": {"credit": "all"},
    "immediate": {"credit": "immediate"},
}


class Sampler(NamedTuple):
    """Lifetimes that are simulated once, and the estimates made of them.

    Attributes:
        kind: "weight", "carried", "parameter", "evolution" or "pathwise".
        size: σ or the spread; none for pathwise.
        variants: of how rewards are credited, each a case of its own.
        n_units: N if not that of the recording; such cases have no reference direction.
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

    def sample(self, setting: Setting, scale: np.ndarray, seed: int, runs, horizons):
        """Estimates (variants, B, P) of ∂J/∂ψ and returns (B,) at each horizon, and the cost.

        NaN where not finite. Lifetimes come in equal parts; the seconds of one core for a lifetime
        are those of the last part, so that they do not count compilation.
        """
        parts = np.array_split(np.array(runs), max(2, len(runs) // _TOGETHER))
        arguments = [setting.arguments(seed, part) for part in parts]
        nested = tuple(tuple(row) for row in scale.tolist())
        if self.kind in ("evolution", "pathwise"):
            estimator = (
                EvolutionStrategy(spread=self.size, scale=nested) if self.size else Pathwise()
            )
            found = [_timed(estimator, arguments, horizon) for horizon in horizons]
            kept = [
                (np.where(f.finite[:, None, None], f.gradients, np.nan)[None], f.returns)
                for f, _ in found
            ]
            cost = [seconds for _, seconds in found]
        else:
            estimator = {
                "weight": WeightScore(sigma=self.size),
                "carried": WeightScore(sigma=self.size, carry=True),
                "parameter": ParameterScore(spread=self.size, scale=nested),
            }[self.kind]

            def scores(*arguments):
                return sample_scores(estimator, *arguments)

            # The first trials of the longest lifetimes serve every horizon, as does their time.
            whole, seconds = _timed(scores, arguments, max(horizons))
            kept = [self._credited(whole, horizon) for horizon in horizons]
            cost = [seconds * horizon / max(horizons) for horizon in horizons]
        rows = [(g.reshape(*g.shape[:2], -1) / scale.ravel(), r) for g, r in kept]
        return rows, np.array(cost)

    def _credited(self, whole: Scores, horizon: int):
        cut = Scores(*(a[:, :horizon] for a in whole[:3]), whole.finite)
        each = [score_gradients(*cut, **_VARIANTS.get(v, {})) for v in self.variants]
        finite = whole.finite[None, :, None, None]
        return np.where(finite, np.stack(each), np.nan), cut.rewards.mean(axis=1)


def samplers(
    sigmas: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), smaller: tuple[int, ...] = (25, 50)
) -> tuple[Sampler, ...]:
    """What the book compares: all estimators at N, that on weights in smaller networks as well.

    The one at σ = 10⁻³ also with rewards credited in other ways and with U carried.
    """
    middle = 1e-3
    return (
        Sampler("evolution", 0.4),
        Sampler("evolution", 0.1),
        Sampler("evolution", 1.0),
        Sampler("pathwise"),
        Sampler("parameter", 0.4),
        Sampler("parameter", 1.0),
        *(Sampler("weight", s, ("", *_VARIANTS) if s == middle else ("",)) for s in sigmas),
        Sampler("carried", middle),
        *(Sampler("weight", middle, n_units=n) for n in smaller),
    )


def _timed(estimate, arguments, horizon: int):
    """All parts joined, and the processor time of one lifetime in the last.

    Time of the process, not of the clock: it does not grow where the machine has other work.
    """
    found = []
    for part in arguments:
        start = time.process_time()
        found.append(jax.block_until_ready(estimate(*part, horizon)))
        seconds = (time.process_time() - start) / len(part[0])
    joined = jax.tree.map(lambda *parts: np.concatenate([np.asarray(p) for p in parts]), *found)
    return joined, seconds
