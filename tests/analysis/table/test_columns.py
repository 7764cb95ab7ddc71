"""Whose column is whose: aliases and their values, mappings, conditions, states, and what refusals advise."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.table import RunTable, load_runs
from experiments.cli import main
from tests.analysis.synthetic import true_loss, write_study

GRID = [
    (N, D) for N in (10_000, 30_000, 100_000, 300_000, 1_000_000) for D in (300_000, 1_000_000, 3_000_000)
]
LOSS = [float(true_loss(N, D)) for N, D in GRID]
Column = Sequence[object] | Callable[[int, int, float], object]


def table_of(path: Path, **columns: Column) -> Path:
    """A CSV of 15 runs: a column is its cells, or a function of N, D and the loss."""
    cells = [
        [column(N, D, L) for (N, D), L in zip(GRID, LOSS, strict=True)] if callable(column) else list(column)
        for column in columns.values()
    ]
    names = [name.replace("__", " ") for name in columns]
    lines = [",".join(names), *(",".join(map(str, row)) for row in zip(*cells, strict=True))]
    file = path / "t.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def N(n: int, d: int, loss: float) -> int:
    return n


def D(n: int, d: int, loss: float) -> int:
    return d


def L(n: int, d: int, loss: float) -> float:
    return loss


def check(table: RunTable) -> None:
    assert table["params"].tolist() == [n for n, _ in GRID]
    np.testing.assert_allclose(table["tokens"].astype(float), [d for _, d in GRID], rtol=1e-12)
    np.testing.assert_allclose(table["loss"], LOSS, rtol=1e-12)


# --- aliases --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "tokens", "loss"),
    [
        ("N", "D", "L"),
        ("n_params", "num_train_tokens", "val/loss"),
        ("Model Size", "Tokens seen", "Test loss"),
        ("num_parameters", "train_tokens", "Validation Loss"),
        ("non_embedding_parameters", "tokens_trained", "eval_loss"),
        ("N_no_emb", "total tokens", "heldout_loss"),
        ("config.n_params", "summary.tokens", "summary.val_loss"),
        ("params (non-embedding)", "n_tokens", "loss"),
    ],
)
def test_names_that_mean_one_thing(tmp_path: Path, params: str, tokens: str, loss: str) -> None:
    table = load_runs(table_of(tmp_path, **{params: N, tokens: D, loss: L}))
    check(table)
    assert not table.warnings
    if not params.startswith("config."):  # sections are taken off where a file is read
        assert table.mapping().startswith(f"params ← {params!r}, tokens ← {tokens!r}, loss")


def test_columns_of_a_run_export(tmp_path: Path) -> None:
    table = load_runs(
        table_of(
            tmp_path,
            Name=lambda n, d, loss: f"brisk-{n}-{d}",
            State=["finished"] * 11 + ["crashed", "running", "failed", "killed"],
            Created=["2026-01-01T00:00:00.000Z"] * 15,
            Runtime=range(15),
            **{"config.lr": [3e-4] * 15, "config.n_params": N, "tokens": D, "eval/loss": L, "train/loss": L},
        )
    )
    assert table.counts == {"used": 11, "quarantined": 0, "diverged": 0, "failed": 3, "missing": 1}
    assert set(table["learning_rate"]) == {3e-4}
    assert table["seconds"].tolist() == list(range(11))
    assert "1 row with State 'running' counts as missing" in table.notes


@pytest.mark.parametrize(
    ("name", "cells", "counts"),
    [
        ("run_state", ["finished"] * 12 + ["crashed"] * 3, (12, 0, 3, 0)),
        ("status", ["COMPLETED"] * 12 + ["TIMEOUT", "CANCELLED", "PENDING"], (12, 0, 2, 1)),
        ("RunState", ["finished"] * 12 + ["crashed"] * 3, (12, 0, 3, 0)),
        ("slurm_state", ["COMPLETED"] * 12 + ["FAILED", "NODE_FAIL", "TIMEOUT"], (12, 0, 3, 0)),
        ("diverged", ["False"] * 12 + ["True"] * 3, (12, 3, 0, 0)),
        ("success", ["yes"] * 12 + ["no"] * 3, (12, 0, 3, 0)),
        ("oom", [False] * 12 + [True] * 3, (12, 0, 3, 0)),
        ("finished", [True] * 12 + [False] * 3, (12, 0, 3, 0)),
        ("crashed", [0] * 12 + [1] * 3, (12, 0, 3, 0)),
        ("state", ["finished"] * 12 + ["", "who knows", "nan"], (12, 0, 3, 0)),
        ("State", ["CA", "NY", "TX"] * 5, (15, 0, 0, 0)),
        ("finished", ["2026-01-01"] * 15, (15, 0, 0, 0)),
        ("status", [""] * 15, (15, 0, 0, 0)),
    ],
)
def test_states(tmp_path: Path, name: str, cells: list[object], counts: tuple[int, ...]) -> None:
    table = load_runs(table_of(tmp_path, **{name: cells, "params": N, "tokens": D, "loss": L}))
    assert tuple(table.counts[kind] for kind in ("used", "diverged", "failed", "missing")) == counts


@pytest.mark.parametrize(
    ("letter", "cells", "note"),
    [
        ("L", [2, 4, 6, 8, 12] * 3, "'L' holds whole numbers from 2 to 12, as layers do: not read as loss"),
        ("D", [64, 128, 256, 512, 1024] * 3, "as widths do: not read as tokens"),
        ("D", [100, 200, 300, 400, 500] * 3, "as widths do: not read as tokens"),
        ("N", [2, 4, 6, 8, 12] * 3, "as counts of layers, heads or runs do: not read as params"),
        ("C", [128, 256, 512, 1024, 2048] * 3, "as context lengths or classes do: not read as flops"),
    ],
)
def test_a_letter_that_counts_something_else(
    tmp_path: Path, letter: str, cells: list[int], note: str
) -> None:
    sizes: dict[str, Column] = {"n_params": N, "train_tokens": D, "val_loss": L}
    table = load_runs(table_of(tmp_path, **{letter: cells, **sizes}))
    check(table)
    assert any(note in said for said in table.notes)
    assert table[letter].tolist() == cells, "the column is kept"
    needed = {"L": "val_loss", "D": "train_tokens", "N": "n_params"}.get(letter)
    if needed and cells[0] != 100:  # such a D alone may be tokens in other units, which is a warning
        alone: dict[str, Column] = {letter: cells, **{k: v for k, v in sizes.items() if k != needed}}
        with pytest.raises(ValueError, match=f"no column for .*'{letter}' holds whole numbers"):
            load_runs(table_of(tmp_path, **alone))


def test_letters_with_plausible_values_are_taken(tmp_path: Path) -> None:
    table = load_runs(table_of(tmp_path, N=N, D=D, C=lambda n, d, loss: 6.2 * n * d, L=L))
    check(table)
    assert {"params", "tokens", "flops"} <= table.quantities


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"N": N, "N_no_emb": lambda n, d, loss: n // 2, "D": D, "loss": L}, "params=N_no_emb. N is without"),
        ({"N": N, "D": D, "val_loss": L, "test_loss": lambda n, d, loss: loss + 1}, "loss=val_loss"),
        ({"params": N, "tokens": D, "D": lambda n, d, loss: 2 * d, "loss": L}, "tokens=tokens"),
    ],
)
def test_two_columns_that_could_be_one_are_asked_about(
    tmp_path: Path, columns: dict[str, Column], message: str
) -> None:
    path = table_of(tmp_path, **columns)
    with pytest.raises(ValueError, match=rf"could be any of .*e.g. --columns {message}") as refused:
        load_runs(path)
    typed = re.search(r"--columns (\S+?)\.(?: |$)", str(refused.value))
    assert typed
    assert len(load_runs(path, shlex.split(typed[1]))) == 15, "the advice works when typed"


def test_columns_that_agree_in_every_row_are_no_choice(tmp_path: Path) -> None:
    check(load_runs(table_of(tmp_path, N=N, D=D, train_tokens=lambda n, d, loss: f"{d}.0", loss=L)))
    both = load_runs(table_of(tmp_path, params=N, params_total=lambda n, d, loss: 2 * n, tokens=D, loss=L))
    assert both["params_total"].tolist() == [2 * n for n, _ in GRID]


def test_an_optional_column_that_could_be_two_is_not_guessed(tmp_path: Path) -> None:
    table = load_runs(table_of(tmp_path, N=N, D=D, loss=L, lr=[1] * 15, peak_lr=[2] * 15))
    assert "learning_rate" not in table
    assert "learning_rate could be any of 'lr', 'peak_lr': none is used" in table.notes


# --- mappings -------------------------------------------------------------------------------------------


def test_mappings_are_expressions(tmp_path: Path) -> None:
    path = table_of(
        tmp_path,
        **{"size M": lambda n, d, loss: n / 1e6, "log D": lambda n, d, loss: np.log10(d)},
        ppl=lambda n, d, loss: np.exp(loss),
    )
    table = load_runs(path, ["params=size M*1e6", "tokens=10**log D", "loss = log(ppl)"])
    np.testing.assert_allclose(table["params"], [n for n, _ in GRID], rtol=1e-12)
    np.testing.assert_allclose(table["tokens"].astype(float), [d for _, d in GRID], rtol=1e-12)
    np.testing.assert_allclose(table["loss"], LOSS, rtol=1e-12)
    assert table.mapping() == "params ← size M*1e6, tokens ← 10**log D, loss ← log(ppl), C = 6 N D"
    assert "ppl" not in table, "the loss says all that it said"


def test_an_expression_over_several_columns_leaves_them(tmp_path: Path) -> None:
    path = table_of(tmp_path, params=N, steps=lambda n, d, loss: d // 1000, batch_tokens=[1000] * 15, loss=L)
    table = load_runs(path, "tokens=steps*batch_tokens")
    check(table)
    assert table["steps"].tolist() == [d // 1000 for _, d in GRID]


def test_a_row_that_cannot_be_computed_is_set_aside(tmp_path: Path) -> None:
    ppl = [-3.0, "", *(np.exp(loss) for loss in LOSS[2:])]
    table = load_runs(table_of(tmp_path, N=N, D=D, ppl=ppl), "loss=log(ppl)")
    assert [str(reason) for reason in table.reasons()] == [
        "line 2: loss is not a finite number: log(ppl) where ppl -3",
        "line 3: loss is missing",
    ]


@pytest.mark.parametrize(
    ("columns", "typed"),
    [
        ({"params": N, "tokens": D, "ppl": lambda n, d, loss: np.exp(loss)}, "'loss=log(ppl)'"),
        (
            {"params": N, "tokens": D, "C4 Eval PPL": lambda n, d, loss: np.exp(loss)},
            "'loss=log(C4 Eval PPL)'",
        ),
        ({"params": N, "tokens": D, "train_loss": L}, "loss=train_loss"),
        ({"params": N, "tokens": D, "c4_loss": L, "train_loss": L, "c4_ppl": L}, "loss=c4_loss"),
        ({"size": lambda n, d, loss: n / 1e6, "tokens": D, "loss": L}, "'params=size*1e9'"),
        ({"size": lambda n, d, loss: n // 1000, "tokens": D, "loss": L}, "'params=size*1e6'"),
        ({"Size": N, "Seen": D, "Test loss": L}, "params=Size tokens=Seen"),
        ({"Size": N, "FLOP": lambda n, d, loss: 6 * n * d, "Test loss": L}, "params=Size"),
        ({"params": N, "log_tokens": lambda n, d, loss: np.log10(d), "loss": L}, r"'tokens=10**log_tokens'"),
        ({"params": N, "tokens_b": lambda n, d, loss: d / 1e9, "loss": L}, "'tokens=tokens_b*1e9'"),
        (
            {
                "params": N,
                "step": lambda n, d, loss: d / 6e4,
                "batch_size": [60] * 15,
                "seq_len": [1e3] * 15,
                "loss": L,
            },
            "'tokens=step*batch_size*seq_len'",
        ),
        ({"tokens": D, "flops": lambda n, d, loss: 6 * n * d, "loss": L}, "'params=flops/(6*tokens)'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_refusal_advises_works_when_typed(
    tmp_path: Path, columns: dict[str, Column], typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table_of(tmp_path, **columns)
    assert main(["fit", str(path), "--json", "--resamples", "2"]) == 2
    assert f"--columns {typed} on the command line" in capsys.readouterr().err
    assert len(load_runs(path, shlex.split(typed))) == 15


# --- frontiers and curves -------------------------------------------------------------------------------


def test_flops_and_loss_alone_are_a_frontier(tmp_path: Path) -> None:
    table = load_runs(table_of(tmp_path, flops=lambda n, d, loss: 6 * n * d, loss=L))
    assert table.quantities == {"flops"}
    assert "params" not in table
    assert "flops_6nd" not in table


def test_a_column_that_may_be_a_size_makes_no_frontier(tmp_path: Path) -> None:
    path = table_of(tmp_path, Size=N, FLOP=lambda n, d, loss: 6 * n * d, loss=L)
    with pytest.raises(ValueError, match=r"For a law of compute alone, name it: --columns flops=FLOP\."):
        load_runs(path)
    assert load_runs(path, "flops=FLOP").quantities == {"flops"}


def test_one_mapped_input_is_a_curve(tmp_path: Path) -> None:
    path = table_of(tmp_path, **{"Seen Examples": D, "Loss": L, "Task": ["a"] * 15})
    with pytest.raises(ValueError, match=r"For a curve of one input: --columns 'x=Seen Examples'\."):
        load_runs(path)
    table = load_runs(path, "x=Seen Examples")
    assert table.quantities == {"x"}
    assert table["x"].tolist() == [d for _, d in GRID]


def test_a_coordinate_called_x_is_no_input(tmp_path: Path) -> None:
    table = load_runs(table_of(tmp_path, x=[-1.0] * 15, params=N, tokens=D, loss=L))
    assert table.quantities == {"params", "tokens", "flops"}
    assert set(table["x (source)"]) == {-1.0}


def test_a_budget_of_about_6nd_is_compute(tmp_path: Path) -> None:
    table = load_runs(table_of(tmp_path, params=N, tokens=D, budget=lambda n, d, loss: 6.5 * n * d, loss=L))
    assert "'budget' is read as flops: it is about 6 N D" in table.notes
    np.testing.assert_allclose(table["flops"], [6.5 * n * d for n, d in GRID])
    money = load_runs(table_of(tmp_path, params=N, tokens=D, budget=D, loss=L))
    np.testing.assert_allclose(money["flops"], [6.0 * n * d for n, d in GRID])


# --- conditions -----------------------------------------------------------------------------------------


def test_where_and_drop_leave_out_and_count(tmp_path: Path) -> None:
    path = table_of(
        tmp_path, N=N, D=D, loss=L, kind=["a"] * 9 + ["b"] * 5 + [""], outlier=["True"] + ["False"] * 14
    )
    table = load_runs(path)
    assert "'outlier' is true in 1 rows, which are used; --drop outlier leaves them out" in table.notes
    kept = load_runs(path, where='kind == "a" and params > 1e4', drop="outlier")
    assert (len(kept), kept.counts["left out"], kept.counts["quarantined"]) == (6, 9, 0)
    assert (
        "--where 'kind == \"a\" and params > 1e4' keeps 6 of 15 rows; 1 have an empty cell there"
        in kept.notes
    )
    assert len(load_runs(path, where=["N > 1e4", "N < 1e6"])) == 9
    assert len(load_runs(path, drop='kind == "b"')) == 10
    with pytest.raises(ValueError, match=r"no row is left: .*'kind' holds 'a', 'b'"):
        load_runs(path, where="kind == 'c'")
    with pytest.raises(ValueError, match="--where 'kind = 1': write '=='"):
        load_runs(path, where="kind = 1")


def test_conditions_choose_rows_of_a_study(tmp_path: Path) -> None:
    write_study(tmp_path / "demo", families=("decoder", "lstm"))
    table = load_runs(tmp_path / "demo", where='family == "lstm"')
    assert set(table["family"]) == {"lstm"}
    with pytest.raises(ValueError, match="holds finished runs only; leave --checkpoints out"):
        load_runs(tmp_path / "demo", checkpoints="last")


def test_the_command_takes_conditions_and_prints_what_it_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table_of(tmp_path, N=N, D=D, ppl=lambda n, d, loss: np.exp(loss), kind=["a"] * 12 + ["b"] * 3)
    options = ["--columns", "loss=log(ppl)", "--where", 'kind == "a"', "--resamples", "5"]
    for verb in (["fit"], ["forecast", "--compute", "1e13"]):
        main([*verb[:1], str(path), *options, *verb[1:]])
        out = capsys.readouterr().out
        assert "12 used, 3 left out" in out
        assert "columns: params ← 'N', tokens ← 'D', loss ← log(ppl), C = 6 N D" in out
        assert out.count("note: --where 'kind == \"a\"' keeps 12 of 15 rows") == 1


# --- reasons --------------------------------------------------------------------------------------------


def test_reasons_are_grouped_commonest_first(tmp_path: Path) -> None:
    loss: list[object] = ["", "x", "y", *LOSS[3:-1], -1.0]
    tokens: list[object] = [d for _, d in GRID]
    tokens[5:9] = [-1, -2, -3, -4]
    table = load_runs(table_of(tmp_path, params=N, tokens=tokens, loss=loss))
    said = [str(reason) for reason in table.reasons()]
    assert said[0] == "4 rows: tokens is -1; it must be positive and finite (line 7, line 8, line 9, …)"
    assert said[1] == "2 rows: loss is not a number: 'x' (line 3, line 4)"
    assert [reason.count for reason in table.reasons()] == [4, 2, 1, 1]


def test_a_table_without_a_usable_row_says_the_commonest_reason(tmp_path: Path) -> None:
    path = table_of(tmp_path, params=N, tokens=D, loss=["?"] * 14 + [""])
    with pytest.raises(
        ValueError, match=r"no finished run to fit: 15 set aside.*14 rows: loss is not a number: '\?'"
    ):
        load_runs(path)


def test_bits_a_byte_are_offered_as_a_loss_with_their_unit() -> None:
    rows = pd.DataFrame({"params": [1e6, 2e6], "tokens": [1e8, 1e8], "bits_per_byte": [1.1, 1.0]})
    with pytest.raises(ValueError, match=r"--columns 'loss=bits_per_byte\*log\(2\)' on the command line"):
        load_runs(rows)
    assert load_runs(rows, {"loss": "bits_per_byte*log(2)"})["loss"].iloc[1] == pytest.approx(np.log(2))
