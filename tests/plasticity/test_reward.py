import jax.numpy as jnp
import numpy as np

from plasticity.learning.reward import (
    reward_baseline,
    trial_error,
    trial_reward,
)
from plasticity.model.tasks import Trial
from plasticity.rules.three_factor import PredictionError, ScaledPredictionError


def _trial():
    window = jnp.array([False, True, True, False])
    return Trial(jnp.zeros((4, 1)), jnp.full(4, 0.5), window, jnp.int32(0))


def test_only_the_response_window_counts():
    output = jnp.array([9.0, 0.0, 2.0, -9.0])
    assert float(trial_error(output, _trial())) == (0.5 + 1.5) / 2


def test_rewards():
    error = jnp.array(0.8)
    assert float(trial_reward(error, "graded", 1.0)) == -0.8
    assert float(trial_reward(error, "binary", 1.0)) == 1.0
    assert float(trial_reward(error, "binary", 0.5)) == 0.0


def test_a_baseline_moves_only_its_own_slot():
    baseline = reward_baseline(jnp.array([-1.0, -2.0]), jnp.array(0.0), jnp.int32(1), 0.25)
    np.testing.assert_allclose(baseline, [-1.0, -1.5])


def test_the_error_factor_is_the_mean_error_so_far():
    plain = PredictionError()(jnp.array(-0.4), jnp.array(-0.9))
    np.testing.assert_allclose(plain, 0.5)
    scaled = ScaledPredictionError()(jnp.array(-0.4), jnp.array(-0.9))
    np.testing.assert_allclose(scaled, 0.45)
