"""What each rule does to the same networks, as dynamical systems; to be recorded.

Seed: 17. The learning rates are those of the comparison of rules, chosen on other networks.
"""

from collections.abc import Iterator

import jax
import numpy as np

from companion.held_out_recordings import compared_rules
from companion.record import Recording
from companion.settings import brief_setting
from companion.tuning import at_sizes
from plasticity.dynamics.portrait import (
    Portrait,
    Trials,
    draw_portrait,
    point_measures,
    trial_measures,
    unperturbed_trials,
)
from plasticity.dynamics.spectrum import jacobian
from plasticity.files import Arrays
from plasticity.learning.criterion import trials_to_criterion
from plasticity.learning.setting import Setting
from plasticity.model.network import Network
from plasticity.rules.three_factor import Rule, zero
from plasticity.types import require

SEED = 17
RULES = ("untrained", "(3,3)", "(1,1)", "(1,5)", "learned", "node perturbation")
_BLOCK = 20  # trials between the moments at which weights are kept
_EARLY = 4  # trials over which float32 and float64 agree
_KEPT = 2  # networks whose weights are kept


def rule_of(setting: Setting, name: str, learned: np.ndarray, size: float) -> Rule:
    """The rule called ``name`` at the rate of ``size``, see `companion.tuning.at_sizes`.

    Raises:
        ValueError: an unknown name.
    """
    require(name in RULES, "a rule of this chapter", repr(name), f"choose from {RULES}")
    if name == "untrained":
        return zero(degree=5, clip=float(setting.rule.clip))
    rule = compared_rules(learned, ((3, 3), (1, 1), (1, 5)))[name]
    return jax.tree.map(lambda a: a[0], at_sizes(setting, rule, [size]))


def compared_sizes(learned: np.ndarray, arrays: Arrays) -> dict[str, float]:
    """The size that `companion.held_out_recordings.meta_comparison` chose for every rule here."""
    names = list(compared_rules(learned))
    return {name: float(arrays["best"][names.index(name)]) for name in RULES[1:]}


def weights_over_learning(
    setting: Setting, rule: Rule, seed: int, runs, n_trials: int
) -> tuple[np.ndarray, np.ndarray]:
    """W after 0, 20, 40, … trials, (blocks + 1, runs, N, N), and which trials were correct.

    Raises:
        ValueError: n_trials not a multiple of 20.
    """
    fits = n_trials >= _BLOCK and n_trials % _BLOCK == 0
    require(fits, f"n_trials a multiple of {_BLOCK}", n_trials, "round it")
    states, correct = [np.asarray(setting.networks(seed, runs).W)], []
    state = None
    for _ in range(n_trials // _BLOCK):
        lifetimes = setting.learn(seed, runs, _BLOCK, rule, state=state)
        state = lifetimes.state
        states.append(np.asarray(state.W))
        correct.append(np.asarray(lifetimes.correct))
    return np.stack(states), np.concatenate(correct, axis=-1)


def spectrum_at(network: Network, portrait: Portrait, transfer) -> np.ndarray:
    """Eigenvalues at the operating point of the first condition, (N,); NaN if there is none."""
    x = portrait.operating[0]
    if not np.isfinite(x).all():
        return np.full(len(x), np.nan, complex)
    return np.linalg.eigvals(jacobian(np.asarray(network.W), x, transfer)).astype(complex)


def rule_dynamics(
    learned: np.ndarray,
    sizes: dict[str, float],
    *,
    rules: tuple[str, ...] = RULES,
    n_units: int = 100,
    n_runs: int = 32,
    n_trials: int = 400,
    n_starts: int = 200,
    moments: tuple[int, ...] = (0, 20, 40, 80, 160, 400),
    seed: int = SEED,
) -> Recording:
    """Networks taken apart after learning by every rule from the same starts; a run is a rule.

        trials, reached: to criterion, (rules, runs).
        course: the numbers of `trial_measures` at ``moments``, (rules, moments, runs, 8).
        measures: those and the numbers of `point_measures`, (rules, 2, runs, 26), first at the
            block of 20 trials in which criterion was reached (NaN where it never was), then after
            all trials.
        eigenvalues: at the operating point of condition 0 after all trials, (rules, runs, N, 2).
        weights, operating: after all trials, of the first two runs, (rules, 2, …).
        kept: the numbers of `trial_measures` of these, (rules, 2, 8).
        early: the same of eight runs after four trials, (rules, 8, 8).

    Args:
        sizes: of every rule but the untrained one, as in `companion.tuning.at_sizes`.
        moments: trials, multiples of 20.

    Raises:
        ValueError: moments that are not reached or not multiples of 20.
    """
    inside = all(m % _BLOCK == 0 and 0 <= m <= n_trials for m in moments)
    require(inside, f"moments are multiples of {_BLOCK} up to {n_trials}", moments, "round them")
    setting = brief_setting(n_units=n_units)
    at_task = (setting.task, setting.learner)

    def networks(W, runs) -> Iterator[Network]:
        made = setting.networks(seed, runs)
        for row in range(len(W)):
            yield jax.tree.map(lambda a, row=row: a[row], made)._replace(W=W[row])

    def start(runs) -> list[tuple[Network, Trials]]:
        begun = networks(np.asarray(setting.networks(seed, runs).W), runs)
        return [(n, unperturbed_trials(n, *at_task, seed=seed)) for n in begun]

    def of_trials(W, before) -> np.ndarray:
        rows = []
        for network, (first, trials) in zip(networks(W, range(len(W))), before, strict=True):
            now = unperturbed_trials(network, *at_task, seed=seed)
            row = trial_measures(network, now, setting.learner, (first, trials))
            rows.append(list(row.values()))
        return np.array(rows)

    def portrayed(network, before) -> tuple[list[float], Portrait]:
        portrait = draw_portrait(network, *at_task, n_starts=n_starts, seed=seed)
        row = trial_measures(network, portrait.trials, setting.learner, before)
        row |= point_measures(network, portrait, setting.learner)
        return list(row.values()), portrait

    def early(name: str, before) -> np.ndarray:
        rule = rule_of(setting, name, learned, sizes.get(name, 0.0))
        W = setting.learn(seed, range(len(before)), _EARLY, rule).state.W
        return of_trials(np.asarray(W), before)

    def compute(part: int) -> Arrays:
        name, runs = rules[part], range(n_runs)
        rule = rule_of(setting, name, learned, sizes.get(name, 0.0))
        W, correct = weights_over_learning(setting, rule, seed, runs, n_trials)
        result = trials_to_criterion(correct)
        before = start(runs)
        course = [of_trials(W[m // _BLOCK], before) for m in moments]
        last = [portrayed(n, b) for n, b in zip(networks(W[-1], runs), before, strict=True)]
        block = -(-result.trials // _BLOCK)
        met = networks(W[block, np.arange(n_runs)], runs)
        unmet = [np.nan] * len(last[0][0])
        first = [
            # What never learns is the same at every moment.
            row if name == "untrained" else portrayed(n, b)[0] if reached else unmet
            for n, b, reached, (row, _) in zip(met, before, result.reached, last, strict=True)
        ]
        transfer = setting.learner.dynamics.transfer
        values = np.array(
            [
                spectrum_at(n, p, transfer)
                for n, (_, p) in zip(networks(W[-1], runs), last, strict=True)
            ]
        )
        row = result._asdict() | {
            "course": course,
            "measures": [first, [numbers for numbers, _ in last]],
            "eigenvalues": np.stack([values.real, values.imag], axis=-1).astype(np.float32),
            "weights": W[-1, :_KEPT],
            "operating": [portrait.operating for _, portrait in last[:_KEPT]],
            "kept": of_trials(W[-1, :_KEPT], before[:_KEPT]),
            "early": early(name, before[:8]),
        }
        return {key: np.asarray(a)[None] for key, a in row.items()}

    def recompute(which: np.ndarray, arrays: Arrays) -> Arrays:
        before = start(range(arrays["early"].shape[1]))
        rows = [int(row) for row in which]
        kept = [of_trials(arrays["weights"][row], before[:_KEPT]) for row in rows]
        return {
            "kept": np.stack(kept),
            "early": np.stack([early(rules[row], before) for row in rows]),
        }

    parameters = {
        "learned": np.round(learned, 6).tolist(),
        "sizes": sizes,
        "rules": list(rules),
        "n_units": n_units,
        "n_runs": n_runs,
        "n_trials": n_trials,
        "n_starts": n_starts,
        "moments": list(moments),
    }
    return Recording(compute, recompute, len(rules), parameters, seed)
