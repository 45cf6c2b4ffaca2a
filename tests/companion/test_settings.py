import jax.numpy as jnp
import numpy as np
import pytest
from companion.settings import QUIRKS, association_setting, brief_setting, miconi_setting


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
