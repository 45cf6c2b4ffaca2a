"""Parameters from the command line to the chapter: make, the shell, the driver, the types."""

import shutil
import subprocess
from pathlib import Path

import nbformat
import parameter_values
import pytest
import run as driver
from parameter_tables import example
from parameter_values import BadRequest, checked, given, live

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))
SOURCE = """n: int = 5  # a number
x: float = 0.5  # another
live: bool = True  # a switch
text: str = ""  # words
network_file: str = ""  # a path"""


@pytest.fixture
def chapter(tmp_path):
    cell = nbformat.v4.new_code_cell(SOURCE, metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "01_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), path)
    return path


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("n=50", 50),
        ("n=010", 10),
        ("n=1e3", 1000),
        ("x=1e-3", 0.001),
        ("x=1", 1.0),
        ("live=yes", True),
        ("live=False", False),
        *(
            (f"text={text}", text)
            for text in ("50", "yes", "~", " #1", "n_units=50", "(3,3)", "a; b", "[1", "1e3", "")
        ),
    ],
)
def test_a_value_is_read_as_what_the_chapter_declares(chapter, item, value):
    ((_, read),) = checked(chapter, given([item], None, None)).items()
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize("item", ["n=1e-3", "n=inf", "n=1e999999999", "x=", "live=1", "live=~"])
def test_what_is_not_of_the_type_is_refused_in_one_sentence(chapter, item):
    name, _, text = item.partition("=")
    with pytest.raises(BadRequest) as refused:
        checked(chapter, given([item], None, None))
    first = str(refused.value).splitlines()[0]
    assert first.startswith(f"{name} of 01_small is ") and f"; got {text!r}: give " in first


def test_several_are_parted_where_a_name_begins():
    several = "n=50  tasks=association;long delay text= #1 == 2 last="
    wanted = {"n": "50", "tasks": "association;long delay", "text": " #1 == 2", "last": ""}
    assert given([], several, None) == wanted
    assert given(["n=3"], several, None) == wanted | {"n": "3"}
    assert given(["text=a n=4"], None, None) == {"text": "a n=4"}, "one is taken as it is"
    for bad in ("n", "=3", "long delay"):
        with pytest.raises(BadRequest, match="NAME=VALUE"):
            given([], bad, None)


def test_every_default_can_be_given_and_is_what_it_was():
    for path in CHAPTERS:
        there = parameter_values.declared(path)
        texts = {
            name: p["default"].removeprefix('"').removesuffix('"') for name, p in there.items()
        }
        values = checked(path, given([], " ".join(map("=".join, texts.items())), None))
        assert {name: repr(value).replace("'", '"') for name, value in values.items()} == {
            name: p["default"] for name, p in there.items()
        }


def test_a_file_is_read_by_the_same_types(chapter, tmp_path):
    file = tmp_path / "own.yml"
    file.write_text("n: 1e3\nlive: no\ntext: yes\nx: 2\n# é\n", encoding="utf-8")
    values = checked(chapter, given(["x=3"], None, file))
    assert values == {"n": 1000, "live": False, "text": "yes", "x": 3.0}
    file.write_text("text: [a, b]\n")
    with pytest.raises(BadRequest, match=r"text of 01_small is str; got \['a', 'b'\]: give text"):
        checked(chapter, given([], None, file))


@pytest.mark.parametrize("content", [None, b"n: [1", b"n=3", b"- n", b"\xff: 1", b"a: b: c"])
def test_a_bad_file_is_told_in_one_sentence(chapter, tmp_path, content, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("own.yml").write_bytes(content)
    assert driver.main(["--quick", "-P", "own.yml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "got" in line and "own.yml" in line and ": " in line
    if content is None:
        assert f"as seen from {tmp_path}" in line


def test_paths_are_those_of_the_caller(chapter, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("mine.npz").write_bytes(b"")
    values = checked(chapter, {"network_file": "mine.npz", "text": "mine.npz"})
    assert values == {"network_file": str(tmp_path / "here" / "mine.npz"), "text": "mine.npz"}
    assert checked(chapter, {"network_file": ""}) == {"network_file": ""}
    for missing in ("other.npz", "."):
        wanted = rf"network_file of 01_small is str; got '{missing}' \(.*\): give the path"
        with pytest.raises(BadRequest, match=wanted):
            checked(chapter, {"network_file": missing})


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_passes_every_text_as_it_is(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml", "book/tools/install.sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    (tmp_path / ".venv" / "installed").touch()

    def passed(*words: str) -> list[str]:
        command = ["make", "--silent", "--no-print-directory", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    for text in (
        "rule=(3,3)",
        "starts=zero;touch made",
        "tasks=association;long delay n_units=50",
        'text=it\'s $HOME `touch made` $(touch made) $(shell touch made) $( "a" #1 & | > made',
    ):
        assert f"--parameters={text}" in passed("run", "CHAPTER=07", f"P={text}")
    assert "--chapter=0 7;touch made" in passed("run", "CHAPTER=0 7;touch made")
    assert not [word for word in passed("run") if word.startswith(("--chapter", "--param"))]
    reproduced = passed("reproduce", "RECORD=miconi a;b")
    # What records say of themselves is gathered again afterwards.
    assert reproduced[1:] == ["miconi", "a;b", "book/tools/metadata.py"]
    assert not (tmp_path / "made").exists()


def test_other_parameters_than_recorded_are_computed_live(chapter, capsys):
    cells = nbformat.read(chapter, as_version=4)
    cells.cells[0].source += "\nrecorded: bool = True  # load the records"
    nbformat.write(cells, chapter)
    assert live(chapter, {}) == live(chapter, {"n": 5, "text": ""}) == {}
    assert live(chapter, {"n": 6, "recorded": True}) == {}, "who says it gets it"
    assert capsys.readouterr().out == ""
    assert live(chapter, {"n": 6, "x": 0.5}) == {"recorded": False}
    said = "01_small is asked for another n: what no record holds is computed now"
    assert capsys.readouterr().out.startswith(said)


def test_a_chapter_without_records_has_nothing_to_load(chapter):
    assert live(chapter, {"n": 6}) == {}


def test_the_example_is_one_more_of_the_first_number(chapter, tmp_path):
    assert example(chapter, {"n": "7"}) == ("n", "8")
    assert example(chapter, {}) == ("n", "6")
    other = tmp_path / "02_other.ipynb"
    other.write_text(chapter.read_text().replace("n: int = 5", "n: float = 5"))
    assert example(other, {"n": "2"}) == ("n", "3")
    other.write_text(chapter.read_text().replace("int = 5", "str = 5").replace("float", "str"))
    assert example(other, {"text": "words"}) == ("text", "words")
