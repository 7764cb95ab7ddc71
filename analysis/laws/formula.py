"""A law of your own from one formula: the solver's coordinates, derivatives and starts follow from it.

@analysis.register
@dataclass(frozen=True)
class Mine(Formula):
    E: float = amount()
    A: float = amount(of="N", exponent="alpha")
    alpha: float = exponent()

    name, inputs = "mine", ("N",)
    formula = "L = E + A N^-alpha"

    @staticmethod
    def loss(p, N):
        return p.E + p.A * N**-p.alpha
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

from analysis.laws.form import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout
from analysis.laws.jet import Jet, log
from analysis.laws.jet_form import JetForm
from analysis.laws.law import Array, Law

CANDIDATES = (512, 64)  # random starts that are screened: for the fit itself, and for each replicate
KEPT = (12, 2)  # of them, how many are followed
PLAIN = ("exponent", "real")  # kinds that are coordinates themselves, not by their logarithms
TYPICAL = (0.05, 1.5)  # exponents to start from


def amount(of: str = "", exponent: str = "", rising: bool = False) -> Any:
    """A coefficient ≥ 0 in units of the loss, over its input `of` to the power of its `exponent`.

    Several inputs and their exponents stand with spaces between them. `rising`: times the powers, not over.
    """
    return field(metadata={"kind": "amount", "of": of, "exponent": exponent, "rising": rising})


def exponent(low: float = EXPONENTS[0], high: float = EXPONENTS[1]) -> Any:
    """A power of an input, between these bounds."""
    return field(metadata={"kind": "exponent", "low": low, "high": high})


def positive(low: float, high: float) -> Any:
    """A positive parameter, searched by its logarithm between these bounds."""
    return field(metadata={"kind": "positive", "low": low, "high": high})


def real(low: float, high: float) -> Any:
    """A parameter of either sign, between these bounds."""
    return field(metadata={"kind": "real", "low": low, "high": high})


@dataclass(frozen=True)
class Formula(Law):
    """A law whose loss is written once, for arrays of numbers and for the solver's jets alike."""

    @staticmethod
    @abstractmethod
    def loss(p: Any, **inputs: Array) -> Any:
        """Loss [nats/token] of parameters `p` at inputs, by operators and NumPy's exp, log and logaddexp."""

    def __call__(self, **inputs: Any) -> Array:
        arrays = {name: np.asarray(x, dtype=float) for name, x in inputs.items()}
        return np.asarray(self.loss(self, **arrays), dtype=float)[()]

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return FormulaForm(cls, data)


class FormulaForm(JetForm):
    """Coordinates by the kind of each parameter: logarithms, but for exponents and real ones."""

    def __init__(self, law: type[Formula], data: Data) -> None:
        super().__init__(law, data)
        self._loss = law.loss
        self._kinds = {f.name: dict(f.metadata) for f in fields(law)}
        for name, kind in self._kinds.items():
            if not kind:
                raise TypeError(
                    f"{law.name}: say what {name} is: amount(), exponent(), positive(low, high) or "
                    "real(low, high)."
                )
        self.names = tuple(n if k["kind"] in PLAIN else f"log_{n}" for n, k in self._kinds.items())
        self.lower, self.upper = np.array([self._bounds(k) for k in self._kinds.values()]).T
        owned = {e: f"log_{n}" for n, k in self._kinds.items() for e in k.get("exponent", "").split()}
        self.amounts = tuple(f"log_{n}" for n, k in self._kinds.items() if k["kind"] == "amount")
        self.owners = owned
        self._x = {name: np.exp(data.inputs[name] + data.centres[name]) for name in law.inputs}

    @staticmethod
    def _bounds(kind: Mapping[str, Any]) -> tuple[float, float]:
        if kind["kind"] == "amount":
            return LOG_ZERO, LOG_LARGE
        low, high = kind["low"], kind["high"]
        return (low, high) if kind["kind"] in PLAIN else (float(np.log(low)), float(np.log(high)))

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        found = {}
        for coordinate, (name, kind) in zip(self.names, self._kinds.items(), strict=True):
            if kind["kind"] == "amount":
                sign = -1.0 if kind["rising"] else 1.0
                of = zip(kind["exponent"].split(), kind["of"].split(), strict=True)
                centred = {power: sign * self.data.centres[name] for power, name in of}
                found[name] = self.amount(coordinate, **centred)
            else:
                found[name] = Readout.of(coordinate)
        return found

    def jet(self, *coordinates: Jet) -> Jet:
        by_name = dict(zip(self.names, coordinates, strict=True))
        values = {}
        for name, readout in self.readouts.items():
            value: Any = readout.constant
            for coordinate, weight in readout.weights.items():
                value = by_name[coordinate] * weight + value
            values[name] = np.exp(value) if readout.log else value
        return log(self._loss(SimpleNamespace(**values), **self._x)) - self.data.centre

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        rng = np.random.default_rng(0)
        low, high = np.maximum(self.lower, -4.0), np.minimum(self.upper, 1.0)
        for i, kind in enumerate(self._kinds.values()):
            if kind["kind"] != "amount":
                low[i], high[i] = self.lower[i], self.upper[i]
            if kind["kind"] == "exponent":
                low[i], high[i] = max(low[i], TYPICAL[0]), min(high[i], TYPICAL[1])
        candidates = low + (high - low) * rng.random((CANDIDATES[not thorough], len(self.names)))
        spread = [np.broadcast_to(c, (len(weights), len(c))) for c in candidates]
        return self._screen(spread, weights, log_loss, KEPT[not thorough])
