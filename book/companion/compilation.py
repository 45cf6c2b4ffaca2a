"""How well problems are compiled: those that take no time to run, and those that do."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def compilation(*, optimised: bool) -> Iterator[None]:
    """Compile with all optimisations or with few, whatever the caller's setting.

    Of a few small trials compiling well takes all the time; of long ones it saves half.
    """
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", not optimised)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@contextmanager
def double_precision() -> Iterator[None]:
    """Float64 in place of float32, for small problems, compiled with few optimisations."""
    with jax.enable_x64(True), compilation(optimised=False):
        yield
