"""Recorded long results: computed once at full size, committed, and verified where they are used.

A record is one ``.npz`` file: named arrays whose first axis runs over independent runs, and their
provenance as JSON (parameters, seed, versions, processor, wall time, digest of the arrays).
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from plasticity.files import Arrays, save_arrays
from plasticity.types import require


class Recording(NamedTuple):
    """How a long result is computed, so that it can be recorded, remade small, and verified.

    Attributes:
        compute: part number → arrays, to be joined along their first axis, the runs.
        recompute: indices of runs and the recorded arrays → their first entries, computed anew.
        n_parts: how many parts there are.
        parameters: plain numbers, strings, lists: what `load_record` compares.
        seed: of the key that everything is drawn from.
    """

    compute: Callable[[int], Arrays]
    recompute: Callable[[np.ndarray, Arrays], Arrays]
    n_parts: int
    parameters: dict
    seed: int

    def live(self) -> Arrays:
        """All parts, computed now and kept nowhere."""
        return _join([self.compute(part) for part in range(self.n_parts)])


class Record(NamedTuple):
    """Arrays by name, and where they come from."""

    arrays: Arrays
    provenance: dict


def _digest(arrays: Arrays) -> str:
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return state.hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {jax.default_backend()}"


def save_record(
    path: str | os.PathLike, arrays: Arrays, *, parameters: dict, seed: int, seconds: float
) -> Record:
    """Save ``arrays`` with their provenance; an earlier file is replaced only by a whole new one.

    Args:
        parameters: plain numbers, strings, lists: what `load_record` will compare.
        seed: of the key that everything was drawn from.
        seconds: wall time of the computation.
    """
    libraries = ("plasticity", "jax", "jaxlib", "numpy", "scipy")
    provenance = {
        "parameters": json.loads(json.dumps(parameters)),
        "seed": seed,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in libraries},
        "processor": _processor(),
        "recorded": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": round(seconds, 1),
        "sha256": _digest(arrays),
    }
    save_arrays(path, arrays | {"provenance": np.array(json.dumps(provenance))})
    return Record(arrays, provenance)


def load_record(path: str | os.PathLike, parameters: dict | None = None) -> Record:
    """Load a record, refusing one that was made with other parameters or has changed since.

    Raises:
        FileNotFoundError: there is no such record.
        ValueError: the parameters differ (the message lists which), or the digest does not fit.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "provenance"}
        provenance = json.loads(str(file["provenance"]))
    whole = _digest(arrays) == provenance["sha256"]
    require(whole, "a record's arrays have the digest they were saved with", path, "restore it")
    if parameters is not None:
        wanted, made = json.loads(json.dumps(parameters)), provenance["parameters"]
        names = sorted(wanted.keys() | made.keys())
        differ = {n: (made.get(n), wanted.get(n)) for n in names if made.get(n) != wanted.get(n)}
        rule = "a record is used with the parameters it was made with (made, wanted)"
        require(not differ, rule, differ, "record again with `make reproduce`, or ask for those")
    return Record(arrays, provenance)


def verify_record(
    record: Record,
    recompute: Callable[[np.ndarray, Arrays], Arrays],
    *,
    tolerance: float,
    fraction: float = 0.05,
) -> float:
    """Recompute some runs in float64 and compare; returns the largest difference.

    The runs are chosen by a hash of the package's version and the record's digest: at least
    ``fraction`` of them, others with every release. ``recompute`` gets their indices and the
    recorded arrays, and returns arrays (runs, …, h) under the same names, over a horizon h short
    enough for float32 and float64 to agree; they are compared with the first h entries.

    Raises:
        ValueError: a difference above ``tolerance``, or nothing finite to compare.
    """
    n_runs = len(next(iter(record.arrays.values())))
    text = version("plasticity") + record.provenance["sha256"]
    chooser = np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))
    chosen = np.sort(chooser.permutation(n_runs)[: int(np.ceil(fraction * n_runs))])
    with jax.enable_x64(True):
        fresh = recompute(chosen, record.arrays)
    worst = 0.0
    for name in fresh:
        array = np.asarray(fresh[name])
        kept = record.arrays[name][chosen][..., : array.shape[-1]]
        require(bool(np.isfinite(array).any()), "a recomputed run is finite", name, "shorten it")
        same = np.array_equal(np.isnan(kept), np.isnan(array))
        gap = float(np.nanmax(np.abs(kept - array))) if same else np.inf
        rule = f"recomputed {name} within {tolerance:g} of the record"
        require(gap <= tolerance, rule, f"{gap:g} in runs {chosen.tolist()}", "record it again")
        worst = max(worst, gap)
    return worst


def record_in_parts(
    path: str | os.PathLike, recording: Recording, scratch: str | os.PathLike
) -> Record:
    """Compute a record part by part, each kept in ``scratch`` at once, so it can be interrupted.

    Parts already there under the same parameters, seed and package version are not computed again.

    Raises:
        ValueError: an array is named ``seconds``, which is what the time of a part is kept under.
    """
    name, parameters, seed = Path(path).stem, recording.parameters, recording.seed
    identity = json.dumps([parameters, seed, version("plasticity")], sort_keys=True)
    tag = hashlib.sha256(identity.encode()).hexdigest()[:16]
    files = [Path(scratch) / f"{name}-{tag}-{part}.npz" for part in range(recording.n_parts)]
    for part, file in enumerate(tqdm(files, desc=name)):
        if not file.exists():
            start = time.perf_counter()
            arrays = _join([recording.compute(part)])
            free = "seconds" not in arrays
            require(free, "no array is named seconds", sorted(arrays), "give it another name")
            save_arrays(file, arrays | {"seconds": np.array(time.perf_counter() - start)})
    parts = []
    for file in files:
        with np.load(file) as arrays:
            parts.append(dict(arrays))
    seconds = float(sum(part.pop("seconds") for part in parts))
    return save_record(path, _join(parts), parameters=parameters, seed=seed, seconds=seconds)


def _join(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([np.asarray(p[name]) for p in parts]) for name in parts[0]}
