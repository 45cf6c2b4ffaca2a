"""Lifetimes with their tangents: how every weight depends on every coefficient, trial by trial."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from plasticity.derivatives.tangent import (
    Differentiation,
    OutcomeTangents,
    Tangents,
    Terms,
    check_polynomial,
    initial_tangents,
    tangent_trial,
)
from plasticity.learning.lifetime import (
    Lifetime,
    check_lifetime,
    check_third_factor,
    report_blow_up,
    specialised,
    trial_numbers,
    yoked,
)
from plasticity.learning.parallel import lifetime_axes, map_lifetimes
from plasticity.learning.trial import (
    Episode,
    Learner,
    LearningState,
    Outcome,
    draw_episode,
    initial_learning_state,
)
from plasticity.model.network import Network
from plasticity.model.tasks import Task
from plasticity.rules.base import Rule, RuleStack, as_stack
from plasticity.types import PRNGKey, is_traced

Observer = Callable[[LearningState, Episode, Outcome, Tangents, OutcomeTangents], Any]


class Sensitivity(NamedTuple):
    """A course of learning and its tangents; leading axes as in `Lifetime`.

    Attributes:
        lifetime: the course of learning itself.
        tangents: after the last trial; give them back, with the state, to go on.
        norms: ‖U_p‖_F after each trial, (…, H, P).
        observed: what ``observe`` returned for each trial, (…, H, …); None without it.
    """

    lifetime: Lifetime
    tangents: Tangents
    norms: Float[Array, "*batch H P"]
    observed: Any


def learn_with_tangents(
    key: Key[Array, "*keys"],
    network: Network,
    task: Task,
    rule: Rule | RuleStack,
    learner: Learner,
    n_trials: int,
    *,
    differentiation: Differentiation | None = None,
    state: LearningState | None = None,
    tangents: Tangents | None = None,
    third_factor: Float[Array, "*batch H"] | None = None,
    observe: Observer | None = None,
    batch_size: int = 1,
) -> Sensitivity:
    """`learn` with ∂/∂θ carried along: every trial's, none of them stored.

    Args:
        key, network, task, rule, learner, n_trials, state, third_factor: as in `learn`.
        differentiation: of what; by default of all coefficients with rewards held fixed.
        tangents: of ``state``, to go on from them; zero by default.
        observe: of the state before a trial, its episode, its outcome, the tangents after it and
            those of its outcome: what to keep of the trial. Traced once, so a pure function.
        batch_size: lifetimes advanced together by each core.

    Raises:
        ValueError: as in `learn` and `plasticity.derivatives.tangent.tangent_trial`.

    Warns:
        RuntimeWarning: activity, weights or a tangent became infinite; names trial and learning
            rate, or trial and coefficient.
    """
    differentiation = Differentiation() if differentiation is None else differentiation
    check_lifetime(network, task, rule, learner, n_trials, state)
    rules = as_stack(rule).leaves
    check_polynomial(rules)
    if third_factor is not None:
        check_third_factor(rule, third_factor, (*lifetime_axes(network, rule), n_trials))
    program = TangentProgram(
        learner=learner, n_trials=n_trials, differentiation=differentiation, observe=observe
    )
    result = map_lifetimes(
        program,
        key,
        network,
        specialised(rule),
        each={"state": state, "tangents": tangents, "third_factor": third_factor},
        shared={"task": task},
        batch_size=batch_size,
    )
    report_blow_up(result.lifetime, rule)
    _report_overflow(result, differentiation.of(rules))
    return result


@dataclass(frozen=True, kw_only=True)
class TangentProgram:
    """H trials of one network under one rule, and their tangents, for `map_lifetimes`.

    Attributes:
        learner, n_trials: as in `plasticity.learning.lifetime.LifetimeProgram`.
        differentiation: of what.
        observe: what to keep of each trial, as in `learn_with_tangents`.
    """

    learner: Learner
    n_trials: int
    differentiation: Differentiation
    observe: Observer | None = None

    def __call__(
        self,
        key: PRNGKey,
        network: Network,
        rule: Rule,
        *,
        task: Task,
        state: LearningState | None = None,
        tangents: Tangents | None = None,
        third_factor: Float[Array, "H"] | None = None,
    ) -> Sensitivity:
        """One lifetime; the arguments are those of `learn_with_tangents`, without axes."""
        learner, differentiation = self.learner, self.differentiation

        def trial(carry, third_factor):
            before, tangents = carry
            episode = draw_episode(key, before.trial, task, learner, network.W.shape[0])
            by = yoked(rule, third_factor)
            given = (before, tangents, episode, network, by, learner, differentiation)
            state, outcome, tangents, of_outcome = tangent_trial(*given)
            seen = None
            if self.observe is not None:
                seen = self.observe(before, episode, outcome, tangents, of_outcome)
            numbers = trial_numbers(state, episode, outcome, learner)
            return (state, tangents), (numbers, _norms(tangents.W), seen)

        if state is None:
            state = initial_learning_state(network, task, rule, learner)
        if tangents is None:
            tangents = initial_tangents(state, rule, differentiation)
        carry, (numbers, norms, seen) = jax.lax.scan(
            trial, (state, tangents), third_factor, length=self.n_trials
        )
        return Sensitivity(Lifetime(carry[0], *numbers), carry[1], norms, seen)


def _norms(U):
    """‖U_p‖_F, (P,), scaled before it is squared: in float32 squares overflow from 2e19 on."""
    scale = jnp.abs(U).max(axis=(0, 1), keepdims=True)
    scale = jnp.where((scale > 0) & jnp.isfinite(scale), scale, 1.0)
    return scale[0, 0] * jnp.sqrt(jnp.sum((U / scale) ** 2, axis=(0, 1)))


def _report_overflow(result: Sensitivity, terms: Terms) -> None:
    """Warn of tangents that became infinite, with trial and coefficient."""
    if is_traced(result.norms):
        return
    norms = np.asarray(result.norms)
    lost = ~np.isfinite(norms).reshape(-1, *norms.shape[-2:])
    if not lost.any():
        return
    trial = int(lost.any(axis=(0, 2)).argmax())
    coefficient = int(lost[:, trial].any(axis=0).argmax())
    first = int(np.min(result.lifetime.state.trial)) - norms.shape[-2]
    warnings.warn(
        f"‖∂W/∂θ‖ overflows in {int(lost.any(axis=(1, 2)).sum())} of {len(lost)} lifetimes, first"
        f" in trial {first + trial + 1} for θ{terms[coefficient]}: it is not finite from there on;"
        " shorten the horizon, lower the learning rate, or use float64",
        RuntimeWarning,
        stacklevel=3,
    )
