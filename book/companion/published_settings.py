"""Chapters 03 and 08: other rules, and other numbers, in the settings of Miconi's programs.

The protocol, written before a network judged.

*Question*: in a setting in which θ_33 was published with a learning rate and a clip of its own, how
much faster does learning get when these two numbers are tuned, and how much when the rule is
another one?

*Where*: delayed non-match to sample, and selective integration in the version of the program that
was published last (`companion.settings`). N = 200 and dt = 1 ms, with his trials, kicks, hard clip,
third factor and criterion. Nothing of it is changed but the polynomial, η and the clip.

*Rules*: θ_33 with the published numbers; and, each with a step and a clip that are searched for
alike, θ_33, θ_13, θ_15 and the learned rule of chapter 07. The learned rule meets kicks of another
size than those it was learned with, so its argument is Δ times the ratio of their amplitudes: it
sees fluctuations in units of a kick. That ratio is computed, not tuned. A step is η times the
r.m.s. of a rule's trace in a first trial, so that the same step is as large a change for all.

*Search*: 25 points, half decades around the published step and clip, each on 4 networks over a
third of the trials; then 4, 2 and 2 of them on 8, 16 and 24 others. If the best lies at an edge of
what was tried, its neighbours beyond are tried, too.

*Judge*: restricted means of trials to his criterion on networks that chose nothing: 96 over 5,000
trials, 64 over 10,000. Three ratios with 95% intervals that are corrected for three and resample
networks: *tuning* is θ_33 tuned by θ_33 published; *shape, one term* is the single term that the
search put first by θ_33 tuned; *shape, learned* is the learned rule by θ_33 tuned. A lifetime ends
once it meets the criterion, for nothing that comes later is judged.

*Size*: with the spread of trials of θ_33 in the records of chapter 03 (0.75 and 0.66 of their mean)
ratios of 0.74 and 0.72 are found with 80% power, by one interval.

*Expected*, from first trials of other networks: signs of the trace agree with those of node
perturbation for θ_33 (0.90), θ_13 (0.90) and θ_15 (0.88), less for the learned rule in units of a
kick (0.74), and not at all as it comes (0.50). If chapter 08 is right, the learned rule is not
faster here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr

from companion.competition import Competition, Tuning, first_errors, tuning_variables
from companion.contest import (
    Algorithm,
    Contest,
    Ladder,
    blow_ups_expected,
    play,
    share_at_bound,
    trace_sizes,
)
from companion.experiment import Variable
from companion.miconi import criterion
from companion.search import Search
from companion.seeds import seed
from companion.settings import brief_setting, miconi_setting, selective_setting
from plasticity.learning.criterion import TrialsToCriterion
from plasticity.learning.lifetime import Lifetime
from plasticity.learning.setting import Setting
from plasticity.learning.trial import initial_learning_state
from plasticity.rules.base import Rule
from plasticity.rules.learned import learned_rule
from plasticity.rules.three_factor import make_rule, single_term

PUBLISHED = "(3,3), as published"
TERMS = {"(3,3)": (3, 3), "(1,3)": (1, 3), "(1,5)": (1, 5)}
LEARNED = "learned"
RULES = (*TERMS, LEARNED)
_TOGETHER = 4  # lifetimes, so that one program serves any number of them
_BLOCK = 250  # trials, after each of which lifetimes that are at an end make room for others


class Place(NamedTuple):
    """A published setting, and how much is learned in it.

    Attributes:
        setting: makes it, for so many units.
        choice, test: names of the seeds of networks that choose and that judge.
        n_networks, n_trials: that judge.
        n_search: trials that a search sees.
    """

    setting: Callable[..., Setting]
    choice: str
    test: str
    n_networks: int
    n_trials: int
    n_search: int


PLACES = {
    "nonmatch": Place(miconi_setting, "choice, non-match", "published, non-match", 96, 5000, 3000),
    "selective": Place(
        selective_setting, "choice, selective", "published, selective", 64, 10_000, 6000
    ),
}
SEARCH = Search(grid=(25, 4), short=(4, 8), near=(2, 16), moves=0, last=(2, 24))


def coefficients(name: str, amplitude: float) -> np.ndarray:
    """θ of one of `RULES` where kicks have this amplitude, (d+1, d+1).

    The learned rule gets θ_kℓ (A/amplitude)^ℓ, with the amplitude A at which it was learned.
    """
    if name in TERMS:
        return np.asarray(single_term(*TERMS[name], degree=max(TERMS[name])).coefficients, float)
    theta = np.asarray(learned_rule().coefficients, float)
    ratio = brief_setting().learner.exploration.amplitude / amplitude
    return theta * ratio ** np.arange(len(theta))


@dataclass(frozen=True)
class PublishedContest(Contest):
    """A rule in a published setting; its step and its bound go by the published ones.

    A lifetime ends once it has met the criterion, or blown up.

    Attributes:
        step, clip: the published ones.
    """

    step: float
    clip: float

    @classmethod
    def of(cls, name: str, setting: Setting, number: int) -> "PublishedContest":
        """One of `RULES`; the published step is measured on networks of this seed."""
        step, clip = _published_step(setting, number), float(setting.rule.clip)
        return cls(setting, _algorithm(name, setting), step, clip)

    @property
    def ladders(self) -> dict[str, Ladder]:
        """Half decades about the published step and clip."""
        step, clip = (
            tuple(value * 10 ** (e / 2) for e in range(-8, 9)) for value in (self.step, self.clip)
        )
        return {"step": Ladder(step, 6, 5), "bound": Ladder(clip, 7, 5)}

    @property
    def within(self) -> Setting:
        """The setting as it is."""
        return self.setting

    def criterion(self, lifetimes: Lifetime) -> TrialsToCriterion:
        """Trials to Miconi's criterion."""
        return criterion(np.asarray(lifetimes.errors))

    def learn(self, seed: int, runs: Sequence[int], n_updates: int, rules, sizes, **options):
        """Lifetimes of a stack of rules.

        After its end a lifetime has the mean error of its last 100 trials, or none if it blew up.
        """
        with blow_ups_expected():
            each = [
                learn_to_criterion(self.setting, rule, seed, runs, n_updates, **options)
                for rule in rules
            ]
        errors, observed = (np.stack(arrays) for arrays in zip(*each, strict=True))
        return Lifetime(None, errors, None, None, None, None, observed)


PUBLISHED_POINT = (-1, 8, 8, -1)  # rungs of the published step and clip


@cache
def _published_step(setting: Setting, number: int) -> float:
    """η times the r.m.s. of the trace, of the setting's own rule, on networks of this seed."""
    theirs = Contest(setting, _algorithm("(3,3)", setting))
    unit = float(trace_sizes(theirs, [1.0], number)[0, 0])
    return float(setting.rule.learning_rate) * unit


def _algorithm(name: str, setting: Setting) -> Algorithm:
    theirs, theta = setting.rule, coefficients(name, setting.learner.exploration.amplitude)
    trace = theirs.trace
    options = {"tau_e": trace.tau_e, "onset": trace.onset, "plain_sum": trace.plain_sum}

    def make(size, learning_rate, clip, readout_rate):
        given = {"learning_rate": learning_rate, "clip": clip, "third_factor": theirs.third_factor}
        return make_rule(theta, **given, **options)

    return Algorithm(make, "reward", "as it is", ("step", "bound"))


def learn_to_criterion(
    setting: Setting, rule: Rule, number: int, runs: Sequence[int], n_trials: int, observe=None
) -> tuple[np.ndarray, np.ndarray]:
    """Errors of each trial, (networks, H), and what was observed; lifetimes end at the criterion.

    Four lifetimes go on together, a block of trials at a time; one that has ended makes room for
    the next. After its end its errors are the mean of its last 100, or NaN if it blew up, and what
    is observed is NaN. Without ``observe`` zeros are observed.
    """
    runs, size = np.asarray(runs), min(_BLOCK, n_trials)
    length = -(-n_trials // size) * size
    key, networks, task, _, learner = setting.arguments(number, runs, rule)
    begin = jax.vmap(lambda network: initial_learning_state(network, task, rule, learner))
    states = jax.tree.map(np.array, begin(networks))
    errors, observed = np.full((2, len(runs), length), np.nan)
    done, going = np.zeros(len(runs), int), np.arange(len(runs))
    while len(going):
        # The last ones are filled up with repeats, so that one program serves all.
        which = np.resize(going[:_TOGETHER], _TOGETHER)
        before = jax.tree.map(itemgetter(which), states)
        after = setting.learn(number, runs[which], size, rule, state=before, observe=observe)
        for place, run in enumerate(which):
            block = slice(done[run], done[run] + size)
            errors[run, block] = after.errors[place]
            observed[run, block] = 0 if observe is None else after.observed[place]
        for array, new in zip(jax.tree.leaves(states), jax.tree.leaves(after.state), strict=True):
            array[which] = new
        done[np.unique(which)] += size
        met = criterion(errors[:, :n_trials])
        ended = met.reached | (done >= n_trials) | ~states.alive
        going = np.flatnonzero(~ended)
    errors, observed = errors[:, :n_trials], observed[:, :n_trials]
    for run in np.flatnonzero(met.reached):
        end = met.trials[run]
        errors[run, end:], observed[run, end:] = errors[run, max(end - 100, 0) : end].mean(), np.nan
    return errors, observed


class _Published(Competition):
    """Rules in a published setting.

    Attributes:
        place: in `PLACES`.
        n_units: N.
    """

    axis = "rule"
    n_first = 105

    place: str
    n_units: int

    @property
    def optimised(self) -> bool:
        """Small networks and short lifetimes take less time than compiling well."""
        return self.n_units * self.n_trials > 10_000

    @property
    def setting(self) -> Setting:
        """In which they learn."""
        return PLACES[self.place].setting(n_units=self.n_units)

    def contest(self, index: int) -> Contest:
        """The rule of that number in the setting."""
        name = self.competitors[index]
        name = "(3,3)" if name == PUBLISHED else name
        return PublishedContest.of(name, self.setting, seed(PLACES[self.place].choice))


@dataclass(frozen=True, kw_only=True)
class PublishedTuning(_Published, Tuning):
    """Step and clip of rules in a published setting, searched for on validation networks."""

    title = "Steps and clips in a published setting, searched for alike"
    variables = tuning_variables("rule")

    place: str = "nonmatch"
    rules: tuple[str, ...] = RULES
    search: Search = SEARCH
    n_units: int = 200
    n_trials: int = 3000  # that a search sees

    @classmethod
    def of(cls, place: str, **sizes) -> "PublishedTuning":
        """In one of `PLACES`."""
        return cls(place=place, **({"n_trials": PLACES[place].n_search} | sizes))

    @property
    def name(self) -> str:
        return f"published_tuning_{self.place}"

    @property
    def seeds(self) -> dict[str, int]:
        """Of the networks that choose."""
        return {"validation": seed(PLACES[self.place].choice)}

    @property
    def competitors(self) -> list[str]:
        """Names of the rules."""
        return list(self.rules)

    def coordinates(self):
        first = range(1, min(self.n_first, self.n_trials) + 1)
        return super().coordinates() | {"trial": first}


@dataclass(frozen=True, kw_only=True)
class PublishedComparison(_Published):
    """Rules at the step and clip chosen for them, and θ_33 at the published ones."""

    title = "Rules in a published setting, on networks that chose nothing"
    variables = {
        "trials": Variable(("rule", "network"), "trials to criterion", "trials"),
        "reached": Variable(("rule", "network"), "whether the criterion was met"),
        "saturated": Variable(
            ("rule", "network"), "mean share of weights whose change was the largest, to the end"
        ),
        "errors": Variable(("rule", "first network", "trial"), "mean error of first trials"),
    }

    tuning: PublishedTuning = PublishedTuning()
    n_networks: int = 96
    n_trials: int = 5000

    @classmethod
    def of(cls, tuning: PublishedTuning, **sizes) -> "PublishedComparison":
        """After a search, in its setting."""
        place = PLACES[tuning.place]
        most = {"n_networks": place.n_networks, "n_trials": place.n_trials}
        return cls(tuning=tuning, **(most | sizes))

    @property
    def name(self) -> str:
        return f"published_comparison_{self.place}"

    @property
    def place(self) -> str:
        return self.tuning.place

    @property
    def n_units(self) -> int:
        return self.tuning.n_units

    @property
    def seeds(self) -> dict[str, int]:
        """Of the networks that judge."""
        return {"test": seed(PLACES[self.place].test)}

    @property
    def competitors(self) -> list[str]:
        """θ_33 as it was published, and the rules."""
        return [PUBLISHED, *self.tuning.rules]

    def coordinates(self):
        return {
            "rule": self.competitors,
            "network": range(self.n_networks),
            "first network": range(min(8, self.n_networks)),
            "trial": range(1, min(self.n_first, self.n_trials) + 1),
        }

    def _chosen(self, index: int, tuning: xr.Dataset) -> tuple:
        """Point and units of a rule."""
        name = self.competitors[index]
        tuned = tuning.sel(rule="(3,3)" if name == PUBLISHED else name)
        point = PUBLISHED_POINT if name == PUBLISHED else tuned.best.values
        return point, tuned.units.values

    def measure_one(self, index: int, tuning: xr.Dataset):
        contest, networks = self.contest(index), range(self.n_networks)
        point, units = self._chosen(index, tuning)
        where = (self.seeds["test"], networks, self.n_trials)
        score = play(contest, [point], units[None], *where, observe=share_at_bound)
        changing = score.observed[0, :, self.setting.learner.first_update :]
        counts = np.isfinite(changing).sum(axis=-1)
        return {
            "trials": score.trials[0],
            "reached": score.reached[0],
            "saturated": np.nansum(changing, axis=-1) / counts.clip(1),
            "errors": score.first[0, :8],
        }

    def measure_one_again(self, index: int, recorded: xr.Dataset, tuning: xr.Dataset):
        networks = range(len(recorded["first network"]))
        where = (self.seeds["test"], networks, len(recorded.trial))
        return {"errors": first_errors(self.contest(index), *self._chosen(index, tuning), *where)}
