"""Execute notebooks with papermill: a result takes its place only when it is complete."""

import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import nbformat
import papermill
from tqdm import tqdm


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


def execute(notebook: Path, values: dict, target: Path) -> None:
    """Run a chapter in its folder and put the result at ``target``, once it has succeeded."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        beside = Path(folder) / target.name
        options = {"kernel_name": "python3", "cwd": str(notebook.parent), "progress_bar": False}
        papermill.execute_notebook(str(notebook), str(beside), values, **options)
        nbformat.write(clean(nbformat.read(beside, as_version=4)), beside)
        os.replace(beside, target)


def attempt(notebook: Path, values: dict, target: Path) -> str | None:
    """`execute`; what a cell raised, if one did."""
    try:
        execute(notebook, values, target)
    except papermill.PapermillExecutionError as error:
        return str(error)
    return None


def execute_all(
    notebooks: list[Path], values: dict[str, dict], output: Path, jobs: int = 1
) -> bool:
    """Run chapters into ``output``, ``jobs`` of them at a time; whether all succeeded."""
    failed = []
    work = {n.stem: (n, values.get(n.stem, {}), output / n.name) for n in notebooks}
    ended = _one_by_one(work) if jobs == 1 else _at_a_time(work, jobs)
    hidden = not sys.stderr.isatty()
    for name, error in tqdm(ended, desc="chapters", total=len(work), disable=hidden):
        print(f"{name}: {'failed' if error else 'done'}", flush=True)
        if error:
            print(error, file=sys.stderr)
            failed.append(name)
    return not failed


def _one_by_one(work: dict[str, tuple]) -> Iterator[tuple[str, str | None]]:
    for name, arguments in work.items():
        yield name, attempt(*arguments)


def _at_a_time(work: dict[str, tuple], jobs: int) -> Iterator[tuple[str, str | None]]:
    # Processes, since papermill changes the folder of the process; spawned, since threads of other
    # libraries do not survive a fork.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(attempt, *arguments): name for name, arguments in work.items()}
        for done in as_completed(running):
            yield running[done], done.result()
