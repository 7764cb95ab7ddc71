"""Which recipe scales better: the arms of a table against one of them, on whatever design they were run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.fitting.bootstrap.quantiles import check_level
from analysis.fitting.runs import FitError
from analysis.sweeps.frontiers import compare_frontiers, match_budgets
from analysis.sweeps.grids import GridLeads, compare_grids, is_grid
from analysis.sweeps.lead import Lead, say_factor, say_times
from analysis.sweeps.parting import part_arms
from analysis.table import RunTable

REACH = 10.0  # times the largest compute that a question goes, where none is named
WAYS = ("compute", "time")


@dataclass(frozen=True)
class Comparison:
    """Every arm against the baseline."""

    by: tuple[str, ...]
    baseline: str
    design: str  # grid or frontier
    per: str  # compute or time
    floor: float | None  # E [nats/token] that was pinned
    targets: tuple[float, ...]  # [FLOP]
    leads: tuple[Lead, ...]
    level: float
    runs: int
    grid: GridLeads | None
    notes: tuple[str, ...]

    def at(self, lead: Lead) -> tuple[float, ...]:
        """The computes asked about; without any, ten times the largest of these two arms."""
        return self.targets or (REACH * lead.largest,)

    @property
    def multiplicity(self) -> str:
        """A word on several comparisons at once; empty of one."""
        if len(self.leads) < 2:
            return ""
        p = np.array([lead.p_value(self.at(lead)[-1]) for lead in self.leads])
        order = np.argsort(p)
        holm = np.empty(len(p))
        holm[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
        said = ", ".join(f"{lead.arm} {value:.2g}" for lead, value in zip(self.leads, holm, strict=True))
        false = 100 * (1 - self.level ** len(p))
        return (
            f"{len(p)} arms are compared, each with {100 * self.level:g} % intervals: if none differed, one "
            f"or more would seem to in up to {false:.0f} % of studies. Holm's p of no difference: {said}."
        )

    def __str__(self) -> str:
        return "\n".join(lead.line(*self.at(lead), per=self.per) for lead in self.leads)

    def describe(self) -> str:
        """The lines, the verdicts, what they rest on, and what moves them."""
        unit = "compute" if self.per == "compute" else "wall-clock time"
        how = {
            "grid": "one joint fit, sharing E and k",
            "frontier": "speed-up at each matched budget, and its trend",
        }[self.design]
        floor = "E free" if self.floor is None else f"E pinned at {self.floor:g}"
        lines = [f"{self.runs} runs by {', '.join(self.by)}, {unit}: {how}; {floor}"]
        for lead in self.leads:
            lines += ["", lead.line(*self.at(lead), per=self.per)]
            lines += [f"  {p.compute:.3g} FLOP: {say_times(p.speedup)}" for p in lead.points]
            lines.append(f"  slope is 0: p {lead.p_slope:.2g}")
            for target in self.at(lead):
                lines.append(f"  {lead.verdict(target)}; p(better) {lead.p_better(target):.2f}")
                if (effect := lead.floor_effect(target)) is not None:
                    ends, moved = effect
                    low, high = map(say_factor, moved)
                    if low != high:
                        lines.append(f"    {low}× if E is {ends[0]:.3g}, {high}× if it is {ends[1]:.3g}")
        if self.grid is not None:
            lines += ["", f"{self.grid.shared_floor}; {self.grid.equal_exponents}"]
        lines += [f"note: {note}" for note in (self.multiplicity, *self.notes) if note]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        found: dict[str, Any] = {
            "by": list(self.by),
            "baseline": self.baseline,
            "design": self.design,
            "per": self.per,
            "floor": self.floor,
            "level": self.level,
            "runs": self.runs,
            "arms": [lead.to_dict(*self.at(lead)) for lead in self.leads],
            "multiplicity": self.multiplicity,
            "notes": list(self.notes),
        }
        if self.grid is not None:
            found["laws"] = {name: law.parameters for name, law in self.grid.laws.items()}
            found["tests"] = [
                {name: None if value != value else value for name, value in vars(test).items()}
                for test in (self.grid.shared_floor, self.grid.equal_exponents)
            ]
        return found


def compare_arms(
    table: RunTable,
    by: Sequence[str],
    baseline: str | None = None,
    *,
    at: Sequence[float] = (),
    per: str = "compute",
    floor: float | None = None,
    resamples: int = 400,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Compare the recipes that columns tell apart, on a grid of N and D or along matched budgets.

    Args:
        at: computes [FLOP] asked about; by default ten times the largest.
        per: compute, or time where throughputs are recorded.
        floor: E [nats/token], where it is to be pinned.

    Raises:
        ValueError: for a column, baseline or compute that is none, or arms that differ elsewhere.
        FitError: for arms that share neither enough budgets nor a grid.
    """
    check_level(level)
    if resamples < 1:
        raise ValueError(f"resamples: at least 1, for an interval; got {resamples!r}.")
    if per not in WAYS:
        raise ValueError(f"per: one of {', '.join(WAYS)}; got {per!r}.")
    for compute in at:
        if not (np.isfinite(compute) and compute > 0):
            raise ValueError(f"at: a compute in FLOP, e.g. 1e21; got {compute!r}.")
    parted = part_arms(table, by, baseline)
    arms = {name: part.rows for name, part in parted.arms.items()}
    if floor is not None and not 0 <= floor < (least := min(float(r["loss"].min()) for r in arms.values())):
        raise FitError(f"floor: between 0 and the least loss, {least:.6g}; got {floor!r}.")
    notes = list(parted.notes)
    grid = None
    leads: tuple[Lead, ...]
    if is_grid(arms):
        grid = compare_grids(
            arms, per=per, floor=floor, resamples=resamples, tests=resamples // 2, seed=seed, level=level
        )
        leads = grid.leads
        notes += grid.notes
        if grid.shared_floor.p < 1 - level:
            notes.append(
                "a common floor is rejected: beyond the compute of these runs, the speed-up rests on floors "
                "on which the arms disagree"
            )
    else:
        found = []
        for name, rows in list(arms.items())[1:]:
            matched, alone = match_budgets(arms[parted.baseline], rows, per)
            notes += [f"{name}: {alone}"] if alone else []
            found.append(
                compare_frontiers(
                    matched,
                    name,
                    parted.baseline,
                    floor=floor,
                    resamples=10 * resamples,
                    seed=seed,
                    level=level,
                )
            )
        leads = tuple(found)
    return Comparison(
        tuple(by),
        parted.baseline,
        "frontier" if grid is None else "grid",
        per,
        floor,
        tuple(at),
        leads,
        level,
        sum(map(len, arms.values())),
        grid,
        tuple(dict.fromkeys(notes)),
    )
