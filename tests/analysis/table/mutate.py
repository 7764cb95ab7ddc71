"""Tables as people have them, and the ways in which they go wrong on the way to us.

A `Sheet` is a table of text. A mutation changes it as an export, a spreadsheet, a copy by hand or an accident
would, and never makes a number wrong that nobody could see to be wrong. `TABLES` lists the clean tables and
`MUTATIONS` the kinds of change; `test_mutants.py` applies one or two and judges what the reader makes of it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

E, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28
SIZES = (12_582_912, 35_389_440, 85_000_000, 201_326_592, 503_316_480, 1_207_959_552)
BUDGETS = (320_000_000, 1_100_000_000, 3_400_000_000, 10_500_000_000, 31_000_000_000)


@dataclass
class Sheet:
    """A table of text with the names of the columns that hold a quantity, and how it is written to a file."""

    name: str
    header: list[str]
    rows: list[list[str]]
    names: dict[str, str]  # params, tokens, flops, loss, x → the column that holds it
    columns: str | None = None  # the mapping that its owner gives
    law: str = "chinchilla"
    delimiter: str = ","
    end: str = "\n"
    quoting: int = csv.QUOTE_MINIMAL
    encoding: str = "utf-8"
    suffix: str = ".csv"
    texts: list[Callable[[str], str]] = field(default_factory=list)  # changes to the finished text
    more: bool = False  # it holds more runs than its clean table, so more of them count

    def copy(self) -> Sheet:
        """Return a sheet that shares no list with this one."""
        return replace(
            self,
            header=list(self.header),
            rows=[list(row) for row in self.rows],
            names=dict(self.names),
            texts=list(self.texts),
        )

    def at(self, quantity: str) -> int:
        """Return the position of the column of a quantity."""
        return self.header.index(self.names[quantity])

    @property
    def sizes(self) -> list[str]:
        """Return the quantities other than the loss."""
        return [name for name in self.names if name != "loss"]

    def some(self, rng: random.Random, most: int = 4) -> list[list[str]]:
        """Return a few rows."""
        return rng.sample(self.rows, rng.randint(1, min(most, len(self.rows))))

    def add(self, name: str, cells: list[str], at: int | None = None) -> None:
        """Insert a column."""
        place = len(self.header) if at is None else at
        self.header.insert(place, name)
        for row, cell in zip(self.rows, cells, strict=True):
            row.insert(place, cell)

    def text(self) -> str:
        """Return the table as delimited text, or as JSON."""
        if self.suffix.startswith(".json"):
            objects = [dict(zip(self.header, map(_native, row), strict=False)) for row in self.rows]
            lines = [json.dumps(item) for item in objects]
            return "\n".join(lines) + "\n" if self.suffix == ".jsonl" else "[" + ",".join(lines) + "]"
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter=self.delimiter, lineterminator=self.end, quoting=self.quoting)  # type: ignore[arg-type]
        writer.writerows([self.header, *self.rows])
        return buffer.getvalue()

    def write(self, folder: Path) -> Path:
        """Write the file."""
        text = self.text()
        for change in self.texts:
            text = change(text)
        content = text.encode(self.encoding)
        path = folder / f"table{self.suffix}"
        path.write_bytes(gzip.compress(content) if self.suffix.endswith(".gz") else content)
        return path


def _native(cell: str) -> object:
    try:
        return int(cell) if cell.lstrip("-").isdecimal() else float(cell)
    except ValueError:
        return cell or None


# --- clean tables ---------------------------------------------------------------------------------------


def true_loss(params: float, tokens: float) -> float:
    """Return the loss [nats/token] of the known law."""
    return E + A / params**ALPHA + B / tokens**BETA


def _noisy(loss: float, rng: random.Random) -> float:
    return loss * math.exp(rng.gauss(0, 0.003))


def grid(rng: random.Random) -> Sheet:
    """Return 30 runs: 6 sizes × 5 budgets."""
    rows = [[str(n), str(d), repr(_noisy(true_loss(n, d), rng))] for n in SIZES for d in BUDGETS]
    names = {"params": "params", "tokens": "tokens", "loss": "loss"}
    return Sheet("grid", list(names.values()), rows, names)


def named(rng: random.Random) -> Sheet:
    """Return the same with one name per run, counted compute and a few settings."""
    sheet = grid(rng)
    sheet.add("run", [f"run-{i}" for i in range(30)], 0)
    flops = [6.3 * float(r[1]) * float(r[2]) for r in sheet.rows]
    sheet.add("flops", [f"{c:.6e}" for c in flops])
    sheet.add("optimizer", ["adamw"] * 30)
    sheet.names["flops"] = "flops"
    return replace(sheet, name="named")


def wandb(rng: random.Random) -> Sheet:
    """Return the table of runs as the W&B page exports it."""
    header = ["Name", "State", "Created", "Runtime", "lr", "n_params", "tokens", "train/loss", "eval/loss"]
    rows = []
    for i, (n, d) in enumerate((n, d) for n in SIZES for d in BUDGETS):
        loss, created = _noisy(true_loss(n, d), rng), f"2026-03-{i + 1:02d}T10:00:00.000Z"
        lr = f"{3e-3 * (n / 1e7) ** -0.3:.4g}"
        cells = [f"brisk-{i}", "finished", created, str(3600 + i), lr, str(n), str(d)]
        rows.append([*cells, repr(loss * 0.98), repr(loss)])
    names = {"params": "n_params", "tokens": "tokens", "loss": "eval/loss"}
    return Sheet("wandb", header, rows, names, "loss=eval/loss", quoting=csv.QUOTE_ALL)


def checkpoints(rng: random.Random) -> Sheet:
    """Return 12 checkpoints of each of 7 runs; the last of each is a run of the law."""
    rows = []
    for i, (n, d) in enumerate(zip((*SIZES, SIZES[2]), (*BUDGETS, BUDGETS[0], BUDGETS[1]), strict=True)):
        last = _noisy(true_loss(n, d), rng)
        for k in range(1, 13):
            share = k / 12
            loss = last if k == 12 else true_loss(n, d * share) * 1.05
            rows.append([f"run-{i}", str(n), str(int(d * share)), str(1000 * k), repr(loss)])
    names = {"params": "params", "tokens": "tokens", "loss": "val_loss"}
    return Sheet("checkpoints", ["run_name", "params", "tokens", "step", "val_loss"], rows, names)


def recipes(rng: random.Random) -> Sheet:
    """Return two optimizers on one grid."""
    rows = []
    for word, factor in (("adamw", 1.0), ("muon", 0.9)):
        for n in SIZES[:5]:
            rows += [[word, str(n), str(d), repr(_noisy(factor * true_loss(n, d), rng))] for d in BUDGETS[:4]]
    names = {"params": "params", "tokens": "tokens", "loss": "loss"}
    return Sheet("recipes", ["optimizer", "params", "tokens", "loss"], rows, names)


def seeds(rng: random.Random) -> Sheet:
    """Return three seeds of each of 12 cells."""
    rows = [
        [str(n), str(d), str(s), repr(_noisy(true_loss(n, d), rng))]
        for n in SIZES[:4]
        for d in BUDGETS[:3]
        for s in range(3)
    ]
    names = {"params": "params", "tokens": "tokens", "loss": "loss"}
    return Sheet("seeds", ["params", "tokens", "seed", "loss"], rows, names)


def repeated(rng: random.Random) -> Sheet:
    """Return runs on one corpus of a billion tokens, up to 30 epochs, whose losses rise in the end."""
    rows = []
    for n in SIZES[:5]:
        for d in BUDGETS:
            epochs = max(1.0, d / 1e9)
            seen = 1e9 * (1 + 8 * (1 - math.exp(-(epochs - 1) / 8))) if d > 1e9 else d
            rise = 1 + 0.002 * max(0.0, epochs - 8) * math.log10(n / 1e7)
            rows.append([str(n), str(d), f"{epochs:.4g}", repr(_noisy(rise * true_loss(n, seen), rng))])
    names = {"params": "params", "tokens": "tokens", "loss": "loss"}
    return Sheet("repeated", ["params", "tokens", "epochs", "loss"], rows, names)


def frontier(rng: random.Random) -> Sheet:
    """Return the best loss at each of 12 budgets of compute."""
    budgets = np.geomspace(1e18, 1e22, 12)
    rows = [[f"{c:.4e}", repr(_noisy(1.7 + 120 * c**-0.1, rng))] for c in budgets.tolist()]
    return Sheet("frontier", ["flops", "loss"], rows, {"flops": "flops", "loss": "loss"}, law="frontier")


def curve(rng: random.Random) -> Sheet:
    """Return the error of a classifier at 14 numbers of examples."""
    examples = [round(100 * 2**k) for k in range(14)]
    rows = [[str(x), repr(_noisy(0.1 + 4 * x**-0.4, rng))] for x in examples]
    names = {"x": "examples", "loss": "error"}
    return Sheet("curve", ["examples", "error"], rows, names, "x=examples loss=error", law="power")


TABLES: tuple[Callable[[random.Random], Sheet], ...] = (
    *(grid, named, wandb, checkpoints, recipes, seeds, repeated, frontier, curve),
)

# --- mutations: rows -------------------------------------------------------------------------------------

Mutation = Callable[[Sheet, random.Random], None]
MUTATIONS: dict[str, Mutation] = {}


class NotHere(Exception):
    """The mutation makes no sense on this table."""


def mutation(change: Mutation) -> Mutation:
    """Register a kind of change under its own name."""
    MUTATIONS[change.__name__] = change
    return change


def _copies(sheet: Sheet, rng: random.Random) -> list[list[str]]:
    return [list(row) for row in rng.sample(sheet.rows, rng.randint(2, max(2, len(sheet.rows) // 3)))]


@mutation
def repeat_rows(sheet: Sheet, rng: random.Random) -> None:
    sheet.rows += _copies(sheet, rng) * rng.randint(1, 3)


@mutation
def repeat_rows_under_new_ids(sheet: Sheet, rng: random.Random) -> None:
    if "run" not in sheet.header:
        sheet.add("run", [f"r{i}" for i in range(len(sheet.rows))], 0)
    at = sheet.header.index("run")
    for k, row in enumerate(_copies(sheet, rng)):
        row[at] = f"again-{k}"
        sheet.rows.append(row)


@mutation
def repeat_rows_of_an_index(sheet: Sheet, rng: random.Random) -> None:
    sheet.rows += _copies(sheet, rng)
    sheet.add(rng.choice(["", "index", "Unnamed: 0"]), [str(i) for i in range(len(sheet.rows))], 0)


@mutation
def repeat_rows_with_noise(sheet: Sheet, rng: random.Random) -> None:
    for row in _copies(sheet, rng):
        row[sheet.at("loss")] = repr(float(row[sheet.at("loss")]) * (1 + 1e-12))
        sheet.rows.append(row)


@mutation
def repeat_rows_rounded(sheet: Sheet, rng: random.Random) -> None:
    for row in _copies(sheet, rng):
        row[sheet.at("loss")] = f"{float(row[sheet.at('loss')]):.{rng.randint(4, 6)}f}"
        sheet.rows.append(row)


@mutation
def repeat_rows_with_spaces(sheet: Sheet, rng: random.Random) -> None:
    sheet.rows += [[f" {cell}  " for cell in row] for row in _copies(sheet, rng)]


@mutation
def repeat_rows_in_other_forms(sheet: Sheet, rng: random.Random) -> None:
    for row in _copies(sheet, rng):
        for name in sheet.sizes:
            row[sheet.at(name)] = f"{float(row[sheet.at(name)]):.12e}"
        sheet.rows.append(row)


@mutation
def concatenate_twice(sheet: Sheet, rng: random.Random) -> None:
    sheet.rows += [list(row) for row in sheet.rows]


@mutation
def repeat_rows_of_two_exports(sheet: Sheet, rng: random.Random) -> None:
    """Two exports of one table, told apart by a column of the day."""
    again = _copies(sheet, rng)
    days = ["2026-03-01"] * len(sheet.rows) + ["2026-03-02"] * len(again)
    sheet.rows += again
    sheet.add(rng.choice(["exported", "date", "source_file"]), days)


@mutation
def shuffle(sheet: Sheet, rng: random.Random) -> None:
    rng.shuffle(sheet.rows)


@mutation
def summary_row(sheet: Sheet, rng: random.Random) -> None:
    word, use = rng.choice(
        [("mean", np.mean), ("total", np.sum), ("average", np.mean), ("max", np.max), ("median", np.median)]
    )
    cells = []
    for j in range(len(sheet.header)):
        try:
            cells.append(f"{float(use([float(row[j]) for row in sheet.rows])):.10g}")
        except ValueError:
            cells.append("")
    if rng.random() < 0.5 and "" in cells:
        cells[cells.index("")] = word
    sheet.rows += [[""] * len(cells), cells] if rng.random() < 0.3 else [cells]


@mutation
def named_summary_rows(sheet: Sheet, rng: random.Random) -> None:
    """`describe()` of pandas written below the table."""
    if "run" not in sheet.header:
        sheet.add("run", [f"r{i}" for i in range(len(sheet.rows))], 0)
    at = sheet.header.index("run")
    for word, use in (("mean", np.mean), ("std", np.std), ("min", np.min), ("max", np.max)):
        cells = []
        for j in range(len(sheet.header)):
            try:
                cells.append(repr(float(use([float(row[j]) for row in sheet.rows[: len(sheet.rows)]]))))
            except ValueError:
                cells.append("")
        cells[at] = word
        sheet.rows.append(cells)
        if rng.random() < 0.4:
            break


@mutation
def second_header(sheet: Sheet, rng: random.Random) -> None:
    sheet.rows.insert(rng.randrange(1, len(sheet.rows)), list(sheet.header))


@mutation
def second_header_in_another_order(sheet: Sheet, rng: random.Random) -> None:
    """Two files of one kind after one another, whose columns stand in different orders."""
    order = list(range(len(sheet.header)))
    while order == sorted(order):
        rng.shuffle(order)
    at = rng.randrange(len(sheet.rows) // 3, 2 * len(sheet.rows) // 3)
    turned = [[row[j] for j in order] for row in [sheet.header, *sheet.rows[at:]]]
    sheet.rows = [*sheet.rows[:at], *turned]


@mutation
def units_row(sheet: Sheet, rng: random.Random) -> None:
    units = {"params": "count", "tokens": "count", "flops": "FLOP", "loss": "nats/token", "x": "count"}
    mine = {sheet.names[name]: unit for name, unit in units.items() if name in sheet.names}
    sheet.rows.insert(0, [mine.get(name, "") for name in sheet.header])


@mutation
def cut_end(sheet: Sheet, rng: random.Random) -> None:
    number = rng.randint(1, 12)
    sheet.texts.append(lambda text: text[:-number])


@mutation
def shifted_cells(sheet: Sheet, rng: random.Random) -> None:
    for row in sheet.some(rng, 2):
        at = rng.randrange(len(row))
        if rng.random() < 0.5:  # one cell too many, and the last is lost
            row[:] = [*row[:at], "", *row[at:-1]] if rng.random() < 0.5 else [*row[:at], "", *row[at:]]
        else:
            row[:] = [*row[:at], *row[at + 1 :], *([""] if rng.random() < 0.5 else [])]


@mutation
def blank_lines_and_comments(sheet: Sheet, rng: random.Random) -> None:
    extra = rng.choice(["\n", "# a comment\n", "\n\n", "#,,,\n"])

    def change(text: str) -> str:
        lines = text.splitlines(keepends=True)
        lines.insert(rng.randrange(1, len(lines)), extra)
        return "".join(lines)

    sheet.texts.append(change)


@mutation
def crashed_runs(sheet: Sheet, rng: random.Random) -> None:
    if "State" in sheet.header:
        raise NotHere
    cells = ["finished"] * len(sheet.rows)
    for i in rng.sample(range(len(cells)), 4):
        cells[i] = rng.choice(["crashed", "failed", "killed", "running"])
        sheet.rows[i][sheet.at("loss")] = repr(float(sheet.rows[i][sheet.at("loss")]) * 1.3)
    sheet.add(rng.choice(["State", "run_state", "status", "job status"]), cells)


SAYINGS = (  # column, what it says of a run that has a result, and of one that has none
    *(("exit_code", "0", "137"), ("ExitCode", "0:0", "1:0"), ("returncode", "0", "-9")),
    *(("done", "True", "False"), ("is_converged", "yes", "no"), ("sys/failed", "0", "1")),
    *(("nan", "False", "True"), ("has_diverged", "", "x"), ("early_stopped", "FALSE", "TRUE")),
    *(("outcome", "success", "oom"), ("result", "ok", "error"), ("trial_status", "TERMINATED", "ERROR")),
    *(("STAT", "DONE", "EXIT"), ("sys/state", "Inactive", "Active"), ("final_state", "COMPLETE", "PRUNED")),
    *(("error", "", "CUDA out of memory"), ("stop_reason", "max_steps", "killed")),
)


@mutation
def runs_that_say_they_failed(sheet: Sheet, rng: random.Random) -> None:
    name, good, bad = rng.choice(SAYINGS)
    cells = [good] * len(sheet.rows)
    for i in rng.sample(range(len(cells)), 3):
        cells[i] = bad
        sheet.rows[i][sheet.at("loss")] = repr(float(sheet.rows[i][sheet.at("loss")]) * 1.3)
    sheet.add(name, cells)


@mutation
def columns_of_bookkeeping(sheet: Sheet, rng: random.Random) -> None:
    names = "python_version job_id partition Account node_ip pid eval_interval zero_stage out_dir started_at"
    for name in rng.sample(names.split(), 3):
        sheet.add(name, [rng.choice(["a1", "b2", "c3"]) for _ in sheet.rows])


@mutation
def names_of_a_tracker(sheet: Sheet, rng: random.Random) -> None:
    """MLflow writes `params.lr` and `metrics.loss`, Neptune `parameters/lr`, W&B `config.lr`."""
    if sheet.columns:
        raise NotHere
    settings, results = rng.choice(
        [("params.", "metrics."), ("parameters/", "metrics/"), ("config.", "summary.")]
    )
    for quantity, name in list(sheet.names.items()):
        theirs = {"params": "n_params"}.get(name, name)
        _rename(sheet, quantity, (results if quantity == "loss" else settings) + theirs)


@mutation
def powers_of_ten(sheet: Sheet, rng: random.Random) -> None:
    form = rng.choice(["{}×10^{}", "{} x 10^{}", r"${}\times 10^{{{}}}$", "{}*10**{}", "{} · 10^{}"])
    name = rng.choice(sheet.sizes)
    for row in sheet.rows if rng.random() < 0.7 else sheet.some(rng):
        mantissa, _, power = f"{float(row[sheet.at(name)]):.12e}".partition("e")
        row[sheet.at(name)] = form.format(mantissa, int(power))


@mutation
def uncertain_losses(sheet: Sheet, rng: random.Random) -> None:
    form = rng.choice(
        ["{} ± 0.003", "{} +/- 0.01", r"${} \pm 0.02$", "{} (0.003)", "**{}**", r"\textbf{{{}}}", "{}†"]
    )
    for row in sheet.rows if rng.random() < 0.7 else sheet.some(rng):
        row[sheet.at("loss")] = form.format(row[sheet.at("loss")])


@mutation
def suffixes_of_other_languages(sheet: Sheet, rng: random.Random) -> None:
    millions, billions = rng.choice(
        [("mn", "bn"), (" Mio.", " Mrd."), (" mln", " bln"), ("MM", "B"), ("M toks", "B toks")]
    )
    name = rng.choice([size for size in sheet.sizes if size in ("params", "tokens")] or ["x"])
    if name == "x":
        raise NotHere
    for row in sheet.rows:
        value = float(row[sheet.at(name)])
        row[sheet.at(name)] = f"{value / 1e9!r}{billions}" if value >= 1e9 else f"{value / 1e6!r}{millions}"


@mutation
def aligned_by_spaces(sheet: Sheet, rng: random.Random) -> None:
    if any(not cell or " " in cell for row in [sheet.header, *sheet.rows] for cell in row):
        raise NotHere
    gap = " " * rng.randint(1, 4)
    sheet.suffix, sheet.quoting = ".txt", csv.QUOTE_NONE
    sheet.texts.append(lambda text: text.replace(sheet.delimiter, gap))


@mutation
def rows_of_latex(sheet: Sheet, rng: random.Random) -> None:
    if "," not in sheet.text() or any("," in cell for row in sheet.rows for cell in row):
        raise NotHere
    sheet.suffix, sheet.quoting = ".txt", csv.QUOTE_NONE
    sheet.texts.append(
        lambda text: (
            "\\toprule\n"
            + text.replace(sheet.delimiter, " & ").replace(sheet.end, " \\\\\n")
            + "\\bottomrule\n"
        )
    )


@mutation
def counted_copies(sheet: Sheet, rng: random.Random) -> None:
    """Rows twice, with losses of few digits, behind a column that numbers them."""
    for row in sheet.rows:
        row[sheet.at("loss")] = f"{float(row[sheet.at('loss')]):.4g}"
    sheet.rows += _copies(sheet, rng)
    sheet.add(
        rng.choice(["row_nr", "No.", "rownames", "idx", "X"]), [str(i + 1) for i in range(len(sheet.rows))], 0
    )


@mutation
def diverged_runs(sheet: Sheet, rng: random.Random) -> None:
    """Runs that diverged, with the loss of a uniform guess."""
    for row in sheet.some(rng, 3):
        row[sheet.at("loss")] = rng.choice(["10.8", "11.2", "9.9"])


@mutation
def earlier_checkpoints(sheet: Sheet, rng: random.Random) -> None:
    """Every evaluation along each run, in the order of the file or shuffled."""
    if sheet.name not in ("grid", "named"):
        raise NotHere
    at, loss = sheet.at("tokens"), sheet.at("loss")
    if "run" not in sheet.header:
        sheet.add(rng.choice(["run_name", "experiment", "run"]), [f"r{i}" for i in range(len(sheet.rows))])
    rows = []
    for row in sheet.rows:
        for k in range(1, 11):
            early = list(row)
            if k < 10:
                early[at] = str(int(int(row[at]) * k / 10))
                early[loss] = repr(float(row[loss]) * (1 + 0.1 * (1 - k / 10)))
                if "flops" in sheet.names:
                    early[sheet.at("flops")] = repr(float(row[sheet.at("flops")]) * k / 10)
            rows.append(early)
    sheet.rows = rows
    if rng.random() < 0.5:
        rng.shuffle(sheet.rows)


CONDITIONS = ("recipe", "variant", "weight_decay", "is_new", "Method", "init", "precision", "mup", "group")
VALUES = (
    ("False", "True"),
    ("0", "1"),
    ("0.1", "0.0"),
    ("base", "ours"),
    ("1", "b"),
    ("", "new"),
    ("no", "yes"),
    ("", "1"),
    ("1e-3", "1e-4"),
    ("v1", "v2"),
)


@mutation
def second_recipe(sheet: Sheet, rng: random.Random) -> None:
    """The same grid again at another recipe, told apart by a column of any name and kind."""
    one, two = rng.choice(VALUES)
    cells = [one] * len(sheet.rows) + [two] * len(sheet.rows)
    again = [list(row) for row in sheet.rows]
    for row in again:
        row[sheet.at("loss")] = repr(float(row[sheet.at("loss")]) * 1.1)
    sheet.rows += again
    sheet.add(rng.choice(CONDITIONS), cells, rng.choice([None, 0]))


@mutation
def second_recipe_of_some(sheet: Sheet, rng: random.Random) -> None:
    """Half of the runs are of another recipe, in no order."""
    one, two = rng.choice(VALUES)
    cells = [rng.choice((one, two)) for _ in sheet.rows]
    for row, cell in zip(sheet.rows, cells, strict=True):
        if cell == two:
            row[sheet.at("loss")] = repr(float(row[sheet.at("loss")]) * 1.1)
    sheet.add(rng.choice(CONDITIONS), cells)


@mutation
def second_recipe_without_a_word(sheet: Sheet, rng: random.Random) -> None:
    """The same grid again at another recipe, and no column that says so."""
    again = [list(row) for row in sheet.rows]
    for row in again:
        row[sheet.at("loss")] = repr(float(row[sheet.at("loss")]) * 1.15)
    sheet.rows += again


@mutation
def rate_sweep(sheet: Sheet, rng: random.Random) -> None:
    if "lr" in sheet.header or sheet.name in ("checkpoints", "curve"):
        raise NotHere
    rows, rates = [], []
    for row in sheet.rows:
        for rate, excess in ((1e-4, 1.06), (3e-4, 1.02), (1e-3, 1.0), (3e-3, 1.03)):
            rows.append([*row])
            rows[-1][sheet.at("loss")] = repr(float(row[sheet.at("loss")]) * excess)
            rates.append(f"{rate:g}")
    sheet.rows = rows
    sheet.add(rng.choice(["lr", "learning_rate", "peak_lr"]), rates)


@mutation
def several_seeds(sheet: Sheet, rng: random.Random) -> None:
    if "seed" in sheet.header or sheet.name == "checkpoints":
        raise NotHere
    rows = []
    numbers = []
    for row in sheet.rows:
        for seed in range(3):
            rows.append(list(row))
            factor = 1.0 if seed == 0 else math.exp(rng.gauss(0, 0.002))
            rows[-1][sheet.at("loss")] = repr(float(row[sheet.at("loss")]) * factor)
            numbers.append(str(seed))
    sheet.rows = rows
    sheet.add(rng.choice(["seed", "random_seed", "rep"]), numbers)
    sheet.more = True


@mutation
def seeds_with_the_same_values(sheet: Sheet, rng: random.Random) -> None:
    """A seed that did nothing: three rows per run that agree to the last digit."""
    if "seed" in sheet.header or sheet.name == "checkpoints":
        raise NotHere
    sheet.rows = [list(row) for row in sheet.rows for _ in range(3)]
    sheet.add("seed", [str(i % 3) for i in range(len(sheet.rows))])


# --- mutations: cells ------------------------------------------------------------------------------------

SCALES = {"params": (1e3, 1e6, 1e9), "tokens": (1e6, 1e9), "flops": (1e12, 1e18), "x": (1e3,)}


def _scaled(sheet: Sheet, rows: list[list[str]], name: str, factor: float) -> None:
    for row in rows:
        row[sheet.at(name)] = repr(float(row[sheet.at(name)]) / factor)


@mutation
def some_rows_in_other_units(sheet: Sheet, rng: random.Random) -> None:
    name = rng.choice(sheet.sizes)
    _scaled(sheet, sheet.some(rng), name, rng.choice(SCALES[name]))


@mutation
def a_column_in_other_units(sheet: Sheet, rng: random.Random) -> None:
    name = rng.choice([n for n in sheet.sizes if n != "x"] or ["flops"])
    if name not in sheet.names:
        raise NotHere
    _scaled(sheet, sheet.rows, name, rng.choice(SCALES[name]))


@mutation
def every_size_in_other_units(sheet: Sheet, rng: random.Random) -> None:
    if not {"params", "tokens"} <= set(sheet.names):
        raise NotHere
    _scaled(sheet, sheet.rows, "params", 1e6)
    _scaled(sheet, sheet.rows, "tokens", rng.choice([1e6, 1e9]))


def _lossy(sheet: Sheet, rows: list[list[str]], how: str) -> None:
    at = sheet.at("loss")
    for row in rows:
        loss = float(row[at])
        changed = {"bits": loss / math.log(2), "ppl": math.exp(loss), "percent": 100 * loss}[how]
        row[at] = f"{changed:.4f}%" if how == "percent" else repr(changed)


@mutation
def some_losses_in_bits(sheet: Sheet, rng: random.Random) -> None:
    _lossy(sheet, sheet.some(rng), "bits")


@mutation
def some_losses_as_perplexity(sheet: Sheet, rng: random.Random) -> None:
    _lossy(sheet, sheet.some(rng), "ppl")


@mutation
def losses_as_perplexity(sheet: Sheet, rng: random.Random) -> None:
    if sheet.law != "chinchilla":
        raise NotHere
    _lossy(sheet, sheet.rows, "ppl")


@mutation
def some_losses_in_percent(sheet: Sheet, rng: random.Random) -> None:
    _lossy(sheet, sheet.some(rng), "percent")


def _grouped(value: float, mark: str) -> str:
    return f"{round(value):,}".replace(",", mark)


@mutation
def thousands_in_some_rows(sheet: Sheet, rng: random.Random) -> None:
    name, mark = rng.choice(sheet.sizes), rng.choice([",", ".", " ", "'", "_"])
    for row in sheet.some(rng):
        row[sheet.at(name)] = _grouped(float(row[sheet.at(name)]), mark)


@mutation
def thousands_in_a_column(sheet: Sheet, rng: random.Random) -> None:
    name, mark = rng.choice(sheet.sizes), rng.choice([",", ".", " ", "'", "_"])
    for row in sheet.rows:
        row[sheet.at(name)] = _grouped(float(row[sheet.at(name)]), mark)


@mutation
def decimal_commas_in_some_rows(sheet: Sheet, rng: random.Random) -> None:
    for row in sheet.some(rng):
        row[sheet.at("loss")] = row[sheet.at("loss")].replace(".", ",")


@mutation
def decimal_commas_of_three_digits(sheet: Sheet, rng: random.Random) -> None:
    """Losses of three decimals, some with a comma: 3,912 might be thousands."""
    at = sheet.at("loss")
    for row in sheet.rows:
        row[at] = f"{float(row[at]):.3f}"
    for row in sheet.some(rng, 30):
        row[at] = row[at].replace(".", ",")


@mutation
def decimal_commas_everywhere(sheet: Sheet, rng: random.Random) -> None:
    for row in sheet.rows:
        row[sheet.at("loss")] = row[sheet.at("loss")].replace(".", ",")
    sheet.delimiter = rng.choice([";", "\t", ","])


def _suffixed(value: float, letters: str = "KMBT") -> str:
    power = min(4, max(1, int(math.log10(max(value, 1000)) // 3)))
    return f"{value / 1000**power:.6g}{letters[power - 1]}"


@mutation
def suffixes_in_some_rows(sheet: Sheet, rng: random.Random) -> None:
    name = rng.choice(sheet.sizes)
    for row in sheet.some(rng):
        row[sheet.at(name)] = _suffixed(float(row[sheet.at(name)]), rng.choice(["KMBT", "kmbt", "KMGT"]))


@mutation
def suffixes_in_a_column(sheet: Sheet, rng: random.Random) -> None:
    name = rng.choice([n for n in sheet.sizes if n != "flops"] or sheet.sizes)
    for row in sheet.rows:
        row[sheet.at(name)] = _suffixed(float(row[sheet.at(name)]))


@mutation
def a_suffix_of_two_meanings(sheet: Sheet, rng: random.Random) -> None:
    """1.2G and 35Mi: a power of 1024 is not a power of 1000."""
    name = rng.choice(sheet.sizes)
    for row in sheet.some(rng):
        row[sheet.at(name)] = f"{float(row[sheet.at(name)]) / 2**20:.6g}Mi"


BAD_CELLS = ("", "NaN", "nan", "inf", "-inf", "0", "-1", "-3.2", "N/A", "None", "oops", "#N/A", "#DIV/0!")
BAD_CELLS += ("--", "?", "TBD", "1e999", "OOM", "see note", "#REF!", "null", "True", "FALSE", "*", "1e400")


@mutation
def bad_cells(sheet: Sheet, rng: random.Random) -> None:
    for row in sheet.some(rng):
        row[sheet.at(rng.choice(list(sheet.names)))] = rng.choice(BAD_CELLS)


@mutation
def sentinels(sheet: Sheet, rng: random.Random) -> None:
    """Numbers that stand for nothing: 999, 99.99, 1e30."""
    name = rng.choice(list(sheet.names))
    word = rng.choice(["999", "9999", "99.99", "1e30", "1e-30", "123456789012345678901234567890"])
    for row in sheet.some(rng):
        row[sheet.at(name)] = word


@mutation
def decorated_losses(sheet: Sheet, rng: random.Random) -> None:
    form = rng.choice(["{} nats", "~{}", "<{}", "{}*", "{} ± 0.01", "{} (0.02)", "≈{}", "${}$", "**{}**"])
    at = sheet.at("loss")
    for row in sheet.rows if rng.random() < 0.4 else sheet.some(rng):
        row[at] = form.format(row[at])


@mutation
def decorated_sizes(sheet: Sheet, rng: random.Random) -> None:
    form = rng.choice(["~{}", "{} params", "'{}", "={}", "={}*1", "{}+", ">{}", "{}.", "+{}", "${}"])
    name = rng.choice(sheet.sizes)
    for row in sheet.rows if rng.random() < 0.4 else sheet.some(rng):
        row[sheet.at(name)] = form.format(row[sheet.at(name)])


@mutation
def formulas(sheet: Sheet, rng: random.Random) -> None:
    for row in sheet.some(rng):
        cell = rng.choice(["=1+1", "=SUM(A1:A9)", "=cmd|' /C calc'!A0", "@SUM(1)", "+1+1"])
        row[sheet.at(rng.choice(list(sheet.names)))] = cell


@mutation
def dates_for_numbers(sheet: Sheet, rng: random.Random) -> None:
    """A spreadsheet made dates of some cells: 1-2 is a day, 3.5 a day in other countries."""
    for row in sheet.some(rng):
        cell = rng.choice(["2-Jan", "Jan-02", "2026-01-02", "01/02/2026", "2026-05-03 00:00:00", "45293"])
        row[sheet.at(rng.choice(list(sheet.names)))] = cell


@mutation
def rounded_by_a_spreadsheet(sheet: Sheet, rng: random.Random) -> None:
    """1207959552 saved as shown: 1.21E+09."""
    digits = rng.choice([2, 2, 3])
    for name in sheet.sizes:
        for row in sheet.rows:
            row[sheet.at(name)] = f"{float(row[sheet.at(name)]):.{digits}E}"


@mutation
def rounded_to_one_digit(sheet: Sheet, rng: random.Random) -> None:
    """A narrow column of a spreadsheet: 1.5e9 is shown, and saved, as 2E+09."""
    name = rng.choice(sheet.sizes)
    for row in sheet.rows:
        row[sheet.at(name)] = f"{float(row[sheet.at(name)]):.0E}"


@mutation
def too_narrow_for_a_number(sheet: Sheet, rng: random.Random) -> None:
    for row in sheet.some(rng):
        row[sheet.at(rng.choice(sheet.sizes))] = "#######"


@mutation
def digits_of_other_scripts(sheet: Sheet, rng: random.Random) -> None:
    table = str.maketrans("0123456789", rng.choice(["０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९"]))
    for row in sheet.some(rng):
        at = sheet.at(rng.choice(list(sheet.names)))
        row[at] = row[at].translate(table)


@mutation
def letters_for_digits(sheet: Sheet, rng: random.Random) -> None:
    """Read off a picture: O for 0, l for 1."""
    for row in sheet.some(rng):
        at = sheet.at(rng.choice(list(sheet.names)))
        row[at] = row[at].replace("0", "O").replace("1", "l")


@mutation
def long_cells(sheet: Sheet, rng: random.Random) -> None:
    for row in sheet.some(rng, 2):
        row[sheet.at(rng.choice(list(sheet.names)))] = rng.choice(
            ["9" * 5000, "x" * 100_000, "1" + "0" * 400]
        )


@mutation
def swapped_cells(sheet: Sheet, rng: random.Random) -> None:
    """Cells of one row in each other's place."""
    if len(sheet.names) < 3:
        raise NotHere
    for row in sheet.some(rng, 2):
        one, two = (sheet.at(name) for name in rng.sample(list(sheet.names), 2))
        row[one], row[two] = row[two], row[one]


@mutation
def swapped_columns(sheet: Sheet, rng: random.Random) -> None:
    if len(sheet.names) < 3 or sheet.columns:
        raise NotHere
    one, two = (sheet.at(name) for name in rng.sample(list(sheet.names), 2))
    for row in sheet.rows:
        row[one], row[two] = row[two], row[one]


@mutation
def merged_cells(sheet: Sheet, rng: random.Random) -> None:
    """A spreadsheet writes a merged cell once: the rows below it are empty there."""
    at = sheet.at(sheet.sizes[0])
    before = ""
    for row in sheet.rows:
        before, row[at] = row[at], "" if row[at] == before else row[at]


@mutation
def ditto_marks(sheet: Sheet, rng: random.Random) -> None:
    at = sheet.at(sheet.sizes[0])
    before = ""
    for row in sheet.rows:
        before, row[at] = row[at], '"' if row[at] == before else row[at]


@mutation
def several_values_in_a_cell(sheet: Sheet, rng: random.Random) -> None:
    at = sheet.at("loss")
    for row in sheet.some(rng):
        row[at] = rng.choice(["{0}/{0}", "{0};{0}", "[{0}, {0}]", "{0} {0}", "{0}\n{0}", "{0}, {0}"]).format(
            row[at]
        )


@mutation
def escapes(sheet: Sheet, rng: random.Random) -> None:
    for row in sheet.some(rng):
        at = sheet.at(rng.choice(list(sheet.names)))
        row[at] = rng.choice(["\x1b[31m{}\x1b[0m", "{}\x07", "\u202e{}", "{}\u200b", "{}\x00"]).format(
            row[at]
        )


# --- mutations: columns ----------------------------------------------------------------------------------

ALIASES = {
    "params": ("N", "Params", "n_params", "PARAMETERS", "Model Size", "num_params", "non-embedding params"),
    "tokens": ("D", "Tokens", "n_tokens", "train tokens", "TOKENS_SEEN", "Training Tokens"),
    "flops": ("C", "FLOPs", "Training FLOP", "compute", "total_flops"),
    "loss": ("L", "Loss", "val_loss", "Validation Loss", "eval_loss", "test/loss", "final val loss"),
}


def _rename(sheet: Sheet, name: str, theirs: str) -> None:
    if (sheet.columns and sheet.names[name] in sheet.columns) or theirs in sheet.header:
        raise NotHere
    sheet.header[sheet.at(name)] = theirs
    sheet.names[name] = theirs


@mutation
def renamed_columns(sheet: Sheet, rng: random.Random) -> None:
    for name in sheet.names:
        if name in ALIASES:
            _rename(sheet, name, rng.choice(ALIASES[name]))


UNIT_NAMES = {
    "params": (
        *(("params (M)", 1e6), ("params_M", 1e6), ("Params (B)", 1e9), ("N (millions)", 1e6)),
        *(("params_millions", 1e6), ("model_size_b", 1e9), ("N [1e6]", 1e6), ("params (x1e6)", 1e6)),
        *(("Parameters, M", 1e6), ("mparams", 1e6), ("params in billions", 1e9)),
    ),
    "tokens": (
        *(("tokens (B)", 1e9), ("tokens_b", 1e9), ("Tokens (billions)", 1e9), ("D (B)", 1e9)),
        *(("train_tokens_m", 1e6), ("tokens_T", 1e12), ("Gtokens", 1e9), ("tokens / 1e9", 1e9)),
    ),
    "flops": (("flops (1e18)", 1e18), ("pflops", 1e15), ("compute_zflop", 1e21), ("EFLOP", 1e18)),
}


@mutation
def units_in_a_name(sheet: Sheet, rng: random.Random) -> None:
    name = rng.choice([n for n in sheet.names if n in UNIT_NAMES] or ["x"])
    if name not in UNIT_NAMES:
        raise NotHere
    theirs, factor = rng.choice(UNIT_NAMES[name])
    _scaled(sheet, sheet.rows, name, factor)
    _rename(sheet, name, theirs)


@mutation
def bits_in_a_name(sheet: Sheet, rng: random.Random) -> None:
    _lossy(sheet, sheet.rows, "bits")
    _rename(sheet, "loss", rng.choice(["Loss (bits)", "loss_bits", "val_loss (bits/token)", "loss [bits]"]))


@mutation
def logarithms(sheet: Sheet, rng: random.Random) -> None:
    name = rng.choice(sheet.sizes)
    if name == "x":  # in any unit
        raise NotHere
    for row in sheet.rows:
        row[sheet.at(name)] = repr(math.log10(float(row[sheet.at(name)])))
    if rng.random() < 0.6:
        _rename(sheet, name, f"log10_{name}")


@mutation
def more_columns(sheet: Sheet, rng: random.Random) -> None:
    n = len(sheet.rows)
    columns = {
        "framework": ["torch"] * n,
        "uuid": [f"{rng.getrandbits(64):016x}" for _ in range(n)],
        "grad_norm": [f"{rng.gauss(1, 0.1):.4f}" for _ in range(n)],
        "notes": [rng.choice(["", "", "", "rerun"]) for _ in range(n)],
        "finished_at": [f"2026-02-{1 + i % 28:02d} 12:{i % 60:02d}:00" for i in range(n)],
        "steps": [str(1000 + 10 * i) for i in range(n)],
        "gpu": [rng.choice(["H100", "A100"]) for _ in range(n)],
        "tokens_per_sec": [f"{rng.uniform(1e5, 2e5):.1f}" for _ in range(n)],
    }
    for name in rng.sample(list(columns), 3):
        if name not in sheet.header:
            sheet.add(name, columns[name], rng.choice([None, 0]))


@mutation
def columns_in_another_order(sheet: Sheet, rng: random.Random) -> None:
    order = list(range(len(sheet.header)))
    rng.shuffle(order)
    sheet.header = [sheet.header[j] for j in order]
    sheet.rows = [[row[j] if j < len(row) else "" for j in order] for row in sheet.rows]


@mutation
def a_name_twice(sheet: Sheet, rng: random.Random) -> None:
    name = rng.choice(list(sheet.names))
    cells = [row[sheet.at(name)] for row in sheet.rows]
    if rng.random() < 0.5:
        cells = [repr(float(cell) * 1.5) for cell in cells]
    sheet.add(sheet.names[name], cells)


@mutation
def two_candidates(sheet: Sheet, rng: random.Random) -> None:
    name = rng.choice([n for n in sheet.names if n in ALIASES])
    theirs = rng.choice([n for n in ALIASES[name] if n not in sheet.header])
    factor = rng.choice([1.0, 1.02, 1.5])
    sheet.add(
        theirs, [repr(float(row[sheet.at(name)]) * factor) for row in sheet.rows], rng.choice([None, 0])
    )


@mutation
def with_embeddings_too(sheet: Sheet, rng: random.Random) -> None:
    if "params" not in sheet.names:
        raise NotHere
    cells = [f"{float(row[sheet.at('params')]) * 1.3:.0f}" for row in sheet.rows]
    sheet.add(rng.choice(["N_total", "total_params", "params_with_embedding", "n_params_emb"]), cells, 0)


@mutation
def tokens_in_billions_too(sheet: Sheet, rng: random.Random) -> None:
    if "tokens" not in sheet.names:
        raise NotHere
    cells = [f"{float(row[sheet.at('tokens')]) / 1e9:g}" for row in sheet.rows]
    sheet.add(rng.choice(["tokens_b", "total tokens", "D", "num_tokens_B", "tokens (B)"]), cells, 0)


@mutation
def a_training_loss_too(sheet: Sheet, rng: random.Random) -> None:
    cells = [repr(float(row[sheet.at("loss")]) * 0.95) for row in sheet.rows]
    theirs = rng.choice(["train_loss", "train/loss", "training loss", "smooth loss", "loss_ema", "ppl"])
    if theirs not in sheet.header:
        sheet.add(theirs, cells, rng.choice([None, 0]))


@mutation
def an_index(sheet: Sheet, rng: random.Random) -> None:
    first = rng.choice([0, 1])
    sheet.add(
        rng.choice(["", "index", "Unnamed: 0", "#"]), [str(i + first) for i in range(len(sheet.rows))], 0
    )


@mutation
def no_header(sheet: Sheet, rng: random.Random) -> None:
    sheet.texts.append(lambda text: text.partition("\n")[2])


@mutation
def untidy_header(sheet: Sheet, rng: random.Random) -> None:
    for name in sheet.names:
        if not sheet.columns:
            theirs = rng.choice([" {} ", "{}\n", "{}  ", '"{}"', "{}\u00a0", "{}*", "\ufeff{}", "{}:"])
            _rename(sheet, name, theirs.format(sheet.names[name]))


@mutation
def transposed(sheet: Sheet, rng: random.Random) -> None:
    lines = [sheet.header, *sheet.rows]
    sheet.header, *sheet.rows = [list(column) for column in zip(*lines, strict=True)]


# --- mutations: the file ---------------------------------------------------------------------------------


@mutation
def other_encoding(sheet: Sheet, rng: random.Random) -> None:
    sheet.encoding = rng.choice(["utf-8-sig", "utf-16", "latin-1", "cp1252"])
    if sheet.encoding in ("latin-1", "cp1252"):
        sheet.add("author", ["Müller"] * len(sheet.rows))


@mutation
def other_line_ends(sheet: Sheet, rng: random.Random) -> None:
    sheet.end = rng.choice(["\r\n", "\r"])


@mutation
def other_quotes(sheet: Sheet, rng: random.Random) -> None:
    sheet.quoting = rng.choice([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])


@mutation
def other_delimiter(sheet: Sheet, rng: random.Random) -> None:
    sheet.delimiter = rng.choice([";", "\t", "|"])


@mutation
def other_format(sheet: Sheet, rng: random.Random) -> None:
    sheet.suffix = rng.choice([".json", ".jsonl", ".csv.gz", ".txt", ".tsv"])


@mutation
def a_title_above(sheet: Sheet, rng: random.Random) -> None:
    title = rng.choice(["Scaling runs 2026\n", "Table 3: all runs\n\n", "# runs of March\n", "runs,,\n"])
    sheet.texts.append(lambda text: title + text)


@mutation
def a_footnote_below(sheet: Sheet, rng: random.Random) -> None:
    note = rng.choice(
        ["* rerun\n", "Source: our cluster, 2026\n", "Total: 30 runs\n", "(1) without dropout\n"]
    )
    sheet.texts.append(lambda text: text + note)


@mutation
def markdown(sheet: Sheet, rng: random.Random) -> None:
    sheet.rows.insert(0, ["---"] * len(sheet.header))
    sheet.delimiter = "|"
