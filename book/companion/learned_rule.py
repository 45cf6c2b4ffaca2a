"""Which rule of `companion.meta_training` is kept, and at which rates rules are compared with it.

It is the rule of the sixth attempt that chapter 07 lists, which chapters 08 to 10 take apart.

Validation networks choose, test networks judge, and no network does both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import xarray as xr

from companion.experiment import Experiment, Variable
from companion.meta_training import POWERS, TASKS, Training, capped
from companion.seeds import seed
from companion.settings import brief_setting
from companion.tuning import SIZES, VERIFIED, at_sizes, first_errors, outcomes
from plasticity.learning.criterion import failure_reward
from plasticity.learning.setting import Setting
from plasticity.rules.base import Rule, RuleStack
from plasticity.rules.three_factor import make_rule, node_perturbation, single_term

Term = tuple[int, int]
ODD: tuple[Term, ...] = tuple(product((1, 3, 5), (1, 3, 5)))
# The most that is spent on the second task, which is learned within fewer trials.
SECOND = {"n_validation": 256, "n_trials": 200}
SECOND_COMPARISON = {"n_tuning": 64, "n_again": 256, "n_networks": 256, "n_trials": 200}
_KEPT = 8  # networks whose first errors are kept
_UNMET = 4096  # the first validation network that no other choice has met


def candidates(starts: Iterable[str], evaluations: Iterable[int]) -> list[tuple[str, int]]:
    """What meta-training offers: start and iteration of every candidate.

    The averages that were evaluated in the second half of each course, start by start, and then the
    means of these over starts: where noise has carried each course another way, their mean lies
    nearer to the middle of the plateau (ours, as where the weights of networks are averaged).
    """
    evaluations = list(evaluations)
    late = [iteration for iteration in evaluations if 2 * iteration >= max(evaluations)]
    return list(product([*starts, "mean of starts"], late))


def candidate_coefficients(training: xr.Dataset, start: str, iteration: int) -> np.ndarray:
    """θ of a candidate, (d+1, d+1)."""
    averages = training.averaged.sel(iterate=iteration).astype(float)
    # All scales are those of one task, so the mean of ψ is that of θ.
    one = (
        averages.mean("start", skipna=False)
        if start == "mean of starts"
        else averages.sel(start=start)
    )
    return one.values


class _Tried(Experiment):
    """Rules on validation networks; which they are, and first errors of each, is found again."""

    seeds = {"validation": seed("validation")}

    def _on_networks(self, theta: np.ndarray, sizes, first: int, n: int) -> tuple:
        """Setting, stack, seed and networks: what `outcomes` and `first_errors` begin with."""
        setting = brief_setting(TASKS[self.task], n_units=self.n_units)
        networks = range(first, first + n)
        stacked = at_sizes(setting, make_rule(theta), sizes)
        return setting, stacked, self.seeds["validation"], networks

    def _try(self, theta: np.ndarray, first: int) -> dict[str, np.ndarray]:
        where = self._on_networks(theta, self.sizes, first, self.n_validation)
        result, errors = outcomes(*where, self.n_trials)
        return {"theta": theta, "trials": result.trials, "errors": errors[0, :_KEPT, :VERIFIED]}

    def _try_again(self, theta: np.ndarray, first: int) -> dict[str, np.ndarray]:
        n = min(_KEPT, self.n_validation)
        where = self._on_networks(theta, self.sizes[:1], first, n)
        return {"theta": theta, "errors": first_errors(*where)[0]}


def _variables(axis: str) -> dict[str, Variable]:
    return {
        "theta": Variable((axis, "k", "ell"), "θ of the candidate"),
        "iteration": Variable((axis,), "of the outer loop, from which it comes"),
        "scale": Variable((axis, "k", "ell"), "s, size of a term relative to that of θ_33"),
        "trials": Variable((axis, "size", "network"), "trials to criterion", "trials"),
        "errors": Variable(
            (axis, "first network", "trial"), "mean error of first trials at the first size"
        ),
    }


@dataclass(frozen=True, kw_only=True)
class Shortlist(_Tried):
    """All `candidates` on few validation networks."""

    title = "All candidates for the learned rule on few validation networks"
    axis = "candidate"
    variables = _variables("candidate")

    training: Training = Training()
    n_units: int = 100
    n_validation: int = 512
    n_trials: int = 400
    sizes: tuple[float, ...] = SIZES[4:6]

    @classmethod
    def of(cls, training: Training | str, **sizes) -> "Shortlist":
        """Of a training, or of a task; sizes as given, for the second task `SECOND` at most."""
        training = Training.of(training) if isinstance(training, str) else training
        most = {} if training.task == "association" else SECOND
        return cls(training=training, **capped(cls, most, sizes))

    @property
    def task(self) -> str:
        return self.training.task

    @property
    def name(self) -> str:
        return f"shortlist_{self.task}"

    @property
    def candidates(self) -> list[tuple[str, int]]:
        """Start and iteration of every candidate."""
        return candidates(self.training.starts, self.training.evaluations())

    def coordinates(self):
        from_start = "from {}, step {}"
        labels = [
            (f"{start}, step {n}" if start == "mean of starts" else from_start.format(start, n))
            for start, n in self.candidates
        ]
        return POWERS | {
            "candidate": labels,
            "size": self.sizes,
            "network": range(self.n_validation),
            "first network": range(min(_KEPT, self.n_validation)),
            "trial": range(1, VERIFIED + 1),
        }

    def measure_one(self, index: int, training: xr.Dataset):
        theta = candidate_coefficients(training, *self.candidates[index])
        origin = {"iteration": self.candidates[index][1], "scale": training.scale[0].values}
        return self._try(theta, 0) | origin

    def measure_one_again(self, index: int, recorded: xr.Dataset, training: xr.Dataset):
        return self._try_again(candidate_coefficients(training, *self.candidates[index]), 0)


def fewest_trials(trials: xr.DataArray) -> xr.DataArray:
    """Restricted mean at the best of the sizes."""
    return trials.mean("network").min("size")


def ranking(tried: xr.Dataset) -> np.ndarray:
    """Positions in a `Shortlist` or `Selection`, that of the fewest trials first."""
    return np.argsort(fewest_trials(tried.trials).values, kind="stable")


@dataclass(frozen=True, kw_only=True)
class Selection(_Tried):
    """The best of the shortlist on many validation networks that it has not met.

    The one of the fewest trials is the learned rule; see `learned_coefficients`.

    Attributes:
        n_kept: how many of the shortlist are tried again, the best first.
    """

    title = "The best candidates for the learned rule on other validation networks"
    axis = "place"
    variables = _variables("place")

    shortlist: Shortlist = Shortlist()
    n_kept: int = 5
    n_units: int = 100
    n_validation: int = 2048
    n_trials: int = 400
    sizes: tuple[float, ...] = SIZES[4:6]

    @classmethod
    def of(cls, shortlist: Shortlist | str, **sizes) -> "Selection":
        """Of a shortlist, or of a task; sizes as given, for the second task `SECOND` at most."""
        shortlist = Shortlist.of(shortlist) if isinstance(shortlist, str) else shortlist
        most = {} if shortlist.task == "association" else SECOND
        return cls(shortlist=shortlist, **capped(cls, most, sizes))

    @property
    def task(self) -> str:
        return self.shortlist.task

    @property
    def name(self) -> str:
        return f"selection_{self.task}"

    def coordinates(self):
        offered = len(self.shortlist.candidates)
        return POWERS | {
            "place": range(1, min(self.n_kept, offered) + 1),
            "size": self.sizes,
            "network": self._networks,
            "first network": self._networks[:_KEPT],
            "trial": range(1, VERIFIED + 1),
        }

    @property
    def _networks(self) -> range:
        return range(self.shortlist.n_validation, self.shortlist.n_validation + self.n_validation)

    def measure_one(self, index: int, shortlist: xr.Dataset):
        candidate = shortlist.isel(candidate=ranking(shortlist)[index])
        origin = {"iteration": candidate.iteration.values, "scale": shortlist.scale[0].values}
        return self._try(candidate.theta.values, self._networks.start) | origin

    def measure_one_again(self, index: int, recorded: xr.Dataset, shortlist: xr.Dataset):
        candidate = shortlist.isel(candidate=ranking(shortlist)[index])
        return self._try_again(candidate.theta.values, self._networks.start)


def learned_coefficients(selection: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """θ and scale of the learned rule: the one of the fewest trials in a `Selection`."""
    best = selection.isel(place=ranking(selection)[0])
    return best.theta.values, best.scale.values


def second_round(shortlist: xr.Dataset, selection: xr.Dataset) -> xr.DataArray:
    """Restricted means of a `Selection` by candidate of the `Shortlist` it is of, best first."""
    trials = fewest_trials(selection.trials)
    names = shortlist.candidate.values[ranking(shortlist)[: trials.size]]
    return trials.rename(place="candidate").assign_coords(candidate=names)


def compared_rules(learned: np.ndarray, terms: Iterable[Term] = ODD) -> dict[str, Rule]:
    """The rules that are tuned and compared, before they are given their rates."""
    rules = {"learned": make_rule(learned)}
    rules |= {f"({k},{ell})": single_term(k, ell) for k, ell in terms}
    return rules | {"node perturbation": node_perturbation()}


@dataclass(frozen=True, kw_only=True)
class MetaComparison(Experiment):
    """Each rule tuned over sizes and both signs on validation networks, then compared on others.

    Sizes are chosen in two rounds, for the curves are flat: the best three again, on more networks
    than all of them could be tried on.

    Attributes:
        terms: the rules of a single term that are compared.
        n_tuning, n_again: validation networks of the first and the second round.
        n_networks: test networks.
    """

    title = "Rules at rates tuned alike, on networks that they have not met"
    axis = "rule"
    variables = {
        "tuning": Variable(
            ("rule", "signed size", "tuning network"),
            "trials to criterion on validation networks; a negative size flips the sign of θ",
            "trials",
        ),
        "near": Variable(("rule", "place"), "the best three of these sizes"),
        "again": Variable(
            ("rule", "place", "other network"),
            "trials to criterion with them on other validation networks",
            "trials",
        ),
        "best": Variable(("rule",), "of these the size of the least restricted mean"),
        "trials": Variable(("rule", "network"), "trials to criterion, test networks", "trials"),
        "reached": Variable(("rule", "network"), "whether the criterion was met, test networks"),
        "blocks": Variable(
            ("rule", "network", "block"), "mean error of 20 trials each, test networks"
        ),
        "errors": Variable(("rule", "first network", "trial"), "mean error of first trials"),
    }

    selection: Selection = Selection()
    terms: tuple[Term, ...] = ODD
    n_units: int = 100
    n_tuning: int = 256
    n_again: int = 1024
    n_networks: int = 4096
    n_trials: int = 400
    sizes: tuple[float, ...] = SIZES

    @classmethod
    def of(cls, selection: Selection | str, **sizes) -> "MetaComparison":
        """Of a selection, or of a task; the second task has `SECOND_COMPARISON` at most."""
        selection = Selection.of(selection) if isinstance(selection, str) else selection
        most = {} if selection.task == "association" else SECOND_COMPARISON
        return cls(selection=selection, **capped(cls, most, sizes))

    @property
    def task(self) -> str:
        return self.selection.task

    @property
    def name(self) -> str:
        return f"meta_comparison_{self.task}"

    @property
    def seeds(self) -> dict[str, int]:
        """Of the choice of rates, and of the test."""
        return {"validation": seed("validation"), "test": seed(f"test, {self.task}")}

    @property
    def rules(self) -> list[str]:
        """Names of the rules."""
        return ["learned", *self.singles, "node perturbation"]

    @property
    def singles(self) -> list[str]:
        """Names of the rules of a single term."""
        return [f"({k},{ell})" for k, ell in self.terms]

    def coordinates(self):
        return {
            "rule": self.rules,
            "signed size": self._signed_sizes,
            "tuning network": range(self.n_tuning),
            "place": range(1, 4),
            "other network": range(_UNMET, _UNMET + self.n_again),
            "network": range(self.n_networks),
            "block": range(self.n_trials // 20),
            "first network": range(min(32, self.n_networks)),
            "trial": range(1, min(16, self.n_trials) + 1),
        }

    @property
    def _signed_sizes(self) -> tuple[float, ...]:
        return tuple(self.sizes) + tuple(-size for size in self.sizes)

    def measure_one(self, index: int, selection: xr.Dataset):
        setting, rule = self._setting, self._rule(index, selection)
        tuning = self._trials(setting, at_sizes(setting, rule, self._signed_sizes), self.n_tuning)
        near = _fewest(tuning, self._signed_sizes)[:3]
        again = self._trials(setting, at_sizes(setting, rule, near), self.n_again, first=_UNMET)
        best = _fewest(again, near)[0]
        judged = self._judge(setting, at_sizes(setting, rule, [best]))
        return {"tuning": tuning, "near": near, "again": again, "best": best} | judged

    def measure_one_again(self, index: int, recorded: xr.Dataset, selection: xr.Dataset):
        setting = self._setting
        # Sizes are chosen again among those that were tried, from the trials that they took.
        near = _fewest(recorded.tuning.values, self._signed_sizes)[:3]
        best = _fewest(recorded.again.values, near)[0]
        rules = at_sizes(setting, self._rule(index, selection), [best])
        networks = range(recorded.errors.shape[0])
        errors = first_errors(setting, rules, self.seeds["test"], networks)[0]
        return {"near": near, "best": best, "errors": errors}

    @property
    def _setting(self) -> Setting:
        return brief_setting(TASKS[self.task], n_units=self.n_units)

    def _rule(self, index: int, selection: xr.Dataset) -> Rule:
        learned, _ = learned_coefficients(selection)
        return compared_rules(learned, self.terms)[self.rules[index]]

    def _trials(self, setting: Setting, rules: RuleStack, n: int, first: int = 0) -> np.ndarray:
        networks = range(first, first + n)
        return outcomes(setting, rules, self.seeds["validation"], networks, self.n_trials)[0].trials

    def _judge(self, setting: Setting, rule: RuleStack) -> dict[str, np.ndarray]:
        networks = range(self.n_networks)
        result, errors = outcomes(setting, rule, self.seeds["test"], networks, self.n_trials)
        whole = errors[0, :, : self.n_trials // 20 * 20]
        # From a blow-up on every trial counts as one with the wrong sign.
        whole = np.nan_to_num(whole, nan=-failure_reward(setting.learner))
        return {
            "trials": result.trials[0],
            "reached": result.reached[0],
            "blocks": whole.reshape(self.n_networks, -1, 20).mean(axis=-1).astype(np.float32),
            "errors": errors[0, :32, :16],
        }


def _fewest(trials: np.ndarray, sizes: Sequence[float]) -> list[float]:
    """Sizes by the restricted means of trials (sizes, networks), the least first."""
    return [sizes[i] for i in np.argsort(trials.mean(axis=-1), kind="stable")]


def best_single(comparison: xr.Dataset) -> str:
    """The single-term rule of the fewest trials where rates were chosen, of a `MetaComparison`."""
    singles = [name for name in comparison.rule.values.tolist() if name.startswith("(")]
    means = comparison.again.sel(rule=singles).mean("other network").min("place")
    return singles[int(np.argmin(means.values))]


def mean_errors(comparison: xr.Dataset, last: int | None = None) -> xr.DataArray:
    """Error of each rule in each test network, mean of all trials or the last, by blocks of 20."""
    first = None if last is None else -last // 20
    return comparison.blocks.isel(block=slice(first, None)).mean("block")
