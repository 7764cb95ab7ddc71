"""Which figures a report holds, in which order, and the words under them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.forecast.findings import Findings
from analysis.report import figures
from analysis.report.advice import plot_approaches
from analysis.report.bits import plot_loss_vs_bits
from analysis.report.curves import plot_learning_curves
from analysis.report.decimate import PLENTY, some_trunks
from analysis.report.figures import BARS
from analysis.report.style import panels, say_flops

_RESIDUALS = (
    ("params", "size."),
    ("tokens", "tokens."),
    (
        "fitted",
        "fitted loss. A pattern is a law of the wrong form, or runs that differ in more than N and D.",
    ),
)
PARAMETERS = ("E", "alpha", "beta", "A", "B", "k")


@dataclass(frozen=True)
class Picture:
    """A drawn figure, its file name without suffix, and what to say of it."""

    name: str
    group: str  # the heading it stands under
    caption: str
    figure: Figure


_COVERED = " Of runs that would cover each other one is drawn."


def draw_all(findings: Mapping[str, Findings], curves: pd.DataFrame | None) -> list[Picture]:
    """Every figure of a report. Call inside `style.styled()`."""
    parts = list(findings.values())
    pictures = []
    held = [(p.label, p.family, p.forecasts[0]) for p in parts if p.forecasts]
    if held:
        pictures.append(
            picture(
                "forecast",
                "Forecast",
                "Held-out runs of largest compute: what the law forecast before it saw them, against what "
                "was measured. Bars are prediction intervals of one run; the grey band is 1 % either way."
                + (_COVERED if any(len(forecast.table) > BARS for _, _, forecast in held) else ""),
                figures.plot_forecast(held),
            )
        )
    pictures.append(
        picture(
            "loss-vs-flops",
            "Forecast",
            "Runs, the best run so far, and the first law at its compute optimum with the 95 % band of its "
            "bootstrap draws. Dotted: nothing was measured there."
            + (_COVERED if any(len(p.runs) > PLENTY for p in parts) else ""),
            figures.plot_loss_vs_flops([(p.label, p.runs, p.fits) for p in parts]),
        )
    )
    for part in parts:
        end = f"-{slug(part.label)}" if len(parts) > 1 else ""
        group = "Surface" if len(parts) == 1 else f"Surface: {part.label}"
        law = part.fits[0].name if part.fits else "no"
        covered = _COVERED if len(part.runs) > PLENTY else ""
        pictures += [
            picture(
                f"loss-vs-params{end}",
                group,
                f"Loss against size at each token budget. Dots are runs, lines the {law} law.{covered}",
                figures.plot_loss_vs_params(part.runs, part.fits),
            ),
            picture(
                f"loss-vs-tokens{end}",
                group,
                f"Loss against tokens at each size. Dots are runs, lines the {law} law.{covered}",
                figures.plot_loss_vs_tokens(part.runs, part.fits),
            ),
            picture(
                f"isoflop{end}",
                group,
                f"Slices of the {law} law at equal compute C = 6 N D [FLOP]. Each dot is a run within a "
                f"factor of two of the slice, moved to it along the law.{covered}",
                figures.plot_isoflop(part.runs, part.fits),
            ),
        ]
    for part in parts:
        if part.approaches is not None and part.approaches.approaches:
            pictures.append(_approaches(part, alone=len(parts) == 1))
    if parts and any(part.fits for part in parts):
        pictures.append(_parameters(parts))
    for part in parts:
        pictures += _residuals(part, alone=len(parts) == 1)
    if curves is not None and not curves.empty:
        pictures += [
            _curves(curves, "tokens", "tokens"),
            _curves(curves, "flops", "compute, with the envelope of all"),
        ]
    return pictures


def _approaches(part: Findings, *, alone: bool) -> Picture:
    assert part.approaches is not None
    return picture(
        "approaches" if alone else f"approaches-{slug(part.label)}",
        "Surface" if alone else f"Surface: {part.label}",
        "Chinchilla's three approaches to the best size of a compute budget. Marks are what each found, "
        f"lines its power law; bars are intervals at {say_flops(part.approaches.compute)} FLOP. Wasted: the "
        "share of that compute lost by following the advice if the first law, which approach 3 follows, is "
        "true.",
        plot_approaches(part.approaches),
    )


def _residuals(part: Findings, *, alone: bool) -> list[Picture]:
    end = "" if alone else f"-{slug(part.label)}"
    what = "What" if alone else f"{part.label}: what"
    return [
        picture(
            f"residuals-vs-{against}{end}",
            "Residuals",
            f"{what} the first law leaves unexplained, against {words}"
            + (_COVERED if len(part.runs) > PLENTY else ""),
            figures.plot_residuals(part.runs, part.fits, against=against, ax=panels(width=4.2, height=3)[0]),
        )
        for against, words in _RESIDUALS
    ]


def _curves(curves: pd.DataFrame, against: str, words: str) -> Picture:
    seen = curves[curves["loss"].notna()]
    all_trunks, drawn = (frame["trunk_id"].nunique() for frame in (seen, some_trunks(seen)))
    trunks = "every trunk and its cooldowns"
    if drawn < all_trunks:
        trunks = f"{drawn} of {all_trunks:,} trunks, of each size the best to the worst, and their cooldowns"
    caption = f"Held-out loss along {trunks} against {words}. A dot ends a cooldown: it is what enters a fit."
    ax = plot_learning_curves(curves, against=against)
    return picture(f"curves-vs-{against}", "Learning curves", caption, ax)


def slug(text: str) -> str:
    """A file name that stays in its folder: lower case letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:60] or "part"


def _parameters(parts: list[Findings]) -> Picture:
    rows = [
        (fit.name if len(parts) == 1 else f"{part.label}, {fit.name}", part.family, fit)
        for part in parts
        for fit in part.fits
    ]
    axes = panels(3, 2, height=3 * (0.55 + 0.24 * len(rows)))
    for i, (name, ax) in enumerate(zip(PARAMETERS, axes, strict=True)):
        figures.plot_parameter(rows, name, ax=ax)
        ax.tick_params(labelleft=i % 2 == 0)
    caption = (
        "Each parameter with its bootstrap interval. A wide bar is a parameter that the runs do not fix."
    )
    return picture("parameters", "Surface" if len(parts) == 1 else "Parameters", caption, axes[0])


def picture(name: str, group: str, caption: str, ax: Axes) -> Picture:
    figure = ax.get_figure(root=True)
    if figure is None:
        raise RuntimeError(f"{name}: axes without a figure")
    return Picture(name, group, caption, figure)


def draw_compressed(evaluations: pd.DataFrame) -> list[Picture]:
    """Loss and scores of compressed copies against the bits of the model, a figure a family and quantity."""
    drawn = []
    for family, rows in evaluations.groupby("family"):
        small = rows[rows["quantise"].notna() | rows["prune"].notna()]
        for task in dict.fromkeys(map(str, small["task"])):
            drawn.append(
                picture(
                    f"bits-{slug(task)}-{slug(str(family))}",
                    "Compression",
                    f"{family}: {task} of finished runs, as trained, quantised and pruned without further "
                    "training, against the bits of the whole model. The longest run of each size.",
                    plot_loss_vs_bits(rows, task=task),
                )
            )
    return drawn
