"""What a reader needs to repeat a scaling-law study, answered from the table and the fits.

Source: the four headings and their questions follow the checklist of Li, Kudugunta, Zettlemoyer 2025,
"(Mis)Fitting: A Survey of Scaling Laws" (arXiv:2502.18969); the wording is ours. An answer that the table
does not hold is given as "not stated", never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.fitting.fit import Fit
from analysis.forecast.findings import Findings
from analysis.report.style import say
from analysis.table import RunTable

FORMS = {
    "chinchilla": "L = E + A/N^alpha + B/D^beta",
    "coupled": "L = E + [(A/N^alpha)^k + (B/D^beta)^k]^(1/k)",
    "power": "L = E + A x^-alpha",
    "power_without_offset": "L = A x^-alpha",
}


@dataclass(frozen=True)
class Item:
    """One question of the checklist and its answer."""

    heading: str
    question: str
    answer: str

    @property
    def stated(self) -> bool:
        return not self.answer.startswith("not stated")


def checklist(table: RunTable, findings: Mapping[str, Findings]) -> list[Item]:
    """All questions with their answers, in the order hypothesis, training, data collection, fitting."""
    fits = [fit for part in findings.values() for fit in part.fits]
    return [*_hypothesis(fits), *_training(table), *_collection(table), *_fitting(fits, findings)]


def _hypothesis(fits: list[Fit]) -> list[Item]:
    heading = "The law"
    names = list(dict.fromkeys(fit.name for fit in fits))
    fixed = {k: v for fit in fits for k, v in fit.recipe.fixed.items()}
    tied = "".join(f"; {a} = {b}" for a, b in sorted({pair for fit in fits for pair in fit.recipe.ties}))
    forms = "; ".join(f"{name}: {FORMS.get(name, name)}" for name in names)
    return [
        Item(heading, "Which form?", forms or "no law could be fitted"),
        Item(
            heading,
            "Which variables, in which units?",
            "N non-embedding parameters, D tokens seen, L nats/token",
        ),
        Item(
            heading,
            "What is fixed, what estimated?",
            (f"fixed: {fixed}" if fixed else "all estimated") + tied,
        ),
    ]


def _training(table: RunTable) -> list[Item]:
    heading = "Training"
    sizes = table["params"].nunique()
    models = f"{table['trunk_id'].nunique()} trunks of {sizes} sizes, {say(float(table['params'].min()))} to "
    models += f"{say(float(table['params'].max()))}; {len(table)} runs"
    shapes = "not stated"
    if table.has_numbers("width") and table.has_numbers("depth"):
        shapes = f"width {_span(table, 'width')}, depth {_span(table, 'depth')}"
    repeats = "not stated"
    if table.has_numbers("epochs"):
        most = float(table["epochs"].max())
        repeats = f"at most {most:.3g} passes" + ("; some runs repeat data" if most > 1 else ", none repeats")
    machine = f"{_words(table, 'device')}, {_words(table, 'precision')}"
    return [
        Item(heading, "How many models, of which sizes?", models),
        Item(heading, "Which shapes?", shapes),
        Item(heading, "Which data, and how often repeated?", f"{_words(table, 'data')}; {repeats}"),
        Item(heading, "Learning rate across sizes?", _span(table, "learning_rate")),
        Item(heading, "Schedule?", _words(table, "schedule")),
        Item(heading, "Batch size [tokens]?", _span(table, "batch_tokens")),
        Item(heading, "Seeds?", _words(table, "seed")),
        Item(heading, "Where was it computed, in which precision?", machine),
    ]  # fmt: skip


def _collection(table: RunTable) -> list[Item]:
    heading = "Data collection"
    counts = table.counts
    left_out = ", ".join(f"{n} {kind}" for kind, n in counts.items() if kind != "used")
    noise = "not stated"
    if table.has_numbers("loss_se") and table["loss_se"].notna().any():
        noise = f"standard error {_span(table, 'loss_se')} nats/token of the held-out set"
    shared = len(set(table["trunk_id"])) < len(table)
    counted = (
        "see the conventions" if "params_total" in table else "not stated by the source; taken as N and C"
    )
    points = (
        "one a run, at its end; runs of a trunk share its constant-rate part"
        if shared
        else "one a run, at its end"
    )
    return [
        Item(heading, "Which points enter a fit?", points),
        Item(heading, "How exact is a loss?", noise),
        Item(heading, "Which runs were left out?", left_out or "not stated"),
        Item(heading, "How are N and C counted?", counted),
    ]  # fmt: skip


def _fitting(fits: list[Fit], findings: Mapping[str, Findings]) -> list[Item]:
    heading = "Fitting"
    if not fits:
        return [Item(heading, "How was it fitted?", "no law could be fitted")]
    fit = fits[0]
    robust = fit.recipe.robust
    agree = "; ".join(f"{f.name} {f.certificate.agree} of {f.certificate.starts}" for f in fits)
    objective = f"sum of {robust.kind} losses of {fit.recipe.space} residuals, delta {robust.delta:g}"
    replicates = (
        f"{len(fit.theta_draws)} bootstrap replicates over trunks, {100 * fit.level:g} %, "
        f"seed {fit.bootstrap.seed}"
    )
    certified = all(f.certificate.ok for f in fits)
    held = [f"{len(p.forecasts[0].table)} of {len(p.runs)} runs" for p in findings.values() if p.forecasts]
    validated = f"the runs of largest compute, held out: {', '.join(held)}"
    return [
        Item(heading, "Which objective?", objective),
        Item(heading, "Which optimiser, from where?", "global grid by variable projection, then Newton"),
        Item(heading, "Do independent starts agree?", agree),
        Item(
            heading,
            "Was the minimum checked?",
            "certified" if certified else "NOT certified: see the warnings",
        ),
        Item(heading, "Weights?", "equal" if len(set(fit.runs.weights)) == 1 else "as given"),
        Item(heading, "Uncertainty?", replicates),
        Item(heading, "Validated on what?", validated if held else "not stated: no run was held out"),
    ]


def _words(table: RunTable, column: str) -> str:
    if column not in table:
        return "not stated"
    return ", ".join(sorted({str(v) for v in table[column] if v is not None})) or "not stated"


def _span(table: RunTable, column: str) -> str:
    if not table.has_numbers(column) or table[column].isna().all():
        return _words(table, column)
    low, high = float(table[column].min()), float(table[column].max())
    return say(low) if low == high else f"{say(low)} to {say(high)}"
