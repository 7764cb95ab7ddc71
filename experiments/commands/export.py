"""`scaling export RUN --to FOLDER`: safetensors, config and tokenizer; a decoder for `transformers` too."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from torch import Tensor

from experiments.trained import add_run, open_run
from scaling.capability.finished import Finished
from scaling.data.tokenizer import END_NAME, Tokenizer
from scaling.models import Shape, neox
from scaling.records.storage import make_folder, own_folder, write_atomic, write_json

WEIGHTS, CONFIG = "model.safetensors", "config.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"  # as `transformers` names them
FORMAT = 1


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling export", description=__doc__)
    add_run(parser)
    parser.add_argument("--to", required=True, metavar="FOLDER", help="made where it is missing")
    asked = parser.parse_args(arguments)
    for path in export(open_run(asked), Path(asked.to)):
        print(path)
    return 0


def export(finished: Finished, folder: Path) -> list[Path]:
    """Write a run's weights and what it takes to build its model; returns the files.

    Raises:
        ModuleNotFoundError: without the `safetensors` package.
    """
    record = finished.record
    trunk = finished.spec.trunk
    shape = Shape(record.width, record.depth)
    state = {name: tensor.cpu() for name, tensor in finished.subject.model.state_dict().items()}
    config = {
        "format": FORMAT,
        "family": record.family,
        "objective": record.objective,
        "width": record.width,
        "depth": record.depth,
        **dict(trunk.sizes),
        "vocab": record.vocab,
        "context": record.context,
        "params": record.params,
        "tokens": record.tokens,
        "loss": record.loss,
        "run_id": record.run_id,
        "data": record.data,
        "data_fingerprint": record.data_fingerprint,
    }
    tokenizer = finished.subject.dataset.tokenizer
    written = _write(folder, state, config, tokenizer)
    if record.family == "decoder" and not trunk.sizes:  # with options it is no GPT-NeoX any more
        config = neox.to_config(shape, record.vocab, record.context, tokenizer.end if tokenizer else None)
        written += _write(
            own_folder(folder, "transformers"), neox.to_weights(state, shape), config, tokenizer
        )
    return written


def _write(
    folder: Path, state: dict[str, Tensor], config: dict[str, Any], tokenizer: Tokenizer | None
) -> list[Path]:
    try:
        from safetensors.torch import save
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "scaling export needs the package safetensors: pip install 'scaling-harness[export]'."
        ) from error
    make_folder(folder)
    # `transformers` asks for the format in the metadata.
    write_atomic(folder / WEIGHTS, save(state, metadata={"format": "pt"}))
    write_json(folder / CONFIG, config)
    if tokenizer is None:  # generated data are no text
        return [folder / WEIGHTS, folder / CONFIG]
    write_atomic(folder / TOKENIZER, tokenizer.to_library().to_str(pretty=True).encode())
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END_NAME}
    write_json(folder / TOKENIZER_CONFIG, said)
    return [folder / name for name in (WEIGHTS, CONFIG, TOKENIZER, TOKENIZER_CONFIG)]
