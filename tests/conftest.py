"""Strict numerics in one place: float64, no silent broadcasting of ranks or mixing of types."""

import gc
import os

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# What tests run is so small that its compilation takes most of the time; chapters run optimised.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def key():
    return jax.random.key(20251209)


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Let go of the programs of a module: each maps memory, and a process may hold 65530 maps."""
    yield
    jax.clear_caches()
    gc.collect()
