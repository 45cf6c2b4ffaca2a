"""A search for the free numbers of an algorithm, of the same size for all.

A first grid, a short list, the neighbours of the best again and again, and a last choice among the
best of all, each round on networks of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from companion.contest import NUMBERS, Contest, Ladder, play, trace_sizes


class Search(NamedTuple):
    """Sizes: (points, networks) of each round. (Ours.)

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
BRIEFLY = Search(grid=(4, 2), short=(2, 2), near=(1, 2), moves=1, last=(2, 2))
_ROWS, _COLUMNS = 4, 64  # points and networks of one program


class Tried(NamedTuple):
    """A point, the round it was tried in, and how it did there.

    Attributes:
        trials, errors: to criterion, and the mean of all trials, (networks,).
        first: errors of the first changes of weights, (networks, n_first).
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
        """Grid, shortlist, neighbours, and the last choice, which is returned.

        An algorithm without free numbers meets the networks of the last choice alone.
        """
        if not self.contest.ladders:
            return self._play("last", self._grid())[0]
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
        rows = _ROWS if self.contest.ladders and not grid else len(points)
        columns = n if grid else min(_COLUMNS, n)
        new = []
        for group in (points[i : i + rows] for i in range(0, len(points), rows)):
            # Filled up with repeats, so that one program serves all rounds but the first.
            full = group + group[-1:] * (rows - len(group))
            each = [
                play(self.contest, full, self._units(full), self.seed, networks, n_trials)
                for networks in in_parts(networks_of(number, n), columns)
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


def networks_of(number: int, n: int) -> range:
    """The validation networks of a round: no two rounds share one."""
    return range(1000 * number, 1000 * number + n)


def in_parts(networks: range, size: int) -> list[range]:
    """The same networks, so many at a time."""
    return [networks[i : i + size] for i in range(0, len(networks), size)]


def _best(tried: Sequence[Tried], n: int) -> list[tuple[int, ...]]:
    return [t.point for t in sorted(tried, key=lambda t: t.rank)[:n]]
