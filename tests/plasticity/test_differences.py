import jax.numpy as jnp
import numpy as np
import pytest
from cases import DENSE, KEY, LEARNER, NETWORK, TASK
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity.derivatives import tangent
from plasticity.derivatives.differences import compare_with_differences, decades_near_best
from plasticity.derivatives.tangent import Differentiation
from plasticity.rules.three_factor import make_rule

STEPS = (3e-2, 3e-3, 1e-4)
RULE = make_rule(DENSE, learning_rate=1e-4, tau_e=60.0)


def _compare(rule=RULE, n_trials=12, **options):
    differentiation = Differentiation(**options)
    arguments = (KEY, NETWORK, TASK, rule, LEARNER, n_trials, STEPS)
    return compare_with_differences(*arguments, differentiation=differentiation, n_synapses=5)


@pytest.mark.parametrize("rewards", [False, True])
def test_differences_approach_the_tangents_as_theory_says(rewards):
    result = _compare(rewards=rewards)
    assert not result.crossed.any()
    errors = np.asarray(result.update_gaps / result.update_norms[:, None])
    # The first update is linear in θ: only round-off, which falls with the step.
    assert (errors[0, 0] < 1e-11).all() and (errors[0, 0] < errors[0, 2]).all()
    # Truncation of later ones is of order s²: a hundredth for a tenth of the step.
    large = errors[1:, 0] > 1e-8
    ratio = errors[1:, 0][large] / errors[1:, 1][large]
    assert large.sum() > 3 and 80 < np.median(ratio) < 120
    assert np.median(errors[-1].min(axis=0)) < 1e-9
    weights = np.asarray(result.weight_gaps / result.weight_norms[:, None])
    assert np.median(weights[-1].min(axis=0)) < 1e-8
    forward, quotient = result.sample[-1]
    assert forward.shape == (5, 16)
    np.testing.assert_allclose(forward, quotient, atol=1e-4 * float(jnp.abs(forward).max()))


def test_a_wrong_tangent_shows(monkeypatch):
    explicit = tangent.explicit_trace_tangent
    monkeypatch.setattr(tangent, "explicit_trace_tangent", lambda *a: 1.001 * explicit(*a))
    # Other arguments than above, so that it is traced anew.
    result = _compare(n_trials=11)
    errors = np.asarray(result.update_gaps / result.update_norms[:, None])
    assert np.median(errors) > 3e-4


def test_a_crossed_corner_is_reported():
    clipped = _compare(RULE.replace(clip=jnp.array(3e-4)))
    crossed = np.asarray(clipped.crossed)
    assert crossed[:, 0].any() and (crossed[1:] >= crossed[:-1]).all()
    # Smaller steps cross less, and what crosses nothing is a derivative.
    assert crossed[-1, 2].sum() < crossed[-1, 0].sum()
    errors = np.asarray(clipped.weight_gaps / clipped.weight_norms[:, None])
    assert errors[:, 2][~crossed[:, 2]].max() < 1e-7 < 1e-4 < errors[:, 0][crossed[:, 0]].max()


@settings(deadline=None)
@given(st.floats(-0.4, 0.4), st.floats(-5.5, -4))
def test_the_width_of_a_valley_is_that_of_its_formula(shift, bottom):
    steps = 10.0 ** np.arange(-2, -8, -0.5)
    best = 10.0 ** (bottom + shift)
    errors = np.maximum(best / steps, steps / best)
    # |log s − log s*| in decades: a decade on either side, less what the grid adds at the bottom.
    width = float(decades_near_best(steps, errors))
    assert 2.0 - 1e-9 <= width <= 2.0 + 2 * 0.25 + 1e-9


def test_a_valley_beyond_the_steps_ends_with_them():
    steps = [1e-3, 1e-4, 1e-5]
    assert decades_near_best(steps, np.array([1.0, 2.0, 3.0])) == pytest.approx(2.0)
    assert decades_near_best(steps, np.array([[1.0, 100.0, 1e4]])) == pytest.approx([0.5])
