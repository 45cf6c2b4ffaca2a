import dataclasses

import numpy as np
import pytest
from cases import LEARNER
from outer_loop import RULE, SETTING

from plasticity.learning.criterion import evaluate, failure_reward, trials_to_criterion
from plasticity.learning.lifetime import Lifetime
from plasticity.learning.setting import Setting
from plasticity.rules.base import stack

SIZES = {"seed": 5, "n_networks": 3, "n_trials": 6, "window": 4, "needed": 3}


def test_an_evaluation_is_of_the_first_networks_of_the_seed():
    found = evaluate(SETTING, RULE, **SIZES)
    lifetimes = SETTING.learn(5, np.arange(3), 6, RULE)
    np.testing.assert_array_equal(found.rewards, np.asarray(lifetimes.rewards).mean(axis=1))
    assert not found.lost.any()
    other = evaluate(SETTING, RULE, **SIZES | {"seed": 6})
    assert np.abs(other.rewards - found.rewards).min() > 0


def test_a_stack_is_evaluated_rule_by_rule():
    rules = stack([RULE, RULE.replace(learning_rate=2 * RULE.learning_rate)])
    together = evaluate(SETTING, rules, **SIZES)
    assert together.rewards.shape == together.lost.shape == together.trials.trials.shape == (2, 3)
    alone = evaluate(SETTING, rules[1], **SIZES)
    np.testing.assert_allclose(together.rewards[1], alone.rewards, rtol=1e-12)


def _judged(errors):
    """The evaluation of lifetimes with such errors, that were correct until they blew up."""
    errors = np.asarray(errors)

    class Given(Setting):
        def learn(self, seed, runs, n_trials, rule=None, **options):
            rewards = np.where(np.isnan(errors), np.inf, -errors)
            correct = ~np.isnan(errors)
            return Lifetime(None, errors, rewards, rewards, correct, np.zeros(errors.shape, int))

    return evaluate(Given(**vars(SETTING)), RULE, **SIZES | {"n_networks": len(errors)})


def test_lifetimes_that_blow_up_are_failures():
    nan = np.nan
    found = _judged([[0.5] * 6, [0.5] * 5 + [nan], [3.0] * 3 + [nan] * 3, [nan] * 6])
    assert found.lost.tolist() == [False, True, True, True]
    # The second had met the criterion before it blew up.
    assert found.trials.reached.tolist() == [True, False, False, False]
    assert found.trials.trials.tolist() == [4, 6, 6, 6]
    expected = [-0.5, -(5 * 0.5 + 2) / 6, -3.0, -2.0]
    np.testing.assert_allclose(found.rewards, expected, rtol=1e-15)
    # Left alone, the same lifetime succeeds: the failure is the blow-up's.
    assert _judged([[0.5] * 5 + [0.6]]).trials.reached.all()


def test_a_blow_up_of_the_model_itself():
    hot = RULE.replace(learning_rate=RULE.learning_rate * 1e300, clip=RULE.clip * np.inf)
    with pytest.warns(RuntimeWarning, match="non-finite activity"):
        found = evaluate(SETTING, hot, **SIZES)
    assert found.lost.any() and np.isfinite(found.rewards).all()
    assert not found.trials.reached[found.lost].any()


def test_counts_are_whole(unchecked):
    with pytest.raises(ValueError, match="a whole number n_networks ≥ 1; got 2.5: give"):
        evaluate(SETTING, RULE, **SIZES | {"n_networks": 2.5})
    with pytest.raises(ValueError, match="whole numbers 1 ≤ needed ≤ window ≤ H; got needed = 3"):
        trials_to_criterion(np.ones(9, bool), window=4.5, needed=3)


def test_failure_costs_more_than_silence():
    assert failure_reward(LEARNER) < LEARNER.initial_baseline
    assert failure_reward(dataclasses.replace(LEARNER, reward="binary")) == 0.0
