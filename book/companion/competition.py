"""What a competition of rules records: the search for the free numbers of each, and the judgement.

A subclass of `Tuning` or `Comparison` says what competes; everything else is the same for all.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import numpy as np
import xarray as xr

from companion.contest import (
    BOUNDS,
    NUMBERS,
    Contest,
    error_without_exploration,
    play,
    share_at_bound,
)
from companion.experiment import Experiment, Variable
from companion.search import ROUNDS, Search, Searcher, networks_of
from companion.tuning import VERIFIED
from plasticity.rules.base import stack

_MOST_TRIED = 256  # points of a search
_KEPT = 8  # networks whose first errors are kept


class Competition(Experiment):
    """Rules in one setting.

    Attributes:
        competitors: their names, the labels of the axis.
        n_first: changes of weights whose errors are kept, `Contest.n_first`.
        n_trials: H, of a lifetime.
    """

    n_first: ClassVar[int] = VERIFIED

    competitors: Sequence[str]
    n_trials: int

    def contest(self, index: int, **needs: xr.Dataset) -> Contest:
        """The competitor of that number in the setting."""
        raise NotImplementedError(f"{type(self).__name__}.contest")


def tuning_variables(axis: str) -> dict[str, Variable]:
    """Of a `Tuning` whose axis is called so."""
    return {
        "points": Variable((axis, "attempt", "number"), "rungs tried; −1 for none"),
        "stage": Variable((axis, "attempt"), "round of the attempt; −1 for none"),
        "trials": Variable((axis, "attempt"), "restricted mean to criterion", "trials"),
        "error": Variable((axis, "attempt"), "mean error of all its trials"),
        "best": Variable((axis, "number"), "rungs chosen; −1 for none"),
        "values": Variable((axis, "number"), "numbers chosen; NaN for none"),
        "units": Variable((axis, "trace"), "r.m.s. of traces, by which steps are divided"),
        "validation": Variable(
            (axis, "network"), "trials to criterion there, in the last round", "trials"
        ),
        "errors": Variable((axis, "first network", "trial"), "mean error of first trials"),
    }


class Tuning(Competition):
    """The free numbers of every competitor, searched for on validation networks.

    Attributes:
        search: its sizes.
    """

    search: Search

    def validation_seed(self, index: int) -> int:
        """Of the networks on which a competitor's numbers are searched for."""
        return self.seeds["validation"]

    def seed_of_search(self, number: int) -> int:
        """Of the networks of a search, where several are made: others for each, from 1 on."""
        if number == 1:
            return self.seeds["validation"]
        return self.seeds["searched again"] + number - 2

    def coordinates(self):
        return {
            self.axis: list(self.competitors),
            "attempt": range(_MOST_TRIED),
            "number": list(NUMBERS),
            "trace": ["recurrent", "readout"],
            "network": networks_of(ROUNDS.index("last"), self.search.last[1]),
            "first network": range(min(_KEPT, self.search.last[1])),
            "trial": range(1, self.n_first + 1),
        }

    def measure_one(self, index: int, **needs: xr.Dataset):
        contest = self.contest(index, **needs)
        searcher = Searcher(contest, self.search, self.validation_seed(index), self.n_trials)
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

    def measure_one_again(self, index: int, recorded: xr.Dataset, **needs: xr.Dataset):
        contest = self.contest(index, **needs)
        # Chosen again from what all points gave, and then learned by again.
        last = recorded.stage.values == ROUNDS.index("last")
        ranks = zip(recorded.trials.values[last], recorded.error.values[last], strict=True)
        place = min(enumerate(ranks), key=lambda one: one[1])[0]
        best = recorded.points.values[last][place]
        networks = networks_of(ROUNDS.index("last"), len(recorded["first network"]))
        where = (self.validation_seed(index), networks, self.n_first * contest.algorithm.trials)
        return {"best": best, "errors": first_errors(contest, best, recorded.units, *where)}


def first_errors(contest: Contest, point, units, seed: int, runs, n_trials: int) -> np.ndarray:
    """Errors of the first changes of weights at one point, (networks, changes)."""
    values = contest.values(point)
    rules = stack([contest.rule(values, np.asarray(units))])
    n_updates = n_trials // contest.algorithm.trials
    lifetimes = contest.learn(seed, runs, n_updates, rules, [values["exploration"]])
    return np.asarray(lifetimes.errors)[0]


def comparison_variables(axis: str) -> dict[str, Variable]:
    """Of a `Comparison` whose axis is called so."""
    return {
        "trials": Variable((axis, "network"), "trials to criterion", "trials"),
        "reached": Variable((axis, "network"), "whether the criterion was met"),
        "blocks": Variable((axis, "network", "block"), "mean error of 20 trials each"),
        "quiet": Variable((axis, "network"), "mean error of 20 more trials, without exploration"),
        "saturated": Variable(
            (axis, "network"), "mean share of weights whose change was the largest"
        ),
        "errors": Variable((axis, "first network", "trial"), "mean error of first trials"),
    }


class Comparison(Competition):
    """Every competitor at the numbers chosen for it, on the same networks, which chose nothing.

    Attributes:
        tuning: what chose them.
        n_networks: that judge.
        saturation: share of weights at the bound, as `plasticity.learn` observes it.
    """

    saturation: ClassVar[Callable[..., Any]] = staticmethod(share_at_bound)

    tuning: Tuning
    n_networks: int

    def coordinates(self):
        return {
            self.axis: list(self.competitors),
            "network": range(self.n_networks),
            "block": range(self.n_trials // 20),
            "first network": range(min(_KEPT, self.n_networks)),
            "trial": range(1, self.n_first + 1),
        }

    def measure_one(self, index: int, tuning: xr.Dataset, **needs: xr.Dataset):
        contest, networks = self.contest(index, **needs), range(self.n_networks)
        tuned, number = tuning.isel({self.axis: index}), self.seeds["test"]
        units = tuned.units.values[None]
        where = (number, networks, self.n_trials)
        score = play(contest, [tuned.best.values], units, *where, observe=self.saturation)
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
        self, index: int, recorded: xr.Dataset, tuning: xr.Dataset, **needs: xr.Dataset
    ):
        contest, tuned = self.contest(index, **needs), tuning.isel({self.axis: index})
        networks = range(len(recorded["first network"]))
        where = (self.seeds["test"], networks, self.n_first * contest.algorithm.trials)
        return {"errors": first_errors(contest, tuned.best.values, tuned.units, *where)}


def tried_points(tuned: xr.Dataset) -> xr.Dataset:
    """Of one competitor in a `Tuning`, the attempts that were made."""
    return tuned.isel(attempt=np.flatnonzero(tuned["stage"].values >= 0))


def numbers_at_edge(tuned: xr.Dataset) -> list[str]:
    """Free numbers of one competitor whose best rung is an end of what was tried; no bound is none.

    A `Tuning` whose search came to its end has none.
    """
    points = tried_points(tuned).points.values
    found = []
    for place, name in enumerate(NUMBERS):
        best, tried = int(tuned.best[place]), points[:, place]
        unbounded = name == "bound" and best == len(BOUNDS.values) - 1
        if best >= 0 and not unbounded and best in (tried.min(), tried.max()):
            found.append(name)
    return found


def by_labels(values: xr.DataArray, names: tuple[str, ...]) -> xr.DataArray:
    """Values along competitors called "a; b; …", by the parts of their names: (names, …)."""
    axis = values.dims[0]
    parts = list(zip(*(one.split("; ") for one in values[axis].values.tolist()), strict=True))
    labels = {name: (axis, list(part)) for name, part in zip(names, parts, strict=True)}
    together = values.drop_vars(axis).assign_coords(labels).set_index({axis: names}).unstack(axis)
    order = {name: list(dict.fromkeys(part)) for name, part in zip(names, parts, strict=True)}
    return together.sel(order).transpose(*names, ...)
