"""A registry: the one list of everything of a kind that can be named, ours and what users register."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Named values of one kind.

    Args:
        kind: as messages name it, e.g. "family".
        key: the config key that chooses one, e.g. "model.family".
    """

    def __init__(self, kind: str, key: str, values: Mapping[str, T] | None = None) -> None:
        self.kind, self.key = kind, key
        self._values: dict[str, T] = dict(values or {})

    def register(self, name: str, value: T) -> None:
        """Offer `value` under `name`. Registering the same value again is allowed.

        Raises:
            ValueError: for a name that another value has.
        """
        if self._values.get(name, value) != value:
            raise ValueError(f"register: there is a {self.kind} named {name!r} already; choose another name.")
        self._values[name] = value

    def __getitem__(self, name: str) -> T:
        """
        Raises:
            ValueError: for a name that is not registered, with the nearest one and all of them.
        """
        try:
            return self._values[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._values, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(sorted(self._values))
            raise ValueError(f"{self.key}: no {self.kind} named {name!r}.{hint} There are {known}.") from None

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
