"""What a report opens with: the answer, the fitted equations, and what to train at three budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from analysis.fitting.fit import Fit
from analysis.forecast.findings import Findings
from analysis.report.best import ALL_FORMS
from analysis.report.content import known
from analysis.report.equation import as_latex, as_mathml, as_text
from analysis.report.formats import Table, escape_latex
from analysis.report.style import say_flops
from analysis.sweeps.compare import REACH, Comparison
from analysis.sweeps.lead import Lead

NO_ANSWER = "These runs do not answer the question: no law could be fitted."


@dataclass(frozen=True)
class Equation:
    """The first law of an arm."""

    arm: str
    law: str
    formula: Markup  # with letters
    typeset: Markup  # with numbers
    text: str  # the same, to copy
    parameters: tuple[tuple[str, str, str], ...]  # name, value, interval in words
    level: float


@dataclass(frozen=True)
class Answer:
    """The first screen of a report."""

    sentence: str
    equations: tuple[Equation, ...]
    budgets: Table


def answer_of(findings: Mapping[str, Findings], best: Table, comparison: Comparison | None = None) -> Answer:
    """The answer that the runs give: who leads where recipes are compared, else how far the law reaches.

    Args:
        best: the table of best uses, `optimum_table`.
    """
    sentences = known(findings)
    sentence = sentences[0] if any(part.fits for part in findings.values()) else NO_ANSWER
    if comparison is not None and comparison.leads:
        sentence = f"Against {comparison.baseline}: {'; '.join(map(_verdict, comparison.leads))}."
    equations = tuple(_equation(part.label, part.fits[0]) for part in findings.values() if part.fits)
    return Answer(sentence, equations, budget_table(best))


def equation_latex(law: Equation) -> str:
    """The fitted law as a numbered equation, with its arm and its intervals in a line under it."""
    spans = ", ".join(f"{name} = {value} ({between})" for name, value, between in law.parameters)
    words = escape_latex(f"{law.arm}, {law.law} law: {spans}; {100 * law.level:g} % intervals.")
    return f"\\begin{{equation}}\n{as_latex(law.text)}\n\\end{{equation}}\n{words}\n"


def budget_table(best: Table) -> Table:
    """Of the table of best uses, the rows that answers rest on: all forms where they were weighed."""
    law = best.header.index("law")
    weighed = {row[0] for row in best.rows if row[law] == ALL_FORMS}
    rows = [row for row in best.rows if row[0] not in weighed or row[law] == ALL_FORMS]
    header = best.header[:law] + best.header[law + 1 :]
    cells = tuple(row[:law] + row[law + 1 :] for row in rows)
    note = (
        "Best parameters N and tokens D for 1, 10 and 100 times the largest compute C = 6 N D [FLOP]. "
        "All are forecasts: there need not be a run of this N and D."
    )
    return Table("budgets", "What to train", header, cells, note)


def _verdict(lead: Lead) -> str:
    """Who is ahead ten times beyond the runs, and what was measured at the largest of them."""
    now = lead.at(lead.largest)
    measured = (
        f"at {say_flops(lead.largest)} FLOP, the largest compute of both, {lead.arm} is worth "
        f"{now.value:.3g} times the compute [{now.low:.3g}, {now.high:.3g}]"
    )
    return f"{lead.verdict(REACH * lead.largest).replace('e+', 'e')} ({measured})"


def _equation(arm: str, fit: Fit) -> Equation:
    formula, values = fit.law.formula, fit.law.parameters
    spans = []
    for name, value in values.items():
        between = fit.intervals[name]
        if name in fit.recipe.fixed:
            words = "fixed"
        elif between is None:
            words = "no interval"
        else:
            words = f"{_number(between[0])} to {_number(between[1])}"
        spans.append((name, _number(value), words))
    return Equation(
        arm,
        fit.name,
        as_mathml(formula),
        as_mathml(formula, values),
        as_text(formula, values),
        tuple(spans),
        fit.level,
    )


def _number(value: float) -> str:
    return f"{value:.4g}"
