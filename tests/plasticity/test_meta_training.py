import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import outer_loop
import pytest
from outer_loop import CONFIG, RULE, SCALE, SETTING, Bowl, arrays

from plasticity.meta.ascent import Ascent
from plasticity.meta.train import coordinate_scale, meta_train
from plasticity.rules.base import stack

BINARY = dataclasses.replace(SETTING.learner, reward="binary")
THETA = np.asarray(RULE.coefficients)


def _train(estimator, checkpoint=None, start=RULE, setting=SETTING, progress=None, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    options = {"checkpoint": checkpoint, "progress": progress}
    return meta_train(setting, estimator, start, config, **options)


def _assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def _iteration(file):
    """That a checkpoint has reached; −1 if there is none."""
    if not file.exists():
        return -1
    with np.load(file) as kept:
        return int(kept["iteration"])


@pytest.fixture(scope="module")
def whole():
    """The run that nothing interrupts."""
    return outer_loop.train()


def test_ascent_reaches_the_top_in_scaled_coordinates():
    sizes = {"n_iterations": 80, "validate_every": 80, "final_step_size": 0.01, "sparsity": 0.0}
    course = _train(Bowl(noise=0.1), **sizes)
    psi = course.coefficients * SCALE
    # Coordinates start 0.5 or 1.5 away and noise of 0.1 is left in each; uphill all the same.
    assert np.abs(psi[-1] - 0.5).max() < 0.05
    assert course.objectives[-1] > -0.05 > course.objectives[0]
    broken = _train(Bowl(noise=0.1, sign=-1.0), **sizes)
    assert broken.objectives[-1] < broken.objectives[0]


def test_a_course_is_that_of_its_parts():
    course = _train(Bowl(noise=0.3), start=THETA, averaging=0.6, max_norm=0.7)
    ascent = Ascent(
        step_size=CONFIG.step_size,
        final_step_size=CONFIG.final_step_size,
        n_steps=4,
        momentum=CONFIG.momentum,
        sparsity=CONFIG.sparsity,
    )
    theta, memory, iterates = THETA, ascent.start(THETA.shape), [THETA]
    for i in range(4):
        rule = RULE.replace(coefficients=jax.numpy.asarray(theta))
        drawn = SETTING.arguments(CONFIG.training_seed, np.arange(3 * i, 3 * i + 3), rule)
        gradients = np.asarray(Bowl(noise=0.3)(*drawn, 4).gradients) / SCALE
        norms = np.linalg.norm(gradients.reshape(3, -1), axis=1)
        cut = np.minimum(1.0, 0.7 / norms)
        gradient = (cut[:, None, None] * gradients).mean(axis=0)
        psi, memory = ascent.step(theta * SCALE, gradient, memory, i)
        theta = psi / SCALE
        iterates.append(theta)
        np.testing.assert_allclose(course.gradient_norms[i], [np.median(norms), norms.max()])
    # Gradients are of order one, so rounding stays rounding.
    np.testing.assert_allclose(course.coefficients, iterates, rtol=1e-10, atol=1e-13)
    weights = 0.6 ** np.arange(4, -1, -1)
    mean = np.tensordot(weights / weights.sum(), np.array(iterates), 1)
    np.testing.assert_allclose(course.averaged[-1], mean, rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(course.averaged[0], THETA)


def test_the_rule_is_the_best_average_on_validation_networks(whole):
    assert whole["evaluated"].tolist() == [0, 2, 4]
    np.testing.assert_array_equal(whole["rule"], whole["averaged"][whole["selected"]])
    row = whole["evaluated"].tolist().index(whole["selected"])
    assert whole["held_out_trials"][row] == whole["held_out_trials"].min()
    by_reward = _train(Bowl(), select="reward")
    row = by_reward.evaluated.tolist().index(by_reward.selected)
    assert by_reward.held_out_rewards[row] == by_reward.held_out_rewards.max()


def test_the_scale_is_that_of_the_terms():
    assert SCALE[3, 3] == 1.0 and SCALE.shape == (4, 4)
    assert np.abs(coordinate_scale(SETTING, RULE, 9) - SCALE).max() > 1e-3
    silent = dataclasses.replace(SETTING.learner, initial_state=0.0)
    task = SETTING.task._replace(inputs=0 * SETTING.task.inputs, noise=0 * SETTING.task.noise)
    silent = dataclasses.replace(
        silent, exploration=dataclasses.replace(silent.exploration, rate=0.0)
    )
    with pytest.raises(ValueError, match="no term .* vanishes"):
        coordinate_scale(dataclasses.replace(SETTING, task=task, learner=silent), RULE, 9)


def test_no_lifetime_serves_twice():
    met = []

    class Watching(Bowl):
        def __call__(self, keys, networks, *rest):
            met.extend(np.asarray(networks.W).reshape(len(networks.W), -1))
            return super().__call__(keys, networks, *rest)

    _train(Watching())
    judged = SETTING.networks(CONFIG.validation_seed, np.arange(CONFIG.n_validation)).W
    every = np.concatenate([met, np.asarray(judged).reshape(len(judged), -1)])
    assert len(met) == 12
    assert len(np.unique(every, axis=0)) == 15


@pytest.mark.parametrize("pair", [("training", "validation"), ("validation", "test")])
def test_seeds_are_disjoint(pair):
    first, second = (f"{name}_seed" for name in pair)
    with pytest.raises(ValueError, match="pairwise distinct.*may not judge"):
        dataclasses.replace(CONFIG, **{first: getattr(CONFIG, second)})


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"n_iterations": 0}, "n_iterations ≥ 1"),
        ({"step_size": 0.0}, "0 < step_size"),
        ({"step_size": np.inf}, "0 < step_size < ∞"),
        ({"sparsity": -0.1}, "0 ≤ sparsity < ∞"),
        ({"sparsity": np.nan}, "0 ≤ sparsity < ∞"),
        ({"momentum": 1.0}, "0 ≤ momentum < 1"),
        ({"max_norm": 0.0}, "max_norm > 0"),
        ({"final_step_size": 2.0}, "0 ≤ final_step_size ≤ 1"),
        ({"averaging": 1.0}, "0 ≤ averaging < 1"),
        ({"window": 7}, "needed ≤ window ≤ validation_trials"),
        ({"select": "test"}, "select trials or reward"),
        ({"test_seed": -1}, "0 ≤ seeds"),
        ({"test_seed": 1.5}, "whole numbers 0 ≤ seeds < 2³²"),
        ({"n_networks": 2.5}, "a whole number n_networks ≥ 1; got 2.5"),
        ({"window": 10.5}, "whole numbers 1 ≤ needed ≤ window"),
        ({"n_networks": 2**31}, "n_iterations · n_networks"),
    ],
)
def test_a_bad_number_is_named(unchecked, changes, rule):
    with pytest.raises(ValueError, match=rule):
        dataclasses.replace(CONFIG, **changes)


def test_a_batch_of_rules_is_refused():
    with pytest.raises(ValueError, match="is one rule"):
        _train(Bowl(), start=stack([RULE, RULE]).leaves)


def test_lost_lifetimes_are_left_out_with_a_message():
    with pytest.warns(RuntimeWarning) as told:
        course = _train(Bowl(lost=1), n_networks=4, n_iterations=1)
    assert [str(w.message) for w in told] == [
        "1 of 4 lifetimes are not finite in iteration 1: they are left out of the gradient"
    ]
    assert course.lost.tolist() == [1]
    sound = _train(Bowl(), n_networks=4, n_iterations=1)
    # All lifetimes of the bowl agree where there is no noise, so one fewer changes nothing.
    np.testing.assert_allclose(course.coefficients, sound.coefficients, rtol=1e-14)
    assert course.objectives[0] == pytest.approx((3 * sound.objectives[0] - 2.0) / 4)
    with pytest.warns(RuntimeWarning, match="2 of 4"):  # half of them is not more than half
        _train(Bowl(lost=2), n_networks=4, n_iterations=1)


class Dying(Bowl):
    """The bowl, until its n-th call; told apart from it by nothing."""

    def __init__(self, calls, error=None):
        super().__init__(noise=0.3)
        object.__setattr__(self, "left", [calls])
        object.__setattr__(self, "error", error)

    def __repr__(self):
        return repr(Bowl(noise=0.3))

    def __call__(self, *arguments):
        self.left[0] -= 1
        found = super().__call__(*arguments)
        if self.left[0] > 0:
            return found
        if self.error:
            raise self.error
        return found._replace(finite=found.finite.at[:2].set(False))


def test_more_than_half_lost_stops_with_advice(tmp_path):
    file = tmp_path / "run.npz"
    advice = "2 of 3 lifetimes .* in iteration 3, more than half: lower step_size"
    with pytest.raises(FloatingPointError, match=advice):
        _train(Dying(3), file)
    assert _iteration(file) == 2
    _assert_same(arrays(_train(Bowl(noise=0.3), file)), arrays(_train(Bowl(noise=0.3))))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.step_size", {"step_size": 0.01}),
        ("estimator", {"estimator": Bowl(noise=0.2)}),
        ("start.trace.coefficients", {"start": RULE.replace(coefficients=RULE.coefficients * 2)}),
        ("setting.gain", {"setting": dataclasses.replace(SETTING, gain=1.0)}),
        ("setting.learner", {"setting": dataclasses.replace(SETTING, learner=BINARY)}),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, name, change):
    file = tmp_path / "run.npz"
    with pytest.raises(RuntimeError, match="enough"):
        _train(Dying(2, RuntimeError("enough")), file)
    before = file.read_bytes()
    change = {"estimator": Bowl(noise=0.3)} | change
    with pytest.raises(ValueError, match=f"run.npz goes on.*'{name}'.*choose another file"):
        _train(change.pop("estimator"), file, **change)
    assert file.read_bytes() == before


def test_a_failed_write_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    file, write, calls = tmp_path / "run.npz", np.savez_compressed, []

    def full(beside, **named):
        calls.append(named["iteration"].item())
        if len(calls) == 3:
            beside.write(b"half")
            raise OSError("no space left")
        write(beside, **named)

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space"):
        _train(Bowl(noise=0.3), file)
    assert calls == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]
    assert _iteration(file) == 1
    _assert_same(arrays(_train(Bowl(noise=0.3), file)), arrays(_train(Bowl(noise=0.3))))


def test_a_run_that_is_killed_goes_on_to_the_same_bits(tmp_path, whole):
    file, delay = tmp_path / "run.npz", float(np.random.default_rng().uniform(0.0, 1.1))
    program = Path(__file__).parents[1] / "outer_loop_program.py"
    # Once all is compiled: at least 1.2 s from the checkpoint of iteration 1 to that of the last.
    options = [tmp_path / "never.npz", "--checkpoint", file, "--slow", "0.2"]
    child = subprocess.Popen([sys.executable, program, *options], stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while _iteration(file) < 1 and child.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(delay)
    os.kill(child.pid, signal.SIGKILL)
    _, complaint = child.communicate()
    assert child.returncode == -signal.SIGKILL, complaint.decode()
    assert 1 <= _iteration(file) < CONFIG.n_iterations, delay
    _assert_same(outer_loop.train(file), whole)
    assert _iteration(file) == CONFIG.n_iterations


def test_a_run_goes_on_to_more_iterations(tmp_path):
    constant = {"final_step_size": 1.0}
    file = tmp_path / "run.npz"
    # The end of the shorter run is evaluated, and is no turn of the longer one.
    _train(Bowl(noise=0.3), file, n_iterations=3, **constant)
    longer = _train(Bowl(noise=0.3), file, n_iterations=6, **constant)
    at_once = _train(Bowl(noise=0.3), n_iterations=6, **constant)
    for name, array in arrays(at_once).items():
        np.testing.assert_array_equal(arrays(longer)[name], array, err_msg=name)
    message = "a run of 6 iterations goes on; got n_iterations = 5: give as many or more"
    with pytest.raises(ValueError, match=message):
        _train(Bowl(noise=0.3), file, n_iterations=5, **constant)
    # With steps that become shorter the past would have been another.
    _train(Bowl(), tmp_path / "other.npz", n_iterations=3)
    with pytest.raises(ValueError, match="'config.n_iterations': .'3', '4'"):
        _train(Bowl(), tmp_path / "other.npz", n_iterations=4)


def test_resuming_without_the_optimiser_would_differ(tmp_path):
    file = tmp_path / "run.npz"
    with pytest.raises(RuntimeError, match="enough"):
        _train(Dying(3, RuntimeError("enough")), file)
    kept = dict(np.load(file))
    np.savez(file, **{n: 0 * a if n.startswith("optimiser") else a for n, a in kept.items()})
    resumed = _train(Bowl(noise=0.3), file)
    assert np.any(resumed.coefficients != _train(Bowl(noise=0.3)).coefficients)


def test_progress_shows_the_objective(capsys):
    _train(Bowl(), progress=True, n_iterations=1)
    assert "reward=" in capsys.readouterr().err
    _train(Bowl(), n_iterations=1)
    assert capsys.readouterr().err == ""
