"""A run in flight: the loss that it will end at, the band that it should lie in, and whether it left it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from analysis.fitting.interval import Interval
from analysis.fitting.runs import FitError
from analysis.forecast.alarms import Alarm, alarms_of
from analysis.laws.law import Array

FEWEST = 4  # finished curves, for a spread and a line over them
FLOORS = 12  # values of E on each of three grids, ever finer
HIGHEST = 0.98  # of the lowest loss, the largest of them
EARLY = 0.05  # share of a run before which its curve is warm-up
FALSE_ALARM = 0.01  # chance that a clean run raises one at a look


@dataclass(frozen=True)
class Curve:
    """The held-out loss along one run."""

    name: str
    tokens: Array  # (n,) ascending
    loss: Array  # (n,) [nats/token]
    end: float  # tokens at which it ends, or will
    final: float | None  # loss at its end; None in flight

    @property
    def x(self) -> Array:
        """Share of the run (n,)."""
        return self.tokens / self.end

    def at(self, x: Array) -> Array:
        """Log loss at shares of the run, interpolated in log tokens; NaN outside of what was measured."""
        return np.asarray(np.interp(np.log(x), np.log(self.x), np.log(self.loss), left=np.nan, right=np.nan))


@dataclass(frozen=True)
class Watch:
    """What a prefix says of the end of its run."""

    name: str
    done: float  # share of the run
    final: Interval  # loss at the end [nats/token]
    level: float
    method: str  # collapse or regression
    error: float  # rms relative error of that method on the finished runs, each left out, at this share
    other: float  # that of the other method
    floor: float  # E that the collapse takes off
    finished: int
    band: tuple[Array, Array, Array]  # tokens; low and high of the loss there
    alarms: tuple[Alarm, ...]
    false_alarm: float  # chance that a clean run raises an alarm at one look

    def __str__(self) -> str:
        percent = f"{100 * self.level:g} %"
        lines = [
            f"{self.name}: {100 * self.done:.0f} % done; final loss {self.final.value:.4f} "
            f"[{self.final.low:.4f}, {self.final.high:.4f}] ({percent})",
            f"  by {self.method} onto {self.finished} finished runs, which it forecast at this share within "
            f"{100 * self.error:.2g} % (rms, each left out)",
        ]
        lines += [f"  ! {alarm}" for alarm in self.alarms] or ["  no alarm"]
        lines.append(f"  a clean run raises a false alarm at {100 * self.false_alarm:g} % of looks")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        tokens, low, high = self.band
        return {
            "run": self.name,
            "done": self.done,
            "final": vars(self.final),
            "level": self.level,
            "method": self.method,
            "error": self.error,
            "finished": self.finished,
            "floor": self.floor,
            "band": [{"tokens": t, "low": a, "high": b} for t, a, b in zip(tokens, low, high, strict=True)],
            "alarms": [vars(alarm) for alarm in self.alarms],
            "false_alarm": self.false_alarm,
        }


def curves_of(rows: pd.DataFrame) -> list[Curve]:
    """The finished curves of a table of evaluations, as `load_curves` returns them; one per trunk.

    A trunk's curve is that of its constant rate, and its end the cooldown with the most tokens; without
    cooldowns its last evaluation is both.
    """
    found = []
    for name, own in rows[rows["loss"].notna()].groupby("trunk_id", sort=True):
        along = own[own["part"] == "trunk"].sort_values("tokens").drop_duplicates("tokens", keep="last")
        cooled = own[own["part"] == "cooldown"].sort_values("tokens")
        last = (cooled if len(cooled) else along).iloc[-1] if len(own) else None
        if last is None or len(along) < 2:
            continue
        keep = (along["tokens"] > 0) & (along["tokens"] <= last["tokens"])
        tokens, loss = (along.loc[keep, c].to_numpy(float) for c in ("tokens", "loss"))
        found.append(Curve(str(name), tokens, loss, float(last["tokens"]), float(last["loss"])))
    return found


def watch(
    run: Curve, finished: Sequence[Curve], *, level: float = 0.95, false_alarm: float = FALSE_ALARM
) -> Watch:
    """Forecast the final loss of a prefix, and judge whether it goes as finished runs did.

    Collapse: g(x) = log[(L(x T) - E) / (L(T) - E)] is taken as one curve for all runs, the mean of the
    finished ones, and log(L(T) - E) as the mean of log(l - E) - g over the second half of the prefix. E is
    the value that forecasts finished runs best, each left out. Regression: log L(T) as a line in log l at the
    end of the prefix, over finished runs. Whichever forecast the finished runs better is used, each left out
    of everything, the choice of E included. The interval is Student's t with n - 2 degrees of freedom times
    that rms error, times sqrt(1 + h) for the leverage h of the prefix's last loss among the finished runs'.

    Alarms compare the prefix with its own course: see `alarms_of`.

    Raises:
        FitError: for fewer than four finished curves that reach as far, or a prefix of fewer than three
            evaluations past its first 5 %.

    Source: Qiu et al. 2025 (arXiv:2507.02119); Bergsma et al. 2025 (arXiv:2509.25087). We differ: E and the
    method are chosen by leaving runs out, and so is the interval.
    """
    inside, usable = _comparable(run, finished)
    x, done = run.x[inside], float(run.x[run.x <= 1][-1])
    logs = np.stack([c.at(x) for c in usable])  # (n, K)
    ends = np.log(np.array([c.final for c in usable], dtype=float))
    n = len(usable)
    top = HIGHEST * math.exp(min(float(ends.min()), float(logs.min()), float(np.log(run.loss[inside]).min())))
    E = _floor(logs, ends, top)
    collapse = float(np.sqrt(np.mean(_nested(logs, ends, top) ** 2)))
    regression = float(np.sqrt(np.mean(_regression_errors(logs[:, -1], ends) ** 2)))
    own = np.log(run.loss[inside])
    shape = np.log(np.exp(logs) - E) - np.log(np.exp(ends) - E)[:, None]  # (n, K): g of each
    if collapse <= regression:
        value, method, error = _by_collapse(own, shape.mean(axis=0), E), "collapse", collapse
    else:
        slope, start = np.polyfit(logs[:, -1], ends, 1)
        value, method, error = float(start + slope * own[-1]), "regression", regression
    t = float(special.stdtrit(n - 2, (1 + level) / 2))
    wide = math.sqrt(1 + _leverage(float(own[-1]), logs[:, -1]))
    final = Interval(*(math.exp(value + side * t * wide * error) for side in (0, -1, 1)))
    return Watch(
        run.name,
        done,
        final,
        level,
        method,
        error,
        regression if method == "collapse" else collapse,
        E,
        n,
        _band(run, usable, final.value, E, t * math.sqrt(1 + 1 / n)),
        alarms_of(x * run.end, own, logs, shape, E, wide, false_alarm),
        false_alarm,
    )


def _comparable(run: Curve, finished: Sequence[Curve]) -> tuple[NDArray[np.bool_], list[Curve]]:
    """Which evaluations of a prefix (n,) are compared, and with which finished runs.

    All past the warm-up, with the runs that reach as far at both ends; where those are too few, the
    evaluations that all finished runs reach.
    """
    inside = (run.x >= EARLY) & (run.x <= 1)
    x = run.x[inside]
    if len(x) < 3:
        raise FitError(
            f"{run.name}: {len(x)} evaluations between {100 * EARLY:g} % and 100 % of {run.end:.4g} tokens; "
            "at least 3 are needed. Wait, or correct --tokens."
        )
    ended = [c for c in finished if c.final is not None]
    usable = [c for c in ended if np.isfinite(c.at(x)).all()]
    if len(usable) >= FEWEST:
        return inside, usable
    if len(ended) >= FEWEST:
        shared = inside & (run.x >= max(c.x[0] for c in ended)) & (run.x <= min(c.x[-1] for c in ended))
        if shared.sum() >= 3:
            return shared, ended
    raise FitError(
        f"{len(usable)} of {len(finished)} finished curves reach from {100 * x[0]:.0f} % to "
        f"{100 * x[-1]:.0f} % of their runs; at least {FEWEST} are needed."
    )


def _by_collapse(own: Array, shape: Array, E: float) -> float:
    """log L(T) of a prefix of log losses (K,), by the second half of it."""
    half = len(own) // 2
    level = np.log(np.exp(own[half:]) - E) - shape[half:]
    return math.log(E + math.exp(float(level.mean())))


def _collapse_errors(logs: Array, ends: Array, floors: Array) -> Array:
    """Log forecast over outcome (F, n) at each floor E, each finished run left out of the mean shape."""
    E = floors[:, None, None]
    excess = np.log(np.exp(logs) - E)  # (F, n, K)
    shape = excess - np.log(np.exp(ends) - E[..., 0])[..., None]
    others = (shape.sum(axis=1, keepdims=True) - shape) / (len(logs) - 1)
    half = logs.shape[1] // 2
    level = (excess - others)[..., half:].mean(axis=-1)
    found: Array = np.log(E[..., 0] + np.exp(level)) - ends
    return found


def _floor(logs: Array, ends: Array, top: float) -> float:
    """The E up to `top` by which runs forecast one another best."""
    low, high = 0.0, top
    for _ in range(3):
        floors = np.linspace(low, high, FLOORS)
        best = int(np.argmin((_collapse_errors(logs, ends, floors) ** 2).sum(axis=1)))
        low, high = floors[max(best - 1, 0)], floors[min(best + 1, FLOORS - 1)]
    return float(floors[best])


def _nested(logs: Array, ends: Array, top: float) -> Array:
    """The same (n,) with E chosen by the other runs alone, each of them left out in turn."""
    found = []
    for i in range(len(ends)):
        others = np.arange(len(ends)) != i
        E = _floor(logs[others], ends[others], top)
        shape = np.log(np.exp(logs[others]) - E) - np.log(np.exp(ends[others]) - E)[:, None]
        found.append(_by_collapse(logs[i], shape.mean(axis=0), E) - ends[i])
    return np.array(found)


def _leverage(at: float, among: Array) -> float:
    """Of a value on a line over others: 1 / n in their middle, more beyond them."""
    away = among - among.mean()
    return float(1 / len(among) + (at - among.mean()) ** 2 / max(away @ away, 1e-300))


def _regression_errors(at: Array, ends: Array) -> Array:
    """The same of a line, by its leverages: residual / (1 - h)."""
    X = np.stack([np.ones(len(at)), at], axis=1)
    hat = X @ np.linalg.pinv(X)
    return np.asarray((ends - hat @ ends) / np.maximum(1 - np.diag(hat), 1e-9))


def _band(
    run: Curve, finished: Sequence[Curve], final: float, E: float, t: float
) -> tuple[Array, Array, Array]:
    """Where the loss should lie along the whole run, by the spread of finished shapes."""
    first = max(EARLY, *(float(c.x[0]) for c in finished))
    last = min(float(c.x[-1]) for c in finished)
    x = np.geomspace(first, last, 40)
    logs = np.stack([c.at(x) for c in finished])
    tops = np.array([c.final for c in finished], dtype=float)
    shape = np.log(np.exp(logs) - E) - np.log(tops - E)[:, None]
    middle, spread = shape.mean(axis=0), shape.std(axis=0, ddof=1)
    low, high = (E + (final - E) * np.exp(middle + side * t * spread) for side in (-1, 1))
    return x * run.end, low, high


def prefix(curve: Curve, share: float) -> Curve:
    """A finished curve up to a share of its run, its end not known."""
    keep = curve.x <= share
    return replace(curve, tokens=curve.tokens[keep], loss=curve.loss[keep], final=None)
