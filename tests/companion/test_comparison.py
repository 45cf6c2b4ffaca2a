import numpy as np
import pytest
from companion.effects import compare_measures, detectable_effect, holm, rule_effect
from scipy import stats


def _table(shifts, n=32, seed=0, common=1.0):
    """Values of rules on the same networks: what a network has in common, a shift, and noise."""
    draw = np.random.default_rng(seed)
    return common * draw.normal(size=n) + np.asarray(shifts)[:, None] + draw.normal(size=(3, n))


def test_a_difference_is_found_and_its_size_known():
    effect = rule_effect(_table([0.0, 1.0, 2.0]), n_resamples=999)
    assert effect.p == pytest.approx(0.001)
    # The means spread by √(2/3), networks by √2, with an error of about 0.1.
    assert effect.size == pytest.approx(np.sqrt(2 / 3) / np.sqrt(2), abs=0.2)


def test_no_difference_is_found_as_often_as_the_level_says():
    ps = [rule_effect(_table([0, 0, 0], 12, seed), n_resamples=199).p for seed in range(200)]
    # Binomial(200, 0.2): 40 ± 3 standard deviations of 5.7.
    assert 23 <= np.sum(np.array(ps) <= 0.2) <= 57


def test_what_networks_have_in_common_does_not_hide_a_difference():
    # A test of independent groups cannot see it; that within networks can.
    values = _table([0.0, 1.0, 2.0], common=30.0)
    assert stats.f_oneway(*values).pvalue > 0.5
    assert rule_effect(values, n_resamples=999).p < 0.01


def test_power_at_the_detectable_effect():
    n, found = 16, 0
    # One network's common part, as in the tables that are drawn below: σ² = 2, s² = 1.
    f = np.mean([detectable_effect(_table([0, 0, 0], n, seed)) for seed in range(50)])
    shift = f * np.sqrt(2) * np.sqrt(1.5)
    for seed in range(300):
        values = _table([-shift, 0, shift], n, 1000 + seed)
        rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
        F = n * values.mean(axis=1).var(ddof=1) / (np.sum(rest**2) / (2 * (n - 1)))
        found += F > stats.f.isf(0.05, 2, 2 * (n - 1))
    # 0.8 with a standard error of 0.023.
    assert 0.72 <= found / 300 <= 0.88


def test_nothing_varies():
    assert rule_effect(np.ones((2, 4))).p == 1.0
    assert rule_effect(np.array([[1.0] * 4, [2.0] * 4])).size == np.inf


@pytest.mark.parametrize(
    "values", [np.ones((1, 4)), np.ones((2, 2)), np.array([[1.0, np.nan, 1.0], [0.0, 0.0, 1.0]])]
)
def test_tables_that_cannot_be_compared_are_refused(values):
    with pytest.raises(ValueError, match="two rules or more|values are finite"):
        rule_effect(values)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]).max() == 1.0


def test_measures_are_tested_together_and_networks_without_a_number_left_out():
    values = np.stack([_table([0.0, 1.0, 2.0]), _table([0, 0, 0], seed=1)], axis=-1)
    values[1, 5, 1] = np.nan
    found = compare_measures(values, n_resamples=999)
    assert found.networks.tolist() == [32, 31]
    assert found.corrected[0] == pytest.approx(2 * found.p[0]) and found.corrected[1] > 0.05
    kept = np.delete(values[:, :, 1], 5, axis=1)
    assert found.p[1] == rule_effect(kept, n_resamples=999).p
    assert found.detectable[1] == pytest.approx(detectable_effect(kept, level=0.025))


def test_tables_are_corrected_together_and_too_few_networks_tell_nothing():
    values = np.stack([_table([0.0, 1.0, 2.0]), _table([0, 0, 0], seed=1)], axis=-1)
    few = _table([0.0, 1.0, 2.0], n=5)[..., None]
    few[0, :3] = np.nan
    found = compare_measures(values, few, n_resamples=999)
    assert found.networks.tolist() == [32, 32, 2]
    assert np.isnan(found.size[2]) and found.p[2] == found.corrected[2] == 1
    assert found.corrected[0] == pytest.approx(3 * found.p[0])
    kept = values[:, :, 1]
    assert found.detectable[1] == pytest.approx(detectable_effect(kept, level=0.05 / 3))
