"""The font of all figures, cut to the letters that they use: a PDF embeds it in a tenth of the time."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager

WHOLE = "DejaVu Sans"
_CUT = "DejaVu Sans Cut"
# Latin, Greek, punctuation, arrows, signs of mathematics. Other letters are taken from the whole font.
_LETTERS = (*range(0x20, 0x180), *range(0x391, 0x3CA), *range(0x2010, 0x2040), *range(0x2190, 0x2270))


@cache
def families() -> list[str]:
    """Make the cut font known to Matplotlib for the life of this process; return it and the whole font.

    Matplotlib finds the letters of each PDF anew, and reads all tables of the font to do so.
    """
    folder = Path(tempfile.mkdtemp(prefix="scaling-fonts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for weight in (400, 700):
        font = TTFont(findfont(FontProperties(family=WHOLE, weight=weight)), recalcTimestamp=False)
        options = Options(legacy_kern=True, notdef_outline=True, name_IDs=["*"])
        options.drop_tables += ["GSUB", "GPOS", "GDEF", "MATH", "FFTM"]
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=_LETTERS)
        subsetter.subset(font)
        path = folder / f"{weight}.ttf"
        font.save(path)
        fontManager.ttflist.append(FontEntry(str(path), name=_CUT, weight=weight, size="scalable"))
    return [_CUT, WHOLE]
