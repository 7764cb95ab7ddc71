"""One thread a test process (a busy two-core machine took 9x longer with the default), and no network."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    # Each process that a test starts would compile PyTorch and pandas anew, ten seconds every time.
    cache = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = cache
    sys.dont_write_bytecode = False
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy or PyTorch is imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("WANDB_MODE", "offline")

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# The same examples everywhere: what passed here passes there. HYPOTHESIS_PROFILE=random draws new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty short documents that a model can learn something from: a folder of .txt files."""
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(30):
        lines = [f"item {i} has value {(i * j) % 97}; the next is {(i * j + 1) % 97}." for j in range(400)]
        (folder / f"{i:02d}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def tiny_study(tiny_corpus: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides of a study of two sizes and two budgets that trains in about a second."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    return [
        "name=tiny",
        "question=Does it run?",
        f"runs={tmp_path / 'runs'}",
        f"cache={cache}",
        "tracking=off",
        "workers=1",
        "data=text",
        f"data.paths=[{tiny_corpus}/*.txt]",
        "data.vocab=256",
        "data.context=32",
        "data.heldout_fraction=0.2",
        "model.params=5e3,8e3",
        "budget.tokens=[2e3,5e3]",
        "training.sequences=4",
        "training.warmup_steps=3",
        "training.threads=1",
        "training.precision=float32",
        "training.evaluation_tokens=2048",
        "training.curve_evaluations=3",
        "training.curve_tokens=1024",
    ]


@pytest.fixture
def trained_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every step that is trained in this process."""
    from scaling.training.state import LocalState

    found: list[int] = []
    train_step = LocalState.train_step

    def counting(self: LocalState, *arguments: Any) -> Any:
        found.append(self.step)
        return train_step(self, *arguments)

    monkeypatch.setattr(LocalState, "train_step", counting)
    return found
