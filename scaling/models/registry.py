"""Every family by name. Adding one: its file, and its line here."""

from __future__ import annotations

from scaling.models import decoder
from scaling.models.family import Family

FAMILIES: dict[str, Family] = {family.name: family for family in (decoder.FAMILY,)}


def get_family(name: str) -> Family:
    """The family of this name.

    Raises:
        ValueError: naming the known families.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        raise ValueError(f"unknown family {name!r}; known families: {', '.join(sorted(FAMILIES))}.") from None
