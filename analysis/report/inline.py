"""Figures as parts of a page: inline SVG with marks that a script can find, colours and letters shared."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from analysis.report.style import svg_colours

_DROPPED = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
_LETTER = re.compile(r'<path id="([^"]+)" (d="[^"]*" transform="scale\(0\.015625\)")\s*/>')
_PLACE = re.compile(r' (?:d|x|y)="[^"]*"')
_DECIMALS = re.compile(r"(\.\d\d)\d+")  # a hundredth of a printer's point is enough on any screen


def frame_of(ax: Axes, shows: tuple[str, str] | None = None, arm: str = "") -> dict[str, Any]:
    """Where values lie in the SVG of a figure that was laid out.

    Args:
        shows: what its axes are of C, N, D and loss, where the best use has a place in it.
        arm: key of the one arm that it shows; empty for all.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    width, height = 72 * figure.get_size_inches()
    box = ax.get_position()
    return {
        "x": [ax.get_xscale(), *ax.get_xlim(), box.x0 * width, box.x1 * width],
        "y": [ax.get_yscale(), *ax.get_ylim(), height - box.y0 * height, height - box.y1 * height],
        "shows": shows,
        "arm": arm,
    }


class Inliner:
    """Makes SVG files of `style.save` parts of one page; letters are defined once for all of them."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}  # outline → id

    @property
    def letters(self) -> Markup:
        """The outlines of all letters, to stand before the figures."""
        paths = "".join(f'<path id="{name}" {outline}/>' for outline, name in self._letters.items())
        hidden = 'width="0" height="0" aria-hidden="true" class="letters"'
        return Markup(f"<svg {hidden}><defs>{paths}</defs></svg>")

    def inline(self, svg: bytes, name: str, caption: str, frame: Mapping[str, Any]) -> Markup:
        """The figure, with no id that another has, and marks that are found by their data."""
        text = svg.decode()
        text = _DROPPED.sub("", text[text.index("<svg") :])
        text = re.sub(r'<g id="runs (\w+) ([\d ]*)"', r'<g data-arm="\1" data-runs="\2"', text)
        text = re.sub(r'<g id="law (\w+)"', r'<g data-arm="\1"', text)
        text = re.sub(r'<g id="[\w.-]+"', "<g", text).replace(" xlink:href=", " href=")
        own: dict[str, str] = {}
        for letter, outline in _LETTER.findall(text):
            own[letter] = self._letters.setdefault(outline, f"letter{len(self._letters)}")
        text = _LETTER.sub("", text)
        text = re.sub(r'\bid="', f'id="{name}.', text).replace("url(#", f"url(#{name}.")
        text = re.sub(r'href="#([^"]+)"', lambda to: f'href="#{own.get(to[1]) or f"{name}.{to[1]}"}"', text)
        text = _PLACE.sub(lambda value: _DECIMALS.sub(r"\1", value[0]), text)
        text = re.sub(r"\n\s*", "\n", text)
        view = re.search(r'viewBox="[^"]*"', text)
        assert view is not None
        head = Markup('<svg role="img" aria-label="{}" data-name="{}" data-frame="{}" ').format(
            caption, name, json.dumps(frame)
        )
        return head + Markup(view[0] + text[text.index(">") :])


def palette_css(svgs: Sequence[bytes]) -> Markup:
    """The colours of all figures as variables, for a light and a dark screen."""
    used = sorted({match for svg in svgs for match in re.findall(rb"var\(--([0-9a-f]{6})\)", svg)})
    light, dark = svg_colours([f"#{c.decode()}" for c in used])
    return Markup(f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}")
