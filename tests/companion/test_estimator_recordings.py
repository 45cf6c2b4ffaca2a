"""What is recorded of the estimators, and the statistics that it is made of."""

import jax
import numpy as np
import pytest
from companion import toys
from companion.estimator_samples import Sampler
from companion.estimators import estimator_signal
from companion.record import save_record, verify_record
from companion.signal_to_noise import alignment, normalised, signal_to_noise

WHICH = (Sampler("evolution", 0.4), Sampler("weight", 1e-3, ("", "no baseline")))


def test_signal_can_be_recorded_and_verified(tmp_path):
    sizes = {"n_units": 8, "n_lifetimes": 4, "n_reference": 4, "horizons": (4,)}
    recording = estimator_signal(learning_rates=(0.01,), which=WHICH, **sizes)
    arrays = recording.live()
    assert recording.parameters["cases"] == [
        "evolution 0.4",
        "weight 0.001",
        "weight 0.001, no baseline",
    ]
    assert arrays["mean"].shape == (3, 1, 2, 2, 36)
    assert arrays["gain"].shape == (3, 2, 3, 2)
    # So small a noise does little to so few trials, and the baseline leaves returns alone.
    assert np.abs(arrays["gap"][1]).max() < 0.01
    np.testing.assert_array_equal(arrays["gap"][1], arrays["gap"][2])
    assert (arrays["norms"][1] != arrays["norms"][2]).all()
    options = {"parameters": recording.parameters, "seed": recording.seed, "seconds": 0.0}
    record = save_record(tmp_path / "small.npz", arrays, **options)
    # float32 keeps seven digits of unit vectors over four trials.
    again = {"tolerance": 1e-4, "fraction": 0.3}  # one case
    verify_record(record, recording.recompute, **again)
    turned = arrays["first_gradients"][..., ::-1]
    other = save_record(tmp_path / "o.npz", arrays | {"first_gradients": turned}, **options)
    with pytest.raises(ValueError, match="recomputed first_gradients"):
        verify_record(other, recording.recompute, **again)


def test_the_reference_comes_first():
    with pytest.raises(ValueError, match="evolution 0.4 first"):
        estimator_signal(which=WHICH[1:])


def test_signal_to_noise_is_unbiased_and_its_interval_covers():
    generator = np.random.default_rng(0)
    signal = np.zeros(36)
    signal[:4] = 0.15
    truth = np.sum(signal**2) / 36  # unit variance in each component
    found = np.array([signal_to_noise(signal + e) for e in generator.normal(size=(64, 96, 36))])
    error = found[:, 0].std(ddof=1) / 8
    assert abs(found[:, 0].mean() - truth) < 4 * error
    assert ((found[:, 1] < truth) & (truth < found[:, 2])).mean() > 0.9
    # Without the correction chance alone would look like a signal: the control.
    assert found[:, 0].mean() + 1 / 96 - truth > 5 * error


def test_alignment_and_norms():
    estimates = np.array([[3.0, 4.0], [6.0, 8.0], [0.3, 0.4]])
    np.testing.assert_allclose(alignment(estimates, np.array([4.0, 3.0])), 0.96)
    np.testing.assert_allclose(normalised(estimates), [[0.6, 0.8]] * 3)
    np.testing.assert_array_equal(normalised(np.zeros((2, 3))), 0.0)


def test_exploration_of_rules_is_true_to_smoothed_returns():
    with jax.enable_x64(True):
        table = toys.compare_exploration(0.05, 500)
    for name in ("evolution strategy", "parameter score"):
        row = table[name]
        assert abs(row.bias) < 2e-3, name  # of the quadrature
        assert abs(row.sampled) < 4.5 * row.error, name
    assert abs(table["pathwise, rule unmoved"].bias) > 0.01  # another return: the control
