"""Chapter 08: what the learned rule is made of, and whether it works elsewhere."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import xarray as xr

from companion.experiment import Experiment, Variable
from companion.labels import term_labels
from companion.learned_rule import MetaComparison, Selection, learned_coefficients
from companion.seeds import seed
from companion.settings import brief_setting
from companion.statistics import Interval, bootstrap_interval
from companion.tuning import SIZES, VERIFIED, at_sizes, first_errors, integrand_size, outcomes
from plasticity.learning.criterion import failure_reward
from plasticity.learning.setting import Setting
from plasticity.rules.base import Rule, RuleStack, stack
from plasticity.rules.three_factor import make_rule, miconi, node_perturbation, single_term

TERMS = tuple(product(range(6), range(6)))
LABELS = tuple(term_labels())
_KEPT = 8  # networks whose first errors are kept


@dataclass(frozen=True, kw_only=True)
class KnockOuts(Experiment):
    """Each of the 36 coefficients removed, moved, and alone.

    The learning rate is that of the intact rule throughout; ψ = θ · scale.

    Attributes:
        n_alone: networks on which a term is tried alone.
        step: by how much ψ is raised and lowered, as a share of the largest |ψ|.
        sizes: of updates of a term alone.
    """

    name = "knock_outs"
    title = "Each coefficient of the learned rule removed, moved, and alone"
    axis = "term"
    seeds = {"knock-outs": seed("knock-outs")}
    variables = {
        "psi": Variable(("term",), "ψ of the learned rule"),
        "trials": Variable(("term", "variant", "network"), "trials to criterion", "trials"),
        "rewards": Variable(
            ("term", "variant", "network"), "mean over all trials; −2 a trial from a blow-up on"
        ),
        "alone": Variable(
            ("term", "signed size", "other network"),
            "trials to criterion of the term alone; a negative size flips its sign",
            "trials",
        ),
        "errors": Variable(
            ("term", "first network", "trial"), "mean error of first trials without the term"
        ),
    }

    comparison: MetaComparison = MetaComparison()
    n_units: int = 100
    n_networks: int = 48
    n_alone: int = 12
    n_trials: int = 400
    step: float = 0.5
    sizes: tuple[float, ...] = SIZES[3:10:2]

    @property
    def needs(self) -> dict[str, Experiment]:
        return {"comparison": self.comparison, "selection": self.comparison.selection}

    def coordinates(self):
        return {
            "term": LABELS,
            "variant": ["intact", "without", "raised", "lowered"],
            "network": range(self.n_networks),
            "signed size": self._signed_sizes,
            "other network": range(self.n_alone),
            "first network": range(min(_KEPT, self.n_networks)),
            "trial": range(1, VERIFIED + 1),
        }

    @property
    def _signed_sizes(self) -> tuple[float, ...]:
        return tuple(self.sizes) + tuple(-size for size in self.sizes)

    def measure_one(self, index: int, comparison: xr.Dataset, selection: xr.Dataset):
        setting, number = brief_setting(n_units=self.n_units), self.seeds["knock-outs"]
        rules = self._variants(setting, index, comparison, selection)
        networks = range(self.n_networks)
        result, errors = outcomes(setting, rules, number, networks, self.n_trials)
        term = at_sizes(setting, single_term(*TERMS[index]), self._signed_sizes)
        alone, _ = outcomes(setting, term, number, range(self.n_alone), self.n_trials)
        learned, scale = learned_coefficients(selection)
        rewards = np.nan_to_num(-errors, nan=failure_reward(setting.learner))
        return {
            "psi": (learned * scale)[TERMS[index]],
            "trials": result.trials,
            "rewards": rewards.mean(axis=-1),
            "alone": alone.trials,
            "errors": errors[1, :_KEPT, :VERIFIED],
        }

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, comparison: xr.Dataset, selection: xr.Dataset
    ):
        setting = brief_setting(n_units=self.n_units)
        without = self._variants(setting, index, comparison, selection)[1]
        networks = range(recorded.errors.shape[0])
        number = self.seeds["knock-outs"]
        return {"errors": first_errors(setting, stack([without]), number, networks)[0]}

    def _variants(
        self, setting: Setting, index: int, comparison: xr.Dataset, selection: xr.Dataset
    ) -> RuleStack:
        """The rule intact, without the coefficient, with ψ raised and lowered."""
        learned, scale = learned_coefficients(selection)
        move = self.step * float(np.abs(learned * scale).max()) / scale[TERMS[index]]
        thetas = np.repeat(learned[None], 4, axis=0).astype(float)
        thetas[:, *TERMS[index]] += [0.0, 0.0, move, -move]
        thetas[1][TERMS[index]] = 0.0
        size = float(comparison.best.sel(rule="learned"))
        rate = size / integrand_size(setting, make_rule(learned))
        options = {"learning_rate": rate, "clip": float(setting.rule.clip)}
        return stack([make_rule(theta, **options) for theta in thetas])


def intervals(*samples: xr.DataArray, along: str, **options) -> dict[str, Interval]:
    """`bootstrap_interval` at each label of the dimension ``along``, in 1999 draws.

    Args:
        samples: paired; one without that dimension goes with every label.
        options: as of `bootstrap_interval`.
    """
    options = {"n_resamples": 1999} | options

    def one(label) -> Interval:
        pair = [s.sel({along: label}) if along in s.dims else s for s in samples]
        return bootstrap_interval(*pair, **options)

    return {str(label): one(label) for label in samples[0][along].values}


def largest(theta: np.ndarray, scale: np.ndarray, count: int) -> np.ndarray:
    """θ with only the ``count`` coefficients of largest |ψ|, ψ = θ · scale; of equals the first."""
    order = np.argsort(-np.abs(theta * scale), axis=None, kind="stable")[:count]
    kept = np.zeros(theta.size)
    kept[order] = theta.ravel()[order]
    return kept.reshape(theta.shape)


def tuned_size(setting: Setting, rule: Rule, sizes, n_networks: int, n_trials: int) -> float:
    """The size of the least restricted mean on the first validation networks."""
    stacked, networks = at_sizes(setting, rule, sizes), range(n_networks)
    result, _ = outcomes(setting, stacked, seed("validation"), networks, n_trials)
    return float(sizes[int(result.trials.mean(axis=-1).argmin())])


@dataclass(frozen=True, kw_only=True)
class SparseRules(Experiment):
    """The learned rule with only its largest coefficients, each tuned, and (3,3).

    Attributes:
        counts: of coefficients that are kept.
        n_tuning: validation networks on which rates are chosen.
    """

    name = "sparse_rules"
    title = "The learned rule with only its largest coefficients"
    axis = "version"
    seeds = {"sparse rules": seed("sparse rules"), "validation": seed("validation")}
    variables = {
        "count": Variable(("version",), "coefficients that are kept; 0 for (3,3)"),
        "best": Variable(("version",), "size of updates of the least restricted mean"),
        "trials": Variable(("version", "network"), "trials to criterion", "trials"),
        "errors": Variable(("version", "first network", "trial"), "mean error of first trials"),
    }

    selection: Selection = Selection()
    counts: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 36)
    n_units: int = 100
    n_tuning: int = 32
    n_networks: int = 128
    n_trials: int = 400
    sizes: tuple[float, ...] = SIZES[3:11]

    def coordinates(self):
        return {
            "version": [*(f"{count} largest" for count in self.counts), "(3,3)"],
            "network": range(self.n_networks),
            "first network": range(min(_KEPT, self.n_networks)),
            "trial": range(1, VERIFIED + 1),
        }

    def measure_one(self, index: int, selection: xr.Dataset):
        setting, rule = brief_setting(n_units=self.n_units), self._rule(index, selection)
        best = tuned_size(setting, rule, self.sizes, self.n_tuning, self.n_trials)
        stacked, networks = at_sizes(setting, rule, [best]), range(self.n_networks)
        number = self.seeds["sparse rules"]
        result, errors = outcomes(setting, stacked, number, networks, self.n_trials)
        return {
            "count": (*self.counts, 0)[index],
            "best": best,
            "trials": result.trials[0],
            "errors": errors[0, :_KEPT, :VERIFIED],
        }

    def measure_one_again(self, index: int, recorded: xr.Dataset, selection: xr.Dataset):
        setting = brief_setting(n_units=self.n_units)
        stacked = at_sizes(setting, self._rule(index, selection), [float(recorded.best)])
        networks = range(recorded.errors.shape[0])
        return {"errors": first_errors(setting, stacked, self.seeds["sparse rules"], networks)[0]}

    def _rule(self, index: int, selection: xr.Dataset) -> Rule:
        if index == len(self.counts):
            return miconi()
        return make_rule(largest(*learned_coefficients(selection), self.counts[index]))


# Where to: trials, share of the units, other options of `brief_setting`.
TRANSFERS: dict[str, tuple[int, float, dict]] = {
    "as trained": (400, 1.0, {}),
    "N × 1/2": (400, 0.5, {}),
    "N × 2": (400, 2.0, {}),
    "delay 100 ms": (400, 1.0, {"delay": 100.0}),
    "delay 600 ms": (400, 1.0, {"delay": 600.0}),
    "integration": (400, 1.0, {"task": "evidence_integration"}),
    "non-match": (1000, 1.0, {"task": "delayed_nonmatch_to_sample"}),
}


@dataclass(frozen=True, kw_only=True)
class Transfer(Experiment):
    """The learned rules elsewhere, their rates tuned there as for the others.

    Attributes:
        selection, other: where the rules learned on association and on integration come from.
        cases: of `TRANSFERS`.
        n_tuning: validation networks on which rates are chosen.
        share: of the trials of `TRANSFERS`.
    """

    name = "transfer"
    title = "The learned rules in other networks, delays and tasks"
    axis = "case"
    seeds = {"transfer": seed("transfer"), "validation": seed("validation")}
    variables = {
        "best": Variable(("case", "rule"), "size of updates of the least restricted mean"),
        "horizon": Variable(("case",), "trials at which lifetimes are censored", "trials"),
        "trials": Variable(("case", "rule", "network"), "trials to criterion", "trials"),
        "errors": Variable(
            ("case", "first network", "trial"), "mean error of first trials, learned rule"
        ),
    }

    selection: Selection = Selection()
    other: Selection = Selection.of("integration")
    cases: tuple[str, ...] = tuple(TRANSFERS)
    n_units: int = 100
    n_tuning: int = 12
    n_networks: int = 64
    share: float = 1.0
    sizes: tuple[float, ...] = SIZES[4:10]

    def coordinates(self):
        return {
            "case": list(self.cases),
            "rule": ["learned", "other", "(3,3)", "(1,5)", "node perturbation"],
            "network": range(self.n_networks),
            "first network": range(min(_KEPT, self.n_networks)),
            "trial": range(1, VERIFIED + 1),
        }

    def measure_one(self, index: int, selection: xr.Dataset, other: xr.Dataset):
        setting, n_trials = self._place(index)
        best, results = [], []
        for rule in self._rules(selection, other):
            best.append(tuned_size(setting, rule, self.sizes, self.n_tuning, n_trials))
            stacked, networks = at_sizes(setting, rule, best[-1:]), range(self.n_networks)
            number = self.seeds["transfer"]
            results.append(outcomes(setting, stacked, number, networks, n_trials))
        return {
            "best": best,
            "horizon": n_trials,
            "trials": [result.trials[0] for result, _ in results],
            "errors": results[0][1][0, :_KEPT, :VERIFIED],
        }

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, selection: xr.Dataset, other: xr.Dataset
    ):
        setting, _ = self._place(index)
        rule = self._rules(selection, other)[0]
        stacked = at_sizes(setting, rule, [float(recorded.best.sel(rule="learned"))])
        networks = range(recorded.errors.shape[0])
        return {"errors": first_errors(setting, stacked, self.seeds["transfer"], networks)[0]}

    def _place(self, index: int) -> tuple[Setting, int]:
        """Setting and trials of a case."""
        trials, units, options = TRANSFERS[self.cases[index]]
        setting = brief_setting(n_units=round(units * self.n_units), **options)
        return setting, round(self.share * trials)

    @staticmethod
    def _rules(selection: xr.Dataset, other: xr.Dataset) -> list[Rule]:
        learned = [make_rule(learned_coefficients(data)[0]) for data in (selection, other)]
        return [*learned, miconi(), single_term(1, 5), node_perturbation()]
