"""Execute committed notebooks and compare what they print with what they printed, by nbval.

    compare.py NOTEBOOK ...

Exit status: that of pytest, 0 if everything is as it was.
"""

import os
import sys
from pathlib import Path

import pytest
from compiling import keep_compiled_programs
from environment import settle
from kernels import prepare_kernels
from phases import interruptible

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = (
    *("-q", "-c", "tests/nbval.cfg", "--rootdir=."),
    *("--nbval", "--nbval-cell-timeout=300"),
)


def main(argv: list[str]) -> int:
    if not argv:
        print(__doc__, file=sys.stderr)
        return 2
    notebooks = [str(Path(name).resolve()) for name in argv]
    os.chdir(ROOT)
    settle()
    keep_compiled_programs()
    prepare_kernels()
    return pytest.main([*OPTIONS, *notebooks])


if __name__ == "__main__":
    sys.exit(interruptible(lambda: main(sys.argv[1:])))
