"""A registry: the one list of everything of a kind that can be named, ours and what users register."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")

# The type of a thing → the registry that holds things of this type; both are module:name, imported late.
# A kind with a registry of its own becomes registrable by a line here.
KINDS: dict[str, str] = {
    "scaling.models.family:Family": "scaling.models.registry:FAMILIES",
    "scaling.data.corpora:Corpus": "scaling.data.corpora:CORPORA",
    "scaling.data.truth.law:Truth": "scaling.data.truth.sources:SOURCES",
    "scaling.capability.tasks:Task": "scaling.capability.tasks:TASKS",
    "scaling.training.objectives:Objective": "scaling.training.objectives:OBJECTIVES",
    "scaling.recipe.optimizers.optimizer:Optimizer": "scaling.recipe.optimizers:OPTIMIZERS",
    "scaling.recipe.schedules.schedule:Schedule": "scaling.recipe.schedules:SCHEDULES",
    "scaling.study.config:RateRule": "scaling.study.rates:RATES",
}

_all: list[Registry[Any]] = []
_origin: list[str] = []  # modules that register right now, the innermost last


class Registry(Mapping[str, T]):
    """Named values of one kind.

    Args:
        kind: as messages name it, e.g. "family".
        key: the config key that chooses one, e.g. "model.family".
    """

    def __init__(self, kind: str, key: str, values: Mapping[str, T] | None = None) -> None:
        self.kind, self.key = kind, key
        self._values: dict[str, T] = dict(values or {})
        self._origins: dict[str, str] = {}
        _all.append(self)

    def register(self, name: str, value: T, origin: str = "") -> None:
        """Offer `value` under `name`. Registering the same value again is allowed.

        Args:
            origin: the module that brings it; empty for what this package has.

        Raises:
            ValueError: for a name that another value has.
        """
        if self._values.get(name, value) != value:
            raise ValueError(f"register: there is a {self.kind} named {name!r} already; choose another name.")
        self._values[name] = value
        if _origin or origin:
            self._origins[name] = _origin[-1] if _origin else origin

    def origin(self, name: str) -> str:
        """The module that registered `name`; empty for what this package has."""
        return self._origins.get(name, "")

    def forget(self, origin: str) -> None:
        """Drop what a module has registered."""
        for name in [name for name, module in self._origins.items() if module == origin]:
            del self._values[name], self._origins[name]

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

    def get(self, name: str, default: Any = None) -> Any:
        """The value of this name, or `default`."""
        return self._values.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@contextmanager
def registering(module: str) -> Iterator[None]:
    """While inside, `module` is the origin of what is registered; after an error, nothing of it stays."""
    _origin.append(module)
    try:
        yield
    except BaseException:
        forget(module)
        raise
    finally:
        _origin.pop()


def origins(kind: str, name: str) -> set[str]:
    """The modules that have registered this name of a kind; none where it is one of ours."""
    return {registry.origin(name) for registry in _all if registry.kind == kind} - {""}


def forget(module: str) -> None:
    """Drop what a module has registered anywhere."""
    for registry in _all:
        registry.forget(module)


def file_under(thing: Any, name: str | None, caller: str) -> None:
    """Put `thing` into the registry of its type.

    Args:
        name: where it has no `name` of its own, or another is wanted.
        caller: the module that registers it.

    Raises:
        TypeError: for a thing of no registrable type, or one without a name.
        ValueError: for a name that is taken.
    """
    kind = thing if isinstance(thing, type) else type(thing)
    home = next(
        (KINDS[key] for c in kind.__mro__ if (key := f"{c.__module__}:{c.__qualname__}") in KINDS), None
    )
    if home is None:
        known = ", ".join(sorted(key.rpartition(":")[2] for key in KINDS))
        raise TypeError(f"register: one of {known}; got {thing!r}. A law is registered by analysis.register.")
    name = name or getattr(thing, "name", None) or (thing.__name__ if isinstance(thing, type) else None)
    if not isinstance(name, str) or not name:
        raise TypeError(f"register: this {kind.__name__} has no name; give one, register(thing, name=…).")
    module, _, attribute = home.partition(":")
    registry: Registry[Any] = getattr(import_module(module), attribute)
    ours = caller.partition(".")[0] == "scaling"
    registry.register(name, thing, "" if ours else caller.replace("__mp_main__", "__main__"))
