"""What the book records at full size, and computes small when asked to.

Seeds: 1 parity, 2 choice of learning rates, 3 comparison of rules at those rates; the other modules
of recordings give their own.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from companion.black_box import black_box_search
from companion.dissection import knock_outs, sparse_rules, transfer
from companion.estimators import estimator_signal
from companion.gradients import gradient_cost, gradient_validation, tangent_growth
from companion.held_out_recordings import (
    BRIEFER,
    SHORTER,
    confirmation,
    learned_coefficients,
    meta_comparison,
    selection,
    shortlist,
)
from companion.meta_recordings import BRIEF, LIGHTER, TASKS, meta_training, setting_map
from companion.record import Recording, load_record
from companion.rule_dynamics import compared_sizes, rule_dynamics
from companion.settings import QUIRKS, association_setting, miconi_setting
from plasticity.files import Arrays
from plasticity.learning.criterion import trials_to_criterion
from plasticity.learning.trial import Learner
from plasticity.rules.three_factor import Rule, node_perturbation, single_term

RULES: dict[str, Callable[..., Rule]] = {
    f"({k},{ell})": partial(single_term, k, ell)
    for k, ell in ((3, 3), (1, 1), (1, 3), (1, 5), (3, 5), (2, 2))
} | {"node perturbation": partial(node_perturbation, degree=5)}

CONTROLS = ("no learning", "flipped sign", "shuffled reward", "frozen trace")

# The lowest of the first learning rates tried; ours, from a coarse search on other networks.
_LOWEST = {name: 1e-3 for name in RULES} | {"(1,1)": 1e-4, "node perturbation": 1e-4}
_MOST_RATES = 24
_CORRECT = Learner().correct_below
_KEPT = 16  # first trials whose errors are kept
# Of these, trials recomputed: float32 and float64 then differ by at most 5e-4, and part after ten.
_VERIFIED = 4


def miconi_parity(
    without: str | None = None, *, n_runs: int = 48, n_trials: int = 5000, seed: int = 1
) -> Recording:
    """Mean error of every trial, (runs, trials), in `miconi_setting`, 12 runs a part."""
    size = 12
    setting = miconi_setting(without)

    def compute(part: int) -> Arrays:
        runs = np.arange(part * size, min((part + 1) * size, n_runs))
        return {"errors": np.asarray(setting.learn(seed, runs, n_trials).errors)}

    def recompute(runs: np.ndarray, _: Arrays) -> Arrays:
        # The first change of weights comes with trial 101, so learning is in it; few trials later
        # float32 and float64 part where nothing clips the change.
        lifetimes = miconi_setting(without).learn(seed, runs, min(104, n_trials))
        return {"errors": np.asarray(lifetimes.errors)}

    parameters = {"without": without, "n_runs": n_runs, "n_trials": n_trials}
    return Recording(compute, recompute, -(-n_runs // size), parameters, seed)


def tune_rule(
    name: str, *, n_units: int, n_runs: int, n_trials: int, n_rates: int, seed: int
) -> Arrays:
    """Trials to criterion of a rule over learning rates half a decade apart.

    The grid is widened by up to four rates at a time while its best is at an edge, to 24 rates at
    most: updates are clipped, so beyond some rate nothing changes any more.

    Returns:
        rates: (24,), ascending, NaN beyond the last.
        trials, reached: (24, n_runs), as in `plasticity.learning.criterion.TrialsToCriterion`.
        best: (), the rate of the smallest restricted mean.
    """
    setting = association_setting(n_units=n_units)
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    wanted = list(range(n_rates))
    while wanted:
        rates = [_rate(name, step) for step in wanted]
        rule = RULES[name](learning_rate=rates, clip=float(setting.rule.clip))
        result = trials_to_criterion(setting.learn(seed, range(n_runs), n_trials, rule).correct)
        found |= {s: (result.trials[i], result.reached[i]) for i, s in enumerate(wanted)}
        steps = sorted(found)
        best = min(steps, key=partial(_badness, found))
        side = {steps[0]: -1, steps[-1]: 1}.get(best, 0)
        room = min(4, _MOST_RATES - len(steps)) if side else 0
        wanted = [best + side * i for i in range(1, room + 1)]
    rates = np.full(_MOST_RATES, np.nan)
    trials = np.zeros((_MOST_RATES, n_runs), int)
    reached = np.zeros((_MOST_RATES, n_runs), bool)
    for row, step in enumerate(steps):
        rates[row] = _rate(name, step)
        trials[row], reached[row] = found[step]
    best_rate = np.array(_rate(name, best))
    return {"rates": rates, "trials": trials, "reached": reached, "best": best_rate}


def _badness(found: dict, step: int) -> tuple[float, int]:
    """Restricted mean; of equals, as when nothing learns, the one furthest from an edge."""
    return float(found[step][0].mean()), -min(step - min(found), max(found) - step)


def _rate(name: str, step: int) -> float:
    return float(f"{_LOWEST[name] * 10 ** (step / 2):.3g}")


def rule_tuning(
    *, n_units: int = 100, n_runs: int = 64, n_trials: int = 800, n_rates: int = 12, seed: int = 2
) -> Recording:
    """Learning rates tried for every rule of `RULES`: one row of each array, and one part, a rule.

    ``rates``, ``trials``, ``reached`` as in `tune_rule`; ``best`` (rules,) is the rate of the
    smallest restricted mean; ``errors`` (rules, runs, 16) those of the first trials at that rate.
    """
    names = list(RULES)
    sizes = {"n_units": n_units, "n_runs": n_runs, "n_trials": n_trials, "n_rates": n_rates}

    def first_errors(row: int, rate: float, horizon: int) -> np.ndarray:
        setting = association_setting(n_units=n_units)
        rule = RULES[names[row]](learning_rate=rate, clip=float(setting.rule.clip))
        return np.asarray(setting.learn(seed, range(n_runs), horizon, rule).errors)

    def compute(part: int) -> Arrays:
        arrays = tune_rule(names[part], seed=seed, **sizes)
        arrays["errors"] = first_errors(part, float(arrays["best"]), _KEPT)
        return {key: value[None] for key, value in arrays.items()}

    def recompute(rows: np.ndarray, arrays: Arrays) -> Arrays:
        best = arrays["best"]
        made = [first_errors(int(row), float(best[row]), _VERIFIED) for row in rows]
        return {"errors": np.stack(made)}

    return Recording(compute, recompute, len(names), sizes | {"rules": names}, seed)


def rule_comparison(
    rates: dict[str, float],
    *,
    n_units: int = 100,
    n_runs: int = 256,
    n_trials: int = 800,
    seed: int = 3,
) -> Recording:
    """Every rule at its rate, and controls of (3,3), on the same networks; 32 runs a part.

    Variants are the rules in the order of ``rates`` and then `CONTROLS`. Arrays: ``trials`` and
    ``reached`` (runs, variants); ``blocks`` (runs, variants, n_trials // 20), the mean error of
    each 20 trials; ``errors`` (runs, variants, 16), those of the first trials.
    """
    size = 32

    def variants(runs: np.ndarray, horizon: int) -> np.ndarray:
        setting = association_setting(n_units=n_units)
        options = {"clip": float(setting.rule.clip)}
        rules = {n: RULES[n](learning_rate=rate, **options) for n, rate in rates.items()}
        intact = rules["(3,3)"]
        rules["no learning"] = intact._replace(coefficients=0 * intact.coefficients)
        rules["flipped sign"] = intact._replace(coefficients=-intact.coefficients)
        batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rules.values())
        # Yoked: each network is taught by what another, doing the same trials, earned.
        partner = setting.learn(seed, runs ^ 1, horizon, intact).prediction_errors
        frozen = dataclasses.replace(setting.learner, frozen_trace=True)
        lifetimes = (
            setting.learn(seed, runs, horizon, batch).errors,
            setting.learn(seed, runs, horizon, intact, third_factor=partner).errors[None],
            setting._replace(learner=frozen).learn(seed, runs, horizon, intact).errors[None],
        )
        return np.concatenate([np.asarray(e) for e in lifetimes]).swapaxes(0, 1)

    def compute(part: int) -> Arrays:
        runs = np.arange(part * size, min((part + 1) * size, n_runs))
        errors = variants(runs, n_trials)
        result = trials_to_criterion(errors < _CORRECT)
        whole = errors[..., : n_trials // 20 * 20]
        blocks = whole.reshape(*errors.shape[:2], -1, 20).mean(axis=-1)
        first = errors[..., :_KEPT]
        return result._asdict() | {"blocks": blocks, "errors": first}

    def recompute(runs: np.ndarray, _: Arrays) -> Arrays:
        return {"errors": variants(runs, _VERIFIED)}

    parameters = {"rates": rates, "controls": CONTROLS} | {
        "n_units": n_units,
        "n_runs": n_runs,
        "n_trials": n_trials,
    }
    return Recording(compute, recompute, -(-n_runs // size), parameters, seed)


def tuned_rates(arrays: Arrays) -> dict[str, float]:
    """The best learning rate of every rule, from the arrays of `rule_tuning`."""
    return {name: float(rate) for name, rate in zip(RULES, arrays["best"], strict=True)}


def _comparison_at_tuned_rates(records: Path) -> Recording:
    return rule_comparison(tuned_rates(load_record(records / "rule_tuning.npz").arrays))


def _learned(records: Path, task: str) -> tuple[np.ndarray, np.ndarray]:
    """θ and scale of the learned rule of a task."""
    return learned_coefficients(load_record(records / f"selection_{task}.npz").arrays)


def _shortlist(records: Path, task: str) -> Recording:
    trained = load_record(records / f"meta_training_{task}.npz").arrays
    return shortlist(task, trained, **({} if task == "association" else SHORTER))


def _selection(records: Path, task: str) -> Recording:
    listed = load_record(records / f"shortlist_{task}.npz").arrays
    return selection(task, listed, **({} if task == "association" else SHORTER))


def _meta_comparison(records: Path, task: str) -> Recording:
    sizes = {} if task == "association" else BRIEFER
    return meta_comparison(task, _learned(records, task)[0], **sizes)


def _confirmation(records: Path) -> Recording:
    compared = load_record(records / "meta_comparison_association.npz").arrays
    return confirmation("association", _learned(records, "association")[0], compared)


def _knock_outs(records: Path) -> Recording:
    best = load_record(records / "meta_comparison_association.npz").arrays["best"][0]
    return knock_outs(*_learned(records, "association"), float(best))


def _transfer(records: Path) -> Recording:
    return transfer(*(_learned(records, task)[0] for task in TASKS))


def _rule_dynamics(records: Path) -> Recording:
    learned = _learned(records, "association")[0]
    compared = load_record(records / "meta_comparison_association.npz").arrays
    return rule_dynamics(learned, compared_sizes(learned, compared))


# A record comes after those that it is made from.
RECORDINGS: dict[str, Callable[[Path], Recording]] = {
    "rule_tuning": lambda _: rule_tuning(),
    "rule_comparison": _comparison_at_tuned_rates,
    "miconi": lambda _: miconi_parity(),
    "gradient_validation": lambda _: gradient_validation(),
    "tangent_growth": lambda _: tangent_growth(),
    "gradient_cost": lambda _: gradient_cost(),
    "estimator_signal": lambda _: estimator_signal(),
    "setting_map": lambda _: setting_map(),
    "meta_training_association": lambda _: meta_training("association"),
    "meta_training_integration": lambda _: meta_training("integration", **LIGHTER),
    "meta_training_brief": lambda _: meta_training("association", **BRIEF),
    "meta_training_carried": lambda _: meta_training("association", "U carried", **BRIEF),
    "black_box": lambda _: black_box_search(),
    "shortlist_association": partial(_shortlist, task="association"),
    "shortlist_integration": partial(_shortlist, task="integration"),
    "selection_association": partial(_selection, task="association"),
    "selection_integration": partial(_selection, task="integration"),
    "meta_comparison_association": partial(_meta_comparison, task="association"),
    "meta_comparison_integration": partial(_meta_comparison, task="integration"),
    "confirmation": _confirmation,
    "knock_outs": _knock_outs,
    "sparse_rules": lambda records: sparse_rules(*_learned(records, "association")),
    "transfer": _transfer,
    "rule_dynamics": _rule_dynamics,
} | {
    f"miconi_without_{quirk}": lambda _, quirk=quirk: miconi_parity(quirk, n_runs=24)
    for quirk in QUIRKS
}
