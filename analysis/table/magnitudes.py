"""Columns whose values, as a whole, cannot be a language model's: millions for ones, perplexities,
swapped."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LEAST = {"params": 1e3, "tokens": 1e4, "flops": 1e9}  # medians below are no language model's
MOST_LOSS = 13.0  # nats; a uniform guess over 256k tokens has 12.5
_COMPUTE = (0.2, 200.0)  # C / (6 N D): heads and attention of tiny models give up to 40
_DATA = (0.15, 5e3)  # D / N: the public tables have medians of 0.6 to 70
_ENOUGH = 6  # rows whose median says something of their table
_LOGARITHM = (2.0, 30.0)  # between these lie log10 of params, tokens and FLOPs


def odd_magnitudes(given: Mapping[str, Array], loss: Array, columns: Mapping[str, str]) -> list[str]:
    """Say which columns look to be in other units as a whole.

    Args:
        given: params, tokens, flops, as far as the source has them, `(n,)` positive and finite.
        loss: `(n,)` [nats/token].
        columns: our name → what it was read from, so that advice can be typed.
    """
    said = [_small(name, given[name], columns) for name in _LEAST if name in given and _is_small(name, given)]
    small = bool(said)
    middle = float(np.median(loss))
    if middle > MOST_LOSS and "x" not in given:
        said.append(
            f"loss: the median is {middle:g} nats/token, more than a uniform guess over 256k tokens (12.5). "
            "Is it a perplexity, or a sum over tokens?"
        )
    if {"params", "tokens", "flops"} <= set(given):
        ratio = float(np.median(given["flops"] / (6 * given["params"] * given["tokens"])))
        if not _COMPUTE[0] < ratio < _COMPUTE[1]:
            said.append(
                f"flops: C / (6 N D) has median {ratio:.3g}; about 1 to 10 is usual. One of flops, params "
                "and tokens is in other units, or counts something else."
            )
    elif not small and {"params", "tokens"} <= set(given) and len(loss) >= _ENOUGH:
        said += _per_parameter(given["params"], given["tokens"], columns)
    return said


def _is_small(name: str, given: Mapping[str, Array]) -> bool:
    # Where N and D are there too, compute is judged against 6 N D.
    alone = name != "flops" or len(given) == 1
    return alone and float(np.median(given[name])) < _LEAST[name]


def _small(name: str, values: Array, columns: Mapping[str, str]) -> str:
    column = columns.get(name, "COLUMN")
    typed = column if re.fullmatch(r"[\w. ]+", column) else f"({column})"
    units = {"flops": {"petaFLOP": "1e15", "exaFLOP": "1e18"}}.get(
        name, {"millions": "1e6", "billions": "1e9"}
    )
    cures = [
        f"for {unit} --columns {shlex.quote(f'{name}={typed}*{factor}')}" for unit, factor in units.items()
    ]
    if _LOGARITHM[0] < values.min() and values.max() < _LOGARITHM[1] and (values % 1).any():
        cures.append(f"for logarithms --columns {shlex.quote(f'{name}=10**{typed}')}")
    return (
        f"{name}: the median is {float(np.median(values)):g} ({values.min():g} to {values.max():g}). The "
        f"table wants {'FLOPs' if name == 'flops' else 'counts'}; {', '.join(cures)}."
    )


def _per_parameter(params: Array, tokens: Array, columns: Mapping[str, str]) -> list[str]:
    """Warn of far too few or too many tokens per parameter."""
    ratio = float(np.median(tokens / params))
    low, high = _DATA
    if low < ratio < high:
        return []
    names = [columns.get(name, name) for name in ("params", "tokens")]
    swapped = (
        f" Are the two swapped? Then --columns {shlex.join([f'params={names[1]}', f'tokens={names[0]}'])}."
        if low < 1 / ratio < high and all(re.fullmatch(r"[\w./() -]+", name) for name in names)
        else ""
    )
    return [
        f"tokens / params has median {ratio:.3g} (params {params.min():g} to {params.max():g}, tokens "
        f"{tokens.min():g} to {tokens.max():g}); 1 to 1000 is usual. Is one of the two in thousands or "
        f"millions?{swapped}"
    ]
