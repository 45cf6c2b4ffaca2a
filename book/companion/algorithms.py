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

import numpy as np
import xarray as xr

from companion.competition import (
    Comparison,
    Competition,
    Tuning,
    comparison_variables,
    first_errors,
    tuning_variables,
)
from companion.contest import NAMES, TASKS, Contest, algorithms
from companion.experiment import Variable
from companion.learned_rule import Selection, learned_coefficients
from companion.search import Search
from companion.seeds import seed
from companion.tuning import VERIFIED
from plasticity.learning.setting import Setting
from plasticity.types import require

# Trials of the long delay are twice as long: it gets half as many in the search, for all alike.
SEARCHES: dict[str, Search] = {"long delay": Search((64, 16), (6, 64), (3, 64), 5, (3, 128))}


@dataclass(frozen=True, kw_only=True)
class _InTask(Competition):
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

    @property
    def competitors(self) -> tuple[str, ...]:
        """The algorithms."""
        return self.algorithms

    @property
    def setting(self) -> Setting:
        """That of the task."""
        return TASKS[self.task][0](n_units=self.n_units)

    def contest(self, index: int, selection: xr.Dataset) -> Contest:
        """The algorithm of that number in the setting of the task."""
        learned, _ = learned_coefficients(selection)
        of = algorithms(learned, self.n_units)
        return Contest(self.setting, of[self.algorithms[index]])


@dataclass(frozen=True, kw_only=True)
class AlgorithmTuning(_InTask, Tuning):
    """The free numbers of every algorithm, searched for on validation networks."""

    title = "Free numbers of algorithms, searched for alike"
    seeds = {"validation": seed("choice of algorithms")}
    variables = tuning_variables("algorithm")

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


@dataclass(frozen=True, kw_only=True)
class AlgorithmComparison(_InTask, Comparison):
    """Every algorithm at the numbers chosen for it, on the same networks that chose nothing."""

    title = "Algorithms at numbers chosen alike, on networks that they have not met"
    variables = comparison_variables("algorithm")

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
            "first network": range(min(8, self.n_networks)),
            "trial": range(1, VERIFIED + 1),
        }

    def measure(self, which: np.ndarray, selection: xr.Dataset):
        plays = [self._play(index, selection, self.n_networks, self.n_trials) for index in which]
        errors = [np.asarray(run())[:8, :VERIFIED] for run in plays]
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
