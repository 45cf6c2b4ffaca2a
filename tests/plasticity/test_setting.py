import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LEARNER, N_UNITS, TASK

from plasticity.learning.setting import Setting
from plasticity.learning.trial import Learner
from plasticity.model.network import Dynamics
from plasticity.model.tasks import Task, delayed_association, evidence_integration
from plasticity.rules.base import stack
from plasticity.rules.three_factor import covariance

RULE = covariance(learning_rate=0.01)
SETTING = Setting(task=TASK, rule=RULE, learner=LEARNER, n_units=N_UNITS)


def test_a_run_depends_on_its_number_and_on_nothing_else():
    rules = stack([RULE, RULE.replace(learning_rate=jnp.array(0.02))])
    together = SETTING.learn(4, [0, 3, 7], 4, rules)
    alone = SETTING.learn(4, [3], 4)
    assert together.errors.shape == (2, 3, 4)
    np.testing.assert_allclose(together.errors[0, 1], alone.errors[0], rtol=1e-12)
    other = SETTING.learn(5, [3], 4)
    assert np.abs(np.asarray(other.errors - alone.errors)).max() > 1e-3


def test_the_same_batch_gives_the_same_bits():
    # In float32, where a run alone is another program and rounds otherwise.
    with jax.enable_x64(False):
        task = delayed_association(dt=10.0, cue=30.0, delay=30.0, response=40.0)
        rule = covariance(learning_rate=0.01)
        setting = Setting(task=task, rule=rule, n_units=N_UNITS, learner=LEARNER)
        first, again, alone = (setting.learn(4, runs, 30) for runs in ([0, 3], [0, 3], [3]))
        np.testing.assert_array_equal(first.errors, again.errors)
        networks, same = setting.networks(4, [0, 3]), setting.networks(4, [3])
        np.testing.assert_array_equal(networks.W[1], same.W[0])
        # The first trial has seen no learning: 50 steps of float32 err by some 1e-6.
        np.testing.assert_allclose(first.errors[1, 0], alone.errors[0, 0], rtol=1e-5)


def test_networks_are_those_that_learn():
    networks = SETTING.networks(4, [3])
    still = SETTING.learn(4, [3], 2, covariance(learning_rate=0.0))
    np.testing.assert_array_equal(still.state.W, networks.W)
    keys, same, task, rule, learner = SETTING.arguments(4, [3])
    np.testing.assert_array_equal(same.W, networks.W)
    assert (task, rule, learner) == (TASK, RULE, LEARNER) and keys.shape == (1,)


def test_the_defaults_are_a_setting():
    setting = Setting(task=delayed_association(), rule=RULE)
    assert (setting.n_units, setting.gain, setting.readout) == (100, 1.5, "random")
    assert setting.learner == Learner()


def test_a_task_of_ones_own_is_five_arrays():
    n_steps, on = 6, np.arange(6) < 2
    task = Task(
        inputs=jnp.asarray(np.stack([on, -1.0 * on])[..., None]),
        targets=jnp.asarray(np.ones((2, n_steps)) * [[1.0], [-1.0]]),
        response=jnp.arange(n_steps) >= 4,
        noise=jnp.zeros((n_steps, 1)),
        dt=10.0,
    )
    setting = Setting(task=task, rule=RULE, n_units=5)
    assert np.isfinite(setting.learn(0, range(2), 4).errors).all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"n_units": 0}, "n_units ≥ 1; got 0"),
        ({"n_units": 2.5}, "a whole number n_units ≥ 1; got 2.5: give"),
        ({"gain": -1.0}, "gain ≥ 0 and finite; got -1.0"),
        ({"readout": "mean"}, "a readout of random, unit, undriven unit; got mean: choose"),
        ({"task": evidence_integration(dt=5.0)}, "task and dynamics share dt; got 5.0 and 10.0"),
        ({"rule": covariance(tau_e=5.0)}, "dt ≤ tau_e"),
        (
            {"rule": covariance(onset=100.0)},
            "0 ≤ onset ≤ 90.0 ms, .* of the trial; got 100.0: give",
        ),
        ({"rule": covariance(onset=np.nan)}, "0 ≤ onset ≤ 90.0 ms"),
        (
            {"learner": Learner(dynamics=Dynamics(clamped=((9, 1.0),)))},
            "clamped units lie in 0 … 5",
        ),
        ({"task": TASK._replace(response=TASK.response[1:])}, r"'response': \(9,\)"),
        (
            {"task": TASK._replace(response=jnp.zeros_like(TASK.response))},
            "judged in some step; got 0",
        ),
        ({"task": TASK._replace(targets=TASK.targets * jnp.nan)}, "targets and noise finite"),
        ({"task": TASK._replace(noise=TASK.noise - 1.0)}, "noise ≥ 0; got other values"),
        ({"task": TASK._replace(dt=0.0)}, "dt > 0 ms; got 0.0"),
    ],
)
def test_what_does_not_fit_is_named(unchecked, change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(SETTING, **change)


def test_a_trace_may_begin_with_the_last_step():
    dataclasses.replace(SETTING, rule=covariance(onset=90.0))


@pytest.mark.parametrize(
    ("seed", "runs", "match"),
    [
        (2**32, [0], r"a seed is a whole number, 0 ≤ seed < 2³²; got 4294967296: choose another"),
        (-1, [0], "seed < 2³²; got -1"),
        (1.5, [0], "seed < 2³²; got 1.5"),
        (0, 5, "runs is a sequence of one or more; got 5: give"),
        (0, [], r"runs is a sequence of one or more; got \[\]"),
        (0, [[0]], r"runs is a sequence of one or more; got \[\[0\]\]"),
        (0, [3, -1], r"run numbers are whole numbers, 0 ≤ run < 2³²; got \[-1\]: give"),
        (0, [2**32], r"got \[4294967296\]"),
        (0, [1.5], r"got \[1.5\]"),
        (0, np.array([True, False]), r"got \[True, False\]"),
    ],
)
def test_runs_that_there_are_not_are_named(unchecked, seed, runs, match):
    for ask in (SETTING.networks, SETTING.arguments, lambda *draws: SETTING.learn(*draws, 4)):
        with pytest.raises(ValueError, match=match):
            ask(seed, runs)


def test_the_numbers_of_runs_may_be_those_of_numpy(unchecked):
    wanted = SETTING.networks(3, [0, 2**32 - 1]).W
    for runs in (np.array([0, 2**32 - 1]), np.array([0, 2**32 - 1], np.uint32)):
        np.testing.assert_array_equal(SETTING.networks(np.int64(3), runs).W, wanted)
    # Modulo 2³² these would be the same seed and the same run.
    assert np.abs(SETTING.networks(2**32 - 1, [0]).W - SETTING.networks(0, [0]).W).max() > 0.1


def test_runs_may_be_mapped_over(unchecked):
    mapped = jax.vmap(lambda run: SETTING.networks(4, run[None]).W[0])(jnp.arange(3))
    np.testing.assert_allclose(mapped, SETTING.networks(4, range(3)).W, rtol=1e-12)
