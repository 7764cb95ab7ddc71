"""The runs to train next: those that lower the expected regret of a large run most, for what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.belief import Belief, Decision, draw_laws
from analysis.forecast.candidates import candidates, price
from analysis.forecast.heldout import noise
from analysis.forecast.predict import best_of, fit_basis
from analysis.forecast.select import Ensemble
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array
from analysis.table import RunTable

EVEN = 0.5  # of the draws are shared evenly: forecasts of losses hardly tell which exponents are right
WORTH = 0.2  # of the largest gain that a run within the spend has: runs of less are not ranked
LITTLE = 1.05  # factor that a run moves the best size by, below which it is not worth training
MOST = 20  # runs that one answer names
LISTED = 6  # candidates by each of these powers whose regret is worked out
POWERS = (1.0, 0.5, 0.0)  # of cost, by which plans are made; that of the least waste in the end is taken


@dataclass(frozen=True)
class NextRun:
    """One run worth training, in the order of training."""

    N: float
    D: float
    kind: str  # new size, new run (of a size that there is), extension, cooldown or new seed
    cost: float  # [FLOP] that is added
    regret: float  # expected, after it and those before it
    moves: float  # factor by which it is expected to move the best size (one standard deviation)


@dataclass(frozen=True)
class Advice:
    """Which runs next, what each is expected to buy, and when to stop."""

    compute: float  # [FLOP] of the target
    spend: float  # [FLOP] that the runs may take together
    now: Decision
    after: Decision
    runs: tuple[NextRun, ...]
    stop: str  # why there are no more
    level: float
    weights: Mapping[str, float]  # share of each law in the draws
    warnings: tuple[FitWarning, ...] = field(default=())

    @property
    def cost(self) -> float:
        """What the runs take together [FLOP]."""
        return sum(run.cost for run in self.runs)

    def __str__(self) -> str:
        said = ", ".join(f"{name} {share:.2f}" for name, share in self.weights.items())
        lines = [
            f"for {self.compute:.4g} FLOP, by {said}:",
            f"  now    N of least expected waste {self.now.N}: {_percent(self.now.regret)}",
        ]
        for number, run in enumerate(self.runs, 1):
            lines.append(
                f"  run {number}  N {run.N:.4g}, D {run.D:.4g}, {run.kind}: {run.cost:.3g} FLOP; waste then "
                f"{_percent(run.regret)}, moves N by {_moves(run.moves)}"
            )
        if self.runs:
            lines.append(
                f"  after  N of least expected waste {self.after.N}: {_percent(self.after.regret)}, for "
                f"{self.cost:.3g} of {self.spend:.3g} FLOP"
            )
        lines.append(f"  {self.stop}")
        return "\n".join([*lines, *(f"  ! {w.code}: {w.message}" for w in self.warnings)])

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {**asdict(self), "warnings": [asdict(w) for w in self.warnings], "cost": self.cost}


def advise_runs(
    runs: Runs,
    compute: float,
    spend: float | None = None,
    *,
    laws: Sequence[str] = (),
    basis: Ensemble | None = None,
    trunks: Mapping[float, float] | None = None,
    buildable: Callable[[Array], Array] | None = None,
    shortest: float = 1.0,
    tolerance: float = 0.005,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> Advice:
    """Choose runs one after the other, each by its expected fall of regret for its cost.

    Draws of the ensemble of laws say what is not known, so runs that tell forms apart are bought too. A run j
    with loss y moves every draw f by K (y - f_j), K = Cov(f, f_j) / (Var f_j + sigma^2), sigma the scatter of
    runs about the law; its value is the mean over y of how far the least expected regret falls. The best is
    taken at its mean loss, its spread is taken off the draws, and the next is chosen. Gain per FLOP alone
    buys many cheap runs and can leave no money for the one that tells, so plans by gain, by gain per root of
    cost and by gain per FLOP are made, and the one that is expected to waste least in the end is returned.

    Args:
        compute: the budget 6 N D [FLOP] whose best size is wanted.
        basis: laws already fitted to these runs; by default they are fitted here, with `resamples` draws.
        spend: FLOPs for the runs together; by default a quarter of what the largest run of each size took.
        trunks: size → tokens up to which a constant-rate trunk of it can be resumed. A longer run then costs
            its added tokens, a shorter one its cooldown.
        buildable: maps sizes that are wanted to those that can be built; by default every size can.
        shortest: tokens below which a run says nothing of the law, as in its warm-up.
        tolerance: expected regret at which no more runs are worth naming.

    Raises:
        ValueError: for a compute or spend that is no positive number.
        FitError: for runs that determine no law of N and D.

    Source: the knowledge gradient of Frazier, Powell & Dayanik 2008 (SIAM J. Control Optim. 47); the update
    of draws is the ensemble Kalman filter's (Evensen 1994), with perturbed observations.
    """
    _check(runs, compute, spend, tolerance)
    warnings: tuple[FitWarning, ...] = ()
    if basis is None:
        basis, warnings = fit_basis(runs.only(("N", "D")), laws, Bootstrap("bayes", resamples, seed, level))
    rng = np.random.default_rng(seed)
    fits, weights = _deciding(basis)
    for fit in fits:
        if not fit.draws:
            raise FitError(f"no advice: {fit.undrawn}")
    drawn = draw_laws([fit.draws for fit in fits], weights, rng, compute)
    if spend is None:
        spend = _largest_costs(runs) / 4
    state = Belief.of(drawn, compute)
    sigma = float(np.std(noise(best_of(basis))))
    pairs = candidates(runs, spend, buildable, shortest)
    N, D = pairs.T if len(pairs) else np.empty((2, 0))
    state = state.seeing(drawn, N, D)
    now = state.decision(level)
    pool = _Pool(N, D, spend, trunks, runs, sigma, tolerance)
    plans = [pool.plan(state, power, np.random.default_rng(seed + 1)) for power in POWERS]
    chosen, state, stop = min(plans, key=lambda plan: (plan[1].least_regret(), sum(r.cost for r in plan[0])))
    names = {fit.name: float(w) for fit, w in zip(fits, weights, strict=True)}
    return Advice(compute, spend, now, state.decision(level), chosen, stop, level, names, warnings)


def _check(runs: Runs, compute: float, spend: float | None, tolerance: float) -> None:
    """
    Raises:
        ValueError: for a target or a spend that is no positive number, or a target below every run.
        FitError: for runs without N or D.
    """
    for name, value in (("compute", compute), ("spend", spend)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}: a positive number of FLOP; got {value!r}.")
    if not tolerance > 0:
        raise ValueError(f"tolerance: a positive share of the compute; got {tolerance!r}.")
    if not {"N", "D"} <= set(runs.inputs):
        raise FitError("advice needs params and tokens of every run, to choose the next of both.")
    least = FLOPS_PER_PARAM_TOKEN * float((runs.inputs["N"] * runs.inputs["D"]).min())
    if compute < least:
        raise ValueError(f"compute: the cheapest run took {least:.3g} FLOP (6 N D); got {compute:.3g}.")


@dataclass(frozen=True)
class _Pool:
    """Candidate runs, what there is already, and the money."""

    N: Array  # (J,)
    D: Array  # (J,)
    spend: float
    trunks: Mapping[float, float] | None
    runs: Runs
    sigma: float
    tolerance: float

    def plan(
        self, state: Belief, power: float, rng: np.random.Generator
    ) -> tuple[tuple[NextRun, ...], Belief, str]:
        """Choose runs one by one, by gain over cost^power; also the draws after them, and why it ends."""
        held, left = dict(self.trunks or {}), self.spend
        taken = set(zip(self.runs.inputs["N"].tolist(), self.runs.inputs["D"].tolist(), strict=True))
        chosen: list[NextRun] = []
        while len(chosen) < MOST:
            regret = state.least_regret()
            if regret < self.tolerance:
                words = (
                    f"the expected waste is below {_percent(self.tolerance)}; more runs would change little"
                )
                return tuple(chosen), state, f"stop: {words}"
            pairs = list(zip(self.N.tolist(), self.D.tolist(), strict=True))
            priced = [price(n, d, held, taken, self.trunks is not None) for n, d in pairs]
            cost = np.array([c for c, _ in priced])
            usable = cost <= left
            if not usable.any():
                words = "the spend is used up" if chosen else f"no run costs as little as {left:.3g} FLOP"
                return tuple(chosen), state, words
            listed = _shortlist(state.explained(self.sigma), cost, usable)
            after, moves = state.values(self.sigma, rng, listed)
            gain = np.where(listed, regret - after, -np.inf)
            best = int(np.argmax(gain))
            if gain[best] > 1e-3 * regret:
                # A gain per FLOP of next to nothing, for next to nothing, is the draws' noise.
                j = int(np.argmax(np.where(gain >= WORTH * gain[best], gain / cost**power, -np.inf)))
            elif moves[listed].max() < LITTLE:
                words = (
                    f"no run within {left:.3g} FLOP is expected to lower the waste; the most that one moves "
                    f"N by is {_moves(moves[listed].max())}"
                )
                return tuple(chosen), state, f"stop: {words}"
            else:  # one run alone would change no decision, several may: what tells most of N for its cost
                told = state.explained(self.sigma) / cost**power
                j = int(np.argmax(np.where(listed, told, -np.inf)))
            state = state.after(j, self.sigma, rng)
            n, d = pairs[j]
            chosen.append(NextRun(n, d, priced[j][1], float(cost[j]), state.least_regret(), float(moves[j])))
            left -= cost[j]
            taken.add((n, d))
            if self.trunks is not None:
                held[n] = max(held.get(n, 0.0), d)
        return tuple(chosen), state, f"{MOST} runs are named; ask again with their losses"


def _deciding(basis: Ensemble) -> tuple[tuple[Fit, ...], Array]:
    """The laws that a choice of size rests on, and the share of each in the draws.

    A law that fixes by its form how the best size grows with compute, as equal exponents do, says nothing
    about it, however well it forecasts losses. Where all laws do, all are taken.
    """
    measuring = basis.measuring()
    return measuring.fits, (1 - EVEN) * measuring.weights + EVEN / len(measuring.fits)


def _shortlist(explained: Array, cost: Array, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The usable candidates that explain most of the best size, for what they cost by any of the powers.

    The regret that is expected after each takes a millisecond, and falls with the variance that is explained.
    """
    listed = np.zeros_like(usable)
    for power in POWERS:
        score = np.where(usable, explained / cost**power, -np.inf)
        listed[np.argsort(-score, kind="stable")[:LISTED]] = True
    return listed & usable


def seeds_of(runs: Sequence[NextRun], part: RunTable) -> list[int | None]:
    """The seed of each run: those above the table's for new seeds, None where the study's own will do."""
    highest = int(part.numbers("seed").max()) if part.has_numbers("seed") else 0
    copies: dict[tuple[float, float], int] = {}
    seeds: list[int | None] = []
    for run in runs:
        seed = None
        if run.kind == "new seed":
            seed = copies[run.N, run.D] = copies.get((run.N, run.D), highest) + 1
        seeds.append(seed)
    return seeds


def _largest_costs(runs: Runs) -> float:
    N, D = runs.inputs["N"], runs.inputs["D"]
    return float(sum(FLOPS_PER_PARAM_TOKEN * n * D[n == N].max() for n in np.unique(N)))


def _moves(factor: float) -> str:
    return f"{100 * (factor - 1):.2g} %" if factor > 1.001 else "less than 0.1 %"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
