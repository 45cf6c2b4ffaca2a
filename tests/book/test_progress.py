import io

import nbformat
import pytest
import running
from progress import cell_bar, n_cells


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def notebook(tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell("# Words"),
        nbformat.v4.new_code_cell("a: int = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("  \n"),
        nbformat.v4.new_code_cell("a + 1"),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path = tmp_path / "01_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def test_a_bar_on_a_terminal_counts_cells_and_tells_the_time_left(notebook):
    terminal = Terminal()
    with cell_bar([notebook], terminal) as bar:
        bar.file(notebook).write_bytes(b".")
        bar.count()
        bar.aside(terminal.write, "a line of its own\n")
    shown = terminal.getvalue().split("\r")
    assert n_cells(notebook) == 2
    assert any("0 of 2 cells" in line for line in shown)
    assert any("1 of 2 cells" in line and "left]" in line for line in shown)
    # The line begins where a line begins, not at the end of the bar.
    assert any(line.startswith("a line of its own") for line in shown)
    assert not shown[-1].strip(), "no bar is left behind"


def test_nothing_is_drawn_where_nobody_watches(notebook):
    words = io.StringIO()
    with cell_bar([notebook], words) as bar:
        assert bar.file(notebook) is None
        bar.aside(words.write, "done")
    assert words.getvalue() == "done"


def test_running_a_notebook_counts_its_cells(notebook, tmp_path):
    count, target = tmp_path / "count", tmp_path / "out" / "01_small.ipynb"
    running.execute(notebook, target, {}, count)
    assert count.stat().st_size == n_cells(notebook)
    assert target.exists()
