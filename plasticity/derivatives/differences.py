"""Central differences of whole courses of learning, the check of the tangents.

    ∂μ^(h)/∂θ_p ≈ [μ^(h)(θ + s_p e_p) − μ^(h)(θ − s_p e_p)] / 2 s_p

with the same kicks, inputs and initial states on both sides. The error is of order s² (truncation,
by third derivatives) plus rounding/s. It holds only while neither side crosses a corner of the
program: an entry that starts or stops being clipped or, with differentiated rewards, an output
that changes sides of its target. Crossings are found and reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from plasticity.derivatives.tangent import Differentiation, initial_tangents, tangent_trial
from plasticity.learning.lifetime import check_lifetime, yoked
from plasticity.learning.parallel import map_lifetimes
from plasticity.learning.trial import (
    Learner,
    Outcome,
    draw_episode,
    first_trajectory,
    initial_learning_state,
    learn_trial,
)
from plasticity.model.network import Network
from plasticity.model.tasks import Task
from plasticity.rules.base import Rule
from plasticity.rules.pathways import Pathways
from plasticity.rules.trace import term_scale
from plasticity.types import Activity, PRNGKey, require, require_count

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


class _Plan(NamedTuple):
    """How coefficients are moved, and where the result is sampled.

    Attributes:
        steps: s, (E, P).
        directions: one coefficient each, (P, d+1, d+1).
        synapses: numbers of the entries of W that are sampled, (S,).
    """

    steps: Float[Array, "E P"]
    directions: Float[Array, "P d1 d1"]
    synapses: Int[Array, "S"]


class _Unmoved(NamedTuple):
    """A trial of the unmoved learner; tangents of its update and of W after it, (P, N, N)."""

    outcome: Outcome
    update: Float[Array, "P N N"]
    weights: Float[Array, "P N N"]


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
        # How far above the bound, in decades; the range ends where this is zero.
        excess = np.log10(curve) - np.log10(curve.min() * factor)
        best = int(curve.argmin())

        def end(direction):
            last = best
            while 0 <= last + direction < len(curve) and excess[last + direction] <= 0:
                last += direction
            beyond = last + direction
            if not 0 <= beyond < len(curve):
                return position[last]
            share = excess[last] / (excess[last] - excess[beyond])
            return position[last] + share * (position[beyond] - position[last])

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
    """Tangents of learning against central differences, for every coefficient and step.

    Beside the learner with tangents learn others, with every coefficient moved up and down by every
    step. With rewards held fixed, the moved learners get the prediction errors of the unmoved one.

    Args:
        key, network, task, rule, learner, n_trials: as in `plasticity.learning.lifetime.learn`.
        relative_steps: E of them, each as in `step_sizes`, for the activity of the first trial.
        differentiation: as in `plasticity.derivatives.tangent`; tangents are carried.
        n_synapses: how many synapses to sample, evenly spread over the matrix.

    Raises:
        ValueError: as in `learn` and `plasticity.derivatives.tangent.tangent_trial`; n_synapses
            that is no whole number ≥ 1.
    """
    differentiation = Differentiation() if differentiation is None else differentiation
    check_lifetime(network, task, rule, learner, n_trials, None)
    single, fix = not isinstance(rule, Pathways), "compare the rule of W alone"
    require(single, "differences are of a ThreeFactor", "Pathways", fix)
    require_count("n_synapses", n_synapses)
    program = ComparisonProgram(
        learner=learner,
        n_trials=n_trials,
        differentiation=differentiation,
        relative_steps=tuple(relative_steps),
        n_synapses=n_synapses,
    )
    return map_lifetimes(program, key, network, rule, shared={"task": task})


@dataclass(frozen=True, kw_only=True)
class ComparisonProgram:
    """H trials of one network with tangents and differences side by side, for `map_lifetimes`.

    Attributes:
        learner, n_trials: as in `plasticity.learning.lifetime.LifetimeProgram`.
        differentiation, relative_steps, n_synapses: as in `compare_with_differences`.
    """

    learner: Learner
    n_trials: int
    differentiation: Differentiation
    relative_steps: tuple[float, ...]
    n_synapses: int

    def __call__(self, key: PRNGKey, network: Network, rule: Rule, *, task: Task) -> Comparison:
        """One lifetime; the arguments are those of `compare_with_differences`, without axes."""
        learner, differentiation = self.learner, self.differentiation
        n_units, n_terms = network.W.shape[0], len(differentiation.of(rule))
        plan = self._plan(key, network, task, rule)

        def trial(carry, _):
            state, tangents, moved, crossed = carry
            episode = draw_episode(key, state.trial, task, learner, n_units)
            given = (state, tangents, episode, network, rule, learner, differentiation)
            state, outcome, tangents, of_outcome = tangent_trial(*given)
            columns = (jnp.moveaxis(a, -1, 0) for a in (of_outcome.change, tangents.W))
            unmoved = _Unmoved(outcome, *columns)
            moved, gaps, cross, quotient = self._differences(
                moved, unmoved, episode, network, rule, plan
            )
            crossed = crossed | cross
            norms = [jnp.linalg.norm(a, axis=(1, 2)) for a in unmoved[1:]]
            forward = unmoved.update.reshape(n_terms, -1)[:, plan.synapses]
            sample = jnp.stack([forward.T, quotient[len(self.relative_steps) // 2].T])
            of_update, of_weights = gaps[..., 0], gaps[..., 1]
            numbers = (outcome.error, norms[0], of_update, norms[1], of_weights, crossed, sample)
            return (state, tangents, moved, crossed), numbers

        state = initial_learning_state(network, task, rule, learner)
        # A learner for every step, coefficient and side.
        shape = (len(self.relative_steps), n_terms, 2)
        moved = jax.tree.map(lambda a: jnp.broadcast_to(a, (*shape, *a.shape)), state)
        tangents = initial_tangents(state, rule, differentiation)
        start = (state, tangents, moved, jnp.zeros(shape[:2], bool))
        return Comparison(*jax.lax.scan(trial, start, length=self.n_trials)[1])

    def _plan(self, key, network, task, rule) -> _Plan:
        """The steps are for the activity of the first trial."""
        first = first_trajectory(key, network, task, rule, self.learner)
        activity, terms = (first.rates, first.fluctuations), self.differentiation.of(rule)
        steps = jnp.stack([step_sizes(*activity, rule, terms, r) for r in self.relative_steps])
        directions = jnp.zeros((len(terms), *rule.coefficients.shape), network.W.dtype)
        for p, term in enumerate(terms):
            directions = directions.at[p, *term].set(1.0)
        synapses = jnp.linspace(0, network.W.size - 1, self.n_synapses).astype(int)
        return _Plan(steps, directions, synapses)

    def _differences(self, moved, unmoved: _Unmoved, episode, network, rule, plan: _Plan):
        """One trial of all moved learners: their states, gaps, crossings, and sampled quotients."""
        sides = jnp.array([1.0, -1.0], network.W.dtype)
        if not self.differentiation.rewards:
            rule = yoked(rule, unmoved.outcome.third_factor)
        corners = self._corners(unmoved.outcome, episode, rule)

        def of_side(state, step, direction, sign):
            shifted = rule.with_parameters(rule.coefficients + sign * step * direction)
            given = (state, episode, network, shifted, self.learner)
            state, moved_outcome = learn_trial(*given)
            met = self._corners(moved_outcome, episode, rule)
            same = jax.tree.map(jnp.array_equal, met, corners)
            return state, moved_outcome.change, ~jnp.stack(same).all()

        def of_coefficient(given):
            states, step, direction, update, weights = given
            both = jax.vmap(of_side, (0, None, None, 0))
            states, change, cross = both(states, step, direction, sides)
            # Tangents have [j, i] where weights have [i, j].
            quotients = [(a[0] - a[1]).T / (2 * step) for a in (change, states.W)]
            pairs = zip(quotients, (update, weights), strict=True)
            gaps = [jnp.linalg.norm(quotient - tangent) for quotient, tangent in pairs]
            return states, jnp.stack(gaps), cross.any(), quotients[0].ravel()[plan.synapses]

        def of_step(given):
            states, step = given
            columns = (states, step, plan.directions, unmoved.update, unmoved.weights)
            batch_size = min(_TOGETHER, len(plan.directions))
            return jax.lax.map(of_coefficient, columns, batch_size=batch_size)

        return jax.lax.map(of_step, (moved, plan.steps))

    def _corners(self, outcome, episode, rule):
        """Which entries are clipped and on which side of its target the output is, if it counts."""
        clipped = jnp.abs(outcome.change) >= rule.clip
        above = (outcome.trajectory.output > episode.trial.target) & episode.trial.response
        return clipped, above & self.differentiation.rewards
