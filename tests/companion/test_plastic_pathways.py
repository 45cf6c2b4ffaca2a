import numpy as np
import pytest
import xarray as xr
from companion.contest import NUMBERS
from companion.plastic_pathways import (
    EVERY,
    RATIOS,
    SETS,
    PathwayComparison,
    PathwayContest,
    PathwayCourses,
    PathwayTuning,
    learned_rules,
    same_term,
    sides,
    trace_size,
)
from companion.rule_space import RuleSpace
from companion.search import BRIEFLY
from companion.settings import brief_setting
from small_records import verified

from plasticity.rules.pathways import PATHWAYS, on_pathways
from plasticity.rules.three_factor import make_rule, single_term

SETTING, SEED = brief_setting(n_units=8), 3


def single(k, ell):
    """θ_kℓ = −1 alone."""
    return np.asarray(single_term(k, ell).coefficients)


SIZES = {"n_courses": 1, "n_units": 8, "n_iterations": 2, "n_networks": 2, "n_trials": 6}
SIZES |= {"n_validation": 2, "validation_trials": 20}
COURSES = PathwayCourses(arms=("W_out", "all"), **SIZES)
SPACE = RuleSpace(arms=("d = 5",), **SIZES)


@pytest.fixture(scope="module")
def recorded():
    """What courses might have learned, of several pathways and of W alone."""
    rng, empty = np.random.default_rng(4), {}
    for name, one in {"courses": COURSES, "space": SPACE}.items():
        labels = one.coordinates()
        sizes = {n: [len(labels[d]) for d in one.variables[n].dims] for n in ("theta", "limit")}
        arrays = {n: (one.variables[n].dims, rng.uniform(1, 2, size)) for n, size in sizes.items()}
        kept = {d: labels[d] for n in sizes for d in one.variables[n].dims}
        empty[name] = xr.Dataset(arrays, kept)
    return empty


def _weights_before(before, episode, outcome):
    return {name: getattr(outcome.seen, name) for name in PATHWAYS.values()}


def _first_changes(rule, n=16):
    """R.m.s. over networks and synapses of the change over R − R̄, by pathway, in first trials."""
    two = SETTING.learn(SEED, range(n), 2, rule, observe=_weights_before)
    factors, sizes = np.asarray(two.third_factors)[:, 0], {}
    for name, weights in two.observed.items():
        moved = np.asarray(weights[:, 1] - weights[:, 0])
        by_factor = moved / factors.reshape(-1, *[1] * (moved.ndim - 1))
        sizes[name] = float(np.sqrt(np.mean(by_factor**2)))
    return sizes


def _weights():
    networks = SETTING.networks(SEED, range(16))._asdict()
    return {name: float(np.sqrt(np.mean(np.square(w)))) for name, w in networks.items()}


def test_a_step_is_the_same_share_of_the_weights_on_every_pathway():
    # Bounds far off, steps small: changes are in proportion.
    algorithm = same_term(SETTING, SEED, EVERY, single(1, 5))
    changes, weights = _first_changes(algorithm.make(1.0, 1e-3, None, 1.0)), _weights()
    shares = {name: change / weights[name] for name, change in changes.items()}
    assert shares["W"] == pytest.approx(1e-3 / weights["W"], rel=1e-3)
    assert shares["W_in"] == pytest.approx(shares["W"], rel=1e-3)
    assert shares["W_out"] == pytest.approx(shares["W"], rel=1e-3)
    doubled = _first_changes(algorithm.make(1.0, 1e-3, None, 2.0))
    assert doubled["W"] == pytest.approx(changes["W"], rel=1e-3)
    assert doubled["W_in"] == pytest.approx(2 * changes["W_in"], rel=1e-3)
    # A bound is a share of the weights as well.
    bounds = {PATHWAYS[n]: float(r.clip) for n, r in algorithm.make(1, 1, 0.1, 1).rules.items()}
    assert bounds["W_in"] / bounds["W"] == pytest.approx(weights["W_in"] / weights["W"], rel=1e-4)


def test_the_size_of_a_trace_is_that_of_learning():
    theta = np.random.default_rng(0).normal(size=(6, 6))
    for name in EVERY:
        rule = on_pathways(**{name: make_rule(theta, learning_rate=1e-6)})
        size = trace_size(SETTING, SEED, name, theta)
        change = _first_changes(rule)[PATHWAYS[name]]
        assert change == pytest.approx(1e-6 * size, rel=1e-3)
    assert set(sides(SETTING, SEED)) == set(EVERY)


def test_learned_rules_keep_the_proportions_in_which_they_were_learned():
    theta = {name: (i + 1) * single(1, 3) for i, name in enumerate(EVERY)}
    limit = dict(zip(EVERY, (0.002, 0.004, 0.001), strict=True))
    made = learned_rules(SETTING, SEED, theta, limit).make(1.0, 1e-3, 1e-2, np.nan)
    rates = [float(rule.learning_rate) for rule in made.rules.values()]
    assert rates[0] == pytest.approx(rates[1]) == pytest.approx(rates[2])
    bounds = np.array([float(rule.clip) for rule in made.rules.values()])
    np.testing.assert_allclose(bounds / bounds[0], [1, 2, 0.5], rtol=1e-6)
    assert bounds[0] == pytest.approx(1e-2)


def test_several_pathways_have_one_more_number():
    for name, pathways in SETS.items():
        contest = PathwayContest(SETTING, same_term(SETTING, SEED, pathways, single(3, 3)))
        assert ("readout" in contest.ladders) == (len(pathways) > 1), name
    assert contest.ladders["readout"] is RATIOS and 1.0 in RATIOS.values
    rule = contest.rule(dict(zip(NUMBERS, (np.nan, 1e-3, np.nan, 1.0), strict=True)), (5.0, 7.0))
    again = contest.rule(dict(zip(NUMBERS, (np.nan, 1e-3, np.nan, 1.0), strict=True)), (1.0, 1.0))
    assert rule == again, "steps are in units of its own traces"


def test_courses_share_their_networks_with_those_of_W_alone():
    ours, theirs = PathwayCourses(), RuleSpace()
    at = theirs.names.index("d = 5, 3")
    assert ours.configuration(2).training_seed == theirs.configuration(at).training_seed
    judges = PathwayComparison().seeds["test"], PathwayTuning().seeds["validation"]
    assert len({*judges, ours.seeds["choice"], theirs.seeds["test"]}) == 4


def test_courses_are_recorded(monkeypatch):
    one = PathwayCourses(arms=("W_out",), **SIZES)
    data = verified(monkeypatch, one, "first_iterate").isel(course=0)
    assert np.isnan(data.limit.sel(pathway=["W", "W_in"])).all() and float(data.limit[2]) > 0
    assert np.isfinite(data.psi.sel(pathway="W_out")).all()
    assert np.isnan(data.psi.sel(pathway=["W", "W_in"])).all()


def test_rules_are_judged_on_their_pathways(monkeypatch, recorded):
    few = {"courses": COURSES, "space": SPACE, "sets": ("W_out",), "n_searches": 1}
    tuning = PathwayTuning(search=BRIEFLY, n_trials=20, **few)
    names = ["W_out; (1,5); 1", "W_out; (3,3); 1", "W_out, 1", "all, 1", "W, d = 5, 1"]
    assert tuning.competitors == [*names, "no learning"]
    plastic = [
        set(tuning.contest(i, **recorded).algorithm.make(1.0, 1e-3, None, 1.0).rules)
        for i in range(5)
    ]
    assert plastic == [{"outward"}, {"outward"}, {"outward"}, set(EVERY), {"recurrent"}]
    tuned = verified(monkeypatch, tuning, "errors", **recorded)
    comparison = PathwayComparison(tuning=tuning, n_networks=2, n_trials=20, **few)
    judged = verified(monkeypatch, comparison, "errors", tuning=tuned, **recorded)
    assert judged.trials.dims == ("entrant", "network")


def test_searches_have_networks_of_their_own():
    tuning = PathwayTuning()
    numbers = {n: set() for n in (1, 2, 3)}
    for i, (*_, n) in enumerate(tuning.fixed):
        numbers[n].add(tuning.validation_seed(i))
    assert sorted(map(len, numbers.values())) == [1, 1, 1]
    assert len(set.union(*numbers.values())) == 3
    with pytest.raises(ValueError, match="sets of pathways of this chapter; got"):
        PathwayTuning(sets=("W_back",))
    with pytest.raises(ValueError, match="learned pathways of this chapter; got none"):
        PathwayCourses(arms=())
