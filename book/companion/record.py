"""Records: one netCDF file each, labelled, described, and with the provenance of its arrays.

Any reader of netCDF, in Python, R, Julia or Matlab, sees dimensions, labels, units and meanings.
The provenance stands in the attributes of the file: the experiment, its parameters, seeds and needs
(JSON), versions, processor, day and seconds, and a digest. Each array has a digest of its own.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from companion.experiment import Experiment
from plasticity.files import replacing
from plasticity.types import require

FORMAT = 1
_JSON = ("parameters", "seeds", "needs", "versions")
_LIBRARIES = ("plasticity", "jax", "jaxlib", "numpy", "scipy")


def folder() -> Path:
    """Where the book's records lie: beside this package, or above the present folder.

    Raises:
        FileNotFoundError: neither.
    """
    places = [Path(__file__).parents[1], *(p / "book" for p in [Path.cwd(), *Path.cwd().parents])]
    for place in places:
        if (place / "records").is_dir():
            return place / "records"
    tried = ", ".join(str(place / "records") for place in places[:2])
    raise FileNotFoundError(
        f"a folder of records; got none at {tried}: work in a clone of the book"
    )


def digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and values."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return state.hexdigest()


def described(
    experiment: Experiment, data: xr.Dataset, needs: Mapping[str, str], seconds: float
) -> xr.Dataset:
    """``data`` with the provenance of an experiment that has just been measured.

    Args:
        needs: digest of the record of each need.
        seconds: that measuring took.
    """
    versions = {"python": platform.python_version()} | {n: version(n) for n in _LIBRARIES}
    provenance = {
        "experiment": f"{type(experiment).__module__}.{type(experiment).__name__}",
        "parameters": experiment.parameters,
        "seeds": dict(experiment.seeds),
        "needs": dict(needs),
        "versions": versions,
        "processor": _processor(),
        "recorded": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": round(seconds, 1),
    }
    return with_provenance(data, provenance)


def with_provenance(data: xr.Dataset, provenance: Mapping[str, Any]) -> xr.Dataset:
    """``data`` with these attributes, and the digests of its arrays."""
    arrays = {str(name): variable.values for name, variable in data.data_vars.items()}
    attributes = {k: json.dumps(v) if k in _JSON else v for k, v in provenance.items()}
    whole = data.assign_attrs(**attributes, format=FORMAT, sha256=digest(arrays))
    for name, array in arrays.items():
        whole[name].attrs["sha256"] = digest({name: array})
    return whole


def save(path: str | os.PathLike, data: xr.Dataset) -> None:
    """Write a record, beside ``path`` and then renamed: a failure leaves the earlier file.

    Raises:
        ValueError: a folder that cannot be written to.
    """
    packed = {"zlib": True, "complevel": 9, "shuffle": True}
    encoding = {
        # No fill value: every bit is to come back, and NaN needs none.
        name: {"_FillValue": None}
        | (packed if variable.ndim and variable.dtype.kind != "U" else {})
        for name, variable in data.variables.items()
    }
    with replacing(path) as beside:
        data.to_netcdf(beside, engine="h5netcdf", encoding=encoding)


def load(path: str | os.PathLike) -> xr.Dataset:
    """A record, whole and unchanged.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a file that is no record or is cut short, one of a newer version, or arrays that
            do not have the digest they were saved with.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"a record; got no file {path}: make it with `make reproduce`")
    try:
        data = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5py has no class of its own for what is no HDF5 file
        rule, fix = "a record is a whole netCDF file", "restore it, or record it again"
        raise ValueError(f"{rule}; got {path} ({error}): {fix}") from error
    number = int(data.attrs.get("format", -1))
    require(number >= 0, "a record with its provenance", path, "choose a file of book/records")
    rule = f"a record of version {FORMAT} or older"
    require(number <= FORMAT, rule, f"version {number} in {path}", "install a newer companion")
    for name, variable in data.data_vars.items():
        same = digest({str(name): variable.values}) == variable.attrs.get("sha256")
        rule = f"{name} has the digest it was saved with"
        require(same, rule, f"other values in {path}", "restore the file, or record it again")
    arrays = {str(name): variable.values for name, variable in data.data_vars.items()}
    whole = digest(arrays) == data.attrs.get("sha256")
    fix = "restore the file, or record it again"
    require(whole, "all arrays together have the digest of the record", path, fix)
    return data


def provenance(data: xr.Dataset) -> dict[str, Any]:
    """The attributes of a record, those in JSON decoded."""
    return {k: json.loads(v) if k in _JSON else v for k, v in data.attrs.items()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {jax.default_backend()}"
