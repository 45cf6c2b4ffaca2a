"""Rules read from recordings: beside plain loops, beside learning, and where it must fail."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import plasticity as pl
from plasticity.recovery.recording import Recording, read_recording, simulate_recording
from plasticity.recovery.regression import (
    Assumed,
    Compressed,
    predicted_changes,
    recover_from_weights,
    recover_rule,
)

N, H = 12, 60
ETA = 2e-4


def _setting():
    learner = pl.Learner(exploration=pl.Kicks(rate=3.0, amplitude=2.0))
    task = pl.make_task("delayed_association", dt=10.0, cue=100.0, delay=200.0, response=200.0)
    return pl.Setting(task=task, rule=pl.miconi(), learner=learner, n_units=N)


def _theta():
    """Every term, none of them idle, the even ones too."""
    drawn = np.random.default_rng(3).normal(size=(6, 6)) * 0.1
    drawn[3, 3] = -1.0
    return drawn


@pytest.fixture(scope="module")
def animal():
    with jax.enable_x64(True):
        rule = pl.make_rule(_theta(), learning_rate=ETA)
    return simulate_recording(_setting(), rule, 1, [0], H)[0]


def _error(found, theta):
    """R.m.s. effect of the error of the coefficients, over that of the rule."""
    factor = found.fitted.factor
    wrong = factor @ (found.coefficients - theta).ravel()
    return np.linalg.norm(wrong) / np.linalg.norm(factor @ theta.ravel())


def test_predicted_changes_are_those_of_plain_loops_and_of_learning(animal):
    recording, theta = animal.recording, ETA * _theta()
    changes = predicted_changes(recording, theta)
    x, gain, trial = recording.states, 1 - np.exp(-10.0 / 20.0), 3
    baseline = {}
    for h in range(trial + 1):
        expected = baseline.get(recording.conditions[h], -1.0)
        delta = recording.rewards[h] - expected
        baseline[recording.conditions[h]] = expected + 0.25 * delta
    trace, filtered = np.zeros((N, N)), x[trial, 0].copy()
    for t in range(50):
        trace *= 1 - 10.0 / 1000.0
        for i in range(N):
            fluctuation = filtered[i] - x[trial, t + 1, i]
            filtered[i] -= gain * fluctuation
            for j in range(N):
                r = recording.rates[trial, t, j]
                powers = np.outer(r ** np.arange(6), fluctuation ** np.arange(6))
                trace[i, j] += 10.0 * (theta * powers).sum()
    # Sums of fifty terms in another order, in float64.
    np.testing.assert_allclose(changes[trial], delta * trace, rtol=1e-9, atol=1e-15)
    learned = np.diff(animal.weights, axis=0)
    # artanh(tanh x) loses a few digits where |x| is 3 or more; W itself is of order 1.
    np.testing.assert_allclose(changes[:-1], learned, rtol=0, atol=1e-11)
    assert np.abs(learned).max() > 1e-4


def test_a_rule_is_read_from_weights_and_from_activity(animal):
    of_weights = recover_from_weights(animal.recording, animal.weights)
    of_activity = recover_rule(animal.recording)
    # 36 coefficients whose neighbours are nearly parallel: condition 1e3, residuals 1e-12.
    assert _error(of_weights, ETA * _theta()) < 1e-6
    assert _error(of_activity, ETA * _theta()) < 1e-6
    np.testing.assert_allclose(of_weights.coefficients, ETA * _theta(), rtol=0, atol=1e-6 * ETA)
    theta = of_activity.coefficients.ravel()
    assert of_activity.held_out.explained(theta) > 1 - 1e-9
    assert of_activity.explained_by(_theta()) > 1 - 1e-9
    assert of_activity.learning_rate_of(_theta()) == pytest.approx(ETA, rel=1e-6)
    # 3 Hz for 10 ms steps: 3% of the numbers are kicks, all of which are found.
    assert 0.95 < of_activity.kept < 0.98
    errors = of_activity.standard_errors
    assert (errors < 1e-6 * ETA).all()


def test_noise_spoils_coefficients_as_much_as_their_standard_errors_say(animal):
    found = recover_rule(animal.with_noise(1e-3, 0).recording)
    ratio = (found.coefficients - ETA * _theta()) / found.standard_errors
    # Noise enters both sides of the regression, so the errors are no more than of this order.
    assert 0.3 < np.sqrt(np.mean(ratio**2)) < 3
    assert found.free < found.held_out.explained(found.coefficients.ravel()) < 1


def test_the_order_of_units_does_not_matter(animal):
    order = np.random.default_rng(0).permutation(N)
    whole, shuffled = (recover_rule(a.recording) for a in (animal, animal.of_units(order)))
    scale = np.abs(whole.coefficients).max()
    np.testing.assert_allclose(shuffled.coefficients, whole.coefficients, rtol=0, atol=1e-6 * scale)


def test_fewer_units_and_fewer_trials_are_parts_of_the_recording(animal):
    few = animal.of_units([4, 2]).of_trials(7)
    assert few.recording.rates.shape == (7, 51, 2)
    np.testing.assert_array_equal(few.weights[5, 0, 1], animal.weights[5, 4, 2])
    np.testing.assert_array_equal(few.recording.rates[..., 1], animal.recording.rates[:7, :, 2])


def test_controls_explain_nothing_or_less_than_weights_of_their_own(animal):
    shuffled = np.random.default_rng(0).permutation(animal.recording.rewards)
    broken = recover_rule(animal.recording._replace(rewards=shuffled))
    assert broken.explained_by(_theta()) < 0.5
    outside = pl.node_perturbation(learning_rate=3 * ETA)
    stranger = simulate_recording(_setting(), outside, 1, [0], H)[0]
    found = recover_rule(stranger.recording)
    assert found.held_out.explained(found.coefficients.ravel()) < found.free
    # And what is inside the family is not flagged.
    inside = recover_rule(animal.recording)
    assert inside.held_out.explained(inside.coefficients.ravel()) > inside.free
    # A filter that the animal does not have explains less.
    other = recover_rule(animal.recording, Assumed(tau_filter=60.0))
    assert other.explained_by(_theta()) < inside.explained_by(_theta())


def test_compressed_problems_are_least_squares(animal):
    rng = np.random.default_rng(2)
    G, y, theta = rng.normal(size=(30, 4)), rng.normal(size=30), rng.normal(size=4)
    problem = Compressed.of([(G[:7], y[:7]), (G[7:9], y[7:9]), (G[9:], y[9:])])
    share = 1 - np.sum((y - G @ theta) ** 2) / np.sum(y**2)
    assert problem.explained(theta) == pytest.approx(share)
    assert problem.rest == pytest.approx(np.linalg.lstsq(G, y)[1][0])
    few = Compressed.of([(G[:2], y[:2])])
    assert few.total == pytest.approx(np.sum(y[:2] ** 2))
    assert few.rest == pytest.approx(0.0, abs=1e-12)


def test_directions_are_flat_where_terms_are_alike(animal):
    found = recover_rule(animal.recording)
    strengths, directions = found.directions()
    assert np.sum(strengths**2) == pytest.approx(36)
    np.testing.assert_allclose(
        directions.reshape(36, 36) @ directions.reshape(36, 36).T, np.eye(36), atol=1e-10
    )
    # What a direction of unit length does, a term at right angles to all others doing 1.
    scaled = directions[-1] / (found.sizes * np.sqrt(found.fitted.n_numbers))
    assert np.linalg.norm(found.fitted.factor @ scaled.ravel()) == pytest.approx(strengths[-1])


class _Dataset(dict):
    """As much of an xarray dataset as `read_recording` uses: the library does not import xarray."""

    attrs: dict
    data_vars = property(lambda self: list(self))


def _labelled(recording: Recording, **changes):
    arrays = {
        "activity": (("trial", "time", "unit"), recording.rates),
        "inputs": (("trial", "step", "channel"), recording.inputs),
        "reward": (("trial",), recording.rewards),
        "condition": (("trial",), recording.conditions),
        "time": (("time",), 10.0 * np.arange(51)),
    } | changes
    made = {
        name: SimpleNamespace(dims=given[0], values=given[1])
        for name, given in arrays.items()
        if given is not None
    }
    dataset = _Dataset(made)
    dataset.attrs = {"tau": 30.0}
    return dataset


def test_a_labelled_recording_is_read(animal):
    read = read_recording(_labelled(animal.recording))
    for one, other in zip(read, animal.recording, strict=True):
        np.testing.assert_array_equal(one, other)
    shared = read_recording(_labelled(animal.recording, condition=None))
    assert not shared.conditions.any()


def _with_nan(recording):
    rates = recording.rates.copy()
    rates[5, 3:, 2] = np.nan
    return rates


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {"reward": None}, "a recording has 'reward'"),
        (lambda r: {"activity": (("unit", "time", "trial"), r.rates.T)}, "transpose"),
        (
            lambda r: {"activity": (("trial", "time", "unit"), _with_nan(r))},
            r"units \[2\] and trials \[5\]",
        ),
        (lambda r: {"activity": (("trial", "time", "unit"), 2 * r.rates)}, "between −1 and 1"),
        (
            lambda r: {
                "inputs": (("trial", "step", "channel"), np.pad(r.inputs, [(0, 0), (0, 1), (0, 0)]))
            },
            "50 steps of inputs; got 51",
        ),
        (lambda r: {"reward": (("trial",), np.full(H, np.nan))}, "reward is finite"),
        (lambda r: {"reward": (("trial",), np.ones(H))}, "rewards that vary; got 1 in every"),
        (lambda r: {"time": (("time",), np.arange(51.0) ** 2)}, "equal distances"),
        (lambda r: {"condition": (("trial",), np.full(H, 0.5))}, "condition is a whole number"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(animal, change, message):
    with pytest.raises(ValueError, match=message):
        read_recording(_labelled(animal.recording, **change(animal.recording)))


def test_time_constants_are_checked(animal):
    for attrs, message in (({}, "attribute tau"), ({"tau": 5.0}, "tau ≥ dt = 10 ms")):
        dataset = _labelled(animal.recording)
        dataset.attrs = attrs
        with pytest.raises(ValueError, match=message):
            read_recording(dataset)


def test_weights_of_their_own_need_steps_of_their_own(animal):
    # 12 units and 2 inputs: 50 steps are enough for them, and not if most are left out.
    assert np.isfinite(recover_rule(animal.of_trials(30).recording, held_out=1 / 30).free)
    wide = simulate_recording(
        replace(_setting(), n_units=40), pl.miconi(learning_rate=ETA), 1, [0], 30
    )[0]
    assert np.isnan(recover_rule(wide.recording, held_out=1 / 30).free)


def test_too_little_is_refused(animal):
    with pytest.raises(ValueError, match="record 2 trials or more beside those held out"):
        recover_rule(animal.of_trials(2).recording)
    with pytest.raises(ValueError, match="trials to hold out"):
        recover_rule(animal.recording, held_out=0.0)
    with pytest.raises(ValueError, match="weights are finite"):
        recover_from_weights(animal.recording, animal.weights * np.nan)
    with pytest.raises(ValueError, match=r"weights \(60, 12, 12\)"):
        recover_from_weights(animal.recording, animal.weights[1:])
    with pytest.raises(ValueError, match="a coefficient that is not 0"):
        recover_rule(animal.recording).explained_by(np.zeros((6, 6)))
    with pytest.raises(ValueError, match="as many powers"):
        recover_rule(animal.recording).explained_by(np.eye(4))
    with pytest.raises(ValueError, match="noise ≥ 0"):
        animal.with_noise(-1.0, 0)
