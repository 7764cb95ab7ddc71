"""What a residual costs. The residual is predicted minus observed, in log loss or in loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.laws.law import Array

RobustKind = Literal["huber", "l1", "squared", "asymmetric"]
ROBUST_KINDS: tuple[RobustKind, ...] = ("huber", "l1", "squared", "asymmetric")


@dataclass(frozen=True)
class Robust:
    """rho(r), and what the solver needs of its derivative psi.

    huber: r²/2 up to delta, then delta (|r| - delta/2). l1: |r|. squared: r²/2.
    asymmetric: Huber times 2 tau where the law lies above the run, 2 (1 - tau) where it lies below; with tau
    above 1/2 the law follows the best runs, as it should where faults can only raise a loss.

    Source: Huber 1964; delta = 1e-3 on log loss is Hoffmann et al. 2022 (arXiv:2203.15556) section 3.3.
    """

    kind: RobustKind = "huber"
    delta: float = 1e-3
    tau: float = 0.75

    def __post_init__(self) -> None:
        if self.kind not in ROBUST_KINDS:
            raise ValueError(f"robust: one of {', '.join(ROBUST_KINDS)}; got {self.kind!r}.")
        if not (np.isfinite(self.delta) and self.delta > 0):
            raise ValueError(f"delta: a positive number; got {self.delta!r}.")
        if not 0 < self.tau < 1:
            raise ValueError(f"tau: between 0 and 1 exclusive; got {self.tau!r}.")

    def smooth(self) -> tuple[Robust, ...]:
        """The losses to minimise one after another. L1 has no curvature, so it is the limit of Huber losses.

        The last one costs at most n × 5e-13 more than the L1 minimum, and r²/(2 delta) is rescaled to |r|.
        """
        if self.kind != "l1":
            return (self,)
        return tuple(Robust("huber", delta) for delta in (1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12))

    def cost(self, r: Array) -> Array:
        """rho(r), the shape of r."""
        if self.kind == "l1":
            return np.abs(r)
        if self.kind == "squared":
            return 0.5 * r * r
        clipped = np.clip(r, -self.delta, self.delta)
        huber: Array = clipped * (r - 0.5 * clipped)
        return huber if self.kind == "huber" else huber * self._side(r)

    def slopes(self, r: Array) -> tuple[Array, Array, Array]:
        """psi = rho', psi', and rho/psi, so that a sum of psi gives the sum of rho in one more product."""
        if self.kind == "squared":
            return r, np.ones_like(r), 0.5 * r
        psi = np.minimum(r, self.delta)
        np.maximum(psi, -self.delta, out=psi)
        bend = (psi == r).astype(float)
        lever = -0.5 * psi
        lever += r
        if self.kind == "asymmetric":
            side = self._side(r)
            psi *= side
            bend *= side
        return psi, bend, lever

    def reweighting(self, r: Array) -> Array:
        """psi/r, the weight of iteratively reweighted least squares."""
        if self.kind == "squared":
            return np.ones_like(r)
        weight = np.abs(r)
        np.maximum(weight, self.delta, out=weight)
        np.divide(self.delta, weight, out=weight)
        return weight * self._side(r) if self.kind == "asymmetric" else weight

    def _side(self, r: Array) -> Array:
        return np.where(r > 0, 2 * self.tau, 2 * (1 - self.tau))
