"""One self-contained page: nothing outside the file, every name escaped, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.report.answer import Answer
from analysis.report.arm_style import Look
from analysis.report.checklist import Item
from analysis.report.content import Facts, Remark
from analysis.report.decisions import Section
from analysis.report.formats import Table
from analysis.report.interactive import script, script_hash

_TEMPLATE = "page.html.jinja"
_SCRIPT = "/* page.js */"


@dataclass(frozen=True)
class Image:
    """A figure as the page shows it."""

    name: str
    group: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Page:
    """Everything a report says, before it takes a format."""

    title: str
    question: str
    answer: Answer
    known: Sequence[str]
    unknown: Sequence[str]
    counts: Table
    forecast: Table
    sections: Sequence[Section]
    results: Sequence[Table]  # fits, optimum, parameters
    remarks: Sequence[Remark]
    data: Facts
    conventions: Facts
    notes: Sequence[str]
    quarantine: Table
    checklist: Sequence[Item]
    images: Sequence[Image]
    letters: Markup  # outlines that the figures use
    palette: Markup  # colours of the figures, as CSS
    arms: Sequence[tuple[str, Look]]
    budgets: tuple[float, float] | None  # log10 of the computes [FLOP] between which the best use is known
    data_of_runs: Markup  # JSON
    runs: Table
    versions: str

    @property
    def own(self) -> list[tuple[str, list[Image]]]:
        """The groups of figures that no section has."""
        titles = {section.title for section in self.sections}
        return [(name, images) for name, images in self.groups if name not in titles]

    def under(self, section: Section) -> list[Image]:
        """The figures of a section."""
        return [image for image in self.images if image.group == section.title]

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
    html = environment().get_template(_TEMPLATE).render(page=page, script_hash=script_hash())
    html = html.replace(" %", "\u00a0%")  # a number and its unit stay on one line
    return html.replace(_SCRIPT, script(), 1)  # as it was hashed


def environment() -> Environment:
    """Templates of this folder, every value in them escaped."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
