"""Nothing of the caller's surroundings changes a notebook; kernels that die; figures that lack."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import run as driver

ROOT = Path(__file__).parents[2]
FIGURE = {"mystnb": {"figure": {"name": "fig-line", "caption": "A line."}, "image": {"alt": "/"}}}
DRAWS = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
TELLS = """import sys, jax, companion, plasticity
try:
    assert False
except AssertionError:
    print("assertions hold")
print(sys.executable, plasticity.__file__, companion.__file__, sep="\\n")
for name in ("default_prng_impl", "threefry_partitionable", "random_seed_offset", "enable_x64"):
    print(jax.config.values[f"jax_{name}"])"""


@pytest.fixture
def book(tmp_path):
    """A function that writes a book: name of a chapter → its cells, source and metadata."""

    def write(chapters: dict[str, list[tuple[str, dict]]]) -> Path:
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        for name, cells in chapters.items():
            new = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
            new.cells = [nbformat.v4.new_code_cell(code, metadata=of) for code, of in cells]
            path = tmp_path / "book" / "chapters" / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(new, path)
        listed = "".join(f"  - file: book/chapters/{name}\n" for name in chapters)
        (tmp_path / "_toc.yml").write_text(f"root: book/index\nchapters:\n{listed}")
        return tmp_path

    return write


def test_the_surroundings_of_the_caller_change_no_notebook(book, tmp_path, monkeypatch):
    settings = tmp_path / "settings" / "profile_default"
    kernel, packages = tmp_path / "kernels" / "python3", tmp_path / "packages"
    for folder in (settings / "startup", kernel, packages):
        folder.mkdir(parents=True)
    (settings / "ipython_kernel_config.py").write_text("c.InlineBackend.figure_formats = {'svg'}")
    (settings / "startup" / "own.py").write_text("raise SystemExit('not to be run')")
    (tmp_path / "matplotlibrc").write_text("figure.dpi: 3\n")
    other = {"argv": ["false"], "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(other))
    (packages / "plasticity.py").write_text("raise ImportError('another')")
    surroundings = {
        "MPLBACKEND": "agg",
        "MATPLOTLIBRC": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "settings"),
        "JUPYTER_PATH": str(tmp_path),
        "PYTHONPATH": str(packages),
        "PYTHONOPTIMIZE": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_RANDOM_SEED_OFFSET": "5",
        "JAX_ENABLE_X64": "1",
    }
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    root = book({"01_small": [(DRAWS, FIGURE), (TELLS, {})]})
    assert driver.main(["--defaults"], root) == 0
    done = nbformat.read(root / "_build" / "run" / "chapters" / "01_small.ipynb", as_version=4)
    (image,) = [o.data for o in done.cells[0].outputs if o.output_type == "display_data"]
    assert sorted(image) == ["image/png", "text/plain"] and len(image["image/png"]) > 5000
    sources = [str(ROOT / name / "__init__.py") for name in ("plasticity", "book/companion")]
    printed = done.cells[1].outputs[0].text.splitlines()
    assert printed[:4] == ["assertions hold", sys.executable, *sources]
    assert printed[4:] == ["threefry2x32", "True", "0", "False"]


def test_a_caption_without_a_figure_is_not_published(book, capsys):
    root = book({"01_small": [("print('no figure')", FIGURE)]})
    source = root / "book" / "chapters" / "01_small.ipynb"
    before = source.read_bytes()
    assert driver.main(["--defaults", "--publish"], root) == 1
    assert "a cell with a caption draws; got no image for fig-line: " in capsys.readouterr().err
    assert source.read_bytes() == before
    assert not list((root / "_build").rglob("*.*"))


def test_a_killed_kernel_fails_its_chapter_and_no_other(book, capsys):
    killed = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    root = book({"01_killed": [(killed, {})], "02_small": [("print(1)", {})]})
    assert driver.main(["--defaults", "--jobs", "2"], root) == 1
    printed = capsys.readouterr()
    assert "chapters: 01_killed: failed" in printed.out and "02_small: done" in printed.out
    assert "the kernel was killed" in printed.err and "Traceback" not in printed.err
    made = [path.name for path in (root / "_build").rglob("*") if path.is_file()]
    assert made == ["02_small.ipynb"]


def test_a_copied_project_runs_its_own_sources(tmp_path):
    tools = tmp_path / "book" / "tools"
    for folder in (tools, tmp_path / "plasticity", tmp_path / "book" / "companion"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    source = (ROOT / "book" / "tools" / "environment.py").read_text(encoding="utf-8")
    (tools / "environment.py").write_text(source, encoding="utf-8")
    shows = "import plasticity, companion; print(plasticity.__file__, companion.__file__)"
    program = (
        "import subprocess, sys\nfrom environment import settle\nsettle()\n"
        f"{shows}\nsys.stdout.flush()\nsubprocess.run([sys.executable, '-c', {shows!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tools,
        capture_output=True,
        text=True,
    )
    own = f"{tmp_path}/plasticity/__init__.py {tmp_path}/book/companion/__init__.py"
    assert done.stdout.splitlines() == [own, own], done.stderr


def _without_encoding(source: str) -> list[int]:
    """Lines that read or write text as the locale has it."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and "encoding" not in [k.arg for k in node.keywords]:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            binary = [a for a in node.args if isinstance(a, ast.Constant) and "b" in str(a.value)]
            if name in ("read_text", "write_text") or name == "open" and not binary:
                lines.append(node.lineno)
    return lines


def test_text_is_utf_8_whatever_the_locale():
    files = [path for name in ("plasticity", "book") for path in (ROOT / name).rglob("*.py")]
    assert len(files) > 50
    found = {path.name: _without_encoding(path.read_text(encoding="utf-8")) for path in files}
    del found["mends.py"]  # it opens images
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("line", ["path.read_text()", "path.write_text(t)", "open(p)", "p.open()"])
def test_a_text_in_the_locale_is_found(line):
    assert _without_encoding(line) == [1]
    assert _without_encoding(f"{line[:-1]}, encoding='utf-8')".replace("(, ", "(")) == []
    assert _without_encoding("p.open('rb'); open(p, 'wb')") == []
