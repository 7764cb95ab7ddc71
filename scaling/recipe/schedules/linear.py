"""A straight line to zero over the budget."""

from __future__ import annotations

from collections.abc import Mapping

from scaling.recipe.schedules.schedule import Place, Schedule


def share(place: Place, settings: Mapping[str, float]) -> float:
    """From 1 to `floor`, 0 by default, which the step after the last one would have.

    Source: Bergsma et al. 2025 (arXiv:2502.15938), linear decay to zero.
    """
    return settings["floor"] + (1 - settings["floor"]) * (1 - place.part)


SCHEDULE = Schedule(share, horizon=True, settings={"floor": 0.0})
