"""The book on paper: printed from the committed notebooks, then read back."""

from pathlib import Path

import building
import nbformat
import printing
import pytest
from pypdf import PdfReader
from test_pages import ROOT, browser_or_skip


@pytest.fixture(scope="module")
def pdf():
    browser_or_skip()
    assert printing.print_book(ROOT, ROOT / "book")
    return PdfReader(ROOT / "_build" / "pdf" / printing.PDF)


@pytest.fixture(scope="module")
def texts(pdf):
    return [page.extract_text() for page in pdf.pages]


def _squeezed(text: str) -> str:
    return "".join(character for character in text if character.isalnum()).lower()


def _title(notebook: Path) -> str:
    first = nbformat.read(notebook, as_version=4).cells[0].source
    return first.splitlines()[0].removeprefix("# ")


def _titles(outline: list) -> list[str]:
    nested = [_titles(entry) if isinstance(entry, list) else [entry.title] for entry in outline]
    return [title for titles in nested for title in titles]


def test_the_pdf_holds_every_chapter_and_is_light(pdf, texts):
    text = _squeezed("".join(texts))
    for notebook in building.notebooks(ROOT):
        assert _squeezed(_title(notebook)) in text, notebook.stem
    assert len(pdf.pages) > 50
    # About 3 MB a chapter; half of it is the structure that screen readers use.
    assert (ROOT / "_build" / "pdf" / printing.PDF).stat().st_size < 35e6


def test_equations_are_typeset_and_references_resolved(pdf, texts):
    raw = [n for n, text in enumerate(texts, 1) if "\\(" in text or "$$" in text or "??" in text]
    assert raw == []
    titles = _squeezed("".join(_titles(pdf.outline)))
    assert all(_squeezed(_title(n)) in titles for n in building.notebooks(ROOT))
    internal = [
        note
        for page in pdf.pages
        for note in page.get("/Annots", [])
        if "/Dest" in note.get_object() or "/D" in note.get_object().get("/A", {})
    ]
    assert len(internal) > 100, "links within the book"
