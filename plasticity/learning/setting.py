"""A setting: which network learns which task by which rule, and how its networks are drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key

from plasticity.learning.lifetime import Lifetime, check_fit, learn
from plasticity.learning.trial import Learner
from plasticity.model.network import Network, check_random, random_network
from plasticity.model.tasks import Task, check_task
from plasticity.rules.base import Rule, RuleStack, check_rule
from plasticity.types import PRNGKey, is_traced, is_whole, require
from plasticity.values import Value

Runs = Sequence[int] | Integer[np.ndarray, "B"] | Integer[Array, "B"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Setting(Value):
    """A task, a rule and a learner that fit each other, and how networks for them are drawn.

        Setting(task=make_task("evidence_integration"), rule=miconi(clip=1e-3))

    Run number b of a seed has a network and draws of its own, which depend on the seed and on b
    alone: whatever else runs beside it, and under every rule, they are the same. What is computed
    from them is the same to rounding, which learning amplifies: over many trials a run alone and
    the same run in a batch part. The same batch gives the same bits on the same machine.

    Attributes:
        task: what is to be learned; its dt is that of the learner's dynamics.
        rule: what `learn` follows unless it is given another.
        learner: all else about learning; the defaults of `Learner` are ours.
        n_units: N (default ours).
        gain: g, the scale of the initial recurrent weights (default as Miconi 2017).
        readout: W_out, "random" (ours), "unit" or "undriven unit", as in
            `plasticity.model.network.random_network`.
        draw: the network of N units of a key, in place of `random_network`: one with a structure.

    Raises:
        ValueError: a task whose arrays disagree, dt of task and dynamics differ, dt > τ_e, a
            clamped unit that does not exist, N not a whole number ≥ 1, g < 0, an unknown readout, a
            stack of rules, what is no rule.
    """

    task: Task
    rule: Rule
    learner: Learner = field(default_factory=Learner)
    n_units: int = 100
    gain: float = 1.5
    readout: str = "random"
    draw: Callable[[PRNGKey], Network] | None = None

    def __post_init__(self) -> None:
        single, fix = not isinstance(self.rule, RuleStack), "give the stack to `learn` instead"
        require(single, "a setting has one rule", type(self.rule).__name__, fix)
        check_rule(self.rule)
        check_task(self.task)
        check_random(self.n_units, self.task.n_inputs, self.gain, self.readout)
        check_fit(self.task, self.rule, self.learner, self.n_units)

    def networks(self, seed: int, runs: Runs) -> Network:
        """The networks of the runs numbered ``runs``, on a leading axis, before they learn.

        Raises:
            ValueError: no runs; a seed or a number of a run that is not whole, not ≥ 0, not < 2³².
        """

        def one(key):
            sizes = (self.n_units, self.task.n_inputs)
            options = {"gain": self.gain, "readout": self.readout}
            return random_network(key, *sizes, n_outputs=self.task.n_outputs, **options)

        one = one if self.draw is None else self.draw

        return jax.vmap(one)(_run_keys(seed, 0, runs))

    def learn(
        self,
        seed: int,
        runs: Runs,
        n_trials: int,
        rule: Rule | RuleStack | None = None,
        **options,
    ) -> Lifetime:
        """Lifetimes of the runs numbered ``runs``.

        Args:
            rule: one or a stack, in place of the setting's.
            options: those of `plasticity.learning.lifetime.learn`, which says what is returned.

        Raises:
            ValueError: as `networks` and `learn`.
        """
        return learn(*self.arguments(seed, runs, rule), n_trials, **options)

    def arguments(
        self, seed: int, runs: Runs, rule: Rule | RuleStack | None = None
    ) -> tuple[Key[Array, "B"], Network, Task, Rule | RuleStack, Learner]:
        """Keys, networks, task, rule and learner of such lifetimes.

        They are the first arguments of `learn`, of `learn_with_tangents` and of every estimator.
        """
        rule = self.rule if rule is None else rule
        return _run_keys(seed, 1, runs), self.networks(seed, runs), self.task, rule, self.learner


def _run_keys(seed: int, stream: int, runs: Runs) -> Key[Array, "B"]:
    """A key a run: of its network in stream 0, of its trials in stream 1."""
    _check_draws(seed, runs)
    root = jax.random.fold_in(jax.random.key(seed), stream)
    return jax.vmap(lambda run: jax.random.fold_in(root, run))(jnp.asarray(runs, jnp.uint32))


def _check_draws(seed: int, runs: Runs) -> None:
    """Raise ValueError for a seed, or numbers of runs, that there are not."""
    if not is_traced(seed):
        fine = is_whole(seed) and 0 <= seed < 2**32
        require(fine, "a seed is a whole number, 0 ≤ seed < 2³²", seed, "choose another")
    if is_traced(*jax.tree.leaves(runs)):
        return
    numbers = np.asarray(runs)
    fix = "give a sequence of run numbers, such as range(8)"
    require(numbers.ndim == 1 and numbers.size > 0, "runs is a sequence of one or more", runs, fix)
    whole = numbers.dtype.kind in "iu"
    wrong = numbers[(numbers < 0) | (numbers >= 2**32)] if whole else numbers
    rule = "run numbers are whole numbers, 0 ≤ run < 2³²"
    require(wrong.size == 0, rule, wrong[:3].tolist(), "give others, such as range(8)")
