"""Execute the book's chapters with papermill, and build the book from what was executed.

    run.py --quick                     every chapter, small, into _build/run
    run.py --chapter 02 -p n_units=50  one chapter with parameters of your own; also -P FILE
    run.py --defaults --publish        re-execute the committed notebooks
    run.py --build                     build the HTML from the committed notebooks
    run.py --pdf                       print the committed notebooks as one PDF
    run.py --neurolibre                write the layout that NeuroLibre reads

Exit status: 0; 1 if a chapter or a build failed, 2 if the request makes no sense.
"""

import argparse
import os
import sys
import time
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
ROOT = TOOLS.parents[1]
sys.path.append(str(TOOLS))

from building import build  # noqa: E402
from building import notebooks as chapters  # noqa: E402
from compiling import compile_quickly, keep_compiled_programs  # noqa: E402
from environment import settle  # noqa: E402
from neurolibre import export  # noqa: E402
from parameter_values import BadRequest, checked, given, live, quick  # noqa: E402
from phases import interruptible, print_times, timed  # noqa: E402
from printing import print_book  # noqa: E402
from running import execute_all  # noqa: E402


def chosen(root: Path, prefix: str | None) -> list[Path]:
    """The chapters whose name starts with ``prefix``, or all."""
    found = [c for c in chapters(root) if prefix is None or c.stem.startswith(prefix)]
    if not found:
        there = ", ".join(c.stem for c in chapters(root))
        raise BadRequest(f"no chapter {prefix!r}; there are {there}")
    return found


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chapter", help="the start of a chapter's name, such as 02")
    parser.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", dest="items")
    parser.add_argument("--parameters", metavar="TEXT", help="several NAME=VALUE, after each other")
    parser.add_argument("-P", type=Path, metavar="FILE", dest="file", help="parameters in YAML")
    parser.add_argument("--quick", action="store_true", help="start from the quick parameters")
    parser.add_argument("--defaults", action="store_true", help="the chapters' own parameters")
    parser.add_argument("--jobs", type=int, default=1, help="chapters that run at a time")
    parser.add_argument("--quickly", action="store_true", help="compile with few optimisations")
    parser.add_argument("--since", type=float, help="when the command began, in s, for the table")
    parser.add_argument("--output", type=Path, help="folder of the executed notebooks")
    parser.add_argument("--publish", action="store_true", help="replace the committed notebooks")
    parser.add_argument("--build", action="store_true", help="build the HTML")
    parser.add_argument("--pdf", action="store_true", help="print the book into _build/pdf")
    parser.add_argument("--neurolibre", action="store_true", help="export to _build/neurolibre")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    request = arguments(argv)
    own = request.parameters or request.items or request.file
    run = request.quick or request.defaults or own
    output = request.output.absolute() if request.output else root / "_build" / "run"
    try:
        notebooks = chosen(root, request.chapter)
        texts = given(request.items, request.parameters, request.file)
        if request.publish and (own or request.quick):
            raise BadRequest("--publish takes the default parameters and no others")
        if request.jobs < 1:
            raise BadRequest(
                f"--jobs is at least 1; got {request.jobs}: 1 runs one after the other"
            )
        small = quick(root) if request.quick else {}
        values = {n.stem: checked(n, small.get(n.stem, {}) | texts) for n in notebooks}
        for notebook in notebooks:
            values[notebook.stem] |= live(notebook, values[notebook.stem])
    except BadRequest as error:
        print(error, file=sys.stderr)
        return 2
    settle()
    keep_compiled_programs()
    if request.quickly:
        compile_quickly()
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
    targets = {n: output / n.relative_to(root / "book") for n in notebooks}
    begun, (succeeded, times) = time.time(), execute_all(targets, values, request.jobs)
    if not succeeded:
        return 1
    if request.publish:
        for notebook, target in targets.items():
            os.replace(target, notebook)
    for make in makers:
        times.append(timed(make.__name__, make, root, output))
        if times[-1].status:
            return 1
    if request.since:
        print_times(times, request.since, begun)
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(main))
