import numpy as np
import pytest
from companion.gradients import gradient_cost, gradient_validation, tangent_growth
from companion.record import save_record, verify_record


def _verified(tmp_path, recording, tolerance):
    arrays = recording.live()
    options = {"parameters": recording.parameters, "seed": recording.seed, "seconds": 0.0}
    record = save_record(tmp_path / "small.npz", arrays, **options)
    # float32 keeps seven digits of norms up to ten.
    assert verify_record(record, recording.recompute, tolerance=tolerance, fraction=1.0) < tolerance
    changed = {
        name: np.asarray(a) * 1.001 if a.dtype.kind == "f" else a for name, a in arrays.items()
    }
    other = save_record(tmp_path / "other.npz", changed, **options)
    with pytest.raises(ValueError, match="recomputed"):
        verify_record(other, recording.recompute, tolerance=tolerance, fraction=1.0)
    return arrays


def test_validation_can_be_recorded_and_verified(tmp_path):
    sizes = {"n_units": 10, "n_networks": 1, "n_trials": 40, "n_synapses": 3}
    recording = gradient_validation(relative_steps=(1e-4, 1e-5, 1e-6), **sizes)
    arrays = _verified(tmp_path, recording, 1e-5)
    assert arrays["errors"].shape == (2, 40)
    assert arrays["update_curve"].shape == (2, 3, 36, 3)
    assert arrays["sample"].shape == (2, 3, 2, 3, 36)
    assert np.median(arrays["update_curve"][:, 1:].min(axis=-1)) < 1e-8
    assert np.median(arrays["update_gaps"][0] / arrays["update_norms"][0]) < 1e-7


def test_networks_that_never_learn_are_not_looked_for_for_ever():
    impossible = gradient_validation(n_units=2, n_networks=30, n_trials=20)
    with pytest.raises(ValueError, match="allow more trials"):
        impossible.compute(0)


def test_growth_can_be_recorded_and_verified(tmp_path):
    recording = tangent_growth(n_units=8, n_networks=2, n_trials=22, learning_rates=(1e-4, 1e-2))
    arrays = _verified(tmp_path, recording, 1e-6)
    assert arrays["norms"].shape == (2, 2, 36, 3)
    assert (arrays["norms"][:, 1] > arrays["norms"][:, 0]).mean() > 0.9


def test_costs_can_be_recorded_and_verified(tmp_path):
    base = {"n_units": 6, "n_steps": 10, "degree": 1, "n_trials": 4}
    recording = gradient_cost({"n_units": (6, 8)}, base, alone=False)
    arrays = _verified(tmp_path, recording, 1e-6)
    assert arrays["sizes"].tolist() == [[6, 10, 1, 4], [8, 10, 1, 4]]
    assert arrays["gaps"][:, :3].max() < 1e-9
