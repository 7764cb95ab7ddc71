"""The law of Hoffmann et al.: a floor, a term of size and a term of data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from analysis.laws.form import Data, LawForm, Pins
from analysis.laws.power_sum import PowerSum
from analysis.laws.surface import Surface


@dataclass(frozen=True)
class Chinchilla(Surface):
    """L = E + A/N^alpha + B/D^beta.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) eq. 2.
    """

    name: ClassVar[str] = "chinchilla"
    formula: ClassVar[str] = "L = E + A/N^alpha + B/D^beta"
    wider: ClassVar[str | None] = "coupled"

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return PowerSum(cls, data, pins)


# The least Huber objective on the 240 runs that Besiroglu et al. 2024 (arXiv:2404.10102) read off a figure of
# Hoffmann et al.; `scaling verify` computes it again.
PUBLISHED = Chinchilla(E=1.817218, A=477.8259, B=2143.4174, alpha=0.347310, beta=0.367172)
