"""Records: one netCDF file each, labelled, described, and with the provenance of its arrays.

Any reader of netCDF, in Python, R, Julia or Matlab, sees dimensions, labels, units and meanings.
The provenance stands in the attributes of the file: the experiment, its parameters, seeds and needs
(JSON), versions, processor, day and seconds, and a digest. Each array has a digest of its own, and
attributes, dimensions and labels have one together.
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

from companion.experiment import Experiment, plain
from plasticity.files import refusal, replacing
from plasticity.types import require

FORMAT = 2  # 1 had no digest of what is said of the arrays
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


def description_digest(data: xr.Dataset) -> str:
    """SHA-256 of what is said of the arrays: attributes, dimensions and labels."""
    told = {
        "attributes": {k: v for k, v in data.attrs.items() if k != "description_sha256"},
        "variables": {str(name): [v.dims, v.attrs] for name, v in data.variables.items()},
        "labels": {str(name): v.values.tolist() for name, v in data.coords.items()},
    }

    def pythons(value: Any) -> Any:
        # Numbers are Python's before they are saved, and NumPy's afterwards.
        return value.tolist() if isinstance(value, np.generic | np.ndarray) else repr(value)

    text = json.dumps(told, sort_keys=True, default=pythons)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Python and the packages that compute → their versions."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


def described(
    experiment: Experiment, data: xr.Dataset, needs: Mapping[str, str], seconds: float
) -> xr.Dataset:
    """``data`` with the provenance of an experiment that has just been measured.

    Args:
        needs: digest of the record of each need.
        seconds: that measuring took.
    """
    provenance = {
        "experiment": f"{type(experiment).__module__}.{type(experiment).__name__}",
        "parameters": experiment.parameters,
        "seeds": plain(experiment.seeds),
        "needs": dict(needs),
        "versions": versions(),
        "processor": _processor(),
        "recorded": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": round(seconds, 1),
    }
    return with_provenance(data, provenance)


def with_provenance(data: xr.Dataset, provenance: Mapping[str, Any]) -> xr.Dataset:
    """``data`` with these attributes, and the digests of its arrays and of its description."""
    arrays = {str(name): variable.values for name, variable in data.data_vars.items()}
    attributes = {k: json.dumps(v) if k in _JSON else v for k, v in provenance.items()}
    whole = data.assign_attrs(**attributes, format=FORMAT, sha256=digest(arrays))
    for name, array in arrays.items():
        whole[name].attrs["sha256"] = digest({name: array})
    return whole.assign_attrs(description_sha256=description_digest(whole))


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
        ValueError: a file that is no record or is cut short, one of a newer version, or arrays or
            a description (from version 2 on) without the digest they were saved with.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"a record; got no file {path}: make it with `make reproduce`")
    rule, fix = "a record is a whole netCDF file", "restore it, or record it again"
    require(not path.is_dir(), rule, f"{path}, a folder", fix)
    try:
        data = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5py has no class of its own for what is no HDF5 file
        damage = f"cut short or damaged ({error})"
        raise ValueError(refusal(path, rule, fix, b"\x89HDF", damage)) from error
    lacking = [name for name in _JSON if not _mapping(data.attrs.get(name))]
    number = data.attrs.get("format")
    number = int(number) if isinstance(number, np.integer) else 0
    lacking += ["format"] if number < 1 else []
    wanted = f"{path} without {', '.join(lacking)}"
    require(not lacking, "a record with its provenance", wanted, "choose a file of book/records")
    rule = f"a record of version {FORMAT} or older"
    require(number <= FORMAT, rule, f"version {number} in {path}", "install a newer companion")
    for name, variable in data.data_vars.items():
        same = digest({str(name): variable.values}) == variable.attrs.get("sha256")
        rule = f"{name} has the digest it was saved with"
        require(same, rule, f"other values in {path}", fix)
    arrays = {str(name): variable.values for name, variable in data.data_vars.items()}
    whole = digest(arrays) == data.attrs.get("sha256")
    require(whole, "all arrays together have the digest of the record", path, fix)
    same = number < 2 or description_digest(data) == data.attrs.get("description_sha256")
    rule = "attributes, dimensions and labels have the digest they were saved with"
    require(same, rule, f"others in {path}", fix)
    return data


def _mapping(text: Any) -> bool:
    """Whether an attribute is a mapping in JSON."""
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False


def provenance(data: xr.Dataset) -> dict[str, Any]:
    """The attributes of a record, those in JSON decoded."""
    return {k: json.loads(v) if k in _JSON else v for k, v in data.attrs.items()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {jax.default_backend()}"
