import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ortho_group

from plasticity.dynamics.spectrum import (
    gains,
    henrici_index,
    henrici_ratio,
    jacobian,
    numerical_abscissa,
    stability,
)
from plasticity.model.network import Dynamics


def test_jacobian_is_that_of_automatic_differentiation(key):
    W = 1.5 * jax.random.normal(key, (20, 20)) / 20**0.5
    x = jax.random.normal(key, (20,))
    exact = jax.jacfwd(lambda x: W @ jnp.tanh(x) - x)(x)
    np.testing.assert_allclose(jacobian(W, np.asarray(x)), exact, atol=1e-12)
    np.testing.assert_allclose(gains(np.asarray(x)), 1 - np.tanh(x) ** 2, atol=1e-14)


def test_a_batch_is_its_members():
    draw = np.random.default_rng(0)
    W, x = draw.normal(size=(3, 5, 5)), draw.normal(size=(3, 5))
    J = jacobian(W, x)
    for measure in (henrici_index, henrici_ratio, numerical_abscissa):
        np.testing.assert_allclose(measure(J), [measure(one) for one in J], atol=1e-12)


def test_henrici_index_of_two_by_two_upper_triangular():
    J = np.array([[-1.0, 3.0], [0.0, -2.0]])
    assert henrici_index(J) == pytest.approx(9.0, abs=1e-12)
    assert henrici_ratio(J) == pytest.approx((9 / 14) ** 0.5, abs=1e-12)
    # (J + Jᵀ)/2 has the eigenvalues −3/2 ± √(1/4 + 9/4).
    assert numerical_abscissa(J) == pytest.approx(-1.5 + 2.5**0.5, abs=1e-12)


@pytest.mark.parametrize("kind", ["symmetric", "antisymmetric", "orthogonal"])
def test_henrici_index_of_normal_matrices_is_zero(kind):
    A = np.random.default_rng(1).normal(size=(8, 8))
    J = {"symmetric": A + A.T, "antisymmetric": A - A.T}.get(kind, np.linalg.qr(A)[0])
    # A difference of two sums near 100, each exact to a few ulp.
    assert abs(henrici_index(J)) < 1e-11
    assert henrici_index(A) > 0.1


def test_measures_do_not_change_under_rotation():
    J = np.random.default_rng(2).normal(size=(8, 8))
    Q = ortho_group.rvs(8, random_state=3)
    for measure in (henrici_index, henrici_ratio, numerical_abscissa):
        assert measure(Q @ J @ Q.T) == pytest.approx(measure(J), abs=1e-11)


def test_time_constants_and_frequencies():
    # Re λ = −1/2 and Im λ = ±2 per τ = 30 ms: 60 ms, and 2 / (2π · 0.03 s) Hz.
    found = stability(np.array([[-0.5, -2.0], [2.0, -0.5]]), Dynamics(tau=30.0, dt=10.0))
    np.testing.assert_allclose(found.time_constants, [60.0, 60.0])
    np.testing.assert_allclose(found.frequencies, 2 / (2 * np.pi * 0.03))
    assert found.abscissa == pytest.approx(-0.5)
    # |1 + λ/3|² = (5/6)² + (2/3)² > 1: stable in the flow, not as simulated.
    assert found.stable_flow and not found.stable_map
    assert stability(np.array([[-0.5, -2.0], [2.0, -0.5]]), Dynamics(tau=30.0, dt=0.3)).stable_map


def test_eigenvalues_fall_in_real_part():
    J = np.random.default_rng(4).normal(size=(4, 9, 9))
    found = stability(J, Dynamics(tau=30.0, dt=10.0))
    assert (np.diff(found.eigenvalues.real, axis=-1) <= 0).all()
    assert (numerical_abscissa(J) >= found.abscissa - 1e-12).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="square"):
        henrici_index(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="finite"):
        numerical_abscissa(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="tau > 0"):
        stability(np.eye(2), Dynamics(tau=0.0, dt=1.0))
    with pytest.raises(ValueError, match="dt ≤ tau"):
        stability(np.eye(2), Dynamics(tau=30.0, dt=31.0))
    with pytest.raises(ValueError, match="other than zero"):
        henrici_ratio(np.zeros((2, 2)))
