"""The whole book as one PDF: one long page from Sphinx, printed by Chromium."""

import shutil
import subprocess
from pathlib import Path

from building import EXPLORE_DATA, jupyter_book, stage, write_explore_data
from extensions.addresses import PDF

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Simulated time in which the page's scripts may typeset its equations, in ms.
PATIENCE = 300_000
# Real time that printing may take, in s: it takes a few minutes where two jobs share a core.
LONGEST = 1200


def find_browser() -> str | None:
    """The browser there is, if one is."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def print_book(root: Path, executed: Path) -> bool:
    """Print the book into _build/pdf from the notebooks in ``executed``."""
    browser = find_browser()
    if browser is None:
        print(f"a PDF needs one of {', '.join(BROWSERS)}: apt-get install chromium")
        return False
    folder = root / "_build" / "staging-pdf"
    stage(root, executed, folder, static="_static")
    page = folder / "_build" / "singlehtml" / "index.html"
    if not jupyter_book(folder, "--builder", "singlehtml"):
        return False
    if not write_explore_data(page.parent / EXPLORE_DATA):
        return False
    pdf = root / "_build" / "pdf" / PDF
    pdf.parent.mkdir(parents=True, exist_ok=True)
    command = [
        browser,
        "--headless",
        "--no-sandbox",  # root may have none; the page is our own
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--no-pdf-header-footer",
        "--generate-pdf-document-outline",
        f"--virtual-time-budget={PATIENCE}",
        f"--print-to-pdf={pdf}",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    if done.returncode or not pdf.exists():
        print(done.stderr)
        return False
    print(f"the PDF is in {pdf.relative_to(root)}")
    return True
