"""What the book says of itself online, all of it from one value of _config.yml."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import addresses
import nbformat
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]

OTHER = "https://github.com/Someone/some.book"
TEXT = {".py", ".md", ".yml", ".cff", ".toml", ".ipynb", ".js", ".css", ".lock", ""}


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.found.append((named.get("property", named.get("name")), named.get("content")))


def _read(text):
    parser = _Tags()
    parser.feed(text)
    return parser.found


def test_pages_are_where_github_serves_them():
    assert addresses.pages_address(OTHER) == "https://someone.github.io/some.book/"
    assert addresses.pages_address(OTHER + "/") == "https://someone.github.io/some.book/"
    with pytest.raises(ValueError, match="OWNER/NAME; got 'https://example.org/a/b'"):
        addresses.pages_address("https://example.org/a/b")


def test_tags_tell_scholars_what_a_page_is():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    at = ("https://a.b/c.html", "https://a.b/", "Curves", citation, "2026", True)
    made = _read(addresses.tags('On "rest" & <motion>', *at))
    assert ("og:title", 'On "rest" & <motion>') in made, "escaped and read back"
    assert ("citation_public_url", "https://a.b/c.html") in made
    assert ("citation_author", "The companion's contributors") in made
    assert ("citation_pdf_url", f"https://a.b/{addresses.PDF}") in made
    assert ("og:image", f"https://a.b/{addresses.PICTURE}") in made
    assert ("og:image:alt", "Curves") in made
    reference = dict(made)["citation_reference"]
    assert "citation_arxiv_id=2512.09366" in reference and "Dimitra Maoutsa" in reference
    at = ("https://a.b/d.html", "https://a.b/", "Curves")
    whole = dict(_read(addresses.tags("Claims", *at, citation, "2026", False)))
    assert whole["citation_title"] == citation["title"]
    assert "citation_inbook_title" not in whole


def test_without_a_site_nothing_has_an_address():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    told = addresses.tags("Claims", "claims.html", None, "Curves", citation, "2026", True)
    assert ("citation_author", "The companion's contributors") in _read(told)
    texts = [told, *addresses.beside(["book/a"], None).values()]
    assert not [text for text in texts if "http" in text or "None" in text]
    assert 'href="index.html"' in addresses.beside([], None)["404.html"]


@pytest.mark.parametrize("stand_in", [True, False])
def test_pages_link_to_the_repository_once_it_is_there(tmp_path, stand_in):
    # Not the book, which takes a minute, but a chapter and a first page under its configuration.
    options = yaml.safe_load((ROOT / "_config.yml").read_text())
    options["sphinx"]["config"] |= {"repository_is_stand_in": stand_in, "html_static_path": []}
    options["sphinx"]["config"]["html_css_files"] = []
    options["sphinx"]["extra_extensions"] = ["addresses"]
    (tmp_path / "none.bib").touch()
    options |= {"bibtex_bibfiles": ["none.bib"], "repository": {"url": OTHER, "branch": "main"}}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(options))
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: first\nchapters:\n- file: second\n")
    for name in ("first", "second"):
        title, code = nbformat.v4.new_markdown_cell(f"# {name}"), nbformat.v4.new_code_cell("1")
        drawn = io.BytesIO()
        Image.new("RGB", (2, 2)).save(drawn, "PNG")
        picture = {"data": {"image/png": base64.b64encode(drawn.getvalue()).decode()}}
        code.outputs = [nbformat.v4.new_output("display_data", **picture)]
        code.metadata["mystnb"] = {"figure": {"name": "fig-key"}, "image": {"alt": "Curves"}}
        made = nbformat.v4.new_notebook(cells=[title, code] if name == "first" else [title])
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        made.metadata["kernelspec"] = kernel
        nbformat.write(made, tmp_path / f"{name}.ipynb")
    command = "from jupyter_book.cli.main import main; main()"
    places = [str(ROOT / "book" / "tools" / "extensions"), str(ROOT), str(ROOT / "book")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    run = [sys.executable, "-c", command, "build", str(tmp_path), "-q"]
    done = subprocess.run(run, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    html = tmp_path / "_build" / "html"
    page = (html / "second.html").read_text()
    sites = ("mybinder.org", "colab.research", "someone.github.io")
    assert [site in page for site in sites] == [not stand_in] * 3
    assert (html / "sitemap.xml").exists() is not stand_in
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"Version {version}, built on 2" in page


def test_another_repository_changes_every_address():
    def all_of(repository):
        site = addresses.pages_address(repository)
        files = addresses.beside(["book/b", "book/a"], site)
        foot = addresses.downloads(site)
        return "".join(files.values()) + addresses.install_cell(repository, "book").source + foot

    mine = addresses.repository_address()
    texts = {repository: all_of(repository) for repository in (mine, OTHER)}
    owner, name = mine.rsplit("/", 2)[1:]
    assert name in texts[mine] and name not in texts[OTHER] and owner not in texts[OTHER]
    urls = re.findall(r"https://[^\s<\"]+", texts[OTHER])
    ours = [url for url in urls if "sitemaps.org" not in url and "w3.org" not in url]
    assert len(ours) == 7, "two pages, the way home, the sitemap, the clone, two downloads"
    assert all("omeone" in url and "some.book" in url for url in ours)


def test_no_other_file_names_the_repository():
    mine = addresses.repository_address()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / f for f in listed.stdout.split() if Path(f).suffix in TEXT]
    named = [
        file.name
        for file in files
        if file.exists() and mine.split("github.com/")[1] in file.read_text(errors="ignore")
    ]
    assert set(named) == {"_config.yml"} | {file.name for file in addresses.notebooks()}


def test_every_notebook_installs_the_package_on_colab_and_only_there():
    mine = addresses.repository_address()
    for path in addresses.notebooks():
        folder = path.parent.relative_to(ROOT).as_posix()
        wanted = addresses.install_cell(mine, folder)
        assert f"/{folder}" in wanted.source, "where the kernel works"
        cells = nbformat.read(path, as_version=4).cells
        assert cells[0].cell_type == "markdown", "the title comes first"
        first = [cell for cell in cells if cell.cell_type == "code"][0]
        fix = (
            f"{path.name}: run book/tools/extensions/addresses.py after a change of repository.url"
        )
        assert (first.source, first.metadata["tags"]) == (wanted.source, ["remove-cell"]), fix
        assert first.outputs == []
        assert json.dumps(cells).count(mine) == 1, f"{path.name}: named once"


def test_another_repository_is_written_into_notebooks():
    mine = "https://github.com/a/b"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title")])
    notebook.cells.append(nbformat.v4.new_code_cell("1 + 1"))
    once = addresses.with_install_cell(notebook, mine, "book/pages")
    again = addresses.with_install_cell(once, OTHER, "book/pages")
    assert [c.source for c in again.cells][::2] == ["# Title", "1 + 1"] and len(again.cells) == 3
    assert OTHER in again.cells[1].source and mine not in again.cells[1].source


def test_launch_buttons_and_package_of_binder():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert {"binderhub_url", "colab_url"} <= config["launch_buttons"].keys()
    # Binder reads environment.yml at the top and serves the repository as it is.
    assert (ROOT / "environment.yml").exists() and "-e ." in (ROOT / "environment.yml").read_text()


def test_the_workflow_tests_before_it_deploys(tmp_path):
    path = ROOT / ".github" / "workflows" / "pages.yml"
    workflow = yaml.safe_load(path.read_text())
    steps = workflow["jobs"]["book"]["steps"]
    assert any(step.get("run") == "make test" for step in steps)
    assert set(workflow["jobs"]["deploy"]["needs"]) == set(workflow["jobs"]) - {"deploy"}
    made = "".join(step.get("run", "") for step in steps)
    assert all(name in made for name in addresses.DOWNLOADS), "what every page links to"
    linter = ROOT / "tests" / "browser" / "lint.mjs"
    if shutil.which("node") is None or not (linter.parent / "node_modules").exists():
        pytest.skip("npm ci --prefix tests/browser")

    def lint(text):
        copy = tmp_path / "pages.yml"
        copy.write_text(text)
        return subprocess.run(["node", linter, copy], capture_output=True, text=True)

    text = path.read_text()
    assert (done := lint(text)).returncode == 0, done.stdout + done.stderr
    assert "does not exist" in lint(text.replace("needs: [library, book]", "needs: nothing")).stdout
