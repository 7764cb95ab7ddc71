"""Write a report: one HTML file, Markdown, LaTeX, CSV, and every figure as PNG, PDF and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from itertools import chain
from pathlib import Path

from markupsafe import Markup

from analysis.files import sweep, write_whole
from analysis.forecast.findings import Findings, fit_study
from analysis.report import content, formats, index, tables
from analysis.report.answer import answer_of, equation_latex
from analysis.report.arm_style import Look, looks
from analysis.report.checklist import checklist
from analysis.report.compared import compare_in, family_picture, family_sentences, family_table
from analysis.report.decisions import (
    compare_recipes,
    forecast_section,
    next_section,
    recipe_picture,
    recipe_section,
    rounds_section,
)
from analysis.report.formats import Table
from analysis.report.gallery import Picture, draw_all, draw_compressed
from analysis.report.html import Image, Page, render_html
from analysis.report.inline import Inliner, frame_of, palette_css
from analysis.report.interactive import as_json, budgets_in, page_data
from analysis.report.markdown import render_markdown
from analysis.report.style import save, styled
from analysis.sweeps.compare import Comparison
from analysis.sweeps.families import FamilyComparison
from analysis.table import NotedRows, RunTable, load_curves, load_evaluations, load_runs
from scaling.records.record import read_study

_RUN_COLUMNS = (
    "run_id",
    "family",
    "params",
    "tokens",
    "flops",
    "loss",
    "loss_se",
    "bits_per_byte",
    "learning_rate",
)

_SHOWN = 10  # held-out runs of a part in the page; forecast.csv has all
_EVALUATIONS = 10_000  # along one trunk that a curve is drawn through; more are thinned
_LISTED = 500  # runs in the page; runs.csv has all


def write_report(
    source: str | Path | RunTable,
    fits: Mapping[str, Findings] | None = None,
    out: str | Path = "report",
    *,
    question: str | None = None,
) -> dict[str, Path]:
    """Write the whole report of a study or of anybody's table. The same input gives the same bytes.

    Args:
        source: what `load_runs` reads, or a table that it returned. A table from a runs/<study> folder comes
            with the learning curves and evaluations of that folder.
        fits: as `fit_study` returns; made here with its defaults when not given.
        out: folder, made if absent: index.html, report.md, tables.tex, one CSV per table, figures/.
        question: what the study asks, in one sentence; by default what its plan says.

    Returns:
        file name relative to `out` → path, in order of writing; the page is `index.html`.
    """
    table = source if isinstance(source, RunTable) else load_runs(source)
    curves, scores = _logs(table)
    findings = fit_study(table) if fits is None else fits
    compared, recipes = compare_in(table.rows), compare_recipes(table)
    worn = looks(part.label for part in findings.values())
    files: dict[str, bytes] = {}
    pictures: list[tuple[Picture, bytes]] = []
    with styled():
        for picture in chain(
            draw_all(findings, None if curves is None else curves.rows, worn),
            draw_compressed(scores.rows) if scores is not None else (),
            [family_picture(compared)] if compared else (),
            [recipe_picture(recipes)] if recipes else (),
        ):
            saved = save(picture.figure)
            files |= {f"figures/{picture.name}.{kind}": data for kind, data in saved.items()}
            pictures.append((picture, saved["svg"]))
    page = _page(table, curves, findings, (compared, recipes), pictures, worn, question)
    every_forecast = tables.forecast_table(findings)
    others = [each for section in page.sections for each in section.tables]
    for each in (every_forecast, *page.results, *others, page.counts, page.quarantine):
        files[f"{each.name}.csv"] = formats.to_csv(each.header, each.rows).encode()
    files["runs.csv"] = formats.frame_to_csv(table.rows).encode()
    shown = [page.answer.budgets, page.forecast, *others, *page.results, page.counts]
    laws = map(equation_latex, page.answer.equations)
    files["tables.tex"] = "\n".join(
        [*laws, *(formats.to_latex(each) for each in shown if each.rows)]
    ).encode()
    files["report.md"] = render_markdown(page).encode()
    files[index.ANSWER] = index.answer_file(page, table).encode()
    files["index.html"] = render_html(page).encode()
    written = {name: write_whole(Path(out) / name, data) for name, data in files.items()}
    sweep({path.parent for path in written.values()})
    return written


def _logs(table: RunTable) -> tuple[NotedRows | None, NotedRows | None]:
    """Learning curves and evaluations of the study folder that a table came from, or the curves in it.

    A part of a study has the curves and scores of its own trunks only.
    """
    folder = Path(table.source)
    if not folder.is_dir():
        return None if table.curves is None else NotedRows(table.curves, table.study), None
    study = read_study(folder)
    curves, scores = load_curves(study, most=_EVALUATIONS), load_evaluations(study)
    if len(table) == table.counts.get("used", len(table)) and not table.counts.get("left out"):
        return curves, scores
    trunks = set(table.trunks)
    return _of_trunks(curves, trunks), _of_trunks(scores, trunks)


def _of_trunks(noted: NotedRows, trunks: Set[str]) -> NotedRows:
    return replace(noted, rows=noted.rows[noted.rows["trunk_id"].isin(trunks)])


def _page(
    table: RunTable,
    curves: NotedRows | None,
    findings: Mapping[str, Findings],
    comparisons: tuple[FamilyComparison | None, Comparison | None],
    pictures: list[tuple[Picture, bytes]],
    worn: Mapping[str, Look],
    question: str | None,
) -> Page:
    compared, recipes = comparisons
    source = table.source or "TABLE"
    sections = [
        recipe_section(recipes, source) if recipes else None,
        next_section(findings, source),
        rounds_section(table),
        forecast_section(table),
    ]
    drawn = [svg for _, svg in pictures]
    data = page_data(findings, worn, drawn)
    images, letters = _inlined(pictures)
    whole = [table, *(part.table for part in findings.values())]
    notes = [
        *dict.fromkeys(n for each in whole for n in each.notes),
        *(curves.notes if curves is not None else []),
    ]
    aside = tuple((item.row, item.reason) for item in table.set_aside)
    best = tables.optimum_table(findings)
    results = [
        tables.fits_table(findings),
        best,
        tables.reach_table(findings),
        *([family_table(compared, map(str, table.rows["family"]))] if compared else []),
        tables.approach_table(findings),
        tables.sensitivity_table(findings),
        tables.parameter_table(findings),
    ]
    answer = answer_of(findings, best, recipes)
    known = [*content.known(findings), *(family_sentences(compared) if compared else [])]
    return Page(
        title=f"Scaling report: {table.study}",
        question=question if question is not None else table.question,
        answer=answer,
        known=[sentence for sentence in known if sentence != answer.sentence] or known,
        unknown=content.unknown(findings),
        counts=tables.counts_table(table),
        forecast=tables.forecast_table(findings, most=_SHOWN),
        sections=[each for each in sections if each],
        results=[each for each in results if each.rows],
        remarks=content.warnings_of(table, findings),
        data=content.data_facts(table),
        conventions=content.conventions(table),
        notes=notes,
        quarantine=Table("quarantine", "Set aside", ("where", "reason"), aside),
        checklist=checklist(table, findings),
        images=images,
        letters=letters,
        palette=palette_css(drawn),
        arms=list(worn.items()),
        budgets=budgets_in(data),
        data_of_runs=as_json(data),
        runs=_run_table(table),
        versions=content.versions(),
    )


def _inlined(pictures: list[tuple[Picture, bytes]]) -> tuple[list[Image], Markup]:
    """The figures as parts of the page, and the letters that they share."""
    inliner = Inliner()
    images = []
    for picture, svg in pictures:
        frame = frame_of(picture.figure.axes[0], picture.shows, picture.arm)
        part = inliner.inline(svg, picture.name, picture.caption, frame)
        images.append(Image(picture.name, picture.group, picture.caption, part))
    return images, inliner.letters


def _run_table(table: RunTable) -> Table:
    columns = [name for name in _RUN_COLUMNS if name in table]
    runs = tuple(zip(*(table[name].head(_LISTED).tolist() for name in columns), strict=True))
    rest = f"The first {_LISTED} of {len(table):,} runs; runs.csv has all." if len(table) > _LISTED else ""
    return Table("runs", "Runs", tuple(columns), runs, rest)
