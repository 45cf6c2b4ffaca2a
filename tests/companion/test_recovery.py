"""Chapter 11's experiments, small: what they name, measure again and refuse."""

import dataclasses

import jax
import numpy as np
import pytest
from companion.recovery import (
    CONDITIONS,
    FIRST,
    RULES,
    SUSPECTS,
    Condition,
    ExampleRecording,
    RecoveredLearning,
    RuleRecovery,
    animals,
    read,
    recorded_as,
)
from companion.results import measured, needed

from plasticity.recovery.recording import read_recording, simulate_recording

SMALL = RuleRecovery(
    recordings=(FIRST, "units 50%", "trials 10%", "rewards shuffled"),
    n_units=10,
    n_animals=1,
    n_trials=60,
)


@pytest.fixture(scope="module")
def found():
    return measured(SMALL)


@pytest.fixture(scope="module")
def needs():
    return {name: needed(need) for name, need in SMALL.needs.items()}


@pytest.fixture(scope="module")
def known(needs):
    return animals(SMALL.tuning, SMALL.bounded, **needs)


def test_rules_of_animals_are_the_suspects_and_one_outside(known):
    assert list(known.rules) == list(known.bounded) == list(RULES)
    for name in SUSPECTS:
        theta = np.asarray(known.rules[name].coefficients)
        np.testing.assert_allclose(theta, known.theta[name], rtol=1e-6)
        assert np.isinf(known.rules[name].clip) and np.isfinite(known.bounded[name].clip)
    assert known.rules[RULES[-1]].trace.of_kicks


def test_a_rule_is_named_from_all_units_and_not_from_shuffled_rewards(found):
    first = found.sel(recording=FIRST).isel(animal=0)
    named = first.suspects.idxmax("suspect").sel(rule=list(SUSPECTS))
    assert named.values.tolist() == list(SUSPECTS)
    assert (first.explained > first.free).sel(rule=list(SUSPECTS)).all()
    broken = found.sel(recording="rewards shuffled").isel(animal=0)
    assert (broken.suspects.max("suspect") < first.suspects.max("suspect")).all()
    assert (broken.explained < broken.free).all()


def test_errors_of_effect_and_of_weights_grow_when_less_is_recorded(found):
    of_rules = found.isel(animal=0).sel(rule=list(SUSPECTS))
    effect = of_rules.effect.sel(recording=[FIRST, "units 50%"])
    assert (effect.isel(recording=0) < effect.isel(recording=1)).all()
    assert (of_rules.weights_named.sel(recording=FIRST) > 0.9).all()
    assert np.isnan(found.effect.sel(rule=RULES[-1])).all()


def test_what_is_measured_again_is_what_was_recorded(found, needs):
    with jax.enable_x64(True):
        again = SMALL.measure_again(np.array([0]), found, **needs)
    # Ten trials in float64 twice, by two programs.
    np.testing.assert_allclose(again["early"], found.early.values, atol=1e-6)


def test_new_networks_learn_by_what_was_read(found):
    learning = RecoveredLearning(recovery=SMALL, sources=(FIRST,), n_networks=2, n_trials=20)
    lives = measured(learning)
    assert lives.trials.dims == ("rule", "source", "animal", "network")
    assert (lives.trials <= 20).all() and (lives.true_trials <= 20).all()
    needs = {name: needed(need) for name, need in learning.needs.items()}
    with jax.enable_x64(True):
        again = learning.measure_again(np.array([1]), lives.isel(rule=[1]), **needs)
    # Four trials in float32 and in float64.
    np.testing.assert_allclose(again["errors"], lives.errors.values[1:2], atol=5e-3)


def test_fewer_units_are_a_part_of_more(known):
    setting = SMALL.setting
    animal = simulate_recording(setting, known.rules["(1,3)"], 0, [0], 5)[0]
    clean = {share: Condition(units=share, noise=0.0) for share in (0.3, 0.5)}
    few, more = (recorded_as(c, animal, 0, 0)[0].recording.rates for c in clean.values())
    assert (few.shape[2], more.shape[2]) == (3, 5)
    columns = {column.tobytes() for column in np.round(more, 9).T}
    assert all(column.tobytes() in columns for column in np.round(few, 9).T)


def test_few_last_trials_cannot_be_flagged():
    whole = RuleRecovery()
    assert [name for name in CONDITIONS if not whole.may_be_flagged(name)] == ["trials 10%"]


def test_activity_that_is_not_finite_counts_as_not_named(known):
    animal = simulate_recording(SMALL.setting, known.rules["(1,3)"], 0, [0], 5)[0]
    rates = animal.recording.rates.copy()
    rates[3:] = np.nan
    broken = animal._replace(recording=animal.recording._replace(rates=rates))
    said = read(*recorded_as(CONDITIONS[FIRST], broken, 0, 0), known.theta)
    assert np.isnan(said["suspects"]).all() and np.isnan(said["explained"])


def test_recordings_are_checked():
    with pytest.raises(ValueError, match="recordings of the chapter"):
        dataclasses.replace(SMALL, recordings=(FIRST, "trials 10%", "all rewards"))
    with pytest.raises(ValueError, match="'all' before others"):
        dataclasses.replace(SMALL, recordings=("trials 10%", FIRST))


def test_examples_are_recordings():
    experiment = ExampleRecording(n_units=4, n_trials=12)
    data = measured(experiment)
    setting = experiment.tuning.courses.setting
    for animal in data.animal.values:
        one = data.sel(animal=animal).assign_attrs(tau=setting.learner.dynamics.tau)
        recording = read_recording(one)
        assert recording.rates.shape == (12, setting.task.n_steps + 1, 4)
        assert recording.dt == setting.learner.dynamics.dt
    needs = {name: needed(need) for name, need in experiment.needs.items()}
    with jax.enable_x64(True):
        again = experiment.measure_again(np.array([0]), data.isel(animal=[0]), **needs)
    assert again["activity"].shape[1] == 10
    np.testing.assert_allclose(again["activity"], data.activity.values[:1, :10], atol=1e-5)
