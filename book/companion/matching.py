"""Networks as they are when learning has first taken them as far as asked, rule by rule.

After equally many trials a fast rule has learned more than a slow one, so that every difference
between their networks may be one of progress. Here networks are kept when their error without
exploration has fallen to a level, or when their weights have moved a given way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from companion.contest import Contest, blow_ups_expected
from plasticity.dynamics.portrait import quiet_error
from plasticity.learning.lifetime import learn
from plasticity.learning.setting import Setting
from plasticity.learning.trial import initial_learning_state
from plasticity.model.network import Network
from plasticity.types import Scalar, require

_BLOCK = 20  # changes of weights that are looked at together
_KICKS = 2**21  # with the number of the kicks: what sets draws of the same network apart


class Match(NamedTuple):
    """How far a network is to have come.

    Attributes:
        of: "error", which falls to the level, or "change", ‖W − W0‖ / ‖W0‖, which rises to it.
        level: where.
    """

    of: str
    level: float

    def __str__(self) -> str:
        return f"{self.of} {self.level:g}"


class Moments(NamedTuple):
    """When networks match, and their weights then.

    Attributes:
        after: trials of learning with which they pass the level, (matches, networks); NaN where
            the horizon came first.
        W: (matches, networks, N, N); NaN there, too.
    """

    after: Float[np.ndarray, "matches networks"]
    W: Float[np.ndarray, "matches networks N N"]


@dataclass(frozen=True)
class Watch:
    """What is seen before each trial: W, and its mean error in trials without exploration.

    Attributes:
        setting: whose trials.
        seed: of their initial states.
    """

    setting: Setting
    seed: int

    def __call__(self, before, episode, outcome):
        network = Network(before.W, outcome.seen.W_in, outcome.seen.W_out)
        return before.W, self.error(network)

    def error(self, network: Network) -> Scalar:
        """Mean error of one network without exploration."""
        return quiet_error(network, self.setting.task, self.setting.learner, seed=self.seed)

    @partial(jax.jit, static_argnums=0)
    def errors(self, networks: Network) -> Float[Array, "networks"]:
        """Of several."""
        return jax.vmap(self.error)(networks)


def first_below(
    values: Float[np.ndarray, "networks moments"], level: float
) -> Int[np.ndarray, "networks"]:
    """The first moment after the first at which each row is at the level or below.

    0 where it never is. NaN is not below.
    """
    below = values[:, 1:] <= level
    return np.where(below.any(axis=1), 1 + below.argmax(axis=1), 0)


def between(
    reached: Callable[[np.ndarray], np.ndarray],
    before: Float[np.ndarray, "networks N N"],
    after: Float[np.ndarray, "networks N N"],
) -> Float[np.ndarray, "networks N N"]:
    """Weights on the straight way from ``before`` to ``after`` where ``reached`` becomes true.

    By bisection, to 2⁻¹⁴ of the way, and on the far side.

    Args:
        reached: of weights (networks, N, N), whether each is far enough; false of ``before``, true
            of ``after``.
    """
    low, high = np.zeros(len(before)), np.ones(len(before))
    for _ in range(14):
        middle = (low + high) / 2
        share = middle[:, None, None].astype(before.dtype)
        far = np.asarray(reached(before + share * (after - before)))
        low, high = np.where(far, low, middle), np.where(far, middle, high)
    share = high[:, None, None].astype(before.dtype)
    return before + share * (after - before)


def learn_until_matched(
    contest: Contest,
    point: Sequence[int],
    units: Sequence[float],
    number: int,
    runs: Sequence[int],
    n_trials: int,
    matches: Sequence[Match],
    *,
    kicks: int = 0,
) -> Moments:
    """Networks when they first match; they learn until all do, or the horizon comes.

    The change of weights with which a network passes a level is taken as far as the level, so that
    all networks match exactly, whatever the size of their steps. A network that is there before it
    learns has not come anywhere: it does not match.

    Args:
        point, units: the contest's numbers, as `companion.contest.play` takes them.
        number, runs: seed and numbers of the networks.
        n_trials: the horizon.
        kicks: other draws of trials for the same networks.

    Raises:
        ValueError: a match of something else.
    """
    known = all(match.of in ("error", "change") for match in matches)
    require(known, "a match of error or change", [str(m) for m in matches], "choose one of them")
    values, watch = contest.values(point), Watch(contest.setting, number)
    rule, size = contest.rule(values, units), np.nan_to_num(values["exploration"], nan=1.0)
    keys, networks, task, _, learner = contest.within.arguments(number, runs)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, _KICKS + kicks))(keys)
    options = {"noise_scale": jnp.full(len(keys), size), "observe": watch}

    def begin(network):
        return initial_learning_state(network, task, rule, learner)

    state, W0 = jax.vmap(begin)(networks), np.asarray(networks.W)
    sizes, every = np.linalg.norm(W0, axis=(1, 2)), np.arange(len(W0))

    def is_below(of: str, bound: float, W: np.ndarray) -> np.ndarray:
        if of == "error":
            return np.asarray(watch.errors(networks._replace(W=jnp.asarray(W)))) <= bound
        return -np.linalg.norm(W - W0, axis=(1, 2)) / sizes <= bound

    after = np.full((len(matches), len(W0)), np.nan)
    found = np.full((len(matches), *W0.shape), np.nan, W0.dtype)
    settled, last = np.zeros(after.shape, bool), {}
    for begun in range(0, n_trials // contest.algorithm.trials, _BLOCK):
        with blow_ups_expected():
            lives = learn(keys, networks, task, rule, learner, _BLOCK, state=state, **options)
        state, (W, errors) = lives.state, (np.asarray(a) for a in lives.observed)
        changes = np.linalg.norm(W - W0[:, None], axis=(2, 3)) / sizes[:, None]
        seen = {"W": W, "error": errors, "change": -changes}
        if begun:  # the moment before the block, from which its first one came
            seen = {name: np.concatenate([last[name], a], axis=1) for name, a in seen.items()}
        last, first = {name: a[:, -1:] for name, a in seen.items()}, max(begun - 1, 0)
        for place, (of, level) in enumerate(matches):
            bound = level if of == "error" else -level
            if begun == 0:
                settled[place] = seen[of][:, 0] <= bound
            where = first_below(seen[of], bound)
            new = (where > 0) & ~settled[place]
            if new.any():
                # All networks each time, so that one program serves any number of them.
                sides = (seen["W"][every, np.maximum(where - side, 0)] for side in (1, 0))
                found[place, new] = between(partial(is_below, of, bound), *sides)[new]
                after[place, new] = (first + where[new]) * contest.algorithm.trials
                settled[place, new] = True
        if settled.all():
            break
    return Moments(after, found)


def check_matched(shares: Mapping[str, float], least: float) -> None:
    """Raise ValueError, by name, for rules that match too small a share of their networks."""
    few = {name: f"{share:.0%}" for name, share in shares.items() if not share >= least}
    rule = f"rules that match in {least:.0%} of the networks or more"
    require(not few, rule, few, "leave them out, or ask for less")
