"""Recompute the recorded results: all of them, or those named on the command line.

Each is computed part by part; an interrupted run goes on where it stopped. Where a record was
there before, the differences are reported before it is replaced.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from companion import recordings
from companion.record import Record, Recording, load_record, record_in_parts

BOOK = Path(__file__).parent


def compare(before: Record, after: Record) -> str:
    """How far the new arrays are from the old ones, by name."""
    if before.provenance["parameters"] != after.provenance["parameters"]:
        return "other parameters than before"
    lines = []
    for name, new in after.arrays.items():
        old = before.arrays.get(name)
        if old is None or old.shape != new.shape:
            lines.append(f"{name}: shape {None if old is None else old.shape} -> {new.shape}")
            continue
        differs = np.any(np.nan_to_num(new) != np.nan_to_num(old), axis=tuple(range(1, new.ndim)))
        means = f"mean {np.nanmean(old):.4f} -> {np.nanmean(new):.4f}"
        lines.append(f"{name}: {int(differs.sum())} of {len(new)} runs differ, {means}")
    return "; ".join(lines)


def reproduce(name: str, make: Callable[[Path], Recording]) -> None:
    """Record ``name`` again and say how it differs from what was there."""
    path = BOOK / "records" / f"{name}.npz"
    recording = make(path.parent)
    before = load_record(path) if path.exists() else None
    after = record_in_parts(path, recording, BOOK.parent / "_build" / "recording")
    print(f"{name}: {after.provenance['seconds']:.0f} s", flush=True)
    if before is not None:
        print(f"{name}: {compare(before, after)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"from {', '.join(recordings.RECORDINGS)}")
    names = parser.parse_args().names or list(recordings.RECORDINGS)
    unknown = sorted(set(names) - set(recordings.RECORDINGS))
    if unknown:
        parser.error(f"no recording {unknown}; there are {', '.join(recordings.RECORDINGS)}")
    for name in names:
        reproduce(name, recordings.RECORDINGS[name])


if __name__ == "__main__":
    main()
