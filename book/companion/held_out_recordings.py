"""Which of the rules that the outer loop found is kept, and how it does on networks it has not met.

What is recorded for the chapter on meta-training, after the training itself. Seeds are those of
`companion.meta_recordings`: validation networks choose, test networks judge.
"""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from companion.meta_recordings import CONFIRMATION, TASKS, TEST, VALIDATION
from companion.record import Recording
from companion.settings import brief_setting
from companion.tuning import SIZES, VERIFIED, at_sizes, errors_of, outcomes
from plasticity.files import Arrays
from plasticity.learning.criterion import failure_reward
from plasticity.rules.three_factor import Rule, make_rule, node_perturbation, single_term

ODD = tuple(product((1, 3, 5), (1, 3, 5)))
# The second task is learned within fewer trials, and with less effort.
SHORTER = {"n_validation": 256, "n_trials": 200}
BRIEFER = {"n_tuning": 64, "n_again": 256, "n_runs": 256, "n_trials": 200}
_KEPT = 8  # networks whose first errors are kept
_PART = 1024  # networks of a part
_UNMET = 4096  # the first validation network that no other choice has met


def candidates(trained: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """What meta-training offers: θ, (runs, d+1, d+1), and the iteration it comes from, (runs,).

    The averages that were evaluated in the second half of each course, start by start, and then the
    means of these over starts: where noise has carried each course another way, their mean lies
    nearer to the middle of the plateau (ours, as where the weights of networks are averaged).

    Args:
        trained: the arrays of `companion.meta_recordings.meta_training`.
    """
    evaluated = trained["evaluated"][0]
    late = evaluated[2 * evaluated >= evaluated.max()]
    courses = trained["averaged"][:, late].astype(float)
    # All scales are those of one task, so the mean of ψ is that of θ.
    offered = np.concatenate([courses, courses.mean(axis=0, keepdims=True)])
    return offered.reshape(-1, *offered.shape[2:]), np.tile(late, len(offered))


def shortlist(task: str, trained: Arrays, *, n_validation: int = 512, **options) -> Recording:
    """All `candidates` on few validation networks; a run is a candidate. Else as `selection`."""
    rules = (*candidates(trained), trained["scale"][0])
    return _tried(task, *rules, n_validation=n_validation, **options)


def selection(
    task: str, listed: Arrays, *, n_kept: int = 5, n_validation: int = 2048, **options
) -> Recording:
    """The best of the shortlist on many validation networks that it has not met.

    A run is a rule, the best of the shortlist first; of these the one of the fewest trials is the
    learned rule:

        theta, scale: θ, and that of ψ, (runs, d+1, d+1). iteration: from which it comes, (runs,).
        trials: to criterion, (runs, sizes, n_validation).
        errors: of the first trials with the first size, (runs, 8, 4).

    Args:
        listed: the arrays of `shortlist`.
        n_kept: how many of them are tried again.
    """
    order = ranking(listed)[:n_kept]
    rules = (listed["theta"][order], listed["iteration"][order], listed["scale"][0])
    met = listed["trials"].shape[-1]
    return _tried(task, *rules, first=met, n_validation=n_validation, **options)


def fewest_trials(trials: np.ndarray) -> np.ndarray:
    """Restricted means of (…, sizes, networks), each at the best of its sizes."""
    return trials.mean(axis=-1).min(axis=-1)


def ranking(arrays: Arrays) -> np.ndarray:
    """Runs of `shortlist` or `selection`, that of the fewest trials first."""
    return np.argsort(fewest_trials(arrays["trials"]), kind="stable")


def _tried(
    task: str,
    thetas: np.ndarray,
    iterations: np.ndarray,
    scale: np.ndarray,
    *,
    n_validation: int,
    first: int = 0,
    n_units: int = 100,
    n_trials: int = 400,
    sizes: tuple[float, ...] = SIZES[4:6],
) -> Recording:
    """Rules on the validation networks from number ``first`` on."""

    def trial(theta: np.ndarray, which, n: int) -> tuple:
        setting = brief_setting(TASKS[task], n_units=n_units)
        networks = range(first, first + n)
        return setting, at_sizes(setting, make_rule(theta), which), VALIDATION, networks

    def compute(part: int) -> Arrays:
        result, errors = outcomes(*trial(thetas[part], sizes, n_validation), n_trials)
        row = {"theta": thetas[part], "iteration": iterations[part], "scale": scale}
        row |= {"trials": result.trials}
        row |= {"errors": errors[0, :_KEPT, :VERIFIED]}
        return {name: np.asarray(a)[None] for name, a in row.items()}

    def recompute(runs: np.ndarray, arrays: Arrays) -> Arrays:
        n = arrays["errors"].shape[1]
        made = [errors_of(*trial(arrays["theta"][run], sizes[:1], n))[0] for run in runs]
        return {"errors": np.stack(made)}

    parameters = {
        "task": task,
        "rules": np.round(thetas, 6).tolist(),
        "first": first,
        "n_units": n_units,
        "n_validation": n_validation,
        "n_trials": n_trials,
        "sizes": list(sizes),
    }
    return Recording(compute, recompute, len(thetas), parameters, VALIDATION)


def learned_coefficients(arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """θ and scale of the learned rule: the one with the least restricted mean, of `selection`."""
    best = ranking(arrays)[0]
    return arrays["theta"][best], arrays["scale"][best]


def compared_rules(learned: np.ndarray, terms=ODD) -> dict[str, Rule]:
    """The rules that are tuned and compared, before they are given their rates."""
    rules = {"learned": make_rule(learned)}
    rules |= {f"({k},{ell})": single_term(k, ell) for k, ell in terms}
    return rules | {"node perturbation": node_perturbation(degree=5)}


def meta_comparison(
    task: str,
    learned: np.ndarray,
    terms: tuple[tuple[int, int], ...] = ODD,
    *,
    n_units: int = 100,
    n_tuning: int = 256,
    n_again: int = 1024,
    n_runs: int = 4096,
    n_trials: int = 400,
    sizes: tuple[float, ...] = SIZES,
) -> Recording:
    """Each rule tuned over sizes and both signs on validation networks, then compared on others.

    Sizes are chosen in two rounds, for the curves are flat: the best three again, on more networks
    than all of them could be tried on. A run is a rule, in the order of `compared_rules`:

        tuning: trials to criterion on validation networks, (rules, 2 signs · sizes, n_tuning).
        near: the best three sizes, negative for a flipped sign, (rules, 3).
        again: trials with them on other validation networks, (rules, 3, n_again).
        best: of these the size of the smallest restricted mean, (rules,).
        trials, reached: on the same test networks for every rule, (rules, n_runs).
        blocks: mean error of 20 trials each, (rules, n_runs, n_trials // 20).
        errors: of the first trials, (rules, 32 networks, 16).
    """
    rules = compared_rules(learned, terms)
    names = list(rules)
    both = tuple(sizes) + tuple(-s for s in sizes)

    def compute(part: int) -> Arrays:
        setting = brief_setting(TASKS[task], n_units=n_units)
        rule = rules[names[part]]
        batch = at_sizes(setting, rule, both)
        tuning = outcomes(setting, batch, VALIDATION, range(n_tuning), n_trials)[0].trials
        near = [both[i] for i in np.argsort(tuning.mean(axis=-1), kind="stable")[:3]]
        others = range(_UNMET, _UNMET + n_again)
        batch = at_sizes(setting, rule, near)
        again = outcomes(setting, batch, VALIDATION, others, n_trials)[0].trials
        best = near[int(again.mean(axis=-1).argmin())]
        batch = at_sizes(setting, rule, [best])
        result, errors = outcomes(setting, batch, TEST[task], range(n_runs), n_trials)
        whole = np.nan_to_num(
            errors[0, :, : n_trials // 20 * 20], nan=-failure_reward(setting.learner)
        )
        row = {"tuning": tuning, "near": near, "again": again, "best": best}
        row |= {"errors": errors[0, :32, :16]}
        row |= {"trials": result.trials[0], "reached": result.reached[0]}
        row |= {"blocks": whole.reshape(n_runs, -1, 20).mean(axis=-1).astype(np.float32)}
        return {name: np.asarray(a)[None] for name, a in row.items()}

    def recompute(runs: np.ndarray, arrays: Arrays) -> Arrays:
        setting = brief_setting(TASKS[task], n_units=n_units)
        made = []
        for run in runs:
            batch = at_sizes(setting, rules[names[run]], [float(arrays["best"][run])])
            n = arrays["errors"].shape[1]
            made.append(errors_of(setting, batch, TEST[task], range(n))[0])
        return {"errors": np.stack(made)}

    parameters = {
        "task": task,
        "learned": np.round(learned, 6).tolist(),
        "terms": [list(term) for term in terms],
        "n_units": n_units,
        "n_tuning": n_tuning,
        "n_again": n_again,
        "n_runs": n_runs,
        "n_trials": n_trials,
        "sizes": list(sizes),
    }
    return Recording(compute, recompute, len(names), parameters, TEST[task])


def best_single(arrays: Arrays, terms=ODD) -> tuple[int, int]:
    """The term (k, ℓ) of the fewest trials where rates were chosen, of `meta_comparison`."""
    tuned = fewest_trials(arrays["again"])[1 : 1 + len(terms)]
    return terms[int(tuned.argmin())]


def confirmation(
    task: str,
    learned: np.ndarray,
    compared: Arrays,
    terms: tuple[tuple[int, int], ...] = ODD,
    *,
    n_units: int = 100,
    n_runs: int = 8192,
    n_trials: int = 400,
) -> Recording:
    """The learned rule and the best single term once more, nothing chosen, on networks of its own.

    A comparison that decides what is tried next is no longer a judge; this one is run last, with
    rules and rates as they stand. A run is a network:

        trials, reached: to criterion, (n_runs, 2).
        errors: of the first trials, (n_runs, 2, 4).

    Args:
        compared: the arrays of `meta_comparison`, with the sizes at which rules are taken.
        terms: the single terms of that comparison.
    """
    term = best_single(compared, terms)
    rows = (0, 1 + list(terms).index(term))
    sizes = [float(compared["best"][row]) for row in rows]
    rules = make_rule(learned), single_term(*term)

    def trial() -> tuple:
        setting = brief_setting(TASKS[task], n_units=n_units)
        each = [at_sizes(setting, r, [size]) for r, size in zip(rules, sizes, strict=True)]
        return setting, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each), CONFIRMATION

    def compute(part: int) -> Arrays:
        runs = range(part * _PART, min((part + 1) * _PART, n_runs))
        result, errors = outcomes(*trial(), runs, n_trials)
        row = result._asdict() | {"errors": errors[..., :VERIFIED]}
        return {name: np.asarray(a).swapaxes(0, 1) for name, a in row.items()}

    def recompute(runs: np.ndarray, _: Arrays) -> Arrays:
        return {"errors": errors_of(*trial(), runs).swapaxes(0, 1)}

    parameters = {
        "task": task,
        "learned": np.round(learned, 6).tolist(),
        "term": list(term),
        "sizes": sizes,
        "n_units": n_units,
        "n_runs": n_runs,
        "n_trials": n_trials,
    }
    return Recording(compute, recompute, -(-n_runs // _PART), parameters, CONFIRMATION)
