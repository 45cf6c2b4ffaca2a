"""The plane in which activity varies most, and the flow in it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from plasticity.model.network import Network
from plasticity.types import require


class Plane(NamedTuple):
    """Leading principal components of states.

    Attributes:
        origin: their mean, (N,).
        axes: orthonormal, the largest entry of each positive, (2, N).
        shares: of the variance, (2,).
    """

    origin: Float[np.ndarray, "N"]
    axes: Float[np.ndarray, "2 N"]
    shares: Float[np.ndarray, "2"]

    def coordinates(self, x: Float[np.ndarray, "*batch N"]) -> Float[np.ndarray, "*batch 2"]:
        """Where states fall when they are projected onto the plane."""
        return (np.asarray(x, float) - self.origin) @ self.axes.T


def principal_plane(states: Float[np.ndarray, "M N"]) -> Plane:
    """The plane of the two leading principal components.

    Raises:
        ValueError: states that do not vary in two directions.
    """
    states = np.asarray(states, float)
    origin = states.mean(axis=0)
    _, sizes, axes = np.linalg.svd(states - origin, full_matrices=False)
    flat = len(sizes) >= 2 and bool(sizes[1] > 1e-12 * sizes[0])
    require(flat, "states that vary in two directions", sizes[:2], "give more states")
    axes = axes[:2] * np.sign(axes[range(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    return Plane(origin, axes, sizes[:2] ** 2 / np.sum(sizes**2))


def flow_in_plane(
    network: Network,
    inputs: Float[np.ndarray, "I"],
    plane: Plane,
    points: Float[np.ndarray, "*batch 2"],
    transfer: Callable[[jax.Array], jax.Array] = jnp.tanh,
) -> Float[np.ndarray, "*batch 2"]:
    """F(x) = −x + W φ(x) + W_in u at points of the plane, projected onto it, per τ.

    What the projection drops can be large: arrows need not lead where trajectories go.
    """
    W, W_in = (np.asarray(a, float) for a in network[:2])
    x = plane.origin + np.asarray(points, float) @ plane.axes
    with jax.enable_x64(True):
        rates = np.asarray(transfer(jnp.asarray(x)))
    return (rates @ W.T + W_in @ np.asarray(inputs, float) - x) @ plane.axes.T
