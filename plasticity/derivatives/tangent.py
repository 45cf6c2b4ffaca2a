"""Forward-mode tangents of `learn_trial` in the coefficients of the rule, in closed form.

With p = (k, ℓ) one of P coefficients and U_p = ∂W/∂θ_p at the start of a trial,

    ẋ_{t+1} = ẋ_t + (dt/τ)(−ẋ_t + W ṙ_t + U_p r_t),   ṙ_t = φ'(x_t) ẋ_t,   ẋ_0 = 0
    Δ̇_t     = x̄̇_t − ẋ_{t+1},   x̄̇_{t+1} = x̄̇_t − a Δ̇_t
    ė_ij    = Σ_t λ_t [r_j^k Δ_i^ℓ + (∂F/∂r)(r_j, Δ_i) ṙ_j + (∂F/∂Δ)(r_j, Δ_i) Δ̇_i]
    U_p    ← U_p + ∂clip/∂(e, δ) · (ė, δ̇),   δ = R − R̄

for F(r, Δ) = Σ θ_kℓ r^k Δ^ℓ: under our reading the state, trace, eligibility-trace and weight
tangents that the paper's summary names, in discrete time.
Kicks, inputs and initial states are held fixed; rewards are too unless asked for. The program
has this derivative almost everywhere: corners lie where a change meets the clip and where z = z*.

Nothing N × N is carried through a trial. Tangents of all coefficients advance together; U_p r_t
for all t is one matrix product; ∂F does not depend on p, so that the trace takes one product of
inner length T for each unit in place of one of inner length T·d for each coefficient. About
10.7 N²TP operations a trial at d = 5.
"""

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from plasticity.learning.trial import (
    Episode,
    Learner,
    LearningState,
    Outcome,
    due,
    evaluate_output,
    learn_trial,
)
from plasticity.model.network import Network, Trajectory, elementwise_derivative
from plasticity.rules.base import Rule
from plasticity.rules.three_factor import Given, ThreeFactor
from plasticity.rules.trace import Polynomial, polynomial
from plasticity.types import Activity, Coefficients, Index, Scalar, Series, Weights, require

Terms = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Differentiation:
    """What is differentiated, and what is held fixed.

    Attributes:
        terms: the coefficients, as pairs (k, ℓ); None for all, in the order of θ's rows.
        rewards: whether rewards and baselines are differentiated, or held fixed.
        carry: whether tangents go on from trial to trial; if not, each trial starts from zero and
            only the direct dependence of its own update on θ remains.

    Raises:
        ValueError: no terms, a term twice, a negative power.
    """

    terms: Terms | None = None
    rewards: bool = False
    carry: bool = True

    def __post_init__(self) -> None:
        if self.terms is not None:
            given = tuple(tuple(term) for term in self.terms)
            object.__setattr__(self, "terms", given)
            require(len(given) > 0, "at least one coefficient", given, "use None for all")
            once = len(set(given)) == len(given) and min(min(term) for term in given) >= 0
            require(once, "terms are distinct pairs (k, ℓ) ≥ 0", given, "list each pair once")

    def of(self, rule: Rule) -> Terms:
        """The terms, P of them, in a rule of that degree.

        Raises:
            ValueError: a rule without coefficients, or a term beyond its degree.
        """
        check_polynomial(rule)
        powers = range(rule.coefficients.shape[-1])
        terms = tuple(product(powers, powers)) if self.terms is None else self.terms
        beyond = [term for term in terms if max(term) not in powers]
        require(not beyond, f"0 ≤ k, ℓ ≤ d = {powers[-1]} of the rule", beyond, "raise the degree")
        return terms


def check_polynomial(rule: Rule) -> None:
    """Raise ValueError unless the rule is a `ThreeFactor` with a `Polynomial` trace."""
    polynomial = isinstance(rule, ThreeFactor) and isinstance(rule.trace, Polynomial)
    trace = f" of {type(rule.trace).__name__}" if isinstance(rule, ThreeFactor) else ""
    name, fix = type(rule).__name__ + trace, "use reverse mode or an evolution strategy"
    require(polynomial, "closed-form tangents are of a ThreeFactor of Polynomial", name, fix)


class Tangents(NamedTuple):
    """Derivatives of a `LearningState`, the coefficients last.

    Attributes:
        W: U, ∂W_ij/∂θ_p at [j, i, p]: (N presynaptic, N postsynaptic, P).
        filtered: ∂x̄_i/∂θ_p, (N, P).
        baseline: ∂R̄_c/∂θ_p, (slots, P).
    """

    W: Float[Array, "N N P"]
    filtered: Float[Array, "N P"]
    baseline: Float[Array, "slots P"]


class OutcomeTangents(NamedTuple):
    """Derivatives of an `Outcome`, indices as in `Tangents`.

    Attributes:
        change: of the update μ, total, (N, N, P).
        direct: of the update μ with W, x̄, R and R̄ held fixed, (N, N, P).
        reward: of R, (P,); this and the next are zero if rewards are held fixed.
        third_factor: of what multiplies the trace, (P,).
    """

    change: Float[Array, "N N P"]
    direct: Float[Array, "N N P"]
    reward: Float[Array, "P"]
    third_factor: Float[Array, "P"]


def initial_tangents(state: LearningState, rule: Rule, differentiation: Differentiation):
    """Zero: at the start of a lifetime nothing depends on the rule."""
    n_terms = len(differentiation.of(rule))
    shapes = (state.W.shape, state.filtered.shape, state.baseline.shape)
    return Tangents(*(jnp.zeros((*shape, n_terms), state.W.dtype) for shape in shapes))


def tangent_trial(
    state: LearningState,
    tangents: Tangents,
    episode: Episode,
    network: Network,
    rule: Rule,
    learner: Learner,
    differentiation: Differentiation,
) -> tuple[LearningState, Outcome, Tangents, OutcomeTangents]:
    """`learn_trial` and its derivatives; the equations are in the module's docstring.

    Args:
        state, episode, network, rule, learner: as in `learn_trial`.
        tangents: of ``state``; not used where tangents are not carried.

    Raises:
        ValueError: a rule other than a `ThreeFactor` of `Polynomial`, tangents of another shape
            than the state's with the rule's terms, noise on the weights, binary rewards or a given
            third factor to be differentiated.
    """
    _check(state, tangents, episode, rule, learner, differentiation)
    new, outcome = learn_trial(state, episode, network, rule, learner)
    run, fluctuations = outcome.trajectory, rule.trace.postsynaptic(outcome.seen)
    weights = rule.trace.weights(episode.kicks.shape[0], learner.dynamics)

    def change_tangent(trace_tangent, factor_tangent):
        # The update is one function of each synapse, so [j, i] serves it as well as [i, j].
        def change(trace, factor):
            return weight_change(trace, factor, state.trial, rule, learner)

        def push(*of_term):
            return jax.jvp(change, (outcome.trace.T, outcome.third_factor), of_term)[1]

        return jax.vmap(push, in_axes=-1, out_axes=-1)(trace_tangent, factor_tangent)

    terms = differentiation.of(rule)
    explicit = explicit_trace_tangent(run.rates, fluctuations, weights, terms)
    fixed = jnp.zeros(len(terms), explicit.dtype)
    direct = change_tangent(explicit, fixed)
    if not differentiation.carry:
        zero = initial_tangents(state, rule, differentiation)
        moved = jnp.where(new.alive, direct, 0.0)
        return new, outcome, zero._replace(W=moved), OutcomeTangents(direct, direct, fixed, fixed)

    rates, shifts, after, filtered = state_tangents(state, tangents, episode, run, learner)
    if rule.trace.of_kicks:
        shifts = jnp.zeros_like(shifts)  # kicks are held fixed
    implicit = implicit_trace_tangent(
        run.rates, fluctuations, rates, shifts, rule.coefficients, weights
    )
    reward, factor, baseline = fixed, fixed, tangents.baseline
    if differentiation.rewards:
        reward, factor, baseline = _reward_tangents(
            state, tangents, episode, outcome, network, rule, learner, after
        )
    change = change_tangent(explicit + implicit, factor)
    moved = Tangents(tangents.W + change, filtered, baseline)
    # W stays when a network blows up, and so does its derivative.
    moved = jax.tree.map(lambda a, b: jnp.where(new.alive, a, b), moved, tangents)
    return new, outcome, moved, OutcomeTangents(change, direct, reward, factor)


def weight_change(trace: Weights, factor: Scalar, trial: Index, rule: ThreeFactor, learner):
    """The update of W as a function of trace and third factor; zero before the first update."""
    return due(rule.update(trace, factor), trial, learner)


def state_tangents(
    state: LearningState, tangents: Tangents, episode: Episode, run: Trajectory, learner: Learner
) -> tuple[Array, Array, Array, Array]:
    """ṙ_t and Δ̇_t, (T, N, P); ṙ after each step, (T, N, P); x̄̇ at the end, (N, P).

    Args:
        run: the trial that `learn_trial` simulated from ``state``.
    """
    dynamics, n_terms = learner.dynamics, tangents.W.shape[-1]
    ratio, n_units = dynamics.dt / dynamics.tau, state.W.shape[0]
    x = jnp.concatenate([episode.state[None], run.states])
    slopes = elementwise_derivative(dynamics.transfer, x)
    forcing = (run.rates @ tangents.W.reshape(n_units, -1)).reshape(-1, n_units, n_terms)
    units = jnp.asarray([unit for unit, _ in dynamics.clamped], int)

    def advance(carry, inputs):
        x, x_bar = carry
        slope, force = inputs
        r = slope[:, None] * x
        x = x + ratio * (state.W @ r - x + force)
        if dynamics.clamped:
            x = x.at[units].set(0.0)
        shift = x_bar - x
        return (x, x_bar - dynamics.gain * shift), (r, shift)

    zeros = jnp.zeros_like(tangents.filtered)
    start = (zeros, zeros if learner.reset_filter else tangents.filtered)
    (x, x_bar), (rates, shifts) = jax.lax.scan(advance, start, (slopes[:-1], forcing))
    after = jnp.concatenate([rates[1:], (slopes[-1][:, None] * x)[None]])
    return rates, shifts, after, x_bar


def explicit_trace_tangent(
    rates: Activity, fluctuations: Activity, weights: Series, terms: Terms
) -> Float[Array, "N N P"]:
    """Σ_t λ_t r_j^k Δ_i^ℓ at [j, i, p]: of the trace in its own coefficients, activity fixed."""
    n_units = rates.shape[1]
    ks, ells = (sorted(set(powers)) for powers in zip(*terms, strict=True))
    left = jnp.concatenate([rates**k for k in ks], axis=1)
    right = jnp.concatenate([weights[:, None] * fluctuations**ell for ell in ells], axis=1)
    table = (left.T @ right).reshape(len(ks), n_units, len(ells), n_units).transpose(1, 3, 0, 2)
    if terms == tuple(product(ks, ells)):
        return table.reshape(n_units, n_units, -1)
    return table[:, :, [ks.index(k) for k, _ in terms], [ells.index(ell) for _, ell in terms]]


def implicit_trace_tangent(
    rates: Activity,
    fluctuations: Activity,
    rate_tangents: Float[Array, "T N P"],
    fluctuation_tangents: Float[Array, "T N P"],
    coefficients: Coefficients,
    weights: Series,
) -> Float[Array, "N N P"]:
    """Σ_t λ_t (∂F/∂r ṙ_j + ∂F/∂Δ Δ̇_i) at [j, i, p]: of the trace through activity."""

    def half(inner, outer, theta, tangent):
        # Σ_t λ_t ∂F/∂(inner_n) · tangent_n at [n, p, m], with F = Σ θ_ab inner_n^a outer_m^b.
        powers = jnp.arange(1, theta.shape[0], dtype=theta.dtype)
        slopes = [polynomial(powers * theta[1:, b], inner) for b in range(theta.shape[1])]
        slopes = weights[:, None, None] * jnp.stack(slopes, axis=1)

        def of_unit(n):
            # One unit at a time: its T × N table of ∂F stays in the cache of the core.
            return tangent[:, n].T @ polynomial(slopes[:, :, n].T[..., None], outer)

        return jax.lax.map(of_unit, jnp.arange(inner.shape[1]))

    by_rate = half(rates, fluctuations, coefficients, rate_tangents)
    by_fluctuation = half(fluctuations, rates, coefficients.T, fluctuation_tangents)
    return by_rate.transpose(0, 2, 1) + by_fluctuation.transpose(2, 0, 1)


def _reward_tangents(state, tangents, episode, outcome, network, rule, learner, after):
    """Of reward and third factor, (P,), and of the baseline, (slots, P); ``after``: ṙ_{t+1}."""

    def evaluate(output, baseline):
        judged = evaluate_output(output, baseline, episode.trial, learner)
        return judged[1], rule.third_factor(*judged[1:3]), judged[3]

    def push(output, baseline):
        primals = (outcome.trajectory.output, state.baseline)
        return jax.jvp(evaluate, primals, (output, baseline))[1]

    output = jnp.einsum("...i,tip->t...p", network.W_out, after)
    return jax.vmap(push, in_axes=-1, out_axes=-1)(output, tangents.baseline)


def _check(state, tangents, episode, rule, learner, differentiation) -> None:
    """Raise the errors that `tangent_trial` documents."""
    n_terms = len(differentiation.of(rule))
    wanted = tuple((*a.shape, n_terms) for a in (state.W, state.filtered, state.baseline))
    given = tuple(a.shape for a in tangents)
    name = "tangents of W, x̄, R̄ have the shapes of the state and one entry a coefficient"
    require(given == wanted, f"{name}, {wanted}", given, "start from initial_tangents of this rule")
    fix = "hold rewards fixed, or use graded rewards that the learner computes"
    smooth = not differentiation.rewards or learner.reward == "graded"
    require(smooth, "rewards to be differentiated are graded", learner.reward, fix)
    own = not (differentiation.rewards and isinstance(rule.third_factor, Given))
    require(own, "rewards to be differentiated are the learner's own", "a third factor", fix)
    noise, fix = episode.weight_noise is not None, "explore by kicks, or use reverse mode"
    require(not noise, "tangents of weights without noise", "weight noise", fix)
