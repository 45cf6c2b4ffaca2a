"""How a rule does on networks it has not met: a lifetime that blows up is a failure, and stays."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from plasticity.learning import Learner
from plasticity.lifetimes import Lifetime
from plasticity.settings import Setting
from plasticity.statistics import TrialsToCriterion, trials_to_criterion
from plasticity.three_factor import Rule


class Evaluation(NamedTuple):
    """Lifetimes of one rule on B networks.

    Attributes:
        rewards: mean reward of each lifetime, (B,). From a blow-up on each trial earns
            `failure_reward`, or the worst reward of that lifetime so far if it is less.
        trials: to criterion; censored at the horizon for those that blew up, be it afterwards.
        lost: which blew up, (B,).
    """

    rewards: Float[np.ndarray, "B"]
    trials: TrialsToCriterion
    lost: Bool[np.ndarray, "B"]


def failure_reward(learner: Learner) -> float:
    """Reward of a trial without finite activity (ours).

    A graded one is −2: what an output of ±1 with the wrong sign earns, and less than the −1 of a
    silent one, so that a rule does not gain by blowing up. A binary one is 0.
    """
    return -2.0 if learner.reward == "graded" else 0.0


def surviving_trials(lifetimes: Lifetime, **criterion) -> TrialsToCriterion:
    """Trials to criterion (…), censored at the horizon for lifetimes that blew up, be it later.

    ``criterion``: window and needed, as in `plasticity.statistics.trials_to_criterion`.
    """
    found = trials_to_criterion(lifetimes.correct, **criterion)
    errors = np.asarray(lifetimes.errors)
    lost = np.isnan(errors).any(axis=-1)
    trials = np.where(lost, errors.shape[-1], found.trials)
    return TrialsToCriterion(trials, found.reached & ~lost)


def evaluate(
    setting: Setting,
    rule: Rule,
    *,
    seed: int,
    n_networks: int,
    n_trials: int,
    window: int = 20,
    needed: int = 19,
) -> Evaluation:
    """Lifetimes of ``rule`` on the first networks of ``seed``, none of them dropped.

    Raises:
        ValueError: as `plasticity.lifetimes.learn` and `trials_to_criterion`.

    Warns:
        RuntimeWarning: some lifetimes blew up.
    """
    lifetimes = setting.learn(seed, np.arange(n_networks), n_trials, rule)
    gone = np.isnan(np.asarray(lifetimes.errors))
    rewards = np.asarray(lifetimes.rewards, float)
    failure = failure_reward(setting.learner)
    worst = np.min(rewards, axis=1, where=~gone, initial=failure, keepdims=True)
    trials = surviving_trials(lifetimes, window=window, needed=needed)
    return Evaluation(np.where(gone, worst, rewards).mean(axis=1), trials, gone.any(axis=1))
