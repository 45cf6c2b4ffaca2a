"""Time constants that belong to the rule: of its own filter x̄, and of a decay of the weights.

    x̄_{t+1} = x̄_t + a (x_{t+1} − x̄_t),   a = 1 − exp(−dt/τ_x),   x̄_0 = x_0        (`OwnFilter`)
    ΔW = what a rule makes of the trial − W/τ_w                                       (`Decaying`)

An earlier public draft of the paper's author (OpenReview KkOMqJQiWU) learns τ_e and τ_w beside θ;
that a filter may be learned too is ours, as are the forms of both.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from plasticity.model.network import Dynamics
from plasticity.model.tasks import Task
from plasticity.rules.base import Change, Modified, Seen
from plasticity.rules.three_factor import ThreeFactor, checked_number
from plasticity.rules.trace import Polynomial
from plasticity.types import Activity, Leaf, Units, is_traced, require

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


def told_with(told: frozenset[str], times: Collection[str]) -> frozenset[str]:
    """What a rule that is told so much is told once these time constants are its own."""
    if "tau_filter" in times:
        told = (told - {"fluctuations"}) | {"states", "state"}
    return told | {"W"} if "tau_w" in times else told


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class OwnFilter(Modified):
    """A rule that reads fluctuations about a mean of its own, in place of the network's x̄.

    The filter starts at x in each trial. Told: what the rule is, with states for fluctuations.

    Attributes:
        rule: any rule.
        tau_filter: τ_x, ms, ().
    """

    tau_filter: Leaf

    @property
    def told(self) -> frozenset[str]:
        """States, and what else the rule is told."""
        return told_with(self.rule.told, {"tau_filter"})

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """What the rule makes of these fluctuations."""
        gain = 1.0 - jnp.exp(-seen.dynamics.dt / self.tau_filter)
        own = fluctuations_of(seen.states, seen.state, gain)
        return self.rule.change(seen._replace(fluctuations=own), memory)

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise ValueError if τ_x < dt, and what the rule raises."""
        if not is_traced(self.tau_filter):
            shortest = float(jnp.min(jnp.asarray(self.tau_filter)))
            value = f"dt = {dynamics.dt}, tau_filter = {shortest}"
            fix = "lengthen tau_filter or shorten dt"
            require(dynamics.dt <= shortest, "dt ≤ tau_filter (ms)", value, fix)
        super().check(n_units, task, dynamics)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Decaying(Modified):
    """A rule under which weights decay as well: W ← W + ΔW − W/τ_w after each trial.

    The bound of the rule is on ΔW alone, and W_out does not decay. Told: what the rule is, and W.

    Attributes:
        rule: any rule.
        tau_w: τ_w ≥ 1, trials; infinite for no decay, ().
    """

    tau_w: Leaf

    @property
    def told(self) -> frozenset[str]:
        """The weights, and what the rule is told."""
        return told_with(self.rule.told, {"tau_w"})

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """ΔW − W/τ_w; the trace and the third factor are the rule's."""
        change, memory = self.rule.change(seen, memory)
        trace = change.W if change.trace is None else change.trace
        return change._replace(W=change.W - seen.W / self.tau_w, trace=trace), memory


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
        rule = OwnFilter(rule, checked_number("tau_filter", tau_filter))
    if tau_w is None:
        return rule
    tau = checked_number("tau_w", tau_w)
    if not is_traced(tau):
        require(float(tau) >= 1, "tau_w ≥ 1 trial", tau_w, "use inf for no decay of the weights")
    return Decaying(rule, tau)
