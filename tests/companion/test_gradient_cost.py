import json

import jax
import numpy as np
import pytest
from cases import CARRIED, CASES, KEY, NETWORK, TASK
from companion import gradient_cost
from companion.gradient_cost import METHODS, measure, measure_alone
from companion.settings import association_setting, dense_rule


@pytest.mark.parametrize("case", ["dense", CARRIED])
def test_all_methods_give_the_same_gradient(case):
    learner, rule = CASES[case]

    def gradient(method, **options):
        given = (KEY, NETWORK, TASK, rule, learner, 8)
        return np.asarray(METHODS[method](*given, **options))

    exact = gradient("closed form")
    size = np.linalg.norm(exact)
    assert size > 0
    for method in ("jvp of steps", "reverse mode"):
        # Rounding of sums of 1e3 terms.
        assert np.linalg.norm(gradient(method) - exact) < 1e-11 * size, method
    # Second-order differences of step 1e-5, and the rare corner.
    close = gradient("differences", relative_step=1e-5)
    assert np.linalg.norm(close - exact) < 1e-6 * size


def test_a_measurement_has_positive_time_and_memory():
    cost = measure("reverse mode", 8, 10, 1, 4)
    assert cost.time > 0 and cost.planned > 0 and len(cost.gradient) == 4
    assert np.isfinite(cost.gradient).all()


def test_a_process_of_its_own_measures_the_same_problem():
    alone = measure_alone("closed form", 8, 10, 1, 4)
    with jax.enable_x64(False):
        here = measure("closed form", 8, 10, 1, 4)
    np.testing.assert_allclose(alone.gradient, here.gradient, rtol=1e-4)
    assert json.dumps(alone._asdict())


def test_a_failed_process_says_why(monkeypatch):
    with pytest.raises(RuntimeError, match="KeyError: 'none'"):
        measure_alone("none", 8, 10, 1, 4)


def test_the_dense_rule_leaves_no_term_idle():
    for degree in (1, 5):
        rule = dense_rule(association_setting(n_units=10), learning_rate=1e-3, degree=degree)
        theta = np.asarray(rule.coefficients)
        lead = min(3, degree)
        assert theta.shape == (degree + 1,) * 2 and (theta != 0).all()
        assert theta[lead, lead] == -1.0
    assert set(gradient_cost.METHODS) == {
        "closed form",
        "jvp of steps",
        "reverse mode",
        "differences",
    }
