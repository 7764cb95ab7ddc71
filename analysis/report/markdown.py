"""The page as Markdown, for a repository or an issue."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.report.content import Facts
from analysis.report.formats import escape_markdown, to_markdown
from analysis.report.html import Image, Page


def render_markdown(page: Page) -> str:
    """The page as Markdown; figures are those of `figures/` beside it."""
    out = [f"# {escape_markdown(page.title)}", ""]
    out += [escape_markdown(page.question or "The study states no question."), ""]
    out += [escape_markdown(page.answer.sentence), ""]
    for law in page.answer.equations:
        of = f"{law.arm}: " if len(page.answer.equations) > 1 else ""
        out += [f"{escape_markdown(of)}`{law.text.replace('`', '')}`", ""]
        spans = ", ".join(f"{name} {value} ({between})" for name, value, between in law.parameters)
        out += [escape_markdown(f"{spans}; {100 * law.level:g} % intervals"), ""]
    if page.answer.budgets.rows:
        out.append(to_markdown(page.answer.budgets))
    out += [
        "**How sure**",
        "",
        *_bullets(page.known),
        "",
        "**What is not known**",
        "",
        *_bullets(page.unknown),
        "",
    ]
    out.append(to_markdown(page.forecast) if page.forecast.rows else "No run was held out.\n")
    for section in page.sections:
        out += [
            f"## {section.title}",
            "",
            *_bullets(section.sentences),
            "",
            *map(to_markdown, section.tables),
        ]
        out += _images(page.under(section))
    for group, images in page.own:
        out += [f"## {group}", ""]
        out += _images(images)
    out += ["## Results", "", *map(to_markdown, page.results)]
    out += ["## Warnings", ""]
    out += _bullets([f"{r.code}: {r.message} ({r.where})" for r in page.remarks] or ["None."])
    out += ["", "## Runs and data", "", to_markdown(page.counts)]
    if page.quarantine.rows:
        out.append(to_markdown(page.quarantine))
    out += [
        *_bullets(page.notes),
        "",
        *_facts(page.data),
        "",
        "## Conventions",
        "",
        *_facts(page.conventions),
        "",
    ]
    out += ["## Checklist", ""]
    for heading, items in page.checked:
        out += [f"### {heading}", "", *_facts([(item.question, item.answer) for item in items]), ""]
    out += [escape_markdown(page.versions), ""]
    return "\n".join(out)


def _images(images: Iterable[Image]) -> list[str]:
    out = []
    for image in images:
        out += [f"![{escape_markdown(image.caption)}](figures/{image.name}.png)", ""]
        out += [f"*{escape_markdown(image.caption)}*", ""]
    return out


def _bullets(lines: Iterable[str]) -> list[str]:
    return [f"- {escape_markdown(line)}" for line in lines]


def _facts(facts: Facts) -> list[str]:
    return [f"- {escape_markdown(name)}: {escape_markdown(value)}" for name, value in facts]
