from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from companion.learned_rule import ODD
from companion.parts import (
    ALONE,
    COUNTS,
    EVEN,
    PLACES,
    POWERS,
    RULES,
    WHOLE,
    AloneComparison,
    AloneTuning,
    ElsewhereComparison,
    ElsewhereTuning,
    PartComparison,
    PartTuning,
    by_place,
    largest,
    parts,
)
from companion.search import Search
from companion.settings import brief_setting
from small_records import verified

import plasticity as pl
from plasticity.learning.lifetime import learn

SMALL = {"n_units": 8, "n_trials": 24}
BRIEF = Search((4, 2), (2, 3), (1, 3), 1, (2, 3))
LEARNED = np.asarray(pl.learned_rule().coefficients)


@pytest.mark.parametrize("term", [(1, 2), (2, 1), (0, 3), (3, 3), (2, 2)])
def test_mirrored_networks_turn_the_sign_of_terms_of_which_one_power_is_even(term):
    # x → −x, which starts at 0, with W_in, W_out and kicks: r^k Δ^ℓ changes by (−1)^(k+ℓ), and the
    # error does not.
    setting = brief_setting(n_units=12)
    keys, networks, task, _, learner = setting.arguments(3, range(4))
    rule = pl.single_term(*term, learning_rate=1.0, clip=3e-3)
    other = rule.replace(coefficients=rule.coefficients * (-1.0) ** sum(term))
    learner = replace(learner, initial_state=0.0)
    mirrored = networks._replace(W_in=-networks.W_in, W_out=-networks.W_out)
    ran = learn(keys, networks, task, rule, learner, 12)
    flipped = jnp.full(len(keys), -1.0)
    turned = learn(keys, mirrored, task, other, learner, 12, noise_scale=flipped)
    np.testing.assert_allclose(ran.errors, turned.errors, atol=1e-4)
    same = learn(keys, mirrored, task, rule, learner, 12, noise_scale=flipped)
    agree = np.allclose(ran.errors, same.errors, atol=1e-4)
    assert agree == (sum(term) % 2 == 0), "without turning the sign another thing is learned"


def test_all_terms_are_parts_once():
    assert len(POWERS) == 36 and len(EVEN) == 27 and not set(EVEN) & set(ODD)
    assert len(ALONE) == 36 and list(ALONE.values()).count(((2, 2), 1.0)) == 1
    assert sum(sign > 0 for _, sign in ALONE.values()) == 9, "both powers even: either sign"
    tuning = PartTuning()
    thetas = {name: tuning.theta(name) for name in tuning.names}
    np.testing.assert_array_equal(thetas[WHOLE], LEARNED)
    split = thetas["odd–odd alone"] + thetas["all but odd–odd"]
    np.testing.assert_array_equal(split, LEARNED)
    assert np.count_nonzero(thetas["odd–odd alone"]) == 9
    for term in ODD:
        gone = thetas["without ({},{})".format(*term)] != LEARNED
        assert np.argwhere(gone).tolist() == [list(term)]
    kept = [np.count_nonzero(thetas[f"largest {count}"]) for count in COUNTS]
    assert kept == list(COUNTS) == sorted(kept, reverse=True)
    assert thetas["(1,5)"][1, 5] == thetas["(3,3)"][3, 3] == -1.0


def test_the_whole_rule_is_searched_for_on_other_networks_each_time():
    tuning = PartTuning()
    numbers = [tuning.validation_seed(i) for i in range(len(tuning.names))]
    searches = [name.startswith(WHOLE) for name in tuning.names]
    assert len({n for n, again in zip(numbers, searches, strict=True) if again}) == 8
    assert len({n for n, again in zip(numbers, searches, strict=True) if not again}) == 1
    assert PartComparison().seeds["test"] not in numbers
    assert [name for name, part in parts(2).items() if part.search > 1] == ["whole, search 2"]


def test_the_largest_terms_are_those_of_the_largest_traces():
    theta, sizes = np.zeros((6, 6)), np.ones((6, 6))
    theta[1, 5], theta[3, 3] = -1.0, -0.4
    sizes[3, 3] = 10.0
    kept = largest(theta, sizes, 1)
    assert kept[3, 3] == -0.4 and np.count_nonzero(kept) == 1
    np.testing.assert_array_equal(largest(theta, sizes, 36), theta)


def test_parts_are_recorded(monkeypatch):
    few = {"names": (WHOLE, "whole, search 2", "largest 1"), **SMALL}
    tuning = PartTuning(search=BRIEF, **few)
    tuned = verified(monkeypatch, tuning, "errors")
    assert (tuned.errors[0].values != tuned.errors[1].values).any(), "on other networks"
    comparison = PartComparison(tuning=tuning, n_networks=4, **few)
    judged = verified(monkeypatch, comparison, "errors", tuning=tuned)
    assert judged.trials.dims == ("part", "network")


def test_terms_alone_are_recorded(monkeypatch):
    few = {"names": ("−(1,2)", "+(2,2)"), **SMALL}
    tuning = AloneTuning(search=BRIEF, **few)
    tuned = verified(monkeypatch, tuning, "errors")
    comparison = AloneComparison(tuning=tuning, n_networks=4, **few)
    judged = verified(monkeypatch, comparison, "errors", tuning=tuned)
    assert judged.term.values.tolist() == ["−(1,2)", "+(2,2)", "no learning"]
    signs = [comparison.theta(name).sum() for name in few["names"]]
    assert signs == [-1.0, 1.0]
    # What does not learn is left as it is.
    assert comparison.contest(2).ladders == {}
    assert judged.saturated.sel(term="no learning").max() == 0.0


def test_settings_elsewhere_are_what_they_are_called(monkeypatch):
    experiment = ElsewhereTuning()
    assert len(set(experiment.competitors)) == len(PLACES) * len(RULES) == 16
    settings = {place: experiment.contest(i * len(RULES)).setting for i, place in enumerate(PLACES)}
    usual = brief_setting()
    assert settings["twice the units"].n_units == 2 * usual.n_units
    assert settings["twice the units"].task == usual.task or jax.tree.all(
        jax.tree.map(np.array_equal, settings["twice the units"].task, usual.task)
    )
    assert settings["delay of 600 ms"].task.n_steps == usual.task.n_steps + 40
    assert settings["setting of chapter 02"].task.n_steps == 100
    assert settings["evidence integration"].task.n_steps == 50
    values = {"exploration": np.nan, "step": 0.1, "bound": 1e-3, "readout": np.nan}
    rules = [experiment.contest(i).rule(values, (0.5, 1.0)) for i in range(len(RULES))]
    np.testing.assert_array_equal(rules[0].coefficients, LEARNED)
    assert np.argwhere(np.asarray(rules[1].coefficients)).tolist() == [[1, 5]]
    assert rules[3].trace.of_kicks and not rules[0].trace.of_kicks
    few = {"places": ("evidence integration",), **SMALL}
    tuning = ElsewhereTuning(search=BRIEF, **few)
    tuned = verified(monkeypatch, tuning, "errors")
    comparison = ElsewhereComparison(tuning=tuning, n_networks=4, **few)
    judged = verified(monkeypatch, comparison, "errors", tuning=tuned)
    assert judged.pair.values[1] == "(1,5), evidence integration"


def test_pairs_are_read_by_rule_and_place():
    names = [f"{rule}, {place}" for place in ("a delay", "here, there") for rule in ("(1,5)", "b")]
    arrays = {"trials": (("pair", "network"), np.arange(8.0).reshape(4, 2))}
    data = by_place(xr.Dataset(arrays, {"pair": names}))
    assert data.trials.sel(rule="b", place="here, there").values.tolist() == [6.0, 7.0]
    assert data.trials.sel(rule="(1,5)", place="a delay").values.tolist() == [0.0, 1.0]
