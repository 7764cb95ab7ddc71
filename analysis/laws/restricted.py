"""Laws some of whose parameters are held: pinned at values, or tied to each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.laws.form import Form, LawForm, Pins, Readout, Tape
from analysis.laws.law import Array, Law


class Restricted(Form):
    """A form some of whose coordinates are affine functions of the others: parameters pinned or tied."""

    def __init__(self, whole: LawForm, pins: Pins) -> None:
        """Hold `pins`.

        Raises:
            ValueError: for a parameter that the law does not have, or that cannot be held.
        """
        self.whole = whole
        rows, sides, own = zip(*constraints(whole, pins), strict=True)
        self._solve(np.array(rows), np.array(sides), own)

    def _solve(self, K: Array, c: Array, own: Sequence[int]) -> None:
        """K theta = c, solved for one coordinate per constraint: the parameter's own, if it is still free."""
        pivots: list[int] = []
        for i in range(len(K)):
            free = [j for j in np.flatnonzero(np.abs(K[i]) > 1e-12).tolist() if j not in pivots]
            if not free:
                raise ValueError("fixed: the same parameter is held twice, by a fixed value and by a tie.")
            j = own[i] if own[i] in free else free[0]
            c[i] /= K[i, j]
            K[i] /= K[i, j]
            for k in range(len(K)):
                if k != i:
                    c[k] -= K[k, j] * c[i]
                    K[k] -= K[k, j] * K[i]
            pivots.append(j)
        p = len(self.whole.names)
        free = [j for j in range(p) if j not in pivots]
        self.names = tuple(self.whole.names[j] for j in free)
        self.matrix = np.zeros((p, len(free)))
        self.matrix[free, range(len(free))] = 1.0
        self.matrix[pivots] = -K[:, free]
        self.origin = np.zeros(p)
        self.origin[pivots] = c
        self._inverse = np.linalg.pinv(self.matrix)
        lower, upper = self.whole.lower[free].copy(), self.whole.upper[free].copy()
        for j in pivots:  # a coordinate that equals another shares its bounds
            (same,) = np.nonzero(self.matrix[j])
            if len(same) == 1 and self.matrix[j, same[0]] == 1.0 and self.origin[j] == 0.0:
                lower[same] = np.maximum(lower[same], self.whole.lower[j])
                upper[same] = np.minimum(upper[same], self.whole.upper[j])
        self.lower, self.upper = lower, upper
        self.patience, self.creep = self.whole.patience, self.whole.creep
        self.amounts, self.owners = self.whole.amounts, self.whole.owners

    def tape(self, theta: Array) -> Tape:
        tape, M = self.whole.tape(self.full(theta)), self.matrix

        def sums(first: Array, second: Array) -> tuple[Array, Array]:
            gradient, hessian = tape.sums(first, second)
            return gradient @ M, M.T @ hessian @ M

        return Tape(tape.value, sums, lambda weights: M.T @ tape.outer(weights) @ M)

    def value(self, theta: Array) -> Array:
        return self.whole.value(self.full(theta))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        return self.narrowed(self.whole.starts(weights, log_loss, thorough))

    def laws(self, theta: Array) -> list[Law]:
        return self.whole.laws(self.full(theta))

    def called(self, coordinate: str) -> str:
        return self.whole.called(coordinate)

    def full(self, theta: Array) -> Array:
        return np.asarray(theta @ self.matrix.T + self.origin)

    def narrowed(self, theta: Array) -> Array:
        return np.asarray((theta - self.origin) @ self._inverse.T)


def constraints(form: LawForm, pins: Pins) -> list[tuple[Array, float, int]]:
    """Each pin and tie as row (P,) · theta = side, and the coordinate to solve it for.

    Raises:
        ValueError: for a parameter that cannot be held, or a value out of its range.
    """

    def row(name: str) -> tuple[Array, Readout]:
        readout = form.readouts.get(name) or (Readout.of(name) if name in form.names else None)
        if readout is None:
            raise ValueError(
                f"{name!r} cannot be fixed or tied in the {form.of.name} law; choose from "
                f"{', '.join(form.readouts)}."
            )
        return np.array([readout.weights.get(n, 0.0) for n in form.names]), readout

    def own(readout: Readout) -> int:
        return form.names.index(next(iter(readout.weights)))

    rows: list[tuple[Array, float, int]] = []
    for name, value in pins.values.items():
        weights, readout = row(name)
        if not np.isfinite(value) or (readout.log and value <= 0):
            kind = "a positive number" if readout.log else "a finite number"
            raise ValueError(f"fixed: {name} must be {kind}; got {value!r}.")
        side = float(np.log(value)) if readout.log else float(value)
        if len(readout.weights) == 1 and not readout.amount:
            _check_range(name, side, readout, form)
        if readout.over:
            weights[form.names.index(readout.over)] -= side
            side = 0.0
        rows.append((weights, side - readout.constant, own(readout)))
    for one, other in pins.ties:
        (left, a), (right, b) = row(one), row(other)
        if a.log != b.log or a.over or b.over:
            raise ValueError(f"fixed: {one} and {other} are not of the same kind, so they cannot be tied.")
        rows.append((left - right, b.constant - a.constant, own(b)))
    return rows


def _check_range(name: str, side: float, readout: Readout, form: LawForm) -> None:
    """Refuse a value outside what the law's coordinates can be.

    Raises:
        ValueError: naming the range.
    """
    ((coordinate, weight),) = readout.weights.items()
    j = form.names.index(coordinate)
    ends = sorted(readout.constant + weight * np.array([form.lower[j], form.upper[j]]))
    if not ends[0] <= side <= ends[1]:
        low, high, value = (float(np.exp(v)) if readout.log else float(v) for v in (*ends, side))
        raise ValueError(f"fixed: {name} must lie between {low:.4g} and {high:.4g}; got {value:.6g}.")
