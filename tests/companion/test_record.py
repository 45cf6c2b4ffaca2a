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
    record.save(file, record.with_provenance(xr.Dataset({"x": (dims, array)}), {"needs": {}}))
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
    with pytest.raises(ValueError, match=r"version 1 or older; got version 2 .*: install a newer"):
        record.load(path)


def test_what_is_no_record_is_refused(path, tmp_path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="a record is a whole netCDF file"):
        record.load(path)
    (tmp_path / "text.nc").write_text("no record")
    with pytest.raises(ValueError, match="a record is a whole netCDF file"):
        record.load(tmp_path / "text.nc")
    xr.Dataset({"x": 1.0}).to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="a record with its provenance"):
        record.load(tmp_path / "plain.nc")
    with pytest.raises(FileNotFoundError, match="make it with `make reproduce`"):
        record.load(tmp_path / "none.nc")


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
