"""The eligibility trace: a polynomial of presynaptic rate and postsynaptic fluctuation.

    e_ij = Σ_t λ_t Σ_{k,ℓ ≤ d} θ_kℓ r_{j,t}^k Δ_{i,t}^ℓ,   λ_t = dt (1 − dt/τ_e)^{T−1−t}

is the end of the trial of de_ij/dt = Σ θ_kℓ r_j^k (x̄_i − x_i)^ℓ − e_ij/τ_e (the trace of the
paper). It is needed only there, so nothing N × N is carried through time: with the polynomials
p_ℓ(r) = Σ_k θ_kℓ r^k it is Σ_ℓ (λ Δ^ℓ)ᵀ p_ℓ(r), one matrix product of inner length T·d.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from plasticity.model.network import Dynamics, Network
from plasticity.model.tasks import Task
from plasticity.rules.base import Seen, check_part, specialise
from plasticity.types import (
    Activity,
    Coefficients,
    Leaf,
    Matrix,
    Series,
    is_traced,
    require,
)
from plasticity.values import Value


@runtime_checkable
class Trace(Protocol):
    """What a synapse remembers of a trial, for `plasticity.rules.three_factor.ThreeFactor`.

    It may have ``parameters``, ``with_parameters``, ``specialised`` and ``check``, as a rule may.

    Attributes:
        told: names of the fields of `Seen` that it reads.
    """

    told: frozenset[str]

    def start(self, network: Network, task: Task) -> Any:
        """What it keeps from trial to trial, before the first; () for nothing."""

    def form(self, seen: Seen, memory: Any) -> tuple[Matrix, Any]:
        """The trace at the end of a trial, and what it keeps for the next."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class _Accumulated(Value):
    """A trace that is summed over steps with the weights of `decay_weights`, and keeps nothing.

    Attributes:
        tau_e: decay time, ms; infinite for none, ().
        onset: time in the trial before which nothing is accumulated, ms.
        plain_sum: sum over steps without dt and decay (Miconi 2017).
    """

    tau_e: Leaf = 1000.0
    onset: float = field(default=0.0, metadata={"static": True})
    plain_sum: bool = field(default=False, metadata={"static": True})

    def weights(self, n_steps: int, dynamics: Dynamics) -> Series:
        """λ_t, (T,)."""
        options = {"onset": self.onset, "plain_sum": self.plain_sum}
        return decay_weights(n_steps, dynamics.dt, self.tau_e, **options)

    def start(self, network: Network, task: Task) -> Any:
        """Nothing."""
        return ()

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise ValueError if τ_e < dt, or if nothing is accumulated from the onset on."""
        self.weights(1, dynamics)
        last = (task.n_steps - 1) * dynamics.dt
        rule = f"0 ≤ onset ≤ {last} ms, the last step of the trial"
        fix = "give the time in the trial at which the trace begins"
        require(0 <= self.onset <= last, rule, self.onset, fix)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Polynomial(_Accumulated):
    """Σ_t λ_t Σ_kℓ θ_kℓ r_j^k Δ_i^ℓ, the trace of the paper.

    Told: presynaptic rates and postsynaptic fluctuations; the kicks in place of these if it is a
    polynomial of them. Cost: N²T multiplications for each power ℓ > 0 that is used, once a trial.

    Attributes:
        coefficients: θ, (d+1, d+1), row k the power of the presynaptic rate, column ℓ that of Δ.
        tau_e, onset, plain_sum: how it is accumulated.
        of_kicks: whether −kick_i takes the place of Δ_i, which is what a kick alone adds to it.
        powers: the ℓ to include, as in `eligibility_trace`.
    """

    coefficients: Leaf
    of_kicks: bool = field(default=False, metadata={"static": True})
    powers: tuple[int, ...] | None = field(default=None, metadata={"static": True})

    @property
    def told(self) -> frozenset[str]:
        """Rates, and fluctuations or kicks."""
        return frozenset({"rates", "kicks" if self.of_kicks else "fluctuations"})

    def postsynaptic(self, seen: Seen) -> Activity:
        """Δ, or −kicks, (T, N)."""
        return -seen.kicks if self.of_kicks else seen.fluctuations

    def form(self, seen: Seen, memory: Any) -> tuple[Matrix, Any]:
        """The trace of this trial."""
        weights = self.weights(seen.rates.shape[0], seen.dynamics)
        factors = (seen.rates, self.postsynaptic(seen))
        return eligibility_trace(*factors, self.coefficients, weights, self.powers), memory

    @property
    def parameters(self) -> Leaf:
        """θ."""
        return self.coefficients

    def with_parameters(self, parameters: Leaf) -> "Polynomial":
        """The trace of other coefficients, with all powers."""
        return replace(self, coefficients=parameters, powers=None)

    def specialised(self) -> "Polynomial":
        """The trace with the powers that its coefficients use."""
        return replace(self, powers=active_powers(self.coefficients))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FunctionTrace(_Accumulated):
    """Σ_t λ_t f(p, r_j, Δ_i) for any function f of parameters and the two local quantities. (Ours.)

    Its derivatives are by reverse mode. Told: rates and fluctuations. Cost: N²T calls of f.

    Attributes:
        function: f(parameters, r, Δ) of numbers, or of arrays that broadcast; hashable.
        parameters: p, an array.
        tau_e, onset, plain_sum: how it is accumulated.
    """

    function: Callable[..., Any] = field(metadata={"static": True})
    parameters: Leaf

    told = frozenset({"rates", "fluctuations"})

    def form(self, seen: Seen, memory: Any) -> tuple[Matrix, Any]:
        """The trace of this trial."""

        def step(e, at):
            weight, rate, fluctuation = at
            grown = self.function(self.parameters, rate[None, :], fluctuation[:, None])
            return e + weight * grown, None

        weights = self.weights(seen.rates.shape[0], seen.dynamics)
        steps = (weights, seen.rates, seen.fluctuations)
        return jax.lax.scan(step, jnp.zeros_like(seen.W), steps)[0], memory

    def with_parameters(self, parameters) -> "FunctionTrace":
        """The trace of other parameters."""
        return replace(self, parameters=parameters)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Frozen(Value):
    """A control: each condition keeps the trace of its first trial for ever. (Ours.)

    Attributes:
        trace: what is frozen, a trace that itself keeps nothing from trial to trial.
    """

    trace: Any

    @property
    def told(self) -> frozenset[str]:
        """What the trace is told."""
        return self.trace.told

    @property
    def tau_e(self):
        """That of the trace."""
        return self.trace.tau_e

    def start(self, network: Network, task: Task) -> Float[Array, "C N N"]:
        """No trace of any condition yet, (C, N, N)."""
        n = network.W.shape[0]
        return jnp.zeros((task.n_conditions, n, n), network.W.dtype)

    def form(self, seen: Seen, memory: Any) -> tuple[Matrix, Any]:
        """The first trace of this condition."""
        kept = memory[seen.condition]
        trace = jnp.where(kept.any(), kept, self.trace.form(seen, ())[0])
        return trace, memory.at[seen.condition].set(trace)

    def specialised(self) -> "Frozen":
        """Frozen is what the trace leaves after what it can leave out."""
        return replace(self, trace=specialise(self.trace))

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise what the trace raises."""
        check_part(self.trace, n_units, task, dynamics)


def decay_weights(
    n_steps: int, dt: float, tau_e, *, onset: float = 0.0, plain_sum: bool = False
) -> Series:
    """λ_t, shape (T,), ms: the weight with which step t enters the trace at the end of the trial.

    Args:
        tau_e: decay time of the trace, ms; infinite for none.
        onset: time before which nothing is accumulated, ms.
        plain_sum: 1 in place of dt and decay (Miconi 2017).

    Raises:
        ValueError: tau_e < dt.
    """
    if not is_traced(tau_e):
        shortest = float(np.asarray(tau_e).min())
        value = f"dt = {dt}, tau_e = {shortest}"
        require(dt <= shortest, "dt ≤ tau_e (ms)", value, "lengthen tau_e or shorten dt")
    steps = jnp.arange(n_steps).astype(float)
    weights = jnp.ones(n_steps) if plain_sum else dt * (1.0 - dt / tau_e) ** (n_steps - 1 - steps)
    return jnp.where(steps * dt >= onset, weights, 0.0)


def active_powers(coefficients: Float[Array, "*batch d1 d1"]) -> tuple[int, ...]:
    """Powers ℓ of the fluctuation that some coefficient uses; all of them while traced.

    A rule of one term costs one product of inner length T in place of d.
    """
    degrees = range(coefficients.shape[-1])
    if is_traced(coefficients):
        return tuple(degrees)
    used = np.asarray(coefficients).reshape(-1, len(degrees)).any(axis=0)
    return tuple(ell for ell in degrees if used[ell])


def polynomial(coefficients: Float[Array, "d1 *ones"], x: Activity) -> Activity:
    """Σ_k c_k x^k by Horner's scheme; each c_k broadcasts against x."""
    if not len(coefficients):
        return jnp.zeros_like(x)
    total = jnp.broadcast_to(coefficients[-1], x.shape)
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def eligibility_trace(
    rates: Float[Array, "T M"],
    fluctuations: Activity,
    coefficients: Coefficients,
    weights: Series,
    powers: tuple[int, ...] | None = None,
) -> Matrix:
    """The trace e at the end of one trial, (N postsynaptic, M presynaptic), in ms.

        e_ij = Σ_t λ_t Σ_kℓ θ_kℓ r_{j,t}^k Δ_{i,t}^ℓ                     (the paper's trace)

    Args:
        rates: r, (T, M).
        fluctuations: Δ = x̄ − x, (T, N).
        coefficients: θ, (d+1, d+1), row k the power of r, column ℓ that of Δ.
        weights: λ, (T,), from `decay_weights`.
        powers: the ℓ to include; by default those of `active_powers`.
    """
    powers = active_powers(coefficients) if powers is None else powers
    left, right, constant = [], [], jnp.zeros(rates.shape[1], rates.dtype)
    for ell in powers:
        presynaptic = polynomial(coefficients[:, ell], rates)
        if ell == 0:
            constant = weights @ presynaptic
        else:
            left.append(weights[:, None] * fluctuations**ell)
            right.append(presynaptic)
    if not left:
        return jnp.broadcast_to(constant, (fluctuations.shape[1], constant.size))
    return jnp.concatenate(left).T @ jnp.concatenate(right) + constant[None]


def term_scale(rates: Activity, fluctuations: Activity, degree: int) -> Coefficients:
    """Root mean square of r_j^k Δ_i^ℓ over synapses and steps of a trial, (d+1, d+1).

    θ_kℓ times it is what a term contributes to the trace, so coefficients compare in these units.
    (Ours.)
    """
    powers = range(0, 2 * degree + 1, 2)
    presynaptic = jnp.stack([jnp.mean(rates**k, axis=1) for k in powers])
    postsynaptic = jnp.stack([jnp.mean(fluctuations**ell, axis=1) for ell in powers])
    return jnp.sqrt(presynaptic @ postsynaptic.T / rates.shape[0])
