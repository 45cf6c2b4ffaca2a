"""Chapter 08: what a polynomial trace knows of the kicks once a trial is over.

A kick is followed by a relaxation that takes it back, and a sum over the trial holds both. At ℓ = 1
the fluctuations telescope, Σ_t Δ_t = (x̄_0 − x̄_T)/a: where r_j is constant no kick is left.
A supralinear power weighs the short large kick above the long small way back. What is left is
compared with the trace of the rule that is told the kicks. (Ours; the relaxation effect is named by
Miconi, eLife 2017;6:e20899.)
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from companion.course_comparison import SINGLES
from companion.experiment import Experiment, Variable
from companion.seeds import seed
from companion.settings import brief_setting
from companion.tuning import first_activity
from plasticity.learning.setting import Setting
from plasticity.rules.learned import learned_rule

# Kick amplitude and τ_x (ms). The first is the setting of chapter 07; ours.
CASES = ((2.0, 20.0), (2.0, 5.0), (2.0, 10.0), (2.0, 50.0), (2.0, 100.0))
CASES += ((0.5, 20.0), (1.0, 20.0), (4.0, 20.0))


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
        cases: kick amplitude and τ_x of each.
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

    n_units: int = 100
    cases: tuple[tuple[float, float], ...] = CASES
    n_networks: int = 64

    def coordinates(self):
        return {
            "rule": [*SINGLES, "learned"],
            "case": [f"amplitude {amplitude:g}, τ_x {tau:g} ms" for amplitude, tau in self.cases],
            "network": range(self.n_networks),
        }

    def measure_one(self, index: int):
        return self._agreement(index, self.n_networks)

    def measure_one_again(self, index: int, recorded: xr.Dataset):
        few = self._agreement(index, min(8, self.n_networks))
        return {"correlation": few["correlation"]}

    def setting(self, place: int) -> Setting:
        """That of a case."""
        amplitude, tau = self.cases[place]
        kicks = {"kick_amplitude": amplitude, "tau_filter": tau}
        return brief_setting(n_units=self.n_units, **kicks)

    def _theta(self, index: int) -> np.ndarray:
        name = self.coordinates()["rule"][index]
        if name == "learned":
            return np.asarray(learned_rule().coefficients, float)
        theta = np.zeros((6, 6))
        theta[SINGLES[name]] = -1.0
        return theta

    def _agreement(self, index: int, n: int) -> dict[str, np.ndarray]:
        theta, found = self._theta(index), []
        for place in range(len(self.cases)):
            setting = self.setting(place)
            rates, shifts, kicks = first_activity(setting, self.seeds["mechanism"], n)
            weights = setting.rule.trace.weights(rates.shape[1], setting.learner.dynamics)
            weights = np.asarray(weights, float)
            told = np.einsum("t,nti,ntj->nij", weights, kicks, rates, optimize=True)
            found.append(agreement(end_traces(theta, rates, shifts, weights), told))
        correlation, signs = np.swapaxes(found, 0, 1)
        return {"correlation": correlation, "signs": signs}
