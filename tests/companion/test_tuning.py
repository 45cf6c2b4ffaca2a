import numpy as np
import pytest
from companion.settings import brief_setting
from companion.tuning import (
    at_sizes,
    first_activity,
    first_errors,
    integrand_size,
    outcomes,
    visibility,
)

from plasticity.rules.base import stack
from plasticity.rules.three_factor import make_rule, node_perturbation, single_term, zero

SETTING = brief_setting(n_units=10)


def test_the_integrand_is_that_of_a_plain_sum():
    theta = np.random.default_rng(0).normal(size=(4, 4))
    rates, shifts, _ = first_activity(SETTING, 12, 2)
    squares = []
    for r, delta in zip(rates.reshape(-1, 10), shifts.reshape(-1, 10), strict=True):
        for i in range(10):
            for j in range(10):
                terms = [
                    theta[k, ell] * r[j] ** k * delta[i] ** ell
                    for k in range(4)
                    for ell in range(4)
                ]
                squares.append(sum(terms) ** 2)
    size = integrand_size(SETTING, make_rule(theta), n=2)
    # Another order of summation of some 1e4 numbers in float64.
    np.testing.assert_allclose(size, np.sqrt(np.mean(squares)), rtol=1e-10)


def test_rates_make_rules_of_any_size_alike():
    large, small = (at_sizes(SETTING, single_term(1, 3, value), [1e-2]) for value in (-7.0, -1e-3))
    first, second = (outcomes(SETTING, rule, 12, range(2), 24)[1] for rule in (large, small))
    # After some more trials what summing in another order leaves grows by chaos.
    np.testing.assert_allclose(first[..., :6], second[..., :6], rtol=1e-9)
    flipped = at_sizes(SETTING, single_term(1, 3), [-1e-2])
    gap = outcomes(SETTING, flipped, 12, range(2), 24)[1] - first
    assert np.abs(gap[..., :6]).max() > 1e-6


def test_a_rule_that_moves_nothing_has_no_size():
    with pytest.raises(ValueError, match="a rule that moves weights"):
        integrand_size(SETTING, zero())


def test_kicks_are_seen_where_they_are_large():
    seen = [visibility(brief_setting(n_units=30, kick_amplitude=a), seed=3) for a in (0.1, 3.0)]
    assert 0 <= seen[0] < 0.2 < 0.5 < seen[1] <= 1


def test_a_lifetime_that_blows_up_fails_at_the_horizon():
    setting = brief_setting(n_units=10)
    wild = stack([make_rule(np.eye(6) * 1e30, learning_rate=1e30)])
    with pytest.warns(RuntimeWarning, match="non-finite"):
        result, errors = outcomes(setting, wild, 1, range(3), 30)
    lost = np.isnan(errors).any(axis=-1)
    assert lost.any()
    assert (result.trials[lost] == 30).all() and not result.reached[lost].any()


def test_the_told_rule_is_sized_by_its_kicks():
    sizes = [
        integrand_size(brief_setting(n_units=10, kick_amplitude=a), node_perturbation())
        for a in (1.0, 2.0)
    ]
    # Twice the kicks also move the rates, by less than themselves.
    assert 1.5 < sizes[1] / sizes[0] < 3.0


@pytest.mark.parametrize("n", [3, 10])
def test_eight_networks_at_a_time_are_those_asked_for(n):
    rules = at_sizes(SETTING, single_term(1, 3), [1e-3, -1e-2])
    errors = first_errors(SETTING, rules, 5, range(n))
    together = SETTING.learn(5, range(n), 4, rules).errors
    assert errors.shape == (2, n, 4)
    np.testing.assert_allclose(errors, together, rtol=1e-9)
    np.testing.assert_array_equal(first_errors(SETTING, rules, 5, [2, 0])[:, 1], errors[:, 0])
    several, alone = first_activity(SETTING, 5, n), first_activity(SETTING, 5, 1)
    for array, one in zip(several, alone, strict=True):
        assert array.shape == (n, SETTING.task.n_steps, 10)
        np.testing.assert_array_equal(array[:1], one)


def test_rules_are_stacked_in_the_order_of_their_sizes():
    sizes = [1e-3, -1e-2, 1e-1]
    rules = at_sizes(SETTING, node_perturbation(), sizes)
    unit = integrand_size(SETTING, node_perturbation())
    assert len(rules) == 3 and all(rule.trace.of_kicks for rule in rules)
    rates = [float(rule.learning_rate) for rule in rules]
    np.testing.assert_allclose(rates, np.abs(sizes) / unit)
    # A negative size is the rule with all signs flipped.
    np.testing.assert_array_equal(rules[1].coefficients, -rules[0].coefficients)
    assert {float(rule.clip) for rule in rules} == {float(SETTING.rule.clip)}
