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

For rules of several pathways (`plasticity.rules.pathways`) p runs through the coefficients of all.
Tangents U^in and U^out of the other weights are carried alike and enter activity in two places,

    ẋ_{t+1} gains (dt/τ) U^in_p u_t,   ż_t = W_out ṙ_{t+1} + U^out_p r_{t+1},   ζ̇_t = z̄̇_t − ż_t
"""

from dataclasses import dataclass
from functools import partial
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
from plasticity.rules.base import Rule, Seen
from plasticity.rules.pathways import PATHWAYS, Pathways
from plasticity.rules.three_factor import Given, ThreeFactor
from plasticity.rules.time_constants import fluctuations_of
from plasticity.rules.trace import Polynomial, polynomial
from plasticity.types import Activity, Coefficients, Index, Scalar, Series, require

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
        """The terms, P of them, in a rule of that degree; of pathways those of each in turn.

        Raises:
            ValueError: a rule without coefficients, or a term beyond its degree.
        """
        check_polynomial(rule)
        if isinstance(rule, Pathways):
            fix = "leave terms out, or use a rule of W alone"
            require(self.terms is None, "all coefficients of Pathways", self.terms, fix)
            return tuple(term for one in rule.rules.values() for term in self.of(one))
        powers = range(rule.coefficients.shape[-1])
        terms = tuple(product(powers, powers)) if self.terms is None else self.terms
        beyond = [term for term in terms if max(term) not in powers]
        require(not beyond, f"0 ≤ k, ℓ ≤ d = {powers[-1]} of the rule", beyond, "raise the degree")
        return terms


def check_polynomial(rule: Rule) -> None:
    """Raise ValueError unless a rule, or each of `Pathways`, is a `ThreeFactor` of `Polynomial`."""
    if isinstance(rule, Pathways):
        for one in rule.rules.values():
            check_polynomial(one)
        return
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
        W_in: ∂W_in/∂θ_p at [c, i, p], (I, N, P), where the input is plastic, else None.
        W_out: ∂W_out/∂θ_p at [j, o, p], (N, O, P), where the readout is, else None.
    """

    W: Float[Array, "N N P"]
    filtered: Float[Array, "N P"]
    baseline: Float[Array, "slots P"]
    W_in: Float[Array, "I N P"] | None = None
    W_out: Float[Array, "N O P"] | None = None


class OutcomeTangents(NamedTuple):
    """Derivatives of an `Outcome`, indices as in `Tangents`.

    Attributes:
        change: of the update μ of W, total, (N, N, P).
        direct: of the update μ of W with W, x̄, R and R̄ held fixed, (N, N, P).
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
    return jax.tree.map(lambda a: jnp.zeros((*a.shape, n_terms), a.dtype), _differentiated(state))


def _differentiated(state: LearningState) -> Tangents:
    """What of a state has tangents, in their shapes but for the coefficients."""
    W_in = None if state.W_in is None else state.W_in.T
    W_out = None if state.W_out is None else state.W_out.reshape(-1, len(state.W)).T
    return Tangents(state.W.T, state.filtered, state.baseline, W_in, W_out)


class Synapses(NamedTuple):
    """Those of one pathway in one trial, with the derivatives of what they see.

    Attributes:
        rule: of the pathway.
        columns: which of the P coefficients are its own.
        trace, factor: of this trial, (N, M) and ().
        pre, post: what they see, (T, M) and (T, N).
        pre_tangent, post_tangent: derivatives of these, with P last; None where activity is fixed,
            and for inputs.
    """

    rule: ThreeFactor
    columns: slice
    trace: Float[Array, "N M"]
    factor: Scalar
    pre: Float[Array, "T M"]
    post: Activity
    pre_tangent: Float[Array, "T M P"] | None = None
    post_tangent: Float[Array, "T N P"] | None = None


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
        ValueError: a rule other than a `ThreeFactor` of `Polynomial`, or `Pathways` of such ones;
            tangents of another shape than the state's with the rule's terms, noise on the weights,
            binary rewards or a given third factor to be differentiated.
    """
    _check(state, tangents, episode, rule, learner, differentiation)
    new, outcome = learn_trial(state, episode, network, rule, learner)
    terms = differentiation.of(rule)
    each = synapses_of(rule, differentiation, outcome)
    fixed = jnp.zeros(len(terms), state.W.dtype)

    def changed(name, trace_tangent, factor_tangent) -> Float[Array, "M N P"]:
        return _change_tangent(each[name], trace_tangent, factor_tangent, state.trial, learner)

    of_own = partial(own_tangent, differentiation=differentiation, learner=learner, fixed=fixed)
    explicit = {name: of_own(one) for name, one in each.items()}
    direct = {name: changed(name, own, fixed) for name, own in explicit.items()}
    of_W = direct.get("W", jnp.zeros_like(tangents.W))
    if not differentiation.carry:
        moved = {name: jnp.where(new.alive, change, 0.0) for name, change in direct.items()}
        zero = initial_tangents(state, rule, differentiation)
        return new, outcome, zero._replace(**moved), OutcomeTangents(of_W, of_W, fixed, fixed)

    run = outcome.trajectory
    rates, shifts, after, filtered = state_tangents(state, tangents, episode, run, learner)
    outputs = output_tangents(outcome.seen, tangents, after)
    each = _with_activity(each, rates, shifts, after, outputs, outcome, tangents)
    reward, factors, baseline = fixed, dict.fromkeys(each, fixed), tangents.baseline
    if differentiation.rewards:
        reward, factors, baseline = _reward_tangents(
            state, tangents, episode, outcome, each, learner, outputs
        )
    changes = {}
    for name, one in each.items():
        weights = one.rule.trace.weights(len(one.post), learner.dynamics)
        seen = one.pre, one.post, one.pre_tangent, one.post_tangent
        implicit = implicit_trace_tangent(*seen, one.rule.coefficients, weights)
        changes[name] = changed(name, explicit[name] + implicit, factors[name])
    moved = {name: getattr(tangents, name) + change for name, change in changes.items()}
    moved = tangents._replace(filtered=filtered, baseline=baseline, **moved)
    # Weights stay when a network blows up, and so do their derivatives.
    moved = jax.tree.map(lambda a, b: jnp.where(new.alive, a, b), moved, tangents)
    of_outcome = OutcomeTangents(changes.get("W", of_W), of_W, reward, factors[next(iter(each))])
    return new, outcome, moved, of_outcome


def weight_change(trace: Array, factor: Scalar, trial: Index, rule: ThreeFactor, learner):
    """The update of W as a function of trace and third factor; zero before the first update."""
    return due(rule.update(trace, factor), trial, learner)


def synapses_of(
    rule: Rule, differentiation: Differentiation, outcome: Outcome
) -> dict[str, Synapses]:
    """Name of the weights → their synapses in a trial, with activity held fixed."""
    seen = outcome.seen
    if not isinstance(rule, Pathways):
        every = slice(0, len(differentiation.of(rule)))
        given = (outcome.trace, outcome.third_factor, seen.rates, rule.trace.postsynaptic(seen))
        return {"W": Synapses(rule, every, *given)}
    each, first = {}, 0
    for name, one in rule.rules.items():
        own, last = rule.seen(name, seen), first + len(differentiation.of(one))
        trace, factor = one.trace.form(own, ())[0], one.third_factor(own.reward, own.baseline)
        given = (trace, factor, own.rates, one.trace.postsynaptic(own))
        each[PATHWAYS[name]] = Synapses(one, slice(first, last), *given)
        first = last
    return each


def _with_activity(each, rates, shifts, after, outputs, outcome: Outcome, tangents: Tangents):
    """The synapses with the derivatives of activity: ṙ and Δ̇ of each step, ṙ after it, and ż."""
    kicked = jnp.zeros_like(shifts)  # kicks are held fixed
    moved = {}
    for name, one in each.items():
        post = kicked if one.rule.trace.of_kicks else shifts
        pre = {"W": rates, "W_in": None, "W_out": after}[name]
        if name == "W_out":
            post = output_fluctuation_tangents(outcome, tangents, outputs)
        moved[name] = one._replace(pre_tangent=pre, post_tangent=post)
    return moved


def own_tangent(one: Synapses, differentiation: Differentiation, learner: Learner, fixed):
    """Of their trace in the coefficients of their own rule, (M, N, P); ``fixed``: zeros, (P,)."""
    terms = differentiation.of(one.rule)
    weights = one.rule.trace.weights(len(one.post), learner.dynamics)
    tangent = explicit_trace_tangent(one.pre, one.post, weights, terms)
    if len(terms) == len(fixed):
        return tangent
    every = jnp.zeros((*tangent.shape[:2], len(fixed)), tangent.dtype)
    return every.at[..., one.columns].set(tangent)


def _change_tangent(one: Synapses, trace_tangent, factor_tangent, trial: Index, learner: Learner):
    """Of the update of these synapses, (M, N, P)."""

    # The update is one function of each synapse, so [j, i] serves it as well as [i, j].
    def change(trace, factor):
        return weight_change(trace, factor, trial, one.rule, learner)

    def push(*of_term):
        return jax.jvp(change, (one.trace.T, one.factor), of_term)[1]

    return jax.vmap(push, in_axes=-1, out_axes=-1)(trace_tangent, factor_tangent)


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
    forcing = run.rates @ tangents.W.reshape(n_units, -1)
    if tangents.W_in is not None:
        inputs = episode.trial.inputs
        forcing += inputs @ tangents.W_in.reshape(inputs.shape[1], -1)
    forcing = forcing.reshape(-1, n_units, n_terms)
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


def output_tangents(seen: Seen, tangents: Tangents, after) -> Float[Array, "T O P"]:
    """ż, from ṙ after each step and, where the readout is plastic, from U^out."""
    W_out = seen.W_out.reshape(-1, seen.W_out.shape[-1])
    output = jnp.einsum("oi,tip->top", W_out, after)
    if tangents.W_out is not None:
        rates = seen.dynamics.transfer(seen.states)
        output += jnp.einsum("ti,iop->top", rates, tangents.W_out)
    return output


def output_fluctuation_tangents(outcome: Outcome, tangents: Tangents, outputs):
    """ζ̇, (T, O, P), from ż; z̄ begins at the output of the first state, which is held fixed."""
    seen = outcome.seen
    first = jnp.einsum("i,iop->op", seen.dynamics.transfer(seen.state), tangents.W_out)
    flat = fluctuations_of(outputs.reshape(len(outputs), -1), first.ravel(), seen.dynamics.gain)
    return flat.reshape(outputs.shape)


def explicit_trace_tangent(
    rates: Float[Array, "T M"], fluctuations: Activity, weights: Series, terms: Terms
) -> Float[Array, "M N P"]:
    """Σ_t λ_t r_j^k Δ_i^ℓ at [j, i, p]: of the trace in its own coefficients, activity fixed."""
    sizes = rates.shape[1], fluctuations.shape[1]
    ks, ells = (sorted(set(powers)) for powers in zip(*terms, strict=True))
    left = jnp.concatenate([rates**k for k in ks], axis=1)
    right = jnp.concatenate([weights[:, None] * fluctuations**ell for ell in ells], axis=1)
    table = (left.T @ right).reshape(len(ks), sizes[0], len(ells), sizes[1]).transpose(1, 3, 0, 2)
    if terms == tuple(product(ks, ells)):
        return table.reshape(*sizes, -1)
    return table[:, :, [ks.index(k) for k, _ in terms], [ells.index(ell) for _, ell in terms]]


def implicit_trace_tangent(
    rates: Float[Array, "T M"],
    fluctuations: Activity,
    rate_tangents: Float[Array, "T M P"] | None,
    fluctuation_tangents: Float[Array, "T N P"],
    coefficients: Coefficients,
    weights: Series,
) -> Float[Array, "M N P"]:
    """Σ_t λ_t (∂F/∂r ṙ_j + ∂F/∂Δ Δ̇_i) at [j, i, p]: of the trace through activity.

    Args:
        rate_tangents: ṙ; None for rates that do not depend on the coefficients, such as inputs.
    """

    def half(inner, outer, theta, tangent):
        # Σ_t λ_t ∂F/∂(inner_n) · tangent_n at [n, p, m], with F = Σ θ_ab inner_n^a outer_m^b.
        powers = jnp.arange(1, theta.shape[0], dtype=theta.dtype)
        slopes = [polynomial(powers * theta[1:, b], inner) for b in range(theta.shape[1])]
        slopes = weights[:, None, None] * jnp.stack(slopes, axis=1)

        def of_unit(n):
            # One unit at a time: its T × N table of ∂F stays in the cache of the core.
            return tangent[:, n].T @ polynomial(slopes[:, :, n].T[..., None], outer)

        return jax.lax.map(of_unit, jnp.arange(inner.shape[1]))

    by_fluctuation = half(fluctuations, rates, coefficients.T, fluctuation_tangents)
    by_fluctuation = by_fluctuation.transpose(2, 0, 1)
    if rate_tangents is None:
        return by_fluctuation
    by_rate = half(rates, fluctuations, coefficients, rate_tangents)
    return by_rate.transpose(0, 2, 1) + by_fluctuation


def _reward_tangents(state, tangents, episode, outcome, each, learner, outputs):
    """Of the reward, (P,), the third factor of each pathway, (P,), and the baseline, (slots, P)."""

    def evaluate(output, baseline):
        judged = evaluate_output(output, baseline, episode.trial, learner)
        factors = {name: one.rule.third_factor(*judged[1:3]) for name, one in each.items()}
        return judged[1], factors, judged[3]

    def push(output, baseline):
        output = output.reshape(outcome.seen.output.shape)
        primals = (outcome.trajectory.output, state.baseline)
        return jax.jvp(evaluate, primals, (output, baseline))[1]

    return jax.vmap(push, in_axes=-1, out_axes=-1)(outputs, tangents.baseline)


def _check(state, tangents, episode, rule, learner, differentiation) -> None:
    """Raise the errors that `tangent_trial` documents."""
    n_terms, zero = len(differentiation.of(rule)), _differentiated(state)
    wanted = tuple((*a.shape, n_terms) for a in zero if a is not None)
    given = tuple(a.shape for a in tangents if a is not None)
    name = "tangents of W, x̄, R̄ have the shapes of the state and one entry a coefficient"
    require(given == wanted, f"{name}, {wanted}", given, "start from initial_tangents of this rule")
    fix = "hold rewards fixed, or use graded rewards that the learner computes"
    smooth = not differentiation.rewards or learner.reward == "graded"
    require(smooth, "rewards to be differentiated are graded", learner.reward, fix)
    factor = getattr(rule, "third_factor", None)
    own = not (differentiation.rewards and isinstance(factor, Given))
    require(own, "rewards to be differentiated are the learner's own", "a third factor", fix)
    noise, fix = episode.weight_noise is not None, "explore by kicks, or use reverse mode"
    require(not noise, "tangents of weights without noise", "weight noise", fix)
