"""What the gradient of the reward in the coefficients costs, by four methods.

All give ∂/∂θ_p of the mean reward of H trials of one lifetime, for every p:

    closed form    `plasticity.derivatives.tangent`, all coefficients carried through the trials
    jvp of steps   `jax.jvp` of a scan over steps that carries the trace, mapped over coefficients:
                   what one would write by hand
    reverse mode   `jax.grad` of `learn_trial` scanned, each trial recomputed on the way back
    differences    2P lifetimes, each coefficient moved up and down

    python -m companion.gradient_cost METHOD N T D H

measures one of them on one core of a process of its own and prints the result as JSON.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from companion.seeds import seed
from companion.settings import association_setting, dense_rule
from plasticity.derivatives.differences import step_sizes
from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.derivatives.tangent import Differentiation
from plasticity.learning.lifetime import learn
from plasticity.learning.trial import (
    draw_episode,
    due,
    evaluate_output,
    first_trajectory,
    initial_learning_state,
)
from plasticity.meta.objective import mean_reward
from plasticity.model.network import simulate_trial
from plasticity.model.tasks import Task, delayed_association
from plasticity.rules.base import RuleStack

_REPEATS, _ENOUGH = 5, 1.0  # times to repeat, unless this many seconds have passed
_STEP = 1e-3  # relative, of the differences: between truncation and rounding in float32


def closed_form(key, network, task, rule, learner, n_trials: int) -> Float[Array, "P"]:
    """By `plasticity.derivatives.sensitivity.learn_with_tangents`."""
    options = {"differentiation": Differentiation(rewards=True), "observe": _reward_tangent}
    result = learn_with_tangents(key, network, task, rule, learner, n_trials, **options)
    return result.observed.mean(axis=0)


def _reward_tangent(state, episode, outcome, tangents, of_outcome):
    return of_outcome.reward


def jvp_of_steps(key, network, task, rule, learner, n_trials: int) -> Float[Array, "P"]:
    """By forward mode through a scan that carries the trace; its derivative has P such traces."""
    theta = rule.coefficients
    given = (key, network, task, rule, learner, n_trials)
    directions = jnp.eye(theta.size, dtype=theta.dtype).reshape(-1, *theta.shape)
    reward = partial(_reward_by_steps, given)
    return jax.vmap(lambda direction: jax.jvp(reward, (theta,), (direction,))[1])(directions)


def _reward_by_steps(given, theta):
    """The mean reward of the trials as a function of θ."""
    key, network, task, rule, learner, n_trials = given
    weights = rule.trace.weights(task.n_steps, learner.dynamics)

    def trial(carry, h):
        W, filtered, baseline = carry
        episode = draw_episode(key, h, task, learner, W.shape[0])
        start = episode.state if learner.reset_filter else filtered
        now = network._replace(W=W)
        filtered, trace, output = _trial_by_steps(now, episode, start, theta, weights, learner)
        judged = evaluate_output(output, baseline, episode.trial, learner)
        W = W + due(rule.update(trace, rule.third_factor(*judged[1:3])), h, learner)
        return (W, filtered, judged[3]), judged[1]

    state = initial_learning_state(network, task, rule, learner)
    carry = (state.W, state.filtered, state.baseline)
    return jax.lax.scan(trial, carry, jnp.arange(n_trials, dtype=jnp.int32))[1].mean()


def _trial_by_steps(network, episode, filtered, theta, weights, learner):
    """x̄ at the end of a trial that starts with ``filtered``, the trace, and the output (T,)."""

    def step(carry, now):
        x, x_bar, trace = carry
        inputs, kick, weight = now
        run = simulate_trial(network, inputs[None], kick[None], x, x_bar, learner.dynamics)
        left, right = (_powers(x, len(theta)) for x in (run.fluctuations, run.rates))
        trace = trace + weight * (left.T @ theta.T @ right)
        return (run.states[0], run.filtered, trace), run.output[0]

    start = (episode.state, filtered, jnp.zeros_like(network.W))
    (_, filtered, trace), output = jax.lax.scan(
        step, start, (episode.trial.inputs, episode.kicks, weights)
    )
    return filtered, trace, output


def _powers(x, number: int):
    return jnp.concatenate([x**k for k in range(number)])


def reverse_mode(key, network, task, rule, learner, n_trials: int) -> Float[Array, "P"]:
    """By `jax.grad` of `mean_reward`."""
    given = (key, network, task, rule, learner, n_trials)
    return jax.grad(mean_reward, has_aux=True)(rule.coefficients, *given)[0].ravel()


def differences(
    key, network, task, rule, learner, n_trials: int, *, relative_step: float = _STEP
) -> Float[Array, "P"]:
    """By 2P lifetimes of `learn`; steps as in `plasticity.derivatives.differences`."""
    run = first_trajectory(key, network, task, rule, learner)
    terms = Differentiation().of(rule)
    steps = step_sizes(run.rates, run.fluctuations, rule, terms, relative_step)
    moves = jnp.diag(steps).reshape(-1, *rule.coefficients.shape)
    moved = rule.coefficients[None] + jnp.concatenate([moves, -moves])
    rules = jax.tree.map(lambda a: jnp.broadcast_to(a, (len(moved), *a.shape)), rule)
    rules = RuleStack(rules.with_parameters(moved))
    rewards = learn(key, network, task, rules, learner, n_trials).rewards.mean(axis=-1)
    return (rewards[: len(terms)] - rewards[len(terms) :]) / (2 * steps)


METHODS: dict[str, Callable] = {
    "closed form": closed_form,
    "jvp of steps": jvp_of_steps,
    "reverse mode": reverse_mode,
    "differences": differences,
}


class Cost(NamedTuple):
    """Of the gradient of one lifetime, in float32.

    Attributes:
        time: seconds of the fastest of up to five calls, compiled before.
        planned: working memory that XLA plans for, bytes.
        resident: peak of the resident size of the process above that before the call, bytes;
            NaN where the system does not tell.
        gradient: what was computed, (P,).
    """

    time: float
    planned: float
    resident: float
    gradient: list[float]


def scaled_association(n_steps: int) -> Task:
    """Delayed association of T steps of 10 ms: a fifth a cue, two fifths a delay. (Ours.)"""
    cue, delay = round(0.2 * n_steps), round(0.4 * n_steps)
    parts = {"cue": cue, "delay": delay, "response": n_steps - cue - delay}
    return delayed_association(dt=10.0, **{name: 10.0 * part for name, part in parts.items()})


def reward_gradient(
    method: str,
    n_units: int,
    n_steps: int,
    degree: int,
    n_trials: int,
    *,
    number: int = seed("costs"),
):
    """One method on `scaled_association`: a compiled function and its arguments.

    Args:
        number: the seed of the network and its trials.
    """
    setting = association_setting(n_units=n_units)
    task = scaled_association(n_steps)
    rule = dense_rule(setting, learning_rate=3e-4, degree=degree).replace(clip=setting.rule.clip)
    keys, networks, *_ = setting.arguments(number, [0])
    key, network = keys[0], jax.tree.map(lambda a: a[0], networks)

    @jax.jit
    def gradient(key, network, rule):
        return METHODS[method](key, network, task, rule, setting.learner, n_trials)

    arguments = (key, network, rule)
    return gradient.lower(*arguments).compile(), arguments


def measure(method: str, *size: int) -> Cost:
    """Compile, run and time `reward_gradient` here and now; ``size`` is N, T, d and H."""
    compiled, arguments = reward_gradient(method, *size)
    planned = compiled.memory_analysis().temp_size_in_bytes
    before = _resident(reset=True)
    times: list[float] = []
    while len(times) < _REPEATS and sum(times) < _ENOUGH:
        start = time.perf_counter()
        result = jax.block_until_ready(compiled(*arguments))
        times.append(time.perf_counter() - start)
    peak = _resident()
    return Cost(min(times), float(planned), peak - before, np.asarray(result).tolist())


def measure_alone(method: str, *size: int) -> Cost:
    """`measure` on one core of a process of its own."""
    command = [sys.executable, "-m", "companion.gradient_cost", method, *map(str, size)]
    environment = os.environ | {"JAX_ENABLE_X64": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"measuring {method} at {size} failed:\n{done.stderr}")
    return Cost(**json.loads(done.stdout))


def _resident(*, reset: bool = False) -> float:
    """Peak resident size in bytes since the last reset, which makes it the present one."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return float("nan")
    return 1024.0 * int(status.split("VmHWM:")[1].split()[0])


def main() -> None:
    method, *size = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    print(json.dumps(measure(method, *map(int, size))._asdict()))


if __name__ == "__main__":
    main()
