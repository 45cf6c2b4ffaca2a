"""What the readout sees of the dynamics, what inputs do to it, and how activity compares.

All in float64, one matrix at a time.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float
from scipy.linalg import eig, lapack, schur

from plasticity.dynamics.spectrum import falling
from plasticity.types import require

Square = Float[np.ndarray, "N N"]
Basis = Complex[np.ndarray, "N M"]


class Modes(NamedTuple):
    """J v = λ v and uᴴ J = λ uᴴ, by falling Re λ: λ (N,), right v and left u in columns (N, N)."""

    eigenvalues: Complex[np.ndarray, "N"]
    right: Complex[np.ndarray, "N N"]
    left: Complex[np.ndarray, "N N"]


class Sensitivity(NamedTuple):
    """Steady response to a small constant input, (N, I): of x, and of the rates, diag(φ′) of it."""

    states: Float[np.ndarray, "N I"]
    rates: Float[np.ndarray, "N I"]


def modes(J: Square) -> Modes:
    """Eigenvalues with right and left eigenvectors of unit length.

    Right ones are the patterns that modes move along, left ones the patterns that excite them; for
    a normal J they are the same.
    """
    values, left, right = eig(np.asarray(J, float), left=True, right=True)
    order = falling(values.astype(complex))
    sorted_vectors = (a[:, order].astype(complex) for a in (right, left))
    return Modes(values[order].astype(complex), *sorted_vectors)


def leading_schur_vectors(J: Square, n_vectors: int) -> Basis:
    """Orthonormal vectors that span the slowest modes: of J = Q T Qᴴ with Re T_ii falling.

    The first k span the invariant subspace of the k eigenvalues of largest real part, for every k;
    unlike eigenvectors they stay well defined where J is far from normal.

    Raises:
        ValueError: n_vectors outside 1 … N.
    """
    n = len(J)
    require(1 <= n_vectors <= n, f"1 ≤ n_vectors ≤ {n}", n_vectors, "ask for at most N")
    T, Q = schur(np.asarray(J, float), output="complex")
    for i in range(n_vectors):
        leader = i + int(np.argmax(np.diag(T)[i:].real))
        T, Q, _ = lapack.ztrexc(T, Q, leader + 1, i + 1)
    return Q[:, :n_vectors]


def overlap(w: Float[np.ndarray, "N"], vectors) -> Float[np.ndarray, "M"]:
    """|w · v| / (‖w‖ ‖v‖) with every column v; w real, v real or complex. (Overlap: paper.)

    Random directions overlap by about 1/√N.

    Raises:
        ValueError: a vector of zeros.
    """
    w, vectors = np.asarray(w, float), np.asarray(vectors)
    sizes = np.linalg.norm(w) * np.linalg.norm(vectors, axis=0)
    require(bool((sizes > 0).all()), "vectors other than zero", 0.0, "leave those out")
    return np.abs(w @ vectors) / sizes


def input_sensitivity(
    J: Square, W_in: Float[np.ndarray, "N I"], gains: Float[np.ndarray, "N"]
) -> Sensitivity:
    """p = (−J)⁻¹ W_in, the change of a fixed point per input (paper), and diag(φ′) p.

    Raises:
        ValueError: J singular to working precision: the point is about to vanish, and p with it.
    """
    J = np.asarray(J, float)
    condition = float(np.linalg.cond(J)) if np.isfinite(J).all() else np.inf
    limit = 1e12
    fix = "the point is at a bifurcation; drop it, or move the input"
    require(condition < limit, f"a Jacobian of condition below {limit:.0e}", condition, fix)
    states = np.linalg.solve(-J, np.asarray(W_in, float))
    return Sensitivity(states, np.asarray(gains, float)[:, None] * states)


def participation_ratio(states: Float[np.ndarray, "M N"]) -> float:
    """(Σ λ)² / Σ λ² of the eigenvalues λ of the covariance: the dimensions that activity fills.

    From 1 to min(M − 1, N) (Gao et al. 2017).

    Raises:
        ValueError: states that do not vary.
    """
    centred = np.asarray(states, float) - np.mean(states, axis=0)
    squares = np.linalg.svd(centred, compute_uv=False) ** 2
    require(bool(squares.sum() > 0), "states that vary", 0.0, "give more than one state")
    return float(squares.sum() ** 2 / np.sum(squares**2))


def linear_cka(first: Float[np.ndarray, "M N1"], second: Float[np.ndarray, "M2 N2"]) -> float:
    """‖YᵀX‖_F² / (‖XᵀX‖_F ‖YᵀY‖_F), both centred: how alike two representations of M moments are.

    1 for the same up to rotation and scale, (Kornblith et al. 2019).

    Raises:
        ValueError: other moments in one than in the other, or one that does not vary.
    """
    X, Y = (np.asarray(a, float) - np.mean(a, axis=0) for a in (first, second))
    fix = "give the same M moments of both"
    require(len(X) == len(Y), "as many rows in both", (len(X), len(Y)), fix)
    sizes = np.linalg.norm(X.T @ X) * np.linalg.norm(Y.T @ Y)
    require(bool(sizes > 0), "representations that vary", 0.0, "give more than one state")
    return float(np.linalg.norm(Y.T @ X) ** 2 / sizes)
