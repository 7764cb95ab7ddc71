"""Branches off a trunk: what they start from, what they read, and that they go on after a kill."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments.critical_batch import __main__ as command
from experiments.critical_batch.branch import branch, read_branches, train_branches
from scaling.capability.finished import open_corpus_of
from scaling.records.record import RunRecord, read_study
from scaling.study.plan import plan_study
from scaling.study.recorded import read_spec
from scaling.training import segment
from scaling.training.observer import Observer
from scaling.training.state import LocalState
from scaling.training.train import train_trunk

FIRST, MORE = 2048, 2048  # tokens


@pytest.fixture(scope="module")
def points(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trunk at a constant rate, with a run where branches leave and one where they end."""
    runs = tmp_path_factory.mktemp("runs")
    plan = plan_study(
        [
            *("name=points", f"runs={runs}", f"cache={runs}/cache", "tracking=off", "model.params=5e3"),
            *("data=text", f"data.paths=[{tiny_corpus}/*.txt]", "data.vocab=256", "data.context=32"),
            *(
                "data.heldout_fraction=0.2",
                f"budget.tokens=[{FIRST},{FIRST + MORE}]",
            ),
            *("training.sequences=4", "training.cooldown=0", "training.warmup_steps=3"),
            *("training.threads=1", "training.evaluation_tokens=2048", "training.curve_evaluations=0"),
        ]
    )
    for trunk in plan.trunks:
        dataset = open_corpus_of(trunk.spec.data, runs / "cache")
        train_trunk(trunk, dataset, plan.folder, study="points", threads=1)
    return plan.folder


def end(points: Path, tokens: int) -> RunRecord:
    return next(run for run in read_study(points).done if run.tokens == tokens)


def train(points: Path) -> Path:
    return train_branches(points, (1, 2), tokens=MORE, cache=str(points.parent / "cache"))


def test_a_branch_in_the_same_batches_is_the_trunk(points: Path) -> None:
    """Bit for bit: the state, the rows and the rate are those of the run that went on."""
    table = read_branches(train(points))
    same = table[table["final"] & (table["origin"] == FIRST) & (table["batch_tokens"] == 128)]
    assert same["loss"].tolist() == [end(points, FIRST + MORE).loss]
    assert table.groupby(["origin", "batch_tokens"])["tokens"].max().eq(MORE).all()


def test_batches_twice_as_large_hold_the_same_rows(points: Path) -> None:
    run = end(points, FIRST)
    spec, dataset = read_spec(run).trunk, open_corpus_of(read_spec(run).trunk.data, points.parent / "cache")
    twice = branch(run, 2, MORE).spec
    assert twice.learning_rate == pytest.approx(spec.learning_rate * 2**0.5)
    assert twice.tokens(twice.start) == FIRST
    small, large = (dataset.batches(32, s.sequences, s.seed) for s in (spec, twice))
    pair = [small.batch(run.steps), small.batch(run.steps + 1)]
    np.testing.assert_array_equal(large.batch(twice.start), np.concatenate(pair))


def test_a_killed_branch_goes_on_to_the_same_loss(points: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_branches(train(points))
    shutil.rmtree(points.with_name(f"points_branches_{MORE}"))
    steps = 0

    def train_step(state: LocalState, *arguments: object) -> object:
        nonlocal steps
        steps += 1
        if steps == 10:
            raise KeyboardInterrupt
        return step(state, *arguments)

    step = LocalState.train_step
    monkeypatch.setattr(segment, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(LocalState, "train_step", train_step)
    with pytest.raises(KeyboardInterrupt):
        train(points)
    monkeypatch.setattr(segment, "CHECKPOINT_SECONDS", 60.0)
    again = read_branches(train(points))
    assert again.equals(whole)
    trained = steps
    train(points)
    assert steps == trained  # nothing is trained a second time


def test_what_cannot_be_branched_off_is_refused(points: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no run of \[77\] tokens in .*; there are 2048, 4096."):
        train_branches(points, (1, 2), points=[77])
    run = end(points, FIRST)
    with pytest.raises(ValueError, match=r"in batches 32 times as large: .* 0.5 batches"):
        branch(run, 32, MORE)
    trunk = branch(run, 2, MORE)
    dataset = open_corpus_of(trunk.spec.data, points.parent / "cache")
    with pytest.raises(ValueError, match=f"goes on from run {run.run_id}, of which no study"):
        train_trunk(
            trunk, dataset, tmp_path / "runs" / "alone", study="alone", threads=1, observer=Observer()
        )


@pytest.mark.parametrize("kept", ["branches.csv", "fixed.csv"])
def test_the_readme_prints_what_the_kept_tables_say(
    kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(command.KEPT.with_name(kept), tmp_path)
    assert command.main([str(tmp_path / kept)]) == 0
    said = capsys.readouterr().out.split("\nfigure:")[0].strip()
    assert said in command.KEPT.with_name("README.md").read_text()
    assert (tmp_path / kept).with_suffix(".png").stat().st_size > 10_000
