"""Make a release: check it, build what goes with it, tag it, and say what is left to a person.

    release.py            after `make test`, which it runs
    release.py --tested   where that has just passed

Nothing is tagged unless every step before has succeeded, and nothing is sent anywhere.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

TOOLS = Path(__file__).resolve().parent
ROOT = TOOLS.parents[1]
PDF = Path("_build", "pdf", "three-factor-plasticity.pdf")
PYTHON = Path(".venv", "bin", "python")


def git(root: Path, *words: str) -> str:
    """What a command of git prints."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def version(root: Path) -> str:
    """That of pyproject.toml."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["version"]


def obstacles(root: Path) -> list[str]:
    """What stands in the way of a release, each with what to do."""
    found, number = [], version(root)
    if git(root, "status", "--porcelain"):
        found.append("the working tree has changes: commit them, or put them aside")
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    if citation["version"] != number:
        given = citation["version"]
        found.append(f"CITATION.cff says {given}, pyproject.toml {number}: make them one")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[?{re.escape(number)}\b", changelog, flags=re.M):
        heading = f'"## {number}"'
        found.append(f"CHANGELOG.md has no {heading}: give what is under Unreleased that heading")
    if f"v{number}" in git(root, "tag", "--list").split():
        found.append(f"there is a tag v{number}: raise the version in pyproject.toml")
    return found


def notes(root: Path) -> list[str]:
    """What a person has to do, for a DOI and for readers."""
    configuration = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    number = version(root)
    steps = [
        f"git push origin main v{number}",
        f"Zenodo, New upload: the two files of _build/release, version {number}, the fields of "
        "codemeta.json; reserve a DOI, and publish",
        "put the DOI into CITATION.cff (doi:) and book/pages/cite.md, and commit",
    ]
    if configuration["sphinx"]["config"]["repository_is_stand_in"]:
        first = "put the address of the repository into _config.yml, set repository_is_stand_in to "
        steps.insert(0, f"{first}false, run book/tools/extensions/addresses.py, and release again")
    return steps


def release(root: Path, commands: list[list[str]]) -> int:
    """Check, run the commands, gather the archive and the PDF, and tag."""
    in_the_way = obstacles(root)
    if in_the_way:
        print("no release:", *in_the_way, sep="\n  ", file=sys.stderr)
        return 2
    for command in commands:
        print(" ".join(command), flush=True)
        if subprocess.run(command, cwd=root).returncode:
            print(f"no release: {' '.join(command)} failed", file=sys.stderr)
            return 1
    # What the commands have changed would be in the folder, and not in the archive.
    if git(root, "status", "--porcelain"):
        print("no release: its own steps have changed files: commit them", file=sys.stderr)
        return 1
    folder, name = root / "_build" / "release", f"three-factor-plasticity-{version(root)}"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{name}.tar.gz"
    git(root, "archive", f"--prefix={name}/", f"--output={archive}", "HEAD")
    shutil.copy(root / PDF, folder / f"{name}.pdf")
    git(root, "tag", "--annotate", f"v{version(root)}", "--message", f"Version {version(root)}")
    print(f"tagged v{version(root)}; archive and PDF are in _build/release. Left to you:")
    print(*(f"  {i}. {step}" for i, step in enumerate(notes(root), 1)), sep="\n")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tested", action="store_true", help="make test has just passed")
    checks = [] if parser.parse_args().tested else [["make", "test"]]
    checks += [[str(PYTHON), "book/tools/metadata.py", "check"], ["make", "pdf"]]
    return release(ROOT, checks)


if __name__ == "__main__":
    sys.exit(main())
