"""How much each estimator of the meta-gradient says about a rule, per second of compute.

Seed: 6, whose first lifetimes are judged and the next ones make up the reference direction.
"""

from functools import cache

import numpy as np

from companion.estimator_samples import REFERENCE, Sampler, samplers
from companion.record import Recording
from companion.settings import brief_setting
from companion.signal_to_noise import alignment, mean_and_error, normalised, signal_to_noise
from plasticity.files import Arrays
from plasticity.meta.train import coordinate_scale
from plasticity.rules.three_factor import make_rule
from plasticity.types import require

STEPS = (0.05, 0.25)  # the second is the default of `plasticity.meta.train.MetaTraining`
_VERIFIED = 4  # trials
_VERIFIED_RUNS = 2  # lifetimes of a case


def estimator_signal(
    *,
    n_units: int = 100,
    learning_rates: tuple[float, ...] = (0.003, 0.03),
    horizons: tuple[int, ...] = (10, 30, 100, 200),
    n_lifetimes: int = 96,
    n_reference: int = 288,
    n_carried: int = 16,
    which: tuple[Sampler, ...] = samplers(),
    seed: int = 6,
) -> Recording:
    """Mean and spread of estimates of ∂J/∂ψ, ψ = θ · `coordinate_scale`, at θ_33 = −1.

    A row is a case: an estimator at a learning rate of `brief_setting`, in the order of the
    parameters. All have the same networks and keys, "carried" fewer of them. On an axis of two:
    estimates as they are, and each divided by its norm. With S horizons and B lifetimes:

        mean: and its standard error, (cases, S, 2, 2, P).
        signal: `signal_to_noise`, with its interval, (cases, S, 2, 3).
        direction: `alignment` with the reference, with its interval, (cases, S, 2, 3).
        uphill: an estimate's part along the reference, and its standard error, (cases, S, 2, 2).
        norms: of the estimates, (cases, S, B); NaN where there is none.
        counts: of lifetimes, and of those that were not finite, (cases, S, 2).
        gap: return minus that of the undisturbed rule in the same lifetime, and its standard error,
            (cases, S, 2).
        gain: change of J over the longest horizon by a step of each length of `STEPS` along the
            mean of the normalised estimates, by one in the opposite direction, and half their
            difference, which is odd in the step; with standard errors, on as many other
            networks, (cases, 2, 3, 2).
        cost: seconds of one core for a lifetime; this depends on the machine, (cases, S).
        reference: mean of `REFERENCE` over other networks, and its error, (cases, S, 2, P).
        first_returns, first_gradients: of two lifetimes of four trials, the latter divided by
            their norms, (cases, 2) and (cases, 2, P).
    """
    require(which[0].names() == [REFERENCE], f"{REFERENCE} first", which[0], "reorder")

    def at(case: tuple[float, Sampler]):
        rate, sampler = case
        setting = brief_setting(n_units=sampler.n_units or n_units, learning_rate=rate)
        return setting, coordinate_scale(setting, setting.rule, seed), seed

    @cache
    def reference(rate: float) -> list[np.ndarray]:
        runs = np.arange(n_lifetimes, n_lifetimes + n_reference)
        rows, _ = which[0].sample(*at((rate, which[0])), runs, horizons)
        return [g[0][np.isfinite(g[0, :, 0])] for g, _ in rows]

    @cache
    def undisturbed(rate: float, units: int | None) -> np.ndarray:
        setting = brief_setting(n_units=units or n_units, learning_rate=rate)
        runs = range(2 * n_lifetimes)
        return np.asarray(setting.learn(seed, runs, max(horizons)).rewards, float)

    def gains(case: tuple[float, Sampler], means: np.ndarray) -> np.ndarray:
        """What steps along the means, (variants, P), change on other networks."""
        setting, scale, _ = at(case)
        directions = normalised(means).reshape(-1, 1, 1, *scale.shape)
        moves = np.multiply.outer(STEPS, (1.0, -1.0))[..., None, None] * directions / scale
        theta = (np.asarray(setting.rule.coefficients, float) + moves).reshape(-1, *scale.shape)
        rules = make_rule(theta, learning_rate=case[0], clip=float(setting.rule.clip))
        runs = np.arange(n_lifetimes, 2 * n_lifetimes)
        moved = np.asarray(setting.learn(seed, runs, max(horizons), rules).rewards, float)
        change = moved - undisturbed(case[0], case[1].n_units)[n_lifetimes:]
        up, down = np.moveaxis(change.mean(axis=-1).reshape(*moves.shape[:3], -1), 2, 0)
        three = np.stack([up, down, (up - down) / 2], axis=2)
        return np.moveaxis(mean_and_error(np.moveaxis(three, -1, 0)), 0, -1)

    def first_lifetimes(case) -> Arrays:
        rows, _ = case[1].sample(*at(case), range(_VERIFIED_RUNS), (_VERIFIED,))
        gradients, returns = rows[0]
        each = [normalised(g) for g in gradients]
        return {"first_returns": np.stack([returns] * len(each)), "first_gradients": np.stack(each)}

    cases = [(rate, sampler) for rate in learning_rates for sampler in which]

    def compute(part: int) -> Arrays:
        rate, sampler = cases[part]
        runs = np.arange(n_carried if sampler.kind == "carried" else n_lifetimes)
        rows, cost = sampler.sample(*at(cases[part]), runs, horizons)
        rewards = undisturbed(rate, sampler.n_units)[: len(runs)]
        found = []
        for variant in range(len(sampler.variants)):
            columns = []
            for (g, returns), horizon, other in zip(rows, horizons, reference(rate), strict=True):
                gap = (returns - rewards[:, :horizon].mean(axis=1))[np.isfinite(g[0, :, 0])]
                other = None if sampler.n_units else other
                numbers = _numbers(g[variant], other, n_lifetimes)
                columns.append(numbers | {"gap": mean_and_error(gap)})
            row = {name: np.stack([c[name] for c in columns]) for name in columns[0]}
            found.append(row | {"cost": cost})
        together = {name: np.stack([row[name] for row in found]) for name in found[0]}
        gain = gains(cases[part], together["mean"][:, -1, 1, 0])
        return together | {"gain": gain} | first_lifetimes(cases[part])

    def recompute(rows: np.ndarray, _: Arrays) -> Arrays:
        each = [(case, variant) for case in cases for variant in range(len(case[1].variants))]
        found = [(first_lifetimes(each[row][0]), each[row][1]) for row in rows]
        return {name: np.stack([first[name][v] for first, v in found]) for name in found[0][0]}

    parameters = {
        "n_units": n_units,
        "learning_rates": list(learning_rates),
        "horizons": list(horizons),
        "lifetimes": [n_lifetimes, n_reference, n_carried],
        "cases": [name for sampler in which for name in sampler.names()],
    }
    return Recording(compute, recompute, len(cases), parameters, seed)


def _numbers(estimates: np.ndarray, others: np.ndarray | None, width: int) -> Arrays:
    """The numbers of one case at one horizon."""
    good = estimates[np.isfinite(estimates[:, 0])]
    others = np.full((2, good.shape[1]), np.nan) if others is None else others
    north = others.mean(axis=0)
    both = (good, normalised(good))
    norms = np.linalg.norm(good, axis=1)
    return {
        "mean": np.stack([mean_and_error(x) for x in both]),
        "signal": np.stack([signal_to_noise(x) for x in both]),
        "direction": np.stack([alignment(x, north) for x in both]),
        "uphill": np.stack([mean_and_error(x @ north / np.linalg.norm(north)) for x in both]),
        "norms": np.pad(norms, (0, width - len(norms)), constant_values=np.nan),
        "counts": np.array([len(estimates), len(estimates) - len(good)]),
        "reference": mean_and_error(others),
    }
