"""Central differences of whole courses of learning, the check of the tangents.

    ∂μ^(h)/∂θ_p ≈ [μ^(h)(θ + s_p e_p) − μ^(h)(θ − s_p e_p)] / 2 s_p

with the same kicks, inputs and initial states on both sides. The error is of order s² (truncation,
by third derivatives) plus rounding/s. It holds only while neither side crosses a corner of the
program: an entry that starts or stops being clipped or, with differentiated rewards, an output
that changes sides of its target. Crossings are found and reported.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from plasticity.derivatives.tangent import Differentiation, initial_tangents, tangent_trial
from plasticity.learning.lifetime import check_lifetime, map_lifetimes
from plasticity.learning.trial import (
    Learner,
    draw_episode,
    first_trajectory,
    initial_learning_state,
    learn_trial,
)
from plasticity.model.network import Network
from plasticity.model.tasks import Task
from plasticity.rules.three_factor import Rule
from plasticity.rules.trace import term_scale
from plasticity.types import Activity

_TOGETHER = 6  # coefficients advanced together, two lifetimes each: their weights stay in cache


class Comparison(NamedTuple):
    """Forward mode against central differences with E relative steps; leading axis: networks.

    Attributes:
        errors: mean |z − z*| of each trial, (…, H).
        update_norms: ‖∂μ/∂θ_p‖_F by forward mode, (…, H, P).
        update_gaps: ‖difference quotient − forward mode‖_F of the update, (…, H, E, P).
        weight_norms: ‖U_p‖_F, (…, H, P).
        weight_gaps: the same of the weights, that is, accumulated over trials, (…, H, E, P).
        crossed: whether a corner was crossed in this trial or before, (…, H, E, P).
        sample: forward mode and quotient of the update at S synapses, (…, H, 2, S, P), the
            quotient with the middle one of the steps.
    """

    errors: Float[Array, "*batch H"]
    update_norms: Float[Array, "*batch H P"]
    update_gaps: Float[Array, "*batch H E P"]
    weight_norms: Float[Array, "*batch H P"]
    weight_gaps: Float[Array, "*batch H E P"]
    crossed: Bool[Array, "*batch H E P"]
    sample: Float[Array, "*batch H 2 S P"]


def step_sizes(
    rates: Activity, fluctuations: Activity, rule: Rule, terms, relative: float
) -> Float[Array, "P"]:
    """s_p, such that term p changes the integrand of the trace by ``relative`` of its r.m.s.

    With the scales c_kℓ of `plasticity.rules.trace.term_scale`, s_p = relative · ‖θ c‖ / c_p: the
    coefficients differ in natural size by orders of magnitude. (Ours.)
    """
    scale = term_scale(rates, fluctuations, rule.coefficients.shape[-1] - 1)
    whole = jnp.linalg.norm(rule.coefficients * scale)
    return relative * whole / jnp.stack([scale[term] for term in terms])


def decades_near_best(
    steps: Sequence[float] | np.ndarray, errors: np.ndarray, factor: float = 10.0
) -> np.ndarray:
    """How wide the bottom of a curve of error against step is, (…,), in decades of the step.

    The range around the best step in which the error is within ``factor`` of the best, with
    straight lines in log-log between the E steps. (Ours.)

    Args:
        steps: descending, (E,).
        errors: (…, E), positive.
    """
    position = -np.log10(steps)

    def width(curve):
        excess = np.log10(curve) - np.log10(curve.min() * factor)
        best = int(curve.argmin())

        def end(direction):
            at = best
            while 0 <= at + direction < len(curve) and excess[at + direction] <= 0:
                at += direction
            beyond = at + direction
            if not 0 <= beyond < len(curve):
                return position[at]
            share = excess[at] / (excess[at] - excess[beyond])
            return position[at] + share * (position[beyond] - position[at])

        return end(1) - end(-1)

    return np.apply_along_axis(width, -1, np.asarray(errors, float))


def compare_with_differences(
    key: Key[Array, "*keys"],
    network: Network,
    task: Task,
    rule: Rule,
    learner: Learner,
    n_trials: int,
    relative_steps: tuple[float, ...],
    *,
    differentiation: Differentiation | None = None,
    n_synapses: int = 1,
) -> Comparison:
    """Learn with tangents and, beside it, with every coefficient moved up and down by each step.

    With rewards held fixed, the moved learners get the prediction errors of the unmoved one.

    Args:
        key, network, task, rule, learner, n_trials: as in `plasticity.learning.lifetime.learn`.
        relative_steps: E of them, each as in `step_sizes`, for the activity of the first trial.
        differentiation: as in `plasticity.derivatives.tangent`; tangents are carried.
        n_synapses: how many synapses to sample, evenly spread over the matrix.

    Raises:
        ValueError: as in `learn` and `plasticity.derivatives.tangent.tangent_trial`.
    """
    differentiation = Differentiation() if differentiation is None else differentiation
    check_lifetime(network, task, rule, learner, n_trials, None)
    powers = tuple(range(rule.coefficients.shape[-1]))
    static = (learner, n_trials, powers, differentiation, tuple(relative_steps), n_synapses)
    return map_lifetimes(_compare, key, network, rule, None, (task,), static, 1)


def _compare(
    key, network, rule, _, task, learner, n_trials, powers, differentiation, relative, n_synapses
) -> Comparison:
    n_units = network.W.shape[0]
    terms, sides = differentiation.of(rule), jnp.array([1.0, -1.0], network.W.dtype)
    state = initial_learning_state(network, task, learner)

    def episode_of(trial):
        return draw_episode(key, trial, task, learner, n_units)

    first = first_trajectory(key, network, task, rule, learner)
    steps = jnp.stack(
        [step_sizes(first.rates, first.fluctuations, rule, terms, r) for r in relative]
    )
    directions = jnp.zeros((len(terms), *rule.coefficients.shape), network.W.dtype)
    for p, term in enumerate(terms):
        directions = directions.at[p, *term].set(1.0)
    chosen = jnp.linspace(0, n_units**2 - 1, n_synapses).astype(int)

    def corners(outcome, episode):
        clipped = jnp.abs(outcome.change) >= rule.clip
        above = (outcome.trajectory.output > episode.trial.target) & episode.trial.response
        return clipped, above & differentiation.rewards

    def trial(carry, _):
        state, tangents, moved, crossed = carry
        episode = episode_of(state.trial)
        arguments = (state, tangents, episode, network, rule, learner, differentiation)
        state, outcome, tangents, of_outcome = tangent_trial(*arguments, powers=powers)
        factor = None if differentiation.rewards else outcome.prediction_error
        there = corners(outcome, episode)

        def side(state, step, direction, sign):
            theta = rule.coefficients + sign * step * direction
            options = {"powers": powers, "third_factor": factor}
            at = rule._replace(coefficients=theta)
            state, out = learn_trial(state, episode, network, at, learner, **options)
            same = jax.tree.map(jnp.array_equal, corners(out, episode), there)
            return state, out.change, ~jnp.stack(same).all()

        def coefficient(arguments):
            states, step, direction, update, weights = arguments
            new, change, cross = jax.vmap(side, (0, None, None, 0))(states, step, direction, sides)
            quotients = [(a[0] - a[1]).T / (2 * step) for a in (change, new.W)]
            gaps = [
                jnp.linalg.norm(q - t) for q, t in zip(quotients, (update, weights), strict=True)
            ]
            return new, jnp.stack(gaps), cross.any(), quotients[0].ravel()[chosen]

        def of_step(arguments):
            states, step = arguments
            of_p = (states, step, directions, update, weights)
            return jax.lax.map(coefficient, of_p, batch_size=min(_TOGETHER, len(terms)))

        update, weights = (jnp.moveaxis(a, -1, 0) for a in (of_outcome.change, tangents.W))
        moved, gaps, cross, quotient = jax.lax.map(of_step, (moved, steps))
        crossed = crossed | cross
        norms = [jnp.linalg.norm(a, axis=(1, 2)) for a in (update, weights)]
        forward = update.reshape(len(terms), -1)[:, chosen]
        sample = jnp.stack([forward.T, quotient[len(relative) // 2].T])
        rows = (outcome.error, norms[0], gaps[..., 0], norms[1], gaps[..., 1], crossed, sample)
        return (state, tangents, moved, crossed), rows

    shape = (len(relative), len(terms), 2)
    moved = jax.tree.map(lambda a: jnp.broadcast_to(a, (*shape, *a.shape)), state)
    carry = (
        state,
        initial_tangents(state, rule, differentiation),
        moved,
        jnp.zeros(shape[:2], bool),
    )
    return Comparison(*jax.lax.scan(trial, carry, length=n_trials)[1])
