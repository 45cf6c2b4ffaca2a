"""The settings of the book: which network learns which task, with what exploration.

Each names its source; what no source gives is ours.
"""

from dataclasses import replace

import jax
import numpy as np

from plasticity.learning.setting import Setting
from plasticity.learning.trial import Learner, first_trajectory
from plasticity.model.exploration import Kicks
from plasticity.model.network import Dynamics
from plasticity.model.tasks import (
    context_dependent_integration,
    delayed_association,
    delayed_nonmatch_to_sample,
    make_task,
)
from plasticity.rules.base import Rule
from plasticity.rules.three_factor import (
    ScaledPredictionError,
    make_rule,
    miconi,
    node_perturbation,
    single_term,
)
from plasticity.rules.trace import term_scale
from plasticity.types import require


def association_setting(
    *,
    n_units: int = 100,
    gain: float = 1.5,
    dt: float = 10.0,
    delay: float = 400.0,
    kick_rate: float = 3.0,
    kick_amplitude: float = 0.5,
    clip: float = 1e-3,
    learning_rate: float = 0.01,
) -> Setting:
    """Delayed association with two cues (ours): the small task on which rules are compared.

    T = (200 + delay + 400) / dt steps; times in ms, kick rate in Hz, kick amplitude in units of x.
    """
    task = delayed_association(dt=dt, delay=delay)
    exploration = Kicks(rate=kick_rate, amplitude=kick_amplitude)
    learner = Learner(dynamics=Dynamics(dt=dt), exploration=exploration)
    rule = miconi(learning_rate=learning_rate, clip=clip)
    return Setting(task=task, rule=rule, learner=learner, n_units=n_units, gain=gain)


BRIEF: dict[str, dict[str, float]] = {
    "delayed_association": {"cue": 100.0, "delay": 200.0, "response": 200.0},
    "evidence_integration": {"stimulus": 300.0, "response": 200.0},
    "delayed_nonmatch_to_sample": {
        "sample": 100.0,
        "delay": 100.0,
        "test": 100.0,
        "response": 200.0,
        "duration": 500.0,
    },
}


def brief_setting(
    task: str = "delayed_association",
    *,
    n_units: int = 100,
    kick_rate: float = 3.0,
    kick_amplitude: float = 2.0,
    tau_filter: float = 20.0,
    clip: float = 1e-3,
    learning_rate: float = 0.03,
    **parameters,
) -> Setting:
    """Trials of 500 ms (T = 50) with large kicks: where rules are learned. (Ours.)

    Network, clip, kick rate and filter are those of `association_setting`. Trials are half as long
    and kicks four times as large, for the reasons that chapter 07 gives. ``parameters`` go to the
    task and take the place of its brief durations; kick rate in Hz, amplitude in units of x.

    Raises:
        ValueError: a task without brief durations.
    """
    require(task in BRIEF, "a task with brief trials", repr(task), f"choose from {list(BRIEF)}")
    learner = Learner(
        dynamics=Dynamics(dt=10.0, tau_filter=tau_filter),
        exploration=Kicks(rate=kick_rate, amplitude=kick_amplitude),
    )
    drawn = make_task(task, dt=10.0, **(BRIEF[task] | parameters))
    rule = miconi(learning_rate=learning_rate, clip=clip)
    return Setting(task=drawn, rule=rule, learner=learner, n_units=n_units, gain=1.5)


def dense_rule(
    setting: Setting, *, learning_rate: float, share: float = 0.05, degree: int = 5
) -> Rule:
    """θ_33 = −1 and every other coefficient drawn at random, so that no term is idle. (Ours.)

    A coefficient other than θ_33 (θ_dd if d < 3) is ``share`` · N(0, 1) in units in which all terms
    of the trace have the r.m.s. that this one has in a first trial; no clip.
    """
    network = jax.tree.map(lambda a: a[0], setting.networks(0, [0]))
    place = (setting.task, setting.rule, setting.learner)
    run = first_trajectory(jax.random.key(0), network, *place)
    scale = np.asarray(term_scale(run.rates, run.fluctuations, degree))
    lead = (min(3, degree),) * 2
    theta = share * np.random.default_rng(0).normal(size=scale.shape) * scale[lead] / scale
    theta[lead] = -1.0
    return make_rule(theta, learning_rate=learning_rate)


QUIRKS = (
    "clip",
    "error_factor",
    "clamped_units",
    "clamped_start",
    "undriven_output",
    "filter_carried",
)


def miconi_setting(
    without: str | None = None, *, told_kicks: bool = False, n_units: int = 200
) -> Setting:
    """Delayed non-match to sample as in Miconi (eLife 2017;6:e20899) and its public program.

    N = 200, g = 1.5, dt = 1 ms, τ = 30 ms; stimuli at 1–201 and 400–600 ms of 1000 ms, response in
    the last 200 ms by the rate of unit 0, which gets no input, target ±0.98; x of units 1, 10 and
    11 held at 1, 1 and −1 from the initial state on; kicks from 4 ms on with probability 0.003
    a step, U(−1, 1)·16 dt/τ; x̄ moves by 0.95 of the way each step; the trace is the plain sum of
    (r Δ)³ from 3 ms on; η = 0.1 times the mean error so far; changes clipped at 3e-4, from the
    102nd trial on; trial types cycle, each with a mean error that starts at 0.

    Args:
        without: one of `QUIRKS`, to leave it out: no clip; no error factor; no clamped units; the
            clamped units held only after the first step; an output unit with inputs as all others
            have; x̄ started anew with x in each trial.
        told_kicks: learn by node perturbation, the program's other method, in place of θ_33: the
            trace is Σ_t r_j · kick_i and η = 0.001, in units in which a kick is 16 U(−1, 1).

    Raises:
        ValueError: an unknown quirk.
    """
    known = without is None or without in QUIRKS
    require(known, "a quirk of the setting", repr(without), f"choose from {QUIRKS}")
    learner, made = _program(16.0)
    changed = {}
    if without == "clamped_units":
        changed = {"clamped": ()}
    elif without == "clamped_start":
        changed = {"clamp_start": False}
    dynamics, reset = replace(learner.dynamics, **changed), without == "filter_carried"
    learner = replace(learner, dynamics=dynamics, reset_filter=reset)
    made["clip"] = None if without == "clip" else 3e-4
    if without == "error_factor":
        del made["third_factor"]
    if told_kicks:
        rule = node_perturbation(learning_rate=0.001 * dynamics.tau / dynamics.dt, **made)
    else:
        rule = miconi(degree=3, learning_rate=0.1, **made)
    task = delayed_nonmatch_to_sample(dt=dynamics.dt, onset=1.0, delay=199.0)
    readout = "unit" if without == "undriven_output" else "undriven unit"
    return Setting(task=task, rule=rule, learner=learner, n_units=n_units, readout=readout)


def _program(kick: float) -> tuple[Learner, dict]:
    """Learner, and options of rules, that Miconi's programs share; kicks of ``kick`` dt/τ."""
    dt, tau = 1.0, 30.0
    clamped = ((1, 1.0), (10, 1.0), (11, -1.0))
    learner = Learner(
        dynamics=Dynamics(dt=dt, tau=tau, filter_gain=0.95, clamped=clamped),
        exploration=Kicks(rate=3.0, amplitude=kick * dt / tau, onset=4.0),
        initial_baseline=0.0,
        reset_filter=False,
        first_update=101,
    )
    third_factor = ScaledPredictionError()
    options = {"tau_e": float("inf"), "onset": 3.0, "plain_sum": True}
    return learner, options | {"third_factor": third_factor}


# Of Miconi's selective integration: term (k, ℓ), kick over dt/τ, mean of a channel, η, clip.
# Defaults of three versions of his program, and of the earliest with what its first lines recommend
# on the command line; the mean that they name too is one that the program does not use.
SELECTIVE: dict[str, tuple[tuple[int, int], float, float, float, float]] = {
    "published last": ((3, 3), 30.0, 0.25, 0.01, 2e-4),
    "earlier": ((1, 3), 16.0, 0.1, 0.01, 1e-4),
    "earlier, as recommended": ((1, 3), 16.0, 0.1, 0.03, 2e-5),
    "previous": ((3, 3), 16.0, 0.1, 0.01, 3e-3),
}


def selective_setting(version: str = "published last", *, n_units: int = 200) -> Setting:
    """Selective integration as in Miconi (eLife 2017;6:e20899) and his public programs.

    As `miconi_setting` in all but this: trials of 700 ms; from 1 to 501 ms each of two channels has
    in each step 0.5 (N(0, 1) + bias), and one of two others is 1 and says whose bias is to be told
    by ±1 in the last 200 ms; the other's is of a random sign; four types of trials in turn, each
    with a mean error of its own.

    Args:
        version: one of `SELECTIVE`: the program's three versions, and the earliest of them with the
            η and the clip that a comment in it recommends.

    Raises:
        ValueError: an unknown version.
    """
    known = version in SELECTIVE
    require(known, "a version of the program", repr(version), f"choose from {list(SELECTIVE)}")
    (k, ell), kick, mean, learning_rate, clip = SELECTIVE[version]
    learner, made = _program(kick)
    rule = single_term(k, ell, degree=3, learning_rate=learning_rate, clip=clip, **made)
    task = context_dependent_integration(
        dt=1.0, onset=1.0, coherence=mean, noise=0.5, irrelevant_drawn=True
    )
    readout = "undriven unit"
    return Setting(task=task, rule=rule, learner=learner, n_units=n_units, readout=readout)
