"""Small courses of learning that between them use every option of the tangents."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles

from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.derivatives.tangent import Differentiation
from plasticity.learning.lifetime import learn
from plasticity.learning.trial import Learner, draw_episode
from plasticity.model.exploration import Kicks
from plasticity.model.network import Dynamics, random_network
from plasticity.model.tasks import delayed_association
from plasticity.rules.three_factor import (
    ScaledPredictionError,
    make_rule,
    miconi,
    node_perturbation,
)

N_UNITS = 6
TASK = delayed_association(dt=10.0, cue=30.0, delay=30.0, response=40.0)
LEARNER = Learner(exploration=Kicks(rate=20.0, amplitude=1.0))
MICONI_LIKE = Learner(
    dynamics=Dynamics(filter_gain=0.4, clamped=((1, 1.0),)),
    exploration=Kicks(rate=20.0, amplitude=1.0, onset=20.0),
    reset_filter=False,
    first_update=1,
)
MICONI_TRACE = {
    "tau_e": np.inf,
    "onset": 20.0,
    "plain_sum": True,
    "third_factor": ScaledPredictionError(),
}
DENSE = np.random.default_rng(5).normal(size=(4, 4))
# The clip meets a part of the entries, and tangents grow too little to lose 1e-11.
DENSE_RULE = make_rule(DENSE, learning_rate=1e-4, tau_e=60.0, clip=3e-3)
CARRIED = "filter carried, error factor"
CASES = {
    "dense": (LEARNER, DENSE_RULE),
    CARRIED: (MICONI_LIKE, make_rule(DENSE, learning_rate=3e-3, clip=3e-3, **MICONI_TRACE)),
    "one term": (LEARNER, miconi(learning_rate=1e-3, degree=3)),
    "true kick": (LEARNER, node_perturbation(learning_rate=1e-3)),
    "shared baseline, drawn": (
        dataclasses.replace(LEARNER, per_condition=False, conditions="drawn"),
        DENSE_RULE,
    ),
}
KEY = jax.random.key(20251209)
NETWORK = random_network(jax.random.fold_in(KEY, 77), N_UNITS, 2)


def episodes(learner, n_trials):
    draw = partial(draw_episode, KEY, task=TASK, learner=learner, n_units=N_UNITS)
    return jax.vmap(lambda h: draw(h))(jnp.arange(n_trials, dtype=jnp.int32))


@cache
def exact(case, rewards, n_trials=50):
    """∂W/∂θ after each trial by `jax.jvp` of plain steps, (H, N post, N pre, d+1, d+1)."""
    learner, rule = CASES[case]
    held = None if rewards else learn(KEY, NETWORK, TASK, rule, learner, n_trials).third_factors
    shown = episodes(learner, n_trials)

    def course(theta):
        return oracles.course(theta, NETWORK, shown, rule, learner, held)

    return jax.jit(jax.jacfwd(course))(rule.coefficients)


@cache
def ours(case, rewards, n_trials=50, *, carry=True, observe=None):
    learner, rule = CASES[case]
    differentiation = Differentiation(rewards=rewards, carry=carry)
    options = {"differentiation": differentiation, "observe": observe}
    return learn_with_tangents(KEY, NETWORK, TASK, rule, learner, n_trials, **options)


def gap(tangents, jacobian):
    """Largest relative error over coefficients of the norm over synapses."""
    jacobian = np.moveaxis(np.asarray(jacobian).reshape(N_UNITS, N_UNITS, -1), -1, 0)
    norms = np.linalg.norm(jacobian, axis=(1, 2))
    gaps = np.linalg.norm(np.asarray(tangents).transpose(2, 1, 0) - jacobian, axis=(1, 2))
    return np.max(gaps / np.where(norms > 0, norms, 1.0))
