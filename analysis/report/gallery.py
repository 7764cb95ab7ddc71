"""Which figures a report holds, in which order, and the words under them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.fitting.runs import called
from analysis.forecast.findings import Findings
from analysis.report.arm_style import Look, look_of
from analysis.report.figures.approaches import plot_approaches
from analysis.report.figures.axes import others_of
from analysis.report.figures.bits import plot_loss_vs_bits
from analysis.report.figures.compute import BEYOND, plot_curve_law, plot_loss_vs_flops
from analysis.report.figures.contours import plot_contours
from analysis.report.figures.decimate import PLENTY, some_trunks
from analysis.report.figures.fits import BARS, plot_forecast, plot_parameter, plot_residuals
from analysis.report.figures.learning import evaluated, plot_learning_curves
from analysis.report.figures.reducible import plot_reducible
from analysis.report.figures.surface import plot_isoflop, plot_loss_vs_params, plot_loss_vs_tokens
from analysis.report.style import panels, say_flops

_COVERED = " Of runs that would cover each other, only one is drawn."
_SHOWS = {"isoflop": ("N", "loss"), "contours": ("N", "D")}
_NAMES = {"params": "size", "tokens": "tokens", "flops": "compute"}


@dataclass(frozen=True)
class Picture:
    """A drawn figure, its file name without suffix, and what to write under it."""

    name: str
    group: str  # the heading it stands under
    caption: str
    figure: Figure
    shows: tuple[str, str] | None = None  # what its axes are of C, N, D, loss, where a best use has a place
    arm: str = ""  # key of the one arm that it shows


def picture(name: str, group: str, caption: str, ax: Axes, *, many: bool = False) -> Picture:
    """The figure of these axes, with a note that some of many points are not drawn."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise RuntimeError(f"{name}: axes without a figure")
    return Picture(name, group, caption + (_COVERED if many else ""), figure)


def draw_all(
    findings: Mapping[str, Findings], curves: pd.DataFrame | None, worn: Mapping[str, Look] | None = None
) -> Iterator[Picture]:
    """Draw every figure of a report, one at a time. Use inside `style.styled()`."""
    parts = list(findings.values())
    worn = look_of(worn, (part.label for part in parts))
    surfaces = [part for part in parts if is_surface(part)]
    if any(part.forecasts for part in parts):
        yield _forecast(parts, worn)
    if surfaces:
        yield _compute(surfaces, worn)
        if any(part.fits and "E" in part.fits[0].law.parameters for part in surfaces):
            yield _reducible(surfaces, worn)
    for part in parts:
        yield from _surface(part, worn, parts) if part in surfaces else _curve(part, worn, parts)
    for part in parts:
        if part.approaches is not None and len(part.approaches.approaches) > 1:  # one has no other to meet
            yield _approaches(part, parts)
    if any(part.fits for part in parts):
        yield _parameters(parts, worn)
    for part in parts:
        if part.fits:
            yield from _residuals(part, worn, parts)
    if curves is not None and not curves.empty:
        arms = {str(trunk): part.label for part in parts for trunk in part.runs["trunk_id"].unique()}
        for against in ("tokens", "flops"):
            yield _learning(curves, against, arms, worn)


def is_surface(part: Findings) -> bool:
    """Whether a part is about loss as a function of N and D, not of one input."""
    if part.fits:
        return {"N", "D"} <= set(part.fits[0].law.inputs)
    return {"params", "tokens"} <= set(part.runs.columns)


def slug(text: str) -> str:
    """A file name that stays in its folder: lower case letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:60] or "part"


def draw_compressed(evaluations: pd.DataFrame) -> Iterator[Picture]:
    """Draw loss and scores of compressed copies against the bits of the model, by family and quantity."""
    for family, rows in evaluations.groupby("family"):
        small = rows[rows["quantise"].notna() | rows["prune"].notna()]
        for task in dict.fromkeys(map(str, small["task"])):
            yield picture(
                f"bits-{slug(task)}-{slug(str(family))}",
                "Compression",
                f"{family}: {task} of finished runs as trained, quantised and pruned without further "
                "training, against the bits of the whole model. For each size, the run with the most tokens.",
                plot_loss_vs_bits(rows, task=task),
            )


def _named(name: str, group: str, part: Findings, parts: Sequence[Findings]) -> tuple[str, str]:
    """The file name and the heading of a figure of one part; with several parts both carry its label."""
    return (name, group) if len(parts) == 1 else (f"{name}-{slug(part.label)}", f"{group}: {part.label}")


def _forecast(parts: Sequence[Findings], worn: Mapping[str, Look]) -> Picture:
    held = [(part.label, part.forecasts[0]) for part in parts if part.forecasts]
    by = held[0][1].ordered_by if held else "compute"
    caption = (
        f"Held-out runs of largest {by}: loss forecast from the smaller runs against measured loss. Bars "
        "are prediction intervals of one run; the grey band is ±1 %."
    )
    many = any(len(forecast.table) > BARS for _, forecast in held)
    return picture("forecast", "Forecast", caption, plot_forecast(held, looks=worn), many=many)


def _compute(parts: Sequence[Findings], worn: Mapping[str, Look]) -> Picture:
    level = next((f"{100 * part.fits[0].level:g} % " for part in parts if part.fits), "")
    caption = (
        f"Runs, the best run so far, and the first law at its compute optimum with the {level}band of its "
        "bootstrap draws. Dotted lines lie beyond the measured runs."
        if any(part.fits for part in parts)
        else "Runs, and the best run so far."
    )
    ax = plot_loss_vs_flops([(p.label, p.runs, p.fits) for p in parts], looks=worn)
    many = any(len(part.runs) > PLENTY for part in parts)
    return replace(picture("loss-vs-flops", "Forecast", caption, ax, many=many), shows=("C", "loss"))


def _reducible(parts: Sequence[Findings], worn: Mapping[str, Look]) -> Picture:
    caption = (
        "Loss above the irreducible loss E of the first law, on logarithmic axes: runs, and the law at its "
        "compute optimum with its band. A straight line is a power law. Dotted lines lie beyond the runs."
    )
    ax = plot_reducible([(p.label, p.runs, p.fits) for p in parts], looks=worn)
    return picture("reducible-loss", "Forecast", caption, ax, many=any(len(p.runs) > PLENTY for p in parts))


def _surface(part: Findings, worn: Mapping[str, Look], parts: Sequence[Findings]) -> Iterator[Picture]:
    lines = f" Dots are runs, lines the {part.fits[0].name} law." if part.fits else ""
    along = "Loss against {} at each {}." + lines
    if part.fits and others_of(part.fits[0]):
        along += " Further inputs of the law are held at their median."
    slices = (
        "Slices of the first law at equal compute C = 6 N D, labelled in FLOP. A filled mark is a run within "
        "a factor of two of the slice, moved to it along the law; a diamond is the law's optimum. A slice is "
        "drawn only near its runs and its optimum."
    )
    above = (
        "The runs, lines of equal loss [nats/token] of the first law, and its best N and D for compute up to "
        "ten times that of the largest run."
    )
    for name, caption, draw in (
        ("loss-vs-params", along.format("size", "token budget"), plot_loss_vs_params),
        ("loss-vs-tokens", along.format("tokens", "size"), plot_loss_vs_tokens),
        ("isoflop", slices, plot_isoflop),
        ("contours", above, plot_contours),
    )[: 4 if part.fits else 2]:
        ax = draw(part.runs, part.fits, look=worn[part.label])
        drawn = picture(*_named(name, "Surface", part, parts), caption, ax, many=len(part.runs) > PLENTY)
        yield replace(drawn, shows=_SHOWS.get(name), arm=worn[part.label].key)


def _curve(part: Findings, worn: Mapping[str, Look], parts: Sequence[Findings]) -> Iterator[Picture]:
    if part.fits:
        runs = part.fits[0].runs
        x, loss = runs.inputs[part.fits[0].law.inputs[0]], runs.loss
        bands = f" Lines extend to {BEYOND:g} times the largest run; the band belongs to the first law."
    elif columns := [name for name in ("flops", "x") if name in part.runs]:
        x, loss, bands = part.runs[columns[0]].to_numpy(float), part.runs["loss"].to_numpy(float), ""
    else:
        return
    ax = plot_curve_law(part.label, x, loss, part.fits, look=worn[part.label])
    caption = f"Loss of the runs{' and the fitted laws' if part.fits else ''}.{bands}"
    yield picture(*_named("curve", "Curve", part, parts), caption, ax, many=len(x) > PLENTY)


def _approaches(part: Findings, parts: Sequence[Findings]) -> Picture:
    assert part.approaches is not None
    caption = (
        "Approaches to the best size for a compute budget (Hoffmann et al. 2022). Marks show what each "
        f"found, lines its power law; bars are intervals at {say_flops(part.approaches.compute)} FLOP. "
        "Wasted: the share of that compute lost by following the advice if the first law, which approach 3 "
        "uses, is true."
    )
    return picture(*_named("approaches", "Surface", part, parts), caption, plot_approaches(part.approaches))


def _parameters(parts: Sequence[Findings], worn: Mapping[str, Look]) -> Picture:
    rows = [
        (fit.name if len(parts) == 1 else f"{part.label}, {fit.name}", worn[part.label].ink, fit)
        for part in parts
        for fit in (part.fits if part.ranking is None else [f for f in part.fits if len(f.theta_draws)])
    ]
    names = list(dict.fromkeys(name for _, _, fit in rows for name in fit.law.parameters))
    height = -(-len(names) // 2)
    axes = panels(height, 2, height=height * (0.55 + 0.24 * len(rows)))
    for place, ax in enumerate(axes):
        if place < len(names):
            plot_parameter(rows, names[place], ax=ax)
            ax.tick_params(labelleft=place % 2 == 0)
        else:
            ax.set_axis_off()
    caption = (
        "Parameters with their bootstrap intervals. A wide bar is a parameter that the runs do not identify."
    )
    group = "Parameters" if len(parts) > 1 else "Surface" if is_surface(parts[0]) else "Curve"
    return picture("parameters", group, caption, axes[0])


def _residuals(part: Findings, worn: Mapping[str, Look], parts: Sequence[Findings]) -> Iterator[Picture]:
    columns = [called(name) for name in part.fits[0].law.inputs]
    for against in (*(name for name in columns if name in part.runs), "fitted"):
        caption = f"Residuals of the first law against {_NAMES.get(against, against)}."
        if against == "fitted":
            caption = (
                "Residuals of the first law against the fitted loss. A pattern means that the law has the "
                "wrong form, or that the runs differ in more than its inputs."
            )
        if len(parts) > 1:
            caption = f"{part.label}: {caption}"
        ax = panels(width=4.2, height=3)[0]
        plot_residuals(part.runs, part.fits, against=against, look=worn[part.label], ax=ax)
        name, _ = _named(f"residuals-vs-{slug(against)}", "", part, parts)
        yield picture(name, "Residuals", caption, ax, many=len(part.runs) > PLENTY)


def _learning(
    curves: pd.DataFrame, against: str, arms: Mapping[str, str], worn: Mapping[str, Look]
) -> Picture:
    seen = evaluated(curves)
    every, drawn = (frame["trunk_id"].nunique() for frame in (seen, some_trunks(seen)))
    trunks = "every trunk and its cooldowns"
    if drawn < every:
        trunks = f"{drawn} of {every:,} trunks, from the best to the worst of each size, and their cooldowns"
    axis = "tokens" if against == "tokens" else "compute, with their envelope"
    caption = (
        f"Held-out loss along {trunks} against {axis}. Thick lines are trunks, thin ones cooldowns, which "
        "leave their trunk where the rate begins to fall; the mark at the end of a cooldown enters the fit. "
        "Losses above those of the finished runs by more than a quarter of their range are cut off."
    )
    ax = plot_learning_curves(curves, against=against, arms=arms, looks=worn)
    return picture(f"curves-vs-{against}", "Learning curves", caption, ax)
