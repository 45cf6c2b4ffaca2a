"""How fast learning is: trials to criterion, with failures right-censored and never dropped."""

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import optimize, stats

from plasticity.learning.criterion import TrialsToCriterion
from plasticity.types import require

_AT_ONCE = 2**18  # runs that are drawn in one go for a bootstrap


class Survival(NamedTuple):
    """Kaplan–Meier estimate of the fraction that has not reached criterion after each trial.

    Attributes:
        trials: (M,), starting with 0 and ending with the horizon.
        fraction: (M,), right-continuous steps.
        low, high: (M,), 95% log-log interval.
    """

    trials: np.ndarray
    fraction: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Interval(NamedTuple):
    """An estimate with its bootstrap interval."""

    estimate: float
    low: float
    high: float


def survival_curve(result: TrialsToCriterion | xr.Dataset, horizon: int) -> Survival:
    """Kaplan–Meier curve (J. Am. Stat. Assoc. 53:457, 1958) of one group of runs, by scipy.

    Args:
        result: a `TrialsToCriterion`, or the ``trials`` and ``reached`` of one group of an
            experiment.
    """
    trials, reached = np.ravel(result.trials), np.ravel(result.reached)
    censored = stats.CensoredData(uncensored=trials[reached], right=trials[~reached])
    if not reached.any():
        span = np.array([0.0, horizon])
        return Survival(span, np.ones(2), np.ones(2), np.ones(2))
    estimate = stats.ecdf(censored).sf
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # Where all have or none has reached criterion the interval is 0/0: filled in below.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = estimate.confidence_interval(0.95, method="log-log")
    times = np.concatenate([[0.0], estimate.quantiles, [float(horizon)]])

    def padded(values, start):
        values = np.nan_to_num(np.asarray(values, float), nan=start)
        return np.concatenate([[1.0], values, values[-1:]])

    p = padded(estimate.probabilities, 1.0)
    low, high = padded(interval.low.probabilities, 0.0), padded(interval.high.probabilities, 1.0)
    # Where none is left: of n runs that all got there (Clopper and Pearson).
    high = np.where(p > 0, high, 1 - 0.025 ** (1 / len(trials)))
    return Survival(times, p, np.minimum(low, p), np.maximum(high, p))


def bootstrap_interval(
    *samples, statistic=np.mean, seed: int = 0, n_resamples: int = 9999, family: int = 1
) -> Interval:
    """95% percentile bootstrap of ``statistic(*samples, axis)``, resampling runs together.

    Several samples are paired: resampling keeps the runs of one network side by side. Two samples
    want a statistic of two, such as `mean_difference`.

    Args:
        family: number of intervals that are to hold together with 95% (Bonferroni).

    Raises:
        ValueError: fewer than two runs, or samples of different lengths.
    """
    arrays = [np.asarray(s, float) for s in samples]
    lengths = [a.shape[-1] for a in arrays]
    fit = len(set(lengths)) == 1 and lengths[0] >= 2
    require(fit, "two runs or more, as many in every sample", lengths, "pair the runs")
    outcome = stats.bootstrap(
        arrays,
        statistic,
        paired=len(arrays) > 1,
        vectorized=True,
        method="percentile",
        confidence_level=1 - 0.05 / family,
        n_resamples=n_resamples,
        # Same draws, but a few of them in the cache at a time, not all in memory.
        batch=max(1, _AT_ONCE // lengths[0]),
        rng=np.random.default_rng(seed),
    )
    low, high = outcome.confidence_interval
    return Interval(float(statistic(*arrays, axis=-1)), float(low), float(high))


def paired_interval(first, second, *, family: int = 1) -> Interval:
    """mean(first − second) of hundreds of pairs, with its 95% interval by the normal distribution.

    Args:
        family: number of intervals that are to hold together with 95% (Bonferroni); their tails are
            thinner than what a bootstrap of some thousand resamples knows of them.
    """
    differences = np.asarray(first, float) - np.asarray(second, float)
    mean, error = float(differences.mean()), stats.sem(differences)
    reach = float(stats.norm.ppf(1 - 0.025 / family) * error)
    return Interval(mean, mean - reach, mean + reach)


def crossed_interval(
    samples, other, *, family: int = 1, seed: int = 0, n_resamples: int = 9999
) -> Interval:
    """mean(samples) − mean(other), with a 95% interval that resamples rules and networks together.

    For what is said of all rules of a kind on all networks of a kind: a bootstrap of rows and
    columns, each drawn with replacement (the pigeonhole bootstrap: Owen, Ann. Appl. Stat. 1:386,
    2007). With few rows it is somewhat too narrow: of eight, by 6%.

    Args:
        samples: (rules, networks). other: (networks,), or (rules, networks) of other rules of the
            same courses.
        family: as in `paired_interval`.

    Raises:
        ValueError: fewer than two rules or two networks.
    """
    gaps = np.asarray(samples, float) - np.asarray(other, float)
    fit = gaps.ndim == 2 and min(gaps.shape) >= 2
    require(fit, "two rules and two networks or more", gaps.shape, "use paired_interval for one")
    rng, means = np.random.default_rng(seed), []
    for start in range(0, n_resamples, 500):
        n = min(500, n_resamples - start)
        rows, columns = (rng.multinomial(size, [1 / size] * size, n) for size in gaps.shape)
        means.append(np.einsum("br,rc,bc->b", rows, gaps, columns, optimize=True) / gaps.size)
    low, high = np.quantile(np.concatenate(means), [0.025 / family, 1 - 0.025 / family])
    return Interval(float(gaps.mean()), float(low), float(high))


def crossed_error(samples, other, n_networks: int) -> float:
    """Standard error of mean(samples) − mean(other) on so many networks, from these or fewer.

    √(s²/R + v²/n), s² the variance over the R rules of their means, less what the networks add to
    it, and v² the variance over networks of the mean over rules. (Ours.)
    """
    spread, of_networks = _crossed_variances(samples, other, n_networks)
    return float(np.sqrt(spread + of_networks))


def crossed_t_interval(samples, other, *, family: int = 1) -> Interval:
    """The same difference as `crossed_interval`, with an interval by t for few rules.

    Estimate ± t √(s²/R + v²/n), s² and v² the variances of the means of rules and of networks; that
    counts their noise twice, and is a little too wide; degrees of freedom by Satterthwaite
    (Biometrics 2:110, 1946), between R − 1 where rules spread and many where networks do. Its far
    tails, which a family needs, are there also for four rules, where a bootstrap has none. Further
    axes, such as searches, count in the same way.

    Args:
        samples, other: as in `crossed_interval`; or with more axes, (rules, searches, …, networks).
        family: as in `paired_interval`.
    """
    gaps = np.asarray(samples, float) - np.asarray(other, float)
    error, degrees = _crossed_t(gaps)
    reach = stats.t.ppf(1 - 0.025 / family, degrees) * error
    return Interval(float(gaps.mean()), float(gaps.mean() - reach), float(gaps.mean() + reach))


def crossed_t_detectable(samples, other, *, family: int = 1, power: float = 0.8) -> float:
    """The difference that `crossed_t_interval` of such rules finds with this power.

    Where a noncentral t of the interval's degrees of freedom exceeds its quantile so often; zero
    for rules that do not differ at all.
    """
    error, degrees = _crossed_t(np.asarray(samples, float) - np.asarray(other, float))
    return _t_detectable(error, degrees, family, power)


def searched_interval(one, again, *, family: int = 1, level: float = 0.95) -> Interval:
    """mean(one) − mean(again) of a rule and another one that was searched for R times.

    Free numbers of rules are chosen by a search, and a search ends better or worse by chance; how
    much, the R searches tell, and the rule that was searched for once has as much of it. Estimate
    ± t √(s² (1 + 1/R) + v²/n): s² the variance over searches of their means, with the noise of
    networks that is in it, v² the variance over networks of the differences; degrees of freedom by
    Satterthwaite (Biometrics 2:110, 1946). (Ours.)

    Args:
        one: (networks,). again: (searches, networks), on the same networks.
        family: as in `paired_interval`.
        level: of the interval. The upper end at 0.9 is a one-sided bound at 95%.
    """
    estimate = float(np.mean(one) - np.mean(again))
    error, degrees = _searched_t(one, again)
    reach = float(stats.t.ppf(1 - (1 - level) / 2 / family, degrees) * error)
    return Interval(estimate, estimate - reach, estimate + reach)


def searched_detectable(one, again, *, family: int = 1, power: float = 0.8) -> float:
    """The difference that `searched_interval` of such rules finds with this power."""
    return _t_detectable(*_searched_t(one, again), family, power)


def searched_ratio(first, second, again, *, family: int = 1) -> Interval:
    """mean(first) / mean(second) of two rules that were searched for once each, with 95% interval.

    Of the logarithm, by the delta method, with chance of both searches: log ratio
    ± t √(2 s² + v²/n), s² the variance over searches of the logarithm of a mean, taken from another
    rule that was searched for R times, as if it were the same for all. (Ours.)

    Args:
        first, second: (networks,), on the same networks. again: (searches, networks).
        family: as in `paired_interval`.
    """
    first, second, again = (np.asarray(sample, float) for sample in (first, second, again))
    logarithm = np.log(first.mean() / second.mean())
    of_networks = np.var(first / first.mean() - second / second.mean(), ddof=1) / first.size
    of_searches = 2 * np.var(np.log(again.mean(axis=1)), ddof=1)
    error, degrees = _welch((of_searches, len(again) - 1), (of_networks, first.size - 1))
    reach = stats.t.ppf(1 - 0.025 / family, degrees) * error
    return Interval(*(float(np.exp(logarithm + side * reach)) for side in (0, -1, 1)))


class SearchChance(NamedTuple):
    """How much the mean of a rule differs from search to search for its numbers.

    Attributes:
        variance: of the logarithm of the mean, which slow rules and fast ones may share.
        degrees: of freedom that it was estimated with.
    """

    variance: float
    degrees: int


def search_chance(groups) -> SearchChance:
    """`SearchChance` pooled over rules, each searched for R times: (rules, R, networks). (Ours.)"""
    logarithms = np.log(np.asarray(groups, float).mean(axis=-1))
    n_rules, n_searches = logarithms.shape
    return SearchChance(float(logarithms.var(axis=1, ddof=1).mean()), n_rules * (n_searches - 1))


def searched_both_interval(one, other, chance: SearchChance, *, family: int = 1) -> Interval:
    """mean(one) − mean(other) of two rules, both searched for R times, with a 95% interval.

    Estimate ± t √((m₁² + m₂²) s²/R + v²/n): s² the chance of a search, relative to the means m, and
    v² the variance over networks of the differences; degrees of freedom as in `searched_interval`.
    (Ours.)

    Args:
        one, other: (searches, networks), on the same networks.
        chance: of searches for rules like these.
        family: as in `paired_interval`.
    """
    estimate = float(np.mean(one) - np.mean(other))
    error, degrees = _searched_both(one, other, chance)
    reach = float(stats.t.ppf(1 - 0.025 / family, degrees) * error)
    return Interval(estimate, estimate - reach, estimate + reach)


def searched_both_detectable(
    one, other, chance: SearchChance, *, family: int = 1, power: float = 0.8
) -> float:
    """The difference that `searched_both_interval` of such rules finds with this power."""
    return _t_detectable(*_searched_both(one, other, chance), family, power)


def _searched_both(one, other, chance: SearchChance) -> tuple[float, float]:
    """Standard error and degrees of freedom of `searched_both_interval`."""
    one, other = np.asarray(one, float), np.asarray(other, float)
    of_searches = (one.mean() ** 2 + other.mean() ** 2) * chance.variance / len(one)
    gaps = (one - other).mean(axis=0)
    of_networks = np.var(gaps, ddof=1) / gaps.size
    return _welch((of_searches, chance.degrees), (of_networks, gaps.size - 1))


def _searched_t(one, again) -> tuple[float, float]:
    """Standard error and degrees of freedom of `searched_interval`."""
    one, again = np.asarray(one, float), np.asarray(again, float)
    n_searches, n_networks = again.shape
    of_searches = np.var(again.mean(axis=1), ddof=1) * (1 + 1 / n_searches)
    of_networks = np.var(one - again.mean(axis=0), ddof=1) / n_networks
    return _welch((of_searches, n_searches - 1), (of_networks, n_networks - 1))


def _welch(*parts: tuple[float, float]) -> tuple[float, float]:
    """Root of a sum of variances, each with its degrees of freedom, and that of the sum.

    After Satterthwaite (Biometrics 2:110, 1946).
    """
    total = sum(variance for variance, _ in parts)
    shares = sum(variance**2 / degrees for variance, degrees in parts)
    return float(np.sqrt(total)), float(total**2 / shares if shares > 0 else np.inf)


def _t_detectable(error: float, degrees: float, family: int, power: float) -> float:
    """The shift at which a noncentral t exceeds its quantile so often; 0 where nothing spreads."""
    if error == 0:
        return 0.0
    # Beyond some hundreds they no longer matter, and the noncentral t is slow.
    degrees = min(degrees, 1e4)
    beyond = stats.t.ppf(1 - 0.025 / family, degrees)
    shift = optimize.brentq(
        lambda shift: stats.nct.sf(beyond, degrees, shift) - power, 0.0, 4 * beyond + 4
    )
    return float(shift * error)


def _crossed_t(gaps: np.ndarray) -> tuple[float, float]:
    """Standard error and degrees of freedom of `crossed_t_interval`."""
    parts = []
    for axis, size in enumerate(gaps.shape):
        means = gaps.mean(axis=tuple(a for a in range(gaps.ndim) if a != axis))
        parts.append((means.var(ddof=1) / size, size - 1))
    return _welch(*parts)


def _crossed_variances(samples, other, n_networks: int) -> tuple[float, float]:
    """Variances of a mean: what rules add, without their noise, and what networks add."""
    gaps = np.asarray(samples, float) - np.asarray(other, float)
    rows, columns = gaps.mean(axis=1), gaps.mean(axis=0)
    rest = gaps - rows[:, None] - columns + gaps.mean()
    degrees = (gaps.shape[0] - 1) * (gaps.shape[1] - 1)
    noise = (rest**2).sum() / degrees / gaps.shape[1]
    seen = rows.var(ddof=1) / len(rows)
    spread = max(seen - noise / len(rows), 0.0)
    return float(spread), float(columns.var(ddof=1) / n_networks)


def crossed_detectable(samples, other, n_networks: int, *, power: float = 0.8) -> float:
    """The difference that as many rules on so many networks find with this power.

    (z_{0.975} + z_power) times `crossed_error`; for many rules. With few, `crossed_t_detectable`.
    """
    quantiles = stats.norm.ppf([0.975, power]).sum()
    return float(quantiles * crossed_error(samples, other, n_networks))


def share_interval(rule, start, reference, *, family: int = 1) -> Interval:
    """`share_closed` of hundreds of networks, with its 95% interval by the delta method.

    As normal as the mean of (start − rule) − share (start − reference), over the mean of the
    latter.

    Args:
        family: as in `paired_interval`.
    """
    samples = [np.asarray(sample, float) for sample in (rule, start, reference)]
    share = float(share_closed(*samples))
    gains, ways = samples[1] - samples[0], samples[1] - samples[2]
    error = stats.sem(gains - share * ways) / abs(ways.mean())
    reach = float(stats.norm.ppf(1 - 0.025 / family) * error)
    return Interval(share, share - reach, share + reach)


def detectable_difference(
    first, second, n: int, *, family: int = 1, level: float = 0.05, power: float = 0.8
) -> float:
    """The mean difference that n pairs find with this power, if they spread as these pairs do.

    (z_{1 − level/2·family} + z_power) · s / √n, s the standard deviation of the differences.
    """
    spread = np.std(np.asarray(first, float) - np.asarray(second, float), ddof=1)
    quantiles = stats.norm.ppf([1 - level / (2 * family), power])
    return float(quantiles.sum() * spread / np.sqrt(n))


def detectable_from(interval: Interval, *, family: int = 1, power: float = 0.8) -> float:
    """How far from its null value an estimate is told with this power, given its interval.

    The half width of the interval, times 1 + z_power / z_level, as of a normal estimate.

    Args:
        family: of the interval.
    """
    half, level = (interval.high - interval.low) / 2, stats.norm.ppf(1 - 0.025 / family)
    return float(half * (1 + stats.norm.ppf(power) / level))


def rank_correlation(x, y, *, seed: int = 0, n_resamples: int = 9999) -> tuple[float, float]:
    """Spearman's ρ of two rows of numbers, and p of a permutation of one of them, two-sided."""
    standard = [stats.zscore(stats.rankdata(np.asarray(values, float))) for values in (x, y)]

    def statistic(shuffled, axis=-1):
        return np.mean(shuffled * standard[1], axis=axis)

    options = {"permutation_type": "pairings", "vectorized": True, "n_resamples": n_resamples}
    test = stats.permutation_test(
        standard[:1], statistic, rng=np.random.default_rng(seed), **options
    )
    return float(test.statistic), float(test.pvalue)


def rank_interval(x, y, *, groups=None, seed: int = 0, n_resamples: int = 9999) -> Interval:
    """Spearman's ρ of two rows of numbers, with a 95% percentile interval that resamples pairs.

    Args:
        groups: label of the group of each pair, all of one size; whole groups are resampled then.

    Raises:
        ValueError: groups of different sizes.
    """
    x, y = (np.asarray(values, float) for values in (x, y))
    labels = np.arange(x.size) if groups is None else np.asarray(groups)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    sizes = sorted({m.size for m in members})
    require(len(sizes) == 1, "groups of one size", sizes, "resample pairs, or leave some out")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(members), size=(n_resamples, len(members)))
    drawn = np.stack(members)[drawn].reshape(n_resamples, -1)
    ranks = [stats.rankdata(values[drawn], axis=1) for values in (x, y)]
    centred = [r - r.mean(axis=1, keepdims=True) for r in ranks]
    norms = np.prod([np.sqrt((r**2).sum(axis=1)) for r in centred], axis=0)
    with np.errstate(invalid="ignore"):
        # A resample of one value alone says nothing, and is left out.
        found = (centred[0] * centred[1]).sum(axis=1) / norms
    low, high = np.nanquantile(found, [0.025, 0.975])
    return Interval(float(stats.spearmanr(x, y).statistic), float(low), float(high))


def logrank(first, second, horizon: int) -> float:
    """p of the log-rank test that two groups reach criterion alike, both censored at ``horizon``.

    Peto and Peto (J. R. Stat. Soc. A 135:185, 1972), by scipy; NaN if no run reaches it by then.

    Args:
        first, second: ``trials`` and ``reached`` of one group each.
    """

    groups = []
    for group in (first, second):
        trials, seen = np.ravel(group.trials), _seen(group, horizon)
        right = np.minimum(trials[~seen], horizon)
        groups.append(stats.CensoredData(uncensored=trials[seen], right=right))
    if not any(_seen(group, horizon).any() for group in (first, second)):
        return float("nan")
    return float(stats.logrank(*groups).pvalue)


def detectable_hazard_ratio(first, second, horizon: int, *, power: float = 0.8) -> float:
    """The ratio of hazards, above 1, that `logrank` of groups like these finds with this power.

    exp((z_{0.975} + z_power) / √(D p q)), D runs that reach criterion, shares p and q of all runs
    in either group (Schoenfeld, Biometrika 68:316, 1981); infinite if no run does.
    """
    sizes = np.array([np.size(group.trials) for group in (first, second)])
    events = sum(int(_seen(group, horizon).sum()) for group in (first, second))
    quantiles = stats.norm.ppf([0.975, power]).sum()
    if not events:
        return float("inf")
    return float(np.exp(quantiles / np.sqrt(events * np.prod(sizes / sizes.sum()))))


def _seen(group, horizon: int) -> np.ndarray:
    return np.ravel(group.reached) & (np.ravel(group.trials) <= horizon)


def read_apart(first, second) -> tuple[np.ndarray, np.ndarray]:
    """Scores that tell two groups apart, of those members that the reading was not fitted to.

    The linear combination of features that separates the groups best (Fisher 1936), fitted to
    members of even number, applied to those of odd number.

    Args:
        first, second: (members, features) of either group.

    Raises:
        ValueError: fewer than four members.
    """
    groups = [np.asarray(group, float) for group in (first, second)]
    sizes = tuple(map(len, groups))
    require(min(sizes) >= 4, "four members or more of each group", sizes, "give more")
    fitted, judged = ([group[start::2] for group in groups] for start in (0, 1))
    spread = sum(np.atleast_2d(np.cov(group, rowvar=False)) for group in fitted)
    gap = fitted[1].mean(axis=0) - fitted[0].mean(axis=0)
    reading = np.linalg.lstsq(spread, gap)[0]
    return judged[0] @ reading, judged[1] @ reading


def chance_above(first, second, *, family: int = 1) -> Interval:
    """P(a member of the second group is above one of the first), ties counted half; 95% interval.

    Independent groups; the interval by the spread of the members' own chances (DeLong et al.,
    Biometrics 44:837, 1988). It has no width where all members of a group are above all others.

    Args:
        family: as in `paired_interval`.
    """
    first, second = (np.ravel(np.asarray(group, float)) for group in (first, second))
    chances = []
    for one, other in ((second, first), (first, second)):
        ranks = [np.searchsorted(np.sort(other), one, side) for side in ("left", "right")]
        chances.append(np.mean(ranks, axis=0) / other.size)
    mean = float(chances[0].mean())
    error = np.sqrt(sum(chance.var(ddof=1) / chance.size for chance in chances))
    reach = float(stats.norm.ppf(1 - 0.025 / family) * error)
    return Interval(mean, max(mean - reach, 0.0), min(mean + reach, 1.0))


def members_needed(probability: float, *, level: float = 0.05, power: float = 0.8) -> float:
    """Members of each of two groups of one size so that a rank test tells them apart.

    (z_{1−level/2} + z_power)² / (6 (p − ½)²), p as in `chance_above` (Noether, J. Am. Stat. Assoc.
    82:645, 1987); infinite for p = ½.
    """
    quantiles = stats.norm.ppf([1 - level / 2, power]).sum()
    gap = abs(probability - 0.5)
    return float(quantiles**2 / (6 * gap**2)) if gap else float("inf")


def wilson_interval(share: float, n: int, *, family: int = 1) -> Interval:
    """A share of n independent members, with its 95% interval (Wilson, 1927).

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n). A mean of shares, one a member, may stand
    for the share: the interval is then too wide and never too narrow.

    Args:
        family: as in `paired_interval`.
    """
    z2 = float(stats.norm.ppf(1 - 0.025 / family)) ** 2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return Interval(share, max(float(middle - reach), 0.0), min(float(middle + reach), 1.0))


def resampled_quartiles(trials, size: int, *, seed: int = 0, n_resamples: int = 99_999):
    """Quartiles of ``size`` runs drawn with replacement, (n_resamples, 3)."""
    trials = np.ravel(np.asarray(trials, float))
    drawn = np.random.default_rng(seed).integers(trials.size, size=(n_resamples, size))
    return np.percentile(trials[drawn], [25, 50, 75], axis=1).T


def mean_difference(first, second, axis: int = -1) -> np.ndarray | np.floating:
    """mean(first) − mean(second): a statistic for paired samples."""
    return np.mean(first, axis=axis) - np.mean(second, axis=axis)


def mean_ratio(first, second, axis: int = -1) -> np.ndarray | np.floating:
    """mean(first) / mean(second): a statistic for paired samples."""
    return np.mean(first, axis=axis) / np.mean(second, axis=axis)


def share_closed(rule, start, reference, axis: int = -1) -> np.ndarray | np.floating:
    """(mean(start) − mean(rule)) / (mean(start) − mean(reference)): a statistic for three samples.

    How far a rule goes from ``start`` (0) to ``reference`` (1). (Ours.)
    """
    means = (np.mean(sample, axis=axis) for sample in (rule, start, reference))
    rule_mean, start_mean, reference_mean = means
    return (start_mean - rule_mean) / (start_mean - reference_mean)
