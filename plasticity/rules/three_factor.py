"""Three-factor rules: the coefficients of a trace, and the change of weights it makes.

    ΔW_ij = clip(η e_ij (R − R̄), ±c)                                (equation 3 of the paper)

The clip is Miconi's (2017). With Δ = x̄ − x a negative θ_kℓ of odd k and odd ℓ is Hebbian: it
joins a presynaptic rate with a postsynaptic rise.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from plasticity.types import Coefficients, Flag, Scalar, Weights, is_traced, require


class Rule(NamedTuple):
    """A plasticity rule; leading axes of the leaves make a batch of rules.

    Attributes:
        coefficients: θ, (d+1, d+1), row k the power of the presynaptic rate, column ℓ that of Δ.
        learning_rate: η.
        tau_e: decay time of the trace, ms; infinite for none.
        clip: largest change of a weight in a trial; infinite for none.
        true_kick: whether −kick_i takes the place of Δ_i in the trace (node perturbation).
    """

    coefficients: Coefficients
    learning_rate: Scalar
    tau_e: Scalar
    clip: Scalar
    true_kick: Flag


def make_rule(
    coefficients,
    *,
    learning_rate=0.01,
    tau_e=1000.0,
    clip=np.inf,
    true_kick: bool = False,
) -> Rule:
    """A rule of arbitrary coefficients; arrays of learning rates (…) make a batch of rules.

    The defaults of η, τ_e (ms) and the clip are ours.

    Raises:
        ValueError: coefficients not square or not finite, a learning rate < 0 or not finite,
            τ_e ≤ 0, clip ≤ 0.
    """
    theta = jnp.asarray(coefficients, float)
    square = theta.ndim >= 2 and theta.shape[-1] == theta.shape[-2]
    fix = "row k and column ℓ run from 0 to d"
    require(square, "coefficients are square (d+1, d+1)", theta.shape, fix)
    numbers = tuple(jnp.asarray(a, float) for a in (learning_rate, tau_e, clip))
    eta, tau, cap = numbers
    if not is_traced(theta, eta, tau, cap):
        finite = bool(jnp.isfinite(theta).all())
        require(finite, "coefficients are finite", "some that are not", "mend them")
        rates = bool((jnp.isfinite(eta) & (eta >= 0)).all())
        require(rates, "learning_rate ≥ 0 and finite", learning_rate, "flip signs in θ, not in η")
        require(bool((tau > 0).all()), "tau_e > 0 ms", tau_e, "use inf for no decay")
        require(bool((cap > 0).all()), "clip > 0", clip, "use inf for no clip")
    batch = jnp.broadcast_shapes(theta.shape[:-2], *(a.shape for a in numbers))
    theta = jnp.broadcast_to(theta, batch + theta.shape[-2:])
    flag = jnp.full(batch, true_kick)
    return Rule(theta, *(jnp.broadcast_to(a, batch) for a in numbers), flag)


def single_term(k: int, ell: int, value: float = -1.0, *, degree: int = 5, **options) -> Rule:
    """The rule θ_kℓ = value, all else zero; ``options`` as in `make_rule`.

    Raises:
        ValueError: k or ℓ outside 0 … degree.
    """
    inside = 0 <= k <= degree and 0 <= ell <= degree
    require(inside, f"0 ≤ k, ℓ ≤ degree = {degree}", (k, ell), "raise the degree")
    theta = np.zeros((degree + 1, degree + 1))
    theta[k, ell] = value
    return make_rule(theta, **options)


def zero(*, degree: int = 5, **options) -> Rule:
    """The rule that learns nothing: θ = 0."""
    return single_term(0, 0, 0.0, degree=degree, **options)


def miconi(**options) -> Rule:
    """θ_33 = −1: the supralinear Hebbian rule of Miconi (eLife 2017;6:e20899)."""
    return single_term(3, 3, **options)


def covariance(**options) -> Rule:
    """θ_11 = −1: presynaptic rate times postsynaptic fluctuation, the first-order rule."""
    return single_term(1, 1, **options)


def node_perturbation(*, degree: int = 1, **options) -> Rule:
    """r_j · kick_i: the trace of a rule that is told the kicks (Fiete & Seung 2006).

    A reference, not a local rule: no synapse can tell its kick from the rest of its input.
    """
    return single_term(1, 1, degree=degree, true_kick=True, **options)


def three_factor_update(trace: Weights, error: Scalar, rule: Rule) -> Weights:
    """clip(η e (R − R̄), ±c) for the reward prediction error ``error`` (equation 3)."""
    change = rule.learning_rate * error * trace
    return jnp.clip(change, -rule.clip, rule.clip)
