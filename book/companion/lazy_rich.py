"""Chapter 09: is learning lazy or rich, rule by rule, over the gain and the size of the readout?

The protocol, written before a network judged. *Question*: how far do weights, activity and the
tangent kernel move until a network errs by no more than 0.5 without exploration, from about 1? In
which order do rules move them, and does the order hold where the network is not chaotic (g = 0.8),
and where the readout is small or large? *Who*: the rules of chapter 09, at g = 0.8, 1.2, 1.5 and
1.8 and readouts of a third, once and three times their size (at g = 0.8 and 1.5). A step is as
large relative to the trace of a first trial as the one that was chosen at g = 1.5; a bound is the
same. Neither was tuned for the other places, and a rule that matches in fewer than 90% of the
networks of a place is not compared there. *Judge*: for each rule the means over the 64 networks of
a place, with 95% intervals. The claim that one rule is lazier than another asks for both alignments
to be larger and ‖ΔW‖ to be smaller, each by an interval corrected for all pairs at that place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import xarray as xr

from companion.algorithms import AlgorithmTuning
from companion.experiment import Experiment, Variable
from companion.matching import Match, learn_until_matched
from companion.rule_dynamics import (
    MEASURES,
    RULES,
    Beginning,
    beginnings,
    check_rules,
    chosen_contest,
    early_measures,
    look_at,
    measures_of,
)
from companion.seeds import seed
from companion.tuning import VERIFIED
from plasticity.learning.setting import Setting
from plasticity.model.network import Network, random_network
from plasticity.types import PRNGKey

MATCH = Match("error", 0.5)


class Place(NamedTuple):
    """Where networks learn.

    Attributes:
        gain: g of the recurrent weights.
        readout: times the usual size of the readout.
    """

    gain: float
    readout: float

    def __str__(self) -> str:
        return f"g = {self.gain:g}, readout × {self.readout:g}"


PLACES = (
    *(Place(gain, 1.0) for gain in (0.8, 1.2, 1.5, 1.8)),
    *(Place(gain, readout) for gain in (0.8, 1.5) for readout in (1 / 3, 3.0)),
)


@dataclass(frozen=True)
class ScaledReadout:
    """Draws networks of a setting whose readout is ``times`` as large."""

    n_units: int
    n_inputs: int
    gain: float
    times: float

    def __call__(self, key: PRNGKey) -> Network:
        network = random_network(key, self.n_units, self.n_inputs, gain=self.gain)
        return network._replace(W_out=self.times * network.W_out)


def setting_at(setting: Setting, place: Place) -> Setting:
    """The setting with another gain and another readout."""
    draw = ScaledReadout(setting.n_units, setting.task.n_inputs, *place)
    return replace(setting, gain=place.gain, draw=draw)


@dataclass(frozen=True, kw_only=True)
class LazyRich(Experiment):
    """How far networks have moved when they have come equally far, over gains and readouts.

    Attributes:
        tuning: where the numbers of the rules were chosen.
        rules: names in `companion.rule_dynamics.RULES`.
        places: g and size of the readout of each.
        n_networks: at each place.
        n_trials: the horizon of learning.

    Raises:
        ValueError: an unknown rule.
    """

    name = "lazy_rich"
    title = "How far networks have moved when they have come equally far"
    axis = "place"
    seeds = {"networks": seed("lazy or rich")}
    variables = {
        "after": Variable(
            ("place", "rule", "network"),
            "trials of learning until the network matched; NaN where the horizon came first",
            "trials",
        ),
        "measures": Variable(
            ("place", "rule", "network", "measure"),
            "numbers from weights, from trials without kicks and from tangent kernels; NaN where"
            " the network did not match",
        ),
        "untrained": Variable(("place", "network", "measure"), "the same before learning"),
        "early": Variable(
            ("place", "first network", "measure"),
            f"numbers of first networks after {VERIFIED} changes of weights by one of the rules",
        ),
    }

    tuning: AlgorithmTuning = AlgorithmTuning()
    rules: tuple[str, ...] = RULES
    places: tuple[tuple[float, float], ...] = PLACES
    n_networks: int = 64
    n_trials: int = 400

    def __post_init__(self) -> None:
        check_rules(self.rules)

    @property
    def needs(self) -> dict[str, Experiment]:
        return {"tuning": self.tuning, "selection": self.tuning.selection}

    def coordinates(self):
        return {
            "place": [str(Place(*place)) for place in self.places],
            "rule": list(self.rules),
            "network": range(self.n_networks),
            "measure": list(MEASURES),
            "first network": range(min(2, self.n_networks)),
        }

    def measure_one(self, index: int, tuning: xr.Dataset, selection: xr.Dataset):
        before = self._beginnings(index, self.n_networks)
        measures = np.full((len(self.rules), self.n_networks, len(MEASURES)), np.nan)
        after = np.full(measures.shape[:2], np.nan)
        for rule, name in enumerate(self.rules):
            given = self._contest(index, name, tuning, selection)
            where = (self.seeds["networks"], range(self.n_networks), self.n_trials)
            found = learn_until_matched(*given, *where, (MATCH,))
            after[rule] = found.after[0]
            for network in np.flatnonzero(np.isfinite(after[rule])):
                measures[rule, network] = self._measures(
                    index, found.W[0, network], before[network]
                )
        untrained = [self._measures(index, one.network.W, one) for one in before]
        early = self._early(index, before, tuning, selection)
        return {"after": after, "measures": measures, "untrained": untrained, "early": early}

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, tuning: xr.Dataset, selection: xr.Dataset
    ):
        before = self._beginnings(index, recorded.sizes["first network"])
        return {"early": self._early(index, before, tuning, selection)}

    def _setting(self, index: int) -> Setting:
        # Made each time, in the precision of the moment: verification is in float64.
        return setting_at(self.tuning.setting, Place(*self.places[index]))

    def _beginnings(self, index: int, n: int) -> list[Beginning]:
        return beginnings(self._setting(index), self.seeds["networks"], range(n))

    def _contest(self, index: int, name: str, tuning: xr.Dataset, selection: xr.Dataset):
        """The contest of a rule at a place, its numbers, and the sizes of traces there."""
        place = {"setting": self._setting(index), "number": self.seeds["networks"]}
        return chosen_contest(self.tuning, name, tuning, selection, **place)

    def _measures(self, index: int, W: np.ndarray, before: Beginning) -> np.ndarray:
        look = look_at(self._setting(index), self.seeds["networks"], np.asarray(W), before)
        return measures_of(look, before)

    def _early(
        self, index: int, before: Sequence[Beginning], tuning: xr.Dataset, selection: xr.Dataset
    ) -> list[np.ndarray]:
        """`MEASURES` of first networks after few changes of weights by one rule."""
        name, first = self.rules[index % len(self.rules)], self.coordinates()["first network"]
        chosen = self._contest(index, name, tuning, selection)
        return early_measures(chosen, self.seeds["networks"], first, before[: len(first)])
