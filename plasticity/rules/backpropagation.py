"""Backpropagation through time: the true gradient, by reverse mode through the trial.

    BPTT           ΔW = −η ∂L/∂W,   L the mean of ½ (z − z*)², or of |z − z*|, where it is judged
    PolicyGradient ΔW = η (R − R̄) ∂/∂W Σ_t ξ_t · z_t / σ²,   ξ the noise of the output

The first is the ceiling: it is told everything. The second is told the reward in place of the
target, and as the first all weights, through which it sends the noise of its output back (Song,
Yang & Wang, eLife 6:e21492, 2017).
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plasticity.model.network import Network, simulate_trial
from plasticity.model.tasks import Task, mean_error
from plasticity.rules.base import Change, Seen
from plasticity.rules.three_factor import Clip, checked_bound, checked_rate
from plasticity.types import Leaf, Weights, require
from plasticity.values import Value

_TRIAL = frozenset({"kicks", "state", "inputs", "response", "W", "W_in", "W_out"})
LOSSES = ("squared", "absolute")


def output_of(W: Weights, seen: Seen):
    """z of the trial as a function of W, without the noise of the output."""
    network = Network(W, seen.W_in, seen.W_out)
    # x̄ does not act on the output.
    given = (seen.inputs, seen.kicks, seen.state, seen.state, seen.dynamics)
    return simulate_trial(network, *given).output


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Backpropagation(Value):
    """ΔW = −η ∂L/∂W of this trial: gradient descent on the error, told everything.

    Cost: 3 N²T multiplications a trial, and memory for its activity.

    Attributes:
        learning_rate: η, ().
        bound: as in `plasticity.rules.three_factor.ThreeFactor`.
        loss: "squared", the mean of ½ (z − z*)² over steps judged and outputs, or "absolute", the
            error.
    """

    learning_rate: Leaf
    bound: Any = Clip()
    loss: str = field(default="squared", metadata={"static": True})

    told = _TRIAL | {"target"}

    def start(self, network: Network, task: Task) -> Any:
        """Nothing."""
        return ()

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """ΔW."""

        def loss(W):
            gap = output_of(W, seen) - seen.target
            gap = gap**2 / 2 if self.loss == "squared" else gap
            return mean_error(gap, 0.0 * gap, seen.response)

        gradient, one = jax.grad(loss)(seen.W), jnp.ones((), seen.W.dtype)
        return Change(self.bound(-self.learning_rate * gradient), None, -gradient, one), memory


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PolicyGradient(Value):
    """ΔW = η (R − R̄) ∂/∂W Σ_t ξ_t · z_t / σ² over the steps judged. For `OutputNoise`.

    REINFORCE with the noisy output as the action. Cost: 3 N²T multiplications a trial.

    Attributes:
        learning_rate: η, ().
        size: σ, standard deviation of the noise of the output, ().
        bound: as in `plasticity.rules.three_factor.ThreeFactor`.
    """

    learning_rate: Leaf
    size: Leaf
    bound: Any = Clip()

    told = _TRIAL | {"output_noise", "reward", "baseline"}

    def start(self, network: Network, task: Task) -> Any:
        """Nothing."""
        return ()

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """ΔW."""
        window = seen.response.astype(seen.W.dtype)
        noise = seen.output_noise / self.size**2
        noise = noise * window.reshape(-1, *(1,) * (noise.ndim - 1))
        score = jax.grad(lambda W: jnp.sum(noise * output_of(W, seen)))(seen.W)
        factor = seen.reward - seen.baseline
        change = self.bound(self.learning_rate * factor * score)
        return Change(change, None, score, factor), memory


def backpropagation(*, learning_rate=0.01, clip=None, bound=None, loss: str = "squared"):
    """`Backpropagation` with its numbers checked.

    Raises:
        ValueError: a learning rate < 0, a bound ≤ 0, an unknown loss.
    """
    require(loss in LOSSES, f"loss one of {LOSSES}", repr(loss), "choose one of them")
    numbers = _checked(learning_rate, clip, bound)
    return Backpropagation(loss=loss, **numbers)


def policy_gradient(size: float, *, learning_rate=0.01, clip=None, bound=None) -> PolicyGradient:
    """`PolicyGradient` for output noise of this size, its numbers checked.

    Raises:
        ValueError: a size ≤ 0, a learning rate < 0, a bound ≤ 0.
    """
    require(0 < size < np.inf, "size > 0 and finite", size, "give that of the OutputNoise")
    return PolicyGradient(size=jnp.asarray(size, float), **_checked(learning_rate, clip, bound))


def _checked(learning_rate, clip, bound) -> dict[str, Any]:
    return {"learning_rate": checked_rate(learning_rate), "bound": checked_bound(clip, bound)}
