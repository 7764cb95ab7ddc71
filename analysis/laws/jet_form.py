"""Forms written as arithmetic on jets: any formula, with exact derivatives."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from analysis.laws import jet
from analysis.laws.form import Data, LawForm, Tape
from analysis.laws.jet import Jet
from analysis.laws.law import Array, Law

LOG_SCALE = (-12.0, 12.0)  # log of a scale of x, relative to the middle of the data


class JetForm(LawForm):
    """A form that gives its log loss as a jet."""

    def __init__(self, law: type[Law], data: Data) -> None:
        super().__init__(law, data)
        self._shape = len(data.log_loss)

    @abstractmethod
    def jet(self, *coordinates: Jet) -> Jet:
        """Log loss minus the centre, from the coordinates in the order of `names`, (R, 1) each."""

    def tape(self, theta: Array) -> Tape:
        return jet.tape(self.jet(*Jet.parameters(theta)), theta.shape[1], (len(theta), self._shape))

    def value(self, theta: Array) -> Array:
        constants = (Jet(theta[:, [i]]) for i in range(theta.shape[1]))  # without derivatives to carry along
        return np.broadcast_to(self.jet(*constants).value, (len(theta), self._shape))

    def _screen(self, candidates: list[Array], weights: Array, log_loss: Array, keep: int) -> Array:
        """The `keep` candidates (R, p) with the least squared log error, for each replicate."""
        stacked = np.clip(np.stack(candidates), self.lower, self.upper)
        error = np.stack([(weights * (self.value(theta) - log_loss) ** 2).sum(axis=1) for theta in stacked])
        order = np.argsort(error, axis=0)[:keep]
        chosen: Array = stacked[order, np.arange(len(weights))]
        return chosen
