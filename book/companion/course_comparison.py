"""Chapter 07: rules that were learned beside rules of one term, at steps and bounds chosen alike.

The protocol, written before anything was judged.

*Question*: is a rule that the outer loop learns faster than the best single term, when step and
bound of each are chosen with equal effort?

*Rules*: one of every course in `companion.courses`, eight of them from zero; the nine terms of odd
powers; the rule that is told the kicks; no learning; and the learned rules once more as they come,
with the step and the bound that the loop gave them. Kicks are the same for all.

*Regime*: the soft bound c tanh(η e δ / c) in learning, choice and judgement. Beside it the same
comparison without any bound, for which steps are chosen anew.

*Judge*: the restricted mean of trials to criterion over 300 trials on 1,024 networks that chose
nothing. The mean over the courses from zero, less the single term that the search put first, with a
95% interval that resamples courses and networks together. Below zero the learned rules are faster,
above it slower, and if it holds zero, it cannot be told which. All else is described: other starts,
other terms, errors, the course that the search put first, and the comparison without a bound.

*Size*: eight courses, and from the spread over courses and networks in the last round of the search
the difference that is found with 80% power; the chapter prints it.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from companion.competition import (
    Comparison,
    Competition,
    Tuning,
    comparison_variables,
    tuning_variables,
)
from companion.contest import Algorithm, Contest, share_bent
from companion.courses import Courses
from companion.learned_rule import ODD
from companion.search import Search
from companion.seeds import seed
from plasticity.rules.base import Rule
from plasticity.rules.three_factor import (
    SoftBound,
    make_rule,
    node_perturbation,
    single_term,
    zero,
)

SINGLES = {f"({k},{ell})": (k, ell) for k, ell in ODD}
REFERENCES = ("node perturbation", "no learning")
AS_IT_CAME = "{}, as it came"  # of a learned rule, whose step and bound are its own
# A search of two numbers. (Ours.)
SEARCH = Search(grid=(64, 8), short=(8, 32), near=(4, 64), moves=4, last=(3, 128))
# A limit that no change of a weight comes near.
_NONE = 1e10


def tuned_rule(make, size, learning_rate, clip, readout_rate) -> Rule:
    """At a step and at a soft bound, or at a step alone."""
    bound = None if clip is None else SoftBound(min(clip, _NONE))
    return make(learning_rate=learning_rate, bound=bound)


def tuned(make, told: str = "reward") -> Algorithm:
    """What such a rule is as a competitor that chooses its step and its bound."""
    return Algorithm(partial(tuned_rule, make), told, "as it is", ("step", "bound"))


# What it is to learn nothing.
NOTHING = Algorithm(lambda *_: zero(learning_rate=1.0), "nothing", "as it is", ())


def competitors(courses: xr.Dataset, bounded: bool) -> dict[str, Algorithm]:
    """Name → rule, as a competitor that chooses its step, and its bound if there is one.

    Args:
        courses: result of `Courses`.
        bounded: whether updates are bounded. Where they are not, learned rules have no bound of
            their own to come with, and no learning is the same with and without.
    """
    learned = dict(zip(courses.course.values.tolist(), courses.theta.values, strict=True))
    makes = {name: partial(single_term, *term) for name, term in SINGLES.items()}
    makes |= {name: partial(make_rule, theta) for name, theta in learned.items()}
    numbers = ("step", "bound") if bounded else ("step",)
    every = partial(Algorithm, told="reward", exploration="as it is", numbers=numbers)
    found = {name: every(partial(tuned_rule, make)) for name, make in makes.items()}
    told = "reward, its kicks"
    found["node perturbation"] = every(partial(tuned_rule, node_perturbation), told=told)
    if not bounded:
        return found
    for name, theta in learned.items():
        bound = SoftBound(float(courses.limit.sel(course=name)))
        rule = make_rule(theta, learning_rate=1.0, bound=bound)
        found[AS_IT_CAME.format(name)] = every(lambda *_, rule=rule: rule, numbers=())
    return found | {"no learning": every(lambda *_: zero(learning_rate=1.0), numbers=())}


@dataclass(frozen=True, kw_only=True)
class _Judged(Competition):
    """Rules that were learned, and others.

    Attributes:
        courses: where the learned ones come from.
        terms: rules of a single term, of `SINGLES`.
        bounded: whether updates are bounded.
    """

    axis = "rule"

    courses: Courses = Courses()
    terms: tuple[str, ...] = tuple(SINGLES)
    bounded: bool = True
    n_trials: int = 300

    @property
    def competitors(self) -> list[str]:
        """The rules: single terms, learned ones, and references."""
        names = [*self.terms, *self.courses.names]
        if not self.bounded:
            return [*names, REFERENCES[0]]
        return [*names, *map(AS_IT_CAME.format, self.courses.names), *REFERENCES]

    @property
    def _regime(self) -> str:
        return "bounded" if self.bounded else "unbounded"

    def contest(self, index: int, courses: xr.Dataset) -> Contest:
        """The rule of that number, where the courses learned."""
        name = self.competitors[index]
        return Contest(self.courses.setting, competitors(courses, self.bounded)[name])


@dataclass(frozen=True, kw_only=True)
class CourseTuning(_Judged, Tuning):
    """Step and bound of every rule, searched for on validation networks."""

    title = "Steps and bounds of rules that were learned and of others, searched for alike"
    seeds = {"validation": seed("choice of bounds")}
    variables = tuning_variables("rule")

    search: Search = SEARCH
    n_trials: int = 200  # that a search sees

    @property
    def name(self) -> str:
        return f"course_tuning_{self._regime}"


@dataclass(frozen=True, kw_only=True)
class CourseComparison(_Judged, Comparison):
    """Every rule at the step and bound chosen for it, on networks that chose nothing."""

    title = "Rules that were learned and others, on networks that they have not met"
    seeds = {"test": seed("learned rules")}
    variables = comparison_variables("rule")
    saturation = staticmethod(share_bent)

    tuning: CourseTuning = CourseTuning()
    n_networks: int = 1024

    @classmethod
    def of(cls, tuning: CourseTuning, **sizes) -> "CourseComparison":
        """At what a search has chosen."""
        same = {name: getattr(tuning, name) for name in ("courses", "terms", "bounded")}
        return cls(tuning=tuning, **same, **sizes)

    @property
    def name(self) -> str:
        return f"course_comparison_{self._regime}"


def first_by_search(tuned: xr.Dataset, names) -> str:
    """Of the rules of these names the one that took the fewest trials in the last round."""
    return tuned.validation.sel(rule=list(names)).mean("network").idxmin("rule").item()


def rule_table(courses: xr.Dataset, tuned: xr.Dataset) -> str:
    """The learned rule that the search put first, as `plasticity.learned_rule` reads it (CSV)."""
    name = first_by_search(tuned, courses.course.values)
    one = tuned.sel(rule=name)
    step, bound = (float(one["values"].sel(number=n)) for n in ("step", "bound"))
    rows = [("learning_rate", "", "", step / float(one.units.sel(trace="recurrent")))]
    rows += [("bound", "", "", bound)]
    theta = courses.theta.sel(course=name).values
    rows += [("theta", k, ell, theta[k, ell]) for k, ell in np.ndindex(theta.shape)]
    lines = [",".join([*map(str, row[:3]), f"{row[3]:.9g}"]) for row in rows]
    return "\n".join(["parameter,k,ell,value", *lines, ""])
