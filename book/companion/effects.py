"""Whether rules differ in a measure by more than networks do, and what could have been seen.

The same networks learn by every rule, so values come as a table of rules by networks.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, stats

from plasticity.types import require

Table = Float[np.ndarray, "rules networks"]


class Effect(NamedTuple):
    """How far rules lie apart in one measure.

    Attributes:
        size: Cohen's f, the standard deviation of the rules' means over that of networks under the
            same rule.
        p: of a permutation of the rules' labels within each network.
        detectable: the f that a test at the level asked for finds with the power asked for.
    """

    size: float
    p: float
    detectable: float


def rule_effect(
    values: Table,
    *,
    level: float = 0.05,
    power: float = 0.8,
    n_resamples: int = 9999,
    seed: int = 0,
) -> Effect:
    """Differences between rules against the spread between networks with the same rule. (Ours.)

    Permutation test with labels exchanged within networks, which keeps what is common to a network
    out of the comparison; the statistic is the variance of the rules' means.

    Args:
        level: at which ``detectable`` is meant; divide by the number of measures that are tested.

    Raises:
        ValueError: fewer than two rules or three networks, values that are not finite.
    """
    values = np.asarray(values, float)
    fits = values.ndim == 2 and len(values) >= 2 and values.shape[1] >= 3
    require(fits, "two rules or more, three networks or more", values.shape, "give a table")
    require(bool(np.isfinite(values).all()), "values are finite", "some that are not", "leave out")
    spread = float(np.sqrt(values.var(axis=1, ddof=1).mean()))
    if np.ptp(values) == 0 or spread == 0:
        return Effect(np.inf if np.ptp(values) > 0 else 0.0, 1.0, np.nan)

    def statistic(*rules, axis):
        return np.var(np.stack([rule.mean(axis=axis) for rule in rules]), axis=0)

    test = stats.permutation_test(
        tuple(values),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_resamples,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    size = float(values.mean(axis=1).std()) / spread
    return Effect(size, float(test.pvalue), detectable_effect(values, level=level, power=power))


def detectable_effect(values: Table, *, level: float = 0.05, power: float = 0.8) -> float:
    """Cohen's f at which an F test of repeated measures has this power, given the noise seen.

    With n networks, k rules and residual variance s² once network means are taken out, F has
    k − 1 and (k − 1)(n − 1) degrees of freedom and the noncentrality n k f² σ² / s², σ the
    standard deviation between networks under one rule (Cohen 1988).

    Raises:
        ValueError: as `rule_effect`.
    """
    values = np.asarray(values, float)
    k, n = values.shape
    spread = values.var(axis=1, ddof=1).mean()
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    noise = np.sum(rest**2) / ((k - 1) * (n - 1))
    freedom = (k - 1, (k - 1) * (n - 1))
    bound = stats.f.isf(level, *freedom)
    needed = optimize.brentq(lambda nc: stats.ncf.sf(bound, *freedom, nc) - power, 1e-6, 1e4)
    return float(np.sqrt(needed * noise / (n * k * spread)))


def holm(p) -> Float[np.ndarray, "measures"]:
    """Holm's step-down correction: family-wise error over all measures (Scand. J. Stat. 6:65)."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty_like(stepped)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


class Comparison(NamedTuple):
    """`rule_effect` of every measure, (measures,) each.

    Attributes:
        size, p, detectable: as in `Effect`, the last at the level divided by the measures.
        corrected: p by `holm`.
        networks: how many had a number under every rule; the others are left out of that measure.
    """

    size: Float[np.ndarray, "measures"]
    p: Float[np.ndarray, "measures"]
    corrected: Float[np.ndarray, "measures"]
    detectable: Float[np.ndarray, "measures"]
    networks: Int[np.ndarray, "measures"]


def compare_measures(
    *tables: Float[np.ndarray, "rules networks measures"], level: float = 0.05, **options
) -> Comparison:
    """Every measure of all tables tested across rules, corrected for their number together.

    Args:
        tables: with networks of their own; rows as in `rule_effect`. A measure that fewer than
            three networks have under every rule has no effect, and a p of 1.
        options: as `rule_effect`.
    """
    measures = [values for table in tables for values in np.moveaxis(np.asarray(table), -1, 0)]
    options = {"level": level / len(measures)} | options
    effects, networks = [], []
    for values in measures:
        full = values[:, np.isfinite(values).all(axis=0)]
        networks.append(full.shape[1])
        none = Effect(np.nan, 1.0, np.nan)
        effects.append(rule_effect(full, **options) if networks[-1] >= 3 else none)
    size, p, detectable = (np.array(column, float) for column in zip(*effects, strict=True))
    return Comparison(size, p, holm(p), detectable, np.array(networks))
