"""How every figure looks: one colour per arm, ticks a reader can say, the same bytes each time."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from analysis.report.fonts import families

INK = "#1c2024"  # text and axes
FAINT = "#d8dce1"  # grid
GREY = "#7a828c"  # what belongs to no arm

# Okabe and Ito, "Color universal design" (2008), without yellow, which is invisible on white; then Tol's.
PALETTE = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
    *("#882255", "#117733", "#999933", "#332288", "#44aa99", "#661100"),
)
SMALL = 9.0  # points: labels of lines and legends
WIDTH = 5.0  # inches: on a phone of 390 px the smallest text of a figure is then 9 px
PLAIN = PALETTE[0]  # of a figure with one arm
MARKERS = "os^Dv*PX<>ph"  # each unlike its neighbours, so that colour is never the only sign
_FAMILIES = {
    "decoder": "#0072b2",
    "encoder_decoder": "#009e73",
    "masked": "#e69f00",
    "lstm": "#d55e00",
    "feedforward": "#cc79a7",
}

_SETTINGS: Any = {
    "svg.hashsalt": "scaling",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # whole letters: some venues refuse Type 3 fonts
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a name with two dollar signs is a name
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "path.simplify": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside this: our settings, and the user's own untouched afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS | {"font.family": families()})
        yield


def panels(rows: int = 1, columns: int = 1, *, width: float = WIDTH, height: float = 3.6) -> list[Axes]:
    """Panels of a new figure [inches], row by row, with no display and no global state behind it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return list(figure.subplots(rows, columns, squeeze=False).flat)


def axes_or_new(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    return ax if ax is not None else panels()[0]


def colours(arms: Iterable[str]) -> dict[str, str]:
    """A colour for each arm, no two alike up to thirty: use one result for all figures of a report.

    The first arm of a family that we know has the family's colour, so that it keeps it in every report.
    """
    names = list(dict.fromkeys(arms))
    found: dict[str, str] = {}
    for name in names:
        own = _FAMILIES.get(name.split(",")[0])
        if own is not None and own not in found.values():
            found[name] = own
    every = [*PALETTE, *(to_hex(shade(ink, t)) for t in (1.0, 0.0) for ink in PALETTE)]
    free = [ink for ink in every if ink not in found.values()]
    others = [name for name in names if name not in found]
    found |= {name: free[place % len(free)] for place, name in enumerate(others)}
    return {name: found[name] for name in names}


def shade(ink: str, t: float) -> tuple[float, float, float]:
    """A colour from light (t = 0, the smallest) to dark (t = 1, the largest)."""
    base = np.array(to_rgb(ink))
    towards, weight = (np.ones(3), 0.5 * (1 - t / 0.6)) if t < 0.6 else (np.zeros(3), 0.45 * (t - 0.6) / 0.4)
    r, g, b = (1 - weight) * base + weight * towards
    return float(r), float(g), float(b)


def legible(ink: Any) -> tuple[float, float, float]:
    """A colour, darkened until text in it can be read on white: a contrast of 4.5 to 1, as WCAG 2.2 asks."""
    light = np.array(to_rgb(ink))
    for part in np.linspace(1.0, 0.0, 21):
        r, g, b = part * light
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (r, g, b)]
        if 1.05 / (0.05 + float(np.dot((0.2126, 0.7152, 0.0722), linear))) >= 4.5:
            break
    return float(r), float(g), float(b)


def shades(ink: str, n: int) -> list[tuple[float, float, float]]:
    """n shades of a colour in order of size; one alone is the colour itself."""
    return [shade(ink, i / (n - 1)) for i in range(n)] if n > 1 else [shade(ink, 0.6)]


def say(value: float) -> str:
    """A number as one says it: 20k, 1.6M, 2B, 3e15, 2.8."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if abs(value) >= 1e13:
        return say_flops(value)
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def say_flops(value: float) -> str:
    """Compute as one writes it: 3e15, 2.1e10."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def scale_axis(ax: Axes, low: float, high: float, words: Callable[[float], str] = say, most: int = 7) -> None:
    """A logarithmic x axis over [low, high] with ticks at numbers one can say."""
    log_axis(ax.xaxis, low, high, words, most)
    pad = (high / low) ** 0.04 if high > low else 1.5
    ax.set_xlim(low / pad, high * pad)


def log_axis(axis: Axis, low: float, high: float, words: Callable[[float], str] = say, most: int = 7) -> None:
    """A logarithmic axis with ticks at numbers one can say; its limits are left alone."""
    axis.axes.set(**{"xscale" if axis is axis.axes.xaxis else "yscale": "log"})
    axis.set_major_locator(FixedLocator(log_ticks(low, high, most)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def linear_axis(axis: Axis, label: str | None = None, most: int = 6) -> None:
    """A linear axis with few, short ticks."""
    if label is not None:
        axis.set_label_text(label)
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))

    def words(value: float, _: int | None) -> str:
        low, high = axis.get_view_interval()
        span = max(abs(low), abs(high)) / abs(high - low)  # neighbouring ticks must differ in what is written
        digits = max(3, 2 + math.ceil(math.log10(span)))
        text = f"{value:.{digits}g}"
        return say(value) if digits == 3 and "e+" in text else text

    axis.set_major_formatter(FuncFormatter(words))


def legend_above(ax: Axes, columns: int = 2) -> None:
    """A legend where no data can be: above the axes."""
    handles, texts = ax.get_legend_handles_labels()
    room = max(24, 56 // columns)  # letters; a longer name would leave no room for the axes
    texts = [t if len(t) <= room else f"{t[: room // 2]}…{t[-(room // 2 - 1) :]}" for t in texts]
    ax.legend(
        handles,
        texts,
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        borderaxespad=0.2,
        columnspacing=1.4,
    )


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Three to seven values of 1, 2, 5; 1, 3; or every k-th power of ten inside [low, high].

    Where 1, 2, 5 gives fewer than three, the steps are finer.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = [10.0**e for e in range(first, last + 1)]

    def ticks(*steps: float) -> list[float]:
        return [d * s for d in decades for s in steps if low * 0.97 <= d * s <= high * 1.03]

    if len(ticks(1, 2, 5)) < 3:
        return ticks(1, 1.5, 2, 3, 5, 7)
    for found in (ticks(1, 2, 5), ticks(1, 3), ticks(1)):
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def label_ends(ax: Axes, heading: str, ends: Sequence[tuple[float, str, Any]], gap: float = 0.06) -> None:
    """Write (y, text, colour) of each line at the right of the axes, moved apart until none covers another.

    Args:
        heading: what the texts are values of, written above them.
        gap: least distance between two labels, as a fraction of the height of the axes. Of more lines than
            have room, evenly chosen ones are labelled.
    """
    low, high = ax.get_ylim()
    room = int(1 / gap)
    if len(ends) > room:
        ranked = sorted(ends, key=lambda end: end[0])
        ends = [ranked[round(i)] for i in np.linspace(0, len(ends) - 1, room)]
    heights = [min(max((y - low) / (high - low), 0.0), 1.0) for y, _, _ in ends]  # lines may leave at the top
    order = sorted(range(len(ends)), key=lambda i: ends[i][0])
    placed = [heights[i] for i in order]
    for _ in range(200):  # push neighbours apart until all are; a handful of labels needs a handful of rounds
        for a in range(len(placed) - 1):
            overlap = gap - (placed[a + 1] - placed[a])
            if overlap > 1e-9:
                placed[a] -= overlap / 2
                placed[a + 1] += overlap / 2
    shift = max(0.0, -min(placed, default=0.0)) or min(0.0, 1.0 - max(placed, default=1.0))
    for rank, i in enumerate(order):
        _, text, ink = ends[i]
        _at_right(ax, placed[rank] + shift, text, ink)
    _at_right(ax, max(placed[-1] + shift + 1.3 * gap, 0.0) if placed else 1.0, heading, INK)


def _at_right(ax: Axes, height: float, text: str, ink: Any) -> None:
    ax.annotate(
        text,
        xy=(1, height),
        xycoords="axes fraction",
        xytext=(5, 0),
        textcoords="offset points",
        color=legible(ink),
        fontsize=SMALL,
        va="center",
    )


def save(figure: Figure, kinds: Sequence[str] = ("png", "pdf", "svg")) -> dict[str, bytes]:
    """The figure in each format, without the dates that would change its bytes."""
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "svg": {"Date": None, "Creator": None},
    }
    saved = {}
    for kind in kinds:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata[kind])
        saved[kind] = buffer.getvalue()
        figure.set_layout_engine(None)  # laid out once: the other formats keep the places
    return saved | {"svg": _dark_too(saved["svg"])} if "svg" in saved else saved


def _dark_too(svg: bytes) -> bytes:
    """An SVG whose colours follow the reader's light or dark setting, also inside an <img>."""
    paint = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")
    text = svg.decode()
    used = sorted({match[2] for match in paint.finditer(text)})
    light, dark = svg_colours(used)
    rules = f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    text = paint.sub(lambda match: f"{match[1]}: var(--{match[2][1:]})", text)
    head, marker, rest = text.partition("<defs>")
    return f"{head}<style>{rules}</style>{marker}{rest}".encode()


def svg_colours(inks: Sequence[str]) -> tuple[str, str]:
    """CSS variables of these colours, for a light and for a dark ground."""
    light = "".join(f"--{ink[1:]}:{ink};" for ink in inks)
    return light, "".join(f"--{ink[1:]}:{_on_dark(ink)};" for ink in inks)


def _on_dark(ink: str) -> str:
    """The colour to use on a dark ground; darker ones gain more light, so that a ramp keeps its order."""
    fixed = {INK: "#e4e7eb", FAINT: "#3b424b", "#ffffff": "#15181c"}
    if ink in fixed:
        return fixed[ink]
    rgb = np.array(to_rgb(ink))
    light = float(rgb @ (0.2126, 0.7152, 0.0722))
    r, g, b = rgb + (1 - rgb) * 0.5 * (1 - light)
    return to_hex((float(r), float(g), float(b)))
