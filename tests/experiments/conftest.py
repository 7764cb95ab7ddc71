"""One finished run of every family."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.cli import main
from scaling.models import FAMILIES
from scaling.records.record import find_record_files, read_study


@pytest.fixture(scope="session")
def one_of_each(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Family → folder of its run, by the command that people use. The corpus is in `cache`, beside `five`."""
    runs = tmp_path_factory.mktemp("families")
    settings = [
        *("name=five", "question=Does every family run?", f"runs={runs}", f"cache={runs}/cache"),
        *("tracking=off", "workers=1", "data=text", f"data.paths=[{tiny_corpus}/*.txt]", "data.vocab=256"),
        *("data.context=32", "data.heldout_fraction=0.2", "model.params=1.2e4", "budget.tokens=8e3"),
        *("training.sequences=8", "training.warmup_steps=4", "training.learning_rate=1e-2"),
        *("training.threads=1", "training.precision=float32", "training.evaluation_tokens=2048"),
        *("training.curve_evaluations=1", "training.curve_tokens=512"),
    ]
    code = main(["run", *settings, f"model={','.join(FAMILIES)}"])
    assert code == 0
    study = read_study(runs / "five")
    assert {record.family for record in study.done} == set(FAMILIES)
    folders = {path.parent.name: path.parent for path in find_record_files(runs / "five")}
    return {record.family: folders[record.run_id] for record in study.done}
