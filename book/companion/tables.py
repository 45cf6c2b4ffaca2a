"""Tables of the book: a cell ends with `table(...)`, and pages, terminals and tests show the same.

    rows = [{"rule": name} | outcome(compared.sel(rule=name)) for name in RULES]
    table(rows, "Trials to criterion on 256 networks, each rule at its best rate.")

Cells are strings, formatted as they shall read, or numbers (three digits). A column in which every
cell begins with a number is set to the right; (1,5) is a name and not a number. The first column,
if it holds names, is the heading of its rows.
"""

import re
from collections.abc import Iterable, Mapping
from html import escape
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from companion.statistics import Interval, bootstrap_interval
from plasticity.learning.criterion import TrialsToCriterion

# A sign or bound, a digit, and then no word longer than a unit: "14 of 256", "0.97 [0.94, 1.0]".
_NUMBER = re.compile(r"[-+−±<>≤≥≈~]? ?\[?[-+−]?\.?\d(?!.*[^\W\d_]{4})")
_NONE = {"", "none", "never", "nan", "-", "–", "—"}
_MINUS = re.compile(r"(?<![\w.)])-(?=[\d.])")


class Table:
    """A data frame with a caption, as HTML and as text.

    Attributes:
        text: frame of the cells as they are shown.
        caption: a sentence.
    """

    def __init__(self, text: pd.DataFrame, caption: str):
        self.text, self.caption = text, caption

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        columns = [[*heads, *cells] for heads, cells in self._columns()]
        widths = [max(map(len, column)) for column in columns]
        sides = [">" if right else "<" for right in self._right()]
        rows = (
            "  ".join(f"{cell:{s}{w}}" for cell, s, w in zip(row, sides, widths, strict=True))
            for row in zip(*columns, strict=True)
        )
        return "\n".join([self.caption, *(row.rstrip() for row in rows)])

    def html(self) -> str:
        """The table as HTML, with its alignment, so that it reads well without the book's style."""
        right = self._right()
        headed = not right[0]
        columns = list(self._columns())
        heads = zip(*(heads for heads, _ in columns), strict=True)
        cells = zip(*(cells for _, cells in columns), strict=True)
        lines = [
            '<table class="dataframe">',
            f"<caption><span>{escape(self.caption)}</span></caption>",
            "<thead>",
            *(_head_row(list(row), right) for row in heads),
            "</thead>",
            "<tbody>",
            *(_row(row, right, headed) for row in cells),
            "</tbody>",
            "</table>",
        ]
        return "\n".join(lines)

    def _columns(self) -> Iterable[tuple[list[str], list[str]]]:
        """Heading (one string a level) and cells of each column."""
        for place, name in enumerate(self.text.columns):
            heads = name if isinstance(name, tuple) else (name,)
            yield [str(head) for head in heads], self.text.iloc[:, place].tolist()

    def _right(self) -> list[bool]:
        return [_is_numeric(cells) for _, cells in self._columns()]


def table(
    data: pd.DataFrame | Iterable[Mapping[Any, Any]], caption: str, *, index: bool = False
) -> Table:
    """A table to end a cell with, or to `display`.

    Args:
        data: a data frame, or a dictionary a row. Names of columns that are pairs, such as
            ("equal trials", "p"), make a heading of two rows.
        caption: a sentence that says what the numbers are.
        index: whether the index of a data frame is shown, as first column.
    """
    frame = data if isinstance(data, pd.DataFrame) else pd.DataFrame(list(data))
    if index:
        frame = frame.reset_index()
    return Table(frame.map(_shown), caption)


def interval(i: Interval, form: str = ".2f") -> str:
    """An estimate with its interval, as "1.01 [0.98, 1.04]"; ``form`` as in an f-string."""
    return f"{i.estimate:{form}} [{i.low:{form}}, {i.high:{form}}]"


def outcome(result: TrialsToCriterion | xr.Dataset) -> dict[str, str]:
    """Columns of a table on how fast one group of networks learned.

    Args:
        result: has ``trials`` to criterion and whether it was ``reached``, of each network.
    """
    trials, reached = np.ravel(result.trials), np.ravel(result.reached)
    median = f"{np.median(trials):.0f}" if reached.mean() > 0.5 else "none"
    return {
        "restricted mean [95%]": interval(bootstrap_interval(trials), ".0f"),
        "median": median,
        "never": f"{int((~reached).sum())} of {trials.size}",
    }


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        return "" if pd.isna(value) else f"{float(value):.3g}"
    return "" if value is None else {"True": "yes", "False": "no"}.get(str(value), str(value))


def _is_numeric(cells: list[str]) -> bool:
    given = [cell for cell in cells if cell.strip().lower() not in _NONE]
    return bool(given) and all(_NUMBER.match(cell.strip()) for cell in given)


def _head_row(names: list[str], right: list[bool]) -> str:
    """One row of headings; equal ones beside each other are joined."""
    spans: list[list[int]] = []
    for place, name in enumerate(names):
        if spans and name and name == names[spans[-1][0]]:
            spans[-1].append(place)
        else:
            spans.append([place])
    cells = []
    for first, *more in spans:
        kind = f'"colgroup" colspan="{1 + len(more)}"' if more else '"col"'
        side = "center" if more else _side(right[first])
        tag = "th" if names[first] else "td"
        scope = f" scope={kind}" if names[first] else ""
        cells.append(f'<{tag}{scope} style="text-align: {side}">{escape(names[first])}</{tag}>')
    return f"<tr>{''.join(cells)}</tr>"


def _row(cells: Iterable[str], right: list[bool], headed: bool) -> str:
    written = []
    for place, cell in enumerate(cells):
        tag, scope = ("th", ' scope="row"') if headed and place == 0 else ("td", "")
        text = escape(_MINUS.sub("−", cell) if right[place] else cell)
        written.append(f'<{tag}{scope} style="text-align: {_side(right[place])}">{text}</{tag}>')
    return f"<tr>{''.join(written)}</tr>"


def _side(right: bool) -> str:
    return "right" if right else "left"
