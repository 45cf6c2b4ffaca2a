"""Search of the 36 coefficients by an optimiser that sees returns only: a reference, recorded.

CMA-ES (Hansen 2016, by the library cmaes) on ψ = θ · scale, for about the time that pathwise
gradients take at the sizes of `companion.meta_recordings.meta_training`.
"""

import numpy as np
from cmaes import CMA

from companion.meta_recordings import TASKS, TRAINING, TRAINING_RATE, VALIDATION, start_coefficients
from companion.record import Recording
from companion.settings import brief_setting
from companion.tuning import errors_of
from plasticity.files import Arrays
from plasticity.learning.criterion import evaluate, failure_reward, restricted_mean
from plasticity.meta.train import coordinate_scale
from plasticity.rules.three_factor import make_rule


def black_box_search(
    task: str = "association",
    starts: tuple[str, ...] = ("zero",),
    *,
    n_units: int = 100,
    n_generations: int = 25,
    population: int = 16,
    n_networks: int = 48,
    n_trials: int = 60,
    spread: float = 1.0,
    n_validation: int = 64,
    validation_trials: int = 400,
) -> Recording:
    """CMA-ES from several starts, one a run; fitness is the mean reward of shared fresh networks.

    evaluated: generations after which the mean of the distribution was evaluated, (runs, E).
    held_out_rewards, held_out_trials: of it on validation networks, (runs, E).
    chosen: θ of the mean that did best there, (runs, d+1, d+1).
    errors: its first trials, (runs, 8, 4).
    """

    def place():
        return brief_setting(TASKS[task], n_units=n_units, learning_rate=TRAINING_RATE)

    def rules(setting, coefficients):
        options = {"learning_rate": TRAINING_RATE, "clip": float(setting.rule.clip)}
        return make_rule(coefficients, **options)

    def compute(part: int) -> Arrays:
        setting = place()
        scale = coordinate_scale(setting, setting.rule, TRAINING)
        start = (start_coefficients(starts[part], scale) * scale).ravel()
        search = CMA(mean=start, sigma=spread, population_size=population, seed=TRAINING)
        means, trials, rewards = [], [], []
        evaluated = np.unique([*range(0, n_generations, 5), n_generations])
        failure = failure_reward(setting.learner)
        for generation in range(n_generations + 1):
            if generation in evaluated:
                means.append(search.mean.reshape(scale.shape) / scale)
                sizes = {"n_networks": n_validation, "n_trials": validation_trials}
                found = evaluate(setting, rules(setting, means[-1]), seed=VALIDATION, **sizes)
                trials.append(float(restricted_mean(found.trials)))
                rewards.append(found.rewards.mean())
            if generation == n_generations:
                break
            points = [search.ask() for _ in range(population)]
            runs = np.arange(generation * n_networks, (generation + 1) * n_networks)
            batch = rules(setting, np.stack([p.reshape(scale.shape) / scale for p in points]))
            earned = np.asarray(setting.learn(TRAINING, runs, n_trials, batch).rewards, float)
            fitness = np.nan_to_num(earned, nan=failure, neginf=failure).mean(axis=(1, 2))
            search.tell([(p, -f) for p, f in zip(points, fitness, strict=True)])
        chosen = means[int(np.argmin(trials))]
        row = {"evaluated": evaluated, "held_out_trials": trials, "held_out_rewards": rewards}
        row |= {"chosen": chosen, "errors": first_errors(chosen)}
        return {name: np.asarray(a)[None] for name, a in row.items()}

    def first_errors(theta: np.ndarray) -> np.ndarray:
        setting = place()
        return errors_of(setting, rules(setting, theta[None]), VALIDATION, range(8))[0]

    def recompute(runs: np.ndarray, arrays: Arrays) -> Arrays:
        return {"errors": np.stack([first_errors(arrays["chosen"][run]) for run in runs])}

    parameters = {
        "task": task,
        "starts": list(starts),
        "n_units": n_units,
        "n_generations": n_generations,
        "population": population,
        "n_networks": n_networks,
        "n_trials": n_trials,
        "spread": spread,
        "n_validation": n_validation,
        "validation_trials": validation_trials,
        "learning_rate": TRAINING_RATE,
    }
    return Recording(compute, recompute, len(starts), parameters, TRAINING)
