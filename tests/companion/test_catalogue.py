"""The book's experiments: listed once, complete, and documented."""

import dataclasses
import json

import pytest
from coins import Coins, Sums
from companion import record
from companion.catalogue import EXPERIMENTS, catalogued
from companion.seeds import SEEDS, seed

NAMES = list(EXPERIMENTS)


def test_each_experiment_comes_after_those_that_it_needs():
    assert list(catalogued([Sums(), Coins()])) == ["coins", "sums"]
    for name, experiment in EXPERIMENTS.items():
        assert all(NAMES.index(n.name) < NAMES.index(name) for n in experiment.needs.values())


def test_two_experiments_of_one_name_are_refused():
    with pytest.raises(ValueError, match="names of their own; got 'coins': rename one"):
        catalogued([Coins(), Coins(bend=2.0)])


def test_an_unknown_need_is_refused():
    with pytest.raises(ValueError, match="needs what is listed.*; got coins of sums"):
        catalogued([Sums()])
    with pytest.raises(ValueError, match="with the same parameters"):
        catalogued([Coins(), Sums(coins=Coins(bend=2.0))])


def test_a_circle_of_needs_is_refused():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Turning(Sums):
        name = "turning"

        @property
        def needs(self):
            return {"itself": self}

    with pytest.raises(ValueError, match="does not need itself; got turning → turning"):
        catalogued([Turning()])


@pytest.mark.parametrize("name", NAMES)
def test_every_array_is_described(name):
    experiment = EXPERIMENTS[name]
    assert experiment.title and type(experiment).__doc__
    labels = experiment.coordinates()
    assert experiment.length == len(set(labels[experiment.axis])) > 0
    for variable in experiment.variables.values():
        assert variable.dims[0] == experiment.axis
        assert len(variable.meaning) > 3 and variable.unit
    used = {entry.number for entry in SEEDS.values() if not entry.retired}
    assert set(experiment.seeds.values()) <= used, "seeds in use, from the one table"
    assert json.loads(json.dumps(experiment.parameters)) == experiment.parameters


@pytest.mark.parametrize("name", NAMES)
def test_every_record_is_there_and_is_what_is_declared(name):
    experiment = EXPERIMENTS[name]
    data = record.load(record.folder() / f"{name}.nc")
    again = experiment.dataset({n: v.values for n, v in data.data_vars.items()})
    assert again.drop_attrs().identical(data.drop_attrs())
    made = record.provenance(data)
    assert made["parameters"] == experiment.parameters
    assert made["seeds"] == dict(experiment.seeds)
    assert made["needs"] == {
        field: record.load(record.folder() / f"{need.name}.nc").attrs["sha256"]
        for field, need in experiment.needs.items()
    }


def test_nothing_is_recorded_that_is_not_listed():
    names = {path.name for path in record.folder().iterdir()}
    # By other programs, and a description of them all.
    others = {"miconi_program.csv", "earlier_attempts.csv", "ro-crate-metadata.json"}
    assert names == others | {f"{name}.nc" for name in EXPERIMENTS}


def test_seeds_are_used_once_and_a_retired_one_is_refused():
    numbers = [entry.number for entry in SEEDS.values()]
    assert len(set(numbers)) == len(numbers)
    retired = next(name for name, entry in SEEDS.items() if entry.retired)
    with pytest.raises(ValueError, match="retired"):
        seed(retired)


def test_networks_that_choose_never_judge():
    choose = {seed(name) for name in ("rates", "map", "training", "validation", "choice of bounds")}
    judge = {seed(name) for name in SEEDS if name.startswith(("test, ", "learned rules", "rules"))}
    assert not choose & judge
