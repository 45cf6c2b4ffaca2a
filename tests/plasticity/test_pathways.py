"""Rules on W, W_in and W_out: by hand, in plain loops, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import KEY, LEARNER, MICONI_LIKE, N_UNITS, NETWORK, TASK
from hypothesis import given, settings
from hypothesis import strategies as st

import plasticity as pl
from plasticity.derivatives import tangent
from plasticity.derivatives.differences import compare_with_differences
from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.derivatives.tangent import Differentiation, initial_tangents, tangent_trial
from plasticity.learning.lifetime import learn
from plasticity.learning.trial import initial_learning_state, learn_trial
from plasticity.meta.estimators import ForwardProgram, ReverseProgram
from plasticity.meta.objective import mean_reward
from plasticity.model.network import random_network
from plasticity.model.tasks import delayed_reach
from plasticity.rules.feedback import reward_feedback
from plasticity.rules.pathways import PATHWAYS, on_pathways
from plasticity.rules.three_factor import SoftBound, make_rule, node_perturbation

RATE, LIMIT = 2e-4, 0.05
THETA = {
    name: np.random.default_rng(seed).normal(size=(size, size))
    for name, seed, size in (("recurrent", 1, 3), ("inward", 2, 2), ("outward", 3, 4))
}
RULES = {
    name: make_rule(theta, learning_rate=RATE, tau_e=tau, bound=SoftBound(LIMIT))
    for (name, theta), tau in zip(THETA.items(), (60.0, 40.0, 80.0), strict=True)
}
ALL = on_pathways(**RULES)
REACH = delayed_reach(dt=10.0, stimulus=30.0, delay=30.0, response=40.0)
TWO_OUTPUTS = random_network(KEY, N_UNITS, REACH.inputs.shape[-1], n_outputs=2)


def _loop(pre, post, theta, tau_e, dt):
    """Σ_t λ_t Σ θ_kℓ pre_j^k post_i^ℓ, (N, M), step by step."""
    e = np.zeros((post.shape[1], pre.shape[1]))
    for u, v in zip(pre, post, strict=True):
        e = e - dt / tau_e * e
        for k, ell in np.ndindex(theta.shape):
            e = e + dt * theta[k, ell] * np.outer(v**ell, u**k)
    return e


def _by_hand(network, task, learner, rule, n_trials, altered=None):
    """Weights after trials, traces by plain loops from the activity of each."""
    state = initial_learning_state(network, task, rule, learner)
    dt, gain = learner.dynamics.dt, float(learner.dynamics.gain)
    for h in range(n_trials):
        episode = pl.draw_episode(KEY, h, task, learner, N_UNITS)
        before = {name: np.array(getattr(state, name)) for name in PATHWAYS.values()}
        state, outcome = learn_trial(state, episode, network, rule, learner)
        seen, run = outcome.seen, outcome.trajectory
        rates, states = np.array(run.rates), np.array(run.states)
        after = np.tanh(states)
        W_out = before["W_out"].reshape(-1, N_UNITS)
        z, mean = after @ W_out.T, W_out @ np.tanh(np.array(episode.state))
        moved = np.zeros_like(z)
        for t, now in enumerate(z):
            moved[t] = mean - now
            mean = mean + gain * (now - mean)
        if altered == "rates before the step":
            after = rates
        if altered == "a mean from zero":
            moved = moved - z[0] * 0.1
        sides = {
            "recurrent": (rates, np.array(run.fluctuations)),
            "inward": (np.array(seen.inputs), np.array(run.fluctuations)),
            "outward": (after, moved),
        }
        factor = float(seen.reward - seen.baseline)
        weights = {}
        for name, (pre, post) in sides.items():
            of = RULES[name]
            e = _loop(pre, post, THETA[name], float(of.tau_e), dt)
            change = LIMIT * np.tanh(RATE * factor * e / LIMIT)
            was = before[PATHWAYS[name]]
            weights[name] = was + change.reshape(was.shape)
        yield weights, state


@pytest.mark.parametrize("case", ["one output", "two outputs", "filter carried"])
def test_weights_of_all_pathways_move_as_loops_say(case):
    network, task, learner = NETWORK, TASK, LEARNER
    if case == "two outputs":
        network, task = TWO_OUTPUTS, REACH
    if case == "filter carried":
        learner = MICONI_LIKE
    for h, (by_hand, state) in enumerate(_by_hand(network, task, learner, ALL, 3)):
        for name, weights in by_hand.items():
            of = np.asarray(getattr(state, PATHWAYS[name]))
            if h >= learner.first_update:
                np.testing.assert_allclose(of, weights, rtol=1e-9, atol=1e-12)
                assert np.abs(of - np.asarray(getattr(network, PATHWAYS[name]))).max() > 1e-5


@pytest.mark.parametrize("altered", ["rates before the step", "a mean from zero"])
def test_loops_with_another_side_say_something_else(altered):
    by_hand, state = next(_by_hand(NETWORK, TASK, LEARNER, ALL, 1, altered))
    off = np.abs(by_hand["outward"] - np.asarray(state.W_out)).max()
    assert off > 0.01 * np.abs(np.asarray(state.W_out - NETWORK.W_out)).max()
    np.testing.assert_allclose(by_hand["recurrent"], state.W, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PATHWAYS)
def test_a_pathway_alone_leaves_the_others(name):
    alone = learn(KEY, NETWORK, TASK, on_pathways(**{name: RULES[name]}), LEARNER, 3)
    for other, weights in PATHWAYS.items():
        now = np.asarray(getattr(alone.state.within(NETWORK), weights))
        same = np.array_equal(now, np.asarray(getattr(NETWORK, weights)))
        assert same == (other != name)


def test_recurrent_alone_is_the_rule_itself():
    both = [
        learn(KEY, NETWORK, TASK, rule, LEARNER, 5)
        for rule in (on_pathways(recurrent=RULES["recurrent"]), RULES["recurrent"])
    ]
    np.testing.assert_array_equal(both[0].state.W, both[1].state.W)
    np.testing.assert_array_equal(both[0].errors, both[1].errors)


def test_recurrent_weights_may_follow_any_rule():
    kicked = on_pathways(recurrent=node_perturbation(learning_rate=1e-3), outward=RULES["outward"])
    assert {"kicks", "rates", "states", "output", "W_out"} <= kicked.told
    assert np.isfinite(np.asarray(learn(KEY, NETWORK, TASK, kicked, LEARNER, 3).errors)).all()


@given(st.permutations(range(2)), st.integers(0, 2**16))
@settings(max_examples=5, deadline=None)
def test_inputs_have_no_order(order, seed):
    """Inputs in another order change W_in in that order, and nothing else."""
    order = np.array(order)
    network = random_network(jax.random.key(seed), N_UNITS, 2)
    task = TASK._replace(inputs=TASK.inputs[..., order])
    moved = network._replace(W_in=network.W_in[:, order])
    one = learn(KEY, network, TASK, ALL, LEARNER, 3).state
    other = learn(KEY, moved, task, ALL, LEARNER, 3).state
    np.testing.assert_allclose(other.W_in, one.W_in[:, order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.W, one.W, rtol=1e-9, atol=1e-12)


def test_parameters_are_those_of_all_rules():
    flat = np.asarray(ALL.parameters)
    np.testing.assert_array_equal(flat, np.concatenate([t.ravel() for t in THETA.values()]))
    again = ALL.with_parameters(ALL.parameters * 2)
    for name, theta in THETA.items():
        np.testing.assert_array_equal(again.rules[name].coefficients, 2 * theta)
    np.testing.assert_array_equal(ALL.with_parameters(ALL.parameters).parameters, flat)


def _weights_after(parameters, rule, network, task, learner, n_trials):
    state = initial_learning_state(network, task, rule, learner)
    rule = rule.with_parameters(parameters)
    for h in range(n_trials):
        episode = pl.draw_episode(KEY, h, task, learner, N_UNITS)
        state, _ = learn_trial(state, episode, network, rule, learner)
    return {name: getattr(state, name) for name in PATHWAYS.values()}


def _carried(rule, network, task, learner, n_trials):
    differentiation = Differentiation(rewards=True)
    state = initial_learning_state(network, task, rule, learner)
    tangents = initial_tangents(state, rule, differentiation)

    @jax.jit
    def step(state, tangents, episode):
        given = (state, tangents, episode, network, rule, learner, differentiation)
        return tangent_trial(*given)

    for h in range(n_trials):
        episode = pl.draw_episode(KEY, h, task, learner, N_UNITS)
        state, _, tangents, of_outcome = step(state, tangents, episode)
    return tangents, of_outcome


CASES = {
    "all": (ALL, NETWORK, TASK, LEARNER),
    "two outputs": (ALL, TWO_OUTPUTS, REACH, LEARNER),
    "filter carried": (ALL, NETWORK, TASK, MICONI_LIKE),
    "in and out": (
        on_pathways(inward=RULES["inward"], outward=RULES["outward"]),
        NETWORK,
        TASK,
        LEARNER,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_tangents_of_all_weights_are_forward_mode_of_plain_trials(case):
    rule, *rest = CASES[case]
    tangents, _ = _carried(rule, *rest, 4)
    exact = jax.jacfwd(_weights_after)(rule.parameters, rule, *rest, 4)
    for name, jacobian in exact.items():
        ours = getattr(tangents, name)
        if jacobian is None:
            assert ours is None
            continue
        wanted = np.asarray(jacobian).reshape(-1, ours.shape[0], ours.shape[2]).swapaxes(0, 1)
        if not np.abs(wanted).any():
            assert not np.asarray(ours).any() and name not in [PATHWAYS[n] for n in rule.rules]
            continue
        # Rounding of sums of at most 1e4 terms, amplified by four trials.
        assert np.abs(ours - wanted).max() < 1e-11 * np.abs(wanted).max(), name


def test_tangents_are_central_differences():
    rule, *rest = CASES["all"]
    tangents, _ = _carried(rule, *rest, 3)
    width = 1e-4
    for p in (0, 5, 9, 12, 13, 28):
        step = width * jnp.eye(rule.parameters.size)[p]
        there, back = (_weights_after(rule.parameters + s * step, rule, *rest, 3) for s in (1, -1))
        for name in PATHWAYS.values():
            quotient = np.asarray(there[name] - back[name]).reshape(-1, *there[name].shape[-1:])
            ours = np.asarray(getattr(tangents, name))[..., p].T
            off = np.abs(quotient / (2 * width) - ours).max()
            # Off by width² and by 1e-16/width.
            assert off < 1e-7 * np.abs(getattr(tangents, name)).max(), (name, p)


DROPPED = {
    "U_in u": ("state_tangents", lambda f: lambda s, d, *r: f(s, d._replace(W_in=0 * d.W_in), *r)),
    "U_out r": (
        "output_tangents",
        lambda f: lambda s, d, a: f(s, d._replace(W_out=0 * d.W_out), a),
    ),
    "the first output": (
        "output_fluctuation_tangents",
        lambda f: lambda o, d, a: f(o._replace(seen=o.seen._replace(state=0 * o.seen.state)), d, a),
    ),
}


@pytest.mark.parametrize("name", DROPPED)
def test_a_dropped_term_shows(monkeypatch, name):
    rule, *rest = CASES["all"]
    right, _ = _carried(rule, *rest, 3)
    function, alter = DROPPED[name]
    monkeypatch.setattr(tangent, function, alter(getattr(tangent, function)))
    wrong, _ = _carried(rule, *rest, 3)
    gaps = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(wrong, right, strict=True)]
    assert max(gaps) > 1e-6


def test_forward_and_reverse_gradients_of_the_reward_agree():
    given = {"learner": LEARNER, "n_trials": 4}
    both = [
        program(**given)(KEY, NETWORK, ALL, task=TASK)
        for program in (ForwardProgram, ReverseProgram)
    ]
    np.testing.assert_allclose(both[0][0], both[1][0], rtol=1e-8, atol=1e-12)

    def value(parameters):
        return mean_reward(parameters, KEY, NETWORK, TASK, ALL, LEARNER, 4)[0]

    step = 1e-4 * jnp.eye(29)[12]
    quotient = (value(ALL.parameters + step) - value(ALL.parameters - step)) / 2e-4
    assert abs(quotient - both[1][0][12]) < 1e-7 * np.abs(both[1][0]).max()


def test_learning_with_tangents_takes_pathways():
    result = learn_with_tangents(KEY, NETWORK, TASK, ALL, LEARNER, 3)
    assert result.tangents.W_in.shape == (2, N_UNITS, 29)
    assert result.tangents.W_out.shape == (N_UNITS, 1, 29)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (dict, "at least one pathway learns; got none"),
        (lambda: {"inward": reward_feedback()}, r"what a rule for W_in reads; got \['W_out', "),
        (
            lambda: {"outward": node_perturbation()},
            r"what a rule for W_out reads; got \['kicks'\]: use a rule of baseline",
        ),
        (
            lambda: {"recurrent": reward_feedback(readout_rate=0.1)},
            r"the rule for W changes them alone; got \['plastic_readout'\]: give each pathway",
        ),
    ],
)
def test_rules_that_do_not_fit_a_pathway_are_named(make, named):
    with pytest.raises(ValueError, match=named):
        on_pathways(**make())


def test_what_needs_one_rule_says_so():
    with pytest.raises(ValueError, match="all coefficients of Pathways; got"):
        terms = Differentiation(terms=((1, 1),))
        learn_with_tangents(KEY, NETWORK, TASK, ALL, LEARNER, 2, differentiation=terms)
    with pytest.raises(ValueError, match="differences are of a ThreeFactor"):
        compare_with_differences(KEY, NETWORK, TASK, ALL, LEARNER, 2, (1e-4,))
