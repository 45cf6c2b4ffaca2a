import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from companion.settings import (
    QUIRKS,
    association_setting,
    brief_setting,
    miconi_setting,
    selective_setting,
)

from plasticity.learning.trial import draw_episode, initial_learning_state, learn_trial


def test_runs_do_not_depend_on_the_company_they_are_computed_in():
    setting = association_setting(n_units=10)
    together = setting.learn(4, range(5), 6).errors
    apart = setting.learn(4, [3, 1], 6).errors
    np.testing.assert_allclose(together[jnp.array([3, 1])], apart, rtol=1e-9)
    assert not np.allclose(setting.learn(5, [3, 1], 6).errors, apart)


def test_each_quirk_is_one_change():
    full = miconi_setting()
    for quirk in QUIRKS:
        other = miconi_setting(quirk)
        changed = [
            full.learner != other.learner,
            float(full.rule.clip) != float(other.rule.clip),
            full.rule.third_factor != other.rule.third_factor,
            full.readout != other.readout,
        ]
        assert sum(changed) == 1, quirk
    with pytest.raises(ValueError, match="choose from"):
        miconi_setting("noise")


def test_the_parity_setting_has_the_published_numbers():
    setting = miconi_setting()
    learner, dynamics = setting.learner, setting.learner.dynamics
    assert (setting.n_units, setting.gain, setting.task.n_steps) == (200, 1.5, 1000)
    assert learner.exploration.probability(dynamics.dt) == pytest.approx(0.003)
    assert learner.exploration.amplitude == pytest.approx(16 / 30)
    assert (dynamics.dt, dynamics.tau, dynamics.gain) == (1.0, 30.0, 0.95)
    assert float(setting.task.targets.max()) == pytest.approx(0.98)
    assert (float(setting.rule.learning_rate), float(setting.rule.clip)) == (0.1, 3e-4)
    assert learner.first_update == 101
    network, key = setting.networks(0, [0]), jax.random.key(0)
    assert not network.W_in[0, 0].any() and network.W_in[0, 1:].all()
    state = draw_episode(key, 0, setting.task, learner, setting.n_units).state
    assert [float(state[unit]) for unit in (1, 10, 11)] == [1.0, 1.0, -1.0]
    assert float(jnp.abs(jnp.delete(state, jnp.array([1, 10, 11]))).max()) <= 0.1


def test_node_perturbation_has_the_step_of_the_published_program():
    setting = miconi_setting(told_kicks=True)
    # 0.001 for kicks of ±16 is 0.03 for kicks of ±16 dt/τ.
    assert float(setting.rule.learning_rate) == pytest.approx(0.03)
    assert setting.rule.trace.of_kicks and setting.rule.trace.plain_sum
    assert setting.learner == miconi_setting().learner
    # By hand: the clipped change after the first trial that may change weights.
    within = dataclasses.replace(setting.learner, first_update=0, initial_baseline=-1.0)
    network = jax.tree.map(lambda a: a[0], setting.networks(0, [0]))
    state = initial_learning_state(network, setting.task, setting.rule, within)
    episode = draw_episode(jax.random.key(0), 0, setting.task, within, setting.n_units)
    after, outcome = learn_trial(state, episode, network, setting.rule, within)
    rates, kicks = np.asarray(outcome.trajectory.rates), np.asarray(episode.kicks) * 30
    plain = -0.001 * (outcome.error - 1.0) * kicks[3:].T @ rates[3:]
    change = np.clip(plain, -3e-4, 3e-4)
    # Rates of a thousand steps in float64, sums of them: 1e-12 is far from both.
    np.testing.assert_allclose(after.W - state.W, change, atol=1e-12)
    assert (np.abs(plain) > 3e-4).any() and (np.abs(plain) < 3e-4).any()


def test_selective_integration_is_that_of_the_programs():
    setting = selective_setting()
    task, learner = setting.task, setting.learner
    assert (task.n_steps, task.n_conditions, setting.readout) == (700, 4, "undriven unit")
    np.testing.assert_array_equal(np.flatnonzero(task.response), np.arange(500, 700))
    on = np.flatnonzero(np.asarray(task.noise)[:, 0])
    np.testing.assert_array_equal(on, np.arange(1, 501))
    # 0.5 (N(0, 1) ± 0.5) in each step.
    assert float(task.noise.max()) == 0.5 and float(task.inputs[0, 1, 0]) == 0.25
    assert learner.exploration.amplitude == pytest.approx(1.0)
    assert learner.per_condition and learner.dynamics == miconi_setting().learner.dynamics
    theta = np.asarray(setting.rule.coefficients)
    assert theta[3, 3] == -1 and np.count_nonzero(theta) == 1
    other = selective_setting("earlier, as recommended")
    assert np.asarray(other.rule.coefficients)[1, 3] == -1
    numbers = (float(other.rule.learning_rate), float(other.rule.clip))
    assert numbers == pytest.approx((0.03, 2e-5))
    with pytest.raises(ValueError, match="a version of the program; got 'new'"):
        selective_setting("new")


@pytest.mark.parametrize(
    "task", ["delayed_association", "evidence_integration", "delayed_nonmatch_to_sample"]
)
def test_brief_trials_have_50_steps(task):
    setting = brief_setting(task)
    assert setting.task.n_steps == 50 and float(setting.task.dt) == 10.0
    assert setting.learner.dynamics.dt == 10.0
    # 200 ms in which the response counts, at the end.
    np.testing.assert_array_equal(setting.task.response, np.arange(50) >= 30)
    longer = brief_setting(task, response=300.0, **_filler(task))
    assert longer.task.n_steps == 60 and int(longer.task.response.sum()) == 30


def _filler(task):
    """The one task whose trials have a duration of their own."""
    return {"duration": 600.0} if task == "delayed_nonmatch_to_sample" else {}


def test_brief_parameters_override():
    setting = brief_setting(
        n_units=7, kick_amplitude=1.5, tau_filter=30.0, delay=100.0, learning_rate=0.2
    )
    assert setting.task.n_steps == 40 and setting.n_units == 7
    assert setting.learner.exploration.amplitude == 1.5
    assert setting.learner.dynamics.tau_filter == 30.0
    assert float(setting.rule.learning_rate) == 0.2
    assert np.isfinite(setting.learn(1, [0], 4).errors).all()
    with pytest.raises(ValueError, match="a task with brief trials; got 'parity': choose from"):
        brief_setting("parity")
