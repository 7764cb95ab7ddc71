"""A law as the solver sees it: unbounded-looking coordinates, derivatives, and where to start.

Coefficients enter by their logarithms and inputs by log x minus its mean, so a coefficient is the size of its
term in the middle of the data. On the 240 Chinchilla points this takes the condition number of the problem
from 2e13 (plain coefficients) to 1e4. Losses enter as log loss minus its median: units cannot matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

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

    def take(self, rows: npt.NDArray[np.int64]) -> Data:
        """Some of the runs, in the same coordinates."""
        inputs = {name: x[rows] for name, x in self.inputs.items()}
        return Data(inputs, self.centres, self.log_loss[rows], self.centre)


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

    def merged(self, weights: Array, values: Array) -> tuple[Form, Array, Array]:
        """The form on its distinct points, the weight that the runs of each have, and their mean value.

        Args:
            weights, values: of each run (R, n).
        """
        return self, weights, values

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
