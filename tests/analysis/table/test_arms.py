"""Which runs may share a law: what parts a table, what is a rule of N and D, and what is swept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.table import RunTable, load_runs, split_comparable
from analysis.table.arms import Arms, arms
from analysis.table.roles import role_of
from analysis.table.specs import spec_columns
from analysis.table.sweep import envelope
from experiments import public_data
from scaling.study.spec import DataSpec, RunSpec, TrunkSpec
from tests.analysis.synthetic import WIDTHS, make_record, true_loss, write_record

SIZES = (1e5, 3e5, 1e6, 3e6, 1e7)
BUDGETS = (1e7, 3e7, 1e8, 3e8, 1e9)


def grid(sizes: Sequence[float] = SIZES, budgets: Sequence[float] = BUDGETS, **keys: Any) -> pd.DataFrame:
    """Every size × budget × value of the keys, with a noisy loss."""
    names = ["params", "tokens", *keys]
    rows = pd.DataFrame(list(product(sizes, budgets, *keys.values())), columns=names)
    noise = np.random.default_rng(0).normal(0, 0.01, len(rows))
    return rows.assign(
        loss=[true_loss(n, d) for n, d in zip(rows["params"], rows["tokens"], strict=True)] + noise
    )


def digits(values: Any, number: int = 3) -> list[float]:
    return [float(f"{value:.{number}g}") for value in values]


def rate(rows: pd.DataFrame, factor: Any = 1.0) -> list[float]:
    """A peak rate that is a rule of size and data, to three digits."""
    return digits(0.01 * (rows["params"] / 1e5) ** -0.3 * (rows["tokens"] / 1e7) ** 0.05 * factor)


def contents(found: Arms) -> set[tuple[int, ...]]:
    return {tuple(at) for at in found.parts.values()}


# --- what parts, and what does not --------------------------------------------------------------------------


def test_the_example_study_has_two_arms() -> None:
    """The README's question: does a smaller weight decay change the exponent?"""
    rows = grid(weight_decay=(0.01, 0.1))
    rows["learning_rate"] = rate(rows, np.where(rows["weight_decay"] > 0.05, 2.0, 1.0))
    rows["warmup_steps"] = np.minimum(1000, rows["params"] // 512).astype(int)
    rows["batch"] = 2 ** np.round(np.log2(rows["tokens"]) / 2).astype(int)
    rows["steps"] = rows["tokens"] / rows["batch"]
    rows["width"] = np.round(rows["params"] ** 0.5).astype(int)
    found = arms(rows.assign(family="decoder"))
    assert list(found.parts) == ["decoder, weight_decay 0.01", "decoder, weight_decay 0.1"]
    assert found.keys == ("weight_decay",)
    assert found.sweep is None
    assert found.ignored == {
        "learning_rate": "a function of N and D",
        "warmup_steps": "a function of N",
        "batch": "a function of D",
        "steps": "a function of D",
        "width": "a function of N",
    }
    assert found.words.startswith("2 arms by weight_decay; not used: batch, steps (a function of D), ")


def test_a_uniform_table_is_one_arm() -> None:
    found = arms(grid(seed=(0, 1)))
    assert list(found.parts) == ["all runs"]
    assert found.words == "one arm; not used: seed (a repeat of the same recipe)"
    assert found.hint == ""


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("optimizer", ("adamw", "muon")),
        ("precision", ("float32", "bfloat16")),
        ("schedule", ("cosine", "wsd")),
        ("vocab", (512, 1024)),
        ("batch_size", (64, 128)),
        ("lr", (1e-3, 3e-3)),
        ("use_mup", (True, False)),
        ("loss_function", ("cross_entropy", "squared")),
        ("config.optimizer.weight_decay", (0.0, 0.1)),
        ("kv_heads", (1, 8)),
        ("setup", (0.137, 0.891)),
        ("setup", (None, "new")),
        ("setup", (None, 0.1)),
        ("setup", ("a", "b", "c", "d", "e")),
        ("setup", (0.1234567, 0.2345678, 0.3456789, 0.4567891)),
    ],
)
def test_a_recipe_that_differs_parts_the_runs(column: str, values: tuple[Any, ...]) -> None:
    found = arms(grid(**{column: values}))
    assert found.keys == (column,)
    assert [len(at) for at in found.parts.values()] == [25] * len(values)


def test_precision_chosen_by_size_is_a_rule() -> None:
    rows = grid()
    rows["precision"] = np.where(rows["params"] > 2e6, "bfloat16", "float32")
    rows["optimizer"] = "adamw"
    found = arms(rows)
    assert len(found.parts) == 1
    assert found.ignored == {"precision": "a function of N"}


def test_recipes_of_different_sizes_are_not_a_rule_of_size() -> None:
    """Two shapes of model never have equal N, so each N has one value; along N the values alternate."""
    rows = grid(sizes=np.geomspace(1e5, 1e7, 8))
    rows["block"] = np.where(rows.groupby("params").ngroup() % 2 == 0, "pre", "post")
    assert arms(rows).keys == ("block",)


def test_names_and_labels_of_sizes_part_nothing() -> None:
    rows = grid(optimizer=("adamw", "muon"))
    rows["size"] = [f"{n / 1e6:g}M" for n in rows["params"]]
    rows["name"] = [
        f"{o}-{s}-{i}" for i, (o, s) in enumerate(zip(rows["optimizer"], rows["size"], strict=True))
    ]
    rows["group"] = [f"{o}-{s}" for o, s in zip(rows["optimizer"], rows["size"], strict=True)]
    rows["Unnamed: 0"] = range(len(rows))
    rows["job"] = range(1000, 1000 + len(rows))
    found = arms(rows)
    assert found.keys == ("optimizer",)
    assert set(found.ignored) == {"size", "name", "group", "Unnamed: 0", "job"}


def test_measurements_part_nothing() -> None:
    rows = grid(optimizer=("adamw", "muon"))
    rng = np.random.default_rng(0)
    rows["train_loss"] = rows["loss"] + 0.01
    rows["err_piqa"] = rng.integers(0, 3, len(rows)) / 8  # few values, and a name that says what it is
    rows["seconds"] = rng.uniform(1, 9, len(rows))
    rows["recall"] = rng.integers(40, 90, len(rows)) / 256
    found = arms(rows)
    assert found.keys == ("optimizer",)
    assert set(found.ignored) == {"train_loss", "err_piqa", "seconds", "recall"}


def test_columns_that_part_alike_are_one_condition() -> None:
    rows = grid(dataset=("c4", "rpj", "fineweb"))
    rows["experiment"] = "run_" + rows["dataset"]
    rows["colour"] = rows["dataset"].map({"c4": "red", "rpj": "blue", "fineweb": "blue"})
    found = arms(rows[["experiment", "colour", "params", "tokens", "dataset", "loss"]])
    assert found.keys == ("dataset",)
    assert found.ignored == {"experiment": "same as dataset", "colour": "follows dataset"}


def test_a_flag_parts_the_runs_and_says_how_to_drop_them() -> None:
    rows = grid()
    rows["outlier"] = np.arange(len(rows)) % 4 == 1
    rows["reason"] = "none"
    rows.loc[rows["outlier"], "reason"] = ["curvature", "noise", "curvature", "noise", "noise", "curvature"]
    found = arms(rows)
    assert list(found.parts) == ["outlier False", "outlier True"]
    assert found.hint == "outlier is true for 6 of 25 runs; to leave them out: --drop 'outlier == true'."
    assert arms(rows.drop(columns="outlier").assign(valid=~rows["outlier"])).hint.endswith(
        "'valid == false'."
    )


def test_a_part_too_small_for_a_law_is_never_pooled() -> None:
    rows = pd.concat([grid(), grid().iloc[[0, 7, 13]].assign(weight_decay=0.5)], ignore_index=True)
    found = arms(rows)
    assert found.too_small == ("weight_decay 0.5",)
    assert "too small for a law of their own: weight_decay 0.5" in found.words
    assert [len(at) for at in found.parts.values()] == [25, 3]


def test_too_many_parts_name_a_key() -> None:
    rows = grid(SIZES[:3], BUDGETS[:3], mixture=tuple("abcdefg"), dropout=(0.0, 0.1))
    rows = rows[(rows["dropout"] == 0) | (rows["tokens"] < 2e7)]
    found = arms(rows)
    assert len(found.parts) == 14
    assert "14 arms, 7 of them too small for a law" in found.hint
    assert "--by mixture (7 arms)" in found.hint
    asked = arms(rows, by=["mixture"])
    assert len(asked.parts) == 7
    assert asked.words.startswith("7 arms by mixture as asked; pooled, as you asked: dropout")


def test_by_takes_aliases_and_refuses_what_is_not_there() -> None:
    rows = grid(learning_rate=(1e-3, 3e-3), optimizer=("adamw", "muon"))
    assert arms(rows, by=["lr"]).keys == ("learning_rate",)
    assert arms(rows, by=[]).words == "one arm as asked; pooled, as you asked: optimizer, learning_rate"
    with pytest.raises(ValueError, match=r"by: 'optimiser' is not a column.* differ between runs: optimizer"):
        arms(rows, by=["optimiser"])


def test_unique_tokens_are_an_input_of_a_law() -> None:
    rows = grid(tokens_unique=(1e6, 1e7))
    assert arms(rows).inputs == ("tokens_unique",)
    assert list(arms(rows).parts) == ["all runs"]
    assert arms(grid().assign(tokens_unique=lambda t: t["tokens"])).inputs == ()


def test_a_setting_that_some_runs_lack_parts_them_once() -> None:
    rows = grid(half=(0, 1))
    rule = np.minimum(1000, rows["params"] / 500)
    found = arms(rows.assign(warmup=rule.where(rows["half"] == 0)).drop(columns="half"))
    assert list(found.parts) == ["warmup given", "warmup not given"]


def test_rates_tuned_for_each_cell_are_no_arms() -> None:
    rows = grid(seed=(0, 1))
    cell = rows.groupby(["params", "tokens"]).ngroup()
    rows["lr"] = np.random.default_rng(1).choice([1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2], 25)[cell]
    found = arms(rows)
    assert len(found.parts) == 1
    assert found.ignored["lr"] == "one value at each N and D, as if tuned"


def test_a_table_of_compute_and_loss_only() -> None:
    rows = pd.DataFrame({"flops": np.tile(np.geomspace(1e18, 1e22, 6), 2), "loss": np.linspace(3, 2, 12)})
    assert len(arms(rows).parts) == 1
    assert arms(rows.assign(setup=["a"] * 6 + ["b"] * 6)).keys == ("setup",)


# --- sweeps -------------------------------------------------------------------------------------------------


def sweep_table() -> pd.DataFrame:
    """Rates × batches in every cell, best at 2e-3 and 64, with columns that follow from them."""
    rows = grid(lr=(5e-4, 1e-3, 2e-3, 4e-3, 8e-3), bs=(32, 64, 128), seed=(0, 1))
    rows["loss"] += 0.1 * np.log(rows["lr"] / 2e-3) ** 2 + 0.1 * np.log(rows["bs"] / 64) ** 2
    rows["steps"] = np.round(rows["tokens"] / rows["bs"] / 128).astype(int)
    rows["tokens"] = rows["steps"] * rows["bs"] * 128  # whole steps: D differs a little between batches
    rows["label"] = [f"lr{a}_bs{b}" for a, b in zip(rows["lr"], rows["bs"], strict=True)]
    rows["exp_name"] = [f"run{i}" for i in range(len(rows))]
    return rows


def test_a_sweep_is_reduced_to_the_best_of_each_cell() -> None:
    rows = sweep_table()
    found = arms(rows)
    assert list(found.parts) == ["all runs"]
    assert found.sweep is not None
    assert set(found.sweep.keys) == {"lr", "bs"}
    assert (found.sweep.cells, found.sweep.recipes) == (25, 15)
    assert "label" in found.ignored
    best, warnings = envelope(rows, found.sweep)
    assert len(best) == 50, "both seeds of the best recipe"
    assert set(rows["lr"].iloc[best]) == {2e-3}
    assert set(rows["bs"].iloc[best]) == {64}
    assert warnings == ()


def test_a_best_at_an_edge_is_a_warning() -> None:
    rows = sweep_table()
    rows = rows[(rows["lr"] <= 2e-3) & ((rows["bs"] >= 64) | (rows["params"] > 5e5))].reset_index(drop=True)
    found = arms(rows)
    assert found.sweep is not None
    edges = "; ".join(envelope(rows, found.sweep)[1])
    assert "lr: the best lies at an edge of the values tried in 25 of 25 cells (the highest in 25)" in edges
    assert "bs: the best lies at an edge of the values tried in 10 of 25 cells (the lowest in 10)" in edges


def test_a_cell_with_one_recipe_is_said() -> None:
    rows = sweep_table()
    first = (rows["params"] == rows["params"].min()) & (rows["tokens"] < 2e7)
    rows = rows[~first | ((rows["lr"] == 1e-3) & (rows["bs"] == 32))].reset_index(drop=True)
    found = arms(rows)
    assert found.sweep is not None
    assert "1 of 25 sizes and budgets were run with one setting" in envelope(rows, found.sweep)[1][-1]


def test_each_arm_has_its_own_sweep() -> None:
    rows = pd.concat([sweep_table().assign(opt=o) for o in ("adamw", "muon")], ignore_index=True)
    rows.loc[rows["opt"] == "muon", "lr"] *= 10
    parts = split_comparable(RunTable.of(rows))
    assert [len(part) for part in parts.values()] == [50, 50]
    assert set(parts["opt muon"]["lr"]) == {2e-2}
    assert "a sweep over" in parts["opt muon"].notes[0]


def test_a_rule_that_was_also_varied_is_a_sweep() -> None:
    rows = grid(factor=(0.5, 1.0, 2.0))
    rows["lr"] = rate(rows, rows["factor"])
    found = arms(rows.drop(columns="factor"))
    assert found.sweep is not None
    assert found.sweep.keys == ("lr",)
    assert len(found.parts) == 1


def test_one_rate_as_the_user_asks() -> None:
    found = arms(sweep_table(), by=["lr"])
    assert len(found.parts) == 5
    assert found.sweep is not None
    assert found.sweep.keys == ("bs",)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("config/optimizer.lr", "rate"),
        ("optimizer.name", "recipe"),
        ("weightDecay", "setting"),
        ("err_agi_eval_lsat_lr", "measured"),
        ("z_loss", "setting"),
        ("loss_weight", ""),
        ("N_layers", "shape"),
        ("D/N", ""),
        ("Unnamed: 0", "bookkeeping"),
        ("data_seed", "replicate"),
    ],
)
def test_roles_by_name(name: str, role: str) -> None:
    assert role_of(name) == role


# --- properties ---------------------------------------------------------------------------------------------

# Names of no meaning here; `role_of` knows the others.
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_ -/().0123456789", min_size=1, max_size=12).filter(
    lambda name: role_of(name) == "" and name not in ("params", "tokens", "loss", "seed")
)
NUMBERS = st.floats(1e-6, 1e6).map(lambda x: float(f"{x:.4g}"))
PAIRS = st.one_of(
    st.lists(NUMBERS, min_size=2, max_size=3, unique=True),
    st.lists(st.integers(0, 4096), min_size=2, max_size=3, unique=True),
    st.lists(st.text("abcxyz019.-", min_size=1, max_size=6), min_size=2, max_size=3, unique=True),
    st.just([True, False]),
    st.just([None, 0.1]),
    st.just(["a", None]),
)


@settings(max_examples=50)
@given(name=NAMES, values=PAIRS, crossed=st.booleans(), seeds=st.integers(1, 2), order=st.randoms())
def test_interleaved_recipes_are_never_pooled(
    name: str, values: list[Any], crossed: bool, seeds: int, order: Any
) -> None:
    """In every cell, or one to a cell in turn: whatever the column is called and holds."""
    rows = grid(seed=tuple(range(seeds)), **({"recipe": range(len(values))} if crossed else {}))
    if not crossed:
        n, d = (pd.factorize(rows[axis])[0] for axis in ("params", "tokens"))
        rows["recipe"] = (n + d) % len(values)
    rows[name] = pd.Series([values[i] for i in rows["recipe"]], dtype=object)
    rows["lr"] = rate(rows)
    recipe = rows.pop("recipe").to_numpy()
    shuffled = order.sample(range(len(rows)), len(rows))
    columns = order.sample(list(rows.columns), rows.shape[1])
    found = arms(rows.iloc[shuffled].reset_index(drop=True)[columns])
    assert len(found.parts) == len(values)
    for at in found.parts.values():
        assert len(set(recipe[np.array(shuffled)[at]])) == 1


RULES: dict[str, Callable[[Any, Any, float, float], Any]] = {
    "power": lambda n, d, p, q: n**-p * d**q,
    "size only": lambda n, d, p, q: n**-p,
    "capped": lambda n, d, p, q: np.minimum(n**p, np.median(n) ** p),
    "powers of two": lambda n, d, p, q: 2.0 ** np.round(np.log2(d**p)),
    "table": lambda n, d, p, q: np.where(n > 5e5, 3e-4, 6e-4),
    "whole": lambda n, d, p, q: np.round(n ** (p / 2)) + 1,
}


@settings(max_examples=50)
@given(
    kind=st.sampled_from(sorted(RULES)),
    p=st.floats(0.05, 0.9),
    q=st.floats(-0.3, 0.3),
    number=st.sampled_from([3, 17]),
    name=st.sampled_from(["lr", "learning_rate", "batch", "weight_decay", "warmup", "anything"]),
    scattered=st.booleans(),
)
def test_a_rule_of_size_and_data_never_parts(
    kind: str, p: float, q: float, number: int, name: str, scattered: bool
) -> None:
    rows = grid(optimizer=("adamw", "muon"), seed=(0, 1))
    if scattered:  # as on curves of equal compute: no two runs share N or D
        rng = np.random.default_rng(2)
        rows["params"] *= np.exp(rng.uniform(0, 0.1, len(rows)))
        rows["tokens"] *= np.exp(rng.uniform(0, 0.1, len(rows)))
    value = RULES[kind](rows["params"].to_numpy(), rows["tokens"].to_numpy(), p, q)
    rows[name] = digits(value * np.where(rows["optimizer"] == "muon", 3.0, 1.0), number)
    found = arms(rows)
    assert found.keys == ("optimizer",)
    assert found.sweep is None


@settings(max_examples=50)
@given(order=st.randoms(), name=NAMES)
def test_order_names_ids_and_constants_change_nothing(order: Any, name: str) -> None:
    rows = grid(setup=(0.3, 0.7), seed=(0, 1))
    rows["lr"] = rate(rows, rows["setup"])
    before = contents(arms(rows))
    more = rows.assign(
        id=range(len(rows)), constant="x", empty=None, note=[f"n{i}" for i in range(len(rows))]
    )
    assert contents(arms(more)) == before
    assert contents(arms(rows.rename(columns={"setup": name}))) == before
    shuffled = order.sample(range(len(rows)), len(rows))
    after = arms(rows.iloc[shuffled].reset_index(drop=True))
    assert {tuple(sorted(np.array(shuffled)[at])) for at in after.parts.values()} == before
    assert after.words == arms(rows).words


def test_rounding_parts_nothing() -> None:
    rows = grid(half=(0, 1))
    close = np.where(rows.pop("half") == 0, 0.1, float(np.float32(0.1)))
    assert len(arms(rows.assign(weight_decay=close)).parts) == 1


# --- real tables --------------------------------------------------------------------------------------------


def test_every_setting_of_a_spec_is_a_column(tmp_path: Path) -> None:
    """A study folder of the README's example, with specs as the harness writes them."""
    for width, tokens, decay in product(WIDTHS, (100_000, 250_000, 630_000), (0.01, 0.1)):
        spec = run_spec(width, tokens, decay)
        record = make_record(width, tokens, spec=json.loads(json.dumps(spec.to_dict())), run_id=spec.id)
        write_record(tmp_path / "decay", replace(record, trunk_id=spec.trunk.id))
    table = load_runs(tmp_path / "decay").rows
    assert {"weight_decay", "beta2", "warmup_steps", "clip", "training_loss", "data_subset"} <= set(
        table.columns
    )
    found = arms(table)
    assert list(found.parts) == ["decoder, weight_decay 0.01", "decoder, weight_decay 0.1"]
    table.to_csv(tmp_path / "runs.csv", index=False)
    assert list(arms(load_runs(tmp_path / "runs.csv").rows).parts) == list(found.parts)


def test_optimizers_and_their_settings_part_the_runs(tmp_path: Path) -> None:
    """AdamW has no momentum of Muon's; and tau, which follows from rate, decay and steps, parts nothing."""
    recipes: list[tuple[str, tuple[tuple[str, float], ...]]] = [
        *(("adamw", ()), ("muon", (("matrix_rate", 1.0), ("momentum", 0.95)))),
        ("muon", (("matrix_rate", 1.0), ("momentum", 0.8))),
    ]
    for width, tokens, (optimizer, own) in product(WIDTHS, (100_000, 250_000, 630_000), recipes):
        plain = run_spec(width, tokens, 0.1)
        spec = replace(plain, trunk=replace(plain.trunk, optimizer=optimizer, optimizer_settings=own))
        tau = 1 / (0.01 * 0.1 * spec.steps)
        content = json.loads(json.dumps(spec.to_dict()))
        record = make_record(width, tokens, spec=content, run_id=spec.id, tau=tau)
        write_record(tmp_path / "recipes", replace(record, trunk_id=spec.trunk.id))
    rows = load_runs(tmp_path / "recipes").rows
    assert {"optimizer", "optimizer_matrix_rate", "decay_tau"} <= set(rows.columns)
    found = arms(rows)
    assert len(found.parts) == 3
    assert found.keys == ("optimizer_momentum",)  # which says whose it is
    two = arms(rows[rows["optimizer_momentum"] != 0.8].reset_index(drop=True))
    assert list(two.parts) == ["decoder, optimizer adamw", "decoder, optimizer muon"]


def run_spec(width: int, tokens: int, decay: float) -> RunSpec:
    steps = tokens // 4096
    trunk = TrunkSpec(
        family="decoder", width=width, depth=2, seed=0,
        data=DataSpec("python_source", 1024, fingerprint="9f86", context=128),
        sequences=32, microbatch=32, learning_rate=0.01, weight_decay=decay, beta1=0.9, beta2=0.95, clip=1.0,
        warmup_steps=min(8, 1 + WIDTHS[width] // 4096), horizon=None, precision="auto",
    )  # fmt: skip
    return RunSpec(trunk, steps=steps, cooldown_steps=steps // 5, evaluation_tokens=65536)


def test_defaults_that_a_spec_leaves_out_are_values() -> None:
    plain, mup = run_spec(16, 100_000, 0.1), run_spec(16, 100_000, 0.1)
    mup = replace(mup, trunk=replace(mup.trunk, parametrisation="mup", origin="some-run"))
    columns = spec_columns([plain.to_dict(), mup.to_dict(), {}])
    assert columns["parametrisation"] == ["standard", "mup", None]
    assert columns["continued"] == [False, True, None]
    assert columns["data_paths"] == ["[]", "[]", None]


@pytest.mark.parametrize(
    ("name", "parts", "swept"),
    [
        ("capability", [20] * 3, ()),
        ("cooldown", [48] * 2, ()),
        ("demo", [30], ()),
        ("families", [20] * 5, ()),
        ("learning_rate", [42, 36, 32, 32, 32], ("learning_rate",)),
        ("transfer", [44, 40], ("learning_rate",)),
        ("truth", [232], ("learning_rate",)),
    ],
)
def test_kept_studies(name: str, parts: list[int], swept: tuple[str, ...]) -> None:
    folder = Path(public_data.__file__).parent
    found = arms(load_runs(folder / name / "runs.csv").rows)
    assert [len(at) for at in found.parts.values()] == parts
    assert (found.sweep.keys if found.sweep else ()) == swept


@pytest.mark.parametrize(
    ("name", "columns", "keys", "parts"),
    [
        ("isoflops/three_of_eight.csv", None, ("data", "outlier"), 6),
        ("gadre_overtraining/gadre_104_models.csv", "loss=loss_openlm", ("data",), 3),
        ("chinchilla_points/svg_extracted_data.csv", None, (), 1),
        ("farseer/train.csv", None, (), 1),
        ("repeated/datablations182.csv", None, (), 1),
        ("olmo_ladder/models_to_1B.csv", "loss=c4_loss", (), 1),
        (
            "porian/tuned-short-const-standard-val.csv",
            ["params=Size", "tokens=Seen", "loss=Test loss", "flops=FLOP"],
            (),
            1,
        ),
    ],
)
def test_public_tables(name: str, columns: Any, keys: tuple[str, ...], parts: int) -> None:
    path = (public_data.public_data() or public_data.DEFAULT) / name
    if not path.is_file():
        pytest.skip("public data not here")
    found = arms(load_runs(path, columns).rows)
    assert found.keys == keys
    assert len(found.parts) == parts
    assert found.sweep is None


def test_remarks_part_nothing_and_a_column_of_phrases_says_how_to_pool() -> None:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e9, 1e11, 4)))
    rows = pd.DataFrame({"params": N, "tokens": D, "loss": 3 + 1e6 / N, "family": "unstated"})
    words = np.where(np.arange(24) % 5 < 2, "node died", "")
    found = arms(rows.assign(notes=words))
    assert found.keys == ()
    assert "notes (remarks; --by notes parts by them)" in found.words
    assert arms(rows.assign(notes=words), by=["notes"]).keys == ("notes",)
    found = arms(rows.assign(condition=words))
    assert found.keys == ("condition",)
    assert "where condition holds remarks and no setting, leave it out: --by family." in found.hint


@pytest.mark.parametrize("odd", ["text", 3, None, [], ["ab"], [["a", 1, 2]], [[["x"], 1]], {"a": {"b": 1}}])
@pytest.mark.parametrize("key", ["trunk", "data", "sizes", "optimizer_settings", "family"])
def test_a_spec_of_another_shape_is_a_column(key: str, odd: object) -> None:
    columns = spec_columns([{key: odd, "x": 1}, {"trunk": {"family": "decoder"}}])
    assert columns["x"] == [1, None]
    assert all(len(values) == 2 for values in columns.values())
