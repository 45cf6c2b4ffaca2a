import json

import jax
import numpy as np
import pytest
from companion import record as records
from companion.record import Recording, load_record, record_in_parts, save_record, verify_record

PARAMETERS = {"n_units": 5, "rates": [0.1, 0.2], "name": "small"}


def _values(runs):
    return np.sin(np.asarray(runs, float))[:, None] + np.arange(6.0)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "records" / "small.npz"
    errors = _values(np.arange(40)).astype(np.float32)
    save_record(file, {"errors": errors}, parameters=PARAMETERS, seed=3, seconds=1.25)
    return file


def test_a_record_carries_its_provenance(path):
    record = load_record(path, PARAMETERS)
    provenance = record.provenance
    assert provenance["parameters"] == PARAMETERS
    assert provenance["seed"] == 3
    assert {"plasticity", "jax", "numpy", "scipy", "python"} <= provenance["versions"].keys()
    assert provenance["seconds"] == 1.2
    assert provenance["processor"] and provenance["recorded"]
    assert [p.name for p in path.parent.iterdir()] == ["small.npz"]


def test_other_parameters_are_refused_by_name(path):
    with pytest.raises(ValueError, match=r"n_units': \(5, 6\)"):
        load_record(path, PARAMETERS | {"n_units": 6})
    with pytest.raises(ValueError, match="extra"):
        load_record(path, PARAMETERS | {"extra": 1})


def test_a_corrupted_record_is_refused(path):
    with np.load(path) as file:
        content = dict(file)
    content["errors"] = content["errors"].copy()
    content["errors"][7, 2] += 1e-3
    np.savez(path, **content)
    with pytest.raises(ValueError, match="digest"):
        load_record(path)


def _recompute(runs, _):
    return {"errors": _values(runs)[:, :3]}


def test_verification_recomputes_some_runs_in_float64(path):
    seen = []

    def recompute(runs, _):
        seen.append((runs, jax.numpy.zeros(1).dtype))
        return _recompute(runs, None)

    gap = verify_record(load_record(path), recompute, tolerance=1e-5)
    (runs, dtype), *rest = seen
    assert not rest and len(set(runs)) == 2 and dtype == np.float64
    assert 0 < gap < 1e-5


def test_the_runs_change_with_the_version(path, monkeypatch):
    chosen = set()
    for release in ("0.1.0", "0.2.0", "0.3.0", "1.0.0"):
        monkeypatch.setattr(records, "version", lambda _, release=release: release)
        verify_record(
            load_record(path),
            lambda runs, _: chosen.add(tuple(runs.tolist())) or _recompute(runs, None),
            tolerance=1e-5,
        )
    assert len(chosen) > 1


def test_a_record_of_something_else_fails_verification(path):
    with pytest.raises(ValueError, match="recomputed errors within"):
        verify_record(
            load_record(path), lambda runs, _: {"errors": _values(runs + 1)[:, :3]}, tolerance=1e-5
        )
    with pytest.raises(ValueError, match="finite"):
        nothing = {"errors": np.full((2, 3), np.nan)}
        verify_record(load_record(path), lambda *_: nothing, tolerance=1e-5)


def test_a_single_corrupted_run_fails_once_it_is_chosen(tmp_path):
    errors = _values(np.arange(40)).astype(np.float32)
    errors[11, 1] += 0.01
    file = tmp_path / "bad.npz"
    record = save_record(file, {"errors": errors}, parameters={}, seed=0, seconds=0.0)
    with pytest.raises(ValueError, match="recomputed errors"):
        verify_record(record, _recompute, tolerance=1e-5, fraction=1.0)


def test_an_interrupted_recording_goes_on(tmp_path):
    done = []

    def compute(part, fail_at=None):
        if part == fail_at:
            raise KeyboardInterrupt
        done.append(part)
        return {"errors": np.full((2, 3), float(part))}

    def recording(compute, **parameters):
        return Recording(compute, _recompute, 4, PARAMETERS | parameters, seed=0)

    file, scratch = tmp_path / "long.npz", tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt):
        record_in_parts(file, recording(lambda part: compute(part, 2)), scratch)
    assert done == [0, 1] and not file.exists()
    record = record_in_parts(file, recording(compute), scratch)
    assert done == [0, 1, 2, 3]
    np.testing.assert_array_equal(record.arrays["errors"][:, 0], [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(record.arrays["errors"], recording(compute).live()["errors"])
    done.clear()
    record_in_parts(file, recording(compute, n_units=6), scratch)
    assert done == [0, 1, 2, 3]


def test_the_time_of_a_part_does_not_replace_an_array(tmp_path):
    def compute(part):
        return {"errors": np.ones(2), "seconds": np.ones(2)}

    recording = Recording(compute, lambda runs, _: {}, 1, PARAMETERS, 5)
    with pytest.raises(ValueError, match="no array is named seconds"):
        record_in_parts(tmp_path / "long.npz", recording, tmp_path / "scratch")
    assert not (tmp_path / "long.npz").exists()


def test_a_failed_save_leaves_the_old_record(path, monkeypatch):
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(records.np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        save_record(path, {"errors": np.ones(3)}, parameters={}, seed=0, seconds=0.0)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_provenance_is_plain_json(path):
    with np.load(path) as file:
        assert json.loads(str(file["provenance"]))["seed"] == 3
