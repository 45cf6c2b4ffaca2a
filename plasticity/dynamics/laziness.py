"""Lazy or rich: how far learning has taken a network from what it was before.

*Lazy* learning hardly changes the representation or the gradient of the output, and the network
acts like its own linearisation; *rich* learning changes both (Liu et al., arXiv 2310.08513). All in
float64, one network at a time.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from plasticity.dynamics.portrait import outputs_of_trials, trial_arguments
from plasticity.learning.trial import Learner
from plasticity.model.network import Network
from plasticity.model.tasks import Task
from plasticity.types import require

Kernel = Float[np.ndarray, "M M"]


def representation_alignment(
    first: Float[np.ndarray, "M N1"], second: Float[np.ndarray, "M2 N2"]
) -> float:
    """Tr(K L) / (‖K‖_F ‖L‖_F), K = X Xᵀ and L = Y Yᵀ of two representations of M moments.

    1 if they are the same up to rotation and scale. Not centred, as in Liu et al.; centred it is
    `plasticity.dynamics.alignment.linear_cka`.

    Raises:
        ValueError: other moments in one than in the other, or one that is zero.
    """
    X, Y = (np.asarray(a, float) for a in (first, second))
    fix = "give the same M moments of both"
    require(len(X) == len(Y), "as many rows in both", (len(X), len(Y)), fix)
    return kernel_alignment(X @ X.T, Y @ Y.T)


def kernel_alignment(first: Kernel, second: Float[np.ndarray, "M2 M2"]) -> float:
    """Tr(K L) / (‖K‖_F ‖L‖_F) of two symmetric kernels: 1 if they are the same up to scale.

    Raises:
        ValueError: kernels that are not symmetric, of different sizes, or zero.
    """
    K, L = (np.asarray(a, float) for a in (first, second))
    require(K.shape == L.shape, "kernels of one size", (K.shape, L.shape), "take the same trials")
    for kernel in (K, L):
        even = kernel.ndim == 2 and np.allclose(kernel, kernel.T)
        require(even, "a symmetric kernel", kernel.shape, "give X Xᵀ")
    sizes = np.linalg.norm(K) * np.linalg.norm(L)
    require(bool(sizes > 0), "kernels other than zero", 0.0, "give one that is not")
    return float(np.sum(K * L) / sizes)


def tangent_kernel(
    network: Network, task: Task, learner: Learner, *, seed: int, repeats: int = 4
) -> Kernel:
    """K_ab = Σ_ij ∂z_a/∂W_ij ∂z_b/∂W_ij of trials a and b without kicks (Liu et al.), (M, M).

    z is the mean output in the response window (ours). The trials are those of
    `plasticity.dynamics.portrait.unperturbed_trials` with the same seed and repeats.

    Raises:
        ValueError: as there.
    """
    given = trial_arguments(network, task, learner, seed, repeats)
    with jax.enable_x64(True):
        gradients = np.asarray(_output_gradients(given[2].W, *given, learner))
    rows = gradients.reshape(len(gradients), -1)
    return rows @ rows.T


@partial(jax.jit, static_argnames="learner")
@jax.jacrev
def _output_gradients(W, keys, conditions, network, task, learner) -> Float[jax.Array, "M"]:
    """z of each trial, (M,), which becomes ∂z/∂W, (M, N, N)."""
    moved = network._replace(W=W)
    outputs = outputs_of_trials(keys, conditions, moved, task, learner)
    window = jnp.asarray(task.response, float)
    return outputs @ window / window.sum()


def effective_rank(change: Float[np.ndarray, "N1 N2"]) -> float:
    """exp(−Σ p log p), p the singular values over their sum (Roy & Vetterli, EUSIPCO 2007).

    From 1 to min(N1, N2): r for r equal singular values.

    Raises:
        ValueError: a change of zero.
    """
    values = np.linalg.svd(np.asarray(change, float), compute_uv=False)
    require(bool(values.sum() > 0), "a change other than zero", 0.0, "take a network that learned")
    shares = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def output_alignment(readout: Float[np.ndarray, "N"], activity: Float[np.ndarray, "M N"]) -> float:
    """ρ = ‖X w‖ / (‖X‖_F ‖w‖), X the activity less its mean (Schuessler et al., eLife 93060).

    Large where the leading activity is what is read out (*aligned*), small where the output is a
    small part of it (*oblique*); about 1/√N for a random readout, at most 1.

    Raises:
        ValueError: activity that does not vary, or a readout of zero.
    """
    X, w = np.asarray(activity, float), np.asarray(readout, float)
    X = X - X.mean(axis=0)
    sizes = np.linalg.norm(X) * np.linalg.norm(w)
    require(bool(sizes > 0), "activity that varies, a readout other than zero", 0.0, "give such")
    return float(np.linalg.norm(X @ w) / sizes)
