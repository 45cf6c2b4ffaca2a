import numpy as np
from companion.miconi import (
    PROGRAM_HORIZON,
    Parity,
    SelectiveIntegration,
    criterion,
    program_runs,
)
from companion.settings import QUIRKS, SELECTIVE


def test_parity_can_be_measured_small():
    parity = Parity(n_networks=1, n_trials=4)
    assert parity.measure(np.arange(1))["errors"].shape == (1, 4)
    chosen = {"without": None, "told_kicks": False}
    assert parity.parameters == chosen | {"n_networks": 1, "n_trials": 4}


def test_every_detail_left_out_has_a_record_of_its_own():
    names = [Parity(without=quirk).name for quirk in (None, *QUIRKS)]
    names.append(Parity(told_kicks=True).name)
    assert names[0] == "miconi" and len(set(names)) == len(names)


def test_the_share_at_the_bound_is_that_of_trials_that_change_weights(monkeypatch):
    shares = np.where(np.arange(104) < 101, 9.0, [[0.5], [0.25]])
    monkeypatch.setattr(Parity, "learned", lambda *_, **__: (np.zeros((2, 104)), shares))
    measured = Parity(n_networks=2, n_trials=104).measure(np.arange(2))
    np.testing.assert_allclose(measured["saturated"], [0.5, 0.25])


def test_the_program_has_the_runs_of_its_provenance():
    runs = program_runs()
    np.testing.assert_array_equal(runs.run, np.arange(200, 234))
    # As its provenance gives them.
    assert float(np.median(runs.trials)) == 1451.5 and int((~runs.reached).sum()) == 4
    assert (runs.trials[~runs.reached] == PROGRAM_HORIZON).all()
    assert (runs.trials[runs.reached] < PROGRAM_HORIZON).all()
    low, high = np.percentile(runs.trials, [25, 75])
    assert (round(low), high) == (1007, 2002.5)


def test_selective_integration_can_be_measured_small(monkeypatch):
    names = [SelectiveIntegration(version=version).name for version in SELECTIVE]
    assert len(set(names)) == len(SELECTIVE)
    errors = np.where(np.arange(250) < 120, 1.5, 0.5) * np.ones((2, 1))
    monkeypatch.setattr(SelectiveIntegration, "learned", lambda *_, **__: (errors, 0 * errors))
    small = SelectiveIntegration(n_networks=2, n_trials=250)
    data = small.dataset(small.measure(np.arange(2)))
    # The 96th correct trial after 120 wrong ones.
    np.testing.assert_array_equal(data.trials, 216)
    np.testing.assert_allclose(data.blocks, [[1.5, 0.7]] * 2)
    assert data.reached.all() and data.errors.shape == (2, 104)


def test_the_criterion_is_more_than_95_of_100():
    correct = np.ones((2, 300), bool)
    correct[0, 100:200:20] = False  # 95 of each hundred that holds all five
    correct[1, 100:200:25] = False
    errors = np.where(correct, 0.5, 1.0)[:, 100:]
    np.testing.assert_array_equal(criterion(errors).trials, [101, 100])
