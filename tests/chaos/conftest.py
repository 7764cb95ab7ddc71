"""Forty trunks of five families and three objectives, small enough to be killed hundreds of times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.launch.job import TrunkJob
from scaling.study.plan import plan_study
from tests.chaos.table import tally
from tests.chaos.trainer import Board

__all__ = ["tally"]  # also where the table's plugin is not loaded

FAMILIES = "decoder,lstm,feedforward,masked,encoder_decoder"
SEEDS = 8


@pytest.fixture(scope="session")
def tasks(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[TrunkJob]:
    """One trunk with two cooldowns each, families in turn; `folder` is to be replaced."""
    cache = tmp_path_factory.mktemp("chaos-cache")
    plan = plan_study(
        [
            "name=chaos",
            f"model={FAMILIES}",
            f"seed={','.join(map(str, range(SEEDS)))}",
            f"cache={cache}",
            "data=text",
            f"data.paths=[{tiny_corpus}/*.txt]",
            "data.vocab=256",
            "data.context=32",
            "data.heldout_fraction=0.2",
            "model.params=6e3",
            "budget.tokens=[6e3,1.2e4]",
            "training.sequences=4",
            "training.warmup_steps=16",
            "training.learning_rate=0.005",
            "training.threads=1",
            "training.precision=float32",
            "training.evaluation_tokens=2048",
            "training.curve_evaluations=3",
            "training.curve_tokens=1024",
        ]
    )
    by_seed = sorted(plan.trunks, key=lambda trunk: trunk.spec.seed)
    return [TrunkJob(trunk, plan.config.cache, Path("unset"), "chaos", "cpu", 1) for trunk in by_seed]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


@pytest.fixture
def place(tmp_path: Path) -> Callable[[TrunkJob, str], TrunkJob]:
    """The task in a folder of its own below the test's."""
    return lambda task, name: replace(task, folder=tmp_path / name)
