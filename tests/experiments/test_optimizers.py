"""The kept comparison of Muon and AdamW says what its table says."""

from __future__ import annotations

from analysis.table import load_runs
from experiments.optimizers.__main__ import FOLDER, differences, interval


def test_the_kept_page_prints_what_the_kept_runs_say() -> None:
    gains = differences(load_runs(FOLDER / "runs.csv").rows)
    assert len(gains) == 5 * 3 * 3
    mean, low, high = interval(gains.groupby("seed")["gain"].mean().to_numpy())
    page = (FOLDER / "README.md").read_text()
    assert f"all cells: Muon's loss is lower by {mean:+.4f} nats, 95 % [{low:+.4f}, {high:+.4f}]" in page
    lower = differences(load_runs(FOLDER / "lower_rates.csv").rows)
    mean, low, high = interval(lower.groupby("seed")["gain"].mean().to_numpy())
    assert f"{mean:+.4f} [{low:+.4f}, {high:+.4f}] nats" in page
