"""Exploration: sparse, independent kicks to the units, drawn outside the dynamics.

At every step each unit is kicked with probability p = rate · dt, by an amount uniform in
(−amplitude, amplitude) that is added to its activation x. Kicks are an array that the dynamics
take as an argument, so that a run can be repeated, differentiated or perturbed with the same kicks.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from plasticity.types import Activity, PRNGKey, require


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """Kicks of the exploration, as in Miconi (eLife 2017;6:e20899); the values are ours.

    Attributes:
        rate: kicks per unit and second, Hz.
        amplitude: half-width of the uniform distribution of a kick, in units of x.
        onset: time before which nothing is kicked, ms.

    Raises:
        ValueError: a negative rate, amplitude or onset.
    """

    rate: float = 3.0
    amplitude: float = 0.5
    onset: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rate", "amplitude", "onset"):
            value = getattr(self, name)
            require(0 <= value < np.inf, f"{name} ≥ 0 and finite", value, f"give a {name} ≥ 0")

    def probability(self, dt: float) -> float:
        """Probability p = rate · dt / 1000 that a unit is kicked in a step of ``dt`` ms.

        Raises:
            ValueError: p > 1.
        """
        p = self.rate * dt / 1000
        require(
            p <= 1, "kick rate · dt ≤ 1", f"{self.rate} Hz · {dt} ms = {p}", "lower the rate or dt"
        )
        return p


def draw_kicks(
    key: PRNGKey, exploration: Exploration, dt: float, n_steps: int, n_units: int
) -> Activity:
    """Kicks of one trial, (T, N), in units of x and the default floating-point type.

    Kicks are rare, so a number for every cell would mostly be thrown away. Instead a Poisson
    number of them, of mean −log(1 − p)·T·N, falls on cells drawn with replacement, each with 32
    random bits that are added modulo 2³². A cell is hit with probability 1 − e^{log(1−p)} = p,
    independently of the others, and a sum of uniform bits is uniform however often it was hit:
    the result is the Bernoulli process itself, not an approximation of it. The same key gives
    the same kicks in float32 and float64. (Ours.)
    """
    p = exploration.probability(dt)
    first = int(np.ceil(exploration.onset / dt))
    n_cells = max(n_steps - first, 0) * n_units
    if p == 0 or n_cells == 0:
        return jnp.zeros((n_steps, n_units))
    # p = 1 would need infinitely many; 23 leaves a cell unkicked once in 10¹⁰.
    mean = min(-np.log1p(-p), 23.0) * n_cells if p < 1 else 23.0 * n_cells
    most = _quantile(1.0 - 2.0**-33, mean) + 1
    cumulative = np.floor(special.pdtr(np.arange(most), mean) * 2.0**32)
    thresholds = jnp.asarray(np.minimum(cumulative, 2.0**32 - 1).astype(np.uint32))

    count_key, cell_key, bits_key = jax.random.split(key, 3)
    count = jnp.sum(jax.random.bits(count_key, (), jnp.uint32) >= thresholds, dtype=jnp.int32)
    cells = jax.random.randint(cell_key, (most,), 0, n_cells, jnp.int32)
    bits = jax.random.bits(bits_key, (most,), jnp.uint32)
    bits = jnp.where(jnp.arange(most, dtype=jnp.int32) < count, bits, jnp.uint32(0))
    total = jnp.zeros(n_cells, jnp.uint32).at[cells].add(bits)
    # 24 bits are exact in float32, and the half keeps the distribution symmetric about zero.
    uniform = ((total >> 8).astype(float) + 0.5) * 2.0**-23 - 1.0
    kicks = jnp.where(total > 0, exploration.amplitude * uniform, 0.0)
    return jnp.pad(kicks.reshape(-1, n_units), ((n_steps - kicks.size // n_units, 0), (0, 0)))


def _quantile(probability: float, mean: float) -> int:
    """The least k with P(count ≤ k) ≥ probability, for a Poisson count of that mean."""
    # As scipy.stats.poisson has it, which takes longer to import than all of JAX.
    above = np.ceil(special.pdtrik(probability, mean))
    below = np.maximum(above - 1, 0)
    return int(below if special.pdtr(below, mean) >= probability else above)
