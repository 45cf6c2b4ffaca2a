import numpy as np
import pytest
import xarray as xr
from companion.rule_space import (
    ARMS,
    COORDINATES,
    FACTORS,
    FIRST_TIMES,
    PULL,
    REFERENCE,
    REFERENCES,
    RULES,
    USUAL,
    FactorComparison,
    FactorTuning,
    RuleSpace,
    SpaceComparison,
    SpaceTuning,
    by_arm,
    by_factor,
    places_of,
)
from companion.search import BRIEFLY
from small_records import verified

from plasticity.rules.time_constants import Decaying

SIZES = {"n_iterations": 2, "n_networks": 2, "n_trials": 6, "n_validation": 2}
SPACE = RuleSpace(
    arms=("d = 1", "all three"), n_courses=1, n_units=8, validation_trials=20, **SIZES
)


@pytest.fixture(scope="module")
def recorded():
    """Two courses, as they are recorded."""
    return SPACE.dataset(SPACE.measure(np.arange(2)))


def test_all_arms_have_the_time_of_the_reference():
    space = RuleSpace()
    assert len(space.courses) == 5 * len(ARMS) == len(set(space.names))
    n = {arm: space.iterations(arm) for arm in ARMS}
    assert n[REFERENCE] == space.n_iterations and n["all three"] == space.n_iterations
    by_degree = [n[f"d = {d}"] for d in range(1, 8)]
    assert by_degree == sorted(by_degree, reverse=True), "a larger rule has fewer"
    assert len(set(by_degree)) == 7


def test_arms_share_training_networks_and_no_course_judges():
    space = RuleSpace()
    seeds = {}
    for index, (_, number) in enumerate(space.courses):
        seeds.setdefault(number, set()).add(space.configuration(index).training_seed)
    assert all(len(of_one) == 1 for of_one in seeds.values())
    trains = set.union(*seeds.values())
    judges = SpaceComparison().seeds["test"], SpaceTuning().seeds["validation"]
    assert len(trains) == space.n_courses
    assert not trains & {*judges, space.seeds["choice"]} and len(set(judges)) == 2


def test_every_coordinate_of_an_arm_has_a_place():
    for arm in ARMS.values():
        names = [COORDINATES[i] for i in places_of(arm)]
        d = arm.degree
        assert names[0] == "(0,0)" and names[(d + 1) ** 2 - 1] == f"({d},{d})"
        assert names[(d + 1) ** 2 :] == ["log bound", *arm.times]


def test_only_a_sparse_course_is_pulled_to_zero():
    space = RuleSpace(n_courses=1)
    pulled = {arm: space.configuration(i).sparsity for i, (arm, _) in enumerate(space.courses)}
    assert pulled.pop("d = 5, sparse") == PULL * space.step_size
    assert set(pulled.values()) == {0.0}


def test_courses_are_recorded(monkeypatch):
    # The scaled-down course that is measured again runs alone here; see `measure_one_again`.
    data = verified(monkeypatch, SPACE, "first_iterate")
    first = data.isel(course=0)
    own = places_of(ARMS["d = 1"])
    assert np.isfinite(first.psi.values[: SPACE.iterations("d = 1") + 1, own]).all()
    assert np.isnan(np.delete(first.psi.values, own, axis=1)).all()
    assert (first.theta.values[2:] == 0).all() and (first.theta.values[:, 2:] == 0).all()


def test_recorded_rules_are_those_of_the_coordinates(recorded):
    data, course = recorded.isel(course=1), SPACE.course(1)
    rule = course.rule.with_parameters(course.averaged[course.selected])
    composed = rule.composed  # weights that decay, of a rule with its own filter
    plain = composed.rule.rule
    theta = np.zeros((8, 8))
    theta[:6, :6] = plain.coefficients
    np.testing.assert_allclose(data.theta, theta, rtol=1e-6)
    assert float(data.limit) == pytest.approx(float(plain.clip), rel=1e-6)
    times = [plain.tau_e, composed.rule.tau_filter, composed.tau_w]
    np.testing.assert_allclose(data.times, times, rtol=1e-6)
    assert (data.times > [least for least, _ in FIRST_TIMES.values()]).all()
    assert np.isnan(recorded.times.isel(course=0)).all()


def test_rules_are_judged_with_their_own_time_constants(monkeypatch, recorded):
    few = {"courses": SPACE, "n_trials": 20}
    tuning = SpaceTuning(search=BRIEFLY, **few)
    made = tuning.contest(len(REFERENCES) + 1, recorded).algorithm.make(None, 0.1, 0.01, None)
    times = recorded.sel(course="all three, 1").times.values
    assert isinstance(made, Decaying) and float(made.tau_w) == pytest.approx(times[2])
    assert float(made.rule.tau_filter) == pytest.approx(times[1])
    tuned = verified(monkeypatch, tuning, "errors", courses=recorded)
    comparison = SpaceComparison(tuning=tuning, n_networks=2, **few)
    judged = verified(monkeypatch, comparison, "errors", courses=recorded, tuning=tuned)
    arms = by_arm(judged.trials, SPACE)
    assert arms.sizes == {"arm": 2, "course": 1, "network": 2}
    np.testing.assert_array_equal(
        arms.sel(arm="all three", course=1), judged.trials.sel(rule="all three, 1")
    )


def test_other_third_factors_are_recorded(monkeypatch):
    few = {"factors": (USUAL, "none"), "n_searches": 2, "n_units": 8, "n_trials": 20}
    tuning = FactorTuning(search=BRIEFLY, **few)
    tuned = verified(monkeypatch, tuning, "errors")
    comparison = FactorComparison(tuning=tuning, n_networks=2, **few)
    judged = by_factor(verified(monkeypatch, comparison, "errors", tuning=tuned).trials)
    assert judged.factor.values.tolist() == [USUAL, "none"]
    assert judged.rule.values.tolist() == list(RULES)
    assert judged.search.values.tolist() == ["1", "2"]
    again = tuned.errors.values.reshape(2, 2 * len(RULES), -1)
    assert (again[0] != again[1]).any(), "on other networks"


def test_factors_are_what_they_are_called():
    experiment = FactorTuning()
    learners = {
        factor: experiment.contest(len(RULES) * i).setting.learner
        for i, factor in enumerate(FACTORS)
    }
    assert experiment.contest(len(RULES) * len(FACTORS)).setting.learner == learners[USUAL]
    numbers = [experiment.validation_seed(i) for i in range(len(experiment.competitors))]
    assert len(set(numbers)) == experiment.n_searches
    usual = learners[USUAL]
    assert usual.per_condition and usual.baseline_rate == 0.25
    for rate in ("0.05", "0.1", "0.5", "1"):
        assert learners[f"each condition, {rate}"].baseline_rate == float(rate)
    assert not learners["shared, 0.25"].per_condition
    none = learners["none"]
    assert none.baseline_rate == 0 and none.initial_baseline == 0, "R̄ stays at zero"
    assert learners["binary reward"].reward == "binary"


def test_values_by_factor_keep_their_numbers():
    names = [f"{n}; {f}; {rule}" for n in (1, 2) for f in ("b, 1", "a") for rule in ("y", "x")]
    values = xr.DataArray(np.arange(8.0), {"attempt at a pair": names}, ("attempt at a pair",))
    found = by_factor(values)
    assert float(found.sel(search="2", rule="x", factor="a")) == 7
    assert found.factor.values.tolist() == ["b, 1", "a"]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: RuleSpace(arms=("d = 8",)), r"arms of this chapter; got \['d = 8'\]: choose from"),
        (lambda: RuleSpace(arms=()), "arms of this chapter; got none"),
        (lambda: FactorTuning(factors=("two",)), "third factors of this chapter; got"),
    ],
)
def test_what_the_chapter_does_not_have_is_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()
