"""Error, reward, and the running baseline of the reward."""

from jaxtyping import Array, Float

from plasticity.model.tasks import Trial, mean_error
from plasticity.types import Index, Scalar


def trial_error(output: Float[Array, "T *O"], trial: Trial) -> Scalar:
    """Mean |z_t − z*_t| over the response window (Miconi 2017), and over outputs."""
    return mean_error(output, trial.target, trial.response)


def trial_reward(error: Scalar, kind: str, correct_below: float) -> Scalar:
    """R = −error if ``kind`` is "graded", 1 or 0 (error < correct_below) if "binary" (ours)."""
    if kind == "graded":
        return -error
    return (error < correct_below).astype(error.dtype)


def reward_baseline(
    baseline: Float[Array, "C"], reward: Scalar, slot: Index, rate: float
) -> Float[Array, "C"]:
    """R̄_c ← R̄_c + rate · (R − R̄_c) for the slot c of this trial (one slot if shared)."""
    return baseline.at[slot].add(rate * (reward - baseline[slot]))
