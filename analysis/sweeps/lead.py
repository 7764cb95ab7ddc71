"""How much compute one recipe saves over another, along compute, and what follows for a larger budget."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.interval import Interval
from analysis.laws.law import Array

SURE = 0.05  # p below which a slope is called one
SAME = 1e-9  # of ln s: of arms with the same losses, rounding leaves no more
HUGE = 1000.0  # factor beyond which none is printed
MOST = 200  # further pairs of runs beyond which no number is named


@dataclass(frozen=True)
class Point:
    """The speed-up measured at one compute, with the interval that the scatter of the points gives it."""

    compute: float  # [FLOP]
    speedup: Interval


@dataclass(frozen=True)
class Lead:
    """The speed-up s of an arm over the baseline: ln s = value[0] + value[1] (log10 C - centre).

    s is the compute with which the baseline reaches the arm's loss, over the arm's compute. Above 1 the arm
    is ahead. In draws both coefficients and the floor vary together.
    """

    arm: str
    baseline: str
    centre: float  # log10 of the largest compute [FLOP] that both arms were trained with
    smallest: float  # [FLOP] that both arms were trained with
    value: Array  # (2,): ln s at the centre, and its change per decade of compute
    draws: Array = field(repr=False)  # (R, 2)
    floors: Array = field(repr=False)  # (R,) E [nats/token] of each draw
    level: float
    pairs: int  # matched budgets of a frontier, or pairs of trunks of a grid
    points: tuple[Point, ...] = ()  # of a frontier

    @property
    def largest(self) -> float:
        """The largest compute [FLOP] that both arms were trained with."""
        return float(10**self.centre)

    def log_draws(self, compute: float) -> Array:
        """ln s (R,) at a compute [FLOP]."""
        along = np.array([1.0, math.log10(compute) - self.centre])
        found = self.draws @ along
        return np.where(np.abs(found) < SAME, 0.0, found)

    def at(self, compute: float) -> Interval:
        """The speed-up at a compute [FLOP]."""
        value = float(self.value @ [1.0, math.log10(compute) - self.centre])
        ends = quantiles(self.log_draws(compute), self.level)
        return Interval(*(float(np.exp(np.clip(v, -700, 700))) for v in (value, *ends)))

    def p_better(self, compute: float) -> float:
        """The share of draws by which the arm is ahead at a compute [FLOP]."""
        ahead = self.log_draws(compute)
        return float(np.mean(ahead > 0) + 0.5 * np.mean(ahead == 0))

    def p_value(self, compute: float) -> float:
        """Two-sided p of the hypothesis that neither arm is ahead at a compute [FLOP]."""
        return _two_sided(self.log_draws(compute))

    @property
    def slope(self) -> Interval:
        """The change of ln s per decade of compute."""
        return Interval(float(self.value[1]), *map(float, quantiles(self.draws[:, 1], self.level)))

    @property
    def p_slope(self) -> float:
        """Two-sided p of the hypothesis that the speed-up does not change with compute."""
        return _two_sided(np.where(np.abs(self.draws[:, 1]) < SAME, 0.0, self.draws[:, 1]))

    def floor_effect(self, compute: float) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Both ends of the floor's interval, and the speed-up at a compute for each; None of a pinned floor.

        By least squares of ln s on E over the draws, and within what the draws reach: a line through few
        extreme ones would go on to a speed-up of nothing or of everything.
        """
        if np.ptp(self.floors) <= 1e-12 * np.abs(self.floors).max():
            return None
        ends = quantiles(self.floors, self.level)
        s, E = self.log_draws(compute), self.floors - self.floors.mean()
        bend = float(E @ s / (E @ E))
        line = s.mean() + bend * (ends - self.floors.mean())
        moved = np.exp(np.clip(np.clip(line, *quantiles(s, self.level)), -700, 700))
        return (float(ends[0]), float(ends[1])), (float(moved[0]), float(moved[1]))

    def more(self, compute: float) -> int | None:
        """Pairs of runs, beyond those there are, that would tell who is ahead if the estimate holds.

        New pairs lie at the largest compute. On n matched budgets they narrow the line as
        v' (X'X)^-1 v says; on a grid, where whole pairs of trunks are added, as 1 / sqrt(n).

        Returns:
            None where no number up to `MOST` is enough.
        """
        low, high = np.log([self.at(compute).low, self.at(compute).high])
        middle = abs(float(self.value @ [1.0, math.log10(compute) - self.centre]))
        wanted = middle / max((high - low) / 2, 1e-300)  # of the present half width
        added = np.arange(1, MOST + 1)
        if self.points:
            v = np.array([1.0, math.log10(compute) - self.centre])
            X = np.array([[1.0, math.log10(p.compute) - self.centre] for p in self.points])
            now = X.T @ X
            ratio = [v @ np.linalg.solve(now + k * np.diag([1.0, 0.0]), v) for k in added]
            width = np.sqrt(np.array(ratio) / (v @ np.linalg.solve(now, v)))
        else:
            width = np.sqrt(self.pairs / (self.pairs + added))
        enough = np.flatnonzero(width < wanted)
        return int(added[enough[0]]) if len(enough) else None

    def crossing(self) -> float | None:
        """The compute [FLOP] at which the estimate changes sides, where there is one."""
        if self.value[1] == 0:
            return None
        log_c = self.centre - self.value[0] / self.value[1]
        return float(10**log_c) if abs(log_c) < 300 else None

    def verdict(self, target: float) -> str:
        """Say who is ahead at a compute [FLOP], and what it would take to know."""
        if not self.log_draws(target).any():
            return f"{self.arm} has the same losses as {self.baseline}: same runs, or a key without effect"
        now, then = self.at(self.largest), self.at(target)
        where = f"{target:.3g} FLOP"
        ahead, behind = now.low > 1, now.high < 1
        if then.low > 1:
            words = "keeps its lead" if ahead else "is ahead"
            return f"{self.arm} {words} at {where}" + self._trend(shrinks="by less and less" if ahead else "")
        if then.high < 1:
            if ahead:
                crossing = self.crossing()
                by = where if crossing is None else f"{crossing:.2g} FLOP"
                return f"{self.arm} loses its lead by {by}"
            return f"{self.arm} {'stays behind' if behind else 'is behind'} at {where}"
        more = self.more(target)
        many = "pair" if more == 1 else "pairs"
        kind = f"{many} of runs at {self.largest:.2g} FLOP" if self.points else f"{many} of trunks like these"
        cure = f"{more or f'not even {MOST}'} more {kind} would{', if the estimate holds' if more else ''}"
        cannot = f"these runs cannot tell which is ahead at {where}; {cure}"
        if ahead or behind:
            falls = self.p_slope < SURE and (self.value[1] < 0) == ahead
            state = f"{self.arm} is {'ahead' if ahead else 'behind'} at {self.largest:.2g} FLOP"
            return f"{state}{', by less and less' if falls else ''}; {cannot}"
        return cannot

    def _trend(self, shrinks: str) -> str:
        if self.p_slope >= SURE or not shrinks:
            return ""
        return f", {shrinks}" if self.value[1] < 0 else ", by more and more"

    def __str__(self) -> str:
        return self.line(10 * self.largest)

    def line(self, *targets: float, per: str = "compute") -> str:
        """The speed-up now, its slope, and the speed-up at each target, in one line."""
        now, slope = self.at(self.largest), self.slope
        words = [
            f"{self.arm} over {self.baseline}: {say_times(now, f'× {per} at {self.largest:.3g} FLOP')}",
            f"slope {_signed(slope.value)} per decade [{_signed(slope.low)}, {_signed(slope.high)}]",
            *(say_times(self.at(C), f"× at {C:.3g}") for C in targets),
        ]
        return "; ".join(words)

    def to_dict(self, *targets: float) -> dict[str, Any]:
        """Plain data, ready for JSON."""

        def at(compute: float) -> dict[str, Any]:
            found, floor = self.at(compute), self.floor_effect(compute)
            return {
                "compute": compute,
                "speedup": found.value,
                "low": found.low,
                "high": found.high,
                "p_better": self.p_better(compute),
                "p": self.p_value(compute),
                "floor": None if floor is None else {"E": list(floor[0]), "speedup": list(floor[1])},
                "verdict": self.verdict(compute),
                "more": self.more(compute),
            }

        return {
            "arm": self.arm,
            "baseline": self.baseline,
            "pairs": self.pairs,
            "smallest": self.smallest,
            "largest": at(self.largest),
            "slope": vars(self.slope),
            "p_slope": self.p_slope,
            "crossing": self.crossing(),
            "points": [{"compute": p.compute, **vars(p.speedup)} for p in self.points],
            "targets": [at(compute) for compute in targets],
        }


def _two_sided(draws: Array) -> float:
    below = float(np.sum(draws < 0) + 0.5 * np.sum(draws == 0))
    least = min(below, len(draws) - below)
    return float(min(1.0, 2 * (least + 0.5) / (len(draws) + 1)))


def say_times(found: Interval, unit: str = "×") -> str:
    """A factor and its interval."""
    return f"{say_factor(found.value)}{unit} [{say_factor(found.low)}, {say_factor(found.high)}]"


def say_factor(value: float) -> str:
    """A factor to three digits, and no more than that it is huge or tiny: such runs tell nothing else."""
    if value > HUGE:
        return f"> {HUGE:,.0f}"
    return f"< {1 / HUGE:g}" if value < 1 / HUGE else f"{value:.3g}"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
