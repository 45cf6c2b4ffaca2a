"""Where JAX keeps compiled programs: one folder for chapters, tests and the check of their outputs.

Two thirds of a chapter's first run is compiling. What one process has compiled the next one loads:
nbval after papermill, a chapter that runs again, a test after its module let its programs go.
"""

import hashlib
import os
import platform
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / "_build" / "cache"


def keep_compiled_programs(folder: Path = CACHE) -> None:
    """Set the environment of this process, and of those it starts, so that JAX keeps every program.

    A variable that is set already stays: JAX_ENABLE_COMPILATION_CACHE=0 does without.
    """
    settings = {
        # Programs are those of one processor: what was carried to another is not looked at.
        "JAX_COMPILATION_CACHE_DIR": str(folder / _processor()),
        # Left alone, JAX keeps nothing that took less than a second: nearly all that we have.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        # Where a program cannot be loaded it is compiled, and that is no one's concern: another
        # process may just be writing it, and some processors load none (issue 38445 of JAX).
        "PYTHONWARNINGS": "ignore:Error reading persistent,ignore:Error writing persistent",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _processor() -> str:
    """A name for what programs are compiled for."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = sorted({line for line in lines if line.startswith(("model name", "flags"))})
    except OSError:
        known = [platform.processor()]
    return hashlib.sha256("\n".join([platform.machine(), *known]).encode()).hexdigest()[:12]
