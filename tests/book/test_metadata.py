"""What machines read of the project."""

import json
import shutil
import tomllib
from pathlib import Path

import metadata
import pytest
import yaml
from companion import record

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "book" / "records"


@pytest.fixture(scope="module")
def texts():
    return metadata.texts(ROOT)


def test_files_are_what_they_would_be_now(texts):
    stale = [path.name for path, text in texts.items() if path.read_text() != text]
    assert stale == [], "run book/tools/metadata.py"


def test_one_version_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert json.loads((ROOT / metadata.CODEMETA).read_text())["version"] == version
    assert f"version = {{{version}}}" in (ROOT / "book" / "pages" / "cite.md").read_text()


def _ids(value) -> set[str]:
    """Everything that an entity refers to."""
    if isinstance(value, list):
        return set().union(*map(_ids, value))
    if isinstance(value, dict):
        return {value["@id"]} if set(value) == {"@id"} else _ids(list(value.values()))
    return set()


def test_the_crate_keeps_the_rules_of_ro_crate(texts):
    made = json.loads(texts[RECORDS / metadata.CRATE])
    graph = {entity["@id"]: entity for entity in made["@graph"]}
    assert len(graph) == len(made["@graph"]), "each entity once"
    assert graph[metadata.CRATE]["about"] == {"@id": "./"}
    assert graph[metadata.CRATE]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = graph["./"]
    assert {"@type", "name", "description", "datePublished", "license"} <= root.keys()
    told = set().union(*(_ids(list(entity.values())) for entity in graph.values()))
    assert {i for i in told - graph.keys() if not i.startswith("https://w3id.org/ro")} == set()
    files = {i for i, entity in graph.items() if entity["@type"] == "File"}
    kept = {path.name for path in RECORDS.iterdir()} - {metadata.CRATE}
    assert files == kept == {part["@id"] for part in root["hasPart"]}
    for name in files:
        assert graph[name]["contentSize"] == str((RECORDS / name).stat().st_size)


def test_a_run_names_what_it_was_made_from(texts):
    made = {e["@id"]: e for e in json.loads(texts[RECORDS / metadata.CRATE])["@graph"]}
    told = record.provenance(record.load(RECORDS / "race.nc"))
    run = made["#run/race"]
    objects = [thing["@id"] for thing in run["object"]]
    assert "race_tuning.nc" in objects and run["result"] == {"@id": "race.nc"}
    assert made["#race/sha256"]["value"] == told["sha256"]
    assert json.loads(made["#race/parameters"]["value"]) == told["parameters"]


def test_another_record_makes_it_stale(tmp_path, monkeypatch, capsys):
    for name in ("CITATION.cff", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    folder = tmp_path / "book" / "records"
    folder.mkdir(parents=True)
    shutil.copy(RECORDS / "setting_map.nc", folder)
    monkeypatch.setattr(metadata, "ROOT", tmp_path)
    assert metadata.main([]) == 0 and metadata.main(["check"]) == 0
    shutil.copy(RECORDS / "update_progress.nc", folder)
    assert metadata.main(["check"]) == 1
    assert f"not up to date: {metadata.CRATE}: run" in capsys.readouterr().out
