"""What a teacher predicts, for a student to come close to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scaling.data.dataset import Dataset
from scaling.records.storage import peek_checkpoint
from scaling.study.recorded import read_spec
from scaling.study.spec import TrunkSpec
from scaling.study.teacher import EXACT, find_run, read_record
from scaling.training.arithmetic import set_arithmetic
from scaling.training.device import Numerics
from scaling.training.state import build_model, evaluated_weights, read_checkpoint

Teacher = Callable[[Sequence[Tensor]], Tensor]  # inputs → log-probabilities (n, t, vocab) up to a constant


def open_teacher(spec: TrunkSpec, runs: Path, dataset: Dataset, numerics: Numerics) -> Teacher:
    """The teacher of a trunk, with weights that nothing moves.

    Args:
        runs: the folder of studies; the teacher may lie in any.

    Raises:
        ValueError: when its checkpoint is gone.
    """
    if spec.teacher == EXACT:
        return _exact(dataset)
    folder = find_run(spec.teacher, runs)
    record = read_record(folder)
    own = read_spec(record)
    found = peek_checkpoint(folder, read_checkpoint, at_most=10**12)
    if found is None or found[1]["step"] != own.steps:
        raise ValueError(f"training.teacher: {folder} has no whole checkpoint of step {own.steps} any more.")
    model = build_model(own.trunk)
    model.load_state_dict(evaluated_weights(found[1]))
    model = model.to(numerics.device).eval().requires_grad_(False)
    set_arithmetic(model, Numerics(numerics.device, record.precision, 1).compute_dtype)
    return lambda inputs: model(*inputs).float()


def _exact(dataset: Dataset) -> Teacher:
    truth: Any = dataset.truth

    def predict(inputs: Sequence[Tensor]) -> Tensor:
        p = torch.from_numpy(truth.exact_probabilities(inputs[0].cpu().numpy()))
        return p.log().float().clamp(min=-1e4).to(inputs[0].device)

    return predict
