"""Chapter 02: which terms learn on their own, and what each of the three factors contributes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from companion.contest import share_at_bound
from companion.experiment import Experiment, Variable
from companion.seeds import seed
from companion.settings import association_setting
from plasticity.files import Arrays
from plasticity.learning.criterion import trials_to_criterion
from plasticity.learning.setting import Setting
from plasticity.learning.trial import Learner
from plasticity.rules.base import Rule, stack
from plasticity.rules.three_factor import node_perturbation, single_term
from plasticity.rules.trace import Frozen

RULES: dict[str, Callable[..., Rule]] = {
    f"({k},{ell})": partial(single_term, k, ell)
    for k, ell in ((3, 3), (1, 1), (1, 3), (1, 5), (3, 5), (2, 2))
} | {"node perturbation": node_perturbation}

CONTROLS = ("no learning", "flipped sign", "shuffled reward", "frozen trace")

# The lowest of the first learning rates tried; ours, from a coarse search on other networks.
_LOWEST = {name: 1e-3 for name in RULES} | {"(1,1)": 1e-4, "node perturbation": 1e-4}
_MOST_RATES = 24
_CORRECT = Learner().correct_below
_KEPT = 16  # first trials whose errors are kept
# Of these, trials measured again: float32 and float64 then differ by at most 5e-4, and part after
# ten; two rules differ by over 0.03 mostly.
_AGAIN = 4


def rule_at(name: str, setting: Setting, rate: float) -> Rule:
    """The rule of that name in `RULES` at a learning rate, with the setting's bound on changes."""
    return RULES[name](learning_rate=rate, clip=float(setting.rule.clip))


@dataclass(frozen=True, kw_only=True)
class RuleTuning(Experiment):
    """Learning rates tried for every rule of `RULES`, half a decade apart.

    The grid is widened by up to four rates at a time while its best is at an edge, to 24 rates at
    most: updates are clipped, so beyond some rate nothing changes any more.
    """

    name = "rule_tuning"
    title = "Trials to criterion of single-term rules over learning rates"
    axis = "rule"
    seeds = {"rates": seed("rates")}
    variables = {
        "rates": Variable(("rule", "step"), "learning rates tried, ascending, NaN beyond the last"),
        "trials": Variable(("rule", "step", "network"), "trials to criterion", "trials"),
        "reached": Variable(("rule", "step", "network"), "whether the criterion was met"),
        "best": Variable(("rule",), "learning rate of the least restricted mean of trials"),
        "errors": Variable(("rule", "network", "trial"), "mean error of first trials at that rate"),
    }

    n_units: int = 100
    n_networks: int = 64
    n_trials: int = 800
    n_rates: int = 12

    def coordinates(self):
        return {
            "rule": list(RULES),
            "step": range(_MOST_RATES),
            "network": range(self.n_networks),
            "trial": range(1, _KEPT + 1),
        }

    def measure_one(self, index: int):
        name, results = list(RULES)[index], {}
        setting = association_setting(n_units=self.n_units)
        wanted = list(range(self.n_rates))
        while wanted:
            rules = stack([rule_at(name, setting, _rate(name, step)) for step in wanted])
            correct = setting.learn(
                self.seeds["rates"], range(self.n_networks), self.n_trials, rules
            ).correct
            result = trials_to_criterion(correct)
            results |= {s: (result.trials[i], result.reached[i]) for i, s in enumerate(wanted)}
            steps = sorted(results)
            best = min(steps, key=partial(_badness, results))
            side = {steps[0]: -1, steps[-1]: 1}.get(best, 0)
            room = min(4, _MOST_RATES - len(steps)) if side else 0
            wanted = [best + side * i for i in range(1, room + 1)]
        arrays = _padded(name, results) | {"best": _rate(name, best)}
        return arrays | {"errors": self._first_errors(name, arrays["best"], _KEPT)}

    def measure_one_again(self, index: int, recorded: xr.Dataset):
        rate = float(recorded.best)
        return {"errors": self._first_errors(list(RULES)[index], rate, _AGAIN)}

    def _first_errors(self, name: str, rate: float, horizon: int) -> np.ndarray:
        setting = association_setting(n_units=self.n_units)
        rule, networks = rule_at(name, setting, rate), range(self.n_networks)
        return np.asarray(setting.learn(self.seeds["rates"], networks, horizon, rule).errors)


def _padded(name: str, results: dict[int, tuple]) -> Arrays:
    """Rates, trials and reached of the steps tried, in ascending order and 24 rows."""
    steps = sorted(results)
    n_networks = len(results[steps[0]][0])
    rates = np.full(_MOST_RATES, np.nan)
    trials = np.zeros((_MOST_RATES, n_networks), int)
    reached = np.zeros((_MOST_RATES, n_networks), bool)
    for place, step in enumerate(steps):
        rates[place] = _rate(name, step)
        trials[place], reached[place] = results[step]
    return {"rates": rates, "trials": trials, "reached": reached}


def _badness(results: dict, step: int) -> tuple[float, int]:
    """Restricted mean; of equals, as when nothing learns, the one furthest from an edge."""
    edge = min(step - min(results), max(results) - step)
    return float(results[step][0].mean()), -edge


def _rate(name: str, step: int) -> float:
    return float(f"{_LOWEST[name] * 10 ** (step / 2):.3g}")


@dataclass(frozen=True, kw_only=True)
class RuleComparison(Experiment):
    """Every rule at its tuned rate, and controls of (3,3), on the same networks."""

    name = "rule_comparison"
    title = "Single-term rules and broken factors on the same networks"
    part = 32
    seeds = {"rules": seed("rules")}
    variables = {
        "trials": Variable(("network", "rule"), "trials to criterion", "trials"),
        "reached": Variable(("network", "rule"), "whether the criterion was met"),
        "blocks": Variable(("network", "rule", "block"), "mean error of 20 trials each"),
        "saturated": Variable(
            ("network", "rule"), "mean share of weights whose change was the largest, at the clip"
        ),
        "errors": Variable(("network", "rule", "trial"), "mean error of first trials"),
    }

    tuning: RuleTuning = RuleTuning()
    n_units: int = 100
    n_networks: int = 256
    n_trials: int = 800

    def coordinates(self):
        return {
            "network": range(self.n_networks),
            "rule": [*RULES, *CONTROLS],
            "block": range(self.n_trials // 20),
            "trial": range(1, _KEPT + 1),
        }

    def measure(self, which: np.ndarray, tuning: xr.Dataset):
        errors, saturated = self._lifetimes(which, self.n_trials, tuning)
        blocks = errors[..., : self.n_trials // 20 * 20]
        blocks = blocks.reshape(*errors.shape[:2], -1, 20).mean(axis=-1)
        result = trials_to_criterion(errors < _CORRECT)
        kept = {"blocks": blocks, "errors": errors[..., :_KEPT], "saturated": saturated}
        return result._asdict() | kept

    def measure_again(self, which: np.ndarray, recorded: xr.Dataset, tuning: xr.Dataset):
        return {"errors": self._lifetimes(which, _AGAIN, tuning)[0]}

    def _lifetimes(self, which: np.ndarray, horizon: int, tuning: xr.Dataset) -> tuple:
        """Mean error of each trial, (networks, rules and controls, horizon); saturation, (…,)."""
        setting, number = association_setting(n_units=self.n_units), self.seeds["rules"]
        rates = tuning.best.to_series()
        rules = {name: rule_at(name, setting, float(rates[name])) for name in RULES}
        intact = rules["(3,3)"]
        rules["no learning"] = intact.replace(coefficients=0 * intact.coefficients)
        rules["flipped sign"] = intact.replace(coefficients=-intact.coefficients)
        # Yoked: each network is taught by what another, doing the same trials, earned.
        partner = setting.learn(number, which ^ 1, horizon, intact).third_factors
        frozen, told = intact.replace(trace=Frozen(intact.trace)), rules.pop("node perturbation")
        learn = partial(setting.learn, number, which, horizon, observe=share_at_bound)
        together = learn(stack(list(rules.values())))
        of_rule = dict(
            zip(rules, zip(together.errors, together.observed, strict=True), strict=True)
        )
        for name, alone in {
            "node perturbation": learn(told),
            "shuffled reward": learn(intact, third_factor=partner),
            "frozen trace": learn(frozen),
        }.items():
            of_rule[name] = alone.errors, alone.observed
        each = [[np.asarray(a) for a in of_rule[name]] for name in (*RULES, *CONTROLS)]
        errors, shares = (np.stack(arrays, axis=1) for arrays in zip(*each, strict=True))
        return errors, shares.mean(axis=-1)
