import jax
import numpy as np
import pytest
from companion.algorithms import AlgorithmTuning
from companion.alignment import (
    _QUIET,
    AlgorithmAlignment,
    KickAlignment,
    SingleKick,
    TermAlignment,
    UpdateProgress,
    _kicked_learner,
    alignment,
    cosine,
    error_gradient,
    kick_traces,
)
from companion.contest import quiet_learner
from companion.results import _joined
from companion.search import Search
from companion.settings import brief_setting
from small_records import verified
from test_algorithms import THETA, _selection

from plasticity.learning.lifetime import learn
from plasticity.rules.three_factor import zero

NAMES = ("node perturbation", "BPTT")
TUNING = AlgorithmTuning(
    algorithms=NAMES, n_units=8, n_trials=24, search=Search((4, 2), (1, 2), (1, 2), 0, (1, 2))
)


@pytest.fixture(scope="module")
def needs():
    """What the small experiments need, measured once."""
    selection = _selection()
    parts = [TUNING.measure(part, selection=selection) for part in TUNING.parts()]
    return {"tuning": TUNING.dataset(_joined(parts)), "selection": selection}


def test_cosines_are_of_the_last_axis_and_zero_for_nothing():
    a = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(cosine(a, np.array([2.0, 0.0])), [1, 0, -1, 0])


def test_averages_are_of_updates_that_follow_each_other():
    rng = np.random.default_rng(0)
    gradient = np.zeros(4000)
    gradient[0] = 1.0
    updates = 0.05 * gradient + rng.normal(size=(64, 4000)) / np.sqrt(4000)
    found = alignment(updates, gradient, (1, 16, 64))
    # Signal 0.05 beside noise of length 1, which an average of M makes shorter by √M; what is left
    # of it along the gradient has, at M = 64, a standard deviation of 1/√4000 = 0.016.
    expected = [0.05 / np.hypot(0.05, m**-0.5) for m in (1, 16, 64)]
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert found[0] < found[1] < found[2]
    blind = alignment(updates - 0.05 * gradient, gradient, (1, 16, 64))
    assert np.abs(blind).max() < 0.05
    one_by_one = [cosine(u, gradient) for u in updates]
    np.testing.assert_allclose(found[0], np.mean(one_by_one))


def test_the_gradient_is_that_of_the_error_without_exploration():
    setting = brief_setting(n_units=6)
    keys, networks, task, _, learner = setting.arguments(71, range(1))
    gradient = error_gradient(setting, keys, networks)[0].reshape(6, 6)
    quiet = quiet_learner(setting)

    def error(W):
        moved = networks._replace(W=W)
        return float(np.mean(learn(keys, moved, task, zero(), quiet, _QUIET).errors))

    for i, j in ((0, 1), (4, 4), (5, 2)):
        step = np.zeros((1, 6, 6))
        step[0, i, j] = 1e-5
        slope = (error(networks.W + step) - error(networks.W - step)) / 2e-5
        np.testing.assert_allclose(gradient[i, j], -slope, atol=1e-7)


def test_backpropagation_is_aligned_with_its_own_gradient(monkeypatch, needs):
    experiment = AlgorithmAlignment(
        tuning=TUNING, n_networks=2, n_before=4, n_updates=64, averages=(1, 64)
    )
    found = verified(monkeypatch, experiment, "first", **needs)
    means = found.cosine.mean("network").sel(stage="untrained")
    # The squared error has another gradient than the mean error, but nearly its direction.
    assert (means.sel(algorithm="BPTT") > 0.5).all()
    told = means.sel(algorithm="node perturbation")
    assert told.sel(averaged=64) > told.sel(averaged=1) > 0, "noisy, and right on the average"


def test_terms_are_aligned_each_for_itself(monkeypatch, needs):
    experiment = TermAlignment(
        tuning=TUNING, n_networks=1, n_before=4, n_updates=16, averages=(1, 16)
    )
    found = verified(monkeypatch, experiment, "first", **needs)
    assert found.cosine.shape == (1, 2, 36, 2) and np.isfinite(found.cosine).all()
    # A constant trace points where it points, whatever the trial; (0,0) is a term like others.
    assert np.abs(found.cosine).max() <= 1


def test_the_error_falls_as_the_gradient_says_for_a_small_step(monkeypatch, needs):
    experiment = UpdateProgress(
        tuning=TUNING, n_networks=1, n_before=4, n_updates=4, steps=(1e-6, 0.3), n_trials=_QUIET
    )
    found = verified(monkeypatch, experiment, "first", **needs)
    for index, name in enumerate(NAMES):
        ((updates, gradient),) = experiment._of_group(index, "untrained", range(1), 4, **needs)
        expected = 1e-6 * (updates @ gradient).mean() / np.sqrt(np.mean(updates**2))
        decrease = found["first"].sel(algorithm=name, network=0, step=1e-6)
        # Second order of a step of 1e-6 in 64 weights, beside the first.
        np.testing.assert_allclose(decrease, expected, rtol=1e-3)
    assert not np.allclose(found.decrease.sel(step=0.3), 3e5 * found.decrease.sel(step=1e-6))


def test_one_unit_is_kicked_once_up_or_down():
    kick, keys = SingleKick(unit=2, time=30.0, size=0.5), jax.random.split(jax.random.key(0), 64)
    kicks = np.asarray(jax.vmap(lambda key: kick.draw(key, 10.0, 5, 4).kicks)(keys))
    assert (np.argwhere(kicks)[:, 1:] == [3, 2]).all() and (
        np.count_nonzero(kicks, (1, 2)) == 1
    ).all()
    signs = kicks[:, 3, 2] / 0.5
    assert set(signs) == {-1.0, 1.0} and abs(signs.sum()) < 40  # 5 s.d.


def test_the_setting_of_the_single_kick():
    learner = _kicked_learner()
    assert learner.dynamics.clamped == ((1, 1.0), (10, 1.0), (11, -1.0))
    assert learner.exploration == SingleKick(unit=0, time=210.0, size=16 / 30)
    task = KickAlignment(n_trials=12)._task(0, 12)
    inputs, targets = np.asarray(task.inputs), np.asarray(task.targets)
    assert (inputs[:, 100:] == 0).all() and (inputs[:, :100] == inputs[:, :1]).all()
    assert (np.sign(inputs[:, 0].sum(axis=1)) == targets[:, 0]).all()
    assert int(task.response.sum()) == 100 and bool(task.response[200])
    names = [name for kind in kick_traces(THETA) for name in kind]
    assert len(names) == 13 and names[-1] == "node perturbation"


def test_after_a_single_kick_cubes_tell_it_and_first_powers_do_not(monkeypatch):
    experiment = KickAlignment(n_units=24, n_networks=1, n_trials=40)
    found = verified(monkeypatch, experiment, "first", selection=_selection())
    told = found.correlation.isel(network=0).sel(reference="node perturbation")
    assert told.sel(rule="node perturbation") == pytest.approx(1.0)
    assert told.sel(rule="(1,3)") > 0.9 > told.sel(rule="(1,1)")
    assert told.sel(rule="signed root") < told.sel(rule="signed square")
