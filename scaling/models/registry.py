"""Every family by name. Adding one of ours: its file, and its line here; yours: `scaling.register`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from scaling.models import decoder, encoder_decoder, feedforward, lstm, masked, moe
from scaling.models.family import Family
from scaling.models.sizes import Shape, Size
from scaling.registry import Registry

FAMILIES: Registry[Family] = Registry(
    "family",
    "model.family",
    {
        module.FAMILY.name: module.FAMILY
        for module in (decoder, lstm, feedforward, masked, encoder_decoder, moe)
    },
)


def get_family(name: str) -> Family:
    """The family of this name.

    Raises:
        ValueError: naming the known families.
    """
    return FAMILIES[name]


def shape_of(family: str, width: int, depth: int, sizes: Iterable[tuple[str, Size]] = ()) -> Shape:
    """The whole shape of what a spec or a record names."""
    return get_family(family).shape(width, depth, **dict(sizes))


def check_counts(family: str, shape: Shape, vocab: int, context: int) -> None:
    """Hold the closed form of a family to the built model, once per process; see `Family.check_counts`."""
    _check(get_family(family), shape, vocab, context)


@cache
def _check(family: Family, shape: Shape, vocab: int, context: int) -> None:
    family.check_counts(shape, vocab, context)
