"""Rows whose numbers are right but whose units are not: found by what the other rows say.

A column with one row in ten in millions, or in bits, fits without complaint and gives a wrong law. Three
checks, each on a fact the table itself holds: C against 6 N D; a cluster of values decades away from the rest
that joins it under a unit factor; and a loss off the trend of its neighbours by exactly a unit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.table.magnitudes import MOST_LOSS, odd_magnitudes

Array = NDArray[np.float64]

_SCALES = {1e3: "thousands", 1e6: "millions", 1e9: "billions", 1e12: "trillions"}
_COMPUTE = {**_SCALES, 1e15: "petaFLOP", 1e18: "exaFLOP", 1e21: "zettaFLOP", 8.64e19: "petaFLOP/s-days"}
_GAP = 1.5  # decades without a value that part two clusters
_RATIO = 2.0  # decades that C / 6 N D may differ between rows: heads and attention of tiny models give 1.6
_MINORITY = 0.35  # a cluster larger than this is a second population, not a slip
_ROUGH = 0.1  # see `_roughness`; curves of the literature have 0.03 at most
_ENOUGH = 10  # rows on which the trend of the loss is worth believing


@dataclass
class UnitFindings:
    """Rows not to be used, by position, and what the reader should know of the rest."""

    quarantine: dict[int, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Rows:
    """The three sizes and the loss; tokens follow from the FLOPs where the table has none."""

    params: Array
    tokens: Array
    flops: Array
    loss: Array
    derived: str  # "tokens", "flops", or "" when all three are measured
    columns: Mapping[str, str]  # our name → what it was read from
    repeated: NDArray[np.bool_]  # (n,) data seen more than once: the loss may rise with tokens

    @property
    def given(self) -> list[str]:
        return [name for name in ("params", "tokens", "flops") if name != self.derived]

    def scaled(self, name: str, factor: float, i: int) -> tuple[float, float]:
        """log N and log D of row i if `name` were `factor` times as large."""
        size = {n: float(getattr(self, n)[i]) for n in ("params", "tokens", "flops")}
        size[name] *= factor
        if self.derived == "tokens":
            size["tokens"] = size["flops"] / (6 * size["params"])
        return float(np.log(size["params"])), float(np.log(size["tokens"]))


def check_units(
    params: Array,
    tokens: Array,
    flops: Array,
    loss: Array,
    *,
    derived: str = "",
    learning_rate: Array | None = None,
    unique: Array | None = None,
    columns: Mapping[str, str] | None = None,
) -> UnitFindings:
    """Find rows in other units than the rest, and columns that are in other units as a whole.

    Args:
        params, tokens, flops, loss: `(n,)`, positive and finite, of runs that may share a fit.
        derived: which of tokens and flops was computed from the others by C = 6 N D, if any.
        learning_rate: `(n,)`, where the table has it. Where one size and budget were run at several, a loss
            off the trend is a poor rate and no slip of units.
        unique: `(n,)` distinct tokens, where the table knows. A loss off the trend under repeated data is
            overfitting and no slip of units.
        columns: our name → what it was read from, so that advice can be typed.
    """
    repeated = _repeated(params, tokens, loss, unique)
    rows = _Rows(params, tokens, flops, loss, derived, columns or {}, repeated)
    found = UnitFindings()
    if len(loss) == 0:
        return found
    found.warnings += odd_magnitudes({n: getattr(rows, n) for n in rows.given}, loss, rows.columns)
    if not derived:
        _compute_ratio(rows, found)
    suspects = {name: _outside(getattr(rows, name), found.quarantine) for name in rows.given}
    outside: set[int] = {i for members in suspects.values() for i in members}
    inside = np.array([i for i in range(len(loss)) if i not in outside and i not in found.quarantine])
    if len(inside) < _ENOUGH:
        if outside:
            found.warnings.append(_spread(rows, suspects))
        return found
    fresh = inside[~repeated[inside]]
    judged = fresh if len(fresh) >= _ENOUGH else inside
    trend = _Trend.of(np.log(params[judged]), np.log(tokens[judged]), np.log(loss[judged]))
    for name, members in suspects.items():
        for i in members:
            if i not in found.quarantine:
                _judge_size(rows, trend, name, i, inside, found)
    swept = _swept(rows, learning_rate)
    off = np.abs(np.log(loss) - trend.at(np.log(params), np.log(tokens)))
    for i in inside[~swept[inside] & ~repeated[inside] & (off[inside] > _far(trend))]:
        _judge_loss(rows, trend, int(i), inside, found)
    return found


def _swept(rows: _Rows, learning_rate: Array | None) -> NDArray[np.bool_]:
    """(n,) whether a run's size and budget were also run at another rate."""
    if learning_rate is None:
        return np.zeros(len(rows.loss), dtype=bool)
    cells = np.unique(np.stack([rows.params, rows.tokens]), axis=1, return_inverse=True)[1].ravel()
    distinct = [len(np.unique(learning_rate[cells == c])) for c in range(cells.max() + 1)]
    found: NDArray[np.bool_] = np.array(distinct)[cells] > 1
    return found


def _repeated(params: Array, tokens: Array, loss: Array, unique: Array | None) -> NDArray[np.bool_]:
    """(n,) whether a run saw its data more than once: as stated, or as its loss rises with tokens."""
    repeated = np.zeros(len(loss), dtype=bool)
    stated = np.full(len(loss), np.nan) if unique is None else unique
    repeated |= tokens > 1.001 * np.nan_to_num(stated, nan=np.inf)
    keys = np.stack([params, np.nan_to_num(stated)])
    cells = np.unique(keys, axis=1, return_inverse=True)[1].ravel()
    order = np.lexsort([tokens, cells])
    for line in np.split(order, np.flatnonzero(np.diff(cells[order])) + 1):
        least = int(np.argmin(loss[line]))
        rise = np.diff(loss[line][least:])
        # One row that jumps may be a slip of units; a loss that climbs over several is overfitting.
        if len(rise) > 1 and (rise > 0).all() and rise.max() < 0.8 * rise.sum():
            repeated[line[least + 1 :]] = True
    return repeated


def _compute_ratio(rows: _Rows, found: UnitFindings) -> None:
    decades = np.log10(rows.flops / (6 * rows.params * rows.tokens))
    off = decades - np.median(decades)
    for i in np.flatnonzero(np.abs(off) > _RATIO):
        found.quarantine[int(i)] = (
            f"wrong units: C / (6 N D) is {10 ** float(off[i]):.3g} times that of the other rows "
            f"(params {rows.params[i]:g}, tokens {rows.tokens[i]:g}, flops {rows.flops[i]:g})"
        )


def check_one_input(name: str, values: Array, loss: Array, columns: Mapping[str, str]) -> list[str]:
    """Warn of values of compute, or of the input of a curve, that look to be in other units."""
    warnings = odd_magnitudes({name: values}, loss, columns) if len(loss) else []
    if far := _outside(values, ()):
        rest = np.delete(values, far)
        listed = ", ".join(f"{values[i]:g}" for i in far[:3]) + (", …" if len(far) > 3 else "")
        warnings.append(
            f"{name}: {len(far)} of {len(values)} rows hold {listed}, far from the others ({rest.min():g} to "
            f"{rest.max():g}). They are used; check their units."
        )
    rough = _roughness(values, loss)
    if rough > _ROUGH:
        warnings.append(
            f"loss: it jumps by {100 * rough:.2g} % (median) from each {name} to the next, off any smooth "
            "curve. Are some rows in other units, or of another curve?"
        )
    return warnings


def _roughness(values: Array, loss: Array) -> float:
    """The median distance of log loss from the line between its two neighbours."""
    order = np.argsort(values, kind="stable")
    x, first = np.unique(np.log(values[order]), return_index=True)
    y = np.log(loss[order][first])
    if len(x) < _ENOUGH:
        return 0.0
    share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    return float(np.median(np.abs(y[1:-1] - (1 - share) * y[:-2] - share * y[2:])))


def _outside(values: Array, without: Collection[int]) -> list[int]:
    """Positions outside the largest cluster, if they are few; clusters are parted by gaps."""
    decades = np.log10(values)
    usable = np.array([i for i in range(len(decades)) if i not in without])
    if len(usable) < 2:
        return []
    order = usable[np.argsort(decades[usable], kind="stable")]
    breaks = np.flatnonzero(np.diff(decades[order]) > _GAP) + 1
    clusters = np.split(order, breaks)
    main = max(clusters, key=len)
    few = [int(i) for cluster in clusters if cluster is not main for i in cluster]
    return few if len(few) <= _MINORITY * len(usable) else []


@dataclass(frozen=True)
class _Trend:
    """log loss as a smooth function of log N and log D, by least absolute deviations."""

    centre: Array
    coefficients: Array
    noise: float
    quadratic: bool

    @classmethod
    def of(cls, n: Array, d: Array, y: Array) -> _Trend:
        centre = np.array([np.median(n), np.median(d)])
        quadratic = len(y) >= 2 * _ENOUGH
        X = _features(n - centre[0], d - centre[1], quadratic)
        weight = np.ones(len(y))
        for _ in range(30):  # reweighted least squares; vertical outliers up to a third do no harm
            root = np.sqrt(weight)
            coefficients: Array = np.asarray(
                np.linalg.lstsq(X * root[:, None], y * root, rcond=1e-9)[0], dtype=float
            )
            weight = 1 / np.maximum(np.abs(y - X @ coefficients), 1e-6)
        noise = 1.4826 * float(np.median(np.abs(y - X @ coefficients)))
        return cls(centre, coefficients, max(noise, 0.01), quadratic)

    def at(self, n: Array, d: Array) -> Array:
        """The trend at log N and log D, each (n,)."""
        X = _features(n - self.centre[0], d - self.centre[1], self.quadratic)
        return np.asarray(X @ self.coefficients, dtype=float)

    def __call__(self, n: float, d: float) -> float:
        return float(self.at(np.array([n]), np.array([d]))[0])


def _far(trend: _Trend) -> float:
    """How far off the trend a loss must be to be looked at."""
    return max(6 * trend.noise, 0.2)


def _features(n: Array, d: Array, quadratic: bool) -> Array:
    columns = [np.ones_like(n), n, d, *((n * n, d * d, n * d) if quadratic else ())]
    return np.stack(columns, axis=1)


def _judge_size(
    rows: _Rows, trend: _Trend, name: str, i: int, inside: NDArray[np.int_], found: UnitFindings
) -> None:
    """A row decades away: a slip of units if a factor brings it home *and* its loss says so; else a note."""
    values = getattr(rows, name)
    low, high = values[inside].min(), values[inside].max()
    measured = float(np.log(rows.loss[i]))
    for factor, unit in (_COMPUTE if name == "flops" else _SCALES).items():
        for f in (factor, 1 / factor):
            if not low / 3 <= values[i] * f <= high * 3:
                continue
            if abs(measured - trend(*rows.scaled(name, f, i))) <= max(4 * trend.noise, 0.15):
                slip = f"in {unit}" if f > 1 else f"{factor:g} times too large"
                found.quarantine[i] = (
                    f"wrong units: {name} {values[i]:g} looks to be {slip}; the other rows have {low:g} to "
                    f"{high:g}, and the loss {rows.loss[i]:g} agrees with {values[i] * f:g}"
                )
                return
    found.warnings.append(
        f"{name}: one run has {values[i]:g}, far from the others ({low:g} to {high:g}). "
        "It is used; check its units."
    )


def _judge_loss(rows: _Rows, trend: _Trend, i: int, inside: NDArray[np.int_], found: UnitFindings) -> None:
    measured = float(np.log(rows.loss[i]))
    expected = trend(float(np.log(rows.params[i])), float(np.log(rows.tokens[i])))
    off = measured - expected
    near = max(3 * trend.noise, 0.05)
    said = f"loss {rows.loss[i]:g} where rows of its size say {np.exp(expected):.3g}"
    if abs(off + np.log(np.log(2))) <= near:
        found.quarantine[i] = f"wrong units: {said}; it looks to be in bits, not nats"
    elif rows.loss[i] > 1 and abs(np.log(np.log(rows.loss[i])) - expected) <= near:
        found.quarantine[i] = f"wrong units: {said}; it looks to be a perplexity"
    else:
        for name in rows.given:
            values = getattr(rows, name)
            for f in (1e3, 1e-3, 1e6, 1e-6):
                home = values[inside].min() <= values[i] * f <= values[inside].max()
                if home and abs(measured - trend(*rows.scaled(name, f, i))) <= near:
                    found.warnings.append(
                        f"one run has {said}; it would agree if its {name} {values[i]:g} were {f:g} times as "
                        "large. It is used; check its units."
                    )
                    return
        if rows.loss[i] > MOST_LOSS:
            found.quarantine[i] = (
                f"{said}: more than a uniform guess over 256k tokens (12.5), as from a run that diverged, or "
                "a placeholder for a missing value"
            )


def _spread(rows: _Rows, suspects: dict[str, list[int]]) -> str:
    names = [name for name, members in suspects.items() if members]
    values = {name: [f"{getattr(rows, name)[i]:g}" for i in suspects[name][:3]] for name in names}
    listed = "; ".join(f"{name} {', '.join(v)}" for name, v in values.items())
    return f"some runs lie decades away from the others ({listed}), too few to judge by; check their units."
