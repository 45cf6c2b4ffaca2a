import numpy as np
import pytest
import xarray as xr
from companion.learned_rule import (
    SECOND,
    SECOND_COMPARISON,
    MetaComparison,
    Selection,
    Shortlist,
    candidate_coefficients,
    candidates,
    compared_rules,
    learned_coefficients,
    mean_errors,
    second_round,
)
from companion.meta_training import Training
from small_records import refused, verified

THETA = np.zeros((6, 6))
THETA[1, 5], THETA[3, 3] = -1.0, -0.4
ONES = np.ones((6, 6))
SMALL = {"n_units": 8, "n_trials": 24}
STARTS = ("zero", "(3,3)")


def _training(averaged) -> xr.Dataset:
    """Averages (start, iterate, k, ell) of two courses in which all terms have the same scale."""
    arrays = {"averaged": (("start", "iterate", "k", "ell"), np.asarray(averaged))}
    arrays["scale"] = (("start", "k", "ell"), np.stack([ONES, ONES]))
    coords = {"start": list(STARTS), "iterate": np.arange(np.shape(averaged)[1])}
    return xr.Dataset(arrays, coords)


def _telling(data: xr.Dataset, *means: float) -> xr.Dataset:
    """Trials that say which is best, whatever the networks of a test did."""
    each = np.array(means)[:, None, None]
    return data.assign(trials=(data.trials.dims, np.ones(data.trials.shape) * each))


def _selected(theta: np.ndarray, *others: np.ndarray) -> xr.Dataset:
    """A selection of which the first is best."""
    thetas = np.stack([theta, *others])
    trials = np.arange(len(thetas), dtype=float)[:, None, None]
    arrays = {"theta": (("place", "k", "ell"), thetas)}
    arrays["scale"] = (("place", "k", "ell"), np.stack([ONES] * len(thetas)))
    return xr.Dataset(arrays | {"trials": (("place", "size", "network"), trials)})


def test_candidates_are_late_averages_and_their_means():
    # Coefficients that say start and iteration.
    averaged = np.arange(2)[:, None] * 100.0 + np.arange(5)
    training = _training(averaged[..., None, None] * ONES)
    offered = candidates(STARTS, [0, 1, 2, 4])
    assert [iteration for _, iteration in offered] == [2, 4, 2, 4, 2, 4]
    thetas = [candidate_coefficients(training, *candidate) for candidate in offered]
    assert [theta[0, 0] for theta in thetas] == [2, 4, 102, 104, 52, 54]
    assert all(theta.shape == (6, 6) and (theta == theta[0, 0]).all() for theta in thetas)


def test_candidates_of_a_training_follow_from_its_size():
    shortlist = Shortlist.of("association")
    assert len(shortlist.candidates) == 24 == shortlist.length
    assert shortlist.candidates[0] == ("zero", 50)
    assert shortlist.candidates[-1] == ("mean of starts", 100)
    labels = shortlist.coordinates()["candidate"]
    assert labels[0] == "from zero, step 50" and labels[-1] == "mean of starts, step 100"
    few = Shortlist.of(Training(n_iterations=3, starts=("random",)))
    assert few.candidates == [("random", 2), ("random", 3)] + [
        ("mean of starts", 2),
        ("mean of starts", 3),
    ]
    # No more can be kept than were offered.
    assert Selection.of(few).length == 4 and Selection.of("association").length == 5


def test_a_course_that_blew_up_is_not_averaged_away():
    averaged = np.stack([[0 * ONES, ONES], [0 * ONES, np.nan * ONES]])
    assert np.isnan(candidate_coefficients(_training(averaged), "mean of starts", 1)).all()


def test_the_second_task_takes_less():
    assert Shortlist.of("association") == Shortlist()
    assert Selection.of("association") == Selection()
    assert MetaComparison.of("association") == MetaComparison()
    for kind, most in (
        (Shortlist, SECOND),
        (Selection, SECOND),
        (MetaComparison, SECOND_COMPARISON),
    ):
        second = kind.of("integration")
        assert {name: getattr(second, name) for name in most} == most
        assert second.task == "integration"
    assert MetaComparison.of("integration", n_tuning=3, n_trials=40).n_trials == 40


@pytest.fixture
def shortlisted(monkeypatch):
    training = _training(np.stack([[0 * THETA, THETA], [0 * THETA, -3 * THETA]]))
    options = {"n_validation": 3, "sizes": (1e-3, 1e-2)} | SMALL
    shortlist = Shortlist(training=Training(n_iterations=1, starts=STARTS), **options)
    return shortlist, training, options


def test_the_best_of_two_rounds_is_learned(monkeypatch, shortlisted):
    shortlist, training, options = shortlisted
    listed = verified(monkeypatch, shortlist, "errors", training=training)
    np.testing.assert_allclose(listed.theta, np.stack([THETA, -3 * THETA, -THETA]))

    selection = Selection(shortlist=shortlist, n_kept=2, **options)
    tried = _telling(listed, 3.0, 1.0, 2.0)
    data = verified(monkeypatch, selection, "errors", shortlist=tried)
    np.testing.assert_allclose(data.theta, np.stack([-3 * THETA, -THETA]))
    for best in range(2):
        theta, scale = learned_coefficients(_telling(data, *np.roll([1.0, 2.0], best)))
        np.testing.assert_array_equal(theta, data.theta[best])
        np.testing.assert_array_equal(scale, ONES)
    # A record of other choices is refused, however well its rules were measured.
    other = _telling(listed, 1.0, 2.0, 3.0)
    refused(monkeypatch, selection, data, "theta", shortlist=other)
    # Other networks than those of the first round, under the same rule.
    same = Selection(shortlist=shortlist, n_kept=1, **options)
    assert (same.measure_one(0, shortlist=other)["errors"] != listed.errors[1].values).any()
    again = second_round(tried, _telling(data, 5.0, 4.0))
    assert again.to_series().to_dict() == {"from (3,3), step 1": 5.0, "mean of starts, step 1": 4.0}


def test_rules_can_be_compared(monkeypatch):
    sizes = {"n_tuning": 2, "n_again": 4, "n_networks": 3, "sizes": (1e-3, 1e-2)}
    selection = Selection.of("integration")
    experiment = MetaComparison(selection=selection, terms=((3, 3),), **sizes, **SMALL)
    needs = {"selection": _selected(THETA, 2 * THETA)}
    data = verified(monkeypatch, experiment, "errors", **needs)
    assert data.tuning.shape == (3, 4, 2) and data.again.shape == (3, 3, 4)
    assert data.rule.values.tolist() == ["learned", "(3,3)", "node perturbation"]
    both = np.array([1e-3, 1e-2, -1e-3, -1e-2])
    np.testing.assert_array_equal(data["signed size"], both)
    order = data.tuning.mean("tuning network").values.argsort(axis=-1, kind="stable")
    np.testing.assert_array_equal(data.near, both[order[:, :3]])
    for rule in data.rule.values:
        one = data.sel(rule=rule)
        assert one.best == one.near[one.again.mean("other network").argmin("place")]
    # Another choice of sizes is refused, and another learned rule.
    refused(monkeypatch, experiment, data, "near", changed="near", **needs)
    refused(monkeypatch, experiment, data, "best", changed="best", **needs)
    refused(monkeypatch, experiment, data, "errors", selection=_selected(-THETA))


def test_blocks_give_mean_errors_of_all_and_of_the_last_trials():
    blocks = np.arange(2 * 3 * 10, dtype=float).reshape(2, 3, 10)
    comparison = xr.Dataset({"blocks": (("rule", "network", "block"), blocks)})
    np.testing.assert_array_equal(mean_errors(comparison), blocks.mean(axis=-1))
    np.testing.assert_array_equal(mean_errors(comparison, 100), blocks[..., -5:].mean(axis=-1))


def test_compared_rules_bear_their_names():
    rules = compared_rules(THETA, ((3, 3), (1, 5)))
    assert list(rules) == ["learned", "(3,3)", "(1,5)", "node perturbation"]
    np.testing.assert_array_equal(rules["learned"].coefficients, THETA)
    assert np.flatnonzero(np.asarray(rules["(1,5)"].coefficients)).tolist() == [11]
    assert rules["node perturbation"].trace.of_kicks
