"""Strict numerics in one place: float64, no silent broadcasting of ranks or mixing of types."""

import gc
import os

from compiling import compile_quickly, keep_compiled_programs
from environment import settle

# Before JAX reads its settings. What tests run is so small that compiling takes most of the time.
settle()
keep_compiled_programs()
compile_quickly()
os.environ["MPLBACKEND"] = "agg"
# Tracing makes objects by the million, nearly all of which live: looking for garbage among them
# took a fifth of the time. Each module ends with a collection.
gc.set_threshold(200_000, 50, 50)

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_addoption(parser):
    parser.addoption("--once", action="store_true", help="every test once, for one of its cases")


def pytest_collection_modifyitems(config, items):
    if config.getoption("once"):
        first = {item.nodeid.split("[")[0]: item for item in reversed(items)}
        config.hook.pytest_deselected(items=[i for i in items if i not in first.values()])
        items[:] = reversed(first.values())


@pytest.fixture
def key():
    return jax.random.key(20251209)


@pytest.fixture
def unchecked(monkeypatch):
    """Types of arguments are not checked, as outside of tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Let go of the programs of a module: each maps memory, and a process may hold 65530 maps."""
    yield
    jax.clear_caches()
    gc.collect()
