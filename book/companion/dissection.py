"""What a learned rule is made of: knock-outs, curvature, sparse versions, transfer; to be recorded.

Seeds: 14 knock-outs and single terms, 15 sparse rules, 16 transfer; rates are chosen on those of
`companion.meta_recordings.VALIDATION`.
"""

from itertools import product

import numpy as np

from companion.meta_recordings import VALIDATION
from companion.record import Recording
from companion.settings import brief_setting
from companion.tuning import SIZES, VERIFIED, at_sizes, errors_of, integrand_size, outcomes
from plasticity.files import Arrays
from plasticity.learning.criterion import failure_reward
from plasticity.learning.setting import Setting
from plasticity.rules.three_factor import Rule, make_rule, miconi, node_perturbation, single_term

TERMS = tuple(product(range(6), range(6)))
_KEPT = 8  # networks whose first errors are kept


def knock_outs(
    learned: np.ndarray,
    scale: np.ndarray,
    size: float,
    *,
    n_units: int = 100,
    n_runs: int = 48,
    n_alone: int = 12,
    n_trials: int = 400,
    step: float = 0.5,
    sizes: tuple[float, ...] = SIZES[3:10:2],
    seed: int = 14,
) -> Recording:
    """Each of the 36 coefficients removed, moved, and alone; a run is a coefficient, row by row.

    With ψ = θ · scale and the learning rate of ``size`` for the intact rule throughout:

        psi: of the rule, (runs,).
        trials: of the intact rule, without the coefficient, with ψ raised and lowered by ``step``
            times the largest |ψ|, (runs, 4, n_runs).
        rewards: mean over all trials, likewise; −2 a trial from a blow-up on.
        alone: trials to criterion of the single term at ``sizes`` and then at their negatives,
            (runs, 2 · sizes, n_alone).
        errors: first trials of the second of the four, (runs, 8, 4).
    """
    step = step * float(np.abs(learned * scale).max())

    def variants(run: int) -> np.ndarray:
        k, ell = TERMS[run]
        made = np.repeat(learned[None], 4, axis=0).astype(float)
        made[1, k, ell] = 0.0
        made[2, k, ell] += step / scale[k, ell]
        made[3, k, ell] -= step / scale[k, ell]
        return made

    def rules(setting: Setting, run: int) -> Rule:
        rate = size / integrand_size(setting, make_rule(learned))
        return make_rule(variants(run), learning_rate=rate, clip=float(setting.rule.clip))

    def compute(part: int) -> Arrays:
        setting = brief_setting(n_units=n_units)
        result, errors = outcomes(setting, rules(setting, part), seed, range(n_runs), n_trials)
        both = tuple(sizes) + tuple(-s for s in sizes)
        batch = at_sizes(setting, single_term(*TERMS[part]), both)
        alone, _ = outcomes(setting, batch, seed, range(n_alone), n_trials)
        row = {"psi": (learned * scale)[TERMS[part]], "trials": result.trials}
        rewards = np.nan_to_num(-errors, nan=failure_reward(setting.learner))
        row |= {"rewards": rewards.mean(axis=-1), "alone": alone.trials}
        row |= {"errors": errors[1, :_KEPT, :VERIFIED]}
        return {name: np.asarray(a)[None] for name, a in row.items()}

    def recompute(runs: np.ndarray, arrays: Arrays) -> Arrays:
        setting = brief_setting(n_units=n_units)
        n = arrays["errors"].shape[1]
        made = [errors_of(setting, rules(setting, int(run)), seed, range(n)) for run in runs]
        return {"errors": np.stack([errors[1] for errors in made])}

    parameters = {
        "learned": np.round(learned, 6).tolist(),
        "size": size,
        "n_units": n_units,
        "n_runs": n_runs,
        "n_alone": n_alone,
        "n_trials": n_trials,
        "step": round(step, 6),
        "sizes": list(sizes),
    }
    return Recording(compute, recompute, len(TERMS), parameters, seed)


def largest(theta: np.ndarray, scale: np.ndarray, count: int) -> np.ndarray:
    """θ with only the ``count`` coefficients of largest |ψ|, ψ = θ · scale; of equals the first."""
    order = np.argsort(-np.abs(theta * scale), axis=None, kind="stable")[:count]
    kept = np.zeros(theta.size)
    kept[order] = theta.ravel()[order]
    return kept.reshape(theta.shape)


def _tuned(setting: Setting, rule: Rule, sizes, n_tuning, n_trials) -> float:
    tried = outcomes(setting, at_sizes(setting, rule, sizes), VALIDATION, range(n_tuning), n_trials)
    return float(sizes[int(tried[0].trials.mean(axis=-1).argmin())])


def sparse_rules(
    learned: np.ndarray,
    scale: np.ndarray,
    *,
    counts: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 36),
    n_units: int = 100,
    n_tuning: int = 32,
    n_runs: int = 128,
    n_trials: int = 400,
    sizes: tuple[float, ...] = SIZES[3:11],
    seed: int = 15,
) -> Recording:
    """The rule with only its largest coefficients, each tuned; a run is a count, the last is (3,3).

    count, best: (runs,); the last count is 0. trials: (runs, n_runs). errors: (runs, 8, 4).
    """
    rules = [make_rule(largest(learned, scale, count)) for count in counts] + [miconi()]

    def compute(part: int) -> Arrays:
        setting = brief_setting(n_units=n_units)
        best = _tuned(setting, rules[part], sizes, n_tuning, n_trials)
        batch = at_sizes(setting, rules[part], [best])
        result, errors = outcomes(setting, batch, seed, range(n_runs), n_trials)
        row = {"count": (*counts, 0)[part], "best": best, "trials": result.trials[0]}
        row |= {"errors": errors[0, :_KEPT, :VERIFIED]}
        return {name: np.asarray(a)[None] for name, a in row.items()}

    def recompute(runs: np.ndarray, arrays: Arrays) -> Arrays:
        setting, made = brief_setting(n_units=n_units), []
        for run in runs:
            batch = at_sizes(setting, rules[run], [float(arrays["best"][run])])
            made.append(errors_of(setting, batch, seed, range(min(_KEPT, n_runs)))[0])
        return {"errors": np.stack(made)}

    parameters = {
        "learned": np.round(learned, 6).tolist(),
        "counts": list(counts),
        "n_units": n_units,
        "n_tuning": n_tuning,
        "n_runs": n_runs,
        "n_trials": n_trials,
        "sizes": list(sizes),
    }
    return Recording(compute, recompute, len(rules), parameters, seed)


# Where to: label, trials, options of `brief_setting` besides the number of units.
TRANSFERS: tuple[tuple[str, int, float, dict], ...] = (
    ("as trained", 400, 1.0, {}),
    ("N × 1/2", 400, 0.5, {}),
    ("N × 2", 400, 2.0, {}),
    ("delay 100 ms", 400, 1.0, {"delay": 100.0}),
    ("delay 600 ms", 400, 1.0, {"delay": 600.0}),
    ("integration", 400, 1.0, {"task": "evidence_integration"}),
    ("non-match", 1000, 1.0, {"task": "delayed_nonmatch_to_sample"}),
)


def transfer(
    learned: np.ndarray,
    other: np.ndarray,
    *,
    cases: tuple[int, ...] = tuple(range(len(TRANSFERS))),
    n_units: int = 100,
    n_tuning: int = 12,
    n_runs: int = 64,
    share: float = 1.0,
    sizes: tuple[float, ...] = SIZES[4:10],
    seed: int = 16,
) -> Recording:
    """The learned rule elsewhere, its rate tuned there as for the others; a run is a case.

    Rules: learned on association, learned on integration, (3,3), (1,5), node perturbation.

        best: size, (runs, 5). trials: (runs, 5, n_runs). horizon: (runs,).
        errors: of the first rule, (runs, 8, 4).

    Args:
        share: of the trials of `TRANSFERS`.
    """
    rules = (make_rule(learned), make_rule(other), miconi(), single_term(1, 5))
    rules += (node_perturbation(degree=5),)

    def place(part: int) -> tuple[Setting, int]:
        _, trials, units, options = TRANSFERS[cases[part]]
        return brief_setting(n_units=round(units * n_units), **options), round(share * trials)

    def compute(part: int) -> Arrays:
        setting, n_trials = place(part)
        best = [_tuned(setting, rule, sizes, n_tuning, n_trials) for rule in rules]
        found = [
            outcomes(setting, at_sizes(setting, rule, [b]), seed, range(n_runs), n_trials)
            for rule, b in zip(rules, best, strict=True)
        ]
        row = {"best": best, "horizon": n_trials}
        row |= {"trials": [result.trials[0] for result, _ in found]}
        row |= {"errors": found[0][1][0, :_KEPT, :VERIFIED]}
        return {name: np.asarray(a)[None] for name, a in row.items()}

    def recompute(runs: np.ndarray, arrays: Arrays) -> Arrays:
        made = []
        for run in runs:
            setting, _ = place(int(run))
            batch = at_sizes(setting, rules[0], [float(arrays["best"][run, 0])])
            made.append(errors_of(setting, batch, seed, range(min(_KEPT, n_runs)))[0])
        return {"errors": np.stack(made)}

    parameters = {
        "learned": np.round(learned, 6).tolist(),
        "other": np.round(other, 6).tolist(),
        "cases": [TRANSFERS[case][0] for case in cases],
        "n_units": n_units,
        "n_tuning": n_tuning,
        "n_runs": n_runs,
        "share": share,
        "sizes": list(sizes),
    }
    return Recording(compute, recompute, len(cases), parameters, seed)
