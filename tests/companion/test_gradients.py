import numpy as np
import pytest
from companion.gradients import REWARDS, GradientCost, GradientValidation, TangentGrowth
from small_records import verified

VALIDATION = GradientValidation(
    n_units=10, n_networks=1, n_trials=40, n_synapses=3, relative_steps=(1e-4, 1e-5, 1e-6)
)
COST = GradientCost(
    n_units=(6, 8), n_steps=(10,), degree=(1,), n_trials=(4,), base=(6, 10, 1, 4), alone=False
)


def test_validation_can_be_recorded_and_verified(monkeypatch):
    # float32 keeps seven digits of norms up to ten.
    data = verified(monkeypatch, VALIDATION, "weight_norms", tolerance=1e-5)
    assert data.errors.shape == (2, 40)
    assert data.update_curve.shape == (2, 3, 36, 3)
    assert data["sample"].shape == (2, 3, 2, 3, 36)
    assert np.median(data.update_curve[:, 1:].min(axis=-1)) < 1e-8
    assert np.median(data.update_gaps[0] / data.update_norms[0]) < 1e-7
    # What a chapter asks for by name.
    assert data.run.values.tolist() == [f"rewards {mode}, network 1" for mode in REWARDS]
    both = VALIDATION.by_rewards(data)
    last = both.weight_curve.sel(rewards="differentiated", network=1, mark=40, term="(3,3)")
    np.testing.assert_array_equal(last, data.weight_curve.values[1, -1, 21])
    forward, quotient = (
        both["sample"].sel(rewards="fixed", mark=20, differentiation=name)
        for name in ("forward mode", "central difference")
    )
    assert 0 < abs(forward - quotient).max() < 1e-6 * abs(forward).max()


def test_parts_may_mix_runs_of_both_kinds():
    """Parts of two runs: here one network with rewards fixed, and the same differentiated."""
    (part,) = VALIDATION.parts()
    together = VALIDATION.measure(part)
    alone = VALIDATION.measure(part[1:])
    for name, array in together.items():
        np.testing.assert_array_equal(array[1:], alone[name], err_msg=name)


def test_networks_that_never_learn_are_not_looked_for_for_ever():
    impossible = GradientValidation(n_units=2, n_networks=30, n_trials=20)
    with pytest.raises(ValueError, match="allow more trials"):
        impossible.measure(np.arange(2))


def test_growth_can_be_recorded_and_verified(monkeypatch):
    growth = TangentGrowth(n_units=8, n_networks=2, n_trials=22, learning_rates=(1e-4, 1e-2))
    data = verified(monkeypatch, growth, "norms", tolerance=1e-6)
    assert data.norms.shape == (2, 2, 36, 3)
    assert data.mark.values.tolist() == [1, 11, 21]
    assert (data.norms.sel(rate=1e-2) > data.norms.sel(rate=1e-4)).mean() > 0.9


def test_costs_can_be_recorded_and_verified(monkeypatch):
    data = verified(monkeypatch, COST, "gradients", tolerance=1e-6)
    assert data["sizes"].values.tolist() == [[6, 10, 1, 4], [8, 10, 1, 4]]
    others = ["jvp of steps", "reverse mode"]
    assert data.gaps.sel(algorithm=others).max() < 1e-9
    # Four coefficients, and nothing beyond.
    assert np.isfinite(data.gradients[:, :4]).all() and np.isnan(data.gradients[:, 4:]).all()


def test_problems_along_an_axis_ascend_and_contain_the_base():
    book = GradientCost()
    assert len(book.sizes) == len(set(book.sizes)) == 16
    assert book.along("d") == [f"N = 100, T = 100, d = {d}, H = 30" for d in (1, 3, 5, 7)]
    assert [len(book.along(symbol)) for symbol in "NTdH"] == [5, 5, 4, 5]
