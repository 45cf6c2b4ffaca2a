"""Execute the book's chapters with papermill, and build the book from what was executed.

    run.py --quick                     every chapter, small, into _build/run
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
import time
from contextlib import suppress
from pathlib import Path

import yaml

TOOLS = Path(__file__).resolve().parent
ROOT = TOOLS.parents[1]
sys.path.append(str(TOOLS))

from building import build  # noqa: E402
from building import notebooks as chapters  # noqa: E402
from compiling import compile_quickly, keep_compiled_programs  # noqa: E402
from neurolibre import export  # noqa: E402
from parameter_tables import declared  # noqa: E402
from phases import print_times, timed  # noqa: E402
from printing import print_book  # noqa: E402
from running import execute_all  # noqa: E402

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


def parameters_of(file: Path) -> dict:
    """The mapping in a file of parameters; an empty file has none."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadRequest(f"a file of parameters can be read; got {error}: name another") from error
    try:
        values = yaml.safe_load(content.decode())
    except (UnicodeDecodeError, yaml.YAMLError):
        values = content
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        begun = f"{file}, which begins {content[:40]!r}"
        raise BadRequest(f"a file of parameters has NAME: VALUE in each line; got {begun}: mend it")
    return values


def given(items: list[str], file: Path | None) -> dict:
    """Parameters from a file and from NAME=VALUE; the latter win."""
    values = parameters_of(file) if file else {}
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
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadRequest(f"a parameter is a value in YAML; got {text!r}: quote it") from error


def quick(root: Path) -> dict[str, dict]:
    """The quick parameters of every chapter."""
    return parameters_of(root / "book" / "parameters" / "quick.yml")


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
    run = request.quick or request.defaults or request.items or request.file
    output = root / (request.output or "_build/run")
    try:
        notebooks = chosen(root, request.chapter)
        own = given(request.items, request.file)
        if request.publish and (own or request.quick):
            raise BadRequest("--publish takes the default parameters and no others")
        if request.jobs < 1:
            raise BadRequest(
                f"--jobs is at least 1; got {request.jobs}: 1 runs one after the other"
            )
        small = quick(root) if request.quick else {}
        values = {n.stem: checked(n, small.get(n.stem, {}) | own) for n in notebooks}
    except BadRequest as error:
        print(error, file=sys.stderr)
        return 2
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
    sys.exit(main())
