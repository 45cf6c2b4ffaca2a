import numpy as np
from companion.miconi import Parity
from companion.settings import QUIRKS


def test_parity_can_be_measured_small():
    parity = Parity(n_networks=1, n_trials=4)
    assert parity.measure(np.arange(1))["errors"].shape == (1, 4)
    assert parity.parameters == {"without": None, "n_networks": 1, "n_trials": 4}


def test_every_detail_left_out_has_a_record_of_its_own():
    names = [Parity(without=quirk).name for quirk in (None, *QUIRKS)]
    assert names[0] == "miconi" and len(set(names)) == len(names)
