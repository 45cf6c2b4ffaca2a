import dataclasses

import jax
import numpy as np
import pytest
from companion.settings import brief_setting, miconi_setting

from plasticity.dynamics.portrait import (
    POINT_MEASURES,
    TRIAL_MEASURES,
    draw_portrait,
    held_inputs,
    point_measures,
    trial_measures,
    unperturbed_trials,
)
from plasticity.model.network import Network

SETTING = brief_setting(n_units=12)
TASK, LEARNER = SETTING.task, SETTING.learner


def _network(scale=1.0):
    network = jax.tree.map(lambda a: np.asarray(a[0], float), SETTING.networks(0, [0]))
    return network._replace(W=scale * network.W)


@pytest.fixture(scope="module")
def portrait():
    return draw_portrait(_network(), TASK, LEARNER, n_starts=12, seed=3)


def test_trials_are_those_of_a_plain_loop():
    network = _network()
    trials = unperturbed_trials(network, TASK, LEARNER, seed=3, repeats=2)
    step = LEARNER.dynamics.dt / LEARNER.dynamics.tau
    assert trials.conditions.tolist() == [0, 0, 1, 1]
    for m, c in enumerate(trials.conditions):
        # One step back from the first state gives the start; all later ones are determined.
        x = trials.states[m, 0]
        for t in range(1, TASK.n_steps):
            u = np.asarray(TASK.inputs[c, t], float)
            x = x + step * (network.W @ np.tanh(x) + network.W_in @ u - x)
            np.testing.assert_allclose(trials.states[m, t], x, atol=1e-11)
        np.testing.assert_allclose(trials.outputs[m, -1], network.W_out @ np.tanh(x), atol=1e-11)
        window = np.asarray(TASK.response)
        error = np.abs(trials.outputs[m] - np.asarray(TASK.targets[c], float))[window].mean()
        assert trials.errors[m] == pytest.approx(error, abs=1e-9)
    assert not np.allclose(trials.states[0], trials.states[1])


def test_inputs_that_are_held_are_those_of_the_task():
    np.testing.assert_array_equal(held_inputs(TASK), [[1, 0], [0, 0], [0, 1]])


def test_points_are_points_and_the_nearest_is_operated_at(portrait):
    W, W_in, _ = _network()
    for u, fixed in zip(portrait.inputs, portrait.fixed, strict=True):
        for x in fixed.x:
            assert np.linalg.norm(-x + W @ np.tanh(x) + W_in @ u) <= 1e-10
    silent = portrait.fixed[1].x
    for c in range(2):
        end = portrait.trials.states[portrait.trials.conditions == c, -1].mean(axis=0)
        gaps = np.linalg.norm(silent - end, axis=1)
        np.testing.assert_array_equal(portrait.operating[c], silent[gaps.argmin()])
        assert portrait.distance[c] == pytest.approx(gaps.min() / np.linalg.norm(end))


def test_a_network_compared_with_itself_has_not_changed(portrait):
    network = _network()
    row = trial_measures(network, portrait.trials, LEARNER, (network, portrait.trials))
    assert tuple(row) == TRIAL_MEASURES
    assert row["weight change"] == 0 and row["representational change"] == pytest.approx(0)
    other = network._replace(W=1.2 * network.W)
    now = unperturbed_trials(other, TASK, LEARNER, seed=3)
    row = trial_measures(other, now, LEARNER, (network, portrait.trials))
    assert row["weight change"] == pytest.approx(0.2)
    assert row["representational change"] > 1e-4


def test_a_network_without_recurrence_is_known_in_closed_form():
    network = _network(scale=0.0)
    silent = draw_portrait(network, TASK, LEARNER, n_starts=4)
    row = point_measures(network, silent, LEARNER)
    assert tuple(row) == POINT_MEASURES
    # x* = W_in u is the only point, J = −I: every mode decays with τ, and p is W_in itself.
    assert (row["fixed points"], row["stable points"], row["slow points"]) == (1, 1, 0)
    assert row["spectral abscissa"] == row["numerical abscissa"] == pytest.approx(-1)
    assert row["unstable modes"] == row["frequency"] == 0
    assert row["Henrici ratio"] == pytest.approx(0, abs=1e-7)
    assert row["input sensitivity"] == pytest.approx(np.sqrt(np.mean(network.W_in**2)))
    expected = np.linalg.norm(network.W_out @ network.W_in)
    assert row["output sensitivity"] == pytest.approx(expected)


def test_what_has_no_fixed_point_is_flagged(portrait):
    lost = portrait._replace(operating=np.full_like(portrait.operating, np.nan))
    row = point_measures(_network(), lost, LEARNER)
    assert np.isnan([row[name] for name in POINT_MEASURES[4:]]).all()
    assert np.isfinite([row[name] for name in POINT_MEASURES[:3]]).all()


def test_a_singular_point_is_flagged_only_where_it_matters(portrait):
    n = 12
    network = Network(np.diag(np.arange(n) == 0).astype(float), np.ones((n, 2)), np.ones(n))
    at_zero = portrait._replace(operating=np.zeros_like(portrait.operating))
    row = point_measures(network, at_zero, LEARNER)
    assert np.isnan(row["input sensitivity"]) and np.isnan(row["output sensitivity"])
    assert row["spectral abscissa"] == pytest.approx(0)


def test_networks_that_do_not_fit_are_refused():
    network = _network()
    wide = network._replace(W_in=np.ones((12, 3)))
    with pytest.raises(ValueError, match="a network of 2 inputs for this task; got 3"):
        unperturbed_trials(wide, TASK, LEARNER, seed=0)
    with pytest.raises(ValueError, match="no clamped units"):
        clamped = dataclasses.replace(
            LEARNER, dynamics=dataclasses.replace(LEARNER.dynamics, clamped=((0, 1.0),))
        )
        unperturbed_trials(network, TASK, clamped, seed=0)
    with pytest.raises(ValueError, match="repeats ≥ 1"):
        unperturbed_trials(network, TASK, LEARNER, seed=0, repeats=0)
    assert miconi_setting().learner.dynamics.clamped
