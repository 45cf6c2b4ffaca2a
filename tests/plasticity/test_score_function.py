import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import linear
import numpy as np
import pytest
from cases import CARRIED, CASES, KEY, N_UNITS, NETWORK, TASK

from plasticity.learning.lifetime import yoked
from plasticity.learning.trial import draw_episode, initial_learning_state, learn_trial
from plasticity.meta.score_function import (
    ScoreProgram,
    WeightScore,
    carried_trial,
    parameter_trial,
    sample_scores,
    score_gradients,
    weight_trial,
)

SIGMA, N_TRIALS = 0.02, 3
NOISE = np.random.default_rng(1).normal(size=(N_TRIALS, N_UNITS, N_UNITS))


def loops(scores, rewards, conditions, finite, discount, baseline, credit):
    """`score_gradients` one number at a time."""
    n, n_trials = rewards.shape
    gradients = np.zeros((n, *scores.shape[2:]))
    for b in range(n):
        if not finite[b]:
            continue
        centred = []
        for h in range(n_trials):
            others = [c for c in range(n) if c != b and finite[c]]
            alike = [c for c in others if conditions[c, h] == conditions[b, h]] or others
            mean = sum(rewards[c, h] for c in alike) / len(alike) if alike else 0.0
            centred.append(rewards[b, h] - (mean if baseline == "leave-one-out" else 0.0))
        for h in range(n_trials):
            total = 0.0
            for later in range(n_trials):
                if credit == "all" and later <= h:
                    total += centred[later]
                elif later == h + 1 or (later > h and credit != "immediate"):
                    total += discount ** (later - h - 1) * centred[later]
            gradients[b] += scores[b, h] * total / n_trials
    return gradients


def sample(n=5, n_trials=6, n_conditions=3):
    draw = np.random.default_rng(0)
    scores, rewards = draw.normal(size=(n, n_trials, 2, 2)), draw.normal(size=(n, n_trials))
    conditions = draw.integers(0, n_conditions, size=(n, n_trials), dtype=np.int32)
    return scores, rewards - 3, conditions, np.ones(n, bool)


@pytest.mark.parametrize(
    ("discount", "baseline", "credit"),
    [
        (1.0, "leave-one-out", "to-go"),
        (0.7, "none", "to-go"),
        (0.7, "leave-one-out", "all"),
        (1.0, "none", "immediate"),
        (0.0, "leave-one-out", "to-go"),
    ],
)
def test_credit_and_baselines_are_those_of_plain_loops(discount, baseline, credit):
    given = sample()
    shown = [[c[h] for c in given[2]] for h in range(6)]
    assert any(len(set(row)) == 3 for row in shown), "someone shares a condition with nobody"
    options = {"discount": discount, "baseline": baseline, "credit": credit}
    found = score_gradients(*map(jnp.asarray, given), **options)
    np.testing.assert_allclose(found, loops(*given, *options.values()), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("baseline", ["leave-one-out", "none"])
def test_lifetimes_that_are_not_finite_are_left_out(baseline):
    scores, rewards, conditions, finite = sample()
    kept = np.array([0, 2, 4])
    expected = loops(*(a[kept] for a in (scores, rewards, conditions, finite)), 1.0, baseline, "")
    scores[1], rewards[3], rewards[1] = np.nan, np.inf, 1e300
    finite[[1, 3]] = False
    given = map(jnp.asarray, (scores, rewards, conditions, finite))
    found = score_gradients(*given, baseline=baseline)
    np.testing.assert_allclose(found[kept], expected, rtol=1e-11, atol=1e-12)
    assert not np.any(found[np.array([1, 3])])


def test_a_lifetime_alone_has_no_baseline():
    alone = [jnp.asarray(a[:1]) for a in sample()]
    found = [score_gradients(*alone, baseline=b) for b in ("leave-one-out", "none")]
    np.testing.assert_array_equal(*found)


@partial(jax.jit, static_argnames=("learner", "carry"))
def exact_scores(rule, learner, carry):
    """Σ ξ ∂μ/∂θ by `jax.jacfwd` of plain learning at the given ξ, prediction errors held fixed."""

    def course(coefficients):
        at = rule.replace(coefficients=coefficients)
        state, changes = initial_learning_state(NETWORK, TASK, rule, learner), []
        for h in range(N_TRIALS):
            state = state if carry else jax.lax.stop_gradient(state)
            episode = draw_episode(KEY, state.trial, TASK, learner, N_UNITS)
            once = learn_trial(state, episode, NETWORK, at, learner)[1]
            held = jax.lax.stop_gradient(once.third_factor)
            state, outcome = learn_trial(state, episode, NETWORK, yoked(at, held), learner)
            noise = NOISE[h] if h >= learner.first_update else 0.0
            state = state._replace(W=state.W + SIGMA * noise)
            changes.append(jnp.sum(outcome.change * noise) / SIGMA)
        return jnp.stack(changes)

    return jax.jacfwd(course)(rule.coefficients)


@partial(jax.jit, static_argnames=("trial", "learner"))
def scores(trial, rule, learner):
    program = ScoreProgram(learner=learner, n_trials=N_TRIALS, trial=trial)
    return program(KEY, NETWORK, rule, task=TASK, size=SIGMA, noise=jnp.asarray(NOISE)).scores


@pytest.mark.parametrize(
    ("case", "carry"), [("dense", False), ("kick", False), (CARRIED, False), (CARRIED, True)]
)
def test_scores_are_slopes_of_the_update(case, carry):
    learner, rule = CASES["dense" if case == "kick" else case]
    if case == "kick":
        rule = rule.replace(trace=dataclasses.replace(rule.trace, of_kicks=True))
    found = scores(carried_trial if carry else weight_trial, rule, learner)
    expected = exact_scores(rule, learner, carry)
    size = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * size)
    if carry:  # the control: the two differ
        assert np.abs(scores(weight_trial, rule, learner) - expected).max() > 1e-6 * size


def test_carrying_matters_through_activity_alone():
    # Where neither rates nor kicks depend on W, and rewards are held fixed, there is nothing to
    # carry.
    keys, networks = linear.lifetimes(1)
    network = jax.tree.map(lambda a: a[0], networks)
    noise = jnp.asarray(NOISE[:, :3, :3])  # draws are float32 and round apart in two programs

    def course(trial):
        program = ScoreProgram(learner=linear.LEARNER, n_trials=N_TRIALS, trial=trial)
        options = {"task": linear.TASK, "size": 0.3, "noise": noise}
        return jax.jit(lambda: program(keys[0], network, linear.RULE, **options))()

    reset, carried = course(weight_trial), course(carried_trial)
    np.testing.assert_allclose(reset.scores, carried.scores, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(reset.rewards, carried.rewards, rtol=1e-12)


def test_coefficients_are_drawn_afresh_and_scored():
    learner, rule = CASES[CARRIED]
    noise = np.random.default_rng(2).normal(size=(N_TRIALS, 4, 4))
    size = np.full((4, 4), 0.1) + np.eye(4)
    program = ScoreProgram(learner=learner, n_trials=N_TRIALS, trial=parameter_trial)
    options = {"task": TASK, "size": size, "noise": jnp.asarray(noise)}
    found = jax.jit(lambda: program(KEY, NETWORK, rule, **options))()
    noise[0] = 0.0  # the first update is due in the second trial
    np.testing.assert_allclose(found.scores, noise / size, rtol=1e-12)
    state, rewards = initial_learning_state(NETWORK, TASK, rule, learner), []
    for h in range(N_TRIALS):
        moved = rule.replace(coefficients=rule.coefficients + size * noise[h])
        episode = draw_episode(KEY, state.trial, TASK, learner, N_UNITS)
        state, outcome = jax.jit(learn_trial, static_argnums=4)(
            state, episode, NETWORK, moved, learner
        )
        rewards.append(outcome.reward)
    np.testing.assert_allclose(found.rewards, rewards, rtol=1e-12)
    np.testing.assert_array_equal(found.conditions, [0, 1, 0])


def test_the_first_trials_of_a_sample_are_those_of_a_shorter_one():
    keys, networks = linear.lifetimes(3)
    at = (keys, networks, linear.TASK, linear.RULE, linear.LEARNER)
    long, short = (sample_scores(WeightScore(sigma=0.3), *at, n) for n in (5, 3))
    np.testing.assert_allclose(long.scores[:, :3], short.scores, rtol=1e-12)
    np.testing.assert_allclose(long.rewards[:, :3], short.rewards, rtol=1e-12)
