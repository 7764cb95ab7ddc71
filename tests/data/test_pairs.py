"""Pairs of sentences: rows, their one separator, batches that account for every token, and clear refusals."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.layout import NOTHING
from scaling.data.options import DataOptions
from scaling.study.plan import plan_study
from scaling.training.objectives import OBJECTIVES
from scaling.training.train import train_trunk

FILE = Path(__file__).with_name("pairs.tsv")
PAIRS = [tuple(line.split("\t")) for line in FILE.read_text().splitlines()]
LONGEST = max(len("\t".join(pair).encode()) for pair in PAIRS) + 1  # with the end


def open_pairs(*paths: Path, cache: Path, vocab: int = 256, field: str = "source,target") -> Dataset:
    options = DataOptions("pairs", vocab, tuple(map(str, paths)), field, heldout_fraction=0.4)
    return open_dataset(options, cache)


def sides(dataset: Dataset, row: np.ndarray) -> tuple[str, str]:
    """The pair of a row, told by its separator; the row ends with the end of a document."""
    assert dataset.tokenizer is not None
    ids = row[row != NOTHING].tolist()
    assert ids.pop() == dataset.tokenizer.end
    at = ids.index(dataset.layout.separator)
    assert ids.count(dataset.layout.separator) == 1
    return dataset.decode(ids[:at]), dataset.decode(ids[at + 1 :])


def rows_of(dataset: Dataset, context: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Every training and held-out pair."""
    train = dataset.batches(context, 1, seed=0)
    count = round(1 / train.epochs(1))
    held = dataset.heldout_batches(context, 1)
    return [sides(dataset, train.batch(i)[0]) for i in range(count)], [sides(dataset, b[0]) for b in held]


@pytest.mark.parametrize("vocab", [256, 300])
def test_every_pair_is_served_once_on_its_side_of_the_split(vocab: int, tmp_path: Path) -> None:
    dataset = open_pairs(FILE, cache=tmp_path, vocab=vocab)
    train, held = rows_of(dataset, 96)
    assert sorted(train + held) == sorted(PAIRS)
    assert len(held) > 16
    assert not {source for source, _ in train} & {source for source, _ in held}
    both = [pair for pair in train + held if pair[0] == "Gute Nacht."]
    assert both in ([pair for pair in part if pair[0] == "Gute Nacht."] for part in (train, held))


def test_all_forms_hold_the_same_pairs(tmp_path: Path) -> None:
    licensed = tmp_path / "a.tsv"
    licensed.write_text("\ufeff" + "".join(f" {s} \t{t}\tCC-BY 2.0\n\n" for s, t in PAIRS), encoding="utf-8")
    rows = [json.dumps({"de": s, "en": t, "id": 1}) for s, t in PAIRS]
    objects = tmp_path / "b.jsonl.gz"
    objects.write_bytes(gzip.compress("\n".join(rows).encode()))
    plain = open_pairs(FILE, cache=tmp_path / "cache")
    for path in (licensed, objects):
        assert open_pairs(path, cache=tmp_path / "cache", field="de,en").fingerprint == plain.fingerprint


def test_batches_are_of_seed_and_step_and_count_every_token(tmp_path: Path) -> None:
    dataset = open_pairs(FILE, cache=tmp_path)
    batches = dataset.batches(96, 5, seed=3)
    parts = [batches.batch(step) for step in range(30)]
    assert all(np.array_equal(dataset.batches(96, 5, seed=3).batch(step), parts[step]) for step in (0, 7, 29))
    assert not np.array_equal(dataset.batches(96, 5, seed=4).batch(0), parts[0])
    assert parts[0].shape == (5, 97)
    counted = np.cumsum([(part != NOTHING).sum() - 5 for part in parts])
    assert [batches.tokens(step + 1) for step in range(30)] == counted.tolist()
    rows = round(5 / batches.epochs(1))
    assert batches.tokens_unique(3) == counted[2]
    assert batches.tokens_unique(30) == dataset.batches(96, rows, 3).tokens(1)
    assert dataset.row_tokens(96) == pytest.approx(batches.tokens_unique(30) / rows)


def test_only_the_target_is_predicted(tmp_path: Path) -> None:
    dataset = open_pairs(FILE, cache=tmp_path)
    ids = dataset.heldout_batches(96, 8)[0]
    for objective in ("causal", "seq2seq"):
        batch = OBJECTIVES[objective](ids, dataset.layout, (0,))
        said = [dataset.decode(row[(row != NOTHING) & (row != 0)]) for row in batch.targets]
        assert said == [sides(dataset, row)[1] for row in ids]


def test_rows_that_do_not_fit_are_left_out_and_said_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_pairs(FILE, cache=tmp_path)
    with caplog.at_level(logging.WARNING):
        dataset.batches(LONGEST - 1, 4, seed=0)
        assert not caplog.messages
        kept = dataset.batches(LONGEST - 8, 4, seed=0).epochs(1)
    assert kept > dataset.batches(LONGEST - 1, 4, seed=0).epochs(1)
    assert any("are left out" in message for message in caplog.messages)
    with pytest.raises(ValueError, match=r"data\.context: .* pairs have more than context \+ 1 = 31 tokens"):
        dataset.batches(30, 4, seed=0)
    with pytest.raises(ValueError, match="too few for one batch of 64"):
        dataset.heldout_batches(96, 64)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", "Hallo\tHello\nTschüss\n", "x.tsv:2: the target is missing. A row is source, tab, target"),
        ("x.tsv", "Hallo\tHello\n\tBye\n", "x.tsv:2: the source is missing"),
        ("x.tsv", "Hallo\t  \t CC-BY\n", "x.tsv:1: the target is missing"),
        ("x.tsv", "Hal\vlo\tHello\n", "x.tsv:1: the source holds a vertical tab"),
        ("x.jsonl", '{"source": "a"}', "x.jsonl:1: no field 'target'; there are: source"),
        ("x.jsonl", '{"source": "a", "target": ""}', "x.jsonl:1: the target is missing"),
        ("x.jsonl", '\n{"source": "a", "target": 3}', "x.jsonl:2: field 'target' holds int, not text"),
        ("x.jsonl", "[1]", "line 1: a JSON list"),
        ("x.csv", "a,b", "cannot read this kind of file"),
    ],
)
def test_a_bad_row_is_named(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match="x\\.") as error:
        open_pairs(path, cache=tmp_path / "cache")
    assert message in str(error.value)


def test_bytes_that_are_no_text_and_paths_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "y.tsv").write_bytes(b"a\tb\n\xff\tc\n")
    with pytest.raises(ValueError, match=r"y\.tsv:2: not UTF-8"):
        open_pairs(tmp_path / "y.tsv", cache=tmp_path / "cache")
    with pytest.raises(FileNotFoundError, match="corpus 'pairs'"):
        open_pairs(tmp_path / "nowhere.tsv", cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="corpus 'pairs' needs paths"):
        open_pairs(cache=tmp_path / "cache")
    (tmp_path / "z.jsonl").write_text('{"text": "a"}')
    with pytest.raises(ValueError, match=r"data\.field: of pairs, both fields"):
        open_pairs(tmp_path / "z.jsonl", cache=tmp_path / "cache", field="text")


@pytest.mark.parametrize("family", ["encoder_decoder", "decoder"])
def test_a_study_of_pairs_trains_and_learns(family: str, tmp_path: Path) -> None:
    plan = plan_study(
        [
            "name=pairs",
            f"runs={tmp_path}",
            f"cache={tmp_path}",
            "tracking=off",
            "data=pairs",
            f"data.paths=[{FILE}]",
            "data.vocab=256",
            "data.context=96",
            "data.heldout_fraction=0.4",
            f"model={family}",
            "model.params=6e3",
            "budget.tokens=1e4",
            "training.sequences=8",
            "training.warmup_steps=3",
            "training.learning_rate=1e-2",
            "training.threads=1",
            "training.evaluation_tokens=800",
            "training.curve_evaluations=0",
        ]
    )
    dataset = open_dataset(plan.trunks[0].spec.data, plan.config.cache)
    (trunk,) = plan.trunks
    (record,) = train_trunk(trunk, dataset, plan.folder, study="pairs", device="cpu", threads=1)
    assert record.loss is not None
    assert record.loss < 4.2, "ln 256 = 5.55 is guessing; a few letters are most of the text"
    assert record.tokens == pytest.approx(1e4, rel=0.05)
