"""Lifetimes on one device, on two, and on those of two processes are the same lifetimes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import outer_loop
import pytest
from cases import DENSE_RULE, KEY, LEARNER, NETWORK, TASK

from plasticity.learning.lifetime import learn

PROGRAM = Path(__file__).parents[1] / "outer_loop_program.py"


def _start(file, n_devices, *options):
    flags = f"--xla_force_host_platform_device_count={n_devices}"
    environment = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}"}
    command = [sys.executable, PROGRAM, file, *map(str, options)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def _finish(*children):
    try:
        complaints = [child.communicate(timeout=300)[1].decode() for child in children]
    finally:  # of two processes the one that is left waits for the other
        for child in children:
            child.kill()
    for child, complaint in zip(children, complaints, strict=True):
        assert child.returncode == 0, complaint


@pytest.fixture(scope="module")
def alone():
    return outer_loop.train() | outer_loop.lifetimes()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What one process with two devices finds, and two processes with one; all at once."""
    folder = tmp_path_factory.mktemp("shared")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [_start(folder / "devices.npz", 2)]
    for index in range(2):
        options = ("--processes", 2, "--index", index, "--port", port)
        checkpoint = ("--checkpoint", folder / f"checkpoint{index}.npz")
        children.append(_start(folder / f"process{index}.npz", 1, *options, *checkpoint))
    _finish(*children)
    return folder


def _far(found, alone, name):
    """Largest difference relative to the largest entry of the lifetime."""
    axes = tuple(range(1, alone[name].ndim))
    size = np.abs(alone[name]).max(axis=axes, keepdims=True)
    return np.max(np.abs(found[name] - alone[name]) / size)


def _assert_same(found, alone):
    # Six trials of six units amplify rounding (1e-16) by less than 1e4: by how much depends on how
    # many lifetimes advance together, which is for the number of processors to decide.
    for name in ("W", "W of feedback", "W_out"):
        assert _far(found, alone, name) < 1e-12, name
    assert _far(found, alone, "errors") < 1e-12
    for name in ("returns", "pathwise returns"):
        assert _far(found, alone, name) < 1e-12, name
    assert _far(found, alone, "pathwise") < 1e-10
    # Differences of two returns that agree in up to five digits; a step divides by their size.
    assert _far(found, alone, "gradients") < 1e-6
    for name in ("coefficients", "averaged", "objectives", "held_out_rewards"):
        np.testing.assert_allclose(found[name], alone[name], rtol=1e-6, atol=1e-8, err_msg=name)
    for name in ("selected", "evaluated", "held_out_trials", "lost"):
        np.testing.assert_array_equal(found[name], alone[name], err_msg=name)


def test_two_devices_agree_with_one(shared, alone):
    found = np.load(shared / "devices.npz")
    assert found["devices"] == 2 and found["processes"] == 1
    # Four estimates and three evaluations, then two gradients and lifetimes twice: over devices.
    assert found["calls"] == 11
    _assert_same(found, alone)


def test_two_processes_agree_with_one(shared, alone):
    first, second = (np.load(shared / f"process{index}.npz") for index in range(2))
    assert first["devices"] == 2 and first["processes"] == 2 and first["calls"] == 11
    _assert_same(first, alone)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert (shared / "checkpoint0.npz").exists()
    assert not (shared / "checkpoint1.npz").exists()


def test_lifetimes_in_another_order_would_be_found(alone):
    swapped = alone | {name: alone[name][::-1] for name in ("W", "gradients", "pathwise")}
    with pytest.raises(AssertionError):
        _assert_same(swapped, alone)
    assert _far(swapped, alone, "gradients") > 0.1 and _far(swapped, alone, "pathwise") > 0.1


def test_several_devices_leave_tracing_alone(monkeypatch):
    """Under a transformation of the caller's there is nothing to hand out."""
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    networks = jax.tree.map(lambda a: jnp.stack([a, a]), NETWORK)

    def total(rate):
        rule = DENSE_RULE.replace(learning_rate=rate)
        return learn(KEY, networks, TASK, rule, LEARNER, 2).rewards.sum()

    slope = jax.grad(total)(DENSE_RULE.learning_rate)
    assert jnp.isfinite(slope) and slope != 0
