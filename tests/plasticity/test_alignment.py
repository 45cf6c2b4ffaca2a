import jax
import numpy as np
import pytest
from scipy.stats import ortho_group

from plasticity.dynamics.alignment import (
    input_sensitivity,
    leading_schur_vectors,
    linear_cka,
    modes,
    overlap,
    participation_ratio,
)
from plasticity.dynamics.fixed_points import find_fixed_points
from plasticity.dynamics.spectrum import gains, jacobian
from plasticity.model.network import random_network


def test_modes_satisfy_their_equations():
    J = np.random.default_rng(0).normal(size=(9, 9))
    found = modes(J)
    np.testing.assert_allclose(J @ found.right, found.right * found.eigenvalues, atol=1e-12)
    left = found.left.conj().T
    np.testing.assert_allclose(left @ J, found.eigenvalues[:, None] * left, atol=1e-12)
    assert (np.diff(found.eigenvalues.real) <= 1e-12).all()


def test_leading_schur_vectors_span_the_slowest_modes():
    J = np.random.default_rng(1).normal(size=(9, 9))
    Q = leading_schur_vectors(J, 9)
    np.testing.assert_allclose(Q.conj().T @ Q, np.eye(9), atol=1e-12)
    T = Q.conj().T @ J @ Q
    # Exchanges of neighbours leave rounding of size ‖J‖ ε.
    np.testing.assert_allclose(np.tril(T, -1), 0, atol=1e-12)
    np.testing.assert_allclose(np.diag(T).real, modes(J).eigenvalues.real, atol=1e-10)
    few = leading_schur_vectors(J, 3)
    np.testing.assert_allclose(J @ few, few @ (few.conj().T @ J @ few), atol=1e-12)


def test_schur_vectors_of_a_matrix_without_a_basis_of_eigenvectors():
    J = np.array([[-1.0, 5.0], [0.0, -1.0]])
    np.testing.assert_allclose(np.abs(leading_schur_vectors(J, 1)[:, 0]), [1.0, 0.0], atol=1e-12)


def test_overlap_with_known_directions():
    w = np.array([3.0, 4.0, 0.0])
    np.testing.assert_allclose(overlap(w, np.eye(3)), [0.6, 0.8, 0.0], atol=1e-15)
    assert overlap(w, w[:, None] * -2j)[0] == pytest.approx(1.0)


def test_sensitivity_is_the_answer_to_a_small_change_of_input():
    network = random_network(jax.random.key(0), 15, 2, gain=0.8)
    base, step = np.array([0.4, -0.3]), 1e-4
    inputs = np.concatenate([base + step * np.eye(2), base - step * np.eye(2), base[None]])
    found = find_fixed_points(network, inputs, np.zeros((1, 15)), tolerance=1e-12)
    assert found.converged.all()
    above, below, x = found.x[:2, 0], found.x[2:4, 0], found.x[4, 0]
    W, W_in, _ = (np.asarray(a) for a in network)
    found = input_sensitivity(jacobian(W, x), W_in, gains(x))
    # Central differences: h² of the third derivative, 1e-8, and 1e-12 of the roots over h.
    np.testing.assert_allclose(found.states, (above - below).T / (2 * step), atol=1e-7)
    rates = (np.tanh(above) - np.tanh(below)).T / (2 * step)
    np.testing.assert_allclose(found.rates, rates, atol=1e-7)


def test_a_singular_jacobian_is_an_error_and_no_nan():
    with pytest.raises(ValueError, match="bifurcation"):
        input_sensitivity(np.diag([-1.0, 0.0]), np.ones((2, 1)), np.ones(2))


def test_participation_ratio_counts_dimensions():
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = np.stack([np.cos(t), np.sin(t), 0 * t, 0 * t], axis=1)
    assert participation_ratio(circle) == pytest.approx(2.0, abs=1e-12)
    assert participation_ratio(circle[:, :1] * np.ones(5)) == pytest.approx(1.0, abs=1e-12)


def test_cka_ignores_rotation_and_scale_and_sees_the_rest():
    draw = np.random.default_rng(5)
    X, other = draw.normal(size=(50, 6)), draw.normal(size=(50, 6))
    Q = ortho_group.rvs(6, random_state=6)
    assert linear_cka(X, 3 * X @ Q + 1) == pytest.approx(1.0, abs=1e-12)
    assert linear_cka(X, other) < 0.5


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="n_vectors"):
        leading_schur_vectors(np.eye(3), 4)
    with pytest.raises(ValueError, match="other than zero"):
        overlap(np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="vary"):
        participation_ratio(np.ones((4, 2)))
    with pytest.raises(ValueError, match="as many rows"):
        linear_cka(np.eye(3), np.eye(4))
