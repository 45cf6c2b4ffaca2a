"""The built pages in headless Chromium, as a reader gets them: from files, without a network.

Run after the build (`make test` does). Each check is also made on a small broken site, where it
must find something.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import addresses
import building
import pytest
import yaml
from printing import find_browser

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SITE = ROOT / "_build" / "html"

INSTALL = "apt-get install chromium nodejs npm && npm ci --prefix tests/browser"
OWN_LIMIT, SHARED_LIMIT = 1_000_000, 4_500_000  # bytes
START = 2.0  # s on an idle machine; four times as much where others work
REPOSITORY = addresses.repository_address()
ONLINE = addresses.pages_address(REPOSITORY)
CONFIGURATION = yaml.safe_load((ROOT / "_config.yml").read_text())
STAND_IN = CONFIGURATION["sphinx"]["config"]["repository_is_stand_in"]


def browser_or_skip() -> str:
    """The browser; skips where one or its packages are missing, and fails if CI=true."""
    browser = find_browser()
    if not (browser and shutil.which("node") and (HERE / "node_modules").exists()):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(INSTALL)
    return browser


def _look(site: Path, pages: list[str], timed: str, explore: str | None, scratch: Path) -> dict:
    """What Chromium sees."""
    browser = browser_or_skip()
    request = scratch / "request.json"
    keys = {"chromium": browser, "site": str(site), "timed": timed, "explore": explore}
    request.write_text(json.dumps(keys | {"pages": pages}))
    command = ["node", str(HERE / "look.mjs"), str(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    return seen | {"site": site, "contents": [f"{page}.html" for page in building.pages(ROOT)]}


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    if not SITE.exists():
        pytest.skip("make book")
    pages = [f.relative_to(SITE).as_posix() for f in sorted(SITE.rglob("*.html"))]
    pages = [p for p in pages if not p.startswith("_static") and p != "index.html"]
    explore = next((page for page in pages if page.endswith("/explore.html")), None)
    return _look(SITE, pages, "book/index.html", explore, tmp_path_factory.mktemp("look"))


BROKEN = """<!doctype html><html lang="en"><head><title>Broken</title></head><body>
<h1>Broken</h1><p class="math">\\(x^2\\)</p><p>and $$y$$</p>
<img src="missing.png"><img src="https://example.org/far.png" alt="far away">
<div style="width: 2000px; color: #999; background: #aaa">wide and pale</div>
<details><div class="cell_input"><pre style="width: 99px; overflow: auto">one long line</pre></div>
</details><a href="nowhere.html">nowhere</a> <a href="#nothing">nothing</a>
<script src="heavy.js"></script><script>console.error("broken")</script>
</body></html>"""


@pytest.fixture(scope="session")
def broken(tmp_path_factory):
    site = tmp_path_factory.mktemp("broken")
    (site / "a.html").write_text(BROKEN)
    (site / "b.html").write_text("<!doctype html><title>b</title><article>lonely</article>")
    (site / "search.html").write_text('<div id="search-results">finished</div>')
    (site / "heavy.js").write_text("//" + "x" * OWN_LIMIT)
    seen = _look(site, ["a.html", "b.html"], "a.html", None, tmp_path_factory.mktemp("look"))
    return seen | {"contents": ["b.html", "a.html"]}


def _wide(seen: dict) -> list[dict]:
    return [page for page in seen["pages"] if page["width"] > 600]


def _chapters(seen: dict) -> list[dict]:
    return [page for page in _wide(seen) if page["name"].startswith("book/chapters/")]


def _listed(key: str):
    """A check that the pages' list ``key`` is empty."""
    return lambda seen: [f"{p['name']} ({p['width']}): {x}" for p in seen["pages"] for x in p[key]]


def _images(seen: dict) -> list[str]:
    bad = [(p["name"], i) for p in seen["pages"] for i in p["images"]]
    return [f"{name}: {i}" for name, i in bad if not i["alt"] or not i["loaded"]]


def _overflow(seen: dict) -> list[str]:
    wide = [page for page in seen["pages"] if page["overflow"] > 0]
    return [f"{p['name']} ({p['width']}): {p['overflow']} px" for p in wide]


def _cut(seen: dict) -> list[str]:
    """Lines of code that are wider than their box, on a wide screen."""
    return [f"{page['name']}: {code}" for page in _wide(seen) for code in page["cut"]]


def _chain(seen: dict) -> list[str]:
    """Previous and next lead through the table of contents from one end to the other."""
    order, pages = seen["contents"], {p["name"]: p for p in _wide(seen)}
    site, wrong = seen["site"].as_uri() + "/", []
    for at, name in enumerate(order):
        wanted = {
            "previous": order[at - 1] if at else None,
            "next": order[at + 1] if at + 1 < len(order) else None,
        }
        for way, there in wanted.items():
            found = pages[name][way] and pages[name][way].split("#")[0]
            if found != (there and site + there):
                wrong.append(f"{name}: {way} is {found}, not {there}")
    return wrong


def _links(seen: dict) -> list[str]:
    """Links within the book, also those by its address online, lead to what is there."""
    site, wrong = seen["site"].as_uri() + "/", set()
    ids = {p["name"]: set(p["ids"]) for p in _wide(seen)}
    for page in _wide(seen):
        for link in page["links"]:
            base = next((b for b in (site, ONLINE) if link.startswith(b)), None)
            name = unquote(urlsplit(link.removeprefix(base)).path) if base else None
            if name is None or (base == ONLINE and name in addresses.DOWNLOADS):
                continue
            fragment = unquote(urlsplit(link).fragment)
            known = fragment in ids.get(name, ()) if fragment else True
            if not (seen["site"] / name).exists() or (fragment not in ("", "top") and not known):
                wrong.add(f"{page['name']}: {link}")
    return sorted(wrong)


NEWCOMER = ("index", "pages/background", "chapters/01_model_and_tasks", "pages/from_scratch")
NEWCOMER += ("pages/bring_your_own",)


def _way(seen: dict) -> list[str]:
    """Who has not read the paper is led, by links in the text, to where the package is used."""
    pages, site = {p["name"]: p for p in _wide(seen)}, seen["site"].as_uri() + "/"
    names = [f"book/{name}.html" for name in NEWCOMER]
    steps = zip(names, names[1:], strict=False)
    return [f"{a} to {b}" for a, b in steps if site + b not in pages.get(a, {}).get("read", ())]


def _weights(seen: dict) -> tuple[dict[str, int], int]:
    """Bytes of each page beyond what is shared, and of what is shared: theme and MathJax."""
    pages = _wide(seen)
    everywhere = set.intersection(
        *(set(p["files"]) for p in pages if p["name"] in seen["contents"])
    )
    sizes = {name: size for p in pages for name, size in p["files"].items()}
    shared = {n for n in sizes if n in everywhere or n.startswith("_static/mathjax/")}
    own = {p["name"]: sum(sizes[n] for n in p["files"] if n not in shared) for p in pages}
    return own, sum(sizes[n] for n in shared)


def _heavy(seen: dict) -> list[str]:
    own, shared = _weights(seen)
    heavy = [f"{name}: {size} bytes" for name, size in own.items() if size > OWN_LIMIT]
    return heavy + ([f"shared: {shared} bytes"] if shared > SHARED_LIMIT else [])


def _unfound(seen: dict) -> list[str]:
    """Every page of the book has a word of its own, and search finds the page by it."""
    found = {s["name"]: s for s in seen["search"]}
    return [
        f"{name}: {found.get(name, {}).get('word')!r} leads elsewhere"
        for name in seen["contents"]
        if name not in found or name not in found[name]["found"]
    ]


CHECKS = {
    "nothing on the console": _listed("errors"),
    "no request to another machine": _listed("outside"),
    "every equation typeset": _listed("untypeset"),
    "no raw TeX": _listed("raw"),
    "images load and have a text": _images,
    "no page scrolls sideways": _overflow,
    "no code wider than its box": _cut,
    "previous and next": _chain,
    "links": _links,
    "a newcomer's way": _way,
    "weight": _heavy,
    "search": _unfound,
    "axe, light": _listed("light"),
    "contrast, dark": _listed("dark"),
}


@pytest.mark.parametrize("check", CHECKS)
def test_pages(book, check):
    assert CHECKS[check](book) == []


@pytest.mark.parametrize("check", CHECKS)
def test_a_broken_site_fails(broken, check):
    assert CHECKS[check](broken) != []


def test_there_is_something_to_check(book):
    assert set(book["contents"]) <= {page["name"] for page in _wide(book)}
    assert {page["width"] for page in book["pages"]} == {1280, 390}
    for chapter in _chapters(book):
        assert chapter["equations"] and chapter["images"], chapter["name"]
    assert all(page["files"] and page["links"] for page in _wide(book))


def test_the_book_opens_quickly(book):
    own, shared = _weights(book)
    heaviest = max(own, key=own.get)
    print(f"first page {book['seconds']:.2f} s, {heaviest} {own[heaviest]}, shared {shared} bytes")
    assert book["seconds"] < 4 * START


def test_the_interactive_page_learns(book):
    if book["explore"] is None:
        pytest.skip("no interactive page")
    seen = book["explore"]
    assert seen["errors"] == [] and seen["before"] == 0
    assert seen["clicked"] > 0, "after a click"
    assert seen["running"] == "false", "the space bar pauses"
    assert seen["resumed"] > seen["paused"], "Enter goes on"
    assert "–" not in seen["ofA"] + seen["ofB"] and seen["ofA"] != seen["ofB"], "two rules"
    assert seen["anew"] == 0, "another task or gain begins anew"
    error, share, cosine = seen["idle"]
    assert (share, cosine) == ("0%", "–") and error != "–", "a rule of zeros changes nothing"


def test_every_chapter_can_be_run_elsewhere(book):
    repository = REPOSITORY.removeprefix("https://github.com/")
    binder = f"https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/"
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/"
    chapters = _chapters(book)
    for page in chapters:
        name = page["name"].replace(".html", ".ipynb")
        elsewhere = set() if STAND_IN else {binder + name, colab + name}
        assert {link for link in page["links"] if repository in link} == elsewhere, page["name"]
        assert (ROOT / name).exists()
        there = [link for link in page["links"] if link.endswith(f"_sources/{name}")]
        cells = json.loads(Path(unquote(urlsplit(there[0]).path)).read_text())["cells"]
        assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
    assert len(chapters) > 5


def test_no_page_links_to_a_stand_in(book):
    places = (REPOSITORY, ONLINE, "https://mybinder.org", "https://colab.research")
    found = {(p["name"], li) for p in _wide(book) for li in p["links"] if li.startswith(places)}
    assert bool(found) is not STAND_IN, sorted(found)[:3]
