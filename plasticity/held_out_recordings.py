"""Which of the rules that the outer loop found is kept, and how it does on networks it has not met.

What is recorded for the chapter on meta-training, after the training itself. Seeds are those of
`plasticity.meta_recordings`: validation networks choose, test networks judge.
"""

from itertools import product

import numpy as np

from plasticity.held_out import failure_reward
from plasticity.meta_recordings import TASKS, TEST, VALIDATION
from plasticity.records import Arrays, Recording
from plasticity.settings import brief_setting
from plasticity.three_factor import Rule, make_rule, node_perturbation, single_term
from plasticity.tuning import SIZES, at_sizes, errors_of, outcomes

ODD = tuple(product((1, 3, 5), (1, 3, 5)))
# The second task is learned within fewer trials, and with less effort.
BRIEFER = {"n_tuning": 64, "n_runs": 256, "n_trials": 200}
_VERIFIED = 4  # trials over which float32 and float64 agree
_KEPT = 8  # networks whose first errors are kept


def selection(
    task: str,
    trained: Arrays,
    *,
    n_units: int = 100,
    n_validation: int = 512,
    n_trials: int = 400,
    sizes: tuple[float, ...] = SIZES[4:7],
) -> Recording:
    """The rule of each start, and the mean of them all, on validation networks; a run is a rule.

    Starts that end in one valley end there at different places, as far as noise has carried them;
    their mean lies nearer to its bottom (ours, as where the weights of networks are averaged). The
    mean comes last:

        theta, scale: θ, and that of ψ, (runs, d+1, d+1).
        trials: to criterion, (runs, sizes, n_validation).
        errors: of the first trials with the first size, (runs, 8, 4).

    Args:
        trained: the arrays of `plasticity.meta_recordings.meta_training`.
    """
    chosen, scale = trained["chosen"].astype(float), trained["scale"]
    # All scales are those of one task, so the mean of ψ is that of θ.
    thetas = np.concatenate([chosen, chosen.mean(axis=0, keepdims=True)])

    def tried(run: int, which, n: int) -> tuple:
        setting = brief_setting(TASKS[task], n_units=n_units)
        return setting, at_sizes(setting, make_rule(thetas[run]), which), VALIDATION, range(n)

    def compute(part: int) -> Arrays:
        result, errors = outcomes(*tried(part, sizes, n_validation), n_trials)
        row = {"theta": thetas[part], "scale": scale[0], "trials": result.trials}
        row |= {"errors": errors[0, :_KEPT, :_VERIFIED]}
        return {name: np.asarray(a)[None] for name, a in row.items()}

    def recompute(runs: np.ndarray, arrays: Arrays) -> Arrays:
        n = arrays["errors"].shape[1]
        made = [errors_of(*tried(int(run), sizes[:1], n), _VERIFIED)[0] for run in runs]
        return {"errors": np.stack(made)}

    parameters = {
        "task": task,
        "trained": np.round(chosen, 6).tolist(),
        "n_units": n_units,
        "n_validation": n_validation,
        "n_trials": n_trials,
        "sizes": list(sizes),
    }
    return Recording(compute, recompute, len(thetas), parameters, VALIDATION)


def learned_coefficients(arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """θ and scale of the learned rule: the one with the least restricted mean, of `selection`."""
    best = int(arrays["trials"].mean(axis=-1).min(axis=-1).argmin())
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
    n_runs: int = 4096,
    n_trials: int = 400,
    sizes: tuple[float, ...] = SIZES,
) -> Recording:
    """Each rule tuned over sizes and both signs on validation networks, then compared on others.

    A run is a rule, in the order of `compared_rules`:

        tuning: trials to criterion on validation networks, (rules, 2 signs · sizes, tuning).
        best: size of the smallest restricted mean, negative for a flipped sign, (rules,).
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
        best = both[int(tuning.mean(axis=-1).argmin())]
        batch = at_sizes(setting, rule, [best])
        result, errors = outcomes(setting, batch, TEST[task], range(n_runs), n_trials)
        whole = np.nan_to_num(
            errors[0, :, : n_trials // 20 * 20], nan=-failure_reward(setting.learner)
        )
        row = {"tuning": tuning, "best": best, "errors": errors[0, :32, :16]}
        row |= {"trials": result.trials[0], "reached": result.reached[0]}
        row |= {"blocks": whole.reshape(n_runs, -1, 20).mean(axis=-1).astype(np.float32)}
        return {name: np.asarray(a)[None] for name, a in row.items()}

    def recompute(runs: np.ndarray, arrays: Arrays) -> Arrays:
        setting = brief_setting(TASKS[task], n_units=n_units)
        made = []
        for run in runs:
            batch = at_sizes(setting, rules[names[run]], [float(arrays["best"][run])])
            n = arrays["errors"].shape[1]
            made.append(errors_of(setting, batch, TEST[task], range(n), _VERIFIED)[0])
        return {"errors": np.stack(made)}

    parameters = {
        "task": task,
        "learned": np.round(learned, 6).tolist(),
        "terms": [list(term) for term in terms],
        "n_units": n_units,
        "n_tuning": n_tuning,
        "n_runs": n_runs,
        "n_trials": n_trials,
        "sizes": list(sizes),
    }
    return Recording(compute, recompute, len(names), parameters, TEST[task])
