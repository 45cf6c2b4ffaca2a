"""What is put right on the built pages."""

import threading

import building
import mends
import numpy as np
import pytest
import schematic
from PIL import Image

PAGE = """<link rel="preload" as="font" type="font/woff2" crossorigin href="f.woff2" />
<link rel="preload" as="script" href="s.js" />
<script>const THEBE_JS_URL = "https://unpkg.com/thebe"; const a = ".b"</script>
<script>let other = 1;</script>
<script async="async" src="../_static/sphinx-thebe.js?v=1"></script>
<button class="btn search-button-field search-button__button" aria-label="Search" id="s"></button>
<button class="btn other" aria-label="Other"></button>
<summary aria-label="Toggle hidden content">Show</summary>
<div role="list" class="citation-list"></div>
"""


def test_each_mend_changes_what_it_is_for_and_nothing_else():
    counts = {}
    page = mends.mended(PAGE, counts)
    assert counts == dict.fromkeys(mends.MENDS, 1)
    assert (
        page.split()
        == (
            '<link rel="preload" as="script" href="s.js" /> <script>let other = 1;</script> '
            '<button class="btn search-button-field search-button__button" id="s"></button> '
            '<button class="btn other" aria-label="Other"></button> <summary>Show</summary> '
            '<div class="citation-list"></div>'
        ).split()
    )
    mends.mended("", counts)
    assert counts == dict.fromkeys(mends.MENDS, 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_lighter_images_show_the_same(tmp_path, mode):
    pixels = np.random.default_rng(3).integers(0, 256, (20, 30, len(mode)), dtype=np.uint8)
    pixels[..., 3:] = 255
    Image.fromarray(pixels, mode=None).save(tmp_path / "a.png")
    assert mends.lighten(tmp_path) == {"a.png": "a.webp"}
    with Image.open(tmp_path / "a.webp") as image:
        np.testing.assert_array_equal(np.asarray(image.convert(mode)), pixels)
    assert [file.name for file in tmp_path.iterdir()] == ["a.webp"]


def test_the_narrow_schematic_is_made_from_the_wide_one():
    wide, narrow = (
        (schematic.FOLDER / f"schematic{kind}.svg").read_text(encoding="utf-8")
        for kind in ("", "_narrow")
    )
    assert schematic.stacked(wide) == narrow, "run book/tools/schematic.py"
    # All of the drawing in each panel, of which a panel shows its own part.
    assert narrow.count(">A synapse<") == len(schematic.PANELS)
    assert sum(width for _, width in schematic.PANELS) == 760
    assert schematic.stacked(wide.replace("A synapse", "One synapse")) != narrow


def test_two_builds_wait_for_each_other(tmp_path, monkeypatch, capsys):
    at_once, most, first_in = [], [], threading.Event()

    def slow(root, executed):
        at_once.append(executed)
        most.append(len(at_once))
        first_in.set()
        threading.Event().wait(0.3)
        at_once.remove(executed)
        return True

    monkeypatch.setattr(building, "_build", slow)
    others = [threading.Thread(target=building.build, args=(tmp_path, n)) for n in (1, 2)]
    others[0].start()
    first_in.wait()
    others[1].start()
    for one in others:
        one.join()
    assert most == [1, 1]
    assert capsys.readouterr().out.count("another build of this book is running") == 1
