"""A model as a program of torch.export: it runs where PyTorch is, without this package."""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from scaling.capability.finished import Subject
from scaling.capability.labelled.tuning import Tuned
from scaling.models import input_lengths
from scaling.models.blocks import set_compute_dtype
from scaling.models.derived import restore

NEAR = 1e-4  # the most that its logits may be off


class _Told(nn.Module):
    """What a tuned model says: of every token (rows, t, outputs), or of whole rows where it classifies."""

    def __init__(self, model: nn.Module, tuned: Tuned) -> None:
        super().__init__()
        self.model, self.layer, self.whole = model, tuned.reader.layer, tuned.kind == "classify"

    def forward(self, *ids: Tensor) -> Tensor:
        """As `Reader`, of rows without padding."""
        features = self.model.features(*ids).float()  # type: ignore[operator]
        return self.layer(features.mean(1) if self.whole else features)  # type: ignore[no-any-return]


def export_program(subject: Subject, tuned: Tuned | None = None) -> bytes:
    """The bytes of a program from ids (2, context) to logits, for any number of rows, in float32.

    Of a tuned model, to the scores of its labels or tags, or of the begin and end of an answer.

    torch.export and not ONNX: it needs no package beside PyTorch. Loaded again it is held to the model.

    Raises:
        ValueError: where its logits are off by more than `NEAR`, or the model cannot be exported.
    """
    model = subject.model if tuned is None else _Told(subject.model, tuned)
    model = copy.deepcopy(model).cpu().eval()
    restore(model)
    set_compute_dtype(model, None)
    inputs = _inputs(subject, rows=2, seed=0)
    batch = torch.export.Dim("rows", min=1, max=1024)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what PyTorch says there is for its own developers
            shapes: tuple[Any, ...] = tuple({0: batch} for _ in inputs)
            shapes = shapes if tuned is None else (shapes,)  # all inputs of `_Told` are one argument
            program = torch.export.export(model, inputs, dynamic_shapes=shapes)
    except Exception as error:  # of any kind: it traces a stranger's code
        lines = str(error).strip().splitlines()
        raise ValueError(f"--program: torch.export cannot trace this model: {lines[0]}") from error
    file = io.BytesIO()
    torch.export.save(program, file)
    loaded: Any = torch.export.load(io.BytesIO(file.getvalue())).module()
    for rows in (1, 3):
        other = _inputs(subject, rows, seed=rows)
        with torch.no_grad():
            off = float((loaded(*other) - model(*other)).abs().max())
        if not off <= NEAR:
            raise ValueError(f"--program: the exported logits are off by {off:.2g}; {NEAR:g} is allowed.")
    return file.getvalue()


def _inputs(subject: Subject, rows: int, seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    lengths = input_lengths(subject.objective, subject.context)
    return tuple(torch.randint(subject.dataset.vocab, (rows, n), generator=generator) for n in lengths)
