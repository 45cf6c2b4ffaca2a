"""How JAX compiles in the commands of the book, set in one place: the environment.

Compiling is most of a chapter's first run. What one process has compiled the next one loads: nbval
after papermill, a chapter that runs again, a test after its module let its programs go. And where
next to nothing is computed, few optimisations will do.
"""

import hashlib
import os
import platform
from pathlib import Path

_EMITTERS = "--xla_cpu_use_fusion_emitters"  # with them, small programs take longer to compile
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


def compile_quickly() -> None:
    """Set the environment so that JAX, here and in what is started here, optimises little.

    Chapters at their defaults take two thirds of the time so, for they load what took long; not
    for what is timed or recorded. Programs differ in the last digit from those that are optimised,
    as they do on another processor.
    """
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    flags = os.environ.get("XLA_FLAGS", "").split()
    if not any(flag.startswith(_EMITTERS) for flag in flags):
        os.environ["XLA_FLAGS"] = " ".join([*flags, f"{_EMITTERS}=false"])


def _processor() -> str:
    """A name for what programs are compiled for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        known = sorted({line for line in lines if line.startswith(("model name", "flags"))})
    except OSError:
        known = [platform.processor()]
    return hashlib.sha256("\n".join([platform.machine(), *known]).encode()).hexdigest()[:12]
