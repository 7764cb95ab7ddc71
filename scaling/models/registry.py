"""Every family by name. Adding one: its file, and its line here."""

from __future__ import annotations

from scaling.models import decoder, encoder_decoder, feedforward, lstm, masked
from scaling.models.family import Family

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY for module in (decoder, lstm, feedforward, masked, encoder_decoder)
}


def get_family(name: str) -> Family:
    """The family of this name.

    Raises:
        ValueError: naming the known families.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        raise ValueError(f"unknown family {name!r}; known families: {', '.join(sorted(FAMILIES))}.") from None
