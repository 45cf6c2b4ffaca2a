"""All that `make test` runs, two at a time; after a failure, told at once, nothing new begins.

The unit tests; every committed notebook against its printed outputs; every chapter at its quick
parameters, but for the one that the command on its page changes; the build of the book, warnings as
errors; its pages in a browser; and, if the other end of the Pythons that pyproject.toml allows is
there, every test of the library once under that one.

Exit status: 0, or 1 if something failed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from building import notebooks
from compiling import compile_quickly, keep_compiled_programs
from environment import ROOT, settle
from parameter_tables import example
from parameter_values import checked, quick
from phases import Ended, Task, interruptible, print_times, report, run_tasks
from running import chapter_task, longest_first

ENDS = ("3.11", "3.13")  # of the Pythons that are allowed
PYTEST = ("-m", "pytest", "-q", "-rs")
OUTCOMES = ("passed", "failed", "skipped")


def other_python() -> tuple[str, str | None]:
    """The end of the allowed versions that is not ours; a command of that version, if one works."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    version = ENDS[0] if ours == ENDS[1] else ENDS[1]
    # The commands of pyenv on the path refuse a version that is not chosen; its own folders do not.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    there = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for command in filter(None, there):
        probe = f"import ensurepip, ssl, venv, sys; assert sys.version.startswith('{version}')"
        if subprocess.run([command, "-c", probe], capture_output=True).returncode == 0:
            return version, str(command)
    return version, None


def tasks(root: Path = ROOT) -> list[Task]:
    """Everything, what takes longest first: of two that run side by side, neither ends alone."""
    here, small = sys.executable, quick(root)
    pages = longest_first(notebooks(root))

    def unit_tests(name: str, after: tuple[str, ...] = ()) -> Task:
        return Task("unit tests", name, (here, *PYTEST, f"tests/{name}"), after)

    outputs = [
        Task("committed outputs", page.stem, (here, "book/tools/compare.py", str(page)))
        for page in pages
    ]
    chapters = [
        chapter_task(
            page,
            root / "_build" / "quick" / page.relative_to(root / "book"),
            checked(page, small[page.stem] | dict([example(page, small[page.stem])])),
            phase="quick chapters",
        )
        for page in pages
        if page.stem in small  # the others have no parameters: they run with the committed outputs
    ]
    pages_test, pdf_test = (
        (here, *PYTEST, f"tests/browser/test_{name}.py") for name in ("pages", "pdf")
    )
    return [
        Task("browser", "browser", ("sh", "tests/browser/install.sh"), idle=True),
        unit_tests("plasticity"),
        *outputs[:2],
        Task("build", "build", (here, "book/tools/run.py", "--build")),
        # It waits for Chromium more than it computes.
        Task("browser", "pages", pages_test, after=("browser", "build"), idle=True),
        Task("browser", "pdf", pdf_test, after=("browser",)),
        *outputs[2:],
        unit_tests("companion"),
        unit_tests("book", after=("browser",)),  # the workflow is checked by what npm installs
        *chapters[:-3],
        # Late, when most of its programs have been compiled for the tests above.
        *_under_the_other_python(),
        *chapters[-3:],
    ]


def _under_the_other_python() -> list[Task]:
    version, command = other_python()
    if command is None:
        print(f"the library is not tested under Python {version}: there is none")
        return []
    phase, folder = f"Python {version}", f"_build/python/{version}"
    what = ("-c", "requirements.lock", "-e", ".[test]")
    install = ("sh", "book/tools/install.sh", folder, command, *what)
    test = (f"{folder}/bin/python", *PYTEST, "--once", "tests/plasticity")
    return [
        Task(phase, f"install {version}", install, idle=True),
        Task(phase, f"library under {version}", test, after=(f"install {version}",)),
    ]


def outcomes(ended: list[Ended]) -> Counter:
    """How many tests passed, failed and were skipped, by the last lines of pytest."""
    counts = Counter(dict.fromkeys(OUTCOMES, 0))
    for one in ended:
        last = (one.output.strip().splitlines() or [""])[-1]
        for number, what in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", last):
            counts["failed" if what.startswith("error") else what] += int(number)
    return counts


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="what runs at a time")
    parser.add_argument("--since", type=float, help="when the command began, in s, for the table")
    request = parser.parse_args(argv)
    os.chdir(ROOT)
    settle()
    keep_compiled_programs()
    compile_quickly()
    begun, ended = time.time(), []
    with closing(run_tasks(tasks(), request.jobs)) as course:
        for one in course:
            report(one)
            ended.append(one)
    print_times(ended, request.since or begun, begun)
    counts = outcomes(ended)
    print(", ".join(f"{counts[what]} {what}" for what in OUTCOMES))
    return int(any(one.status for one in ended))


if __name__ == "__main__":
    sys.exit(interruptible(main))
