import numpy as np
import pytest
from companion.meta_training import (
    SECOND,
    TASKS,
    SettingMap,
    Training,
    capped,
    start_coefficients,
)
from companion.seeds import SEEDS, seed
from small_records import verified

ONES = np.ones((6, 6))


def test_seeds_of_training_choice_and_judgement_differ():
    uses = ["training", "validation", "map", "dynamics, matched"]
    uses += [f"test, {task}" for task in TASKS]
    numbers = [seed(use) for use in uses]
    assert len(set(numbers)) == len(numbers)
    retired = {entry.number for entry in SEEDS.values() if entry.retired}
    assert retired.isdisjoint(numbers)
    for task in TASKS:
        config = Training.of(task).config()
        assert (config.training_seed, config.validation_seed) == (11, 12)
        assert config.test_seed == seed(f"test, {task}")


def test_the_map_can_be_recorded(monkeypatch):
    sizes = {"n_units": 8, "n_networks": 2, "n_trials": 24, "sizes": (1e-3, 1e-2)}
    experiment = SettingMap(cases=((3.0, 2.0, 200.0, 20.0),), **sizes)
    data = verified(monkeypatch, experiment, "errors")
    assert data.trials.sizes == {"case": 1, "rule": 2, "size": 2, "network": 2}
    assert data.cases.sel(case=0, quantity="kick amplitude") == 2.0


def test_training_can_be_recorded_and_its_start_verified(monkeypatch):
    sizes = {"n_units": 8, "n_iterations": 2, "n_networks": 3, "n_trials": 6}
    options = {"n_validation": 2, "validation_trials": 24, "starts": ("zero",)}
    experiment = Training(**sizes, **options)
    data = verified(monkeypatch, experiment, "first_iterates", 1e-6)
    assert data.chosen.shape == (1, 6, 6) and data.scale.sel(start="zero", k=3, ell=3) == 1.0
    assert data.first_objectives.shape == (1, 2)
    # Evaluations bear the numbers of the iterates whose running average they are of.
    assert data.evaluated.values.tolist() == [experiment.evaluations()] == [[0, 1, 2]]


def test_averages_are_evaluated_some_ten_times():
    assert Training().evaluations() == list(range(0, 101, 10))
    assert Training(n_iterations=24).evaluations() == list(range(0, 25, 2))
    assert Training(n_iterations=25).evaluations() == [*range(0, 25, 2), 25]


def test_sizes_are_capped_where_they_are_larger():
    most = {"n_networks": 64, "n_trials": 60}
    assert capped(Training, most, {}) == most
    given = {"n_networks": 8, "n_trials": 100, "n_units": 16}
    assert capped(Training, most, given) == {"n_networks": 8, "n_trials": 60, "n_units": 16}
    assert given["n_trials"] == 100


def test_the_second_task_and_costly_estimators_take_less():
    assert Training.of("association") == Training()
    second = Training.of("integration")
    assert {name: getattr(second, name) for name in SECOND} == SECOND
    assert second.validation_trials == Training().validation_trials
    small = Training.of("integration", n_iterations=3, n_networks=4, n_trials=6, n_units=16)
    assert (small.n_iterations, small.n_networks, small.n_trials, small.n_units) == (3, 4, 6, 16)
    carried = Training(estimator="U carried")
    assert carried.config().n_networks == carried.n_carried != carried.n_networks


def test_courses_have_names_of_their_own():
    courses = [Training.of(task) for task in TASKS]
    courses += [Training(estimator=by, brief=True) for by in ("pathwise", "U carried")]
    assert [course.name for course in courses] == [
        "meta_training_association",
        "meta_training_integration",
        "meta_training_brief",
        "meta_training_carried",
    ]


def test_starts_are_what_they_are_called():
    assert not start_coefficients("zero", ONES).any()
    assert start_coefficients("(3,3)", ONES)[3, 3] == -1.0
    drawn = start_coefficients("random", 2 * ONES)
    np.testing.assert_allclose(2 * drawn, start_coefficients("random", ONES))
    with pytest.raises(ValueError, match="a start of the book"):
        start_coefficients("best", ONES)
