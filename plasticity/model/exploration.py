"""Exploration: what makes trials differ, so that reward can tell which way to go.

Sparse kicks or noise to the units, noise on the output, noise on the weights. All of it is drawn
outside the dynamics, as arrays that the dynamics take as arguments, so that a run can be repeated,
differentiated or perturbed with the same draws.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from plasticity.types import Activity, PRNGKey, Weights, require


class Noise(NamedTuple):
    """What exploration adds in one trial.

    Attributes:
        kicks: to x, in each step, (T, N).
        output: to the output, in each step, (T,) or (T, O), or None.
        weights: to W, for the whole trial, (N, N), or None.
    """

    kicks: Activity
    output: Float[Array, "T *O"] | None = None
    weights: Weights | None = None


@runtime_checkable
class Exploration(Protocol):
    """What is added in a trial; hashable, as a frozen dataclass is."""

    def check(self, dt: float) -> None:
        """Raise ValueError if it cannot be drawn at this time step (ms)."""

    def draw(self, key: PRNGKey, dt: float, n_steps: int, n_units: int) -> Noise:
        """The noise of one trial."""


@dataclass(frozen=True, kw_only=True)
class Kicks:
    """Sparse, independent kicks to the units, as in Miconi (eLife 2017;6:e20899).

    At every step each unit is kicked with probability p = rate · dt, by an amount uniform in
    (−amplitude, amplitude) that is added to its activation x. The values are ours. N·T dimensions.

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

    def check(self, dt: float) -> None:
        """Raise ValueError if a unit would be kicked more than once in a step."""
        self.probability(dt)

    def draw(self, key: PRNGKey, dt: float, n_steps: int, n_units: int) -> Noise:
        """The kicks of one trial."""
        return Noise(draw_kicks(key, self, dt, n_steps, n_units))


def standard_normal(key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """N(0, 1) in the default floating-point type; the same draws in float32 and float64.

    Uniform numbers are exact in float32; what is made of them here is not rounded to it, so that
    in float64 two programs agree to float64.
    """
    least = float(np.nextafter(np.float32(-1.0), np.float32(0.0)))
    uniform = jax.random.uniform(key, shape, jnp.float32, least, 1.0).astype(float)
    return np.sqrt(2) * jax.scipy.special.erfinv(uniform)


@dataclass(frozen=True, kw_only=True)
class _Gaussian:
    """Gaussian noise of one size.

    Raises:
        ValueError: a negative size or onset.
    """

    size: float
    onset: float = 0.0

    def __post_init__(self) -> None:
        for name in ("size", "onset"):
            value = getattr(self, name)
            require(0 <= value < np.inf, f"{name} ≥ 0 and finite", value, f"give a {name} ≥ 0")

    def check(self, dt: float) -> None:
        """Every time step will do."""

    def _series(self, key: PRNGKey, dt: float, shape: tuple[int, ...]):
        """Size times N(0, 1) from the onset on."""
        noise = standard_normal(key, shape)
        begun = np.arange(shape[0]) * dt >= self.onset
        return jnp.where(begun.reshape(-1, *(1,) * (len(shape) - 1)), self.size * noise, 0.0)


@dataclass(frozen=True, kw_only=True)
class UnitNoise(_Gaussian):
    """N(0, size²) added to x of every unit in every step from the onset on.

    As in Murray (2019); sizes ours. N·T dimensions.

    Attributes:
        size: standard deviation in one step, in units of x.
        onset: time before which there is none, ms.
    """

    def draw(self, key: PRNGKey, dt: float, n_steps: int, n_units: int) -> Noise:
        """The noise of one trial, in place of kicks."""
        return Noise(self._series(key, dt, (n_steps, n_units)))


@dataclass(frozen=True, kw_only=True)
class OutputNoise(_Gaussian):
    """N(0, size²) added to the output in every step from the onset on, none to the units.

    As in reward-based e-prop (Bellec et al. 2020); sizes ours. T dimensions for each output.

    Attributes:
        size: standard deviation in one step, in units of the output.
        onset: time before which there is none, ms.
        n_outputs: of the readout; None for one without an axis.
    """

    n_outputs: int | None = None

    def draw(self, key: PRNGKey, dt: float, n_steps: int, n_units: int) -> Noise:
        """The noise of one trial."""
        shape = (n_steps,) if self.n_outputs is None else (n_steps, self.n_outputs)
        return Noise(jnp.zeros((n_steps, n_units)), output=self._series(key, dt, shape))


@dataclass(frozen=True, kw_only=True)
class WeightNoise:
    """N(0, size²) added to every recurrent weight for the whole of a trial, none to the units.

    As in weight perturbation (Züge, Klos & Memmesheimer 2023); sizes ours. N² dimensions.

    Attributes:
        size: standard deviation of a weight.

    Raises:
        ValueError: a size ≤ 0.
    """

    size: float

    def __post_init__(self) -> None:
        require(0 < self.size < np.inf, "size > 0 and finite", self.size, "give a size > 0")

    def check(self, dt: float) -> None:
        """Every time step will do."""

    def draw(self, key: PRNGKey, dt: float, n_steps: int, n_units: int) -> Noise:
        """The noise of one trial."""
        noise = self.size * standard_normal(key, (n_units, n_units))
        return Noise(jnp.zeros((n_steps, n_units)), weights=noise)


def draw_kicks(key: PRNGKey, exploration: Kicks, dt: float, n_steps: int, n_units: int) -> Activity:
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
