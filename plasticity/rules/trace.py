"""The eligibility trace: a polynomial of presynaptic rate and postsynaptic fluctuation.

    e_ij = Σ_t λ_t Σ_{k,ℓ ≤ d} θ_kℓ r_{j,t}^k Δ_{i,t}^ℓ,   λ_t = dt (1 − dt/τ_e)^{T−1−t}

is the end of the trial of de_ij/dt = Σ θ_kℓ r_j^k (x̄_i − x_i)^ℓ − e_ij/τ_e (equation 2 of the
paper). It is needed only there, so nothing N × N is carried through time: with the polynomials
p_ℓ(r) = Σ_k θ_kℓ r^k it is Σ_ℓ (λ Δ^ℓ)ᵀ p_ℓ(r), one matrix product of inner length T·d.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from plasticity.types import Activity, Coefficients, Series, Weights, is_traced, require


def decay_weights(
    n_steps: int, dt: float, tau_e, *, onset: float = 0.0, plain_sum: bool = False
) -> Series:
    """λ_t, shape (T,), ms: the weight with which step t enters the trace at the end of the trial.

    Args:
        tau_e: decay time of the trace, ms; infinite for none.
        onset: time before which nothing is accumulated, ms.
        plain_sum: 1 in place of dt and decay (Miconi 2017).

    Raises:
        ValueError: tau_e < dt.
    """
    if not is_traced(tau_e):
        shortest = float(np.asarray(tau_e).min())
        value = f"dt = {dt}, tau_e = {shortest}"
        require(dt <= shortest, "dt ≤ tau_e (ms)", value, "lengthen tau_e or shorten dt")
    steps = jnp.arange(n_steps).astype(float)
    weights = jnp.ones(n_steps) if plain_sum else dt * (1.0 - dt / tau_e) ** (n_steps - 1 - steps)
    return jnp.where(steps * dt >= onset, weights, 0.0)


def active_powers(coefficients: Float[Array, "*batch d1 d1"]) -> tuple[int, ...]:
    """Powers ℓ of the fluctuation that some coefficient uses; all of them while traced.

    A rule of one term costs one product of inner length T in place of d.
    """
    degrees = range(coefficients.shape[-1])
    if is_traced(coefficients):
        return tuple(degrees)
    used = np.asarray(coefficients).reshape(-1, len(degrees)).any(axis=0)
    return tuple(ell for ell in degrees if used[ell])


def polynomial(coefficients: Float[Array, "d1 *ones"], x: Activity) -> Activity:
    """Σ_k c_k x^k by Horner's scheme; each c_k broadcasts against x."""
    if not len(coefficients):
        return jnp.zeros_like(x)
    total = jnp.broadcast_to(coefficients[-1], x.shape)
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def eligibility_trace(
    rates: Activity,
    fluctuations: Activity,
    coefficients: Coefficients,
    weights: Series,
    powers: tuple[int, ...] | None = None,
) -> Weights:
    """The trace e at the end of one trial, (N postsynaptic, N presynaptic), in ms.

        e_ij = Σ_t λ_t Σ_kℓ θ_kℓ r_{j,t}^k Δ_{i,t}^ℓ                     (equation 2 of the paper)

    Args:
        rates: r, (T, N).
        fluctuations: Δ = x̄ − x, (T, N).
        coefficients: θ, (d+1, d+1), row k the power of r, column ℓ that of Δ.
        weights: λ, (T,), from `decay_weights`.
        powers: the ℓ to include; by default those of `active_powers`.
    """
    powers = active_powers(coefficients) if powers is None else powers
    left, right, constant = [], [], jnp.zeros(rates.shape[1], rates.dtype)
    for ell in powers:
        presynaptic = polynomial(coefficients[:, ell], rates)
        if ell == 0:
            constant = weights @ presynaptic
        else:
            left.append(weights[:, None] * fluctuations**ell)
            right.append(presynaptic)
    if not left:
        return jnp.broadcast_to(constant, (constant.size, constant.size))
    return jnp.concatenate(left).T @ jnp.concatenate(right) + constant[None]


def term_scale(rates: Activity, fluctuations: Activity, degree: int) -> Coefficients:
    """Root mean square of r_j^k Δ_i^ℓ over synapses and steps of a trial, (d+1, d+1).

    θ_kℓ times it is what a term contributes to the trace, so coefficients compare in these units.
    (Ours.)
    """
    powers = range(0, 2 * degree + 1, 2)
    presynaptic = jnp.stack([jnp.mean(rates**k, axis=1) for k in powers])
    postsynaptic = jnp.stack([jnp.mean(fluctuations**ell, axis=1) for ell in powers])
    return jnp.sqrt(presynaptic @ postsynaptic.T / rates.shape[0])
