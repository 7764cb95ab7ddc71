"""What experiments/transfer says of its kept table, and how it reads a study."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from experiments.transfer import __main__ as command
from scaling.records.record import encode_record
from tests.analysis.synthetic import make_record


def test_the_readme_prints_what_the_kept_table_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(command.KEPT, tmp_path)
    assert command.main([str(tmp_path / "runs.csv")]) == 0
    said = capsys.readouterr().out.split("\nfigure:")[0].strip()
    assert said in command.KEPT.with_name("README.md").read_text()
    assert (tmp_path / "runs.png").stat().st_size > 10_000


def test_a_study_is_read_by_parametrisation_and_a_rate_that_diverged_is_left_out(tmp_path: Path) -> None:
    for rate in (0.001, 0.002):
        for seed in (0, 1):
            for trunk in ({}, {"parametrisation": "mup"}):
                lost = (rate, seed, trunk) == (0.002, 1, {})
                about = {"status": "diverged", "loss": None, "reason": "loss nan"} if lost else {}
                run = make_record(
                    16,
                    100_000,
                    run_id=f"{rate}-{seed}-{len(trunk)}",
                    learning_rate=rate,
                    seed=seed,
                    spec={"trunk": trunk},
                    **about,
                )
                folder = tmp_path / run.run_id / run.run_id
                folder.mkdir(parents=True)
                (folder / "record.json").write_bytes(encode_record(run))
    runs = command.read_runs(tmp_path)
    found = list(zip(runs["parametrisation"], runs["learning_rate"], runs["seed"], strict=True))
    assert found == [
        *(("standard", 0.001, seed) for seed in (0, 1)),
        *(("mup", rate, seed) for rate in (0.001, 0.002) for seed in (0, 1)),
    ]
