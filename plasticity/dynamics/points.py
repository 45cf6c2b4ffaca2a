"""Where a search for fixed points starts, and which of its ends are the same point. (Ours.)"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform

from plasticity.types import require, require_count


def draw_starts(
    states: Float[np.ndarray, "M N"], n_starts: int, *, seed: int, spread: float = 0.5
) -> Float[np.ndarray, "S N"]:
    """Starts near the states that trials visit (the first half) and at random (the others).

    A start near a state is one of the M states, drawn with replacement, plus N(0, (spread · s)²) in
    every unit, s the r.m.s. of x; a random one is N(0, (2 s)²). (The paper: 200 random starts.)

    Raises:
        ValueError: no states, states that are not finite or all zero, n_starts that is no
            whole number ≥ 1.
    """
    require_count("n_starts", n_starts)
    states = np.asarray(states, float)
    usable = states.size > 0 and bool(np.isfinite(states).all())
    require(usable, "states that are finite", states.shape, "simulate a trial first")
    size = float(np.sqrt(np.mean(states**2)))
    require(size > 0, "states that are not all zero", size, "give x of a trial with input")
    draw = np.random.default_rng(seed)
    near = (n_starts + 1) // 2
    visited = states[draw.integers(len(states), size=near)]
    noise = draw.normal(size=(n_starts, states.shape[1]))
    return np.concatenate([visited + spread * size * noise[:near], 2 * size * noise[near:]])


class Points(NamedTuple):
    """Distinct points under one input, ordered by ‖x‖.

    Attributes:
        x: (M, N).
        residual: ‖F(x)‖, (M,).
        starts: how many starts ended there, (M,).
        label: the point at which each start ended, −1 for none, (S,).
    """

    x: Float[np.ndarray, "M N"]
    residual: Float[np.ndarray, "M"]
    starts: Int[np.ndarray, "M"]
    label: Int[np.ndarray, "S"]


def distinct_points(
    x: Float[np.ndarray, "S N"],
    residual: Float[np.ndarray, "S"],
    which: Bool[np.ndarray, "S"],
    *,
    tolerance: float = 1e-5,
) -> Points:
    """The distinct points among the ends of a search, those within ``tolerance`` merged.

    Distances are r.m.s. over units. Chains merge too (single linkage), so the result does not
    depend on the order of the starts; of a group the end of least residual stands for it.

    Args:
        x, residual: where the starts ended under one input, and ‖F(x)‖ there.
        which: the ends that count: ``converged`` of a `plasticity.dynamics.fixed_points.Search` for
            fixed points, ``slow`` for slow points.

    Raises:
        ValueError: a tolerance that is not positive.
    """
    require(tolerance > 0, "tolerance > 0", tolerance, "give a distance in units of x")
    x, residual = np.asarray(x, float), np.asarray(residual, float)
    chosen = np.flatnonzero(which)
    label = np.full(len(x), -1)
    if len(chosen) == 0:
        return Points(x[:0], residual[:0], np.zeros(0, int), label)
    distance = squareform(pdist(x[chosen])) / np.sqrt(x.shape[1])
    groups = connected_components(distance <= tolerance, directed=False)[1]
    # Least residual first; of equals the first in every coordinate.
    rank = np.lexsort((*x[chosen].T[::-1], residual[chosen]))
    best = [chosen[rank[groups[rank] == g][0]] for g in range(groups.max() + 1)]
    # Norms of points that mirror each other are equal up to rounding.
    order = sorted(
        range(len(best)), key=lambda g: (round(float(np.linalg.norm(x[best[g]])), 6), *x[best[g]])
    )
    label[chosen] = np.argsort(order)[groups]
    ordered = [best[g] for g in order]
    starts = np.bincount(label[chosen], minlength=len(ordered))
    return Points(x[ordered], residual[ordered], starts, label)
