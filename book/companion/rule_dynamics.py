"""Chapter 09: what each rule does to the same networks, once they have come equally far.

The protocol, written before a network judged.

*Question*: are two networks that learned the same task by different rules further apart than two
that learned it by the same rule? And do rules differ in any number that describes a network?

*Rules*: those of chapter 10 that change recurrent weights alone, each with the numbers that were
chosen for it there, on other networks.

*Matching* (`companion.matching`): after equally many trials a fast rule has learned more. So a
network is looked at when its error without exploration first falls to 0.7, 0.5 and 0.3 (before
learning it is about 1), and, apart from that, when ‖W − W0‖ / ‖W0‖ first reaches 0.02 and 0.05. The
last change of weights is cut at the level, so that networks match exactly whatever the size of
their steps. The main match is an error of 0.5. Networks that are there before they learn are left
out. Rules that match in fewer than 90% of the others within 400 trials are named and left out of
that match, and so are networks that do not match under all rules that stay.

*Yardstick*: each network learns twice by each rule, from other kicks and other initial states. Two
rules are always compared across the two, so that rules are all that differs from the yardstick.

*Judge one*: distances between two networks, in the change of weights (1 − cosine), in activity
(1 − CKA) and in the tangent kernel (1 − alignment). The mean over pairs of different rules, over
that of pairs of the same, network by network; 1 says that a rule leaves no mark. For the rules of
this book alone (powers), for all that learn from reward, and for all, with 95% intervals that hold
together and resample networks. *Judge two*: every number of a network: the spread of the rules'
means over the spread of networks (Cohen's f), tested by exchanging labels within networks,
corrected for all numbers; and the f that is found with 80% power. That test is made a second time
between the two halves of the yardstick, where there is nothing to find.

*Size*: 256 networks. With the spread of a pilot of 16 others they find ratios of 1.02 in weights
and in activity and of 1.1 in tangent kernels with 80% power. Points of rest and spectra take longer
and are sought in 48 of them; the chapter prints which f these find.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr

from companion.algorithms import AlgorithmTuning
from companion.contest import FAMILIES, NAMES, Contest, trace_sizes
from companion.experiment import Experiment, Variable
from companion.matching import Match, Moments, check_matched, learn_until_matched
from companion.seeds import seed
from companion.tuning import VERIFIED
from plasticity.dynamics.laziness import (
    effective_rank,
    kernel_alignment,
    output_alignment,
    representation_alignment,
    tangent_kernel,
)
from plasticity.dynamics.portrait import (
    ACTIVITY_MEASURES,
    POINT_MEASURES,
    TRIAL_MEASURES,
    Trials,
    activity_measures,
    draw_portrait,
    point_measures,
    trial_measures,
    unperturbed_trials,
)
from plasticity.dynamics.spectrum import jacobian
from plasticity.learning.setting import Setting
from plasticity.model.network import Network
from plasticity.rules.base import stack
from plasticity.types import require

_NOT_HERE = ("readout only", "e-prop, random B, plastic readout", "no learning")
RULES = tuple(name for name in NAMES if name not in _NOT_HERE)
REWARDED = tuple(name for name in RULES if name not in FAMILIES["the target"])
LAZINESS = (
    "representation alignment",
    "kernel alignment",
    "effective rank of the change",
    "output alignment",
)
MEASURES = (*ACTIVITY_MEASURES, *LAZINESS)
LOOKS = (*TRIAL_MEASURES[len(ACTIVITY_MEASURES) :], *POINT_MEASURES)
DISTANCES = ("weights", "activity", "tangent kernel")
MATCHES = (
    Match("error", 0.5),
    Match("error", 0.7),
    Match("error", 0.3),
    Match("change", 0.02),
    Match("change", 0.05),
)
_KICKS = 2  # times that a network learns by each rule
_CHECKED = 3  # rules of a block whose first trials are learned again
_EARLY = 2  # networks of a block in which they are


def check_rules(rules: Sequence[str]) -> None:
    """Raise ValueError for names that are not in `RULES`."""
    unknown = [name for name in rules if name not in RULES]
    require(not unknown, "rules of this chapter", unknown, f"choose from {RULES}")


class Beginning(NamedTuple):
    """A network before it learns, its trials without kicks, and its tangent kernel."""

    network: Network
    trials: Trials
    kernel: np.ndarray


class Look(NamedTuple):
    """A network with other weights than at the beginning, and the same of it."""

    network: Network
    trials: Trials
    kernel: np.ndarray
    change: np.ndarray


def beginnings(setting: Setting, number: int, runs: Sequence[int]) -> list[Beginning]:
    """Networks of a seed, as they are before they learn."""
    together, place = setting.networks(number, runs), (setting.task, setting.learner)
    networks = [jax.tree.map(lambda a, i=i: np.asarray(a)[i], together) for i in range(len(runs))]
    return [
        Beginning(
            network,
            unperturbed_trials(network, *place, seed=number),
            tangent_kernel(network, *place, seed=number),
        )
        for network in networks
    ]


def look_at(setting: Setting, number: int, W: np.ndarray, before: Beginning) -> Look:
    """The network with the weights W."""
    network = before.network._replace(W=W)
    place = (network, setting.task, setting.learner)
    trials, kernel = (of(*place, seed=number) for of in (unperturbed_trials, tangent_kernel))
    return Look(network, trials, kernel, np.asarray(W, float) - before.network.W)


def _as_it_was(before: Beginning) -> Look:
    return Look(*before, np.zeros(before.network.W.shape))


def measures_of(look: Look, before: Beginning) -> np.ndarray:
    """`MEASURES` of a network, (9,); a change of zero has no rank."""
    activity = activity_measures(look.network, look.trials, before[:2])
    ends, ends0 = (np.tanh(of.trials.states[:, -1]) for of in (look, before))
    rates = np.tanh(look.trials.states.reshape(-1, look.trials.states.shape[-1]))
    laziness = (
        representation_alignment(ends, ends0),
        kernel_alignment(look.kernel, before.kernel),
        effective_rank(look.change) if look.change.any() else np.nan,
        output_alignment(look.network.W_out, rates),
    )
    return np.array([*activity.values(), *laziness])


def looks_of(
    setting: Setting, number: int, network: Network, before: Beginning, n_starts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`LOOKS`, (21,); the operating point of the first condition, (N,); its eigenvalues, (N, 2)."""
    place = (setting.task, setting.learner)
    portrait = draw_portrait(network, *place, n_starts=n_starts, seed=number)
    spectra = trial_measures(network, portrait.trials, setting.learner, before[:2])
    numbers = spectra | point_measures(network, portrait, setting.learner)
    x = portrait.operating[0]
    values = np.full(len(x), np.nan, complex)
    if np.isfinite(x).all():
        J = jacobian(np.asarray(network.W), x, setting.learner.dynamics.transfer)
        values = np.linalg.eigvals(J).astype(complex)
    parts = np.stack([values.real, values.imag], axis=-1)
    return np.array([numbers[name] for name in LOOKS]), x, parts.astype(np.float32)


def features_of(look: Look) -> list[np.ndarray]:
    """For each of `DISTANCES` the vector of length 1 whose inner products are the similarities."""
    states = look.trials.states.reshape(-1, len(look.change))
    states = states - states.mean(axis=0)
    vectors = [a.ravel() for a in (look.change, states @ states.T, look.kernel)]
    return [vector / np.linalg.norm(vector) for vector in vectors]


def distances_between(features: dict[tuple[int, int], list[np.ndarray]], n_rules: int):
    """`DISTANCES` of one network by (rule, kicks), (rules, rules, 3); NaN where one is missing.

    Always between two kicks, so that rules are all that differs from the diagonal; the mean of the
    two choices.
    """
    apart = np.full((n_rules, _KICKS, n_rules, _KICKS, len(DISTANCES)), np.nan)
    if features:
        places = np.array(list(features))
        rules, kicks = places.T
        for kind, vectors in enumerate(zip(*features.values(), strict=True)):
            matrix = np.stack(vectors)
            first, second = (rules[:, None], kicks[:, None]), (rules[None], kicks[None])
            apart[(*first, *second, kind)] = 1 - matrix @ matrix.T
    return (apart[:, 0, :, 1] + apart[:, 1, :, 0]) / 2


class Chosen(NamedTuple):
    """A rule in a setting, and the numbers chosen for it, as `companion.contest.play` takes them.

    Attributes:
        contest: the two.
        point: rungs of its numbers.
        units: r.m.s. of traces, by which steps are divided.
    """

    contest: Contest
    point: np.ndarray
    units: np.ndarray


def chosen_contest(
    search: AlgorithmTuning,
    name: str,
    tuned: xr.Dataset,
    selection: xr.Dataset,
    *,
    setting: Setting | None = None,
    number: int = 0,
) -> Chosen:
    """An algorithm with the numbers that a search chose for it.

    Args:
        tuned: the result of the search.
        setting: another than that of the search, in which steps are as large relative to the traces
            of first trials, on networks of the seed ``number``.

    Raises:
        ValueError: an algorithm that was not searched.
    """
    fix = f"choose from {search.algorithms}"
    require(name in search.algorithms, "an algorithm of the search", repr(name), fix)
    index = search.algorithms.index(name)
    contest, one = search.contest(index, selection), tuned.isel(algorithm=index)
    point = one.best.values
    if setting is None:
        return Chosen(contest, point, one.units.values)
    contest = Contest(setting, contest.algorithm)
    size = contest.values(point)["exploration"]
    return Chosen(contest, point, trace_sizes(contest, [size], number)[0])


def early_measures(
    chosen: Chosen, number: int, runs: Sequence[int], before: Sequence[Beginning]
) -> list[np.ndarray]:
    """`MEASURES` of networks after few changes of weights, so few that float32 and float64 agree.

    Args:
        before: the networks of ``runs`` of the seed ``number``.
    """
    contest = chosen.contest
    values = contest.values(chosen.point)
    rules = stack([contest.rule(values, chosen.units)])
    lifetimes = contest.learn(number, runs, VERIFIED, rules, [values["exploration"]])
    pairs = zip(np.asarray(lifetimes.state.W)[0], before, strict=True)
    return [measures_of(look_at(contest.setting, number, w, b), b) for w, b in pairs]


@dataclass(frozen=True, kw_only=True)
class RuleDynamics(Experiment):
    """Networks that have come equally far by every rule, from the same starts.

    Attributes:
        tuning: where the numbers of the rules were chosen.
        rules: names in `RULES`.
        n_networks: of a block.
        n_looked: of them, how many have points of rest and spectra.
        n_trials: the horizon of learning.
        n_starts: of the search for fixed points, for each network and constant input.

    Raises:
        ValueError: an unknown rule, fewer than two of them, more networks looked at than there are.
    """

    name = "rule_dynamics"
    title = "Networks as dynamical systems, when they have come equally far by every rule"
    axis = "block"
    seeds = {"dynamics": seed("dynamics, matched")}
    variables = {
        "after": Variable(
            ("block", "rule", "kicks", "match", "within"),
            "trials of learning until the network matched; NaN where the horizon came first",
            "trials",
        ),
        "measures": Variable(
            ("block", "rule", "kicks", "match", "within", "measure"),
            "numbers from weights, from trials without kicks and from tangent kernels; NaN where"
            " the network did not match",
        ),
        "untrained": Variable(("block", "within", "measure"), "the same before learning"),
        "distances": Variable(
            ("block", "rule", "other", "match", "within", "distance"),
            "between networks that learned by a rule and by another from other kicks; beside the"
            " diagonal the mean of the two choices of kicks",
        ),
        "looks": Variable(
            ("block", "rule", "kicks", "looked", "look"),
            "numbers from spectra and fixed points at the first match; abscissas in 1/τ",
            "1 (frequency: Hz)",
        ),
        "untrained_looks": Variable(("block", "looked", "look"), "the same before learning"),
        "eigenvalues": Variable(
            ("block", "rule", "looked", "mode", "component"),
            "of the Jacobian at the operating point of the first cue, at the first match, with the"
            " first kicks; NaN where there is none",
            "1/τ",
        ),
        "weights": Variable(
            ("block", "post", "pre"),
            "W at the first match of the first network that matched by the first checked rule",
        ),
        "which": Variable(("block",), "number of that network within its block"),
        "kept": Variable(("block", "measure"), "numbers of the network with these weights"),
        "operating": Variable(
            ("block", "unit"),
            "x of its fixed point nearest to where the trials of the first cue end; NaN where"
            " there is none",
        ),
        "early": Variable(
            ("block", "checked", "first network", "measure"),
            f"numbers of first networks after {VERIFIED} changes of weights by checked rules",
        ),
    }

    tuning: AlgorithmTuning = AlgorithmTuning()
    rules: tuple[str, ...] = RULES
    n_blocks: int = 8
    n_networks: int = 32
    n_looked: int = 6
    n_trials: int = 400
    n_starts: int = 200

    def __post_init__(self) -> None:
        check_rules(self.rules)
        require(len(self.rules) >= 2, "two rules or more", self.rules, "name another")
        fits = self.n_looked <= self.n_networks
        rule = f"n_looked ≤ n_networks = {self.n_networks}"
        require(fits, rule, self.n_looked, "look at fewer, or take larger blocks")

    @property
    def needs(self) -> dict[str, Experiment]:
        return {"tuning": self.tuning, "selection": self.tuning.selection}

    def coordinates(self):
        return {
            "block": range(self.n_blocks),
            "rule": list(self.rules),
            "other": list(self.rules),
            "kicks": range(_KICKS),
            "match": [str(match) for match in MATCHES],
            "within": range(self.n_networks),
            "measure": list(MEASURES),
            "distance": list(DISTANCES),
            "looked": range(self.n_looked),
            "look": list(LOOKS),
            "component": ["real", "imaginary"],
            "checked": range(min(_CHECKED, len(self.rules))),
            "first network": range(min(_EARLY, self.n_networks)),
        }

    def checked(self, index: int) -> list[str]:
        """Rules whose first trials in a block are learned again when it is verified."""
        n = min(_CHECKED, len(self.rules))
        return [self.rules[(n * index + place) % len(self.rules)] for place in range(n)]

    def measure_one(self, index: int, tuning: xr.Dataset, selection: xr.Dataset):
        setting, number = self._setting, self.seeds["dynamics"]
        runs = range(index * self.n_networks, (index + 1) * self.n_networks)
        before = beginnings(setting, number, runs)
        contests = {name: self._contest(name, tuning, selection) for name in self.rules}
        moments = [
            [
                learn_until_matched(*one, number, runs, self.n_trials, MATCHES, kicks=kicks)
                for kicks in range(_KICKS)
            ]
            for one in contests.values()
        ]
        named, early = self.checked(index), runs[:_EARLY]
        first = moments[self.rules.index(named[0])][0].W[0]
        numbers, distances = self._compared(moments, before)
        return {
            "after": [[moment.after for moment in of_rule] for of_rule in moments],
            "measures": numbers,
            "distances": distances,
            "untrained": [measures_of(_as_it_was(one), one) for one in before],
            "early": [
                early_measures(contests[n], number, early, before[: len(early)]) for n in named
            ],
            **self._taken_apart(moments, before),
            **self._kept(first, before),
        }

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, tuning: xr.Dataset, selection: xr.Dataset
    ):
        setting, number = self._setting, self.seeds["dynamics"]
        first, which = index * self.n_networks, int(recorded.which)
        early = range(first, first + recorded.sizes["first network"])
        # All of the block: networks that are drawn in another batch may part in the last digit.
        before = beginnings(setting, number, range(first, first + self.n_networks))
        start = before[which]
        look = look_at(setting, number, recorded.weights.values, start)
        chosen = [self._contest(name, tuning, selection) for name in self.checked(index)]
        return {
            "kept": measures_of(look, start),
            "early": [early_measures(one, number, early, before[: len(early)]) for one in chosen],
        }

    @property
    def _setting(self) -> Setting:
        # Made each time, in the precision of the moment: verification is in float64.
        return self.tuning.setting

    def _contest(self, name: str, tuning: xr.Dataset, selection: xr.Dataset):
        """The contest of a rule, and the numbers that were chosen for it."""
        return chosen_contest(self.tuning, name, tuning, selection)

    def _compared(self, moments: list[list[Moments]], before: Sequence[Beginning]):
        """`MEASURES` and `DISTANCES` of all networks at all matches."""
        n_rules, setting, number = len(self.rules), self._setting, self.seeds["dynamics"]
        shape = (len(MATCHES), len(before))
        numbers = np.full((n_rules, _KICKS, *shape, len(MEASURES)), np.nan)
        distances = np.full((n_rules, n_rules, *shape, len(DISTANCES)), np.nan, np.float32)
        for match, network in np.ndindex(shape):
            features: dict[tuple[int, int], list[np.ndarray]] = {}
            for rule, kicks in np.ndindex(n_rules, _KICKS):
                W = moments[rule][kicks].W[match, network]
                if np.isfinite(W).all():
                    look = look_at(setting, number, W, before[network])
                    numbers[rule, kicks, match, network] = measures_of(look, before[network])
                    features[rule, kicks] = features_of(look)
            distances[:, :, match, network] = distances_between(features, n_rules)
        return numbers, distances

    def _taken_apart(self, moments: list[list[Moments]], before: Sequence[Beginning]):
        """Numbers of points of rest and spectra at the first match."""
        setting, number = self._setting, self.seeds["dynamics"]
        n_units, shape = setting.n_units, (len(self.rules), _KICKS, self.n_looked)
        looks = np.full((*shape, len(LOOKS)), np.nan)
        values = np.full((len(self.rules), self.n_looked, n_units, 2), np.nan, np.float32)
        for rule, kicks, network in np.ndindex(shape):
            W, start = moments[rule][kicks].W[0, network], before[network]
            if np.isfinite(W).all():
                moved = start.network._replace(W=W)
                found = looks_of(setting, number, moved, start, self.n_starts)
                looks[rule, kicks, network] = found[0]
                if kicks == 0:
                    values[rule, network] = found[2]
        untrained = [
            looks_of(setting, number, start.network, start, self.n_starts)[0]
            for start in before[: self.n_looked]
        ]
        return {"looks": looks, "untrained_looks": untrained, "eigenvalues": values}

    def _kept(self, W: np.ndarray, before: Sequence[Beginning]):
        """The first network with finite weights, or the first as it was before."""
        setting, number = self._setting, self.seeds["dynamics"]
        finite = np.isfinite(W).all(axis=(1, 2))
        which = int(finite.argmax())
        start = before[which]
        weights = W[which] if finite.any() else np.asarray(start.network.W)
        look = look_at(setting, number, weights, start)
        return {
            "which": which,
            "weights": weights,
            "kept": measures_of(look, start),
            "operating": looks_of(setting, number, look.network, start, self.n_starts)[1],
        }


def by_network(array: xr.DataArray, along: str = "within") -> xr.DataArray:
    """The blocks joined: "block" and this dimension become "network"."""
    return array.stack(network=("block", along)).reset_index("network", drop=True)


def matched_networks(
    taken: xr.Dataset, match: str, rules: Sequence[str] | None = None, *, least: float = 0.9
) -> tuple[list[str], xr.DataArray]:
    """Rules that match in this share of the networks or more, and the networks of all of these.

    Networks that are at the level before they learn count as none.

    Args:
        rules: that have to match; by default those that do.

    Returns:
        Names of the rules, and whether each network matches under all of them, (networks,).

    Raises:
        ValueError: one of ``rules`` does not match.
    """
    matched = by_network(np.isfinite(taken.after.sel(match=match))).all("kicks")
    of, level = match.split()
    away = by_network(taken.untrained).sel(measure="error") > float(level)
    counted = away if of == "error" else xr.ones_like(away)
    return matched_under(matched, counted, rules, least=least)


def matched_under(
    matched: xr.DataArray,
    counted: xr.DataArray,
    rules: Sequence[str] | None = None,
    *,
    least: float = 0.9,
) -> tuple[list[str], xr.DataArray]:
    """The same of (rules, networks) that match and of the networks that count."""
    shares = matched.isel(network=counted.values).mean("network").to_series()
    if rules is None:
        rules = list(shares.index[shares >= least])
    check_matched(dict(shares[list(rules)]), least)
    return list(rules), matched.sel(rule=list(rules)).all("rule")


def apart(distances: xr.DataArray, rules: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance between networks of different rules, and of the same, (..., networks) each.

    Args:
        distances: over "rule", "other" and "network".
        rules: two or more, among which they are taken.
    """
    chosen = distances.sel(rule=list(rules), other=list(rules))
    values = chosen.transpose(..., "network", "rule", "other").values
    same = np.eye(len(rules), dtype=bool)
    return values[..., ~same].mean(axis=-1), values[..., same].mean(axis=-1)
