"""Tables in the words of trackers, schedulers and papers: read, or refused with what to type."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.table import RunTable, load_runs, split_comparable
from analysis.table.decorations import undecorate

SIZES = (12_582_912, 35_389_440, 85_000_000, 201_326_592, 503_316_480)
BUDGETS = (320_000_000, 1_100_000_000, 3_400_000_000)
BAD = {2: 0, 7: 1, 11: 2}  # row → which of the words for a failure


def loss_of(n: float, d: float) -> float:
    return float(1.69 + 406.4 / n**0.34 + 410.7 / d**0.28)


GRID = [(n, d, loss_of(n, d)) for n in SIZES for d in BUDGETS]


def table_of(folder: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], name: str = "t.csv") -> Path:
    quoted = ([f'"{cell}"' for cell in row] for row in [header, *rows])
    path = folder / name
    path.write_text("".join(",".join(row) + "\n" for row in quoted), encoding="utf-8")
    return path


def check(table: RunTable, tolerance: float = 1e-6) -> None:
    """Every run of the grid, with its numbers."""
    rows = table.rows.sort_values(["params", "tokens"])
    for name, k in (("params", 0), ("tokens", 1), ("loss", 2)):
        assert rows[name].tolist() == pytest.approx([row[k] for row in GRID], rel=tolerance)


@pytest.mark.parametrize(
    ("column", "good", "bad", "kind"),
    [
        ("exit_code", "0", ("1", "137", "-9"), "failed"),
        ("ExitCode", "0:0", ("1:0", "0:9", "0:125"), "failed"),
        ("returncode", "0.0", ("1.0", "-11.0"), "failed"),
        ("exit_status", "", ("1", "139"), ""),  # no zero: the empty cells are no failures
        ("done", "True", ("False",), "failed"),
        ("converged", "yes", ("no",), "failed"),
        ("terminated", "FALSE", ("TRUE",), "failed"),
        ("sys/failed", "0", ("1",), "failed"),
        ("early_stopped", "", ("x",), "failed"),
        ("has_nan", "False", ("True",), "diverged"),
        ("nan", "0", ("1",), "diverged"),
        ("outcome", "success", ("failure", "oom", "timeout"), "failed"),
        ("result", "ok", ("error", "oom"), "failed"),
        ("STAT", "DONE", ("EXIT", "PEND"), ""),
        ("State", "COMPLETED", ("CANCELLED by 1000", "OUT_OF_ME+", "NODE_FAIL"), "failed"),
        ("trial_status", "TERMINATED", ("ERROR", "PENDING"), ""),
        ("sys/state", "Inactive", ("Active",), "missing"),
        ("state", "COMPLETE", ("PRUNED", "FAIL"), "failed"),
        ("finish_reason", "max_steps", ("oom", "killed"), "failed"),
        ("error", "", ("CUDA out of memory", "NCCL timeout"), "failed"),
        ("exception", "None", ("ValueError: nan",), "failed"),
    ],
)
def test_a_run_that_says_it_failed_is_no_arm(
    tmp_path: Path, column: str, good: str, bad: tuple[str, ...], kind: str
) -> None:
    rows = [
        [n, d, loss * (1.12 if i in BAD else 1), bad[BAD[i] % len(bad)] if i in BAD else good]
        for i, (n, d, loss) in enumerate(GRID)
    ]
    path = table_of(tmp_path, ["params", "tokens", "loss", column], rows)
    table = load_runs(path)
    assert len(table) == len(GRID) - len(BAD)
    assert not kind or table.counts[kind] == len(BAD)
    assert len(split_comparable(table)) == 1
    typed = next(note for note in table.notes if "status=none" in note).partition(" fits")[0]
    assert len(load_runs(path, shlex.split(typed)[1:])) == len(GRID), "the advice works when typed"


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("error", [f"{0.1 + i / 50:.2f}" for i in range(15)]),  # a measurement
        ("done", ["True"] * 15),
        ("failed", ["True"] * 15),  # not believed: nothing would be left
        ("state", ["CA", "NY", "TX"] * 5),
        ("schedule", ["complete"] * 15),
    ],
)
def test_columns_that_say_nothing_of_failures(tmp_path: Path, column: str, cells: list[str]) -> None:
    rows = [[*row, cell] for row, cell in zip(GRID, cells, strict=True)]
    check(load_runs(table_of(tmp_path, ["params", "tokens", "loss", column], rows)))


def test_one_of_several_columns_is_enough(tmp_path: Path) -> None:
    rows = [
        [*row, "crashed" if i == 2 else "finished", i in (2, 7), "1:0" if i == 11 else "0:0"]
        for i, row in enumerate(GRID)
    ]
    table = load_runs(table_of(tmp_path, ["params", "tokens", "loss", "State", "diverged", "ExitCode"], rows))
    assert table.counts == {"used": 12, "quarantined": 0, "diverged": 1, "failed": 2, "missing": 0}
    mapped = load_runs(tmp_path / "t.csv", "status=State")
    assert len(mapped) == 14, "what is mapped is the only one"
    with pytest.raises(ValueError, match=r"status=loss holds .* which is not the state of a run"):
        load_runs(tmp_path / "t.csv", "status=loss")


@pytest.mark.parametrize(
    "name",
    [
        "python_version",
        "tags.mlflow.user",
        "slurm_job_id",
        "partition",
        "Account",
        "NodeList",
        "pid",
        "node_ip",
        "started_at",
        "QOS",
        "eval_interval",
        "log_every",
        "tensor_parallel_size",
        "zero_stage",
        "out_dir",
        "gradient_checkpointing",
    ],
)
def test_where_and_how_a_run_was_made_is_no_recipe(tmp_path: Path, name: str) -> None:
    rows = [[*row, "ab"[i * i % 7 % 2]] for i, row in enumerate(GRID)]
    table = load_runs(table_of(tmp_path, ["params", "tokens", "loss", name], rows))
    assert len(split_comparable(table)) == 1


@pytest.mark.parametrize(
    ("params", "tokens"),
    [
        (lambda n: f"{n / 1e6!r}mn", lambda d: f"{d / 1e9!r}bn"),
        (lambda n: f"{n / 1e6!r} Mio.", lambda d: f"{d / 1e9!r} Mrd."),
        (lambda n: f"{n / 1e6!r}M param.", lambda d: f"{d / 1e9!r}B toks"),
        (lambda n: f"{n / 1e6!r}×10^6", lambda d: f"{d / 1e9!r} x 10⁹"),
        (lambda n: rf"${n / 1e6!r}\times 10^{{6}}$", lambda d: rf"$\mathbf{{{d / 1e9!r}}} \cdot 10^9$"),
        (lambda n: f"{n / 1e6!r}*1e6", lambda d: f"{d / 1e9!r}*10**9"),
        (lambda n: f"~{n / 1e6!r}M", lambda d: f"**{d}**"),
    ],
)
def test_sizes_as_papers_and_people_write_them(
    tmp_path: Path, params: Callable[[int], str], tokens: Callable[[int], str]
) -> None:
    rows = [[params(n), tokens(d), loss] for n, d, loss in GRID]
    table = load_runs(table_of(tmp_path, ["params", "tokens", "loss"], rows))
    check(table)
    assert any(note.startswith("params: read ") for note in table.notes)


@pytest.mark.parametrize(
    "written",
    [
        "{:.6f} ± 0.003",
        r"${:.6f} \pm 0.003$",
        "{:.6f} +/- 0.003",
        "{:.6f}(30)",
        "{:.6f} (0.003)",
        "{:.6f} nats/token",
        "{:.6f}†",
        r"\textbf{{{:.6f}}}",
        '=""{:.6f}""',
        "'{:.6f}",
    ],
)
def test_losses_with_something_round_them(tmp_path: Path, written: str) -> None:
    rows = [[n, d, written.format(loss)] for n, d, loss in GRID]
    table = load_runs(table_of(tmp_path, ["params", "tokens", "val_loss"], rows))
    check(table)
    assert any(note.startswith("loss: read ") for note in table.notes)


@pytest.mark.parametrize("text", ["2.31 (best)", "10", "1e3*2e3", "±0.1", "~", "$", "2.3 ± x", "**"])
def test_other_texts_are_left_as_they_are(text: str) -> None:
    assert undecorate(text, False) == (text, "")


def check_as_advised(path: Path) -> None:
    """A table is refused, and its rows are the grid by the mapping that the message names."""
    with pytest.raises(ValueError, match="no column for") as refused:
        load_runs(path)
    typed = re.search(r"--columns (.*) on the command line", str(refused.value))
    assert typed
    check(load_runs(path, shlex.split(typed[1])), 1e-6)


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        (["N [M]", "D [B]", "L"], (1e6, 1e9)),
        (["N (millions)", "D (billions)", "val_loss"], (1e6, 1e9)),
        (["N/1e6", "D/1e9", "loss"], (1e6, 1e9)),
        (["params_mn", "tokens_bn", "loss"], (1e6, 1e9)),
        (["Params (×10^6)", "Tokens (×10^9)", "loss"], (1e6, 1e9)),
        (["log10 N", "log10 D", "loss"], "log10"),
        (["log2_params", "log2_tokens", "loss"], "log2"),
        (["ln_params", "log(D)", "loss"], "log"),
        (["parameters/n_params", "parameters/tokens", "best_val_loss"], (1, 1)),
        (["user_attrs_n_params", "user_attrs_tokens", "value"], (1, 1)),
    ],
)
def test_a_unit_in_a_name_is_in_the_advice(
    tmp_path: Path, header: list[str], unit: tuple[float, float] | str
) -> None:
    def scaled(value: float, k: int) -> float:
        return getattr(math, unit)(value) if isinstance(unit, str) else value / unit[k]

    rows = [[repr(scaled(n, 0)), repr(scaled(d, 1)), repr(loss)] for n, d, loss in GRID]
    path = table_of(tmp_path, header, rows)
    check_as_advised(path)


def test_a_row_of_units_is_part_of_the_names(tmp_path: Path) -> None:
    rows = [["M", "[B]", "nats"], *([n / 1e6, d / 1e9, loss] for n, d, loss in GRID)]
    path = table_of(tmp_path, HEAD, rows)
    with pytest.raises(ValueError, match="in m") as refused:
        load_runs(path)
    typed = re.search(r"--columns (.*) on the command line", str(refused.value))
    assert typed
    check(load_runs(path, shlex.split(typed[1])))


@pytest.mark.parametrize(
    ("header", "cells", "quantities"),
    [
        (
            ["n_params", "compute (PF-days)", "loss"],
            lambda n, d: (n, 6 * n * d / 8.64e19),
            {"params", "flops"},
        ),
        (["log10 FLOPs", "width", "loss"], lambda n, d: (math.log10(6 * n * d), 64), {"flops"}),
    ],
)
def test_compute_is_offered_where_there_are_no_tokens(
    tmp_path: Path, header: list[str], cells: Callable[[float, float], Any], quantities: set[str]
) -> None:
    path = table_of(tmp_path, header, [[*map(repr, cells(n, d)), loss] for n, d, loss in GRID])
    with pytest.raises(ValueError, match="flops may be") as refused:
        load_runs(path)
    typed = re.search(r"--columns (.*) on the command line", str(refused.value))
    assert typed
    table = load_runs(path, shlex.split(typed[1]))
    assert quantities <= table.quantities
    expected = sorted(6 * n * d for n, d, _ in GRID)
    assert sorted(table["flops"]) == pytest.approx(expected)


def test_where_every_run_failed_the_way_on_is_said(tmp_path: Path) -> None:
    path = table_of(tmp_path, [*HEAD, "State"], [[*row, "crashed"] for row in GRID])
    with pytest.raises(ValueError, match=r"15 failed.*--columns status=none fits such rows"):
        load_runs(path)
    check(load_runs(path, "status=none"))


@pytest.mark.parametrize(
    ("header", "first", "second"),
    [
        (["N", "D/N", "L"], lambda n, d: n, lambda n, d: d / n),
        (["params", "tokens_per_param", "loss"], lambda n, d: n, lambda n, d: d / n),
        (["n_layer", "n_embd", "loss", "tokens"], lambda n, d: 12, lambda n, d: math.sqrt(n / 144)),
        (["dataset_tokens", "epochs", "loss", "params"], lambda n, d: d / 2, lambda n, d: 2),
    ],
)
def test_a_product_of_columns_is_in_the_advice(
    tmp_path: Path,
    header: list[str],
    first: Callable[[float, float], float],
    second: Callable[[float, float], float],
) -> None:
    rest = {"tokens": 1, "params": 0}
    rows = [
        [repr(first(n, d)), repr(second(n, d)), loss, *((n, d)[rest[name]] for name in header[3:])]
        for n, d, loss in GRID
    ]
    path = table_of(tmp_path, header, rows)
    check_as_advised(path)


@pytest.mark.parametrize(
    "header",
    [
        ["metrics.val_loss", "params.n_params", "params.tokens"],  # MLflow
        ["eval_loss", "number_of_parameters", "num_input_tokens_seen"],
        ["L (nats)", "N (non-embedding)", "D (tokens)"],
        ["Validation Loss (nats/token)", "# Params", "No. of tokens"],
    ],
)
def test_names_that_need_no_mapping(tmp_path: Path, header: list[str]) -> None:
    check(load_runs(table_of(tmp_path, header, [[loss, n, d] for n, d, loss in GRID])))


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (
            ["run", "tag", "value"],
            [["a", "params", 1e7], ["a", "loss", 3.0]],
            "'tag' names one quantity per row",
        ),
        (["N", "1B", "3B", "10B"], [[1e7, 3.0, 2.9, 2.8], [3e7, 2.8, 2.7, 2.6]], "DataFrame.melt"),
        (
            ["loss", "eval_loss", "N", "D"],
            [[3.0, 3.1, 1e7, 1e9], [2.9, 3, 2e7, 1e9]],
            "is often the training",
        ),
        (["params", "params_lr", "value"], [[1e7, 1e-3, 3.0]] * 3, "no column for loss, tokens"),
    ],
)
def test_tables_of_another_shape(tmp_path: Path, header: list[str], rows: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        load_runs(table_of(tmp_path, header, rows))
    assert "params_lr*" not in str(refused.value)


@pytest.mark.parametrize("name", ["row_nr", "No.", "rownames", "X", "idx"])
def test_a_column_that_counts_rows_hides_no_copies(tmp_path: Path, name: str) -> None:
    rows = [[n, d, f"{loss:.3f}"] for n, d, loss in GRID]
    rows += rows[-4:]
    counted = [[i, *row] for i, row in enumerate(rows, start=1)]
    table = load_runs(table_of(tmp_path, [name, "params", "tokens", "loss"], counted))
    assert (len(table), table.counts["quarantined"]) == (len(GRID), 4)


HEAD = ["params", "tokens", "loss"]
LINES = [" ".join(map(repr, row)) for row in GRID]
OBJECTS = [json.dumps(dict(zip(HEAD, row, strict=True))) for row in GRID]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.txt", "\n".join([" ".join(HEAD), *LINES])),
        ("t.txt", "\n".join(["  ".join(HEAD), *("  " + line.replace(" ", "    ") for line in LINES)])),
        ("t.txt", "\n".join(['"params" "tokens" "loss"', *(f'"{i}" {x}' for i, x in enumerate(LINES, 1))])),
        ("t.txt", "\n".join(["# params tokens loss", *LINES]) + "\n"),
        (
            "t.txt",
            "\\begin{tabular}{rrr}\n\\toprule\n$N$ & $D$ & \\textbf{Loss} \\\\\n\\midrule\n"
            + "".join(x.replace(" ", " & ") + " \\\\ % a remark\n" for x in LINES)
            + "\\bottomrule\n\\end{tabular}\n",
        ),
        (
            "t.csv",
            "| N | D | L |\n|:-:|--:|---|\n" + "".join(f"| {x.replace(' ', ' | ')} |\n" for x in LINES),
        ),
        ("t.ndjson", "\n".join(OBJECTS)),
        ("result.json", "\n".join(OBJECTS) + "\n"),
        (
            "t.json",
            json.dumps(
                {
                    "columns": [
                        {"name": name, "datatype": "Float64", "values": [row[k] for row in GRID]}
                        for k, name in enumerate(HEAD)
                    ]
                }
            ),
        ),
    ],
)
def test_other_ways_to_write_a_table(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    check(load_runs(tmp_path / name))


def test_a_mark_for_no_value_is_no_loss(tmp_path: Path) -> None:
    rows = [[n, d, "9999" if i in BAD else loss * (1 + i % 3 / 500)] for i, (n, d, loss) in enumerate(GRID)]
    table = load_runs(table_of(tmp_path, HEAD, rows))
    assert len(table) == len(GRID) - len(BAD)
    assert "more than a uniform guess" in str(table.reasons()[0])
