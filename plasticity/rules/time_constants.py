"""Time constants that belong to the rule: of its own filter x̄, and of a decay of the weights.

    x̄_{t+1} = x̄_t + a (x_{t+1} − x̄_t),   a = 1 − exp(−dt/τ_x),   x̄_0 = x_0        (`OwnFilter`)
    ΔW = what a rule makes of the trial − W/τ_w                                       (`Decaying`)

An earlier public draft of the paper's author (OpenReview KkOMqJQiWU) learns τ_e and τ_w beside θ;
that a filter may be learned too is ours, as are the forms of both.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from plasticity.model.network import Dynamics, Network
from plasticity.model.tasks import Task
from plasticity.rules.base import Change, Seen, check_part, specialise
from plasticity.rules.three_factor import ThreeFactor, checked_number
from plasticity.rules.trace import Polynomial
from plasticity.types import Activity, Leaf, Units, Weights, is_traced, require
from plasticity.values import Value

TIMES = ("tau_e", "tau_filter", "tau_w")


def fluctuations_of(states: Activity, state: Units, gain) -> Activity:
    """Δ_t = x̄_t − x_{t+1} of a filter of step a that starts at x, (T, N).

    Args:
        states: x_{t+1}, after each step, (T, N).
        state: x before the first, (N,).
        gain: a in (0, 1].
    """

    def step(filtered, x):
        fluctuation = filtered - x
        return filtered - gain * fluctuation, fluctuation

    return jax.lax.scan(step, state, states)[1]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class OwnFilter(Value):
    """A trace that reads fluctuations about a mean of its own, in place of the network's x̄.

    The filter starts at x in each trial. Told: what the trace is, with states for fluctuations.

    Attributes:
        trace: as in `plasticity.rules.trace.Trace`.
        tau_filter: τ_x, ms, ().
    """

    trace: Any
    tau_filter: Leaf

    @property
    def told(self) -> frozenset[str]:
        """States, and what else the trace is told."""
        return (self.trace.told - {"fluctuations"}) | {"states", "state"}

    @property
    def parameters(self):
        """Those of the trace."""
        return self.trace.parameters

    def with_parameters(self, parameters) -> "OwnFilter":
        """The trace of other parameters."""
        return replace(self, trace=self.trace.with_parameters(parameters))

    @property
    def coefficients(self) -> Leaf:
        """θ of a polynomial trace, (d+1, d+1)."""
        return self.trace.coefficients

    @property
    def tau_e(self) -> Leaf:
        """Decay time of the trace, ms; infinite for none, ()."""
        return self.trace.tau_e

    def start(self, network: Network, task: Task) -> Any:
        """What the trace remembers before the first trial."""
        return self.trace.start(network, task)

    def form(self, seen: Seen, memory: Any) -> tuple[Weights, Any]:
        """The trace of this trial."""
        gain = 1.0 - jnp.exp(-seen.dynamics.dt / self.tau_filter)
        own = fluctuations_of(seen.states, seen.state, gain)
        return self.trace.form(seen._replace(fluctuations=own), memory)

    def specialised(self) -> "OwnFilter":
        """The trace without what its concrete values let it leave out."""
        return replace(self, trace=specialise(self.trace))

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise ValueError if τ_x < dt, and what the trace raises."""
        if not is_traced(self.tau_filter):
            shortest = float(jnp.min(jnp.asarray(self.tau_filter)))
            value = f"dt = {dynamics.dt}, tau_filter = {shortest}"
            fix = "lengthen tau_filter or shorten dt"
            require(dynamics.dt <= shortest, "dt ≤ tau_filter (ms)", value, fix)
        check_part(self.trace, n_units, task, dynamics)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Decaying(Value):
    """A rule under which weights decay as well: W ← W + ΔW − W/τ_w after each trial.

    The bound of the rule is on ΔW alone. Told: what the rule is, and the weights.

    Attributes:
        rule: any rule.
        tau_w: τ_w ≥ 1, trials; infinite for no decay, ().
    """

    rule: Any
    tau_w: Leaf

    @property
    def told(self) -> frozenset[str]:
        """The weights, and what the rule is told."""
        return self.rule.told | {"W"}

    @property
    def plastic_readout(self) -> bool:
        """Whether the rule changes the readout, which does not decay."""
        return getattr(self.rule, "plastic_readout", False)

    @property
    def learning_rate(self) -> Leaf:
        """That of the rule, ()."""
        return self.rule.learning_rate

    @property
    def parameters(self):
        """Those of the rule."""
        return self.rule.parameters

    def with_parameters(self, parameters) -> "Decaying":
        """The rule with other parameters."""
        return replace(self, rule=self.rule.with_parameters(parameters))

    def start(self, network: Network, task: Task) -> Any:
        """What the rule remembers before the first trial."""
        return self.rule.start(network, task)

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """ΔW − W/τ_w; the trace and the third factor are the rule's."""
        change, memory = self.rule.change(seen, memory)
        trace = change.W if change.trace is None else change.trace
        return change._replace(W=change.W - seen.W / self.tau_w, trace=trace), memory

    def specialised(self) -> "Decaying":
        """The rule without what its concrete values let it leave out."""
        return replace(self, rule=specialise(self.rule))

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise what the rule raises."""
        check_part(self.rule, n_units, task, dynamics)

    def check_network(self, network: Network) -> None:
        """Raise what the rule raises."""
        if hasattr(self.rule, "check_network"):
            self.rule.check_network(network)


def with_time_constants(rule: ThreeFactor, *, tau_e=None, tau_filter=None, tau_w=None):
    """The rule with time constants of its own; None leaves one as it is.

    Args:
        rule: a `ThreeFactor` with a polynomial trace.
        tau_e: decay time of the trace, ms.
        tau_filter: τ_x of a filter of its own, ms.
        tau_w: decay time of the weights, trials ≥ 1.

    Raises:
        ValueError: another rule, a time constant ≤ 0 or of several numbers, τ_w < 1.
    """
    fits = isinstance(rule, ThreeFactor) and isinstance(rule.trace, Polynomial)
    kind, fix = type(getattr(rule, "trace", rule)).__name__, "make it by make_rule"
    require(fits, "time constants are of a ThreeFactor of Polynomial", kind, fix)
    if tau_e is not None:
        rule = rule.replace(tau_e=checked_number("tau_e", tau_e))
    if tau_filter is not None:
        tau = checked_number("tau_filter", tau_filter)
        rule = replace(rule, trace=OwnFilter(trace=rule.trace, tau_filter=tau))
    if tau_w is None:
        return rule
    tau = checked_number("tau_w", tau_w)
    if not is_traced(tau):
        require(float(tau) >= 1, "tau_w ≥ 1 trial", tau_w, "use inf for no decay of the weights")
    return Decaying(rule=rule, tau_w=tau)
