import numpy as np
import xarray as xr
from companion.dissection import (
    LABELS,
    TERMS,
    TRANSFERS,
    KnockOuts,
    SparseRules,
    Transfer,
    intervals,
    largest,
)
from companion.learned_rule import Selection
from companion.settings import brief_setting
from companion.statistics import bootstrap_interval, mean_ratio
from small_records import refused, verified

THETA = np.zeros((6, 6))
THETA[1, 5], THETA[3, 3] = -1.0, -0.4
ONES = np.ones((6, 6))
SMALL = {"n_units": 8, "n_trials": 24}


def _selected(theta: np.ndarray) -> xr.Dataset:
    """A selection of one rule."""
    arrays = {"theta": (("place", "k", "ell"), theta[None])}
    arrays["scale"] = (("place", "k", "ell"), ONES[None])
    return xr.Dataset(arrays | {"trials": (("place", "size", "network"), np.ones((1, 1, 1)))})


NEEDS = {
    "comparison": xr.Dataset({"best": (("rule",), [1e-2])}, {"rule": ["learned"]}),
    "selection": _selected(THETA),
}


class _Few(KnockOuts):
    """Two of the terms: one that the learned rule lacks, and one that it has."""

    def coordinates(self):
        return super().coordinates() | {"term": ["(2,2)", "(3,3)"]}

    def measure_one(self, index, **needs):
        return super().measure_one(self._place(index), **needs)

    def measure_one_again(self, index, recorded, **needs):
        return super().measure_one_again(self._place(index), recorded, **needs)

    def _place(self, index):
        return LABELS.index(self.coordinates()["term"][index])


def test_a_rule_can_be_taken_apart(monkeypatch):
    experiment = _Few(n_networks=2, n_alone=2, sizes=(1e-2,), **SMALL)
    data = verified(monkeypatch, experiment, "errors", **NEEDS)
    # Nothing is lost without a coefficient that is zero, and something without one that is not.
    rewards = {term: data.rewards.sel(term=term) for term in ("(2,2)", "(3,3)")}
    intact, without = ("intact", "without")
    np.testing.assert_array_equal(*rewards["(2,2)"].sel(variant=[intact, without]))
    lost = rewards["(3,3)"].sel(variant=intact) != rewards["(3,3)"].sel(variant=without)
    assert lost.any()
    assert data.psi.values.tolist() == [0.0, -0.4]
    # Raised and lowered by half of the largest.
    rules = experiment._variants(brief_setting(n_units=8), TERMS.index((3, 3)), **NEEDS)
    moved = [float(rule.coefficients[3, 3]) for rule in rules]
    np.testing.assert_allclose(moved, [-0.4, 0.0, 0.1, -0.9])
    assert len({float(rule.learning_rate) for rule in rules}) == 1
    # Another learned rule is refused, and another rate.
    other = NEEDS | {"selection": _selected(-THETA)}
    refused(monkeypatch, experiment, data, "errors", **other)
    faster = NEEDS["comparison"].copy(deep=True)
    faster.best.values[...] = 1e-1
    refused(monkeypatch, experiment, data, "errors", **(NEEDS | {"comparison": faster}))


def test_all_terms_are_taken_out():
    assert KnockOuts().length == 36 and LABELS[TERMS.index((3, 5))] == "(3,5)"
    assert KnockOuts().coordinates()["term"] == LABELS


def test_the_largest_terms_are_kept_in_scaled_units():
    scale = ONES.copy()
    scale[3, 3] = 10.0
    kept = largest(THETA, scale, 1)
    assert kept[3, 3] == -0.4 and np.count_nonzero(kept) == 1
    np.testing.assert_array_equal(largest(THETA, scale, 36), THETA)


def test_sparse_rules_can_be_recorded(monkeypatch):
    sizes = {"counts": (1,), "n_tuning": 2, "n_networks": 3, "sizes": (1e-2,)}
    experiment = SparseRules(**sizes, **SMALL)
    data = verified(monkeypatch, experiment, "errors", selection=NEEDS["selection"])
    assert data["count"].values.tolist() == [1, 0]
    assert data.version.values.tolist() == ["1 largest", "(3,3)"]
    # The first is (1, 5) alone: with another largest term it is another rule.
    other = _selected(THETA * np.where(THETA == -1, 0.1, 1.0))
    refused(monkeypatch, experiment, data, "errors", selection=other)


def test_transfer_can_be_recorded(monkeypatch):
    sizes = {"n_units": 8, "n_tuning": 2, "n_networks": 2, "share": 0.06, "sizes": (1e-2,)}
    experiment = Transfer(cases=("N × 1/2",), **sizes)
    needs = {"selection": NEEDS["selection"], "other": _selected(-THETA)}
    data = verified(monkeypatch, experiment, "errors", **needs)
    assert data.trials.shape == (1, 5, 2) and data.horizon.values.tolist() == [24]
    assert experiment.needs == {"selection": Selection(), "other": Selection.of("integration")}
    swapped = {"selection": needs["other"], "other": needs["selection"]}
    refused(monkeypatch, experiment, data, "errors", **swapped)


def test_cases_of_transfer_differ_in_what_they_are_called():
    places = {case: Transfer()._place(i) for i, case in enumerate(TRANSFERS)}
    units = {case: setting.n_units for case, (setting, _) in places.items()}
    assert units["N × 1/2"] == 50 and units["N × 2"] == 200
    assert {units[case] for case in TRANSFERS if "N" not in case} == {100}
    steps = {case: setting.task.n_steps for case, (setting, _) in places.items()}
    assert (steps["delay 100 ms"], steps["as trained"], steps["delay 600 ms"]) == (40, 50, 90)
    assert {case: n for case, (_, n) in places.items() if n != 400} == {"non-match": 1000}


def test_intervals_are_those_of_each_label():
    random = np.random.default_rng(0)
    terms = {"term": ["(1,1)", "(3,3)"]}
    trials = xr.DataArray(random.uniform(1, 2, (2, 6)), terms, ("term", "network"))
    base = xr.DataArray(random.uniform(1, 2, 6), dims="network")
    by_term = intervals(trials, base, along="term", statistic=mean_ratio, n_resamples=99)
    assert list(by_term) == ["(1,1)", "(3,3)"]
    pair = trials[1].values, base.values
    alone = bootstrap_interval(*pair, statistic=mean_ratio, n_resamples=99)
    assert by_term["(3,3)"] == alone
    assert by_term["(1,1)"].estimate == trials[0].mean() / base.mean()
