"""Steps uphill that are bounded twice: what a lifetime may say, and how far all of them may move.

    g = mean over lifetimes of cut(g_b),   ψ ← shrink(ψ + α m / ‖m‖),  m the momentum of g    (ours)

All in float64 on the host and in one fixed order, whatever lifetimes are computed in.
"""

from contextlib import contextmanager
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

Parameters = Float[np.ndarray, "*P"]


class Ascent(NamedTuple):
    """Steps along the momentum, of a length that decays, and a pull of every coordinate to zero.

        m ← momentum · m + g,   ψ ← shrink(ψ + α m / ‖m‖, sparsity · α / step_size)

    shrink(ψ, c) = sign(ψ) max(|ψ| − c, 0) is the proximal step of an absolute-value penalty: what
    only noise moves stays near zero. α falls from ``step_size`` along a half cosine (optax). A
    method that scales each coordinate by its own spread, as Adam does, would give those without
    signal steps as long as the rest.

    Attributes:
        step_size: ‖change of ψ‖ in the first step, before the pull; none is longer.
        final_step_size: share of it that is left after ``n_steps``.
        n_steps: of the decay.
        momentum: share of m that is kept.
        sparsity: by how much the first step pulls a coordinate to zero.
    """

    step_size: float
    final_step_size: float
    n_steps: int
    momentum: float
    sparsity: float

    def start(self, shape: tuple[int, ...]) -> list[np.ndarray]:
        """The optimiser's memory before the first step, as plain arrays that can be saved."""
        with _double():
            leaves = jax.tree.leaves(self._rule().init(jnp.zeros(shape)))
            return [np.asarray(leaf) for leaf in leaves]

    def step(
        self, psi: Parameters, gradient: Parameters, memory: list[np.ndarray], number: int
    ) -> tuple[Parameters, list[np.ndarray]]:
        """ψ after step ``number`` (from 0), and the memory for the next one."""
        with _double():
            rule, uphill = self._rule(), jnp.asarray(gradient)
            tree = jax.tree.structure(rule.init(uphill))
            state = jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in memory])
            direction, state = rule.update(uphill, state)
            share = float(
                optax.cosine_decay_schedule(1.0, self.n_steps, self.final_step_size)(number)
            )
            moved = psi + self.step_size * share * np.asarray(direction)
            pulled = np.sign(moved) * np.maximum(np.abs(moved) - self.sparsity * share, 0.0)
            return pulled, [np.asarray(leaf) for leaf in jax.tree.leaves(state)]

    def _rule(self) -> optax.GradientTransformation:
        # The constant keeps 0/0 and squares that underflow from steps; optax's own, 1e-6, would
        # shorten those along small gradients.
        return optax.chain(optax.trace(self.momentum), optax.normalize_by_update_norm(eps=1e-150))


@contextmanager
def _double():
    """Optax mixes types."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def norms_of(gradients: Float[np.ndarray, "B *P"]) -> Float[np.ndarray, "B"]:
    """‖g_b‖; infinite or NaN where a square overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.sum(gradients**2, axis=tuple(range(1, gradients.ndim))))


def mean_of_cut(gradients: Float[np.ndarray, "B *P"], max_norm: float | None) -> Parameters:
    """Mean of the gradients, summed in their order, each cut to ``max_norm``; None makes all 1."""
    norms = norms_of(gradients)
    divisors = norms if max_norm is None else np.maximum(norms / max_norm, 1.0)
    total = np.zeros(gradients.shape[1:])
    for gradient, divisor in zip(gradients, divisors, strict=True):
        total += gradient / (divisor or 1.0)
    return total / len(gradients)
