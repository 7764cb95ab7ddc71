"""`--wandb`: shows what was found in runs beside them in W&B: laws, tables, figures, and the report.

One W&B run for each study and kind of answer, resumed when it is asked again. As with training, W&B can be
slow, broken or absent: the answer is printed and written first, and its exit status does not depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml  # type: ignore[import-untyped]

from analysis.fitting.runs import called
from analysis.forecast.advise import Advice
from analysis.forecast.findings import Findings
from analysis.forecast.heldout import Forecast
from analysis.report.decisions import recipe_picture, recipe_section, registered_beside
from analysis.report.style import save, styled
from analysis.sweeps.compare import Comparison
from analysis.table import RunTable
from scaling.records.reading import read_small
from scaling.records.storage import slug
from scaling.records.tracking import RunTracker, open_tracker, sync_command, waiting_runs

PATIENCE = 60.0  # seconds for a report to be sent
SHOWN = (  # columns of runs, where a table has them
    *("run_id", "family", "params", "tokens", "flops", "loss", "loss_se", "bits_per_byte", "learning_rate"),
    *("seed", "optimizer", "data"),
)
MOST = 10_000  # rows of a table that W&B shows


@contextmanager
def answer_run(mode: str, kind: str, table: RunTable, config: Mapping[str, Any]) -> Iterator[RunTracker]:
    """The W&B run of one kind of answer about a table, ended as it should be.

    Args:
        kind: fit, compare or next: its job type.
    """
    source = Path(table.source)
    folder = source if source.is_dir() else Path()
    about = settings_of(folder)
    tracker = open_tracker(
        mode,  # type: ignore[arg-type]
        study=table.study,
        folder=folder,
        project=about.get("project"),
        entity=about.get("entity"),
        patience=PATIENCE,
    )
    known = {"kind": kind, "source": table.source, "data_hash": table.data_hash, "runs": len(table)}
    with tracker:
        run = tracker.run(
            f"{kind}-{slug(table.study)}",
            name=f"{kind} {table.study}",
            job_type=kind,
            config={**known, **config},
        )
        yield run
        run.finish()


def settings_of(folder: Path) -> dict[str, str]:
    """The W&B project and entity that a study was trained with, as its `multirun.yaml` says."""
    try:
        found = yaml.safe_load(read_small(folder / "multirun.yaml"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    found = found if isinstance(found, dict) else {}
    return {key: found[key] for key in ("project", "entity") if isinstance(found.get(key), str)}


def mirror_fit(
    mode: str, table: RunTable, findings: Mapping[str, Findings], files: Mapping[str, Path]
) -> None:
    """Show a report: laws with their intervals, runs, forecasts, figures, and its files."""
    with answer_run(mode, "fit", table, {"arms": list(findings)}) as run:
        run.summary(summary_of(findings))
        shown = [name for name in SHOWN if name in table]
        rows = [[cell(value) for value in row] for row in table.rows[shown].to_numpy(dtype=object)[:MOST]]
        run.table("runs", shown, rows)
        columns, rows = forecasts_of(table, findings)
        run.table("forecasts", columns, rows)
        run.images(pictures_of(files))
        run.artifact(f"report-{slug(table.study)}", "report", files)


def mirror_comparison(mode: str, table: RunTable, found: Comparison) -> None:
    """Show what `scaling compare` has said: one verdict per arm, speed-ups with intervals, the figure."""
    config = {"by": list(found.by), "baseline": found.baseline, "design": found.design, "level": found.level}
    with TemporaryDirectory() as place, answer_run(mode, "compare", table, config) as run:
        for lead in found.leads:
            body = lead.to_dict(*found.at(lead))
            run.summary(flat({**body, "target": body["targets"][-1]}, f"{lead.arm}/"))
        speedups = recipe_section(found, table.source).tables[0]
        run.table("speedups", speedups.header, [[cell(value) for value in row] for row in speedups.rows])
        path = Path(place) / "speedup.png"
        with styled():
            path.write_bytes(save(recipe_picture(found).figure, ["png"])["png"])
        run.images({"figures/speedup": (path, f"speed-up over {found.baseline}")})


def mirror_advice(mode: str, table: RunTable, advice: Advice) -> None:
    """Show what `scaling next` has said: the best size now and after, and the runs to train."""
    with answer_run(mode, "next", table, {"compute": advice.compute, "spend": advice.spend}) as run:
        run.summary(flat(advice.to_dict()))
        columns = ["N", "D", "kind", "cost", "regret", "moves"]
        run.table("next", columns, [[cell(getattr(each, name)) for name in columns] for each in advice.runs])


def summary_of(findings: Mapping[str, Findings]) -> dict[str, Any]:
    """`chinchilla/alpha`, with `_low` and `_high` where an interval is known; of several arms, by arm."""
    found: dict[str, Any] = {}
    for label, part in findings.items():
        start = f"{label}/" if len(findings) > 1 else ""
        for place, fit in enumerate(part.fits):
            name = f"{start}{fit.name}"
            if place == 0:
                found[f"{start}law"] = fit.name
            found[f"{name}/rms"] = fit.rms
            for parameter, value in fit.law.parameters.items():
                found[f"{name}/{parameter}"] = value
                ends = fit.intervals.get(parameter)
                if ends is not None:
                    found[f"{name}/{parameter}_low"], found[f"{name}/{parameter}_high"] = ends
        for forecast in part.forecasts:
            found[f"{start}{forecast.fit.name}/heldout_error"] = forecast.error
    return {name: value for name, value in found.items() if cell(value) is not None}


def forecasts_of(table: RunTable, findings: Mapping[str, Findings]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of all forecasts: of held-out runs by every law, and those that were registered."""
    columns = ["kind", "question", "forecast", "low", "high", "outcome", "inside"]
    rows: list[list[Any]] = []
    for label, part in findings.items():
        for forecast in part.forecasts:
            rows += [
                [f"held out, {forecast.fit.name}", f"{label}: {_inputs(forecast, row)}"]
                + [cell(row[name]) for name in ("predicted", "lo", "hi", "loss")]
                + [bool(row["lo"] <= row["loss"] <= row["hi"])]
                for row in forecast.table.to_dict(orient="records")
            ]
    for entry in registered_beside(Path(table.source))[0]:
        said = [cell(value) for value in (entry.said, entry.low, entry.high, entry.came)]
        rows.append([f"registered {entry.registered}", entry.question, *said, entry.inside])
    return columns, rows[:MOST]


def _inputs(forecast: Forecast, row: Mapping[Any, Any]) -> str:
    """The inputs of a forecast run in words."""
    return " ".join(f"{called(name)} {row[called(name)]:.4g}" for name in forecast.fit.law.inputs)


def pictures_of(files: Mapping[str, Path]) -> dict[str, tuple[Path, str]]:
    """The figures of a report that W&B can show."""
    drawn = [path for name, path in files.items() if name.startswith("figures/") and path.suffix == ".png"]
    return {f"figures/{path.stem}": (path, path.stem.replace("-", " ")) for path in drawn}


def flat(body: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    """Numbers, texts and yes or no of nested objects, keys joined by slashes; lists are left out."""
    found: dict[str, Any] = {}
    for key, value in body.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{start}{key}/")
        elif isinstance(value, bool | int | float | str) and cell(value) is not None:
            found[f"{start}{key}"] = value
    return found


def cell(value: Any) -> Any:
    """A cell of a table as JSON has it; None where a number is missing or infinite."""
    if isinstance(value, str | bool) or value is None:
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def waiting(table: RunTable) -> list[str]:
    """A line on what waits to be sent, if anything does."""
    source = Path(table.source)
    folder = source if source.is_dir() else Path()
    return [f"W&B: {sync_command(folder)}"] if waiting_runs(folder) else []
