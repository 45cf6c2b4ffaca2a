"""Sphinx extension: what the theme's pages get wrong, put right once they are written.

Each mend must find something to mend: when the theme no longer needs it, the build says so.
Figures become WebP without loss, which makes a page of figures weigh less than half.
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from sphinx.errors import ExtensionError

# What for: pattern, replacement.
MENDS = {
    # file:// forbids it, which the console reports; the icons are drawn by a script.
    "preloaded fonts": (r'\s*<link rel="preload" as="font"[^>]*>', ""),
    # Written twice, a constant is an error; and live code would need another machine.
    "live code": (r"\s*<script>const THEBE_JS_URL.*?</script>", ""),
    "script of live code": (r'\s*<script async="async" src="[^"]*thebe\.js[^>]*></script>', ""),
    # A name that differs from the text on screen misleads those who speak to their machine.
    "name of folds": (r'<summary aria-label="[^"]*">', "<summary>"),
    "name of the search button": (r'(btn search-button-field[^>]*?) aria-label="[^"]*"', r"\1"),
    # Its children are references, not items.
    "role of references": (r'<div role="list" (class="citation-list")>', r"<div \1>"),
}


def mended(page: str, counts: dict[str, int]) -> str:
    """The page with all mends; adds how often each was made to ``counts``."""
    for what, (pattern, replacement) in MENDS.items():
        page, made = re.subn(pattern, replacement, page, flags=re.DOTALL)
        counts[what] = counts.get(what, 0) + made
    return page


def lighten(images: Path) -> dict[str, str]:
    """Replace the PNG files of a folder by lossless WebP; old name → new name."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(pool.map(_lighter, sorted(images.glob("*.png"))))


def _lighter(file: Path) -> tuple[str, str]:
    lighter = file.with_suffix(".webp")
    with Image.open(file) as image:
        image.save(lighter, lossless=True)
    file.unlink()
    return file.name, lighter.name


def _mend(app, exception) -> None:
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    names = lighten(folder / "_images")
    counts = {}
    for file in folder.rglob("*.html"):
        if "_static" in file.parts:
            continue
        page = mended(file.read_text(encoding="utf-8"), counts)
        page = re.sub(r"(?<=_images/)[\w.-]+", lambda m: names.get(m[0], m[0]), page)
        file.write_text(page, encoding="utf-8")
    idle = [what for what, made in counts.items() if not made]
    if idle and app.builder.name == "html":
        raise ExtensionError(
            f"book/tools/extensions/mends.py finds nothing to mend for: {', '.join(idle)}"
        )


def setup(app) -> dict:
    app.connect("build-finished", _mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
