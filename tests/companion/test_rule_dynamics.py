import numpy as np
import pytest
from companion.meta_recordings import TEST, TRAINING, VALIDATION
from companion.record import save_record, verify_record
from companion.rule_dynamics import SEED, rule_dynamics, rule_of, weights_over_learning
from companion.settings import brief_setting

from plasticity.dynamics.portrait import POINT_MEASURES, TRIAL_MEASURES

THETA = np.zeros((6, 6))
THETA[1, 5], THETA[3, 3] = -1.0, -0.4
SETTING = brief_setting(n_units=8)


def test_networks_that_chose_a_rule_are_not_taken_apart():
    assert SEED not in (TRAINING, VALIDATION, *TEST.values(), 10, 14, 15, 16)


def test_weights_in_blocks_are_those_of_one_course():
    rule = rule_of(SETTING, "(1,5)", THETA, 1e-2)
    W, correct = weights_over_learning(SETTING, rule, 0, range(2), 40)
    whole = SETTING.learn(0, range(2), 40, rule)
    np.testing.assert_array_equal(W[-1], whole.state.W)
    np.testing.assert_array_equal(W[0], SETTING.networks(0, range(2)).W)
    np.testing.assert_array_equal(correct, whole.correct)
    with pytest.raises(ValueError, match="multiple of 20"):
        weights_over_learning(SETTING, rule, 0, range(2), 30)


def test_rules_are_known_by_name():
    assert not np.asarray(rule_of(SETTING, "untrained", THETA, 0.0).coefficients).any()
    np.testing.assert_allclose(rule_of(SETTING, "learned", THETA, 1e-2).coefficients, THETA)
    assert bool(rule_of(SETTING, "node perturbation", THETA, 1e-2).true_kick)
    with pytest.raises(ValueError, match="a rule of this chapter"):
        rule_of(SETTING, "(9,9)", THETA, 1e-2)


def test_networks_taken_apart_can_be_recorded_and_verified(tmp_path):
    sizes = {"(1,5)": 1e-2}
    options = {"n_units": 8, "n_runs": 2, "n_trials": 20, "n_starts": 6, "moments": (0, 20)}
    recording = rule_dynamics(THETA, sizes, rules=("untrained", "(1,5)"), **options)
    arrays = recording.live()
    assert arrays["measures"].shape == (2, 2, 2, len(TRIAL_MEASURES + POINT_MEASURES))
    assert arrays["course"].shape == (2, 2, 2, len(TRIAL_MEASURES))
    change = TRIAL_MEASURES.index("weight change")
    assert (arrays["course"][0, :, :, change] == 0).all()
    assert (arrays["course"][1, 1, :, change] > 0).all()
    # What never reached criterion has no numbers for that moment; the untrained one has the same.
    unmet = ~arrays["reached"][1]
    assert np.isnan(arrays["measures"][1, 0][unmet]).all()
    np.testing.assert_array_equal(arrays["measures"][0, 0], arrays["measures"][0, 1])
    made = {"parameters": recording.parameters, "seed": recording.seed, "seconds": 0.0}
    record = save_record(tmp_path / "small.npz", arrays, **made)
    verify_record(record, recording.recompute, tolerance=1e-4, fraction=1.0)
    for name in ("kept", "early"):
        wrong = save_record(tmp_path / "w.npz", arrays | {name: arrays[name] + 1e-2}, **made)
        with pytest.raises(ValueError, match=f"recomputed {name}"):
            verify_record(wrong, recording.recompute, tolerance=1e-4, fraction=1.0)


def test_moments_must_be_reached():
    with pytest.raises(ValueError, match="moments are multiples of 20 up to 40"):
        rule_dynamics(THETA, {}, n_trials=40, moments=(0, 60))
