"""What users pass on: settings and their parts compare, copy, pickle and print by their values."""

import copy
import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import DENSE_RULE, LEARNER, N_UNITS, NETWORK, TASK

from plasticity.learning.setting import Setting
from plasticity.learning.trial import Learner
from plasticity.model.network import Dynamics, random_network
from plasticity.model.tasks import context_dependent_integration, delayed_association
from plasticity.rules.backpropagation import backpropagation
from plasticity.rules.base import stack
from plasticity.rules.feedback import reward_feedback, supervised_feedback
from plasticity.rules.perturbation import weight_perturbation
from plasticity.rules.structure import structured
from plasticity.rules.three_factor import SoftBound, compose, covariance, miconi
from plasticity.rules.trace import FunctionTrace, Polynomial
from plasticity.values import equal, short_repr


@jax.jit
def draw(key):
    """Compiled, so that only its name can be pickled."""
    return random_network(key, N_UNITS, 2)


def product(p, r, shift):
    return p * r * shift


class LastRate(NamedTuple):
    """A rule of one's own."""

    learning_rate: Any
    told = frozenset({"rates"})

    def start(self, network, task):
        return ()

    def change(self, seen, memory):
        raise NotImplementedError


def _setting(**changes) -> Setting:
    # Made anew each time, so that nothing is equal for being the same object.
    task = delayed_association(cue=30.0, delay=30.0, response=40.0)
    parts = {"task": task, "rule": miconi(clip=1e-3), "learner": Learner(), "n_units": N_UNITS}
    return Setting(**parts | changes)


def _function_rule():
    return compose(FunctionTrace(function=product, parameters=jnp.ones(())))


MADE = {
    "task": lambda: _setting().task,
    "task with a sign": lambda: context_dependent_integration(irrelevant_drawn=True),
    "network": lambda: random_network(jax.random.key(3), N_UNITS, 2),
    "dynamics": lambda: Dynamics(clamped=((1, 1.0),)),
    "learner": lambda: dataclasses.replace(LEARNER),
    "setting": _setting,
    "setting that draws": lambda: _setting(draw=draw),
    "setting of a rule of one's own": lambda: _setting(rule=LastRate(jnp.array(0.1))),
    "polynomial": lambda: miconi(learning_rate=0.02, clip=1e-3, onset=10.0),
    "soft bound": lambda: covariance(bound=SoftBound(0.1)),
    "function": _function_rule,
    "weights": lambda: weight_perturbation(0.1),
    "feedback": lambda: reward_feedback(feedback=np.arange(N_UNITS), readout_rate=0.1),
    "backpropagation": lambda: backpropagation(loss="absolute"),
    "structure": lambda: structured(miconi(), signs=np.ones(N_UNITS), n_units=N_UNITS),
    "stack": lambda: stack([miconi(learning_rate=eta) for eta in (0.1, 0.2)]),
}


@pytest.mark.parametrize("name", MADE)
def test_what_has_the_same_numbers_is_the_same(name):
    value, again = MADE[name](), MADE[name]()
    copies = [again, copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))]
    for other in copies:
        assert type(other) is type(value)
        assert (value == other) is True and (value != other) is False
    others = [made() for key, made in MADE.items() if key != name]
    for other in [*others, None, tuple(vars(value)) if hasattr(value, "__dict__") else 3]:
        assert (value == other) is False and (value != other) is True
    if not isinstance(value, tuple):
        assert len({hash(one) for one in (value, *copies)}) == 1
        assert {value: 1}[copies[-1]] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"n_units": N_UNITS + 1},
        {"gain": 1.2},
        {"readout": "unit"},
        {"draw": draw},
        {"learner": dataclasses.replace(LEARNER, correct_below=0.5)},
        {"rule": miconi(clip=2e-3)},
        {"rule": miconi(clip=1e-3, onset=10.0)},
        {"rule": miconi(bound=SoftBound(1e-3))},
        {"task": TASK._replace(targets=TASK.targets.at[1, 3].add(1e-15))},
        {"task": TASK._replace(targets=TASK.targets[..., None])},
        {"task": TASK._replace(flipped=jnp.zeros_like(TASK.inputs))},
    ],
)
def test_one_number_makes_a_difference(change):
    assert _setting() != _setting(**change)
    assert _setting(**change) == _setting(**change)


def test_arrays_are_compared_exactly_and_nothing_is_broadcast():
    assert equal(np.ones((2, 3)), jnp.ones((2, 3)))
    assert not equal(np.ones((2, 3)), np.ones(3)) and not equal(np.ones(2), np.full(2, np.nan))
    assert not equal(np.ones(2), np.nextafter(np.ones(2), 2)) and not equal([1], (1,))


def test_values_stay_what_jax_takes_apart_and_compiles_for():
    calls = []

    @jax.jit
    def rate(rule, task):
        calls.append(str(rule))  # printed while traced
        return rule.learning_rate * task.dt

    for eta in (0.1, 0.2):
        rule = miconi(learning_rate=eta)
        assert float(rate(rule, TASK)) == float(rate(copy.deepcopy(rule), TASK)) == 10.0 * eta
    assert len(calls) == 1 and "learning_rate=float64[]" in calls[0]
    learned = _setting().learn(0, [0], 2)
    copied = pickle.loads(pickle.dumps(_setting())).learn(0, [0], 2)
    np.testing.assert_array_equal(learned.state.W, copied.state.W)


def test_another_process_reads_what_was_pickled(tmp_path):
    setting = _setting()
    (tmp_path / "setting").write_bytes(pickle.dumps(setting))
    program = (
        "import pickle, sys, jax; jax.config.update('jax_enable_x64', True);"
        "setting = pickle.load(open(sys.argv[1], 'rb'));"
        "print(setting, setting == pickle.loads(pickle.dumps(setting)))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "setting")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.stdout.strip() == f"{setting} True", run.stderr


def test_values_are_printed_in_a_line():
    assert repr(TASK) == (
        "Task(inputs=float64[2,10,2], targets=float64[2,10], response=bool[10],"
        " noise=float64[10,2], dt=10.0)"
    )
    assert repr(NETWORK) == "Network(W=float64[6,6], W_in=float64[6,2], W_out=float64[6])"
    assert repr(miconi(clip=1e-3)) == (
        "ThreeFactor(trace=Polynomial(coefficients=float64[6,6]), learning_rate=0.01,"
        " bound=Clip(limit=0.001))"
    )
    assert repr(_setting(draw=draw)) == (
        f"Setting(task={TASK!r}, rule={miconi(clip=1e-3)!r}, n_units=6, draw=draw)"
    )
    two = stack([miconi(), covariance()])
    assert "learning_rate=float64[2]" in repr(two) and "\n" not in repr(two)
    assert "exploration=Kicks(rate=20.0, amplitude=1.0)" in repr(_setting(learner=LEARNER))
    assert short_repr(Polynomial(coefficients=jnp.ones((2, 2)), tau_e=jnp.array(1000.0))) == (
        "Polynomial(coefficients=float64[2,2])"
    )
    assert "function=product" in repr(_function_rule())
    assert max(len(repr(made())) for made in MADE.values()) < 700
    assert supervised_feedback() == supervised_feedback() != DENSE_RULE
