import numpy as np
import pytest
import xarray as xr
from companion.labels import term_labels, three_digits, unfolded


def test_terms_are_in_the_order_of_the_rows():
    assert term_labels(1) == ["(0,0)", "(0,1)", "(1,0)", "(1,1)"]
    assert term_labels()[21] == "(3,3)" and len(term_labels()) == 36


def test_an_axis_of_two_things_is_taken_apart():
    values = np.arange(24).reshape(6, 4)
    attributes = {"long_name": "numbers", "units": "1"}
    data = xr.Dataset(
        {"x": (("run", "trial"), values, attributes)},
        {"run": list("abcdef"), "trial": [1, 2, 3, 4]},
        {"title": "small"},
    )
    apart = unfolded(data, "run", rule=("one", "two"), network=range(3))
    assert apart.x.dims == ("rule", "network", "trial")
    assert apart.x.sel(rule="two", network=1, trial=3) == values[4, 2]
    assert apart.x.attrs == attributes and apart.attrs == data.attrs
    with pytest.raises(ValueError, match="labels for the 6 entries along run"):
        unfolded(data, "run", rule=("one", "two"), network=range(4))


def test_numbers_have_three_digits_and_no_exponent():
    numbers = (421234.0, 1.9e3, 22.96, 7.0, 0.0135, 0.00792)
    shown = ["421000", "1900", "23", "7", "0.0135", "0.00792"]
    assert [three_digits(number) for number in numbers] == shown
