import dataclasses

import jax
import jax.numpy as jnp
import linear
import numpy as np
import pytest
from cases import CARRIED, CASES, LEARNER, N_UNITS, TASK

from plasticity.learning.lifetime import learn
from plasticity.learning.trial import first_trajectory
from plasticity.meta.estimators import (
    EvolutionStrategy,
    ExplicitTrace,
    Pathwise,
    own_stream,
    relative_scale,
    standard_normal,
)
from plasticity.meta.score_function import ParameterScore, WeightScore
from plasticity.model.network import make_network, random_network
from plasticity.rules.base import stack
from plasticity.rules.coordinates import in_coordinates
from plasticity.rules.three_factor import SoftBound
from plasticity.rules.trace import Frozen, term_scale

KEYS = jax.random.split(jax.random.key(4), 3)
NETWORKS = jax.vmap(lambda k: random_network(jax.random.fold_in(k, 7), N_UNITS, 2))(KEYS)
ALL = [
    Pathwise(),
    Pathwise(mode="forward"),
    EvolutionStrategy(spread=0.1),
    ParameterScore(spread=0.1, baseline="none"),
    WeightScore(sigma=0.01, baseline="none"),
    WeightScore(sigma=0.01, carry=True, baseline="none"),
    ExplicitTrace(),
]
NAMES = ["reverse", "forward", "evolution", "parameters", "U reset", "U carried", "explicit"]


@pytest.mark.parametrize("case", ["dense", CARRIED])
def test_the_explicit_trace_is_that_of_plain_loops(case):
    learner, rule = CASES[case]
    estimate = ExplicitTrace()(KEYS, NETWORKS, TASK, rule, learner, 3)
    wanted = np.zeros((3, *rule.coefficients.shape))
    lifetimes = learn(KEYS, NETWORKS, TASK, rule, learner, 3, observe=_seen)
    weights = np.asarray(rule.trace.weights(TASK.n_steps, learner.dynamics))
    rates, shifts, factors = map(np.asarray, lifetimes.observed)
    for b, h, k, ell in np.ndindex(3, 3, *rule.coefficients.shape):
        r, d = rates[b, h] ** k, shifts[b, h] ** ell
        # Over all synapses: a sum over i times one over j, step by step.
        explicit = sum(w * d[t].sum() * r[t].sum() for t, w in enumerate(weights))
        wanted[b, k, ell] += factors[b, h] * explicit / 3
    np.testing.assert_allclose(estimate.gradients, wanted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(estimate.returns, np.asarray(lifetimes.rewards).mean(axis=-1))


def _seen(before, episode, outcome):
    return outcome.seen.rates, outcome.seen.fluctuations, outcome.third_factor


def test_only_a_rule_with_a_trace_has_an_explicit_one():
    learner, rule = CASES["dense"]
    other = in_coordinates(
        rule.replace(bound=SoftBound(jnp.array(1.0))), np.eye(16).reshape(16, 4, 4)
    )
    with pytest.raises(ValueError, match="a rule that has a trace; got InCoordinates: make it by"):
        ExplicitTrace()(KEYS, NETWORKS, TASK, other, learner, 2)


@pytest.mark.parametrize("case", ["dense", "one term", "kick", CARRIED])
def test_forward_and_reverse_mode_agree(case):
    learner, rule = CASES["dense" if case == "kick" else case]
    if case == "kick":
        rule = rule.replace(trace=dataclasses.replace(rule.trace, of_kicks=True))
    at = (KEYS, NETWORKS, TASK, rule, learner, 6)
    back, forth = Pathwise()(*at), Pathwise(mode="forward")(*at)
    for a, b in zip(back.gradients, forth.gradients, strict=True):
        assert np.linalg.norm(a - b) < 1e-9 * np.linalg.norm(a)
    np.testing.assert_allclose(back.returns, forth.returns, rtol=1e-12)
    assert back.finite.all() and forth.finite.all()


def test_pathwise_is_the_slope_of_the_sampled_return():
    learner, rule = CASES[CARRIED]
    gradients, sampled, _ = map(np.asarray, Pathwise()(KEYS, NETWORKS, TASK, rule, learner, 6))
    # Relative to θ ~ 1 a step of 1e-5 truncates at 1e-10 and rounds at 1e-16 / 1e-5 of J ~ 1; J
    # moves by 1e-2 to 1e-1 of that, and corners lie further off than the step.
    directions = np.random.default_rng(0).normal(size=(5, 4, 4))
    moves = np.concatenate([1e-5 * directions, -1e-5 * directions, np.zeros((1, 4, 4))])
    rules = stack([rule.replace(coefficients=rule.coefficients + move) for move in moves])
    rewards = learn(KEYS, NETWORKS, TASK, rules, learner, 6).rewards
    *returns, unmoved = np.asarray(rewards).mean(axis=-1)
    np.testing.assert_allclose(sampled, unmoved, rtol=1e-12)
    slopes = np.subtract(returns[:5], returns[5:]) / 2e-5
    expected = np.tensordot(directions, gradients, ((1, 2), (1, 2)))
    sizes = np.linalg.norm(gradients, axis=(1, 2))
    assert np.all(np.abs(slopes - expected) < 1e-6 * sizes)
    assert np.all(np.abs(slopes[::-1] - expected).max(axis=0) > 1e-2 * sizes)


def moves(keys, spread):
    like = linear.RULE.coefficients
    noise = np.stack([standard_normal(own_stream(key), like) for key in keys])
    return noise, spread * noise / np.array(linear.SCALE)


@pytest.mark.parametrize(("clip", "exact"), [(np.inf, True), (0.3, False)])
def test_antithetic_pairs_give_the_slope_of_a_quadratic_at_any_spread(clip, exact):
    keys, networks = linear.lifetimes(4)
    rule = linear.RULE.replace(clip=jnp.array(clip))
    at = (keys, networks, linear.TASK, rule, linear.LEARNER, 3)
    spread = 1.5
    found = EvolutionStrategy(spread=spread, scale=linear.SCALE)(*at)
    slopes = Pathwise()(*at).gradients
    noise, move = moves(keys, spread)
    shares = np.sum(move * np.asarray(slopes), axis=(1, 2)) / spread
    expected = noise * np.array(linear.SCALE) * shares[:, None, None]
    gap = np.abs(found.gradients - expected).max() / np.abs(expected).max()
    assert gap < 1e-9 if exact else gap > 1e-4
    assert found.finite.all()


def z_scores(gradients, truth):
    """Of the mean of the coefficients without Δ; those of the kick have no gradient here."""
    gaps = (np.asarray(gradients) - np.asarray(truth))[:, :, 0]
    return np.abs(gaps.mean(axis=0) / (gaps.std(axis=0, ddof=1) / len(gaps) ** 0.5))


@pytest.mark.parametrize(
    "estimator",
    [
        EvolutionStrategy(spread=1.0, scale=linear.SCALE),
        ParameterScore(spread=1.0, scale=linear.SCALE),
        WeightScore(sigma=0.3),
    ],
)
def test_estimators_of_a_quadratic_are_unbiased(estimator):
    # Rewards are affine in what each trial draws, so J of diffusing weights, of a jittering rule
    # and of smoothed rules all have the gradient of J. Two components within 4.5 standard errors:
    # a correct estimator fails with one seed in 70,000.
    keys, networks = linear.lifetimes(16000, same=True)
    course = (linear.TASK, linear.RULE, linear.QUIET, 3)
    at = (keys, networks, *course)
    truth = Pathwise()(*jax.tree.map(lambda a: a[:4], at[:2]), *course).gradients[0]
    found = estimator(*at).gradients
    assert z_scores(found, truth).max() < 4.5
    # The controls: no gradient, twice the gradient and the immediate reward only do not pass.
    assert z_scores(found, 0 * truth).max() > 8 and z_scores(found, 2 * truth).max() > 8
    if not isinstance(estimator, EvolutionStrategy):
        wrong = dataclasses.replace(estimator, credit="immediate")
        assert z_scores(wrong(*at).gradients, truth).max() > 8


def test_evolution_takes_binary_rewards_and_pathwise_does_not():
    binary = dataclasses.replace(LEARNER, reward="binary", initial_baseline=0.0)
    at = (KEYS, NETWORKS, TASK, CASES["dense"][1], binary, 6)
    for mode in ("reverse", "forward"):
        with pytest.raises(ValueError, match="a reward that has a derivative; got binary: use a"):
            Pathwise(mode=mode)(*at)
    result = EvolutionStrategy(spread=0.1)(*at)
    assert result.finite.all() and np.isin(np.round(12 * result.returns, 9), range(13)).all()


@pytest.mark.parametrize("estimator", ALL, ids=NAMES)
def test_a_lifetime_that_is_not_finite_does_no_harm(estimator):
    learner, rule = CASES["dense"]
    W = NETWORKS.W.at[1].set(1e308)
    bad = make_network(W, NETWORKS.W_in, NETWORKS.W_out)
    result = estimator(KEYS, bad, TASK, rule, learner, 6)
    assert result.finite.tolist() == [True, False, True]
    assert np.isnan(result.returns[1]) and not result.gradients[1].any()
    without = estimator(KEYS, NETWORKS, TASK, rule, learner, 6)
    assert without.finite.all()
    np.testing.assert_array_equal(result.returns[::2], without.returns[::2])
    np.testing.assert_array_equal(result.gradients[::2], without.gradients[::2])


@pytest.mark.parametrize("estimator", ALL, ids=NAMES)
def test_estimates_repeat_and_depend_on_the_key(estimator):
    learner, rule = CASES["dense"]
    first = estimator(KEYS, NETWORKS, TASK, rule, learner, 6)
    again = estimator(KEYS, NETWORKS, TASK, rule, learner, 6)
    other = estimator(KEYS[::-1], NETWORKS, TASK, rule, learner, 6)
    np.testing.assert_array_equal(first.gradients, again.gradients)
    assert not np.any(first.gradients == other.gradients, axis=(1, 2))[::2].any()
    assert first.gradients.shape == (3, 4, 4)
    assert hash(estimator) == hash(dataclasses.replace(estimator))


def test_noise_that_vanishes_leaves_the_sampled_return():
    learner, rule = CASES["dense"]
    at = (KEYS, NETWORKS, TASK, rule, learner, 6)
    for estimator in (WeightScore(sigma=1e-12), EvolutionStrategy(spread=1e-9)):
        np.testing.assert_allclose(estimator(*at).returns, Pathwise()(*at).returns, rtol=1e-8)


def test_scale_is_that_of_a_first_trial():
    learner, rule = CASES["dense"]
    network = jax.tree.map(lambda a: a[0], NETWORKS)
    run = jax.jit(lambda: first_trajectory(KEYS[0], network, TASK, rule, learner))()
    full = term_scale(run.rates, run.fluctuations, 3)
    scale = relative_scale(KEYS[0], network, TASK, rule, learner)
    np.testing.assert_allclose(scale, full / full[3, 3], rtol=1e-12)
    given = EvolutionStrategy(spread=0.1, scale=tuple(map(tuple, scale.tolist())))
    at = (KEYS, NETWORKS, TASK, rule, learner, 6)
    found, implied = given(*at).gradients, EvolutionStrategy(spread=0.1)(*at).gradients
    np.testing.assert_allclose(found, implied, rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pathwise(mode="sideways"), "mode reverse or forward; got sideways"),
        (lambda: EvolutionStrategy(spread=0.0), "spread > 0; got 0.0"),
        (lambda: ParameterScore(spread=-1.0), "spread > 0; got -1.0"),
        (lambda: WeightScore(sigma=0.0), "sigma > 0; got 0.0"),
        (lambda: WeightScore(sigma=1.0, discount=1.5), "0 ≤ discount ≤ 1; got 1.5"),
        (lambda: WeightScore(sigma=1.0, baseline="own"), "baseline leave-one-out or none; got own"),
        (lambda: WeightScore(sigma=1.0, credit="late"), "credit to-go, all or immediate; got late"),
    ],
)
def test_options_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_arguments_are_checked():
    learner, rule = CASES["dense"]
    one = jax.tree.map(lambda a: a[0], NETWORKS)
    rules = jax.tree.map(lambda a: a[None], rule)
    for at in ((KEYS[:2], NETWORKS, TASK, rule), (KEYS, one, TASK, rule)):
        with pytest.raises(ValueError, match="B keys, B networks, one rule"):
            Pathwise()(*at, learner, 6)
    with pytest.raises(ValueError, match="is one rule"):
        WeightScore(sigma=0.1)(KEYS, NETWORKS, TASK, rules, learner, 6)
    with pytest.raises(ValueError, match="as many trials as conditions"):
        Pathwise()(KEYS, NETWORKS, TASK, rule, learner, 1)
    for scale in (((1.0,),), tuple(map(tuple, np.zeros((4, 4)).tolist()))):
        with pytest.raises(ValueError, match=r"a positive scale of shape \(4, 4\)"):
            EvolutionStrategy(spread=0.1, scale=scale)(KEYS, NETWORKS, TASK, rule, learner, 6)
    frozen = rule.replace(trace=Frozen(rule.trace))
    with pytest.raises(ValueError, match="closed-form tangents .*; got ThreeFactor of Frozen"):
        WeightScore(sigma=0.1, carry=True)(KEYS, NETWORKS, TASK, frozen, learner, 6)
