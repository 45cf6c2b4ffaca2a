"""Chapter 11: can the rule be told from what an experiment would record?

The protocol, written before a recording judged.

*Question*: a network ("animal") learns by a rule. Can its rule be named among five suspects from
recorded activity and rewards, and can all 36 coefficients of its trace be read off? How many units
and trials does it take, and how little noise? Is a rule that is outside the family noticed?

*Animals*: networks of the setting of chapter 07 that learn without a bound on changes, by (1,1),
(1,3), (1,5), (3,3), the learned rule, and node perturbation, which is told the kicks and is outside
the family. Their learning rates are those that chapter 07 chose for them. The same 24 networks
learn by each.

*Recordings*: at first all 100 units over 100 trials, with observation noise of 0.01 in x. Then one
thing at a time: 90, 75, 50 or 25 of the units, drawn at random; the first 10, 25 or 50 trials;
noise of 0.03, 0.1 or 0.3. And three recordings that break what the analysis assumes: rewards
shuffled over trials; changes that were bounded, by animals that learn with step and bound chosen
together; a filter of 40 ms assumed where it has 20.

*Analysis*: `plasticity.recovery.regression.recover_rule`. A fifth of the trials, the last ones, is
held out. A rule is *named* if it explains more there than the other four suspects do, each with a
rate of its own. A recording is *flagged*, as of no rule of the family, if the best polynomial
explains less of the trials held out than weights of their own would.

*Judge*: in the first recording, the share of animals whose rule is named, with a 95% interval that
resamples networks. And the share of animals told the kicks that are flagged, beside the share of
all others that are. A network whose activity does not stay finite counts as neither named nor
flagged. All else is described.

*What is read, used*: new networks learn by the coefficients that were read of each animal, from the
first recording, from half of the units and at noise of 0.1. Their restricted mean of trials to
criterion over that of the rule itself, with a 95% interval that resamples animals and networks.
*Added later*: a first attempt had 8 networks, and its intervals excluded next to nothing; the
second has 48, the first 8 among them.

*Size*: in one pilot network (another seed) every rule was named from the first recording. If that
holds for 24 of 24 networks, the share of networks is above 0.86 with 95% confidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import xarray as xr

from companion.contest import blow_ups_expected
from companion.course_comparison import CourseTuning, first_by_search
from companion.experiment import Experiment, Variable, stacked
from companion.seeds import seed
from companion.settings import brief_setting
from companion.tuning import VERIFIED
from plasticity.learning.criterion import surviving_trials
from plasticity.learning.lifetime import Lifetime
from plasticity.learning.setting import Setting
from plasticity.recovery.recording import Simulated, simulate_recording
from plasticity.recovery.regression import (
    HELD_OUT,
    STEPS_PER_WEIGHT,
    Assumed,
    predicted_changes,
    recover_rule,
)
from plasticity.rules.base import Rule, stack
from plasticity.rules.three_factor import make_rule, single_term
from plasticity.types import require

TERMS = {"(1,1)": (1, 1), "(1,3)": (1, 3), "(1,5)": (1, 5), "(3,3)": (3, 3)}
LEARNED, OUTSIDE = "learned", "node perturbation"
SUSPECTS = (*TERMS, LEARNED)
RULES = (*SUSPECTS, OUTSIDE)


class Condition(NamedTuple):
    """What is recorded, and what is assumed.

    Attributes:
        units: share of the units that are recorded.
        trials: share of the trials.
        noise: standard deviation of what is added to x.
        shuffled: whether rewards are shuffled over trials.
        bounded: whether changes of weights were bounded.
        tau_filter: time constant of the filter that is assumed, ms.
    """

    units: float = 1.0
    trials: float = 1.0
    noise: float = 0.01
    shuffled: bool = False
    bounded: bool = False
    tau_filter: float = 20.0


FIRST = "all"
CONDITIONS: dict[str, Condition] = {
    FIRST: Condition(),
    **{f"units {share:.0%}": Condition(units=share) for share in (0.9, 0.75, 0.5, 0.25)},
    **{f"trials {share:.0%}": Condition(trials=share) for share in (0.5, 0.25, 0.1)},
    **{f"noise {noise:g}": Condition(noise=noise) for noise in (0.03, 0.1, 0.3)},
    "rewards shuffled": Condition(shuffled=True),
    "changes bounded": Condition(bounded=True),
    "other filter": Condition(tau_filter=40.0),
}
# What is measured again: so few trials that learning has not amplified rounding.
_BRIEF = "trials 10%"
_DIMS = ("animal", "rule", "recording")
_LEARNING = ("rule", "source", "animal", "network")


class Animals(NamedTuple):
    """The rules of animals.

    Attributes:
        rules: without a bound, name → rule.
        bounded: with the step and the bound chosen together.
        theta: coefficients of the suspects, for a rate of 1, name → (6, 6).
    """

    rules: dict[str, Rule]
    bounded: dict[str, Rule]
    theta: dict[str, np.ndarray]


def animals(
    search: CourseTuning,
    bounded_search: CourseTuning,
    *,
    tuning: xr.Dataset,
    bounded: xr.Dataset,
    courses: xr.Dataset,
) -> Animals:
    """What animals learn by; "learned" is the course that the search with a bound put first.

    Args:
        tuning, bounded: results of the two searches.
        courses: result of `companion.courses.Courses`.
    """
    name = first_by_search(bounded, courses.course.values)

    def chosen(experiment: CourseTuning, found: xr.Dataset) -> dict[str, Rule]:
        rules = {}
        for rule in RULES:
            listed = name if rule == LEARNED else rule
            contest = experiment.contest(experiment.competitors.index(listed), courses)
            one = found.sel(rule=listed)
            rules[rule] = contest.rule(contest.values(one.best.values), one.units.values)
        return rules

    theta = {n: np.asarray(single_term(*term).coefficients) for n, term in TERMS.items()}
    theta[LEARNED] = courses.theta.sel(course=name).values
    return Animals(chosen(search, tuning), chosen(bounded_search, bounded), theta)


def recorded_as(
    condition: Condition, animal: Simulated, number: int, index: int
) -> tuple[Simulated, Assumed]:
    """What is seen of an animal with a number, and what is assumed of it."""
    rates = animal.recording.rates
    rng = np.random.default_rng([number, index])
    order = rng.permutation(rates.shape[2])  # fewer units are a part of more
    if condition.units < 1:
        animal = animal.of_units(np.sort(order[: max(round(condition.units * len(order)), 1)]))
    animal = animal.of_trials(max(round(condition.trials * len(rates)), 2))
    animal = animal.with_noise(condition.noise, int(rng.integers(2**31)))
    if condition.shuffled:
        shuffled = rng.permutation(animal.recording.rewards)
        animal = animal._replace(recording=animal.recording._replace(rewards=shuffled))
    return animal, Assumed(tau_filter=condition.tau_filter)


@dataclass(frozen=True, kw_only=True)
class _OfAnimals(Experiment):
    """What needs the rules of animals.

    Attributes:
        tuning, bounded: where learning rates were chosen, without a bound and with one.
    """

    axis = "animal"

    tuning: CourseTuning = field(default_factory=lambda: CourseTuning(bounded=False))
    bounded: CourseTuning = field(default_factory=lambda: CourseTuning(bounded=True))

    @property
    def needs(self) -> dict[str, Experiment]:
        return {"tuning": self.tuning, "bounded": self.bounded, "courses": self.tuning.courses}

    def animals(self, **needs: xr.Dataset) -> Animals:
        """Their rules, from the results of `needs`."""
        return animals(self.tuning, self.bounded, **needs)


@dataclass(frozen=True, kw_only=True)
class RuleRecovery(_OfAnimals):
    """Rules that are named and read from recordings of animals that learn by them.

    Attributes:
        recordings: names in `CONDITIONS`.
        n_animals: networks, that learn by every rule.
        n_trials: of learning that are recorded.
    """

    name = "rule_recovery"
    title = "Rules that are named and read from recordings of networks that learn by them"
    seeds = {"networks": seed("rule recovery")}
    variables = {
        "suspects": Variable(
            (*_DIMS, "suspect"), "share of the trials held out that a suspect explains"
        ),
        "explained": Variable(_DIMS, "share that the best polynomial explains"),
        "free": Variable(_DIMS, "share that weights of their own explain"),
        "weights": Variable(
            _DIMS, "share of the changes of weights in the trials held out that it predicts"
        ),
        "weights_named": Variable(_DIMS, "share of these that the suspect predicts that is named"),
        "effect": Variable(
            _DIMS, "r.m.s. effect of the error of the coefficients, over that of the rule"
        ),
        "coefficients": Variable((*_DIMS, "k", "ell"), "ηθ as it was read", "1/ms"),
        "sizes": Variable((*_DIMS, "k", "ell"), "r.m.s. of what ηθ is multiplied with", "ms"),
        "kept": Variable(_DIMS, "share of the numbers that were not taken for kicks"),
        "factor": Variable(
            ("animal", "rule", "row", "column"), "triangle R of the regression of the first one"
        ),
        "rewards": Variable(("animal", "rule", "trial"), "of the trials that were recorded"),
        "early": Variable(
            ("animal", "suspect"), f"`suspects` of the recording {_BRIEF!r} under one of the rules"
        ),
    }

    recordings: tuple[str, ...] = tuple(CONDITIONS)
    n_units: int = 100
    n_animals: int = 24
    n_trials: int = 100

    def __post_init__(self) -> None:
        unknown = sorted(set(self.recordings) - set(CONDITIONS))
        require(not unknown, "recordings of the chapter", unknown, f"choose from {[*CONDITIONS]}")
        needed = {FIRST, _BRIEF} <= set(self.recordings) and self.recordings[0] == FIRST
        fix = "list these two"
        require(needed, f"{FIRST!r} before others, and {_BRIEF!r}", self.recordings, fix)

    @property
    def setting(self) -> Setting:
        """In which animals learn."""
        return brief_setting(n_units=self.n_units)

    def may_be_flagged(self, recording: str) -> bool:
        """Whether the last trials have steps enough for weights of their own."""
        condition, task = CONDITIONS[recording], self.setting.task
        last = np.ceil(HELD_OUT * round(condition.trials * self.n_trials)) * task.n_steps
        n_weights = round(condition.units * self.n_units) + task.n_inputs
        return bool(last >= STEPS_PER_WEIGHT * n_weights)

    def coordinates(self):
        return {
            "animal": range(self.n_animals),
            "rule": list(RULES),
            "recording": list(self.recordings),
            "suspect": list(SUSPECTS),
            "trial": range(1, self.n_trials + 1),
        }

    def measure_one(self, index: int, **needs: xr.Dataset):
        which = self.animals(**needs)
        arrays = stacked([self._of_rule(index, which, rule) for rule in RULES])
        place = (index % len(RULES), self.recordings.index(_BRIEF))
        return arrays | {"early": arrays["suspects"][place]}

    def measure_one_again(self, index: int, recorded: xr.Dataset, **needs: xr.Dataset):
        which = self.animals(**needs)
        rule, condition = RULES[index % len(RULES)], CONDITIONS[_BRIEF]
        animal = self._animal(index, which.rules[rule], round(condition.trials * self.n_trials))
        number = self.seeds["networks"]
        seen = recorded_as(condition._replace(trials=1.0), animal, number, index)
        return {"early": read(*seen, which.theta)["suspects"]}

    def _animal(self, index: int, rule: Rule, n_trials: int) -> Simulated:
        where = (self.seeds["networks"], [index], n_trials)
        with blow_ups_expected():
            return simulate_recording(self.setting, rule, *where)[0]

    def _of_rule(self, index: int, which: Animals, name: str) -> dict[str, np.ndarray]:
        """All recordings of one network that learns by one rule."""
        rule, number = which.rules[name], self.seeds["networks"]
        conditions = [CONDITIONS[recording] for recording in self.recordings]
        lives = {False: self._animal(index, rule, self.n_trials)}
        if any(condition.bounded for condition in conditions):
            lives[True] = self._animal(index, which.bounded[name], self.n_trials)
        known = float(rule.learning_rate) * which.theta[name] if name in which.theta else None
        each = []
        for condition in conditions:
            seen = recorded_as(condition, lives[condition.bounded], number, index)
            each.append(read(*seen, which.theta, None if condition.bounded else known))
        arrays = stacked(each)
        first = arrays.pop("factor")[0]
        return arrays | {"factor": first, "rewards": lives[False].recording.rewards}


_NUMBERS = ("explained", "free", "weights", "weights_named", "effect", "kept")


def read(
    animal: Simulated, assumed: Assumed, theta: Mapping[str, np.ndarray], known=None
) -> dict[str, np.ndarray]:
    """Everything that one recording says; NaN where activity or weights are not finite.

    Args:
        theta: coefficients of the suspects.
        known: ηθ of the rule, if it is of the family.
    """
    rates, d1 = animal.recording.rates, assumed.degree + 1
    if not (np.abs(rates) < 1).all():
        nothing = {name: np.nan for name in _NUMBERS}
        squares = {name: np.full((d1, d1), np.nan) for name in ("coefficients", "sizes")}
        squares |= {"suspects": np.full(len(theta), np.nan)}
        return nothing | squares | {"factor": np.full((d1**2, d1**2), np.nan)}
    found = recover_rule(animal.recording, assumed)
    suspects = np.array([found.explained_by(each) for each in theta.values()])
    named = list(theta.values())[suspects.argmax()]
    named = found.learning_rate_of(named) * named
    return {
        "suspects": suspects,
        "explained": found.held_out.explained(found.coefficients.ravel()),
        "free": found.free,
        "weights": _weights_explained(animal, found.coefficients, assumed),
        "weights_named": _weights_explained(animal, named, assumed),
        "effect": np.nan if known is None else found.error_of(known),
        "coefficients": found.coefficients,
        "sizes": found.sizes,
        "kept": found.kept,
        "factor": found.fitted.factor.astype(np.float32),
    }


def _weights_explained(animal: Simulated, coefficients: np.ndarray, assumed: Assumed) -> float:
    """1 − ‖ΔW − predicted‖² / ‖ΔW‖² over the trials held out but the last."""
    predicted = predicted_changes(animal.recording, coefficients, assumed)
    changes = np.diff(animal.weights, axis=0)
    later = slice(len(animal.weights) - int(np.ceil(HELD_OUT * len(animal.weights))), len(changes))
    missed = ((changes - predicted[:-1])[later] ** 2).sum()
    return 1.0 - float(missed / (changes[later] ** 2).sum())


@dataclass(frozen=True, kw_only=True)
class RecoveredLearning(Experiment):
    """New networks that learn by rules as they were read, and by those that the animals had.

    Attributes:
        recovery: what was read.
        sources: recordings from which, names in `CONDITIONS`.
        n_networks: for each rule and animal.
        n_trials: of a lifetime.
    """

    name = "recovered_learning"
    title = "Networks that learn by rules that were read from recordings"
    axis = "rule"
    seeds = {"networks": seed("recovered rules")}
    variables = {
        "trials": Variable(
            ("rule", "source", "animal", "network"),
            "trials to criterion by what was read",
            "trials",
        ),
        "reached": Variable(("rule", "source", "animal", "network"), "whether it was met"),
        "true_trials": Variable(("rule", "network"), "trials to criterion by the rule", "trials"),
        "true_reached": Variable(("rule", "network"), "whether it was met"),
        "errors": Variable(
            ("rule", "source", "animal", "trial"), "mean error of first trials of one network"
        ),
    }

    recovery: RuleRecovery = field(default_factory=RuleRecovery)
    sources: tuple[str, ...] = (FIRST, "units 50%", "noise 0.1")
    n_networks: int = 48
    n_trials: int = 300

    @property
    def needs(self) -> dict[str, Experiment]:
        return self.recovery.needs | {"recovery": self.recovery}

    def coordinates(self):
        return {
            "rule": list(SUSPECTS),
            "source": list(self.sources),
            "animal": range(self.recovery.n_animals),
            "network": range(self.n_networks),
            "trial": range(1, min(VERIFIED, self.n_trials) + 1),
        }

    def measure_one(self, index: int, recovery: xr.Dataset, **needs: xr.Dataset):
        rule = SUSPECTS[index]
        read_rules = [self._read(recovery, rule, source) for source in self.sources]
        lives = [self._learn(rules, range(self.n_networks), self.n_trials) for rules in read_rules]
        met = [surviving_trials(one) for one in lives]
        known = self.recovery.animals(**needs).rules[rule]
        true = surviving_trials(self._learn([known], range(self.n_networks), self.n_trials))
        first = len(self.coordinates()["trial"])
        return {
            "trials": np.stack([one.trials for one in met]),
            "reached": np.stack([one.reached for one in met]),
            "true_trials": true.trials[0],
            "true_reached": true.reached[0],
            "errors": np.stack([np.asarray(one.errors)[:, 0, :first] for one in lives]),
        }

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, recovery: xr.Dataset, **needs: xr.Dataset
    ):
        each = [self._read(recovery, SUSPECTS[index], source) for source in self.sources]
        lives = [self._learn(rules, [0], recorded.sizes["trial"]) for rules in each]
        return {"errors": np.stack([np.asarray(one.errors)[:, 0] for one in lives])}

    def _read(self, recovery: xr.Dataset, rule: str, source: str) -> list[Rule]:
        """What was read of every animal; no rule where nothing could be read."""
        theta = recovery.coefficients.sel(rule=rule, recording=source).values
        return [make_rule(np.nan_to_num(one), learning_rate=1.0) for one in theta]

    def _learn(self, rules: list[Rule], runs, n_trials: int) -> Lifetime:
        setting, where = self.recovery.setting, (self.seeds["networks"], runs, n_trials)
        with blow_ups_expected():
            return setting.learn(*where, stack(rules))


EXAMPLES = {"A": "(1,5)", "B": "(1,1)", "C": OUTSIDE}


@dataclass(frozen=True, kw_only=True)
class ExampleRecording(_OfAnimals):
    """Recordings as a laboratory would have them, of three animals, to try `read_recording` on.

    Attributes:
        n_units: of an animal, all recorded.
        n_trials: that are recorded.
        noise: standard deviation of what is added to x.
    """

    name = "example_recording"
    title = "Activity, inputs and rewards of three networks that learn, with observation noise"
    seeds = {"networks": seed("recorded examples")}
    variables = {
        "activity": Variable(("animal", "trial", "time", "unit"), "rates"),
        "inputs": Variable(("animal", "trial", "step", "channel"), "inputs during each step"),
        "reward": Variable(("animal", "trial"), "rewards"),
        "condition": Variable(("animal", "trial"), "trial types"),
    }

    n_units: int = 30
    n_trials: int = 60
    noise: float = 0.01

    def coordinates(self):
        setting = self._setting()
        dt, n_steps = setting.learner.dynamics.dt, setting.task.n_steps
        return {
            "animal": list(EXAMPLES),
            "trial": range(1, self.n_trials + 1),
            "time": [dt * step for step in range(n_steps + 1)],
            "unit": range(self.n_units),
        }

    def measure_one(self, index: int, **needs: xr.Dataset):
        which = self.animals(**needs)
        return self._recording(index, which, self.n_trials)

    def measure_one_again(self, index: int, recorded: xr.Dataset, **needs: xr.Dataset):
        which = self.animals(**needs)
        return self._recording(index, which, min(10, self.n_trials))

    def _setting(self) -> Setting:
        return brief_setting(n_units=self.n_units)

    def _recording(self, index: int, which: Animals, n_trials: int) -> dict[str, np.ndarray]:
        rule, number = which.rules[list(EXAMPLES.values())[index]], self.seeds["networks"]
        animal = simulate_recording(self._setting(), rule, number, [index], n_trials)[0]
        seen = animal.with_noise(self.noise, index).recording
        return {
            "activity": seen.rates.astype(np.float32),
            "inputs": seen.inputs.astype(np.float32),
            "reward": seen.rewards,
            "condition": seen.conditions,
        }
