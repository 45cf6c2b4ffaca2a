"""Three-factor rules: the coefficients of a trace, and the change of weights it makes.

    ΔW_ij = clip(η e_ij (R − R̄), ±c)                                (equation 3 of the paper)

The clip is Miconi's (2017). With Δ = x̄ − x a negative θ_kℓ of odd k and odd ℓ is Hebbian: it
joins a presynaptic rate with a postsynaptic rise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from plasticity.types import Coefficients, Flag, Scalar, Weights, is_traced, require

_ONE_RULE = "make each rule on its own and join them with plasticity.stack"


class Rule(NamedTuple):
    """One plasticity rule; `stack` joins several.

    Attributes:
        coefficients: θ, (d+1, d+1), row k the power of the presynaptic rate, column ℓ that of Δ.
        learning_rate: η, 1/ms (no unit if the trace is a plain sum), ().
        tau_e: decay time of the trace, ms; infinite for none, ().
        clip: largest change of a weight in a trial; infinite for none, ().
        true_kick: whether −kick_i takes the place of Δ_i in the trace (node perturbation), ().
    """

    coefficients: Coefficients
    learning_rate: Scalar
    tau_e: Scalar
    clip: Scalar
    true_kick: Flag


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class RuleStack:
    """Several rules of one degree, that networks learn by side by side; made by `stack`.

    ``len(rules)``, ``rules[i]`` and iteration give back single rules.

    Attributes:
        leaves: a `Rule` whose arrays all have a leading axis, one entry a rule.
    """

    leaves: Rule

    def __len__(self) -> int:
        return self.leaves.coefficients.shape[0]

    def __getitem__(self, index: int) -> Rule:
        # Raises IndexError beyond the end, which JAX's own indexing would not.
        index = range(len(self))[index]
        return jax.tree.map(lambda leaf: leaf[index], self.leaves)

    def __iter__(self) -> Iterator[Rule]:
        return (self[index] for index in range(len(self)))


def stack(rules: Sequence[Rule]) -> RuleStack:
    """Join rules of one degree, in their order, so that `learn` gives its result an axis of rules.

    Raises:
        ValueError: no rules, rules of different degrees, a `Rule` that holds several.
    """
    single = [as_stack(rule).leaves for rule in rules]
    require(len(single) > 0, "a stack holds at least one rule", "none", "give the rules to compare")
    degrees = [leaves.coefficients.shape[-1] - 1 for leaves in single]
    fix = "make each with the largest degree"
    require(len(set(degrees)) == 1, "stacked rules have one degree", degrees, fix)
    return RuleStack(jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *single))


def as_stack(rule: Rule | RuleStack) -> RuleStack:
    """A stack as it is; one rule as a stack of one.

    Raises:
        ValueError: a `Rule` whose arrays have an axis of rules.
    """
    if isinstance(rule, RuleStack):
        return rule
    shapes = tuple(np.shape(leaf) for leaf in rule)
    single = len(shapes[0]) == 2 and not any(shapes[1:])
    require(single, "a Rule holds one rule", f"arrays of shapes {shapes}", _ONE_RULE)
    return RuleStack(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], rule))


def make_rule(
    coefficients,
    *,
    learning_rate=0.01,
    tau_e=1000.0,
    clip=np.inf,
    true_kick: bool = False,
) -> Rule:
    """One rule of any coefficients θ, (d+1, d+1).

    The defaults of η, τ_e (ms) and the clip are ours.

    Args:
        coefficients, learning_rate, tau_e, clip, true_kick: as in `Rule`, whose units they have.

    Raises:
        ValueError: coefficients not square or not finite, more than one rule (use `stack`), a
            learning rate < 0 or not finite, τ_e ≤ 0, clip ≤ 0.
    """
    theta = jnp.asarray(coefficients, float)
    require(theta.ndim <= 2, "make_rule makes one rule", f"θ of shape {theta.shape}", _ONE_RULE)
    square = theta.ndim == 2 and theta.shape[0] == theta.shape[1]
    fix = "let row k and column ℓ run from 0 to d"
    require(square, "coefficients are square (d+1, d+1)", theta.shape, fix)
    named = {"learning_rate": learning_rate, "tau_e": tau_e, "clip": clip, "true_kick": true_kick}
    for name, value in named.items():
        shape = np.shape(value)
        require(shape == (), "make_rule makes one rule", f"{name} of shape {shape}", _ONE_RULE)
    eta, tau, cap = (jnp.asarray(a, float) for a in (learning_rate, tau_e, clip))
    if not is_traced(theta, eta, tau, cap):
        bad = int(theta.size - jnp.isfinite(theta).sum())
        fix = "give every coefficient a finite value, 0 for a term left out"
        require(bad == 0, "coefficients are finite", f"{bad} that are not", fix)
        fix = "for the opposite rule change the signs of θ and keep η ≥ 0"
        require(0 <= float(eta) < np.inf, "learning_rate ≥ 0 and finite", learning_rate, fix)
        require(float(tau) > 0, "tau_e > 0 ms", tau_e, "use inf for no decay")
        require(float(cap) > 0, "clip > 0", clip, "use inf for no clip")
    return Rule(theta, eta, tau, cap, jnp.asarray(true_kick, bool))


def single_term(k: int, ell: int, value: float = -1.0, *, degree: int = 5, **options) -> Rule:
    """The rule θ_kℓ = value, all else zero; ``options`` as in `make_rule`.

    Raises:
        ValueError: k or ℓ outside 0 … degree.
    """
    inside = 0 <= k <= degree and 0 <= ell <= degree
    require(inside, f"0 ≤ k, ℓ ≤ degree = {degree}", (k, ell), "raise the degree")
    shape = np.shape(value)
    require(shape == (), "a single term has one value", f"values of shape {shape}", _ONE_RULE)
    theta = np.zeros((degree + 1, degree + 1))
    theta[k, ell] = value
    return make_rule(theta, **options)


def zero(*, degree: int = 5, **options) -> Rule:
    """The rule that learns nothing: θ = 0."""
    return single_term(0, 0, 0.0, degree=degree, **options)


def miconi(**options) -> Rule:
    """θ_33 = −1: the supralinear Hebbian rule of Miconi (eLife 2017;6:e20899)."""
    return single_term(3, 3, **options)


def covariance(**options) -> Rule:
    """θ_11 = −1: presynaptic rate times postsynaptic fluctuation, the first-order rule."""
    return single_term(1, 1, **options)


def node_perturbation(*, degree: int = 1, **options) -> Rule:
    """r_j · kick_i: the trace of a rule that is told the kicks (Fiete & Seung 2006).

    A reference, not a local rule: no synapse can tell its kick from the rest of its input.
    """
    return single_term(1, 1, degree=degree, true_kick=True, **options)


def three_factor_update(trace: Weights, error: Scalar, rule: Rule) -> Weights:
    """clip(η e (R − R̄), ±c) for the reward prediction error ``error`` (equation 3)."""
    change = rule.learning_rate * error * trace
    return jnp.clip(change, -rule.clip, rule.clip)
