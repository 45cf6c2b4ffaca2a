"""Chapter 06: rules at which estimators are measured, and from which their race begins."""

import numpy as np
import xarray as xr

from companion.courses import LIMIT, UNIT, term_sizes
from companion.seeds import seed
from plasticity.learning.setting import Setting
from plasticity.rules.base import Rule
from plasticity.rules.three_factor import SoftBound, make_rule

PLACES = ("near zero", "half-way")
_NEAR = 0.1  # length of ψ near zero; that of ψ where the courses end is some 0.7
_COURSE = "from zero, 1"


def coordinate_sizes(setting: Setting) -> np.ndarray:
    """s of ψ = s θ, (6, 6): the coordinates of `companion.courses`, η = 1.

    A unit of ψ_kℓ moves weights by steps of r.m.s. `companion.courses.UNIT` in a first trial.
    """
    return term_sizes(setting, seed("choice of iterates")) / UNIT


def place_coordinates(place: str, courses: xr.Dataset) -> np.ndarray:
    """ψ of one of `PLACES`, (6, 6).

    Near zero a direction is drawn at random. Half-way is the average, of those of a recorded course
    from zero that were evaluated, whose trials to criterion are nearest to the middle of what they
    were at its start and at its best. (Ours.)

    Args:
        courses: result of `companion.courses.Courses`.

    Raises:
        KeyError: an unknown place.
    """
    drawn = np.random.default_rng(seed("estimators")).normal(size=(6, 6))
    course = courses.sel(course=_COURSE)
    turn = course.evaluation[_turn(course)]
    half = course.averaged.sel(iterate=turn).values[:36].reshape(6, 6)
    return {"near zero": _NEAR * drawn / np.linalg.norm(drawn), "half-way": half}[place]


def _turn(course: xr.Dataset) -> int:
    """Number of the evaluation nearest to the middle of a course's gain."""
    trials = course.trials.values
    return int(np.abs(trials - (trials[0] + trials.min()) / 2).argmin())


def gain_behind(courses: xr.Dataset) -> float:
    """Share of its course's gain that is behind the rule half-way, as evaluations lie."""
    course = courses.sel(course=_COURSE)
    trials = course.trials.values
    return float((trials[0] - trials[_turn(course)]) / (trials[0] - trials.min()))


def rule_at(psi: np.ndarray, sizes: np.ndarray) -> Rule:
    """The rule of coordinates ψ, at η = 1 and with the soft bound that courses start from."""
    return make_rule(psi / sizes, learning_rate=1.0, bound=SoftBound(LIMIT))
