"""What the chapters on gradients record at full size, and compute small when asked to.

Seeds: 4 validation, 5 growth of the tangents. All in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np

from plasticity.differences import Comparison, compare_with_differences
from plasticity.eligibility import term_scale
from plasticity.learning import draw_episode, initial_learning_state, learn_trial
from plasticity.records import Arrays, Recording
from plasticity.settings import Setting, association_setting
from plasticity.statistics import trials_to_criterion
from plasticity.tangent import Differentiation
from plasticity.three_factor import Rule, make_rule, miconi

_TOGETHER = 2  # networks a part, one a core
_VERIFIED = 10  # trials


def dense_rule(setting: Setting, *, learning_rate: float, share: float = 0.05) -> Rule:
    """θ_33 = −1 and every other coefficient drawn at random, so that no term is idle. (Ours.)

    A coefficient other than θ_33 is ``share`` · N(0, 1) in units in which all terms of the
    trace have the r.m.s. that the term (3, 3) has in a first trial; no clip.
    """
    network = jax.tree.map(lambda a: a[0], setting.networks(0, [0]))
    state = initial_learning_state(network, setting.task, setting.learner)
    arguments = (setting.task, setting.learner, setting.n_units)
    episode = draw_episode(jax.random.key(0), state.trial, *arguments)
    run = learn_trial(state, episode, network, setting.rule, setting.learner)[1].trajectory
    scale = np.asarray(term_scale(run.rates, run.fluctuations, 5))
    theta = share * np.random.default_rng(0).normal(size=scale.shape) * scale[3, 3] / scale
    theta[3, 3] = -1.0
    return make_rule(theta, learning_rate=learning_rate)


def gradient_validation(
    *,
    n_units: int = 100,
    n_networks: int = 4,
    n_trials: int = 500,
    learning_rate: float = 3e-4,
    relative_steps: tuple[float, ...] = tuple(
        float(f"{10.0**-e:.4g}") for e in np.arange(4, 8.5, 0.5)
    ),
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
        crossed: a corner by then, (runs, marks, P, E).
        sample: ∂μ at some synapses by forward mode and by differences, (runs, marks, 2, S, P).
    """
    marks = [0, n_trials // 2 - 1, n_trials - 1]
    middle = len(relative_steps) // 2
    # The sample takes the first step.
    steps = (relative_steps[middle], *(s for s in relative_steps if s != relative_steps[middle]))
    order = np.argsort(-np.array(steps))
    n_parts = -(-n_networks // _TOGETHER)

    def setup():
        setting = association_setting(n_units=n_units)
        return setting, dense_rule(setting, learning_rate=learning_rate)

    def chosen(setting: Setting, rule: Rule) -> np.ndarray:
        found, start = [], 0
        while len(found) < n_networks:
            runs = np.arange(start, start + 24)
            reached = trials_to_criterion(setting.learn(seed, runs, n_trials, rule).correct).reached
            found, start = found + runs[reached].tolist(), start + 24
        return np.array(found[:n_networks])

    def compute(part: int) -> Arrays:
        with jax.enable_x64(True):
            setting, rule = setup()
            rewards, which = part // n_parts == 1, part % n_parts
            runs = chosen(setting, rule)[which * _TOGETHER : (which + 1) * _TOGETHER]
            differentiation = Differentiation(rewards=rewards)
            arguments = (*setting.arguments(seed, runs, rule), n_trials, steps)
            options = {"differentiation": differentiation, "n_synapses": n_synapses}
            result = jax.tree.map(np.asarray, compare_with_differences(*arguments, **options))
        return {"chosen": runs} | _kept(result, marks, order)

    def recompute(runs: np.ndarray, recorded: Arrays) -> Arrays:
        setting, rule = setup()
        found = []
        for run in runs:
            differentiation = Differentiation(rewards=bool(run >= n_networks))
            options = {"differentiation": differentiation}
            number = recorded["chosen"][run : run + 1]
            trials = min(_VERIFIED, n_trials)
            found.append(setting.learn_with_tangents(seed, number, trials, rule, **options))
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


def _kept(result: Comparison, marks: list[int], order: np.ndarray) -> Arrays:
    def curve(gaps, norms):
        relative = gaps[:, marks] / norms[:, marks, None]
        return np.swapaxes(relative[:, :, order], 2, 3)

    return {
        "errors": result.errors,
        "update_norms": np.swapaxes(result.update_norms, 1, 2).astype(np.float32),
        "weight_norms": np.swapaxes(result.weight_norms, 1, 2).astype(np.float32),
        "update_gaps": np.swapaxes(result.update_gaps[:, :, 0], 1, 2).astype(np.float32),
        "weight_gaps": np.swapaxes(result.weight_gaps[:, :, 0], 1, 2).astype(np.float32),
        "update_curve": curve(result.update_gaps, result.update_norms),
        "weight_curve": curve(result.weight_gaps, result.weight_norms),
        "crossed": np.swapaxes(result.crossed[:, marks][:, :, order], 2, 3),
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
        result = setting.learn_with_tangents(seed, runs, trials, rule, **options)
        norms = jnp.moveaxis(result.norms[:, :, ::every], 0, 1)
        errors = np.swapaxes(result.lifetime.errors, 0, 1)
        return {"errors": errors, "norms": np.swapaxes(norms, 2, 3)}

    def compute(part: int) -> Arrays:
        with jax.enable_x64(True):
            return of(np.arange(part * 4, min((part + 1) * 4, n_networks)), n_trials)

    def recompute(runs: np.ndarray, _: Arrays) -> Arrays:
        return of(runs, min(_VERIFIED, n_trials))

    parameters = {
        "n_units": n_units,
        "n_networks": n_networks,
        "n_trials": n_trials,
        "learning_rates": list(learning_rates),
        "clip": clip,
        "every": every,
    }
    return Recording(compute, recompute, -(-n_networks // 4), parameters, seed)
