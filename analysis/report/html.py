"""One self-contained page: nothing outside the file, every name escaped, light and dark, wide and narrow."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.report.checklist import Item
from analysis.report.content import Facts, Remark
from analysis.report.formats import Table

_TEMPLATE = "page.html.jinja"


@dataclass(frozen=True)
class Image:
    """A figure as the page shows it."""

    name: str
    group: str
    caption: str
    svg: bytes

    @property
    def address(self) -> str:
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


@dataclass(frozen=True)
class Page:
    """Everything a report says, before it takes a format."""

    title: str
    question: str
    known: Sequence[str]
    unknown: Sequence[str]
    counts: Table
    forecast: Table
    results: Sequence[Table]  # fits, optimum, parameters
    remarks: Sequence[Remark]
    data: Facts
    conventions: Facts
    notes: Sequence[str]
    quarantine: Table
    checklist: Sequence[Item]
    images: Sequence[Image]
    runs: Table
    versions: str

    @property
    def groups(self) -> list[tuple[str, list[Image]]]:
        names = dict.fromkeys(image.group for image in self.images)
        return [(name, [image for image in self.images if image.group == name]) for name in names]

    @property
    def checked(self) -> list[tuple[str, list[Item]]]:
        names = dict.fromkeys(item.heading for item in self.checklist)
        return [(name, [item for item in self.checklist if item.heading == name]) for name in names]


def render_html(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(_TEMPLATE).render(page=page)
    return html.replace(" %", "\u00a0%")  # a number and its unit stay on one line
