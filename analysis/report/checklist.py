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
from analysis.table.runtable import say_count

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
    answers = {
        "The law": _hypothesis(fits),
        "Training": _training(table),
        "Data collection": _collection(table),
        "Fitting": _fitting(fits, findings),
    }
    return [
        Item(heading, question, answer)
        for heading in answers
        for question, answer in answers[heading].items()
    ]


def _hypothesis(fits: list[Fit]) -> dict[str, str]:
    forms = {fit.name: fit.law.formula for fit in fits}
    inputs = list(dict.fromkeys(name for fit in fits for name in fit.law.inputs))
    fixed = {name: value for fit in fits for name, value in fit.recipe.fixed.items()}
    held = [f"{name} = {value:g}" for name, value in fixed.items()]
    held += [f"{a} = {b}" for a, b in sorted({pair for fit in fits for pair in fit.recipe.ties})]
    variables = [_VARIABLES.get(name, name) for name in inputs] + ["L [nats/token]"]
    return {
        "Which form?": "; ".join(f"{k}: {v}" for k, v in forms.items()) or NO_LAW,
        "Which variables, in which units?": ", ".join(variables) if fits else NO_LAW,
        "Which parameters are fixed or tied?": ", ".join(held) or "none; all are estimated",
    }


def _training(table: RunTable) -> dict[str, str]:
    models = f"{count(table['trunk_id'].nunique(), 'trunk')}; {count(len(table), 'run')}"
    if "params" in table:
        models += f"; {count(table['params'].nunique(), 'size')}, {span(table, 'params')}"
    shapes = "not stated"
    if table.has_numbers("width") and table.has_numbers("depth"):
        shapes = f"width {span(table, 'width')}, depth {span(table, 'depth')}"
    repeats = "not stated"
    if table.has_numbers("epochs"):
        most = float(table["epochs"].max())
        repeats = f"at most {most:.3g} epochs; {'some runs repeat' if most > 1 else 'no run repeats'} data"
    machine = f"{distinct(table, 'device')}, {distinct(table, 'precision')}"
    return {
        "How many models, of which sizes?": models,
        "Which shapes?": shapes,
        "Which data, and how often repeated?": f"{distinct(table, 'data')}; {repeats}",
        "Learning rate across sizes?": span(table, "learning_rate"),
        "Schedule?": distinct(table, "schedule"),
        "Batch size [tokens]?": span(table, "batch_tokens"),
        "Seeds?": distinct(table, "seed"),
        "On which device, in which precision?": machine,
    }


def _collection(table: RunTable) -> dict[str, str]:
    counts = table.counts
    left_out = ", ".join(f"{n:,} {say_count(kind)}" for kind, n in counts.items() if kind != "used")
    noise = "not stated"
    if table.has_numbers("loss_se") and table["loss_se"].notna().any():
        noise = f"standard error {span(table, 'loss_se')} nats/token of the held-out set"
    shared = len(set(table["trunk_id"])) < len(table)
    counted = "see the conventions" if "params_total" in table else "not stated by the source; taken as given"
    points = "one per run, at its end" + ("; runs of a trunk share its constant-rate part" if shared else "")
    return {
        "Which points enter a fit?": points,
        "How precise is a loss?": noise,
        "Which runs were left out?": left_out or "not stated",
        "How are N and C counted?": counted,
    }


def _fitting(fits: list[Fit], findings: Mapping[str, Findings]) -> dict[str, str]:
    if not fits:
        return {"How was it fitted?": NO_LAW}
    fit = fits[0]
    robust = fit.recipe.robust
    agree = "; ".join(f"{f.name} {f.certificate.agree} of {f.certificate.starts}" for f in fits)
    objective = f"sum of {robust.kind} losses of {fit.recipe.space} residuals"
    objective += f", delta {robust.delta:g}" if robust.kind not in ("squared", "l1") else ""
    replicates = (
        f"{len(fit.theta_draws):,} bootstrap replicates over trunks, {100 * fit.level:g} %, "
        f"seed {fit.bootstrap.seed}"
    )
    failed = list(dict.fromkeys(f.name for f in fits if not f.certificate.ok))
    certified = f"certified, but for {', '.join(failed)}: see the warnings" if failed else "certified"
    if len(failed) == len({f.name for f in fits}):
        certified = "NOT certified: see the warnings"
    ahead = [p.forecasts[0] for p in findings.values() if p.forecasts]
    held = [f"{len(p.forecasts[0].table)} of {len(p.runs)}" for p in findings.values() if p.forecasts]
    by = ahead[0].ordered_by if ahead else "compute"
    validated = f"held-out runs of largest {by}: {', '.join(held)}"
    return {
        "Which objective?": objective,
        "Which optimiser, from where?": "global grid by variable projection, then Newton",
        "Do independent starts agree?": agree,
        "Was the minimum checked?": certified,
        "Weights?": "equal" if len(set(fit.runs.weights)) == 1 else "as given",
        "Uncertainty?": replicates,
        "Validated on what?": validated if held else "not stated: no run was held out",
    }
