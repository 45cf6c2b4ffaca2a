"""Rules for every pathway: into the network, within it, and out of it.

The same local quantities at each synapse, of its own pre- and postsynaptic side:

    W_in:   u_{c,t}      and Δ_{i,t}                     a synapse from an input to a unit
    W:      r_{j,t}      and Δ_{i,t}                     from unit to unit (the paper's)
    W_out:  r_{j,t+1}    and ζ_{o,t} = z̄_{o,t} − z_{o,t}  from a unit to an output

The output z follows the rates after a step, so that is the presynaptic rate there; z̄ is a running
mean of z with the time constant τ_x of x̄, which begins at W_out φ(x_0). The paper changes W alone;
what its traces would be elsewhere is ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plasticity.model.network import Dynamics, Network
from plasticity.model.tasks import Task
from plasticity.rules.base import ALWAYS_TOLD, Change, Rule, Seen, check_part, specialise
from plasticity.rules.time_constants import fluctuations_of
from plasticity.types import Leaf, require
from plasticity.values import Value

PATHWAYS = {"recurrent": "W", "inward": "W_in", "outward": "W_out"}


def as_seen_inward(seen: Seen) -> Seen:
    """A trial as synapses of the input see it: inputs for rates."""
    return seen._replace(rates=seen.inputs)


def as_seen_outward(seen: Seen) -> Seen:
    """A trial as synapses of the output see it: rates after each step, fluctuations of z."""
    dynamics = seen.dynamics
    output = seen.output.reshape(len(seen.output), -1)
    first = (seen.W_out @ dynamics.transfer(seen.state)).reshape(-1)
    own = fluctuations_of(output, first, dynamics.gain)
    return seen._replace(rates=dynamics.transfer(seen.states), fluctuations=own)


_SEEN: dict[str, Callable[[Seen], Seen]] = {
    "recurrent": lambda seen: seen,
    "inward": as_seen_inward,
    "outward": as_seen_outward,
}
_TOLD: dict[str, dict[str, frozenset[str]]] = {
    "recurrent": {},
    "inward": {"rates": frozenset({"inputs"})},
    "outward": {
        "rates": frozenset({"states"}),
        "fluctuations": frozenset({"output", "state", "W_out"}),
    },
}
_LOCAL = frozenset({"rates", "fluctuations", "reward", "baseline"}) | ALWAYS_TOLD
# What rules may read; outputs are not kicked.
_READ = {"recurrent": frozenset(Seen._fields), "inward": _LOCAL | {"kicks"}, "outward": _LOCAL}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Pathways(Value):
    """A rule for each pathway that learns; made by `on_pathways`.

    Told: what the rules are, of their pathway. Cost: that of the rules; the trace of W_in has N·I
    synapses, that of W_out O·N.

    Attributes:
        recurrent, inward, outward: rules for W, W_in and W_out; None leaves weights as they are.
    """

    recurrent: Any = None
    inward: Any = None
    outward: Any = None

    @property
    def rules(self) -> dict[str, Any]:
        """Name of a pathway → its rule, of those that learn."""
        each = {name: getattr(self, name) for name in PATHWAYS}
        return {name: rule for name, rule in each.items() if rule is not None}

    @property
    def plastic_input(self) -> bool:
        """Whether W_in changes."""
        return self.inward is not None

    @property
    def plastic_readout(self) -> bool:
        """Whether W_out changes."""
        return self.outward is not None

    @property
    def told(self) -> frozenset[str]:
        """What the rules are told, each of its pathway."""
        told = set()
        for name, rule in self.rules.items():
            for field in rule.told:
                told |= _TOLD[name].get(field, {field})
        return frozenset(told)

    @property
    def parameters(self) -> Leaf:
        """Those of all rules, one after the other, flat; W, W_in, W_out."""
        return jnp.concatenate([jnp.ravel(rule.parameters) for rule in self.rules.values()])

    def with_parameters(self, parameters: Leaf) -> "Pathways":
        """The same rules with other parameters."""
        shapes = {name: jnp.shape(rule.parameters) for name, rule in self.rules.items()}
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
        parts = zip(shapes.items(), jnp.split(parameters, ends[:-1]), strict=True)
        new = {n: self.rules[n].with_parameters(part.reshape(s)) for (n, s), part in parts}
        return replace(self, **new)

    def seen(self, name: str, seen: Seen) -> Seen:
        """A trial as the synapses of that pathway see it."""
        return _SEEN[name](seen)

    def start(self, network: Network, task: Task) -> dict[str, Any]:
        """What each rule remembers before the first trial."""
        return {name: rule.start(network, task) for name, rule in self.rules.items()}

    def change(self, seen: Seen, memory: dict[str, Any]) -> tuple[Change, dict[str, Any]]:
        """The changes of all pathways; trace and third factor are those of W."""
        changes, kept = {}, {}
        for name, rule in self.rules.items():
            changes[name], kept[name] = rule.change(self.seen(name, seen), memory[name])
        of = changes.get("recurrent", Change(jnp.zeros_like(seen.W)))
        if "inward" in changes:
            of = of._replace(W_in=changes["inward"].W)
        if "outward" in changes:
            of = of._replace(W_out=changes["outward"].W.reshape(seen.W_out.shape))
        return of, kept

    def specialised(self) -> "Pathways":
        """Each rule with what its concrete values let it leave out."""
        return replace(self, **{name: specialise(rule) for name, rule in self.rules.items()})

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise what the rules raise."""
        for rule in self.rules.values():
            check_part(rule, n_units, task, dynamics)

    def check_network(self, network: Network) -> None:
        """Raise what the rules raise."""
        for rule in self.rules.values():
            if hasattr(rule, "check_network"):
                rule.check_network(network)


def on_pathways(
    *, recurrent: Rule | None = None, inward: Rule | None = None, outward: Rule | None = None
) -> Pathways:
    """The rules for W, W_in and W_out; None leaves weights as they are.

    Args:
        recurrent: any rule that changes W alone.
        inward, outward: rules that read rates, fluctuations and the reward alone, such as those of
            `make_rule`; that of W_in may read kicks as well.

    Raises:
        ValueError: no rule, one that changes other weights too, one that reads what its pathway has
            not.
    """
    made = Pathways(recurrent=recurrent, inward=inward, outward=outward)
    fix = "give a rule for W, W_in or W_out"
    require(bool(made.rules), "at least one pathway learns", "none", fix)
    for name, rule in made.rules.items():
        weights = PATHWAYS[name]
        beside = [
            flag for flag in ("plastic_input", "plastic_readout") if getattr(rule, flag, False)
        ]
        fix = "give each pathway a rule of its own"
        require(not beside, f"the rule for {weights} changes them alone", beside, fix)
        extra = sorted(rule.told - _READ[name])
        fix = f"use a rule of {', '.join(sorted(_READ[name]))}"
        require(name == "recurrent" or not extra, f"what a rule for {weights} reads", extra, fix)
    return made
