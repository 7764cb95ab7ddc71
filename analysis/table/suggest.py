"""What values say about names: which aliases not to believe, and what to map where a column is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.table.cells import read_numbers
from analysis.table.columns import NUMBERS, means, plain
from analysis.table.numbers import role_of
from analysis.table.raw import Raw
from analysis.table.roles import UNKNOWN
from analysis.table.roles import role_of as role_of_column

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Offer:
    """A mapping that may be meant: the expression, the columns it reads, and what speaks for it."""

    text: str
    columns: tuple[str, ...]
    why: str


def why_not(name: str, cells: Sequence[Any], ours: str, raw: Raw) -> str:
    """Why a column is not what its name says, or '' where its values agree with the name."""
    if ours not in NUMBERS or plain(name) == ours:
        return ""
    values, reasons, _ = read_numbers(cells, role=role_of(ours), decimal=raw.decimal)
    numbers = values[np.isfinite(values)]
    if len(reasons) > len(numbers):
        return f"{name!r} holds text such as {str(cells[min(reasons)])!r}"
    if not len(numbers) or (numbers != np.floor(numbers)).any():
        return ""
    kind = _counted(name, numbers, any(n != name and means(n, ours) for n in raw.columns))
    return (
        f"{name!r} holds whole numbers from {numbers.min():g} to {numbers.max():g}, as {kind} do"
        if kind
        else ""
    )


def _counted(name: str, values: Array, has_rival: bool) -> str:
    """What a column of one letter counts, if it is too small for what the letter stands for here."""
    low, high = float(values.min()), float(values.max())
    letter = name.rpartition(".")[2].rpartition("/")[2]
    if letter == "L" and high <= 1000:
        return "layers"
    if letter == "D" and (
        (low >= 64 and high <= 16384 and not (values % 8).any()) or (has_rival and high < 1e5)
    ):
        return "widths"
    if letter == "N" and (high <= 128 or (has_rival and high < 1e4)):
        return "counts of layers, heads or runs"
    return "context lengths or classes" if letter == "C" and high <= 1e6 else ""


def same_numbers(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two columns say the same in every row."""
    if list(one) == list(other):
        return True
    a, b = read_numbers(one), read_numbers(other)
    read = not a.reasons and not b.reasons and bool(np.isfinite(a.values).any())
    return read and np.array_equal(a.values, b.values, equal_nan=True)


def shape_hint(raw: Raw) -> list[str]:
    """Say what to do with a table that does not hold one row per run."""
    names = {plain(name): name for name in raw.columns}
    tag = next((names[word] for word in ("tag", "metric", "variable", "key") if word in names), None)
    if tag and "value" in names:
        return [
            f"{tag!r} names one quantity per row: bring those of a run into one row, as DataFrame.pivot in "
            "pandas does."
        ]
    sizes = [name for name in raw.columns if re.search(r"(^|[_ ])\d[\d.]*[kKmMbBtT]?$", name)]
    if len(sizes) > 2 and 2 * len(sizes) > len(raw.columns):
        return [
            f"{', '.join(map(repr, sizes[:3]))} name values, not quantities: bring each cell into a row of "
            "its own, as DataFrame.melt in pandas does."
        ]
    return []


def suggest(ours: str, raw: Raw, taken: Sequence[str]) -> list[Offer]:
    """Mappings that may give a missing column of ours, likeliest first; none of them is ever made unasked."""
    offers = []
    for name, cells in raw.columns.items():
        if name in taken:
            continue
        offer = _OFFERS[ours](name, plain(name))
        if offer is None:
            continue
        values = read_numbers(cells, role=role_of(ours), decimal=raw.decimal).values
        values = values[np.isfinite(values)]
        if len(values):
            rank, why = offer
            text, scale = _scaled(ours, name, plain(name), values)
            offers.append((rank, Offer(text, (name,), why + scale)))
    if not offers:
        offers += [(1, offer) for offer in _products(ours, raw)]
    if ours == "loss" and taken and not offers:
        offers += _only_loss(raw, taken)
    return [offer for _, offer in sorted(offers, key=lambda pair: pair[0])]


def _only_loss(raw: Raw, taken: Sequence[str]) -> list[tuple[int, Offer]]:
    """The one column whose values may be losses, if there is only one that no name speaks against."""
    found = []
    for name, cells in raw.columns.items():
        values, reasons, _ = read_numbers(cells, decimal=raw.decimal)
        numbers = values[np.isfinite(values)]
        few = name in taken or role_of_column(name) != UNKNOWN or 2 * len(numbers) < len(values)
        if not few and numbers.min() > 0.1 and numbers.max() < 13 and (numbers % 1).any() and not reasons:
            found.append(name)
    why = "the only column whose values may be losses"
    return [(1, Offer(found[0], (found[0],), why))] if len(found) == 1 else []


def _like_loss(name: str, word: str) -> tuple[int, str] | None:
    if re.search(r"lower|upper|(^|_)(se|std|sem|stderr|max|diff)($|_)|smooth", word):
        return None
    if re.search(r"ppl|perplexity", word):
        return 2, "a perplexity"
    if _letter(name) == "L" or re.search(r"loss|(^|_)(nll|ce|xent|nats)($|_)|cross_entropy", word):
        if re.search(r"(^|_)(best|min|lowest)($|_)", word):
            return 5, "the least along a run, not the last"
        return (4, "a training loss, not a held-out one") if "train" in word else (1, "a loss")
    return (3, "bits per byte, given in nats") if re.search(r"bpb|bits|bpt", word) else None


def _like_params(name: str, word: str) -> tuple[int, str] | None:
    rest = re.sub(r"^param(eter)?s[_./]+", "", name, flags=re.IGNORECASE)
    if rest != name and role_of_column(rest) != UNKNOWN:  # Optuna writes params_lr
        return None
    if _letter(name) == "N" or re.search(r"param|(^|_)n(on)?_?emb", word):
        return 1, "parameters by its name"
    return (2, "a size") if re.search(r"(^|_)size($|_)", word) and not re.search(_OTHER_SIZES, word) else None


def _like_tokens(name: str, word: str) -> tuple[int, str] | None:
    if re.search(_OTHER_TOKENS, word):
        return None
    if _letter(name) == "D" or re.search(r"token|(^|_)tok(s)?($|_)", word):
        return 1, "tokens by its name"
    return (2, "data seen") if re.search(r"(^|_)(seen|examples|samples)($|_)|data_?size", word) else None


def _like_flops(name: str, word: str) -> tuple[int, str] | None:
    named = _letter(name) == "C" or re.search(r"flop|compute|pf_?(s_)?days", word)
    return (1, "compute by its name") if named else None


def _letter(name: str) -> str:
    """N, D, C or L where a name is no more than that letter, a unit and a logarithm: `N [M]`, `log10(D)`."""
    bare = re.sub(rf"{_LOG}\s*\((.*?)\)", r" \2 ", name)
    bare = re.sub(rf"[(\[].*?[)\]]|{_POWER}|(^|[\W_])({_LOG}|in)(?=[\W_]|$)|_", " ", bare)
    words = [
        word for word in bare.split() if (len(word) == 1 and word in "NDCL") or word.casefold() not in _UNITS
    ]
    return words[0] if len(words) == 1 and words[0] in {"N", "D", "C", "L"} else ""


_LOG = r"(log10|log2|log|ln|lg)"
_POWER = r"(?:/\s*1e\+?|[×x*·]?\s*10\s*\^\s*\{?|\b1e\+?)(?P<power>\d+)\}?"
_OTHER_TOKENS = r"batch|(^|_)(per|vocab|sec|second|ratio|eval|val|test|unique|dataset)($|_)|tokenizer"
_OTHER_SIZES = r"batch|bsz|vocab|hidden|head|step|ffn|embed|dataset|data_|context|window"
_OFFERS: dict[str, Callable[[str, str], tuple[int, str] | None]] = {
    "loss": _like_loss,
    "params": _like_params,
    "tokens": _like_tokens,
    "flops": _like_flops,
}
_UNITS = {
    "k": 1e3,
    "thousand": 1e3,
    "thousands": 1e3,
    "m": 1e6,
    "million": 1e6,
    "millions": 1e6,
    "b": 1e9,
    "billion": 1e9,
    "billions": 1e9,
    "bn": 1e9,
    "mio": 1e6,
    "mrd": 1e9,
    "mds": 1e9,
    "mn": 1e6,
    "mln": 1e6,
    "bln": 1e9,
    "t": 1e12,
    "trillion": 1e12,
    "trillions": 1e12,
    "zflop": 1e21,
    "zflops": 1e21,
    "eflop": 1e18,
    "eflops": 1e18,
    "pflop": 1e15,
    "pflops": 1e15,
    "tflop": 1e12,
    "tflops": 1e12,
}


def _scaled(ours: str, name: str, word: str, values: Array) -> tuple[str, str]:
    """The column in our units, by the unit in its name, else by the size of its values."""
    middle = float(np.median(values))
    if ours == "loss":
        if re.search(r"ppl|perplexity", word):
            return f"log({name})", ""
        return (f"{name}*log(2)", "") if re.search(r"bpb|bits|bpt", word) else (name, "")
    if found := re.search(rf"(^|_){_LOG}($|_)", word):
        natural = found[2] == "ln" or (found[2] == "log" and middle > (30 if ours == "flops" else 14))
        power = f"2**{name}" if found[2] == "log2" else f"exp({name})" if natural else f"10**{name}"
        return power, ", as a logarithm"
    if found := re.search(_POWER, name):
        return f"{name}*1e{int(found['power'])}", f", in units of 1e{int(found['power'])}"
    parts = [part for part in word.split("_") if part in _UNITS]
    if re.search(r"(pf|petaflops?)_?(s_)?days", word):
        return f"{name}*8.64e19", ""
    if parts:
        return f"{name}*{_UNITS[parts[-1]]:g}".replace("e+0", "e").replace("e+", "e"), f", in {parts[-1]}"
    if ours == "flops" or middle >= (1e3 if ours == "params" else 1e4):
        return name, ""
    fraction = bool((values != np.floor(values)).any())
    small = float(values.max()) < 200
    if ours == "params":
        return (
            (f"{name}*1e9", ", if in billions") if small and fraction else (f"{name}*1e6", ", if in millions")
        )
    return (f"{name}*1e9", ", if in billions") if middle < 1e3 else (f"{name}*1e6", ", if in millions")


# What gives tokens or parameters as a product, by what the columns are called; what the product is.
_STEPS = r"(n_|num_|total_|train_|global_)?(steps?|iters?|iterations?|updates?)"
_BATCH_TOKENS = r"batch_tokens|batch_size_tokens|tokens_per_(batch|step)|tok_batch|batch_size_in_tokens"
_PRODUCTS = {
    "tokens": (
        ((_STEPS, _BATCH_TOKENS), "{}*{}", "steps times the tokens of one"),
        (
            (
                _STEPS,
                r"(global_)?(batch_size|bs|bsz|batch)",
                r"context|seq_len|seq_length|sequence_length|context_length|ctx_len|block_size",
            ),
            "{}*{}*{}",
            "steps times the tokens of one",
        ),
        (
            (r"tokens_unique|unique_tokens|dataset_tokens|tokens_per_epoch", r"(n_|num_)?epochs?"),
            "{}*{}",
            "distinct tokens times epochs",
        ),
        (
            (r"n|(n_|num_)?params|parameters|model_size", r"d_n|tpp|tokens?_per_param(eter)?s?"),
            "{}*{}",
            "parameters times tokens per parameter",
        ),
    ),
    "params": (
        (
            (r"n_layers?|num_(hidden_)?layers|depth|layers", r"d_model|n_embd|hidden_(size|dim)|width"),
            "12*{}*{}**2",
            "without the embedding, of a GPT-2",
        ),
    ),
}


def _products(ours: str, raw: Raw) -> list[Offer]:
    """Quantities as products of columns that the table has."""
    for patterns, text, why in _PRODUCTS.get(ours, ()):
        names = [next((n for n in raw.columns if re.fullmatch(p, plain(n))), "") for p in patterns]
        if all(names):
            return [Offer(text.format(*(f"`{n}`" if "/" in n else n for n in names)), tuple(names), why)]
    return []
