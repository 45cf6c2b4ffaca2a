"""Learning: one trial, and whole lifetimes of trials.

`learn_trial` is the one place where a trial is defined: simulate, form the trace, compare the
reward with its baseline, change W. `learn` scans it over H trials and maps it over networks and
rules. A lifetime is a function of its key alone: trial h draws from ``fold_in(key, h)``.
"""

import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from plasticity.eligibility import active_powers, decay_weights, eligibility_trace
from plasticity.exploration import Exploration, draw_kicks
from plasticity.network import Dynamics, Network, Trajectory, simulate_trial
from plasticity.reward import reward_baseline, reward_prediction_error, trial_error, trial_reward
from plasticity.tasks import Task, Trial
from plasticity.three_factor import Rule, three_factor_update
from plasticity.types import Activity, Flag, Index, PRNGKey, Scalar, Units, Weights, require


@dataclass(frozen=True, kw_only=True)
class Learner:
    """Everything about learning that is not the network, the task or the rule.

    Attributes:
        dynamics: of the units.
        exploration: the kicks.
        reward: "graded" (R = −error) or "binary" (R = 1 if correct, else 0).
        correct_below: a trial is correct if its error is below this (Miconi 2017).
        baseline_rate: step of the running baseline R̄.
        initial_baseline: R̄ before the first trial; −1 is what a silent output earns if |z*| = 1.
        per_condition: one baseline per condition, or one shared by all.
        error_factor: multiply the prediction error by −R̄ (Miconi 2017).
        reset_filter: start each trial with x̄ = x, or carry x̄ over from the last trial (from 0).
        initial_state: x starts each trial at this times U(−1, 1).
        conditions: "cycle" through them, or "drawn" at random.
        first_update: trial (from 0) of the first change of weights; baselines move before.
        trace_onset: time in the trial before which the trace does not accumulate, ms.
        plain_sum: sum the trace over steps, without dt and decay (Miconi 2017).
        frozen_trace: a control: each condition keeps the trace of its first trial for ever.

    Raises:
        ValueError: an unknown reward or order of conditions, a rate outside [0, 1].
    """

    dynamics: Dynamics = field(default_factory=Dynamics)
    exploration: Exploration = field(default_factory=Exploration)
    reward: str = "graded"
    correct_below: float = 1.0
    baseline_rate: float = 0.25
    initial_baseline: float = -1.0
    per_condition: bool = True
    error_factor: bool = False
    reset_filter: bool = True
    initial_state: float = 0.1
    conditions: str = "cycle"
    first_update: int = 0
    trace_onset: float = 0.0
    plain_sum: bool = False
    frozen_trace: bool = False

    def __post_init__(self) -> None:
        require(self.reward in ("graded", "binary"), "reward graded or binary", self.reward, "pick")
        order = self.conditions in ("cycle", "drawn")
        require(order, "conditions cycle or drawn", self.conditions, "pick one")
        inside = 0 <= self.baseline_rate <= 1
        require(inside, "0 ≤ baseline_rate ≤ 1", self.baseline_rate, "use a fraction")
        self.exploration.probability(self.dynamics.dt)


class LearningState(NamedTuple):
    """What one trial hands to the next.

    Attributes:
        W: recurrent weights, (N, N).
        filtered: x̄, (N,).
        baseline: R̄ per condition (C,), or shared (1,).
        trial: index of the next trial.
        alive: whether activity and weights have stayed finite; W is the last finite one.
        traces: first trace of each condition (C, N, N) if the learner freezes them, else None.
    """

    W: Weights
    filtered: Units
    baseline: Float[Array, "slots"]
    trial: Index
    alive: Flag
    traces: Float[Array, "C N N"] | None


class Episode(NamedTuple):
    """What is drawn for a trial: the trial, its kicks (T, N) and the initial x (N,)."""

    trial: Trial
    kicks: Activity
    state: Units


class Outcome(NamedTuple):
    """What happened in a trial; ``change`` is the update of W, zero where none was due."""

    trajectory: Trajectory
    trace: Weights
    error: Scalar
    reward: Scalar
    prediction_error: Scalar
    change: Weights


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


def initial_learning_state(network: Network, task: Task, learner: Learner) -> LearningState:
    """The state before the first trial of one network."""
    n = network.W.shape[0]
    slots = task.n_conditions if learner.per_condition else 1
    baseline = jnp.full(slots, learner.initial_baseline, network.W.dtype)
    kept = jnp.zeros((task.n_conditions, n, n), network.W.dtype) if learner.frozen_trace else None
    zeros = jnp.zeros(n, network.W.dtype)
    return LearningState(network.W, zeros, baseline, jnp.int32(0), jnp.array(True), kept)


def draw_episode(key: PRNGKey, trial: Index, task: Task, learner: Learner, n_units: int) -> Episode:
    """All that is random in trial number ``trial`` of the lifetime of ``key``."""
    keys = jax.random.split(jax.random.fold_in(key, trial), 4)
    condition = jnp.asarray(trial, jnp.int32) % task.n_conditions
    if learner.conditions == "drawn":
        condition = jax.random.randint(keys[0], (), 0, task.n_conditions, jnp.int32)
    start = jax.random.uniform(keys[3], (n_units,), jnp.float32, -1.0, 1.0).astype(float)
    dt = learner.dynamics.dt
    kicks = draw_kicks(keys[2], learner.exploration, dt, task.n_steps, n_units)
    return Episode(task.draw(keys[1], condition), kicks, learner.initial_state * start)


def learn_trial(
    state: LearningState,
    episode: Episode,
    network: Network,
    rule: Rule,
    learner: Learner,
    *,
    powers: tuple[int, ...] | None = None,
    third_factor: Scalar | None = None,
) -> tuple[LearningState, Outcome]:
    """One trial of learning: W ← W + clip(η e (R − R̄)), then R̄ moves towards R.

    Args:
        network: supplies W_in and W_out; W is the state's.
        powers: the powers ℓ that the trace includes, as in `eligibility_trace`.
        third_factor: takes the place of the reward prediction error (yoked control).
    """
    dynamics, trial = learner.dynamics, episode.trial
    filtered = episode.state if learner.reset_filter else state.filtered
    network = network._replace(W=state.W)
    run = simulate_trial(network, trial.inputs, episode.kicks, episode.state, filtered, dynamics)

    fluctuations = jnp.where(rule.true_kick, -episode.kicks, run.fluctuations)
    options = {"onset": learner.trace_onset, "plain_sum": learner.plain_sum}
    weights = decay_weights(episode.kicks.shape[0], dynamics.dt, rule.tau_e, **options)
    trace = eligibility_trace(run.rates, fluctuations, rule.coefficients, weights, powers)
    kept = state.traces
    if kept is not None:
        first = state.trial < kept.shape[0] if learner.conditions == "cycle" else None
        seen = kept[trial.condition]
        first = ~seen.any() if first is None else first
        trace = jnp.where(first, trace, seen)
        kept = kept.at[trial.condition].set(trace)

    error = trial_error(run.output, trial)
    reward = trial_reward(error, learner.reward, learner.correct_below)
    slot = trial.condition if learner.per_condition else jnp.int32(0)
    delta = reward_prediction_error(reward, state.baseline[slot], learner.error_factor)
    delta = delta if third_factor is None else third_factor
    change = three_factor_update(trace, delta, rule)
    change = jnp.where(state.trial >= learner.first_update, change, 0.0)

    W = state.W + change
    alive = state.alive & jnp.isfinite(error) & jnp.isfinite(W).all()
    baseline = reward_baseline(state.baseline, reward, slot, learner.baseline_rate)
    new = (jnp.where(alive, W, state.W), run.filtered, baseline, state.trial + 1, alive, kept)
    return LearningState(*new), Outcome(run, trace, error, reward, delta, change)


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
    batch_size: int = 24,
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
        batch_size: lifetimes advanced together; 24 networks of 100 units fill two 1 MB caches.

    Raises:
        ValueError: dt of task and dynamics differ, inputs do not fit the network, more conditions
            than trials, dt > τ_e, a clamped unit that does not exist.

    Warns:
        RuntimeWarning: activity or weights became infinite; names trial and learning rate.
    """
    _check(network, task, rule, learner, n_trials, state)
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

    options = (learner, n_trials, active_powers(rule.coefficients), batch_size)
    result = _lifetimes(keys, networks, rules, task, flat(state), flat(third_factor), *options)
    result = jax.tree.map(lambda a: a.reshape(*shape, *a.shape[1:]), result)
    _report_blow_up(result, rules)
    return result


@partial(jax.jit, static_argnums=(6, 7, 8, 9))
def _lifetimes(keys, networks, rules, task, states, factors, learner, n_trials, powers, batch):
    """Every rule with every network: lifetime l is that of rule l // B and network l % B."""
    n_networks = keys.shape[0]
    total = n_networks * rules.coefficients.shape[0]

    def lifetime(index):
        which = index % n_networks
        network = jax.tree.map(lambda a: a[which], networks)
        rule = jax.tree.map(lambda a: a[index // n_networks], rules)
        if states is None:
            state = initial_learning_state(network, task, learner)
        else:
            state = jax.tree.map(lambda a: a[index], states)
        factor = None if factors is None else factors[index]

        def step(state, delta):
            episode = draw_episode(keys[which], state.trial, task, learner, network.W.shape[0])
            state, out = learn_trial(
                state, episode, network, rule, learner, powers=powers, third_factor=delta
            )
            error = jnp.where(state.alive, out.error, jnp.nan)
            correct = error < learner.correct_below
            row = (error, out.reward, out.prediction_error, correct, episode.trial.condition)
            return state, row

        state, rows = jax.lax.scan(step, state, factor, length=n_trials)
        return Lifetime(state, *rows)

    # Equal chunks, the last one filled up with repeats, so that one program serves them all.
    chunks = -(-total // batch)
    size = -(-total // chunks)
    indices = jnp.arange(chunks * size).reshape(chunks, size) % total
    result = jax.lax.map(jax.vmap(lifetime), indices)
    return jax.tree.map(lambda a: a.reshape(chunks * size, *a.shape[2:])[:total], result)


def _check(network, task, rule, learner, n_trials, state) -> None:
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


def _report_blow_up(result: Lifetime, rules: Rule) -> None:
    if isinstance(result.state.alive, jax.core.Tracer) or bool(result.state.alive.all()):
        return
    lost = np.isnan(np.asarray(result.errors)).reshape(-1, result.errors.shape[-1])
    rates = np.repeat(np.asarray(rules.learning_rate), lost.shape[0] // rules.learning_rate.size)
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
