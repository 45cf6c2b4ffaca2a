"""Chapter 10: three-factor rules and other algorithms, each with its free numbers tuned alike.

An algorithm is a rule, the exploration that it reads, and the free numbers that are chosen for it:

    exploration   size of kicks or noise, in units of x, of the output, or of a weight
    step          r.m.s. change of a weight per unit of third factor, as a first trial would have it
    bound         largest change of a weight in a trial
    readout       the same as ``step``, for the weights of a plastic readout

Each number lives on a ladder, and is named by its rung. Choosing is a search of the same size for
all, on networks that judge nothing; what was found is then judged once, on others.

The protocol, written before anything was judged. *Question*: which algorithm needs how many trials,
and how far do they go? *Judge*: the restricted mean of trials to criterion over 300 trials on 1,024
networks, the same for all; each algorithm less the learned rule, and less (3,3), paired by network,
with intervals that are simultaneous for all algorithms of a task (Bonferroni). Beside it the error
of the last 100 trials, and of 20 more without exploration. *Size*: the spread on the validation
networks says which difference 1,024 networks find with 80% power; the chapter prints it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from companion.experiment import Experiment, Variable
from companion.learned_rule import Selection, learned_coefficients
from companion.seeds import seed
from companion.settings import association_setting, brief_setting
from companion.tuning import VERIFIED
from plasticity.learning.criterion import TrialsToCriterion, failure_reward, trials_to_criterion
from plasticity.learning.lifetime import learn
from plasticity.learning.setting import Setting
from plasticity.learning.trial import (
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
from plasticity.types import require

NUMBERS = ("exploration", "step", "bound", "readout")
_HALF_DECADES = tuple(float(f"{10 ** (e / 2):.3g}") for e in range(-24, 13))


class Ladder(NamedTuple):
    """The values that a number may take; a search begins on ``first`` … ``first`` + 7.

    Attributes:
        values: ascending.
        first: rung of the first value that is tried.
    """

    values: tuple[float, ...]
    first: int

    @property
    def rungs(self) -> range:
        """Rungs of the first grid."""
        return range(self.first, self.first + 8)


def _doublings(least: float) -> Ladder:
    return Ladder(tuple(least * 2.0**i for i in range(-6, 14)), 6)


# What each exploration is at unit size, and the sizes tried. All ours.
EXPLORATIONS: dict[str, tuple[Callable[[float], Exploration], Ladder]] = {
    "kicks": (lambda rate: Kicks(rate=rate, amplitude=1.0), _doublings(0.125)),
    "output noise": (lambda rate: OutputNoise(size=1.0), _doublings(0.0625)),
    "weight noise": (lambda rate: WeightNoise(size=1.0), _doublings(0.001)),
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


def _readout_only(size, learning_rate, clip, readout_rate):
    return reward_feedback(learning_rate=0.0, readout_rate=readout_rate)


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
        "readout only": eprop(_readout_only, output, numbers=("exploration", "readout")),
        "e-prop, symmetric B": eprop(_eprop(), f"{output}, readout"),
        "policy gradient": eprop(_policy_gradient, f"{output}, all weights"),
        "RFLO, symmetric B": Algorithm(
            _polynomial(supervised_feedback), "target, readout", "none", free
        ),
        "BPTT": Algorithm(_polynomial(backpropagation), "target, all weights", "none", free),
        "no learning": Algorithm(lambda *numbers: zero(), "nothing", "none", ()),
    }


NAMES = tuple(algorithms(np.zeros((2, 2)), 1))
# Numbers of exploration in a trial, of N units and T steps.
DIMENSIONS = {"kicks": "N·T", "output noise": "T", "weight noise": "N²", "none": "0"}

# Where they compete: the setting, and the learned rule that comes along.
TASKS: dict[str, tuple[Callable[..., Setting], str]] = {
    "association": (brief_setting, "association"),
    "integration": (partial(brief_setting, "evidence_integration"), "integration"),
    "long delay": (association_setting, "association"),
}


class Contest(NamedTuple):
    """An algorithm in a setting; the numbers of a point are rungs, by the names in `NUMBERS`."""

    setting: Setting
    algorithm: Algorithm

    @property
    def ladders(self) -> dict[str, Ladder]:
        """Of the free numbers."""
        of = {"exploration": EXPLORATIONS[self.algorithm.exploration][1]}
        of |= {"step": STEPS, "bound": BOUNDS, "readout": READOUTS}
        return {name: of[name] for name in self.algorithm.numbers}

    def values(self, point: np.ndarray) -> dict[str, float]:
        """Number → value; NaN for those that are not free."""
        rungs = dict(zip(NUMBERS, point, strict=True))
        of = {name: ladder.values[rungs[name]] for name, ladder in self.ladders.items()}
        return {name: of.get(name, np.nan) for name in NUMBERS}

    @property
    def within(self) -> Setting:
        """The setting, with the algorithm's exploration at unit size."""
        make, _ = EXPLORATIONS[self.algorithm.exploration]
        rate = getattr(self.setting.learner.exploration, "rate", 0.0)
        return replace_learner(self.setting, exploration=make(rate))

    def rule(self, values: dict[str, float], units: tuple[float, float]) -> Rule:
        """The rule at these values; ``units`` as in `trace_sizes`."""
        size = 1.0 if np.isnan(values["exploration"]) else values["exploration"]
        rates = [np.nan_to_num(values["step"]) / units[0], np.nan_to_num(values["readout"])]
        clip = None if np.isnan(values["bound"]) else values["bound"]
        return self.algorithm.make(size, float(rates[0]), clip, float(rates[1] / units[1]))

    def learn(self, seed: int, runs: Sequence[int], n_updates: int, rules, sizes, **options):
        """Lifetimes of a stack of rules, each with an exploration of its own size."""
        scale = jnp.repeat(jnp.nan_to_num(jnp.asarray(sizes), nan=1.0)[:, None], len(runs), 1)
        return self.within.learn(seed, runs, n_updates, rules, noise_scale=scale, **options)


def replace_learner(setting: Setting, **changes) -> Setting:
    """The setting with other attributes of its learner, and a rule that fits any exploration."""
    return replace(setting, learner=replace(setting.learner, **changes), rule=zero())


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
        first: of the first changes of weights, as they came, (…, VERIFIED).
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
    sizes = jnp.abs(outcome.change)
    # One synapse is always the largest; a clip makes many of them equal but for rounding.
    return jnp.mean((sizes >= 0.999 * sizes.max()) & (sizes > 0))


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
    lost = np.isnan(errors)
    correct = np.where(lost, False, errors < contest.setting.learner.correct_below)
    met = trials_to_criterion(correct)
    gone = lost.any(axis=-1)
    met = TrialsToCriterion(np.where(gone, n_trials, met.trials), met.reached & ~gone)
    failure = -failure_reward(contest.setting.learner)
    errors = np.where(lost, failure, errors)
    return Score(*met, errors, raw[..., :VERIFIED], lifetimes.observed, lifetimes.state)


def error_without_exploration(contest: Contest, state, seed: int, runs, n_trials: int = 20):
    """Mean error of further trials, with weights as they are and nothing added, (networks,)."""
    keys, networks, task, _, _ = contest.within.arguments(seed, runs)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 2**20))(keys)
    W_out = networks.W_out if state.W_out is None else state.W_out
    learner = replace_learner(contest.setting, exploration=Kicks(rate=0.0)).learner
    after = learn(keys, networks._replace(W=state.W, W_out=W_out), task, zero(), learner, n_trials)
    failure = -failure_reward(learner)
    alive = np.asarray(state.alive)
    return np.where(alive, np.nan_to_num(np.asarray(after.errors).mean(-1), nan=failure), failure)


class Search(NamedTuple):
    """How free numbers are searched for: (points, networks) of each round. (Ours.)

    Attributes:
        grid: points of the first grid, drawn at random where it has more; a third of the trials.
        short: on the best of these by mean error.
        near: on the best of those by trials to criterion, and on the neighbours of the best.
        moves: how often at most the search goes on to a better neighbour.
        last: on the best of all that were near.
    """

    grid: tuple[int, int] = (128, 16)
    short: tuple[int, int] = (8, 64)
    near: tuple[int, int] = (4, 64)
    moves: int = 5
    last: tuple[int, int] = (4, 192)


ROUNDS = ("grid", "short", "near", "last")
_MOST_TRIED = 256  # points of a search
_ROWS, _COLUMNS = 4, 64  # points and networks of one program


class Tried(NamedTuple):
    """A point, the round it was tried in, and how it did there.

    Attributes:
        trials, errors: to criterion, and the mean of all trials, (networks,).
        first: errors of the first changes of weights, (networks, VERIFIED).
    """

    point: tuple[int, ...]
    round: int
    trials: np.ndarray
    errors: np.ndarray
    first: np.ndarray

    @property
    def rank(self) -> tuple[float, float]:
        """Restricted mean of trials; of equals the mean error decides. Less is better."""
        return float(self.trials.mean()), float(self.errors.mean())


@dataclass
class Searcher:
    """A search for the free numbers of one algorithm in one setting.

    Attributes:
        contest: where.
        sizes: of the search.
        seed, n_trials: of its networks, which each round has of its own, and of their lifetimes.
    """

    contest: Contest
    sizes: Search
    seed: int
    n_trials: int
    tried: list[Tried] = field(default_factory=list)

    def run(self) -> Tried:
        """Grid, shortlist, neighbours, and the last choice, which is returned."""
        grid = self._play("grid", self._grid())
        by_error = sorted(grid, key=lambda t: t.rank[1])
        short = self._play("short", [t.point for t in by_error[: self.sizes.short[0]]])
        self._climb(_best(short, self.sizes.near[0]))
        near = [t for t in self.tried if t.round == ROUNDS.index("near")]
        self._play("last", _best(near, self.sizes.last[0]))
        return self._widen()

    def _grid(self) -> list[tuple[int, ...]]:
        rungs = {name: ladder.rungs for name, ladder in self.contest.ladders.items()}
        points = list(product(*(rungs.get(name, (-1,)) for name in NUMBERS)))
        most = self.sizes.grid[0]
        if len(points) <= most:
            return points
        drawn = np.random.default_rng(0).choice(len(points), most, replace=False)
        return [points[i] for i in drawn]

    def _climb(self, points: list[tuple[int, ...]]) -> None:
        """Try neighbours of the best until it is the best of them, or moves run out."""
        best = min(self._play("near", points), key=lambda t: t.rank)
        known = {t.point: t for t in self.tried if t.round == ROUNDS.index("near")}
        for _ in range(self.sizes.moves):
            beside = [point for point in self._neighbours(best.point) if point not in known]
            if beside:
                known |= {t.point: t for t in self._play("near", beside)}
            further = min(known.values(), key=lambda t: t.rank)
            if further.point == best.point:
                return
            best = further

    def _widen(self) -> Tried:
        """The best of the last round, once no number of it is at the edge of what was tried."""
        last = ROUNDS.index("last")
        while True:
            best = min((t for t in self.tried if t.round == last), key=lambda t: t.rank)
            beyond = [point for point in self._neighbours(best.point) if self._is_beyond(point)]
            if not beyond:
                return best
            self._play("last", beyond)

    def _is_beyond(self, point: tuple[int, ...]) -> bool:
        """Whether one of its numbers lies outside all that was tried."""
        tried = np.array([t.point for t in self.tried])
        return bool(((point < tried.min(axis=0)) | (point > tried.max(axis=0))).any())

    def _neighbours(self, point: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Points one rung away in one number."""
        beside = []
        for place, name in enumerate(NUMBERS):
            for step in (-1, 1) if name in self.contest.ladders else ():
                rung = point[place] + step
                if 0 <= rung < len(self.contest.ladders[name].values):
                    beside.append((*point[:place], rung, *point[place + 1 :]))
        return beside

    def _play(self, name: str, points: list[tuple[int, ...]]) -> list[Tried]:
        number, (_, n) = ROUNDS.index(name), getattr(self.sizes, name)
        # The first grid is not seen to its end: most of its points are far from any use.
        grid = name == "grid"
        n_trials = max(self.n_trials // 3, 20) if grid else self.n_trials
        rows, columns = (len(points), n) if grid else (_ROWS, min(_COLUMNS, n))
        new = []
        for group in (points[i : i + rows] for i in range(0, len(points), rows)):
            # Filled up with repeats, so that one program serves all rounds but the first.
            full = group + group[-1:] * (rows - len(group))
            each = [
                play(self.contest, full, self._units(full), self.seed, networks, n_trials)
                for networks in _parts(_networks(number, n), columns)
            ]
            trials = np.concatenate([score.trials for score in each], axis=1)
            errors = np.concatenate([score.errors.mean(axis=-1) for score in each], axis=1)
            for place, point in enumerate(group):
                how = (trials[place], errors[place], each[0].first[place])
                new.append(Tried(point, number, *how))
        self.tried += new
        return new

    def _units(self, points: Sequence[tuple[int, ...]]) -> np.ndarray:
        return self.units[[max(point[0], 0) for point in points]]

    @cached_property
    def units(self) -> np.ndarray:
        """R.m.s. of traces, as in `trace_sizes`, by rung of the exploration."""
        ladder = self.contest.ladders.get("exploration", Ladder((np.nan,), 0))
        return trace_sizes(self.contest, ladder.values, self.seed)


def _networks(number: int, n: int) -> range:
    """The validation networks of a round: no two rounds share one."""
    return range(1000 * number, 1000 * number + n)


def _parts(networks: range, size: int) -> list[range]:
    return [networks[i : i + size] for i in range(0, len(networks), size)]


def _best(tried: Sequence[Tried], n: int) -> list[tuple[int, ...]]:
    return [t.point for t in sorted(tried, key=lambda t: t.rank)[:n]]


@dataclass(frozen=True, kw_only=True)
class _InTask(Experiment):
    """Algorithms in one of `TASKS`.

    Attributes:
        task: its name.
        selection: where the learned rule comes from.
    """

    axis = "algorithm"

    task: str = "association"
    selection: Selection = Selection()
    algorithms: tuple[str, ...] = NAMES
    n_units: int = 100
    n_trials: int = 300

    def contest(self, index: int, selection: xr.Dataset) -> Contest:
        """The algorithm of that number in the setting of the task."""
        learned, _ = learned_coefficients(selection)
        of = algorithms(learned, self.n_units)
        return Contest(TASKS[self.task][0](n_units=self.n_units), of[self.algorithms[index]])


_KEPT = 8  # networks whose first errors are kept


@dataclass(frozen=True, kw_only=True)
class AlgorithmTuning(_InTask):
    """The free numbers of every algorithm, searched for on validation networks."""

    title = "Free numbers of algorithms, searched for alike"
    seeds = {"validation": seed("choice of algorithms")}
    variables = {
        "points": Variable(("algorithm", "attempt", "number"), "rungs tried; −1 for none"),
        "stage": Variable(("algorithm", "attempt"), "round of the attempt; −1 for none"),
        "trials": Variable(("algorithm", "attempt"), "restricted mean to criterion", "trials"),
        "error": Variable(("algorithm", "attempt"), "mean error of all its trials"),
        "best": Variable(("algorithm", "number"), "rungs chosen; −1 for none"),
        "values": Variable(("algorithm", "number"), "numbers chosen; NaN for none"),
        "units": Variable(("algorithm", "trace"), "r.m.s. of traces, by which steps are divided"),
        "validation": Variable(
            ("algorithm", "network"), "trials to criterion there, in the last round", "trials"
        ),
        "errors": Variable(("algorithm", "first network", "trial"), "mean error of first trials"),
    }

    search: Search = Search()

    @classmethod
    def of(cls, task: str, **sizes) -> "AlgorithmTuning":
        """In one of `TASKS`, with the rule that was learned for it."""
        require(task in TASKS, "a task of the comparison", repr(task), f"choose from {list(TASKS)}")
        given = {"selection": Selection.of(TASKS[task][1])} | sizes
        return cls(task=task, **given)

    @property
    def name(self) -> str:
        return f"algorithm_tuning_{self.task.replace(' ', '_')}"

    def coordinates(self):
        return {
            "algorithm": list(self.algorithms),
            "attempt": range(_MOST_TRIED),
            "number": list(NUMBERS),
            "trace": ["recurrent", "readout"],
            "network": _networks(ROUNDS.index("last"), self.search.last[1]),
            "first network": range(min(_KEPT, self.search.last[1])),
            "trial": range(1, VERIFIED + 1),
        }

    def measure_one(self, index: int, selection: xr.Dataset):
        contest = self.contest(index, selection)
        searcher = Searcher(contest, self.search, self.seeds["validation"], self.n_trials)
        best, tried = searcher.run(), searcher.tried
        points, rounds = np.full((_MOST_TRIED, len(NUMBERS)), -1), np.full(_MOST_TRIED, -1)
        ranks, made = np.full((_MOST_TRIED, 2), np.nan), len(tried)
        points[:made], rounds[:made] = [t.point for t in tried], [t.round for t in tried]
        ranks[:made] = [t.rank for t in tried]
        return {
            "points": points,
            "stage": rounds,
            "trials": ranks[:, 0],
            "error": ranks[:, 1],
            "best": np.array(best.point),
            "values": np.array(list(contest.values(best.point).values())),
            "units": searcher.units[max(best.point[0], 0)],
            "validation": best.trials,
            "errors": best.first[:_KEPT],
        }

    def measure_one_again(self, index: int, recorded: xr.Dataset, selection: xr.Dataset):
        contest = self.contest(index, selection)
        # Chosen again from what all points gave, and then learned by again.
        last = recorded.stage.values == ROUNDS.index("last")
        ranks = zip(recorded.trials.values[last], recorded.error.values[last], strict=True)
        place = min(enumerate(ranks), key=lambda one: one[1])[0]
        best = recorded.points.values[last][place]
        networks = _networks(ROUNDS.index("last"), len(recorded["first network"]))
        where = (self.seeds["validation"], networks, VERIFIED * contest.algorithm.trials)
        return {"best": best, "errors": first_errors(contest, best, recorded.units, *where)}


def first_errors(contest: Contest, point, units, seed: int, runs, n_trials: int) -> np.ndarray:
    """Errors of the first changes of weights at one point, (networks, changes)."""
    values = contest.values(point)
    rules = stack([contest.rule(values, np.asarray(units))])
    n_updates = n_trials // contest.algorithm.trials
    return np.asarray(contest.learn(seed, runs, n_updates, rules, [values["exploration"]]).errors)[
        0
    ]


@dataclass(frozen=True, kw_only=True)
class AlgorithmComparison(_InTask):
    """Every algorithm at the numbers chosen for it, on the same networks that chose nothing."""

    title = "Algorithms at numbers chosen alike, on networks that they have not met"
    variables = {
        "trials": Variable(("algorithm", "network"), "trials to criterion", "trials"),
        "reached": Variable(("algorithm", "network"), "whether the criterion was met"),
        "blocks": Variable(("algorithm", "network", "block"), "mean error of 20 trials each"),
        "quiet": Variable(
            ("algorithm", "network"), "mean error of 20 more trials, without exploration"
        ),
        "saturated": Variable(
            ("algorithm", "network"), "mean share of weights whose change was the largest"
        ),
        "errors": Variable(("algorithm", "first network", "trial"), "mean error of first trials"),
    }

    tuning: AlgorithmTuning = AlgorithmTuning()
    n_networks: int = 1024

    @classmethod
    def of(cls, task: str | AlgorithmTuning, **sizes) -> "AlgorithmComparison":
        """Of a search, or in one of `TASKS`."""
        tuning = AlgorithmTuning.of(task) if isinstance(task, str) else task
        same = ("task", "selection", "algorithms", "n_units", "n_trials")
        return cls(tuning=tuning, **{n: getattr(tuning, n) for n in same}, **sizes)

    @property
    def name(self) -> str:
        return f"algorithm_comparison_{self.task.replace(' ', '_')}"

    @property
    def seeds(self) -> dict[str, int]:
        """Of the networks that judge."""
        return {"test": seed(f"algorithms, {self.task}")}

    def coordinates(self):
        return {
            "algorithm": list(self.algorithms),
            "network": range(self.n_networks),
            "block": range(self.n_trials // 20),
            "first network": range(min(_KEPT, self.n_networks)),
            "trial": range(1, VERIFIED + 1),
        }

    def measure_one(self, index: int, selection: xr.Dataset, tuning: xr.Dataset):
        contest, networks = self.contest(index, selection), range(self.n_networks)
        tuned, number = tuning.isel(algorithm=index), self.seeds["test"]
        units = tuned.units.values[None]
        where = (number, networks, self.n_trials)
        score = play(contest, [tuned.best.values], units, *where, observe=share_at_bound)
        state = jax.tree.map(lambda a: a[0], score.state)
        blocks = score.errors[0, :, : self.n_trials // 20 * 20]
        return {
            "trials": score.trials[0],
            "reached": score.reached[0],
            "blocks": blocks.reshape(self.n_networks, -1, 20).mean(axis=-1).astype(np.float32),
            "quiet": error_without_exploration(contest, state, number, networks),
            "saturated": np.asarray(score.observed)[0].mean(axis=-1),
            "errors": score.first[0, :_KEPT],
        }

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, selection: xr.Dataset, tuning: xr.Dataset
    ):
        contest, tuned = self.contest(index, selection), tuning.isel(algorithm=index)
        networks = range(len(recorded["first network"]))
        where = (self.seeds["test"], networks, VERIFIED * contest.algorithm.trials)
        return {"errors": first_errors(contest, tuned.best.values, tuned.units, *where)}
