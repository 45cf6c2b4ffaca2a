"""What the chapters on gradients record at full size, and compute small when asked to.

Seeds: 4 validation, 5 growth of the tangents; these in float64, costs in float32.
"""

import warnings

import jax
import numpy as np

from companion.gradient_cost import METHODS, Cost, measure, measure_alone, reward_gradient
from companion.record import Recording
from companion.settings import association_setting, dense_rule
from plasticity.derivatives.differences import Comparison, compare_with_differences
from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.derivatives.tangent import Differentiation
from plasticity.files import Arrays
from plasticity.learning.criterion import trials_to_criterion
from plasticity.learning.setting import Setting
from plasticity.rules.three_factor import Rule, miconi
from plasticity.types import require

HALF_DECADES = tuple(float(f"{10.0**e:.4g}") for e in np.arange(-3, -7.5, -0.5))
# The update of the first trial is linear in θ, so that its steps may be large.
FIRST_STEPS = tuple(10.0**e for e in range(4, -9, -1))
_TOGETHER = 2  # networks a part, one a core
_VERIFIED = 10  # trials
_VERIFIED_GROWTH = 5  # at high rates a few trials amplify the last digit of draws in float32
_MOST_TERMS = 64


def gradient_validation(
    *,
    n_units: int = 100,
    n_networks: int = 4,
    n_trials: int = 500,
    learning_rate: float = 3e-4,
    relative_steps: tuple[float, ...] = HALF_DECADES,
    n_synapses: int = 40,
    seed: int = 4,
) -> Recording:
    """Tangents against central differences of the update and of W, for all 36 coefficients.

    The networks are the first of the seed that meet the criterion within the trials. The runs are
    those with rewards held fixed, then the same with rewards differentiated. With E steps, P
    coefficients, H trials, and the first, middle and last of these as marks:

        chosen: number of the network among those of the seed, (runs,).
        errors: of each trial, (runs, H).
        update_norms, weight_norms: by forward mode, (runs, P, H).
        update_gaps, weight_gaps: to the quotient with the middle step, (runs, P, H).
        update_curve, weight_curve: relative error, (runs, marks, P, E).
        first_curve: of the first update with the steps `FIRST_STEPS`, (runs, P, 13).
        crossed: a corner by then, (runs, marks, P, E).
        sample: ∂μ at some synapses by forward mode and by differences, (runs, marks, 2, S, P).
    """
    marks = [0, n_trials // 2 - 1, n_trials - 1]
    middle = len(relative_steps) // 2
    n_parts = -(-n_networks // _TOGETHER)

    def setup():
        setting = association_setting(n_units=n_units)
        return setting, dense_rule(setting, learning_rate=learning_rate)

    def chosen(setting: Setting, rule: Rule) -> np.ndarray:
        found, start = [], 0
        while len(found) < n_networks:
            wanted = f"{n_networks} of 480 networks meet the criterion in {n_trials} trials"
            require(start < 480, wanted, len(found), "allow more trials")
            runs = np.arange(start, start + 24)
            with warnings.catch_warnings():
                # Without a clip one or another network blows up, and is not chosen.
                warnings.filterwarnings("ignore", "non-finite activity", RuntimeWarning)
                correct = setting.learn(seed, runs, n_trials, rule).correct
            reached = trials_to_criterion(correct).reached
            found, start = found + runs[reached].tolist(), start + 24
        return np.array(found[:n_networks])

    def compute(part: int) -> Arrays:
        with jax.enable_x64(True):
            setting, rule = setup()
            rewards, which = part // n_parts == 1, part % n_parts
            runs = chosen(setting, rule)[which * _TOGETHER : (which + 1) * _TOGETHER]
            differentiation = Differentiation(rewards=rewards)
            arguments = setting.arguments(seed, runs, rule)
            options = {"differentiation": differentiation, "n_synapses": n_synapses}
            # A lifetime has at least a trial of each condition.
            first = compare_with_differences(*arguments, 2, FIRST_STEPS, **options)
            whole = compare_with_differences(*arguments, n_trials, relative_steps, **options)
            first, whole = jax.tree.map(np.asarray, (first, whole))
        kept = {"chosen": runs} | _kept(whole, marks, middle)
        return kept | {"first_curve": _curve(first.update_gaps, first.update_norms, [0])[:, 0]}

    def recompute(runs: np.ndarray, recorded: Arrays) -> Arrays:
        setting, rule = setup()
        found = []
        for run in runs:
            differentiation = Differentiation(rewards=bool(run >= n_networks))
            options = {"differentiation": differentiation}
            number = recorded["chosen"][run : run + 1]
            trials = min(_VERIFIED, n_trials)
            found.append(
                learn_with_tangents(*setting.arguments(seed, number, rule), trials, **options)
            )
        errors = np.concatenate([f.lifetime.errors for f in found])
        norms = np.concatenate([np.swapaxes(f.norms, 1, 2) for f in found])
        return {"errors": errors, "weight_norms": norms}

    parameters = {
        "n_units": n_units,
        "n_networks": n_networks,
        "n_trials": n_trials,
        "learning_rate": learning_rate,
        "relative_steps": list(relative_steps),
        "n_synapses": n_synapses,
    }
    return Recording(compute, recompute, 2 * n_parts, parameters, seed)


def _curve(gaps: np.ndarray, norms: np.ndarray, marks: list[int]) -> np.ndarray:
    """Relative error at the marks, (runs, marks, P, E)."""
    return np.swapaxes(gaps[:, marks] / norms[:, marks, None], 2, 3)


def _kept(result: Comparison, marks: list[int], middle: int) -> Arrays:
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


def tangent_growth(
    *,
    n_units: int = 100,
    n_networks: int = 16,
    n_trials: int = 500,
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    clip: float = 1e-2,
    every: int = 10,
    seed: int = 5,
) -> Recording:
    """‖U‖ over trials for θ_33 at several learning rates, rewards differentiated, updates clipped.

    errors: (networks, rates, H).
    norms: ‖U_p‖ after every ``every``-th trial from the first, (networks, rates, P, H/every).
    """

    def of(runs, trials: int) -> Arrays:
        setting = association_setting(n_units=n_units)
        rule = miconi(learning_rate=list(learning_rates), clip=clip)
        options = {"differentiation": Differentiation(rewards=True)}
        result = learn_with_tangents(*setting.arguments(seed, runs, rule), trials, **options)
        norms = np.asarray(result.norms)[:, :, ::every]
        errors = np.asarray(result.lifetime.errors)
        return {"errors": errors.swapaxes(0, 1), "norms": norms.transpose(1, 0, 3, 2)}

    def compute(part: int) -> Arrays:
        with jax.enable_x64(True):
            return of(np.arange(part * 4, min((part + 1) * 4, n_networks)), n_trials)

    def recompute(runs: np.ndarray, _: Arrays) -> Arrays:
        return of(runs, min(_VERIFIED_GROWTH, n_trials))

    parameters = {
        "n_units": n_units,
        "n_networks": n_networks,
        "n_trials": n_trials,
        "learning_rates": list(learning_rates),
        "clip": clip,
        "every": every,
    }
    return Recording(compute, recompute, -(-n_networks // 4), parameters, seed)


AXES = {
    "n_units": (25, 50, 100, 200, 400),
    "n_steps": (25, 50, 100, 200, 400),
    "degree": (1, 3, 5, 7),
    "n_trials": (10, 30, 100, 300, 1000),
}
BASE = {"n_units": 100, "n_steps": 100, "degree": 5, "n_trials": 30}


def gradient_cost(
    axes: dict[str, tuple[int, ...]] = AXES, base: dict[str, int] = BASE, *, alone: bool = True
) -> Recording:
    """Time and memory of the methods of `companion.gradient_cost`; a run is one problem size.

    The sizes vary along one axis at a time from the base. Arrays of F problems and M methods, in
    the order of `METHODS`:

        sizes: N, T, d and H, (F, 4).
        time, planned, resident: as in `companion.gradient_cost.Cost`, (F, M).
        gaps: relative difference of the gradient from the closed form's, (F, M).
        gradients: of 10 trials by the closed form, (F, 64), NaN beyond the coefficients.

    Args:
        alone: whether each measurement has a process of its own, on one core.
    """
    cases = [tuple(base.values())]
    for axis, values in axes.items():
        cases += [tuple((base | {axis: value}).values()) for value in values]
    cases = list(dict.fromkeys(cases))

    def short(case) -> np.ndarray:
        compiled, arguments = reward_gradient("closed form", *case[:3], 10)
        gradient = np.asarray(compiled(*arguments))
        return np.pad(gradient, (0, _MOST_TERMS - len(gradient)), constant_values=np.nan)

    def compute(part: int) -> Arrays:
        costs = [(measure_alone if alone else measure)(m, *cases[part]) for m in METHODS]
        exact = np.array(costs[0].gradient)
        gaps = [np.linalg.norm(c.gradient - exact) / np.linalg.norm(exact) for c in costs]
        numbers = {name: [getattr(c, name) for c in costs] for name in Cost._fields[:3]}
        rows = {"sizes": cases[part], "gaps": gaps} | numbers | {"gradients": short(cases[part])}
        return {name: np.array(row)[None] for name, row in rows.items()}

    def recompute(runs: np.ndarray, _: Arrays) -> Arrays:
        return {"gradients": np.stack([short(cases[run]) for run in runs])}

    parameters = {"axes": {k: list(v) for k, v in axes.items()}, "base": base, "alone": alone}
    return Recording(compute, recompute, len(cases), parameters, 0)
