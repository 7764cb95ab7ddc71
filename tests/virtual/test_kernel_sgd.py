"""A trainer without noise: its recursion is right, and the whole path recovers what it was made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.lack_of_fit import lack_of_fit
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.forecast.heldout import forecast_heldout
from analysis.table import load_runs
from scaling.records.record import read_study
from scaling.virtual.kernel_sgd import KernelSGD, Students
from scaling.virtual.train import Schedule, linear_rates, train_students

SIZES = [8, 16, 32, 64, 128, 256, 512]
SAMPLES = [2**k for k in range(8, 15)]


@pytest.mark.parametrize("batch", [1, 4])
def test_the_recursion_is_the_mean_of_real_sgd(batch: int) -> None:
    """4,000 students that really take 30 steps: their mean loss lies within 4 standard errors."""
    teacher = KernelSGD(exponent=1.5, noise=0.3, batch=batch)
    size = 3  # coordinates beyond it reach the student as noise only
    rng = np.random.default_rng(0)
    variance = np.arange(1.0, size + 1) ** -teacher.exponent
    rest = Students(teacher, [size]).losses[0] - teacher.noise - variance.sum()
    assert rest == pytest.approx(np.sum(np.arange(size + 1.0, 10**6) ** -1.5), abs=3e-3)
    wrong = np.ones((4000, size))  # w* - w
    for rate in linear_rates(0.2, 30):
        x = rng.normal(size=(4000, batch, size)) * np.sqrt(variance)
        hidden = rng.normal(size=(4000, batch)) * np.sqrt(rest + teacher.noise)
        error = np.einsum("rbi,ri->rb", x, wrong) + hidden
        wrong -= rate * np.einsum("rb,rbi->ri", error, x) / batch
    losses = teacher.noise + rest + wrong**2 @ variance
    exact = Students(teacher, [size]).advance(linear_rates(0.2, 30)).losses[0]
    assert abs(losses.mean() - exact) < 4 * losses.std() / np.sqrt(4000)


def test_sizes_side_by_side_are_sizes_alone_and_a_branch_leaves_its_trunk() -> None:
    together = Students(KernelSGD(), [3, 50]).advance(linear_rates(0.1, 100))
    alone = [Students(KernelSGD(), [M]).advance(linear_rates(0.1, 100)).losses[0] for M in (3, 50)]
    assert together.losses == pytest.approx(alone, rel=1e-14)
    before = together.losses
    assert (together.branch().advance([0.01]).losses != before).all()
    assert (together.losses == before).all()


@pytest.mark.parametrize("schedule", ["trunk", pytest.param("linear", marks=pytest.mark.slow)])
def test_records_to_table_to_fit_to_forecast_recover_the_truth(tmp_path: Path, schedule: Schedule) -> None:
    teacher = KernelSGD()
    records = train_students(teacher, SIZES, SAMPLES, tmp_path, study="s", schedule=schedule)
    study = read_study(tmp_path / "s")
    assert not study.missing
    assert study.records == tuple(sorted(records, key=lambda record: record.run_id))
    table = load_runs(tmp_path / "s")
    groups = table["trunk_id"]
    assert len(table) == 49
    assert groups.nunique() == (len(SIZES) if schedule == "trunk" else 49)
    columns = table["params"], table["tokens"], table["loss"]

    free = fit_loss_surface(*columns, law="coupled", groups=groups, resamples=0)
    assert free.law.parameters["E"] == pytest.approx(teacher.floor, abs=0.003)
    assert free.law.parameters["beta"] == pytest.approx(teacher.beta, abs=0.01)
    assert free.law.parameters["alpha"] == pytest.approx(teacher.alpha, rel=0.05)

    plain = fit_loss_surface(*columns, groups=groups, resamples=0)
    test = lack_of_fit(plain, resamples=99)
    assert test.rejected()
    assert test.rms > 10 * test.rms_against

    runs = Runs.of_table(table, ("N", "D"))
    by_law = {
        law: forecast_heldout(runs, Recipe(law), Bootstrap(resamples=1)).error
        for law in ("coupled", "chinchilla")
    }
    assert by_law["coupled"] < 0.005 < 0.05 < by_law["chinchilla"]


def test_a_rate_that_diverges_is_recorded_so_and_a_second_call_changes_nothing(tmp_path: Path) -> None:
    first = train_students(KernelSGD(), [4], [2**12, 2**13], tmp_path, rate=0.8)
    assert [record.status for record in first] == ["diverged", "diverged"]
    assert train_students(KernelSGD(), [4], [2**12, 2**13], tmp_path, rate=0.8) == first
    assert len(read_study(tmp_path / "kernel_sgd").diverged) == 2


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exponent: above 1"):
        KernelSGD(exponent=1)
    with pytest.raises(ValueError, match="multiples of the batch 4"):
        train_students(KernelSGD(batch=4), [4], [10], tmp_path)
    with pytest.raises(ValueError, match="at least 1 coordinate"):
        Students(KernelSGD(), [])
