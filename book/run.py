"""Execute the book's chapters with papermill, and build the book from what was executed.

    run.py --quick                     every chapter, small, into _build/quick
    run.py --chapter 02 -p n_units=50  one chapter with parameters of your own
    run.py --defaults --publish        re-execute the committed notebooks
    run.py --build                     build the HTML from the committed notebooks
    run.py --pdf                       print the committed notebooks as one PDF
    run.py --neurolibre                write the layout that NeuroLibre reads

Exit status: 0; 1 if a chapter or a build failed, 2 if the request makes no sense.
"""

import argparse
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

import nbformat
import papermill
import yaml
from tqdm import tqdm

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path.append(str(BOOK))

from building import build  # noqa: E402
from building import notebooks as chapters  # noqa: E402
from neurolibre import export  # noqa: E402
from parameter_tables import declared  # noqa: E402
from printing import print_book  # noqa: E402

TYPES = {"int": int, "float": (int, float), "bool": bool, "str": str}


class BadRequest(Exception):
    """A request that names something there is not."""


def chosen(root: Path, prefix: str | None) -> list[Path]:
    """The chapters whose name starts with ``prefix``, or all."""
    found = [c for c in chapters(root) if prefix is None or c.stem.startswith(prefix)]
    if not found:
        there = ", ".join(c.stem for c in chapters(root))
        raise BadRequest(f"no chapter {prefix!r}; there are {there}")
    return found


def _listing(notebook: Path) -> str:
    rows = [
        f"  {name}: {p['inferred_type_name']} = {p['default']}  # {p['help']}"
        for name, p in declared(notebook).items()
    ]
    return f"{notebook.stem} has the parameters\n" + "\n".join(rows)


def checked(notebook: Path, values: dict) -> dict:
    """``values`` if every name and type is declared by the chapter; an int will do for a float."""
    there = declared(notebook)
    for name, value in values.items():
        if name not in there:
            raise BadRequest(f"{notebook.stem} has no parameter {name!r}. {_listing(notebook)}")
        wanted = there[name]["inferred_type_name"]
        base = wanted.split("[")[0]
        fits = isinstance(value, list if base in ("list", "tuple") else TYPES.get(base, object))
        if isinstance(value, bool) and base != "bool" or not fits:
            message = f"{name} of {notebook.stem} is {wanted}, not {value!r}. {_listing(notebook)}"
            raise BadRequest(message)
    return values


def given(items: list[str], file: Path | None) -> dict:
    """Parameters from a file and from NAME=VALUE; the latter win."""
    values = yaml.safe_load(file.read_text()) or {} if file else {}
    for item in items:
        name, sign, text = item.partition("=")
        if not sign or not name:
            raise BadRequest(f"write parameters as NAME=VALUE; got {item!r}")
        values[name] = _value(text)
    return values


def _value(text: str):
    # Numbers first: YAML takes 1e-3 for a string and 010 for eight.
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return yaml.safe_load(text)


def quick(root: Path) -> dict[str, dict]:
    """The quick parameters of every chapter."""
    return yaml.safe_load((root / "book" / "parameters" / "quick.yml").read_text()) or {}


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
    with ProcessPoolExecutor(jobs) as pool:
        running = {
            pool.submit(attempt, n, values.get(n.stem, {}), output / n.name): n.stem
            for n in notebooks
        }
        ended = as_completed(running)
        hidden = not sys.stderr.isatty()
        for done in tqdm(ended, desc="chapters", total=len(notebooks), disable=hidden):
            name, error = running[done], done.result()
            print(f"{name}: {'failed' if error else 'done'}", flush=True)
            if error:
                print(error, file=sys.stderr)
                failed.append(name)
    return not failed


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chapter", help="the start of a chapter's name, such as 02")
    parser.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", dest="items")
    parser.add_argument("-P", type=Path, metavar="FILE", dest="file", help="parameters in YAML")
    parser.add_argument("--quick", action="store_true", help="start from the quick parameters")
    parser.add_argument("--defaults", action="store_true", help="the chapters' own parameters")
    parser.add_argument("--jobs", type=int, default=1, help="chapters that run at a time")
    parser.add_argument("--output", type=Path, help="folder of the executed notebooks")
    parser.add_argument("--publish", action="store_true", help="replace the committed notebooks")
    parser.add_argument("--build", action="store_true", help="build the HTML")
    parser.add_argument("--pdf", action="store_true", help="print the book into _build/pdf")
    parser.add_argument("--neurolibre", action="store_true", help="export to _build/neurolibre")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    request = arguments(argv)
    run = request.quick or request.defaults or request.items or request.file
    output = root / (request.output or "_build/run")
    try:
        notebooks = chosen(root, request.chapter)
        own = given(request.items, request.file)
        if request.publish and (own or request.quick):
            raise BadRequest("--publish takes the default parameters and no others")
        values = {n.stem: quick(root).get(n.stem, {}) if request.quick else {} for n in notebooks}
        values = {n.stem: checked(n, values[n.stem] | own) for n in notebooks}
    except BadRequest as error:
        print(error, file=sys.stderr)
        return 2
    makers = [
        make
        for wanted, make in (
            (request.build, build),
            (request.pdf, print_book),
            (request.neurolibre, export),
        )
        if wanted
    ]
    if not run and not request.publish:
        return 0 if all(make(root, root / "book") for make in makers or [build]) else 1
    if not execute_all(notebooks, values, output, request.jobs):
        return 1
    if request.publish:
        for notebook in notebooks:
            os.replace(output / notebook.name, notebook)
    return 0 if all(make(root, output) for make in makers) else 1


if __name__ == "__main__":
    sys.exit(main())
