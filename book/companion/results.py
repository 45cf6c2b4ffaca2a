"""Results of experiments: recorded ones, a part of them measured again, or all measured now.

    confirmed = result(Confirmation(n_networks=n_confirmation), recorded=recorded)
    confirmed.trials.sel(rule="learned").mean("network")

What was measured or verified once is kept in memory.
"""

import hashlib
import json
import time
from contextlib import nullcontext
from functools import cache
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from tqdm import tqdm

from companion import record
from companion.compilation import quick_compilation
from companion.experiment import Experiment
from plasticity.files import save_arrays
from plasticity.types import require

_measured: dict[Experiment, xr.Dataset] = {}
_verified: dict[Experiment, xr.Dataset] = {}


def result(experiment: Experiment, *, recorded: bool = True) -> xr.Dataset:
    """What an experiment gives: from its record, some of it measured again; or all measured now.

    Raises:
        FileNotFoundError: there is no record.
        ValueError: as in `recorded_result` and `verify`.
    """
    if not recorded:
        return measured(experiment)
    if experiment not in _verified:
        data = recorded_result(experiment)
        verify(experiment, data)
        _verified[experiment] = data
    return _verified[experiment]


def measured(experiment: Experiment) -> xr.Dataset:
    """All of an experiment, measured now and kept in memory; needs as in `needed`."""
    if experiment not in _measured:
        needs = {name: needed(need) for name, need in experiment.needs.items()}
        parts = [experiment.measure(part, **needs) for part in experiment.parts()]
        _measured[experiment] = experiment.dataset(_joined(parts))
    return _measured[experiment]


def needed(experiment: Experiment) -> xr.Dataset:
    """A need: as measured before, or from its record if it has one like it, or measured now."""
    if experiment not in _measured and _has_record(experiment):
        return recorded_result(experiment)
    return measured(experiment)


def _has_record(experiment: Experiment) -> bool:
    """Whether there are records of these parameters, of the experiment and all that it needs."""
    path = record.folder() / f"{experiment.name}.nc"
    alike = path.exists() and not _differing(experiment, _load(path, path.stat().st_mtime_ns))
    return alike and all(map(_has_record, experiment.needs.values()))


def recorded_result(experiment: Experiment) -> xr.Dataset:
    """The record of an experiment, if it was made by this one and from what its needs are now.

    Raises:
        FileNotFoundError: there is none.
        ValueError: other parameters or labels, or a need that has been recorded again since (the
            message lists which), or as `companion.record.load`.
    """
    path = record.folder() / f"{experiment.name}.nc"
    data = _load(path, path.stat().st_mtime_ns if path.exists() else 0)
    fix = f"`make reproduce RECORD={experiment.name}`, or ask for what it was made with"
    differ = _differing(experiment, data)
    rule = f"{experiment.name} is used with the parameters it was made with (made, wanted)"
    require(not differ, rule, differ, fix)
    digests = {
        name: recorded_result(need).attrs["sha256"] for name, need in experiment.needs.items()
    }
    moved = sorted(_differences(record.provenance(data)["needs"], digests))
    rule = f"{experiment.name} is used with the needs it was made from"
    require(not moved, rule, f"others of {moved}", f"`make reproduce RECORD={experiment.name}`")
    rule = f"{experiment.name} has the arrays and the labels of the experiment"
    dims = {str(name): variable.dims for name, variable in data.data_vars.items()}
    declared = {name: variable.dims for name, variable in experiment.variables.items()}
    require(dims == declared, rule, _differences(dims, declared), fix)
    for dim, labels in experiment.coordinates().items():
        if dim in data.dims:
            there = data[dim].values.tolist() if dim in data.coords else None
            require(there == np.asarray(labels).tolist(), rule, dim, fix)
    return data


@cache
def _load(path: Path, modified: int) -> xr.Dataset:
    return record.load(path)


def _differing(experiment: Experiment, data: xr.Dataset) -> dict[str, tuple]:
    """Parameters of the record that are not those of the experiment (made, wanted)."""
    wanted = json.loads(json.dumps(experiment.parameters))
    return _differences(record.provenance(data)["parameters"], wanted)


def _differences(given: dict, wanted: dict) -> dict[str, tuple]:
    names = sorted(given.keys() | wanted.keys())
    return {n: (given.get(n), wanted.get(n)) for n in names if given.get(n) != wanted.get(n)}


def verify(experiment: Experiment, data: xr.Dataset) -> float:
    """Measure some labels of a record again, in float64; returns the largest difference.

    The labels are chosen by a hash of the package's version and the record's digest: at least the
    experiment's ``fraction`` of them, others with every release.

    Raises:
        ValueError: a difference above the experiment's tolerance, or nothing finite to compare.
    """
    text = version("plasticity") + data.attrs["sha256"]
    chooser = np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))
    count = int(np.ceil(experiment.fraction * experiment.length))
    which = np.sort(chooser.permutation(experiment.length)[:count])
    kept = data.isel({experiment.axis: which})
    needs = {name: recorded_result(need) for name, need in experiment.needs.items()}
    compilation = nullcontext if experiment.optimised else quick_compilation
    with jax.enable_x64(True), compilation():
        fresh = experiment.measure_again(which, kept, **needs)
    labels = data[experiment.axis].values[which].tolist()
    worst = 0.0
    for name, array in fresh.items():
        array = np.asarray(array)
        old = kept[name].values[tuple(slice(size) for size in array.shape)]
        finite = bool(np.isfinite(array).any())
        require(finite, f"{experiment.name}: {name} measured again is finite", "NaN", "shorten it")
        same = np.array_equal(np.isnan(old), np.isnan(array))
        gap = float(np.nanmax(np.abs(old - array))) if same else np.inf
        rule = f"{experiment.name}: {name} measured again within {experiment.tolerance:g}"
        where = f"a difference of {gap:g} at {experiment.axis} {labels}"
        require(gap <= experiment.tolerance, rule, where, "record it again")
        worst = max(worst, gap)
    return worst


def record_in_parts(experiment: Experiment, scratch: Path) -> xr.Dataset:
    """Measure an experiment part by part, each kept in ``scratch`` at once, and record it.

    Interrupted, it goes on where it stopped: parts are taken over if experiment, parameters, seeds,
    needs, the source of the experiment's module and the version of the package are the same.

    Raises:
        ValueError: as `Experiment.dataset`, and as `recorded_result` of a need.
    """
    needs = {name: recorded_result(need) for name, need in experiment.needs.items()}
    digests = {name: need.attrs["sha256"] for name, need in needs.items()}
    identity = [
        f"{type(experiment).__module__}.{type(experiment).__name__}",
        experiment.parameters,
        dict(experiment.seeds),
        digests,
        experiment.source(),
        version("plasticity"),
    ]
    tag = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    parts, seconds = [], 0.0
    for number, part in enumerate(tqdm(experiment.parts(), desc=experiment.name)):
        file = Path(scratch) / f"{experiment.name}-{tag}-{number}.npz"
        if not file.exists():
            start = time.perf_counter()
            arrays = experiment.measure(part, **needs)
            took = np.array(time.perf_counter() - start)
            save_arrays(
                file, {f"array {name}": a for name, a in arrays.items()} | {"seconds": took}
            )
        with np.load(file) as kept:
            parts.append({name[6:]: kept[name] for name in kept.files if name != "seconds"})
            seconds += float(kept["seconds"])
    data = record.described(experiment, experiment.dataset(_joined(parts)), digests, seconds)
    record.save(record.folder() / f"{experiment.name}.nc", data)
    return data


def _joined(parts: list[dict]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([np.asarray(p[name]) for p in parts]) for name in parts[0]}
