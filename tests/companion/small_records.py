"""Small records of the book's experiments, for tests of what verification accepts and refuses."""

import pytest
import xarray as xr
from companion import record, results
from companion.experiment import Experiment


def recorded(experiment: Experiment, arrays: dict) -> xr.Dataset:
    """Measured arrays as a record holds them."""
    return record.described(experiment, experiment.dataset(arrays), {}, 0.0)


def verify(monkeypatch, experiment, data, tolerance=1e-9, **needs) -> float:
    """`results.verify` of all labels, with the results of ``needs`` given, by field."""
    given = {need: needs[field] for field, need in experiment.needs.items()}
    with monkeypatch.context() as patch:
        patch.setattr(results, "recorded_result", given.__getitem__)
        patch.setattr(type(experiment), "fraction", 1.0)
        patch.setattr(type(experiment), "tolerance", tolerance)
        return results.verify(experiment, data)


def verified(monkeypatch, experiment, changed, tolerance=1e-9, **needs) -> xr.Dataset:
    """What a small experiment measures, once it is verified.

    With the array ``changed`` altered, and with other networks, it is refused.
    """
    parts = [experiment.measure(part, **needs) for part in experiment.parts()]
    data = recorded(experiment, results._joined(parts))
    options = {"tolerance": tolerance} | needs
    with monkeypatch.context() as patch:
        # What is measured again to accept the record is what refuses the altered one.
        patch.setattr(type(experiment), "measure_again", _once(type(experiment).measure_again))
        assert verify(monkeypatch, experiment, data, **options) <= tolerance
        refused(monkeypatch, experiment, data, changed, changed=changed, **options)
    with monkeypatch.context() as patch:
        others = {use: number + 100 for use, number in experiment.seeds.items()}
        patch.setattr(type(experiment), "seeds", others)
        refused(monkeypatch, experiment, data, r"\w+", **options)
    return data


def _once(measure_again):
    """The same, which remembers what it measured first."""
    kept = []

    def measured(*args, **needs):
        if not kept:
            kept.append(measure_again(*args, **needs))
        return kept[0]

    return measured


def refused(monkeypatch, experiment, data, what, changed=None, **options) -> None:
    """Verification refuses ``data`` for the array ``what``, if given with ``changed`` altered."""
    if changed is not None:
        data = data.copy(deep=True)
        data[changed].values[...] += 1e-3
    with pytest.raises(ValueError, match=f"{experiment.name}: {what} measured again within"):
        verify(monkeypatch, experiment, data, **options)
