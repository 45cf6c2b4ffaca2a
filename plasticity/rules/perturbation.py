"""Rules that are told their own exploration: node and weight perturbation.

    node perturbation     Σ_t λ_t r_j ξ_i                               N·T numbers of exploration
    filtered              Σ_t e_t, e ← (1 − a) e + a φ′(x_i) ξ_i r_j    N·T
    weight perturbation   ξ^W_ij / σ²                                   N²

each times η (R − R̄), or η (R − R_0) with the reward R_0 of a second trial without exploration.
The first is `plasticity.rules.three_factor.node_perturbation`.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plasticity.model.network import Dynamics, Network, elementwise_derivative, simulate_trial
from plasticity.model.tasks import Task, mean_error
from plasticity.rules.base import Change, Seen, check_part, specialise
from plasticity.rules.three_factor import Clip, ThreeFactor, checked_bound, checked_rate, compose
from plasticity.rules.trace import Trace
from plasticity.types import Leaf, Weights, require
from plasticity.values import Value


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FilteredKicks(Value):
    """Σ_t e_t, or e_T, of e ← (1 − a) e + a φ′(x_i) ξ_i r_j, a = dt/τ: a trace with a low-pass.

    Source of e: Portes, Schmid & Murray (arXiv 2206.13448). The sum over the trial is ours: here
    reward comes once, at its end, when e_T has forgotten all but the last steps. Told: rates,
    states and the noise that was added to each unit. Cost: N²T multiplications a trial.

    Attributes:
        tau: time constant of the trace, ms; None takes that of the units.
        summed: the sum over all steps, or the last value.
    """

    tau: float | None = field(default=None, metadata={"static": True})
    summed: bool = field(default=True, metadata={"static": True})

    told = frozenset({"rates", "states", "state", "kicks"})

    def start(self, network: Network, task: Task) -> Any:
        """Nothing."""
        return ()

    def form(self, seen: Seen, memory: Any) -> tuple[Weights, Any]:
        """The trace of this trial."""
        dynamics, n_steps = seen.dynamics, seen.rates.shape[0]
        a = dynamics.dt / (dynamics.tau if self.tau is None else self.tau)
        before = jnp.concatenate([seen.state[None], seen.states[:-1]])
        slopes = elementwise_derivative(dynamics.transfer, before)
        left = np.arange(n_steps)[::-1]  # steps that follow
        # What a step adds decays from then on; a sum over time sums its whole decay.
        weights = 1 - (1 - a) ** (left + 1) if self.summed else a * (1 - a) ** left
        weights = jnp.asarray(weights, seen.rates.dtype)
        return (weights[:, None] * slopes * seen.kicks).T @ seen.rates, memory

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise ValueError if τ < dt."""
        tau = dynamics.tau if self.tau is None else self.tau
        require(tau >= dynamics.dt, "dt ≤ tau (ms) of the trace", tau, "lengthen tau")


def filtered_node_perturbation(*, tau: float | None = None, summed: bool = True, **options):
    """η (R − R̄) times the trace of `FilteredKicks`; ``options`` as in `compose`."""
    return compose(FilteredKicks(tau=tau, summed=summed), **options)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class WeightPerturbation(Value):
    """ξ^W_ij / σ²: what was added to the weight in this trial. For `plasticity.WeightNoise`.

    Züge, Klos & Memmesheimer (PRX 13, 021006, 2023), with R̄ for a baseline in place of their clean
    second trial, for which see `CleanTrial`. Told: the noise of the weights, each synapse its own.
    Cost: N² multiplications a trial.

    Attributes:
        size: σ, standard deviation of the noise, ().
    """

    size: Leaf

    told = frozenset({"weight_noise"})

    def start(self, network: Network, task: Task) -> Any:
        """Nothing."""
        return ()

    def form(self, seen: Seen, memory: Any) -> tuple[Weights, Any]:
        """The trace of this trial."""
        return seen.weight_noise / self.size**2, memory


def weight_perturbation(size: float, **options) -> ThreeFactor:
    """η (R − R̄) ξ^W / σ² for weight noise of this size; ``options`` as in `compose`.

    Raises:
        ValueError: a size ≤ 0, and as in `compose`.
    """
    require(0 < size < np.inf, "size > 0 and finite", size, "give that of the WeightNoise")
    return compose(WeightPerturbation(jnp.asarray(size, float)), **options)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CleanTrial(Value):
    """η (R − R_0) times a trace, R_0 the reward of a second trial without any exploration.

    Züge, Klos & Memmesheimer (PRX 13, 021006, 2023). The second trial shows the same inputs from
    the same state; whoever counts trials counts it too. R − R_0 is that of graded rewards, also
    where the learner's are binary. Told: all that a trial starts from, the weights (to run the
    trial, not to compute with), the error, and what the trace is told. Cost: that of the trace and
    one trial more. `clean_trial` makes one.

    Attributes:
        trace: as in `ThreeFactor`.
        learning_rate: η, ().
        bound: as in `ThreeFactor`.
    """

    trace: Any
    learning_rate: Leaf
    bound: Any = Clip()

    @property
    def told(self) -> frozenset[str]:
        """What the trace is told, the error, and what a second trial takes."""
        trial = {"state", "inputs", "target", "response", "W", "W_in", "W_out"}
        return self.trace.told | {"error"} | trial

    def start(self, network: Network, task: Task) -> Any:
        """What the trace remembers."""
        return self.trace.start(network, task)

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """ΔW, and what the trace remembers."""
        network = Network(seen.W, seen.W_in, seen.W_out)
        # x̄ does not act on the output.
        given = (seen.inputs, jnp.zeros_like(seen.kicks), seen.state, seen.state, seen.dynamics)
        run = simulate_trial(network, *given)
        trace, memory = self.trace.form(seen, memory)
        factor = mean_error(run.output, seen.target, seen.response) - seen.error
        change = self.bound(self.learning_rate * factor * trace)
        return Change(change, None, trace, factor), memory

    def specialised(self) -> "CleanTrial":
        """The rule whose trace leaves out what its concrete values make zero."""
        return replace(self, trace=specialise(self.trace))

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise ValueError for a trace that does not fit."""
        check_part(self.trace, n_units, task, dynamics)


def clean_trial(trace: Trace, *, learning_rate=0.01, clip=None, bound=None) -> CleanTrial:
    """`CleanTrial` with its numbers checked; arguments as in `compose`.

    Raises:
        ValueError: as `compose`.
    """
    rate = checked_rate(learning_rate)
    return CleanTrial(trace=trace, learning_rate=rate, bound=checked_bound(clip, bound))
