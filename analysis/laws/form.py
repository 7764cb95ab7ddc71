"""A law as the solver sees it: unbounded-looking coordinates, derivatives, and where to start.

Coefficients enter by their logarithms and inputs by log x minus its mean, so a coefficient is the size of its
term in the middle of the data. On the 240 Chinchilla points this takes the condition number of the problem
from 2e13 (plain coefficients) to 1e4. Losses enter as log loss minus its median: units cannot matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from analysis.laws.law import Array, Law

LOG_ZERO = -20.0  # a term of e^-20 = 2e-9 of the median loss is reported as exactly 0
LOG_LARGE = 8.0
AT_BOUND = 1e-9  # a coordinate as close as this to a bound is held by it
EXPONENTS = (0.0, 8.0)


@dataclass(frozen=True)
class Tape:
    """Log loss f of R replicates on n runs, with what is needed to differentiate sums over runs.

    `sums(first, second)`, weights (R, n) each: the sum of first × ∇f (R, p), and that of first × ∇²f +
    second × ∇f ∇fᵀ (R, p, p). `outer(weights)`: the sum of weights × ∇f ∇fᵀ (R, p, p).
    """

    value: Array  # (R, n), log loss minus the centre
    sums: Callable[[Array, Array], tuple[Array, Array]]
    outer: Callable[[Array], Array]


@dataclass(frozen=True)
class Data:
    """Runs in the solver's coordinates."""

    inputs: dict[str, Array]  # input name → log x minus its mean, (n,)
    centres: dict[str, float]  # input name → mean of log x
    log_loss: Array  # log loss minus its median, (n,)
    centre: float  # median log loss, or 0

    @classmethod
    def of(cls, inputs: dict[str, Array], loss: Array, centred: bool = True) -> Data:
        """Logarithms, centred. Not the loss for raw residuals: their delta is in its unit."""
        logs = {name: np.log(x) for name, x in inputs.items()}
        centres = {name: float(x.mean()) for name, x in logs.items()}
        log_loss = np.log(loss)
        centre = float(np.median(log_loss)) if centred else 0.0
        return cls({k: x - centres[k] for k, x in logs.items()}, centres, log_loss - centre, centre)


@dataclass(frozen=True)
class Pins:
    """What a fit holds: parameters at values, and pairs of parameters that are equal."""

    values: Mapping[str, float] = field(default_factory=dict)
    ties: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.values or self.ties)


@dataclass(frozen=True)
class Readout:
    """How a parameter of a law is read from the coordinates: constant + weights · theta, or e to that.

    Being affine is what lets any parameter be pinned, tied or profiled: each is one linear constraint.
    """

    weights: Mapping[str, float]  # coordinate → weight; first comes the parameter's own coordinate
    constant: float = 0.0
    log: bool = False
    amount: str = ""  # a coordinate at whose lower bound the parameter is exactly 0
    over: str = ""  # a coordinate that divides what stands in the exponent

    @classmethod
    def of(cls, coordinate: str) -> Readout:
        """A parameter that is a coordinate, or the exponential of one that is called log_…"""
        return cls({coordinate: 1.0}, log=coordinate.startswith("log_"))


class Form(ABC):
    """One law on one data set, in coordinates theta (R, p)."""

    names: tuple[str, ...]  # coordinates; log_X holds the logarithm of X
    lower: Array  # (p,)
    upper: Array  # (p,)
    patience: int = 1000  # Newton steps before a start of the fit itself is given up
    creep: float = 1e-4  # gain over 40 steps, relative × runs (about a likelihood ratio), not worth 40 more
    floor: ClassVar[str] = "log_E"
    amounts: tuple[str, ...] = ("log_E", "log_A", "log_B")  # coordinates that are logs of a term's size
    owners: Mapping[str, str] = {"alpha": "log_A", "beta": "log_B"}

    @abstractmethod
    def tape(self, theta: Array) -> Tape:
        """Predicted log loss and its derivatives at theta (R, p)."""

    @abstractmethod
    def value(self, theta: Array) -> Array:
        """Predicted log loss (R, n), minus the centre."""

    @abstractmethod
    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        """Start points (S, R, p), the best first, for weights and log losses (R, n).

        Thorough is for the fit itself; replicates, which start from its minimum too, can do with fewer.
        """

    @abstractmethod
    def laws(self, theta: Array) -> list[Law]:
        """The laws with coordinates theta (R, p)."""

    def law(self, theta: Array) -> Law:
        """The law with coordinates theta (p,)."""
        return self.laws(theta[None])[0]

    def canonical(self, theta: Array) -> Array:
        """Of all coordinates that are the same law as theta (R, p), those that stand for them."""
        return theta

    def called(self, coordinate: str) -> str:
        """The parameter that a coordinate is first of all about."""
        return coordinate.removeprefix("log_")

    def full(self, theta: Array) -> Array:
        """Coordinates (R, P) of the unrestricted law."""
        return theta

    def narrowed(self, theta: Array) -> Array:
        """The coordinates (R, p) nearest to coordinates (R, P) of the unrestricted law."""
        return theta


class LawForm(Form):
    """The form of one law, whose parameters are read from its coordinates."""

    ties: tuple[tuple[str, str], ...] = ()  # coordinates that the law itself makes equal

    def __init__(self, law: type[Law], data: Data) -> None:
        self.of = law
        self.data = data

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        """Parameter → how it is read; by default the coordinate of its name, or of its logarithm."""
        return {n.removeprefix("log_"): Readout.of(n) for n in self.names}

    def called(self, coordinate: str) -> str:
        own = (name for name, r in self.readouts.items() if next(iter(r.weights)) == coordinate)
        return next(own, super().called(coordinate))

    def amount(self, coordinate: str, **exponents: float) -> Readout:
        """A coefficient that has the loss's unit, times the input's unit to the power of its exponent.

        `exponents`: coordinate of an exponent → mean log input, by which the coefficient was centred.
        """
        return Readout({coordinate: 1.0, **exponents}, self.data.centre, log=True, amount=coordinate)

    def laws(self, theta: Array) -> list[Law]:
        values = [self.read(readout, theta) for readout in self.readouts.values()]
        return [
            self.of(**dict(zip(self.readouts, row, strict=True))) for row in np.stack(values, axis=1).tolist()
        ]

    def read(self, readout: Readout, theta: Array, log: bool = False) -> Array:
        """A parameter (R,) at coordinates theta (R, p); with `log`, its logarithm if it is read by one."""
        value = readout.constant + sum(
            weight * theta[:, self.names.index(name)] for name, weight in readout.weights.items()
        )
        if readout.over:
            value = value / theta[:, self.names.index(readout.over)]
        if log or not readout.log:
            return np.asarray(value)
        with np.errstate(over="ignore"):
            value = np.exp(value)
        if readout.amount:
            value = np.where(theta[:, self.names.index(readout.amount)] <= LOG_ZERO, 0.0, value)
        return np.asarray(value)


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
        """K theta = c, solved for one coordinate a constraint: the parameter's own, if it is still free."""
        pivots: list[int] = []
        for i in range(len(K)):
            free = [j for j in np.flatnonzero(np.abs(K[i]) > 1e-12).tolist() if j not in pivots]
            if not free:
                raise ValueError(
                    "fixed: the same parameter is held twice, by what is fixed and what is tied."
                )
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
            raise ValueError(f"fixed: {one} and {other} are not of a kind, so they cannot be tied.")
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
