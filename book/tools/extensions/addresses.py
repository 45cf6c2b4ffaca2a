"""Sphinx extension: what the book says of itself to those who find it online.

Every address follows from the one `repository` in _config.yml: pages are served by GitHub Pages
under https://OWNER.github.io/NAME/. Adds Open Graph and citation_* tags to every page, and beside
them sitemap.xml, robots.txt and 404.html. While that address is a stand-in (the configuration value
`repository_is_stand_in`), nothing that a reader sees leads there: no buttons that open a notebook
elsewhere, no downloads from the site, no address of a page. Run as a script, for a new notebook or
once that value has changed: writes the cell by which notebooks install the packages on Colab.
"""

import base64
import html
import re
import time
from functools import cache
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[3]
# What the workflow for GitHub Pages puts beside the pages: the book in one file, its notebooks.
PDF = "three-factor-plasticity.pdf"
DOWNLOADS = (PDF, "notebooks.zip")
# The key figure, for those who share a page: not all of them read the WebP that pages show.
PICTURE = "key-figure.png"
_REPOSITORY = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)/?$")


def repository_address() -> str:
    """The one value of _config.yml that all others follow from."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]


def pages_address(repository: str) -> str:
    """Where GitHub Pages serves a repository; ends with a slash.

    Raises:
        ValueError: not the address of a repository on GitHub.
    """
    match = _REPOSITORY.match(repository)
    if not match:
        rule = "repository.url in _config.yml is https://github.com/OWNER/NAME"
        raise ValueError(f"{rule}; got {repository!r}: give that address")
    owner, name = match.groups()
    return f"https://{owner.lower()}.github.io/{name}/"


def install_cell(repository: str, folder: str) -> nbformat.NotebookNode:
    """The cell by which a notebook of ``folder`` installs what it lacks, which it does on Colab.

    Both packages are read from the clone, where the records lie. A running Python does not see what
    is installed in that way, so the cell names the two folders itself.
    """
    name = _REPOSITORY.match(repository)[2]
    source = f"""# Colab opens this notebook alone: the rest of the repository, and what it needs.
import sys

if "google.colab" in sys.modules:
    %cd -q /content
    !git clone -q {repository.rstrip("/")}
    %pip install -q -e "./{name}[book]"
    sys.path[:0] = ["/content/{name}", "/content/{name}/book"]
    %cd -q {name}/{folder}"""
    cell = nbformat.v4.new_code_cell(source, id="install-on-colab")
    cell.metadata["tags"] = ["remove-cell"]
    return cell


def with_install_cell(
    notebook: nbformat.NotebookNode, repository: str, folder: str
) -> nbformat.NotebookNode:
    """The notebook with that cell: brought up to date, or put after the title."""
    wanted = install_cell(repository, folder)
    there = [cell for cell in notebook.cells if cell.get("id") == wanted.id]
    for cell in there:
        cell.source = wanted.source
    if not there:
        notebook.cells.insert(1, wanted)
    return notebook


def tags(
    title: str, address: str, site: str | None, alt: str, citation: dict, year: str, chapter: bool
) -> str:
    """Meta tags of a page of ``site``; a chapter is cited by its own title.

    ``alt``: what is to be seen on the key figure, which stands for every page. Without a site there
    are no addresses among them.
    """
    authors = [author["name"] for author in citation["authors"]]
    paper = citation["preferred-citation"]
    whole = citation["title"]
    about = f"{title}: part of the reproducible companion of “{paper['title']}”."
    og = {
        "og:type": "article" if chapter else "website",
        "og:title": title,
        "og:site_name": whole,
        "og:url": address,
        "og:description": about,
        "og:image": f"{site}{PICTURE}",
        "og:image:alt": alt,
    }
    cited = [
        ("citation_title", title if chapter else whole),
        *(("citation_author", author) for author in authors),
        ("citation_publication_date", year),
        ("citation_public_url", address),
        ("citation_fulltext_html_url", address),
        ("citation_pdf_url", f"{site}{PDF}"),
        ("citation_reference", _reference(paper)),
    ]
    if chapter:
        cited.append(("citation_inbook_title", whole))
    if site is None:
        og = {key: text for key, text in og.items() if key not in ("og:url", "og:image")}
        cited = [(key, text) for key, text in cited if not key.endswith("_url")]
    made = [f'<meta property="{key}" content="{html.escape(value)}">' for key, value in og.items()]
    made += [f'<meta name="{key}" content="{html.escape(value)}">' for key, value in cited]
    made += [] if site is None else [f'<link rel="canonical" href="{address}">']
    return "\n".join(made)


def _reference(paper: dict) -> str:
    author = paper["authors"][0]
    parts = {
        "citation_title": paper["title"],
        "citation_author": f"{author['given-names']} {author['family-names']}",
        "citation_publication_date": str(paper["year"]),
        "citation_arxiv_id": paper["identifiers"][0]["value"].removeprefix("arXiv:"),
    }
    return "; ".join(f"{key}={value}" for key, value in parts.items())


def downloads(site: str) -> str:
    """The foot of every page: what there is to take away."""
    book, notebooks = (f"{site}{name}" for name in DOWNLOADS)
    return (
        f'<p>To take away: <a href="{book}">the book as a PDF</a>, '
        f'<a href="{notebooks}">its executed notebooks</a>.</p>'
    )


def edition(citation: dict, day: str) -> str:
    """The foot of every page: which version of the book it is."""
    return f"<p>Version {citation['version']}, built on {day}.</p>"


def beside(names: list[str], site: str | None) -> dict[str, str]:
    """File → text of what lies beside the pages; without a site no map of it."""
    if site is None:
        return {"404.html": _lost("index.html"), "robots.txt": "User-agent: *\nAllow: /\n"}
    urls = "".join(f"  <url><loc>{site}{name}.html</loc></url>\n" for name in sorted(names))
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return {
        "sitemap.xml": f'{head}<urlset xmlns="{schema}">\n{urls}</urlset>\n',
        "robots.txt": f"User-agent: *\nAllow: /\nSitemap: {site}sitemap.xml\n",
        "404.html": _lost(site),
    }


def _lost(home: str) -> str:
    """The page that is shown in place of one that is not there."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Page not found</title>
<style>body {{ font: 1.1rem sans-serif; margin: 4rem auto; max-width: 36rem }}</style>
</head>
<body>
<main>
<h1>There is no such page</h1>
<p>The address may be mistyped, or the page may have moved.
<a href="{home}">The book begins here.</a></p>
</main>
</body>
</html>
"""


@cache
def key_figure(page: Path) -> tuple[bytes, str]:
    """The key figure of the landing page: a PNG file, and its alternative text.

    Raises:
        ValueError: the page has none.
    """
    for cell in nbformat.read(page, as_version=4).cells:
        shown = cell.metadata.get("mystnb", {})
        if shown.get("figure", {}).get("name") == "fig-key":
            drawn = [output.data["image/png"] for output in cell.outputs if "data" in output]
            return base64.b64decode(drawn[0]), shown["image"]["alt"]
    raise ValueError(f"a figure of {page.name} is named fig-key; got none: name the key figure so")


def _root_page(app) -> Path:
    return Path(app.srcdir) / f"{app.config.root_doc}.ipynb"


def _site(app) -> str | None:
    """Where the pages will be served, if that is known."""
    if app.config.repository_is_stand_in:
        return None
    return pages_address(app.config.html_theme_options["repository_url"])


def _add_tags(app, pagename, templatename, context, doctree) -> None:
    if doctree is None:
        return
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    title = re.sub(r"<[^>]+>", "", context.get("title", ""))
    chapter = bool(re.search(r"(^|/)chapters/", pagename))
    site, alt = _site(app), key_figure(_root_page(app))[1]
    address = f"{site or ''}{pagename}.html"
    at = (address, site, alt, citation, app.config.copyright, chapter)
    made = tags(html.unescape(title), *at)
    context["metatags"] = context.get("metatags", "") + made
    taken = downloads(site) if site else ""
    context["theme_extra_footer"] = taken + edition(citation, time.strftime("%Y-%m-%d"))


def _write_beside(app, exception) -> None:
    if exception is None and app.builder.format == "html":
        names, folder = sorted(app.env.found_docs), Path(app.outdir)
        for name, text in beside(names, _site(app)).items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / PICTURE).write_bytes(key_figure(_root_page(app))[0])


def _drop_launch_buttons(app, config) -> None:
    if config.repository_is_stand_in:
        config.html_theme_options["launch_buttons"] = {}


def setup(app) -> dict:
    app.add_config_value("repository_is_stand_in", False, "html")
    app.connect("config-inited", _drop_launch_buttons)
    _ = app.connect("html-page-context", _add_tags), app.connect("build-finished", _write_beside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def notebooks() -> list[Path]:
    """Every notebook of the book."""
    found = (ROOT / "book").rglob("*.ipynb")
    return sorted(path for path in found if path.parent.name != ".ipynb_checkpoints")


def main() -> None:
    repository = repository_address()
    for path in notebooks():
        folder = path.parent.relative_to(ROOT).as_posix()
        notebook = with_install_cell(nbformat.read(path, as_version=4), repository, folder)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
