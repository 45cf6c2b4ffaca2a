"""Execute notebooks with papermill: a result takes its place only when it is complete.

    running.py NOTEBOOK TARGET VALUES [COUNT]    one notebook, its parameters in JSON; a byte is
                                                 added to the file COUNT after each cell

Exit status: 0; 1 if a cell raised, if the kernel died, or if a figure is missing.
"""

import json
import os
import sys
from contextlib import closing
from pathlib import Path

import nbformat
import papermill
from environment import settle
from kernels import prepare_kernels
from nbclient.exceptions import DeadKernelError
from phases import Ended, Task, interruptible, report, run_tasks
from progress import cell_bar

# The starts of their names, by how long they take: of two that run side by side, neither is to be
# alone at the end. What is not here comes first.
LONGEST_FIRST = ("07", "06", "04", "09", "02", "08", "03", "11", "05", "01")


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what differs from run to run and machine to machine but is no result."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    # What one cell prints arrives in pieces, each of which would become a box of its own.
    whole = []
    for output in outputs:
        last = whole[-1] if whole else None
        if last and output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            whole.append(output)
    return whole


class MissingFigure(Exception):
    """A cell with a caption has drawn nothing."""


def undrawn(notebook: nbformat.NotebookNode) -> list[str]:
    """The names of figures that have a caption and no image."""
    names = []
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        drawn = any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        if figure and not drawn:
            names.append(figure.get("name", "a figure without a name"))
    return names


def execute(notebook: Path, target: Path, values: dict, count: Path | None = None) -> None:
    """Run a chapter in its folder and put the result at ``target``, once it has succeeded.

    Args:
        count: a file to which a byte is added after each cell.

    Raises:
        papermill.PapermillExecutionError: a cell raised.
        nbclient.exceptions.DeadKernelError: the kernel was killed.
        MissingFigure: a cell with a caption has drawn nothing.
    """
    options = {"kernel_name": "python3", "cwd": str(notebook.parent), "progress_bar": False}
    # When it is interrupted, or at its end, a kernel has nothing to clean up.
    options |= {"shutdown_kernel": "immediate"}
    if count is not None:

        def add(**_) -> None:
            with count.open("ab") as file:
                file.write(b".")

        options["on_cell_executed"] = add
    read = nbformat.read(notebook, as_version=4)
    executed = clean(papermill.execute_notebook(read, None, values, **options))
    if missing := undrawn(executed):
        fix = "show the figure in that cell, by matplotlib's inline backend"
        what = f"a cell with a caption draws; got no image for {', '.join(missing)}"
        raise MissingFigure(f"{what}: {fix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        nbformat.write(executed, beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def longest_first(notebooks: list[Path]) -> list[Path]:
    """The order in which to start them; pages around the chapters are short and come last."""

    def place(notebook: Path) -> int:
        if not notebook.stem[0].isdigit():
            return len(LONGEST_FIRST)
        starts = [notebook.stem.startswith(name) for name in LONGEST_FIRST]
        return starts.index(True) if any(starts) else -1

    return sorted(notebooks, key=place)


def chapter_task(
    notebook: Path, target: Path, values: dict, phase: str = "chapters", count: Path | None = None
) -> Task:
    """A process that runs `execute`: papermill changes the folder of the one that it runs in."""
    command = [sys.executable, __file__, str(notebook), str(target), json.dumps(values)]
    command += [] if count is None else [str(count)]
    return Task(phase, notebook.stem, tuple(command))


def execute_all(
    targets: dict[Path, Path], values: dict[str, dict], jobs: int = 1
) -> tuple[bool, list[Ended]]:
    """Run chapters, ``jobs`` of them at a time; whether all succeeded, and what each took.

    ``targets``: notebook → where the result goes; ``values``: name → parameters.
    """
    order = longest_first(list(targets)) if jobs > 1 else targets
    ended = []
    with cell_bar(list(targets)) as bar:
        tasks = [
            chapter_task(n, targets[n], values.get(n.stem, {}), count=bar.file(n)) for n in order
        ]
        with closing(run_tasks(tasks, jobs, keep_going=True)) as course:
            for one in course:
                bar.aside(report, one)
                ended.append(one)
    return all(one.status == 0 for one in ended), ended


def main(argv: list[str]) -> int:
    if len(argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    settle()
    prepare_kernels()
    try:
        count = Path(argv[3]) if len(argv) == 4 else None
        execute(Path(argv[0]), Path(argv[1]), json.loads(argv[2]), count)
    except DeadKernelError:
        print("the kernel was killed, as happens for want of memory: choose smaller parameters, or")
        print("run one chapter at a time (JOBS=1)")
        return 1
    except (papermill.PapermillExecutionError, MissingFigure) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(lambda: main(sys.argv[1:])))
