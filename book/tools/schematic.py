"""Write the schematic for narrow screens: its three panels below each other, from the same drawing.

The style sheet shows it in place of the wide one where a page is too narrow to read that.
"""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "static"
PANELS = ((0, 258), (258, 250), (508, 252))  # left edge and width of each
HEIGHT = 300


def stacked(wide: str) -> str:
    """The drawing with its panels below each other."""
    head, body = re.fullmatch(r"(<svg [^>]*>)\n(.*)</svg>\n", wide, flags=re.S).groups()
    defs = re.search(r" *<defs>.*?</defs>\n", body, flags=re.S)[0]
    # What parts the panels in the wide one has no place here.
    body = re.sub(r' *<path [^>]*stroke="#ccc"/>\n', "", body.replace(defs, ""))
    width = max(width for _, width in PANELS)
    head = re.sub(r'viewBox="[^"]*"', f'viewBox="0 0 {width} {HEIGHT * len(PANELS)}"', head)
    each = "".join(
        f'<svg y="{place * HEIGHT}" width="{size}" height="{HEIGHT}"'
        f' viewBox="{left} 0 {size} {HEIGHT}">\n{body}</svg>\n'
        for place, (left, size) in enumerate(PANELS)
    )
    return f"{head}\n{defs}{each}</svg>\n"


if __name__ == "__main__":
    wide = (FOLDER / "schematic.svg").read_text(encoding="utf-8")
    (FOLDER / "schematic_narrow.svg").write_text(stacked(wide), encoding="utf-8")
