"""Lifetimes with their tangents: how every weight depends on every coefficient, trial by trial."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from plasticity.derivatives.tangent import (
    Differentiation,
    OutcomeTangents,
    Tangents,
    initial_tangents,
    tangent_trial,
)
from plasticity.learning.lifetime import (
    Lifetime,
    check_lifetime,
    map_lifetimes,
    report_blow_up,
    trial_numbers,
)
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
from plasticity.rules.three_factor import Rule
from plasticity.rules.trace import active_powers
from plasticity.types import is_traced

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
    rule: Rule,
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
    static = (learner, n_trials, active_powers(rule.coefficients), differentiation, observe)
    extras = (state, tangents, third_factor)
    result = map_lifetimes(_lifetime, key, network, rule, extras, (task,), static, batch_size)
    report_blow_up(result.lifetime, rule)
    _report_overflow(result, differentiation.of(rule))
    return result


def _lifetime(
    key, network, rule, extras, task, learner, n_trials, powers, differentiation, observe
) -> Sensitivity:
    state, tangents, factors = extras

    def step(carry, factor):
        before, tangents = carry
        episode = draw_episode(key, before.trial, task, learner, network.W.shape[0])
        arguments = (before, tangents, episode, network, rule, learner, differentiation)
        options = {"powers": powers, "third_factor": factor}
        state, outcome, tangents, of_outcome = tangent_trial(*arguments, **options)
        seen = observe and observe(before, episode, outcome, tangents, of_outcome)
        rows = (trial_numbers(state, episode, outcome, learner), _norms(tangents.W), seen)
        return (state, tangents), rows

    state = initial_learning_state(network, task, learner) if state is None else state
    if tangents is None:
        tangents = initial_tangents(state, rule, differentiation)
    carry, (rows, norms, seen) = jax.lax.scan(step, (state, tangents), factors, length=n_trials)
    return Sensitivity(Lifetime(carry[0], *rows), carry[1], norms, seen)


def _norms(U):
    """Scaled before they are squared: in float32 squares overflow from 2e19 on."""
    scale = jnp.abs(U).max(axis=(0, 1), keepdims=True)
    scale = jnp.where((scale > 0) & jnp.isfinite(scale), scale, 1.0)
    return scale[0, 0] * jnp.sqrt(jnp.sum((U / scale) ** 2, axis=(0, 1)))


def _report_overflow(result: Sensitivity, terms) -> None:
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
