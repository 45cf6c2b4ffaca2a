"""An experiment as a value: what is measured, from what, with which seeds, how it is verified.

A subclass of `Experiment` is a frozen dataclass. Its fields are the parameters, and those that are
experiments themselves are its *needs*: what it takes from another record. It is measured label by
label along its first dimension, so that it can be interrupted, and so that a few labels can be
measured again. `companion.results` runs, records, loads and verifies any of them; the book's own
are listed in `companion.catalogue`.

    @dataclass(frozen=True, kw_only=True)
    class Coin(Experiment):
        name, title, axis = "coin", "Throws of a fair coin", "coin"
        variables = {"heads": Variable(("coin", "throw"), "whether it fell on its head")}
        seeds = {"throws": 7}
        n_coins: int = 8
        n_throws: int = 100
        ...
"""

import dataclasses
import hashlib
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import xarray as xr

import companion
import plasticity
from plasticity.files import Arrays
from plasticity.types import require

_SHOWN = ("figures", "tables", "ledgers")  # modules that measure nothing
_SELECTS = {"method", "tolerance", "drop"}


class Variable(NamedTuple):
    """What one array of an experiment holds.

    Attributes:
        dims: names of its dimensions; the first is the experiment's axis.
        meaning: a sentence.
        unit: "1" for plain numbers.
    """

    dims: tuple[str, ...]
    meaning: str
    unit: str = "1"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The base of all experiments. Subclasses are frozen dataclasses with keyword-only fields.

    Attributes:
        name: of the record's file; a class attribute, or a property where fields decide it.
        title: what is measured, in one line.
        axis: the dimension that every array begins with, and along which parts are cut.
        part: labels of the axis that are measured in one go, and kept if the rest is interrupted.
        variables: name → `Variable` of every array that `measure` returns.
        seeds: purpose → number, from `companion.seeds`.
        tolerance: by how much what is measured again, in float64, may differ from the record.
        fraction: share of the labels that are measured again whenever the record is used.
        optimised: whether that takes long enough to be worth compiling well.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    axis: ClassVar[str] = "network"
    part: ClassVar[int] = 1
    variables: ClassVar[Mapping[str, Variable]] = {}
    seeds: ClassVar[Mapping[str, int]] = {}
    tolerance: ClassVar[float] = 5e-3
    fraction: ClassVar[float] = 0.05
    optimised: ClassVar[bool] = False

    def coordinates(self) -> dict[str, Sequence]:
        """Dimension → its labels; at least those of the axis."""
        raise NotImplementedError(f"{type(self).__name__}.coordinates")

    def measure(self, which: np.ndarray, **needs: xr.Dataset) -> Arrays:
        """The arrays at the positions ``which`` of the axis; by default `measure_one` of each.

        Args:
            needs: the results of `needs`, by the names of the fields.
        """
        return stacked([self.measure_one(int(index), **needs) for index in which])

    def measure_one(self, index: int, **needs: xr.Dataset) -> dict[str, Any]:
        """The arrays at one position of the axis, without that dimension."""
        raise NotImplementedError(f"{type(self).__name__}.measure or measure_one")

    def measure_again(self, which: np.ndarray, recorded: xr.Dataset, **needs: xr.Dataset) -> Arrays:
        """First entries of some of the arrays, over trials so few that float32 and float64 agree.

        By default `measure_one_again` of each. ``recorded`` holds the positions ``which`` of the
        record: what was chosen there is taken over, not chosen again.
        """
        each = [
            self.measure_one_again(int(index), recorded.isel({self.axis: place}), **needs)
            for place, index in enumerate(which)
        ]
        return stacked(each)

    def measure_one_again(
        self, index: int, recorded: xr.Dataset, **needs: xr.Dataset
    ) -> dict[str, Any]:
        """`measure_again` at one position of the axis, without that dimension."""
        raise NotImplementedError(f"{type(self).__name__}.measure_again or measure_one_again")

    @property
    def needs(self) -> dict[str, "Experiment"]:
        """Field → experiment, of the fields that are experiments."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Experiment)}

    @property
    def parameters(self) -> dict[str, Any]:
        """Field → value of all other fields, as plain numbers, strings, lists and dictionaries.

        Raises:
            ValueError: a value that a record cannot keep, as `plain`.
        """
        fields = (f.name for f in dataclasses.fields(self) if f.name not in self.needs)
        return {name: plain(getattr(self, name), name) for name in fields}

    @property
    def length(self) -> int:
        """Labels of the axis."""
        return len(self.coordinates()[self.axis])

    def parts(self) -> list[np.ndarray]:
        """Positions of the axis, cut into the pieces that are measured in one go."""
        return np.split(np.arange(self.length), range(self.part, self.length, self.part))

    def source(self) -> str:
        """Digest of the source that measures: the experiment's module, the companion, the library.

        What only shows results (figures, tables, ledgers) does not count.
        """
        modules = [Path(inspect.getfile(type(self)))]
        for package, shown in ((plasticity, ()), (companion, _SHOWN)):
            folder = Path(package.__file__).parent
            files = sorted(folder.rglob("*.py"))
            modules += [f for f in files if not {f.stem, f.parent.name} & set(shown)]
        state = hashlib.sha256()
        for file in modules:
            state.update(file.name.encode() + file.read_bytes())
        return state.hexdigest()[:16]

    def dataset(self, arrays: Mapping[str, Any]) -> xr.Dataset:
        """Measured arrays with names, dimensions, labels, units and meanings.

        Raises:
            ValueError: an array that is not declared, or the reverse; other dimensions than
                declared; objects or complex numbers, which a record cannot keep.
        """
        who = f"{self.name}: measure returns the declared arrays"
        extra, missing = sorted(set(arrays) - set(self.variables)), self.variables.keys() - arrays
        require(not extra, who, f"{extra} besides", "declare them in `variables`")
        require(not missing, who, f"none of {sorted(missing)}", "return them, or declare fewer")
        taken = {dim for v in self.variables.values() for dim in v.dims} & _SELECTS
        rule = f"{self.name}: no dimension is called as an option of xarray's `sel`"
        require(not taken, rule, sorted(taken), "give it another name")
        labels, data = self.coordinates(), {}
        for name, (dims, meaning, unit) in self.variables.items():
            array = np.asarray(arrays[name])
            rule = f"{self.name}: {name} holds real numbers, truth values or text"
            require(array.dtype.kind in "biufU", rule, f"type {array.dtype}", "convert it")
            rule = f"{self.name}: {name} has the dimensions {dims}"
            require(array.ndim == len(dims), rule, array.shape, "change the one or the other")
            for dim, size in zip(dims, array.shape, strict=True):
                wanted = len(labels[dim]) if dim in labels else size
                rule = f"{self.name}: {name} has {wanted} entries along {dim}"
                require(size == wanted, rule, size, "let `coordinates` list what is measured")
            data[name] = (dims, array, {"long_name": meaning, "units": unit})
        used = {dim for variable in self.variables.values() for dim in variable.dims}
        coords = {dim: (dim, np.asarray(values)) for dim, values in labels.items() if dim in used}
        return xr.Dataset(data, coords, {"title": self.title})


def plain(value: Any, name: str = "a parameter") -> Any:
    """A parameter as JSON writes it: tuples become lists, NumPy's numbers Python's.

    Raises:
        ValueError: what would not come back from JSON; tells it by ``name``.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        require(not odd, f"{name} has text as keys", odd, "give names")
        return {str(key): plain(held, name) for key, held in value.items()}
    if isinstance(value, tuple | list):
        return [plain(held, name) for held in value]
    keeps = value is None or isinstance(value, str | bool | int)
    keeps = keeps or isinstance(value, float) and math.isfinite(value)
    rule = f"{name} holds text, finite numbers, truth values, None, and lists and mappings of these"
    require(keeps, rule, f"{value!r} of {type(value)}", "use None for no value, names for objects")
    return value


def stacked(each: Sequence[Mapping[str, Any]]) -> Arrays:
    """The arrays of several measurements, joined along a new first axis."""
    return {name: np.stack([np.asarray(one[name]) for one in each]) for name in each[0]}
