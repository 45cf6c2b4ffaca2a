import numpy as np
import pytest

from plasticity.dynamics.plane import flow_in_plane, principal_plane
from plasticity.model.network import Network


def test_a_plane_is_found_in_many_dimensions():
    draw = np.random.default_rng(0)
    axes = np.linalg.qr(draw.normal(size=(7, 2)))[0].T
    amounts = draw.normal(size=(50, 2)) * [3.0, 1.0]
    states = 2.0 + amounts @ axes
    plane = principal_plane(states)
    assert plane.shares.sum() == pytest.approx(1.0)
    back = plane.origin + plane.coordinates(states) @ plane.axes
    np.testing.assert_allclose(back, states, atol=1e-12)
    assert (plane.axes[range(2), np.abs(plane.axes).argmax(axis=1)] > 0).all()
    with pytest.raises(ValueError, match="vary in two directions"):
        principal_plane(np.outer(np.arange(4.0), np.ones(3)))


def test_flow_in_the_plane_of_a_linear_network_is_linear():
    draw = np.random.default_rng(1)
    W = draw.normal(size=(5, 5))
    network = Network(W, np.ones((5, 1)), np.ones(5))
    plane = principal_plane(draw.normal(size=(9, 5)))
    points = draw.normal(size=(4, 3, 2))
    flow = flow_in_plane(network, np.array([0.5]), plane, points, lambda x: x)
    x = plane.origin + points @ plane.axes
    expected = (x @ (W - np.eye(5)).T + 0.5) @ plane.axes.T
    np.testing.assert_allclose(flow, expected, atol=1e-12)
