import jax
import numpy as np
import pytest
from companion import recordings
from companion.record import save_record, verify_record
from companion.recordings import miconi_parity, rule_comparison, rule_tuning, tune_rule, tuned_rates

from plasticity.learning.criterion import TrialsToCriterion

SMALL = {"n_units": 12, "n_trials": 24}


def _learner_with_optimum_at(monkeypatch, best):
    """Trials to criterion that grow with the distance of the learning rate from ``best``."""

    def result(correct):
        distance = np.abs(np.log10(np.asarray(correct, float)) - np.log10(best))
        trials = (1 + np.round(10 * distance)).astype(int)[:, None].repeat(2, axis=1)
        return TrialsToCriterion(trials, trials < 100)

    class Lifetimes:
        def __init__(self, rule):
            self.correct = rule.learning_rate

    class Setting:
        rule = recordings.association_setting(n_units=4).rule

        def learn(self, seed, runs, n_trials, rule):
            return Lifetimes(rule)

    monkeypatch.setattr(recordings, "association_setting", lambda **_: Setting())
    monkeypatch.setattr(recordings, "trials_to_criterion", result)


@pytest.mark.parametrize(("best", "within"), [(0.1, 12), (1e-6, 24), (3e4, 24)])
def test_the_grid_of_learning_rates_is_widened_to_hold_the_best(monkeypatch, best, within):
    _learner_with_optimum_at(monkeypatch, best)
    found = tune_rule("(3,3)", n_units=4, n_runs=2, n_trials=30, n_rates=12, seed=0)
    rates = found["rates"][np.isfinite(found["rates"])]
    assert rates.size <= within and (np.diff(rates) > 0).all()
    assert rates[0] < found["best"] < rates[-1]
    assert abs(np.log10(found["best"] / best)) <= 0.25


def test_a_best_rate_beyond_all_widening_stays_at_the_edge(monkeypatch):
    _learner_with_optimum_at(monkeypatch, 1e12)
    found = tune_rule("(3,3)", n_units=4, n_runs=2, n_trials=30, n_rates=12, seed=0)
    assert np.isfinite(found["rates"]).all()
    assert found["best"] == found["rates"][-1]


def test_what_is_recorded_can_be_verified(tmp_path):
    with jax.enable_x64(False):
        rates = {name: 1e-3 for name in recordings.RULES}
        recording = rule_comparison(rates, n_runs=3, **SMALL)
        options = {"parameters": recording.parameters, "seed": recording.seed, "seconds": 0.0}
        record = save_record(tmp_path / "small.npz", recording.live(), **options)
        assert verify_record(record, recording.recompute, tolerance=5e-3) < 5e-3
        other = rule_comparison(rates, n_runs=3, seed=4, **SMALL)
        with pytest.raises(ValueError, match="recomputed errors"):
            verify_record(record, other.recompute, tolerance=5e-3)
    assert record.arrays["trials"].shape == (3, len(rates) + len(recordings.CONTROLS))


def test_tuned_rates_are_the_best_of_each_rule():
    names = list(recordings.RULES)
    best = np.linspace(0.1, 0.7, len(names))
    assert tuned_rates({"best": best}) == dict(zip(names, best.tolist(), strict=True))
    assert rule_tuning().n_parts == len(names)


def test_parity_can_be_computed_small():
    recording = miconi_parity(n_runs=1, n_trials=4)
    assert recording.live()["errors"].shape == (1, 4)
    assert recording.parameters == {"without": None, "n_runs": 1, "n_trials": 4}
