"""The one list of laws. A law of this package is one file and one line here; a user's is `register`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TypeVar

from analysis.laws.bnsl import BrokenPowerLaw
from analysis.laws.chinchilla import PUBLISHED, Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.distillation import Distillation
from analysis.laws.experts import Experts
from analysis.laws.farseer import Farseer
from analysis.laws.finetune import FineTune
from analysis.laws.frontier import Frontier
from analysis.laws.gadre import OverTraining
from analysis.laws.kaplan import Kaplan
from analysis.laws.kaplan_floor import KaplanFloor
from analysis.laws.law import Law
from analysis.laws.m3 import M3
from analysis.laws.m4 import M4
from analysis.laws.mixture import Mixture
from analysis.laws.overfit import Overfit
from analysis.laws.parallel import Parallel
from analysis.laws.power import PowerLaw
from analysis.laws.power_without_offset import PurePowerLaw
from analysis.laws.precision import Precision
from analysis.laws.rate_batch import RateBatch
from analysis.laws.repeated import Repeated
from analysis.laws.sparse import Sparse
from analysis.laws.transferred import Transferred
from analysis.laws.vocabulary import Vocabulary

__all__ = ["FITTED", "JOINT", "PUBLISHED", "law_named", "law_names", "register"]

AnyLaw = TypeVar("AnyLaw", bound=type[Law])
_LAWS: dict[str, type[Law]] = {}

# What is fitted where no law is named, and what forecasts are made of, by the inputs that a table has.
FITTED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("N", "D"): ("chinchilla", "coupled", "gadre"),
    ("N", "D", "U"): ("repeated", "chinchilla"),
    ("C",): ("frontier",),
    ("x",): ("power", "power_without_offset", "m3", "m4", "bnsl"),
}
JOINT = Coupled  # the surface of arms that are fitted together


def register(law: AnyLaw) -> AnyLaw:
    """Make a law available wherever a law can be named; usable as a decorator.

    Raises:
        TypeError: for a class that is not a law, or does not state its name, inputs and formula.
        ValueError: for a name that another law has.
    """
    if not (isinstance(law, type) and issubclass(law, Law)):
        raise TypeError(f"register: a class derived from Law; got {law!r}.")
    if missing := [a for a in ("name", "inputs", "formula") if not hasattr(law, a)]:
        raise TypeError(f"register: {law.__name__} does not say its {', '.join(missing)}.")
    other = _LAWS.get(law.name)
    if other is not None and (other.__module__, other.__qualname__) != (law.__module__, law.__qualname__):
        raise ValueError(
            f"register: there is already a law called {law.name!r}, {other.__module__}.{other.__name__}."
        )
    _LAWS[law.name] = law
    return law


def law_names(inputs: Sequence[str] | None = None) -> tuple[str, ...]:
    """All registered laws, or those of exactly these inputs, in the order of registration."""
    return tuple(n for n, law in _LAWS.items() if inputs is None or set(law.inputs) == set(inputs))


def law_named(name: str) -> type[Law]:
    """The law of that name.

    Raises:
        ValueError: for a name that no law has, with the nearest.
    """
    if name not in _LAWS:
        near = difflib.get_close_matches(name, _LAWS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"law: one of {', '.join(_LAWS)}; got {name!r}.{hint}")
    return _LAWS[name]


for _law in (
    Chinchilla,
    Coupled,
    Kaplan,
    KaplanFloor,
    OverTraining,
    Farseer,
    Repeated,
    Overfit,
    Frontier,
    PowerLaw,
    PurePowerLaw,
    M3,
    M4,
    BrokenPowerLaw,
    RateBatch,
    Mixture,
    Experts,
    Parallel,
    Sparse,
    Vocabulary,
    FineTune,
    Transferred,
    Precision,
    Distillation,
):
    register(_law)
