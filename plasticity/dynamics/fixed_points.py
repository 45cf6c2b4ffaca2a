"""Fixed points and slow points of a network under constant input.

    F(x) = −x + W φ(x) + W_in u,   q(x) = ½ ‖F(x)‖²,   J(x) = −I + W diag(φ′(x))

A fixed point is a root of F; a slow point is a minimum of the speed with q > 0 (Sussillo and Barak,
Neural Computation 2013;25:626). The search is damped Newton, as in the paper. Where it stalls,
rarely at a minimum, the speed itself is minimised by Newton's method, with the Hessian

    ∇²q = Jᵀ J + diag(φ″(x) ∘ Wᵀ F)                                                          (ours)

so that every start ends at one or the other. Directions are computed in float32 and F in float64:
factorisations cost half, and a root is as exact as float64 allows. Jᵀ J takes no product of
matrices, for with D = diag(φ′) it is D (WᵀW) D − D Wᵀ − W D + I, and WᵀW is the same everywhere.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from plasticity.learning.parallel import map_in_threads, worker_count
from plasticity.model.network import Network, elementwise_derivative, make_network
from plasticity.types import require

# Shares of a step that are tried at once: beside a factorisation their cost is small.
_SHARES = 0.5 ** np.arange(11)
_ALMOST = 1e-5  # residual at which minimising the speed gives way to Newton's method again
_SLOPE = 1e-6


class Search(NamedTuple):
    """What became of every start under every input, (C, S, …).

    Attributes:
        x: where it ended, (C, S, N).
        residual: ‖F(x)‖.
        slope: ‖∇q‖ / ‖F‖ = ‖Jᵀ F‖ / ‖F‖; zero at a slow point, not at a simple root.
        iterations: factorisations.
        converged: residual ≤ tolerance, a fixed point.
        slow: not converged and slope ≤ 1e-6, a minimum of the speed that is no root. What is
            neither ran out of iterations.
    """

    x: Float[np.ndarray, "C S N"]
    residual: Float[np.ndarray, "C S"]
    slope: Float[np.ndarray, "C S"]
    iterations: Int[np.ndarray, "C S"]
    converged: Bool[np.ndarray, "C S"]
    slow: Bool[np.ndarray, "C S"]


def find_fixed_points(
    network: Network,
    inputs: Float[np.ndarray, "C I"],
    starts: Float[np.ndarray, "S N"],
    *,
    transfer: Callable[[jax.Array], jax.Array] = jnp.tanh,
    tolerance: float = 1e-10,
    max_iterations: int = 300,
) -> Search:
    """Fixed and slow points, searched from every start under every constant input u.

    A step is that share 1, ½, ¼, … of the Newton step that leaves the least residual, and a second
    one with the same factors; a first one that leaves more than (1 − share / 10) of the residual
    ends the stage. All in float64 but for directions.

    Args:
        inputs: one constant input a row, (C, I).
        starts: values of x, (S, N), from `plasticity.dynamics.points.draw_starts`.
        transfer: φ.
        tolerance: residual ‖F(x)‖ at which a point counts as fixed.
        max_iterations: factorisations for a start in each of three stages.

    Raises:
        ValueError: shapes that disagree, values that are not finite, a tolerance or a number of
            iterations that is not positive.
    """
    W, W_in, _ = (np.asarray(a, float) for a in make_network(*network))
    inputs, starts = np.asarray(inputs, float), np.asarray(starts, float)
    require(W.ndim == 2, "one network", W.shape, "search in each on its own")
    n = len(W)
    fits = inputs.ndim == 2 and inputs.shape[1] == W_in.shape[1]
    fix = "give one row an input condition, one column a channel"
    require(fits, f"inputs (C, {W_in.shape[1]})", inputs.shape, fix)
    fits = starts.ndim == 2 and starts.shape[1] == n and len(starts) > 0
    require(fits, f"starts (S, {n}), S ≥ 1", starts.shape, "give one row a start")
    finite = bool(np.isfinite(inputs).all() and np.isfinite(starts).all())
    require(finite, "inputs and starts are finite", "some that are not", "give finite numbers")
    require(tolerance > 0, "tolerance > 0", tolerance, "float64 can reach 1e-13 · √N")
    require(max_iterations >= 1, "max_iterations ≥ 1", max_iterations, "give 1 or more")

    drive = np.repeat(inputs @ W_in.T, len(starts), axis=0)
    x = np.tile(starts, (len(inputs), 1))
    ends = _Ends(x, np.full(len(x), np.inf), np.zeros(len(x), int))
    which = np.arange(len(x))
    # The last stage takes to a root what the second has brought near one.
    for stage in (_newton, _minimise, _newton):
        _continue(stage, ends, which, W, drive, max_iterations, tolerance, transfer)
        unfinished = ends.residual[which] > tolerance
        if stage is _minimise:
            unfinished &= ends.residual[which] <= _ALMOST
        which = which[unfinished]
    shape = (len(inputs), len(starts))
    with jax.enable_x64(True):
        slope = np.asarray(_slopes(transfer, *(jnp.asarray(a) for a in (W, drive, ends.x))))
    x, residual, iterations, slope = (a.reshape(*shape, *a.shape[1:]) for a in (*ends, slope))
    converged = residual <= tolerance
    return Search(x, residual, slope, iterations, converged, ~converged & (slope <= _SLOPE))


class _Ends(NamedTuple):
    """How far every start has come; `_continue` changes the arrays in place."""

    x: np.ndarray
    residual: np.ndarray
    iterations: np.ndarray


def _continue(stage, ends: _Ends, which, W, drive, limit, tolerance, transfer) -> None:
    """Bring the starts ``which`` further; one thread a core, an accelerator all."""
    together = jax.default_backend() != "cpu"

    def part(mine) -> None:
        # Few different lengths, so that few programs are compiled.
        padded = np.resize(mine, 2 ** int(np.ceil(np.log2(len(mine)))))
        start = jnp.asarray(ends.x[padded]), jnp.asarray(drive[padded])
        bounds = jnp.asarray(limit), jnp.asarray(tolerance), jnp.asarray(len(mine))
        ended = _run(stage, transfer, together, jnp.asarray(W), *start, *bounds)
        x, residual, iterations = (np.asarray(a)[: len(mine)] for a in ended[:3])
        ends.x[mine], ends.residual[mine] = x, residual
        ends.iterations[mine] += iterations

    workers = worker_count()
    parts = [which[i::workers] for i in range(workers)]
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        map_in_threads(part, [mine for mine in parts if len(mine)])


class _Low(NamedTuple):
    """In float32, for directions: W, and WᵀW."""

    W: jax.Array
    gram: jax.Array


class _State(NamedTuple):
    x: jax.Array
    residual: jax.Array
    iterations: jax.Array
    shift: jax.Array


@partial(jax.jit, static_argnames=("stage", "transfer", "together"))
def _run(stage, transfer, together, W, starts, drive, limit, tolerance, total):
    """Where the first ``total`` starts end, all together or one after the other.

    Together, a processor would fetch every matrix from memory; and LAPACK's batches, which share
    XLA's threads, hang where two programs run at a time.
    """
    low = W.astype(jnp.float32)
    low = _Low(low, low.T @ low)

    def search(start):
        index, x, drive = start

        def advance(carry):
            state, _ = carry
            state, ended = stage(W, low, drive, state, tolerance, transfer)
            state = state._replace(iterations=state.iterations + 1)
            return state, ended | (state.iterations >= limit)

        state = _State(x, jnp.asarray(jnp.inf), jnp.asarray(0), jnp.asarray(0.1))
        return jax.lax.while_loop(lambda carry: ~carry[1], advance, (state, index >= total))[0]

    starts = jnp.arange(len(starts)), starts, drive
    return jax.vmap(search)(starts) if together else jax.lax.map(search, starts)


def _lu(a):
    """L and U in one matrix, and the permutation of rows."""
    factors, pivots, _ = jax.lax.linalg.lu(a)

    def swap(i, order):
        return order.at[i].set(order[pivots[i]]).at[pivots[i]].set(order[i])

    # JAX's own permutation, one swap a turn, costs a third of the factorisation.
    return factors, jax.lax.fori_loop(0, len(a), swap, jnp.arange(len(a)), unroll=5)


def _lu_solve(factors, order, b):
    solve = partial(jax.lax.linalg.triangular_solve, factors, left_side=True)
    return solve(solve(b[order, None], lower=True, unit_diagonal=True), lower=False)[:, 0]


def _newton(W, low, drive, state, tolerance, transfer):
    """One step of damped Newton; ended at a root, or when it stalls."""
    x = state.x
    F = _velocity(W, drive, x, transfer)
    before = jnp.linalg.norm(F)
    slopes = elementwise_derivative(transfer, x).astype(low.W.dtype)
    J = low.W * slopes[None] - jnp.eye(len(x), dtype=low.W.dtype)
    factors = _lu(J)

    def search(x, F, shares):
        step = -_lu_solve(*factors, F.astype(low.W.dtype))
        return _best(W, low, drive, x, step, shares, transfer)

    x, F, residual, share = search(x, F, _SHARES)
    better = residual < (1 - 0.1 * share) * before
    # The factors serve once more: near a root that is worth most of another step.
    nearer, _, less, _ = search(x, F, _SHARES[:4])
    x, residual = jnp.where(less < residual, nearer, x), jnp.minimum(less, residual)
    x, residual = jnp.where(better, x, state.x), jnp.where(better, residual, before)
    return state._replace(x=x, residual=residual), ~better | (residual <= tolerance)


def _minimise(W, low, drive, state, tolerance, transfer):
    """One step of Newton's method for q, its Hessian shifted until it is positive enough.

    Ended at a minimum, or so near a root that `_newton` does the rest.
    """
    x = state.x
    F, gradient = _speed_gradient(W, drive, x, transfer)
    slopes = elementwise_derivative(transfer, x)
    bend = elementwise_derivative(partial(elementwise_derivative, transfer), x)
    curve = (bend * (F @ W) + 1 + state.shift).astype(low.W.dtype)
    slopes = slopes.astype(low.W.dtype)
    mixed = low.W * slopes[None]
    square = slopes[:, None] * low.gram * slopes[None] - mixed - mixed.T
    factor = jnp.linalg.cholesky(square + jnp.diag(curve), symmetrize_input=False)
    step = -jax.scipy.linalg.cho_solve((factor, True), gradient.astype(low.W.dtype))
    x, _, residual, share = _best(W, low, drive, x, step, _SHARES[:4], transfer)
    before = jnp.linalg.norm(F)
    better = residual < before
    x, residual = jnp.where(better, x, state.x), jnp.where(better, residual, before)
    eased = jnp.maximum(state.shift * jnp.where(share == 1.0, 0.2, 1.0), 1e-10)
    shift = jnp.where(better, eased, 6 * state.shift)
    slope = _slope(W, drive, x, transfer)
    ended = (residual <= _ALMOST) | (slope <= _SLOPE) | (shift > 1e8)
    return state._replace(x=x, residual=residual, shift=shift), ended


def _best(W, low, drive, x, step, shares, transfer):
    """The best of some shares of a step: x, F, residual (∞ if not finite), the share.

    Compared in float32, but for the whole step, which float64 tells from a lesser one near a root.
    """
    shares = jnp.asarray(shares, low.W.dtype)
    tried = x.astype(low.W.dtype)[None] + shares[:, None] * step[None]
    velocities = jax.vmap(partial(_velocity, low.W, drive.astype(low.W.dtype), transfer=transfer))
    rough = jnp.linalg.norm(velocities(tried), axis=-1)
    share = shares[jnp.where(jnp.isfinite(rough), rough, jnp.inf).argmin()]
    pair = jnp.stack([jnp.ones_like(share), share])
    tried = x[None] + (pair[:, None] * step[None]).astype(x.dtype)
    exact = jax.vmap(partial(_velocity, W, drive, transfer=transfer))(tried)
    residuals = jnp.linalg.norm(exact, axis=-1)
    residuals = jnp.where(jnp.isfinite(residuals), residuals, jnp.inf)
    best = residuals.argmin()
    return tried[best], exact[best], residuals[best], pair[best]


def _velocity(W, drive, x, transfer):
    """F(x)."""
    return transfer(x) @ W.T + drive - x


def _speed_gradient(W, drive, x, transfer):
    """F(x) and ∇q = Jᵀ F, without J."""
    F = _velocity(W, drive, x, transfer)
    return F, (F @ W) * elementwise_derivative(transfer, x) - F


def _slope(W, drive, x, transfer):
    """‖∇q‖ / ‖F‖, ∞ at an exact root."""
    F, gradient = _speed_gradient(W, drive, x, transfer)
    size = jnp.linalg.norm(F)
    return jnp.where(size > 0, jnp.linalg.norm(gradient) / size, jnp.inf)


@partial(jax.jit, static_argnames="transfer")
def _slopes(transfer, W, drive, x):
    return jax.vmap(partial(_slope, W, transfer=transfer))(drive, x)
