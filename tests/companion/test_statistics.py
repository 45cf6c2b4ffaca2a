import numpy as np
import pytest
import xarray as xr
from companion.statistics import (
    Interval,
    bootstrap_interval,
    chance_above,
    crossed_detectable,
    crossed_error,
    crossed_interval,
    crossed_t_detectable,
    crossed_t_interval,
    detectable_difference,
    detectable_from,
    detectable_hazard_ratio,
    logrank,
    mean_difference,
    mean_ratio,
    members_needed,
    paired_interval,
    rank_correlation,
    rank_interval,
    read_apart,
    resampled_quartiles,
    search_chance,
    searched_both_detectable,
    searched_both_interval,
    searched_detectable,
    searched_interval,
    searched_ratio,
    share_closed,
    share_interval,
    survival_curve,
    wilson_interval,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from plasticity.learning.criterion import TrialsToCriterion, restricted_mean, trials_to_criterion


def _plain(correct, window, needed):
    for h in range(window, len(correct) + 1):
        if sum(correct[h - window : h]) >= needed:
            return h, True
    return len(correct), False


@given(
    st.lists(st.booleans(), min_size=8, max_size=60),
    st.integers(1, 8),
    st.integers(0, 7),
)
@settings(max_examples=200, deadline=None)
def test_criterion_is_that_of_a_plain_loop(correct, window, fewer):
    needed = max(1, window - fewer)
    ours = trials_to_criterion(correct, window=window, needed=needed)
    assert (int(ours.trials), bool(ours.reached)) == _plain(correct, window, needed)


def test_a_censored_run_stays_censored():
    correct = np.zeros((3, 50), bool)
    correct[0, 10:] = True
    correct[2, :18] = True
    result = trials_to_criterion(correct)
    assert result.reached.tolist() == [True, False, False]
    assert result.trials.tolist() == [29, 50, 50]
    curve = survival_curve(result, 50)
    assert curve.fraction[-1] == pytest.approx(2 / 3)


def test_a_group_of_an_experiment_has_the_curve_of_its_runs():
    trials, reached = np.array([[10, 30], [20, 30]]), np.array([[True, False], [True, True]])
    dims = ("network", "rule")
    group = {"trials": (dims, trials), "reached": (dims, reached)}
    data = xr.Dataset(group, {"rule": ["(1,1)", "(3,3)"]})
    curve = survival_curve(data.sel(rule="(3,3)"), 30)
    np.testing.assert_equal(
        curve, survival_curve(TrialsToCriterion(trials[:, 1], reached[:, 1]), 30)
    )


def test_no_run_reaching_criterion_leaves_the_curve_at_one():
    result = TrialsToCriterion(np.full(4, 30), np.zeros(4, bool))
    assert survival_curve(result, 30).fraction.tolist() == [1, 1]
    assert restricted_mean(result) == 30


@given(st.lists(st.tuples(st.integers(1, 100), st.booleans()), min_size=2, max_size=40))
@settings(max_examples=50, deadline=None)
def test_restricted_mean_is_the_area_under_the_curve(runs):
    """Censoring here happens at the horizon alone, where area and mean are the same number."""
    reached = np.array([r for _, r in runs])
    result = TrialsToCriterion(np.where(reached, [t for t, _ in runs], 100), reached)
    curve = survival_curve(result, 100)
    area = np.sum(np.diff(curve.trials) * curve.fraction[:-1])
    assert area == pytest.approx(restricted_mean(result))
    assert (curve.low <= curve.fraction).all() and (curve.fraction <= curve.high).all()


def test_bootstrap_interval_has_the_width_of_the_standard_error():
    sample = np.random.default_rng(0).normal(3.0, 2.0, 400)
    interval = bootstrap_interval(sample)
    half = (interval.high - interval.low) / 2
    # 1.96 standard errors, within the 4% by which the sample's own spread may miss.
    assert half == pytest.approx(1.96 * 2.0 / 20, rel=0.1)
    assert interval.low < interval.estimate < interval.high


def test_pairing_narrows_the_interval_of_correlated_samples():
    rng = np.random.default_rng(1)
    shared = rng.normal(size=200)
    first, second = shared + 0.1 * rng.normal(size=200), shared + 0.1 * rng.normal(size=200) - 1
    paired = bootstrap_interval(first, second, statistic=mean_difference)
    assert paired.low < 1 < paired.high
    assert paired.high - paired.low < 0.1


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="needed ≤ window ≤ H; got needed = 19"):
        trials_to_criterion(np.zeros(10, bool))
    with pytest.raises(ValueError, match="two runs or more"):
        bootstrap_interval(np.zeros(1))
    with pytest.raises(ValueError, match="as many in every sample"):
        bootstrap_interval(np.zeros(4), np.zeros(3), statistic=mean_difference)


def test_ratios_and_shares_are_those_of_the_means():
    rng = np.random.default_rng(0)
    rule, start, reference = (
        rng.uniform(1.0, 2.0, size=(3, 5, 40)) + np.array([1, 4, 0])[:, None, None]
    )
    ratio = mean_ratio(rule, start)
    np.testing.assert_allclose(ratio, rule.mean(axis=1) / start.mean(axis=1))
    share = share_closed(rule, start, reference)
    assert np.all((0.5 < share) & (share < 1.0))
    np.testing.assert_allclose(share_closed(start, start, reference), 0.0)
    np.testing.assert_allclose(share_closed(reference, start, reference), 1.0)
    interval = bootstrap_interval(rule[0], start[0], statistic=mean_ratio)
    assert interval.low < ratio[0] < interval.high < 1.0


def test_paired_intervals_are_of_differences_and_widen_with_their_family():
    rng = np.random.default_rng(0)
    common = 100 * rng.normal(size=2000)
    first, second = common + rng.normal(1.0, 1.0, 2000), common
    one = paired_interval(first, second)
    boot = bootstrap_interval(first, second, statistic=mean_difference)
    # 2,000 pairs of s.d. 1: ends 0.044 away; the bootstrap's own ends are known to some percent.
    np.testing.assert_allclose(one, boot, atol=0.01)
    many = paired_interval(first, second, family=32)
    wide = bootstrap_interval(first, second, statistic=mean_difference, family=32)
    assert many.high - many.low > 1.5 * (one.high - one.low)
    np.testing.assert_allclose(many, wide, atol=0.02)


def test_what_a_number_of_pairs_finds():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 4000))
    # (1.96 + 0.84) √2 / √100
    assert detectable_difference(first, second, 100) == pytest.approx(0.396, rel=0.05)
    assert detectable_difference(first, second, 100, family=16) > 0.45
    pairs = rng.normal(size=(2000, 2, 100)) + np.array([[[0.396]], [[0.0]]]).swapaxes(0, 1)
    found = [paired_interval(a, b) for a, b in pairs]
    # Power 0.8 within three standard errors of 2,000 tries, 0.027.
    assert np.mean([one.low > 0 for one in found]) == pytest.approx(0.8, abs=0.04)


def test_rank_correlations_are_those_of_scipy_and_chance_is_no_finding():
    rng = np.random.default_rng(2)
    x = rng.normal(size=14)
    y = x + rng.normal(size=14)
    rho, p = rank_correlation(x, y)
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert p == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.02)
    assert rank_correlation(x, np.exp(x))[0] == pytest.approx(1.0)
    chance = [rank_correlation(*rng.normal(size=(2, 10)), n_resamples=199)[1] for _ in range(100)]
    assert np.mean(np.array(chance) < 0.05) < 0.15


def test_a_curve_that_reaches_zero_keeps_a_band():
    result = TrialsToCriterion(np.arange(1, 101), np.ones(100, bool))
    curve = survival_curve(result, 120)
    # None of 100 is left: at most 1 − 0.025^(1/100) of all, with 97.5%.
    assert curve.fraction[-1] == 0 and curve.high[-1] == pytest.approx(0.036, abs=0.001)


def _group(rng, scale, n=40, horizon=100):
    times = np.ceil(rng.exponential(scale, n)).astype(int)
    return TrialsToCriterion(np.minimum(times, horizon), times <= horizon)


def _plain_logrank(first, second):
    """p from observed less expected events of the first group, time by time."""
    surplus = variance = 0.0
    times = np.concatenate([group.trials[group.reached] for group in (first, second)])
    for time in np.unique(times):
        at_risk = [int((group.trials >= time).sum()) for group in (first, second)]
        events = [int(((g.trials == time) & g.reached).sum()) for g in (first, second)]
        n, d = sum(at_risk), sum(events)
        surplus += events[0] - d * at_risk[0] / n
        if n > 1:
            share = at_risk[0] * at_risk[1] / n**2
            variance += d * share * (n - d) / (n - 1)
    return 2 * stats.norm.sf(abs(surplus) / np.sqrt(variance))


def test_logrank_is_that_of_plain_loops_and_censors_at_the_horizon():
    rng = np.random.default_rng(3)
    first, second = _group(rng, 40.0), _group(rng, 60.0, n=25)
    assert logrank(first, second, 100) == pytest.approx(_plain_logrank(first, second), rel=1e-9)
    # What happens after the horizon is not seen.
    late = second.trials > 60
    assert late.any()
    moved = second._replace(trials=np.where(late, second.trials + 30, second.trials))
    assert logrank(first, second, 60) == logrank(first, moved, 60)
    cut = [
        TrialsToCriterion(np.minimum(group.trials, 60), group.reached & (group.trials <= 60))
        for group in (first, second)
    ]
    assert logrank(first, second, 60) == pytest.approx(_plain_logrank(*cut), rel=1e-9)
    assert logrank(first, _group(rng, 400.0), 100) < 1e-3
    assert np.isnan(logrank(first, second, 0))
    assert detectable_hazard_ratio(first, second, 0) == np.inf


def test_quartiles_of_resamples_are_those_of_draws_with_replacement():
    trials = np.array([1.0, 2.0, 4.0])
    lower, medians, upper = resampled_quartiles(trials, 3, n_resamples=20_000).T
    assert (lower <= medians).all() and (medians <= upper).all() and (lower < upper).any()
    # Of 27 draws of three, 7 have the median 1 and 7 the median 4; 20,000 know it to 0.3%.
    for value, share in zip(trials, (7 / 27, 13 / 27, 7 / 27), strict=True):
        assert abs(np.mean(medians == value) - share) < 0.02


def test_the_detectable_ratio_of_hazards_is_detected_as_often_as_said():
    rng = np.random.default_rng(5)
    drawn = [_group(rng, 40.0, n=n, horizon=400) for n in (60, 30)]
    ratio = detectable_hazard_ratio(*drawn, 400)

    def found():
        pair = _group(rng, 40.0, 60, 400), _group(rng, 40.0 * ratio, 30, 400)
        return logrank(*pair, 400) < 0.05

    # 400 trials know 0.8 to 0.02; the formula, of large groups, is good to 0.05.
    assert abs(np.mean([found() for _ in range(400)]) - 0.8) < 0.1


def test_shares_of_many_networks_have_the_interval_of_a_bootstrap():
    rng = np.random.default_rng(8)
    hard = rng.gamma(2.0, 20.0, 800)
    start, rule, best = (hard * scale + rng.gamma(2.0, 5.0, 800) for scale in (2.0, 1.2, 0.5))
    ours = share_interval(rule, start, best, family=4)
    options = {"statistic": share_closed, "family": 4}
    resampled = bootstrap_interval(rule, start, best, **options)
    assert ours.estimate == resampled.estimate
    # 9,999 resamples know the ends to some hundredths of the width.
    width = resampled.high - resampled.low
    np.testing.assert_allclose(ours[1:], resampled[1:], atol=0.15 * width)
    alone = share_interval(rule, start, best)
    assert alone.high - alone.low < 0.9 * (ours.high - ours.low)


def _crossed(rng, n_networks=200, of_rules=5.0, of_networks=20.0):
    """Means of eight rules that differ, on networks that differ, with noise: true mean 5."""
    rules = rng.normal(0, of_rules, (8, 1))
    networks = rng.normal(0, of_networks, (1, n_networks))
    return 5.0 + rules + networks + rng.normal(0, 15.0, (8, n_networks))


def test_rules_and_networks_are_resampled_together():
    rng, inside, fixed = np.random.default_rng(0), [], []
    for _ in range(200):
        gaps = _crossed(rng)
        both = crossed_interval(gaps, np.zeros(200), n_resamples=300)
        alone = paired_interval(gaps.mean(axis=0), np.zeros(200))
        assert both.estimate == pytest.approx(gaps.mean())
        inside.append(both.low <= 5 <= both.high)
        fixed.append(alone.low <= 5 <= alone.high)
    # With 200 simulations a share has a standard error of .015; eight rows cost some 2%.
    assert 0.87 < np.mean(inside) < 0.98
    assert np.mean(fixed) < np.mean(inside) - 0.05, "networks alone say too little"
    wide = crossed_interval(gaps, np.zeros(200), family=10)
    assert wide.low < both.low and wide.high > both.high
    with pytest.raises(ValueError, match="two rules and two networks or more; got .1, 200."):
        crossed_interval(gaps[:1], np.zeros(200))


def test_the_error_on_more_networks_is_told_from_few():
    rng = np.random.default_rng(1)
    means = [_crossed(rng, n_networks=800).mean() for _ in range(300)]
    told = [crossed_error(_crossed(rng, n_networks=100), np.zeros(100), 800) for _ in range(200)]
    # Of 300 and of 200 draws: each is known to 5%.
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(np.std(means), rel=0.12)
    # Rules that do not differ add nothing but what chance lets pass.
    same = crossed_error(_crossed(rng, 100, of_rules=0.0), np.zeros(100), 800)
    assert same < 1.5 * 20 / np.sqrt(800) + 1


def test_a_detectable_difference_of_rules_is_found_as_often_as_said():
    rng = np.random.default_rng(2)
    pilot = _crossed(rng, n_networks=200, of_networks=5.0) - 5
    size, found = crossed_detectable(pilot, np.zeros(200), 200), []
    for _ in range(100):
        gaps = _crossed(rng, n_networks=200, of_networks=5.0) - 5 + size
        found.append(crossed_interval(gaps, np.zeros(200), n_resamples=300).low > 0)
    # What one pilot of eight rules says is known to some 30%, so power to some .15.
    assert 0.6 < np.mean(found) < 0.98


def test_the_interval_of_a_rank_correlation_covers_it():
    rng, inside = np.random.default_rng(3), []
    for _ in range(200):
        x = rng.normal(size=32)
        found = rank_interval(x, -0.7 * x + rng.normal(size=32), n_resamples=500)
        # Spearman's ρ of normal pairs of correlation r is (6/π) arcsin(r/2).
        true = 6 / np.pi * np.arcsin(-0.7 / np.sqrt(1.49) / 2)
        inside.append(found.low <= true <= found.high)
    # 200 simulations: a standard error of .015; a percentile interval of 32 pairs is a little off.
    assert 0.88 < np.mean(inside) < 0.99
    assert rank_interval([1, 2, 3, 4], [2, 3, 4, 5]).estimate == pytest.approx(1.0)
    assert np.isfinite(rank_interval([1, 2], [3, 2])).all(), "resamples of one pair are left out"


def test_pairs_of_a_group_are_resampled_together():
    # Groups that differ and pairs that do not: as few as the groups are, so wide is the interval.
    rng = np.random.default_rng(5)
    levels = np.repeat(rng.normal(size=6), 20)
    x, y = levels + 0.01 * rng.normal(size=120), levels + 0.01 * rng.normal(size=120)
    y[:20] -= 4 * levels[0]  # one group is against it
    alone, together = rank_interval(x, y), rank_interval(x, y, groups=np.repeat(range(6), 20))
    assert together.estimate == alone.estimate
    assert together.high - together.low > 2 * (alone.high - alone.low)
    each = rank_interval(x, y, groups=range(120))
    assert each == alone, "a group each is no group"
    with pytest.raises(ValueError, match=r"groups of one size; got \[1, 2\]"):
        rank_interval([1, 2, 3], [1, 3, 2], groups=["a", "a", "b"])


def test_what_few_rules_find_is_found_so_often():
    rng, found, sizes = np.random.default_rng(6), [], []
    for _ in range(400):
        gaps = _crossed(rng, n_networks=60, of_rules=8.0, of_networks=5.0)[:5] - 5.0
        sizes.append(crossed_t_detectable(gaps, 0.0, family=6))
    # Sizes are in proportion to a standard error, whose square is right in the mean.
    shift = float(np.sqrt(np.mean(np.square(sizes))))
    for _ in range(400):
        gaps = _crossed(rng, n_networks=60, of_rules=8.0, of_networks=5.0)[:5] - 5.0 + shift
        found.append(crossed_t_interval(gaps, 0.0, family=6).low > 0)
    # A standard error of .02, and the size itself is known from few rules.
    assert 0.7 < np.mean(found) < 0.9
    # By the normal distribution one would promise too much.
    assert shift > 1.2 * crossed_detectable(gaps, 0.0, 60)
    assert crossed_t_detectable(np.ones((3, 4)), 1.0) == 0.0


def test_few_rules_have_an_interval_that_covers():
    rng, inside, boots = np.random.default_rng(4), [], []
    for _ in range(300):
        gaps = _crossed(rng, n_networks=100, of_rules=8.0, of_networks=5.0)[:4]
        told = crossed_t_interval(gaps, np.zeros(100))
        drawn = crossed_interval(gaps, np.zeros(100), n_resamples=200)
        inside.append(told.low <= 5 <= told.high)
        boots.append(drawn.low <= 5 <= drawn.high)
    # A standard error of .013; of four rules a bootstrap knows too little.
    assert 0.91 < np.mean(inside) < 0.99
    assert np.mean(boots) < np.mean(inside) - 0.05
    wide, many = crossed_t_interval(gaps, 0.0, family=20), _crossed(rng, of_rules=0.0)
    assert wide.high - wide.low > 2 * (told.high - told.low)
    # Where rules do not differ it is the interval of paired networks.
    alone = paired_interval(many.mean(axis=0), np.zeros(many.shape[1]))
    assert crossed_t_interval(many, 0.0).high == pytest.approx(alone.high, abs=0.4)


def _searched(rng, n_searches=8, n_networks=100, of_searches=3.0, level=70.0):
    """Trials of a rule at what several searches chose, networks in common, (searches, networks)."""
    networks = rng.normal(level, 20.0, n_networks)
    noise = rng.normal(0.0, 15.0, (n_searches, n_networks))
    return networks + rng.normal(0.0, of_searches, (n_searches, 1)) + noise


def test_a_rule_that_is_searched_for_once_has_an_interval_that_covers():
    rng, inside, paired, ratios, sizes = np.random.default_rng(7), [], [], [], []
    for _ in range(400):
        drawn = _searched(rng, 10)
        one, other, again = drawn[0], drawn[1], drawn[2:]
        told, alone = searched_interval(one, again), paired_interval(one, again[0])
        inside.append(told.low <= 0 <= told.high)
        paired.append(alone.low <= 0 <= alone.high)
        ratio = searched_ratio(one, other, again)
        ratios.append(ratio.low <= 1 <= ratio.high)
        sizes.append(searched_detectable(one, again, family=9))
    # A standard error of .011. Networks alone know too little: searches differ as well.
    assert 0.92 < np.mean(inside) <= 0.99 and 0.92 < np.mean(ratios) <= 0.995
    assert np.mean(paired) < 0.85
    shift, found = float(np.sqrt(np.mean(np.square(sizes)))), []
    for _ in range(400):
        drawn = _searched(rng, 9)
        found.append(searched_interval(drawn[0] + shift, drawn[1:], family=9).low > 0)
    # A standard error of .02, and the size itself is known from few searches.
    assert 0.7 < np.mean(found) < 0.95


def test_a_one_sided_bound_and_a_family_move_the_ends():
    drawn = _searched(np.random.default_rng(8), 9)
    both = searched_interval(drawn[0], drawn[1:])
    upper = searched_interval(drawn[0], drawn[1:], level=0.9)
    nine = searched_interval(drawn[0], drawn[1:], family=9)
    assert both.estimate == upper.estimate == nine.estimate
    assert upper.high < both.high < nine.high
    assert nine.high - nine.estimate == pytest.approx(nine.estimate - nine.low)
    same = np.ones((4, 6))
    assert searched_interval(same[0], same) == (0.0, 0.0, 0.0)
    assert searched_detectable(same[0], same) == 0.0


def test_what_an_interval_can_tell_is_found_with_that_power():
    rng = np.random.default_rng(0)
    half = 1.96  # of estimates with a standard error of 1
    least = detectable_from(Interval(0.0, -half, half))
    assert least == pytest.approx(1.959964 + 0.841621, rel=1e-3)
    found = np.abs(least + rng.normal(size=100_000)) > 1.96
    assert found.mean() == pytest.approx(0.8, abs=0.01)
    # As wide an interval of a larger family belongs to a smaller error.
    assert detectable_from(Interval(0.0, -half, half), family=9) < least


def test_the_chance_of_being_above_is_the_share_of_pairs():
    first, second = [1, 2, 2, 5], [2, 3]
    pairs = [(b > a) + 0.5 * (b == a) for a in first for b in second]
    assert chance_above(first, second).estimate == pytest.approx(np.mean(pairs))
    assert chance_above(second, first).estimate == pytest.approx(1 - np.mean(pairs))


def test_the_interval_of_that_chance_covers():
    rng = np.random.default_rng(2)
    true = stats.norm.cdf(0.5 / 2**0.5)
    found = [chance_above(*(rng.normal(size=60) + shift for shift in (0, 0.5))) for _ in range(500)]
    covered = np.mean([one.low <= true <= one.high for one in found])
    # 500 samples know 0.95 to 0.01; the normal distribution is a little off for 60 members.
    assert 0.91 < covered < 0.98
    assert (
        chance_above([1, 2, 3], [2, 3, 4], family=10).low < chance_above([1, 2, 3], [2, 3, 4]).low
    )


def test_so_many_members_tell_two_groups_apart_with_that_power():
    rng = np.random.default_rng(0)
    probability = stats.norm.cdf(0.8 / 2**0.5)
    size = round(members_needed(probability))
    first, second = rng.normal(size=(2, 2000, size))
    found = stats.mannwhitneyu(first, second + 0.8, axis=1).pvalue < 0.05
    # 2,000 samples know a share of 0.8 to 0.009; the formula is one of large samples.
    assert abs(found.mean() - 0.8) < 0.05
    assert members_needed(0.5) == np.inf


def test_groups_are_read_apart_along_what_differs_and_not_by_chance():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 400, 5))
    shifted = second + np.array([0, 0, 1.5, 0, 0])
    scores = read_apart(first, shifted)
    assert [len(one) for one in scores] == [200, 200]
    # One feature differs by 1.5 standard deviations: P = Φ(1.5/√2) = 0.86.
    assert chance_above(*scores).estimate == pytest.approx(stats.norm.cdf(1.5 / 2**0.5), abs=0.05)
    # Fitted and judged on other members, so that nothing is found where there is nothing.
    assert chance_above(*read_apart(first, second)).estimate == pytest.approx(0.5, abs=0.1)
    with pytest.raises(ValueError, match="four members or more"):
        read_apart(first[:3], second)


@pytest.mark.parametrize(("count", "n"), [(0, 24), (7, 24), (24, 24)])
def test_shares_have_the_interval_of_wilson(count, n):
    known = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
    found = wilson_interval(count / n, n)
    assert (found.low, found.high) == pytest.approx(tuple(known), abs=1e-9)
    assert wilson_interval(count / n, n, family=5).low <= found.low


def _searched_rules(rng, n_rules, mean=70.0, shift=0.0):
    """Rules of which each search differs by 4%: (rules, 3 searches, 60 networks)."""
    networks = rng.normal(0.0, 10.0, 60)
    levels = mean * np.exp(rng.normal(0.0, 0.04, (n_rules, 3, 1)))
    levels[0] += shift
    return levels + networks + rng.normal(0.0, 15.0, (n_rules, 3, 60))


def test_the_chance_of_searches_is_counted_on_both_sides():
    """Of equal rules no more than 5% are told apart; by networks alone it would be far more."""
    rng, told, alone, found = np.random.default_rng(3), 0, 0, 0
    chance = search_chance(_searched_rules(rng, 400))
    # 4% of a mean, and the noise of 60 networks about it.
    assert chance.variance == pytest.approx(0.04**2 + (15 / 70) ** 2 / 60, rel=0.15)
    assert chance.degrees == 800
    shift = searched_both_detectable(*_searched_rules(rng, 2), chance)
    for _ in range(300):
        drawn = _searched_rules(rng, 9)
        pooled = search_chance(drawn)
        one = searched_both_interval(drawn[0], drawn[1], pooled)
        told += not one.low < 0 < one.high
        of_networks = paired_interval(drawn[0].mean(axis=0), drawn[1].mean(axis=0))
        alone += not of_networks.low < 0 < of_networks.high
        found += searched_both_interval(drawn[0] + shift, drawn[1], pooled).low > 0
    # Binomial: of 300 at 5%, 26 or fewer with 99%; at 80%, between 220 and 260. Noise of networks
    # is counted twice, so that fewer are told apart.
    assert told <= 26 < alone
    assert found > 200


def test_a_family_of_searched_rules_has_wider_intervals():
    drawn = _searched_rules(np.random.default_rng(4), 2)
    chance = search_chance(drawn)
    one, nine = (searched_both_interval(*drawn, chance, family=f) for f in (1, 9))
    assert nine.low < one.low < one.estimate < one.high < nine.high
    reversed_sign = searched_both_interval(drawn[1], drawn[0], chance)
    assert reversed_sign.estimate == -one.estimate
    assert reversed_sign.low == pytest.approx(-one.high)


def test_a_third_axis_counts_in_an_interval_by_t():
    """Rules, searches and networks each add to a mean; of equal rules few are told apart."""
    rng, told, blind = np.random.default_rng(5), 0, 0
    for _ in range(300):
        parts = [rng.normal(0, 2, shape) for shape in ((5, 1, 1), (1, 5, 1), (1, 1, 40))]
        gaps = sum(parts) + rng.normal(0, 6, (5, 5, 40))
        every = crossed_t_interval(gaps, np.zeros_like(gaps))
        told += not every.low < 0 < every.high
        two = crossed_t_interval(gaps.mean(axis=1), 0.0)
        blind += not two.low < 0 < two.high
    # Binomial, at 5%: 26 or fewer of 300 with 99%; without the searches it is far more.
    assert told <= 26 < blind
