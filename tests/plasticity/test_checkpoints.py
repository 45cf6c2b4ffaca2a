import jax.numpy as jnp
import numpy as np
import pytest
from cases import LEARNER

from plasticity.meta.checkpoint import describe, from_first_process, resume, save_checkpoint
from plasticity.rules.three_factor import ScaledPredictionError, miconi


def test_a_description_tells_values_and_not_addresses():
    told = describe(rule=miconi(), learner=LEARNER, name="a")
    assert told["name"] == "'a'" and "(6, 6)" in told["rule.trace.coefficients"]
    assert " at 0x" not in told["learner"] and "function tanh" in told["learner"]
    assert {"plasticity", "jax", "float64"} <= told.keys()
    other = describe(rule=miconi(learning_rate=0.02), learner=LEARNER, name="a")
    assert [name for name in told if told[name] != other[name]] == ["rule.learning_rate"]
    other = describe(rule=miconi(plain_sum=True, clip=1.0), learner=LEARNER, name="a")
    changed = [name for name in told if told[name] != other[name]]
    assert changed == ["rule.trace.plain_sum", "rule.bound.limit"]
    scaled = describe(rule=miconi(third_factor=ScaledPredictionError()), learner=LEARNER, name="a")
    assert [n for n in told if told[n] != scaled[n]] == ["rule.third_factor"]


def test_a_checkpoint_is_what_was_saved(tmp_path):
    file, identity = tmp_path / "below" / "run.npz", describe(number=1)
    fresh = {"iteration": np.array(-1), "memory": np.zeros(3)}
    assert resume(file, fresh, identity) is fresh and resume(None, fresh, identity) is fresh
    state = {"iteration": np.array(7), "memory": np.array([np.pi, np.nan, -0.0])}
    save_checkpoint(None, state, identity)
    save_checkpoint(file, state, identity)
    found = resume(file, fresh, identity)
    assert found.keys() == state.keys()
    for name in state:
        assert found[name].tobytes() == state[name].tobytes()
    with pytest.raises(ValueError, match="'number': .'1', '2'.*choose another file"):
        resume(file, fresh, describe(number=2))


def test_one_process_has_nobody_to_ask():
    state = {"a": np.asarray(jnp.ones(2))}
    assert from_first_process(state) is state
