"""A course of learning whose mean reward is a polynomial in θ: of degree H − 1 for H trials.

Two steps a trial, a linear transfer function and traces of the true kick make the trace independent
of W and the reward linear in W, so the update of the first trial is linear in θ, that of the second
quadratic, and so on.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from plasticity.learning.trial import Learner
from plasticity.model.exploration import Kicks
from plasticity.model.network import Dynamics, random_network
from plasticity.model.tasks import delayed_association
from plasticity.rules.three_factor import make_rule


def identity(x):
    return x


TASK = delayed_association(dt=10.0, cue=10.0, delay=0.0, response=10.0, target=30.0)
LEARNER = Learner(
    dynamics=Dynamics(transfer=identity),
    exploration=Kicks(rate=60.0, amplitude=1.0),
    initial_baseline=-32.0,
    initial_state=0.0,
)
# Without kicks all that varies between lifetimes of one network is what an estimator draws.
QUIET = dataclasses.replace(LEARNER, exploration=Kicks(rate=0.0))
THETA = np.array([[0.1, -0.4], [0.3, -1.0]])
RULE = make_rule(THETA, learning_rate=0.1, of_kicks=True)
SCALE = ((2.0, 1.0), (1.0, 0.5))


def lifetimes(n, seed=0, *, n_units=3, same=False):
    """Keys and networks of n lifetimes; the same for all if asked."""
    keys = jax.random.split(jax.random.key(seed), n)
    networks = jax.vmap(lambda k: random_network(jax.random.fold_in(k, 7), n_units, 2))(keys)
    if same:
        networks = jax.tree.map(lambda a: jnp.broadcast_to(a[:1], a.shape), networks)
    return keys, networks
