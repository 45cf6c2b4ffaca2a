import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import (
    CARRIED,
    CASES,
    DENSE,
    DENSE_RULE,
    KEY,
    LEARNER,
    N_UNITS,
    NETWORK,
    TASK,
    episodes,
    gap,
    ours,
)

from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.derivatives.tangent import Differentiation, initial_tangents
from plasticity.learning.lifetime import learn
from plasticity.learning.trial import initial_learning_state
from plasticity.model.network import make_network, random_network
from plasticity.model.tasks import delayed_association
from plasticity.rules.base import stack
from plasticity.rules.three_factor import make_rule


@pytest.mark.parametrize("case", ["dense", CARRIED, "shared baseline, drawn"])
def test_a_course_in_two_halves_is_the_whole(case):
    learner, rule = CASES[case]
    whole, half = ours(case, True, 100), ours(case, True, 50)
    going_on = {
        "state": half.lifetime.state,
        "tangents": half.tangents,
        "differentiation": Differentiation(rewards=True),
    }
    rest = learn_with_tangents(KEY, NETWORK, TASK, rule, learner, 50, **going_on)
    for a, b in zip(*map(jax.tree.leaves, (whole.tangents, rest.tangents)), strict=True):
        # The same operations in the same order but for how XLA fuses them.
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13 * float(jnp.abs(a).max()))
    np.testing.assert_allclose(whole.norms[50:], rest.norms, rtol=1e-12)


@pytest.mark.parametrize(
    ("terms", "rewards"),
    [(((2, 1),), True), (((3, 0), (0, 3), (1, 1)), False), (((0, 0), (0, 1), (1, 0)), True)],
)
def test_some_coefficients_are_columns_of_all(terms, rewards):
    learner, rule = CASES[CARRIED]
    everything = ours(CARRIED, rewards, 50, observe=_weights).observed[5]
    chosen = Differentiation(terms=terms, rewards=rewards)
    some = learn_with_tangents(KEY, NETWORK, TASK, rule, learner, 6, differentiation=chosen)
    columns = [4 * k + ell for k, ell in terms]
    np.testing.assert_allclose(some.tangents.W, everything[..., columns], rtol=1e-10, atol=1e-13)


def _weights(state, episode, outcome, tangents, of_outcome):
    return tangents.W


def test_a_rule_of_degree_zero_has_one_tangent():
    rule = make_rule([[0.3]], learning_rate=1e-3)
    result = learn_with_tangents(KEY, NETWORK, TASK, rule, LEARNER, 5)
    held, shown = result.lifetime.third_factors, episodes(LEARNER, 5)
    course = jax.jacfwd(
        lambda theta: oracles.course(theta, NETWORK, shown, rule, LEARNER, held)[-1]
    )
    assert gap(result.tangents.W, course(rule.coefficients)) < 1e-12


def test_the_course_of_learning_is_that_of_learn():
    learner, rule = CASES["dense"]
    plain = learn(KEY, NETWORK, TASK, rule, learner, 50)
    same = ours("dense", True, 50).lifetime
    np.testing.assert_allclose(same.errors, plain.errors, rtol=1e-12)
    np.testing.assert_allclose(same.state.W, plain.state.W, rtol=1e-12, atol=1e-14)


def test_batches_of_lifetimes_are_the_single_ones():
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(jax.random.split(KEY, 3))
    rules = stack([make_rule(DENSE, learning_rate=rate, clip=3e-3) for rate in (1e-4, 2e-4)])
    keys = jax.random.split(KEY, 3)
    batch = learn_with_tangents(keys, networks, TASK, rules, LEARNER, 5)
    assert batch.norms.shape == (2, 3, 5, 16)
    for r in range(2):
        for b in range(3):
            network = jax.tree.map(lambda a, b=b: a[b], networks)
            one = learn_with_tangents(keys[b], network, TASK, rules[r], LEARNER, 5)
            scale = float(jnp.abs(one.tangents.W).max())
            np.testing.assert_allclose(
                batch.tangents.W[r, b], one.tangents.W, rtol=1e-10, atol=1e-12 * scale
            )


@pytest.mark.parametrize("together", [1, 2])
def test_memory_does_not_grow_with_the_number_of_trials(together):
    networks = jax.vmap(lambda k: random_network(k, 40, 2))(jax.random.split(KEY, together))
    keys = jax.random.split(KEY, together)

    def memory(n_trials):
        def course(keys, networks):
            options = {"batch_size": together}
            at = (keys, networks, TASK, DENSE_RULE, LEARNER, n_trials)
            result = learn_with_tangents(*at, **options)
            return result.tangents, result.norms

        analysis = jax.jit(course).lower(keys, networks).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    # The norms and errors of every trial are results, of which a copy may be held.
    assert memory(500) <= 1.1 * memory(50)


def test_an_overflowing_tangent_is_reported_with_trial_and_coefficient():
    with jax.enable_x64(False):
        task = delayed_association(dt=10.0, cue=30.0, delay=30.0, response=40.0)
        network = make_network(*(np.asarray(a, np.float32) for a in NETWORK))
        # Tangents grow by ten powers of ten in eighty trials here; these start large.
        rule = make_rule(DENSE, learning_rate=0.3, tau_e=60.0, clip=1.0)
        differentiation = Differentiation(rewards=True)
        zero = initial_tangents(
            initial_learning_state(network, task, rule, LEARNER), rule, differentiation
        )
        options = {"differentiation": differentiation, "tangents": zero._replace(W=zero.W + 1e25)}
        message = r"overflows in 1 of 1 .* in trial \d+ for θ\(\d, \d\)"
        with pytest.warns(RuntimeWarning, match=message):
            result = learn_with_tangents(KEY, network, task, rule, LEARNER, 400, **options)
    assert np.isfinite(result.lifetime.errors).all()
    finite = np.isfinite(np.asarray(result.norms)).all(axis=1)
    assert finite[:5].all() and not finite[-1]


def test_tangents_stay_where_a_network_blows_up():
    # The trace of one network is not finite, though its tangents are.
    rule = make_rule(DENSE, learning_rate=1e-3)
    inputs = NETWORK.W_in.at[0].set(1e200)
    blown = NETWORK._replace(W_in=inputs)
    with pytest.warns(RuntimeWarning, match="non-finite activity"):
        result = learn_with_tangents(KEY, blown, TASK, rule, LEARNER, 6)
    assert not bool(result.lifetime.state.alive)
    assert np.isfinite(result.tangents.W).all()
