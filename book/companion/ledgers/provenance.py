"""The tables of the page on reproducibility, from what the records and the seeds say."""

from collections import defaultdict
from pathlib import Path

import xarray as xr

from companion import record
from companion.seeds import SEEDS


def stored(folder: Path) -> dict[str, xr.Dataset]:
    """Name → record of every file in ``folder``; each is checked against its digests."""
    return {path.stem: record.load(path) for path in sorted(folder.glob("*.nc"))}


def record_table(records: dict[str, xr.Dataset]) -> str:
    """Seeds, needs, day, time and machine of every record, as a table in MyST."""
    machine = _numbered(records)
    names = {data.attrs["sha256"]: name for name, data in records.items()}
    lines = ["| record | seeds | made from | made | time | machine |", "|---|---|---|---|---|---|"]
    total = 0.0
    for name, data in records.items():
        origin = record.provenance(data)
        seeds = ", ".join(map(str, origin["seeds"].values()))
        needs = ", ".join(f"`{names.get(digest, '?')}`" for digest in origin["needs"].values())
        day, time = origin["recorded"].split()[0], duration(origin["seconds"])
        lines.append(f"| `{name}` | {seeds} | {needs} | {day} | {time} | {machine[_host(data)]} |")
        total += origin["seconds"]
    return "\n".join([*lines, f"| all | | | | {duration(total)} | |"])


def machines(records: dict[str, xr.Dataset]) -> str:
    """The machines and versions that `record_table` refers to."""
    number = defaultdict(int)
    for data in records.values():
        number[_host(data)] += 1
    lines = ["| machine | processor | versions | records |", "|---|---|---|---|"]
    for host, place in _numbered(records).items():
        processor, versions = host
        lines.append(f"| {place} | {processor} | {', '.join(versions)} | {number[host]} |")
    return "\n".join(lines)


def seed_table() -> str:
    """The one table of seeds."""
    lines = ["| seed | used for | |", "|---|---|---|"]
    for entry in sorted(SEEDS.values()):
        lines.append(f"| {entry.number} | {entry.use} | {'retired' if entry.retired else ''} |")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Rounded, in the largest unit of which there are two or more."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _host(data: xr.Dataset) -> tuple[str, tuple[str, ...]]:
    origin = record.provenance(data)
    versions = tuple(f"{name} {number}" for name, number in origin["versions"].items())
    return origin["processor"], versions


def _numbered(records: dict[str, xr.Dataset]) -> dict[tuple, int]:
    hosts = sorted({_host(data) for data in records.values()})
    return {host: number for number, host in enumerate(hosts, start=1)}
