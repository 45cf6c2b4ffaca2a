import jax
import jax.numpy as jnp
import numpy as np
import pytest

from plasticity.model.tasks import (
    check_task,
    context_dependent_integration,
    delayed_association,
    delayed_nonmatch_to_sample,
    evidence_integration,
    make_task,
)


def test_delayed_association_shows_each_cue_on_its_channel():
    task = delayed_association(dt=10.0, cue=20.0, delay=30.0, response=40.0, target=0.5)
    assert (task.n_conditions, task.n_steps, task.n_inputs) == (2, 9, 2)
    for c in range(2):
        np.testing.assert_array_equal(task.inputs[c, :2, c], 1)
        assert float(task.inputs[c].sum()) == 2
    np.testing.assert_array_equal(task.targets[:, 0], [0.5, -0.5])
    np.testing.assert_array_equal(np.flatnonzero(task.response), [5, 6, 7, 8])


def test_nonmatch_is_positive_exactly_when_the_stimuli_differ():
    task = delayed_nonmatch_to_sample(dt=1.0, onset=1.0, delay=199.0)
    for c in range(4):
        shown = np.asarray(task.inputs[c])
        first, second = (int(shown[t].argmax()) for t in (100, 500))
        assert np.sign(float(task.targets[c, 0])) == (1 if first != second else -1)
    on = np.flatnonzero(np.asarray(task.inputs[0]).any(axis=1))
    np.testing.assert_array_equal(on, np.r_[1:201, 400:600])
    np.testing.assert_array_equal(np.flatnonzero(task.response), np.arange(800, 1000))


def test_the_attended_stimulus_decides():
    task = context_dependent_integration()
    for c in range(8):
        stimulus, context = np.asarray(task.inputs[c, 0, :2]), np.asarray(task.inputs[c, -1, 2:])
        attended = stimulus[int(context.argmax())]
        assert np.sign(attended) == np.sign(float(task.targets[c, 0]))
    assert len({tuple(np.asarray(task.inputs[c, 0]).tolist()) for c in range(8)}) == 8


def test_the_sign_of_the_other_stimulus_is_drawn_in_each_trial():
    options = {"dt": 1.0, "onset": 1.0, "stimulus": 50.0, "response": 20.0, "coherence": 0.25}
    task = context_dependent_integration(**options, irrelevant_drawn=True)
    assert task.n_conditions == 4
    every = context_dependent_integration(**options)
    still = task._replace(noise=jnp.zeros_like(task.noise))
    keys = jax.random.split(jax.random.key(3), 64)
    for c in range(4):
        drawn = np.asarray(jax.vmap(still.draw, (0, None))(keys, jnp.int32(c)).inputs)
        attended = int(drawn[0, 0, 2:].argmax())
        sign = float(task.targets[c, 0])
        np.testing.assert_allclose(drawn[:, 1:51, attended], 0.25 * sign)
        other = drawn[:, 1:51, 1 - attended]
        assert (other == other[:, :1]).all() and not drawn[:, 51:, :2].any()
        assert not drawn[:, 0, :2].any(), "the stimulus begins late"
        # Of 64 coins between 16 and 48 fall on one side, but for one case in ten thousand.
        assert 16 <= (other[:, 0] == 0.25).sum() <= 48 and (np.abs(other) == 0.25).all()
        # Every trial is one of those in which both signs are given.
        given = np.asarray(every.inputs)
        assert all(any(np.allclose(trial, known) for known in given) for trial in drawn)
    np.testing.assert_array_equal(np.sign(task.targets[:, 0]), [1, 1, -1, -1])
    with pytest.raises(ValueError, match="'flipped'"):
        check_task(task._replace(flipped=task.flipped[:2]))


def test_evidence_has_the_sign_of_the_target():
    task = evidence_integration(coherences=(0.1, 0.4))
    assert task.n_conditions == 4
    np.testing.assert_array_equal(jnp.sign(task.inputs[:, 0, 0]), jnp.sign(task.targets[:, 0]))
    np.testing.assert_array_equal(task.inputs[:, 0, 0], -task.inputs[:, 0, 1])


def test_noise_has_the_stated_strength_whatever_the_step(key):
    for dt in (2.0, 10.0):
        task = evidence_integration(dt=dt, stimulus=2000.0, noise=0.5)
        drawn = task.draw(key, jnp.int32(0))
        shown = np.asarray(drawn.inputs - task.inputs[0])[: round(2000 / dt)]
        # Integrated over the stimulus, noise of strength s has the variance s² · 2000 ms.
        density = shown.var() * dt
        assert abs(density / 0.25 - 1) < 5 * np.sqrt(2 / shown.size)
        assert not np.asarray(drawn.inputs - task.inputs[0])[round(2000 / dt) :].any()


def test_draws_differ_and_repeat(key):
    task = evidence_integration()
    draws = [task.draw(k, jnp.int32(0)).inputs for k in (key, key, jax.random.key(1))]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_steps_are_counted_as_they_were_meant():
    # 0.3 / 0.1 and 0.7 / 0.1 are no whole numbers in floating point.
    task = delayed_association(dt=0.1, cue=0.7, delay=0.3, response=1.1)
    assert task.n_steps == 21
    np.testing.assert_array_equal(np.flatnonzero(task.inputs[0, :, 0]), np.arange(7))
    np.testing.assert_array_equal(np.flatnonzero(task.response), np.arange(10, 21))


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("delayed_association", {"dt": 0.0}, "dt > 0"),
        ("delayed_association", {"dt": -1.0}, "dt > 0"),
        ("delayed_association", {"delay": -5.0}, "delay ≥ 0"),
        ("delayed_association", {"response": 0.0}, "response duration > 0"),
        ("delayed_association", {"target": 0.0}, "target > 0"),
        ("delayed_association", {"noise": -1.0}, "noise ≥ 0"),
        ("delayed_nonmatch_to_sample", {"response": 2000.0}, "response window lies inside"),
        ("delayed_nonmatch_to_sample", {"duration": 500.0}, "test window lies inside"),
        ("evidence_integration", {"coherences": ()}, "coherences > 0"),
        ("evidence_integration", {"dt": 200.0, "response": 100.0}, "got 100.0 ms at dt = 200.0 ms"),
        ("delayed_association", {"delay": 4.0}, "delay is a whole number of steps; got 4.0 ms at"),
        ("delayed_association", {"delay": 25.0}, "got 25.0 ms at dt = 10.0 ms: give a multiple"),
        ("delayed_association", {"dt": 7.0}, "cue is a whole number of steps; got 200.0 ms at"),
        ("delayed_association", {"delay": np.nan}, "delay ≥ 0 ms; got nan"),
        ("delayed_nonmatch_to_sample", {"dt": 10.0, "onset": 1.0}, "onset is a whole number"),
        ("delayed_nonmatch_to_sample", {"dt": 10.0, "duration": 1005.0}, "duration is a whole"),
        ("context_dependent_integration", {"onset": 5.0}, "onset is a whole number of steps"),
        ("evidence_integration", {"stimulus": 601.0}, "stimulus is a whole number of steps"),
        ("memory", {}, "a task of this package; got 'memory': choose from"),
    ],
)
def test_bad_tasks_are_named(name, options, match):
    with pytest.raises(ValueError, match=match):
        make_task(name, **options)
