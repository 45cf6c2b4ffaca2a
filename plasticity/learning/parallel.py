"""Work shared among the cores of a processor."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax


def worker_count() -> int:
    """Threads to use: XLA leaves all but one core idle in the recurrence of a batch on a CPU."""
    if jax.default_backend() != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(function: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """``function`` of every part, a thread each, in the precision and types of the caller's thread.

    Results are waited for, and come in the order of the parts; so does what ``function`` raises.
    """
    parts = list(parts)
    # JAX keeps both settings thread by thread.
    double, promotion = jax.config.jax_enable_x64, jax.config.jax_numpy_dtype_promotion

    def call(part):
        with jax.enable_x64(double), jax.numpy_dtype_promotion(promotion):
            return jax.block_until_ready(function(part))

    if len(parts) < 2:
        return [call(part) for part in parts]
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(call, parts))
