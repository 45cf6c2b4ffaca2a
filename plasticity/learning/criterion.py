"""How fast a rule learns: trials to criterion; failures are right-censored, never dropped.

From arrays of correct trials, from lifetimes, and from a setting and a rule.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from plasticity.learning.lifetime import Lifetime
from plasticity.learning.setting import Setting
from plasticity.learning.trial import Learner
from plasticity.rules.base import Rule, RuleStack
from plasticity.types import is_whole, require, require_count


class TrialsToCriterion(NamedTuple):
    """First trial (from 1) at which the criterion holds; the horizon where it never did.

    Attributes:
        trials: (…), int; for runs that failed this is where they were censored.
        reached: whether it ever held, (…), bool.
    """

    trials: np.ndarray
    reached: np.ndarray


def trials_to_criterion(correct, *, window: int = 20, needed: int = 19) -> TrialsToCriterion:
    """First trial h (from 1) such that at least ``needed`` of the last ``window`` were correct.

    Args:
        correct: (…, H), bool; a run that blew up has False from there on.
        window, needed: 19 of 20 are ours.

    Returns:
        Runs that never get there are right-censored at H, the common horizon.

    Raises:
        ValueError: 1 ≤ needed ≤ window ≤ H does not hold, or not for whole numbers.
    """
    correct = np.asarray(correct, dtype=bool)
    horizon = correct.shape[-1]
    value = f"needed = {needed}, window = {window}, H = {horizon}"
    ordered = is_whole(needed, window) and 1 <= needed <= window <= horizon
    require(
        ordered,
        "whole numbers 1 ≤ needed ≤ window ≤ H",
        value,
        "run more trials or shorten the window",
    )
    total = np.cumsum(correct, axis=-1)
    # Of the last ``window`` trials: what was there before them is taken off again.
    total[..., window:] -= total[..., :-window].copy()
    met = total >= needed
    met[..., : window - 1] = False
    reached = met.any(axis=-1)
    return TrialsToCriterion(np.where(reached, met.argmax(axis=-1) + 1, horizon), reached)


def restricted_mean(result: TrialsToCriterion) -> np.ndarray | np.floating:
    """Area under the survival curve up to the common horizon, trials, over the last axis.

    With every failure censored at the horizon this is the mean of min(trials, horizon).
    """
    return np.asarray(result.trials, float).mean(axis=-1)


def failure_reward(learner: Learner) -> float:
    """Reward of a trial without finite activity (ours).

    A graded one is −2: what an output of ±1 with the wrong sign earns, and less than the −1 of a
    silent one, so that a rule does not gain by blowing up. A binary one is 0.
    """
    return -2.0 if learner.reward == "graded" else 0.0


def surviving_trials(lifetimes: Lifetime, **criterion) -> TrialsToCriterion:
    """Trials to criterion, (…), censored at the horizon for lifetimes that ever blew up.

    Args:
        criterion: ``window`` and ``needed``, as in `trials_to_criterion`.

    Raises:
        ValueError: as `trials_to_criterion`.
    """
    result = trials_to_criterion(lifetimes.correct, **criterion)
    errors = np.asarray(lifetimes.errors)
    lost = np.isnan(errors).any(axis=-1)
    trials = np.where(lost, errors.shape[-1], result.trials)
    return TrialsToCriterion(trials, result.reached & ~lost)


class Evaluation(NamedTuple):
    """Lifetimes on B networks, of one rule or of a stack (which adds a leading axis).

    Attributes:
        rewards: mean reward of each lifetime, (…, B). From a blow-up on each trial earns
            `failure_reward`, or the worst reward of that lifetime so far if it is less.
        trials: to criterion; censored at the horizon for those that ever blew up.
        lost: which blew up, (…, B).
    """

    rewards: Float[np.ndarray, "*rules B"]
    trials: TrialsToCriterion
    lost: Bool[np.ndarray, "*rules B"]


def evaluate(
    setting: Setting,
    rule: Rule | RuleStack,
    *,
    seed: int,
    n_networks: int,
    n_trials: int,
    window: int = 20,
    needed: int = 19,
) -> Evaluation:
    """Lifetimes of ``rule`` on the first networks of ``seed``, none of them dropped.

    Args:
        n_networks: B.
        n_trials: H, the horizon.
        window, needed: the criterion, as in `trials_to_criterion`.

    Raises:
        ValueError: as `Setting.learn` and `trials_to_criterion`; B no whole number ≥ 1.

    Warns:
        RuntimeWarning: some lifetimes blew up.
    """
    require_count("n_networks", n_networks)
    lifetimes = setting.learn(seed, np.arange(n_networks), n_trials, rule)
    gone = np.isnan(np.asarray(lifetimes.errors))
    rewards = np.asarray(lifetimes.rewards, float)
    failure = failure_reward(setting.learner)
    worst = np.min(rewards, axis=-1, where=~gone, initial=failure, keepdims=True)
    trials = surviving_trials(lifetimes, window=window, needed=needed)
    return Evaluation(np.where(gone, worst, rewards).mean(axis=-1), trials, gone.any(axis=-1))
