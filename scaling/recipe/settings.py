"""Numbers that one entry of a registry takes beside the keys that all share."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

Settings = tuple[tuple[str, float], ...]  # sorted by name, as a spec holds them


def complete(key: str, owner: str, defaults: Mapping[str, float], given: Mapping[str, float]) -> Settings:
    """Return every setting of `owner`: those given, and defaults elsewhere.

    Args:
        key: the config key that holds them, e.g. "optimizer.settings".

    Raises:
        ValueError: for a setting that it does not have, or a value that is no finite number.
    """
    for name, value in given.items():
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            known = f"It has {', '.join(defaults)}." if defaults else "It has none."
            raise ValueError(f"{key}.{name}: {owner} has no such setting; {hint}{known}")
        if not math.isfinite(value):
            raise ValueError(f"{key}.{name}: a finite number is needed; got {value!r}.")
    return tuple(sorted({**defaults, **{name: float(value) for name, value in given.items()}}.items()))
