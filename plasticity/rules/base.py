"""What a plasticity rule is: what it is told of a trial, and the change of weights it makes of it.

A rule is any pytree of arrays with the three members of `Rule`. A named tuple will do:

    class LastRate(NamedTuple):
        learning_rate: float
        told = frozenset({"rates", "reward", "baseline"})

        def start(self, network, task):
            return ()

        def change(self, seen, memory):
            last = seen.rates[-1]
            surprise = seen.reward - seen.baseline
            return Change(self.learning_rate * surprise * jnp.outer(last, last)), memory

Nothing else in the package knows which rule it has. What a rule may have beside the three, and what
is done without it, is in `Rule`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from plasticity.model.network import Dynamics, Network
from plasticity.model.tasks import Task
from plasticity.types import Activity, Index, Leaf, Scalar, Units, Weights, require
from plasticity.values import Value

_ONE_RULE = "make each rule on its own and join them with plasticity.stack"


class Seen(NamedTuple):
    """All that there is to see in a trial; a rule reads the fields that its ``told`` names.

    Attributes:
        rates: r_t before each step, (T, N).
        fluctuations: Δ_t = x̄_t − x_{t+1}, (T, N).
        states: x_{t+1}, after each step, (T, N).
        kicks: what exploration added to x in each step, (T, N).
        output_noise: what exploration added to the output in each step, (T,) or (T, O), or None.
        weight_noise: what exploration added to W for this trial, (N, N), or None.
        state, filtered: x and x̄ before the first step, (N,).
        inputs: u, (T, I).
        output: z, with its noise, (T,) or (T, O).
        target: z*, of the shape of the output.
        response: the steps on which the output is judged, (T,).
        error: mean |z − z*| over them.
        reward: R.
        baseline: R̄ of the condition before this trial.
        W, W_in, W_out: the weights before the change, without noise.
        condition, trial: index of the condition, and number of the trial, from 0: always told.
        dynamics: time step and constants of the units: always told.
    """

    rates: Activity
    fluctuations: Activity
    states: Activity
    kicks: Activity
    output_noise: Float[Array, "T *O"] | None
    weight_noise: Weights | None
    state: Units
    filtered: Units
    inputs: Float[Array, "T I"]
    output: Float[Array, "T *O"]
    target: Float[Array, "T *O"]
    response: Bool[Array, "T"]
    error: Scalar
    reward: Scalar
    baseline: Scalar
    W: Weights
    W_in: Float[Array, "N I"]
    W_out: Float[Array, "*O N"]
    condition: Index
    trial: Index
    dynamics: Dynamics


ALWAYS_TOLD = frozenset({"condition", "trial", "dynamics"})


class Change(NamedTuple):
    """What a rule makes of a trial.

    Attributes:
        W: ΔW, (N, N).
        W_out: ΔW_out, for a rule whose readout is plastic, else None.
        trace: what the third factor multiplied, (N, N); None: ΔW itself is taken for it.
        third_factor: what multiplied the trace; None: R − R̄ is taken for it.
        W_in: ΔW_in, for a rule whose input is plastic, else None.
    """

    W: Weights
    W_out: Float[Array, "*O N"] | None = None
    trace: Weights | None = None
    third_factor: Scalar | None = None
    W_in: Float[Array, "N I"] | None = None


@runtime_checkable
class Rule(Protocol):
    """What every plasticity rule has.

    A rule may have as well:

        plastic_input, plastic_readout
                            whether it changes W_in and W_out too; without it, no
        parameters, with_parameters(array)
                            the array that the outer loop learns, and the rule with another one
        specialised()       the rule with what its concrete values let it leave out; without it,
                            the rule as it is
        check(n_units, task, dynamics)
                            raises ValueError for what it does not fit
        check_network(network)
                            the same for networks that it does not fit

    Attributes:
        told: names of the fields of `Seen` that it reads.
    """

    told: frozenset[str]

    def start(self, network: Network, task: Task) -> Any:
        """What it remembers before the first trial, a pytree of arrays; () for nothing."""

    def change(self, seen: Seen, memory: Any) -> tuple[Change, Any]:
        """The change that follows a trial, and what is remembered for the next one."""


def is_rule(value: object) -> bool:
    """Whether ``value`` has the members of `Rule`."""
    return isinstance(value, Rule) and not isinstance(value, type)


def check_rule(rule: object) -> None:
    """Raise ValueError unless ``rule`` is one rule that says what it is told."""
    kind = type(rule).__name__
    fix = "give it `told`, `start` and `change`, as plasticity.rules.base describes"
    require(is_rule(rule), "a rule has told, start and change", kind, fix)
    fields = set(Seen._fields)
    told = rule.told if isinstance(rule.told, set | frozenset) else {repr(rule.told)}
    unknown = sorted(set(told) - fields)
    fix = f"choose from {sorted(fields - ALWAYS_TOLD)}"
    require(not unknown, f"`told` of {kind} is a set of fields of Seen", unknown, fix)
    rate = np.shape(getattr(rule, "learning_rate", 0.0))
    require(rate == (), f"{kind} is one rule", f"learning rates of shape {rate}", _ONE_RULE)
    leaves = jax.tree.leaves(rule)
    fix = "make it a named tuple, or a registered dataclass, that holds at least one number"
    require(
        bool(leaves) and all(map(_is_number, leaves)), f"{kind} is a pytree of numbers", leaves, fix
    )


def specialise(part: Any) -> Any:
    """A rule, or a part of one, with what its concrete values let it leave out."""
    return part.specialised() if hasattr(part, "specialised") else part


def check_part(part: Any, n_units: int, task: Task, dynamics: Dynamics) -> None:
    """Raise what a rule, or a part of one, has to say of what it does not fit."""
    if hasattr(part, "check"):
        part.check(n_units, task, dynamics)


@dataclass(frozen=True, eq=False, repr=False)
class Modified(Value):
    """A base of rules that alter what another rule sees or makes; all the rest is that rule's.

    Attributes:
        rule: the other one.
    """

    rule: Any

    @property
    def told(self) -> frozenset[str]:
        """What the rule is told."""
        return self.rule.told

    @property
    def learning_rate(self) -> Leaf:
        """That of the rule, ()."""
        return self.rule.learning_rate

    @property
    def plastic_input(self) -> bool:
        """Whether the rule changes the weights of the input."""
        return getattr(self.rule, "plastic_input", False)

    @property
    def plastic_readout(self) -> bool:
        """Whether the rule changes the readout."""
        return getattr(self.rule, "plastic_readout", False)

    @property
    def parameters(self) -> Leaf:
        """Those of the rule."""
        return self.rule.parameters

    def with_parameters(self, parameters: Leaf) -> "Modified":
        """The same of the rule with other parameters."""
        return replace(self, rule=self.rule.with_parameters(parameters))

    def start(self, network: Network, task: Task) -> Any:
        """What the rule remembers before the first trial."""
        return self.rule.start(network, task)

    def specialised(self) -> "Modified":
        """The same of the rule with what its concrete values let it leave out."""
        return replace(self, rule=specialise(self.rule))

    def check(self, n_units: int, task: Task, dynamics: Dynamics) -> None:
        """Raise what the rule raises."""
        check_part(self.rule, n_units, task, dynamics)

    def check_network(self, network: Network) -> None:
        """Raise what the rule raises."""
        if hasattr(self.rule, "check_network"):
            self.rule.check_network(network)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class RuleStack(Value):
    """Several rules of one kind, that networks learn by side by side; made by `stack`.

    ``len(rules)``, ``rules[i]`` and iteration give back single rules.

    Attributes:
        leaves: a rule whose arrays all have a leading axis, one entry a rule.
    """

    leaves: Any

    def __len__(self) -> int:
        return jax.tree.leaves(self.leaves)[0].shape[0]

    def __getitem__(self, index: int) -> Rule:
        # Raises IndexError beyond the end, which JAX's own indexing would not.
        index = range(len(self))[index]
        return jax.tree.map(lambda leaf: leaf[index], self.leaves)

    def __iter__(self) -> Iterator[Rule]:
        return (self[index] for index in range(len(self)))


def stack(rules: Sequence[Rule]) -> RuleStack:
    """Join rules of one kind, in their order, so that `learn` gives its result an axis of rules.

    Rules are of one kind if they differ in numbers alone. Give rules of other kinds to `learn` in a
    call of their own: networks and draws are the same in all of them.

    Raises:
        ValueError: no rules, rules of different kinds or sizes, a rule that holds several.
    """
    single = [as_stack(rule).leaves for rule in rules]
    require(len(single) > 0, "a stack holds at least one rule", "none", "give the rules to compare")
    kinds = {jax.tree.structure(rule) for rule in single}
    fix = "give each kind to `learn` on its own: networks and draws are the same"
    value = ", ".join(sorted({_kind(rule) for rule in single}))
    require(len(kinds) == 1, "stacked rules are of one kind", value, fix)
    sizes = sorted({tuple(np.shape(a) for a in jax.tree.leaves(rule)) for rule in single})
    fix = "make each with the largest degree"
    require(len(sizes) == 1, "stacked rules have arrays of one shape", sizes, fix)
    return RuleStack(jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *single))


def as_stack(rule: Rule | RuleStack) -> RuleStack:
    """A stack as it is; one rule as a stack of one.

    Raises:
        ValueError: what is no rule, or several in one.
    """
    if isinstance(rule, RuleStack):
        return rule
    check_rule(rule)
    return RuleStack(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], rule))


def _is_number(leaf: object) -> bool:
    """Whether JAX can compute with it."""
    return isinstance(leaf, bool | int | float | np.ndarray | np.generic | jax.Array)


def _kind(rule: object) -> str:
    """The names of a rule and of the parts that it is made of."""
    parts = getattr(rule, "__dict__", {}).values()
    inside = [_kind(part) for part in parts if hasattr(part, "told") or callable(part)]
    return f"{type(rule).__name__}({', '.join(inside)})" if inside else type(rule).__name__
