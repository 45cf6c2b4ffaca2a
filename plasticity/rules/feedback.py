"""Rules with a filtered presynaptic trace and a direction of error: e-prop and RFLO.

    p_j ← (1 − a) p_j + a r_j,   e_ij(t) = φ′(x_i) p_j,   a = dt/τ
    reward-based   ΔW = η (R − R̄) Σ_t (B ξ_t)_i e_ij(t),   ξ the noise of the output
    supervised     ΔW = η Σ_t (B (z* − z)_t)_i e_ij(t)

over the steps on which the output is judged. B is the feedback from outputs to units: that of the
readout, which is symmetric, or a random one. Sources: Murray (eLife 8:e43299, 2019); Bellec et al.
(Nat. Commun. 11:3625, 2020, equation 5).
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from plasticity.model.network import Dynamics, Network, elementwise_derivative
from plasticity.model.tasks import Task
from plasticity.rules.base import Change, Seen
from plasticity.rules.three_factor import Clip, checked_bound, checked_rate
from plasticity.types import Activity, Leaf, Scalar, is_traced, require
from plasticity.values import Value

Feedback = Float[Array, "N"] | Float[Array, "N O"] | None


def filtered_rates(seen: Seen) -> Activity:
    """p_j, the rates through the low-pass of the units, after each step, (T, N)."""
    a = seen.dynamics.dt / seen.dynamics.tau

    def step(p, r):
        p = (1 - a) * p + a * r
        return p, p

    return jax.lax.scan(step, jnp.zeros_like(seen.rates[0]), seen.rates)[1]


def feedback_trace(seen: Seen, signal: Float[Array, "T *O"], B: Feedback):
    """Σ_t (B s_t)_i φ′(x_i) p_j over the steps judged, (N, N); B None takes W_out."""
    window = seen.response.astype(seen.rates.dtype)
    signal = signal.reshape(len(window), -1) * window[:, None]
    B = seen.W_out.T if B is None else B
    B = B.reshape(seen.rates.shape[1], -1)
    slopes = elementwise_derivative(seen.dynamics.transfer, seen.states)
    return (signal @ B.T * slopes).T @ filtered_rates(seen)


def readout_change(seen: Seen, signal: Float[Array, "T *O"], rate: Scalar):
    """rate · Σ_t s_t r_i over the steps judged: the delta rule of the readout, of its shape."""
    window = seen.response.astype(seen.rates.dtype)
    rates = seen.dynamics.transfer(seen.states) * window[:, None]
    return rate * (signal.T @ rates)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class _Feedback(Value):
    """What both rules share; see the module.

    Attributes:
        learning_rate: η, ().
        readout_rate: η of the readout, whose change is that of the delta rule, (); 0 freezes it.
        feedback: B, (N,) or (N, O); None takes W_out as it is in each trial.
        bound: as in `ThreeFactor`; of the recurrent weights alone.
        plastic_readout: whether W_out changes.
    """

    learning_rate: Leaf
    readout_rate: Leaf = 0.0
    feedback: Leaf = None
    bound: Any = Clip()
    plastic_readout: bool = field(default=False, metadata={"static": True})

    def start(self, network: Network, task: Task) -> Any:
        """Nothing."""
        return ()

    def _told(self, signal: set[str]) -> frozenset[str]:
        own = {"W_out"} if self.feedback is None else set()
        return frozenset({"rates", "states", "response"} | signal | own)

    def _changes(self, seen: Seen, signal, factor: Scalar) -> Change:
        trace = feedback_trace(seen, signal, self.feedback)
        W_out = None
        if self.plastic_readout:
            W_out = factor * readout_change(seen, signal, self.readout_rate)
        return Change(self.bound(self.learning_rate * factor * trace), W_out, trace, factor)

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise ValueError for feedback of another shape than the network's and the task's."""
        if self.feedback is None:
            return
        n_outputs, shape = int(np.prod(np.shape(task.targets)[2:])), np.shape(self.feedback)
        # Of a stack the leading axis is that of the rules.
        fits = shape[-2:] == (n_units, n_outputs) or (n_outputs == 1 and shape[-1:] == (n_units,))
        fix = "give one number a unit and output, or None for the weights of the readout"
        require(fits, f"feedback B ({n_units}, {n_outputs})", shape, fix)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RewardFeedback(_Feedback):
    """ΔW = η (R − R̄) Σ_t (B ξ_t)_i φ′(x_i) p_j: reward-based e-prop (RFLO). For `OutputNoise`.

    Told: the reward, the noise of its output, and B. Cost: N²T multiplications a trial. Ours: that
    noise counts on the steps judged, and that R − R̄ comes once, at the end.
    """

    @property
    def told(self) -> frozenset[str]:
        """Rates and states, the noise of the output, the reward; W_out if B is the readout."""
        return self._told({"output_noise", "reward", "baseline"})

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """ΔW and, if it is plastic, ΔW_out."""
        return self._changes(seen, seen.output_noise, seen.reward - seen.baseline), memory


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SupervisedFeedback(_Feedback):
    """ΔW = η Σ_t (B (z* − z)_t)_i φ′(x_i) p_j: random feedback local online learning, RFLO.

    Told: the whole target, and B. Cost: N²T multiplications a trial.
    """

    @property
    def told(self) -> frozenset[str]:
        """Rates and states, output and target; W_out if B is the readout."""
        return self._told({"output", "target"})

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """ΔW and, if it is plastic, ΔW_out."""
        one = jnp.ones((), seen.rates.dtype)
        return self._changes(seen, seen.target - seen.output, one), memory


def reward_feedback(
    *, learning_rate=0.01, readout_rate=None, feedback=None, clip=None, bound=None
) -> RewardFeedback:
    """A `RewardFeedback`, its numbers checked.

    Args:
        learning_rate, feedback: as there.
        readout_rate: η of the readout, which makes it plastic; None freezes it.
        clip, bound: as in `plasticity.rules.three_factor.make_rule`.

    Raises:
        ValueError: a rate < 0, a bound ≤ 0, a clip and a bound, feedback that is not finite.
    """
    return RewardFeedback(**_checked(learning_rate, readout_rate, feedback, clip, bound))


def supervised_feedback(
    *, learning_rate=0.01, readout_rate=None, feedback=None, clip=None, bound=None
) -> SupervisedFeedback:
    """A `SupervisedFeedback`, its numbers checked; arguments and errors as in `reward_feedback`."""
    return SupervisedFeedback(**_checked(learning_rate, readout_rate, feedback, clip, bound))


def _checked(learning_rate, readout_rate, feedback, clip, bound) -> dict[str, Any]:
    """The fields of a `_Feedback`, as arrays."""
    if feedback is not None:
        feedback = jnp.asarray(feedback, float)
        finite = is_traced(feedback) or bool(jnp.isfinite(feedback).all())
        fix = "give a finite number for each unit and output"
        require(finite, "feedback B is finite", "others", fix)
    return {
        "learning_rate": checked_rate(learning_rate),
        "readout_rate": checked_rate(0.0 if readout_rate is None else readout_rate),
        "feedback": feedback,
        "bound": checked_bound(clip, bound),
        "plastic_readout": readout_rate is not None,
    }
