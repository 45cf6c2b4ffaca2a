"""Linear dynamics about a state: J = −I + W diag(φ′(x)), in units of 1/τ.

    τ dδ/dt = J δ in the flow,   δ ← (I + (dt/τ) J) δ as simulated                 (paper; ours)

Leading axes make batches; all in float64.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from plasticity.model.network import Dynamics, elementwise_derivative
from plasticity.types import require

Matrix = Float[np.ndarray, "*batch rows N"]  # square; `_checked` says so if not


class Stability(NamedTuple):
    """Modes of J and what they mean; leading axes are those of J.

    Attributes:
        eigenvalues: λ in units of 1/τ, in order of falling real part, (…, N).
        abscissa: the largest Re λ.
        time_constants: −τ / Re λ of every mode, ms; negative for one that grows, ∞ for neither.
        frequencies: |Im λ| / (2π τ), Hz.
        stable_flow: whether all Re λ < 0.
        stable_map: whether all |1 + λ dt/τ| < 1: stable as simulated. It implies the former but
            not the reverse, for fast modes can overshoot.
    """

    eigenvalues: Complex[np.ndarray, "*batch N"]
    abscissa: Float[np.ndarray, "*batch"]
    time_constants: Float[np.ndarray, "*batch N"]
    frequencies: Float[np.ndarray, "*batch N"]
    stable_flow: Bool[np.ndarray, "*batch"]
    stable_map: Bool[np.ndarray, "*batch"]


def gains(
    x: Float[np.ndarray, "*batch N"], transfer: Callable[[jax.Array], jax.Array] = jnp.tanh
) -> Float[np.ndarray, "*batch N"]:
    """φ′(x) of every unit; 1 − tanh² x for tanh."""
    with jax.enable_x64(True):
        x = jnp.asarray(np.asarray(x, float))
        return np.array(elementwise_derivative(transfer, x))


def jacobian(
    W: Float[np.ndarray | Array, "*batch N N"],
    x: Float[np.ndarray, "*batch N"],
    transfer: Callable[[jax.Array], jax.Array] = jnp.tanh,
) -> Matrix:
    """J = −I + W diag(φ′(x)), of the flow in units of 1/τ (paper)."""
    W = np.asarray(W, float)
    return W * gains(x, transfer)[..., None, :] - np.eye(W.shape[-1])


def falling(eigenvalues: Complex[np.ndarray, "*batch N"]) -> Int[np.ndarray, "*batch N"]:
    """The order of falling real part; of equals, as in a conjugate pair, that of rising Im λ."""
    return np.lexsort((eigenvalues.imag, -eigenvalues.real))


def stability(J: Matrix, dynamics: Dynamics) -> Stability:
    """Eigenvalues of J, time constants and frequencies, and stability in both senses.

    Args:
        dynamics: gives τ and dt, ms.

    Raises:
        ValueError: J not square or not finite.
    """
    dt, tau = dynamics.dt, dynamics.tau
    values = np.linalg.eigvals(_checked(J)).astype(complex)
    values = np.take_along_axis(values, falling(values), axis=-1)
    with np.errstate(divide="ignore"):
        times = -tau / values.real
    return Stability(
        eigenvalues=values,
        abscissa=values.real.max(axis=-1),
        time_constants=times,
        frequencies=np.abs(values.imag) / (2 * np.pi * tau * 1e-3),
        stable_flow=(values.real < 0).all(axis=-1),
        stable_map=(np.abs(1 + values * dt / tau) < 1).all(axis=-1),
    )


def henrici_index(J: Matrix) -> Float[np.ndarray, "*batch"]:
    """‖J‖_F² − Σ|λ|²: zero if and only if J is normal (Henrici 1962; the paper, completed by us).

    Rounding can leave a normal matrix slightly below zero.
    """
    J = _checked(J)
    squares = np.abs(np.linalg.eigvals(J)) ** 2
    return np.asarray(np.sum(J**2, axis=(-2, -1)) - squares.sum(axis=-1))


def henrici_ratio(J: Matrix) -> Float[np.ndarray, "*batch"]:
    """√max(0, Henrici index) / ‖J‖_F, between 0 (normal) and 1 (nilpotent).

    Raises:
        ValueError: a matrix of zeros.
    """
    size = np.linalg.norm(_checked(J), axis=(-2, -1))
    fix = "leave it out, for its departure from normality is not defined"
    require(bool((size > 0).all()), "a matrix other than zero", 0.0, fix)
    return np.asarray(np.sqrt(np.maximum(henrici_index(J), 0.0)) / size)


def numerical_abscissa(J: Matrix) -> Float[np.ndarray, "*batch"]:
    """Largest eigenvalue of (J + Jᵀ)/2: the fastest that ‖δ‖ can grow at once, per τ.

    Above zero at a stable point it means transient growth (Trefethen and Embree 2005).
    """
    J = _checked(J)
    return np.asarray(np.linalg.eigvalsh((J + np.swapaxes(J, -1, -2)) / 2)[..., -1])


def _checked(J) -> np.ndarray:
    J = np.asarray(J, float)
    square = J.ndim >= 2 and J.shape[-1] == J.shape[-2]
    require(square, "J is square (N, N)", J.shape, "give the Jacobian of all units")
    require(bool(np.isfinite(J).all()), "J is finite", "entries that are not", "check W and x")
    return J
