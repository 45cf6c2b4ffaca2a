"""Rules with a filter of their own and weights that decay, by hand and in the outer loop."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import KEY, LEARNER, NETWORK, TASK
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity.learning.lifetime import learn
from plasticity.learning.trial import draw_episode, initial_learning_state, learn_trial
from plasticity.meta.objective import mean_reward
from plasticity.rules.coordinates import in_coordinates
from plasticity.rules.perturbation import weight_perturbation
from plasticity.rules.three_factor import SoftBound, make_rule
from plasticity.rules.time_constants import fluctuations_of, with_time_constants

THETA = np.random.default_rng(2).normal(size=(4, 4))
SOFT = make_rule(THETA, learning_rate=0.02, bound=SoftBound(0.03), tau_e=60.0)
TIMES = {"tau_e": (10.0, 60.0), "tau_filter": (10.0, 35.0), "tau_w": (1.0, 50.0)}
BASIS = np.eye(16).reshape(16, 4, 4)


def _trials(rule, n=3):
    """Outcomes and states of first trials."""
    state, found = initial_learning_state(NETWORK, TASK, rule, LEARNER), []
    for trial in range(n):
        episode = draw_episode(KEY, trial, TASK, LEARNER, NETWORK.W.shape[0])
        before = state
        state, outcome = learn_trial(state, episode, NETWORK, rule, LEARNER)
        found.append((before, episode, outcome, state))
    return found


def _by_hand(rule, tau_filter, tau_w, found):
    """W after each trial, from its activity by plain loops."""
    dt, weights = LEARNER.dynamics.dt, []
    for before, episode, outcome, _ in found:
        W, states = np.array(before.W), np.array(outcome.trajectory.states)
        mean, delta = np.array(episode.state), np.zeros_like(states)
        for t, x in enumerate(states):
            delta[t] = mean - x
            mean = mean + (1 - np.exp(-dt / tau_filter)) * (x - mean)
        e = oracles.trace(np.array(outcome.trajectory.rates), delta, THETA, dt=dt, tau_e=60.0)
        factor = float(outcome.reward - before.baseline[int(episode.trial.condition)])
        change = 0.03 * np.tanh(0.02 * factor * e / 0.03)
        weights.append(W + change - W / tau_w)
    return weights


def test_weights_move_and_decay_as_loops_say():
    rule = with_time_constants(SOFT, tau_filter=35.0, tau_w=50.0)
    found = _trials(rule)
    for by_hand, (*_, state) in zip(_by_hand(rule, 35.0, 50.0, found), found, strict=True):
        np.testing.assert_allclose(state.W, by_hand, rtol=1e-9, atol=1e-12)
    # With another filter, or without the decay, the loops say something else.
    for wrong in ((20.0, 50.0), (35.0, 1e9)):
        other = _by_hand(rule, *wrong, found)
        assert np.abs(other[0] - np.asarray(found[0][-1].W)).max() > 1e-6


def test_a_filter_like_the_networks_changes_nothing():
    """Where x̄ starts anew in each trial, the two are one; and infinite times leave a rule alone."""
    dynamics = dataclasses.replace(LEARNER.dynamics, filter_gain=None)
    learner = dataclasses.replace(LEARNER, reset_filter=True, dynamics=dynamics)
    same = with_time_constants(SOFT, tau_filter=dynamics.tau_filter, tau_w=np.inf)
    ours, plain = (learn(KEY, NETWORK, TASK, rule, learner, 4) for rule in (same, SOFT))
    np.testing.assert_allclose(ours.state.W, plain.state.W, rtol=1e-9, atol=1e-12)
    other = learn(KEY, NETWORK, TASK, with_time_constants(SOFT, tau_filter=80.0), learner, 4)
    assert np.abs(np.asarray(other.state.W - plain.state.W)).max() > 1e-6


@given(st.integers(1, 12), st.floats(0.01, 1.0), st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_a_filter_is_a_weighted_mean_of_the_past(n, gain, seed):
    """x̄_t = (1−a)^t x_0 + a Σ_s (1−a)^{t−1−s} x_{s+1}: written out, and linear."""
    states = np.random.default_rng(seed).normal(size=(n + 1, 2))
    found = fluctuations_of(jnp.asarray(states[1:]), jnp.asarray(states[0]), gain)
    for t in range(n):
        past = [gain * (1 - gain) ** (t - 1 - s) * states[s + 1] for s in range(t)]
        mean = (1 - gain) ** t * states[0] + sum(past)
        np.testing.assert_allclose(found[t], mean - states[t + 1], rtol=1e-9, atol=1e-12)


def _value(parameters, rule):
    return mean_reward(parameters, KEY, NETWORK, TASK, rule, LEARNER, 4)[0]


@pytest.mark.parametrize("names", [("tau_e",), ("tau_filter",), ("tau_w",), tuple(TIMES)])
def test_slopes_in_time_constants_are_central_differences(names):
    within = in_coordinates(SOFT, BASIS, {name: TIMES[name] for name in names})
    assert within.told == within.composed.told and within.times == names
    for name, value in within.time_constants.items():
        assert float(value) == pytest.approx(TIMES[name][1])
    slope = np.asarray(jax.grad(_value)(within.parameters, within))[17:]
    step = 1e-4
    for place, name in enumerate(names):
        there, back = (
            float(_value(within.parameters.at[17 + place].add(sign * step), within))
            for sign in (1, -1)
        )
        # Central differences of a smooth function in float64: off by step² and by 1e-16/step.
        assert abs(slope[place] - (there - back) / (2 * step)) < 1e-7 * max(1, abs(slope[place]))
        assert abs(slope[place]) > 1e-5, name


def test_coordinates_compose_the_rule_of_these_times():
    within = in_coordinates(SOFT, BASIS, TIMES)
    moved = within.with_parameters(within.parameters.at[17:].set(np.log([2.0, 0.5, 3.0])))
    times = {name: float(value) for name, value in moved.time_constants.items()}
    assert times == pytest.approx({"tau_e": 110.0, "tau_filter": 22.5, "tau_w": 148.0})
    ours = learn(KEY, NETWORK, TASK, moved, LEARNER, 4)
    plain = learn(KEY, NETWORK, TASK, with_time_constants(SOFT, **times), LEARNER, 4)
    np.testing.assert_allclose(ours.state.W, plain.state.W, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("times", "named"),
    [
        ({"tau_x": (1.0, 2.0)}, r"time constants of a rule; got \['tau_x'\]"),
        ({"tau_w": (2.0, 2.0)}, "0 < least < first tau_w < ∞"),
        ({"tau_e": (10.0, np.inf)}, "0 < least < first tau_e < ∞"),
    ],
)
def test_times_that_cannot_be_learned_are_named(times, named):
    with pytest.raises(ValueError, match=named):
        in_coordinates(SOFT, BASIS, times)


def test_times_below_a_step_are_named():
    with pytest.raises(ValueError, match="dt ≤ tau_filter"):
        learn(KEY, NETWORK, TASK, with_time_constants(SOFT, tau_filter=1.0), LEARNER, 4)
    with pytest.raises(ValueError, match="tau_w ≥ 1 trial"):
        with_time_constants(SOFT, tau_w=0.5)
    with pytest.raises(ValueError, match="tau_w > 0"):
        with_time_constants(SOFT, tau_w=-1.0)
    with pytest.raises(ValueError, match="ThreeFactor of Polynomial; got WeightPerturbation"):
        with_time_constants(weight_perturbation(0.1), tau_w=5.0)
    within = in_coordinates(SOFT, BASIS, {"tau_e": (1.0, 60.0)})
    with pytest.raises(ValueError, match="the least time constant; got {'tau_e': 1.0}"):
        learn(KEY, NETWORK, TASK, within, LEARNER, 4)
