"""Two problems small enough that the gradient of the expected reward is known exactly. (Ours.)

**Choices.** One weight w, two actions with π = P(a = 1) = 1/(1 + e^{−w}), H trials. Weights follow
deterministically from the sampled actions and the rewards,

    w ← w + η δ Σ_kℓ θ_kℓ π^k (a − π)^ℓ,   δ = R − R̄,   R̄ ← R̄ + (R − R̄)/4,   R = a,

so ∂w/∂θ is carried from trial to trial by the chain rule and the score of an action is
(a − π) ∂w/∂θ. All 2^H courses are enumerated.

**Diffusion.** One tanh unit that learns by `learn_trial`, without kicks, whose weight takes a step
σξ after every trial. Expectations over ξ are Gauss–Hermite quadratures.
"""

from functools import partial, reduce
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from plasticity.learning.trial import Learner
from plasticity.meta.estimators import Estimator, EvolutionStrategy, Pathwise
from plasticity.meta.objective import mean_reward
from plasticity.meta.score_function import (
    ParameterScore,
    ScoreProgram,
    Scores,
    WeightScore,
    score_gradients,
)
from plasticity.model.exploration import Kicks
from plasticity.model.network import Network, make_network
from plasticity.model.tasks import Task, delayed_association
from plasticity.rules.base import Rule
from plasticity.rules.three_factor import make_rule
from plasticity.types import Coefficients, Scalar


class Comparison(NamedTuple):
    """An estimator against the true gradient g, along g and in units of its length.

    Attributes:
        bias: ⟨E ĝ − g, g⟩/‖g‖², without sampling.
        sampled: the same of the mean of the samples.
        error: standard error of ``sampled``.
        deviation: standard deviation of one lifetime's ⟨ĝ, g⟩/‖g‖².
    """

    bias: float
    sampled: float
    error: float
    deviation: float


def compare(expected: Coefficients, samples: Float[Array, "B d1 d1"], truth: Coefficients):
    """`Comparison` of an estimator's expectation, and of B samples of it, with ``truth``."""
    along = np.asarray(truth) / np.sum(np.square(truth))
    shares = np.tensordot(np.asarray(samples), along, 2)
    deviation = float(shares.std(ddof=1))
    bias, error = float(np.sum(np.asarray(expected) * along)) - 1, deviation / len(shares) ** 0.5
    return Comparison(bias, float(shares.mean()) - 1, error, deviation)


def choice_coefficients() -> Coefficients:
    """θ at which the choices are compared: each mistake shows there."""
    return jnp.array([[0.5, 0.2], [0.5, 0.5]])


def choice_course(
    coefficients: Coefficients,
    uniforms: Float[Array, "H"],
    *,
    rate: float = 1.0,
    carry: bool = True,
):
    """One course of choices: log probability, scores (H, d+1, d+1) and rewards (H,).

    Args:
        coefficients: θ.
        uniforms: the action is 1 where this is below π: draws from U(0, 1), or 0 and 1 to force it.
        rate: η.
        carry: whether ∂w/∂θ is carried; without it, a mistake, only the last update's remains.
    """

    def trial(carried, uniform):
        w, tangent, baseline = carried
        policy = jax.nn.sigmoid(w)
        action = (uniform < policy).astype(w.dtype)
        log_probability = jnp.log(jnp.where(action > 0, policy, 1.0 - policy))
        score = (action - policy) * tangent
        now = (w, coefficients, action, rate * (action - baseline))
        slope, direct = jax.grad(_next_weight, argnums=(0, 1))(*now)
        tangent = (slope * tangent if carry else 0.0) + direct
        baseline = baseline + 0.25 * (action - baseline)
        return (_next_weight(*now), tangent, baseline), (log_probability, score, action)

    zero = jnp.zeros((), coefficients.dtype)
    start = (zero, jnp.zeros_like(coefficients), zero)
    _, (logs, scores, rewards) = jax.lax.scan(trial, start, uniforms)
    return logs.sum(), scores, rewards


def _next_weight(w, coefficients, action, factor):
    """w + ``factor`` Σ θ_kℓ π^k (a − π)^ℓ."""
    policy = jax.nn.sigmoid(w)
    left, right = (
        jnp.stack([x**k for k in range(coefficients.shape[0])]) for x in (policy, action - policy)
    )
    return w + factor * (left @ coefficients @ right)


@partial(jax.jit, static_argnames="n_trials")
def choice_return(coefficients: Coefficients, n_trials: int = 7) -> Scalar:
    """J = E (1/H) Σ R by enumeration of the 2^H courses; its gradient is exact, too."""
    logs, _, rewards = jax.vmap(partial(choice_course, coefficients))(_sequences(n_trials))
    return jnp.exp(logs) @ rewards.mean(axis=1)


CHOICE_ESTIMATORS: dict[str, tuple[bool, dict]] = {
    "score function": (True, {}),
    "no baseline": (True, {"baseline": "none"}),
    "all rewards": (True, {"credit": "all"}),
    "immediate reward only": (True, {"credit": "immediate"}),
    "tangents not carried": (False, {}),
}


def choice_estimates(
    name: str, coefficients: Coefficients, uniforms: Float[Array, "B H"], **changes
) -> Float[Array, "B d1 d1"]:
    """Estimates of one of `CHOICE_ESTIMATORS` from B courses.

    Args:
        name, coefficients: of the estimator; θ.
        uniforms: as in `choice_course`.
        changes: other options of `score_gradients`.
    """
    carry, options = CHOICE_ESTIMATORS[name]
    _, scores, rewards = _choice_courses(coefficients, uniforms, carry)
    return _credited(scores, rewards, **(options | changes))


def compare_choices(n_samples: int, *, n_trials: int = 7, seed: int = 0) -> dict[str, Comparison]:
    """Every one of `CHOICE_ESTIMATORS` against the exact gradient."""
    theta = choice_coefficients()
    truth = _choice_slope(theta, n_trials)
    uniforms = jax.random.uniform(jax.random.key(seed), (n_samples, n_trials), theta.dtype)
    # One program for both, of all courses and of those that are drawn.
    every = _sequences(n_trials)
    together = jnp.concatenate([every, uniforms])
    courses = {carry: _choice_courses(theta, together, carry) for carry in (True, False)}
    table = {}
    for name, (carry, options) in CHOICE_ESTIMATORS.items():
        logs, scores, rewards = courses[carry]
        n = len(every)
        exact = _credited(scores[:n], rewards[:n], **(options | {"baseline": "none"}))
        expected = jnp.tensordot(jnp.exp(logs[:n]), exact, 1)
        table[name] = compare(expected, _credited(scores[n:], rewards[n:], **options), truth)
    return table


_choice_slope = jax.jit(jax.grad(choice_return), static_argnums=1)


@partial(jax.jit, static_argnames="carry")
def _choice_courses(coefficients, uniforms, carry):
    return jax.vmap(partial(choice_course, coefficients, carry=carry))(uniforms)


def _credited(scores, rewards, **options) -> Float[Array, "B d1 d1"]:
    # An action is scored with its own reward; the first has no score, for w starts at 0.
    scores = jnp.concatenate([scores[:, 1:], jnp.zeros_like(scores[:, :1])], axis=1)
    conditions, finite = jnp.zeros(rewards.shape, jnp.int32), jnp.ones(len(rewards), bool)
    return score_gradients(scores, rewards, conditions, finite, **options)


def _sequences(n_trials: int) -> Float[Array, "S H"]:
    """Uniforms that force every sequence of actions once, (2^H, H)."""
    return jnp.asarray(np.array(list(product((0.0, 1.0), repeat=n_trials))), float)


class Diffusion(NamedTuple):
    """The course of learning of one unit, without an axis for lifetimes."""

    network: Network
    task: Task
    rule: Rule
    learner: Learner
    n_trials: int

    def samples(self, estimator: Estimator, n: int, seed: int) -> Float[Array, "B d1 d1"]:
        """Estimates from n lifetimes."""
        keys = jax.random.split(jax.random.key(seed), n)
        networks = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *a.shape)), self.network)
        return estimator(keys, networks, *self[1:]).gradients

    def pathwise(self) -> Float[Array, "2 d1 d1"]:
        """The gradient where nothing is random: that of every lifetime, so two serve for all."""
        return self.samples(Pathwise(), 2, 0)


def diffusion() -> Diffusion:
    """One unit, two cues in turn, three trials; nothing is random and no corner is met."""
    task = delayed_association(dt=10.0, cue=30.0, delay=20.0, response=50.0)
    learner = Learner(exploration=Kicks(rate=0.0), initial_state=0.0)
    rule = make_rule([[0.1, 0.6], [0.5, -1.0]], learning_rate=0.05)
    network = make_network([[0.8]], [[1.0, -0.6]], [0.9])
    return Diffusion(network, task, rule, learner, 3)


def quadrature(toy: Diffusion, n_nodes: int):
    """Nodes ξ, (Q, H, 1, 1), and weights, (Q,); the last trial's ξ, without effect, is zero."""
    nodes, weights = _normal_nodes(n_nodes, (toy.n_trials - 1, 1, 1))
    return jnp.concatenate([nodes, jnp.zeros_like(nodes[:, :1])], axis=1), weights


def diffusion_gradient(toy: Diffusion, sigma: float, *, n_nodes: int = 40) -> Coefficients:
    """∂J/∂θ of the learner whose weight diffuses with σ, by quadrature of ∂R/∂θ at fixed ξ."""
    noise, weights = quadrature(toy, n_nodes)
    return jnp.tensordot(weights, _courses(toy, WeightScore(sigma=sigma), noise)[1], 1)


def diffusion_expectation(
    toy: Diffusion, estimator: WeightScore, *, n_nodes: int = 40
) -> Coefficients:
    """The mean estimate, by quadrature of the estimator itself; baselines do not matter to it."""
    noise, weights = quadrature(toy, n_nodes)
    options = {"discount": estimator.discount, "credit": estimator.credit, "baseline": "none"}
    # With U reset, the program of the gradient serves again.
    scores, _ = _courses(toy, estimator, noise, slopes=not estimator.carry)
    return jnp.tensordot(weights, score_gradients(*scores, **options), 1)


def compare_diffusion(sigma: float, n_samples: int, *, seed: int = 0) -> dict[str, Comparison]:
    """Estimators of the diffusing learner's gradient; pathwise at σ = 0 shows the gap."""
    toy = diffusion()
    truth = diffusion_gradient(toy, sigma)
    table = {}
    for name, estimator in {
        "U reset": WeightScore(sigma=sigma),
        "U reset, no baseline": WeightScore(sigma=sigma, baseline="none"),
        "U carried": WeightScore(sigma=sigma, carry=True),
        "immediate reward only": WeightScore(sigma=sigma, credit="immediate"),
    }.items():
        samples = toy.samples(estimator, n_samples, seed)
        table[name] = compare(diffusion_expectation(toy, estimator), samples, truth)
    pathwise = toy.pathwise()
    return table | {"pathwise, without noise": compare(pathwise[0], pathwise, truth)}


def compare_exploration(spread: float, n_samples: int, *, seed: int = 0) -> dict[str, Comparison]:
    """Estimators that explore rules, each against the gradient of the return it is true to.

    Expectations are quadratures over ε, of one draw (7 nodes a coefficient) or of one in each of
    two trials (3 nodes): enough for a spread of 0.05. Pathwise shows the gap to the rule unmoved.
    """
    toy, ones = diffusion(), ((1.0, 1.0), (1.0, 1.0))
    theta = toy.rule.coefficients
    epsilon, weights = _normal_nodes(7, (2, 2))
    slopes, above = _returns(toy, theta[None] + spread * epsilon)
    _, below = _returns(toy, theta[None] - spread * epsilon)
    smoothed = jnp.tensordot(weights, slopes, 1)
    expected = jnp.tensordot(weights * (above - below) / (2 * spread), epsilon, 1)

    jitter = ParameterScore(spread=spread, scale=ones)
    nodes, shares = _normal_nodes(3, (2, 2, 2))
    nodes = jnp.concatenate([nodes, jnp.zeros_like(nodes[:, :1])], axis=1)
    scores, jittered = _courses(toy, jitter, nodes)
    scored = jnp.tensordot(shares, score_gradients(*scores, baseline="none"), 1)

    strategy, pathwise = EvolutionStrategy(spread=spread, scale=ones), toy.pathwise()
    strategies, jitters = (toy.samples(e, n_samples, seed) for e in (strategy, jitter))
    return {
        "evolution strategy": compare(expected, strategies, smoothed),
        "parameter score": compare(scored, jitters, jnp.tensordot(shares, jittered, 1)),
        "pathwise, rule unmoved": compare(pathwise[0], pathwise, smoothed),
    }


def _normal_nodes(n_nodes: int, shape: tuple[int, ...]):
    """Nodes (Q, *shape) and weights (Q,) of a product quadrature over N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    size = int(np.prod(shape))
    grids = np.meshgrid(*[nodes] * size, indexing="ij")
    grid = np.stack([g.ravel() for g in grids], axis=1).reshape(-1, *shape)
    joint = reduce(np.multiply.outer, [weights / weights.sum()] * size).ravel()
    return jnp.asarray(grid, float), jnp.asarray(joint, float)


def _returns(toy: Diffusion, coefficients: Float[Array, "Q d1 d1"]):
    """∂/∂θ of the mean reward under several rules, (Q, d+1, d+1), and the mean reward, (Q,)."""
    given = (toy.network, toy.task, toy.rule)
    return _returns_and_slopes(coefficients, toy.learner, toy.n_trials, *given)


# Slopes in four coefficients: forward mode has less to compile than reverse mode.
@partial(jax.jit, static_argnames=("learner", "n_trials"))
def _returns_and_slopes(coefficients, learner, n_trials, network, task, rule):
    def reward(theta):
        given = (jax.random.key(0), network, task, rule, learner, n_trials)
        value = mean_reward(theta, *given)[0]
        return value, value

    return jax.vmap(jax.jacfwd(reward, has_aux=True))(coefficients)


def _courses(
    toy: Diffusion, estimator: WeightScore | ParameterScore, noise, *, slopes: bool = True
) -> tuple[Scores, Float[Array, "Q d1 d1"] | None]:
    """Courses at given noise, (Q, H, …), and ∂/∂θ of the mean reward of each, its noise fixed."""
    trial, size = estimator.policy(None, toy.network, toy.task, toy.rule, toy.learner)
    program = ScoreProgram(learner=toy.learner, n_trials=toy.n_trials, trial=trial)
    return _scores_and_slopes(program, slopes, toy.network, toy.rule, toy.task, size, noise)


@partial(jax.jit, static_argnames=("program", "slopes"))
def _scores_and_slopes(program: ScoreProgram, slopes: bool, network, rule, task, size, noise):
    def reward(theta, xi):
        moved = rule.replace(coefficients=theta)
        scores = program(jax.random.key(0), network, moved, task=task, size=size, noise=xi)
        return scores.rewards.mean(), scores

    course = jax.jacfwd(reward, has_aux=True) if slopes else reward
    slope, scores = jax.vmap(course, (None, 0))(rule.coefficients, noise)
    return scores, slope if slopes else None
