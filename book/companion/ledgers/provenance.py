"""The tables of the page on reproducibility, from what the records say of themselves."""

from collections import defaultdict
from pathlib import Path

from companion.record import Record, load_record


def stored(folder: Path) -> dict[str, Record]:
    """Name → record of every file in ``folder``; each is checked against its digest."""
    return {path.stem: load_record(path) for path in sorted(folder.glob("*.npz"))}


def record_table(records: dict[str, Record]) -> str:
    """Seed, day, time and machine of every record, as a table in MyST."""
    machine = _numbered(records)
    lines = ["| record | seed | made | time | machine |", "|---|---|---|---|---|"]
    for name, record in records.items():
        p = record.provenance
        day = p["recorded"].split()[0]
        time = duration(p["seconds"])
        lines.append(f"| `{name}` | {p['seed']} | {day} | {time} | {machine[_identity(record)]} |")
    total = sum(record.provenance["seconds"] for record in records.values())
    return "\n".join([*lines, f"| all | | | {duration(total)} | |"])


def machines(records: dict[str, Record]) -> str:
    """The machines and versions that `record_table` refers to."""
    of = defaultdict(int)
    for record in records.values():
        of[_identity(record)] += 1
    lines = ["| machine | processor | versions | records |", "|---|---|---|---|"]
    for identity, number in _numbered(records).items():
        processor, versions = identity
        lines.append(f"| {number} | {processor} | {', '.join(versions)} | {of[identity]} |")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Rounded, in the largest unit of which there are two or more."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _identity(record: Record) -> tuple[str, tuple[str, ...]]:
    versions = tuple(f"{n} {v}" for n, v in record.provenance["versions"].items())
    return record.provenance["processor"], versions


def _numbered(records: dict[str, Record]) -> dict[tuple, int]:
    identities = sorted({_identity(record) for record in records.values()})
    return {identity: number for number, identity in enumerate(identities, start=1)}
