"""Coordinates of a three-factor rule in which the outer loop may learn better than in θ itself."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from plasticity.model.network import Dynamics, Network
from plasticity.model.tasks import Task
from plasticity.rules.base import Change, Seen, check_part
from plasticity.rules.three_factor import SoftBound, ThreeFactor
from plasticity.rules.trace import Polynomial
from plasticity.types import Leaf, require
from plasticity.values import Value


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class InCoordinates(Value):
    """A three-factor rule whose coefficients and bound follow from what is learned, ψ.

        θ = Σ_p ψ_p B_p,   c = c₀ exp(ψ_P)                                             (ours)

    Made by `in_coordinates`. A unit of each coordinate should do about as much to the trace as one
    of any other: directions B_p that are orthonormal over activity tell neighbouring powers apart.

    Attributes:
        rule: all but its coefficients; the limit of its `SoftBound` is c₀.
        basis: B, (P, d+1, d+1).
        parameters: ψ, (P + 1,): the coordinates of θ, and the logarithm of c/c₀.
    """

    rule: ThreeFactor
    basis: Leaf
    parameters: Leaf

    @property
    def told(self) -> frozenset[str]:
        """What the rule is told."""
        return self.rule.told

    @property
    def composed(self) -> ThreeFactor:
        """The three-factor rule that it is."""
        theta = jnp.tensordot(self.parameters[:-1], self.basis, axes=1)
        limit = self.rule.bound.limit * jnp.exp(self.parameters[-1])
        return self.rule.replace(coefficients=theta, clip=limit)

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
        """Raise what the rule raises."""
        check_part(self.rule, n_units, task, dynamics)


def in_coordinates(rule: ThreeFactor, basis: Float[Array | np.ndarray, "P d1 d1"]) -> InCoordinates:
    """The rule in the coordinates of a basis of its coefficients.

    Raises:
        ValueError: a rule without coefficients or without a soft bound; a basis of another degree,
            or one that does not reach the rule's coefficients.
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
    parameters = jnp.asarray(np.append(psi, 0.0), float)
    return InCoordinates(rule=rule, basis=jnp.asarray(basis, float), parameters=parameters)
