import jax
import numpy as np
import pytest
from companion.lazy_rich import PLACES, LazyRich, Place, setting_at
from companion.settings import brief_setting
from small_records import verified
from test_rule_dynamics import TUNING, needs

SMALL = LazyRich(
    tuning=TUNING,
    rules=("(3,3)", "BPTT"),
    places=((0.8, 1.0), (1.5, 3.0)),
    n_networks=2,
    n_trials=40,
)


def test_a_place_changes_gain_and_readout_alone():
    setting = brief_setting(n_units=9)
    usual = setting.networks(4, range(2))
    same = setting_at(setting, Place(1.5, 1.0)).networks(4, range(2))
    jax.tree.map(np.testing.assert_array_equal, same, usual)
    other = setting_at(setting, Place(0.75, 3.0)).networks(4, range(2))
    np.testing.assert_allclose(other.W, 0.5 * np.asarray(usual.W), rtol=1e-6)
    np.testing.assert_allclose(other.W_out, 3 * np.asarray(usual.W_out), rtol=1e-6)
    np.testing.assert_array_equal(other.W_in, usual.W_in)
    assert len({str(place) for place in PLACES}) == len(PLACES)


def test_a_record_is_verified_and_an_altered_one_is_refused(monkeypatch):
    data = verified(monkeypatch, SMALL, "early", tolerance=1e-3, **needs())
    error = data.measures.sel(measure="error")
    np.testing.assert_array_equal(np.isfinite(error), np.isfinite(data.after))
    assert (data.untrained.sel(measure="weight change") == 0).all()


def test_steps_are_as_large_relative_to_the_trace_at_a_place():
    tried = needs()
    contests = [SMALL._contest(index, "(3,3)", **tried) for index in range(2)]
    rates = []
    for contest, point, units in contests:
        rule = contest.rule(contest.values(point), units)
        rates.append(float(rule.learning_rate) * units[0])
    assert rates[0] == pytest.approx(rates[1])
    with pytest.raises(ValueError, match="rules of this chapter"):
        LazyRich(rules=("no learning",))
