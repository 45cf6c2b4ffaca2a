"""Chapter 10: what competes, and how a competitor plays.

An algorithm is a rule, the exploration that it reads, and the free numbers that are chosen for it:

    exploration   size of kicks or noise, in units of x, of the output, or of a weight
    step          r.m.s. change of a weight per unit of third factor, as a first trial would have it
    bound         largest change of a weight in a trial
    readout       the same as ``step``, for the weights of a plastic readout

Each number lives on a ladder, and is named by its rung.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from companion.settings import association_setting, brief_setting
from companion.tuning import VERIFIED
from plasticity.learning.criterion import TrialsToCriterion, failure_reward, surviving_trials
from plasticity.learning.lifetime import Lifetime, learn
from plasticity.learning.setting import Setting
from plasticity.learning.trial import (
    Learner,
    LearningState,
    draw_episode,
    initial_learning_state,
    learn_trial,
)
from plasticity.model.exploration import Exploration, Kicks, OutputNoise, WeightNoise
from plasticity.rules.backpropagation import backpropagation, policy_gradient
from plasticity.rules.base import Rule, stack
from plasticity.rules.feedback import reward_feedback, supervised_feedback
from plasticity.rules.perturbation import (
    WeightPerturbation,
    clean_trial,
    filtered_node_perturbation,
    weight_perturbation,
)
from plasticity.rules.three_factor import make_rule, node_perturbation, single_term, zero

NUMBERS = ("exploration", "step", "bound", "readout")
_HALF_DECADES = tuple(float(f"{10 ** (e / 2):.3g}") for e in range(-24, 13))


class Ladder(NamedTuple):
    """The values that a number may take; a search begins on ``count`` of them.

    Attributes:
        values: ascending.
        first: rung of the first value that is tried.
        count: rungs of the first grid.
    """

    values: tuple[float, ...]
    first: int
    count: int = 8

    @property
    def rungs(self) -> range:
        """Rungs of the first grid."""
        return range(self.first, self.first + self.count)


def _doublings(least: float) -> Ladder:
    return Ladder(tuple(least * 2.0**i for i in range(-6, 14)), 6)


# What each exploration is at unit size, and the sizes tried. All ours.
EXPLORATIONS: dict[str, tuple[Callable[[float], Exploration] | None, Ladder]] = {
    "kicks": (lambda rate: Kicks(rate=rate, amplitude=1.0), _doublings(0.125)),
    "output noise": (lambda rate: OutputNoise(size=1.0), _doublings(0.0625)),
    "weight noise": (lambda rate: WeightNoise(size=1.0), _doublings(0.001)),
    # That of the setting, for rules that do not choose it.
    "as it is": (None, Ladder((1.0,), 0)),
    "none": (lambda rate: Kicks(rate=0.0), Ladder((0.0,), 0)),
}
STEPS = Ladder(_HALF_DECADES, _HALF_DECADES.index(1e-5))
# From the last rung on nothing is bounded, so that there is nothing beyond it.
BOUNDS = Ladder((*_HALF_DECADES[8:23], np.inf), 8)
READOUTS = Ladder(_HALF_DECADES, _HALF_DECADES.index(1e-4))


class Algorithm(NamedTuple):
    """What competes.

    Attributes:
        make: the rule for given numbers: ``size`` of the exploration, ``learning_rate``, ``clip``
            and ``readout_rate``.
        told: what it is told, in words.
        exploration: a name in `EXPLORATIONS`.
        numbers: those of `NUMBERS` that are free.
        trials: that one change of weights takes.
    """

    make: Callable[..., Rule]
    told: str
    exploration: str
    numbers: tuple[str, ...] = NUMBERS[:3]
    trials: int = 1


def _polynomial(make: Callable[..., Rule], **fixed) -> Callable[..., Rule]:
    def rule(size, learning_rate, clip, readout_rate):
        return make(learning_rate=learning_rate, clip=clip, **fixed)

    return rule


def _weight_perturbation(size, learning_rate, clip, readout_rate):
    return weight_perturbation(size, learning_rate=learning_rate, clip=clip)


def _clean_second_trial(size, learning_rate, clip, readout_rate):
    trace = WeightPerturbation(jnp.asarray(size, float))
    return clean_trial(trace, learning_rate=learning_rate, clip=clip)


def _policy_gradient(size, learning_rate, clip, readout_rate):
    return policy_gradient(size, learning_rate=learning_rate, clip=clip)


def _eprop(feedback=None, plastic: bool = False) -> Callable[..., Rule]:
    def rule(size, learning_rate, clip, readout_rate):
        plasticity = {"readout_rate": readout_rate} if plastic else {}
        options = {"learning_rate": learning_rate, "clip": clip}
        return reward_feedback(feedback=feedback, **options, **plasticity)

    return rule


def algorithms(learned: np.ndarray, n_units: int) -> dict[str, Algorithm]:
    """Name → algorithm, in the order of the chapter's tables.

    Args:
        learned: θ of the learned rule, (d+1, d+1).
        n_units: N, of which random feedback has one number each: N(0, 1/N) as the readout has.
    """
    random = np.random.default_rng(0).normal(size=n_units) / np.sqrt(n_units)
    fixed, plastic = NUMBERS[:3], NUMBERS
    reward, kicks = "reward", "reward, its kicks"
    output, weights = "reward, noise of the output", "reward, noise of its weight"
    eprop, free = partial(Algorithm, exploration="output noise"), NUMBERS[1:3]
    return {
        "(1,1)": Algorithm(_polynomial(partial(single_term, 1, 1)), reward, "kicks"),
        "(3,3)": Algorithm(_polynomial(partial(single_term, 3, 3)), reward, "kicks"),
        "(1,5)": Algorithm(_polynomial(partial(single_term, 1, 5)), reward, "kicks"),
        "learned": Algorithm(_polynomial(make_rule, coefficients=learned), reward, "kicks"),
        "node perturbation": Algorithm(_polynomial(node_perturbation), kicks, "kicks"),
        "node perturbation, filtered": Algorithm(
            _polynomial(filtered_node_perturbation), kicks, "kicks"
        ),
        "weight perturbation": Algorithm(_weight_perturbation, weights, "weight noise"),
        "weight perturbation, clean trial": Algorithm(
            _clean_second_trial, f"{weights}, reward without it", "weight noise", fixed, 2
        ),
        "e-prop, scalar": eprop(_eprop(np.ones(n_units)), output),
        "e-prop, random B": eprop(_eprop(random), output),
        "e-prop, random B, plastic readout": eprop(_eprop(random, True), output, numbers=plastic),
        # Fed back nothing, so that no recurrent weight changes.
        "readout only": eprop(
            _eprop(np.zeros(n_units), True), output, numbers=("exploration", "readout")
        ),
        "e-prop, symmetric B": eprop(_eprop(), f"{output}, readout"),
        "policy gradient": eprop(_policy_gradient, f"{output}, all weights"),
        "RFLO, symmetric B": Algorithm(
            _polynomial(supervised_feedback), "target, readout", "none", free
        ),
        "BPTT": Algorithm(_polynomial(backpropagation), "target, all weights", "none", free),
        "no learning": Algorithm(lambda *numbers: zero(), "nothing", "none", ()),
    }


NAMES = tuple(algorithms(np.zeros((2, 2)), 1))
# By what they are told, for panels of figures.
FAMILIES: dict[str, tuple[str, ...]] = {
    "reward alone": NAMES[:4],
    "its own kick or weight noise": NAMES[4:8],
    "noise of the output": NAMES[8:14],
    "the target": NAMES[14:16],
}
# Numbers of exploration in a trial, of N units and T steps.
DIMENSIONS = {"kicks": "N·T", "output noise": "T", "weight noise": "N²", "none": "0"}

# Where they compete: the setting, and the learned rule that comes along.
TASKS: dict[str, tuple[Callable[..., Setting], str]] = {
    "association": (brief_setting, "association"),
    "integration": (partial(brief_setting, "evidence_integration"), "integration"),
    "long delay": (association_setting, "association"),
}


@contextmanager
def blow_ups_expected() -> Iterator[None]:
    """A search goes where learning blows up; that is counted, and not news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


@dataclass(frozen=True)
class Contest:
    """An algorithm in a setting; the numbers of a point are rungs, by the names in `NUMBERS`."""

    setting: Setting
    algorithm: Algorithm

    @property
    def ladders(self) -> dict[str, Ladder]:
        """Of the free numbers."""
        of = {"exploration": EXPLORATIONS[self.algorithm.exploration][1]}
        of |= {"step": STEPS, "bound": BOUNDS, "readout": READOUTS}
        return {name: of[name] for name in self.algorithm.numbers}

    @property
    def middle(self) -> tuple[int, ...]:
        """The fifth rung of every first grid."""
        rungs = {name: ladder.rungs[4] for name, ladder in self.ladders.items()}
        return tuple(rungs.get(name, -1) for name in NUMBERS)

    def values(self, point: Sequence[int]) -> dict[str, float]:
        """Number → value; NaN for those that are not free."""
        rungs = dict(zip(NUMBERS, point, strict=True))
        of = {name: ladder.values[rungs[name]] for name, ladder in self.ladders.items()}
        return {name: of.get(name, np.nan) for name in NUMBERS}

    @property
    def n_first(self) -> int:
        """Trials over which float32 and float64 agree: few more than those before any change."""
        return self.setting.learner.first_update + VERIFIED

    def criterion(self, lifetimes: Lifetime) -> TrialsToCriterion:
        """Trials to criterion, a blow-up being a failure."""
        return surviving_trials(lifetimes)

    @property
    def within(self) -> Setting:
        """The setting, with the algorithm's exploration at unit size."""
        make, _ = EXPLORATIONS[self.algorithm.exploration]
        learner = self.setting.learner
        if make is not None:
            rate = getattr(learner.exploration, "rate", 0.0)
            learner = replace(learner, exploration=make(rate))
        # A rule that fits any exploration: the contest's own is given to `learn`.
        return replace(self.setting, learner=learner, rule=zero())

    def rule(self, values: dict[str, float], units: tuple[float, float]) -> Rule:
        """The rule at these values; ``units`` as in `trace_sizes`."""
        size = 1.0 if np.isnan(values["exploration"]) else values["exploration"]
        rates = [np.nan_to_num(values["step"]) / units[0], np.nan_to_num(values["readout"])]
        clip = None if np.isnan(values["bound"]) else values["bound"]
        return self.algorithm.make(size, float(rates[0]), clip, float(rates[1] / units[1]))

    def learn(self, seed: int, runs: Sequence[int], n_updates: int, rules, sizes, **options):
        """Lifetimes of a stack of rules, each with an exploration of its own size."""
        scale = jnp.repeat(jnp.nan_to_num(jnp.asarray(sizes), nan=1.0)[:, None], len(runs), 1)
        with blow_ups_expected():
            return self.within.learn(seed, runs, n_updates, rules, noise_scale=scale, **options)


def trace_sizes(contest: Contest, sizes: Sequence[float], seed: int, n: int = 8) -> np.ndarray:
    """R.m.s. of the trace and of the readout's trace in first trials, (sizes, 2).

    Over synapses and n networks, for explorations of these sizes; 1 where there is none.
    """
    key, networks, task, _, learner = contest.within.arguments(seed, range(n))
    rules = [
        contest.rule(dict.fromkeys(NUMBERS, 1.0) | {"exploration": size, "bound": np.inf}, (1, 1))
        for size in np.nan_to_num(sizes, nan=1.0)
    ]

    @jax.jit
    def measure(rules, sizes):
        def one(rule, size, key, network):
            state = initial_learning_state(network, task, rule, learner)
            episode = draw_episode(key, 0, task, learner, network.W.shape[0]).scaled(size)
            after, outcome = learn_trial(state, episode, network, rule, learner)
            square = jnp.mean(outcome.trace**2)
            if after.W_out is None:
                return square, jnp.ones_like(square)
            moved = (after.W_out - state.W_out) / outcome.third_factor
            return square, jnp.mean(moved**2)

        networks_of = jax.vmap(one, (None, None, 0, 0))
        return jax.vmap(networks_of, (0, 0, None, None))(rules, sizes, key, networks)

    squares = measure(stack(rules).leaves, jnp.nan_to_num(jnp.asarray(sizes), nan=1.0))
    roots = np.sqrt(np.mean(np.stack([np.asarray(s) for s in squares], axis=-1), axis=1))
    return np.where(roots > 0, roots, 1.0)


class Score(NamedTuple):
    """How an algorithm did at one point, or on one network.

    Attributes:
        trials: to criterion, each trial counted; the horizon for those that never got there.
        reached: whether it was met.
        errors: of each trial, 2 from a blow-up on, (…, H).
        first: of the first changes of weights, as they came, (…, n_first).
        observed: as in `plasticity.learn`.
        state: after the last trial.
    """

    trials: np.ndarray
    reached: np.ndarray
    errors: np.ndarray
    first: np.ndarray
    observed: Any
    state: LearningState


def share_at_bound(before, episode, outcome):
    """Share of the weights whose change is as large as the largest: of those at the bound."""
    # One synapse is always the largest; a clip makes many of them equal but for rounding.
    return _share_near_largest(outcome.change, 0.999)


def share_bent(before, episode, outcome):
    """Share of the weights whose change is at least tanh 1 = 76% of the largest.

    Under a soft bound that is in force these are |η e δ| ≥ c, which a hard clip would hold.
    """
    return _share_near_largest(outcome.change, jnp.tanh(1.0))


def _share_near_largest(change, part):
    """Share of the changes that are not zero and at least this part of the largest."""
    sizes = jnp.abs(change)
    return jnp.mean((sizes >= part * sizes.max()) & (sizes > 0))


def play(contest: Contest, points, units, seed: int, runs, n_trials: int, observe=None) -> Score:
    """Lifetimes at several points, (points, networks)."""
    values = [contest.values(point) for point in points]
    rules = stack([contest.rule(v, u) for v, u in zip(values, units, strict=True)])
    sizes, per = [v["exploration"] for v in values], contest.algorithm.trials
    given = (seed, runs, n_trials // per, rules, sizes)
    lifetimes = contest.learn(*given, observe=observe)
    errors = raw = np.asarray(lifetimes.errors)
    if per == 2:
        # The second trial without noise: what the third factor compared the first with.
        clean = raw + np.asarray(lifetimes.third_factors)
        errors = np.stack([raw, clean], axis=-1).reshape(*raw.shape[:-1], -1)
    correct = errors < contest.setting.learner.correct_below
    met = contest.criterion(lifetimes._replace(errors=errors, correct=correct))
    errors = np.nan_to_num(errors, nan=-failure_reward(contest.setting.learner))
    first = raw[..., : contest.n_first]
    return Score(*met, errors, first, lifetimes.observed, lifetimes.state)


def quiet_learner(setting: Setting) -> Learner:
    """The setting's learner, without exploration."""
    return replace(setting.learner, exploration=Kicks(rate=0.0))


def error_without_exploration(contest: Contest, state, seed: int, runs, n_trials: int = 20):
    """Mean error of further trials, with weights as they are and nothing added, (networks,)."""
    keys, networks, task, _, _ = contest.within.arguments(seed, runs)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 2**20))(keys)
    learner = quiet_learner(contest.setting)
    after = learn(keys, state.within(networks), task, zero(), learner, n_trials)
    failure = -failure_reward(learner)
    alive = np.asarray(state.alive)
    return np.where(alive, np.nan_to_num(np.asarray(after.errors).mean(-1), nan=failure), failure)
