"""The benchmarks of the harness run, on tiny studies; what they count is asserted, what they time is not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from experiments.benchmarks import durable, growth, harness
from experiments.benchmarks.invented import study_of, write_records
from experiments.benchmarks.stopwatch import Stopwatch
from scaling.records.record import read_study


def test_invented_records_are_those_of_the_plan(tmp_path: Path) -> None:
    plan = write_records(study_of(100, tmp_path))
    study = read_study(plan.folder)
    assert [r.run_id for r in study.done] == sorted(run.id for _, run in plan.runs)
    assert (len(study.done), study.missing, study.damaged) == (100, (), {})
    assert len({r.params for r in study.done}) == 20
    assert len({r.tokens for r in study.done}) == 5


def test_the_stopwatch_counts_outer_calls_and_lets_go() -> None:
    class Worker:
        def inner(self) -> None:
            time.sleep(0.001)

        def outer(self) -> None:
            self.inner()

    untouched = Worker.inner
    watch = Stopwatch()
    with watch.watching({"outer": [(Worker, "outer")], "inner": [(Worker, "inner")]}):
        Worker().outer()
        assert set(watch.seconds) == {"outer"}
        Worker().inner()
    assert watch.seconds["outer"] > 0
    assert watch.seconds["inner"] > 0
    assert Worker.inner is untouched


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_what_grows(power: float) -> None:
    runs = (10, 1_000, 10_000, 100_000)
    assert growth.exponent(runs, [3 + 0.01 * n**power for n in runs]) == pytest.approx(power, abs=0.06)


def test_no_growth_has_no_exponent() -> None:
    assert growth.exponent((10, 100, 1_000), (3.0, 3.01, 3.02)) is None


@pytest.mark.slow
def test_the_harness_prints_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(durable, "COMMITS", 2)
    harness.main(["--only", "commit", "overhead", "--seconds", "1", "--folder", str(tmp_path)])
    out = capsys.readouterr().out
    for what in (
        "commit of a record",
        "commit of a checkpoint",
        "harness overhead",
        "  checkpoint",
        "the rest",
    ):
        assert what in out
    assert not list(tmp_path.iterdir())


def test_growth_prints_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert growth.main(["--most", "10", "--only", "status", "--folder", str(tmp_path)]) == 0
    assert "status" in capsys.readouterr().out.splitlines()[-1]
