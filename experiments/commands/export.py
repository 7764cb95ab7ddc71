"""`scaling export RUN --to FOLDER`: safetensors, config and tokenizer; a decoder also for `transformers`.

With --quantise or --prune, the weights are packed; --program adds the model as a torch.export program.

`scaling export runs/STUDY --to metrics.csv`: every logged row of a study as one table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.trained import Opened, add_model, open_model
from scaling.records.record import RECORD_FILE
from scaling.records.storage import make_folder, own_folder, write_atomic, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from scaling.data.tokenizer import Tokenizer

WEIGHTS, CONFIG, PROGRAM = "model.safetensors", "config.json", "model.pt2"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"  # as `transformers` names them
FORMAT = 1


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scaling export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    parser.add_argument("--program", action="store_true", help="also write model.pt2, by torch.export")
    parser.add_argument("--to", required=True, metavar="PATH", help="a folder; for a study, a .csv file")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    asked = parser.parse_args(arguments)
    to = Path(asked.to)
    if to.suffix == ".csv":
        from experiments.metrics import export_metrics

        _refuse_existing([to], asked.overwrite)
        print(export_metrics(Path(asked.run), to))
        return 0
    if Path(asked.run).is_dir() and not Path(asked.run, RECORD_FILE).is_file():
        raise FileNotFoundError(
            f"{asked.run}: no finished run. Name a run's folder, runs/STUDY/TRUNK/RUN, or its id; the logged "
            "rows of a study go to a table: --to metrics.csv."
        )
    for path in export(open_model(asked), to, overwrite=asked.overwrite, program=asked.program):
        print(path)
    return 0


def export(opened: Opened, folder: Path, *, overwrite: bool = False, program: bool = False) -> list[Path]:
    """Write a model's weights and what it takes to build it; returns the files.

    Raises:
        ModuleNotFoundError: without the `safetensors` package.
        FileExistsError: where a file is there already, unless `overwrite` is given.
        ValueError: for a model that is an export already.
    """
    from scaling.models import Shape, neox

    finished, subject = opened.finished, opened.subject
    if finished is None:
        raise ValueError("scaling export: the folder holds an export already; copy it.")
    record, trunk = finished.record, finished.spec.trunk
    shape, context, vocab = Shape(trunk.width, trunk.depth), trunk.data.context, trunk.data.vocab
    state = {name: tensor.cpu().contiguous() for name, tensor in subject.model.state_dict().items()}
    config = {
        "format": FORMAT,
        "family": record.family,
        "objective": record.objective,
        "width": shape.width,
        "depth": shape.depth,
        **dict(trunk.sizes),
        "vocab": vocab,
        "context": context,
        "params": record.params,
        "tokens": record.tokens,
        "loss": record.loss,
        "run_id": record.run_id,
        "data": record.data,
        "data_fingerprint": record.data_fingerprint,
        "separator": subject.dataset.layout.separator,
        "sizes": dict(trunk.sizes),
        **({"compression": opened.compression} if opened.compression else {}),
        **({"tuned": opened.tuning} if opened.tuning else {}),
        **({"task": opened.tuned.facts} if opened.tuned else {}),
    }
    if opened.tuned:
        from scaling.capability.exported import READOUT

        layer = opened.tuned.reader.layer
        state |= dict(zip(READOUT, (layer.weight.detach().cpu(), layer.bias.detach().cpu()), strict=True))
    tokenizer = subject.dataset.tokenizer
    # With options a decoder is no GPT-NeoX any more, nor with packed weights or another output.
    plain = not (trunk.sizes or opened.compression or opened.tuned)
    to_transformers = record.family == "decoder" and plain
    folders = [folder, *([folder / "transformers"] if to_transformers else [])]
    names = [place / name for place in folders for name in _names(tokenizer)]
    _refuse_existing([*names, *([folder / PROGRAM] if program else [])], overwrite)
    written = _write(folder, state, config, tokenizer, context)
    if to_transformers:
        place = own_folder(folder, "transformers")
        config = neox.to_config(shape, vocab, context, tokenizer.end if tokenizer else None)
        written += _write(place, neox.to_weights(state, shape), config, tokenizer, context)
    if program:
        from scaling.capability.program import export_program

        write_atomic(folder / PROGRAM, export_program(subject, opened.tuned))
        written.append(folder / PROGRAM)
    return written


def _names(tokenizer: Tokenizer | None) -> tuple[str, ...]:
    """Generated data are no text, and have no tokenizer."""
    return (WEIGHTS, CONFIG) if tokenizer is None else (WEIGHTS, CONFIG, TOKENIZER, TOKENIZER_CONFIG)


def _refuse_existing(paths: Sequence[Path], overwrite: bool) -> None:
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise FileExistsError(f"{there[0]}{more}: already there. Give another --to, or --overwrite.")


def _write(
    folder: Path,
    state: dict[str, Tensor],
    config: dict[str, Any],
    tokenizer: Tokenizer | None,
    context: int,
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
    if tokenizer is not None:
        from scaling.data.tokenizer import END_NAME

        write_atomic(folder / TOKENIZER, tokenizer.to_library().to_str(pretty=True).encode())
        # No model here has seen a padding token; the end of a document is masked or ignored like one.
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": END_NAME,
            "pad_token": END_NAME,
            "model_max_length": context,
        }
        write_json(folder / TOKENIZER_CONFIG, settings)
    return [folder / name for name in _names(tokenizer)]
