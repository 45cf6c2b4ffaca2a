"""The export for NeuroLibre, and what Binder makes of both layouts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import building
import neurolibre
import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def exported():
    assert neurolibre.export(ROOT, ROOT / "book")
    return ROOT / "_build" / "neurolibre"


def test_the_export_has_what_its_configuration_names(exported):
    content = exported / "content"
    pages = building.pages(content)
    assert [f"book/{page}" for page in pages] == building.pages(ROOT)
    assert all(list(content.glob(f"{page}.*")) for page in pages)
    config = yaml.safe_load((content / "_config.yml").read_text())
    named = config["bibtex_bibfiles"] + config["sphinx"]["config"]["html_static_path"]
    assert all((content / name).exists() for name in named)
    own = config["sphinx"].pop("local_extensions")
    assert "book/" not in str(config)
    assert own and all((content / path / f"{name}.py").exists() for name, path in own.items())
    assert not set(own) & set(config["sphinx"]["extra_extensions"])


def test_the_export_finds_its_own_packages_and_records(exported):
    program = (
        "import companion, plasticity\n"
        "from companion.record import folder\n"
        "print(companion.__file__, plasticity.__file__, *sorted(folder().iterdir()), sep='\\n')"
    )
    # As Binder installs them: from the folder of the export, by its own pyproject.toml.
    paths = {"PYTHONPATH": f"{exported}{os.pathsep}{exported / 'book'}"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=exported / "content" / "chapters",
        env=os.environ | paths,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [Path(line) for line in done.stdout.split()]
    assert all(exported in path.parents for path in found)
    there = {path.name for path in (ROOT / "book" / "records").iterdir()}
    assert there == {path.name for path in found[2:]}


def test_the_interactive_page_finds_its_scripts_in_every_layout(exported):
    committed = (ROOT / "book" / "pages" / "explore.md").read_text()
    assert f'"{building.STATIC}/explore/' in committed
    page = (exported / "content" / "pages" / "explore.md").read_text()
    assert '"../_static/explore/' in page and building.STATIC not in page


def test_the_paper_names_authors_and_a_bibliography_that_has_what_is_cited(exported):
    _, front, text = (exported / "paper.md").read_text().split("---\n", 2)
    head = yaml.safe_load(front)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert head["title"] == citation["title"]
    assert head["authors"] == [{"name": "The companion's contributors"}]
    cited = re.findall(r"@(\w+)", text)
    bibliography = (exported / head["bibliography"]).read_text()
    assert cited and all(f"{{{key}," in bibliography for key in cited)
    assert "2512.09366" in text


@pytest.mark.parametrize("layout", ["repository", "export"])
def test_binder_knows_how_to_build_the_environment(layout, exported):
    folder, wanted = {
        "repository": (ROOT, "environment.yml"),
        "export": (exported, "binder/requirements.txt"),
    }[layout]
    command = [Path(sys.executable).parent / "jupyter-repo2docker", "--no-build", "--debug", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    recipe = done.stdout + done.stderr
    assert done.returncode == 0, recipe[-2000:]
    assert wanted in recipe and "COPY --chown" in recipe


def test_a_flat_configuration_drops_the_folder_and_nothing_else():
    text = "root: book/index\n  - file: book/pages/a\nx: [book/a, b]\nurl: https://h/book/c\n"
    flat = "root: index\n  - file: pages/a\nx: [a, b]\nurl: https://h/book/c\n"
    assert building.flattened(text) == flat
