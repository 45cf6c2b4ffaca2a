import jax
import jax.numpy as jnp
import numpy as np
import pytest
from companion.contest import Contest, algorithms
from companion.matching import (
    Match,
    between,
    check_matched,
    first_below,
    learn_until_matched,
)
from companion.settings import brief_setting

import plasticity as pl
from plasticity.dynamics.portrait import unperturbed_trials

SETTING = brief_setting(n_units=8)
NAMED = algorithms(np.zeros((6, 6)), 8)
NUMBER, RUNS = 3, range(5)
# Change by so much that these small networks come somewhere in few trials.
MATCHES = (Match("change", 0.02), Match("error", 0.9))


def contest_of(name):
    contest = Contest(SETTING, NAMED[name])
    return contest, contest.middle, (1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "level", "place"),
    [
        ([3, 2, 1, 0], 1.0, 2),
        ([3, 2, 1, 0], 1.5, 2),
        ([3, 2, 0, 3], 0.5, 2),
        ([3, 2, 1, 0], -1, 0),
        ([0, 3, 3, 0], 1, 3),
        ([0, 3, 3, 3], 1, 0),
        ([3, np.nan, 2, 0], 1, 3),
        ([np.nan, np.nan, np.nan, np.nan], 1, 0),
    ],
)
def test_a_level_is_first_passed_after_the_first_moment(values, level, place):
    assert first_below(np.array([values], float), level).tolist() == [place]


def test_the_way_between_two_weights_is_cut_where_it_is_far_enough():
    before, after = np.zeros((3, 2, 2)), np.ones((3, 2, 2))
    levels = np.array([0.25, 0.7, 1.0])
    cut = between(lambda W: W[:, 0, 1] >= levels, before, after)
    np.testing.assert_allclose(cut[:, 0, 1], levels, atol=2**-14)
    assert (cut[:, 0, 1] >= levels).all()


def weights_before(before, episode, outcome):
    return before.W


def plain_moments(name, n_updates, kicks):
    """Weights after each change in one course, and what a plain loop sees of them.

    Returns:
        Trials until each match (2, networks), weights of each moment, and what measures them.
    """
    contest, point, units = contest_of(name)
    values = contest.values(point)
    keys, networks, task, _, learner = contest.within.arguments(NUMBER, RUNS)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 2**21 + kicks))(keys)
    scale = jnp.full(len(keys), np.nan_to_num(values["exploration"], nan=1.0))
    options = {"noise_scale": scale, "observe": weights_before}
    rule = contest.rule(values, units)
    lives = pl.learn(keys, networks, task, rule, learner, n_updates, **options)

    def progress(of, run, W):
        network = jax.tree.map(lambda a: np.asarray(a)[run], networks)
        if of == "change":
            return np.linalg.norm(W - network.W) / np.linalg.norm(network.W)
        trials = unperturbed_trials(network._replace(W=W), task, learner, seed=NUMBER)
        return trials.errors.mean()

    after, weights = np.full((2, len(keys)), np.nan), np.asarray(lives.observed)
    for place, (of, level) in enumerate(MATCHES):
        for run in range(len(keys)):
            seen = [progress(of, run, W) for W in weights[run]]
            passed = [v <= level if of == "error" else v >= level for v in seen]
            if not passed[0] and any(passed):
                after[place, run] = passed.index(True) * contest.algorithm.trials
    return after, weights, progress


@pytest.mark.parametrize(
    ("name", "kicks"), [("(3,3)", 0), ("(3,3)", 1), ("weight perturbation, clean trial", 0)]
)
def test_networks_are_kept_when_they_first_match(name, kicks):
    given, n_updates = contest_of(name), 40
    horizon = n_updates * given[0].algorithm.trials
    found = learn_until_matched(*given, NUMBER, RUNS, horizon, MATCHES, kicks=kicks)
    after, weights, progress = plain_moments(name, n_updates, kicks)
    assert np.isfinite(after).any(axis=1).all() and not np.isfinite(after).all()
    np.testing.assert_array_equal(found.after, after)
    np.testing.assert_array_equal(np.isfinite(found.W).all(axis=(2, 3)), np.isfinite(after))
    for place, run in zip(*np.nonzero(np.isfinite(after)), strict=True):
        W = found.W[place, run]
        # Bisection ends at 2⁻¹⁴ of one change of weights.
        assert progress(MATCHES[place].of, run, W) == pytest.approx(MATCHES[place].level, abs=1e-3)
        h = int(after[place, run]) // given[0].algorithm.trials
        step, part = (to - weights[run, h - 1] for to in (weights[run, h], W))
        share = np.sum(part * step) / np.sum(step * step)
        assert 0 < share <= 1 + 1e-6
        np.testing.assert_allclose(part, share * step, atol=1e-6 * np.abs(step).max() + 1e-9)


def test_other_kicks_meet_the_same_networks():
    given, matches = contest_of("(3,3)"), (Match("change", 0.01),)
    first, second = (
        learn_until_matched(*given, NUMBER, RUNS, 40, matches, kicks=kicks) for kicks in (0, 1)
    )
    start = np.asarray(SETTING.networks(NUMBER, RUNS).W)
    for one in (first, second):
        moved = np.linalg.norm(one.W[0] - start, axis=(1, 2)) / np.linalg.norm(start, axis=(1, 2))
        # Another network is further away than its own norm.
        assert np.isfinite(moved).any() and np.nanmax(moved) < 0.2
    assert not np.array_equal(first.W, second.W, equal_nan=True)


def test_what_cannot_be_matched_is_refused_by_name():
    check_matched({"(3,3)": 0.95, "(1,5)": 0.9}, 0.9)
    few = r"90% of the networks or more; got \{'slow': '40%', 'none': 'nan%'\}: leave them out"
    with pytest.raises(ValueError, match=few):
        check_matched({"(3,3)": 0.95, "slow": 0.4, "none": np.nan}, 0.9)
    with pytest.raises(ValueError, match=r"a match of error or change; got \['speed 1'\]"):
        learn_until_matched(*contest_of("(3,3)"), NUMBER, RUNS, 40, (Match("speed", 1.0),))
