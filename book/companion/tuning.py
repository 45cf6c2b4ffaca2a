"""Rules at learning rates that compare, and what they achieve with them. (Ours.)"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from companion.seeds import seed as seed_number
from plasticity.learning.criterion import TrialsToCriterion, surviving_trials
from plasticity.learning.setting import Setting
from plasticity.learning.trial import draw_episode, first_trajectory
from plasticity.rules.base import Rule, RuleStack, stack
from plasticity.rules.three_factor import make_rule
from plasticity.types import require

# Rates in units of the inverse size of a rule's integrand, half a decade apart.
SIZES = tuple(float(f"{10 ** (e / 2):.3g}") for e in range(-10, 2))
VERIFIED = 4  # trials over which float32 and float64 agree
VALIDATION = seed_number("validation")  # of networks on which rates are chosen
_TOGETHER = 8  # networks


def first_activity(setting: Setting, seed: int, n: int) -> tuple[np.ndarray, ...]:
    """Rates r, fluctuations Δ and kicks of the first trials of n networks, (n, T, N) each."""
    eights = [_first_activity(*setting.arguments(seed, eight)) for eight in _by_eights(range(n))]
    joined = (np.concatenate(arrays)[:n] for arrays in zip(*eights, strict=True))
    return tuple(np.asarray(array, float) for array in joined)


def _by_eights(runs) -> np.ndarray:
    """Runs in rows of eight, so that one small program serves any number of them.

    The last row is filled up with repeats.
    """
    runs = np.asarray(runs)
    return np.resize(runs, (-(-len(runs) // _TOGETHER), _TOGETHER))


# A function of the module, so that it is compiled once for all rules that meet a setting.
@partial(jax.jit, static_argnames="learner")
def _first_activity(keys, networks, task, rule, learner):
    def one(key, network):
        run = first_trajectory(key, network, task, rule, learner)
        episode = draw_episode(key, jnp.int32(0), task, learner, network.W.shape[0])
        return run.rates, run.fluctuations, episode.kicks

    return jax.vmap(one)(keys, networks)


def activity_moments(rates: np.ndarray, shifts: np.ndarray, degree: int) -> np.ndarray:
    """Means of r_j^p Δ_i^q over synapses, steps and trials, p, q ≤ 2d, from (n, T, N) arrays."""
    powers = range(2 * degree + 1)
    # A mean over synapses of r_j^p Δ_i^q is a mean over j times one over i.
    by_rate, by_shift = (np.stack([(a**p).mean(axis=-1) for p in powers]) for a in (rates, shifts))
    return np.einsum("pbt,qbt->pq", by_rate, by_shift) / by_rate[0].size


def moments_of_pairs(moments: np.ndarray) -> np.ndarray:
    """Means of products of terms (k, ℓ) and (m, n), (d+1,) * 4, from `activity_moments`."""
    powers = np.arange((len(moments) + 1) // 2)
    sums = np.add.outer(powers, powers)
    return moments[sums[:, None, :, None], sums[None, :, None, :]]


def integrand_size(setting: Setting, rule: Rule, *, seed: int = VALIDATION, n: int = 4) -> float:
    """r.m.s. over synapses, steps and first trials of Σ θ_kℓ r_j^k Δ_i^ℓ (Δ_i → −kick_i).

    1/it is the learning rate that gives rules of any coefficients updates of like size. (Ours.)

    Raises:
        ValueError: a rule whose coefficients are all zero.
    """
    rates, shifts, kicks = first_activity(setting, seed, n)
    theta = np.asarray(rule.coefficients, float)
    moved = -kicks if rule.trace.of_kicks else shifts
    pairs = moments_of_pairs(activity_moments(rates, moved, len(theta) - 1))
    square = float(np.einsum("kl,mn,klmn->", theta, theta, pairs))
    require(square > 0, "a rule that moves weights", square, "give a coefficient other than zero")
    return square**0.5


def at_sizes(setting: Setting, rule: Rule, sizes) -> RuleStack:
    """The rule at each of the learning rates size / `integrand_size`; negative ones flip θ."""
    unit, theta = integrand_size(setting, rule), np.asarray(rule.coefficients)
    options = {"clip": float(setting.rule.clip), "of_kicks": rule.trace.of_kicks}
    return stack(
        [
            make_rule(np.sign(size) * theta, learning_rate=abs(size) / unit, **options)
            for size in np.asarray(sizes, float)
        ]
    )


def outcomes(
    setting: Setting, rules: RuleStack, seed: int, runs, n_trials: int
) -> tuple[TrialsToCriterion, np.ndarray]:
    """Trials to criterion (rules, networks), a blow-up being a failure, and errors (…, H)."""
    lifetimes = setting.learn(seed, runs, n_trials, rules)
    return surviving_trials(lifetimes), np.asarray(lifetimes.errors)


def visibility(setting: Setting, *, seed: int, n: int = 8) -> float:
    """R² of the best odd polynomial of degree 5 in Δ_i for the kick to unit i, first trials.

    What a local rule can know of the exploration. By least squares on Δ, Δ³, Δ⁵. (Ours.)
    """
    _, shifts, kicks = (a.ravel() for a in first_activity(setting, seed, n))
    powers = np.stack([shifts, shifts**3, shifts**5], axis=1)
    fitted = powers @ np.linalg.lstsq(powers, kicks, rcond=None)[0]
    return float(1 - np.sum((kicks - fitted) ** 2) / np.sum(kicks**2))


def first_errors(setting: Setting, rules: RuleStack, seed: int, runs) -> np.ndarray:
    """Errors of the first four trials, (rules, networks, 4): what is measured again.

    Rules one by one, networks eight by eight: one small program serves all records of a setting.
    """
    eights = _by_eights(runs)
    errors = [
        [setting.learn(seed, eight, VERIFIED, rule).errors for eight in eights] for rule in rules
    ]
    return np.asarray(errors).reshape(len(rules), -1, VERIFIED)[:, : len(runs)]
