"""What machines read of the project: codemeta.json, and an RO-Crate of the records.

    metadata.py        write both
    metadata.py check  exit with 1 if they are not what they would be now

Version, title, authors and paper stand in CITATION.cff, what Python needs in pyproject.toml, and
parameters, seeds, versions and digests in the records.
"""

import hashlib
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml
from companion import record

TOOLS = Path(__file__).resolve().parent
ROOT = TOOLS.parents[1]
CODEMETA = "codemeta.json"
CRATE = "ro-crate-metadata.json"  # the name that RO-Crate demands
# Of a record's provenance, what its run is described by.
TOLD = ("experiment", "parameters", "seeds", "versions", "processor", "seconds", "sha256")
LICENSE = "https://spdx.org/licenses/MIT"
NETCDF = {
    "@id": "https://www.nationalarchives.gov.uk/PRONOM/fmt/283",
    "@type": "WebPage",
    "name": "netCDF-4",
}


def codemeta(root: Path) -> dict[str, Any]:
    """The project as CodeMeta 3.0 describes software."""
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    paper = citation["preferred-citation"]
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": citation["title"],
        "description": project["description"],
        "version": project["version"],
        "license": LICENSE,
        "author": [_organisation(author) for author in citation["authors"]],
        "programmingLanguage": "Python",
        "runtimePlatform": f"Python {project['requires-python']}",
        "softwareRequirements": list(project["dependencies"]),
        "referencePublication": {
            "@type": "ScholarlyArticle",
            "name": paper["title"],
            "identifier": paper["identifiers"][0]["value"],
        },
    }


def crate(root: Path) -> dict[str, Any]:
    """The folder of records as RO-Crate 1.1: each file, and the run that made it from which."""
    project, folder = codemeta(root), root / "book" / "records"
    program = {
        "@id": "#program",
        "@type": "SoftwareApplication",
        "name": project["name"],
        "version": project["version"],
    }
    records = {path: record.provenance(record.load(path)) for path in sorted(folder.glob("*.nc"))}
    of_digest = {told["sha256"]: path.name for path, told in records.items()}
    files, runs, values = [], [], []
    for path, told in records.items():
        day = told["recorded"].split()[0]
        form = ["application/x-netcdf", {"@id": NETCDF["@id"]}]
        files.append(_file(path, told["title"], form) | {"dateCreated": day})
        given = [
            {"@type": "PropertyValue", "@id": f"#{path.stem}/{name}", "name": name, "value": text}
            for name in TOLD
            if (text := told[name] if isinstance(told[name], str) else _line(told[name]))
        ]
        made_from = [of_digest[d] for d in told["needs"].values() if d in of_digest]
        run = {
            "@id": f"#run/{path.stem}",
            "@type": "CreateAction",
            "name": f"make reproduce RECORD={path.stem}",
            "instrument": {"@id": program["@id"]},
            "object": [{"@id": name} for name in [*made_from, *(v["@id"] for v in given)]],
            "result": {"@id": path.name},
            "endTime": day,
        }
        runs.append(run)
        values += given
    tables = sorted(folder.glob("*.csv"))
    files += [_file(path, f"Table: {path.stem.replace('_', ' ')}", ["text/csv"]) for path in tables]
    whole = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Records of: {project['name']}",
        "description": "Measured results of the book's experiments; each says how it was made.",
        "datePublished": max(run["endTime"] for run in runs),
        "license": {"@id": LICENSE},
        "hasPart": [{"@id": file["@id"]} for file in files],
        "mentions": [{"@id": run["@id"]} for run in runs],
    }
    descriptor = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    licence = {"@id": LICENSE, "@type": "CreativeWork", "name": "MIT License"}
    graph = [descriptor, whole, licence, NETCDF, program, *files, *runs, *values]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def _organisation(author: dict) -> dict[str, str]:
    return {"@type": "Organization", "name": author["name"]}


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _file(path: Path, title: str, form: list) -> dict[str, Any]:
    content = path.read_bytes()
    return {
        "@id": path.name,
        "@type": "File",
        "name": title,
        "encodingFormat": form,
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def texts(root: Path) -> dict[Path, str]:
    """File → what it holds."""
    made = {root / CODEMETA: codemeta(root), root / "book" / "records" / CRATE: crate(root)}
    return {path: json.dumps(v, indent=1, ensure_ascii=False) + "\n" for path, v in made.items()}


def main(argv: list[str]) -> int:
    stale = []
    for path, text in texts(ROOT).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if argv != ["check"]:
                path.write_text(text, encoding="utf-8")
    if argv == ["check"]:
        print(f"not up to date: {', '.join(stale)}: run book/tools/metadata.py" if stale else "")
        return int(bool(stale))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
