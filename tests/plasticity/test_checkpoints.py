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


STATE = {"iteration": np.array(7), "memory": np.zeros(3)}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"<html>"])
def test_a_checkpoint_that_cannot_be_read_is_set_aside(tmp_path, content):
    file = tmp_path / "run.npz"
    file.write_bytes(content)
    message = "run.npz is computed again.*as run.npz.broken: a checkpoint is a whole .npz of arrays"
    with pytest.warns(RuntimeWarning, match=message):
        assert resume(file, STATE, describe(number=1)) is STATE
    assert (tmp_path / "run.npz.broken").read_bytes() == content and not file.exists()


@pytest.mark.parametrize("identity", [None, "{", "[1]", 3.0])
def test_a_file_of_other_arrays_is_refused_and_left(tmp_path, identity):
    file = tmp_path / "run.npz"
    np.savez(file, **STATE | ({} if identity is None else {"identity": np.array(identity)}))
    before = file.read_bytes()
    message = "a checkpoint says by which loop it was made; got .*run.npz, which does not: choose"
    with pytest.raises(ValueError, match=message):
        resume(file, STATE, describe(number=1))
    assert file.read_bytes() == before


@pytest.mark.parametrize("memory", [None, np.zeros(4), np.zeros(3, np.float32)])
def test_a_checkpoint_without_its_arrays_is_refused(tmp_path, memory):
    file, identity = tmp_path / "run.npz", describe(number=1)
    state = {"iteration": STATE["iteration"]} | ({} if memory is None else {"memory": memory})
    save_checkpoint(file, state, identity)
    message = r"run.npz holds the arrays of its loop; got others of \['memory'\]: choose another"
    with pytest.raises(ValueError, match=message):
        resume(file, STATE, identity)


def test_what_cannot_be_saved_is_refused_before_the_loop_starts(tmp_path):
    with pytest.raises(ValueError, match="a file to write to; got the folder"):
        resume(tmp_path, STATE, {})
    with pytest.raises(ValueError, match="memory holds numbers or text; got type object"):
        resume(tmp_path / "run.npz", {"memory": np.array([None])}, {})
    with pytest.raises(ValueError, match="no array of a loop is called identity"):
        resume(tmp_path / "run.npz", {"identity": np.ones(2)}, {})
    assert not list(tmp_path.iterdir())


def test_one_process_has_nobody_to_ask():
    state = {"a": np.asarray(jnp.ones(2))}
    assert from_first_process(state) is state
