import jax.numpy as jnp
import numpy as np
import pytest

from plasticity.rules.three_factor import (
    covariance,
    make_rule,
    miconi,
    node_perturbation,
    single_term,
    three_factor_update,
    zero,
)


@pytest.mark.parametrize(("rule", "term"), [(miconi(), (3, 3)), (covariance(), (1, 1))])
def test_presets_are_hebbian_single_terms(rule, term):
    theta = np.asarray(rule.coefficients)
    assert np.argwhere(theta).tolist() == [list(term)]
    assert theta[term] == -1
    assert not rule.true_kick


def test_zero_and_node_perturbation():
    assert not zero().coefficients.any()
    assert bool(node_perturbation().true_kick)


def test_the_update_is_clipped_entry_by_entry():
    rule = single_term(1, 1, learning_rate=2.0, clip=0.5)
    trace = jnp.array([[0.1, -0.4], [3.0, -3.0]])
    change = three_factor_update(trace, jnp.array(0.5), rule)
    np.testing.assert_allclose(change, [[0.1, -0.4], [0.5, -0.5]])
    free = three_factor_update(trace, jnp.array(0.5), rule._replace(clip=jnp.array(jnp.inf)))
    np.testing.assert_allclose(free, trace)


def test_learning_rates_make_a_batch():
    rule = miconi(learning_rate=[0.1, 0.2, 0.3])
    assert rule.coefficients.shape == (3, 6, 6)
    assert rule.clip.shape == (3,)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"coefficients": np.zeros((2, 3))}, r"square \(d\+1, d\+1\); got \(2, 3\)"),
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
