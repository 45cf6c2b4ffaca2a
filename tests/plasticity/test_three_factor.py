import jax
import jax.numpy as jnp
import numpy as np
import pytest

from plasticity.rules.base import RuleStack, as_stack, stack
from plasticity.rules.three_factor import (
    covariance,
    make_rule,
    miconi,
    node_perturbation,
    single_term,
    zero,
)


@pytest.mark.parametrize(("rule", "term"), [(miconi(), (3, 3)), (covariance(), (1, 1))])
def test_presets_are_hebbian_single_terms(rule, term):
    theta = np.asarray(rule.coefficients)
    assert np.argwhere(theta).tolist() == [list(term)]
    assert theta[term] == -1
    assert rule.told == {"rates", "fluctuations", "reward", "baseline"}


def test_zero_and_node_perturbation():
    assert not zero().coefficients.any()
    assert node_perturbation().told == {"rates", "kicks", "reward", "baseline"}


def test_the_update_is_clipped_entry_by_entry():
    rule = single_term(1, 1, learning_rate=2.0, clip=0.5)
    trace = jnp.array([[0.1, -0.4], [3.0, -3.0]])
    change = rule.update(trace, jnp.array(0.5))
    np.testing.assert_allclose(change, [[0.1, -0.4], [0.5, -0.5]])
    free = rule.replace(clip=jnp.array(jnp.inf)).update(trace, jnp.array(0.5))
    np.testing.assert_allclose(free, trace)


def test_a_stack_is_its_rules():
    rules = [miconi(learning_rate=rate) for rate in (0.1, 0.2)] + [single_term(1, 5)]
    together = stack(rules)
    assert together.leaves.coefficients.shape == (3, 6, 6)
    assert together.leaves.clip.shape == (3,)
    assert len(together) == 3 and len(list(together)) == 3
    for given in (list(together), [together[i] for i in range(3)]):
        for rule, expected in zip(given, rules, strict=True):
            leaves = (jax.tree.leaves(one) for one in (rule, expected))
            for leaf, wanted in zip(*leaves, strict=True):
                assert leaf.dtype == wanted.dtype
                np.testing.assert_array_equal(leaf, wanted)
    assert float(together[-1].learning_rate) == float(rules[-1].learning_rate)
    assert as_stack(together) is together
    assert len(as_stack(rules[0])) == 1
    with pytest.raises(IndexError):
        together[3]
    plain = as_stack(rules[0].replace(learning_rate=0.1))[0]
    assert float(plain.learning_rate) == float(rules[0].learning_rate)
    assert isinstance(jax.tree.map(lambda leaf: leaf, together), RuleStack)


@pytest.mark.parametrize(
    ("rules", "match"),
    [
        ([], "a stack holds at least one rule; got none: give the rules"),
        (
            [miconi(), miconi().replace(learning_rate=jnp.ones(2))],
            r"ThreeFactor is one rule; got learning rates of shape \(2,\)",
        ),
        ([miconi(), covariance(degree=1)], "stacked rules have arrays of one shape; .*: make"),
        (
            [miconi(), node_perturbation()],
            "stacked rules are of one kind; .*: give each kind",
        ),
    ],
)
def test_a_bad_stack_is_named(rules, match):
    with pytest.raises(ValueError, match=match):
        stack(rules)


@pytest.mark.parametrize(
    "make",
    [
        lambda: miconi(learning_rate=[0.1, 0.2, 0.3]),
        lambda: covariance(clip=np.ones(2)),
        lambda: make_rule(np.zeros((2, 6, 6))),
        lambda: as_stack(miconi().replace(learning_rate=jnp.ones(2))),
    ],
)
def test_more_than_one_rule_is_refused_by_a_name_that_helps(make):
    with pytest.raises(ValueError, match=r"got .*: .*join them with plasticity\.stack"):
        make()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"coefficients": np.zeros((2, 3))}, r"square \(d\+1, d\+1\); got \(2, 3\)"),
        ({"coefficients": np.zeros((11, 11))}, "degree d ≤ 9; got 10: leave out the higher powers"),
        ({"coefficients": np.zeros(4)}, "square"),
        ({"coefficients": np.full((2, 2), np.nan)}, "finite"),
        ({"coefficients": np.eye(2), "learning_rate": -0.1}, "learning_rate ≥ 0"),
        ({"coefficients": np.eye(2), "tau_e": 0.0}, "tau_e > 0"),
        ({"coefficients": np.eye(2), "clip": 0.0}, "clip > 0"),
    ],
)
def test_bad_rules_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        make_rule(**options)


def test_a_term_beyond_the_degree_is_refused():
    with pytest.raises(ValueError, match="degree = 5; got"):
        single_term(6, 1)
