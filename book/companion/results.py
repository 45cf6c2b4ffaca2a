"""Results of experiments: recorded ones, a part of them measured again, or all measured now.

    tuned = result(RuleTuning(n_networks=n_tuning), recorded=recorded)
    tuned.trials.sel(rule="(3,3)").mean("network")

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
from companion.compilation import compilation
from companion.experiment import Experiment, plain
from plasticity.files import check_target, kept_arrays, save_arrays
from plasticity.types import require

_measured: dict[Experiment, xr.Dataset] = {}
_verified: dict[Experiment, xr.Dataset] = {}


def result(experiment: Experiment, *, recorded: bool = True) -> xr.Dataset:
    """What an experiment gives: from its record, some of it measured again; or all measured now.

    Args:
        recorded: whether there has to be a record. Otherwise one is used if it was made with the
            same parameters, and what none holds is measured.

    Raises:
        FileNotFoundError: there is no record.
        ValueError: as in `recorded_result` and `verify`.
    """
    if not recorded and not _has_record(experiment):
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
        with compilation(optimised=True) if experiment.optimised else nullcontext():
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
    with jax.enable_x64(True), compilation(optimised=experiment.optimised):
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
    needs, the source of the experiment's module, the versions of what computes, and the precision
    are the same. Parts that cannot be read are set aside; all are removed once they are recorded.

    Raises:
        ValueError: parameters, labels or arrays that a record cannot keep, or a folder that cannot
            be written to, as soon as that is known; as `Experiment.dataset`, and as
            `recorded_result` of a need.

    Warns:
        RuntimeWarning: a part could not be read.
    """
    target = record.folder() / f"{experiment.name}.nc"
    check_target(target)
    needs = {name: recorded_result(need) for name, need in experiment.needs.items()}
    digests = {name: need.attrs["sha256"] for name, need in needs.items()}
    identity = [
        f"{type(experiment).__module__}.{type(experiment).__name__}",
        experiment.parameters,
        plain(experiment.seeds, "seeds"),
        digests,
        experiment.source(),
        record.versions(),
        bool(jax.config.jax_enable_x64),
    ]
    tag = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    stem = Path(scratch) / f"{experiment.name}-{tag}"
    _rehearse(experiment, digests, stem.with_name(f"{stem.name}-rehearsal.nc"))
    files, parts, seconds = [], [], 0.0
    for number, which in enumerate(tqdm(experiment.parts(), desc=experiment.name)):
        files.append(stem.with_name(f"{stem.name}-{number}.npz"))
        part = _part(files[-1], experiment, which, needs, parts[:1])
        seconds += float(part.pop("seconds"))
        parts.append({name.removeprefix("array "): array for name, array in part.items()})
    data = record.described(experiment, experiment.dataset(_joined(parts)), digests, seconds)
    record.save(target, data)
    for file in files:
        file.unlink(missing_ok=True)
    return data


def _rehearse(experiment: Experiment, digests: dict[str, str], path: Path) -> None:
    """Record zeros in place of what is to be measured, to find early what a record cannot keep."""
    labels = experiment.coordinates()
    zeros = {
        name: np.zeros([len(labels[dim]) if dim in labels else 1 for dim in variable.dims])
        for name, variable in experiment.variables.items()
    }
    try:
        record.save(path, record.described(experiment, experiment.dataset(zeros), digests, 0.0))
        record.load(path)
    finally:
        path.unlink(missing_ok=True)


def _part(file: Path, experiment: Experiment, which: np.ndarray, needs: dict, first: list) -> dict:
    """The arrays at ``which`` and the seconds they took, from ``file`` or measured and kept there.

    Args:
        first: the first part, if this is another one, which has to go with it.
    """

    def check(kept: dict) -> None:
        lengths = {f"array {name}": which.shape for name in experiment.variables} | {"seconds": ()}
        found = {name: array.shape[:1] for name, array in kept.items()}
        rule = f"a part of {experiment.name} has its arrays, of this length"
        require(found == lengths, rule, _differences(found, lengths), "restore it to save the time")

    kept = kept_arrays(file, f"a part of {experiment.name} is a whole .npz of arrays", check)
    if kept is not None:
        return kept
    start = time.perf_counter()
    arrays = experiment.measure(which, **needs)
    took = np.array(time.perf_counter() - start)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        rule = f"{experiment.name}: {name} has {len(which)} entries along {experiment.axis}"
        require(array.shape[:1] == which.shape, rule, array.shape, "return one for each")
    # Seen as the whole, and beside the first, so that it is not refused after the last one.
    size = experiment.length
    experiment.dataset({n: np.resize(a, (size, *a.shape[1:])) for n, a in arrays.items()})
    _joined([*first, arrays])
    kept = {f"array {name}": array for name, array in arrays.items()} | {"seconds": took}
    save_arrays(file, kept)
    return kept


def _joined(parts: list[dict]) -> dict[str, np.ndarray]:
    joined = {}
    for name in parts[0]:
        arrays = [np.asarray(part[name]) for part in parts]
        shapes = sorted({array.shape[1:] for array in arrays})
        rule = f"{name} has the same shape at every label"
        require(len(shapes) == 1, rule, shapes, "fill what is missing with NaN")
        joined[name] = np.concatenate(arrays)
    return joined
