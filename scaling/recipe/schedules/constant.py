"""The trunk: a constant rate."""

from __future__ import annotations

from collections.abc import Mapping

from scaling.recipe.schedules.schedule import Place, Schedule


def share(place: Place, settings: Mapping[str, float]) -> float:
    """1 everywhere.

    Source: Hägele et al. 2024 (arXiv:2405.18392), section 3: a constant rate that cooldowns branch off.
    """
    return 1.0


SCHEDULE = Schedule(share)
