"""Results are recorded in parts, refused where they do not belong, and measured again."""

import dataclasses

import jax
import numpy as np
import pytest
from coins import Coins, Sums
from companion import record, results


@pytest.fixture(autouse=True)
def book(tmp_path, monkeypatch):
    """Records in a folder of the test's, and nothing measured before."""
    (tmp_path / "records").mkdir()
    monkeypatch.setattr(record, "folder", lambda: tmp_path / "records")
    monkeypatch.setattr(results, "_measured", {})
    monkeypatch.setattr(results, "_verified", {})
    return tmp_path


def _recorded(experiment, book):
    return results.record_in_parts(experiment, book / "scratch")


def test_a_recorded_result_is_verified_once_and_is_what_is_measured(book, monkeypatch):
    _recorded(Coins(), book)
    found = results.result(Coins())
    live = results.result(Coins(), recorded=False)
    np.testing.assert_array_equal(found.errors.values, live.errors.values)
    monkeypatch.setattr(results, "verify", lambda *_: pytest.fail("verified twice"))
    assert results.result(Coins()) is found


def test_needs_come_from_what_was_measured_then_from_records_then_live(book):
    _recorded(Coins(), book)
    small = Coins(n_coins=3, bend=2.0)
    assert results.measured(Sums(coins=small)).total.size == 3  # no record of these: live
    assert results.needed(Coins()) is results.recorded_result(Coins())
    live = results.measured(Coins())
    assert results.needed(Coins()) is live
    # A record of something else by that name is not taken for it.
    assert results.needed(Coins(bend=3.0)).errors.max() != live.errors.max()


def test_other_parameters_are_refused_by_name(book):
    _recorded(Coins(), book)
    with pytest.raises(ValueError, match=r"parameters it was made with .*'bend': \(1.0, 2.0\)"):
        results.result(Coins(bend=2.0))
    with pytest.raises(FileNotFoundError, match="make reproduce"):
        results.result(Sums())


def test_other_labels_are_refused(book, monkeypatch):
    _recorded(Coins(), book)
    monkeypatch.setattr(Coins, "coordinates", lambda self: {"coin": list("abcde")})
    with pytest.raises(
        ValueError, match="coins has the arrays and the labels of the experiment; got coin"
    ):
        results.recorded_result(Coins())


def test_a_need_that_has_moved_on_is_refused(book, monkeypatch):
    _recorded(Coins(), book)
    _recorded(Sums(), book)
    assert float(results.result(Sums()).total[0]) == 15.0
    original = Coins.values
    monkeypatch.setattr(Coins, "values", lambda self, which: 2 * original(self, which))
    (book / "scratch").rename(book / "elsewhere")
    _recorded(Coins(), book)
    with pytest.raises(ValueError, match=r"needs it was made from; got others of \['coins'\]"):
        results.recorded_result(Sums())


def test_some_labels_are_measured_again_in_float64(book, monkeypatch):
    data, seen = _recorded(dataclasses.replace(Coins(), n_coins=40), book), []
    experiment, original = Coins(n_coins=40), Coins.measure_again

    def spy(self, which, recorded):
        seen.append((which, recorded.coin.values.tolist(), jax.numpy.zeros(1).dtype))
        return original(self, which, recorded)

    monkeypatch.setattr(Coins, "measure_again", spy)
    settings = ("jax_disable_most_optimizations", "jax_enable_x64")
    before = [jax.config.values[name] for name in settings]
    with jax.enable_x64(False):
        gap = results.verify(experiment, data)
    assert [jax.config.values[name] for name in settings] == before
    (which, labels, dtype), *rest = seen
    assert not rest and len(set(which)) == 2 and dtype == np.float64
    assert labels == [f"coin {i}" for i in which]
    assert 0 < gap < 1e-5


def test_which_labels_changes_with_the_version(book, monkeypatch):
    data, chosen = _recorded(Coins(n_coins=40), book), set()

    def spy(self, which, recorded):
        chosen.add(tuple(which.tolist()))
        return {"errors": self.values(which)[:, :3]}

    monkeypatch.setattr(Coins, "measure_again", spy)
    for release in ("0.1.0", "0.2.0", "0.3.0", "1.0.0"):
        monkeypatch.setattr(results, "version", lambda _, release=release: release)
        results.verify(Coins(n_coins=40), data)
    assert len(chosen) > 1


def test_a_record_of_something_else_fails(book, monkeypatch):
    data = _recorded(Coins(), book)
    original = Coins.values
    monkeypatch.setattr(Coins, "values", lambda self, which: original(self, which + 1))
    with pytest.raises(ValueError, match="errors measured again within 1e-05; got a difference"):
        results.verify(Coins(), data)
    monkeypatch.setattr(Coins, "values", lambda self, which: np.full((len(which), 6), np.nan))
    with pytest.raises(ValueError, match="finite"):
        results.verify(Coins(), data)


def test_a_single_changed_label_fails_once_it_is_chosen(book, monkeypatch):
    data = _recorded(Coins(), book).copy(deep=True)
    data.errors.values[3, 1] += 0.01
    monkeypatch.setattr(Coins, "fraction", 1.0)
    with pytest.raises(ValueError, match="coins: errors measured again"):
        results.verify(Coins(), data)


def _interrupted(monkeypatch, at):
    """Positions that were measured; the part that begins with ``at`` is interrupted."""
    measured, original = [], Coins.measure

    def measure(self, which):
        if which[0] == at:
            raise KeyboardInterrupt
        measured.extend(which.tolist())
        return original(self, which)

    monkeypatch.setattr(Coins, "measure", measure)
    return measured


def test_an_interrupted_recording_goes_on(book, monkeypatch):
    with monkeypatch.context() as patch:
        measured = _interrupted(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            _recorded(Coins(), book)
    assert measured == [0, 1] and not list((book / "records").iterdir())
    measured = _interrupted(monkeypatch, None)
    data = _recorded(Coins(), book)
    assert measured == [2, 3, 4]
    np.testing.assert_array_equal(data.errors.values, Coins().measure(np.arange(5))["errors"])


@pytest.mark.parametrize("change", ["parameter", "source", "version", "need"])
def test_a_part_of_something_else_is_measured_again(book, monkeypatch, change):
    _recorded(Coins(), book)
    _recorded(Sums(), book)
    count = len(list((book / "scratch").iterdir()))
    experiment = Coins()
    if change == "parameter":
        experiment = Coins(n_trials=7)
    if change == "source":
        monkeypatch.setattr(Coins, "source", lambda _: "other")
    if change == "version":
        monkeypatch.setattr(results, "version", lambda _: "9.9")
    if change == "need":
        experiment, original = Sums(), Coins.values
        monkeypatch.setattr(Coins, "values", lambda self, which: 2 * original(self, which))
        monkeypatch.setattr(Coins, "source", lambda _: "other")
        _recorded(Coins(), book)
        count = len(list((book / "scratch").iterdir()))
    _recorded(experiment, book)
    assert len(list((book / "scratch").iterdir())) == count + len(experiment.parts())
    _recorded(experiment, book)
    assert len(list((book / "scratch").iterdir())) == count + len(experiment.parts())


def test_a_refused_result_replaces_nothing(book, monkeypatch):
    _recorded(Coins(), book)
    path = book / "records" / "coins.nc"
    before = path.read_bytes()
    monkeypatch.setattr(Coins, "source", lambda _: "other")
    monkeypatch.setattr(Coins, "measure", lambda self, which: {"errors": np.ones((len(which), 6))})
    with pytest.raises(ValueError, match="reached"):
        _recorded(Coins(), book)
    assert path.read_bytes() == before
