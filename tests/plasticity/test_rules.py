"""Every rule against plain loops, against what it says it is told, and against true gradients."""

import dataclasses
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import LEARNER, N_UNITS, TASK

from plasticity.learning.lifetime import learn
from plasticity.learning.trial import draw_episode, initial_learning_state, learn_trial
from plasticity.meta.estimators import EvolutionStrategy, Pathwise
from plasticity.meta.score_function import ParameterScore
from plasticity.model.exploration import Kicks, OutputNoise, UnitNoise, WeightNoise
from plasticity.model.network import Dynamics, random_network
from plasticity.rules.backpropagation import backpropagation, policy_gradient
from plasticity.rules.base import ALWAYS_TOLD, Change, Seen, check_rule, stack
from plasticity.rules.feedback import reward_feedback, supervised_feedback
from plasticity.rules.perturbation import (
    clean_trial,
    filtered_node_perturbation,
    weight_perturbation,
)
from plasticity.rules.structure import structured
from plasticity.rules.three_factor import (
    ScaledPredictionError,
    SoftBound,
    compose,
    make_rule,
    miconi,
    node_perturbation,
)
from plasticity.rules.trace import FunctionTrace, Polynomial

A = LEARNER.dynamics.dt / LEARNER.dynamics.tau
B = np.random.default_rng(3).normal(size=N_UNITS)
SIGMA = 0.05


def _odd(parameters, r, delta):
    return parameters[0] * r * delta**3 + parameters[1] * jnp.tanh(r) * delta


RULES = {
    "three-factor": (miconi(learning_rate=0.1, clip=1e-3), Kicks(rate=20.0, amplitude=1.0)),
    "soft bound, scaled error": (
        miconi(learning_rate=0.1, bound=SoftBound(1e-3), third_factor=ScaledPredictionError()),
        UnitNoise(size=0.3),
    ),
    "function": (
        compose(FunctionTrace(function=_odd, parameters=jnp.array([-1.0, 0.2]), tau_e=80.0)),
        UnitNoise(size=0.3),
    ),
    "node perturbation": (node_perturbation(learning_rate=0.01), UnitNoise(size=0.3)),
    "filtered node perturbation": (
        filtered_node_perturbation(learning_rate=0.1, tau=40.0),
        UnitNoise(size=0.3),
    ),
    "filtered, at the end": (
        filtered_node_perturbation(learning_rate=0.1, summed=False),
        UnitNoise(size=0.3),
    ),
    "weight perturbation": (
        weight_perturbation(SIGMA, learning_rate=1e-3),
        WeightNoise(size=SIGMA),
    ),
    "clean second trial": (
        clean_trial(weight_perturbation(SIGMA).trace, learning_rate=1e-3),
        WeightNoise(size=SIGMA),
    ),
    "e-prop": (reward_feedback(learning_rate=0.1), OutputNoise(size=0.3)),
    "e-prop, random": (reward_feedback(learning_rate=0.1, feedback=B), OutputNoise(size=0.3)),
    "e-prop, plastic": (
        reward_feedback(learning_rate=0.1, feedback=B, readout_rate=0.05),
        OutputNoise(size=0.3),
    ),
    "RFLO": (supervised_feedback(learning_rate=0.01), Kicks(rate=20.0)),
    "RFLO, plastic": (supervised_feedback(learning_rate=0.01, readout_rate=0.02), Kicks()),
    "policy gradient": (policy_gradient(0.3, learning_rate=0.01), OutputNoise(size=0.3)),
    "BPTT": (backpropagation(learning_rate=0.1, clip=0.01), Kicks(rate=20.0)),
}


def _learner(name):
    return dataclasses.replace(LEARNER, exploration=RULES[name][1])


def _seen(key, name, trial=0):
    learner, (rule, _) = _learner(name), RULES[name]
    network = random_network(jax.random.fold_in(key, 77), N_UNITS, 2)
    state = initial_learning_state(network, TASK, rule, learner)
    episode = draw_episode(key, jnp.int32(trial), TASK, learner, N_UNITS)
    return learn_trial(state, episode, network, rule, learner)[1].seen, state.memory


@pytest.mark.parametrize("name", RULES)
def test_a_rule_reads_what_it_is_told_and_nothing_else(key, name):
    rule, (seen, memory) = RULES[name][0], _seen(key, name)

    def without(field):
        value = getattr(seen, field)
        return None if value is None else jnp.full_like(value, np.nan)

    floats = [f for f in Seen._fields if f not in ALWAYS_TOLD and f != "response"]
    untold = {f: without(f) for f in floats if f not in rule.told}
    if "response" not in rule.told:
        untold["response"] = ~seen.response
    whole, blind = (rule.change(s, memory)[0] for s in (seen, seen._replace(**untold)))
    np.testing.assert_array_equal(whole.W, blind.W)
    assert np.abs(whole.W).max() > 0
    if whole.W_out is not None:
        np.testing.assert_array_equal(whole.W_out, blind.W_out)
    for field in set(rule.told) & set(floats):  # the control: what it is told it does read
        assert not np.isfinite(
            rule.change(seen._replace(**{field: without(field)}), memory)[0].W
        ).all()


def _rows(seen):
    """Arrays of a trial as NumPy, for loops."""
    return {
        f: np.asarray(v) for f, v in seen._asdict().items() if f != "dynamics" and v is not None
    }


def _judged(s):
    return [t for t in range(len(s["response"])) if s["response"][t]]


def _filtered(s):
    p, course = np.zeros(N_UNITS), []
    for t in range(len(s["rates"])):
        p = (1 - A) * p + A * s["rates"][t]
        course.append(p)
    return course


def _feedback_loops(s, signal, feedback):
    e, p = np.zeros((N_UNITS, N_UNITS)), _filtered(s)
    for t in _judged(s):
        for i in range(N_UNITS):
            slope = 1 - np.tanh(s["states"][t, i]) ** 2
            for j in range(N_UNITS):
                e[i, j] += feedback[i] * signal[t] * slope * p[t][j]
    return e


def _readout_loops(s, signal):
    return sum(signal[t] * np.tanh(s["states"][t]) for t in _judged(s))


def _function_loops(s):
    e = np.zeros((N_UNITS, N_UNITS))
    for r, delta in zip(s["rates"], s["fluctuations"], strict=True):
        e = e - 10.0 / 80.0 * e
        for i, j in itertools.product(range(N_UNITS), repeat=2):
            e[i, j] += 10.0 * (-r[j] * delta[i] ** 3 + 0.2 * np.tanh(r[j]) * delta[i])
    return e


def _filtered_kick_loops(s, tau, summed):
    a, e, total = 10.0 / tau, np.zeros((N_UNITS, N_UNITS)), 0.0
    x = s["state"]
    for t in range(len(s["rates"])):
        slopes = 1 - np.tanh(x) ** 2
        e = (1 - a) * e + a * np.outer(slopes * s["kicks"][t], s["rates"][t])
        total, x = total + e, s["states"][t]
    return total if summed else e


def _error(z, s):
    return sum(abs(z[t] - s["target"][t]) for t in _judged(s)) / len(_judged(s))


def _simulated(W, s):
    given = (W, s["W_in"], s["W_out"], s["inputs"], s["kicks"], s["state"], s["filtered"])
    gain = 1 - np.exp(-10.0 / 20.0)
    return oracles.simulate(*given, dt=10.0, tau=30.0, gain=gain)[2]


def _slope(function, W, step=1e-6):
    """Central differences: they truncate at 1e-12 and round at 1e-16 / 1e-6."""
    slope = np.zeros_like(W)
    for i, j in itertools.product(range(N_UNITS), repeat=2):
        move = np.zeros_like(W)
        move[i, j] = step
        slope[i, j] = (function(W + move) - function(W - move)) / (2 * step)
    return slope


def _by_loops(name, s):
    """ΔW and ΔW_out, from the equations."""
    delta, W_out = s["reward"] - s["baseline"], None
    theta = np.zeros((4, 4))
    theta[3, 3] = -1.0
    options = {"dt": 10.0, "tau_e": 1000.0}
    if name in ("three-factor", "soft bound, scaled error"):
        e = oracles.trace(s["rates"], s["fluctuations"], theta, **options)
        if name == "three-factor":
            return np.clip(0.1 * delta * e, -1e-3, 1e-3), None
        return 1e-3 * np.tanh(0.1 * -s["baseline"] * delta * e / 1e-3), None
    if name == "function":
        return 0.01 * delta * _function_loops(s), None
    if name == "node perturbation":
        theta = np.array([[0.0, 0.0], [0.0, 1.0]])
        return 0.01 * delta * oracles.trace(s["rates"], s["kicks"], theta, **options), None
    if name.startswith("filtered"):
        whole = name == "filtered node perturbation"
        return 0.1 * delta * _filtered_kick_loops(s, 40.0 if whole else 30.0, whole), None
    if name == "weight perturbation":
        return 1e-3 * delta * s["weight_noise"] / SIGMA**2, None
    if name == "clean second trial":
        clean = -_error(_simulated(s["W"], s), s)
        return 1e-3 * (s["reward"] - clean) * s["weight_noise"] / SIGMA**2, None
    if name.startswith("e-prop"):
        feedback = s["W_out"] if name == "e-prop" else B
        if name == "e-prop, plastic":
            W_out = 0.05 * delta * _readout_loops(s, s["output_noise"])
        return 0.1 * delta * _feedback_loops(s, s["output_noise"], feedback), W_out
    if name.startswith("RFLO"):
        gap = s["target"] - s["output"]
        if name == "RFLO, plastic":
            W_out = 0.02 * _readout_loops(s, gap)
        return 0.01 * _feedback_loops(s, gap, s["W_out"]), W_out
    if name == "policy gradient":

        def weighted(W):
            z = _simulated(W, s)
            return sum(s["output_noise"][t] * z[t] for t in _judged(s)) / 0.3**2

        return 0.01 * delta * _slope(weighted, s["W"]), None

    def loss(W):
        z = _simulated(W, s)
        return sum((z[t] - s["target"][t]) ** 2 for t in _judged(s)) / 2 / len(_judged(s))

    return np.clip(-0.1 * _slope(loss, s["W"]), -0.01, 0.01), None


def _tolerance(name):
    # Differences of loops round at 1e-10; all else at the last digits.
    return {"rtol": 1e-7, "atol": 1e-9} if name in ("policy gradient", "BPTT") else {"rtol": 1e-10}


@pytest.mark.parametrize("name", RULES)
def test_one_change_is_that_of_plain_loops(key, name):
    seen, memory = _seen(key, name)
    change, _ = RULES[name][0].change(seen, memory)
    W, W_out = _by_loops(name, _rows(seen))
    np.testing.assert_allclose(change.W, W, **_tolerance(name))
    if W_out is not None:
        np.testing.assert_allclose(change.W_out, W_out, **_tolerance(name))


@pytest.mark.parametrize("name", RULES)
def test_ten_trials_are_those_of_plain_loops(key, name):
    rule, learner = RULES[name][0], _learner(name)
    network = random_network(jax.random.fold_in(key, 77), N_UNITS, 2)
    found = learn(key, network, TASK, rule, learner, 10)
    W, W_in, W_out = (np.array(a) for a in network)
    baseline, errors = np.full(2, -1.0), []
    for h in range(10):
        drawn = draw_episode(key, jnp.int32(h), TASK, learner, N_UNITS)
        trial, kicks, x, output_noise, weight_noise = jax.tree.map(np.asarray, tuple(drawn))
        noisy = W if weight_noise is None else W + weight_noise
        given = (noisy, W_in, W_out, trial.inputs, kicks, x, x)
        gain = 1 - np.exp(-10.0 / 20.0)
        rates, shifts, z, states, _ = oracles.simulate(*given, dt=10.0, tau=30.0, gain=gain)
        z = z if output_noise is None else z + output_noise
        s = {"rates": rates, "fluctuations": shifts, "states": states, "output": z}
        s |= {"kicks": kicks, "state": x, "filtered": x, "inputs": trial.inputs, "W": W}
        s |= {"target": trial.target, "response": trial.response, "W_in": W_in, "W_out": W_out}
        s |= {"output_noise": output_noise, "weight_noise": weight_noise}
        s |= {"reward": -_error(z, s), "baseline": baseline[int(trial.condition)]}
        change, of_readout = _by_loops(name, s)
        W, W_out = W + change, W_out if of_readout is None else W_out + of_readout
        baseline[int(trial.condition)] += 0.25 * (s["reward"] - s["baseline"])
        errors.append(-s["reward"])
    loose = {"rtol": 1e-6, "atol": 1e-8} if name in ("policy gradient", "BPTT") else {"rtol": 1e-8}
    np.testing.assert_allclose(found.errors, errors, **loose)
    np.testing.assert_allclose(found.state.W, W, **{"atol": 1e-11} | loose)
    if rule.__dict__.get("plastic_readout"):
        np.testing.assert_allclose(found.state.W_out, W_out, **{"atol": 1e-11} | loose)
        assert np.abs(np.asarray(found.state.W_out - network.W_out)).max() > 1e-4


def test_feedback_through_the_readout_is_the_gradient_where_no_unit_reaches_another(key):
    learner = dataclasses.replace(LEARNER, exploration=Kicks(rate=20.0))
    descent, local = backpropagation(learning_rate=1.0), supervised_feedback(learning_rate=1.0)
    for gain, alike in ((0.0, True), (1.5, False)):
        network = random_network(jax.random.fold_in(key, 77), N_UNITS, 2, gain=gain)
        state = initial_learning_state(network, TASK, descent, learner)
        episode = draw_episode(key, jnp.int32(0), TASK, learner, N_UNITS)
        changes = [
            np.array(learn_trial(state, episode, network, rule, learner)[1].change)
            for rule in (descent, local)
        ]
        changes[0] *= int(np.sum(TASK.response))  # its loss is a mean over steps
        gap = np.abs(changes[0] - changes[1]).max() / np.abs(changes[0]).max()
        assert gap < 1e-8 if alike else gap > 1e-2


# Two units, two steps, and a target so far off that the reward is smooth in all that is drawn.
TOY = TASK._replace(
    inputs=TASK.inputs[:, :2],
    targets=TASK.targets[:, :2] * 30.0,
    response=jnp.array([True, True]),
    noise=TASK.noise[:2],
)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
SIZE = 0.2


class _Reward(NamedTuple):
    """The reward of the toy as a function of W, kicks, noise of the output and of the weights."""

    network: object
    episode: object

    def outcome(self, rule, W, kicks, output, weights):
        network = self.network._replace(W=W)
        state = initial_learning_state(network, TOY, rule, LEARNER)
        names = ("kicks", "output_noise", "weight_noise")
        episode = self.episode._replace(**dict(zip(names, (kicks, output, weights), strict=True)))
        return learn_trial(state, episode, network, rule, LEARNER)[1]


@pytest.mark.parametrize("name", ["node perturbation", "weight perturbation", "policy gradient"])
def test_the_mean_change_is_the_gradient_of_the_mean_reward(key, name):
    """By Gauss–Hermite quadrature over all that is drawn: four numbers, or two."""
    network = random_network(jax.random.fold_in(key, 5), 2, 2)
    toy = _Reward(network, draw_episode(key, jnp.int32(0), TOY, LEARNER, 2))
    options = {"learning_rate": 1.0}
    rule = {
        "node perturbation": node_perturbation(tau_e=np.inf, plain_sum=True, **options),
        "weight perturbation": weight_perturbation(SIZE, **options),
        "policy gradient": policy_gradient(SIZE, **options),
    }[name]
    drawn = 2 if name == "policy gradient" else 4
    grid = jnp.asarray(list(itertools.product(SIZE * NODES, repeat=drawn)))
    shares = np.prod(list(itertools.product(WEIGHTS / WEIGHTS.sum(), repeat=drawn)), axis=1)

    def outcome(W, draw):
        quiet = (jnp.zeros((2, 2)), jnp.zeros(2), jnp.zeros((2, 2)))
        place = {"node perturbation": 0, "policy gradient": 1, "weight perturbation": 2}[name]
        noise = [draw.reshape(a.shape) if i == place else a for i, a in enumerate(quiet)]
        return toy.outcome(rule, W, *noise)

    def mean_reward(W):
        return jnp.dot(shares, jax.vmap(lambda draw: outcome(W, draw).reward)(grid))

    changes = jax.vmap(lambda draw: outcome(network.W, draw).change)(grid)
    mean = np.einsum("q,qij->ij", shares, changes)
    if name == "node perturbation":  # a kick of size ξ is what a weight does with a r_j = ξ
        mean *= A / SIZE**2
    gradient = np.asarray(jax.grad(mean_reward)(network.W))
    # Nine nodes integrate polynomials of degree 17 exactly; tanh at this size leaves 1e-9.
    np.testing.assert_allclose(mean, gradient, rtol=1e-6, atol=1e-9)
    assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("name", ["three-factor", "function", "e-prop, plastic", "BPTT"])
def test_rules_and_networks_side_by_side_are_each_on_its_own(key, name):
    rule, learner = RULES[name][0], _learner(name)
    slow = dataclasses.replace(rule, learning_rate=rule.learning_rate / 2)
    keys = jax.random.split(key, 2)
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(keys)
    together = learn(keys, networks, TASK, stack([rule, slow]), learner, 4).errors
    assert together.shape == (2, 2, 4)
    one = jax.tree.map(lambda a: a[1], networks)
    np.testing.assert_allclose(
        together[1, 1], learn(keys[1], one, TASK, slow, learner, 4).errors, rtol=1e-10
    )


class LastRate(NamedTuple):
    """The rule of the docstring of `plasticity.rules.base`, and a way to learn its rate."""

    learning_rate: float | jax.Array
    told = frozenset({"rates", "reward", "baseline"})

    def start(self, network, task):
        return ()

    def change(self, seen, memory):
        last = seen.rates[-1]
        surprise = seen.reward - seen.baseline
        return Change(self.learning_rate * surprise * jnp.outer(last, last)), memory

    @property
    def parameters(self):
        return jnp.asarray(self.learning_rate)

    def with_parameters(self, parameters):
        return LastRate(parameters)


def test_a_rule_of_ones_own_learns_and_is_learned(key):
    keys = jax.random.split(key, 3)
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(keys)
    rule = LastRate(0.05)
    lifetimes = learn(keys, networks, TASK, rule, LEARNER, 6)
    assert np.abs(np.asarray(lifetimes.state.W - networks.W)).max() > 0
    given = (keys, networks, TASK, rule, LEARNER, 6)
    slope = Pathwise()(*given).gradients
    move = 1e-6
    rewards = [
        learn(keys, networks, TASK, LastRate(0.05 + side * move), LEARNER, 6).rewards.mean(axis=1)
        for side in (1, -1)
    ]
    np.testing.assert_allclose(slope, (rewards[0] - rewards[1]) / (2 * move), rtol=1e-5)
    for estimator in (
        EvolutionStrategy(spread=1e-4, scale=1.0),
        ParameterScore(spread=1e-4, scale=1.0),
    ):
        assert estimator(*given).gradients.shape == (3,)
    with pytest.raises(ValueError, match="closed-form tangents .*; got LastRate: use reverse"):
        Pathwise(mode="forward")(*given)


class LastOnly(NamedTuple):
    """A trace with the members of the protocol and none beside."""

    scale: float = 1.0
    told = frozenset({"rates"})

    def start(self, network, task):
        return ()

    def form(self, seen, memory):
        return self.scale * jnp.outer(seen.rates[-1], seen.rates[-1]), memory


def test_a_trace_of_ones_own_is_composed(key):
    network = random_network(key, N_UNITS, 2)
    composed = learn(key, network, TASK, compose(LastOnly(), learning_rate=0.05), LEARNER, 6)
    alone = learn(key, network, TASK, LastRate(0.05), LEARNER, 6)
    np.testing.assert_allclose(composed.errors, alone.errors, rtol=1e-9)


def test_pathwise_gradients_of_a_function_trace_are_those_of_the_polynomial(key):
    """r Δ³ written as a function, and as the term (1, 3)."""

    def cubic(parameters, r, delta):
        return parameters[0] * r * delta**3

    theta = np.zeros((4, 4))
    theta[1, 3] = -1.0
    function = compose(
        FunctionTrace(function=cubic, parameters=jnp.array([-1.0])), learning_rate=0.1
    )
    polynomial = compose(Polynomial(coefficients=jnp.asarray(theta)), learning_rate=0.1)
    keys = jax.random.split(key, 2)
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2))(keys)
    found = [Pathwise()(keys, networks, TASK, r, LEARNER, 6) for r in (function, polynomial)]
    np.testing.assert_allclose(found[0].gradients[:, 0], found[1].gradients[:, 1, 3], rtol=1e-8)
    np.testing.assert_allclose(found[0].returns, found[1].returns, rtol=1e-10)


class Wide(NamedTuple):
    learning_rate: float = 0.1
    told = frozenset()

    def start(self, network, task):
        return ()

    def change(self, seen, memory):
        return Change(jnp.zeros(3)), memory


class Lost(Wide):
    def change(self, seen, memory):
        return Change(jnp.full_like(seen.W, np.nan)), memory


class Untold(NamedTuple):
    learning_rate: float = 0.1

    def start(self, network, task):
        return ()

    def change(self, seen, memory):
        return Change(0 * seen.W), memory


class Secret(Wide):
    def change(self, seen, memory):
        return Change(0.0 * seen.W, W_out=seen.W_out), memory


class Empty(NamedTuple):
    told = frozenset()

    def start(self, network, task):
        return ()

    def change(self, seen, memory):
        return Change(0 * seen.W), memory


class Plain:
    told, start, change = Empty.told, Empty.start, Empty.change


class Curious(Wide):
    told = frozenset({"rates", "dopamine"})


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (Curious(), r"`told` of Curious .*; got \['dopamine'\]: choose from"),
        (Wide(), r"Wide changes W \(6, 6\); got \(3,\): return one number a synapse"),
        (reward_feedback(feedback=np.ones(4)), r"feedback B \(6, 1\); got .*4.*: give one number"),
        (make_rule(np.eye(2), tau_e=1.0), "dt ≤ tau_e"),
        (reward_feedback(), "RewardFeedback reads output noise; got Kicks: choose an exploration"),
        (weight_perturbation(0.1), "ThreeFactor reads weight noise; got Kicks: choose"),
        (Secret(), "Secret leaves W_out as it is; got a change of W_out: give it plastic_readout"),
    ],
)
def test_bad_rules_are_refused_with_a_reason(key, rule, match):
    network = random_network(key, N_UNITS, 2)
    with pytest.raises(ValueError, match=match):
        learn(key, network, TASK, rule, LEARNER, 2)


def test_what_is_no_rule_is_refused():
    with pytest.raises(ValueError, match="a rule has told, start and change; got Untold: give it"):
        check_rule(Untold())
    for rule in (Empty(), Plain()):
        with pytest.raises(
            ValueError, match="is a pytree of numbers; got .*: make it a named tuple"
        ):
            check_rule(rule)


def test_a_change_that_is_not_finite_is_reported(key):
    network = random_network(key, N_UNITS, 2)
    with pytest.warns(
        RuntimeWarning, match="change of weights, in 1 of 1 lifetimes, first in trial"
    ):
        lifetime = learn(key, network, TASK, Lost(), LEARNER, 4)
    np.testing.assert_array_equal(lifetime.state.W, network.W)


@pytest.mark.parametrize("noise", [OutputNoise(size=0.1), WeightNoise(size=0.1)])
def test_exploring_in_vain_is_told(key, noise):
    network = random_network(key, N_UNITS, 2)
    learner = dataclasses.replace(LEARNER, exploration=noise)
    with pytest.warns(RuntimeWarning, match="ThreeFactor is not told of it and explores in vain"):
        learn(key, network, TASK, miconi(), learner, 2)


def test_a_third_factor_is_for_rules_that_have_one(key):
    network = random_network(key, N_UNITS, 2)
    with pytest.raises(ValueError, match="is given to a ThreeFactor; got Backpropagation"):
        learn(key, network, TASK, backpropagation(), LEARNER, 2, third_factor=jnp.ones(2))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: OutputNoise(size=-1.0), "size ≥ 0"),
        (lambda: WeightNoise(size=0.0), "size > 0"),
        (lambda: weight_perturbation(0.0), "size > 0"),
        (lambda: policy_gradient(-1.0), "size > 0"),
        (lambda: backpropagation(loss="cubed"), "loss one of"),
        (lambda: supervised_feedback(learning_rate=-1.0), "learning_rate ≥ 0"),
        (lambda: reward_feedback(feedback=[np.nan]), "feedback B is finite"),
        (lambda: miconi(clip=1.0, bound=SoftBound(1.0)), "a clip or a bound"),
        (lambda: miconi(bound=SoftBound(np.inf)), "a soft bound is finite"),
        (lambda: backpropagation(bound=SoftBound(np.inf)), "a soft bound is finite"),
        (lambda: supervised_feedback(clip=1.0, bound=SoftBound(1.0)), "a clip or a bound"),
        (lambda: clean_trial(miconi().trace, learning_rate=-1.0), "learning_rate ≥ 0"),
    ],
)
def test_bad_numbers_are_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_learning_keeps_a_structure(key):
    signs = np.array([1.0, 1.0, 1.0, -1.0, -1.0, 0.0])
    mask = np.random.default_rng(0).random((N_UNITS, N_UNITS)) < 0.6
    network = random_network(key, N_UNITS, 2)
    W = np.where(signs == 0, network.W, np.abs(network.W) * signs) * mask
    network = network._replace(W=jnp.asarray(W))
    free = miconi(learning_rate=1.0, clip=0.2)
    plain = learn(key, network, TASK, free, LEARNER, 20).state.W
    # The control: without the structure connections arise and signs change.
    assert np.any(np.asarray(plain)[~mask] != 0) and np.any(np.asarray(plain) * signs < 0)
    rule = structured(free, mask=mask, signs=signs, n_units=N_UNITS)
    kept = np.asarray(learn(key, network, TASK, rule, LEARNER, 20).state.W)
    assert not kept[~mask].any() and (kept * signs >= 0).all()
    assert np.abs(kept - W).max() > 0.1
    whole = structured(free, n_units=N_UNITS)
    np.testing.assert_allclose(
        learn(key, network, TASK, whole, LEARNER, 20).state.W, plain, rtol=1e-9, atol=1e-12
    )
    with pytest.raises(ValueError, match=r"weights have the structure; got \d+ beyond the mask"):
        learn(key, random_network(key, N_UNITS, 2), TASK, rule, LEARNER, 2)
    with pytest.raises(ValueError, match=r"mask and signs .*; got .*: make them for N units"):
        learn(key, network, TASK, structured(free, n_units=4), LEARNER, 2)


def _two_outputs():
    targets = jnp.stack([TASK.targets, -0.5 * TASK.targets], axis=-1)
    return TASK._replace(targets=targets)


def test_two_outputs_are_two_readouts(key):
    task = _two_outputs()
    network = random_network(key, N_UNITS, 2, n_outputs=2)
    rule = supervised_feedback(learning_rate=0.01)
    state = initial_learning_state(network, task, rule, LEARNER)
    episode = draw_episode(key, jnp.int32(0), task, LEARNER, N_UNITS)
    both = learn_trial(state, episode, network, rule, LEARNER)[1]
    apart = []
    for output in range(2):
        alone = network._replace(W_out=network.W_out[output])
        trial = episode.trial._replace(target=episode.trial.target[:, output])
        given = (state, episode._replace(trial=trial), alone, rule, LEARNER)
        apart.append(learn_trial(*given)[1])
    np.testing.assert_allclose(both.error, (apart[0].error + apart[1].error) / 2, rtol=1e-12)
    np.testing.assert_allclose(both.change, apart[0].change + apart[1].change, rtol=1e-10)


@pytest.mark.parametrize(
    ("rule", "exploration"),
    [
        (miconi(learning_rate=0.1), Kicks(rate=20.0)),
        (reward_feedback(learning_rate=0.1, readout_rate=0.1), OutputNoise(size=0.3, n_outputs=2)),
        (policy_gradient(0.3), OutputNoise(size=0.3, n_outputs=2)),
        (backpropagation(), Kicks(rate=20.0)),
    ],
)
def test_rules_learn_two_outputs(key, rule, exploration):
    learner = dataclasses.replace(LEARNER, exploration=exploration)
    network = random_network(key, N_UNITS, 2, n_outputs=2)
    lifetime = learn(key, network, _two_outputs(), rule, learner, 4)
    assert np.isfinite(lifetime.errors).all()
    assert np.abs(np.asarray(lifetime.state.W - network.W)).max() > 0


def test_gradients_of_two_outputs_agree(key):
    keys = jax.random.split(key, 2)
    networks = jax.vmap(lambda k: random_network(k, N_UNITS, 2, n_outputs=2))(keys)
    given = (keys, networks, _two_outputs(), miconi(learning_rate=0.1), LEARNER, 4)
    back, forth = Pathwise()(*given).gradients, Pathwise(mode="forward")(*given).gradients
    np.testing.assert_allclose(back, forth, rtol=1e-8, atol=1e-12 * float(jnp.abs(back).max()))


@pytest.mark.parametrize("name", ["e-prop", "RFLO", "policy gradient"])
def test_each_output_adds_its_part(key, name):
    """Two outputs with feedback of their own, against one output at a time."""
    exploration = OutputNoise(size=0.3, n_outputs=2)
    learner = dataclasses.replace(LEARNER, exploration=exploration)
    network = random_network(key, N_UNITS, 2, n_outputs=2)
    feedback = np.random.default_rng(1).normal(size=(N_UNITS, 2))

    def rule(B):
        if name == "policy gradient":
            return policy_gradient(0.3)
        make = reward_feedback if name == "e-prop" else supervised_feedback
        return make(feedback=B, readout_rate=0.1)

    both = rule(feedback)
    state = initial_learning_state(network, _two_outputs(), both, learner)
    episode = draw_episode(key, jnp.int32(0), _two_outputs(), learner, N_UNITS)
    seen = learn_trial(state, episode, network, both, learner)[1].seen
    whole = both.change(seen, ())[0]
    names = ("output_noise", "output", "target")
    parts = []
    for o in range(2):
        alone = seen._replace(**{n: getattr(seen, n)[:, o] for n in names}, W_out=seen.W_out[o])
        parts.append(rule(feedback[:, o]).change(alone, ())[0])
    np.testing.assert_allclose(whole.W, parts[0].W + parts[1].W, rtol=1e-9, atol=1e-13)
    if name != "policy gradient":
        np.testing.assert_allclose(whole.W_out, [part.W_out for part in parts], rtol=1e-10)


def test_noise_of_other_outputs_is_refused(key):
    learner = dataclasses.replace(LEARNER, exploration=OutputNoise(size=0.3))
    network = random_network(key, N_UNITS, 2, n_outputs=2)
    with pytest.raises(ValueError, match=r"output noise has the outputs \(2,\) .*; got \(\): set"):
        learn(key, network, _two_outputs(), reward_feedback(), learner, 2)


def test_a_readout_of_too_few_outputs_is_refused(key):
    with pytest.raises(ValueError, match=r"outputs \(2,\) of the task; got \(\): give W_out"):
        learn(key, random_network(key, N_UNITS, 2), _two_outputs(), miconi(), LEARNER, 2)


def test_dynamics_are_told_as_they_are(key):
    learner = dataclasses.replace(LEARNER, dynamics=Dynamics(tau=40.0))
    network, rule = random_network(key, N_UNITS, 2), miconi()
    state = initial_learning_state(network, TASK, rule, learner)
    episode = draw_episode(key, jnp.int32(0), TASK, learner, N_UNITS)
    assert learn_trial(state, episode, network, rule, learner)[1].seen.dynamics.tau == 40.0


def _readout_seen(rates, kicks, weight_noise, reward, baseline):
    """What a linear readout of three outputs shows, whose "units" are its outputs."""
    zero = jnp.zeros((len(rates), 3))
    return Seen(
        **dict.fromkeys(("fluctuations", "states", "inputs"), zero),
        rates=rates,
        kicks=kicks,
        output_noise=None,
        weight_noise=weight_noise,
        **dict.fromkeys(("state", "filtered", "W_out"), jnp.zeros(3)),
        **dict.fromkeys(("output", "target"), jnp.zeros(len(rates))),
        response=jnp.ones(len(rates), bool),
        error=jnp.zeros(()),
        reward=reward,
        baseline=baseline,
        W=jnp.zeros((3, 3)),
        W_in=zero[:3],
        condition=jnp.int32(0),
        trial=jnp.int32(0),
        dynamics=Dynamics(),
    )


@pytest.mark.parametrize("kind", ["weights", "nodes"])
def test_perturbation_of_a_linear_readout_decays_as_theory_says(kind):
    """y_t = v x_t with inputs of strength α² in 3 directions, E = ½ Σ_t |y_t|², and 3 outputs.

    With D = 9 numbers that matter, small noise and a clean baseline, |y|² shrinks by the factor
    1 − 2 η α² + (D + 2) η² α⁴ a trial: 1 − 1/(D + 2) at the best η = 1/((D + 2) α²) (Züge, Klos &
    Memmesheimer, PRX 13, 021006).
    """
    rng = np.random.default_rng(0)
    alpha, sigma, best = 1.3, 1e-3, 1 / 11 / 1.3**2
    X = alpha * np.linalg.qr(rng.normal(size=(5, 3)))[0]  # (T, N), XᵀX = α²
    v = rng.normal(size=(3, 3))
    draws = sigma * rng.normal(size=(40000, *((3, 3) if kind == "weights" else (5, 3))))

    def loss(v, noise):
        weights, nodes = (noise, 0.0) if kind == "weights" else (0.0, noise)
        return jnp.sum((jnp.asarray(X) @ (v + weights).T + nodes) ** 2) / 2

    def shrunk(draw, eta):
        if kind == "weights":
            rule = weight_perturbation(sigma, learning_rate=eta)
        else:
            rule = node_perturbation(learning_rate=eta / sigma**2, tau_e=np.inf, plain_sum=True)
        noise = (jnp.zeros((5, 3)), draw) if kind == "weights" else (draw, jnp.zeros((3, 3)))
        rewards = (-loss(v, draw), -loss(v, jnp.zeros_like(draw)))
        change, _ = rule.change(_readout_seen(jnp.asarray(X), *noise, *rewards), ())
        return loss(v + change.W, 0.0 * draw) / loss(v, 0.0 * draw)

    for eta in (best, 2 * best):
        ratios = np.asarray(jax.vmap(lambda draw, eta=eta: shrunk(draw, eta))(jnp.asarray(draws)))
        gain = eta * alpha**2
        predicted = 1 - 2 * gain + 11 * gain**2
        error = ratios.std() / np.sqrt(len(ratios))
        assert abs(ratios.mean() - predicted) < 4 * error, (ratios.mean(), predicted, error)
        # The control: twice the best rate does not decay as the best one does.
        assert (abs(ratios.mean() - (1 - 1 / 11)) < 4 * error) == (eta == best)
