"""One trial of learning, the one place where a trial is defined.

Simulate, form the trace, compare the reward with its baseline, change W. All that is random in
trial h of a lifetime is drawn from ``fold_in(key, h)``.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from plasticity.learning.reward import reward_baseline, trial_error, trial_reward
from plasticity.model.exploration import Exploration, Kicks
from plasticity.model.network import Dynamics, Network, Trajectory, simulate_trial
from plasticity.model.tasks import Task, Trial
from plasticity.rules.base import Change, Rule, Seen
from plasticity.types import (
    Activity,
    Flag,
    Index,
    PRNGKey,
    Scalar,
    Units,
    Weights,
    is_whole,
    require,
)


@dataclass(frozen=True, kw_only=True)
class Learner:
    """Everything about learning that is not the network, the task or the rule.

    Attributes:
        dynamics: of the units.
        exploration: what is added to activity, output or weights so that trials differ; the kicks.
        reward: "graded" (R = −error) or "binary" (R = 1 if correct, else 0).
        correct_below: a trial is correct if its error is below this (Miconi 2017).
        baseline_rate: step of the running baseline R̄.
        initial_baseline: R̄ before the first trial; −1 is what a silent output earns if |z*| = 1.
        per_condition: one baseline per condition, or one shared by all.
        reset_filter: start each trial with x̄ = x, or carry x̄ over from the last trial (from 0).
        initial_state: x starts each trial at this times U(−1, 1).
        conditions: "cycle" through them, or "drawn" at random.
        first_update: trial (from 0) of the first change of weights; baselines move before.

    Raises:
        ValueError: an unknown reward or order of conditions, a rate outside [0, 1], a negative or
            undefined bound of correctness, a number that is not finite, a first update that is no
            trial.
    """

    dynamics: Dynamics = field(default_factory=Dynamics)
    exploration: Exploration = field(default_factory=Kicks)
    reward: str = "graded"
    correct_below: float = 1.0
    baseline_rate: float = 0.25
    initial_baseline: float = -1.0
    per_condition: bool = True
    reset_filter: bool = True
    initial_state: float = 0.1
    conditions: str = "cycle"
    first_update: int = 0

    def __post_init__(self) -> None:
        choose = "choose one of them"
        known = self.reward in ("graded", "binary")
        require(known, "reward graded or binary", self.reward, choose)
        known = self.conditions in ("cycle", "drawn")
        require(known, "conditions cycle or drawn", self.conditions, choose)
        inside = 0 <= self.baseline_rate <= 1
        require(inside, "0 ≤ baseline_rate ≤ 1", self.baseline_rate, "give a number from 0 to 1")
        value, fix = self.correct_below, "give the error below which a trial is correct"
        require(value >= 0, "correct_below ≥ 0", value, fix)
        for name in ("initial_baseline", "initial_state"):
            value = getattr(self, name)
            require(-np.inf < value < np.inf, f"{name} is finite", value, "give a finite number")
        begun = is_whole(self.first_update) and self.first_update >= 0
        rule, fix = "a whole number first_update ≥ 0", "give the number of a trial, from 0"
        require(begun, rule, self.first_update, fix)
        self.exploration.check(self.dynamics.dt)


class LearningState(NamedTuple):
    """What one trial hands to the next.

    Attributes:
        W: recurrent weights, (N, N).
        filtered: x̄, (N,).
        baseline: R̄ per condition (C,), or shared (1,).
        trial: index of the next trial.
        alive: whether activity and weights have stayed finite; W is the last finite one.
        memory: what the rule keeps from trial to trial, a pytree.
        W_out, W_in: of readout and input, if the rule changes them, else None: the network's.
    """

    W: Weights
    filtered: Units
    baseline: Float[Array, "slots"]
    trial: Index
    alive: Flag
    memory: Any
    W_out: Float[Array, "*O N"] | None = None
    W_in: Float[Array, "N I"] | None = None

    def within(self, network: Network) -> Network:
        """The network with the weights that it has now."""
        now = {name: getattr(self, name) for name in Network._fields}
        return network._replace(**{name: w for name, w in now.items() if w is not None})


class Episode(NamedTuple):
    """What is drawn for a trial.

    Attributes:
        trial: inputs, target, window and condition.
        kicks: added to x in each step, (T, N).
        state: the initial x, (N,).
        output_noise: added to the output in each step, (T,) or (T, O), or None.
        weight_noise: added to W for this trial, (N, N), or None.
    """

    trial: Trial
    kicks: Activity
    state: Units
    output_noise: Float[Array, "T *O"] | None = None
    weight_noise: Weights | None = None

    def scaled(self, scale: Scalar) -> "Episode":
        """The same trial with kicks and noise times ``scale``."""
        noise = (self.kicks, self.output_noise, self.weight_noise)
        kicks, output, weights = jax.tree.map(lambda a: scale * a, noise)
        return self._replace(kicks=kicks, output_noise=output, weight_noise=weights)


class Outcome(NamedTuple):
    """What happened in a trial.

    Attributes:
        trajectory: the activity, with the noise of the output.
        trace: what the third factor multiplied, (N, N).
        error: mean |z − z*| in the response window.
        reward: R.
        third_factor: what multiplied the trace.
        change: the update of W, zero where none was due, (N, N).
        seen: all that the rule could see.
    """

    trajectory: Trajectory
    trace: Weights
    error: Scalar
    reward: Scalar
    third_factor: Scalar
    change: Weights
    seen: Seen


# Weights beside W, and what a rule that changes them has.
_FLAGS = {"W_out": "plastic_readout", "W_in": "plastic_input"}


def initial_learning_state(
    network: Network, task: Task, rule: Rule, learner: Learner
) -> LearningState:
    """The `LearningState` of one network before its first trial."""
    n = network.W.shape[0]
    slots = task.n_conditions if learner.per_condition else 1
    baseline = jnp.full(slots, learner.initial_baseline, network.W.dtype)
    memory, zeros = rule.start(network, task), jnp.zeros(n, network.W.dtype)
    begun = (jnp.int32(0), jnp.array(True))
    plastic = {name: getattr(network, name) for name in plastic_beside(rule)}
    return LearningState(network.W, zeros, baseline, *begun, memory, **plastic)


def plastic_beside(rule: Rule) -> tuple[str, ...]:
    """Names of the weights that a rule changes beside W."""
    return tuple(name for name, flag in _FLAGS.items() if getattr(rule, flag, False))


def draw_episode(
    key: PRNGKey, trial: Index | int, task: Task, learner: Learner, n_units: int
) -> Episode:
    """All that is random in trial number ``trial`` (from 0) of the lifetime of ``key``."""
    keys = jax.random.split(jax.random.fold_in(key, trial), 4)
    condition = jnp.asarray(trial, jnp.int32) % task.n_conditions
    if learner.conditions == "drawn":
        condition = jax.random.randint(keys[0], (), 0, task.n_conditions, jnp.int32)
    start = jax.random.uniform(keys[3], (n_units,), jnp.float32, -1.0, 1.0).astype(float)
    noise = learner.exploration.draw(keys[2], learner.dynamics.dt, task.n_steps, n_units)
    state, trial = learner.initial_state * start, task.draw(keys[1], condition)
    if learner.dynamics.clamp_start:
        state = learner.dynamics.clamp(state)
    return Episode(trial, noise.kicks, state, noise.output, noise.weights)


def evaluate_output(
    output: Float[Array, "T *O"], baseline: Float[Array, "slots"], trial: Trial, learner: Learner
) -> tuple[Scalar, Scalar, Scalar, Float[Array, "slots"]]:
    """Error, reward R, its baseline R̄ in this trial, and the baselines moved on."""
    error = trial_error(output, trial)
    reward = trial_reward(error, learner.reward, learner.correct_below)
    slot = trial.condition if learner.per_condition else jnp.int32(0)
    moved = reward_baseline(baseline, reward, slot, learner.baseline_rate)
    return error, reward, baseline[slot], moved


def due(change: Array, trial: Index, learner: Learner) -> Array:
    """The change, or zero before the learner's first update."""
    return jnp.where(trial >= learner.first_update, change, 0.0)


def learn_trial(
    state: LearningState, episode: Episode, network: Network, rule: Rule, learner: Learner
) -> tuple[LearningState, Outcome]:
    """One trial of learning: W ← W + what the rule makes of it, then R̄ moves towards R.

    Args:
        network: supplies W_in and W_out unless the rule changes them; W is the state's.

    Raises:
        ValueError: a rule that returns a change of another shape than the weights have.
    """
    seen, run, baselines = observe_trial(state, episode, network, learner)
    change, memory = rule.change(seen, state.memory)
    change = _complete(change, seen, rule)

    moved = due(change.W, state.trial, learner)
    now = {name: getattr(state, name) for name in ("W", *plastic_beside(rule))}
    after = {name: w + due(getattr(change, name), state.trial, learner) for name, w in now.items()}
    alive = state.alive & jnp.isfinite(seen.error)
    for weights in after.values():
        alive &= jnp.isfinite(weights).all()
    new = state._replace(
        filtered=run.filtered,
        baseline=baselines,
        trial=state.trial + 1,
        alive=alive,
        memory=memory,
        **{name: jnp.where(alive, w, now[name]) for name, w in after.items()},
    )
    outcome = (run, change.trace, seen.error, seen.reward, change.third_factor, moved, seen)
    return new, Outcome(*outcome)


def observe_trial(
    state: LearningState, episode: Episode, network: Network, learner: Learner
) -> tuple[Seen, Trajectory, Float[Array, "slots"]]:
    """All that there is to see in a trial, its activity, and the baselines after it."""
    trial, noise = episode.trial, (episode.weight_noise, episode.output_noise)
    filtered = episode.state if learner.reset_filter else state.filtered
    now = state.within(network)
    noisy = now if noise[0] is None else now._replace(W=now.W + noise[0])
    given = (trial.inputs, episode.kicks, episode.state, filtered, learner.dynamics)
    run = simulate_trial(noisy, *given)
    if noise[1] is not None:
        run = run._replace(output=run.output + noise[1])
    judged = evaluate_output(run.output, state.baseline, trial, learner)
    seen = Seen(
        rates=run.rates,
        fluctuations=run.fluctuations,
        states=run.states,
        kicks=episode.kicks,
        output_noise=episode.output_noise,
        weight_noise=episode.weight_noise,
        state=episode.state,
        filtered=filtered,
        inputs=trial.inputs,
        output=run.output,
        target=trial.target,
        response=trial.response,
        error=judged[0],
        reward=judged[1],
        baseline=judged[2],
        **now._asdict(),
        condition=trial.condition,
        trial=state.trial,
        dynamics=learner.dynamics,
    )
    return seen, run, judged[3]


def _complete(change: Change, seen: Seen, rule: Rule) -> Change:
    """The change with a trace and a third factor, its shapes checked."""
    name, plastic = type(rule).__name__, ("W", *plastic_beside(rule))
    fix = "return one number a synapse, [i, j] for j to i"
    for weights in plastic:
        given, wanted = jnp.shape(getattr(change, weights)), getattr(seen, weights).shape
        require(given == wanted, f"{name} changes {weights} {wanted}", given, fix)
    for weights, flag in _FLAGS.items():
        frozen = weights in plastic or getattr(change, weights) is None
        value, fix = f"a change of {weights}", f"give it {flag} = True"
        require(frozen, f"{name} leaves {weights} as it is", value, fix)
    trace = change.W if change.trace is None else change.trace
    factor = seen.reward - seen.baseline if change.third_factor is None else change.third_factor
    return change._replace(trace=trace, third_factor=factor)


def first_trajectory(
    key: PRNGKey, network: Network, task: Task, rule: Rule, learner: Learner
) -> Trajectory:
    """Activity in the first trial of a lifetime, on which no rule has acted yet."""
    state = initial_learning_state(network, task, rule, learner)
    episode = draw_episode(key, state.trial, task, learner, network.W.shape[0])
    return learn_trial(state, episode, network, rule, learner)[1].trajectory
