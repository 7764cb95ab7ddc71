"""Whose column is whose: the documented names, the few aliases that can mean one thing only, and mappings.

A mapping says `ours=theirs`, on the command line, in a dict or in a small YAML or JSON file, and may carry a
factor that brings the numbers to our units: `params=Model Size (M)*1e6`, `loss=val_bits*0.6931471805599453`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Columns = Mapping[str, object] | Sequence[str] | str | Path

# Columns of whole numbers; they are shown as such where every row has one.
COUNTS = (
    *("params", "params_matmul", "params_total", "tokens", "tokens_unique", "batch_tokens", "steps", "vocab"),
    *("context", "width", "depth", "cooldown_steps", "threads", "attempts", "seed"),
)
# What a number must be to be believed. Units are those of the run record.
POSITIVE = (
    *("params", "params_matmul", "params_total", "tokens", "tokens_unique", "epochs", "flops", "flops_6nd"),
    *(
        "loss",
        "bits_per_byte",
        "learning_rate",
        "batch_tokens",
        "steps",
        "vocab",
        "context",
        "width",
        "depth",
    ),
)
NON_NEGATIVE = ("loss_se", "cooldown_steps", "seconds", "threads", "attempts")
NUMBERS = (*POSITIVE, *NON_NEGATIVE, "seed")
TEXTS = (
    *("run_id", "trunk_id", "study", "status", "family", "objective", "schedule", "data", "data_fingerprint"),
    *("device", "precision", "started", "finished", "reason"),
)
KNOWN = NUMBERS + TEXTS

# Only names that mean one thing wherever they are seen. `train_loss`, `ppl`, `size` or `step` are not here:
# guessing them would put a wrong number into a fit without a word. Compared without case and punctuation,
# but N, D, C and L as they are: `d` is a width as often as it is data.
ALIASES: dict[str, tuple[str, ...]] = {
    "params": ("N", "n_params", "num_params", "parameters", "model_size", "non_embedding_params"),
    "params_total": ("total_params", "n_params_total"),
    "tokens": ("D", "n_tokens", "num_tokens", "train_tokens", "training_tokens"),
    "flops": ("C", "compute", "training_flop", "training_flops", "train_flops", "total_flops"),
    "loss": ("L", "val_loss", "valid_loss", "validation_loss", "eval_loss", "test_loss", "held_out_loss"),
    "loss_se": ("loss_stderr", "val_loss_se", "eval_loss_se"),
    "learning_rate": ("lr", "peak_lr", "max_lr"),
    "family": ("model_family", "architecture"),
    "data": ("dataset", "dataset_name", "corpus"),
    "data_fingerprint": ("data_hash", "dataset_fingerprint"),
    "context": ("context_length", "seq_len", "sequence_length"),
    "vocab": ("vocab_size",),
}  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Where one of our columns comes from: a column of the source, times a factor."""

    column: str
    factor: float = 1.0

    def __str__(self) -> str:
        return repr(self.column) if self.factor == 1.0 else f"{self.column!r} × {self.factor:g}"


def parse_columns(columns: Columns | None, present: Sequence[str]) -> dict[str, Origin]:
    """An explicit mapping {ours: origin} from a dict, `ours=theirs` strings, or a YAML or JSON file.

    Raises:
        ValueError: a name that is not ours, a column that is not there, or a mapping that cannot be read.
    """
    mapping: dict[str, Origin] = {}
    for ours, theirs in _pairs(columns):
        if ours not in KNOWN:
            near = difflib.get_close_matches(ours, KNOWN, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"column mapping: {ours!r} is not a column of the table.{hint} "
                f"The columns are {', '.join(KNOWN)}."
            )
        if ours in mapping:
            raise ValueError(f"column mapping: {ours!r} is given twice, from {mapping[ours]} and {theirs!r}.")
        origin = _origin(theirs, present)
        if origin.column not in present:
            raise ValueError(
                f"column mapping: {ours}={theirs} names a column that is not there. {describe(present)}"
            )
        if origin.factor != 1.0 and ours in TEXTS:
            raise ValueError(f"column mapping: {ours!r} holds text and takes no factor; got {theirs!r}.")
        mapping[ours] = origin
    return mapping


def resolve(columns: Columns | None, present: Sequence[str], source: str) -> dict[str, Origin]:
    """{ours: origin} for every column of ours that the source has: mapped, equal in name, or an alias.

    Raises:
        ValueError: when two columns could be the same one of ours, or params, loss, or both of tokens and
            flops are nowhere: naming the columns present and how to map them.
    """
    found = parse_columns(columns, present)
    taken = {origin.column for origin in found.values()}
    for ours in KNOWN:
        if ours in found:
            continue
        candidates = [name for name in present if name not in taken and means(name, ours)]
        if len(candidates) > 1:
            raise ValueError(
                f"{source}: {ours!r} could be any of {', '.join(map(repr, candidates))}. "
                f"Say which one, e.g. --columns {ours}={_quoted(candidates[0])}."
            )
        if candidates:
            found[ours] = Origin(candidates[0])
    missing = [name for name in ("params", "loss") if name not in found]
    if "tokens" not in found and "flops" not in found:
        missing.append("tokens (or flops)")
    if missing:
        example = missing[0].split()[0]
        near = [name for name in present if example in name.casefold()]
        theirs = _quoted(near[0]) if near else "NAME"
        raise ValueError(
            f"{source}: no column for {', '.join(missing)}. {describe(present)} "
            f"Map them, e.g. --columns {example}={theirs} on the command line, columns=['{example}=NAME'] in "
            "Python, or a YAML file of `ours: theirs` lines; a factor brings other units in: params=NAME*1e6."
        )
    return found


def is_known(name: str) -> bool:
    """Whether a column name is one of ours, or an alias of one."""
    return any(means(name, ours) for ours in KNOWN)


def describe(present: Sequence[str]) -> str:
    """The columns present, in one sentence of bounded length."""
    shown = ", ".join(repr(name) for name in present[:40])
    more = f" and {len(present) - 40} more" if len(present) > 40 else ""
    return f"Columns present: {shown or 'none'}{more}."


def means(theirs: str, ours: str) -> bool:
    """Whether a column name of a source is one of ours, or an alias of it."""
    plain = re.sub(r"[^a-z0-9]+", "_", theirs.casefold()).strip("_")
    return plain == ours or plain in ALIASES.get(ours, ()) or theirs in ALIASES.get(ours, ())


def _quoted(name: str) -> str:
    return f"'{name}'" if re.search(r"[^\w.-]", name) else name


def _origin(theirs: object, present: Sequence[str]) -> Origin:
    """`Name`, `Name*1e6`, or {"column": "Name", "factor": 1e6}. A literal column name wins over a factor."""
    if isinstance(theirs, Mapping):
        extra = sorted(set(theirs) - {"column", "factor"})
        if "column" not in theirs or extra:
            raise ValueError(f"column mapping: an entry is {{column, factor}}; got {dict(theirs)!r}.")
        return Origin(str(theirs["column"]), _factor(theirs.get("factor", 1.0), theirs))
    name = str(theirs)
    if name in present:
        return Origin(name)
    column, star, factor = name.rpartition("*")
    if star and column.strip() in present:
        return Origin(column.strip(), _factor(factor, name))
    return Origin(name)


def _factor(value: Any, entry: object) -> float:
    try:
        factor = float(value)
    except (TypeError, ValueError):
        factor = 0.0
    if not 0.0 < factor < float("inf"):
        raise ValueError(f"column mapping: a factor is a positive number, as in NAME*1e6; got {entry!r}.")
    return factor


def _pairs(columns: Columns | None) -> Iterable[tuple[str, object]]:
    if columns is None:
        return []
    if isinstance(columns, Mapping):
        return [(str(ours), theirs) for ours, theirs in columns.items()]
    if isinstance(columns, str | Path):
        if Path(columns).suffix in (".yaml", ".yml", ".json"):
            return _pairs(_read_mapping(Path(columns)))
        columns = [str(columns)]
    pairs: list[tuple[str, object]] = []
    for text in columns:
        ours, equals, theirs = text.partition("=")
        if not equals or not theirs.strip():
            raise ValueError(f"column mapping: write ours=theirs, as in 'params=Model Size'; got {text!r}.")
        pairs.append((ours.strip(), theirs.strip()))
    return pairs


def _read_mapping(path: Path) -> Mapping[str, object]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        body = json.loads(text)
    else:
        try:
            import yaml  # type: ignore[import-untyped]  # lazy: not in the base install
        except ImportError as error:
            raise ValueError(
                f"{path}: reading YAML needs `pip install pyyaml`; a .json file works without."
            ) from error
        try:
            body = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(body, Mapping):
        raise ValueError(f"{path}: a column mapping is `ours: theirs` lines; got {type(body).__name__}.")
    return body
