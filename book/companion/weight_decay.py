"""Chapter 12: whether it is the decay of the weights that helps, or that it is learned.

The protocol, written before anything of it was searched for or judged.

*Why*: in `companion.rule_space` rules with all three time constants learned came out faster than
those of d = 5, by 4.5 trials of 68 in one of eleven intervals. But each rule was searched for once,
on networks that all shared; and these rules differ from d = 5 in two ways, for their weights decay
at all.

*Rules*: those of the five courses at d = 5, as they are and with a decay of τ_w = 1,000 trials, at
which courses that learn τ_w begin; and those of the five courses that learned τ_w, and all three.

*Judge*: step and bound of every rule are searched for five times, on networks of their own; then
the restricted mean of trials to criterion over 300 trials on 256 networks that no rule has met.
Four differences: a fixed decay less none; τ_w learned less fixed; all three less τ_w; and all three
less none. Intervals by t over courses, searches and networks hold together for the four.

*Size*: courses of one kind differed by 0.7 to 2 trials, and means of one rule by some 3 from search
to search. Five of each find a difference of about 5 trials with 80% power if searches differ alike
for all rules, and a smaller one as far as they do not.
"""

from dataclasses import dataclass
from functools import partial
from itertools import product

import xarray as xr

from companion.competition import (
    Comparison,
    Competition,
    Tuning,
    by_labels,
    comparison_variables,
    tuning_variables,
)
from companion.contest import Contest, share_bent
from companion.course_comparison import tuned
from companion.outer_loop import check_names
from companion.parts import SMALL
from companion.rule_space import FIRST_TIMES, REFERENCE, RuleSpace, recorded_rule
from companion.search import Search
from companion.seeds import seed

FIXED = "fixed decay"
# Kind → the arm of chapter 12 whose rules they are.
KINDS = {REFERENCE: REFERENCE, FIXED: REFERENCE, "tau_w": "tau_w", "all three": "all three"}
CONTRASTS = ((FIXED, REFERENCE), ("tau_w", FIXED), ("all three", "tau_w"), ("all three", REFERENCE))


@dataclass(frozen=True, kw_only=True)
class _Decays(Competition):
    """Rules of chapter 12 with and without a decay of the weights.

    Attributes:
        space: where they come from.
        kinds: of `KINDS`.
        n_searches: for the numbers of each rule.
    """

    axis = "attempt at a rule"

    space: RuleSpace = RuleSpace()
    kinds: tuple[str, ...] = tuple(KINDS)
    n_searches: int = 5
    n_trials: int = 300

    def __post_init__(self) -> None:
        check_names("kinds of decay", self.kinds, KINDS)

    @property
    def attempts(self) -> list[tuple[str, int, int]]:
        """Kind, number of the course, and number of the search."""
        courses, searches = (range(1, n + 1) for n in (self.space.n_courses, self.n_searches))
        return list(product(self.kinds, courses, searches))

    @property
    def competitors(self) -> list[str]:
        """The same, as labels."""
        return ["; ".join(map(str, one)) for one in self.attempts]

    def contest(self, index: int, space: xr.Dataset) -> Contest:
        """The rule of that attempt, where it was learned."""
        kind, course, _ = self.attempts[index]
        one = space.sel(course=f"{KINDS[kind]}, {course}")
        added = {"tau_w": FIRST_TIMES["tau_w"][1]} if kind == FIXED else None
        return Contest(self.space.setting, tuned(partial(recorded_rule, one, added)))


@dataclass(frozen=True, kw_only=True)
class DecayTuning(_Decays, Tuning):
    """Step and bound of every rule, searched for several times."""

    name = "decay_tuning"
    title = "Steps and bounds of rules with and without a decay of the weights"
    seeds = {"validation": seed("decays, choice of bounds")}
    variables = tuning_variables(_Decays.axis)

    search: Search = SMALL
    n_trials: int = 200  # that a search sees

    def validation_seed(self, index: int) -> int:
        """Of the networks that choose, others for each search."""
        return self.seeds["validation"] + self.attempts[index][2] - 1


@dataclass(frozen=True, kw_only=True)
class DecayComparison(_Decays, Comparison):
    """The same rules at what was chosen, on networks that chose nothing."""

    name = "decay_comparison"
    title = "Rules with and without a decay of the weights, on networks that they have not met"
    seeds = {"test": seed("decays")}
    variables = comparison_variables(_Decays.axis)
    saturation = staticmethod(share_bent)

    tuning: DecayTuning = DecayTuning()
    n_networks: int = 256


def by_kind(values: xr.DataArray) -> xr.DataArray:
    """What each attempt gave, (kind, course, search, …)."""
    return by_labels(values, ("kind", "course", "search"))
