import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity.ascent import Ascent, mean_of_cut, norms_of


def _adam(gradients, ascent):
    """Adam with a cosine decay and a bound, in plain NumPy; the steps it takes."""
    m, v, steps = 0.0, 0.0, []
    for t, g in enumerate(gradients):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
        share = ascent.final_step_size
        cosine = 0.5 * (1 + np.cos(np.pi * min(t / ascent.n_steps, 1.0)))
        step = step * ascent.step_size * ((1 - share) * cosine + share)
        steps.append(step * min(1.0, ascent.max_update / np.linalg.norm(step)))
    return steps


def _steps(gradients, ascent):
    memory, steps = ascent.start(gradients[0].shape), []
    for gradient in gradients:
        step, memory = ascent.step(gradient, memory)
        steps.append(step)
    return steps


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("max_update", [0.1, 10.0])
def test_steps_are_those_of_adam(max_update, double):
    ascent = Ascent(0.1, 0.2, 6, max_update)
    gradients = np.random.default_rng(0).normal(size=(8, 3, 3))
    with jax.enable_x64(double):
        found = _steps(gradients, ascent)
    # The same few operations in float64, also where lifetimes are computed in float32.
    np.testing.assert_allclose(found, _adam(gradients, ascent), rtol=1e-12)
    assert all(step.dtype == np.float64 for step in found)


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(1e-3, 1.0),
    st.floats(1e-12, 1e12),
    st.integers(1, 4),
)
def test_no_update_is_larger_than_its_bound(seed, bound, size, n_steps):
    gradients = size * np.random.default_rng(seed).normal(size=(n_steps, 3, 3))
    steps = _steps(gradients, Ascent(1.0, 0.5, n_steps, bound))
    # Rounding of a sum of 9 squares.
    assert np.all(norms_of(np.array(steps)) <= bound * (1 + 1e-14))


def test_an_update_without_a_bound_is_larger():
    free = _steps(np.ones((1, 3, 3)), Ascent(1.0, 0.5, 4, np.inf))
    np.testing.assert_allclose(np.linalg.norm(free[0]), 3.0, rtol=1e-7)  # Adam adds 1e-8


def test_a_lifetime_says_no_more_than_its_share():
    gradients = np.random.default_rng(1).normal(size=(4, 3, 3))
    gradients[0] *= 1e6
    gradients[1] = 0.0
    norms = np.linalg.norm(gradients.reshape(4, -1), axis=1)
    unit = sum(gradients[b] / norms[b] for b in (0, 2, 3)) / 4
    np.testing.assert_allclose(mean_of_cut(gradients, None), unit, rtol=1e-13)
    factors = np.minimum(1.0, 2.0 / np.where(norms > 0, norms, 1.0))
    cut = np.mean(factors[:, None, None] * gradients, axis=0)
    np.testing.assert_allclose(mean_of_cut(gradients, 2.0), cut, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(mean_of_cut(gradients, np.inf), gradients.mean(axis=0), rtol=1e-13)


def test_a_norm_that_overflows_is_not_finite():
    assert not np.isfinite(norms_of(np.full((1, 2, 2), 1e200))).any()
