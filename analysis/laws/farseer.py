"""The Farseer law: the floor, the coefficient and the exponent of the data term all change with size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws import jet
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.form import LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout
from analysis.laws.jet import Jet
from analysis.laws.jet_form import JetForm
from analysis.laws.law import Array, Law
from analysis.laws.power_sum import PowerSum

STRAIGHT = 1e-6  # an exponent as small as this bends nothing; the published form divides by it
SMALL = 0.05  # below which the curve of `bend` is summed as a series


@dataclass(frozen=True)
class Farseer(Law):
    """L = exp(s N^q + S) + exp(B N^b + Q) D^-exp(A N^a + P).

    Source: Li et al. 2025 (arXiv:2506.10972), who write E for P. We differ: all nine coefficients are
    estimated together, not piece by piece.
    """

    s: float
    q: float
    S: float
    B: float
    b: float
    Q: float
    A: float
    a: float
    P: float

    name: ClassVar[str] = "farseer"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D")
    formula: ClassVar[str] = "L = exp(s N^q + S) + exp(B N^b + Q) D^-exp(A N^a + P)"

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike) -> Array:
        N, log_d = np.asarray(N, float), np.log(np.asarray(D, float))
        with np.errstate(over="ignore"):  # far outside the runs, any of the three exponentials
            exponent = np.exp(self.A * N**self.a + self.P)
            term = np.exp(self.B * N**self.b + self.Q - exponent * log_d)
            return np.asarray(np.exp(self.s * N**self.q + self.S) + term)[()]

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return FarseerForm(cls, data)


class FarseerForm(JetForm):
    """theta = (u, du, q, v, dv, b, w, dw, a), each three a curve level + slope × (e^(power n) - 1)/power.

    At the middle of the data u is the log of the floor, v that of the data term and w that of its exponent,
    and du, dv, dw are their slopes by log N. The published s, S (B, Q and A, P) run off to infinity together
    where a curve is straight, power = 0; levels and slopes stay where they are.
    """

    names = ("u", "du", "q", "v", "dv", "b", "w", "dw", "a")
    lower = np.array([LOG_ZERO, -4.0, -1.5, LOG_ZERO, -4.0, -1.5, np.log(1e-3), -2.0, -1.5])
    upper = np.array([LOG_LARGE, 4.0, 1.5, LOG_LARGE, 4.0, 1.5, np.log(8.0), 2.0, 1.5])
    amounts = ()
    owners: Mapping[str, str] = {}

    def jet(  # type: ignore[override]
        self, u: Jet, du: Jet, q: Jet, v: Jet, dv: Jet, b: Jet, w: Jet, dw: Jet, a: Jet
    ) -> Jet:
        n, d, middle = self.data.inputs["N"], self.data.inputs["D"], self.data.centres["D"]
        exponent = jet.exp(w + dw * bend(a, n))
        # The term is taken relative to its size at the middle of D for the size in the middle of N.
        term = v + dv * bend(b, n) - exponent * (d + middle) + jet.exp(w) * middle
        return jet.logaddexp(u + du * bend(q, n), term)

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        additive = PowerSum(Chinchilla, self.data).starts(weights, log_loss, thorough)
        candidates = []
        for start in additive:
            E, A, B, alpha, beta = np.moveaxis(start, 1, 0)
            level = np.logaddexp(E, A)
            slope, zero = -alpha * np.exp(A - level), np.zeros_like(E)
            for q, dw, dv in product((-0.3, 0.2), (-0.03, 0.0, 0.03), (-0.4, 0.0)):
                by_size = [level, slope, zero + q]
                term = [B, zero + dv + dw * self.data.centres["D"], zero + 0.1]
                power = [np.log(np.maximum(beta, 2e-3)), zero + dw / np.maximum(beta, 2e-3), zero + 0.1]
                candidates.append(np.stack([*by_size, *term, *power], axis=1))
        return self._screen(candidates, weights, log_loss, 16 if thorough else 1)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        return {name: Readout.of(name) for name in self.names}

    def laws(self, theta: Array) -> list[Law]:
        u, du, q, v, dv, b, w, dw, a = theta.T
        q, b, a = (np.where(np.abs(p) < STRAIGHT, STRAIGHT, p) for p in (q, b, a))
        centre, n, d = self.data.centre, self.data.centres["N"], self.data.centres["D"]
        with np.errstate(over="ignore"):
            columns = [du / q * np.exp(-q * n), q, u - du / q + centre]
            columns += [dv / b * np.exp(-b * n), b, v - dv / b + centre + np.exp(w) * d]
            columns += [dw / a * np.exp(-a * n), a, w - dw / a]
        return [Farseer(*row) for row in np.stack(columns, axis=1).tolist()]


def bend(power: Jet, n: Array) -> Jet:
    """(e^(power n) - 1) / power, which is n where power is 0."""
    z = power.value * n
    near = np.abs(z) < SMALL
    safe = np.where(near, 1.0, z)
    grown = np.exp(safe)
    value = np.where(near, 1 + z / 2 + z**2 / 6 + z**3 / 24 + z**4 / 120 + z**5 / 720, (grown - 1) / safe)
    slope = np.where(
        near,
        1 / 2 + z / 3 + z**2 / 8 + z**3 / 30 + z**4 / 144 + z**5 / 840,
        (grown * (safe - 1) + 1) / safe**2,
    )
    second = np.where(
        near,
        1 / 3 + z / 4 + z**2 / 10 + z**3 / 36 + z**4 / 168 + z**5 / 960,
        (grown * (safe**2 - 2 * safe + 2) - 2) / safe**3,
    )
    return power.apply(n * value, n**2 * slope, n**3 * second)
