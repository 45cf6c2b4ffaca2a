"""Chapter 08: what the learned rule is made of, and where else it works.

The protocol, written before a network judged. Everything is in the regime of chapter 07: a soft
bound, step and bound searched for alike for every rule, and restricted means of trials to criterion
over 300 trials on 1,024 networks that chose nothing. The learned rule is the one that comes with
the package.

*Which terms matter?* Each of the nine odd–odd coefficients is left out in turn, and step and bound
are searched for anew; the 27 others are left out together. A search ends a little better or worse
by chance; how much is known from the whole rule, which is searched for eight times on other
networks. *Judge*: a term matters if the 95% interval of what is lost without it, corrected for
nine, lies above zero. The interval counts chance of networks and of searches.

*How few are enough?* The largest 18, 9, 6, 4, 2 terms and the largest one alone, a term being as
large as the trace that it adds. *Judge*: in this order, as long as what is lost is by a one-sided
95% bound less than a tenth of what the whole rule takes; one order fixed before needs no
correction. The nine odd–odd terms alone are judged by the same bound.

*Do even powers carry credit?* All terms but the odd–odd ones together, and each of those 27 alone
(with either sign, where k and ℓ are both even; for k + ℓ odd, networks and their mirror images are
as likely, and turn the sign). *Judge*: it learns if the 95% interval of its mean less that of no
learning, corrected for all of them, lies below zero. By symmetry they should not, to first order
in the learning rate.

*Does it work elsewhere?* Twice the units; a delay of 600 ms; the setting of chapter 02; evidence
integration. *Judge*: the ratio of the mean of the learned rule to that of (1,5), and to that of
(3,3), in each setting; corrected for eight, with the chance of searches from the eight searches of
the whole rule. Below one the learned rule is faster there, above it slower, and if it holds one, it
cannot be told which.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import xarray as xr

from companion.competition import (
    Comparison,
    Competition,
    Tuning,
    comparison_variables,
    tuning_variables,
)
from companion.contest import Contest, share_bent
from companion.course_comparison import NOTHING, SEARCH, tuned
from companion.courses import term_sizes
from companion.learned_rule import ODD
from companion.search import Search
from companion.seeds import seed
from companion.settings import association_setting, brief_setting
from plasticity.learning.setting import Setting
from plasticity.rules.base import Rule
from plasticity.rules.learned import learned_rule
from plasticity.rules.three_factor import make_rule, node_perturbation, single_term

POWERS = tuple(product(range(6), range(6)))
EVEN = tuple(term for term in POWERS if term not in ODD)
COUNTS = (18, 9, 6, 4, 2, 1)
WHOLE = "whole"
FLOOR = "no learning"
# Of what the whole rule takes: what a smaller one may take more, and still be enough. Ours.
MARGIN = 0.1
# A smaller search, for terms that are not expected to learn. (Ours.)
SMALL = Search(grid=(64, 8), short=(4, 32), near=(1, 32), moves=1, last=(2, 64))


def largest(theta: np.ndarray, scale: np.ndarray, count: int) -> np.ndarray:
    """θ with only the ``count`` coefficients of largest |θ| · scale; of equals the first."""
    order = np.argsort(-np.abs(theta * scale), axis=None, kind="stable")[:count]
    kept = np.zeros(theta.size)
    kept[order] = theta.ravel()[order]
    return kept.reshape(theta.shape)


def term_name(term: tuple[int, int]) -> str:
    """(k,ℓ)."""
    return "({},{})".format(*term)


class Part(NamedTuple):
    """A rule that is a part of the learned one, or stands beside it.

    Attributes:
        keep: θ → θ of the part, given the sizes of the traces of its terms.
        search: which search for its step and bound this is, from 1 on.
    """

    keep: Callable[[np.ndarray, np.ndarray], np.ndarray]
    search: int = 1


def _where(terms) -> np.ndarray:
    chosen = np.zeros((6, 6))
    chosen[tuple(np.transpose(list(terms)))] = 1
    return chosen


def parts(n_searches: int = 8) -> dict[str, Part]:
    """Name → part of the learned rule; the whole rule is searched for so many times."""
    whole = Part(lambda theta, sizes: theta)
    found = {WHOLE: whole}
    for i in range(2, n_searches + 1):
        found[f"{WHOLE}, search {i}"] = whole._replace(search=i)
    for term in ODD:
        others = 1 - _where([term])
        found[f"without {term_name(term)}"] = Part(lambda theta, sizes, o=others: theta * o)
    for count in COUNTS:
        found[f"largest {count}"] = Part(lambda theta, sizes, n=count: largest(theta, sizes, n))
    odd = _where(ODD)
    found["odd–odd alone"] = Part(lambda theta, sizes: theta * odd)
    found["all but odd–odd"] = Part(lambda theta, sizes: theta * (1 - odd))
    for term in ((1, 5), (3, 3)):
        found[term_name(term)] = Part(lambda theta, sizes, t=term: -_where([t]))
    return found


class _Taken(Competition):
    """Polynomial rules in one setting, each with its step and its bound."""

    def theta(self, name: str) -> np.ndarray:
        """Coefficients of a competitor, (6, 6)."""
        raise NotImplementedError(f"{type(self).__name__}.theta")

    def contest(self, index: int) -> Contest:
        """The competitor of that number in the setting of chapter 07."""
        name, setting = self.competitors[index], brief_setting(n_units=self.n_units)
        if name == FLOOR:
            return Contest(setting, NOTHING)
        return Contest(setting, tuned(partial(make_rule, self.theta(name))))


@dataclass(frozen=True, kw_only=True)
class _Parts(_Taken):
    """Parts of the learned rule.

    Attributes:
        names: which of `parts`.
    """

    axis = "part"

    names: tuple[str, ...] = tuple(parts())
    n_units: int = 100
    n_trials: int = 300

    @property
    def competitors(self) -> list[str]:
        """Names of the parts."""
        return list(self.names)

    def theta(self, name: str) -> np.ndarray:
        """Coefficients of a part, (6, 6); its terms are measured on networks that chose courses."""
        setting = brief_setting(n_units=self.n_units)
        sizes = term_sizes(setting, seed("choice of iterates"))
        return parts()[name].keep(np.asarray(learned_rule().coefficients, float), sizes)


@dataclass(frozen=True, kw_only=True)
class PartTuning(_Parts, Tuning):
    """Step and bound of every part, searched for on validation networks."""

    name = "part_tuning"
    title = "Steps and bounds of parts of the learned rule, searched for alike"
    seeds = {
        "validation": seed("choice of parts"),
        "searched again": seed("parts, searched again"),
    }
    variables = tuning_variables("part")

    search: Search = SEARCH
    n_trials: int = 200  # that a search sees

    def validation_seed(self, index: int) -> int:
        """Of the networks that choose; other ones where the whole rule is searched for again."""
        return self.seed_of_search(parts()[self.names[index]].search)


@dataclass(frozen=True, kw_only=True)
class PartComparison(_Parts, Comparison):
    """Every part at the step and bound chosen for it, on networks that chose nothing."""

    name = "part_comparison"
    title = "Parts of the learned rule, on networks that they have not met"
    seeds = {"test": seed("parts")}
    variables = comparison_variables("part")
    saturation = staticmethod(share_bent)

    tuning: PartTuning = PartTuning()
    n_networks: int = 1024


# Terms with an even power; the sign matters where both powers are even.
ALONE = {f"−{term_name(term)}": (term, -1.0) for term in EVEN}
ALONE |= {f"+{term_name((k, ell))}": ((k, ell), 1.0) for k, ell in EVEN if not (k % 2 or ell % 2)}


@dataclass(frozen=True, kw_only=True)
class _Alone(_Taken):
    """Terms with an even power, each alone, and no learning.

    Attributes:
        names: which of `ALONE`.
    """

    axis = "term"

    names: tuple[str, ...] = tuple(ALONE)
    n_units: int = 100
    n_trials: int = 300

    @property
    def competitors(self) -> list[str]:
        """Signs and names of the terms, and no learning."""
        return [*self.names, FLOOR]

    def theta(self, name: str) -> np.ndarray:
        """One coefficient of ±1, (6, 6)."""
        term, sign = ALONE[name]
        return sign * _where([term])


@dataclass(frozen=True, kw_only=True)
class AloneTuning(_Alone, Tuning):
    """Step and bound of terms with an even power, by a smaller search."""

    name = "alone_tuning"
    title = "Steps and bounds of terms with an even power, each alone"
    seeds = {"validation": seed("choice of parts")}
    variables = tuning_variables("term")

    search: Search = SMALL
    n_trials: int = 200  # that a search sees


@dataclass(frozen=True, kw_only=True)
class AloneComparison(_Alone, Comparison):
    """Terms with an even power, at the step and bound chosen for them, on other networks."""

    name = "alone_comparison"
    title = "Terms with an even power, each alone, on networks that they have not met"
    seeds = {"test": seed("parts")}
    variables = comparison_variables("term")
    saturation = staticmethod(share_bent)

    tuning: AloneTuning = AloneTuning()
    n_networks: int = 256


# Where to: how many times the units, and the setting.
PLACES: dict[str, tuple[int, Callable[..., Setting]]] = {
    "delay of 600 ms": (1, partial(brief_setting, delay=600.0)),
    "evidence integration": (1, partial(brief_setting, "evidence_integration")),
    "setting of chapter 02": (1, association_setting),
    "twice the units": (2, brief_setting),
}
RULES: dict[str, Callable[..., Rule]] = {
    "learned": lambda **options: make_rule(learned_rule().coefficients, **options),
    "(1,5)": partial(single_term, 1, 5),
    "(3,3)": partial(single_term, 3, 3),
    "node perturbation": node_perturbation,
}


@dataclass(frozen=True, kw_only=True)
class _Elsewhere(Competition):
    """The learned rule and others where it was not learned.

    Attributes:
        places: of `PLACES`.
    """

    axis = "pair"

    places: tuple[str, ...] = tuple(PLACES)
    n_units: int = 100
    n_trials: int = 300

    @property
    def competitors(self) -> list[str]:
        """Rule and place of every pair."""
        return [f"{rule}, {place}" for place in self.places for rule in RULES]

    def contest(self, index: int) -> Contest:
        """The rule of that pair in its setting."""
        place, rule = divmod(index, len(RULES))
        times, make = PLACES[self.places[place]]
        name = list(RULES)[rule]
        told = "reward, its kicks" if name == "node perturbation" else "reward"
        return Contest(make(n_units=times * self.n_units), tuned(RULES[name], told))


@dataclass(frozen=True, kw_only=True)
class ElsewhereTuning(_Elsewhere, Tuning):
    """Step and bound of rules in other settings, searched for on validation networks."""

    name = "elsewhere_tuning"
    title = "Steps and bounds of rules in other settings, searched for alike"
    seeds = {"validation": seed("choice in other settings")}
    variables = tuning_variables("pair")

    search: Search = SEARCH
    n_trials: int = 200  # that a search sees


@dataclass(frozen=True, kw_only=True)
class ElsewhereComparison(_Elsewhere, Comparison):
    """Rules in other settings, at the step and bound chosen there, on networks that chose none."""

    name = "elsewhere_comparison"
    title = "Rules in other settings, on networks that they have not met"
    seeds = {"test": seed("other settings")}
    variables = comparison_variables("pair")
    saturation = staticmethod(share_bent)

    tuning: ElsewhereTuning = ElsewhereTuning()
    n_networks: int = 1024


def by_place(compared: xr.Dataset) -> xr.Dataset:
    """An `ElsewhereComparison` by rule and place in place of pairs."""
    pairs = [name.split(", ", 1) for name in compared.pair.values.tolist()]
    rules, places = zip(*pairs, strict=True)
    labelled = compared.drop_vars("pair").assign_coords(
        rule=("pair", list(rules)), place=("pair", list(places))
    )
    return labelled.set_index(pair=["rule", "place"]).unstack("pair")
