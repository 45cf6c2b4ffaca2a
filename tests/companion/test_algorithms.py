import jax
import numpy as np
import pytest
import xarray as xr
from companion import search as module
from companion.algorithms import (
    AlgorithmComparison,
    AlgorithmTuning,
)
from companion.contest import (
    BOUNDS,
    EXPLORATIONS,
    NAMES,
    NUMBERS,
    STEPS,
    TASKS,
    Contest,
    Score,
    algorithms,
    error_without_exploration,
    play,
    share_at_bound,
    trace_sizes,
)
from companion.search import Search, Searcher
from companion.settings import brief_setting
from small_records import recorded, refused, verified

from plasticity.rules.base import stack

THETA = np.zeros((6, 6))
THETA[1, 5] = -1.0
OF = algorithms(THETA, 8)
SEED = 70


def _selection() -> xr.Dataset:
    arrays = {"theta": (("place", "k", "ell"), THETA[None])}
    arrays["scale"] = (("place", "k", "ell"), np.ones((1, 6, 6)))
    return xr.Dataset(arrays | {"trials": (("place", "size", "network"), np.ones((1, 1, 1)))})


def _contest(name: str, n_units: int = 8) -> Contest:
    return Contest(brief_setting(n_units=n_units), algorithms(THETA, n_units)[name])


@pytest.mark.parametrize("name", NAMES[:-1])
def test_what_an_algorithm_is_told_is_what_its_rule_reads(name):
    contest = _contest(name)
    read = contest.rule(contest.values(contest.middle), np.ones(2)).told
    said = OF[name].told
    # A second trial is the rule's own: it takes weights and target to run and to judge it.
    runs_a_trial = OF[name].trials == 2
    assert ("target" in read) == ("target" in said or runs_a_trial)
    # Backpropagation runs the trial again, with the kicks it was run with.
    sends_back = "all weights" in said
    assert ("W" in read) == (sends_back or runs_a_trial)
    assert ("kicks" in read) == ("kicks" in said or sends_back)
    assert ("output_noise" in read) == ("noise of the output" in said)
    assert ("weight_noise" in read) == ("noise of its weight" in said)
    assert ("reward" in read or "error" in read) == ("reward" in said)
    assert ("W_out" in read) == ("readout" in said or sends_back or runs_a_trial)


def test_free_numbers_are_those_that_a_rule_has():
    for name, algorithm in OF.items():
        ladders = _contest(name).ladders
        assert tuple(ladders) == algorithm.numbers
        assert ("exploration" in ladders) == (algorithm.exploration != "none")
        assert all(len(ladder.rungs) == 8 for ladder in ladders.values())
        assert all(np.all(np.diff(ladder.values) > 0) for ladder in ladders.values())
    # The first grid reaches no bound at all, beyond which there is none.
    assert BOUNDS.values[BOUNDS.rungs[-1]] == np.inf and len(BOUNDS.values) == BOUNDS.rungs[-1] + 1


def _valley(monkeypatch, centre: dict[str, float], played: list) -> None:
    """In place of lifetimes: trials grow with the distance from ``centre``, rung by rung."""

    def play(contest, points, units, seed, runs, n_trials, observe=None):
        at = np.array([centre.get(name, -1) for name in NUMBERS])
        far = np.abs(np.asarray(points) - at).sum(axis=1)
        trials = np.repeat(100.0 + far[:, None], len(runs), axis=1)
        errors = np.repeat(trials[..., None] / 1000, n_trials, axis=-1)
        played.append((len(points), runs, n_trials))
        first = errors[..., :4]
        return Score(trials, trials < 1000, errors, first, None, None)

    monkeypatch.setattr(module, "play", play)
    monkeypatch.setattr(module, "trace_sizes", lambda contest, sizes, seed: np.ones((32, 2)))


@pytest.mark.parametrize("beyond", [0, -3, 10])
def test_a_search_finds_the_best_also_where_it_lies_beyond_the_first_grid(monkeypatch, beyond):
    contest, played = _contest("weight perturbation"), []
    centre = {"exploration": 9, "step": STEPS.first + beyond, "bound": 11}
    _valley(monkeypatch, centre, played)
    searcher = Searcher(contest, Search(), SEED, 300)
    best = searcher.run()
    assert best.point == (9, STEPS.first + beyond, 11, -1)
    tried = np.array([t.point for t in searcher.tried])
    inside = (tried.min(axis=0) < best.point) & (best.point < tried.max(axis=0))
    assert inside[:3].all(), "no number is at the edge of what was tried"
    rounds = [t.round for t in searcher.tried]
    assert rounds.count(0) == 128 and rounds.count(1) == 8 and rounds == sorted(rounds)
    # Rounds share no network, and programs have one shape after the first.
    for first, second in ((0, 1000), (1000, 2000), (2000, 3000)):
        assert any(first <= runs[0] < second for _, runs, _ in played)
    assert {size for size, _, _ in played} == {128, 4}


def test_no_bound_at_all_is_no_edge(monkeypatch):
    contest, played = _contest("BPTT"), []
    _valley(monkeypatch, {"step": STEPS.first + 4, "bound": len(BOUNDS.values) - 1}, played)
    best = Searcher(contest, Search(), SEED, 300).run()
    assert contest.values(best.point)["bound"] == np.inf
    assert played[0][0] == 64, "the whole grid of two numbers"


def test_a_step_is_the_size_of_a_first_change():
    contest = _contest("node perturbation")
    units = trace_sizes(contest, EXPLORATIONS["kicks"][1].values, SEED, n=16)
    point = (*contest.middle[:2], len(BOUNDS.values) - 1, -1)
    unit = units[point[0]]
    values = contest.values(point)
    rule = stack([contest.rule(values, unit)])
    # Numbers of the trial itself: ΔW over R − R̄, which is what a step is a size of.
    lifetimes = contest.learn(
        SEED, range(16), 2, rule, [values["exploration"]], observe=_change_over_factor
    )
    sizes = np.asarray(lifetimes.observed)[0, :, 0]
    np.testing.assert_allclose(np.sqrt(np.mean(sizes**2)), values["step"], rtol=1e-4)
    assert units[0, 0] < units[-1, 0], "larger kicks make larger traces"


def _change_over_factor(before, episode, outcome):
    return jax.numpy.sqrt(jax.numpy.mean(outcome.change**2)) / outcome.third_factor


def test_a_clean_second_trial_is_counted():
    contest = _contest("weight perturbation, clean trial")
    point = contest.middle
    score = play(contest, [point], np.ones((1, 2)), SEED, range(3), 30)
    assert score.errors.shape == (1, 3, 30) and score.first.shape == (1, 3, 4)
    np.testing.assert_array_equal(score.errors[..., :8:2], score.first)
    # Weights change only after the second trial, which has no noise: it is a trial of BPTT's,
    # which starts from the same state and whose rule does nothing at first.
    other = _contest("no learning")
    still = play(other, [(-1, -1, -1, -1)], np.ones((1, 2)), SEED, range(3), 30)
    np.testing.assert_allclose(score.errors[..., 1], still.errors[..., 0], rtol=1e-5)
    assert np.abs(score.errors[..., 0] - still.errors[..., 0]).max() > 1e-3


@pytest.mark.parametrize(("bound", "low", "high"), [(8, 0.5, 1.0), (15, 0.0, 0.05)])
def test_saturation_is_the_share_at_the_bound(bound, low, high):
    contest = _contest("node perturbation")
    point = (*contest.middle[:2], bound, -1)
    options = {"observe": share_at_bound}
    score = play(contest, [point], np.full((1, 2), 0.01), SEED, range(4), 24, **options)
    share = np.asarray(score.observed).mean()
    # Of 64 weights one is always the largest where nothing is bounded: 1/64.
    assert low < share <= high


def test_errors_without_exploration_are_those_of_weights_as_they_are():
    contest = _contest("no learning")
    score = play(contest, [(-1, -1, -1, -1)], np.ones((1, 2)), SEED, range(3), 24)
    state = jax.tree.map(lambda a: a[0], score.state)
    quiet = error_without_exploration(contest, state, SEED, range(3), 40)
    # The same networks and weights in other trials of the same two conditions.
    np.testing.assert_allclose(quiet, score.errors[0].mean(axis=-1), atol=0.05)
    lost = state._replace(alive=np.zeros(3, bool))
    np.testing.assert_array_equal(error_without_exploration(contest, lost, SEED, range(3)), 2.0)


SMALL = {"n_units": 8, "n_trials": 24, "search": Search((4, 2), (2, 3), (1, 3), 1, (2, 3))}
FEW = ("e-prop, random B, plastic readout",)


def test_records_of_search_and_comparison_are_verified(monkeypatch):
    tuning = AlgorithmTuning(algorithms=FEW, **SMALL)
    tuned = verified(monkeypatch, tuning, "errors", selection=_selection())
    for name in FEW:
        one = tuned.sel(algorithm=name)
        last = one.where(one["stage"] == 3, drop=True)
        assert (one.best == last.points[int(last.trials.values.argmin())]).all()
        free = OF[name].numbers
        assert np.isfinite(one["values"].sel(number=list(free))).sum() >= len(free) - 1
    comparison = AlgorithmComparison.of(tuning, n_networks=4)
    needs = {"tuning": tuned, "selection": _selection()}
    judged = verified(monkeypatch, comparison, "errors", **needs)
    assert judged.trials.dims == ("algorithm", "network") and np.isfinite(judged.quiet).all()


def test_choosing_another_point_is_refused(monkeypatch):
    tuning = AlgorithmTuning(algorithms=FEW, **SMALL)
    data = recorded(tuning, tuning.measure(np.arange(1), selection=_selection()))
    wrong = data.best + (data.number == "step")
    altered = data.assign(best=wrong.transpose(*data.best.dims).astype(data.best.dtype))
    refused(monkeypatch, tuning, altered, "best", selection=_selection())


def test_tasks_are_those_of_the_comparison():
    assert AlgorithmTuning.of("integration").selection.task == "integration"
    assert {AlgorithmTuning.of(task).name for task in TASKS} == {
        "algorithm_tuning_association",
        "algorithm_tuning_integration",
        "algorithm_tuning_long_delay",
    }
    with pytest.raises(ValueError, match="a task of the comparison; got 'dancing'"):
        AlgorithmTuning.of("dancing")
    numbers = [AlgorithmComparison.of(task).seeds["test"] for task in TASKS]
    assert len(set(numbers)) == len(TASKS), "each task has networks of its own"
