"""What is recorded of the estimators, and the statistics that it is made of."""

import dataclasses

import jax
import numpy as np
import pytest
import xarray as xr
from companion import toys
from companion.estimator_samples import Sampler
from companion.estimators import EstimatorSignal
from companion.signal_to_noise import alignment, normalised, signal_to_noise
from courses_stub import COURSES
from small_records import refused, verified

WHICH = (Sampler("pathwise"), Sampler("weight", 1e-3, ("", "no baseline")))


SMALL = EstimatorSignal(
    places=("half-way",), which=WHICH, n_units=8, n_lifetimes=4, n_reference=4, horizons=(4,)
)


def test_signal_can_be_recorded_and_verified(monkeypatch):
    data = verified(monkeypatch, SMALL, "first_gradients", courses=COURSES)
    assert SMALL.estimators == ["pathwise", "weight 0.001", "weight 0.001, no baseline"]
    assert data.case.values.tolist() == [f"{name}, half-way" for name in SMALL.estimators]
    assert data["mean"].shape == (3, 1, 2, 2, 36)
    assert data.gain.shape == (3, 2, 3, 2)
    # So small a noise does little to so few trials, and the baseline leaves returns alone.
    assert abs(data.gap[1]).max() < 0.01
    np.testing.assert_array_equal(data.gap[1], data.gap[2])
    assert (data.norms[1] != data.norms[2]).all()
    # float32 keeps seven digits of unit vectors over four trials.
    with jax.enable_x64(False):
        again = SMALL.measure_again(np.arange(3), data, courses=COURSES)
    assert 0 < np.abs(again["first_gradients"] - data.first_gradients).max() < 1e-4
    turned = data.copy(deep=True)
    turned["first_gradients"].values[...] = data.first_gradients.values[..., ::-1]
    options = {"tolerance": 1e-4, "courses": COURSES}
    refused(monkeypatch, SMALL, turned, "first_gradients", **options)


def test_cases_that_share_lifetimes_are_measured_together():
    assert [part.tolist() for part in SMALL.parts()] == [[0], [1, 2]]
    book = EstimatorSignal()
    assert np.concatenate(book.parts()).tolist() == list(range(book.length))
    assert len(book.parts()) == len(book.places) * len(book.which)
    one = SMALL.measure(np.array([2]), courses=COURSES)
    both = SMALL.measure(np.array([1, 2]), courses=COURSES)
    for name in one.keys() - {"cost"}:
        np.testing.assert_array_equal(one[name][0], both[name][1], err_msg=name)


def test_a_case_is_a_place_and_an_estimator():
    two = dataclasses.replace(SMALL, places=("near zero", "half-way"))
    numbers = np.arange(6.0)
    data = xr.Dataset({"cost": ("case", numbers)}, {"case": two.coordinates()["case"]})
    assert two.by_place(data).cost.sel(place="half-way", estimator="weight 0.001") == 4
    assert data.case.values[4] == "weight 0.001, half-way"


def test_the_reference_comes_first():
    with pytest.raises(ValueError, match="pathwise first"):
        EstimatorSignal(which=WHICH[1:])


def test_signal_to_noise_is_unbiased_and_its_interval_covers():
    generator = np.random.default_rng(0)
    signal = np.zeros(36)
    signal[:4] = 0.15
    truth = np.sum(signal**2) / 36  # unit variance in each component
    estimated = np.array([signal_to_noise(signal + e) for e in generator.normal(size=(64, 96, 36))])
    error = estimated[:, 0].std(ddof=1) / 8
    assert abs(estimated[:, 0].mean() - truth) < 4 * error
    assert ((estimated[:, 1] < truth) & (truth < estimated[:, 2])).mean() > 0.9
    # Without the correction chance alone would look like a signal: the control.
    assert estimated[:, 0].mean() + 1 / 96 - truth > 5 * error


def test_alignment_and_norms():
    estimates = np.array([[3.0, 4.0], [6.0, 8.0], [0.3, 0.4]])
    np.testing.assert_allclose(alignment(estimates, np.array([4.0, 3.0])), 0.96)
    np.testing.assert_allclose(normalised(estimates), [[0.6, 0.8]] * 3)
    np.testing.assert_array_equal(normalised(np.zeros((2, 3))), 0.0)


def test_exploration_of_rules_is_true_to_smoothed_returns():
    with jax.enable_x64(True):
        table = toys.compare_exploration(0.05, 500)
    for name in ("evolution strategy", "parameter score"):
        compared = table[name]
        assert abs(compared.bias) < 2e-3, name  # of the quadrature
        assert abs(compared.sampled) < 4.5 * compared.error, name
    assert abs(table["pathwise, rule unmoved"].bias) > 0.01  # another return: the control
