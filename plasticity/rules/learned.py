"""Rules that an outer loop has learned, with the learning rate and the bound that they want."""

import csv
from importlib import resources

import numpy as np

from plasticity.rules.three_factor import SoftBound, ThreeFactor, make_rule
from plasticity.types import require

TASKS = ("association",)


def learned_rule(task: str = "association") -> ThreeFactor:
    """The rule that chapter 07 of the book learned for a task and put first by its search.

    Its 36 coefficients, its learning rate (1/ms) and its soft bound are those at which it was
    compared there, with N = 100 units and kicks of amplitude 2 at 3 Hz; the file
    ``learned_association.csv`` beside this module holds them. (Ours.)

    Raises:
        ValueError: a task for which no rule was learned.
    """
    known = task in TASKS
    require(known, "a task for which a rule was learned", repr(task), f"choose from {TASKS}")
    file = resources.files("plasticity.rules") / f"learned_{task}.csv"
    theta, numbers = np.zeros((6, 6)), {}
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["parameter"] == "theta":
                theta[int(row["k"]), int(row["ell"])] = float(row["value"])
            else:
                numbers[row["parameter"]] = float(row["value"])
    limit = numbers["bound"]
    bound = SoftBound(limit) if np.isfinite(limit) else None
    return make_rule(theta, learning_rate=numbers["learning_rate"], bound=bound)
