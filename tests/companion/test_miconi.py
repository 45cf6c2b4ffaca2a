import numpy as np
from companion.miconi import PROGRAM_HORIZON, Parity, program_runs
from companion.settings import QUIRKS


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
    monkeypatch.setattr(Parity, "_learn", lambda *_, **__: (np.zeros((2, 104)), shares))
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
