"""The time that a study still takes, from its plan and from the pace of what was trained so far."""

from __future__ import annotations

from collections.abc import Mapping

from scaling.study.cost import wall_seconds

TENTH = 0.1  # of the work: before, the pace says less than the plan, and a range is given
BURST = 0.1  # seconds: losses of several steps come at once, and the first such handful has no beginning
WILDEST = (
    10.0  # the first steps warm up and are counted in handfuls: no pace beyond this is believed from them
)


class TimeLeft:
    """Follows how fast the planned seconds of a study pass.

    The clock starts with the first step that is trained: starting processes, importing PyTorch and reading
    text take no part in the pace.

    Args:
        seconds: that are planned for what is left of each trunk.
        workers: trunks at a time.
        spread: least and most seconds of the plan, over its median.
    """

    def __init__(self, seconds: Mapping[str, float], workers: int, spread: tuple[float, float]) -> None:
        self.left = dict(seconds)
        self.workers = workers
        self.spread = spread
        self.total = self.open = sum(self.left.values())
        self.first: float | None = None  # the clock when it was first told of a step [s]
        self.begin: tuple[float, float] | None = (
            None  # the pace: the clock [s], and the planned time left [s]
        )
        self.said: tuple[float, float] | None = None  # likewise at a tenth of the work, time left as said

    @property
    def passed(self) -> float:
        """Planned seconds of what was trained, over all trunks."""
        return self.total - self.open

    def train(self, trunk: str, seconds: float, now: float) -> None:
        """Note that so many planned seconds of a trunk were trained by `now` [s]."""
        passed = min(seconds, self.left.get(trunk, 0.0))
        if passed <= 0:
            return
        self.left[trunk] -= passed
        self.open -= passed
        if self.first is None:
            self.first = now
        if self.begin is None or now - self.first < BURST:
            self.begin = now, self._planned()
        if self.said is None and self.passed >= TENTH * self.total and now > self.begin[0]:
            self.said = now, self.range(now)[1]

    def end(self, trunk: str, now: float) -> None:
        """Note that nothing of a trunk is left."""
        self.train(trunk, self.left.get(trunk, 0.0), now)

    def range(self, now: float) -> tuple[float, float]:
        """Return the least and the most time left [s]; they are one once a tenth of the work is done."""
        planned = self._planned()
        least, most = (planned * factor for factor in self.spread)
        if self.begin is None or self.begin[1] <= planned:
            return least, most
        pace = (now - self.begin[0]) / (self.begin[1] - planned)
        done = self.passed / self.total
        if done >= TENTH:
            return planned * pace, planned * pace
        guess = planned * min(max(pace, 1 / WILDEST), WILDEST) ** (done / TENTH)
        return min(least, guess), max(most, guess)

    def _planned(self) -> float:
        return wall_seconds(self.left.values(), self.workers)
