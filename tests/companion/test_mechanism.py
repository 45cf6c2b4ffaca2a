import numpy as np
from companion import mechanism
from companion.course_comparison import SINGLES
from companion.mechanism import (
    NEW,
    PAIRS,
    PredictedComparison,
    PredictedTuning,
    TraceAgreement,
    agreement,
    end_traces,
)
from companion.search import Search
from companion.settings import brief_setting
from companion.tuning import first_activity
from small_records import verified

from plasticity.rules.three_factor import make_rule

SEED = 73


def test_traces_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3, 3))
    rates, shifts = rng.normal(size=(2, 2, 4, 5))
    weights = rng.uniform(size=4)
    wanted = np.zeros((2, 5, 5))
    for n, t, i, j, k, ell in np.ndindex(2, 4, 5, 5, 3, 3):
        wanted[n, i, j] += weights[t] * theta[k, ell] * rates[n, t, j] ** k * shifts[n, t, i] ** ell
    np.testing.assert_allclose(end_traces(theta, rates, shifts, weights), wanted, rtol=1e-10)


def test_agreement_is_perfect_with_itself_and_half_by_chance():
    told = np.random.default_rng(1).normal(size=(3, 40, 40))
    told[:, :10] = 0  # units that were not kicked do not vote
    correlation, signs = agreement(2 * told, told)
    np.testing.assert_allclose(correlation, 1.0)
    np.testing.assert_allclose(signs, 1.0)
    correlation, signs = agreement(-told, told)
    np.testing.assert_allclose([correlation, signs], [[-1.0] * 3, [0.0] * 3])
    other = np.random.default_rng(2).normal(size=told.shape)
    correlation, signs = agreement(other, told)
    # 1,200 signs a network: a standard error of .015.
    assert np.abs(correlation).max() < 0.1 and np.abs(signs - 0.5).max() < 0.06


def test_fluctuations_telescope():
    """Σ_t Δ_t = (x̄_0 − x̄_T)/a: of first powers nothing is left but where the filter ended."""
    setting = brief_setting(n_units=8)
    rates, shifts, _ = first_activity(setting, SEED, 2)
    dynamics = setting.learner.dynamics
    a, states = 1 - np.exp(-dynamics.dt / dynamics.tau_filter), np.arctanh(rates)
    filtered = states[:, 0]
    for t in range(1, rates.shape[1]):
        filtered = filtered + a * (states[:, t] - filtered)
    left = (states[:, 0] - filtered) / a
    # x is told from r to some digits only, where a unit is near saturation.
    np.testing.assert_allclose(shifts[:, :-1].sum(axis=1), left, rtol=1e-3, atol=1e-3)
    # The sum stays small, as a bounded x̄ makes it, while that of cubes keeps what kicks left.
    ratio = np.abs(shifts.sum(axis=1)) / np.abs(shifts).sum(axis=1)
    cubes = np.abs((shifts**3).sum(axis=1)) / np.abs(shifts**3).sum(axis=1)
    assert ratio.mean() < cubes.mean()


def test_first_powers_know_less_of_the_kicks_and_records_are_verified(monkeypatch):
    theta = np.zeros((6, 6))
    theta[1, 3] = -2.0
    monkeypatch.setattr(mechanism, "learned_rule", lambda: make_rule(theta))
    experiment = TraceAgreement(n_cases=2, n_units=8, n_networks=6)
    data = verified(monkeypatch, experiment, "correlation")
    assert data.signs.dims == ("rule", "case", "network")
    assert data.rule.values.tolist() == [*SINGLES, *NEW, "learned"]
    usual = data.signs.isel(case=0).mean("network")
    assert float(usual.sel(rule="(1,1)")) < float(usual.sel(rule="(1,5)"))
    # The rule of one term (1,3), twice as large, is that term's.
    same = data.sel(rule="learned"), data.sel(rule="(1,3)")
    np.testing.assert_allclose(*(one.signs.values for one in same))


def test_predictions_are_for_what_was_not_used_to_find_them():
    assert len(set(PAIRS)) == len(PAIRS) == 32
    assert all(place > 0 or name in NEW for name, place in PAIRS)
    experiment = PredictedComparison()
    assert len(set(experiment.competitors)) == 32
    contest = experiment.contest(PAIRS.index(("(3,3)", 7)))
    assert contest.within.learner.exploration.amplitude == 4.0
    assert contest.within.learner.dynamics.tau_filter == 20.0
    slow = experiment.contest(PAIRS.index(("(1,5)", 4))).within.learner
    assert slow.dynamics.tau_filter == 100.0 and slow.exploration.amplitude == 2.0
    values = {"exploration": np.nan, "step": 0.1, "bound": 1e-3, "readout": np.nan}
    rule = experiment.contest(0).rule(values, (0.5, 1.0))
    assert np.argwhere(np.asarray(rule.coefficients)).tolist() == [[1, 7]]


def test_predictions_are_recorded(monkeypatch):
    few = {"pairs": PAIRS[:1] + PAIRS[-1:], "n_units": 8, "n_trials": 24}
    tuning = PredictedTuning(search=Search((4, 2), (2, 3), (1, 3), 1, (2, 3)), **few)
    tuned = verified(monkeypatch, tuning, "errors")
    comparison = PredictedComparison(tuning=tuning, n_networks=4, **few)
    judged = verified(monkeypatch, comparison, "errors", tuning=tuned)
    assert judged.trials.dims == ("pair", "network")
    assert judged.pair.values[1] == "(5,5), amplitude 4, τ_x 20 ms"
