import dataclasses

import numpy as np
import pytest
import xarray as xr
from companion import record, results, rule_dynamics
from companion.rule_dynamics import MEASURES, RuleDynamics, rule_of, weights_over_learning
from companion.seeds import SEEDS, seed
from companion.settings import brief_setting

from plasticity.dynamics.portrait import POINT_MEASURES, TRIAL_MEASURES
from plasticity.learning.criterion import TrialsToCriterion

THETA = np.zeros((6, 6))
THETA[1, 5], THETA[3, 3] = -1.0, -0.4
SETTING = brief_setting(n_units=8)
SMALL = RuleDynamics(
    rules=("untrained", "(1,5)"), n_units=8, n_networks=2, n_trials=20, n_starts=6, moments=(0, 20)
)


def _needs() -> dict[str, xr.Dataset]:
    """What a comparison and a selection say of rates and of the learned rule."""
    theta = (("place", "k", "ell"), THETA[None])
    tried = {"theta": theta, "scale": theta, "trials": (("place", "size", "network"), [[[9]]])}
    best = xr.Dataset({"best": ("rule", [3e-3, 1e-2])}, {"rule": ["learned", "(1,5)"]})
    return {"comparison": best, "selection": xr.Dataset(tried)}


@pytest.fixture(scope="module")
def measured() -> xr.Dataset:
    data = SMALL.dataset(SMALL.measure(np.arange(2), **_needs()))
    return record.described(SMALL, data, {}, 0.0)


@pytest.fixture
def verified(monkeypatch):
    """All rules are measured again, with the needs of these tests."""
    needs = {id(SMALL.needs[name]): data for name, data in _needs().items()}
    monkeypatch.setattr(results, "recorded_result", lambda need: needs[id(need)])
    monkeypatch.setattr(RuleDynamics, "fraction", 1.0)
    monkeypatch.setattr(RuleDynamics, "tolerance", 1e-4)
    return lambda data: results.verify(SMALL, data)


def test_networks_that_chose_a_rule_are_not_taken_apart():
    others = [entry.number for use, entry in SEEDS.items() if use != "dynamics"]
    assert list(RuleDynamics.seeds.values()) == [seed("dynamics")]
    assert seed("dynamics") not in others


def test_weights_in_blocks_are_those_of_one_course():
    rule = rule_of(SETTING, "(1,5)", THETA, 1e-2)
    W, correct = weights_over_learning(SETTING, rule, 0, range(2), 40)
    whole = SETTING.learn(0, range(2), 40, rule)
    assert list(W) == [0, 4, 20, 40]
    np.testing.assert_array_equal(W[40], whole.state.W)
    np.testing.assert_array_equal(W[0], SETTING.networks(0, range(2)).W)
    np.testing.assert_array_equal(correct, whole.correct)
    with pytest.raises(ValueError, match="multiple of 20"):
        weights_over_learning(SETTING, rule, 0, range(2), 30)


def test_rules_are_known_by_name():
    assert not np.asarray(rule_of(SETTING, "untrained", THETA, 0.0).coefficients).any()
    np.testing.assert_allclose(rule_of(SETTING, "learned", THETA, 1e-2).coefficients, THETA)
    assert rule_of(SETTING, "node perturbation", THETA, 1e-2).trace.of_kicks
    with pytest.raises(ValueError, match="a rule of this chapter"):
        rule_of(SETTING, "(9,9)", THETA, 1e-2)
    with pytest.raises(ValueError, match=r"rules of this chapter; got \['\(9,9\)'\]"):
        RuleDynamics(rules=("untrained", "(9,9)"))


def test_rates_and_the_learned_rule_are_those_of_the_needs():
    experiment = RuleDynamics(rules=("learned", "(1,5)", "untrained"), n_units=8)
    rules = [experiment._rule(index, **_needs()) for index in range(3)]
    for rule, name, size in zip(rules, experiment.rules, (3e-3, 1e-2, 0.0), strict=True):
        wanted = rule_of(SETTING, name, THETA, size)
        np.testing.assert_array_equal(rule.coefficients, wanted.coefficients)
        assert float(rule.learning_rate) == float(wanted.learning_rate)
    assert experiment.needs["selection"] == experiment.comparison.selection


def test_networks_taken_apart_have_the_numbers_of_every_moment(measured):
    assert measured.measures.shape == (2, 2, 2, len(TRIAL_MEASURES + POINT_MEASURES))
    assert measured.course.shape == (2, 2, 2, len(TRIAL_MEASURES))
    change = measured.course.sel(trial_measure="weight change")
    assert (change.sel(rule="untrained") == 0).all()
    assert (change.sel(rule="(1,5)", moment=20) > 0).all()
    # What never reached criterion has no numbers for that moment; the untrained one has the same.
    learned, untrained = (measured.sel(rule=name) for name in ("(1,5)", "untrained"))
    unmet = learned.measures.sel(stage="at criterion").values[~learned.reached.values]
    assert np.isnan(unmet).all()
    np.testing.assert_array_equal(*untrained.measures.transpose("stage", ...))


def test_a_network_at_criterion_is_taken_apart_as_it_was_then():
    # As if each network had met the criterion in one of two blocks, or never.
    setting, number = SETTING, seed("dynamics")
    before = rule_dynamics.beginnings(setting, number, 3)
    W0 = np.stack([beginning.network.W for beginning in before])
    W = {0: W0, 20: 0.5 * W0, 40: 0.25 * W0}
    result = TrialsToCriterion(np.array([20, 40, 21]), np.array([True, False, True]))
    numbers = SMALL._at_criterion(W, result, before)
    change = numbers[:, MEASURES.index("weight change")]
    np.testing.assert_allclose(change, [0.5, np.nan, 0.75], rtol=1e-6)
    assert np.isnan(numbers[1]).all()
    nobody = TrialsToCriterion(np.full(3, 40), np.zeros(3, bool))
    assert np.isnan(SMALL._at_criterion(W, nobody, before)).all()


def test_every_array_has_the_dimensions_and_labels_declared(measured):
    assert sorted(measured.data_vars) == sorted(RuleDynamics.variables)
    labels = SMALL.coordinates()
    for name, (dims, meaning, unit) in RuleDynamics.variables.items():
        array = measured[name]
        assert array.dims == dims and array.attrs["units"] == unit
        assert array.attrs["long_name"] == meaning
        for dim in set(dims) & set(labels):
            assert measured[dim].values.tolist() == list(labels[dim])
    unlabelled = set(measured.dims) - set(measured.coords)
    assert unlabelled == {"mode", "post", "pre", "condition", "unit"}
    assert measured.sizes["kept_network"] == measured.sizes["early_network"] == 2


def test_rules_are_measured_again(measured, verified):
    assert verified(measured) < 1e-4


@pytest.mark.parametrize("name", ["kept", "early", "weights"])
def test_an_altered_record_is_refused(measured, verified, name):
    altered = measured.copy(deep=True)
    altered[name].values[...] += 1e-2
    what = "kept" if name == "weights" else name
    with pytest.raises(ValueError, match=f"rule_dynamics: {what} measured again within 0.0001"):
        verified(altered)


def test_the_record_of_another_rule_is_refused(measured, verified, monkeypatch):
    def flipped(*given):
        rule = rule_of(*given)
        return rule.replace(coefficients=-rule.coefficients)

    monkeypatch.setattr(rule_dynamics, "rule_of", flipped)
    with pytest.raises(ValueError, match="rule_dynamics: early measured again"):
        verified(measured)


def test_moments_must_be_reached():
    for moments in ((0, 60), (0, 30)):
        with pytest.raises(ValueError, match="moments are multiples of 20 up to 40"):
            RuleDynamics(n_trials=40, moments=moments)
    assert dataclasses.replace(SMALL, n_trials=40, moments=(40,)).length == 2
