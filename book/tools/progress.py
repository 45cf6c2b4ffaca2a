"""A bar on a terminal: how many cells of the chapters have run, and how long the rest may take."""

import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import nbformat
from tqdm import tqdm

_EVERY = 0.5  # seconds


def n_cells(notebook: Path) -> int:
    """Cells that running it executes: those of code that are not empty."""
    cells = nbformat.read(notebook, as_version=4).cells
    return sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in cells)


class CellBar:
    """Counts cells: whoever runs a notebook adds a byte to its file after each."""

    def __init__(self, notebooks: list[Path], folder: Path, stream: TextIO) -> None:
        self._files = {one: folder / f"{place}" for place, one in enumerate(notebooks)}
        form = "{l_bar}{bar}| {n_fmt} of {total_fmt} cells [{elapsed}, {remaining} left]"
        options = {"file": stream, "leave": False, "bar_format": form, "dynamic_ncols": True}
        self._bar = tqdm(total=sum(map(n_cells, notebooks)), **options)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def file(self, notebook: Path) -> Path:
        """To which a byte is added whenever a cell of the notebook has run."""
        return self._files[notebook]

    def aside(self, show: Callable, *arguments) -> None:
        """Call what prints lines of its own; the bar makes room for them."""
        with self._bar.get_lock():
            self._bar.clear(nolock=True)
            show(*arguments)
            self._bar.refresh(nolock=True)

    def close(self) -> None:
        """Count once more, and take the bar away."""
        self._stop.set()
        self._thread.join()
        self.count()
        self._bar.close()

    def count(self) -> None:
        """Show how many cells have run by now."""
        done = sum(file.stat().st_size for file in self._files.values() if file.exists())
        # A cell of parameters is put in beside those that were counted.
        self._bar.n = min(done, self._bar.total)
        self._bar.refresh()

    def _follow(self) -> None:
        while not self._stop.wait(_EVERY):
            self.count()


class NoBar:
    """In place of a `CellBar` where nobody watches."""

    def file(self, notebook: Path) -> None:
        """None: nothing is counted."""

    def aside(self, show: Callable, *arguments) -> None:
        """Call what prints."""
        show(*arguments)


@contextmanager
def cell_bar(
    notebooks: list[Path], stream: TextIO | None = None
) -> Generator[CellBar | NoBar, None, None]:
    """A bar on ``stream`` (standard error) if that is a terminal, or none."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield NoBar()
        return
    with tempfile.TemporaryDirectory() as folder:
        bar = CellBar(notebooks, Path(folder), stream)
        try:
            yield bar
        finally:
            bar.close()
