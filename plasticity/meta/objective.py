"""The objective of the outer loop: mean reward of one lifetime, a function of the rule."""

import jax
from jaxtyping import Array, Float

from plasticity.learning.trial import (
    LearningState,
    draw_episode,
    initial_learning_state,
    learn_trial,
)
from plasticity.types import Flag, Scalar


def mean_reward(
    parameters: Float[Array, "*P"], key, network, task, rule, learner, n_trials: int
) -> tuple[Scalar, Flag]:
    """(1/H) Σ R^(h) of one lifetime of ``rule`` with these parameters, and whether it lived.

    Differentiated backwards, it keeps what one trial hands to the next and recomputes the trial.
    """
    rule = rule.with_parameters(parameters)

    @jax.checkpoint
    def trial(state: LearningState, _):
        episode = draw_episode(key, state.trial, task, learner, network.W.shape[0])
        state, outcome = learn_trial(state, episode, network, rule, learner)
        return state, outcome.reward

    state = initial_learning_state(network, task, rule, learner)
    state, rewards = jax.lax.scan(trial, state, length=n_trials)
    return rewards.mean(), state.alive
