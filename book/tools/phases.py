"""Commands of several phases, some at a time; what they said, and where the time went."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

GRACE = 5.0  # what an interrupted task may take to end, in s; then it is killed


@dataclass(frozen=True)
class Task:
    """A command of a phase."""

    phase: str
    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()  # the names of tasks that must have succeeded before it
    idle: bool = False  # it waits for a network or a disk: others may use its processor


@dataclass(frozen=True)
class Ended:
    """What became of a task."""

    task: Task
    status: int
    output: str
    seconds: float
    processor: float  # seconds that it and its own processes computed


def run_tasks(
    tasks: Iterable[Task], jobs: int, keep_going: bool = False
) -> Generator[Ended, None, None]:
    """Run tasks in their order, ``jobs`` at a time, and yield each when it has ended.

    After a failure nothing new begins, unless told to keep going; then only what comes after the
    failed task is left out. When this ends early, by an exception or `contextlib.closing`, the
    tasks that still run, and what they have started, are interrupted and after `GRACE` killed.
    """
    waiting, succeeded = list(tasks), set()
    running: dict[Future, _Running] = {}
    with ThreadPoolExecutor(max(1, len(waiting))) as pool:
        try:
            while waiting or running:
                for task in [task for task in waiting if succeeded.issuperset(task.after)]:
                    busy = sum(not other.task.idle for other in running.values())
                    if task.idle or busy < jobs:
                        waiting.remove(task)
                        begun = _start(task)
                        running[pool.submit(_ended, begun)] = begun
                if not running:
                    return  # what still waits comes after what failed
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    ended = future.result()
                    if ended.status == 0:
                        succeeded.add(ended.task.name)
                    elif not keep_going:
                        waiting.clear()
                    yield ended
        finally:
            _stop(running)


@dataclass(frozen=True)
class _Running:
    task: Task
    process: subprocess.Popen
    output: BinaryIO
    begun: float


def _start(task: Task) -> _Running:
    # Into a file: a pipe is read to its end only when all that inherited it have ended. In a group
    # of its own, so that what the task has started can be stopped with it.
    output = tempfile.TemporaryFile()
    process = subprocess.Popen(
        task.command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    return _Running(task, process, output, time.monotonic())


def _ended(one: _Running) -> Ended:
    _, status, used = os.wait4(one.process.pid, 0)
    seconds = time.monotonic() - one.begun
    # So that Popen waits no more.
    one.process.returncode = os.waitstatus_to_exitcode(status)
    with one.output as output:
        output.seek(0)
        words = output.read().decode(errors="replace")
    return Ended(one.task, one.process.returncode, words, seconds, used.ru_utime + used.ru_stime)


def _stop(running: dict[Future, _Running]) -> None:
    # What is started where Ctrl-C is ignored, as in the background of a script, ignores it as well.
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    try:
        _signal(running, signal.SIGTERM if ignored else signal.SIGINT)
        wait(running, timeout=GRACE)
    finally:  # also when the user would not wait
        _signal(running, signal.SIGKILL)


def _signal(running: dict[Future, _Running], number: signal.Signals) -> None:
    for one in running.values():
        with suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(one.process.pid, number)


def interruptible(main: Callable[[], int]) -> int:
    """The exit status of a command that any request to end stops as Ctrl-C does: 130, in one line.

    A signal that whoever calls ignores, as ``nohup`` does one, stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        return main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def timed(phase: str, function: Callable[..., bool], *arguments) -> Ended:
    """Call ``function`` here, as a task of its own phase that has failed if it returns False."""
    begun, used = time.monotonic(), _computed()
    status = 0 if function(*arguments) else 1
    task = Task(phase, phase, ())
    return Ended(task, status, "", time.monotonic() - begun, _computed() - used)


def _computed() -> float:
    # Seconds of this process and of those that it has waited for.
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def report(ended: Ended) -> None:
    """Print a line for a task that succeeded, with its last words; all words of one that failed."""
    task = ended.task
    what = task.name if task.name == task.phase else f"{task.phase}: {task.name}"
    if ended.status:
        how = "failed" if ended.status > 0 else f"was ended by signal {-ended.status}"
        print(f"{what}: {how} ({ended.seconds:.0f} s)", flush=True)
        print(ended.output, file=sys.stderr, flush=True)
        return
    lines = ended.output.strip().splitlines() or ["done"]
    print(f"{what}: {lines[-1]} ({ended.seconds:.0f} s)", flush=True)
    for line in lines:
        if line.startswith("SKIPPED"):
            print(f"  {line}", flush=True)


def print_times(ended: list[Ended], since: float, begun: float) -> None:
    """Where the time went: of every phase, the seconds of its tasks and of the processor.

    Tasks overlap, so that their seconds add up to more than the whole. ``since``, ``begun``: when
    the command and when its first task began, in s; what lies between is the installation.
    """
    rows = [("where the time went", "seconds", "of a core")]
    if begun - since >= 1:
        rows.append(("installing", f"{begun - since:.0f}", ""))
    phases = {one.task.phase: [] for one in ended}
    for one in ended:
        phases[one.task.phase].append(one)
    for phase, of in phases.items():
        what = f"{phase}, {len(of)}" if len(of) > 1 else phase
        rows.append(
            (what, *(f"{sum(column):.0f}" for column in zip(*map(_spent, of), strict=True)))
        )
    rows.append(("from start to end", f"{time.time() - since:.0f}", ""))
    print("\n".join(f"{what:<32}{seconds:>9}{computed:>11}" for what, seconds, computed in rows))


def _spent(ended: Ended) -> tuple[float, float]:
    return ended.seconds, ended.processor
