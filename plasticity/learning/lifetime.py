"""Lifetimes: `learn_trial` scanned over H trials, for every rule and every network.

From the coefficients of a rule to a change of weights it is six steps, each a function that can be
called by hand and, under ``jax.disable_jit()``, entered by a debugger:

    learn → map_lifetimes → LifetimeProgram → learn_trial → eligibility_trace, weight_change

`learn` checks its arguments, `map_lifetimes` hands every lifetime one rule, one network and one
key, the program goes from trial to trial, and `learn_trial` is where θ meets activity.
"""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from plasticity.learning.parallel import map_lifetimes
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
from plasticity.rules.three_factor import Rule, RuleStack, as_stack
from plasticity.rules.trace import active_powers, decay_weights
from plasticity.types import PRNGKey, is_traced, require


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
    rule: Rule | RuleStack,
    learner: Learner,
    n_trials: int,
    *,
    state: LearningState | None = None,
    third_factor: Float[Array, "*batch H"] | None = None,
    batch_size: int | None = None,
) -> Lifetime:
    """Lifetimes of ``n_trials`` trials for every rule and every network.

    A stack of rules and a leading axis of the network's arrays give the result the axes (rules,
    networks), each only if present; a stack of one has an axis of one. Network b of several uses
    ``split(key, B)[b]``, or ``key[b]`` if there are B keys, under every rule, so comparisons are
    paired; a single network uses ``key``. Memory does not grow with the number of trials but for
    the numbers returned.

    Args:
        rule: one rule, or several joined by `plasticity.rules.three_factor.stack`.
        state: that of an earlier `Lifetime` of the same arguments, to go on from it.
        third_factor: (rules, networks, H) numbers that replace the reward prediction error.
        batch_size: lifetimes advanced together by each core; by default so many that their
            weights fill 1 MiB of its cache.

    Raises:
        ValueError: dt of task and dynamics differ, inputs do not fit the network, more conditions
            than trials, dt > τ_e, a clamped unit that does not exist, a `Rule` that holds several.

    Warns:
        RuntimeWarning: activity or weights became infinite; names trial and learning rate.
    """
    check_lifetime(network, task, rule, learner, n_trials, state)
    powers = active_powers(as_stack(rule).leaves.coefficients)
    program = LifetimeProgram(learner=learner, n_trials=n_trials, powers=powers)
    if batch_size is None:
        batch_size = max(1, 2**20 // (network.W.shape[-1] ** 2 * network.W.dtype.itemsize))
    lifetimes = map_lifetimes(
        program,
        key,
        network,
        rule,
        each={"state": state, "third_factor": third_factor},
        shared={"task": task},
        batch_size=batch_size,
    )
    report_blow_up(lifetimes, rule)
    return lifetimes


@dataclass(frozen=True, kw_only=True)
class LifetimeProgram:
    """H trials of one network under one rule, for `map_lifetimes`.

    Attributes:
        learner: how it learns.
        n_trials: H.
        powers: the powers ℓ of Δ that the trace includes, as in `eligibility_trace`.
    """

    learner: Learner
    n_trials: int
    powers: tuple[int, ...]

    def __call__(
        self,
        key: PRNGKey,
        network: Network,
        rule: Rule,
        *,
        task: Task,
        state: LearningState | None = None,
        third_factor: Float[Array, "H"] | None = None,
    ) -> Lifetime:
        """One lifetime; the arguments are those of `learn`, for one network and one rule."""

        def trial(state, third_factor):
            episode = draw_episode(key, state.trial, task, self.learner, network.W.shape[0])
            options = {"powers": self.powers, "third_factor": third_factor}
            state, outcome = learn_trial(state, episode, network, rule, self.learner, **options)
            return state, trial_numbers(state, episode, outcome, self.learner)

        state = initial_learning_state(network, task, self.learner) if state is None else state
        state, numbers = jax.lax.scan(trial, state, third_factor, length=self.n_trials)
        return Lifetime(state, *numbers)


def trial_numbers(state: LearningState, episode: Episode, outcome: Outcome, learner: Learner):
    """What a `Lifetime` keeps of each trial; ``state`` is that after it."""
    error = jnp.where(state.alive, outcome.error, jnp.nan)
    correct = error < learner.correct_below
    condition = episode.trial.condition
    return error, outcome.reward, outcome.prediction_error, correct, condition


def check_lifetime(
    network: Network,
    task: Task,
    rule: Rule | RuleStack,
    learner: Learner,
    n_trials: int,
    state: LearningState | None = None,
) -> None:
    """Raise the errors that `learn` documents."""
    n_units, n_inputs = network.W_in.shape[-2:]
    fix = "give W_in one column a channel of the task"
    require(n_inputs == task.n_inputs, f"W_in has {task.n_inputs} channels", n_inputs, fix)
    value = f"{task.n_conditions} conditions, {n_trials} trials"
    enough = state is not None or n_trials >= task.n_conditions
    require(enough and n_trials > 0, "as many trials as conditions", value, "run more trials")
    check_fit(task, rule, learner, n_units)


def check_fit(task: Task, rule: Rule | RuleStack, learner: Learner, n_units: int) -> None:
    """Raise ValueError unless task, rule, learner and number of units fit each other."""
    dt = learner.dynamics.dt
    value, fix = f"{float(task.dt)} and {dt} ms", "give Dynamics the dt of the task"
    require(abs(float(task.dt) - dt) < 1e-9, "task and dynamics share dt", value, fix)
    outside = [unit for unit, _ in learner.dynamics.clamped if not 0 <= unit < n_units]
    require(not outside, f"clamped units lie in 0 … {n_units - 1}", outside, "clamp other units")
    decay_weights(1, dt, as_stack(rule).leaves.tau_e)


def report_blow_up(lifetimes: Lifetime, rule: Rule | RuleStack) -> None:
    """Warn of activity or weights that became infinite, with trial and learning rate."""
    if is_traced(lifetimes.state.alive) or bool(lifetimes.state.alive.all()):
        return
    lost = np.isnan(np.asarray(lifetimes.errors)).reshape(-1, lifetimes.errors.shape[-1])
    rates = np.asarray(as_stack(rule).leaves.learning_rate)
    rates = np.repeat(rates, lost.shape[0] // rates.size)
    first = np.where(lost.any(axis=1), lost.argmax(axis=1), lost.shape[1])
    worst = int(first.argmin())
    # Trials are counted from the start of the lifetime, which may be before this call.
    trial = int(np.min(lifetimes.state.trial)) - lost.shape[1] + int(first[worst]) + 1
    warnings.warn(
        f"non-finite activity in {int(lost.any(axis=1).sum())} of {lost.shape[0]} lifetimes, first"
        f" in trial {trial} with learning rate {rates[worst]:g}: what came before is kept and they"
        " count as failures; lower the learning rate or clip the update",
        RuntimeWarning,
        stacklevel=3,
    )
