"""Anybody's runs, one row each: read, named, checked; what is not believed is set aside and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.table.cells import read_numbers
from analysis.table.checkpoints import Choice
from analysis.table.code import code_columns, code_notes, code_warnings
from analysis.table.columns import COUNTS, LAW_INPUTS, QUANTITIES
from analysis.table.conditions import Conditions, filter_rows, flagged_notes
from analysis.table.losses import take_loss
from analysis.table.mapping import Columns, Origin
from analysis.table.raw import Raw, escape_controls
from analysis.table.resolve import resolve
from analysis.table.runtable import RunTable, SetAside, group_reasons, say_count
from analysis.table.scores import add_scores
from analysis.table.screen import Screened, screen
from analysis.table.sources import read_file, read_frame
from analysis.table.specs import set_columns, spec_columns
from analysis.table.status import holds_reasons
from analysis.table.wandb_runs import read_wandb
from scaling.records.reading import LARGEST_PLAN, did_you_mean, printable, read_json
from scaling.records.record import PLAN_FILE, RunRecord, StudyRecords, read_study

# See `spec_columns` and `set_columns`.
_APART = ("spec", "versions", "losses", "domains", "tau", "params_active")
_RECORD = tuple(f.name for f in fields(RunRecord) if f.name not in _APART)


def load_runs(
    source: str | Path | pd.DataFrame,
    columns: Columns | None = None,
    *,
    where: Conditions = None,
    drop: Conditions = None,
    checkpoints: Choice | None = None,
) -> RunTable:
    """Read a table of runs, one row each: columns of `RunRecord`, one per setting of the spec, and the code.

    Args:
        source: a runs/<study> folder, a .csv, .tsv, .txt, .json, .jsonl (each also .gz) or .parquet file, or
            `wandb://entity/project` (read with WANDB_API_KEY, from WANDB_BASE_URL if set), or a pandas table
            in memory, which is read as if it were a file.
        columns: our name → the source's, as a dict, `ours=theirs` strings or a YAML or JSON file. Theirs may
            be an expression: `params=Size (M)*1e6`, `loss=log(ppl)`, `tokens=10**log_tokens`. Unmapped
            columns go by name or unambiguous alias.
        where, drop: conditions on columns, `size == "410M" and lr < 1e-3`: rows to keep, and rows to leave
            out. They are counted as left out, not as bad.
        checkpoints: where several rows are of one run, take the `last` of each, or `all`. By default the last
            where the rows show that they are checkpoints; a note or a warning says so.

    Returns:
        A table ordered as the source. Tokens follow from FLOPs, or FLOPs from tokens, by C = 6 N D where one
        of them is absent. Other columns of a file are kept as they are. `counts` holds used, quarantined
        (unreadable, damaged, in wrong units), diverged, failed (the last try left an error) and missing
        (planned, nothing there yet), and, where there are any, `checkpoints` (earlier rows of a run) and
        `left out`; each row is in one of them only. A table of flops and loss alone is a compute frontier,
        one of loss and a mapped `x` a curve; `quantities` says what every run has.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: nothing readable, a column missing or ambiguous (names those present), or no run left.
    """
    path = Path("table" if isinstance(source, pd.DataFrame) else source)
    if isinstance(source, pd.DataFrame):
        raw = read_frame(source)
    elif str(source).startswith("wandb://"):
        raw = read_wandb(str(source))
        escape_controls(raw)
    elif path.is_dir():
        study = read_study(path)
        if checkpoints is not None:
            raise ValueError(f"{path}: a runs folder holds finished runs only; leave --checkpoints out.")
        origins = {name: Origin.of(name) for name in _RECORD}
        raw = filter_rows(_from_study(study), origins, where, drop)
        table = _table(raw, origins, study.name, external=False)
        kept = set(table["run_id"])
        warnings = code_warnings([r for r in study.done if r.run_id in kept])
        table = replace(table, warnings=(*table.warnings, *warnings))
        table = add_scores(replace(table, question=_question(path)), study)
        return table if columns is None else take_loss(table, columns)
    elif path.is_file():
        raw = read_file(path)
        if raw.chart:
            raise ValueError(
                f"{path}: a W&B chart: its rows are steps of runs, with a name and no size each. load_curves "
                "reads it; for a fit, export the table of runs (Download > CSV of the runs table)."
            )
    else:
        raise FileNotFoundError(
            f"{source}: {_what(path)}.{did_you_mean(path)} A table is a runs/<study> folder, a .csv, "
            ".tsv, .json, .jsonl or .parquet file, or wandb://entity/project."
        )
    found = resolve(columns, raw)
    raw.state_columns = found.states
    raw = filter_rows(raw, found.origins, where, drop)
    raw.notes += [*found.notes, *flagged_notes(raw)]
    table = _table(raw, found.origins, path.stem, external=True, checkpoints=checkpoints)
    named = list(table.rows["study"].dropna().unique()) if "study" in table.rows else []
    return replace(table, study=str(named[0])) if len(named) == 1 else table


def _what(path: Path) -> str:
    """What a path is that is neither a folder nor a file."""
    if path.is_symlink() and not path.exists():
        return "a broken link"
    return "a pipe or a device, not a file" if path.exists() else "no such runs folder or table"


def _question(folder: Path) -> str:
    """What the plan says that the study asks; a plan that cannot be read is among the damaged files."""
    try:
        return str(read_json(folder / PLAN_FILE, LARGEST_PLAN).get("question") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _from_study(study: StudyRecords) -> Raw:
    done = study.done
    columns = zip(*map(attrgetter(*_RECORD), done), strict=True) if done else ([] for _ in _RECORD)
    raw = Raw(str(study.folder), dict(zip(_RECORD, map(list, columns), strict=True)), [])
    raw.columns.update(spec_columns([r.spec for r in done]))
    if any(r.params_active is not None for r in done):
        raw.columns["params_active"] = [r.params_active for r in done]
    raw.columns.update(set_columns(done))
    raw.columns.update(code_columns(done))
    raw.labels = [r.run_id for r in done]
    raw.quarantine = [{"row": where, "reason": reason} for where, reason in study.damaged.items()]
    damaged = {Path(where).parent.name for where in study.damaged}
    absent = [run_id for run_id in study.missing if run_id not in damaged]
    failed = [i for i in absent if str(study.expected[i].get("trunk_id")) in study.failures]
    raw.counts = {
        "diverged": len(study.diverged),
        "failed": len(failed),
        "missing": len(absent) - len(failed),
    }
    raw.notes = [
        f"run {r.run_id} diverged: {printable(r.reason or 'no reason recorded')}" for r in study.diverged
    ]
    raw.notes += [f"trunk {f.trunk_id} failed ({f.kind}): {f.message}" for f in study.failures.values()]
    raw.notes += code_notes(done)
    raw.notes += [f"set aside while running: {where}: {why}" for where, why in study.quarantined.items()]
    escape_controls(raw)  # a record that was received may hold anything
    return raw


def _table(
    raw: Raw, origins: dict[str, Origin], name: str, *, external: bool, checkpoints: Choice | None = None
) -> RunTable:
    screened = screen(raw, origins, external=external, checkpoints=checkpoints)
    keep = screened.open_rows(len(raw.labels))
    aside = [SetAside(item["row"], item["reason"]) for item in raw.quarantine]
    aside += [SetAside(raw.labels[i], reason) for i, reason in sorted(screened.aside.items())]
    without = Counter(screened.without_result.values())
    counts = {"used": len(keep), "quarantined": len(aside)}
    counts |= {kind: raw.counts.get(kind, 0) + without[kind] for kind in ("diverged", "failed", "missing")}
    more = {"checkpoints": without["checkpoints"], "left out": raw.counts.get("left out", 0)}
    counts |= {kind: number for kind, number in more.items() if number}
    if not keep:
        said = ", ".join(f"{number} {say_count(kind)}" for kind, number in counts.items() if kind != "used")
        why = "; ".join(map(str, group_reasons(aside)[:5]))
        cure = ""
        if counts["failed"] and raw.state_columns:
            listed = ", ".join(map(repr, raw.state_columns))
            cure = f" {listed} say so; --columns status=none fits such rows, too."
        raise ValueError(f"{raw.source}: no finished run to fit: {said}.{why and f' {why}.'}{cure}")
    notes = raw.notes + screened.notes
    rows = _assemble(raw, origins, screened, keep, notes)
    shown = (*QUANTITIES, "loss") if external else ()
    return RunTable(
        rows=rows,
        source=raw.source,
        study=name,
        counts=counts,
        set_aside=tuple(aside),
        notes=tuple(notes),
        warnings=tuple(screened.warnings),
        columns={ours: str(o) for ours, o in origins.items() if ours != o.column or ours in shown},
        curves=_curves(raw, screened),
    )


def _curves(raw: Raw, screened: Screened) -> pd.DataFrame | None:
    """Every row of the runs that have several, in the columns of `load_curves`; None where there are none."""
    rows = sorted(screened.trails.run_of) if screened.trails.earlier else []
    if not rows:
        return None
    runs = [screened.trails.run_of[i] for i in rows]
    data: dict[str, Any] = {"trunk_id": runs, "run_id": None, "part": "trunk"}
    family = screened.texts.get("family")
    data["family"] = [family[i] or "unstated" for i in rows] if family else "unstated"
    for name in ("params", "step", "tokens", "flops", "train_loss", "loss", "loss_se", "learning_rate"):
        data[name] = screened.numbers[name][rows] if name in screened.numbers else np.nan
    return pd.DataFrame(data).sort_values(["trunk_id", "tokens"], ignore_index=True, kind="stable")


def _assemble(
    raw: Raw, origins: dict[str, Origin], screened: Screened, keep: list[int], notes: list[str]
) -> pd.DataFrame:
    data: dict[str, Any] = {name: [cells[i] for i in keep] for name, cells in screened.texts.items()}
    for name, values in screened.numbers.items():
        data[name] = _whole(values[keep]) if name in COUNTS else values[keep]
    _complete(data, [raw.labels[i].replace(" ", "-") for i in keep], notes)
    table = pd.DataFrame({name: data[name] for name in (*_RECORD, "x", *LAW_INPUTS) if name in data})
    # An expression over one column says all that the column says; one over several does not.
    read = [origin.expression.columns for origin in origins.values()]
    used = {names[0] for names in read if len(names) == 1} | set(raw.index_columns)
    used |= {name for name in raw.state_columns if not holds_reasons(name)}
    for name, cells in raw.columns.items():
        if name not in used:
            kept = [cells[i] for i in keep]
            numbers, unreadable, styles = read_numbers(kept, decimal=raw.decimal)
            # A column that nobody named may hold anything.
            text = unreadable or (styles and raw.decimal != ",")
            taken = name in table or name == "x"  # `x` is the input that was mapped, and no coordinate
            table[f"{name} (source)" if taken else name] = kept if text else numbers
    return table


def _whole(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, Any]:
    """Integers where every value is one, as a digitised table has 6795600349.3 parameters."""
    whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**53)
    return values.astype(np.int64) if whole.all() else values


def _complete(data: dict[str, Any], labels: list[str], notes: list[str]) -> None:
    """Say what a source leaves unsaid, in a note: names, independence, and what the runs have in common."""
    none: list[str | None] = [None] * len(labels)
    data["run_id"] = [own or label for own, label in zip(data.get("run_id", none), labels, strict=True)]
    trunks = data.get("trunk_id", none)
    if None in trunks:
        notes.append("runs without a trunk_id are taken as independent of each other")
    data["trunk_id"] = [trunk or run for trunk, run in zip(trunks, data["run_id"], strict=True)]
    unstated = [name for name in ("family", "objective", "data_fingerprint") if None in data.get(name, none)]
    for name in unstated:
        data[name] = [cell or "unstated" for cell in data.get(name, none)]
    if unstated:
        notes.append(
            f"{', '.join(unstated)}: not stated for some or all runs; assumed to be the same for all"
        )
