"""Recordings of a network that learns: checked, read from labelled arrays, or simulated."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from plasticity.learning.setting import Setting
from plasticity.rules.base import Rule
from plasticity.types import require

DIMENSIONS = {
    "activity": ("trial", "time", "unit"),
    "inputs": ("trial", "step", "channel"),
    "reward": ("trial",),
}


class Recording(NamedTuple):
    """A network over the trials of its learning; `read_recording` checks it.

    Attributes:
        rates: of M recorded units before the first step and after each, in (−1, 1), (H, T+1, M).
        inputs: held during each step, (H, T, I).
        rewards: one a trial, (H,).
        conditions: of each trial, by which it has a baseline of its own, (H,).
        dt: between two moments, ms.
        tau: time constant of the units, ms.
    """

    rates: Float[np.ndarray, "H T1 M"]
    inputs: Float[np.ndarray, "H T I"]
    rewards: Float[np.ndarray, "H"]
    conditions: Int[np.ndarray, "H"]
    dt: float
    tau: float

    @property
    def states(self) -> Float[np.ndarray, "H T1 M"]:
        """x = artanh r of the recorded units, (H, T+1, M)."""
        return np.arctanh(self.rates)


def read_recording(dataset: Any) -> Recording:
    """A recording from labelled arrays, as xarray has them.

    Args:
        dataset: ``activity`` (trial, time, unit), rates in (−1, 1) at T+1 moments ``time`` in ms;
            ``inputs`` (trial, step, channel), held during the T steps between them; ``reward``
            (trial,); if trial types have baselines of their own, ``condition`` (trial,), whole
            numbers from 0; and the attribute ``tau``, the time constant of units in ms.

    Raises:
        ValueError: an array that is missing or has other dimensions; numbers that are missing, by
            unit and trial; rates outside (−1, 1); moments that are not equally spaced; fewer than
            two trials; rewards that are all the same; no ``tau``, or one that is below the step.
    """
    for name, dims in DIMENSIONS.items():
        there, fix = f"only {sorted(map(str, dataset.data_vars))}", f"add an array of {dims}"
        require(name in dataset, f"a recording has {name!r}", there, fix)
        given, fix = tuple(dataset[name].dims), "rename and transpose its dimensions"
        require(given == dims, f"{name} has the dimensions {dims}", given, fix)
    rates, inputs, rewards = (np.asarray(dataset[n].values, float) for n in DIMENSIONS)
    _check_rates(rates)
    for name, values in {"inputs": inputs, "reward": rewards}.items():
        wrong = sorted({int(place[0]) for place in np.argwhere(~np.isfinite(values))})
        require(not wrong, f"{name} is finite", f"trials {wrong[:5]}", "leave these trials out")
    n_trials, n_moments = rates.shape[:2]
    require(n_trials >= 2, "two trials or more", n_trials, "record more")
    fix = "give the inputs between the moments of activity"
    require(
        inputs.shape[1] == n_moments - 1, f"{n_moments - 1} steps of inputs", inputs.shape[1], fix
    )
    fix = "a rule that learns from reward leaves no trace then"
    same = f"{rewards[0]:g} in every trial"
    require(bool(np.ptp(rewards) > 0), "rewards that vary", same, fix)
    dt, tau = _step(dataset), _time_constant(dataset.attrs)
    require(tau >= dt, f"tau ≥ dt = {dt:g} ms", tau, "record at shorter steps")
    conditions = np.zeros(n_trials, int)
    if "condition" in dataset:
        conditions = _checked_conditions(np.asarray(dataset["condition"].values), n_trials)
    return Recording(rates, inputs, rewards, conditions, dt, tau)


def _check_rates(rates: np.ndarray) -> None:
    missing = ~np.isfinite(rates)
    units, trials = (np.flatnonzero(missing.any(axis=axes)) for axes in ((0, 1), (1, 2)))
    rule = "activity is finite, for every trial, moment and unit"
    given = f"{missing.sum()} missing numbers, in units {units[:5].tolist()} and trials "
    given += f"{trials[:5].tolist()}"
    fix = "leave out these units or trials, or cut all trials to one length"
    require(not missing.any(), rule, given, fix)
    outside = float(np.abs(rates).max())
    fix = "divide by the largest rate, and keep away from 1: x is artanh of the rate"
    require(outside < 1, "rates between −1 and 1", outside, fix)


def _step(dataset: Any) -> float:
    gaps = np.diff(np.asarray(dataset["time"].values, float))
    even = bool(len(gaps) and gaps[0] > 0 and np.allclose(gaps, gaps[0]))
    given = f"{gaps.min()} to {gaps.max()} ms" if len(gaps) else "one moment"
    require(even, "moments at equal distances", given, "resample to equal steps")
    return float(gaps[0])


def _time_constant(attributes: Mapping) -> float:
    rule, fix = "a recording has the attribute tau", "set dataset.attrs['tau'] in ms"
    require("tau" in attributes, rule, f"only {sorted(map(str, attributes))}", fix)
    return float(attributes["tau"])


def _checked_conditions(conditions: np.ndarray, n_trials: int) -> Int[np.ndarray, "H"]:
    whole = conditions.shape == (n_trials,) and conditions.dtype.kind in "iu"
    whole = bool(whole and conditions.min() >= 0)
    rule, fix = "condition is a whole number from 0 on for each trial", "number the trial types"
    require(whole, rule, conditions[:5].tolist(), fix)
    return conditions.astype(int)


class Simulated(NamedTuple):
    """A recording whose rule is known.

    Attributes:
        recording: what was recorded.
        weights: among recorded units before each trial, (H, M, M).
    """

    recording: Recording
    weights: Float[np.ndarray, "H M M"]

    def of_units(self, units: Sequence[int] | Int[np.ndarray, "M"]) -> "Simulated":
        """What was recorded of some of the recorded units."""
        units = np.asarray(units)
        fewer = self.recording._replace(rates=self.recording.rates[:, :, units])
        return Simulated(fewer, self.weights[:, units[:, None], units])

    def of_trials(self, n_trials: int) -> "Simulated":
        """What was recorded in the first trials."""
        names = ("rates", "inputs", "rewards", "conditions")
        first = {name: getattr(self.recording, name)[:n_trials] for name in names}
        return Simulated(self.recording._replace(**first), self.weights[:n_trials])

    def with_noise(self, size: float, seed: int) -> "Simulated":
        """Noise N(0, size²) added to x of each unit and moment, as an observer has it. (Ours.)"""
        require(size >= 0, "noise ≥ 0", size, "give a standard deviation")
        x = self.recording.states
        noise = size * np.random.default_rng(seed).normal(size=x.shape)
        return self._replace(recording=self.recording._replace(rates=np.tanh(x + noise)))


def simulate_recording(
    setting: Setting, rule: Rule, seed: int, runs: Sequence[int], n_trials: int
) -> list[Simulated]:
    """All units of some networks of a setting that learn by a rule, in float64.

    Raises:
        ValueError: as `Setting.learn`.
    """
    with jax.enable_x64(True):
        lives = setting.learn(seed, runs, n_trials, rule, observe=_recorded)
    seen = jax.tree.map(np.asarray, lives.observed)
    x = np.concatenate([seen["state"][:, :, None], seen["states"]], axis=2)
    dynamics = setting.learner.dynamics
    times = (dynamics.dt, dynamics.tau)
    return [
        Simulated(Recording(np.tanh(x[run]), *parts, *times), seen["W"][run])
        for run, parts in enumerate(
            zip(seen["inputs"], seen["reward"], seen["condition"], strict=True)
        )
    ]


def _recorded(before, episode, outcome):
    names = ("states", "state", "inputs", "reward", "condition", "W")
    return {name: getattr(outcome.seen, name) for name in names}
