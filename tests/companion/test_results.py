"""Results are recorded in parts, refused where they do not belong, and measured again."""

import dataclasses

import jax
import numpy as np
import pytest
import reproduce
from coins import Coins, Sums
from companion import record, results
from companion.experiment import Variable


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
    live = results.measured(Coins())
    np.testing.assert_array_equal(found.errors.values, live.errors.values)
    # A record of the same is used also where none is asked for; of others, it is measured.
    assert results.result(Coins(), recorded=False) is found
    assert results.result(Coins(bend=3.0), recorded=False).errors.max() != found.errors.max()
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


def test_parts_go_once_they_are_recorded(book, monkeypatch):
    other = book / "scratch" / "coins-of-another-recording.npz"
    other.parent.mkdir()
    other.touch()
    _recorded(Coins(), book)
    assert list((book / "scratch").iterdir()) == [other]
    measured = _interrupted(monkeypatch, None)
    _recorded(Coins(), book)
    assert measured == [0, 1, 2, 3, 4]


CHANGES = ("nothing", "parameter", "seed", "source", "versions", "precision", "need")


@pytest.mark.parametrize("change", CHANGES)
def test_a_part_of_something_else_is_measured_again(book, monkeypatch, change):
    _recorded(Coins(), book)
    original, measured, stop = Sums.measure_one, [], [1]

    def measure_one(self, index, coins):
        if index in stop:
            raise KeyboardInterrupt
        measured.append(index)
        return original(self, index, coins)

    monkeypatch.setattr(Sums, "measure_one", measure_one)
    with pytest.raises(KeyboardInterrupt):
        _recorded(Sums(), book)
    stop.clear()
    experiment, x64 = Sums(), change != "precision"
    if change == "parameter":
        experiment = Sums(factor=2.0)
    if change == "seed":
        monkeypatch.setattr(Sums, "seeds", {"throws": 8})
    if change == "source":
        monkeypatch.setattr(Sums, "source", lambda _: "other")
    if change == "versions":
        others = record.versions() | {"jax": "9.9"}
        monkeypatch.setattr(record, "versions", lambda: others)
    if change == "need":
        values = Coins.values
        monkeypatch.setattr(Coins, "values", lambda self, which: 2 * values(self, which))
        _recorded(Coins(), book)
    with jax.enable_x64(x64):
        _recorded(experiment, book)
    assert measured == ([0] if change != "nothing" else []) + [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "a part of coins is a whole .npz of arrays; got .*, an empty file"),
        ({"other": np.ones(2)}, "a part of coins has its arrays, of this length"),
        ({"array errors": np.ones((3, 6)), "array reached": np.ones(2)}, ".*length; got .*3"),
    ],
)
def test_a_broken_part_is_set_aside_and_measured_again(book, monkeypatch, content, what):
    with monkeypatch.context() as patch:
        _interrupted(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            _recorded(Coins(), book)
    (part,) = (book / "scratch").iterdir()
    part.write_bytes(b"")
    if isinstance(content, dict):
        np.savez(part, **content | {"seconds": 1.0})
    measured = _interrupted(monkeypatch, None)
    with pytest.warns(RuntimeWarning, match=f"computed again.*0.npz.broken: {what}"):
        data = _recorded(Coins(), book)
    assert measured == [0, 1, 2, 3, 4]
    assert [p.name for p in (book / "scratch").iterdir()] == [f"{part.name}.broken"]
    np.testing.assert_array_equal(data.errors.values, Coins().measure(np.arange(5))["errors"])


def _class(name, value):
    return lambda patch: patch.setattr(Coins, name, value)


@pytest.mark.parametrize(
    ("break_it", "experiment", "message"),
    [
        (_class("seeds", {"throws": object()}), Coins(), "seeds holds text, finite numbers"),
        (_class("seeds", {7: 7}), Coins(), "seeds has text as keys"),
        (lambda _: None, Coins(bend=float("nan")), "bend holds text, finite numbers"),
        (
            _class("variables", Coins.variables | {"a/b": Variable(("coin",), "no name")}),
            Coins(),
            "Forward slashes",
        ),
        (
            _class("variables", {"x": Variable(("coin",), "a day", "days since 2000-01-01")}),
            Coins(),
            "x has the digest it was saved with",
        ),
        (
            lambda _: (record.folder() / "coins.nc").mkdir(),
            Coins(),
            "a file to write to; got the folder",
        ),
    ],
)
def test_what_cannot_be_recorded_is_found_before_anything_is_measured(
    book, monkeypatch, break_it, experiment, message
):
    break_it(monkeypatch)
    monkeypatch.setattr(Coins, "measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(ValueError, match=message):
        _recorded(experiment, book)
    assert not [path for path in book.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("at", "arrays", "message"),
    [
        (0, {"reached": np.array([None, None])}, "reached holds real numbers.*got type object"),
        (0, {"errors": np.ones((2, 7))}, "errors has 6 entries along trial; got 7"),
        (2, {"errors": np.ones((3, 6))}, r"errors has 2 entries along coin; got \(3, 6\)"),
    ],
)
def test_what_cannot_be_recorded_is_found_with_its_part(book, monkeypatch, at, arrays, message):
    measured, original = [], Coins.measure

    def measure(self, which):
        measured.extend(which.tolist())
        return original(self, which) | (arrays if which[0] == at else {})

    monkeypatch.setattr(Coins, "measure", measure)
    with pytest.raises(ValueError, match=message):
        _recorded(Coins(), book)
    assert measured == list(range(at + 2))
    assert not list((book / "records").iterdir())


def test_parts_of_other_shapes_are_not_joined(book, monkeypatch):
    original = Coins.measure
    # A dimension without labels, of which only the parts say how long it is.
    monkeypatch.setattr(
        Coins, "coordinates", lambda self: {"coin": [f"coin {i}" for i in range(5)]}
    )

    def measure(self, which):
        arrays = original(self, which)
        return arrays | {"errors": arrays["errors"][:, : 6 - which[0]]}

    monkeypatch.setattr(Coins, "measure", measure)
    with pytest.raises(ValueError, match=r"errors has the same shape at every label; got \[\(4,\)"):
        _recorded(Coins(), book)
    assert len(list((book / "scratch").iterdir())) == 1


def test_seeds_and_parameters_of_numpy_are_recorded_as_numbers(book, monkeypatch):
    monkeypatch.setattr(Coins, "seeds", {"throws": np.uint32(7)})
    made = record.provenance(_recorded(Coins(n_coins=np.int64(4)), book))
    assert made["seeds"] == {"throws": 7} and made["parameters"]["n_coins"] == 4


def test_a_refused_result_replaces_nothing(book, monkeypatch):
    _recorded(Coins(), book)
    path = book / "records" / "coins.nc"
    before = path.read_bytes()
    monkeypatch.setattr(Coins, "source", lambda _: "other")
    monkeypatch.setattr(Coins, "measure", lambda self, which: {"errors": np.ones((len(which), 6))})
    with pytest.raises(ValueError, match="reached"):
        _recorded(Coins(), book)
    assert path.read_bytes() == before


def test_a_record_that_cannot_be_read_is_recorded_anew(book, monkeypatch, capsys):
    monkeypatch.setattr(reproduce, "SCRATCH", book / "scratch")
    (book / "records" / "coins.nc").write_text("no record")
    reproduce.reproduce(Coins())
    told = capsys.readouterr().out
    assert "coins is recorded anew, for the one there is of no use: a record is a whole" in told
    assert "differ" not in told
    # Not taken over from parts of the first recording.
    original = Coins.values
    monkeypatch.setattr(Coins, "values", lambda self, which: 2 * original(self, which))
    reproduce.reproduce(Coins())
    assert "errors: 5 of 5 along coin differ" in capsys.readouterr().out
