"""A setting: which network learns which task by which rule, and how its networks are drawn."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from plasticity.learning.lifetime import learn
from plasticity.learning.trial import Learner
from plasticity.model.network import Network, random_network
from plasticity.model.tasks import Task
from plasticity.rules.three_factor import Rule, RuleStack


class Setting(NamedTuple):
    """A task, a learner, a rule, and how networks for them are drawn."""

    task: Task
    learner: Learner
    rule: Rule
    n_units: int
    gain: float
    readout: str

    def networks(self, seed: int, runs) -> Network:
        """The networks of the runs numbered ``runs``, on a leading axis."""

        def one(key):
            options = {"gain": self.gain, "readout": self.readout}
            return random_network(key, self.n_units, self.task.n_inputs, **options)

        return jax.vmap(one)(_run_keys(seed, 0, runs))

    def learn(self, seed: int, runs, n_trials: int, rule: Rule | RuleStack | None = None, **options):
        """Lifetimes of the runs numbered ``runs``: network and draws depend on seed and number.

        ``rule``, one or a stack, takes the place of the setting's;
        ``options`` are those of `plasticity.learning.lifetime.learn`.
        """
        return learn(*self.arguments(seed, runs, rule), n_trials, **options)

    def arguments(self, seed: int, runs, rule: Rule | RuleStack | None = None):
        """Keys, networks, task, rule and learner of such lifetimes."""
        rule = self.rule if rule is None else rule
        keys, networks = _run_keys(seed, 1, runs), self.networks(seed, runs)
        return keys, networks, self.task, rule, self.learner


def _run_keys(seed: int, stream: int, runs):
    root = jax.random.fold_in(jax.random.key(seed), stream)
    return jax.vmap(lambda run: jax.random.fold_in(root, run))(jnp.asarray(runs, jnp.uint32))
