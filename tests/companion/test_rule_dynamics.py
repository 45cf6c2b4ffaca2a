import dataclasses

import numpy as np
import pytest
import xarray as xr
from companion import rule_dynamics
from companion.algorithms import AlgorithmTuning
from companion.contest import NUMBERS, Contest
from companion.learned_rule import Selection
from companion.rule_dynamics import (
    DISTANCES,
    LOOKS,
    MATCHES,
    MEASURES,
    REWARDED,
    RULES,
    RuleDynamics,
    apart,
    beginnings,
    by_network,
    chosen_contest,
    distances_between,
    features_of,
    look_at,
    matched_networks,
    measures_of,
)
from small_records import verified

from plasticity.dynamics.alignment import linear_cka
from plasticity.dynamics.laziness import kernel_alignment

THETA = np.zeros((6, 6))
THETA[1, 5], THETA[3, 3] = -1.0, -0.4
TUNING = AlgorithmTuning(algorithms=("(3,3)", "no learning", "(1,5)", "BPTT"), n_units=8)
SMALL = RuleDynamics(
    tuning=TUNING,
    rules=("(3,3)", "BPTT"),
    n_blocks=2,
    n_networks=2,
    n_looked=1,
    n_trials=40,
    n_starts=4,
)


def needs() -> dict[str, xr.Dataset]:
    """What a search and a selection say of numbers and of the learned rule."""
    theta = (("place", "k", "ell"), THETA[None])
    tried = {"theta": theta, "scale": theta, "trials": (("place", "size", "network"), [[[9]]])}
    selection = xr.Dataset(tried)
    points = [TUNING.contest(i, selection).middle for i in range(4)]
    best = {"best": (("algorithm", "number"), points)}
    units = {"units": (("algorithm", "trace"), np.ones((4, 2)))}
    labels = {"algorithm": list(TUNING.algorithms), "number": list(NUMBERS)}
    return {"tuning": xr.Dataset(best | units, labels), "selection": selection}


def test_rules_that_change_recurrent_weights_alone_are_taken_apart():
    left_out = {"readout only", "e-prop, random B, plastic readout", "no learning"}
    assert not left_out & set(RULES) and len(RULES) == 14
    assert set(RULES) - set(REWARDED) == {"BPTT", "RFLO, symmetric B"}


def test_a_record_is_verified_and_an_altered_one_is_refused(monkeypatch):
    data = verified(monkeypatch, SMALL, "early", tolerance=1e-3, **needs())
    assert data.measures.shape == (2, 2, 2, len(MATCHES), 2, len(MEASURES))
    assert data.distances.shape == (2, 2, 2, len(MATCHES), 2, len(DISTANCES))
    matched = np.isfinite(data.after)
    assert matched.any()
    # What matched has numbers, and nothing else has.
    error = np.isfinite(data.measures.sel(measure="error"))
    np.testing.assert_array_equal(error.transpose(*matched.dims), matched)
    assert data.looks.sizes["look"] == len(LOOKS)
    change = data.untrained.sel(measure="weight change")
    assert (change == 0).all()
    assert data.untrained.sel(measure="effective rank of the change").isnull().all()


def test_every_rule_of_the_design_is_learned_again_somewhere():
    experiment = RuleDynamics()
    blocks = [experiment.checked(index) for index in range(experiment.n_blocks)]
    assert {name for block in blocks for name in block} == set(RULES)
    assert SMALL.checked(1) == ["(3,3)", "BPTT"]


def test_numbers_of_the_search_are_those_that_rules_learn_with():
    contest, point, units = SMALL._contest("(1,5)", **needs())
    assert isinstance(contest, Contest) and units.tolist() == [1.0, 1.0]
    rule = contest.rule(contest.values(point), units)
    assert np.asarray(rule.coefficients)[1, 5] == -1
    np.testing.assert_array_equal(point, TUNING.contest(2, needs()["selection"]).middle)


def looks_at(n: int):
    """Networks of one start with other weights."""
    setting = SMALL.tuning.setting
    start = beginnings(setting, 5, [0])[0]
    rng = np.random.default_rng(1)
    W = np.asarray(start.network.W)
    weights = [W + 0.3 * rng.normal(size=W.shape).astype(W.dtype) for _ in range(n)]
    return start, [look_at(setting, 5, w, start) for w in weights]


def test_distances_are_those_of_pairs():
    _, looks = looks_at(4)
    places = [(0, 0), (0, 1), (2, 0), (2, 1)]
    features = dict(zip(places, map(features_of, looks), strict=True))
    apart = distances_between(features, 3)
    assert np.isnan(apart[1]).all() and np.isnan(apart[:, 1]).all()

    def pair(a, b):
        cosine = np.sum(a.change * b.change)
        cosine /= np.linalg.norm(a.change) * np.linalg.norm(b.change)
        states = [look.trials.states.reshape(-1, 8) for look in (a, b)]
        return 1 - np.array([cosine, linear_cka(*states), kernel_alignment(a.kernel, b.kernel)])

    np.testing.assert_allclose(apart[0, 0], pair(looks[0], looks[1]), rtol=1e-9)
    across = (pair(looks[0], looks[3]) + pair(looks[1], looks[2])) / 2
    np.testing.assert_allclose(apart[0, 2], across, rtol=1e-9)
    np.testing.assert_allclose(apart[2, 0], across, rtol=1e-9)
    assert np.isnan(distances_between({}, 3)).all()


def test_pairs_of_the_same_rule_are_the_yardstick():
    values = np.arange(2 * 3 * 3, dtype=float).reshape(2, 3, 3)
    labels = {"rule": ["a", "b", "c"], "other": ["a", "b", "c"]}
    distances = xr.DataArray(values, labels, ("network", "rule", "other"))
    between, within = apart(distances, ["a", "c"])
    np.testing.assert_array_equal(between, [(2 + 6) / 2, (11 + 15) / 2])
    np.testing.assert_array_equal(within, [(0 + 8) / 2, (9 + 17) / 2])


def test_an_algorithm_that_was_not_searched_is_refused():
    with pytest.raises(ValueError, match="an algorithm of the search; got '\\(5,5\\)'"):
        chosen_contest(TUNING, "(5,5)", *needs().values())


def test_a_network_that_did_not_move_is_where_it_was():
    start, (look, _) = looks_at(2)
    same = look._replace(network=start.network, trials=start.trials, kernel=start.kernel)
    numbers = dict(zip(MEASURES, measures_of(same, start), strict=True))
    assert numbers["weight change"] == 0
    for name in ("representation alignment", "kernel alignment"):
        assert numbers[name] == pytest.approx(1.0)
    moved = dict(zip(MEASURES, measures_of(look, start), strict=True))
    assert 0 < moved["weight change"] and moved["kernel alignment"] < 1
    assert 1 < moved["effective rank of the change"] <= 8


def taken(after, errors) -> xr.Dataset:
    """Two blocks of two networks, three rules, one match."""
    after = np.asarray(after, float).reshape(3, 1, 2, 2).transpose(2, 0, 1, 3)
    untrained = np.asarray(errors, float).reshape(2, 2, 1)
    dims = ("block", "rule", "kicks", "match", "within")
    return xr.Dataset(
        {
            "after": (dims, after[:, :, :, None]),
            "untrained": (("block", "within", "measure"), untrained),
        },
        {"rule": ["a", "b", "c"], "match": ["error 0.5"], "measure": ["error"]},
    )


def test_rules_that_match_in_too_few_networks_are_named():
    nan = np.nan
    # The last network is at the level before it learns, and counts for no rule.
    some = taken([[3, 4, 5, nan], [3, nan, 5, nan], [nan, nan, nan, nan]], [1, 1, 1, 0.4])
    rules, networks = matched_networks(some, "error 0.5")
    assert rules == ["a"] and networks.values.tolist() == [True, True, True, False]
    rules, networks = matched_networks(some, "error 0.5", least=0.6)
    assert rules == ["a", "b"] and networks.values.tolist() == [True, False, True, False]
    with pytest.raises(ValueError, match=r"got \{'b': '67%', 'c': '0%'\}"):
        matched_networks(some, "error 0.5", ["a", "b", "c"])
    joined = by_network(some.after)
    assert joined.sizes == {"rule": 3, "kicks": 1, "match": 1, "network": 4}


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match=r"rules of this chapter; got \['\(9,9\)'\]"):
        RuleDynamics(rules=("(3,3)", "(9,9)"))
    with pytest.raises(ValueError, match="two rules or more"):
        RuleDynamics(rules=("(3,3)",))
    with pytest.raises(ValueError, match="n_looked ≤ n_networks = 2"):
        dataclasses.replace(SMALL, n_looked=3)
    assert Selection() == SMALL.needs["selection"]
    assert rule_dynamics.RuleDynamics.seeds["dynamics"] == 57
