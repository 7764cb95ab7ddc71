"""An exported folder, opened: weights, packed or whole, in the model of its config, and its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from scaling.capability.finished import Subject
from scaling.capability.labelled.tuning import Tuned
from scaling.capability.packed import load_packed
from scaling.capability.reader import Reader
from scaling.data.dataset import Dataset
from scaling.data.layout import Layout
from scaling.data.tokenizer import BYTES, BpeTokenizer, ByteTokenizer, Tokenizer
from scaling.models import get_family, shape_of
from scaling.records.reading import read_json

READOUT = ("readout.weight", "readout.bias")  # of a model that classifies, tags or answers


@dataclass(frozen=True, kw_only=True)
class ExportedText(Dataset):
    """What a corpus leaves in an export: how its text becomes ids. The text itself is not there."""

    def batches(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError(f"an export of corpus {self.name!r} holds no text to train on.")

    def heldout_batches(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError(f"an export of corpus {self.name!r} holds no text to evaluate on.")


def open_exported(folder: Path, *, device: str = "cpu") -> tuple[Subject, dict[str, Any]]:
    """The model that `scaling export` wrote, and its config. Packed weights stay packed.

    Raises:
        ModuleNotFoundError: without the `safetensors` package.
        ValueError: for a config that is not one of `scaling export`.
    """
    try:
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "an export needs the package safetensors: pip install 'scaling-harness[export]'."
        ) from error
    config = read_json(folder / "config.json")
    if missing := {"family", "width", "depth", "vocab", "context", "objective", "sizes"} - config.keys():
        raise ValueError(
            f"{folder}/config.json: no {min(missing)!r}; it was not written by `scaling export`."
        )
    shape = shape_of(config["family"], config["width"], config["depth"], tuple(config["sizes"].items()))
    model = get_family(config["family"]).make(shape, config["vocab"], config["context"])
    state = load_file(folder / "model.safetensors")
    for name in READOUT:
        state.pop(name, None)
    if config.get("compression"):
        load_packed(model, state, config["compression"])
    else:
        model.load_state_dict(state)
    if not hasattr(model, "context"):
        model.context = config["context"]
    tokenizer = _tokenizer(folder, config["vocab"])
    dataset = ExportedText(
        name=config["data"],
        fingerprint=config["data_fingerprint"],
        layout=Layout(config["vocab"], config.get("separator")),
        token_bytes=np.zeros(config["vocab"], dtype=np.int64),
        facts={},
        tokenizer=tokenizer,
    )
    model = model.to(device).eval()
    return Subject(model, config["objective"], config["context"], dataset, 0.0, device), config


def open_tuned(folder: Path, subject: Subject, config: dict[str, Any]) -> Tuned | None:
    """What the model of an export says that was fine-tuned to classify, tag or answer; None of another."""
    if not config.get("task"):
        return None
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="pt") as file:
        weight, bias = (file.get_tensor(name) for name in READOUT)
    reader = Reader(subject, len(weight))
    reader.model = subject.model
    reader.layer.load_state_dict({"weight": weight, "bias": bias})
    task = config["task"]
    return Tuned(task["kind"], reader.eval(), tuple(task["words"]), task["longest"])


def _tokenizer(folder: Path, vocab: int) -> Tokenizer | None:
    """Read what `to_library` wrote; None where the ids are no text."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    return ByteTokenizer() if vocab == BYTES else BpeTokenizer(path.read_bytes())
