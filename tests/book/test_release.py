"""A release is made of what is committed, and only if nothing stands in its way."""

import subprocess
import tarfile
from pathlib import Path

import pytest
import release

ROOT = Path(__file__).parents[2]
MAKE_PDF = ["sh", "-c", f"mkdir -p {release.PDF.parent} && echo book > {release.PDF}"]


@pytest.fixture
def project(tmp_path):
    """A small repository that is ready for version 1.2."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2"\n')
    (tmp_path / "CITATION.cff").write_text("version: '1.2'\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2 - 2026-01-01\n")
    stand_in = "sphinx: {config: {repository_is_stand_in: true}}\n"
    (tmp_path / "_config.yml").write_text(stand_in)
    (tmp_path / ".gitignore").write_text("_build/\n")
    release.git(tmp_path, "init", "--initial-branch=main")
    for key, value in {"user.name": "A", "user.email": "a@b.c"}.items():
        release.git(tmp_path, "config", key, value)
    _commit(tmp_path)
    return tmp_path


def _commit(folder):
    release.git(folder, "add", "--all")
    release.git(folder, "commit", "--message", "change")


def test_a_release_is_tagged_and_gathered(project, capsys):
    assert release.release(project, [MAKE_PDF]) == 0
    assert release.git(project, "tag", "--list") == "v1.2"
    folder = project / "_build" / "release"
    with tarfile.open(folder / "three-factor-plasticity-1.2.tar.gz") as archive:
        names = archive.getnames()
    assert "three-factor-plasticity-1.2/CHANGELOG.md" in names
    assert not [name for name in names if "_build" in name]
    assert (folder / "three-factor-plasticity-1.2.pdf").read_text() == "book\n"
    told = capsys.readouterr().out
    assert "1. put the address" in told and "Zenodo" in told
    # The same version is not released twice.
    assert release.release(project, [MAKE_PDF]) == 2
    assert "there is a tag v1.2: raise" in capsys.readouterr().err


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("CHANGELOG.md", "# Changelog\n\n## Unreleased\n", 'CHANGELOG.md has no "## 1.2"'),
        ("CITATION.cff", "version: '1.1'\n", "CITATION.cff says 1.1, pyproject.toml 1.2"),
        ("pyproject.toml", '[project]\nversion = "1.20"\n', "pyproject.toml 1.20: make them one"),
    ],
)
def test_what_is_not_ready_is_refused(project, file, text, message, capsys):
    (project / file).write_text(text)
    _commit(project)
    assert release.release(project, [MAKE_PDF]) == 2
    assert message in capsys.readouterr().err
    assert release.git(project, "tag", "--list") == ""


def test_uncommitted_changes_and_failed_steps_are_refused(project, capsys):
    assert release.release(project, [["false"]]) == 1
    assert release.release(project, [["sh", "-c", "echo 1 > left"]]) == 1
    assert "its own steps have changed files" in capsys.readouterr().err
    assert release.release(project, [MAKE_PDF]) == 2
    assert "working tree has changes" in capsys.readouterr().err
    assert release.git(project, "tag", "--list") == ""


def test_the_project_itself_can_be_asked():
    # Between releases there may be changes and no heading; what is asked exists.
    inside = subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True)
    if inside.returncode:
        pytest.skip("not in a repository")
    known = ("working tree", "CHANGELOG.md has no", "there is a tag")
    assert all(reason.startswith(("the " + known[0], *known)) for reason in release.obstacles(ROOT))
    assert release.notes(ROOT)
