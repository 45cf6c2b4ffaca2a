"""Cognitive tasks: what a trial shows the network and what it asks for.

A task is a finite set of conditions. Each has a mean input and a target for every time step; the
channels may carry fresh white noise on every trial. Values of durations and noise are ours unless
a preset says otherwise.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from plasticity.types import Index, PRNGKey, Scalar, is_traced, is_whole, require
from plasticity.values import equal, short_repr, unequal


class Trial(NamedTuple):
    """One trial: inputs u (T, I), target z* (T,) or (T, O), response (T,), index of condition."""

    inputs: Float[Array, "T I"]
    target: Float[Array, "T *O"]
    response: Bool[Array, "T"]
    condition: Index


class Task(NamedTuple):
    """A task of C conditions, T steps of ``dt`` ms and I input channels.

    A task of your own is five arrays; `check_task`, which a `Setting` calls, says if they disagree.
    A sixth holds what has one sign in one trial and the other in the next.

    Attributes:
        inputs: mean inputs, (C, T, I).
        targets: target output z*, (C, T), or (C, T, O) for O outputs.
        response: the steps on which the output is judged, (T,).
        noise: standard deviation of the noise of one step on each channel, (T, I): for noise of
            strength s (per √ms) it is s/√dt while the channel is on.
        dt: time step, ms.
        flipped: inputs that are added with a sign ±1 drawn anew in each trial, (C, T, I), or None.
    """

    inputs: Float[Array, "C T I"]
    targets: Float[Array, "C T *O"]
    response: Bool[Array, "T"]
    noise: Float[Array, "T I"]
    dt: float
    flipped: Float[Array, "C T I"] | None = None

    __eq__, __ne__, __repr__ = equal, unequal, short_repr

    @property
    def n_conditions(self) -> int:
        """C."""
        return self.inputs.shape[0]

    @property
    def n_steps(self) -> int:
        """T."""
        return self.inputs.shape[1]

    @property
    def n_inputs(self) -> int:
        """I."""
        return self.inputs.shape[2]

    @property
    def n_outputs(self) -> int | None:
        """O, or None if targets have no axis of outputs."""
        return None if self.targets.ndim == 2 else self.targets.shape[2]

    def draw(self, key: PRNGKey, condition: Index) -> Trial:
        """A trial of ``condition``: u = mean ± flipped + noise · ξ, ξ ~ N(0, 1) on every step."""
        xi = jax.random.normal(key, self.noise.shape, jnp.float32).astype(self.noise.dtype)
        inputs = self.inputs[condition] + self.noise * xi
        if self.flipped is not None:
            # A key of its own, so that tasks without a sign keep their draws.
            coin = jax.random.randint(jax.random.fold_in(key, 1), (), 0, 2, jnp.int32)
            sign = (2 * coin - 1).astype(inputs.dtype)
            inputs = inputs + sign * self.flipped[condition]
        return Trial(inputs, self.targets[condition], self.response, condition)


def mean_error(
    output: Float[Array, "T *O"], target: Float[Array, "T *O"], response: Bool[Array, "T"]
) -> Scalar:
    """Mean |z_t − z*_t| over the steps judged, and over outputs if there are several."""
    gaps = jnp.abs(output - target)
    if gaps.ndim > 1:
        gaps = gaps.mean(axis=1)
    window = response.astype(gaps.dtype)
    return jnp.sum(window * gaps) / jnp.sum(window)


def check_task(task: Task) -> None:
    """Raise ValueError unless the arrays of a task agree, are finite and judge some step."""
    shape = np.shape(task.inputs)
    require(len(shape) == 3, "inputs (C, T, I)", shape, "give one mean input a condition")
    C, T, n_inputs = shape
    wanted = {"targets": (C, T), "response": (T,), "noise": (T, n_inputs)}
    given = {name: np.shape(getattr(task, name)) for name in wanted}
    if len(given["targets"]) == 3:
        given["targets"] = given["targets"][:2]  # of several outputs
    fix = "match C conditions, T steps and I channels of the inputs"
    if task.flipped is not None:
        wanted, given = wanted | {"flipped": shape}, given | {"flipped": np.shape(task.flipped)}
    require(given == wanted, f"a task of inputs {shape} has {wanted}", given, fix)
    require(0 < float(task.dt) < np.inf, "dt > 0 ms", task.dt, "give a positive time step")
    if not is_traced(*task):
        arrays = jax.tree.leaves((task.inputs, task.targets, task.noise, task.flipped))
        finite = all(bool(np.isfinite(a).all()) for a in arrays)
        fine = finite and bool((np.asarray(task.noise) >= 0).all())
        rule = "inputs, targets and noise finite, noise ≥ 0"
        require(fine, rule, "other values", "check the arrays of the task")
        judged = int(np.sum(task.response))
        require(judged > 0, "the output is judged in some step", judged, "mark it in response")


def _check_times(dt: float, **times: float) -> None:
    """Raise ValueError unless each of ``times`` (ms) is a whole number of steps of ``dt``."""
    require(0 < dt < np.inf, "dt > 0 ms", dt, "give a positive time step")
    for name, time in times.items():
        fix = f"give a finite {name} ≥ 0"
        require(0 <= time < np.inf, f"{name} ≥ 0 ms", time, fix)
        # Room for rounding: 0.3 / 0.1 is not 3.
        whole = abs(time - round(time / dt) * dt) <= 1e-6 * time
        value, fix = f"{time} ms at dt = {dt} ms", "give a multiple of dt, or another dt"
        require(whole, f"{name} is a whole number of steps", value, fix)


def _window(name: str, start: float, duration: float, dt: float, total: float) -> np.ndarray:
    """Steps of [start, start + duration) ms in a trial of ``total`` ms."""
    require(duration > 0, f"{name} duration > 0 ms", duration, "give a positive duration")
    inside = start >= 0 and start + duration <= total + 1e-9
    span = f"{start} to {start + duration} ms in a trial of {total} ms"
    require(inside, f"the {name} window lies inside the trial", span, "lengthen the trial")
    steps = np.arange(round(total / dt))
    first, last = round(start / dt), round((start + duration) / dt)
    return (steps >= first) & (steps < last)


def _task(inputs: np.ndarray, signs: np.ndarray, amplitude: float, response, noise, dt) -> Task:
    """Assemble a task whose target is ``amplitude · signs[c]`` throughout condition c."""
    finite = bool(np.isfinite(inputs).all() and np.isfinite(noise).all() and (noise >= 0).all())
    require(finite, "inputs finite and noise ≥ 0", "other values", "check amplitudes and noise")
    require(0 < amplitude < np.inf, "target > 0", amplitude, "give the size of the target")
    targets = amplitude * np.repeat(signs[:, None].astype(float), inputs.shape[1], axis=1)
    arrays = (jnp.asarray(a, float) for a in (inputs, targets))
    return Task(*arrays, jnp.asarray(response), jnp.asarray(noise, float), float(dt))


def delayed_association(
    *,
    dt: float = 10.0,
    cue: float = 200.0,
    delay: float = 400.0,
    response: float = 400.0,
    amplitude: float = 1.0,
    target: float = 1.0,
    noise: float = 0.0,
) -> Task:
    """Two cues, each on its own channel; after the delay the output is to be +target or −target.

        channel 0 or 1   ███·······
        response         ······████

    Times in ms, noise in √ms (strength of the white noise on both channels throughout). C = I = 2.

    Raises:
        ValueError: a duration, dt, target or noise outside its range, or a duration that dt does
            not divide.
    """
    _check_times(dt, cue=cue, delay=delay, response=response)
    total = cue + delay + response
    n_steps = round(total / dt)
    inputs = np.zeros((2, n_steps, 2))
    shown = _window("cue", 0.0, cue, dt, total)
    for condition in range(2):
        inputs[condition, shown, condition] = amplitude
    window = _window("response", cue + delay, response, dt, total)
    sd = np.full((n_steps, 2), noise / np.sqrt(dt))
    return _task(inputs, np.array([1, -1]), target, window, sd, dt)


def delayed_nonmatch_to_sample(
    *,
    dt: float = 1.0,
    onset: float = 0.0,
    sample: float = 200.0,
    delay: float = 200.0,
    test: float = 200.0,
    response: float = 200.0,
    duration: float = 1000.0,
    amplitude: float = 1.0,
    target: float = 0.98,
    noise: float = 0.0,
) -> Task:
    """Two stimuli A or B with a delay between; +target if they differ, −target if they match.

        channel 0 or 1   ██··██····
        response         ········██

    Conditions AA, AB, BA, BB on two channels; the response window ends the trial. The defaults
    are those of Miconi (eLife 2017;6:e20899) but for the single steps by which his stimuli start
    late and end late. Times in ms, noise in √ms. C = 4, I = 2.

    Raises:
        ValueError: a duration, dt, target or noise outside its range, a duration or onset that dt
            does not divide, or a window outside the trial.
    """
    windows = {"onset": onset, "sample": sample, "delay": delay, "test": test}
    _check_times(dt, **windows, response=response, duration=duration)
    n_steps = round(duration / dt)
    inputs = np.zeros((4, n_steps, 2))
    first = _window("sample", onset, sample, dt, duration)
    second = _window("test", onset + sample + delay, test, dt, duration)
    for condition in range(4):
        inputs[condition, first, condition // 2] = amplitude
        inputs[condition, second, condition % 2] = amplitude
    window = _window("response", duration - response, response, dt, duration)
    sd = np.full((n_steps, 2), noise / np.sqrt(dt))
    return _task(inputs, np.array([-1, 1, 1, -1]), target, window, sd, dt)


def context_dependent_integration(
    *,
    dt: float = 10.0,
    stimulus: float = 500.0,
    response: float = 200.0,
    coherence: float = 0.25,
    noise: float = 0.5,
    context: float = 1.0,
    target: float = 1.0,
    onset: float = 0.0,
    irrelevant_drawn: bool = False,
) -> Task:
    """Two noisy stimuli of either sign; a context cue says whose sign to report.

        channels 0, 1    ▒▒▒▒▒▒▒···
        channel 2 or 3   ██████████
        response         ·······███

    Channels 0 and 1 carry ±coherence with noise during the stimulus, channels 2 and 3 the context
    throughout (Mante et al. 2013, in the form of Miconi 2017). C = 8 (two signs and the context),
    I = 4. Times in ms, noise in √ms; the values are ours.

    Args:
        onset: of the stimulus; the response window follows ``stimulus`` ms after time 0.
        irrelevant_drawn: draw the sign of the other stimulus in each trial, as Miconi does, so that
            C = 4: sign to report and context, in his order.

    Raises:
        ValueError: a duration, dt, target or noise outside its range, a duration or onset that dt
            does not divide, or a window outside the trial.
    """
    _check_times(dt, onset=onset, stimulus=stimulus, response=response)
    total = stimulus + response
    n_steps = round(total / dt)
    shown = _window("stimulus", onset, stimulus, dt, total)
    cases = np.array([(a, b, c) for c in (0, 1) for a in (1, -1) for b in (1, -1)])
    if irrelevant_drawn:
        cases = np.array([(1, 0, 0), (0, 1, 1), (-1, 0, 0), (0, -1, 1)])
    every = np.arange(len(cases))
    inputs = np.zeros((len(cases), n_steps, 4))
    inputs[:, shown, :2] = coherence * cases[:, None, :2]
    inputs[every, :, 2 + cases[:, 2]] = context
    sd = np.zeros((n_steps, 4))
    sd[shown, :2] = noise / np.sqrt(dt)
    signs = cases[every, cases[:, 2]]
    window = _window("response", stimulus, response, dt, total)
    task = _task(inputs, signs, target, window, sd, dt)
    if not irrelevant_drawn:
        return task
    other = np.zeros_like(inputs)
    other[:, shown, :2] = coherence * (cases[:, None, :2] == 0)
    return task._replace(flipped=jnp.asarray(other, float))


def evidence_integration(
    *,
    dt: float = 10.0,
    stimulus: float = 600.0,
    response: float = 200.0,
    coherences: tuple[float, ...] = (0.25, 0.5),
    noise: float = 0.5,
    target: float = 1.0,
) -> Task:
    """Two noisy channels of opposite mean ±coherence; report the sign of the first.

        channels 0, 1    ▒▒▒▒▒▒▒▒··
        response         ········██

    C = 2 · len(coherences), I = 2. Times in ms, noise in √ms; the values are ours.

    Raises:
        ValueError: a duration, dt, target or noise outside its range, a duration that dt does not
            divide, or no positive coherence.
    """
    _check_times(dt, stimulus=stimulus, response=response)
    total = stimulus + response
    n_steps = round(total / dt)
    levels = np.asarray(coherences, float)
    fix = "give at least one coherence > 0"
    require(levels.size > 0 and bool((levels > 0).all()), "coherences > 0", coherences, fix)
    shown = _window("stimulus", 0.0, stimulus, dt, total)
    evidence = np.concatenate([levels, -levels])
    inputs = np.zeros((evidence.size, n_steps, 2))
    inputs[:, shown] = evidence[:, None, None] * np.array([1.0, -1.0])
    sd = np.zeros((n_steps, 2))
    sd[shown] = noise / np.sqrt(dt)
    window = _window("response", stimulus, response, dt, total)
    return _task(inputs, np.sign(evidence), target, window, sd, dt)


def delayed_paired_association(
    *,
    dt: float = 10.0,
    sample: float = 1000.0,
    delay: float = 1000.0,
    test: float = 1000.0,
    wait: float = 1000.0,
    response: float = 500.0,
    amplitude: float = 1.0,
    target: float = 1.0,
    noise: float = 0.0,
) -> Task:
    """One of two stimuli, and later one of two others; +target if they are a pair, −target if not.

        channel 0 or 1   ██········
        channel 2 or 3   ····██····
        response         ·········█

    Stimuli 1 and 3 are a pair, and 2 and 4 (Zhang et al., eLife 2019;8:e43191, with the durations
    and pairs of neurogym 2.3.1); an output of −target in place of none is ours. Conditions (1, 3),
    (1, 4), (2, 3), (2, 4). Times in ms, noise in √ms. C = I = 4.

    Raises:
        ValueError: a duration, dt, target or noise outside its range, or a duration that dt does
            not divide.
    """
    windows = {"sample": sample, "delay": delay, "test": test, "wait": wait}
    _check_times(dt, **windows, response=response)
    total = sum(windows.values()) + response
    n_steps = round(total / dt)
    inputs = np.zeros((4, n_steps, 4))
    first = _window("sample", 0.0, sample, dt, total)
    second = _window("test", sample + delay, test, dt, total)
    for condition in range(4):
        inputs[condition, first, condition // 2] = amplitude
        inputs[condition, second, 2 + condition % 2] = amplitude
    window = _window("response", total - response, response, dt, total)
    sd = np.full((n_steps, 4), noise / np.sqrt(dt))
    return _task(inputs, np.array([1, -1, -1, 1]), target, window, sd, dt)


def parametric_working_memory(
    *,
    dt: float = 10.0,
    onset: float = 500.0,
    stimulus: float = 500.0,
    delay: float = 1000.0,
    response: float = 100.0,
    pairs: tuple[tuple[float | int, float | int], ...] = (
        (18, 10),
        (22, 14),
        (26, 18),
        (30, 22),
        (34, 26),
    ),
    noise: float = 1.0,
    target: float = 1.0,
) -> Task:
    """Two stimuli of different strength with a delay between; +target if the first is stronger.

        channel 0        ···▒▒▒······▒▒▒·
        response         ···············█

    A strength f enters as (1 + (f − least)/(largest − least))/2, so between ½ and 1, with noise
    while it is shown (Romo et al., Nature 1999;399:470; pairs, code and durations of neurogym
    2.3.1); no other cue (ours). Conditions: every pair, and then every pair in the other order.
    Times in ms, noise in √ms. C = 2 · pairs, I = 1.

    Raises:
        ValueError: a duration, dt, target or noise outside its range, a duration or onset that dt
            does not divide, no pairs, or a pair of equal strengths.
    """
    _check_times(dt, onset=onset, stimulus=stimulus, delay=delay, response=response)
    values = np.asarray(pairs, float)
    fix = "give pairs (f₁, f₂) that differ"
    fine = values.ndim == 2 and values.shape[1] == 2 and bool((values[:, 0] != values[:, 1]).all())
    require(fine and bool(np.isfinite(values).all()), "pairs of two strengths", pairs, fix)
    values = np.concatenate([values, values[:, ::-1]])
    entered = (1 + (values - values.min()) / np.ptp(values)) / 2
    total = onset + 2 * stimulus + delay + response
    n_steps = round(total / dt)
    inputs, sd = np.zeros((len(values), n_steps, 1)), np.zeros((n_steps, 1))
    for number, start in enumerate((onset, onset + stimulus + delay)):
        shown = _window("stimulus", start, stimulus, dt, total)
        inputs[:, shown, 0] = entered[:, number, None]
        sd[shown] = noise / np.sqrt(dt)
    window = _window("response", total - response, response, dt, total)
    return _task(inputs, np.sign(values[:, 0] - values[:, 1]), target, window, sd, dt)


def multisensory_integration(
    *,
    dt: float = 10.0,
    onset: float = 750.0,
    stimulus: float = 1000.0,
    response: float = 500.0,
    rates: tuple[float | int, ...] = (9, 10, 11, 12, 13, 14, 15, 16),
    boundary: float = 12.5,
    noise: float = 1.9,
    target: float = 1.0,
) -> Task:
    """A rate of events that is seen, heard, or both; +target if it is above a boundary.

        channels 0, 1    ···▒▒▒▒▒▒···      seen: rising and falling with the rate
        channels 2, 3    ···▒▒▒▒▒▒···      heard
        response         ·········███

    A rate f enters as (1 ± f / (2 · boundary))/2 (Raposo et al., Nat. Neurosci. 2014;17:1784, as in
    the code of Song et al., eLife 2017;6:e21492, whose noise is √3.6 √ms); no other cue, and noise
    on both senses while either is used (ours). Conditions: seen, heard, both, each at every rate.
    Times in ms, noise in √ms, rates in Hz. C = 3 · rates, I = 4.

    Raises:
        ValueError: a duration, dt, target or noise outside its range, a duration or onset that dt
            does not divide, no rates, or one at the boundary or outside (0, 2 · boundary).
    """
    _check_times(dt, onset=onset, stimulus=stimulus, response=response)
    f = np.asarray(rates, float)
    inside = f.size > 0 and bool(((f > 0) & (f < 2 * boundary) & (f != boundary)).all())
    fix = "choose rates on both sides of the boundary"
    require(inside, f"rates in (0, {2 * boundary:g}) Hz but {boundary:g}", rates, fix)
    total = onset + stimulus + response
    n_steps = round(total / dt)
    shown = _window("stimulus", onset, stimulus, dt, total)
    senses = np.array([(1, 0), (0, 1), (1, 1)])
    entered = (1 + np.stack([f, -f], axis=-1) / (2 * boundary)) / 2
    values = np.einsum("ms,fp->mfsp", senses, entered).reshape(-1, 4)
    inputs, sd = np.zeros((len(values), n_steps, 4)), np.zeros((n_steps, 4))
    inputs[:, shown] = values[:, None]
    sd[shown] = noise / np.sqrt(dt)
    window = _window("response", total - response, response, dt, total)
    return _task(inputs, np.tile(np.sign(f - boundary), 3), target, window, sd, dt)


def go_nogo(
    *,
    dt: float = 10.0,
    stimulus: float = 500.0,
    delay: float = 500.0,
    response: float = 500.0,
    amplitude: float = 1.0,
    target: float = 1.0,
    noise: float = 0.0,
) -> Task:
    """Two cues; after the delay the output is to be at the target for one, and at 0 for the other.

        channel 0 or 1   ███······
        response         ······███

    Durations as in neurogym 2.3.1. A silent output errs by the target in half of the trials: let
    `Learner.correct_below` be half of it. Times in ms, noise in √ms. C = I = 2.

    Raises:
        ValueError: a duration, dt, target or noise outside its range, or a duration that dt does
            not divide.
    """
    times = {"cue": stimulus, "delay": delay, "response": response}
    options = {"dt": dt, "amplitude": amplitude, "target": target, "noise": noise}
    task = delayed_association(**times, **options)
    return task._replace(targets=jnp.maximum(task.targets, 0.0))


def delayed_reach(
    *,
    dt: float = 10.0,
    stimulus: float = 500.0,
    delay: float = 1000.0,
    response: float = 500.0,
    n_directions: int = 8,
    amplitude: float = 1.0,
    target: float = 1.0,
    noise: float = 0.0,
) -> Task:
    """A direction is shown; after the delay two outputs are to point there.

        channels 0, 1    ███·········      cos and sin of the direction
        response         ·········███

    Durations as in neurogym 2.3.1, where delays are 0, 1000 or 2000 ms; two outputs in place of one
    angle are ours. Times in ms, noise in √ms. C = directions, evenly around the circle, I = O = 2.

    Raises:
        ValueError: a duration, dt, target or noise outside its range, a duration that dt does not
            divide, or fewer than two directions.
    """
    _check_times(dt, stimulus=stimulus, delay=delay, response=response)
    several = is_whole(n_directions) and n_directions >= 2
    require(several, "two directions or more", n_directions, "give a whole number")
    total = stimulus + delay + response
    n_steps = round(total / dt)
    angles = 2 * np.pi * np.arange(n_directions) / n_directions
    there = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    inputs = np.zeros((n_directions, n_steps, 2))
    inputs[:, _window("stimulus", 0.0, stimulus, dt, total)] = amplitude * there[:, None]
    window = _window("response", stimulus + delay, response, dt, total)
    sd = np.full((n_steps, 2), noise / np.sqrt(dt))
    task = _task(inputs, np.ones(n_directions), target, window, sd, dt)
    return task._replace(targets=task.targets[..., None] * jnp.asarray(there, float)[:, None])


TASKS: dict[str, Callable[..., Task]] = {
    "delayed_association": delayed_association,
    "delayed_nonmatch_to_sample": delayed_nonmatch_to_sample,
    "context_dependent_integration": context_dependent_integration,
    "evidence_integration": evidence_integration,
    "delayed_paired_association": delayed_paired_association,
    "parametric_working_memory": parametric_working_memory,
    "multisensory_integration": multisensory_integration,
    "go_nogo": go_nogo,
    "delayed_reach": delayed_reach,
}


def make_task(name: str, **parameters) -> Task:
    """The task called ``name``, with the parameters of the function of that name.

    Raises:
        ValueError: an unknown task; the message lists those there are.
    """
    require(name in TASKS, "a task of this package", repr(name), f"choose from {list(TASKS)}")
    return TASKS[name](**parameters)
