"""Lifetimes: `learn_trial` scanned over H trials and mapped over networks and rules."""

import warnings
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Key

from plasticity.learning.parallel import map_in_threads, worker_count
from plasticity.learning.trial import (
    Episode,
    Learner,
    LearningState,
    Outcome,
    draw_episode,
    initial_learning_state,
    learn_trial,
)
from plasticity.model.network import Network
from plasticity.model.tasks import Task
from plasticity.rules.three_factor import Rule
from plasticity.rules.trace import active_powers, decay_weights
from plasticity.types import is_traced, require


class Lifetime(NamedTuple):
    """A course of learning; leading axes are (rules, networks) where there were such axes.

    Attributes:
        state: after the last trial; give it to `learn` to go on.
        errors: mean |z − z*| of each trial, (…, H); NaN from a blow-up on.
        rewards: R, (…, H).
        prediction_errors: what multiplied the trace, (…, H).
        correct: whether the error was below the learner's bound, (…, H); false after a blow-up.
        conditions: (…, H).
    """

    state: LearningState
    errors: Float[Array, "*batch H"]
    rewards: Float[Array, "*batch H"]
    prediction_errors: Float[Array, "*batch H"]
    correct: Bool[Array, "*batch H"]
    conditions: Int[Array, "*batch H"]


def learn(
    key: Key[Array, "*keys"],
    network: Network,
    task: Task,
    rule: Rule,
    learner: Learner,
    n_trials: int,
    *,
    state: LearningState | None = None,
    third_factor: Float[Array, "*batch H"] | None = None,
    batch_size: int | None = None,
) -> Lifetime:
    """Lifetimes of ``n_trials`` trials for every rule and every network.

    A leading axis of the network's arrays (networks) and of the rule's (rules, learning rates)
    give the result the axes (rules, networks), each only if present. Network b of a batch uses
    ``split(key, B)[b]``, or ``key[b]`` if there are B keys, under every rule, so comparisons are
    paired; a single network uses ``key``. Memory does not grow with the number of trials but for
    the numbers returned.

    Args:
        state: that of an earlier `Lifetime` of the same arguments, to go on from it.
        third_factor: (rules, networks, H) numbers that replace the reward prediction error.
        batch_size: lifetimes advanced together by each core; by default so many that their
            weights fill 1 MiB of its cache.

    Raises:
        ValueError: dt of task and dynamics differ, inputs do not fit the network, more conditions
            than trials, dt > τ_e, a clamped unit that does not exist.

    Warns:
        RuntimeWarning: activity or weights became infinite; names trial and learning rate.
    """
    check_lifetime(network, task, rule, learner, n_trials, state)
    static = (learner, n_trials, active_powers(rule.coefficients))
    extras = (state, third_factor)
    if batch_size is None:
        batch_size = max(1, 2**20 // (network.W.shape[-1] ** 2 * network.W.dtype.itemsize))
    result = map_lifetimes(_lifetime, key, network, rule, extras, (task,), static, batch_size)
    report_blow_up(result, rule)
    return result


def map_lifetimes(body, key, network, rule, extras, shared, static, batch_size):
    """``body(key, network, rule, extra, *shared, *static)`` for every rule and every network.

    The axes and keys are those of `learn`; ``extras`` has the axes of the result, ``static`` is
    hashable. One thread a core; each advances ``batch_size`` lifetimes together.

    Where JAX has several devices, those of other processes included (``jax.distributed``), they
    take the place of the threads: each gets an equal part of the lifetimes, and every process all
    results, in the order of the lifetimes. A processor counts as one device unless
    ``XLA_FLAGS=--xla_force_host_platform_device_count`` says more.
    """
    batched = (rule.coefficients.ndim == 3, network.W.ndim == 3)
    rules = rule if batched[0] else jax.tree.map(lambda a: a[None], rule)
    networks = network if batched[1] else jax.tree.map(lambda a: a[None], network)
    n_rules, n_networks = rules.coefficients.shape[0], networks.W.shape[0]
    keys = jax.random.split(key, n_networks) if batched[1] and not key.ndim else key
    keys = keys.reshape(n_networks)
    total = n_rules * n_networks
    shape = tuple(n for n, b in zip((n_rules, n_networks), batched, strict=True) if b)

    def flat(tree):
        return jax.tree.map(lambda a: a.reshape(total, *a.shape[len(shape) :]), tree)

    alone = total == 1 or is_traced(*jax.tree.leaves((keys, networks, rules, extras, shared)))
    devices = 1 if alone else jax.device_count()
    workers = 1 if alone else devices if devices > 1 else worker_count()
    # Equal parts, the last one filled up with repeats, so that one program serves them all.
    chunks = -(-total // (workers * batch_size))
    size = -(-total // (workers * chunks))
    parts = np.arange(workers * chunks * size).reshape(workers, -1) % total
    arguments = (keys, networks, rules, flat(extras), shared)

    def part(indices):
        return _mapped(body, jnp.asarray(indices), *arguments, static, size)

    if alone:
        results = [part(parts[0])]
    elif devices > 1:
        results = [_over_devices(body, parts, arguments, static, size)]
    else:
        results = map_in_threads(part, parts)
    return jax.tree.map(
        lambda *a: jnp.concatenate(a)[:total].reshape(*shape, *a[0].shape[1:]), *results
    )


def _over_devices(body, parts, arguments, static, size):
    """`_mapped` with row d of ``parts`` on device d of all processes; NumPy arrays."""
    keys, *others = arguments
    # Arrays of one process cannot enter a computation of several; what each holds alike can.
    inputs = (jax.random.key_data(keys), *others)
    inputs = jax.tree.map(lambda a: np.asarray(a) if isinstance(a, jax.Array) else a, inputs)
    mesh = Mesh(np.array(jax.devices()), ("lifetimes",))
    shards = _shards(body, parts, *inputs, static, size, jax.random.key_impl(keys), mesh)
    return multihost_utils.process_allgather(shards, tiled=True)


@partial(jax.jit, static_argnums=(0, 7, 8, 9, 10))
def _shards(body, parts, keys, networks, rules, extras, shared, static, size, impl, mesh):
    def shard(indices, keys, *arguments):
        keys = jax.random.wrap_key_data(keys, impl=impl)
        return _mapped(body, indices[0], keys, *arguments, static, size)

    everywhere, split = PartitionSpec(), PartitionSpec("lifetimes")
    specs = (split, everywhere, everywhere, everywhere, everywhere, everywhere)
    # Scans start from constants, which the check would take for the same on all devices.
    over = jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    return over(parts, keys, networks, rules, extras, shared)


@partial(jax.jit, static_argnums=(0, 7, 8))
def _mapped(body, indices, keys, networks, rules, extras, shared, static, size):
    """Lifetime l of ``indices`` is that of rule l // B and network l % B."""
    n_networks = keys.shape[0]

    def one(index):
        def pick(tree, i):
            return jax.tree.map(lambda a: a[i], tree)

        which = index % n_networks
        arguments = (pick(networks, which), pick(rules, index // n_networks), pick(extras, index))
        return body(keys[which], *arguments, *shared, *static)

    return jax.lax.map(one, indices, batch_size=size if size > 1 else None)


def _lifetime(key, network, rule, extras, task, learner, n_trials, powers) -> Lifetime:
    state, factors = extras
    options = {"powers": powers}

    def step(state, factor):
        episode = draw_episode(key, state.trial, task, learner, network.W.shape[0])
        arguments = (state, episode, network, rule, learner)
        state, outcome = learn_trial(*arguments, **options, third_factor=factor)
        return state, trial_numbers(state, episode, outcome, learner)

    state = initial_learning_state(network, task, learner) if state is None else state
    state, rows = jax.lax.scan(step, state, factors, length=n_trials)
    return Lifetime(state, *rows)


def trial_numbers(state: LearningState, episode: Episode, outcome: Outcome, learner: Learner):
    """What a `Lifetime` keeps of each trial; ``state`` is that after it."""
    error = jnp.where(state.alive, outcome.error, jnp.nan)
    correct = error < learner.correct_below
    condition = episode.trial.condition
    return error, outcome.reward, outcome.prediction_error, correct, condition


def check_lifetime(network, task, rule, learner, n_trials, state) -> None:
    """Raise the errors that `learn` documents."""
    dt = learner.dynamics.dt
    value = f"{float(task.dt)} and {dt} ms"
    require(abs(float(task.dt) - dt) < 1e-9, "task and dynamics share dt", value, "use one dt")
    n_units, n_inputs = network.W_in.shape[-2:]
    require(n_inputs == task.n_inputs, f"W_in has {task.n_inputs} channels", n_inputs, "match them")
    value = f"{task.n_conditions} conditions, {n_trials} trials"
    enough = state is not None or n_trials >= task.n_conditions
    require(enough and n_trials > 0, "as many trials as conditions", value, "run more trials")
    outside = [unit for unit, _ in learner.dynamics.clamped if not 0 <= unit < n_units]
    require(not outside, f"clamped units lie in 0 … {n_units - 1}", outside, "clamp others")
    decay_weights(1, dt, rule.tau_e)


def report_blow_up(result: Lifetime, rule: Rule) -> None:
    """Warn of activity or weights that became infinite, with trial and learning rate."""
    if is_traced(result.state.alive) or bool(result.state.alive.all()):
        return
    lost = np.isnan(np.asarray(result.errors)).reshape(-1, result.errors.shape[-1])
    rates = np.repeat(np.asarray(rule.learning_rate), lost.shape[0] // rule.learning_rate.size)
    first = np.where(lost.any(axis=1), lost.argmax(axis=1), lost.shape[1])
    worst = int(first.argmin())
    trial = int(np.min(result.state.trial)) - lost.shape[1] + int(first[worst]) + 1
    warnings.warn(
        f"non-finite activity in {int(lost.any(axis=1).sum())} of {lost.shape[0]} lifetimes, first"
        f" in trial {trial} with learning rate {rates[worst]:g}: what came before is kept and they"
        " count as failures; lower the learning rate or clip the update",
        RuntimeWarning,
        stacklevel=3,
    )
