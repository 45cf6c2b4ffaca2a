"""The recurrent rate network and one trial of its dynamics.

    x_{t+1} = x_t + (dt/τ)(−x_t + W r_t + W_in u_t) + kick_t,   r_t = φ(x_t)
    Δ_t     = x̄_t − x_{t+1},   x̄_{t+1} = x̄_t + a (x_{t+1} − x̄_t)
    z_t     = W_out · φ(x_{t+1})

(the paper's dynamics, by Euler's method; the filter of x̄ and the kicks are ours).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from plasticity.files import load_arrays, save_arrays
from plasticity.types import (
    Activity,
    PRNGKey,
    Units,
    Weights,
    is_traced,
    require,
    require_count,
)
from plasticity.values import Value, equal, short_repr, unequal

READOUTS = ("random", "unit", "undriven unit")


class Network(NamedTuple):
    """Weights of a network; leading axes make a batch of networks.

    Attributes:
        W: recurrent weights, (N, N); W_ij leads from unit j to unit i.
        W_in: input weights, (N, I).
        W_out: readout, (N,), or (O, N) for O outputs.
    """

    W: Weights
    W_in: Float[Array, "N I"]
    W_out: Float[Array, "*O N"]

    __eq__, __ne__, __repr__ = equal, unequal, short_repr


@jax.tree_util.register_static
@dataclass(frozen=True, kw_only=True)
class Dynamics(Value):
    """What turns weights and inputs into activity.

    Attributes:
        dt: time step, ms.
        tau: time constant τ of the units, ms.
        filter_gain: a in (0, 1], the step of the filter x̄; None takes 1 − exp(−dt/tau_filter).
        tau_filter: time constant τ_x of the filter, ms (ours); unused when ``filter_gain`` is set.
        transfer: φ; tanh, or the identity for linear tests.
        clamped: pairs (unit, value): x of that unit is set to the value after each step.
        clamp_start: whether it is set in the initial state too.

    Raises:
        ValueError: dt ≤ 0, τ ≤ 0, dt > τ, τ_x ≤ 0, a outside (0, 1].
    """

    dt: float = 10.0
    tau: float = 30.0
    tau_filter: float = 20.0
    filter_gain: float | None = None
    transfer: Callable[[jax.Array], jax.Array] = jnp.tanh
    clamped: tuple[tuple[int, float], ...] = ()
    clamp_start: bool = True

    def __post_init__(self) -> None:
        require(0 < self.dt < np.inf, "dt > 0 ms", self.dt, "give a positive time step")
        require(self.tau > 0, "tau > 0 ms", self.tau, "give a positive time constant")
        value = f"dt = {self.dt}, tau = {self.tau}"
        require(self.dt <= self.tau, "dt ≤ tau (ms)", value, "use a smaller dt")
        require(
            self.tau_filter > 0,
            "tau_filter > 0 ms",
            self.tau_filter,
            "give a positive time constant",
        )
        require(
            0 < self.gain <= 1,
            "0 < filter_gain ≤ 1",
            self.gain,
            "use None for 1 − exp(−dt/tau_filter)",
        )

    @property
    def gain(self) -> float:
        """a, the step of the filter x̄."""
        if self.filter_gain is not None:
            return self.filter_gain
        return 1.0 - float(np.exp(-self.dt / self.tau_filter))

    def clamp(self, x: Units) -> Units:
        """x (N,) with the clamped units at their values."""
        if not self.clamped:
            return x
        units, values = zip(*self.clamped, strict=True)
        return x.at[jnp.asarray(units)].set(jnp.asarray(values, x.dtype))


class Trajectory(NamedTuple):
    """Activity of one trial.

    Attributes:
        rates: presynaptic rates r_t before each step, (T, N).
        fluctuations: Δ_t = x̄_t − x_{t+1}, (T, N).
        output: z_t after each step, (T,) or (T, O).
        states: x_{t+1}, after each step, (T, N).
        filtered: x̄_T, (N,).
    """

    rates: Activity
    fluctuations: Activity
    output: Float[Array, "T *O"]
    states: Activity
    filtered: Units


def make_network(W, W_in, W_out) -> Network:
    """A network of these weights, checked; leading axes make a batch of networks.

    Raises:
        ValueError: arrays of text or complex numbers, W not square, shapes that disagree, entries
            that are not finite.
    """
    for name, weights in zip(Network._fields, (W, W_in, W_out), strict=True):
        dtype = getattr(weights, "dtype", np.dtype(float))
        real = any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, bool))
        require(real, f"{name} holds real numbers", f"type {dtype}", "convert it yourself")
    network = Network(*(jnp.asarray(a, float) for a in (W, W_in, W_out)))
    shape = network.W.shape
    square = len(shape) >= 2 and shape[-1] == shape[-2]
    require(square, "W is square (N, N)", shape, "give one row and one column a unit")
    shapes = (network.W_in.shape[:-1], network.W_out.shape)
    several = network.W_out.ndim == len(shape)
    of_readout = shapes[1][:-2] + shapes[1][-1:] if several else shapes[1]
    agree = shapes[0] == of_readout == shape[:-1]
    require(
        agree,
        f"W_in (N, I) and W_out (N,) or (O, N) have N = {shape[-1]}",
        shapes,
        "give both one entry a unit of W",
    )
    for name, weights in zip(network._fields, network, strict=True):
        if not is_traced(weights):
            bad = int(weights.size - jnp.isfinite(weights).sum())
            fix = "give a finite number for each"
            require(bad == 0, f"{name} is finite", f"{bad} entries that are not", fix)
    return network


def random_network(
    key: PRNGKey,
    n_units: int,
    n_inputs: int,
    *,
    gain: float = 1.5,
    readout: str = "random",
    n_outputs: int | None = None,
) -> Network:
    """W ~ N(0, g²/N) with self-connections (Sompolinsky et al. 1988), W_in ~ U(−1, 1).

    ``readout="random"`` gives W_out ~ N(0, 1/N) (ours); ``"unit"`` reads the rate of unit 0, or of
    the first O units for O outputs, and ``"undriven unit"`` is the same with no input to those that
    are read (Miconi 2017). Without ``n_outputs`` the readout has no axis of outputs. The same key
    gives the same network in float32 and float64.

    Raises:
        ValueError: N < 1, I < 1, g < 0, or an unknown readout.
    """
    check_random(n_units, n_inputs, gain, readout)
    recurrent, inward, outward = jax.random.split(key, 3)
    scale = n_units**-0.5
    W = gain * scale * jax.random.normal(recurrent, (n_units, n_units), jnp.float32).astype(float)
    W_in = jax.random.uniform(inward, (n_units, n_inputs), jnp.float32, -1.0, 1.0).astype(float)
    shape = (n_units,) if n_outputs is None else (n_outputs, n_units)
    W_out = scale * jax.random.normal(outward, shape, jnp.float32).astype(float)
    if readout != "random":
        read = 1 if n_outputs is None else n_outputs
        W_out = jnp.eye(read, n_units).reshape(shape)
        W_in = W_in.at[:read].set(0.0) if readout == "undriven unit" else W_in
    return Network(W, W_in, W_out)


def check_random(n_units: int, n_inputs: int, gain: float, readout: str) -> None:
    """Raise the errors that `random_network` documents."""
    require_count("n_units", n_units)
    require_count("n_inputs", n_inputs)
    require(0 <= gain < np.inf, "gain ≥ 0 and finite", gain, "give a gain ≥ 0")
    known = readout in READOUTS
    require(known, f"a readout of {', '.join(READOUTS)}", readout, "choose one of them")


def simulate_trial(
    network: Network,
    inputs: Float[Array, "T I"],
    kicks: Activity,
    state: Units,
    filtered: Units,
    dynamics: Dynamics,
) -> Trajectory:
    """One trial of the dynamics, from x_0 = ``state`` and x̄_0 = ``filtered``.

        x_{t+1} = x_t + (dt/τ)(−x_t + W φ(x_t) + W_in u_t) + kick_t,   Δ_t = x̄_t − x_{t+1}

    Nothing N × N changes within the trial. Source: the paper's dynamics, discretised by us.

    Args:
        inputs: u, (T, I).
        kicks: added to x in each step, (T, N).
        state, filtered: x and x̄ before the first step, (N,).
    """
    step = dynamics.dt / dynamics.tau
    drive = step * (inputs @ network.W_in.T) + kicks

    def advance(carry, drive_t):
        x, x_bar = carry
        r = dynamics.transfer(x)
        x = dynamics.clamp(x + step * (network.W @ r - x) + drive_t)
        fluctuation = x_bar - x
        return (x, x_bar - dynamics.gain * fluctuation), (r, fluctuation, x)

    (x, x_bar), (rates, fluctuations, states) = jax.lax.scan(advance, (state, filtered), drive)
    after = jnp.concatenate([rates[1:], dynamics.transfer(x)[None]])
    return Trajectory(rates, fluctuations, after @ network.W_out.T, states, x_bar)


def elementwise_derivative(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """f′(x) of a function that acts on every element alone, such as φ; of x's shape."""
    return jax.jvp(function, (x,), (jnp.ones_like(x),))[1]


def save_network(path: str | os.PathLike, network: Network) -> None:
    """Write a network (or a batch) to one ``.npz`` file; an earlier file is replaced only whole."""
    arrays = make_network(*network)._asdict()
    save_arrays(path, {name: np.asarray(weights) for name, weights in arrays.items()})


def load_network(path: str | os.PathLike) -> Network:
    """Read a network written by `save_network`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a file that is no whole ``.npz``, a missing array, weights that are no real
            numbers, shapes that disagree, entries that are not finite.
    """
    rule = f"a network file is a .npz of {', '.join(Network._fields)}"
    fix = "restore it, or write it with `save_network`"
    arrays = load_arrays(path, rule, fix)
    missing = sorted(set(Network._fields) - set(arrays))
    require(not missing, rule, f"{path} without {', '.join(missing)}", fix)
    try:
        return make_network(*(arrays[name] for name in Network._fields))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
