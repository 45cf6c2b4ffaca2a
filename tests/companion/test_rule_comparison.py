from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr
from companion import record, results, rule_comparison
from companion.rule_comparison import CONTROLS, RULES, RuleComparison, RuleTuning

from plasticity.learning.criterion import TrialsToCriterion

TUNING = RuleTuning(n_units=4, n_networks=2, n_trials=30, n_rates=12)
SMALL = RuleComparison(n_units=12, n_networks=3, n_trials=24)
RATES = xr.Dataset({"best": ("rule", np.full(len(RULES), 1e-3))}, {"rule": list(RULES)})


def _learner_with_optimum_at(monkeypatch, best):
    """Trials to criterion that grow with the distance of the learning rate from ``best``."""

    def result(correct):
        distance = np.abs(np.log10(np.asarray(correct, float)) - np.log10(best))
        trials = (1 + np.round(10 * distance)).astype(int)[:, None].repeat(2, axis=1)
        return TrialsToCriterion(trials, trials < 100)

    class Setting:
        rule = rule_comparison.association_setting(n_units=4).rule

        def learn(self, seed, networks, n_trials, rules):
            if isinstance(rules, list):
                return SimpleNamespace(correct=[float(rule.learning_rate) for rule in rules])
            return SimpleNamespace(errors=np.zeros((len(networks), n_trials)))

    monkeypatch.setattr(rule_comparison, "association_setting", lambda **_: Setting())
    monkeypatch.setattr(rule_comparison, "stack", list)
    monkeypatch.setattr(rule_comparison, "trials_to_criterion", result)


@pytest.mark.parametrize(("best", "within"), [(0.1, 12), (1e-6, 24), (3e4, 24)])
def test_the_grid_of_learning_rates_is_widened_to_hold_the_best(monkeypatch, best, within):
    _learner_with_optimum_at(monkeypatch, best)
    tuned = TUNING.measure_one(0)
    rates = tuned["rates"][np.isfinite(tuned["rates"])]
    assert rates.size <= within and (np.diff(rates) > 0).all()
    assert rates[0] < tuned["best"] < rates[-1]
    assert abs(np.log10(tuned["best"] / best)) <= 0.25


def test_a_best_rate_beyond_all_widening_stays_at_the_edge(monkeypatch):
    _learner_with_optimum_at(monkeypatch, 1e12)
    tuned = TUNING.measure_one(0)
    assert np.isfinite(tuned["rates"]).all()
    assert tuned["best"] == tuned["rates"][-1]


def test_every_rule_is_tuned_in_a_part_of_its_own():
    assert len(TUNING.parts()) == len(RULES)
    assert TUNING.coordinates()["rule"] == list(RULES)


class _OtherNetworks(RuleComparison):
    seeds = {"rules": 4}


def test_what_is_recorded_can_be_verified(monkeypatch):
    monkeypatch.setattr(results, "recorded_result", lambda need: RATES)
    with jax.enable_x64(False):
        data = SMALL.dataset(SMALL.measure(np.arange(3), tuning=RATES))
        data = record.described(SMALL, data, {}, 0.0)
        assert results.verify(SMALL, data) < 5e-3
        other = _OtherNetworks(n_units=12, n_networks=3, n_trials=24)
        with pytest.raises(ValueError, match="errors measured again"):
            results.verify(other, data)
    assert data.trials.sizes == {"network": 3, "rule": len(RULES) + len(CONTROLS)}


def test_rules_are_compared_at_the_rates_that_tuning_gave(monkeypatch):
    """The rate of one rule, changed, changes the errors of that rule and of no other."""
    rates = RATES.copy(deep=True)
    rates.best.loc["(1,1)"] = 1.0
    with jax.enable_x64(False):
        before, after = (SMALL.measure(np.arange(3), tuning=r)["errors"] for r in (RATES, rates))
    changed = np.any(before != after, axis=(0, 2))
    assert np.flatnonzero(changed).tolist() == [list(RULES).index("(1,1)")]
