"""The broken power law of Caballero et al., with one break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws import jet
from analysis.laws.form import LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout
from analysis.laws.jet import Jet
from analysis.laws.jet_form import JetForm
from analysis.laws.law import Array, Law
from analysis.laws.power_sum import COARSE
from analysis.laws.projection import project_one


@dataclass(frozen=True)
class BrokenPowerLaw(Law):
    """L = E + A x^-c0 (1 + (x/d)^(1/f))^(-c1 f): slope c0 before x = d, c0 + c1 after; f softens the break.

    Source: Caballero et al. 2022 (arXiv:2210.14891) eq. 1 with one break. A break beyond the data is
    hardly identified: their noiseless example needs x up to 405 for a break at 613, our fit up to 560.
    """

    E: float
    A: float
    c0: float
    c1: float
    d: float
    f: float

    name: ClassVar[str] = "bnsl"
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    formula: ClassVar[str] = "L = E + A x^-c0 (1 + (x/d)^(1/f))^(-c1 f)"

    def __call__(self, x: npt.ArrayLike) -> Array:
        log_x = np.log(np.asarray(x, float))
        bent = np.logaddexp(0.0, (log_x - np.log(self.d)) / self.f)
        return np.asarray(self.E + self.A * np.exp(-self.c0 * log_x - self.c1 * self.f * bent))[()]

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return BrokenForm(cls, data)


class BrokenForm(JetForm):
    """theta = (log_E, log_A, c0, c1, log_d, log_f)."""

    names = ("log_E", "log_A", "c0", "c1", "log_d", "log_f")
    creep = 1e-2
    patience = 2000  # floor, slope and a break near the last run trade off along a valley of condition 1e9

    def __init__(self, law: type[Law], data: Data) -> None:
        super().__init__(law, data)
        x = data.inputs["x"]
        self.lower = np.array([LOG_ZERO, LOG_ZERO, -2.0, -8.0, x.min(), np.log(0.02)])
        self.upper = np.array([LOG_LARGE, LOG_LARGE, 8.0, 12.0, x.max() + 1.0, np.log(4.0)])

    def jet(self, floor: Jet, a: Jet, c0: Jet, c1: Jet, d: Jet, log_f: Jet) -> Jet:  # type: ignore[override]
        f, sharp = jet.exp(log_f), jet.exp(-log_f)
        x = Jet(self.data.inputs["x"][None])
        return jet.logaddexp(floor, a - c0 * x - c1 * f * jet.softplus((x - d) * sharp))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        x, loss = self.data.inputs["x"], np.exp(log_loss)
        places = []
        breaks = [*np.quantile(x, [0.15, 0.3, 0.5, 0.7, 0.85, 0.95]), x.max() + 0.2, x.max() + 0.5]
        turns, softness = [-0.5, -0.2, 0.2, 0.6, 2.0, 5.0], [0.08, 0.4, 1.5]
        if not thorough:  # a replicate's minimum is nearly always next to that of the runs themselves
            turns, softness = turns[::2], softness[::2]
        for d, f in product(breaks, softness):
            candidates = []
            bent = f * np.logaddexp(0.0, (x - d) / f)
            for c1 in turns:
                error, E, A = project_one(x, COARSE, weights, loss, True, shape=np.exp(-c1 * bent))
                best = error.argmin(axis=1)
                rows = np.arange(len(weights))
                fixed = [np.full(len(weights), v) for v in (c1, d, np.log(f))]
                logs = np.log(E[rows, best]), np.log(A[rows, best])
                candidates.append(np.stack([*logs, COARSE[best], *fixed], axis=1))
            places.append(self._screen(candidates, weights, log_loss, 1)[0])
        # Where the break lies decides which minimum is reached, so the fit itself starts from every place.
        return np.stack(places) if thorough else self._screen(places, weights, log_loss, 2)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        middle = self.data.centres["x"]
        return {
            "E": self.amount("log_E"),
            "A": self.amount("log_A", c0=middle),
            "c0": Readout.of("c0"),
            "c1": Readout.of("c1"),
            "d": Readout({"log_d": 1.0}, middle, log=True),
            "f": Readout.of("log_f"),
        }
