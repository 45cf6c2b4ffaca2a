"""Methods that drive the outer loop for the same time."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from companion.courses import LIMIT, Courses, basis
from companion.estimator_samples import Sampler
from companion.estimators import EstimatorSignal
from companion.places import coordinate_sizes, gain_behind, place_coordinates, rule_at
from companion.race import CMA_ES, METHODS, SAMPLERS, Race, RaceTuning, _Raced
from companion.settings import brief_setting
from courses_stub import AVERAGED, COURSES
from small_records import recorded, verified

WHICH = (Sampler("pathwise"), Sampler("evolution", 0.1))
SIGNAL = EstimatorSignal(places=("half-way",), which=WHICH, n_units=8, horizons=(6,))
# Of the size of the small courses that are had again, so that both are one program.
SIZES = {"places": ("half-way",), "n_units": 8, "n_networks": 2, "n_trials": 6}
JUDGED = {"n_judges": 3, "judged_trials": 20}
OPTIONS = SIZES | JUDGED | {"signal": SIGNAL, "methods": ("pathwise", CMA_ES), "budget": 2.0}
TUNING = RaceTuning(steps=(0.01, 0.16), **OPTIONS)
RACE = Race(tuning=TUNING, n_courses=2, **OPTIONS)
PRICES = xr.Dataset(
    {"cost": (("case", "horizon"), [[0.5], [0.1]])},
    {"case": ["pathwise, half-way", "evolution 0.1, half-way"], "horizon": [6]},
)
NEEDS = {"courses": COURSES, "signal": PRICES}


def test_half_way_is_the_evaluated_average_nearest_to_the_middle():
    # (100 + 20)/2 = 60: 70 is nearest, of iterate 1.
    np.testing.assert_array_equal(
        place_coordinates("half-way", COURSES), AVERAGED[0, 1, :36].reshape(6, 6)
    )
    later = COURSES.copy(deep=True)
    later.trials.values[0] = [100.0, 20.0, 70.0]
    np.testing.assert_array_equal(
        place_coordinates("half-way", later), AVERAGED[0, 3, :36].reshape(6, 6)
    )
    assert gain_behind(COURSES) == pytest.approx((100 - 70) / (100 - 20))
    near = place_coordinates("near zero", COURSES)
    assert np.linalg.norm(near) == pytest.approx(0.1)
    with pytest.raises(KeyError, match="far"):
        place_coordinates("far", COURSES)


def test_the_rule_of_coordinates():
    sizes = np.arange(1.0, 37.0).reshape(6, 6)
    rule = rule_at(np.eye(6), sizes)
    np.testing.assert_allclose(rule.coefficients, np.eye(6) / sizes, rtol=1e-6)
    assert float(rule.learning_rate) == 1.0
    assert float(rule.bound.limit) == pytest.approx(LIMIT)
    # Those of chapter 07, in which a course is recorded.
    setting = brief_setting(n_units=8)
    terms = basis(setting, Courses().seeds["choice"])
    np.testing.assert_allclose(terms.sum(axis=0), 1 / coordinate_sizes(setting))


def test_budgets_pay_for_iterations_by_the_seconds_of_a_lifetime():
    # Two seconds: two lifetimes of 0.5 s an iteration.
    assert RACE.iterations("pathwise", "half-way", PRICES) == 2
    # 14 candidates on one network each, at half the price of a pair.
    assert RACE.iterations(CMA_ES, "half-way", PRICES) == round(2.0 / (14 * 0.05))
    assert replace(RACE, budget=1e-9).iterations("pathwise", "half-way", PRICES) == 1


def test_tuning_and_race_can_be_recorded_and_verified(monkeypatch):
    tuning = verified(monkeypatch, TUNING, "first_iterates", **NEEDS)
    assert tuning.course.values[0] == "pathwise, half-way, 0.01"
    assert tuning.iterations.values.tolist() == [2, 2, 3, 3]
    # The smaller step ends nearer to where it began.
    ways = np.linalg.norm(tuning.psi - AVERAGED[0, 1, :36], axis=-1)
    assert 0 < ways[0] < ways[1]
    assert 0 < ways[2] < ways[3]
    race = recorded(RACE, RACE.measure(np.arange(4), tuning=tuning, **NEEDS))
    assert (race.started == race.started[0]).all()
    assert np.isfinite(race.objectives).sum("iteration").values.tolist() == [2, 2, 3, 3]
    # Courses of a method meet other networks.
    assert (race.psi[0] != race.psi[1]).any()
    assert [RACE.training_seed(i) for i in range(4)] == [120, 121, 120, 121]


def test_the_step_with_the_fewest_trials_is_chosen():
    trials = np.array([[30, 30], [20, 20], [5, 5], [9, 9]])
    labels = TUNING.coordinates()["course"]
    tuning = xr.Dataset({"trials": (("course", "network"), trials)}, {"course": labels})
    assert TUNING.best_step("pathwise", "half-way", tuning) == 0.16
    assert TUNING.best_step(CMA_ES, "half-way", tuning) == 0.01
    assert RACE.step(0, tuning=tuning) == 0.16


def test_a_course_that_breaks_off_counts_as_the_horizon(monkeypatch):
    def broken(*_):
        raise FloatingPointError

    monkeypatch.setattr(_Raced, "_course", broken)
    monkeypatch.setattr(_Raced, "_small_course", lambda *_: {"first_iterates": np.zeros(72)})
    tuning = TUNING.dataset(TUNING.measure(np.arange(4), **NEEDS))
    assert tuning.broken.all()
    assert (tuning.trials == 20).all() and not tuning.reached.any()


def test_selection_goes_to_where_rewards_are(monkeypatch):
    # Rewards fall with the distance of ψ from a place: the mean of the search goes there.
    aim = np.full(36, 0.3)

    def learn(self, number, runs, n_trials, rules):
        psi = np.asarray(rules.leaves.coefficients, float).reshape(-1, 36) * RACE.sizes.ravel()
        rewards = -np.sum((psi - aim) ** 2, axis=1)[:, None, None]
        return type("Lifetimes", (), {"rewards": np.broadcast_to(rewards, (len(psi), 1, 6))})

    monkeypatch.setattr(type(RACE.setting), "learn", learn)
    course = RACE._by_selection(2, np.zeros((6, 6)), 0.3, 50)
    assert np.linalg.norm(course.psi[-1] - aim) < 0.5 * np.linalg.norm(aim)
    assert course.objectives[-1] > course.objectives[0]


def test_every_method_has_an_estimator_of_the_chapter():
    names = EstimatorSignal().estimators
    assert set(METHODS) == {*SAMPLERS, CMA_ES} and set(SAMPLERS) <= set(names)
