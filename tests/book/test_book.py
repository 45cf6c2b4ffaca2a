"""The committed chapters, and the driver that executes them."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import run as driver
import yaml

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))
PAGES = [ROOT / "book" / "index.ipynb", *sorted((ROOT / "book" / "pages").glob("*.ipynb"))]
# The cell of parameters is folded when the book is built.
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell", "parameters"}
REMOVED = {"remove-input", "remove-cell"}
WIDEST = 80  # characters of code that fit the box of a page at 1280 px
PARAMETER = re.compile(r"\w+: (int|float|bool|str) = \S+  # \S.*")


def _faults(notebook: nbformat.NotebookNode, wanted: int = 1) -> list[str]:
    """What keeps a notebook with so many cells of parameters from being published."""
    faults = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        faults.append("a cell was not executed, or not in order")
    parameters = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    if len(parameters) != wanted:
        faults.append(f"there is not exactly {wanted} cell of parameters")
    elif not all(PARAMETER.fullmatch(line) for c in parameters for line in c.source.splitlines()):
        faults.append("a parameter lacks its type, default or comment")
    if "papermill" in notebook.metadata or any("papermill" in c.metadata for c in code):
        faults.append("metadata of papermill")
    for cell in code:
        kinds = {output.output_type for output in cell.outputs}
        drawn = any("image/png" in output.get("data", {}) for output in cell.outputs)
        myst = cell.metadata.get("mystnb", {})
        if "error" in kinds or any(o.get("name") == "stderr" for o in cell.outputs):
            faults.append(f"an error or warning in {cell.source[:40]!r}")
        if len(cell.source.splitlines()) > 25:
            faults.append(f"a long cell: {cell.source[:40]!r}")
        if myst.get("figure") and not drawn:
            faults.append(f"a caption without a figure: {cell.source[:40]!r}")
        if drawn and not (myst.get("figure", {}).get("caption") and myst.get("image", {})["alt"]):
            faults.append(f"a figure without caption or alt text: {cell.source[:40]!r}")
    return faults


def _parameters(path: Path) -> int:
    """Cells of parameters."""
    cells = nbformat.read(path, as_version=4).cells
    return sum("parameters" in cell.metadata.get("tags", []) for cell in cells)


@pytest.mark.parametrize("path", CHAPTERS + PAGES, ids=lambda p: p.stem)
def test_committed_notebooks_are_fit_to_publish(path):
    notebook = nbformat.read(path, as_version=4)
    assert _faults(notebook, wanted=int(path in CHAPTERS or _parameters(path) == 1)) == []
    assert any("assert " in c.source for c in notebook.cells if c.cell_type == "code")


def _crowded(notebook: nbformat.NotebookNode) -> list[str]:
    """What is more than a reader takes in at a time, and rows that are found by counting."""
    crowded = []
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        name, tags = repr(cell.source[:40]), set(cell.metadata.get("tags", []))
        shown = not tags & FOLDED
        if shown and len(cell.source.splitlines()) > 12:
            crowded.append(f"more than 12 lines of code that are not folded: {name}")
        printed = "".join(o.text for o in cell.outputs if o.output_type == "stream")
        if len(printed.splitlines()) > 12 and "remove-output" not in tags:
            crowded.append(f"more than 12 printed lines, which a table would tell better: {name}")
        if not tags & REMOVED and max(map(len, cell.source.splitlines()), default=0) > WIDEST:
            crowded.append(f"a line of code that is wider than its box: {name}")
        if ".index(" in cell.source:
            crowded.append(f"a row that is counted, where .sel would name it: {name}")
    return crowded


@pytest.mark.parametrize("path", CHAPTERS + PAGES, ids=lambda p: p.stem)
def test_shown_cells_are_short_and_rows_have_names(path):
    assert _crowded(nbformat.read(path, as_version=4)) == []


def test_a_crowded_cell_is_found():
    long = nbformat.v4.new_code_cell("\n".join(["x = names.index(1)" + 70 * " "] * 13))
    long.outputs = [nbformat.v4.new_output("stream", text="1\n" * 13)]
    notebook = nbformat.v4.new_notebook(cells=[long])
    assert len(_crowded(notebook)) == 4
    long.metadata["tags"] = ["hide-input"]
    assert len(_crowded(notebook)) == 3


def test_every_notebook_is_in_the_table_of_contents():
    listed = driver.chapters(ROOT)
    assert [c for c in listed if c in CHAPTERS] == CHAPTERS
    assert sorted(c for c in listed if c not in CHAPTERS) == sorted(PAGES)
    assert len(CHAPTERS) >= 3


def test_quick_parameters_are_those_of_the_chapters():
    quick = driver.quick(ROOT)
    small = [path for path in CHAPTERS + PAGES if _parameters(path)]
    assert small[: len(CHAPTERS)] == CHAPTERS
    assert sorted(quick) == sorted(path.stem for path in small)
    for path in small:
        driver.checked(path, quick[path.stem])


def test_citation_names_the_paper_and_no_invented_person():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["authors"] == [{"name": "The companion's contributors"}]
    paper = citation["preferred-citation"]
    assert paper["authors"] == [{"family-names": "Maoutsa", "given-names": "Dimitra"}]
    assert "2512.09366" in paper["identifiers"][0]["value"]


@pytest.fixture
def book(tmp_path):
    """A book of one small chapter."""
    folder = tmp_path / "book"
    for name in ("parameters", "chapters", "pages"):
        (folder / name).mkdir(parents=True)
    (folder / "parameters" / "quick.yml").write_text("01_small:\n  n: 2\n")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n  - file: book/chapters/01_small\n"
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    new = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    source = "n: int = 5  # a number\nx: float = 0.5  # another\nlive: bool = True  # a switch"
    new.cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("assert n < 9, 'too large'\nprint(n, x, live)"),
    ]
    nbformat.write(new, folder / "chapters" / "01_small.ipynb")
    return tmp_path


def _printed(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.text for c in cells for o in c.get("outputs", []) if o.name == "stdout")


def test_a_chapter_runs_with_quick_and_own_parameters(book):
    assert driver.main(["--quick", "-p", "x=1", "-p", "live=False"], book) == 0
    target = book / "_build" / "run" / "chapters" / "01_small.ipynb"
    assert _printed(target) == "2 1.0 False\n"
    notebook = nbformat.read(target, as_version=4)
    assert "papermill" not in notebook.metadata
    assert not any("papermill" in cell.metadata for cell in notebook.cells)


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("m=3", "has no parameter 'm'"),
        ("n=0.5", "n of 01_small is int; got '0.5': give a whole number"),
        ("n=True", "n of 01_small is int; got 'True'"),
        ("live=1", "live of 01_small is bool; got '1': give true, false, yes or no"),
        ("x=fast", "x of 01_small is float; got 'fast': give a number"),
    ],
)
def test_a_bad_parameter_is_named_with_those_there_are(book, capsys, argument, named):
    assert driver.main(["-p", argument], book) == 2
    message = capsys.readouterr().err
    assert named in message
    for line in ("n: int = 5  # a number", "x: float = 0.5  # another", "live: bool = True"):
        assert line in message
    assert not (book / "_build").exists()


def test_other_bad_requests_are_named(book, capsys):
    assert driver.main(["--chapter", "07"], book) == 2
    assert "there are 01_small" in capsys.readouterr().err
    assert driver.main(["--publish", "-p", "n=3"], book) == 2
    assert driver.main(["-p", "n"], book) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"n: [1\n",
        b"- n\n- x\n",
        b"<!DOCTYPE html>\n<p>404</p>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        b"\x89HDF\r\n",
    ],
)
def test_a_file_that_has_no_parameters_is_named(book, capsys, content):
    file, quick = book / "own.yml", book / "book" / "parameters" / "quick.yml"
    for path, asked in ((file, ["-P", str(file)]), (quick, ["--quick"])):
        path.write_bytes(content)
        assert driver.main(asked, book) == 2
        told = capsys.readouterr().err
        assert path.name in told and "Traceback" not in told


def test_a_failing_chapter_replaces_nothing(book, capsys):
    source = book / "book" / "chapters" / "01_small.ipynb"
    before = source.read_bytes()
    assert driver.main(["-p", "n=3"], book) == 0
    target = book / "_build" / "run" / "chapters" / "01_small.ipynb"
    good = target.read_bytes()
    assert driver.main(["-p", "n=10"], book) == 1
    assert "too large" in capsys.readouterr().err
    assert (source.read_bytes(), target.read_bytes()) == (before, good)
    assert [p.name for p in target.parent.iterdir()] == ["01_small.ipynb"]


def test_parts_and_the_root_page_are_executed_too(book):
    for name in ("index", "pages/facts"):
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        note = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        note.cells = [
            nbformat.v4.new_code_cell("from pathlib import Path\nprint(Path().resolve().name)")
        ]
        nbformat.write(note, book / "book" / f"{name}.ipynb")
    toc = {"format": "jb-book", "root": "book/index", "parts": []}
    listed = {"Chapters": "chapters/01_small", "Reference": "pages/facts", "More": "pages/none"}
    for caption, page in listed.items():
        toc["parts"].append({"caption": caption, "chapters": [{"file": f"book/{page}"}]})
    (book / "_toc.yml").write_text(yaml.safe_dump(toc))
    assert [c.stem for c in driver.chapters(book)] == ["index", "01_small", "facts"]
    assert driver.main(["--quick", "--chapter", "facts"], book) == 0
    facts = book / "_build" / "run" / "pages" / "facts.ipynb"
    assert _printed(facts) == "pages\n", "in its own folder"
    assert driver.main(["--chapter", "facts", "-p", "n=3"], book) == 2
    assert driver.main(["--quick", "--jobs", "2", "--output", str(book / "two")], book) == 0
    made = {path.stem for path in (book / "two").rglob("*.ipynb")}
    assert made == {"index", "01_small", "facts"}
    assert driver.main(["--quick", "--jobs", "0"], book) == 2


def test_publishing_replaces_the_committed_chapter(book):
    source = book / "book" / "chapters" / "01_small.ipynb"
    assert "a cell was not executed, or not in order" in _faults(nbformat.read(source, 4))
    assert driver.main(["--defaults", "--publish"], book) == 0
    assert _faults(nbformat.read(source, 4)) == []
    assert _printed(source) == "5 0.5 True\n"


def test_the_driver_is_a_program():
    command = [sys.executable, str(ROOT / "book" / "tools" / "run.py"), "--chapter", "99"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no chapter '99'" in done.stderr
