"""Recompute the recorded results: all of them, or those named on the command line.

Each is computed part by part; an interrupted run goes on where it stopped. Where a record was
there before, it is said how the new one differs, or why the old one cannot be read.
"""

import argparse
from pathlib import Path

from environment import settle

settle()  # before the packages are looked for, and before JAX reads its settings

import jax  # noqa: E402
import numpy as np  # noqa: E402
import xarray as xr  # noqa: E402
from companion import record  # noqa: E402
from companion.catalogue import EXPERIMENTS  # noqa: E402
from companion.course_comparison import CourseTuning, rule_table  # noqa: E402
from companion.experiment import Experiment  # noqa: E402
from companion.results import record_in_parts, recorded_result  # noqa: E402

from plasticity.files import replacing  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "_build" / "recording"
RULE = ROOT / "plasticity" / "rules" / "learned_association.csv"


def compare(before: xr.Dataset, after: xr.Dataset) -> str:
    """How far the new arrays are from the old ones, by name."""
    if before.attrs["parameters"] != after.attrs["parameters"]:
        return "other parameters than before"
    lines = []
    for name, variable in after.data_vars.items():
        new, old = variable.values, before.get(name)
        if old is None or old.shape != new.shape:
            lines.append(f"{name}: shape {None if old is None else old.shape} -> {new.shape}")
            continue
        old = old.values
        differs = np.any(np.nan_to_num(new) != np.nan_to_num(old), axis=tuple(range(1, new.ndim)))
        means = f"mean {np.nanmean(old):.4f} -> {np.nanmean(new):.4f}"
        along = f"{int(differs.sum())} of {len(new)} along {variable.dims[0]} differ"
        lines.append(f"{name}: {along}, {means}")
    return "; ".join(lines)


def reproduce(experiment: Experiment) -> None:
    """Record an experiment again and say how it differs from what was there."""
    name = experiment.name
    path = record.folder() / f"{name}.nc"
    before = None
    try:
        before = record.load(path) if path.exists() else None
    except ValueError as error:
        print(f"{name} is recorded anew, for the one there is of no use: {error}", flush=True)
    after = record_in_parts(experiment, SCRATCH)
    jax.clear_caches()  # programs hold memory maps, of which a process may have 65,530
    print(f"{name}: {after.attrs['seconds']:.0f} s", flush=True)
    if before is not None:
        print(f"{name}: {compare(before, after)}", flush=True)
    if experiment == CourseTuning():
        # What `plasticity.learned_rule` reads.
        courses = recorded_result(experiment.courses)
        with replacing(RULE) as beside:
            beside.write_text(rule_table(courses, after), encoding="utf-8")
        print(f"{name}: the rule that it put first is in {RULE}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"from {', '.join(EXPERIMENTS)}")
    names = parser.parse_args().names or list(EXPERIMENTS)
    unknown = sorted(set(names) - set(EXPERIMENTS))
    if unknown:
        parser.error(f"no experiment {unknown}; there are {', '.join(EXPERIMENTS)}")
    for name in names:
        reproduce(EXPERIMENTS[name])


if __name__ == "__main__":
    main()
