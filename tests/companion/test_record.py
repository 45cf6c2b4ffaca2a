"""A record comes back bit for bit, is read by anyone, and is refused once it has changed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from coins import Coins
from companion import record
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

COINS = Coins()
NOTHING = {"parameters": {}, "seeds": {}, "needs": {}, "versions": {}}


@pytest.fixture
def path(tmp_path):
    data = COINS.dataset(COINS.measure(np.arange(5)))
    file = tmp_path / "records" / "coins.nc"
    record.save(file, record.described(COINS, data, {"other": "abc"}, 1.25))
    return file


def test_a_record_carries_its_provenance(path):
    made = record.provenance(record.load(path))
    assert made["parameters"] == {"n_coins": 5, "n_trials": 6, "bend": 1.0}
    assert made["seeds"] == {"throws": 7} and made["needs"] == {"other": "abc"}
    assert {"plasticity", "jax", "numpy", "scipy", "python"} <= made["versions"].keys()
    assert made["seconds"] == 1.2 and made["processor"] and made["recorded"]
    assert made["experiment"] == "coins.Coins" and made["format"] == record.FORMAT
    assert [p.name for p in path.parent.iterdir()] == ["coins.nc"]


@given(
    st.sampled_from([np.float32, np.float64, np.int64, bool]).flatmap(
        lambda kind: arrays(kind, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    )
)
def test_values_come_back_bit_for_bit(tmp_path_factory, array):
    file = tmp_path_factory.mktemp("bits") / "x.nc"
    dims = [f"d{i}" for i in range(array.ndim)]
    record.save(file, record.with_provenance(xr.Dataset({"x": (dims, array)}), NOTHING))
    back = record.load(file).x.values
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


def test_any_reader_of_netcdf_sees_names_units_and_meaning(path):
    # A process that never imports the package.
    code = f"""import xarray, sys
data = xarray.open_dataset({str(path)!r}, engine="h5netcdf")
errors = data.errors
print(errors.dims, errors.attrs["units"], errors.attrs["long_name"], data.coin.values[1])
print(data.attrs["title"], data.attrs["parameters"])
assert not {{"companion", "plasticity", "jax"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "('coin', 'trial') mV mean error of every trial coin 1"
    assert second.startswith("Courses of a sine") and json.loads(second.split("sine ")[1])


def _changed(path, change):
    data = xr.load_dataset(path, engine="h5netcdf")
    change(data)
    data.to_netcdf(path, engine="h5netcdf")


def test_a_changed_array_is_refused_by_name(path):
    _changed(path, lambda data: data.errors.values.__setitem__((3, 2), 9.0))
    with pytest.raises(ValueError, match="errors has the digest it was saved with"):
        record.load(path)


def test_a_record_of_a_newer_version_is_refused(path):
    _changed(path, lambda data: data.attrs.__setitem__("format", record.FORMAT + 1))
    with pytest.raises(ValueError, match=r"version 2 or older; got version 3 .*: install a newer"):
        record.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.attrs.__setitem__("seeds", '{"throws": 8}'),
        lambda data: data.attrs.pop("processor"),
        lambda data: data.attrs.pop("description_sha256"),
        lambda data: data.errors.attrs.__setitem__("units", "V"),
        lambda data: data.coords.__setitem__("trial", np.arange(1, 7)),
    ],
)
def test_a_changed_description_is_refused(path, change):
    _changed(path, lambda data: None)
    record.load(path)
    _changed(path, change)
    rule = "attributes, dimensions and labels have the digest they were saved with; got others in"
    with pytest.raises(ValueError, match=rule):
        record.load(path)


def test_a_record_of_before_that_digest_is_a_record(path):
    def to_the_first_version(data):
        data.attrs["format"] = 1
        del data.attrs["description_sha256"]

    _changed(path, to_the_first_version)
    assert record.load(path).attrs["format"] == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (lambda whole: whole[: len(whole) // 2], r"cut short or damaged \(.*\): restore it"),
        (lambda _: b"", "an empty file: restore it, or record it again"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer: fetch"),
        (lambda _: b"\n<!DOCTYPE html><title>404</title>", "an HTML page: download the file"),
        (lambda _: b"PK\x03\x04", "a zip archive: restore it"),
        (lambda _: b"no record", "a text file: restore it"),
        (lambda _: b"\xff\x00" * 40, "a file of another kind: restore it"),
    ],
)
def test_a_file_that_is_no_record_is_named(path, content, what):
    path.write_bytes(content(path.read_bytes()))
    message = f"a record is a whole netCDF file; got .*coins.nc, {what}"
    with pytest.raises(ValueError, match=message):
        record.load(path)


@pytest.mark.parametrize("text", ["{", "[]", 3.0])
def test_a_record_without_its_provenance_is_refused(path, tmp_path, text):
    _changed(path, lambda data: data.attrs.__setitem__("seeds", text))
    message = "a record with its provenance; got .*coins.nc without seeds: choose a file"
    with pytest.raises(ValueError, match=message):
        record.load(path)
    xr.Dataset({"x": 1.0}).to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="without parameters, seeds, needs, versions, format"):
        record.load(tmp_path / "plain.nc")


def test_no_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match="make it with `make reproduce`"):
        record.load(tmp_path / "none.nc")
    with pytest.raises(ValueError, match="a record is a whole netCDF file; got .*, a folder"):
        record.load(tmp_path)


def test_a_failed_save_leaves_the_old_record(path, monkeypatch):
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(OSError, match="disk full"):
        record.save(path, xr.Dataset())
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_named(path):
    path.parent.chmod(0o500)
    with pytest.raises(ValueError, match="a folder to write to; got .*records"):
        record.save(path, xr.Dataset())


def test_a_folder_that_cannot_be_made_is_named(path):
    with pytest.raises(ValueError, match="a folder to write to; got .*coins.nc"):
        record.save(path / "below" / "x.nc", xr.Dataset())
    with pytest.raises(ValueError, match="a file to write to; got the folder .*records"):
        record.save(path.parent, xr.Dataset())
    assert [p.name for p in path.parent.iterdir()] == ["coins.nc"]
