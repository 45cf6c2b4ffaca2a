"""Lifetimes side by side: one program for every rule and network, on all cores or devices."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int, Key

from plasticity.model.network import Network
from plasticity.rules.base import Rule, RuleStack, as_stack
from plasticity.types import is_traced, require, require_count

Program = Callable[..., Any]


class Inputs(NamedTuple):
    """What the lifetimes of R rules and B networks start from.

    Lifetime number l is that of rule l // B and network l % B.

    Attributes:
        keys: one a network, (B,).
        networks: (B, …).
        rules: (R, …).
        each: arguments of which every lifetime has its own, by name, (R·B, …).
        shared: arguments that are the same for all, by name.
    """

    keys: Key[Array, "B"]
    networks: Network
    rules: Any
    each: dict[str, Any]
    shared: dict[str, Any]


def map_lifetimes(
    program: Program,
    key: Key[Array, "*keys"],
    network: Network,
    rule: Rule | RuleStack,
    *,
    each: dict[str, Any] | None = None,
    shared: dict[str, Any] | None = None,
    batch_size: int = 1,
):
    """``program(key, network, rule, **each, **shared)`` for every rule and every network.

    The axes of the result, and which network has which key, are those of
    `plasticity.learning.lifetime.learn`. One thread a core; each advances ``batch_size`` lifetimes
    together.

    Where JAX has several devices, those of other processes included (``jax.distributed``), they
    take the place of the threads: each gets an equal part of the lifetimes, and every process all
    results, in the order of the lifetimes. A processor counts as one device unless
    ``XLA_FLAGS=--xla_force_host_platform_device_count`` says more.

    Under ``jax.disable_jit()`` lifetimes run one after the other in the caller's thread, so that a
    debugger can follow them.

    Args:
        program: one lifetime, as a function of one key, one network and one rule. It is hashable:
            equal programs share one compilation, so what it closes over must not change.
        each: further arguments that have the axes of the result.
        shared: further arguments that are the same for all lifetimes.
        batch_size: lifetimes advanced together by each core.

    Raises:
        ValueError: a batch size that is no whole number ≥ 1, arguments that lack the axes of the
            result.
    """
    require_count("batch_size", batch_size)
    n_rules, rules = len(as_stack(rule)), as_stack(rule).leaves
    several = network.W.ndim == 3
    networks = network if several else jax.tree.map(lambda a: a[None], network)
    n_networks = networks.W.shape[0]
    keys = jax.random.split(key, n_networks) if several and not key.ndim else key
    axes, total, each = lifetime_axes(network, rule), n_rules * n_networks, each or {}
    for name, arrays in each.items():
        shapes = {np.shape(a) for a in jax.tree.leaves(arrays)}
        other = sorted(shape for shape in shapes if shape[: len(axes)] != axes)
        wanted = f"{name} has the axes {axes} of rules and networks"
        require(not other, wanted, other, "give every lifetime its own, in that order")
    each = jax.tree.map(lambda a: a.reshape(total, *a.shape[len(axes) :]), each)
    inputs = Inputs(keys.reshape(n_networks), networks, rules, each, shared or {})

    # Under a transformation of the caller's there is nothing to hand out.
    alone = total == 1 or jax.config.jax_disable_jit or is_traced(*jax.tree.leaves(inputs))
    devices = 1 if alone else jax.device_count()
    workers = 1 if alone else devices if devices > 1 else worker_count()
    batch_size = 1 if jax.config.jax_disable_jit else batch_size
    # Equal parts, the last one filled up with repeats, so that one program serves them all.
    chunks = -(-total // (workers * batch_size))
    together = -(-total // (workers * chunks))
    parts = np.arange(workers * chunks * together).reshape(workers, -1) % total
    if alone:
        results = [_run(program, jnp.asarray(parts[0]), inputs, together)]
    elif devices > 1:
        results = [_over_devices(program, parts, inputs, together)]
    else:
        results = map_in_threads(
            lambda part: _run(program, jnp.asarray(part), inputs, together), parts
        )
    return jax.tree.map(
        lambda *leaves: jnp.concatenate(leaves)[:total].reshape(*axes, *leaves[0].shape[1:]),
        *results,
    )


def lifetime_axes(network: Network, rule: Rule | RuleStack) -> tuple[int, ...]:
    """Sizes of the axes (rules, networks) of lifetimes, each only if present."""
    rules = (len(rule),) if isinstance(rule, RuleStack) else ()
    return rules + network.W.shape[:-2]


@partial(jax.jit, static_argnames=("program", "together"))
def _run(program: Program, indices: Int[Array, "L"], inputs: Inputs, together: int):
    """The lifetimes of these numbers, ``together`` at a time."""
    n_networks = inputs.keys.shape[0]

    def lifetime(index):
        rule_number, network_number = index // n_networks, index % n_networks
        key = inputs.keys[network_number]
        network = jax.tree.map(lambda a: a[network_number], inputs.networks)
        rule = jax.tree.map(lambda a: a[rule_number], inputs.rules)
        each = jax.tree.map(lambda a: a[index], inputs.each)
        return program(key, network, rule, **each, **inputs.shared)

    return jax.lax.map(lifetime, indices, batch_size=together if together > 1 else None)


def _over_devices(program: Program, parts: np.ndarray, inputs: Inputs, together: int):
    """`_run` with row d of ``parts`` on device d of all processes; NumPy arrays."""
    mesh, kind = Mesh(np.array(jax.devices()), ("lifetimes",)), jax.random.key_impl(inputs.keys)
    # Arrays of one process cannot enter a computation of several; what each holds alike can.
    plain = inputs._replace(keys=jax.random.key_data(inputs.keys))
    plain = jax.tree.map(lambda a: np.asarray(a) if isinstance(a, jax.Array) else a, plain)
    shards = _run_sharded(program, parts, plain, together, kind, mesh)
    return multihost_utils.process_allgather(shards, tiled=True)


@partial(jax.jit, static_argnames=("program", "together", "kind", "mesh"))
def _run_sharded(program: Program, parts, plain, together: int, kind, mesh: Mesh):
    def shard(part, plain):
        inputs = plain._replace(keys=jax.random.wrap_key_data(plain.keys, impl=kind))
        return _run(program, part[0], inputs, together)

    everywhere, split = PartitionSpec(), PartitionSpec("lifetimes")
    specs = {"in_specs": (split, everywhere), "out_specs": split}
    # Scans start from constants, which the check would take for the same on all devices.
    return jax.shard_map(shard, mesh=mesh, **specs, check_vma=False)(parts, plain)


def worker_count() -> int:
    """Threads to use: XLA leaves all but one core idle in the recurrence of a batch on a CPU."""
    if jax.default_backend() != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(function: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """``function`` of every part, a thread each, in the precision and types of the caller's thread.

    Results are waited for, and come in the order of the parts; so does what ``function`` raises.
    """
    parts = list(parts)
    # JAX keeps both settings thread by thread.
    double, promotion = jax.config.jax_enable_x64, jax.config.jax_numpy_dtype_promotion

    def call(part):
        with jax.enable_x64(double), jax.numpy_dtype_promotion(promotion):
            return jax.block_until_ready(function(part))

    if len(parts) < 2:
        return [call(part) for part in parts]
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(call, parts))
