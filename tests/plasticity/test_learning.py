import dataclasses
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import DENSE, LEARNER, N_UNITS, TASK
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity.derivatives.sensitivity import learn_with_tangents
from plasticity.learning import parallel
from plasticity.learning.lifetime import learn
from plasticity.learning.trial import Learner, draw_episode, initial_learning_state, learn_trial
from plasticity.model.exploration import Kicks, OutputNoise, WeightNoise
from plasticity.model.network import Dynamics, random_network
from plasticity.model.tasks import delayed_association, evidence_integration
from plasticity.rules import trace
from plasticity.rules.base import stack
from plasticity.rules.feedback import reward_feedback
from plasticity.rules.perturbation import weight_perturbation
from plasticity.rules.three_factor import (
    ScaledPredictionError,
    ThreeFactor,
    covariance,
    make_rule,
    miconi,
    node_perturbation,
    single_term,
    zero,
)
from plasticity.rules.trace import Frozen

MICONI_LIKE = Learner(
    dynamics=Dynamics(filter_gain=0.95, clamped=((1, 1.0),)),
    exploration=Kicks(rate=20.0, amplitude=1.0, onset=20.0),
    initial_baseline=0.0,
    reset_filter=False,
    first_update=3,
)

MICONI_TRACE = {
    "tau_e": np.inf,
    "onset": 20.0,
    "plain_sum": True,
    "third_factor": ScaledPredictionError(),
}


def _network(key, n_units=N_UNITS):
    return random_network(jax.random.fold_in(key, 77), n_units, 2)


def _episodes(key, task, learner, n_trials):
    # Initial states as drawn: to clamp them is for the oracle.
    free = dataclasses.replace(learner.dynamics, clamp_start=False)
    learner = dataclasses.replace(learner, dynamics=free)
    drawn = [draw_episode(key, jnp.int32(h), task, learner, N_UNITS) for h in range(n_trials)]
    return [jax.tree.map(np.asarray, episode) for episode in drawn]


@pytest.mark.parametrize("n_trials", [1, 10])
@pytest.mark.parametrize(
    ("learner", "rule"),
    [
        (LEARNER, make_rule(DENSE, learning_rate=1e-4, tau_e=60.0, clip=0.03)),
        (MICONI_LIKE, miconi(learning_rate=0.5, clip=0.01, **MICONI_TRACE)),
        (dataclasses.replace(LEARNER, reward="binary"), covariance(learning_rate=0.01)),
        (dataclasses.replace(LEARNER, per_condition=False), node_perturbation(learning_rate=0.01)),
        (dataclasses.replace(LEARNER, conditions="drawn"), single_term(1, 5, learning_rate=0.01)),
    ],
)
def test_learning_is_that_of_plain_loops(key, n_trials, learner, rule):
    network = _network(key)
    lifetime = _run(key, network, learner, rule, n_trials)
    plain_rule = jax.tree.map(np.asarray, rule)
    episodes = _episodes(key, TASK, learner, n_trials)
    # A drawn order of conditions need not show both in one trial; the oracle counts slots itself.
    errors, W = oracles.learn(network, episodes, plain_rule, learner)
    # Ten short trials amplify rounding (1e-16) by far less than 1e4.
    np.testing.assert_allclose(lifetime[0], errors, rtol=1e-12)
    np.testing.assert_allclose(lifetime[1], W, rtol=1e-12, atol=1e-14)
    if n_trials == 10:
        assert np.abs(W - np.asarray(network.W)).max() > 1e-4


def test_details_of_the_published_setting_are_those_of_plain_loops(key):
    read = [random_network(key, N_UNITS, 2, readout=name) for name in ("unit", "undriven unit")]
    np.testing.assert_array_equal(read[0].W_in[1:], read[1].W_in[1:])
    late = dataclasses.replace(MICONI_LIKE.dynamics, clamp_start=False)
    kinds = (MICONI_LIKE, dataclasses.replace(MICONI_LIKE, dynamics=late))
    rule = miconi(learning_rate=0.5, clip=0.01, **MICONI_TRACE)
    ours = {(n, k): _run(key, read[n], kinds[k], rule, 8) for n in (0, 1) for k in (0, 1)}
    episodes = _episodes(key, TASK, MICONI_LIKE, 8)
    network, rule = jax.tree.map(np.asarray, (read[0], rule))
    for (n, k), (errors, W) in ours.items():
        # A plain network whose unit 0 no input reaches, and plain states that are held or not.
        W_in = network.W_in * (np.arange(N_UNITS) >= n)[:, None]
        plain = oracles.learn(network._replace(W_in=W_in), episodes, rule, kinds[k])
        np.testing.assert_allclose(errors, plain[0], rtol=1e-12)
        np.testing.assert_allclose(W, plain[1], rtol=1e-12, atol=1e-14)
        for other in ours.keys() - {(n, k)}:
            assert np.abs(ours[other][0] - plain[0]).max() > 1e-4, (n, k, other)


def _run(key, network, learner, rule, n_trials):
    state, errors = initial_learning_state(network, TASK, rule, learner), []
    for h in range(n_trials):
        episode = draw_episode(key, jnp.int32(h), TASK, learner, N_UNITS)
        state, outcome = learn_trial(state, episode, network, rule, learner)
        errors.append(float(outcome.error))
    return np.array(errors), np.asarray(state.W)


def test_a_scanned_lifetime_is_its_trials_one_by_one(key):
    network, rule = _network(key), make_rule(DENSE, learning_rate=1e-4, clip=0.03)
    errors, W = _run(key, network, LEARNER, rule, 6)
    lifetime = learn(key, network, TASK, rule, LEARNER, 6)
    np.testing.assert_allclose(lifetime.errors, errors, rtol=1e-12)
    np.testing.assert_allclose(lifetime.state.W, W, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(lifetime.rewards, -lifetime.errors)


def test_batches_are_the_single_lifetimes(key):
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(jax.random.split(key, 5))
    rules = stack([covariance(learning_rate=rate) for rate in (0.0, 0.01, 0.02)])
    batch = learn(key, networks, TASK, rules, LEARNER, 8, batch_size=4)
    assert batch.errors.shape == (3, 5, 8)
    keys = jax.random.split(key, 5)
    for r, b in ((0, 0), (1, 4), (2, 2)):
        network = jax.tree.map(lambda a, b=b: a[b], networks)
        single = learn(keys[b], network, TASK, rules[r], LEARNER, 8)
        np.testing.assert_allclose(batch.errors[r, b], single.errors, rtol=1e-10)
        np.testing.assert_allclose(batch.state.W[r, b], single.state.W, rtol=1e-10, atol=1e-12)


def test_a_stack_of_one_rule_has_an_axis_of_one(key):
    network, rule = _network(key), covariance(learning_rate=0.01)
    networks = jax.tree.map(lambda a: a[None], network)
    alone = learn(key, network, TASK, rule, LEARNER, 4).errors
    assert alone.shape == (4,)
    for which, keys, shape in ((network, key, (1, 4)), (networks, key[None], (1, 1, 4))):
        stacked = learn(keys, which, TASK, stack([rule]), LEARNER, 4).errors
        assert stacked.shape == shape
        np.testing.assert_array_equal(stacked.ravel(), alone)


def test_a_rule_that_holds_several_is_refused(key):
    several = covariance().replace(learning_rate=jnp.array([0.01, 0.02]))
    with pytest.raises(
        ValueError, match=r"ThreeFactor is one rule; got .*\(2,\).*plasticity.stack"
    ):
        learn(key, _network(key), TASK, several, LEARNER, 4)


def _frames(frame):
    """Names of the package's functions that are being called, the outermost first."""
    names = []
    while frame is not None:
        if "/plasticity/" in frame.f_code.co_filename.replace("/tests/plasticity/", "/tests/"):
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names[::-1]


def test_a_rule_can_be_followed_from_learn_to_the_change_of_weights(key, monkeypatch):
    """Without compilation: the numbers are the same, and every step has values and a name."""
    network, rules = _network(key), stack([covariance(learning_rate=rate) for rate in (1e-3, 1e-2)])
    networks = jax.tree.map(lambda a: jnp.stack([a, 0.9 * a]), network)
    compiled = learn(key, networks, TASK, rules, LEARNER, 2)
    steps = []

    def followed(place, name):
        function = getattr(place, name)

        def follow(*given):
            steps.append((name, _frames(sys._getframe()), given))
            return function(*given)

        monkeypatch.setattr(place, name, follow)

    followed(trace, "eligibility_trace")
    followed(ThreeFactor, "update")
    with jax.disable_jit():
        followed_course = learn(key, networks, TASK, rules, LEARNER, 2)
    np.testing.assert_allclose(followed_course.errors, compiled.errors, rtol=1e-12)
    np.testing.assert_allclose(followed_course.state.W, compiled.state.W, rtol=1e-12, atol=1e-14)

    assert [name for name, *_ in steps] == ["eligibility_trace", "update"] * 8
    to_program = ["learn", "map_lifetimes", "_run", "lifetime", "__call__", "trial", "learn_trial"]
    (_, to_trace, traced), (_, to_update, update) = steps[:2]
    assert to_trace == [*to_program, "change", "form"]
    assert to_update == [*to_program, "change"]
    np.testing.assert_array_equal(traced[2], rules[0].coefficients)
    np.testing.assert_array_equal(update[0].coefficients, rules[0].coefficients)
    np.testing.assert_array_equal(steps[-1][2][0].coefficients, rules[1].coefficients)


def test_lifetimes_keep_the_precision_of_their_caller(key):
    def errors():
        networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(jax.random.split(key, 4))
        task = delayed_association(dt=10.0, cue=30.0, delay=30.0, response=40.0)
        return learn(key, networks, task, covariance(), LEARNER, 4).errors

    double = errors()
    with jax.enable_x64(False):
        single = errors()
    assert (single.dtype, double.dtype) == (jnp.float32, jnp.float64)
    # Short trials of six units: some hundred operations of relative error 6e-8 each.
    np.testing.assert_allclose(single, double, rtol=1e-4)


def test_memory_grows_with_trials_only_by_what_is_returned(key):
    def lifetime(key, network, n_trials):
        return learn(key, network, TASK, covariance(), LEARNER, n_trials)

    compiled = jax.jit(lifetime, static_argnums=2)
    short, long = (
        compiled.lower(key, _network(key), n).compile().memory_analysis() for n in (10, 1010)
    )
    returned = long.output_size_in_bytes - short.output_size_in_bytes
    assert returned > 0
    # Each number may be held once more while it is put into place.
    assert long.temp_size_in_bytes - short.temp_size_in_bytes <= 2 * returned


def test_the_same_key_gives_the_same_result_and_another_does_not(key):
    network, rule = _network(key), covariance()
    first, again = (learn(key, network, TASK, rule, LEARNER, 5) for _ in range(2))
    np.testing.assert_array_equal(first.errors, again.errors)
    other = learn(jax.random.key(1), network, TASK, rule, LEARNER, 5)
    assert not np.allclose(first.errors, other.errors)


def test_a_lifetime_goes_on_where_it_stopped(key):
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(jax.random.split(key, 3))
    rule = stack([covariance(learning_rate=rate) for rate in (0.01, 0.02)])
    whole = learn(key, networks, TASK, rule, MICONI_LIKE, 12)
    half = learn(key, networks, TASK, rule, MICONI_LIKE, 6)
    rest = learn(key, networks, TASK, rule, MICONI_LIKE, 6, state=half.state)
    joined = np.concatenate([half.errors, rest.errors], axis=-1)
    np.testing.assert_allclose(joined, whole.errors, rtol=1e-12)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=5, deadline=None)
def test_zero_coefficients_learn_nothing(seed):
    key = jax.random.key(seed)
    network = _network(key)
    lifetime = learn(key, network, TASK, zero(learning_rate=10.0), LEARNER, 4)
    np.testing.assert_array_equal(lifetime.state.W, network.W)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=5, deadline=None)
def test_a_reward_equal_to_its_baseline_changes_nothing(seed):
    key = jax.random.key(seed)
    network, rule = _network(key), make_rule(DENSE, learning_rate=10.0)
    state = initial_learning_state(network, TASK, rule, LEARNER)
    episode = draw_episode(key, jnp.int32(0), TASK, LEARNER, N_UNITS)
    _, first = learn_trial(state, episode, network, rule, LEARNER)
    met = state._replace(baseline=jnp.full(2, first.reward))
    after, outcome = learn_trial(met, episode, network, rule, LEARNER)
    assert float(outcome.third_factor) == 0
    np.testing.assert_array_equal(after.W, network.W)
    assert np.abs(first.change).max() > 0


@given(seed=st.integers(0, 2**31))
@settings(max_examples=5, deadline=None)
def test_flipping_all_signs_leaves_odd_odd_rules_equivariant(seed):
    """x → −x with flipped inputs, kicks and targets: r and Δ flip, W stays, so e must too."""
    key = jax.random.key(seed)
    network, task = _network(key), evidence_integration(stimulus=60.0, response=40.0)
    episode = draw_episode(key, jnp.int32(0), task, LEARNER, N_UNITS)
    trial = episode.trial._replace(inputs=-episode.trial.inputs, target=-episode.trial.target)
    mirrored = episode._replace(trial=trial, kicks=-episode.kicks, state=-episode.state)
    state = initial_learning_state(network, task, single_term(3, 5), LEARNER)
    for rule, same in ((single_term(3, 5), True), (single_term(2, 3), False)):
        changes = [
            learn_trial(state, drawn, network, rule, LEARNER)[1].change
            for drawn in (episode, mirrored)
        ]
        assert np.allclose(changes[0], changes[1], rtol=1e-9, atol=1e-14) == same


def test_a_clip_bounds_every_change(key):
    rule = covariance(learning_rate=100.0, clip=1e-3)
    network = _network(key)
    lifetime = learn(key, network, TASK, rule, LEARNER, 4)
    moved = np.abs(np.asarray(lifetime.state.W - network.W)).max()
    assert 1e-3 <= moved <= 4e-3 * (1 + 1e-9)


def test_a_yoked_third_factor_takes_the_place_of_the_prediction_error(key):
    network, rule = _network(key), covariance(learning_rate=0.02)
    own = learn(key, network, TASK, rule, LEARNER, 8)
    same = learn(key, network, TASK, rule, LEARNER, 8, third_factor=own.third_factors)
    np.testing.assert_allclose(same.errors, own.errors, rtol=1e-12)
    other = learn(key, network, TASK, rule, LEARNER, 8, third_factor=-own.third_factors)
    assert np.abs(np.asarray(other.state.W - own.state.W)).max() > 1e-4


@pytest.mark.parametrize("order", ["cycle", "drawn"])
def test_a_frozen_trace_moves_weights_along_one_direction_a_condition(key, order):
    learner = dataclasses.replace(LEARNER, conditions=order)
    network, rule = _network(key), covariance(learning_rate=0.02)
    rule = rule.replace(trace=Frozen(rule.trace))
    state, changes = initial_learning_state(network, TASK, rule, learner), []
    for h in range(12):
        episode = draw_episode(key, jnp.int32(h), TASK, learner, N_UNITS)
        state, outcome = learn_trial(state, episode, network, rule, learner)
        changes.append(np.asarray(outcome.change).ravel())
    assert np.linalg.matrix_rank(np.array(changes), tol=1e-10) == 2


def test_a_blow_up_is_reported_kept_and_counted_as_a_failure(key):
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(jax.random.split(key, 2))
    learner = dataclasses.replace(LEARNER, dynamics=Dynamics(transfer=_identity))
    rules = stack([covariance(learning_rate=rate) for rate in (1e-6, 1e30)])
    with pytest.warns(RuntimeWarning, match=r"2 of 4 lifetimes.*trial \d+ with learning rate 1e"):
        lifetime = learn(key, networks, TASK, rules, learner, 40)
    errors, correct = np.asarray(lifetime.errors), np.asarray(lifetime.correct)
    assert np.isfinite(errors[0]).all()
    lost = np.isnan(errors[1])
    assert lost.any() and not lost[:, 0].any()
    assert not correct[1][lost].any()
    assert (np.diff(lost.astype(int), axis=-1) >= 0).all()
    assert np.isfinite(lifetime.state.W).all()
    assert np.asarray(lifetime.state.alive).tolist() == [[True, True], [False, False]]


def _identity(x):
    return x


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"task": evidence_integration(dt=5.0)}, "task and dynamics share dt"),
        ({"n_trials": 1}, "as many trials as conditions; got 2 conditions, 1 trials"),
        ({"rule": covariance(tau_e=5.0)}, "dt ≤ tau_e"),
        ({"learner": Learner(dynamics=Dynamics(clamped=((9, 1.0),)))}, "clamped units"),
    ],
)
def test_bad_lifetimes_are_named(key, change, match):
    case = {"task": TASK, "rule": covariance(), "learner": LEARNER, "n_trials": 4} | change
    with pytest.raises(ValueError, match=match):
        learn(key, _network(key), **case)


def test_a_network_for_other_inputs_is_refused(key):
    with pytest.raises(ValueError, match="W_in has 2 channels; got 3"):
        learn(key, random_network(key, 4, 3), TASK, covariance(), LEARNER, 4)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 0}, "a whole number batch_size ≥ 1; got 0: give"),
        ({"batch_size": 1.5}, "batch_size ≥ 1; got 1.5"),
        ({"n_trials": 2.5}, "a whole number n_trials ≥ 1; got 2.5: give"),
        ({"n_trials": 0}, "n_trials ≥ 1; got 0"),
        (
            {"third_factor": jnp.zeros((3, 2, 4))},
            r"third_factor \(2, 3, 4\) .* got \(3, 2, 4\): give",
        ),
        ({"third_factor": jnp.zeros((2, 3, 5))}, r"got \(2, 3, 5\)"),
        ({"third_factor": jnp.zeros(4)}, r"got \(4,\)"),
        ({"noise_scale": jnp.ones((3, 2))}, r"noise_scale \(2, 3\) .* got \(3, 2\): give"),
        ({"noise_scale": jnp.ones((2, 3, 4))}, r"got \(2, 3, 4\)"),
    ],
)
def test_numbers_of_no_lifetimes_are_named(key, monkeypatch, unchecked, options, match):
    monkeypatch.setattr(parallel, "_run", None)  # nothing gets so far as to be compiled
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(jax.random.split(key, 3))
    rules, options = stack([covariance(), miconi()]), {"n_trials": 4} | options
    for course in (learn, learn_with_tangents):
        if course is learn or "noise_scale" not in options:
            with pytest.raises(ValueError, match=match):
                course(key, networks, TASK, rules, LEARNER, **options)


def test_a_state_of_other_lifetimes_is_refused(key):
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(jax.random.split(key, 3))
    state = jax.vmap(lambda n: initial_learning_state(n, TASK, covariance(), LEARNER))(networks)
    given = (key, networks._replace(W=networks.W[:2]), TASK, covariance(), LEARNER, 4)
    with pytest.raises(ValueError, match=r"state has the axes \(2,\) of rules and networks; got"):
        learn(*given, state=state)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"correct_below": np.nan}, "correct_below ≥ 0; got nan: give"),
        ({"correct_below": -0.5}, "correct_below ≥ 0; got -0.5"),
        ({"initial_baseline": np.nan}, "initial_baseline is finite; got nan"),
        ({"initial_state": np.inf}, "initial_state is finite; got inf"),
        ({"first_update": -1}, "first_update ≥ 0; got -1"),
        ({"first_update": 1.5}, "first_update ≥ 0; got 1.5"),
        ({"reward": "sparse"}, "reward graded or binary"),
        ({"conditions": "shuffled"}, "conditions cycle or drawn"),
        ({"baseline_rate": 1.5}, "baseline_rate"),
        ({"exploration": Kicks(rate=200.0)}, "kick rate · dt ≤ 1"),
    ],
)
def test_bad_learners_are_named(unchecked, options, match):
    with pytest.raises(ValueError, match=match):
        Learner(**options)


@pytest.mark.parametrize(
    ("at_unit", "scaled", "make"),
    [
        (Kicks(rate=20.0, amplitude=1.0), Kicks(rate=20.0, amplitude=0.4), covariance),
        (OutputNoise(size=1.0), OutputNoise(size=0.4), reward_feedback),
        (WeightNoise(size=1.0), WeightNoise(size=0.4), partial(weight_perturbation, 0.4)),
    ],
)
def test_noise_is_scaled_rule_by_rule(key, at_unit, scaled, make):
    network, rule = random_network(key, N_UNITS, 2), make(learning_rate=1e-3)
    batch = jax.tree.map(lambda a: jnp.stack([a, a]), network)
    rules, scale = stack([rule, rule]), jnp.array([[1.0, 1.0], [0.4, 0.4]])
    unit = dataclasses.replace(LEARNER, exploration=at_unit)
    both = learn(key, batch, TASK, rules, unit, 6, noise_scale=scale)
    as_drawn = learn(key, batch, TASK, rule, unit, 6)
    as_scaled = learn(key, batch, TASK, rule, dataclasses.replace(LEARNER, exploration=scaled), 6)
    np.testing.assert_allclose(both.errors[0], as_drawn.errors, rtol=1e-12)
    # Amplitudes multiply in another order: equal but for the last bits.
    np.testing.assert_allclose(both.errors[1], as_scaled.errors, rtol=1e-9)
    assert np.abs(both.errors[0] - both.errors[1]).max() > 1e-4


def _looked_at(before, episode, outcome):
    return before.trial, outcome.error, outcome.change


def test_what_is_observed_of_each_trial(key):
    network, rule = _network(key), covariance(learning_rate=1e-3)
    plain = learn(key, network, TASK, rule, LEARNER, 5)
    seen = learn(key, network, TASK, rule, LEARNER, 5, observe=_looked_at)
    trials, errors, changes = seen.observed
    assert plain.observed is None
    np.testing.assert_array_equal(trials, np.arange(5))
    np.testing.assert_array_equal(errors, plain.errors)
    np.testing.assert_allclose(changes.sum(axis=0), plain.state.W - network.W, atol=1e-12)
