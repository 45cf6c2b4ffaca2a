"""The third factor: reward, its running baseline, and the reward prediction error."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from plasticity.model.tasks import Trial
from plasticity.types import Index, Scalar, Series


def trial_error(output: Series, trial: Trial) -> Scalar:
    """Mean |z_t − z*_t| over the response window (Miconi 2017)."""
    window = trial.response.astype(output.dtype)
    return jnp.sum(window * jnp.abs(output - trial.target)) / jnp.sum(window)


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


def reward_prediction_error(reward: Scalar, baseline: Scalar, error_factor: bool = False) -> Scalar:
    """R − R̄ (the paper); with ``error_factor`` times −R̄, the mean error so far (Miconi 2017)."""
    difference = reward - baseline
    return -baseline * difference if error_factor else difference
