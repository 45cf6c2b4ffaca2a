"""Coordinates of a three-factor rule in which the outer loop may learn better than in θ itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from plasticity.model.network import Dynamics, Network
from plasticity.model.tasks import Task
from plasticity.rules.base import Change, Seen, check_part
from plasticity.rules.three_factor import SoftBound, ThreeFactor
from plasticity.rules.time_constants import TIMES, told_with, with_time_constants
from plasticity.rules.trace import Polynomial
from plasticity.types import Leaf, is_traced, require
from plasticity.values import Value


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class InCoordinates(Value):
    """A three-factor rule whose coefficients, bound and time constants follow from ψ.

        θ = Σ_p ψ_p B_p,   c = c₀ exp(ψ_P),   τ = m + (τ₀ − m) exp(ψ_τ)                  (ours)

    Made by `in_coordinates`. A unit of each coordinate should do about as much to the trace as one
    of any other: directions B_p that are orthonormal over activity tell neighbouring powers apart.

    Attributes:
        rule: all but its coefficients; the limit of its `SoftBound` is c₀.
        basis: B, (P, d+1, d+1).
        parameters: ψ, (P + 1 + n,): the coordinates of θ, the logarithm of c/c₀, and one number for
            each time constant.
        least, begun: m and τ₀ of the n time constants that are learned, (n,).
        times: their names, of `plasticity.rules.time_constants.with_time_constants`.
    """

    rule: ThreeFactor
    basis: Leaf
    parameters: Leaf
    least: Leaf = ()
    begun: Leaf = ()
    times: tuple[str, ...] = field(default=(), metadata={"static": True})

    @property
    def told(self) -> frozenset[str]:
        """What the rule is told, with its own filter and the decay of its weights."""
        return told_with(self.rule.told, self.times)

    @property
    def time_constants(self) -> dict[str, Any]:
        """Name → τ, of those that are learned."""
        psi = self.parameters[len(self.basis) + 1 :]
        each = zip(self.times, self.least, self.begun, psi, strict=True)
        return {name: m + (first - m) * jnp.exp(p) for name, m, first, p in each}

    @property
    def composed(self) -> Any:
        """The rule that it is: a `ThreeFactor`, or one whose weights decay as well."""
        n = len(self.basis)
        theta = jnp.tensordot(self.parameters[:n], self.basis, axes=1)
        limit = self.rule.bound.limit * jnp.exp(self.parameters[n])
        rule = self.rule.replace(coefficients=theta, clip=limit)
        return with_time_constants(rule, **self.time_constants)

    @property
    def learning_rate(self) -> Leaf:
        """That of the rule, ()."""
        return self.rule.learning_rate

    def with_parameters(self, parameters) -> "InCoordinates":
        """The rule at other coordinates."""
        return replace(self, parameters=parameters)

    def start(self, network: Network, task: Task) -> Any:
        """What the rule remembers before the first trial."""
        return self.rule.start(network, task)

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """The change that the composed rule makes."""
        return self.composed.change(seen, memory)

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise what the rule raises, and ValueError for a time constant that may fall below dt."""
        check_part(self.rule, n_units, task, dynamics)
        if not is_traced(self.least):
            floors = dict(zip(self.times, np.ravel(self.least), strict=True)) | {"tau_w": np.inf}
            short = {name: float(m) for name, m in floors.items() if m < dynamics.dt}
            fix = "let its least value be dt or more"
            require(not short, f"dt = {dynamics.dt} ms ≤ the least time constant", short, fix)


def in_coordinates(
    rule: ThreeFactor,
    basis: Float[Array | np.ndarray, "P d1 d1"],
    times: Mapping[str, tuple[float, float]] | None = None,
) -> InCoordinates:
    """The rule in the coordinates of a basis of its coefficients.

    Args:
        times: name of a time constant that is learned → its least value m and its first one τ₀ > m,
            in the units of `plasticity.rules.time_constants.with_time_constants`.

    Raises:
        ValueError: a rule without coefficients or without a soft bound; a basis of another degree,
            or one that does not reach the rule's coefficients; an unknown time constant, or one
            that does not begin above its least value.
    """
    polynomial = isinstance(rule, ThreeFactor) and isinstance(rule.trace, Polynomial)
    kind = type(rule.trace if isinstance(rule, ThreeFactor) else rule).__name__
    fix = "make it by make_rule"
    require(polynomial, "coordinates are of a ThreeFactor of Polynomial", kind, fix)
    bound, fix = type(rule.bound).__name__, "give make_rule bound=SoftBound(c)"
    require(isinstance(rule.bound, SoftBound), "a bound with a derivative", bound, fix)
    theta, basis = np.asarray(rule.coefficients, float), np.asarray(basis, float)
    fits = basis.ndim == 3 and basis.shape[1:] == theta.shape
    fix = "give one matrix (d+1, d+1) a coordinate"
    require(fits, f"a basis (P, {theta.shape[0]}, {theta.shape[1]})", basis.shape, fix)
    flat = basis.reshape(len(basis), -1)
    psi, *_ = np.linalg.lstsq(flat.T, theta.ravel(), rcond=None)
    missed = float(np.abs(psi @ flat - theta.ravel()).max())
    reached = missed <= 1e-6 * max(1.0, float(np.abs(theta).max()))
    fix = "give a basis that spans them, or start from others"
    require(reached, "the basis reaches the rule's coefficients", f"{missed:g} off", fix)
    times = dict(times or {})
    unknown = sorted(set(times) - set(TIMES))
    require(not unknown, "time constants of a rule", unknown, f"choose from {TIMES}")
    for name, (least, begun) in times.items():
        rule_of, value = f"0 < least < first {name} < ∞", (least, begun)
        require(0 < least < begun < np.inf, rule_of, value, "begin above the least value")
    least, begun = (jnp.asarray([t[i] for t in times.values()], float) for i in (0, 1))
    parameters = jnp.asarray(np.append(psi, np.zeros(1 + len(times))), float)
    of_times = {"least": least, "begun": begun, "times": tuple(times)} if times else {}
    made = {"basis": jnp.asarray(basis, float), "parameters": parameters}
    return InCoordinates(rule=rule, **made, **of_times)
