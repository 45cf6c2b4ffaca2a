"""Chapter 09: what each rule does to the same networks, as dynamical systems.

The learning rates are those of the comparison of rules, chosen on other networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr

from companion.experiment import Experiment, Variable
from companion.learned_rule import MetaComparison, compared_rules, learned_coefficients
from companion.seeds import seed
from companion.settings import brief_setting
from companion.tuning import VERIFIED, at_sizes
from plasticity.dynamics.portrait import (
    POINT_MEASURES,
    TRIAL_MEASURES,
    Portrait,
    Trials,
    draw_portrait,
    point_measures,
    trial_measures,
    unperturbed_trials,
)
from plasticity.dynamics.spectrum import jacobian
from plasticity.learning.criterion import TrialsToCriterion, trials_to_criterion
from plasticity.learning.setting import Setting
from plasticity.learning.trial import initial_learning_state
from plasticity.model.network import Network
from plasticity.rules.base import Rule
from plasticity.rules.three_factor import zero
from plasticity.types import require

RULES = ("untrained", "(3,3)", "(1,1)", "(1,5)", "learned", "node perturbation")
MEASURES = TRIAL_MEASURES + POINT_MEASURES
STAGES = ("at criterion", "after all trials")
_BLOCK = 20  # trials between the moments at which networks may be looked at
_KEPT = 2  # networks whose last weights are kept
_EARLY = 8  # networks that are looked at after their first trials


class Beginning(NamedTuple):
    """A network before it learns, and its trials without kicks."""

    network: Network
    trials: Trials

    def with_weights(self, W: np.ndarray) -> Network:
        """The network with other recurrent weights."""
        return self.network._replace(W=W)


def rule_of(setting: Setting, name: str, learned: np.ndarray, size: float) -> Rule:
    """The rule called ``name`` at the rate of ``size``, see `companion.tuning.at_sizes`.

    Args:
        learned: θ of the rule called "learned".

    Raises:
        ValueError: an unknown name.
    """
    require(name in RULES, "a rule of this chapter", repr(name), f"choose from {RULES}")
    if name == "untrained":
        return zero(degree=5, clip=float(setting.rule.clip))
    return at_sizes(setting, compared_rules(learned)[name], [size])[0]


def weights_over_learning(
    setting: Setting, rule: Rule, number: int, networks: Sequence[int], n_trials: int
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Trials → W after so many (0, 4, 20, 40, …), (networks, N, N); and which trials were correct.

    Args:
        number: the seed of the networks and their trials.

    Raises:
        ValueError: n_trials not a multiple of 20.
    """
    fits = n_trials >= _BLOCK and n_trials % _BLOCK == 0
    require(fits, f"n_trials a multiple of {_BLOCK}", n_trials, "round it")

    def begin(network):
        return initial_learning_state(network, setting.task, rule, setting.learner)

    # In steps as short, and with the first state given like all others, one program serves all.
    state = jax.vmap(begin)(setting.networks(number, networks))
    weights, correct = {0: np.asarray(state.W)}, []
    for trial in range(VERIFIED, n_trials + 1, VERIFIED):
        lifetimes = setting.learn(number, networks, VERIFIED, rule, state=state)
        state = lifetimes.state
        correct.append(np.asarray(lifetimes.correct))
        if trial == VERIFIED or trial % _BLOCK == 0:
            weights[trial] = np.asarray(state.W)
    return weights, np.concatenate(correct, axis=-1)


def beginnings(setting: Setting, number: int, n_networks: int) -> list[Beginning]:
    """The first networks of a seed, as they are before they learn."""
    together = setting.networks(number, range(n_networks))
    networks = [jax.tree.map(lambda a, i=i: a[i], together) for i in range(n_networks)]
    at_task = (setting.task, setting.learner)
    return [Beginning(n, unperturbed_trials(n, *at_task, seed=number)) for n in networks]


def numbers_of_trials(
    setting: Setting, number: int, W: np.ndarray, before: Sequence[Beginning]
) -> np.ndarray:
    """`TRIAL_MEASURES` of networks whose weights are now W, (networks, 8)."""
    task, learner, numbers = setting.task, setting.learner, []
    for weights, beginning in zip(W, before, strict=True):
        network = beginning.with_weights(weights)
        trials = unperturbed_trials(network, task, learner, seed=number)
        numbers.append(list(trial_measures(network, trials, learner, beginning).values()))
    return np.array(numbers)


def operating_spectrum(network: Network, portrait: Portrait, transfer) -> np.ndarray:
    """Eigenvalues at the operating point of the first condition, (N, 2); NaN if there is none.

    Real and imaginary parts, 1/τ.
    """
    x = portrait.operating[0]
    values = np.full(len(x), np.nan, complex)
    if np.isfinite(x).all():
        values = np.linalg.eigvals(jacobian(np.asarray(network.W), x, transfer)).astype(complex)
    return np.stack([values.real, values.imag], axis=-1).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class RuleDynamics(Experiment):
    """Networks taken apart after learning by every rule from the same starts.

    Attributes:
        comparison: in which the rates of the rules were chosen, and for which the learned rule was.
        rules: names in `RULES`.
        n_starts: of the search for fixed points, for each network and constant input.
        moments: trials after which networks are looked at, multiples of 20.

    Raises:
        ValueError: an unknown rule, moments that are not reached or not multiples of 20.
    """

    name = "rule_dynamics"
    title = "Networks as dynamical systems, after learning by every rule from the same starts"
    axis = "rule"
    seeds = {"dynamics": seed("dynamics")}
    variables = {
        "trials": Variable(("rule", "network"), "trials to criterion", "trials"),
        "reached": Variable(("rule", "network"), "whether the criterion was met"),
        "course": Variable(
            ("rule", "moment", "network", "trial_measure"),
            "numbers from trials without kicks after so many trials of learning; abscissas in 1/τ",
        ),
        "measures": Variable(
            ("rule", "stage", "network", "measure"),
            "numbers from trials without kicks and from fixed points, first at the block of 20"
            " trials in which the criterion was met (NaN where it never was), then after all"
            " trials; abscissas in 1/τ",
            "1 (frequency: Hz)",
        ),
        "eigenvalues": Variable(
            ("rule", "network", "mode", "component"),
            "of the Jacobian at the operating point of the first cue, after all trials; NaN where"
            " there is none",
            "1/τ",
        ),
        "weights": Variable(
            ("rule", "kept_network", "post", "pre"), "W after all trials, of the first networks"
        ),
        "operating": Variable(
            ("rule", "kept_network", "condition", "unit"),
            "x of the fixed point nearest to where the trials of a cue end, with these weights; NaN"
            " where there is none",
        ),
        "kept": Variable(
            ("rule", "kept_network", "trial_measure"),
            "numbers from trials without kicks, with these weights; abscissas in 1/τ",
        ),
        "early": Variable(
            ("rule", "early_network", "trial_measure"),
            f"the same of the first networks after {VERIFIED} trials of learning",
        ),
    }

    comparison: MetaComparison = MetaComparison()
    rules: tuple[str, ...] = RULES
    n_units: int = 100
    n_networks: int = 32
    n_trials: int = 400
    n_starts: int = 200
    moments: tuple[int, ...] = (0, 20, 40, 80, 160, 400)

    def __post_init__(self) -> None:
        unknown = [name for name in self.rules if name not in RULES]
        require(not unknown, "rules of this chapter", unknown, f"choose from {RULES}")
        inside = all(m % _BLOCK == 0 and 0 <= m <= self.n_trials for m in self.moments)
        rule = f"moments are multiples of {_BLOCK} up to {self.n_trials}"
        require(inside, rule, self.moments, "leave the others out")

    @property
    def needs(self) -> dict[str, Experiment]:
        return {"comparison": self.comparison, "selection": self.comparison.selection}

    def coordinates(self):
        return {
            "rule": list(self.rules),
            "network": range(self.n_networks),
            "moment": list(self.moments),
            "trial_measure": list(TRIAL_MEASURES),
            "stage": list(STAGES),
            "measure": list(MEASURES),
            "component": ["real", "imaginary"],
            "kept_network": range(min(_KEPT, self.n_networks)),
            "early_network": range(min(_EARLY, self.n_networks)),
        }

    def measure_one(self, index: int, comparison: xr.Dataset, selection: xr.Dataset):
        setting, number = self._setting, self.seeds["dynamics"]
        rule = self._rule(index, comparison, selection)
        networks, before = range(self.n_networks), beginnings(setting, number, self.n_networks)
        W, correct = weights_over_learning(setting, rule, number, networks, self.n_trials)
        result = trials_to_criterion(correct)
        end = W[self.n_trials]
        last, portraits = self._taken_apart(end, before)
        # What never learns is the same at every moment.
        untrained = self.rules[index] == "untrained"
        first = last if untrained else self._at_criterion(W, result, before)
        return result._asdict() | {
            "course": [numbers_of_trials(setting, number, W[m], before) for m in self.moments],
            "measures": [first, last],
            "eigenvalues": self._spectra(end, before, portraits),
            "weights": end[:_KEPT],
            "operating": [portrait.operating for portrait in portraits[:_KEPT]],
            "kept": numbers_of_trials(setting, number, end[:_KEPT], before[:_KEPT]),
            "early": numbers_of_trials(setting, number, W[VERIFIED][:_EARLY], before[:_EARLY]),
        }

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, comparison: xr.Dataset, selection: xr.Dataset
    ):
        setting, number = self._setting, self.seeds["dynamics"]
        rule = self._rule(index, comparison, selection)
        before = beginnings(setting, number, recorded.sizes["early_network"])
        early = np.asarray(setting.learn(number, range(len(before)), VERIFIED, rule).state.W)
        kept = recorded.weights.values
        return {
            "kept": numbers_of_trials(setting, number, kept, before[: len(kept)]),
            "early": numbers_of_trials(setting, number, early, before),
        }

    @property
    def _setting(self) -> Setting:
        # Made each time, in the precision of the moment: verification is in float64.
        return brief_setting(n_units=self.n_units)

    def _rule(self, index: int, comparison: xr.Dataset, selection: xr.Dataset) -> Rule:
        """A rule at the rate that the comparison chose for it."""
        name, (learned, _) = self.rules[index], learned_coefficients(selection)
        size = 0.0 if name == "untrained" else float(comparison.best.sel(rule=name))
        return rule_of(self._setting, name, learned, size)

    def _taken_apart(
        self, W: np.ndarray, before: Sequence[Beginning]
    ) -> tuple[np.ndarray, list[Portrait]]:
        """`MEASURES` of networks whose weights are now W, (networks, 26), and their portraits."""
        setting, numbers, portraits = self._setting, [], []
        learner = setting.learner
        options = {"n_starts": self.n_starts, "seed": self.seeds["dynamics"]}
        for weights, beginning in zip(W, before, strict=True):
            network = beginning.with_weights(weights)
            portrait = draw_portrait(network, setting.task, learner, **options)
            of_trials = trial_measures(network, portrait.trials, learner, beginning)
            of_points = point_measures(network, portrait, learner)
            numbers.append([*of_trials.values(), *of_points.values()])
            portraits.append(portrait)
        return np.array(numbers), portraits

    def _at_criterion(
        self, W: dict[int, np.ndarray], result: TrialsToCriterion, before: Sequence[Beginning]
    ) -> np.ndarray:
        """`MEASURES` after the block that met the criterion, (networks, 26); NaN if none did.

        Args:
            W: trials → weights after so many.
        """
        numbers = np.full((len(before), len(MEASURES)), np.nan)
        which = np.flatnonzero(result.reached)
        if len(which):
            after = -(-result.trials // _BLOCK) * _BLOCK
            weights = np.stack([W[int(after[i])][i] for i in which])
            numbers[which] = self._taken_apart(weights, [before[i] for i in which])[0]
        return numbers

    def _spectra(
        self, W: np.ndarray, before: Sequence[Beginning], portraits: Sequence[Portrait]
    ) -> list[np.ndarray]:
        transfer = self._setting.learner.dynamics.transfer
        each = zip(W, before, portraits, strict=True)
        return [operating_spectrum(b.with_weights(w), p, transfer) for w, b, p in each]
