"""One trial of learning, the one place where a trial is defined.

Simulate, form the trace, compare the reward with its baseline, change W. All that is random in
trial h of a lifetime is drawn from ``fold_in(key, h)``.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from plasticity.learning.reward import (
    reward_baseline,
    reward_prediction_error,
    trial_error,
    trial_reward,
)
from plasticity.model.exploration import Exploration, draw_kicks
from plasticity.model.network import Dynamics, Network, Trajectory, simulate_trial
from plasticity.model.tasks import Task, Trial
from plasticity.rules.three_factor import Rule, three_factor_update
from plasticity.rules.trace import decay_weights, eligibility_trace
from plasticity.types import Activity, Flag, Index, PRNGKey, Scalar, Series, Units, Weights, require


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
        choose = "choose one of them"
        known = self.reward in ("graded", "binary")
        require(known, "reward graded or binary", self.reward, choose)
        known = self.conditions in ("cycle", "drawn")
        require(known, "conditions cycle or drawn", self.conditions, choose)
        inside = 0 <= self.baseline_rate <= 1
        require(inside, "0 ≤ baseline_rate ≤ 1", self.baseline_rate, "give a number from 0 to 1")
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


def initial_learning_state(network: Network, task: Task, learner: Learner) -> LearningState:
    """The `LearningState` of one network before its first trial."""
    n = network.W.shape[0]
    slots = task.n_conditions if learner.per_condition else 1
    baseline = jnp.full(slots, learner.initial_baseline, network.W.dtype)
    kept = jnp.zeros((task.n_conditions, n, n), network.W.dtype) if learner.frozen_trace else None
    zeros = jnp.zeros(n, network.W.dtype)
    return LearningState(network.W, zeros, baseline, jnp.int32(0), jnp.array(True), kept)


def draw_episode(
    key: PRNGKey, trial: Index | int, task: Task, learner: Learner, n_units: int
) -> Episode:
    """All that is random in trial number ``trial`` (from 0) of the lifetime of ``key``."""
    keys = jax.random.split(jax.random.fold_in(key, trial), 4)
    condition = jnp.asarray(trial, jnp.int32) % task.n_conditions
    if learner.conditions == "drawn":
        condition = jax.random.randint(keys[0], (), 0, task.n_conditions, jnp.int32)
    start = jax.random.uniform(keys[3], (n_units,), jnp.float32, -1.0, 1.0).astype(float)
    dt = learner.dynamics.dt
    kicks = draw_kicks(keys[2], learner.exploration, dt, task.n_steps, n_units)
    return Episode(task.draw(keys[1], condition), kicks, learner.initial_state * start)


def step_weights(n_steps: int, rule: Rule, learner: Learner) -> Series:
    """λ_t of the learner's trace, (T,); see `plasticity.rules.trace.decay_weights`."""
    options = {"onset": learner.trace_onset, "plain_sum": learner.plain_sum}
    return decay_weights(n_steps, learner.dynamics.dt, rule.tau_e, **options)


def evaluate_output(
    output: Series, baseline: Float[Array, "slots"], trial: Trial, learner: Learner
) -> tuple[Scalar, Scalar, Scalar, Float[Array, "slots"]]:
    """Error, reward R, prediction error of R against its baseline, and the baseline moved on."""
    error = trial_error(output, trial)
    reward = trial_reward(error, learner.reward, learner.correct_below)
    slot = trial.condition if learner.per_condition else jnp.int32(0)
    delta = reward_prediction_error(reward, baseline[slot], learner.error_factor)
    return error, reward, delta, reward_baseline(baseline, reward, slot, learner.baseline_rate)


def weight_change(
    trace: Weights, error: Scalar, trial: Index, rule: Rule, learner: Learner
) -> Weights:
    """The update of `plasticity.rules.three_factor`, or zero before the learner's first update."""
    change = three_factor_update(trace, error, rule)
    return jnp.where(trial >= learner.first_update, change, 0.0)


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
    weights = step_weights(episode.kicks.shape[0], rule, learner)
    trace = eligibility_trace(run.rates, fluctuations, rule.coefficients, weights, powers)
    kept = state.traces
    if kept is not None:
        seen = kept[trial.condition]
        trace = jnp.where(seen.any(), seen, trace)
        kept = kept.at[trial.condition].set(trace)

    error, reward, delta, baseline = evaluate_output(run.output, state.baseline, trial, learner)
    delta = delta if third_factor is None else third_factor
    change = weight_change(trace, delta, state.trial, rule, learner)

    W = state.W + change
    alive = state.alive & jnp.isfinite(error) & jnp.isfinite(W).all()
    new = (jnp.where(alive, W, state.W), run.filtered, baseline, state.trial + 1, alive, kept)
    return LearningState(*new), Outcome(run, trace, error, reward, delta, change)


def first_trajectory(
    key: PRNGKey, network: Network, task: Task, rule: Rule, learner: Learner
) -> Trajectory:
    """Activity in the first trial of a lifetime, on which no rule has acted yet."""
    state = initial_learning_state(network, task, learner)
    episode = draw_episode(key, state.trial, task, learner, network.W.shape[0])
    return learn_trial(state, episode, network, rule, learner)[1].trajectory
