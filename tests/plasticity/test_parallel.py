import threading

import jax
import jax.numpy as jnp
import pytest

from plasticity.learning.parallel import map_in_threads, worker_count


def test_results_come_in_order_each_from_a_thread_of_its_own():
    met = threading.Barrier(3, timeout=20)  # passes only if three are there at a time

    def square(value):
        met.wait()
        return value**2

    assert map_in_threads(square, [3, 1, 2]) == [9, 1, 4]
    assert map_in_threads(lambda value: value, []) == []
    assert worker_count() >= 1


def test_threads_compute_in_the_precision_and_types_of_the_caller():
    def settings(_):
        return jnp.ones(1).dtype, jax.config.jax_numpy_dtype_promotion

    for double, promotion in ((True, "standard"), (False, "strict")):
        with jax.enable_x64(double), jax.numpy_dtype_promotion(promotion):
            wanted = settings(0)
            assert map_in_threads(settings, range(2)) == [wanted, wanted]
            assert wanted == (jnp.dtype(f"float{32 * (1 + double)}"), promotion)


def test_what_a_part_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        map_in_threads(lambda value: 1 / value, [1, 0])
