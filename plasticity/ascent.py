"""Steps uphill that are bounded twice: what a lifetime may say, and how far all of them may move.

    g = mean over lifetimes of cut(g_b),   ψ ← ψ + bounded(Adam(g))                      (ours)

All in float64 on the host and in one fixed order, whatever lifetimes are computed in.
"""

from contextlib import contextmanager
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

Parameters = Float[np.ndarray, "d1 d1"]


class Ascent(NamedTuple):
    """Adam (Kingma & Ba 2015, by optax) with a cosine decay of its step and a bound on updates.

    Attributes:
        step_size: of the first update, in units of ψ.
        final_step_size: share of it that is left after ``n_steps``.
        n_steps: of the decay.
        max_update: ‖change of ψ‖ is cut to this.
    """

    step_size: float
    final_step_size: float
    n_steps: int
    max_update: float

    def start(self, shape: tuple[int, ...]) -> list[np.ndarray]:
        """The optimiser's memory before the first step, as plain arrays that can be saved."""
        with _double():
            return [
                np.asarray(leaf) for leaf in jax.tree.leaves(self._rule().init(np.zeros(shape)))
            ]

    def step(
        self, gradient: Parameters, memory: list[np.ndarray]
    ) -> tuple[Parameters, list[np.ndarray]]:
        """What to add to ψ, and the memory for the next step."""
        with _double():
            rule, uphill = self._rule(), jnp.asarray(gradient)
            tree = jax.tree.structure(rule.init(uphill))
            state = jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in memory])
            update, state = rule.update(uphill, state)
            return np.asarray(update), [np.asarray(leaf) for leaf in jax.tree.leaves(state)]

    def _rule(self) -> optax.GradientTransformation:
        sizes = (self.step_size, self.n_steps, self.final_step_size)
        decay = optax.scale_by_schedule(optax.cosine_decay_schedule(*sizes))
        return optax.chain(optax.scale_by_adam(), decay, optax.clip_by_global_norm(self.max_update))


@contextmanager
def _double():
    """Optax mixes types."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def norms_of(gradients: Float[np.ndarray, "B d1 d1"]) -> Float[np.ndarray, "B"]:
    """‖g_b‖; infinite or NaN where a square overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.sum(gradients**2, axis=(1, 2)))


def mean_of_cut(gradients: Float[np.ndarray, "B d1 d1"], max_norm: float | None) -> Parameters:
    """Mean of the gradients, summed in their order, each cut to ``max_norm``; None makes all 1."""
    norms = norms_of(gradients)
    divisors = norms if max_norm is None else np.maximum(norms / max_norm, 1.0)
    total = np.zeros(gradients.shape[1:])
    for gradient, divisor in zip(gradients, divisors, strict=True):
        total += gradient / (divisor or 1.0)
    return total / len(gradients)
