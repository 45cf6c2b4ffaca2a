"""The export for NeuroLibre, and what Binder makes of both layouts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "book"))

import building  # noqa: E402
import neurolibre  # noqa: E402


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
    assert "book/" not in (content / "_config.yml").read_text()
    named = config["bibtex_bibfiles"] + config["sphinx"]["config"]["html_static_path"]
    assert all((content / name).exists() for name in named)
    own = config["sphinx"]["local_extensions"]
    assert own and all((content / f"{name}.py").exists() for name in own)
    assert not set(own) & set(config["sphinx"]["extra_extensions"])


def test_notebooks_of_the_export_find_records_and_modules(exported):
    content, records, modules = exported / "content", set(), set()
    for notebook in content.glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        code = "".join("".join(c["source"]) + "\n" for c in cells if c["cell_type"] == "code")
        records |= set(re.findall(r"records\W+(\w+\.npz)", code))
        modules |= set(re.findall(r"^(?:from|import) (\w+)", code, flags=re.MULTILINE))
    assert records and all((content / "records" / name).exists() for name in records)
    ours = {file.stem for file in (ROOT / "book").glob("*.py")} & modules
    assert ours and all((content / f"{name}.py").exists() for name in ours)


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
    text = "root: book/index\n  - file: book/api/model\nx: [book/a, b]\nurl: https://h/book/c\n"
    flat = "root: index\n  - file: api/model\nx: [a, b]\nurl: https://h/book/c\n"
    assert building.flattened(text) == flat
