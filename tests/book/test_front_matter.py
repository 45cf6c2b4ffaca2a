"""The pages around the chapters: ledgers, notation, citation, API, tables of parameters."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import get_type_hints

import building
import check
import companion
import docstrings
import jsonschema
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import papermill
import parameter_tables
import parameter_values
import pytest
import yaml
from companion import figures, record, settings
from companion.ledgers import facts, provenance

import plasticity
from plasticity.learning.trial import Learner
from plasticity.model import tasks
from plasticity.model.exploration import Kicks
from plasticity.model.network import Dynamics

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
PAGES = BOOK / "pages"
CHAPTERS = sorted((BOOK / "chapters").glob("*.ipynb"))


# Claims ledger


def test_numbers_of_the_claims_are_glued_by_chapters():
    wanted = set()
    for page in (PAGES / "claims.md", BOOK / "index.ipynb"):
        glued = re.findall(r"\{glue:text\}`([\w./]+)::([\w-]+):s`", page.read_text())
        wanted |= {((page.parent / name).resolve(), key) for name, key in glued}
    assert len(wanted) > 20
    for path, key in wanted:
        cells = nbformat.read(path, as_version=4).cells
        data = [o.get("metadata", {}) for c in cells for o in c.get("outputs", [])]
        assert key in [d["scrapbook"]["name"] for d in data if "scrapbook" in d], (path.name, key)


# Glossary


def _terms(glossary: str) -> list[str]:
    return re.findall(r"^(\w[^\n:`]*)\n  ", glossary, flags=re.M)


def _prose(path: Path) -> str:
    """What a page says in words, with ⟦term⟧ for a link to the glossary."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    for pattern in (r"^```.*?^```", r"\$\$.*?\$\$", r"^#.*?$", r"\$[^$]*\$"):
        text = re.sub(pattern, " ", text, flags=re.M | re.S)
    text = re.sub(r"\{term\}`(?:[^`<]*<)?([^`<>]*)>?`", r"⟦\1⟧", text)
    return re.sub(r"\{[\w:-]+\}`[^`]*`|`[^`]*`", " ", text)


def _unlinked(terms: list[str], pages: list[Path]) -> list[str]:
    """Terms whose first use, in the order of the pages, does not link to the glossary."""
    prose, missing = {page: re.sub(r"\s+", " ", _prose(page)) for page in pages}, []
    for term in terms:
        used = re.compile(rf"⟦{term}⟧|(?<![\w-]){term}(?:s|es)?(?![\w-])", re.I)
        found = ((page.stem, used.search(text)) for page, text in prose.items())
        first = next(((name, at[0]) for name, at in found if at), ("no page", ""))
        if not first[1].startswith("⟦"):
            missing.append(f"{term}: {first[0]}")
    return missing


def test_the_first_use_of_a_term_links_to_the_glossary(tmp_path):
    terms = _terms((PAGES / "glossary.md").read_text(encoding="utf-8"))
    assert len(terms) > 20 and terms == sorted(terms, key=str.lower)
    files = [next(ROOT.glob(f"{page}.*")) for page in building.pages(ROOT)]
    assert _unlinked(terms, [file for file in files if file.stem != "glossary"]) == []
    # The control: a page that uses a term before it links to it, and one that never does.
    (tmp_path / "a.md").write_text("# A kick\n\nTwo kicks, `kick`, and then a {term}`kick`.")
    (tmp_path / "b.md").write_text("A {term}`course of *learning* <course>`, and a course.")
    pages = [tmp_path / "a.md", tmp_path / "b.md"]
    assert _unlinked(["kick", "course", "horizon"], pages) == ["kick: a", "horizon: no page"]


def test_the_background_is_short():
    assert len(re.sub(r"[⟦⟧]", "", _prose(PAGES / "background.md")).split()) <= 700


# From scratch


def test_the_page_from_scratch_is_short_and_needs_no_package():
    cells = nbformat.read(PAGES / "from_scratch.ipynb", as_version=4).cells
    tags = {"parameters", "remove-cell"}
    code = [
        c.source
        for c in cells
        if c.cell_type == "code" and not tags & set(c.metadata.get("tags", []))
    ]
    text = "\n".join(code)
    assert not re.search(r"\b(plasticity|companion)\b", text)
    numpy_part, jax_part = text.split("import jax\n")
    lines = [sum(map(bool, part.split("\n"))) for part in (numpy_part, jax_part)]
    assert lines[0] <= 100 and lines[1] + 1 <= 60, lines


# Facts ledger


def test_every_value_has_an_origin_and_every_origin_a_value():
    known = facts.origins()
    assert facts.unexplained(facts.values(), known) == []
    rows = [row for entry in known.values() for row in entry.values()]
    assert all(len(row) == 3 and row[0] in facts.ORIGINS and row[1] for row in rows)
    assert all("{cite:t}" in row[2] for row in rows if row[0] == "other"), "a work is named"
    of_paper = [row[2] for row in rows if row[0] == "paper"]
    assert of_paper and all(re.search(r"summary: \*[^*]+\*", remark) for remark in of_paper)


def test_every_table_of_the_ledger_is_on_its_page():
    cells = nbformat.read(PAGES / "facts.ipynb", as_version=4).cells
    shown = re.findall(r'table\("([^"]+)"\)', "".join(cell.source for cell in cells))
    assert shown == list(facts.GROUPS)


def test_the_ledger_covers_model_learning_tasks_and_settings():
    found = {name for group in facts.values().values() for name in group}
    made = {
        name
        for name, function in vars(settings).items()
        if inspect.isfunction(function)
        and get_type_hints(function).get("return") is settings.Setting
    }
    assert {"association_setting", "brief_setting", "miconi_setting"} <= made
    assert made | {t.__name__ for t in tasks.TASKS.values()} <= found
    for source in (Dynamics, Kicks, Learner):
        group = next(g for g in facts.values().values() if source.__name__ in g)
        assert set(group[source.__name__]) == {f.name for f in dataclasses.fields(source)}


def test_a_new_parameter_without_an_origin_is_found():
    @dataclasses.dataclass
    class Dynamics:
        dt: float = 10.0
        delay: float = 1.0

    known = {"Dynamics": {"dt": ("ours", "", ""), "tau": ("ours", "", "")}}
    wrong = facts.unexplained({"Model": {"Dynamics": facts.parameters(Dynamics)}}, known)
    assert wrong == ["no origin of Dynamics.delay", "no value of Dynamics.tau"]


def test_the_ledger_prints_values_of_the_package():
    table = facts.table("Model")
    assert f"| `tau` = {Dynamics().tau:g} |" in table
    made = facts.values()["Settings"]["Miconi's setting as made"]
    assert made["rule.clip"] == 3e-4 and "dynamics.tau" not in made, "only what differs"
    assert sum(facts.counts().values()) > 100


# Notation


def _resolved(name: str) -> bool:
    """Whether a dotted name below the package is a module, attribute, field or parameter."""
    target = plasticity
    for part in name.split("."):
        known = {*dir(target), *getattr(target, "__annotations__", ())}
        if part in known:
            target = getattr(target, part, None)
        else:
            try:
                target = importlib.import_module(f"{target.__name__}.{part}")
            except (ImportError, AttributeError):
                return False
    return True


def test_every_name_of_the_notation_exists_in_the_package():
    rows = [r for r in (PAGES / "notation.md").read_text().splitlines() if r.startswith("| ")]
    # Those of three cells are of counts, and of letters of some pages.
    rows = [r for r in rows if "symbol" not in r and r.count("|") > 4]
    names = [re.search(r"\| `([\w.]+)` \|", row) for row in rows]
    assert all(names) and len(names) > 35
    assert [n[1] for n in names if not _resolved(n[1])] == []
    assert all(row.count("|") == 6 for row in rows), "five cells, no bars in mathematics"
    assert not _resolved("network.Network.W_feedback") and not _resolved("networks.Network")


_GREEK = "alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi pi rho"
_GREEK += " sigma tau phi varphi chi psi omega Delta Lambda Sigma Phi Psi Omega Theta Gamma ell"


def _letters(text: str) -> set[str]:
    """Letters, Latin and Greek, in the mathematics of a text; words in roman are none."""
    text = re.sub(r"`[^`\n]*`", "", text)
    found = set()
    for block, inline in re.findall(r"\$\$(.+?)\$\$|\$(?!\$)(.+?)\$", text, flags=re.S):
        math = block or inline
        math = re.sub(r"\\(mathrm|text|operatorname|label|begin|end)\s*\*?\{[^}]*\}", " ", math)
        found |= {
            f"\\{name}" for name in re.findall(r"\\([A-Za-z]+)", math) if name in _GREEK.split()
        }
        found |= set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", math)))
    return found


def _unexplained_letters(notation: str, pages: dict[str, str]) -> list[tuple[str, str]]:
    """(page, letter) of mathematics without a row; and of rows of a page that does not use it."""
    general, own = notation.split("## Letters of some pages")
    rows = re.findall(r"^\| (.+?) \|", general, flags=re.M)
    everywhere = _letters(" ".join(rows))
    of_pages = re.findall(r"^\| (\$.+?) \|.*\| ([\w, ]+) \|$", own, flags=re.M)
    told = {
        (page, x) for cell, where in of_pages for page in where.split(", ") for x in _letters(cell)
    }
    used = {(page, x) for page, text in pages.items() for x in _letters(text)}
    missing = {(page, x) for page, x in used if x not in everywhere and (page, x) not in told}
    unused = {(page, x) for page, x in told if page in pages} - used
    return sorted(missing | unused)


def test_every_letter_of_the_chapters_is_in_the_notation():
    pages = {}
    for path in sorted((BOOK / "chapters").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        pages[path.stem[:2]] = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    notation = (PAGES / "notation.md").read_text()
    assert len(pages) >= 10 and _letters(notation) > {"W", "x", "\\theta", "\\ell", "\\xi"}
    assert _unexplained_letters(notation, pages) == []
    for name in ("background", "claims", "glossary"):
        page = {name: (PAGES / f"{name}.md").read_text()}
        assert _unexplained_letters(notation, page) == []
    pages["04"] += r" and $\omega = K$"
    assert _unexplained_letters(notation, pages) == [("04", "K"), ("04", "\\omega")]
    pages["08"] = ""
    assert ("08", "D") in _unexplained_letters(notation, pages)


# Reproducibility


def test_records_are_listed_with_their_provenance():
    records = provenance.stored(BOOK / "records")
    table = provenance.record_table(records)
    assert records and all(f"| `{name}` |" in table for name in records)
    made = record.provenance(records["miconi"])
    assert made["processor"] in provenance.machines(records)
    assert provenance.duration(59.6) == "60 s" and provenance.duration(7300.0) == "2 h"


def test_published_pages_are_those_of_the_present_records():
    text = (PAGES / "reproducibility.ipynb").read_text()
    for name, data in provenance.stored(BOOK / "records").items():
        day = record.provenance(data)["recorded"].split()[0]
        assert re.search(rf"`{name}` \|[^\n]*\| {day}", text), f"{name}: publish again"


# Citation


def _citation() -> dict:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def _schema() -> jsonschema.Draft7Validator:
    schema = json.loads((ROOT / "tests" / "schemas" / "cff-1.2.0.json").read_text())
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())


def test_citation_is_valid_citation_file_format():
    assert list(_schema().iter_errors(_citation())) == []


@pytest.mark.parametrize("change", [{"authors": []}, {"type": "book"}, {"licence": "MIT"}])
def test_the_schema_refuses_what_is_wrong(change):
    assert list(_schema().iter_errors(_citation() | change))


def test_bibtex_says_what_citation_and_bibliography_say():
    page = (PAGES / "cite.md").read_text()
    citation, paper = _citation(), _citation()["preferred-citation"]
    for text in (citation["title"], f"{{{citation['version']}}}", paper["title"]):
        assert text in page
    assert str(paper["year"]) in page and paper["authors"][0]["family-names"] in page
    entry = re.search(r"@misc\{maoutsa2025,.*?\n\}", page, re.DOTALL)[0]
    assert entry in (BOOK / "references.bib").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == citation["version"]


# API


def test_every_module_is_on_one_page_of_the_api():
    pages = "".join(p.read_text() for p in (PAGES / "api").glob("*.md"))
    listed = re.findall(r"^\.\. automodule:: (\S+)$", pages, re.MULTILINE)
    there = {package.__name__: True for package in (plasticity, companion)}
    for package in (plasticity, companion):
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        there |= {module.name: module.ispkg for module in found}
    # A folder says little of itself, and need not be there.
    assert sorted({name for name, folder in there.items() if not folder} - set(listed)) == []
    assert sorted(set(listed) - set(there)) == [] and len(listed) == len(set(listed))


def test_docstrings_become_restructured_text():
    text = """The norm |x|* of `W_in` and d_.

    y = |x|

Args:
    x, y: `state`, of
        two lines.
Returns:
    A number."""
    wanted = r"""The norm \|x\|\* of ``W_in`` and d\_.

::

    y = |x|

:Arguments:
    * ``x, y``: ``state``, of
      two lines.
:Returns:
    A number."""
    assert docstrings.to_rest(text.splitlines()) == wanted.splitlines()


# Form of the chapters


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_the_table_of_parameters_is_that_of_the_chapter(path):
    notebook = nbformat.read(path, as_version=4)
    small = parameter_values.quick(ROOT)[path.stem]
    shown = parameter_tables.with_parameter_table(notebook, path, small)
    assert len(shown.cells) == len(notebook.cells) + 1
    nbformat.validate(shown)
    (box,) = [c.source for c in shown.cells if parameter_tables.TITLE in c.source]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| `(.*?)` \| (.+?) \|$", box, re.MULTILINE)
    declared = papermill.inspect_notebook(str(path))
    assert rows == [
        (name, p["inferred_type_name"], p["default"], p["help"]) for name, p in declared.items()
    ]
    command = re.search(r'^make run CHAPTER=(\w+) P="(\w+)=(.*)"$', box, re.MULTILINE)
    assert path.stem.startswith(command[1]) and declared[command[2]]["default"] != command[3]
    # What `make test` runs of this chapter is what its page prints.
    (task,) = [t for t in check.tasks() if t.phase == "quick chapters" and t.name == path.stem]
    printed = parameter_values.checked(path, small | {command[2]: command[3]})
    assert json.loads(task.command[-1]) == printed


def test_a_page_without_parameters_has_no_table():
    path = BOOK / "index.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert parameter_tables.with_parameter_table(notebook, path, {}) == notebook


def test_signed_quantities_have_one_colour_scale():
    fig, axes = plt.subplots(3, 3)
    values = np.diag([-1.0, 0.5, 2.0])
    images = [
        figures.plot_matrix(axes[0, 0], values, "", "", ""),
        figures.plot_coefficients(axes[0, 1], values, ""),
        figures.plot_rule_map(axes[0, 2], values, 1.0, "", 1.0),
    ]
    figures.plot_terms(axes[1:, :2], 1)
    images += [image for ax in axes[1:, :2].flat for image in ax.get_images()]
    assert {image.get_cmap().name for image in images} == {figures.SIGNED}
    assert all(np.isclose(sum(image.get_clim()), 0) for image in images), "symmetric about zero"
    plt.close(fig)
    cells = "".join(path.read_text() for path in CHAPTERS)
    assert not set(re.findall(r"cmap=\\\"(\w+)", cells)) - {"PuOr", "PuOr_r", "viridis"}
    red, _, blue, _ = plt.get_cmap(figures.SIGNED)(0.1)
    assert red > blue, "negative is orange"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_figures_are_referred_to_by_number(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "".join(c.source for c in cells if c.cell_type == "markdown")
    names = [c.metadata.get("mystnb", {}).get("figure", {}).get("name") for c in cells]
    for name in filter(None, names):
        assert f"{{numref}}`{name}`" in text, name
