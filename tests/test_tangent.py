import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity import tangent
from plasticity.exploration import Exploration
from plasticity.learning import Learner, draw_episode, initial_learning_state
from plasticity.lifetimes import learn
from plasticity.network import Dynamics, Network, random_network
from plasticity.sensitivity import learn_with_tangents
from plasticity.tangent import Differentiation, initial_tangents, tangent_trial
from plasticity.tasks import delayed_association
from plasticity.three_factor import make_rule, miconi, node_perturbation

N_UNITS = 6
TASK = delayed_association(dt=10.0, cue=30.0, delay=30.0, response=40.0)
LEARNER = Learner(exploration=Exploration(rate=20.0, amplitude=1.0))
MICONI_LIKE = Learner(
    dynamics=Dynamics(filter_gain=0.4, clamped=((1, 1.0),)),
    exploration=Exploration(rate=20.0, amplitude=1.0, onset=20.0),
    error_factor=True,
    reset_filter=False,
    first_update=1,
    trace_onset=20.0,
    plain_sum=True,
)
DENSE = np.random.default_rng(5).normal(size=(4, 4))
# The clip meets a part of the entries, and tangents grow too little to lose 1e-11.
DENSE_RULE = make_rule(DENSE, learning_rate=1e-4, tau_e=60.0, clip=3e-3)
CASES = {
    "dense": (LEARNER, DENSE_RULE),
    "filter carried, error factor": (
        MICONI_LIKE,
        make_rule(DENSE, learning_rate=3e-3, tau_e=np.inf, clip=3e-3),
    ),
    "one term": (LEARNER, miconi(learning_rate=1e-3, degree=3)),
    "true kick": (LEARNER, node_perturbation(learning_rate=1e-3)),
    "shared baseline, drawn": (
        dataclasses.replace(LEARNER, per_condition=False, conditions="drawn"),
        DENSE_RULE,
    ),
}
EVERY_CASE = pytest.mark.parametrize("case", CASES)
BOTH = pytest.mark.parametrize("rewards", [False, True])


def _network(key):
    return random_network(jax.random.fold_in(key, 77), N_UNITS, 2)


def _episodes(key, learner, n_trials):
    draw = partial(draw_episode, key, task=TASK, learner=learner, n_units=N_UNITS)
    return jax.vmap(lambda h: draw(h))(jnp.arange(n_trials, dtype=jnp.int32))


def _oracle(key, case, n_trials, held=None, derivative=jax.jacfwd):
    """∂W/∂θ after each trial, (H, N postsynaptic, N presynaptic, d+1, d+1)."""
    learner, rule = CASES[case]
    arguments = (_network(key), _episodes(key, learner, n_trials), rule, learner, held)
    return jax.jit(derivative(lambda theta: oracles.course(theta, *arguments)))(rule.coefficients)


def _ours(key, case, n_trials, *, rewards, carry=True, observe=None, **options):
    learner, rule = CASES[case]
    differentiation = Differentiation(rewards=rewards, carry=carry)
    options |= {"differentiation": differentiation, "observe": observe}
    return learn_with_tangents(key, _network(key), TASK, rule, learner, n_trials, **options)


def _matrices(U):
    """Of coefficients first and [i, j] in place of [j, i, p]."""
    return np.asarray(U).transpose(2, 1, 0)


def _gap(ours, exact):
    """Largest relative error of the norm over coefficients."""
    exact = np.moveaxis(np.asarray(exact).reshape(N_UNITS, N_UNITS, -1), -1, 0)
    norms = np.linalg.norm(exact, axis=(1, 2))
    gaps = np.linalg.norm(_matrices(ours) - exact, axis=(1, 2))
    return np.max(gaps / np.where(norms > 0, norms, 1.0))


@BOTH
@EVERY_CASE
def test_tangents_are_the_derivatives_of_plain_steps(key, case, rewards):
    n_trials = 50
    errors = learn(key, _network(key), TASK, CASES[case][1], CASES[case][0], n_trials)
    held = None if rewards else errors.prediction_errors
    exact = _oracle(key, case, n_trials, held)
    for trials in (2, n_trials):
        ours = _ours(key, case, trials, rewards=rewards)
        assert float(ours.norms[-1].min()) > 0
        # Sums of at most 1e4 terms round at 1e-14; fifty trials amplify that by less than 1e3.
        assert _gap(ours.tangents.W, exact[trials - 1]) < 1e-11, (case, trials)


def test_one_trial_is_exact_to_rounding(key):
    ours = _ours(key, "dense", 2, rewards=True, state=None)
    assert _gap(ours.tangents.W, _oracle(key, "dense", 2)[-1]) < 1e-13


@EVERY_CASE
def test_reverse_mode_agrees_on_a_scalar(key, case):
    learner, rule = CASES[case]
    weights = jax.random.normal(key, (N_UNITS, N_UNITS))
    arguments = (_network(key), _episodes(key, learner, 20), rule, learner)

    def scalar(theta):
        return jnp.sum(weights * oracles.course(theta, *arguments)[-1])

    ours = _ours(key, case, 20, rewards=True).tangents.W
    exact = jax.jit(jax.grad(scalar))(rule.coefficients).ravel()
    contracted = jnp.einsum("ij,jip->p", weights, ours)
    # The sum over synapses cancels, hence the tolerance on the whole vector.
    assert np.linalg.norm(contracted - exact) < 1e-11 * np.linalg.norm(exact)


@BOTH
@EVERY_CASE
def test_a_course_in_two_halves_is_the_whole(key, case, rewards):
    whole = _ours(key, case, 100, rewards=rewards)
    half = _ours(key, case, 50, rewards=rewards)
    rest = _ours(key, case, 50, rewards=rewards, state=half.lifetime.state, tangents=half.tangents)
    for a, b in zip(whole.tangents, rest.tangents, strict=True):
        # The same operations in the same order but for how XLA fuses them.
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13 * float(jnp.abs(a).max()))
    np.testing.assert_allclose(whole.norms[50:], rest.norms, rtol=1e-12)


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
                jnp.zeros_like(part) if i in zeroed["results"] else part
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

    def unclipped(trace, error, trial, rule, learner):
        return change(trace, error, trial, rule._replace(clip=jnp.array(jnp.inf)), learner)

    def ungated(trace, error, trial, rule, learner):
        return change(trace, error, trial + 1000, rule, learner)

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


@pytest.mark.parametrize("dropped", DROPPED)
def test_every_term_of_the_recursion_counts(key, monkeypatch, dropped):
    case = "filter carried, error factor"
    exact = _oracle(key, case, 12)[-1]
    assert _gap(_ours(key, case, 12, rewards=True).tangents.W, exact) < 1e-11
    monkeypatch.setattr(tangent, *_without(dropped))
    jax.clear_caches()
    gap = _gap(_ours(key, case, 12, rewards=True).tangents.W, exact)
    jax.clear_caches()
    assert gap > 1e-4


@EVERY_CASE
def test_without_carrying_only_the_direct_dependence_remains(key, case):
    learner, rule = CASES[case]

    def observe(state, episode, outcome, tangents, of_outcome):
        return state, outcome.prediction_error, tangents.W, of_outcome.direct

    ours = _ours(key, case, 8, rewards=True, carry=False, observe=observe)
    carried = _ours(key, case, 8, rewards=True, observe=observe)
    states, errors, tangents, direct = ours.observed
    episodes = _episodes(key, learner, 8)
    for h in range(learner.first_update, 8):
        state, episode = (jax.tree.map(lambda a, h=h: a[h], tree) for tree in (states, episodes))
        network = _network(key)._replace(W=state.W)
        # The trial alone, from the W, x̄ and R − R̄ it had: nothing before depends on θ.
        alone = dataclasses.replace(learner, first_update=0)
        one = jax.tree.map(lambda a: a[None], episode)
        rest = (network, one, rule, alone, errors[h : h + 1], state.filtered)
        exact = jax.jacfwd(lambda theta, rest=rest: oracles.course(theta, *rest)[-1])
        assert _gap(direct[h], exact(rule.coefficients)) < 1e-12
        np.testing.assert_array_equal(tangents[h], direct[h])
    np.testing.assert_allclose(carried.observed[3], direct, rtol=1e-12, atol=1e-15)
    total = np.asarray(carried.tangents.W)
    assert np.abs(total - np.asarray(direct).sum(axis=0)).max() > 1e-3 * np.abs(total).max()


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(N_UNITS)))
def test_tangents_are_those_of_the_permuted_network(order):
    key, order = jax.random.key(3), jnp.array(order)
    learner, rule = CASES["dense"]
    network = _network(key)
    moved = Network(network.W[order][:, order], network.W_in[order], network.W_out[order])
    results = []
    for net, units in ((network, jnp.arange(N_UNITS)), (moved, order)):
        state = initial_learning_state(net, TASK, learner)
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


@pytest.mark.parametrize(
    "terms", [((2, 1),), ((3, 0), (0, 3), (1, 1)), ((0, 0), (0, 1), (1, 0), (1, 1))]
)
@BOTH
def test_some_coefficients_are_columns_of_all(key, terms, rewards):
    learner, rule = CASES["filter carried, error factor"]
    everything = _ours(key, "filter carried, error factor", 6, rewards=rewards)
    chosen = Differentiation(terms=terms, rewards=rewards)
    some = learn_with_tangents(key, _network(key), TASK, rule, learner, 6, differentiation=chosen)
    columns = [4 * k + ell for k, ell in terms]
    np.testing.assert_allclose(
        some.tangents.W, everything.tangents.W[..., columns], rtol=1e-10, atol=1e-13
    )


def test_a_rule_of_degree_zero_has_one_tangent(key):
    rule = make_rule([[0.3]], learning_rate=1e-3)
    ours = learn_with_tangents(key, _network(key), TASK, rule, LEARNER, 5)
    arguments = (_network(key), _episodes(key, LEARNER, 5), rule, LEARNER)
    held = ours.lifetime.prediction_errors
    exact = jax.jacfwd(lambda theta: oracles.course(theta, *arguments, held)[-1])
    assert _gap(ours.tangents.W, exact(rule.coefficients)) < 1e-12


def test_the_course_of_learning_is_that_of_learn(key):
    learner, rule = CASES["dense"]
    plain = learn(key, _network(key), TASK, rule, learner, 20)
    ours = _ours(key, "dense", 20, rewards=True).lifetime
    np.testing.assert_allclose(ours.errors, plain.errors, rtol=1e-12)
    np.testing.assert_allclose(ours.state.W, plain.state.W, rtol=1e-12, atol=1e-14)


def test_batches_of_lifetimes_are_the_single_ones(key):
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(jax.random.split(key, 3))
    rules = make_rule(DENSE, learning_rate=[1e-4, 2e-4], clip=3e-3)
    keys = jax.random.split(key, 3)
    batch = learn_with_tangents(keys, networks, TASK, rules, LEARNER, 5)
    assert batch.norms.shape == (2, 3, 5, 16)
    for r in range(2):
        for b in range(3):
            rule, network = (
                jax.tree.map(lambda a, i=i: a[i], tree) for i, tree in ((r, rules), (b, networks))
            )
            one = learn_with_tangents(keys[b], network, TASK, rule, LEARNER, 5)
            scale = float(jnp.abs(one.tangents.W).max())
            np.testing.assert_allclose(
                batch.tangents.W[r, b], one.tangents.W, rtol=1e-10, atol=1e-12 * scale
            )


@pytest.mark.parametrize("together", [1, 2])
def test_memory_does_not_grow_with_the_number_of_trials(key, together):
    networks = jax.vmap(lambda k: random_network(k, 40, 2))(jax.random.split(key, together))
    keys = jax.random.split(key, together)

    def memory(n_trials):
        def course(keys, networks):
            options = {"batch_size": together}
            result = learn_with_tangents(
                keys, networks, TASK, DENSE_RULE, LEARNER, n_trials, **options
            )
            return result.tangents, result.norms

        analysis = jax.jit(course).lower(keys, networks).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    # The norms and errors of every trial are results, of which a copy may be held.
    assert memory(500) <= 1.1 * memory(50)


def _refused(key, match, *, learner=LEARNER, rule=DENSE_RULE, tangents=None, **options):
    with pytest.raises(ValueError, match=match):
        learn_with_tangents(
            key,
            _network(key),
            TASK,
            rule,
            learner,
            3,
            differentiation=Differentiation(**options),
            tangents=tangents,
        )


def test_bad_requests_are_refused_with_a_reason(key):
    state = initial_learning_state(_network(key), TASK, LEARNER)
    other = make_rule(np.eye(3))
    _refused(
        key, "one entry a coefficient", tangents=initial_tangents(state, other, Differentiation())
    )
    small = initial_learning_state(random_network(key, 4, 2), TASK, LEARNER)
    wrong = initial_tangents(small, DENSE_RULE, Differentiation())
    _refused(key, "shapes of the state", tangents=wrong)
    _refused(key, "at least one coefficient", terms=())
    _refused(key, "distinct pairs", terms=((1, 1), (1, 1)))
    _refused(key, "distinct pairs", terms=((-1, 1),))
    _refused(key, "raise the degree", terms=((5, 5),))
    binary = dataclasses.replace(LEARNER, reward="binary")
    _refused(key, "differentiated are graded; got binary", learner=binary, rewards=True)
    frozen = dataclasses.replace(LEARNER, frozen_trace=True)
    _refused(key, "follow activity", learner=frozen)
    with pytest.raises(ValueError, match="learner's own"):
        learn_with_tangents(
            key,
            _network(key),
            TASK,
            DENSE_RULE,
            LEARNER,
            3,
            differentiation=Differentiation(rewards=True),
            third_factor=jnp.zeros(3),
        )


def test_binary_rewards_may_be_held_fixed(key):
    learner = dataclasses.replace(LEARNER, reward="binary")
    ours = learn_with_tangents(key, _network(key), TASK, DENSE_RULE, learner, 4)
    assert np.isfinite(ours.norms).all()


def test_an_overflowing_tangent_is_reported_with_trial_and_coefficient(key):
    rule = make_rule(DENSE, learning_rate=0.3, tau_e=60.0, clip=0.3)
    with pytest.warns(RuntimeWarning, match=r"overflows in 1 of 1 .* in trial \d+ for θ\(\d, \d\)"):
        with jax.enable_x64(False):
            ours = learn_with_tangents(key, _network(key), TASK, rule, LEARNER, 400)
    assert np.isfinite(ours.lifetime.errors).all()
    finite = np.isfinite(np.asarray(ours.norms)).all(axis=1)
    assert finite[:5].all() and not finite[-1]


def test_tangents_stay_where_a_network_blows_up(key):
    rule = make_rule(DENSE, learning_rate=1e300, tau_e=60.0)
    with pytest.warns(RuntimeWarning, match="non-finite activity"):
        ours = learn_with_tangents(key, _network(key), TASK, rule, LEARNER, 6)
    assert not bool(ours.lifetime.state.alive)
    assert np.isfinite(ours.tangents.W).all()
