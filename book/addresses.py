"""Sphinx extension: what the book says of itself to those who find it online.

Every address follows from the one `repository` in _config.yml: pages are served by GitHub Pages
under https://OWNER.github.io/NAME/. Adds Open Graph and citation_* tags to every page, and beside
them sitemap.xml, robots.txt and 404.html.
"""

import html
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
# What the workflow for GitHub Pages puts beside the pages: the book in one file, its notebooks.
PDF = "three-factor-plasticity.pdf"
DOWNLOADS = (PDF, "notebooks.zip")
_REPOSITORY = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)/?$")


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


def install_line(repository: str) -> str:
    """What makes a notebook run on a machine that lacks the package, such as Colab's."""
    name = _REPOSITORY.match(repository)[2]
    clone = f"!git clone -q {repository.rstrip('/')} && pip install -q ./{name}"
    return f"{clone}\n%cd {name}/book"


def tags(title: str, address: str, pdf: str, citation: dict, year: str, chapter: bool) -> str:
    """Meta tags of a page; a chapter is cited by its own title."""
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
    }
    cited = [
        ("citation_title", title if chapter else whole),
        *(("citation_author", author) for author in authors),
        ("citation_publication_date", year),
        ("citation_public_url", address),
        ("citation_fulltext_html_url", address),
        ("citation_pdf_url", pdf),
        ("citation_reference", _reference(paper)),
    ]
    if chapter:
        cited.append(("citation_inbook_title", whole))
    made = [f'<meta property="{key}" content="{html.escape(value)}">' for key, value in og.items()]
    made += [f'<meta name="{key}" content="{html.escape(value)}">' for key, value in cited]
    return "\n".join([*made, f'<link rel="canonical" href="{address}">'])


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


def beside(names: list[str], site: str) -> dict[str, str]:
    """File → text of what lies beside the pages."""
    urls = "".join(f"  <url><loc>{site}{name}.html</loc></url>\n" for name in sorted(names))
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    page = f"""<!doctype html>
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
<a href="{site}">The book begins here.</a></p>
</main>
</body>
</html>
"""
    return {
        "sitemap.xml": f'{head}<urlset xmlns="{schema}">\n{urls}</urlset>\n',
        "robots.txt": f"User-agent: *\nAllow: /\nSitemap: {site}sitemap.xml\n",
        "404.html": page,
    }


def _site(app) -> str:
    return pages_address(app.config.html_theme_options["repository_url"])


def _add_tags(app, pagename, templatename, context, doctree) -> None:
    if doctree is None:
        return
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    title = re.sub(r"<[^>]+>", "", context.get("title", ""))
    chapter = bool(re.match(r"book/\d\d_", pagename))
    address, pdf = f"{_site(app)}{pagename}.html", f"{_site(app)}{PDF}"
    made = tags(html.unescape(title), address, pdf, citation, app.config.copyright, chapter)
    context["metatags"] = context.get("metatags", "") + made
    context["theme_extra_footer"] = downloads(_site(app))


def _write_beside(app, exception) -> None:
    if exception is None and app.builder.format == "html":
        names = sorted(app.env.found_docs)
        for name, text in beside(names, _site(app)).items():
            (Path(app.outdir) / name).write_text(text)


def setup(app) -> dict:
    _ = app.connect("html-page-context", _add_tags), app.connect("build-finished", _write_beside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
