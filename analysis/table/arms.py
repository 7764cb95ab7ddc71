"""Which runs may share a fit."""

from __future__ import annotations

import numpy as np

from analysis.table.runtable import RunTable

_KEYS = ("family", "objective", "data", "data_fingerprint", "vocab", "context")


def split_comparable(table: RunTable, *, by_family: bool = True) -> dict[str, RunTable]:
    """Split a table into parts whose runs may share a fit, largest first.

    Losses of two objectives, two data sets (fingerprints), two vocabularies or two context lengths are
    numbers on different scales, so no part ever mixes them. The choice here is to split, never to refuse: one
    table may answer several questions, and each part says what it is.

    Args:
        by_family: also part the families, as one law a family wants; False keeps them together to compare.

    Returns:
        label → the part, which knows its label. A label names only what differs, so the one part of a
        uniform table is its family, e.g. `decoder`; of two corpora, `decoder, data c4`.
    """
    keys = [k for k in _KEYS if k in table and (by_family or k != "family")]
    named = table["family"].ne("unstated").any()
    differing = [k for k in keys if len(table[k].unique()) > 1 or (k == "family" and named)]
    parts: dict[str, RunTable] = {}
    for values, places in table.rows.groupby(keys, sort=True, dropna=False).indices.items():
        values = values if isinstance(values, tuple) else (values,)
        said = dict(zip(keys, values, strict=True))
        label = ", ".join(_say(k, said[k]) for k in differing) or "all runs"
        while label in parts:  # two fingerprints that begin alike
            label += "′"
        parts[label] = table.take(np.asarray(places), part=label)
    return dict(sorted(parts.items(), key=lambda item: (-len(item[1]), item[0])))


def _say(key: str, value: object) -> str:
    if key in ("family", "objective"):
        return str(value)
    return f"fingerprint {str(value)[:8]}" if key == "data_fingerprint" else f"{key} {value}"
