"""Chapter 10: three-factor rules and other algorithms, each with its free numbers tuned alike.

The protocol, written before anything was judged. *Question*: which algorithm needs how many trials,
and how far do they go? *Judge*: the restricted mean of trials to criterion over 300 trials on 1,024
networks, the same for all; each algorithm less the learned rule, and less (3,3), paired by network,
with intervals that are simultaneous for all algorithms of a task (Bonferroni). Beside it the error
of the last 100 trials, and of 20 more without exploration. *Size*: the spread on the validation
networks says which difference 1,024 networks find with 80% power; the chapter prints it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import jax
import numpy as np
import xarray as xr

from companion.contest import (
    BOUNDS,
    NAMES,
    NUMBERS,
    TASKS,
    Contest,
    algorithms,
    error_without_exploration,
    play,
    share_at_bound,
)
from companion.experiment import Experiment, Variable
from companion.learned_rule import Selection, learned_coefficients
from companion.search import ROUNDS, Search, Searcher, networks_of
from companion.seeds import seed
from companion.tuning import VERIFIED
from plasticity.rules.base import stack
from plasticity.types import require

_MOST_TRIED = 256  # points of a search
# Trials of the long delay are twice as long: it gets half as many in the search, for all alike.
SEARCHES: dict[str, Search] = {"long delay": Search((64, 16), (6, 64), (3, 64), 5, (3, 128))}


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
        search = SEARCHES.get(task, Search())
        given = {"selection": Selection.of(TASKS[task][1]), "search": search} | sizes
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
            "network": networks_of(ROUNDS.index("last"), self.search.last[1]),
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
        networks = networks_of(ROUNDS.index("last"), len(recorded["first network"]))
        where = (self.seeds["validation"], networks, VERIFIED * contest.algorithm.trials)
        return {"best": best, "errors": first_errors(contest, best, recorded.units, *where)}


def first_errors(contest: Contest, point, units, seed: int, runs, n_trials: int) -> np.ndarray:
    """Errors of the first changes of weights at one point, (networks, changes)."""
    values = contest.values(point)
    rules = stack([contest.rule(values, np.asarray(units))])
    n_updates = n_trials // contest.algorithm.trials
    lifetimes = contest.learn(seed, runs, n_updates, rules, [values["exploration"]])
    return np.asarray(lifetimes.errors)[0]


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


def tried_points(tuned: xr.Dataset) -> xr.Dataset:
    """Of one algorithm in an `AlgorithmTuning`, the attempts that were made."""
    return tuned.isel(attempt=np.flatnonzero(tuned["stage"].values >= 0))


def numbers_at_edge(tuned: xr.Dataset) -> list[str]:
    """Free numbers of one algorithm whose best rung is an end of what was tried; no bound is none.

    An `AlgorithmTuning` of a search that came to its end has none.
    """
    points = tried_points(tuned).points.values
    found = []
    for place, name in enumerate(NUMBERS):
        best, tried = int(tuned.best[place]), points[:, place]
        unbounded = name == "bound" and best == len(BOUNDS.values) - 1
        if best >= 0 and not unbounded and best in (tried.min(), tried.max()):
            found.append(name)
    return found


@dataclass(frozen=True, kw_only=True)
class AlgorithmCost(_InTask):
    """The time of a trial of each algorithm, all in one run of a machine that does nothing else."""

    name = "algorithm_cost"
    title = "Time of a trial of each algorithm"
    part = len(NAMES)
    seeds = {"validation": seed("choice of algorithms")}
    variables = {
        "seconds": Variable(("algorithm", "repeat"), "time of a trial of one network", "s"),
        "errors": Variable(("algorithm", "first network", "trial"), "mean error of first trials"),
    }

    n_networks: int = 16
    n_trials: int = 60
    n_repeats: int = 7

    def coordinates(self):
        return {
            "algorithm": list(self.algorithms),
            "repeat": range(self.n_repeats),
            "first network": range(min(_KEPT, self.n_networks)),
            "trial": range(1, VERIFIED + 1),
        }

    def measure(self, which: np.ndarray, selection: xr.Dataset):
        plays = [self._play(index, selection, self.n_networks, self.n_trials) for index in which]
        errors = [np.asarray(run())[:_KEPT, :VERIFIED] for run in plays]
        seconds = np.zeros((len(plays), self.n_repeats))
        # In turns, so that a slow moment of the machine does not fall on one of them.
        for repeat, (place, run) in product(range(self.n_repeats), enumerate(plays)):
            start = time.perf_counter()
            run()
            taken = time.perf_counter() - start
            seconds[place, repeat] = taken / (self.n_networks * self.n_trials)
        return {"seconds": seconds, "errors": errors}

    def measure_again(self, which: np.ndarray, recorded: xr.Dataset, selection: xr.Dataset):
        n = len(recorded["first network"])
        return {
            "errors": [self._play(i, selection, n, 2 * VERIFIED)()[:, :VERIFIED] for i in which]
        }

    def _play(self, index: int, selection: xr.Dataset, n: int, n_trials: int) -> Callable:
        """What runs lifetimes of an algorithm, at the middle of its first grid, (networks, H)."""
        contest = self.contest(index, selection)
        where = (self.seeds["validation"], range(n), n_trials)
        return partial(first_errors, contest, contest.middle, np.ones(2), *where)
