"""A rule in coordinates of one's own, and the outer loop in them."""

import dataclasses

import jax
import numpy as np
import pytest
from cases import KEY, LEARNER, NETWORK, TASK
from outer_loop import CONFIG, RULE, SCALE, SETTING

from plasticity.learning.lifetime import learn
from plasticity.meta.estimators import Pathwise
from plasticity.meta.objective import mean_reward
from plasticity.meta.train import meta_train
from plasticity.rules.coordinates import in_coordinates
from plasticity.rules.perturbation import weight_perturbation
from plasticity.rules.three_factor import SoftBound, make_rule

THETA = np.random.default_rng(2).normal(size=(4, 4))
BASIS = np.random.default_rng(3).normal(size=(16, 4, 4))
SOFT = make_rule(THETA, learning_rate=0.02, bound=SoftBound(0.03))


def test_coordinates_give_back_the_rule_they_were_made_from():
    within = in_coordinates(SOFT, BASIS)
    np.testing.assert_allclose(within.composed.coefficients, THETA, rtol=1e-9, atol=1e-12)
    assert float(within.composed.clip) == 0.03 and within.told == SOFT.told
    ours, plain = (learn(KEY, NETWORK, TASK, rule, LEARNER, 4) for rule in (within, SOFT))
    # Coefficients differ by the rounding of a linear system.
    np.testing.assert_allclose(ours.state.W, plain.state.W, rtol=1e-9, atol=1e-11)
    assert np.abs(np.asarray(plain.state.W - NETWORK.W)).max() > 1e-3
    wider = within.with_parameters(within.parameters.at[-1].set(np.log(2.0)))
    assert float(wider.composed.clip) == pytest.approx(0.06)


def _value(parameters, rule):
    return mean_reward(parameters, KEY, NETWORK, TASK, rule, LEARNER, 4)[0]


def test_slopes_in_coordinates_follow_from_those_of_coefficients_and_bound():
    within = in_coordinates(SOFT, BASIS)
    slope = jax.grad(_value)(within.parameters, within)
    chained = np.tensordot(BASIS, jax.grad(_value)(SOFT.coefficients, SOFT), axes=2)
    np.testing.assert_allclose(slope[:-1], chained, rtol=1e-6, atol=1e-12)
    sides = [
        float(_value(SOFT.coefficients, SOFT.replace(clip=0.03 * np.exp(step))))
        for step in (1e-4, -1e-4)
    ]
    # A smooth function: central differences are off by the square of the step.
    assert slope[-1] == pytest.approx((sides[0] - sides[1]) / 2e-4, rel=1e-5) and slope[-1] != 0


@pytest.mark.parametrize(
    ("rule", "basis", "named"),
    [
        (make_rule(THETA, clip=0.1), BASIS, "a bound with a derivative; got Clip"),
        (SOFT, BASIS[:, :3], r"a basis \(P, 4, 4\); got \(16, 3, 4\)"),
        (SOFT, BASIS[:3], "the basis reaches the rule's coefficients"),
        (weight_perturbation(0.1), BASIS, "ThreeFactor of Polynomial; got WeightPerturbation"),
    ],
)
def test_coordinates_that_do_not_fit_are_named(unchecked, rule, basis, named):
    with pytest.raises(ValueError, match=named):
        in_coordinates(rule, basis)


def test_a_course_in_scaled_coordinates_is_that_of_coefficients():
    """A basis of single terms of unit size, and a bound so wide that it does nothing."""
    config = dataclasses.replace(CONFIG, n_iterations=2, sparsity=0.0)
    rule = RULE.replace(bound=SoftBound(1e6))
    basis = np.eye(16).reshape(16, 4, 4) / SCALE.reshape(-1, 1, 1)
    within = in_coordinates(rule, basis)
    plain = meta_train(SETTING, Pathwise(), rule, config)
    course = meta_train(SETTING, Pathwise(), within, config, scale=np.ones(17))
    assert course.coefficients.shape == (3, 17) and course.scale.shape == (17,)
    theta = np.tensordot(course.coefficients[:, :-1], basis, axes=1)
    np.testing.assert_allclose(theta, plain.coefficients, rtol=1e-6, atol=1e-9)
    assert np.abs(plain.coefficients[-1] - plain.coefficients[0]).max() > 1e-2
    # Nor is the bound moved by what does nothing.
    np.testing.assert_allclose(course.coefficients[:, -1], 0.0, atol=1e-6)


@pytest.mark.parametrize("scale", [np.ones(16), np.zeros(17), np.full(17, np.nan)])
def test_a_scale_that_does_not_fit_is_named(scale):
    within = in_coordinates(SOFT, BASIS)
    with pytest.raises(ValueError, match=r"a positive scale of shape \(17,\)"):
        meta_train(SETTING, Pathwise(), within, CONFIG, scale=scale)


def test_a_rule_without_coefficients_wants_a_scale():
    with pytest.raises(ValueError, match="a rule with coefficients has a scale; got InCoord"):
        meta_train(SETTING, Pathwise(), in_coordinates(SOFT, BASIS), CONFIG)
    with pytest.raises(ValueError, match="a rule whose parameters can be learned; got ThreeF"):
        meta_train(SETTING, Pathwise(), weight_perturbation(0.1), CONFIG, scale=np.ones(1))
