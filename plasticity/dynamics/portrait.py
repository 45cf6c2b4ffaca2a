"""A trained network at its task, as a dynamical system: trials, points, and numbers for both.

Everything is in float64 and without kicks, so that the same weights give the same portrait. (Ours.)
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from scipy.spatial.distance import pdist

from plasticity.dynamics.alignment import (
    input_sensitivity,
    leading_schur_vectors,
    linear_cka,
    modes,
    overlap,
    participation_ratio,
)
from plasticity.dynamics.fixed_points import Search, find_fixed_points
from plasticity.dynamics.points import Points, distinct_points, draw_starts
from plasticity.dynamics.spectrum import (
    gains,
    henrici_index,
    henrici_ratio,
    jacobian,
    numerical_abscissa,
    stability,
)
from plasticity.learning.reward import trial_error
from plasticity.learning.trial import Learner
from plasticity.model.network import Network, make_network, simulate_trial
from plasticity.model.tasks import Task
from plasticity.types import Scalar, require

# Names of the numbers; the last kind needs fixed points.
ACTIVITY_MEASURES = (
    "error",
    "weight change",
    "representational change",
    "participation ratio",
    "separation",
)
TRIAL_MEASURES = (
    *ACTIVITY_MEASURES,
    "spectral abscissa, trial",
    "Henrici ratio, trial",
    "numerical abscissa, trial",
)
_COUNTS = ("fixed points", "stable points", "slow points", "distance")
_AT_POINT = (
    "unstable modes",
    "spectral abscissa",
    "frequency",
    "Henrici index",
    "Henrici ratio",
    "numerical abscissa",
    "W_out, right vector",
    "W_out, left vector",
    "W_out, Schur vectors",
    "W_out φ′, right vector",
    "W_out φ′, left vector",
    "W_out φ′, Schur vectors",
    "input sensitivity",
    "output sensitivity",
)
POINT_MEASURES = _COUNTS + _AT_POINT

_STRIDE = 10  # steps between the moments at which spectra are taken along a trial


class Trials(NamedTuple):
    """Trials without kicks: C conditions times repeats, in order of condition.

    Attributes:
        states: x after every step, (M, T, N).
        outputs: z, (M, T).
        errors: mean |z − z*| in the response window, (M,).
        conditions: (M,).
    """

    states: Float[np.ndarray, "M T N"]
    outputs: Float[np.ndarray, "M T"]
    errors: Float[np.ndarray, "M"]
    conditions: Int[np.ndarray, "M"]


class Portrait(NamedTuple):
    """What was found in a network.

    Attributes:
        trials: without kicks.
        inputs: the constant inputs that points are sought under, (U, I).
        search: from all starts under each.
        fixed, slow: distinct points under each.
        operating: the fixed point nearest to where the trials of each condition end, under the
            input they end with, (C, N); NaN where the search found none.
        distance: how far from it they end, as a share of ‖x‖ there, (C,).
    """

    trials: Trials
    inputs: Float[np.ndarray, "U I"]
    search: Search
    fixed: tuple[Points, ...]
    slow: tuple[Points, ...]
    operating: Float[np.ndarray, "C N"]
    distance: Float[np.ndarray, "C"]


def unperturbed_trials(
    network: Network, task: Task, learner: Learner, *, seed: int, repeats: int = 4
) -> Trials:
    """Trials of every condition without kicks, each from another initial state.

    Raises:
        ValueError: a network whose inputs are not those of the task, clamped units (the flow of a
            network does not know them), repeats < 1.
    """
    given = trial_arguments(network, task, learner, seed, repeats)
    with jax.enable_x64(True):
        arrays = _trials(*given, learner)
        return Trials(*(np.asarray(a) for a in arrays), np.asarray(given[1], int))


def trial_arguments(
    network: Network, task: Task, learner: Learner, seed: int, repeats: int
) -> tuple:
    """Keys, conditions, network and task of such trials, in float64; errors as there."""
    network = make_network(*network)
    n_inputs = network.W_in.shape[1]
    rule = f"a network of {task.n_inputs} inputs for this task"
    require(n_inputs == task.n_inputs, rule, n_inputs, "give W_in one column a channel of the task")
    clamped = learner.dynamics.clamped
    require(not clamped, "no clamped units", clamped, "choose a setting without them")
    require(repeats >= 1, "repeats ≥ 1", repeats, "give 1 or more")

    def cast(a):
        a = np.asarray(a)
        return jnp.asarray(a if a.dtype == bool else a.astype(float))

    with jax.enable_x64(True):
        network, task = (jax.tree.map(cast, tree) for tree in (network, task))
        return *_draws(task, seed, repeats), network, task


def _draws(task: Task, seed: int, repeats: int) -> tuple[Key[Array, "M"], Int[Array, "M"]]:
    """Keys and conditions of such trials."""
    conditions = jnp.repeat(jnp.arange(task.n_conditions, dtype=jnp.int32), repeats)
    return jax.random.split(jax.random.key(seed), len(conditions)), conditions


def quiet_error(
    network: Network, task: Task, learner: Learner, *, seed: int, repeats: int = 4
) -> Scalar:
    """Mean error of `unperturbed_trials`, as a function that can be traced; no input is checked."""
    return _trials(*_draws(task, seed, repeats), network, task, learner)[2].mean()


def outputs_of_trials(keys, conditions, network, task, learner) -> Float[Array, "M T"]:
    """Outputs of trials without kicks, as a function that can be differentiated."""
    return _trials(keys, conditions, network, task, learner)[1]


@partial(jax.jit, static_argnames="learner")
def _trials(keys, conditions, network, task, learner):
    n = network.W.shape[0]

    def one(key, condition):
        noise, start = jax.random.split(key)
        trial = task.draw(noise, condition)
        x = jax.random.uniform(start, (n,), jnp.float32, -1.0, 1.0).astype(float)
        x = learner.initial_state * x
        still = jnp.zeros((task.n_steps, n))
        run = simulate_trial(network, trial.inputs, still, x, x, learner.dynamics)
        return run.states, run.output, trial_error(run.output, trial)

    return jax.vmap(one)(keys, conditions)


def held_inputs(task: Task) -> Float[np.ndarray, "U I"]:
    """The distinct mean inputs that the task's conditions show, in order of appearance."""
    shown = np.asarray(task.inputs, float).reshape(-1, task.n_inputs)
    _, first = np.unique(shown, axis=0, return_index=True)
    return shown[np.sort(first)]


def draw_portrait(
    network: Network, task: Task, learner: Learner, *, n_starts: int = 200, seed: int = 0
) -> Portrait:
    """Trials, fixed points and slow points of a network under every constant input of its task.

    Raises:
        ValueError: as `unperturbed_trials`, `plasticity.dynamics.points.draw_starts` and
            `plasticity.dynamics.fixed_points.find_fixed_points`.
    """
    trials = unperturbed_trials(network, task, learner, seed=seed)
    inputs = held_inputs(task)
    n = trials.states.shape[-1]
    starts = draw_starts(trials.states.reshape(-1, n), n_starts, seed=seed)
    search = find_fixed_points(network, inputs, starts, transfer=learner.dynamics.transfer)
    ends = zip(search.x, search.residual, search.converged, search.slow, strict=True)
    points = [
        (distinct_points(x, residual, root), distinct_points(x, residual, slow))
        for x, residual, root, slow in ends
    ]
    fixed, slow = (tuple(kind) for kind in zip(*points, strict=True))
    operating = np.full((task.n_conditions, n), np.nan)
    distance = np.full(task.n_conditions, np.nan)
    ends = _ends(trials)
    for c in range(task.n_conditions):
        shown = np.asarray(task.inputs, float)[c, -1]
        roots = fixed[int(np.flatnonzero((inputs == shown).all(axis=1))[0])].x
        if len(roots):
            gaps = np.linalg.norm(roots - ends[c], axis=1)
            operating[c] = roots[gaps.argmin()]
            distance[c] = gaps.min() / np.linalg.norm(ends[c])
    return Portrait(trials, inputs, search, fixed, slow, operating, distance)


def _ends(trials: Trials) -> Float[np.ndarray, "C N"]:
    """Where the trials of each condition end, on average."""
    last = trials.states[:, -1]
    return np.stack(
        [last[trials.conditions == c].mean(axis=0) for c in np.unique(trials.conditions)]
    )


def activity_measures(
    network: Network, trials: Trials, before: tuple[Network, Trials]
) -> dict[str, float]:
    """Numbers from weights and activity; ``before`` is the network as it was before it learned.

    Returns:
        The measures `ACTIVITY_MEASURES` by name.
    """
    W, W0 = (np.asarray(a.W, float) for a in (network, before[0]))
    states, states0 = (t.states.reshape(-1, len(W)) for t in (trials, before[1]))
    ends = trials.states[:, -1]
    numbers = (
        trials.errors.mean(),
        np.linalg.norm(W - W0) / np.linalg.norm(W0),
        1 - linear_cka(states, states0),
        participation_ratio(states),
        pdist(_ends(trials)).mean() / np.linalg.norm(ends, axis=1).mean(),
    )
    return {name: float(v) for name, v in zip(ACTIVITY_MEASURES, numbers, strict=True)}


def trial_measures(
    network: Network, trials: Trials, learner: Learner, before: tuple[Network, Trials]
) -> dict[str, float]:
    """Numbers from trials alone: `activity_measures`, and spectra.

    Spectra are means over every tenth step of one trial a condition, where the network is rather
    than where it would rest.

    Returns:
        The measures `TRIAL_MEASURES` by name.
    """
    first = np.unique(trials.conditions, return_index=True)[1]
    states = trials.states[first, ::_STRIDE].reshape(-1, trials.states.shape[-1])
    J = _jacobians(np.asarray(network.W, float), states, learner.dynamics.transfer)
    spectra = (
        stability(J, learner.dynamics).abscissa.mean(),
        henrici_ratio(J).mean(),
        numerical_abscissa(J).mean(),
    )
    names = TRIAL_MEASURES[len(ACTIVITY_MEASURES) :]
    numbers = activity_measures(network, trials, before)
    return numbers | {name: float(v) for name, v in zip(names, spectra, strict=True)}


def point_measures(
    network: Network, portrait: Portrait, learner: Learner, *, n_schur: int = 5
) -> dict[str, float]:
    """Numbers about a portrait's fixed points; NaN where a search found none.

    Counts are means over the constant inputs; all else is taken at the operating points and
    averaged over conditions. Sensitivities are NaN, too, where J is singular.

    Args:
        portrait: of this network, from `draw_portrait`.
        n_schur: how many leading Schur vectors the readout is held against.

    Returns:
        The measures `POINT_MEASURES` by name.
    """
    W, W_in, W_out = (np.asarray(a, float) for a in network)
    dynamics, transfer = learner.dynamics, learner.dynamics.transfer
    calm = [
        stability(_jacobians(W, p.x, transfer), dynamics).stable_map.sum() if len(p.x) else 0
        for p in portrait.fixed
    ]
    counts = (
        np.mean([len(p.x) for p in portrait.fixed]),
        np.mean(calm),
        np.mean([len(p.x) for p in portrait.slow]),
        np.mean(portrait.distance),
    )
    each = [_at_point(W, W_in, W_out, x, dynamics, n_schur) for x in portrait.operating]
    numbers = (*counts, *np.mean(each, axis=0))
    return {name: float(v) for name, v in zip(POINT_MEASURES, numbers, strict=True)}


def _jacobians(W, x, transfer):
    return jacobian(np.broadcast_to(W, (len(x), *W.shape)), x, transfer)


def _at_point(W, W_in, W_out, x, dynamics, n_schur) -> tuple:
    if not np.isfinite(x).all():
        return (np.nan,) * len(_AT_POINT)
    slopes = gains(x, dynamics.transfer)
    J = jacobian(W, x, dynamics.transfer)
    linear, J_modes = stability(J, dynamics), modes(J)
    schur = leading_schur_vectors(J, n_schur)
    felt = slopes * W_out
    try:
        p = input_sensitivity(J, W_in, slopes)
        sensed, read = np.sqrt(np.mean(p.states**2)), np.linalg.norm(W_out @ p.rates)
    except ValueError:
        sensed, read = np.nan, np.nan
    return (
        (linear.eigenvalues.real > 0).sum(),
        linear.abscissa,
        linear.frequencies[0],
        henrici_index(J),
        henrici_ratio(J),
        numerical_abscissa(J),
        overlap(W_out, J_modes.right[:, :1])[0],
        overlap(W_out, J_modes.left[:, :1])[0],
        np.linalg.norm(overlap(W_out, schur)),
        overlap(felt, J_modes.right[:, :1])[0],
        overlap(felt, J_modes.left[:, :1])[0],
        np.linalg.norm(overlap(felt, schur)),
        sensed,
        read,
    )
