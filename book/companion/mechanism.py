"""Chapter 08: what a polynomial trace knows of the kicks once a trial is over, and what follows.

A kick is followed by a relaxation that takes it back, and a sum over the trial holds both. At ℓ = 1
the fluctuations telescope, Σ_t Δ_t = (x̄_0 − x̄_T)/a: where r_j is constant no kick is left.
A supralinear power weighs the short large kick above the long small way back. What is left is
compared with the trace of the rule that is told the kicks. (Ours; the relaxation effect is named by
Miconi, eLife 2017;6:e20899.)

The protocol of the test, written before a network judged. *Found*, on nine odd terms in the setting
of chapter 07: the more synapses have the sign of the kicks' trace, the fewer trials a rule takes.
*Prediction*: so it is for `PAIRS`, terms, filters and kicks that were not used to find it. *Judge*:
the rank correlation, over pairs, of the share of equal signs in first trials with the restricted
mean of trials to criterion over 300 trials on 1,024 networks, at a step and a soft bound searched
for as in chapter 07; and its mean within cases, for other kicks are another exploration, which
speeds every rule up or slows it down. *Held* if both lie below zero, the one by an interval that
resamples pairs, the other by one that resamples cases. *Size*: 32 pairs find a rank correlation of
−0.48 with 80% power.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from companion.competition import (
    Comparison,
    Competition,
    Tuning,
    comparison_variables,
    tuning_variables,
)
from companion.contest import Contest, share_bent
from companion.course_comparison import SEARCH, SINGLES, tuned
from companion.experiment import Experiment, Variable
from companion.search import Search
from companion.seeds import seed
from companion.settings import brief_setting
from companion.tuning import first_activity
from plasticity.learning.setting import Setting
from plasticity.rules.learned import learned_rule
from plasticity.rules.three_factor import single_term

# Kick amplitude and τ_x (ms). The first is the setting of chapter 07; ours.
CASES = ((2.0, 20.0), (2.0, 5.0), (2.0, 10.0), (2.0, 50.0), (2.0, 100.0))
CASES += ((0.5, 20.0), (1.0, 20.0), (4.0, 20.0))


# Terms that were not used to find it.
NEW = {"(1,7)": (1, 7), "(3,7)": (3, 7), "(7,1)": (7, 1), "(7,3)": (7, 3)}
TERMS = SINGLES | NEW
_ELSEWHERE = ("(1,1)", "(1,5)", "(3,3)", "(5,5)")
PAIRS = tuple((name, 0) for name in NEW)
PAIRS += tuple((name, place) for place in range(1, len(CASES)) for name in _ELSEWHERE)


def case_name(place: int) -> str:
    """Of one of `CASES`."""
    amplitude, tau = CASES[place]
    return f"amplitude {amplitude:g}, τ_x {tau:g} ms"


def case_setting(place: int, n_units: int) -> Setting:
    """That of chapter 07, with the kicks and the filter of one of `CASES`."""
    amplitude, tau = CASES[place]
    return brief_setting(n_units=n_units, kick_amplitude=amplitude, tau_filter=tau)


def end_traces(theta, rates, shifts, weights) -> np.ndarray:
    """Σ_t λ_t Σ_kℓ θ_kℓ r_j^k Δ_i^ℓ of each trial, (n, N, N), from (n, T, N) and λ, (T,)."""
    powers = np.arange(len(theta))
    of_rates = np.einsum("ntjk,kl->ntjl", rates[..., None] ** powers, theta, optimize=True)
    weighted = weights[:, None, None] * shifts[..., None] ** powers
    return np.einsum("ntil,ntjl->nij", weighted, of_rates, optimize=True)


def agreement(traces, told) -> tuple[np.ndarray, np.ndarray]:
    """Correlation over synapses, and share of equal signs where ``told`` is not zero, (n,) each."""
    x, y = (a.reshape(len(a), -1) for a in (traces, told))
    centred = [a - a.mean(axis=1, keepdims=True) for a in (x, y)]
    norms = [np.sqrt((a**2).sum(axis=1)) for a in centred]
    correlation = (centred[0] * centred[1]).sum(axis=1) / np.prod(norms, axis=0)
    equal = ((x > 0) == (y > 0)) & (y != 0)
    return correlation, equal.sum(axis=1) / (y != 0).sum(axis=1)


@dataclass(frozen=True, kw_only=True)
class TraceAgreement(Experiment):
    """Traces of first trials against those of the rule that is told the kicks.

    The learned rule is the one that comes with the package.

    Attributes:
        n_cases: how many of `CASES`, from the first on.
    """

    name = "trace_agreement"
    title = "What traces know of the kicks at the end of a trial"
    axis = "rule"
    seeds = {"mechanism": seed("mechanism")}
    variables = {
        "correlation": Variable(
            ("rule", "case", "network"), "correlation over synapses with the trace of the kicks"
        ),
        "signs": Variable(
            ("rule", "case", "network"), "share of synapses whose trace has the sign of that one"
        ),
    }

    n_cases: int = len(CASES)
    n_units: int = 100
    n_networks: int = 64

    def coordinates(self):
        return {
            "rule": [*TERMS, "learned"],
            "case": [case_name(place) for place in range(self.n_cases)],
            "network": range(self.n_networks),
        }

    def measure_one(self, index: int):
        return self._agreement(index, self.n_networks, self.n_cases)

    def measure_one_again(self, index: int, recorded: xr.Dataset):
        # The first case alone, for each is a program of its own.
        few = self._agreement(index, min(8, self.n_networks), 1)
        return {"correlation": few["correlation"]}

    def _theta(self, index: int) -> np.ndarray:
        name = self.coordinates()["rule"][index]
        if name == "learned":
            return np.asarray(learned_rule().coefficients, float)
        theta = np.zeros((8, 8))
        theta[TERMS[name]] = -1.0
        return theta

    def _agreement(self, index: int, n: int, n_cases: int) -> dict[str, np.ndarray]:
        theta, found = self._theta(index), []
        for place in range(n_cases):
            setting = case_setting(place, self.n_units)
            rates, shifts, kicks = first_activity(setting, self.seeds["mechanism"], n)
            weights = setting.rule.trace.weights(rates.shape[1], setting.learner.dynamics)
            weights = np.asarray(weights, float)
            told = np.einsum("t,nti,ntj->nij", weights, kicks, rates, optimize=True)
            found.append(agreement(end_traces(theta, rates, shifts, weights), told))
        correlation, signs = np.swapaxes(found, 0, 1)
        return {"correlation": correlation, "signs": signs}


@dataclass(frozen=True, kw_only=True)
class _Predicted(Competition):
    """Terms where the mechanism says how fast they are.

    Attributes:
        pairs: term, and place of its case in `CASES`.
    """

    axis = "pair"

    pairs: tuple[tuple[str, int], ...] = PAIRS
    n_units: int = 100
    n_trials: int = 300

    @property
    def competitors(self) -> list[str]:
        """Names of the pairs."""
        return [f"{name}, {case_name(place)}" for name, place in self.pairs]

    def contest(self, index: int) -> Contest:
        """The term of that pair in its setting."""
        name, place = self.pairs[index]
        make = partial(single_term, *TERMS[name], degree=7)
        return Contest(case_setting(place, self.n_units), tuned(make))


@dataclass(frozen=True, kw_only=True)
class PredictedTuning(_Predicted, Tuning):
    """Step and bound of terms elsewhere, searched for on validation networks."""

    name = "predicted_tuning"
    title = "Steps and bounds of terms under other filters and kicks, searched for alike"
    seeds = {"validation": seed("choice elsewhere")}
    variables = tuning_variables("pair")

    search: Search = SEARCH
    n_trials: int = 200  # that a search sees


@dataclass(frozen=True, kw_only=True)
class PredictedComparison(_Predicted, Comparison):
    """Terms elsewhere, at the step and bound chosen for them, on networks that chose nothing."""

    name = "predicted_comparison"
    title = "Terms under other filters and kicks, on networks that they have not met"
    seeds = {"test": seed("terms elsewhere")}
    variables = comparison_variables("pair")
    saturation = staticmethod(share_bent)

    tuning: PredictedTuning = PredictedTuning()
    n_networks: int = 1024
