import numpy as np
import pytest
from companion.black_box import black_box_search
from companion.dissection import TERMS, knock_outs, largest, sparse_rules, transfer
from companion.held_out_recordings import (
    best_single,
    candidates,
    confirmation,
    learned_coefficients,
    meta_comparison,
    selection,
    shortlist,
)
from companion.meta_recordings import (
    CONFIRMATION,
    TEST,
    TRAINING,
    VALIDATION,
    meta_training,
    setting_map,
    start_coefficients,
)
from companion.record import save_record, verify_record
from companion.settings import brief_setting
from companion.tuning import at_sizes, outcomes

from plasticity.rules.three_factor import make_rule, single_term

THETA = np.zeros((6, 6))
THETA[1, 5], THETA[3, 3] = -1.0, -0.4
ONES = np.ones((6, 6))
SMALL = {"n_units": 8, "n_trials": 24}


def _verified(tmp_path, recording, changed, tolerance=1e-9):
    """Small arrays that are verified; with ``changed`` altered they are not."""
    arrays = recording.live()
    options = {"parameters": recording.parameters, "seed": recording.seed, "seconds": 0.0}
    record = save_record(tmp_path / "small.npz", arrays, **options)
    verify_record(record, recording.recompute, tolerance=tolerance, fraction=1.0)
    other = arrays | {changed: arrays[changed] + 1e-3}
    wrong = save_record(tmp_path / "wrong.npz", other, **options)
    with pytest.raises(ValueError, match=f"recomputed {changed}"):
        verify_record(wrong, recording.recompute, tolerance=tolerance, fraction=1.0)
    return arrays


def test_seeds_of_training_choice_and_judgement_differ():
    seeds = TRAINING, VALIDATION, *TEST.values(), CONFIRMATION, 10, 14, 15, 16, 17
    assert len(set(seeds)) == len(seeds)


def test_the_map_can_be_recorded(tmp_path):
    recording = setting_map(((3.0, 2.0, 200.0, 20.0),), n_runs=2, sizes=(1e-3, 1e-2), **SMALL)
    arrays = _verified(tmp_path, recording, "errors")
    assert arrays["trials"].shape == (1, 2, 2, 2)


def test_training_can_be_recorded_and_its_start_verified(tmp_path):
    sizes = {"n_units": 8, "n_iterations": 2, "n_networks": 3, "n_trials": 6}
    options = {"n_validation": 2, "validation_trials": 24}
    recording = meta_training("association", "pathwise", ("zero",), **sizes, **options)
    arrays = _verified(tmp_path, recording, "first_iterates", 1e-6)
    assert arrays["chosen"].shape == (1, 6, 6) and arrays["scale"][0, 3, 3] == 1.0
    assert arrays["first_objectives"].shape == (1, 2)


def test_candidates_are_late_averages_and_their_means():
    # Coefficients that say start and iteration.
    averaged = np.arange(2)[:, None] * 100.0 + np.arange(5)
    averaged = averaged[..., None, None] * ONES
    thetas, iterations = candidates(
        {"averaged": averaged, "evaluated": np.array([[0, 1, 2, 4]] * 2)}
    )
    assert iterations.tolist() == [2, 4, 2, 4, 2, 4]
    assert thetas[:, 0, 0].tolist() == [2, 4, 102, 104, 52, 54]


def test_the_best_of_two_rounds_is_learned(tmp_path):
    averaged = np.stack([[0 * THETA, THETA], [0 * THETA, -3 * THETA]])
    trained = {"averaged": averaged, "evaluated": np.array([[0, 1]] * 2)}
    trained["scale"] = np.stack([ONES, ONES])
    options = {"n_validation": 3, "sizes": (1e-3, 1e-2)} | SMALL
    listed = _verified(tmp_path, shortlist("association", trained, **options), "errors")
    np.testing.assert_allclose(listed["theta"], np.stack([THETA, -3 * THETA, -THETA]))

    # Trials that say which is best, whatever the networks of this test did.
    def told(arrays, *means):
        return arrays | {"trials": np.ones(arrays["trials"].shape) * np.array(means)[:, None, None]}

    again = selection("association", told(listed, 3.0, 1.0, 2.0), n_kept=2, **options)
    arrays = _verified(tmp_path, again, "errors")
    np.testing.assert_allclose(arrays["theta"], np.stack([-3 * THETA, -THETA]))
    for best in range(2):
        theta, scale = learned_coefficients(told(arrays, *np.roll([1.0, 2.0], best)))
        np.testing.assert_array_equal(theta, arrays["theta"][best])
        np.testing.assert_array_equal(scale, ONES)
    # Other networks than those of the first round, under the same rule.
    same = selection("association", told(listed, 1.0, 2.0, 3.0), n_kept=1, **options)
    assert (same.compute(0)["errors"] != listed["errors"][0]).any()


def test_starts_are_what_they_are_called():
    assert not start_coefficients("zero", ONES).any()
    assert start_coefficients("(3,3)", ONES)[3, 3] == -1.0
    drawn = start_coefficients("random", 2 * ONES)
    np.testing.assert_allclose(2 * drawn, start_coefficients("random", ONES))
    with pytest.raises(ValueError, match="a start of the book"):
        start_coefficients("best", ONES)


def test_rules_can_be_compared(tmp_path):
    sizes = {"n_tuning": 2, "n_again": 4, "n_runs": 3, "sizes": (1e-3, 1e-2)}
    recording = meta_comparison("integration", THETA, ((3, 3),), **sizes, **SMALL)
    arrays = _verified(tmp_path, recording, "errors")
    assert arrays["tuning"].shape == (3, 4, 2) and arrays["again"].shape == (3, 3, 4)
    both = np.array([1e-3, 1e-2, -1e-3, -1e-2])
    order = arrays["tuning"].mean(axis=-1).argsort(axis=-1, kind="stable")
    np.testing.assert_array_equal(arrays["near"], both[order[:, :3]])
    for near, again, best in zip(arrays["near"], arrays["again"], arrays["best"], strict=True):
        assert best == near[again.mean(axis=-1).argmin()]


def test_the_best_single_term_is_confirmed_at_its_rate_on_other_networks(tmp_path):
    # Fewest trials where rates were chosen: not the learned rule, not the reference, but (1, 5).
    terms = (3, 3), (1, 5)
    tuning = np.array([[1, 9], [7, 8], [9, 6], [2, 9]])[..., None]
    compared = {"again": tuning, "best": np.array([0.1, 0.2, 0.3, 0.4])}
    assert best_single(compared, terms) == (1, 5)
    recording = confirmation("association", THETA, compared, terms, n_runs=3, **SMALL)
    assert recording.parameters["sizes"] == [0.1, 0.3]
    arrays = _verified(tmp_path, recording, "errors")
    assert arrays["trials"].shape == arrays["reached"].shape == (3, 2)
    # The same rules at the same rates, one by one.
    setting = brief_setting(n_units=8)
    for column, (rule, size) in enumerate(((make_rule(THETA), 0.1), (single_term(1, 5), 0.3))):
        batch = at_sizes(setting, rule, [size])
        alone = outcomes(setting, batch, CONFIRMATION, range(3), 24)[1][0]
        np.testing.assert_allclose(arrays["errors"][:, column], alone[:, :4], rtol=1e-9)


def test_a_rule_can_be_taken_apart(tmp_path):
    recording = knock_outs(THETA, ONES, 1e-2, n_runs=2, n_alone=2, sizes=(1e-2,), **SMALL)
    made = {term: recording.compute(TERMS.index(term)) for term in ((3, 3), (2, 2))}
    # Nothing is lost without a coefficient that is zero, and something without one that is not.
    trials = {term: arrays["rewards"][0] for term, arrays in made.items()}
    np.testing.assert_array_equal(trials[2, 2][0], trials[2, 2][1])
    assert (trials[3, 3][0] != trials[3, 3][1]).any()
    again = recording.recompute(np.array([21]), made[3, 3])["errors"]
    np.testing.assert_allclose(again, made[3, 3]["errors"], rtol=1e-9)


def test_the_largest_terms_are_kept_in_scaled_units():
    scale = ONES.copy()
    scale[3, 3] = 10.0
    kept = largest(THETA, scale, 1)
    assert kept[3, 3] == -0.4 and np.count_nonzero(kept) == 1
    np.testing.assert_array_equal(largest(THETA, scale, 36), THETA)


def test_sparse_rules_can_be_recorded(tmp_path):
    sizes = {"counts": (1,), "n_tuning": 2, "n_runs": 3, "sizes": (1e-2,)}
    arrays = _verified(tmp_path, sparse_rules(THETA, ONES, **sizes, **SMALL), "errors")
    assert arrays["count"].tolist() == [1, 0]


def test_transfer_can_be_recorded(tmp_path):
    sizes = {"n_units": 8, "n_tuning": 2, "n_runs": 2, "share": 0.06, "sizes": (1e-2,)}
    arrays = _verified(tmp_path, transfer(THETA, -THETA, cases=(1,), **sizes), "errors")
    assert arrays["trials"].shape == (1, 5, 2) and arrays["horizon"].tolist() == [24]


def test_a_search_by_returns_can_be_recorded(tmp_path):
    sizes = {"n_units": 8, "n_generations": 2, "population": 4, "n_networks": 2, "n_trials": 4}
    options = {"n_validation": 2, "validation_trials": 24}
    recording = black_box_search("association", ("zero",), **sizes, **options)
    arrays = _verified(tmp_path, recording, "errors")
    assert arrays["evaluated"].tolist() == [[0, 2]]
    assert arrays["held_out_trials"].shape == (1, 2)
    assert (arrays["held_out_trials"].min() <= arrays["held_out_trials"]).all()
