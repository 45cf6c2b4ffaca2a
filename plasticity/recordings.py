"""What is recorded at full size, so that chapters can load it and `make reproduce` remake it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from plasticity.records import Arrays
from plasticity.settings import QUIRKS, miconi_setting


class Recording(NamedTuple):
    """The arguments of `plasticity.records.record_in_parts` that say what is computed."""

    compute: Callable[[int], Arrays]
    n_parts: int
    parameters: dict
    seed: int


def miconi(
    without: str | None = None, *, n_runs: int = 48, n_trials: int = 5000, seed: int = 1
) -> Recording:
    """Mean error of every trial, (runs, trials), in `miconi_setting`, 12 runs a part."""
    size = 12
    setting = miconi_setting(without)

    def compute(part: int) -> Arrays:
        runs = np.arange(part * size, min((part + 1) * size, n_runs))
        return {"errors": setting.learn(seed, runs, n_trials, batch_size=size).errors}

    parameters = {"without": without, "n_runs": n_runs, "n_trials": n_trials}
    return Recording(compute, -(-n_runs // size), parameters, seed)


RECORDINGS: dict[str, Callable[[], Recording]] = {"miconi": miconi} | {
    f"miconi_without_{quirk}": partial(miconi, quirk, n_runs=24) for quirk in QUIRKS
}
