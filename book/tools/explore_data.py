"""Write what the page "Explore a rule" takes from the package, as a script.

    explore_data.py FILE    the settings of the tasks, preset rules, colours

A page opened from a file may not fetch data, so they come as an assignment to a global name.
`book/tools/run.py` calls this at every build: the page cannot lag behind the package.
"""

import inspect
import json
import sys
from pathlib import Path

import jax
import matplotlib
import numpy as np
from companion.settings import BRIEF, brief_setting
from companion.tuning import SIZES

from plasticity.learning.criterion import trials_to_criterion
from plasticity.learning.setting import Setting
from plasticity.rules.learned import learned_rule
from plasticity.rules.three_factor import covariance, miconi, single_term, zero

# Small, so that a browser runs tens of trials a second; ours.
UNITS = 50
# Of updates, on the half-decade grid of `companion.tuning.SIZES`; ours.
SIZE = SIZES[5]


def described(setting: Setting) -> dict:
    """The numbers that define networks, trials and learning in ``setting``."""
    task, learner, rule = setting.task, setting.learner, setting.rule
    dynamics, criterion = learner.dynamics, inspect.signature(trials_to_criterion).parameters
    return {
        "units": setting.n_units,
        "channels": task.n_inputs,
        "steps": task.n_steps,
        "gain": setting.gain,
        "dt": dynamics.dt,
        "tau": dynamics.tau,
        "filterGain": dynamics.gain,
        "inputs": np.asarray(task.inputs, float).tolist(),
        "targets": np.asarray(task.targets, float).tolist(),
        "response": np.asarray(task.response).tolist(),
        "noise": np.asarray(task.noise, float).tolist(),
        "kickProbability": learner.exploration.probability(dynamics.dt),
        "kickAmplitude": learner.exploration.amplitude,
        "initialState": learner.initial_state,
        "tauE": float(rule.tau_e),
        "clip": float(rule.clip),
        "baselineRate": learner.baseline_rate,
        "initialBaseline": learner.initial_baseline,
        "correctBelow": learner.correct_below,
        "window": criterion["window"].default,
        "needed": criterion["needed"].default,
    }


def presets() -> dict[str, list[float]]:
    """θ of the named rules, flat, row k the power of r and column ℓ that of Δ."""
    rules = {
        "zero": zero(),
        "theta-3-3": miconi(),
        "theta-1-1": covariance(),
        "theta-1-5": single_term(1, 5),
        "learned": learned_rule("association"),
    }
    thetas = {name: np.asarray(rule.coefficients, float) for name, rule in rules.items()}
    return {name: theta.ravel().tolist() for name, theta in thetas.items()}


def colours() -> list[str]:
    """The book's diverging colours, from the most negative to the most positive value."""
    return [matplotlib.colors.to_hex(c) for c in matplotlib.colormaps["PuOr"](np.arange(256))]


def data() -> dict:
    """All that the page needs, in plain numbers and strings."""
    with jax.enable_x64(True):
        settings = {task: described(brief_setting(task, n_units=UNITS)) for task in BRIEF}
        named = {"size": SIZE, "presets": presets(), "colours": colours()}
        return {"settings": settings} | named


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    script = f'"use strict";\nconst EXPLORE_DATA = {json.dumps(data())};\n'
    Path(argv[0]).write_text(script, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
