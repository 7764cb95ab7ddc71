"""Half a cosine over the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scaling.recipe.schedules.schedule import Place, Schedule


def share(place: Place, settings: Mapping[str, float]) -> float:
    """From 1 to `floor`, a tenth by default, as in Hoffmann et al. 2022 (arXiv:2203.15556), appendix B."""
    floor = settings["floor"]
    return floor + (1 - floor) * (1 + math.cos(math.pi * place.part)) / 2


SCHEDULE = Schedule(share, horizon=True, settings={"floor": 0.1})
