import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from plasticity.dynamics.fixed_points import find_fixed_points
from plasticity.dynamics.points import distinct_points, draw_starts
from plasticity.dynamics.spectrum import jacobian, stability
from plasticity.model.network import Dynamics, Network, random_network, simulate_trial


def _network(W, W_in=None):
    W = np.asarray(W, float)
    inward = np.zeros((len(W), 1)) if W_in is None else np.asarray(W_in, float)
    return Network(jnp.asarray(W), jnp.asarray(inward), jnp.ones(len(W)))


def _search(network, starts, inputs=((0.0,),), **options):
    return find_fixed_points(network, np.asarray(inputs, float), np.asarray(starts), **options)


def _roots(network, starts, inputs=((0.0,),), **options):
    found = _search(network, starts, inputs, **options)
    return distinct_points(found.x[0], found.residual[0], found.converged[0])


def test_without_recurrence_the_point_is_the_input():
    inward = np.array([[0.3], [-2.0], [0.0]])
    starts = np.random.default_rng(0).normal(size=(5, 3))
    points = _roots(_network(np.zeros((3, 3)), inward), starts, [[1.5]])
    np.testing.assert_allclose(points.x, 1.5 * inward.T, atol=1e-10)
    assert points.starts.tolist() == [5]


@pytest.mark.parametrize("gain", [0.8, 2.0])
def test_one_unit_has_one_point_below_a_gain_of_one_and_three_above(gain):
    starts = np.linspace(-3, 3, 13)[:, None]
    points = _roots(_network([[gain]]), starts)
    expected = [0.0]
    if gain > 1:
        away = optimize.brentq(lambda x: gain * np.tanh(x) - x, 0.1, 3)
        expected = [-away, 0.0, away]
    np.testing.assert_allclose(np.sort(points.x[:, 0]), expected, atol=1e-9)


def test_two_symmetric_units_that_excite_each_other():
    # x₁ = g tanh x₂, x₂ = g tanh x₁ with g > 1: the origin and ±(a, a); no point with x₁ = −x₂.
    away = optimize.brentq(lambda x: 2.0 * np.tanh(x) - x, 0.1, 3)
    starts = np.random.default_rng(1).normal(size=(30, 2)) * 2
    points = _roots(_network([[0.0, 2.0], [2.0, 0.0]]), starts)
    expected = np.array([[-away, -away], [0, 0], [away, away]])
    np.testing.assert_allclose(points.x[np.argsort(points.x[:, 0])], expected, atol=1e-9)


def test_linear_network_has_the_solution_of_the_linear_system():
    network = random_network(jax.random.key(0), 12, 2, gain=0.5)
    inputs = np.array([[1.0, -0.5]])
    starts = np.random.default_rng(2).normal(size=(4, 12))
    points = _roots(network, starts, inputs, transfer=lambda x: x)
    W, W_in, _ = (np.asarray(a) for a in network)
    exact = np.linalg.solve(np.eye(12) - W, W_in @ inputs[0])
    np.testing.assert_allclose(points.x, exact[None], atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_points_are_those_of_scipy(seed):
    network = random_network(jax.random.key(seed), 16, 1, gain=1.5)
    W, W_in, _ = (np.asarray(a) for a in network)
    starts = np.random.default_rng(seed).normal(size=(40, 16)) * 2

    def velocity(x):
        return W @ np.tanh(x) + 0.4 * W_in[:, 0] - x

    ends = [
        optimize.root(velocity, x, jac=lambda x: jacobian(W, x), method="hybr", tol=1e-12).x
        for x in starts
    ]
    residual = np.array([np.linalg.norm(velocity(x)) for x in ends])
    plain = distinct_points(np.stack(ends), residual, residual < 1e-10)
    ours = _roots(network, starts, [[0.4]])
    assert len(plain.x) >= 1
    # Methods take a start to different roots, so sets are compared: none of SciPy's is missed.
    gaps = np.linalg.norm(plain.x[:, None] - ours.x[None], axis=-1).min(axis=1)
    np.testing.assert_array_less(gaps, 1e-8)
    for x in ours.x:
        assert np.linalg.norm(velocity(x)) <= 1e-10


def test_a_slow_point_is_told_from_a_fixed_point():
    # x = 2 tanh x + b has one root for |b| beyond the fold, √2 − asinh 1 ≈ 0.533.
    network = _network([[2.0]], [[1.0]])
    found = _search(network, [[-0.9], [3.0]], [[0.6]])
    assert found.slow[0].tolist() == [True, False]
    assert found.converged[0].tolist() == [False, True]
    # The speed is least where F′ = 2 / cosh² x − 1 = 0.
    np.testing.assert_allclose(found.x[0, 0], -np.arccosh(2**0.5), atol=1e-5)
    assert found.residual[0, 0] == pytest.approx(0.6 - (2**0.5 - np.arcsinh(1.0)), abs=1e-9)


def test_every_start_of_a_chaotic_network_ends_somewhere():
    network = random_network(jax.random.key(5), 40, 1, gain=1.8)
    starts = draw_starts(np.random.default_rng(0).normal(size=(20, 40)), 40, seed=1)
    found = _search(network, starts, [[0.0], [1.0]])
    assert (found.converged | found.slow).all()
    assert found.slow.any() and found.converged.any()
    assert (found.iterations >= 1).all()


def test_pushes_decay_at_stable_points_and_grow_at_others():
    network = _network([[2.0]])
    for dt, steps in ((0.3, 800), (10.0, 24)):  # the flow, and the map of the training time step
        dynamics = Dynamics(dt=dt)
        for x in _roots(network, [[-3.0], [0.1], [3.0]]).x:
            kind = stability(jacobian(network.W, x), dynamics)
            at = jnp.asarray(x + 1e-3)
            silent = jnp.zeros((steps, 1)), jnp.zeros((steps, 1))
            run = simulate_trial(network, *silent, at, at, dynamics)
            distance = abs(float(run.states[-1, 0]) - x[0])
            assert distance < 1e-4 if kind.stable_map else distance > 1e-1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_merging_does_not_depend_on_order(seed):
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(4, 5))
    x = centres[draw.integers(4, size=12)] + 1e-8 * draw.normal(size=(12, 5))
    residual, which = draw.uniform(size=12), draw.uniform(size=12) < 0.8
    order = draw.permutation(12)
    first = distinct_points(x, residual, which)
    second = distinct_points(x[order], residual[order], which[order])
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.starts, second.starts)
    np.testing.assert_array_equal(first.label[order], second.label)
    assert first.starts.sum() == which.sum()


def test_nothing_converged_is_no_points():
    points = distinct_points(np.zeros((3, 2)), np.ones(3), np.zeros(3, bool))
    assert points.x.shape == (0, 2) and points.label.tolist() == [-1, -1, -1]


def test_bad_input_is_named():
    network, starts = _network(np.zeros((3, 3))), np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"starts \(S, 3\)"):
        _search(network, np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"inputs \(C, 1\)"):
        _search(network, starts, [[0.0, 1.0]])
    with pytest.raises(ValueError, match="finite"):
        _search(network, starts + np.nan)
    with pytest.raises(ValueError, match="tolerance > 0"):
        _search(network, starts, tolerance=0.0)
    with pytest.raises(ValueError, match="not all zero"):
        draw_starts(np.zeros((4, 3)), 5, seed=0)
    with pytest.raises(ValueError, match="tolerance > 0"):
        distinct_points(starts, np.zeros(2), np.ones(2, bool), tolerance=-1.0)


def test_all_starts_together_end_where_they_end_one_by_one(monkeypatch):
    network, inputs = random_network(jax.random.key(3), 12, 2, gain=1.6), np.eye(2)
    starts = np.random.default_rng(8).normal(size=(9, 12))
    alone = find_fixed_points(network, inputs, starts)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    together = find_fixed_points(network, inputs, starts)
    np.testing.assert_array_equal(together.converged, alone.converged)
    assert alone.converged.any()
    # Ends are exact to the tolerance over the least singular value of J, here above 1e-3.
    near = alone.converged
    np.testing.assert_allclose(together.x[near], alone.x[near], atol=1e-6)
