import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity.rules.trace import active_powers, decay_weights, eligibility_trace

DT = 2.0


def _activity(seed, n_steps=9, n_units=5):
    rng = np.random.default_rng(seed)
    rates = np.tanh(rng.normal(size=(n_steps, n_units)))
    return jnp.asarray(rates), jnp.asarray(0.5 * rng.normal(size=(n_steps, n_units)))


def _coefficients(seed, degree):
    return jnp.asarray(np.random.default_rng(seed + 1).normal(size=(degree + 1,) * 2))


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 7])
@pytest.mark.parametrize("tau_e", [2.0, 50.0, np.inf])
def test_trace_is_that_of_plain_loops(degree, tau_e):
    rates, delta = _activity(degree)
    theta = _coefficients(degree, degree)
    weights = decay_weights(len(rates), DT, tau_e)
    ours = eligibility_trace(rates, delta, theta, weights)
    args = (np.asarray(a) for a in (rates, delta, theta))
    plain = oracles.trace(*args, dt=DT, tau_e=tau_e)
    # Sums of at most 9 · 64 terms: rounding stays below 1e-12 of the largest entry.
    np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-12 * np.abs(plain).max())


@pytest.mark.parametrize("options", [{"onset": 6.0}, {"plain_sum": True, "onset": 3.0}])
def test_onset_and_plain_sum(options):
    rates, delta = _activity(3)
    theta = _coefficients(3, 3)
    weights = decay_weights(len(rates), DT, 30.0, **options)
    ours = eligibility_trace(rates, delta, theta, weights)
    args = (np.asarray(a) for a in (rates, delta, theta))
    plain = oracles.trace(*args, dt=DT, tau_e=30.0, **options)
    np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("term", [(k, ell) for k in range(6) for ell in range(6)])
def test_each_coefficient_changes_the_trace(term):
    rates, delta = _activity(11)
    weights = decay_weights(len(rates), DT, 40.0)
    theta = _coefficients(0, 5)
    change = eligibility_trace(rates, delta, theta.at[term].add(0.1), weights)
    change = np.asarray(change - eligibility_trace(rates, delta, theta, weights))
    k, ell = term
    alone = np.einsum("t,ti,tj->ij", 0.1 * weights, delta**ell, rates**k)
    assert np.abs(alone).max() > 1e-4
    np.testing.assert_allclose(change, alone, atol=1e-11)


@given(seed=st.integers(0, 2**31), degree=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_permuting_units_permutes_the_trace(seed, degree):
    rates, delta = _activity(seed)
    theta, weights = _coefficients(seed, degree), decay_weights(len(rates), DT, 25.0)
    order = np.random.default_rng(seed).permutation(rates.shape[1])
    direct = eligibility_trace(rates, delta, theta, weights)[order][:, order]
    permuted = eligibility_trace(rates[:, order], delta[:, order], theta, weights)
    np.testing.assert_allclose(permuted, direct, rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_without_decay_the_trace_is_the_plain_sum(seed):
    rates, delta = _activity(seed)
    theta = _coefficients(seed, 3)
    damped = eligibility_trace(rates, delta, theta, decay_weights(len(rates), DT, np.inf))
    plain = decay_weights(len(rates), DT, 10.0, plain_sum=True)
    summed = eligibility_trace(rates, delta, theta, plain)
    np.testing.assert_allclose(damped, DT * summed, rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 2**31), k=st.integers(0, 5), ell=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_flipping_all_signs_multiplies_a_term_by_its_parity(seed, k, ell):
    rates, delta = _activity(seed)
    theta = jnp.zeros((6, 6)).at[k, ell].set(1.0)
    weights = decay_weights(len(rates), DT, 25.0)
    e = eligibility_trace(rates, delta, theta, weights)
    flipped = eligibility_trace(-rates, -delta, theta, weights)
    np.testing.assert_allclose(flipped, (-1) ** (k + ell) * e, rtol=1e-12, atol=1e-13)


def test_unused_powers_are_left_out_and_traced_ones_kept():
    theta = jnp.zeros((6, 6)).at[3, 3].set(1.0).at[2, 0].set(1.0)
    assert active_powers(theta) == (0, 3)
    assert active_powers(jnp.stack([theta, theta.T])) == (0, 2, 3)
    seen = []
    jax.jit(lambda a: seen.append(active_powers(a)) or a)(theta)
    assert seen == [(0, 1, 2, 3, 4, 5)]


def test_a_trace_shorter_than_a_step_is_refused():
    with pytest.raises(ValueError, match=r"dt ≤ tau_e \(ms\); got dt = 2.0, tau_e = 1.0"):
        decay_weights(10, DT, 1.0)
