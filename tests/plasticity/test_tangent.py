import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import (
    CARRIED,
    CASES,
    DENSE_RULE,
    KEY,
    LEARNER,
    N_UNITS,
    NETWORK,
    TASK,
    episodes,
    exact,
    gap,
    ours,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity.derivatives import tangent
from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.derivatives.tangent import Differentiation, initial_tangents, tangent_trial
from plasticity.learning.trial import draw_episode, initial_learning_state
from plasticity.model.network import Network, random_network
from plasticity.rules.three_factor import make_rule
from plasticity.rules.trace import Frozen

EVERY_CASE = pytest.mark.parametrize("case", CASES)
BOTH = pytest.mark.parametrize("rewards", [False, True])


@BOTH
@EVERY_CASE
def test_tangents_are_the_derivatives_of_plain_steps(case, rewards):
    jacobians = exact(case, rewards)
    for trials in (2, 50):
        result = ours(case, rewards, trials)
        assert float(result.norms[-1].min()) > 0
        # Sums of at most 1e4 terms round at 1e-14; fifty trials amplify that by less than 1e3.
        assert gap(result.tangents.W, jacobians[trials - 1]) < 1e-11, (case, trials)


def test_one_trial_is_exact_to_rounding():
    assert gap(_courses("dense", 1)[2].W, exact("dense", True)[0]) < 1e-13


@pytest.mark.parametrize("case", ["dense", CARRIED])
def test_reverse_mode_agrees_on_a_scalar(case):
    learner, rule = CASES[case]
    weights = jax.random.normal(KEY, (N_UNITS, N_UNITS))
    shown = episodes(learner, 20)

    def scalar(theta):
        return jnp.sum(weights * oracles.course(theta, NETWORK, shown, rule, learner)[-1])

    gradient = jax.jit(jax.grad(scalar))(rule.coefficients).ravel()
    contracted = jnp.einsum("ij,jip->p", weights, _courses(case, 20)[2].W)
    # The sum over synapses cancels, hence the tolerance on the whole vector.
    assert np.linalg.norm(contracted - gradient) < 1e-11 * np.linalg.norm(gradient)


def _courses(case, n_trials, **options):
    """Trial by trial; compiled anew each time, so that an altered module shows."""
    learner, rule = CASES[case]
    differentiation = Differentiation(rewards=True)
    state = initial_learning_state(NETWORK, TASK, rule, learner)
    tangents = initial_tangents(state, rule, differentiation)

    @jax.jit
    def step(state, tangents, episode):
        return tangent_trial(state, tangents, episode, NETWORK, rule, learner, differentiation)

    for h in range(n_trials):
        episode = jax.tree.map(lambda a, h=h: a[h], episodes(learner, n_trials))
        state, outcome, tangents, of_outcome = step(state, tangents, episode)
    return state, outcome, tangents, of_outcome


def _without(name):
    """A change to the module `tangent` that drops one term of the recursion."""

    def wrap(function, **zeroed):
        def altered(*arguments, **options):
            arguments = list(arguments)
            for place in zeroed.get("arguments", ()):
                arguments[place] = jax.tree.map(jnp.zeros_like, arguments[place])
            result = function(*arguments, **options)
            if "results" not in zeroed:
                return result
            return tuple(
                jax.tree.map(jnp.zeros_like, part) if i in zeroed["results"] else part
                for i, part in enumerate(result)
            )

        return altered

    def of_states(field):
        function = tangent.state_tangents

        def altered(state, tangents, *rest):
            zero = jnp.zeros_like(getattr(tangents, field))
            return function(state, tangents._replace(**{field: zero}), *rest)

        return altered

    def recurrent(state, *rest):
        return states(state._replace(W=jnp.zeros_like(state.W)), *rest)

    def unclipped(trace, factor, trial, rule, learner):
        return change(trace, factor, trial, rule.replace(clip=jnp.array(jnp.inf)), learner)

    def ungated(trace, factor, trial, rule, learner):
        return change(trace, factor, trial + 1000, rule, learner)

    states, change = tangent.state_tangents, tangent.weight_change
    explicit, implicit = tangent.explicit_trace_tangent, tangent.implicit_trace_tangent
    rewards = tangent._reward_tangents
    return {
        "θ in the trace": ("explicit_trace_tangent", lambda *a: jnp.zeros_like(explicit(*a))),
        "rates in the trace": ("implicit_trace_tangent", wrap(implicit, arguments=[2])),
        "fluctuations in the trace": ("implicit_trace_tangent", wrap(implicit, arguments=[3])),
        "U r in the states": ("state_tangents", of_states("W")),
        "W ṙ in the states": ("state_tangents", recurrent),
        "x̄ carried": ("state_tangents", of_states("filtered")),
        "R − R̄": ("_reward_tangents", wrap(rewards, results=[1])),
        "R̄ carried": ("_reward_tangents", wrap(rewards, results=[2])),
        "clip": ("weight_change", unclipped),
        "first update": ("weight_change", ungated),
    }[name]


DROPPED = [
    "θ in the trace",
    "rates in the trace",
    "fluctuations in the trace",
    "U r in the states",
    "W ṙ in the states",
    "x̄ carried",
    "R − R̄",
    "R̄ carried",
    "clip",
    "first update",
]


@pytest.mark.parametrize("dropped", [None, *DROPPED])
def test_every_term_of_the_recursion_counts(monkeypatch, dropped):
    if dropped:
        monkeypatch.setattr(tangent, *_without(dropped))
    error = gap(_courses(CARRIED, 12)[2].W, exact(CARRIED, True)[11])
    assert error > 1e-4 if dropped else error < 1e-11


@pytest.mark.parametrize("case", ["dense", CARRIED, "true kick"])
def test_without_carrying_only_the_direct_dependence_remains(case):
    learner, rule = CASES[case]
    reset, carried = (ours(case, True, 8, carry=c, observe=_direct) for c in (False, True))
    states, errors, tangents, direct = reset.observed
    alone = dataclasses.replace(learner, first_update=0)

    @jax.jit
    @jax.jacfwd
    def derivative(theta, state, episode, error):
        # The trial alone, from the W, x̄ and R − R̄ it had: nothing before depends on θ.
        at = (NETWORK._replace(W=state.W), jax.tree.map(lambda a: a[None], episode), rule, alone)
        return oracles.course(theta, *at, error[None], state.filtered)[-1]

    shown = episodes(learner, 8)
    for h in range(learner.first_update, 8):
        state, episode = (jax.tree.map(lambda a, h=h: a[h], tree) for tree in (states, shown))
        assert gap(direct[h], derivative(rule.coefficients, state, episode, errors[h])) < 1e-12
        np.testing.assert_array_equal(tangents[h], direct[h])
    np.testing.assert_allclose(carried.observed[3], direct, rtol=1e-12, atol=1e-15)
    total = np.asarray(carried.tangents.W)
    assert np.abs(total - np.asarray(direct).sum(axis=0)).max() > 1e-3 * np.abs(total).max()


def _direct(state, episode, outcome, tangents, of_outcome):
    return state, outcome.third_factor, tangents.W, of_outcome.direct


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(N_UNITS)))
def test_tangents_are_those_of_the_permuted_network(order):
    key, order, network = jax.random.key(3), jnp.array(order), NETWORK
    learner, rule = CASES["dense"]
    moved = Network(network.W[order][:, order], network.W_in[order], network.W_out[order])
    results = []
    for net, units in ((network, jnp.arange(N_UNITS)), (moved, order)):
        state = initial_learning_state(net, TASK, rule, learner)
        differentiation = Differentiation(rewards=True)
        tangents = initial_tangents(state, rule, differentiation)
        for h in range(4):
            episode = draw_episode(key, jnp.int32(h), TASK, learner, N_UNITS)
            episode = episode._replace(kicks=episode.kicks[:, units], state=episode.state[units])
            state, _, tangents, _ = _step(
                state, tangents, episode, net, rule, learner, differentiation
            )
        results.append(tangents.W)
    # Sums over units in another order round differently.
    gap = results[1] - results[0][order][:, order]
    assert float(jnp.abs(gap).max()) < 1e-11 * float(jnp.abs(results[0]).max())


_step = jax.jit(tangent_trial, static_argnums=(5, 6))


def _refused(match, *, learner=LEARNER, rule=DENSE_RULE, tangents=None, **options):
    with pytest.raises(ValueError, match=match):
        learn_with_tangents(
            KEY,
            NETWORK,
            TASK,
            rule,
            learner,
            3,
            differentiation=Differentiation(**options),
            tangents=tangents,
        )


def test_bad_requests_are_refused_with_a_reason():
    state = initial_learning_state(NETWORK, TASK, DENSE_RULE, LEARNER)
    other = make_rule(np.eye(3))
    _refused("one entry a coefficient", tangents=initial_tangents(state, other, Differentiation()))
    small = initial_learning_state(random_network(KEY, 4, 2), TASK, DENSE_RULE, LEARNER)
    wrong = initial_tangents(small, DENSE_RULE, Differentiation())
    _refused("shapes of the state", tangents=wrong)
    _refused("at least one coefficient", terms=())
    _refused("distinct pairs", terms=((1, 1), (1, 1)))
    _refused("distinct pairs", terms=((-1, 1),))
    _refused("raise the degree", terms=((5, 5),))
    binary = dataclasses.replace(LEARNER, reward="binary")
    _refused("differentiated are graded; got binary", learner=binary, rewards=True)
    frozen = DENSE_RULE.replace(trace=Frozen(DENSE_RULE.trace))
    _refused("closed-form tangents .* got ThreeFactor of Frozen", rule=frozen)
    with pytest.raises(ValueError, match="learner's own"):
        learn_with_tangents(
            KEY,
            NETWORK,
            TASK,
            DENSE_RULE,
            LEARNER,
            3,
            differentiation=Differentiation(rewards=True),
            third_factor=jnp.zeros(3),
        )


def test_binary_rewards_may_be_held_fixed():
    learner = dataclasses.replace(LEARNER, reward="binary")
    ours = learn_with_tangents(KEY, NETWORK, TASK, DENSE_RULE, learner, 4)
    assert np.isfinite(ours.norms).all()
