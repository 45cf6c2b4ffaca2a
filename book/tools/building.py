"""Stage the book's sources and build them with Jupyter Book, warnings as errors.

The HTML keeps the layout of the repository, so that its links to the repository hold. One long
page, for print, and an export need the root document at the top: there what is in book/ lies at
the top, with chapters/ and pages/ below it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import nbformat
import yaml
from parameter_tables import with_parameter_table
from parameter_values import quick

TOOLS = Path(__file__).resolve().parent
CONFIGURATION = ("_config.yml", "_toc.yml")
# Of book/, what Sphinx does not read.
LEFT_OUT = ("__pycache__", ".ipynb_checkpoints", "*.ipynb", "companion", "tools", "records")
LEFT_OUT += ("parameters",)
STATIC = "../../_static"  # as the interactive page, in book/pages, finds it
# What chapter 07 offers to take away; it lies beside the chapter in what is built.
LEARNED_RULE = Path("plasticity", "rules", "learned_association.csv")
EXPLORE_DATA = Path("_static", "explore", "data.js")  # in what was built


def pages(root: Path) -> list[str]:
    """The pages of _toc.yml, in its order: its root page and the pages of its parts."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    parts = toc.get("parts", [toc])
    return [toc["root"], *(entry["file"] for part in parts for entry in part["chapters"])]


def notebooks(root: Path) -> list[Path]:
    """Those of `pages` that are notebooks."""
    files = [root / f"{page}.ipynb" for page in pages(root)]
    return [file for file in files if file.exists()]


def stage(root: Path, executed: Path, target: Path, static: str = STATIC) -> None:
    """Put what Jupyter Book reads into ``target``, with the notebooks of ``executed``.

    With another ``static`` than that of the repository's layout, the pages lie flat, and that is
    how the interactive page finds the folder _static.
    """
    shutil.rmtree(target, ignore_errors=True)
    flat = static != STATIC
    folder = target if flat else target / "book"
    shutil.copytree(root / "book", folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    small = quick(root)
    for notebook in notebooks(root):
        place = notebook.relative_to(root / "book")
        given = nbformat.read(executed / place, as_version=4)
        shown = with_parameter_table(given, notebook, small.get(notebook.stem, {}))
        nbformat.write(shown, folder / place)
    if (root / LEARNED_RULE).exists():
        shutil.copy(root / LEARNED_RULE, folder / "chapters")
    for name in CONFIGURATION:
        text = (root / name).read_text(encoding="utf-8")
        (target / name).write_text(flattened(text) if flat else text, encoding="utf-8")
    page = folder / "pages" / "explore.md"
    text = page.read_text(encoding="utf-8").replace(f'"{STATIC}/', f'"{static}/')
    page.write_text(text, encoding="utf-8")


def write_explore_data(script: Path) -> bool:
    """Whether the data of the interactive page could be made; they go to ``script``."""
    return not subprocess.run([sys.executable, TOOLS / "explore_data.py", script]).returncode


def flattened(configuration: str) -> str:
    """_config.yml or _toc.yml for pages that lie beside it."""
    return configuration.replace(" book/", " ").replace("[book/", "[")


def jupyter_book(folder: Path, *options: str) -> bool:
    """Whether Jupyter Book builds ``folder`` without a warning."""
    # The program of that name would run the Python of the folder in which it was installed.
    program = (sys.executable, "-c", "from jupyter_book.cli.main import main; main()")
    command = [*program, "build", str(folder), "--all", "-W", "--keep-going", "-n", *options]
    # Sphinx finds the extensions there, and the packages behind them.
    places = [str(TOOLS / "extensions"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    return not subprocess.run(command, env=environment).returncode


@contextmanager
def alone(folder: Path) -> Generator[None, None, None]:
    """Wait until nobody else builds there, and keep others waiting; it ends with its owner."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build of this book is running: waiting for its end", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(root: Path, executed: Path) -> bool:
    """Build the HTML into _build/html from the notebooks in ``executed``; one build at a time."""
    with alone(root / "_build"):
        return _build(root, executed)


def _build(root: Path, executed: Path) -> bool:
    staging, html = root / "_build" / "staging", root / "_build" / "html"
    stage(root, executed, staging)
    with ThreadPoolExecutor() as pool:  # Sphinx does not read the data
        data = pool.submit(write_explore_data, staging / "data.js")
        if not (jupyter_book(staging) & data.result()):
            return False
    shutil.rmtree(html, ignore_errors=True)
    os.replace(staging / "_build" / "html", html)
    os.replace(staging / "data.js", html / EXPLORE_DATA)
    print(f"the book is in {html.relative_to(root)}/index.html")
    return True
