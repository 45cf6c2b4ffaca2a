"""The commands: what runs at a time, what a failure stops, which Python is taken, and the times."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import check
import phases
import pytest
import running
from phases import Task, run_tasks

ROOT = Path(__file__).parents[2]


def _task(name: str, program: str, **options) -> Task:
    return Task("phase", name, (sys.executable, "-S", "-c", program), **options)


def _names(ended) -> list[str]:
    return [one.task.name for one in ended]


def test_tasks_keep_their_order_and_wait_for_what_they_need(tmp_path):
    made = tmp_path / "made"
    tasks = [
        _task("needs it", f"open({str(made)!r})", after=("makes it",)),
        _task("makes it", f"open({str(made)!r}, 'w')"),
        _task("last", "print('done')"),
    ]
    ended = list(run_tasks(tasks, jobs=1))
    assert _names(ended) == ["makes it", "needs it", "last"]
    assert [one.status for one in ended] == [0, 0, 0] and ended[-1].output == "done\n"


def test_so_many_run_at_a_time_and_idle_ones_take_no_place():
    nap = "import time; time.sleep(0.6)"
    tasks = [_task("idle", nap, idle=True), *(_task(str(n), nap) for n in range(3))]
    begun = time.monotonic()
    ended = {one.task.name: one for one in run_tasks(tasks, jobs=1)}
    # Three one after the other, the idle one beside them; none would be seen to take less.
    assert time.monotonic() - begun >= 1.8
    assert sum(one.seconds for one in ended.values()) >= 2.4
    assert all(one.processor < one.seconds for one in ended.values())


@pytest.mark.parametrize("keep_going", [False, True])
def test_after_a_failure_nothing_new_begins_unless_told_to_keep_going(keep_going, capsys):
    tasks = [
        _task("fails", "print('why'); raise SystemExit(3)"),
        _task("after it", "", after=("fails",)),
        _task("other", ""),
    ]
    ended = list(run_tasks(tasks, jobs=1, keep_going=keep_going))
    assert _names(ended) == (["fails", "other"] if keep_going else ["fails"])
    phases.report(ended[0])
    printed = capsys.readouterr()
    assert "phase: fails: failed" in printed.out and "why" in printed.err


# Says that it is there, has started another process, and goes on.
ENDLESS = """
import os, pathlib, subprocess, sys, time
other = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
pathlib.Path({made!r}).write_text(f"{{os.getpid()}} {{other.pid}}")
time.sleep(600)
"""


def _endless(folder: Path, name: str, before: str = "") -> Task:
    return _task(name, before + ENDLESS.format(made=str(folder / name)))


def _processes(*files: Path) -> list[int]:
    """The numbers that endless tasks have written, once they have."""
    while not all(file.exists() and len(file.read_text().split()) == 2 for file in files):
        time.sleep(0.05)
    return [int(number) for file in files for number in file.read_text().split()]


def _await_end(numbers: list[int]) -> None:
    """A killed process needs a moment to go; one that was not killed would sleep for minutes."""
    until = time.monotonic() + 30
    while not all(map(_ended, numbers)):
        assert time.monotonic() < until, numbers
        time.sleep(0.05)


def _ended(number: int) -> bool:
    try:
        # A child that no one has waited for has ended as well.
        return Path(f"/proc/{number}/stat").read_text().rsplit(")")[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("deaf", [False, True])
def test_tasks_that_run_are_stopped_with_all_that_they_started(tmp_path, monkeypatch, deaf):
    monkeypatch.setattr(phases, "GRACE", 0.5 if deaf else 60.0)
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if deaf else ""
    there = tmp_path / "endless"
    waits = (
        f"import pathlib, time\nwhile not pathlib.Path({str(there)!r}).exists(): time.sleep(0.05)"
    )
    tasks = [_endless(tmp_path, "endless", ignoring), _task("first", waits)]
    with closing(run_tasks(tasks, jobs=2)) as course:
        assert next(course).task.name == "first"
        numbers = _processes(there)
        assert not any(map(_ended, numbers))
    _await_end(numbers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_command_leaves_nothing_running(tmp_path, number):
    files = [tmp_path / name for name in ("one", "two")]
    programs = {file.name: ENDLESS.format(made=str(file)) for file in files}
    command = f"""
import signal, sys
from phases import Task, interruptible, run_tasks
# As where nothing is ignored; a task in the background, or under nohup, inherits that some are.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
commands = {{n: (sys.executable, "-S", "-c", p) for n, p in {programs!r}.items()}}
tasks = [Task("endless", name, command) for name, command in commands.items()]
sys.exit(interruptible(lambda: len(list(run_tasks(tasks, jobs=2)))))
"""
    options = {"stderr": subprocess.PIPE, "text": True, "cwd": ROOT / "book" / "tools"}
    process = subprocess.Popen([sys.executable, "-c", command], **options)
    numbers = _processes(*files)
    process.send_signal(number)
    assert process.communicate()[1] == "interrupted\n"
    assert process.returncode == 130
    _await_end(numbers)


def test_a_task_ends_when_it_has_ended_and_not_when_what_it_left_has():
    program = """
import subprocess
other = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(other.pid, flush=True)
"""
    (ended,) = run_tasks([_task("leaves", program)], jobs=1)
    os.kill(int(ended.output), signal.SIGKILL)
    assert ended.status == 0


def test_the_table_adds_up_what_a_phase_took(capsys):
    ended = [
        phases.Ended(Task(phase, name, ()), 0, "", seconds, processor)
        for phase, name, seconds, processor in (
            ("chapters", "01", 20.0, 30.0),
            ("build", "build", 25.0, 24.0),
            ("chapters", "02", 40.0, 50.0),
        )
    ]
    now = time.time()
    phases.print_times(ended, now - 100, now - 80)
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert rows[1:4] == [["installing", "20"], ["chapters, 2", "60", "80"], ["build", "25", "24"]]
    assert rows[4] == ["from start to end", "100"]


def test_outcomes_are_those_that_pytest_tells():
    def ended(output):
        return phases.Ended(Task("phase", "name", ()), 0, output, 1.0, 1.0)

    counts = check.outcomes(
        [ended("..\n2 passed in 1.0s"), ended("1 failed, 3 passed, 2 skipped in 2s\n"), ended("")]
    )
    assert counts == {"passed": 5, "failed": 1, "skipped": 2}
    assert check.outcomes([ended("1 error in 2s")])["failed"] == 1


def test_what_takes_longest_comes_first_and_everything_is_run():
    listed = [Path(f"{name}.ipynb") for name in ("index", "01_a", "07_b", "10_new", "06_c")]
    order = [path.stem for path in running.longest_first(listed)]
    assert order == ["10_new", "07_b", "06_c", "01_a", "index"]
    tasks = check.tasks()
    commands = " ".join(" ".join(task.command) for task in tasks)
    assert all(
        f"tests/{part}" in commands for part in ("plasticity", "companion", "book", "browser")
    )
    names = [task.name for task in tasks]
    assert all(names.count(name) == 1 for task in tasks for name in task.after)


@pytest.mark.parametrize("version", check.ENDS)
def test_the_other_python_is_one_that_works(version, tmp_path, monkeypatch):
    command = tmp_path / f"python{version}"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    ours = next(end for end in check.ENDS if end != version)
    monkeypatch.setattr(sys, "version_info", _Version(ours))
    assert check.other_python() == (version, None)
    command.write_text("#!/bin/sh\nexit 127\n")
    command.chmod(0o755)
    assert check.other_python() == (version, None), "it is there and fails, as those of pyenv may"
    command.write_text("#!/bin/sh\nexit 0\n")
    assert check.other_python() == (version, str(command))


class _Version:
    def __init__(self, text: str):
        self.major, self.minor = map(int, text.split("."))


def test_the_installer_says_what_to_install(tmp_path):
    def install(**environment):
        command = ["/bin/sh", str(ROOT / "book" / "tools" / "install.sh"), str(tmp_path / "new")]
        return subprocess.run(
            command + environment.pop("more", []),
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )

    done = install(PATH=str(tmp_path))
    assert done.returncode == 1 and "install python3.13" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = install(more=["/bin/false"])
    assert done.returncode == 1 and "got /bin/false: name another" in done.stderr
    assert not (tmp_path / "new").exists()
