"""How problems that take no time to run are compiled."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def quick_compilation() -> Iterator[None]:
    """Compile with few optimisations: of a few small trials, compiling well takes all the time."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@contextmanager
def double_precision() -> Iterator[None]:
    """Float64 in place of float32, for small problems: compiled as `quick_compilation` says."""
    with jax.enable_x64(True), quick_compilation():
        yield
