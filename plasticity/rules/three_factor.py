"""Three-factor rules: a trace, a third factor, and a bound on the change of weights they make.

    ΔW_ij = bound(η e_ij (R − R̄))                       (the paper's update; the bound is ours)

The parts are values that are composed. With Δ = x̄ − x a negative θ_kℓ of odd k and odd ℓ is
Hebbian: it joins a presynaptic rate with a postsynaptic rise. (An earlier public draft of the
paper's author, OpenReview KkOMqJQiWU, reads positive as Hebbian: for odd ℓ the other way round.)
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from plasticity.model.network import Dynamics, Network
from plasticity.model.tasks import Task
from plasticity.rules.base import _ONE_RULE, Change, Seen, check_part, specialise
from plasticity.rules.trace import Polynomial, Trace
from plasticity.types import Leaf, Matrix, Scalar, is_traced, is_whole, require
from plasticity.values import Value

# A larger θ is more likely of a wrong shape; terms beyond are lost in float32. (Ours.)
MAX_DEGREE = 9


class Clip(NamedTuple):
    """No weight changes by more than c in a trial: ±c at most (Miconi 2017).

    Attributes:
        limit: c; infinite for no bound, ().
    """

    limit: Leaf = np.inf

    def __call__(self, change: Matrix) -> Matrix:
        """The change, cut at ±c."""
        return jnp.clip(change, -self.limit, self.limit)


class SoftBound(NamedTuple):
    """c · tanh(change / c): a bound with a derivative everywhere. (Ours.)

    Attributes:
        limit: c, finite, ().
    """

    limit: Leaf

    def __call__(self, change: Matrix) -> Matrix:
        """The change, bent towards ±c."""
        return self.limit * jnp.tanh(change / self.limit)


@jax.tree_util.register_static
@dataclass(frozen=True)
class PredictionError:
    """R − R̄, the third factor of the paper."""

    told = frozenset({"reward", "baseline"})

    def __call__(self, reward: Scalar, baseline: Scalar) -> Scalar:
        """R − R̄."""
        return reward - baseline


@jax.tree_util.register_static
@dataclass(frozen=True)
class ScaledPredictionError:
    """−R̄ (R − R̄): the prediction error times the mean error so far (Miconi 2017)."""

    told = frozenset({"reward", "baseline"})

    def __call__(self, reward: Scalar, baseline: Scalar) -> Scalar:
        """−R̄ (R − R̄)."""
        return -baseline * (reward - baseline)


class Given(NamedTuple):
    """A number that takes the place of the third factor: a yoked control, or a factor held fixed.

    Attributes:
        value: ().
    """

    value: Leaf
    told = frozenset()

    def __call__(self, reward: Scalar, baseline: Scalar) -> Scalar:
        """The number."""
        return jnp.asarray(self.value, jnp.result_type(reward))


@runtime_checkable
class ThirdFactor(Protocol):
    """What multiplies the trace: a function of reward and baseline."""

    told: frozenset[str]

    def __call__(self, reward: Scalar, baseline: Scalar) -> Scalar:
        """The factor."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ThreeFactor(Value):
    """ΔW = bound(η · trace · third factor); `plasticity.rules.base.stack` joins several.

    Told: what trace and third factor are told. Cost: that of the trace.

    Attributes:
        trace: what a synapse remembers of the trial, as in `plasticity.rules.trace.Trace`.
        learning_rate: η, in the inverse of the trace's unit, ().
        bound: `Clip` or `SoftBound`.
        third_factor: `PredictionError`, `ScaledPredictionError` or `Given`.
    """

    trace: Any
    learning_rate: Leaf
    bound: Any = Clip()
    third_factor: Any = PredictionError()

    @property
    def told(self) -> frozenset[str]:
        """What the trace and the third factor are told."""
        return self.trace.told | self.third_factor.told

    def start(self, network: Network, task: Task) -> Any:
        """What the trace remembers from trial to trial."""
        return self.trace.start(network, task)

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """ΔW, and what the trace remembers."""
        trace, memory = self.trace.form(seen, memory)
        factor = self.third_factor(seen.reward, seen.baseline)
        return Change(self.update(trace, factor), None, trace, factor), memory

    def update(self, trace: Matrix, factor: Scalar) -> Matrix:
        """bound(η e · third factor): the paper's update with a bound of ours."""
        return self.bound(self.learning_rate * factor * trace)

    @property
    def parameters(self):
        """What the outer loop learns: the parameters of the trace."""
        return self.trace.parameters

    def with_parameters(self, parameters) -> "ThreeFactor":
        """The rule with other parameters of its trace."""
        return replace(self, trace=self.trace.with_parameters(parameters))

    @property
    def coefficients(self) -> Leaf:
        """θ of a polynomial trace, (d+1, d+1)."""
        return self.trace.coefficients

    @property
    def tau_e(self) -> Leaf:
        """Decay time of the trace, ms; infinite for none, ()."""
        return self.trace.tau_e

    @property
    def clip(self) -> Leaf:
        """Largest change of a weight in a trial; infinite for none, ()."""
        return self.bound.limit

    def replace(self, **changes) -> "ThreeFactor":
        """The rule with other parts, ``coefficients``, ``tau_e`` or ``clip``, the bound's limit."""
        rule = self
        if "clip" in changes:
            rule = replace(rule, bound=rule.bound._replace(limit=changes.pop("clip")))
        if "coefficients" in changes:
            rule = rule.with_parameters(changes.pop("coefficients"))
        if "tau_e" in changes:
            rule = replace(rule, trace=replace(rule.trace, tau_e=changes.pop("tau_e")))
        return replace(rule, **changes)

    def specialised(self) -> "ThreeFactor":
        """The rule whose trace leaves out what its concrete values make zero."""
        return replace(self, trace=specialise(self.trace))

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise ValueError for a trace that does not fit."""
        check_part(self.trace, n_units, task, dynamics)


def make_rule(
    coefficients,
    *,
    learning_rate=0.01,
    tau_e=1000.0,
    clip=None,
    bound: Clip | SoftBound | None = None,
    third_factor: ThirdFactor | None = None,
    onset: float = 0.0,
    plain_sum: bool = False,
    of_kicks: bool = False,
) -> ThreeFactor:
    """The three-factor rule whose trace is the polynomial of coefficients θ, (d+1, d+1).

    The defaults of η, τ_e (ms) and the bound (none) are ours.

    Args:
        learning_rate: η, 1/ms (no unit if the trace is a plain sum).
        clip: the limit of a `Clip`; or give a ``bound``.
        bound, third_factor: as in `ThreeFactor`; by default no bound, and R − R̄.
        coefficients, tau_e, onset, plain_sum, of_kicks: as in `plasticity.rules.trace.Polynomial`.

    Raises:
        ValueError: coefficients not square or not finite, a degree above 9, more than one rule (use
            `stack`), a learning rate < 0 or not finite, τ_e ≤ 0, a bound ≤ 0, a clip and a bound.
    """
    theta = jnp.asarray(coefficients, float)
    require(theta.ndim <= 2, "make_rule makes one rule", f"θ of shape {theta.shape}", _ONE_RULE)
    square = theta.ndim == 2 and theta.shape[0] == theta.shape[1]
    fix = "let row k and column ℓ run from 0 to d"
    require(square, "coefficients are square (d+1, d+1)", theta.shape, fix)
    degree, fix = theta.shape[0] - 1, "leave out the higher powers"
    require(degree <= MAX_DEGREE, f"degree d ≤ {MAX_DEGREE}", degree, fix)
    if not is_traced(theta):
        bad = int(theta.size - jnp.isfinite(theta).sum())
        fix = "give every coefficient a finite value, 0 for a term left out"
        require(bad == 0, "coefficients are finite", f"{bad} that are not", fix)
    tau = checked_number("tau_e", tau_e)
    accumulated = {"tau_e": tau, "onset": onset, "plain_sum": plain_sum}
    trace = Polynomial(coefficients=theta, of_kicks=of_kicks, **accumulated)
    composed = {"clip": clip, "bound": bound, "third_factor": third_factor}
    return compose(trace, learning_rate=learning_rate, **composed)


def compose(
    trace: Trace,
    *,
    learning_rate=0.01,
    clip=None,
    bound: Clip | SoftBound | None = None,
    third_factor: ThirdFactor | None = None,
) -> ThreeFactor:
    """The three-factor rule of any trace, its numbers checked; arguments as in `make_rule`."""
    return ThreeFactor(
        trace=trace,
        learning_rate=checked_rate(learning_rate),
        bound=checked_bound(clip, bound),
        third_factor=PredictionError() if third_factor is None else third_factor,
    )


def checked_bound(clip=None, bound: Clip | SoftBound | None = None) -> Clip | SoftBound:
    """The bound, or a `Clip` of this limit, with its limit as an array; no bound for neither.

    Raises:
        ValueError: both, a limit ≤ 0 or NaN, a soft bound that is infinite.
    """
    both = clip is not None and bound is not None
    require(not both, "a clip or a bound", (clip, bound), "give one of them")
    bound = Clip(np.inf if clip is None else clip) if bound is None else bound
    limit = checked_number("clip", bound.limit)
    infinite = not is_traced(limit) and bool(jnp.isinf(limit))
    fine = not (isinstance(bound, SoftBound) and infinite)
    require(fine, "a soft bound is finite", "inf", "use Clip() for no bound")
    return bound._replace(limit=limit)


def checked_number(name: str, value) -> Scalar:
    """A positive number, finite or not, as an array ().

    Raises:
        ValueError: several numbers, or one ≤ 0 or NaN.
    """
    shape = np.shape(value)
    require(shape == (), "make_rule makes one rule", f"{name} of shape {shape}", _ONE_RULE)
    number = jnp.asarray(value, float)
    if not is_traced(number):
        require(float(number) > 0, f"{name} > 0", value, "use inf for none")
    return number


def checked_rate(learning_rate) -> Scalar:
    """A learning rate as an array ().

    Raises:
        ValueError: several, or one < 0 or not finite.
    """
    shape = np.shape(learning_rate)
    value = f"learning_rate of shape {shape}"
    require(shape == (), "make_rule makes one rule", value, _ONE_RULE)
    rate = jnp.asarray(learning_rate, float)
    if not is_traced(rate):
        fix = "for the opposite rule change the signs of θ and keep η ≥ 0"
        fine = 0 <= float(rate) < np.inf
        require(fine, "learning_rate ≥ 0 and finite", learning_rate, fix)
    return rate


def single_term(k: int, ell: int, value: float = -1.0, *, degree: int = 5, **options):
    """The rule θ_kℓ = value, all else zero; ``options`` as in `make_rule`.

    Raises:
        ValueError: k or ℓ outside 0 … degree, or one of the three no whole number.
    """
    inside = is_whole(k, ell, degree) and 0 <= k <= degree and 0 <= ell <= degree
    require(inside, f"whole numbers 0 ≤ k, ℓ ≤ degree = {degree}", (k, ell), "raise the degree")
    shape = np.shape(value)
    require(shape == (), "a single term has one value", f"values of shape {shape}", _ONE_RULE)
    theta = np.zeros((degree + 1, degree + 1))
    theta[k, ell] = value
    return make_rule(theta, **options)


def zero(*, degree: int = 5, **options) -> ThreeFactor:
    """The rule that learns nothing: θ = 0."""
    return single_term(0, 0, 0.0, degree=degree, **options)


def miconi(**options) -> ThreeFactor:
    """θ_33 = −1: the supralinear Hebbian rule of Miconi (eLife 2017;6:e20899)."""
    return single_term(3, 3, **options)


def covariance(**options) -> ThreeFactor:
    """θ_11 = −1: presynaptic rate times postsynaptic fluctuation, the first-order rule."""
    return single_term(1, 1, **options)


def node_perturbation(**options) -> ThreeFactor:
    """Σ_t λ_t r_j · kick_i: the trace of a rule that is told the kicks (Fiete & Seung 2006).

    A reference, not a local rule: no synapse can tell its kick from the rest of its input.
    """
    return single_term(1, 1, degree=1, of_kicks=True, **options)
