"""Plain loops, written from the equations and sharing nothing with the package."""

import jax
import jax.numpy as jnp
import numpy as np


def is_scaled(rule):
    """Whether the prediction error is to be multiplied by the mean error so far."""
    return type(rule.third_factor).__name__ == "ScaledPredictionError"


def simulate(W, W_in, W_out, inputs, kicks, x, x_bar, *, dt, tau, gain, clamped=()):
    """One trial, unit by unit; returns rates, fluctuations, output, x and the last x̄."""
    n_steps, n_units = kicks.shape
    x, x_bar = np.array(x), np.array(x_bar)
    rates, fluctuations = np.zeros((n_steps, n_units)), np.zeros((n_steps, n_units))
    output, states = np.zeros(n_steps), np.zeros((n_steps, n_units))
    for t in range(n_steps):
        r = np.tanh(x)
        new = np.zeros(n_units)
        for i in range(n_units):
            current = -x[i]
            for j in range(n_units):
                current += W[i, j] * r[j]
            for c in range(inputs.shape[1]):
                current += W_in[i, c] * inputs[t, c]
            new[i] = x[i] + dt / tau * current + kicks[t, i]
        for unit, value in clamped:
            new[unit] = value
        rates[t], fluctuations[t], states[t] = r, x_bar - new, new
        x, x_bar = new, x_bar + gain * (new - x_bar)
        output[t] = sum(W_out[i] * np.tanh(x[i]) for i in range(n_units))
    return rates, fluctuations, output, states, x_bar


def trace(rates, fluctuations, theta, *, dt, tau_e, onset=0.0, plain_sum=False):
    """de/dt = Σ θ_kℓ r_j^k Δ_i^ℓ − e/τ_e, step by step and synapse by synapse."""
    n_steps, n_units = rates.shape
    e = np.zeros((n_units, n_units))
    for t in range(n_steps):
        if not plain_sum:
            e = e - dt / tau_e * e
        if t * dt < onset:
            continue
        for i in range(n_units):
            for j in range(n_units):
                for k in range(theta.shape[0]):
                    for ell in range(theta.shape[1]):
                        term = theta[k, ell] * rates[t, j] ** k * fluctuations[t, i] ** ell
                        e[i, j] += term if plain_sum else dt * term
    return e


def learn(network, episodes, rule, learner):
    """Trials of learning; returns errors and the final W. ``episodes`` hold NumPy arrays."""
    W, W_in, W_out = (np.array(a) for a in network)
    dynamics = learner.dynamics
    x_bar = np.zeros(W.shape[0])
    n_slots = 1 + max(int(episode.trial.condition) for episode in episodes)
    baseline = np.full(n_slots if learner.per_condition else 1, learner.initial_baseline)
    errors = []
    for h, (trial, kicks, x, *_) in enumerate(episodes):
        options = {"dt": dynamics.dt, "tau": dynamics.tau, "gain": dynamics.gain}
        if dynamics.clamp_start:
            x = np.array([dict(dynamics.clamped).get(i, x[i]) for i in range(len(x))])
        start = x if learner.reset_filter else x_bar
        args = (W, W_in, W_out, trial.inputs, kicks, x, start)
        rates, delta, z, _, x_bar = simulate(*args, **options, clamped=dynamics.clamped)
        if rule.trace.of_kicks:
            delta = -kicks
        options = {"onset": rule.trace.onset, "plain_sum": rule.trace.plain_sum}
        e = trace(rates, delta, rule.coefficients, dt=dynamics.dt, tau_e=rule.tau_e, **options)
        steps = [t for t in range(len(z)) if trial.response[t]]
        error = sum(abs(z[t] - trial.target[t]) for t in steps) / len(steps)
        reward = -error if learner.reward == "graded" else float(error < learner.correct_below)
        slot = int(trial.condition) if learner.per_condition else 0
        factor = reward - baseline[slot]
        if is_scaled(rule):
            factor = -baseline[slot] * factor
        if h >= learner.first_update:
            for i in range(W.shape[0]):
                for j in range(W.shape[0]):
                    change = rule.learning_rate * e[i, j] * factor
                    W[i, j] += min(max(change, -rule.clip), rule.clip)
        baseline[slot] = baseline[slot] + learner.baseline_rate * (reward - baseline[slot])
        errors.append(error)
    return np.array(errors), W


def course(theta, network, episodes, rule, learner, held=None, filtered=None):
    """W after each of the stacked episodes, (H, N, N), as a function to differentiate.

    A scan over trials of a scan over steps that carries the trace, synapse by synapse, in the way
    one would write it first. ``held`` takes the place of the prediction errors, ``filtered`` that
    of the x̄ to start from.
    """
    dynamics = learner.dynamics
    dt, n_slots = dynamics.dt, 8 if learner.per_condition else 1

    def trial(carry, inputs):
        W, x_bar, baseline = carry
        h, (shown, kicks, x, *_), factor = inputs

        def step(carry, now):
            x, x_bar, e = carry
            t, u, kick = now
            r = jnp.tanh(x)
            new = x + dt / dynamics.tau * (-x + W @ r + network.W_in @ u) + kick
            for unit, value in dynamics.clamped:
                new = new.at[unit].set(value)
            post = -kick if rule.trace.of_kicks else x_bar - new
            growth = 0.0
            for k in range(theta.shape[0]):
                for ell in range(theta.shape[1]):
                    growth = growth + theta[k, ell] * jnp.outer(post**ell, r**k)
            growth = jnp.where(t * dt >= rule.trace.onset, growth, 0.0)
            e = e + growth if rule.trace.plain_sum else e + dt * (growth - e / rule.tau_e)
            x_bar = x_bar + dynamics.gain * (new - x_bar)
            return (new, x_bar, e), network.W_out @ jnp.tanh(new)

        start = (x, x if learner.reset_filter else x_bar, jnp.zeros_like(W))
        times = jnp.arange(kicks.shape[0]).astype(float)
        (_, x_bar, e), z = jax.lax.scan(step, start, (times, shown.inputs, kicks))
        reward = -jnp.mean(jnp.abs(z - shown.target), where=shown.response)
        slot = shown.condition if learner.per_condition else 0
        error = reward - baseline[slot]
        if is_scaled(rule):
            error = -baseline[slot] * error
        error = error if factor is None else factor
        change = jnp.clip(rule.learning_rate * e * error, -rule.clip, rule.clip)
        W = jnp.where(h >= learner.first_update, W + change, W)
        baseline = baseline.at[slot].add(learner.baseline_rate * (reward - baseline[slot]))
        return (W, x_bar, baseline), W

    n_trials = episodes.kicks.shape[0]
    baseline = jnp.full(n_slots, learner.initial_baseline)
    filtered = jnp.zeros(network.W.shape[0]) if filtered is None else filtered
    carry = (network.W, filtered, baseline)
    return jax.lax.scan(trial, carry, (jnp.arange(n_trials), episodes, held))[1]
