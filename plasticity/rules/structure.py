"""Rules that keep the structure of a network: connections that are absent, columns of one sign."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Bool, Float

from plasticity.model.network import Dynamics, Network
from plasticity.model.tasks import Task
from plasticity.rules.base import Change, Modified, Rule, Seen
from plasticity.types import Leaf, require, require_count


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Structured(Modified):
    """Another rule, whose changes are made only where the structure allows. (Ours.)

    A connection that is absent stays so; a unit that excites, or inhibits, does so ever after: a
    change that would take a weight past zero ends there (Dale's principle). Networks have to have
    the structure to begin with. Told: what the rule is told, and W. Cost: N² more.

    Attributes:
        rule: that makes the changes.
        mask: whether there is a connection, (N, N).
        signs: of the weights from each unit j, (N,): 1, −1, or 0 for either.
    """

    mask: Leaf
    signs: Leaf

    @property
    def told(self) -> frozenset[str]:
        """What the rule is told, and W."""
        return self.rule.told | {"W"}

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """The change of the rule, as far as it is allowed."""
        change, memory = self.rule.change(seen, memory)
        after = seen.W + jnp.where(self.mask, change.W, 0.0)
        crossed = after * self.signs[None] < 0
        allowed = jnp.where(crossed, 0.0, after) - seen.W
        return change._replace(W=allowed), memory

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise ValueError for a mask or signs of another size, and what the rule raises."""
        shapes = (jnp.shape(self.mask)[-2:], jnp.shape(self.signs)[-1:])
        wanted = ((n_units, n_units), (n_units,))
        require(shapes == wanted, f"mask and signs {wanted}", shapes, "make them for N units")
        super().check(n_units, task, dynamics)

    def check_network(self, network: Network) -> None:
        """Raise ValueError for a network that does not have the structure."""
        W, mask, signs = (np.asarray(a) for a in (network.W, self.mask, self.signs))
        rules = (
            np.reshape(mask, (-1, 1, *mask.shape[-2:])),
            np.reshape(signs, (-1, 1, 1, signs.shape[-1])),
        )
        extra, wrong = (W != 0) & ~rules[0], W * rules[1] < 0
        value = f"{int(extra.sum())} beyond the mask, {int(wrong.sum())} of the other sign"
        fix = "draw networks with the mask and the signs of the rule"
        require(not (extra.any() or wrong.any()), "weights have the structure", value, fix)


def structured(
    rule: Rule,
    *,
    mask: Bool[ArrayLike, "N N"] | None = None,
    signs: Float[ArrayLike, "N"] | None = None,
    n_units: int,
) -> Structured:
    """`Structured` for networks of N units; by default all connections, and either sign.

    Raises:
        ValueError: N no whole number ≥ 1.
    """
    require_count("n_units", n_units)
    mask = jnp.ones((n_units, n_units), bool) if mask is None else jnp.asarray(mask, bool)
    signs = jnp.zeros(n_units) if signs is None else jnp.asarray(signs, float)
    return Structured(rule, mask, signs)
