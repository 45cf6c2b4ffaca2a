import numpy as np
import pytest
import xarray as xr
from companion.rule_space import REFERENCE, RuleSpace
from companion.search import BRIEFLY
from companion.weight_decay import (
    CONTRASTS,
    FIXED,
    KINDS,
    DecayComparison,
    DecayTuning,
    by_kind,
)
from small_records import verified

from plasticity.rules.three_factor import ThreeFactor
from plasticity.rules.time_constants import Decaying

SPACE = RuleSpace(n_units=8, n_courses=2)


@pytest.fixture(scope="module")
def recorded():
    """What courses might have learned."""
    rng, theta = np.random.default_rng(1), np.zeros((len(SPACE.names), 8, 8))
    theta[:, :6, :6] = rng.normal(size=(len(SPACE.names), 6, 6))
    times = np.full((len(SPACE.names), 3), np.nan)
    for i, (arm, _) in enumerate(SPACE.courses):
        if arm in ("tau_w", "all three"):
            times[i, 2] = 1100.0 + i
        if arm == "all three":
            times[i, :2] = 1500.0, 17.0
    arrays = {"theta": (("course", "k", "ell"), theta)}
    arrays["times"] = (("course", "time constant"), times)
    return xr.Dataset(arrays, {"course": SPACE.names})


def test_kinds_differ_in_their_decay_alone(recorded):
    tuning = DecayTuning(space=SPACE)
    first = {kind: tuning.attempts.index((kind, 2, 1)) for kind in KINDS}
    made = {
        kind: tuning.contest(index, recorded).algorithm.make(None, 0.1, 0.01, None)
        for kind, index in first.items()
    }
    assert isinstance(made[REFERENCE], ThreeFactor)
    assert isinstance(made[FIXED], Decaying) and float(made[FIXED].tau_w) == 1000.0
    assert made[FIXED].rule == made[REFERENCE]
    assert float(made["tau_w"].tau_w) == pytest.approx(
        float(recorded.times.sel(course="tau_w, 2")[2])
    )
    assert float(made["all three"].rule.tau_filter) == 17.0
    assert all(set(pair) <= set(KINDS) for pair in CONTRASTS)


def test_searches_have_networks_of_their_own():
    tuning = DecayTuning()
    of = {n: set() for n in range(1, 6)}
    for i, (*_, n) in enumerate(tuning.attempts):
        of[n].add(tuning.validation_seed(i))
    assert len(set.union(*of.values())) == 5 and all(len(seeds) == 1 for seeds in of.values())
    assert DecayComparison().seeds["test"] not in set.union(*of.values())
    with pytest.raises(ValueError, match="kinds of decay of this chapter; got"):
        DecayTuning(kinds=("none",))


def test_rules_are_searched_for_and_judged(monkeypatch, recorded):
    few = {"space": SPACE, "kinds": (FIXED,), "n_searches": 1}
    tuning = DecayTuning(search=BRIEFLY, n_trials=20, **few)
    tuned = verified(monkeypatch, tuning, "errors", space=recorded)
    comparison = DecayComparison(tuning=tuning, n_networks=2, n_trials=20, **few)
    judged = verified(monkeypatch, comparison, "errors", space=recorded, tuning=tuned)
    found = by_kind(judged.trials)
    assert found.sizes == {"kind": 1, "course": 2, "search": 1, "network": 2}
    second = judged.trials.sel({"attempt at a rule": f"{FIXED}; 2; 1"})
    np.testing.assert_array_equal(found.sel(kind=FIXED, course="2", search="1"), second)
