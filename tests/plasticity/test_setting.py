import dataclasses

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
        ({"gain": -1.0}, "gain ≥ 0 and finite; got -1.0"),
        ({"readout": "mean"}, "a readout of random, unit, undriven unit; got mean: choose"),
        ({"task": evidence_integration(dt=5.0)}, "task and dynamics share dt; got 5.0 and 10.0"),
        ({"rule": covariance(tau_e=5.0)}, "dt ≤ tau_e"),
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
def test_what_does_not_fit_is_named(change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(SETTING, **change)
