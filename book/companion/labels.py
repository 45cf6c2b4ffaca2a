"""Labels of coefficients and numbers, and an axis of two things taken apart."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import xarray as xr

from plasticity.types import require


def term_labels(degree: int = 5) -> list[str]:
    """(k,ℓ) for every coefficient of a rule of that degree, in the order of θ's rows."""
    powers = range(degree + 1)
    return [f"({k},{ell})" for k, ell in product(powers, powers)]


def unfolded(data: xr.Dataset, axis: str, **levels: Sequence) -> xr.Dataset:
    """``data`` with several dimensions in place of ``axis``, with which all its arrays begin.

        unfolded(data, "run", rewards=["fixed", "differentiated"], network=range(4))

    Args:
        levels: dimension → its labels; along the axis those of the last one change first.

    Raises:
        ValueError: labels that do not fit the length of the axis.
    """
    sizes = [len(labels) for labels in levels.values()]
    rule = f"labels for the {data.sizes[axis]} entries along {axis}"
    fits = math.prod(sizes) == data.sizes[axis]
    require(fits, rule, dict(zip(levels, sizes, strict=True)), "give each dimension all its labels")
    arrays = {}
    for name, array in data.data_vars.items():
        values = array.values.reshape(*sizes, *array.shape[1:])
        arrays[name] = ((*levels, *array.dims[1:]), values, array.attrs)
    others = {name: labels for name, labels in data.coords.items() if name != axis}
    given = {name: (name, np.asarray(labels)) for name, labels in levels.items()}
    return xr.Dataset(arrays, others | given, data.attrs)


def three_digits(value: float) -> str:
    """A number with three significant digits and without an exponent."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
