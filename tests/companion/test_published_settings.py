import numpy as np
import pytest
from companion import published_settings
from companion.published_settings import (
    PLACES,
    PUBLISHED,
    PUBLISHED_POINT,
    RULES,
    PublishedComparison,
    PublishedContest,
    PublishedTuning,
    coefficients,
    learn_to_criterion,
)
from companion.search import Search
from companion.settings import brief_setting, miconi_setting
from small_records import verified

import plasticity as pl
from plasticity.learning.criterion import trials_to_criterion

N_UNITS = 12
BRIEF = Search(grid=(2, 2), short=(1, 2), near=(1, 2), moves=0, last=(1, 2))


@pytest.fixture
def lenient(monkeypatch):
    """A criterion that networks meet by chance, at different trials: digits of errors decide."""

    def criterion(errors):
        return trials_to_criterion(1e4 * errors % 1 < 0.5, window=8, needed=6)

    monkeypatch.setattr(published_settings, "criterion", criterion)
    monkeypatch.setattr(published_settings, "_BLOCK", 10)
    return criterion


def test_the_learned_rule_sees_fluctuations_in_units_of_a_kick():
    learned = np.asarray(pl.learned_rule().coefficients)
    kick = float(brief_setting().learner.exploration.amplitude)
    r, delta = np.linspace(-1, 1, 7), np.linspace(-3, 3, 7)
    here = np.polynomial.polynomial.polyval2d(r, delta * 0.5 / kick, coefficients("learned", 0.5))
    there = np.polynomial.polynomial.polyval2d(r, delta / kick, coefficients("learned", kick))
    np.testing.assert_allclose(here, np.polynomial.polynomial.polyval2d(r, delta, learned))
    assert not np.allclose(here, there), "the argument has to be rescaled"
    np.testing.assert_array_equal(coefficients("learned", kick), learned)
    single = coefficients("(1,3)", 0.5)
    assert single[1, 3] == -1 and np.count_nonzero(single) == 1


@pytest.mark.parametrize("place", PLACES)
def test_the_published_point_is_the_published_rule(place):
    setting = PLACES[place].setting(n_units=N_UNITS)
    contest = PublishedContest.of("(3,3)", setting, 5)
    unit = contest.step / float(setting.rule.learning_rate)
    rule = contest.rule(contest.values(PUBLISHED_POINT), (unit, 1.0))
    np.testing.assert_allclose(rule.learning_rate, setting.rule.learning_rate, rtol=1e-12)
    np.testing.assert_allclose(rule.clip, setting.rule.clip, rtol=1e-12)
    options = {"batch_size": 1}
    ours = setting.learn(3, range(2), 104, rule, **options).errors
    theirs = setting.learn(3, range(2), 104, **options).errors
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    for ladder, at in zip(contest.ladders.values(), PUBLISHED_POINT[1:3], strict=True):
        assert at in ladder.rungs and len(ladder.rungs) == 5


def test_lifetimes_that_end_at_the_criterion_are_those_that_go_on(lenient):
    # A rule that changes nothing, in float64: a lifetime beside others parts by rounding alone, far
    # less than the digits that decide here.
    setting = miconi_setting(n_units=N_UNITS)
    rule = setting.rule.replace(learning_rate=0.0)
    whole = np.asarray(setting.learn(9, range(11), 35, rule).errors)
    met = lenient(whole)
    assert 2 < met.reached.sum() < 11 and len(set(met.trials.tolist())) > 3
    errors, seen = learn_to_criterion(setting, rule, 9, range(11), 35, _trial_number)
    again = lenient(errors)
    np.testing.assert_array_equal(again.reached, met.reached)
    np.testing.assert_array_equal(again.trials, met.trials)
    for run, end in enumerate(met.trials):
        np.testing.assert_allclose(errors[run, :end], whole[run, :end], rtol=1e-6)
        np.testing.assert_array_equal(seen[run, :end], np.arange(end))
        if met.reached[run]:
            np.testing.assert_allclose(
                errors[run, end:], whole[run, max(end - 100, 0) : end].mean()
            )
            assert np.isnan(seen[run, end:]).all()


def _trial_number(before, episode, outcome):
    return before.trial.astype(float)


def test_a_lifetime_that_blows_up_ends_and_is_a_failure(monkeypatch):
    monkeypatch.setattr(published_settings, "_BLOCK", 10)
    setting = miconi_setting("clip", n_units=N_UNITS)
    rule = setting.rule.replace(learning_rate=1e30)
    with pytest.warns(RuntimeWarning, match="non-finite"):
        errors, _ = learn_to_criterion(setting, rule, 9, range(3), 120)
    lost = np.isnan(errors).any(axis=1)
    met = published_settings.criterion(errors)
    assert lost.any() and not met.reached[lost].any() and (met.trials[lost] == 120).all()


def test_search_and_comparison_can_be_measured_small_and_verified(monkeypatch):
    # So few trials that no weight changes: what is tested is that all fits together.
    monkeypatch.setattr(published_settings, "_TOGETHER", 2)
    tuning = PublishedTuning(rules=("(3,3)",), search=BRIEF, n_units=N_UNITS, n_trials=8)
    tuned = tuning.dataset(tuning.measure(np.arange(1)))
    comparison = PublishedComparison.of(tuning, n_networks=2, n_trials=8)
    assert comparison.competitors == [PUBLISHED, "(3,3)"]
    assert comparison.name == "published_comparison_nonmatch"
    compared = verified(monkeypatch, comparison, "errors", tuning=tuned)
    assert compared.trials.shape == (2, 2) and compared.errors.shape == (2, 2, 8)
    chosen = [comparison._chosen(index, tuned)[0] for index in range(2)]
    assert tuple(chosen[0]) == PUBLISHED_POINT
    np.testing.assert_array_equal(chosen[1:], tuned.best)


def test_every_place_has_seeds_and_a_size_of_its_own():
    tunings = [PublishedTuning.of(place) for place in PLACES]
    comparisons = [PublishedComparison.of(tuning) for tuning in tunings]
    numbers = [number for one in (*tunings, *comparisons) for number in one.seeds.values()]
    assert len(set(numbers)) == len(numbers) == 2 * len(PLACES)
    assert len({one.name for one in (*tunings, *comparisons)}) == len(numbers)
    assert [one.n_trials for one in comparisons] == [5000, 10_000]
    assert tunings[0].competitors == list(RULES)
