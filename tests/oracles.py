"""Plain NumPy loops, written from the equations and sharing nothing with the package."""

import numpy as np


def simulate(W, W_in, W_out, inputs, kicks, x, x_bar, *, dt, tau, gain, clamped=()):
    """One trial, unit by unit; returns rates, fluctuations, output, x and x̄ at the end."""
    n_steps, n_units = kicks.shape
    x, x_bar = np.array(x), np.array(x_bar)
    rates, fluctuations = np.zeros((n_steps, n_units)), np.zeros((n_steps, n_units))
    output = np.zeros(n_steps)
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
        rates[t], fluctuations[t] = r, x_bar - new
        x, x_bar = new, x_bar + gain * (new - x_bar)
        output[t] = sum(W_out[i] * np.tanh(x[i]) for i in range(n_units))
    return rates, fluctuations, output, x, x_bar


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
    for h, (trial, kicks, x) in enumerate(episodes):
        options = {"dt": dynamics.dt, "tau": dynamics.tau, "gain": dynamics.gain}
        start = x if learner.reset_filter else x_bar
        args = (W, W_in, W_out, trial.inputs, kicks, x, start)
        rates, delta, z, _, x_bar = simulate(*args, **options, clamped=dynamics.clamped)
        if rule.true_kick:
            delta = -kicks
        options = {"onset": learner.trace_onset, "plain_sum": learner.plain_sum}
        e = trace(rates, delta, rule.coefficients, dt=dynamics.dt, tau_e=rule.tau_e, **options)
        steps = [t for t in range(len(z)) if trial.response[t]]
        error = sum(abs(z[t] - trial.target[t]) for t in steps) / len(steps)
        reward = -error if learner.reward == "graded" else float(error < learner.correct_below)
        slot = int(trial.condition) if learner.per_condition else 0
        factor = reward - baseline[slot]
        if learner.error_factor:
            factor = -baseline[slot] * factor
        if h >= learner.first_update:
            for i in range(W.shape[0]):
                for j in range(W.shape[0]):
                    change = rule.learning_rate * e[i, j] * factor
                    W[i, j] += min(max(change, -rule.clip), rule.clip)
        baseline[slot] = baseline[slot] + learner.baseline_rate * (reward - baseline[slot])
        errors.append(error)
    return np.array(errors), W
