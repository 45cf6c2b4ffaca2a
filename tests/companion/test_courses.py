from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from companion.contest import BOUNDS, Contest, play, share_bent
from companion.course_comparison import (
    AS_IT_CAME,
    REFERENCES,
    SEARCH,
    SINGLES,
    CourseComparison,
    CourseTuning,
    competitors,
    first_by_search,
    rule_table,
)
from companion.courses import (
    LIMIT,
    UNIT,
    Courses,
    basis,
    start_coordinates,
    term_sizes,
    trace_correlations,
)
from companion.results import recorded_result
from companion.search import Search, Searcher
from companion.settings import brief_setting
from companion.tuning import first_activity
from small_records import refused, verified

import plasticity
from plasticity.rules.base import stack
from plasticity.rules.three_factor import SoftBound, single_term

SEED = 72
SMALL = {"n_iterations": 2, "n_networks": 2, "n_trials": 6, "n_validation": 2}
COURSES = Courses(starts=(("zero", 1),), n_units=8, validation_trials=20, **SMALL)


def _learned(n_units: int = 8) -> xr.Dataset:
    theta = np.zeros((1, 6, 6))
    theta[0, 1, 5] = -1.0
    arrays = {"theta": (("course", "k", "ell"), theta), "limit": (("course",), [0.002])}
    return xr.Dataset(arrays, {"course": COURSES.names})


def test_a_unit_of_a_coordinate_is_a_step_of_one_size():
    setting = brief_setting(n_units=12)
    terms = basis(setting, SEED)
    places = ((0, 0), (1, 1), (3, 3), (4, 5))
    values = [terms[6 * k + ell, k, ell] for k, ell in places]
    rules = stack(
        [single_term(*at, one, learning_rate=1.0) for at, one in zip(places, values, strict=True)]
    )
    # Traces of first trials, as learning meets them.
    squares = np.asarray(setting.learn(SEED, range(16), 2, rules, observe=_square).observed)
    np.testing.assert_allclose(np.sqrt(squares[..., 0].mean(axis=1)), UNIT, rtol=1e-4)
    assert term_sizes(setting, SEED).shape == (6, 6)


def _square(before, episode, outcome):
    return jnp.mean(outcome.trace**2)


def test_rules_are_alike_as_what_they_add_to_the_trace():
    setting, rng = brief_setting(n_units=5), np.random.default_rng(3)
    thetas = rng.normal(size=(3, 6, 6)) * 10.0 ** -np.arange(6)
    thetas[2] = -2 * thetas[0]
    rates, shifts, _ = first_activity(setting, SEED, 2)
    powers = np.arange(6)
    added = [
        [
            (r[None, :, None] ** powers).squeeze(0) @ theta @ (d[:, None] ** powers).T
            for rate, shift in zip(rates, shifts, strict=True)
            for r, d in zip(rate, shift, strict=True)
        ]
        for theta in thetas
    ]
    flat = np.asarray(added).reshape(3, -1)
    norms = np.linalg.norm(flat, axis=1)
    wanted = flat @ flat.T / np.outer(norms, norms)
    found = trace_correlations(thetas, setting, SEED, 2)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert found[0, 2] == pytest.approx(-1)


def test_starts_are_what_they_are_called():
    assert not start_coordinates("zero", 1).any()
    hebbian = start_coordinates("(3,3)", 1).reshape(6, 6)
    assert hebbian[3, 3] == -1 and np.abs(hebbian).sum() == 1
    first, other = (start_coordinates("random", number) for number in (1, 2))
    assert not np.allclose(first, other) and 0.6 < np.linalg.norm(first) < 1.4
    with pytest.raises(KeyError):
        start_coordinates("nowhere", 1)


def test_courses_have_networks_and_names_of_their_own():
    courses = Courses()
    assert len(courses.names) == len(set(courses.names)) == 16
    assert courses.names[0] == "from zero, 1" and courses.names[-1] == "from random, 4"
    configs = [courses._config(index) for index in range(16)]
    assert len({config.training_seed for config in configs}) == 16
    others = {config.validation_seed for config in configs} | {configs[0].test_seed}
    assert others.isdisjoint({config.training_seed for config in configs})


def test_courses_are_recorded_and_learn_the_bound_too(monkeypatch):
    data = verified(monkeypatch, COURSES, "first_iterates", 1e-9)
    assert data.psi.sizes == {"course": 1, "iterate": 3, "coordinate": 37}
    first, last = data.psi.isel(course=0, iterate=[0, -1]).values
    assert not first.any() and last[-1] != 0, "the bound moves"
    # θ = Σ ψ B, and c = c₀ exp ψ, of the average that did best.
    best = data.averaged.isel(course=0).sel(iterate=data.selected.item()).values
    terms = basis(COURSES.setting, COURSES.seeds["choice"])
    theta = np.tensordot(best[:-1], terms, axes=1)
    np.testing.assert_allclose(data.theta[0], theta, rtol=1e-5, atol=1e-6 * np.abs(theta).max())
    np.testing.assert_allclose(data.limit[0], LIMIT * np.exp(best[-1]), rtol=1e-5)
    assert not np.array_equal(data.first_iterates[0][37:], data.first_iterates[0][:37])


def _contest(name: str, bounded: bool = True) -> Contest:
    return Contest(COURSES.setting, competitors(_learned(), bounded)[name])


def test_competitors_are_those_that_are_declared():
    for bounded in (True, False):
        tuning = CourseTuning(courses=COURSES, bounded=bounded)
        assert sorted(tuning.competitors) == sorted(competitors(_learned(), bounded))
        free = ("step", "bound") if bounded else ("step",)
        for name in (*SINGLES, "from zero, 1", "node perturbation"):
            assert _contest(name, bounded).algorithm.numbers == free
    assert not _contest(AS_IT_CAME.format("from zero, 1")).ladders
    few = CourseTuning(courses=COURSES, terms=("(1,5)",), bounded=False)
    assert few.competitors == ["(1,5)", "from zero, 1", "node perturbation"]
    assert CourseComparison.of(few).competitors == few.competitors
    assert CourseTuning().name != CourseTuning(bounded=False).name


def test_a_competitor_makes_the_rule_it_is_called():
    values = {"exploration": np.nan, "step": 0.02, "bound": 1e-3, "readout": np.nan}
    rule = _contest("(1,5)").rule(values, (0.5, 1.0))
    assert float(rule.learning_rate) == pytest.approx(0.04)
    assert isinstance(rule.bound, SoftBound) and float(rule.bound.limit) == pytest.approx(1e-3)
    assert np.argwhere(np.asarray(rule.coefficients)).tolist() == [[1, 5]]
    open_end = _contest("(1,5)").rule(values | {"bound": np.inf}, (0.5, 1.0))
    assert float(open_end.bound(jnp.full((2, 2), 0.5))[0, 0]) == 0.5, "no bound in effect"
    free = _contest("(1,5)", bounded=False).rule(values | {"bound": np.nan}, (0.5, 1.0))
    assert float(free.bound.limit) == np.inf
    own = _contest(AS_IT_CAME.format("from zero, 1")).rule(values, (0.5, 1.0))
    assert float(own.learning_rate) == 1.0 and float(own.bound.limit) == pytest.approx(0.002)
    assert not np.asarray(_contest("no learning").rule(values, (1.0, 1.0)).coefficients).any()


def test_kicks_are_those_of_the_setting():
    assert _contest("(3,3)").within.learner.exploration == COURSES.setting.learner.exploration


def test_what_has_no_free_numbers_meets_the_last_networks_alone():
    searcher = Searcher(_contest("no learning"), Search(last=(2, 3)), SEED, 24)
    best = searcher.run()
    assert [t.round for t in searcher.tried] == [3] and best.trials.shape == (3,)


@pytest.mark.parametrize(
    ("bound", "low", "high"), [(8, 0.5, 1.0), (len(BOUNDS.values) - 1, 0, 0.15)]
)
def test_a_soft_bound_saturates_as_a_hard_one_would(bound, low, high):
    contest = _contest("node perturbation")
    point = (*contest.middle[:2], bound, -1)
    options = {"observe": share_bent}
    score = play(contest, [point], np.full((1, 2), 0.01), SEED, range(4), 24, **options)
    # Of 64 weights, moved by the few kicks of a trial, some are near the largest without a bound.
    assert low <= np.asarray(score.observed).mean() <= high


@pytest.mark.parametrize("limit", [0.01, 0.03])
def test_bent_are_those_that_a_hard_clip_holds(limit):
    asked = np.random.default_rng(0).normal(size=(40, 40))

    def share(change):
        return float(share_bent(None, None, SimpleNamespace(change=jnp.asarray(change))))

    wanted = np.mean(np.abs(0.1 * asked) >= limit)
    assert share(limit * np.tanh(0.1 * asked / limit)) == pytest.approx(wanted, abs=0.01)
    # Of 1,600 normal numbers few are near the largest; of none at all, none.
    assert share(0.1 * asked) < 0.02 and share(0 * asked) == 0


ROUNDS = Search((4, 2), (2, 3), (1, 3), 1, (2, 3))
FEW = ("(1,5)", "from zero, 1", "no learning")


def test_search_and_comparison_are_recorded(monkeypatch):
    # Three of the rules stand for all.
    monkeypatch.setattr(CourseTuning, "competitors", FEW)
    monkeypatch.setattr(CourseComparison, "competitors", FEW)
    tuning = CourseTuning(courses=COURSES, n_trials=24, search=ROUNDS)
    tuned = verified(monkeypatch, tuning, "errors", courses=_learned())
    assert (tuned.best.sel(rule="no learning") == -1).all()
    fewest = tuned.validation.mean("network").values
    assert first_by_search(tuned, FEW) == FEW[int(fewest.argmin())]
    assert first_by_search(tuned, FEW[2:]) == "no learning"
    comparison = CourseComparison.of(tuning, n_networks=4, n_trials=24)
    needs = {"tuning": tuned, "courses": _learned()}
    judged = verified(monkeypatch, comparison, "errors", **needs)
    assert judged.trials.dims == ("rule", "network") and np.isfinite(judged.quiet).all()
    assert judged.saturated.sel(rule="no learning").max() == 0
    other = judged.assign(errors=judged.errors + 0.01)
    refused(monkeypatch, comparison, other, "errors", **needs)


def test_the_comparison_is_the_same_with_and_without_a_bound():
    """Same networks, trials and rules, so that differences between them are paired."""
    bounded, free = (CourseTuning(bounded=bounded) for bounded in (True, False))
    assert bounded.seeds == free.seeds and bounded.search == free.search == SEARCH
    one, other = CourseComparison.of(bounded), CourseComparison.of(free)
    assert one.seeds == other.seeds and one.n_networks == other.n_networks == 1024
    assert replace(one, bounded=False, tuning=free) == other
    names = [*free.competitors]
    assert set(names) == set(bounded.competitors) - {
        *map(AS_IT_CAME.format, free.courses.names),
        REFERENCES[1],
    }
    assert tuple(SINGLES) == tuple(names[:9])


def test_the_rule_of_the_package_is_the_one_that_the_search_put_first():
    """Where this fails, `make reproduce RECORD=course_tuning_bounded` writes the table."""
    courses, tuned = recorded_result(Courses()), recorded_result(CourseTuning())
    file = Path(plasticity.__file__).parent / "rules" / "learned_association.csv"
    assert file.read_text() == rule_table(courses, tuned)
    name = first_by_search(tuned, courses.course.values)
    rule, one = plasticity.learned_rule(), tuned.sel(rule=name)
    np.testing.assert_allclose(rule.coefficients, courses.theta.sel(course=name), rtol=1e-6)
    step = float(rule.learning_rate) * float(one.units.sel(trace="recurrent"))
    assert step == pytest.approx(float(one["values"].sel(number="step")), rel=1e-5)
