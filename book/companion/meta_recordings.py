"""What the chapter on meta-training records at full size, and computes small when asked to.

Seeds: 10 map of settings, 11 training, 12 validation and tuning, 29 and 30 test, by task (13, 18,
19, 26 and 27 judged earlier rules or rates), 28 confirmation. Networks that chose anything
never judge it.
"""

import dataclasses
import time
from itertools import product

import jax
import numpy as np

from companion.record import Recording
from companion.settings import brief_setting
from companion.tuning import SIZES, at_sizes, errors_of, outcomes, visibility
from plasticity.files import Arrays
from plasticity.learning.setting import Setting
from plasticity.meta.estimators import Estimator, Pathwise
from plasticity.meta.score_function import WeightScore
from plasticity.meta.train import MetaTraining, coordinate_scale, meta_train
from plasticity.rules.three_factor import miconi, node_perturbation
from plasticity.types import require

TRAINING, VALIDATION = 11, 12
TEST = {"association": 29, "integration": 30}
CONFIRMATION = 28
STARTS = ("zero", "(3,3)", "random")


# Kick rate (Hz), kick amplitude, delay (ms; cue and response scale with it), τ_x (ms).
MAP = tuple(product((1.0, 3.0, 10.0), (0.5, 1.0, 2.0), (200.0, 400.0), (20.0,))) + (
    (3.0, 2.0, 200.0, 5.0),
    (3.0, 2.0, 200.0, 100.0),
)


def setting_map(
    cases=MAP,
    *,
    n_units: int = 100,
    n_runs: int = 24,
    n_trials: int = 400,
    sizes: tuple[float, ...] = SIZES[2:8],
    seed: int = 10,
) -> Recording:
    """How many networks learn in each setting, by θ_33 and by node perturbation; a run is a case.

    cases: kick rate, amplitude, delay, τ_x, (runs, 4).
    trials, reached: (runs, 2 rules, sizes, networks).
    visible: R² of `visibility`, (runs,).
    errors: of the first trials with the first size, (runs, 2, networks, 16).
    """
    cases = tuple(tuple(case) for case in cases)

    def of(case) -> Setting:
        rate, amplitude, delay, tau = case
        times = {"cue": delay / 2, "delay": delay, "response": delay}
        options = {"kick_rate": rate, "kick_amplitude": amplitude, "tau_filter": tau}
        return brief_setting(n_units=n_units, **options, **times)

    def rules():
        return miconi(), node_perturbation(degree=5)

    def compute(part: int) -> Arrays:
        setting = of(cases[part])
        found = [
            outcomes(setting, at_sizes(setting, rule, sizes), seed, range(n_runs), n_trials)
            for rule in rules()
        ]
        row = {
            "cases": cases[part],
            "trials": [result.trials for result, _ in found],
            "reached": [result.reached for result, _ in found],
            "visible": visibility(setting, seed=seed),
            "errors": [errors[0, :, :16] for _, errors in found],
        }
        return {name: np.array(value)[None] for name, value in row.items()}

    def recompute(which: np.ndarray, _: Arrays) -> Arrays:
        made = []
        for case in which:
            setting = of(cases[case])
            batches = [at_sizes(setting, rule, sizes[:1]) for rule in rules()]
            made.append([errors_of(setting, b, seed, range(n_runs))[0] for b in batches])
        return {"errors": np.array(made)}

    parameters = {
        "cases": [list(c) for c in cases],
        "n_units": n_units,
        "n_runs": n_runs,
        "n_trials": n_trials,
        "sizes": list(sizes),
    }
    return Recording(compute, recompute, len(cases), parameters, seed)


TASKS = {"association": "delayed_association", "integration": "evidence_integration"}
# Of the shorter runs by which estimators are compared: the score function's lifetimes cost more.
BRIEF: dict[str, int] = {"n_iterations": 40, "n_trials": 60, "n_validation": 64}
# The second task is learned within fewer trials, and with less effort.
LIGHTER: dict[str, int] = {"n_iterations": 24, "n_networks": 64, "n_trials": 60, "n_validation": 64}
# Of the outer loop; ours, chosen on networks of other seeds.
TRAINING_RATE = 5e-4
STEPS = {"step_size": 0.3, "sparsity": 0.01}
ESTIMATORS: dict[str, Estimator] = {
    "pathwise": Pathwise(),
    "U carried": WeightScore(sigma=1e-3, carry=True),
}


def start_coefficients(name: str, scale: np.ndarray) -> np.ndarray:
    """θ to start from: zero, θ_33 = −1, or N(0, 1/4) in units of ψ.

    Raises:
        ValueError: an unknown start.
    """
    require(name in STARTS, "a start of the book", repr(name), f"choose from {STARTS}")
    theta = np.zeros((6, 6))
    if name == "(3,3)":
        theta[3, 3] = -1.0
    if name == "random":
        theta = 0.5 * np.random.default_rng(TRAINING).normal(size=(6, 6)) / scale
    return theta


def meta_training(
    task: str = "association",
    estimator: str = "pathwise",
    starts: tuple[str, ...] = STARTS,
    *,
    n_units: int = 100,
    n_iterations: int = 100,
    n_networks: int = 96,
    n_carried: int = 16,
    n_trials: int = 120,
    n_validation: int = 128,
    validation_trials: int = 400,
) -> Recording:
    """The outer loop from several starts; a run is a start.

    With U carried a lifetime costs some six times as much, and ``n_carried`` of them make a step:
    the same time. All fields of `plasticity.meta.train.MetaTrainingResult` but the rule:
    ``chosen`` (runs, d+1, d+1) is its θ; ``seconds_taken`` (runs,). ``first_objectives`` (runs, 2)
    and ``first_iterates`` (runs, 2 (d+1)²), in ψ, are those of a small run of two iterations in
    float64: what is verified.
    """

    def setting() -> Setting:
        return brief_setting(TASKS[task], n_units=n_units, learning_rate=TRAINING_RATE)

    def config(**changes) -> MetaTraining:
        made = MetaTraining(
            n_iterations=n_iterations,
            n_networks=n_carried if estimator == "U carried" else n_networks,
            n_trials=n_trials,
            **STEPS,
            validate_every=max(1, n_iterations // 10),
            n_validation=n_validation,
            validation_trials=validation_trials,
            training_seed=TRAINING,
            validation_seed=VALIDATION,
            test_seed=TEST[task],
        )
        return dataclasses.replace(made, **changes)

    def first(part: int) -> Arrays:
        small = {"n_iterations": 2, "n_networks": 3, "n_trials": 8, "n_validation": 2}
        short = {"validation_trials": 20, "validate_every": 2}
        with jax.enable_x64(True):
            place = setting()
            scale = coordinate_scale(place, place.rule, TRAINING)
            theta = start_coefficients(starts[part], scale)
            made = config(**small, **short)
            course = meta_train(place, ESTIMATORS[estimator], theta, made, progress=False)
        return {
            "first_objectives": course.objectives,
            "first_iterates": (course.coefficients[1:] * course.scale).ravel(),
        }

    def compute(part: int) -> Arrays:
        place = setting()
        scale = coordinate_scale(place, place.rule, TRAINING)
        theta, made = start_coefficients(starts[part], scale), config()
        began = time.perf_counter()
        course = meta_train(place, ESTIMATORS[estimator], theta, made)
        row = {name: a for name, a in course._asdict().items() if name not in ("rule", "selected")}
        row |= {
            "selected": course.selected,
            "chosen": course.rule.coefficients,
            "seconds_taken": time.perf_counter() - began,
        }
        return {name: np.asarray(a)[None] for name, a in (row | first(part)).items()}

    def recompute(runs: np.ndarray, _: Arrays) -> Arrays:
        made = [first(int(run)) for run in runs]
        return {name: np.stack([row[name] for row in made]) for name in made[0]}

    parameters = {
        "task": task,
        "estimator": estimator,
        "starts": list(starts),
        "n_units": n_units,
        "n_iterations": n_iterations,
        "n_networks": n_networks,
        "n_carried": n_carried,
        "n_trials": n_trials,
        "n_validation": n_validation,
        "validation_trials": validation_trials,
        "learning_rate": TRAINING_RATE,
    }
    return Recording(compute, recompute, len(starts), parameters, TRAINING)
