"""What an experiment declares is what it returns."""

import dataclasses

import numpy as np
import pytest
from coins import Coins, Sums
from companion.experiment import Experiment, Variable, plain

ARRAYS = Coins().measure(np.arange(5))


def test_measured_arrays_get_names_labels_units_and_meanings():
    data = Coins().dataset(ARRAYS)
    assert data.errors.dims == ("coin", "trial")
    assert data.errors.attrs == {"long_name": "mean error of every trial", "units": "mV"}
    assert data.errors.sel(coin="coin 3").values.tolist() == ARRAYS["errors"][3].tolist()
    assert data.title == "Courses of a sine"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (ARRAYS | {"more": np.ones(5)}, r"declared arrays; got \['more'\] besides: declare them"),
        ({"errors": ARRAYS["errors"]}, r"got none of \['reached'\]: return them"),
        (ARRAYS | {"errors": np.ones(5)}, r"errors has the dimensions \('coin', 'trial'\)"),
        (ARRAYS | {"errors": np.ones((5, 7))}, "errors has 6 entries along trial; got 7"),
        (ARRAYS | {"reached": np.array([None] * 5)}, "holds real numbers.*; got type object"),
        (ARRAYS | {"reached": np.ones(5) * 1j}, "reached holds real.*; got type complex128"),
    ],
)
def test_what_is_not_declared_is_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        Coins().dataset(arrays)


def test_fields_that_are_experiments_are_needs_and_all_others_parameters():
    assert Sums(coins=Coins(bend=2.0)).needs == {"coins": Coins(bend=2.0)}
    assert Sums().parameters == {"factor": 1.0}
    assert Coins().needs == {} and Coins().parameters["n_coins"] == 5
    assert hash(Sums()) == hash(Sums()) and Sums() != Sums(factor=2.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Coins().bend = 3.0


def test_parts_cover_the_axis_once():
    parts = Coins().parts()
    assert [part.tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert [len(part) for part in Sums().parts()] == [1] * 5


def test_parameters_are_what_json_writes():
    value = {"a": (1, (2.0, np.float64(3.0))), "b": np.arange(2), "c": None}
    assert plain(value) == {"a": [1, [2.0, 3.0]], "b": [0, 1], "c": None}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "bend holds text, finite numbers, .*; got nan of .*: use None for no value"),
        (np.array([1.0, np.inf]), "got inf of"),
        ((1, (2, {"a": object()})), "got <object object at .* of <class 'object'>"),
        (1j, "got 1j of"),
        (np.longdouble(1), "of <class 'numpy.longdouble'>"),
        (np.datetime64("2025-01-01"), "got datetime.date"),
        (b"text", "got b'text'"),
        ({1: 2}, r"bend has text as keys; got \[1\]: give names"),
    ],
)
def test_a_parameter_that_a_record_cannot_keep_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        assert Coins(bend=value).parameters


def test_the_source_of_an_experiment_is_that_of_its_module():
    assert Coins().source() == Sums().source() != Experiment().source()


def test_an_experiment_without_a_method_says_which():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Empty(Experiment):
        variables = {"x": Variable(("network",), "nothing")}

    with pytest.raises(NotImplementedError, match="Empty.measure or measure_one"):
        Empty().measure(np.arange(1))
