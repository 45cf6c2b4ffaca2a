"""Runs the tiny outer loop of `outer_loop.py`: to be killed, or on several devices or processes.

    outer_loop_program.py FILE [--checkpoint FILE] [--slow SECONDS]
                               [--processes N --index I --port P]

The number of devices a process has comes from XLA_FLAGS in its environment.
"""

import argparse
import os
import sys
import time
from pathlib import Path

# What conftest.py imports; under pytest it is in pyproject.toml.
sys.path.append(str(Path(__file__).parents[1] / "book" / "tools"))
import conftest  # noqa: F401
import jax


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--checkpoint")
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    if options.processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        address = f"127.0.0.1:{options.port}"
        jax.distributed.initialize(address, options.processes, options.index)

    import outer_loop  # computes, which has to wait for the other processes

    from plasticity.learning import parallel

    over_devices, calls = parallel._over_devices, []
    parallel._over_devices = lambda *given: calls.append(1) or over_devices(*given)
    rename = os.replace

    def slow_rename(*names):
        time.sleep(options.slow)  # so that some kills find a checkpoint half replaced
        rename(*names)
        time.sleep(options.slow)

    os.replace = slow_rename
    results = outer_loop.train(options.checkpoint) | outer_loop.lifetimes()
    counts = {"devices": jax.device_count(), "processes": jax.process_count(), "calls": len(calls)}
    outer_loop.np.savez(options.file, **results, **counts)


if __name__ == "__main__":
    main()
