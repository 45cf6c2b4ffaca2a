"""Rules at learning rates that compare, and what they achieve with them. (Ours.)"""

import jax
import jax.numpy as jnp
import numpy as np

from plasticity.learning import draw_episode, initial_learning_state, learn_trial
from plasticity.settings import Setting
from plasticity.statistics import TrialsToCriterion, trials_to_criterion
from plasticity.three_factor import Rule, make_rule
from plasticity.types import require

# Rates in units of the inverse size of a rule's integrand, half a decade apart.
SIZES = tuple(float(f"{10 ** (e / 2):.3g}") for e in range(-10, 2))


def first_activity(setting: Setting, seed: int, n: int) -> tuple[np.ndarray, ...]:
    """Rates r, fluctuations Δ and kicks of the first trials of n networks, (n, T, N) each."""
    keys, networks, task, rule, learner = setting.arguments(seed, range(n))

    @jax.jit
    @jax.vmap
    def one(key, network):
        state = initial_learning_state(network, task, learner)
        episode = draw_episode(key, state.trial, task, learner, setting.n_units)
        run = learn_trial(state, episode, network, rule, learner)[1].trajectory
        return run.rates, run.fluctuations, episode.kicks

    return tuple(np.asarray(a, float) for a in one(keys, networks))


def integrand_size(setting: Setting, rule: Rule, *, seed: int = 12, n: int = 4) -> float:
    """r.m.s. over synapses, steps and first trials of Σ θ_kℓ r_j^k Δ_i^ℓ (Δ_i → −kick_i).

    1/it is the learning rate that gives rules of any coefficients updates of like size. (Ours.)
    """
    keys, networks, task, _, learner = setting.arguments(seed, range(n), rule)
    d = rule.coefficients.shape[-1]

    def of(key, network):
        state = initial_learning_state(network, task, learner)
        episode = draw_episode(key, state.trial, task, learner, setting.n_units)
        run = learn_trial(state, episode, network, rule, learner)[1].trajectory
        shift = jnp.where(rule.true_kick, -episode.kicks, run.fluctuations)
        moments = [
            jnp.stack([jnp.mean(a**p, axis=1) for p in range(2 * d - 1)])
            for a in (run.rates, shift)
        ]
        sums = jnp.add.outer(jnp.arange(d), jnp.arange(d))
        theta = rule.coefficients
        return jnp.einsum("kl,mn,kmt,lnt->t", theta, theta, moments[0][sums], moments[1][sums])

    square = float(jnp.mean(jax.vmap(of)(keys, networks)))
    fix = "give a coefficient other than zero"
    require(square > 0, "a rule that moves weights", square, fix)
    return square**0.5


def at_sizes(setting: Setting, rule: Rule, sizes) -> Rule:
    """A batch of the rule at the learning rates size / `integrand_size`; negative ones flip θ."""
    sizes = np.asarray(sizes, float)
    rates = np.abs(sizes) / integrand_size(setting, rule)
    theta = np.sign(sizes)[:, None, None] * np.asarray(rule.coefficients)
    made = make_rule(theta, learning_rate=rates, clip=float(setting.rule.clip))
    return made._replace(true_kick=jnp.full(sizes.shape, rule.true_kick))


def outcomes(
    setting: Setting, rules: Rule, seed: int, runs, n_trials: int
) -> tuple[TrialsToCriterion, np.ndarray]:
    """Trials to criterion (rules, networks), a blow-up being a failure, and errors (…, H)."""
    lifetimes = setting.learn(seed, runs, n_trials, rules)
    errors = np.asarray(lifetimes.errors)
    found, lost = trials_to_criterion(lifetimes.correct), np.isnan(errors).any(axis=-1)
    trials = np.where(lost, n_trials, found.trials)
    return TrialsToCriterion(trials, found.reached & ~lost), errors


def visibility(setting: Setting, *, seed: int, n: int = 8) -> float:
    """R² of the best odd polynomial of degree 5 in Δ_i for the kick to unit i, first trials.

    What a local rule can know of the exploration. By least squares on Δ, Δ³, Δ⁵. (Ours.)
    """
    _, shifts, kicks = (a.ravel() for a in first_activity(setting, seed, n))
    powers = np.stack([shifts, shifts**3, shifts**5], axis=1)
    fitted = powers @ np.linalg.lstsq(powers, kicks, rcond=None)[0]
    return float(1 - np.sum((kicks - fitted) ** 2) / np.sum(kicks**2))


def errors_of(setting: Setting, rules: Rule, seed: int, runs, n_trials: int) -> np.ndarray:
    """Errors of first trials, fewer than the window of the criterion, (rules, networks, H)."""
    return np.asarray(setting.learn(seed, runs, n_trials, rules).errors)
