"""Estimators of ∂J/∂θ, J = E (1/H) Σ_h R^(h): how the mean reward of H trials depends on the rule.

All have one signature and return one estimate a lifetime. They differ in what they hold fixed, and
so in the objective they are true to; mixing two of them counts an effect twice or not at all.

    Pathwise           draws fixed, the reward differentiated      J itself
    EvolutionStrategy  draws fixed, rewards of two rules compared  J smoothed over rules
    WeightScore        weights as sampled, rewards fixed           J of weights that diffuse
    ParameterScore     coefficients as sampled, rewards fixed      J of a rule that jitters
    ExplicitTrace      all but the trace's own θ                   none

The two scores are in `plasticity.meta.score_function`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from plasticity.derivatives.tangent import (
    Differentiation,
    check_polynomial,
    initial_tangents,
    tangent_trial,
)
from plasticity.learning.lifetime import check_lifetime
from plasticity.learning.parallel import map_lifetimes
from plasticity.learning.trial import (
    Learner,
    draw_episode,
    first_trajectory,
    initial_learning_state,
    learn_trial,
)
from plasticity.meta.objective import mean_reward
from plasticity.model.network import Network
from plasticity.model.tasks import Task
from plasticity.rules.base import Rule, check_rule
from plasticity.rules.three_factor import ThreeFactor
from plasticity.rules.trace import term_scale
from plasticity.types import Coefficients, PRNGKey, is_traced, require


class MetaGradient(NamedTuple):
    """What B lifetimes say about the rule.

    Attributes:
        gradients: each lifetime's estimate of ∂J/∂θ (J is to be maximised), (B, d+1, d+1); zero
            where it is not finite. Of other rules: in their parameters, (B, …).
        returns: mean reward of each lifetime as sampled, (B,); NaN where it is not finite.
        finite: whether the lifetime and its estimate are finite, (B,).
    """

    gradients: Float[Array, "B *P"]
    returns: Float[Array, "B"]
    finite: Bool[Array, "B"]


Estimator = Callable[[Key[Array, "B"], Network, Task, Rule, Learner, int], MetaGradient]


@partial(jax.jit, static_argnames="learner")
def relative_scale(
    key: PRNGKey, network: Network, task: Task, rule: Rule, learner: Learner
) -> Coefficients:
    """r.m.s. of each term of the trace over that of term (3, 3), (d+1, d+1), in a first trial.

    θ times it compares coefficients by what they contribute. Term (d, d) serves if d < 3. (Ours.)

    Raises:
        ValueError: a rule without coefficients.
    """
    check_polynomial(rule)
    run = first_trajectory(key, network, task, rule, learner)
    degree = rule.coefficients.shape[-1] - 1
    scale = term_scale(run.rates, run.fluctuations, degree)
    return scale / scale[(min(3, degree),) * 2]


@dataclass(frozen=True, kw_only=True)
class Pathwise:
    """∂/∂θ of (1/H) Σ_h R^(h) with kicks, inputs and initial states held fixed.

    Every path is followed: W, x̄ and R̄ carry their derivatives from trial to trial. Unbiased for J
    itself, for the draws do not depend on θ and the graded reward is continuous in it; but the size
    of the estimate grows with the chaos of learning, so that a few lifetimes can drown the rest.
    The equations are those of `plasticity.derivatives.tangent` (those of rewards are ours).

    Attributes:
        mode: "reverse", by `plasticity.meta.objective.mean_reward`, or "forward", by
            `plasticity.derivatives.tangent.tangent_trial`: the same numbers up to rounding.

    Raises:
        ValueError: an unknown mode; when called, a binary reward.
    """

    mode: str = "reverse"

    def __post_init__(self) -> None:
        known = self.mode in ("reverse", "forward")
        require(known, "mode reverse or forward", self.mode, "choose one of them")

    def __call__(
        self,
        key: Key[Array, "B"],
        network: Network,
        task: Task,
        rule: Rule,
        learner: Learner,
        n_trials: int,
    ) -> MetaGradient:
        """∂J/∂θ by every lifetime; key and network have the axis B, the rule has none."""
        fix = "use a graded reward, or an estimator that compares or weighs rewards"
        require(learner.reward == "graded", "a reward that has a derivative", learner.reward, fix)
        kind = {"reverse": ReverseProgram, "forward": ForwardProgram}[self.mode]
        program = kind(learner=learner, n_trials=n_trials)
        return only_finite(*each_lifetime(program, key, network, task, rule))


@dataclass(frozen=True, kw_only=True)
class EvolutionStrategy:
    """Antithetic exploration of rules: g = scale · ε (J₊ − J₋) / (2 spread), ε ~ N(0, 1).

    J± is the mean reward of one lifetime at θ ± spread · ε / scale, each lifetime with an ε of its
    own, both signs with the same network, kicks, inputs and initial states. Nothing is
    differentiated, so any reward will do. Unbiased for the gradient of J smoothed by a Gaussian of
    that width, which forgives chaos finer than it; exact in the mean for a J of degree two. The
    returns are the mean of J₊ and J₋, not those of θ. (Sehnke et al. 2010, Salimans et al. 2017.)

    Attributes:
        spread: standard deviation of a coefficient in units of 1/scale.
        scale: (d+1, d+1), as nested tuples, or of the shape of the rule's parameters; None takes
            `relative_scale` of the first lifetime, for rules with coefficients.

    Raises:
        ValueError: spread ≤ 0; when called, a scale of another shape than the rule's parameters,
            or not positive.
    """

    spread: float
    scale: Any = None

    def __post_init__(self) -> None:
        require(
            0 < self.spread < np.inf, "spread > 0", self.spread, "use Pathwise to draw no noise"
        )

    def __call__(
        self,
        key: Key[Array, "B"],
        network: Network,
        task: Task,
        rule: Rule,
        learner: Learner,
        n_trials: int,
    ) -> MetaGradient:
        """∂J/∂θ by every lifetime; key and network have the axis B, the rule has none."""
        scale = checked_scale(self.scale, key, network, task, rule, learner)
        program = PairProgram(learner=learner, n_trials=n_trials)
        options = {"scale": scale, "spread": self.spread}
        return only_finite(*each_lifetime(program, key, network, task, rule, **options))


@dataclass(frozen=True, kw_only=True)
class ExplicitTrace:
    """(1/H) Σ_h (R^(h) − R̄) Σ_ij ∂e_ij^(h)/∂θ with activity held fixed.

    How an earlier public draft of the paper approximates dR/dθ (Maoutsa 2025, the draft): updates
    are deterministic, no derivative goes through activity or from trial to trial, and all synapses
    count alike. It is the gradient of no return, and serves as a comparison.

    Raises:
        ValueError: when called, a rule that is not a `ThreeFactor`.
    """

    def __call__(
        self,
        key: Key[Array, "B"],
        network: Network,
        task: Task,
        rule: Rule,
        learner: Learner,
        n_trials: int,
    ) -> MetaGradient:
        """The estimate of every lifetime; key and network have the axis B, the rule has none."""
        fix = "make it by make_rule or compose"
        known = isinstance(rule, ThreeFactor)
        require(known, "a rule that has a trace", type(rule).__name__, fix)
        program = ExplicitProgram(learner=learner, n_trials=n_trials)
        return only_finite(*each_lifetime(program, key, network, task, rule))


def each_lifetime(program, key, network: Network, task: Task, rule: Rule, **shared: Any):
    """``program`` for each of B keys and networks, with ``task`` and ``shared`` the same for all.

    Args:
        program: as in `map_lifetimes`, with fields ``learner`` and ``n_trials``.

    Raises:
        ValueError: as in `learn`; axes other than B keys and B networks, more than one rule.
    """
    check_learned(rule)
    batched = key.shape == network.W.shape[:-2] == (key.size,)
    value = f"keys {key.shape}, networks {network.W.shape[:-2]}, {type(rule).__name__}"
    fix = "give keys and networks one axis, and one rule at a time"
    require(batched, "B keys, B networks, one rule", value, fix)
    check_lifetime(network, task, rule, program.learner, program.n_trials)
    # One lifetime of 100 units keeps a core busy; tiny ones advance together.
    together = max(1, 2**14 // network.W.shape[-1] ** 2)
    arguments = {"shared": {"task": task} | shared, "batch_size": together}
    return map_lifetimes(program, key, network, rule, **arguments)


def check_learned(rule: Rule) -> None:
    """Raise ValueError unless it is one rule that has parameters."""
    check_rule(rule)
    learned = hasattr(rule, "parameters") and hasattr(rule, "with_parameters")
    fix = "give it parameters and with_parameters"
    require(learned, "a rule whose parameters can be learned", type(rule).__name__, fix)


def only_finite(gradients, returns, alive) -> MetaGradient:
    """A `MetaGradient` in which what is not finite is flagged and does no harm."""
    finite = alive & jnp.isfinite(returns)
    finite &= jnp.isfinite(gradients).reshape(len(finite), -1).all(axis=1)
    gradients = jnp.where(finite.reshape(-1, *(1,) * (gradients.ndim - 1)), gradients, 0.0)
    return MetaGradient(gradients, jnp.where(finite, returns, jnp.nan), finite)


def checked_scale(scale, key, network, task, rule, learner) -> Float[Array, "*P"]:
    """The scale of an estimator as an array; None takes `relative_scale` of the first lifetime."""
    if scale is None:
        first = jax.tree.map(lambda a: a[0], network)
        scale = relative_scale(key[0], first, task, rule, learner)
    scale = jnp.asarray(scale, rule.parameters.dtype)
    check_scale(scale, rule)
    return scale


def check_scale(scale, rule: Rule) -> None:
    """Raise ValueError unless it is one positive number for each parameter of the rule."""
    shape = jnp.shape(rule.parameters)
    fits = scale.shape == shape
    if fits and not is_traced(scale):
        fits = bool(((scale > 0) & (scale < jnp.inf)).all())
    fix = "give one positive number a coefficient, or None for the default"
    require(fits, f"a positive scale of shape {shape}", scale, fix)


def own_stream(key: PRNGKey) -> PRNGKey:
    """The key of what an estimator draws: trials count from 0, so that none draws from it."""
    return jax.random.fold_in(key, jnp.uint32(2**32 - 1))


def standard_normal(key: PRNGKey, like: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """N(0, 1) in the shape of ``like``; the same draws in float32 and float64."""
    return jax.random.normal(key, like.shape, jnp.float32).astype(like.dtype)


@dataclass(frozen=True, kw_only=True)
class ReverseProgram:
    """∂/∂θ of the mean reward of one lifetime, by reverse mode; for `map_lifetimes`."""

    learner: Learner
    n_trials: int

    def __call__(self, key: PRNGKey, network: Network, rule: Rule, *, task: Task):
        """Gradient in the rule's parameters, mean reward, and whether the network lived."""
        value_and_gradient = jax.value_and_grad(mean_reward, has_aux=True)
        (value, alive), gradient = value_and_gradient(
            rule.parameters, key, network, task, rule, self.learner, self.n_trials
        )
        return gradient, value, alive


@dataclass(frozen=True, kw_only=True)
class ForwardProgram:
    """The same by forward mode, in closed form; memory does not grow with H."""

    learner: Learner
    n_trials: int

    def __call__(self, key: PRNGKey, network: Network, rule: Rule, *, task: Task):
        """Gradient in the parameters, mean reward, and whether the network lived."""
        learner, differentiation = self.learner, Differentiation(rewards=True)

        def trial(carry, _):
            state, tangents = carry
            episode = draw_episode(key, state.trial, task, learner, network.W.shape[0])
            state, outcome, tangents, of_outcome = tangent_trial(
                state, tangents, episode, network, rule, learner, differentiation
            )
            return (state, tangents), (of_outcome.reward, outcome.reward)

        state = initial_learning_state(network, task, rule, learner)
        start = (state, initial_tangents(state, rule, differentiation))
        (state, _), (gradients, rewards) = jax.lax.scan(trial, start, length=self.n_trials)
        gradient = gradients.mean(axis=0).reshape(rule.parameters.shape)
        return gradient, rewards.mean(), state.alive


@dataclass(frozen=True, kw_only=True)
class PairProgram:
    """One lifetime under two rules, θ ± spread · ε / scale; for `map_lifetimes`."""

    learner: Learner
    n_trials: int

    def __call__(self, key: PRNGKey, network: Network, rule: Rule, *, task: Task, scale, spread):
        """Gradient in the parameters, mean reward of both, whether the network lived under both."""
        noise = standard_normal(own_stream(key), rule.parameters)
        move = spread * noise / scale
        pair = jnp.stack([rule.parameters + move, rule.parameters - move])

        def value(parameters):
            given = (key, network, task, rule, self.learner, self.n_trials)
            return mean_reward(parameters, *given)

        returns, alive = jax.vmap(value)(pair)
        gradient = scale * noise * (returns[0] - returns[1]) / (2 * spread)
        return gradient, returns.mean(), alive.all()


@dataclass(frozen=True, kw_only=True)
class ExplicitProgram:
    """What `ExplicitTrace` adds up over one lifetime; for `map_lifetimes`."""

    learner: Learner
    n_trials: int

    def __call__(self, key: PRNGKey, network: Network, rule: Rule, *, task: Task):
        """Estimate in the parameters, mean reward, and whether the network lived."""
        learner = self.learner

        def trial(state, _):
            episode = draw_episode(key, state.trial, task, learner, network.W.shape[0])
            new, outcome = learn_trial(state, episode, network, rule, learner)

            def total(parameters):
                trace, _ = rule.trace.with_parameters(parameters).form(outcome.seen, state.memory)
                return trace.sum()

            explicit = jax.grad(total)(rule.parameters)
            return new, (outcome.third_factor * explicit, outcome.reward)

        state = initial_learning_state(network, task, rule, learner)
        state, (estimates, rewards) = jax.lax.scan(trial, state, length=self.n_trials)
        return estimates.mean(axis=0), rewards.mean(), state.alive
