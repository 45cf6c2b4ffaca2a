"""What results depend on, set by the book's commands for themselves and for all that they start.

No variable of whoever calls them changes a number or drops a check: the package is that of this
folder, JAX draws and computes by its own defaults, assertions hold, text is UTF-8. How kernels
draw is set in `kernels`; how programs are compiled, which a caller may change, in `compiling`.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (str(ROOT), str(ROOT / "book"))  # of plasticity and companion
# Without these, Python and JAX do as they do by themselves.
UNSET = (
    "PYTHONOPTIMIZE",  # it drops assertions
    "PYTHONSTARTUP",  # IPython runs it
    "PYTHONIOENCODING",
    # What a seed draws.
    "JAX_DEFAULT_PRNG_IMPL",
    "JAX_ENABLE_CUSTOM_PRNG",
    "JAX_HIGH_DYNAMIC_RANGE_GUMBEL",
    "JAX_RANDOM_SEED_OFFSET",
    "JAX_THREEFRY_PARTITIONABLE",
    # With how many digits.
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_ENABLE_X64",
    "JAX_NUMPY_DTYPE_PROMOTION",
    "JAX_NUMPY_RANK_PROMOTION",
)
# NumPy's and SciPy's matrices are small here: a second thread of theirs waits more than it works,
# and takes the core from what runs beside it.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


def settle() -> None:
    """Set the environment of this process, and of those it starts; call it before JAX is imported.

    The sources of this folder come first on the path: a copied project would otherwise run those of
    the folder in which its environment was installed. What else is on the path stays, after them.
    """
    for name in UNSET:
        os.environ.pop(name, None)
    others = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    ours = [*SOURCES, *(place for place in others if place not in SOURCES)]
    os.environ |= {"PYTHONPATH": os.pathsep.join(ours), "PYTHONUTF8": "1"} | ONE_THREAD
    sys.path[:0] = [place for place in SOURCES if place not in sys.path]
