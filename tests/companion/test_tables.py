import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from companion.statistics import Interval
from companion.tables import interval, outcome, table

from plasticity.learning.criterion import TrialsToCriterion

ROWS = [
    {"rule": "(3,3)", "ratio": interval(Interval(1.0, -2.0, 3.0)), "never": "14 of 256"},
    {"rule": "told <kicks>", "ratio": "none", "never": "3 of 256"},
]


def _sides(shown) -> list[str]:
    tree = ElementTree.fromstring(shown.html())
    return [cell.get("style").split()[-1] for cell in tree.findall("./tbody/tr[1]/*")]


def test_numbers_stand_right_and_names_left():
    assert _sides(table(ROWS, "A caption.")) == ["left", "right", "right"]


@pytest.mark.parametrize(
    ("cells", "side"),
    [
        (["200 ms", "5 ms"], "right"),
        (["0.02 ± 0.01", "+3"], "right"),
        (["84% [70%, 98%]", "—"], "right"),
        (["1e-10", "0.013*"], "right"),
        ([3, 4.5], "right"),
        (["(1,5)", "(3,3)"], "left"),
        (["none", ""], "left"),
        (["3 stable points", "5"], "left"),
    ],
)
def test_a_column_is_of_numbers_if_all_its_cells_are(cells, side):
    assert _sides(table([{"": cell} for cell in cells], ""))[0] == side


def test_names_head_their_rows_and_everything_is_escaped():
    tree = ElementTree.fromstring(table(ROWS, "a < b").html())
    assert tree.find("caption/span").text == "a < b"
    assert [head.get("scope") for head in tree.findall("./thead/tr/th")] == ["col"] * 3
    heads = tree.findall("./tbody/tr/th")
    assert [head.text for head in heads] == ["(3,3)", "told <kicks>"]
    assert {head.get("scope") for head in heads} == {"row"}
    assert tree.find("./tbody/tr[1]/td[1]").text == "1.00 [−2.00, 3.00]"


def test_pairs_make_a_heading_of_two_rows():
    columns = {("", "measure"): ["a", "b"], ("trials", "f"): [0.1, 2], ("trials", "p"): [np.nan, 1]}
    tree = ElementTree.fromstring(table(pd.DataFrame(columns), "").html())
    above, below = tree.findall("./thead/tr")
    assert [(cell.text, cell.get("colspan")) for cell in above] == [(None, None), ("trials", "2")]
    assert [cell.text for cell in below] == ["measure", "f", "p"]
    assert tree.find("./tbody/tr[1]/td[2]").text is None


def test_text_is_the_same_every_time_and_aligned():
    frame = pd.DataFrame({"trials": [5, 120]}, index=pd.Index(["(3,3)", "told"], name="rule"))
    shown = table(frame, "Trials.", index=True)
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == "Trials.\nrule   trials\n(3,3)       5\ntold      120"
    assert bundle == table(frame, "Trials.", index=True)._repr_mimebundle_()


def test_outcome_counts_failures_and_has_no_median_where_half_fail():
    reached = np.array([True, True, False, False])
    columns = outcome(TrialsToCriterion(np.array([10, 20, 30, 30]), reached))
    assert columns["never"] == "2 of 4" and columns["median"] == "none"
    assert columns["restricted mean [95%]"].startswith("22 [")
