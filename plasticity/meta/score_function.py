"""Score-function (REINFORCE) estimators of the meta-gradient: reward times ∂ log p of a sample.

    g = Σ_h s^(h) · (reward from trial h + 1 on),   s^(h) = ∂ log p(sample at the end of h)/∂θ

They need no derivative of the reward, which may be binary. What each holds fixed is in its
docstring; `plasticity.meta.estimators` has the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from plasticity.derivatives.tangent import (
    Differentiation,
    check_polynomial,
    initial_tangents,
    tangent_trial,
)
from plasticity.learning.trial import (
    Learner,
    draw_episode,
    due,
    initial_learning_state,
    learn_trial,
)
from plasticity.meta.estimators import (
    MetaGradient,
    checked_scale,
    each_lifetime,
    only_finite,
    own_stream,
    standard_normal,
)
from plasticity.model.network import Network
from plasticity.model.tasks import Task
from plasticity.rules.base import Rule
from plasticity.types import PRNGKey, require


class Scores(NamedTuple):
    """What a score-function estimator keeps of B lifetimes of H trials.

    Attributes:
        scores: ∂ log p/∂θ of what was sampled at the end of each trial, (B, H, d+1, d+1), or of
            the shape of the rule's parameters.
        rewards: (B, H).
        conditions: (B, H).
        finite: whether all of a lifetime is finite, (B,).
    """

    scores: Float[Array, "B H *P"]
    rewards: Float[Array, "B H"]
    conditions: Int[Array, "B H"]
    finite: Bool[Array, "B"]


@partial(jax.jit, static_argnames=("discount", "baseline", "credit"))
def score_gradients(
    scores: Float[Array, "B H *P"],
    rewards: Float[Array, "B H"],
    conditions: Int[Array, "B H"],
    finite: Bool[Array, "B"],
    *,
    discount: float = 1.0,
    baseline: str = "leave-one-out",
    credit: str = "to-go",
) -> Float[Array, "B *P"]:
    """Σ_h s^(h) G^(h) of each lifetime, G^(h) = (1/H) Σ_{h'>h} γ^{h'−h−1} (R^(h') − b^(h')).

    What s^(h) scores is sampled after R^(h), so no reward up to h depends on it: leaving those out
    (and subtracting any b that does not depend on the lifetime's own samples) keeps the mean and
    lowers the variance. γ < 1 lowers it further and biases. (Williams 1992.)

    Args:
        scores, rewards, conditions, finite: as in `Scores`.
        discount: γ.
        baseline: "leave-one-out": b^(h) is the mean R^(h) of the other finite lifetimes that show
            the same condition in trial h, of all others if none does; or "none".
        credit: "to-go" as above; "all": rewards up to h count too, undiscounted; "immediate": h' =
            h + 1 alone, which is wrong and serves as a control.

    Raises:
        ValueError: γ outside [0, 1], an unknown baseline or credit.
    """
    _check_credit(discount, baseline, credit)
    rewards = jnp.where(finite[:, None], rewards, 0.0)
    scores = jnp.where(finite.reshape(-1, *(1,) * (scores.ndim - 1)), scores, 0.0)
    if baseline == "leave-one-out":
        rewards = rewards - jax.vmap(partial(_mean_of_others, finite))(rewards.T, conditions.T).T
    trials = np.arange(rewards.shape[1])
    delay = trials[None] - trials[:, None] - 1
    counted = {"all": True, "to-go": delay >= 0, "immediate": delay == 0}[credit]
    kernel = np.where(counted, discount ** np.maximum(delay, 0.0), 0.0)
    returns = rewards @ jnp.asarray(kernel.T, rewards.dtype) / len(trials)
    return jnp.einsum("bh...,bh->b...", scores, returns)


@dataclass(frozen=True, kw_only=True)
class _ScoreFunction:
    discount: float = 1.0
    baseline: str = "leave-one-out"
    credit: str = "to-go"

    def __post_init__(self) -> None:
        _check_credit(self.discount, self.baseline, self.credit)

    def __call__(
        self,
        key: Key[Array, "B"],
        network: Network,
        task: Task,
        rule: Rule,
        learner: Learner,
        n_trials: int,
    ) -> MetaGradient:
        """∂J/∂θ by every lifetime; key and network have the axis B, the rule has none."""
        sample = sample_scores(self, key, network, task, rule, learner, n_trials)
        options = {"discount": self.discount, "baseline": self.baseline, "credit": self.credit}
        gradients = score_gradients(*sample, **options)
        return only_finite(gradients, sample.rewards.mean(axis=1), sample.finite)


@dataclass(frozen=True, kw_only=True)
class WeightScore(_ScoreFunction):
    """REINFORCE with the update as a Gaussian policy: W^(h+1) = W^(h) + μ^(h) + σ ξ^(h).

    s^(h)_p = (1/σ) Σ_ij ξ_ij ∂μ_ij/∂θ_p,   ξ ~ N(0, 1), from the learner's first update on.

    Held fixed: the weights as sampled, the activity and the rewards. Conditioned on the sampled
    W^(h), θ enters the law of W^(h+1) through its own update alone, so U is reset every trial:
    unbiased for the return of a learner whose weights diffuse with σ, which is also what the
    returns are of; it differs from J by a gap that shrinks with σ, while the variance grows as
    N²/σ² (Williams 1992). With ``carry`` the derivative of μ is total, U carried from trial to
    trial, as the paper's summary has it, with rewards held fixed (the paper's estimator under our
    reading): an earlier update counts once in its own score and again in the later ones, an
    estimate of no return's gradient.

    Attributes:
        sigma: σ, the standard deviation of the noise of a weight in a trial.
        carry: whether U is carried across trials.
        discount, baseline, credit: as in `score_gradients`.

    Raises:
        ValueError: σ ≤ 0 and as in `score_gradients`; when called with ``carry``, a rule without
            closed-form tangents.
    """

    sigma: float
    carry: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.sigma < np.inf, "sigma > 0", self.sigma, "use Pathwise to draw no noise")

    def policy(self, key, network, task, rule, learner: Learner):
        """The trial that `ScoreProgram` repeats, and σ."""
        if self.carry:
            check_polynomial(rule)
        return carried_trial if self.carry else weight_trial, self.sigma


@dataclass(frozen=True, kw_only=True)
class ParameterScore(_ScoreFunction):
    """REINFORCE with coefficients that are drawn afresh in every trial.

    θ^(h) = θ + spread · ε^(h) / scale,   s^(h) = scale · ε^(h) / spread,   ε ~ N(0, 1)

    Held fixed: coefficients as sampled and the rewards. Unbiased for the return of a learner whose
    rule jitters so, which is also what the returns are of; P dimensions of noise in place of N².
    (PGPE of Sehnke et al. 2010 with a draw a trial in place of one a lifetime.)

    Attributes:
        spread: standard deviation of a coefficient in units of 1/scale.
        scale: (d+1, d+1), as nested tuples, or of the shape of the rule's parameters; None takes
            `relative_scale` of the first lifetime, for rules with coefficients.
        discount, baseline, credit: as in `score_gradients`.

    Raises:
        ValueError: spread ≤ 0 and as in `score_gradients`; when called, a scale of another shape
            than the rule's parameters, or not positive.
    """

    spread: float
    scale: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            0 < self.spread < np.inf, "spread > 0", self.spread, "use Pathwise to draw no noise"
        )

    def policy(self, key, network, task, rule, learner: Learner):
        """The trial that `ScoreProgram` repeats, and spread / scale."""
        scale = checked_scale(self.scale, key, network, task, rule, learner)
        return parameter_trial, self.spread / scale


def sample_scores(
    estimator: _ScoreFunction,
    key: Key[Array, "B"],
    network: Network,
    task: Task,
    rule: Rule,
    learner: Learner,
    n_trials: int,
) -> Scores:
    """The lifetimes that the estimator would average: the first H of them serve any horizon ≤ H."""
    trial, size = estimator.policy(key, network, task, rule, learner)
    program = ScoreProgram(learner=learner, n_trials=n_trials, trial=trial)
    return each_lifetime(program, key, network, task, rule, size=size)


@dataclass(frozen=True, kw_only=True)
class ScoreProgram:
    """One lifetime and the scores of what is sampled in it, for `map_lifetimes`.

    Attributes:
        learner, n_trials: as in `plasticity.learning.lifetime.LifetimeProgram`.
        trial: `weight_trial`, `carried_trial` or `parameter_trial`.
    """

    learner: Learner
    n_trials: int
    trial: Callable[..., Any]

    def __call__(
        self, key: PRNGKey, network: Network, rule: Rule, *, task: Task, size, noise=None
    ) -> Scores:
        """`Scores` without the axis B.

        Args:
            size: standard deviation of the noise on what the trial samples.
            noise: ξ or ε of every trial, on a leading axis H, in place of draws from the key.
        """
        learner, stream = self.learner, own_stream(key)
        like = rule.parameters if self.trial is parameter_trial else network.W

        def trial(carry, given):
            state, tangents = carry
            episode = draw_episode(key, state.trial, task, learner, network.W.shape[0])
            if given is None:
                given = standard_normal(jax.random.fold_in(stream, state.trial), like)
            # Where no update is due nothing that is sampled matters; a score would only be noise.
            given = jnp.where(state.trial >= learner.first_update, given, 0.0)
            state, tangents, reward, score = self.trial(
                state, tangents, episode, given, size, network, rule, learner
            )
            score = score.reshape(jnp.shape(rule.parameters))
            return (state, tangents), (score, reward, episode.trial.condition)

        state, tangents = initial_learning_state(network, task, rule, learner), None
        if self.trial is carried_trial:
            tangents = initial_tangents(state, rule, Differentiation())
        (state, _), (scores, rewards, conditions) = jax.lax.scan(
            trial, (state, tangents), noise, length=self.n_trials
        )
        finite = state.alive & jnp.isfinite(scores).all() & jnp.isfinite(rewards).all()
        return Scores(scores, rewards, conditions, finite)


def weight_trial(state, tangents, episode, noise, size, network, rule, learner):
    """W + μ + σξ with the score of μ at fixed W: one product with a vector, no N × N × P."""
    new, outcome = learn_trial(state, episode, network, rule, learner)

    def change(parameters):
        made, _ = rule.with_parameters(parameters).change(outcome.seen, state.memory)
        return due(made.W, state.trial, learner)

    score = jax.vjp(change, rule.parameters)[1](noise)[0]
    return _diffused(new, size * noise), tangents, outcome.reward, score / size


def carried_trial(state, tangents, episode, noise, size, network, rule, learner):
    """W + μ + σξ with the score of μ through W as well, rewards held fixed."""
    new, outcome, tangents, of_outcome = tangent_trial(
        state, tangents, episode, network, rule, learner, Differentiation()
    )
    score = jnp.einsum("jip,ij->p", of_outcome.change, noise)
    return _diffused(new, size * noise), tangents, outcome.reward, score / size


def parameter_trial(state, tangents, episode, noise, size, network, rule, learner):
    """A trial of the rule θ + size · ε."""
    moved = rule.with_parameters(rule.parameters + size * noise)
    new, outcome = learn_trial(state, episode, network, moved, learner)
    return new, tangents, outcome.reward, noise / size


def _diffused(state, step):
    return state._replace(W=jnp.where(state.alive, state.W + step, state.W))


def _mean_of_others(finite, rewards, conditions):
    """Leave-one-out baseline of one trial, (B,); not finite rewards are zero already."""
    group = jnp.searchsorted(jnp.sort(conditions), conditions)  # B × B would not fit for large B
    one = finite.astype(rewards.dtype)

    def others(values):
        alike = jax.ops.segment_sum(values, group, num_segments=len(finite))[group]
        return alike - values, values.sum() - values

    (alike, total), (n_alike, n) = others(rewards), others(one)
    alone = n_alike == 0
    return jnp.where(alone, total, alike) / jnp.maximum(jnp.where(alone, n, n_alike), 1.0)


def _check_credit(discount: float, baseline: str, credit: str) -> None:
    require(0 <= discount <= 1, "0 ≤ discount ≤ 1", discount, "give a number from 0 to 1")
    given = baseline in ("leave-one-out", "none")
    require(given, "baseline leave-one-out or none", baseline, "choose one of them")
    given = credit in ("to-go", "all", "immediate")
    require(given, "credit to-go, all or immediate", credit, "choose one of them")
