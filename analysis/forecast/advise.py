"""The runs to train next: those that lower the expected regret of a large run most, for what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import special

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.checks import FitWarning
from analysis.fitting.interval import Interval
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.heldout import noise
from analysis.forecast.predict import best_of, fit_basis
from analysis.forecast.select import Ensemble
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law

DRAWS = 240  # laws that stand for what is not known
POINTS = 41  # sizes along the target's budget
OUTCOMES = 5  # losses that each candidate might have
WIDE = 10.0  # tokens per parameter of candidates: at most so many times beyond those of the runs
LONGER = 16.0  # times the largest budget and size that candidates go
MOST = 12  # runs that one answer names
COOLDOWN = 0.2  # share of a branched run's steps that only it needs


@dataclass(frozen=True)
class Decision:
    """What would be trained at the target, and what choosing it is expected to waste."""

    N: Interval
    D: Interval
    regret: float  # expected share of the compute wasted: see `expected_regret`


@dataclass(frozen=True)
class NextRun:
    """One run worth training, in the order of training."""

    N: float
    D: float
    kind: str  # new size, extension, cooldown or new seed
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
            f"  now    best N {self.now.N}, expected waste {_percent(self.now.regret)}",
        ]
        for number, run in enumerate(self.runs, 1):
            lines.append(
                f"  run {number}  N {run.N:.4g}, D {run.D:.4g}, {run.kind}: {run.cost:.3g} FLOP; waste then "
                f"{_percent(run.regret)}, moves N by {100 * (run.moves - 1):.2g} %"
            )
        if self.runs:
            lines.append(
                f"  after  best N {self.after.N}, expected waste {_percent(self.after.regret)}, for "
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
    trunks: Mapping[float, float] | None = None,
    tolerance: float = 0.005,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> Advice:
    """Choose runs one after the other, each by its expected fall of regret per FLOP.

    Draws of the ensemble of laws say what is not known, so runs that tell forms apart are bought too. A run j
    with loss y moves every draw f by K (y - f_j), K = Cov(f, f_j) / (Var f_j + sigma^2), sigma the scatter of
    runs about the law; its value is the mean over y of how far the least expected regret falls. The best is
    taken at its mean loss, its spread is taken off the draws, and the next is chosen.

    Args:
        compute: the budget 6 N D [FLOP] whose best size is wanted.
        spend: FLOPs for the runs together; by default a quarter of what the largest run of each size took.
        trunks: size → tokens up to which a constant-rate trunk of it can be resumed. A longer run then costs
            its added tokens, a shorter one its cooldown.
        tolerance: expected regret at which no more runs are worth naming.

    Raises:
        ValueError: for a compute or spend that is no positive number.
        FitError: for runs that determine no law of N and D.

    Source: the knowledge gradient of Frazier, Powell & Dayanik 2008 (SIAM J. Control Optim. 47); the update
    of draws is the ensemble Kalman filter's (Evensen 1994), with perturbed observations.
    """
    for name, value in (("compute", compute), ("spend", spend)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}: a positive number of FLOP; got {value!r}.")
    if not {"N", "D"} <= set(runs.inputs):
        raise FitError("advice needs params and tokens of every run, to choose the next of both.")
    basis, warnings = fit_basis(runs.only(("N", "D")), laws, Bootstrap("bayes", resamples, seed, level))
    rng = np.random.default_rng(seed)
    fits = basis.fits if isinstance(basis, Ensemble) else (basis,)
    weights = basis.weights if isinstance(basis, Ensemble) else np.ones(1)
    drawn = _draw_laws([fit.draws for fit in fits], weights, rng, compute)
    if spend is None:
        spend = _largest_costs(runs) / 4
    state = _State.of(drawn, compute)
    sigma = float(np.std(noise(best_of(basis))))
    candidates = _candidates(runs, spend)
    N, D = candidates.T if len(candidates) else np.empty((2, 0))
    state = state.seeing(drawn, N, D)
    held = dict(trunks or {})
    taken = set(zip(runs.inputs["N"].tolist(), runs.inputs["D"].tolist(), strict=True))
    now = state.decision(level)
    chosen: list[NextRun] = []
    left = spend
    stop = f"{MOST} runs are named; ask again with their losses"
    while len(chosen) < MOST:
        if (regret := state.least_regret()) < tolerance:
            stop = f"stop: the expected waste is below {_percent(tolerance)}; more runs would change little"
            break
        priced = [_price(n, d, held, (n, d) in taken, trunks is not None) for n, d in zip(N, D, strict=True)]
        cost = np.array([c for c, _ in priced])
        usable = cost <= left
        if not usable.any():
            stop = "the spend is used up"
            break
        fall, moves = state.values(sigma, rng, usable)
        score = np.where(usable, (regret - fall) / cost, -np.inf)
        j = int(np.argmax(score))
        if regret - fall[j] <= 1e-3 * regret:
            stop = (
                f"stop: no run within {left:.3g} FLOP is expected to lower the waste; the best would move N "
                f"by {100 * (moves[j] - 1):.2g} %"
            )
            break
        state = state.after(j, sigma, rng)
        chosen.append(
            NextRun(
                float(N[j]), float(D[j]), priced[j][1], float(cost[j]), state.least_regret(), float(moves[j])
            )
        )
        left -= cost[j]
        taken.add((float(N[j]), float(D[j])))
        if trunks is not None:
            held[float(N[j])] = max(held.get(float(N[j]), 0.0), float(D[j]))
    names = {fit.name: float(w) for fit, w in zip(fits, weights, strict=True)}
    return Advice(compute, spend, now, state.decision(level), tuple(chosen), stop, level, names, warnings)


def expected_regret(loss: Array, half: Array) -> Array:
    """The mean share of the compute wasted by each size (M,), over draws of losses (R, M) along a budget C.

    A draw whose loss at a size lies x above its least wastes 1 - 2^(-x / b) of C, where b is what halving C
    adds to its least loss: the compute that would do is then C 2^(-x / b), to first order in x.

    Args:
        half: the same losses at C / 2.
    """
    least = loss.min(axis=1, keepdims=True)
    gain = np.maximum(half.min(axis=1, keepdims=True) - least, 1e-12)
    found: Array = (1 - np.exp2(-(loss - least) / gain)).mean(axis=0)
    return found


@dataclass(frozen=True)
class _State:
    """Log losses of the draws: along the target's budget, along half of it, and at the candidates."""

    compute: float
    sizes: Array  # (M,) N along the budget
    along: Array  # (R, 2 M)
    seen: Array  # (R, J)

    @classmethod
    def of(cls, laws: Sequence[Law], compute: float) -> _State:
        best = np.array([law.optimum(compute).N for law in laws])
        low, high = np.quantile(best, [0.02, 0.98])
        sizes = np.geomspace(low / 3, high * 3, POINTS)
        budgets = (compute, compute / 2)
        along = [
            np.concatenate([np.log(law(N=sizes, D=C / (FLOPS_PER_PARAM_TOKEN * sizes))) for C in budgets])
            for law in laws
        ]
        return cls(compute, sizes, np.array(along), np.empty((len(laws), 0)))

    def seeing(self, laws: Sequence[Law], N: Array, D: Array) -> _State:
        seen = np.array([np.log(law(N=N, D=D)) for law in laws])
        return _State(self.compute, self.sizes, self.along, seen)

    def regrets(self, along: Array) -> Array:
        M = len(self.sizes)
        loss = np.exp(np.clip(along, -50, 50))
        return expected_regret(loss[:, :M], loss[:, M:])

    def least_regret(self) -> float:
        return float(self.regrets(self.along).min())

    def decision(self, level: float) -> Decision:
        """The size of least expected regret, and where the draws have their own best."""
        regret = self.regrets(self.along)
        pick = float(self.sizes[int(np.argmin(regret))])
        own = self.sizes[np.argmin(self.along[:, : len(self.sizes)], axis=1)]
        low, high = (float(v) for v in quantiles(own, level))
        tokens = [self.compute / (FLOPS_PER_PARAM_TOKEN * n) for n in (pick, high, low)]
        return Decision(Interval(pick, low, high), Interval(*tokens), float(regret.min()))

    def values(self, sigma: float, rng: np.random.Generator, usable: Array) -> tuple[Array, Array]:
        """(J,) least regret expected after each candidate, and the factor it is expected to move the size."""
        R, J = self.seen.shape
        centred = self.along - self.along.mean(axis=0)
        seen = self.seen - self.seen.mean(axis=0)
        variance = (seen**2).mean(axis=0)
        gains = (seen.T @ centred) / R / (variance + sigma**2)[:, None]  # (J, 2 M)
        z = special.ndtri((np.arange(OUTCOMES) + 0.5) / OUTCOMES)
        jitter = sigma * rng.standard_normal(R)
        least, moves = np.full(J, np.inf), np.ones(J)
        log_sizes = np.log(self.sizes)
        for j in np.flatnonzero(usable):
            found, picked = [], []
            for y in z * math.sqrt(variance[j] + sigma**2):
                regret = self.regrets(self.along + np.outer(y + jitter - seen[:, j], gains[j]))
                found.append(regret.min())
                picked.append(log_sizes[int(np.argmin(regret))])
            least[j], moves[j] = np.mean(found), math.exp(np.std(picked))
        return least, moves

    def after(self, j: int, sigma: float, rng: np.random.Generator) -> _State:
        """The draws once candidate j has come out at its mean."""
        every = np.concatenate([self.along, self.seen], axis=1)
        centred = every - every.mean(axis=0)
        own = centred[:, self.along.shape[1] + j]
        gain = (own @ centred) / len(own) / (np.mean(own**2) + sigma**2)
        jitter = sigma * rng.standard_normal(len(own))
        moved = every + np.outer(jitter - jitter.mean() - own, gain)
        M = self.along.shape[1]
        return _State(self.compute, self.sizes, moved[:, :M], moved[:, M:])


def _draw_laws(
    draws: Sequence[Sequence[Law]], weights: Array, rng: np.random.Generator, compute: float
) -> list[Law]:
    """Laws drawn by weight; those without an optimum at the target are passed over.

    Raises:
        FitError: when most have none.
    """
    found: list[Law] = []
    lost = 0
    for i in rng.choice(len(draws), 2 * DRAWS, p=weights / weights.sum()):
        law = draws[i][int(rng.integers(len(draws[i])))]
        try:
            law.optimum(compute)
        except ValueError:
            lost += 1
            continue
        found.append(law)
        if len(found) == DRAWS:
            return found
    if lost > DRAWS:
        raise FitError(
            f"{lost} of {2 * DRAWS} draws have no best size at {compute:.4g} FLOP: add runs by hand."
        )
    return found


def _candidates(runs: Runs, spend: float) -> Array:
    """(J, 2) N and D that the spend pays for, on a grid of those that exist and of some beyond."""
    N, D = runs.inputs["N"], runs.inputs["D"]

    def axis(values: Array) -> Array:
        known = np.unique(values)
        if len(known) > 6:
            known = known[np.unique(np.linspace(0, len(known) - 1, 6).round().astype(int))]
        beyond = float(values.max()) * np.geomspace(2, LONGER, 4)
        between = np.sqrt(known[1:] * known[:-1])
        return np.concatenate([known, beyond, between])

    pairs = np.array([(n, d) for n in axis(N) for d in axis(D)])
    ratio, cost = pairs[:, 1] / pairs[:, 0], FLOPS_PER_PARAM_TOKEN * pairs.prod(axis=1)
    near = (ratio > (D / N).min() / WIDE) & (ratio < (D / N).max() * WIDE)
    # An extension or a cooldown costs a part of the whole run, so dearer runs may be within the spend.
    return np.asarray(pairs[near & (cost * COOLDOWN <= spend)])


def _price(
    N: float, D: float, held: Mapping[float, float], exists: bool, resumable: bool
) -> tuple[float, str]:
    """What a run adds [FLOP], and what it is."""
    whole = FLOPS_PER_PARAM_TOKEN * N * D
    if exists:
        return whole, "new seed"
    reached = held.get(N)
    if not resumable or reached is None:
        return whole, "new size" if reached is None else "new run"
    if reached < D:
        return FLOPS_PER_PARAM_TOKEN * N * (D - reached * (1 - COOLDOWN)), "extension"
    return COOLDOWN * whole, "cooldown"


def _largest_costs(runs: Runs) -> float:
    N, D = runs.inputs["N"], runs.inputs["D"]
    return float(sum(FLOPS_PER_PARAM_TOKEN * n * D[n == N].max() for n in np.unique(N)))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
