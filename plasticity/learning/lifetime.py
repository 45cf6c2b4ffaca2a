"""Lifetimes: `learn_trial` scanned over H trials, for every rule and every network.

From the coefficients of a rule to a change of weights it is six steps, each a function that can be
called by hand and, under ``jax.disable_jit()``, entered by a debugger:

    learn → map_lifetimes → LifetimeProgram → learn_trial → Rule.change → eligibility_trace, update

`learn` checks its arguments, `map_lifetimes` hands every lifetime one rule, one network and one
key, the program goes from trial to trial, `learn_trial` shows the rule what there is to see, and
the rule's `change` is where θ meets activity.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from plasticity.learning.parallel import lifetime_axes, map_lifetimes
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
from plasticity.rules.base import Rule, RuleStack, as_stack, check_part, specialise
from plasticity.rules.three_factor import Given, ThreeFactor
from plasticity.types import PRNGKey, Scalar, is_traced, is_whole, require, require_count


class Lifetime(NamedTuple):
    """A course of learning; leading axes are (rules, networks) where there were such axes.

    Attributes:
        state: after the last trial; give it to `learn` to go on.
        errors: mean |z − z*| of each trial, (…, H); NaN from a blow-up on.
        rewards: R, (…, H).
        third_factors: what multiplied the trace, (…, H).
        correct: whether the error was below the learner's bound, (…, H); false after a blow-up.
        conditions: (…, H).
        observed: what ``observe`` returned for each trial, (…, H, …); None without it.
    """

    state: LearningState
    errors: Float[Array, "*batch H"]
    rewards: Float[Array, "*batch H"]
    third_factors: Float[Array, "*batch H"]
    correct: Bool[Array, "*batch H"]
    conditions: Int[Array, "*batch H"]
    observed: Any = None


Observer = Callable[[LearningState, Episode, Outcome], Any]


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
    noise_scale: Float[Array, "*batch"] | None = None,
    observe: Observer | None = None,
    batch_size: int | None = None,
) -> Lifetime:
    """Lifetimes of ``n_trials`` trials for every rule and every network.

    A stack of rules and a leading axis of the network's arrays give the result the axes (rules,
    networks), each only if present; a stack of one has an axis of one. Network b of several uses
    ``split(key, B)[b]``, or ``key[b]`` if there are B keys, under every rule, so comparisons are
    paired; a single network uses ``key``. Memory does not grow with the number of trials but for
    the numbers returned.

    Args:
        rule: one rule, or several joined by `plasticity.rules.base.stack`.
        state: that of an earlier `Lifetime` of the same arguments, to go on from it.
        third_factor: (rules, networks, H) numbers that take the place of the third factor of a
            `ThreeFactor` (a yoked control).
        noise_scale: (rules, networks) numbers by which all that exploration adds is multiplied, so
            that one program serves explorations of any size. A rule that is told the size of its
            noise is given that of the product.
        observe: of the state before a trial, its episode and its outcome, what is to be kept of
            each trial. Equal functions share one compilation, so give one of a module.
        batch_size: lifetimes advanced together by each core; by default so many that their
            weights fill 1 MiB of its cache.

    Raises:
        ValueError: dt of task and dynamics differ, inputs do not fit the network, more conditions
            than trials, a number of trials or a batch size that is no whole number ≥ 1, a clamped
            unit that does not exist, a rule that is none, holds several or does not fit (dt > τ_e,
            an onset after the trial), noise that the rule reads and the learner does not draw, a
            third factor for a rule that has none, a third factor or a noise scale of another shape.

    Warns:
        RuntimeWarning: activity or weights became infinite; names trial and learning rate. Noise
            on the output or on the weights that the rule does not read.
    """
    check_lifetime(network, task, rule, learner, n_trials, state)
    axes = lifetime_axes(network, rule)
    if third_factor is not None:
        check_third_factor(rule, third_factor, (*axes, n_trials))
    if noise_scale is not None:
        shape, fix = np.shape(noise_scale), "give one number a lifetime"
        require(shape == axes, f"noise_scale {axes} of rules and networks", shape, fix)
    report_vain_exploration(rule, learner, network.W.shape[-1])
    program = LifetimeProgram(learner=learner, n_trials=n_trials, observe=observe)
    if batch_size is None:
        batch_size = max(1, 2**20 // (network.W.shape[-1] ** 2 * network.W.dtype.itemsize))
    lifetimes = map_lifetimes(
        program,
        key,
        network,
        specialised(rule),
        each={"state": state, "third_factor": third_factor, "noise_scale": noise_scale},
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
        observe: what to keep of each trial, as in `learn`.
    """

    learner: Learner
    n_trials: int
    observe: Observer | None = None

    def __call__(
        self,
        key: PRNGKey,
        network: Network,
        rule: Rule,
        *,
        task: Task,
        state: LearningState | None = None,
        third_factor: Float[Array, "H"] | None = None,
        noise_scale: Scalar | None = None,
    ) -> Lifetime:
        """One lifetime; the arguments are those of `learn`, for one network and one rule."""

        def trial(before, third_factor):
            episode = draw_episode(key, before.trial, task, self.learner, network.W.shape[0])
            if noise_scale is not None:
                episode = episode.scaled(noise_scale)
            by = yoked(rule, third_factor)
            state, outcome = learn_trial(before, episode, network, by, self.learner)
            seen = None if self.observe is None else self.observe(before, episode, outcome)
            return state, (trial_numbers(state, episode, outcome, self.learner), seen)

        if state is None:
            state = initial_learning_state(network, task, rule, self.learner)
        state, (numbers, seen) = jax.lax.scan(trial, state, third_factor, length=self.n_trials)
        return Lifetime(state, *numbers, seen)


def trial_numbers(state: LearningState, episode: Episode, outcome: Outcome, learner: Learner):
    """What a `Lifetime` keeps of each trial; ``state`` is that after it."""
    error = jnp.where(state.alive, outcome.error, jnp.nan)
    correct = error < learner.correct_below
    condition = episode.trial.condition
    return error, outcome.reward, outcome.third_factor, correct, condition


def yoked(rule: Rule, third_factor: Scalar | None) -> Rule:
    """The rule with this number for a third factor; None leaves it its own."""
    return rule if third_factor is None else replace(rule, third_factor=Given(third_factor))


def specialised(rule: Rule | RuleStack) -> Rule | RuleStack:
    """The rules with what their concrete values let them leave out."""
    return RuleStack(specialise(rule.leaves)) if isinstance(rule, RuleStack) else specialise(rule)


def check_third_factor(rule: Rule | RuleStack, given, wanted: tuple[int, ...]) -> None:
    """Raise ValueError unless ``given``, of shape ``wanted``, can replace the rules' own."""
    leaves = as_stack(rule).leaves
    fix = "compose a ThreeFactor, or leave third_factor out"
    name = type(leaves).__name__
    require(isinstance(leaves, ThreeFactor), "a third factor is given to a ThreeFactor", name, fix)
    shape, fix = np.shape(given), "give every lifetime one number a trial"
    require(shape == wanted, f"third_factor {wanted} of rules, networks, trials", shape, fix)


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
    given, wanted = network.W_out.shape[network.W.ndim - 2 : -1], task.targets.shape[2:]
    fix = "give W_out one row an output: (N,) for targets (C, T), (O, N) for (C, T, O)"
    require(given == wanted, f"W_out has the outputs {wanted} of the task", given, fix)
    require_count("n_trials", n_trials)
    value = f"{task.n_conditions} conditions, {n_trials} trials"
    enough = state is not None or n_trials >= task.n_conditions
    require(enough, "as many trials as conditions", value, "run more trials")
    check_fit(task, rule, learner, n_units)
    rules = as_stack(rule).leaves
    if hasattr(rules, "check_network") and not is_traced(network.W):
        rules.check_network(network)


def check_fit(task: Task, rule: Rule | RuleStack, learner: Learner, n_units: int) -> None:
    """Raise ValueError unless task, rule, learner and number of units fit each other."""
    dt = learner.dynamics.dt
    value, fix = f"{float(task.dt)} and {dt} ms", "give Dynamics the dt of the task"
    require(abs(float(task.dt) - dt) < 1e-9, "task and dynamics share dt", value, fix)
    clamped = [unit for unit, _ in learner.dynamics.clamped]
    outside = [unit for unit in clamped if not (is_whole(unit) and 0 <= unit < n_units)]
    require(not outside, f"clamped units lie in 0 … {n_units - 1}", outside, "clamp other units")
    rules, kind = as_stack(rule).leaves, type(as_stack(rule).leaves).__name__
    check_part(rules, n_units, task, learner.dynamics)
    noise, explores = _noise(learner, n_units), type(learner.exploration).__name__
    for name, drawn in noise.items():
        there, told = drawn is not None, name.replace("_", " ")
        fix = "choose an exploration that draws it, or another rule"
        require(there or name not in rules.told, f"{kind} reads {told}", explores, fix)
    if noise["output_noise"] is not None:
        given, wanted = noise["output_noise"].shape[1:], tuple(task.targets.shape[2:])
        fix = "set n_outputs of the exploration"
        require(given == wanted, f"output noise has the outputs {wanted} of the task", given, fix)


@cache
def _noise(learner: Learner, n_units: int) -> dict[str, Any]:
    """Name in `Seen` → shape of the noise that the learner's exploration draws in a step, or None.

    Kicks are what every rule may explore by, told or not.
    """
    draw, dt = learner.exploration.draw, learner.dynamics.dt
    noise = jax.eval_shape(lambda key: draw(key, dt, 1, n_units), jax.random.key(0))
    return {"output_noise": noise.output, "weight_noise": noise.weights}


def report_vain_exploration(rule: Rule | RuleStack, learner: Learner, n_units: int) -> None:
    """Warn of noise on the output or on the weights that the rule does not read."""
    rules = as_stack(rule).leaves
    for name, drawn in _noise(learner, n_units).items():
        if drawn is not None and name not in rules.told:
            warnings.warn(
                f"the exploration draws {name.replace('_', ' ')}; {type(rules).__name__} is not"
                " told of it and explores in vain: choose another exploration, or a rule that"
                " reads it",
                RuntimeWarning,
                stacklevel=3,
            )


def report_blow_up(lifetimes: Lifetime, rule: Rule | RuleStack) -> None:
    """Warn of activity or weights that became infinite, with trial and learning rate."""
    if is_traced(lifetimes.state.alive) or bool(lifetimes.state.alive.all()):
        return
    lost = np.isnan(np.asarray(lifetimes.errors)).reshape(-1, lifetimes.errors.shape[-1])
    rules = as_stack(rule)
    rates = np.asarray(getattr(rules.leaves, "learning_rate", np.full(len(rules), np.nan)))
    rates = np.repeat(rates, lost.shape[0] // rates.size)
    first = np.where(lost.any(axis=1), lost.argmax(axis=1), lost.shape[1])
    worst = int(first.argmin())
    # Trials are counted from the start of the lifetime, which may be before this call.
    trial = int(np.min(lifetimes.state.trial)) - lost.shape[1] + int(first[worst]) + 1
    warnings.warn(
        "non-finite activity, or change of weights, in"
        f" {int(lost.any(axis=1).sum())} of {lost.shape[0]} lifetimes, first"
        f" in trial {trial} with learning rate {rates[worst]:g}: what came before is kept and they"
        " count as failures; lower the learning rate or clip the update",
        RuntimeWarning,
        stacklevel=3,
    )
