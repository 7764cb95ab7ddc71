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
from analysis.report.content import count, distinct, span
from analysis.table import RunTable

NO_LAW = "no law could be fitted"
_VARIABLES = {
    "N": "N [non-embedding parameters]",
    "D": "D [tokens seen]",
    "C": "C [FLOP]",
    "U": "U [distinct tokens]",
}


@dataclass(frozen=True)
class Item:
    """A question of the checklist and its answer."""

    heading: str
    question: str
    answer: str

    @property
    def stated(self) -> bool:
        return not self.answer.startswith("not stated")


def checklist(table: RunTable, findings: Mapping[str, Findings]) -> list[Item]:
    """Answer all questions, in the order hypothesis, training, data collection, fitting."""
    fits = [fit for part in findings.values() for fit in part.fits]
    return [*_hypothesis(fits), *_training(table), *_collection(table), *_fitting(fits, findings)]


def _hypothesis(fits: list[Fit]) -> list[Item]:
    heading = "The law"
    forms = {fit.name: fit.law.formula for fit in fits}
    inputs = list(dict.fromkeys(name for fit in fits for name in fit.law.inputs))
    fixed = {name: value for fit in fits for name, value in fit.recipe.fixed.items()}
    estimated = ", ".join(f"{name} = {value:g}" for name, value in fixed.items())
    tied = "".join(f"; {a} = {b}" for a, b in sorted({pair for fit in fits for pair in fit.recipe.ties}))
    variables = [_VARIABLES.get(name, name) for name in inputs] + ["L [nats/token]"]
    return [
        Item(heading, "Which form?", "; ".join(f"{k}: {v}" for k, v in forms.items()) or NO_LAW),
        Item(heading, "Which variables, in which units?", ", ".join(variables) if fits else NO_LAW),
        Item(
            heading,
            "Which parameters are fixed?",
            f"{f'fixed: {estimated}' if fixed else 'none; all are estimated'}{tied}",
        ),
    ]  # fmt: skip


def _training(table: RunTable) -> list[Item]:
    heading = "Training"
    models = f"{count(table['trunk_id'].nunique(), 'trunk')}; {count(len(table), 'run')}"
    if "params" in table:
        models += f"; {count(table['params'].nunique(), 'size')}, {span(table, 'params')}"
    shapes = "not stated"
    if table.has_numbers("width") and table.has_numbers("depth"):
        shapes = f"width {span(table, 'width')}, depth {span(table, 'depth')}"
    repeats = "not stated"
    if table.has_numbers("epochs"):
        most = float(table["epochs"].max())
        repeats = f"at most {most:.3g} epochs" + (
            "; some runs repeat data" if most > 1 else "; no run repeats data"
        )
    machine = f"{distinct(table, 'device')}, {distinct(table, 'precision')}"
    return [
        Item(heading, "How many models, of which sizes?", models),
        Item(heading, "Which shapes?", shapes),
        Item(heading, "Which data, and how often repeated?", f"{distinct(table, 'data')}; {repeats}"),
        Item(heading, "Learning rate across sizes?", span(table, "learning_rate")),
        Item(heading, "Schedule?", distinct(table, "schedule")),
        Item(heading, "Batch size [tokens]?", span(table, "batch_tokens")),
        Item(heading, "Seeds?", distinct(table, "seed")),
        Item(heading, "On which device, in which precision?", machine),
    ]  # fmt: skip


def _collection(table: RunTable) -> list[Item]:
    heading = "Data collection"
    counts = table.counts
    left_out = ", ".join(f"{n:,} {kind}" for kind, n in counts.items() if kind != "used")
    noise = "not stated"
    if table.has_numbers("loss_se") and table["loss_se"].notna().any():
        noise = f"standard error {span(table, 'loss_se')} nats/token of the held-out set"
    shared = len(set(table["trunk_id"])) < len(table)
    counted = "see the conventions" if "params_total" in table else "not stated by the source; taken as given"
    points = "one a run, at its end" + ("; runs of a trunk share its constant-rate part" if shared else "")
    return [
        Item(heading, "Which points enter a fit?", points),
        Item(heading, "How precise is a loss?", noise),
        Item(heading, "Which runs were left out?", left_out or "not stated"),
        Item(heading, "How are N and C counted?", counted),
    ]  # fmt: skip


def _fitting(fits: list[Fit], findings: Mapping[str, Findings]) -> list[Item]:
    heading = "Fitting"
    if not fits:
        return [Item(heading, "How was it fitted?", NO_LAW)]
    fit = fits[0]
    robust = fit.recipe.robust
    agree = "; ".join(f"{f.name} {f.certificate.agree} of {f.certificate.starts}" for f in fits)
    objective = f"sum of {robust.kind} losses of {fit.recipe.space} residuals, delta {robust.delta:g}"
    replicates = (
        f"{len(fit.theta_draws):,} bootstrap replicates over trunks, {100 * fit.level:g} %, "
        f"seed {fit.bootstrap.seed}"
    )
    certified = all(f.certificate.ok for f in fits)
    held = [f"{len(p.forecasts[0].table)} of {len(p.runs)}" for p in findings.values() if p.forecasts]
    validated = f"held-out runs of largest compute: {', '.join(held)}"
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
