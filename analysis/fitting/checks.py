"""What makes data or a fit doubtful. A doubt has a code for programs and a message for people."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from analysis.fitting.certificate import Certificate
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import COLUMNS, FitError, Runs, called
from analysis.laws.form import AT_BOUND, Form
from analysis.laws.law import Array

FEW_TRUNKS = 6
OPTIONAL = ("U",)  # inputs that may be the same in every run
EXACT = 1e-8  # relative residuals below which losses are no measurements
SPARE = 5  # runs more than parameters, below which the typical residual is no scale
USUAL = {"alpha": 0.34, "beta": 0.28}  # exponents of Hoffmann et al. 2022, approach 3
FAR = 10.0  # robust standard deviations at which a run is an outlier
GAP = 100.0  # factor between neighbouring values that suggests two units
MINORITY = 0.3  # largest share of the runs that is suspected of another unit
NARROW = 4.0  # range of an input, as a factor, below which an exponent means little
COLLINEAR = 0.995  # correlation of log params and log tokens: one ray of tokens per parameter


@dataclass(frozen=True)
class FitWarning:
    """One reason not to trust a fit."""

    code: str
    message: str


def _or_hold(recipe: Recipe, n: int, parameters: int) -> str:
    """What else helps against too few runs: exponents held until there are more runs than parameters."""
    free = {field.name for field in fields(recipe.law_type)} - set(recipe.fixed)
    held = [f"{name}={value}" for name, value in USUAL.items() if name in free][: parameters - n + 1]
    if parameters - len(held) >= n:
        return ""
    return f", or hold exponents: scaling fit --law {recipe.law} --fix {' '.join(held)}"


def refuse(runs: Runs, recipe: Recipe, parameters: int) -> None:
    """Refuse data that cannot determine the law.

    Raises:
        FitError: naming the reason.
    """
    _refuse_shares(runs, recipe)
    used = runs.weights > 0
    n = runs.n_distinct
    if n < parameters:
        raise FitError(
            f"fewer runs than the law has parameters: {n} run{'s' * (n > 1)}, {parameters} parameters "
            f"({recipe.law}). Add runs{_or_hold(recipe, n, parameters)}."
        )
    for name, x in runs.inputs.items():
        held = recipe.law_type.shares.get(name) in recipe.fixed
        if name not in OPTIONAL and not held and len(np.unique(x[used])) == 1:
            raise FitError(
                f"{called(name)} is {x[used][0]:.6g} in every run: nothing can be learnt about how loss "
                f"depends on it. Vary it, or fit the other input alone: --columns x=NAME --law power."
            )
    if np.ptp(runs.loss[used]) == 0:
        raise FitError(f"loss is {runs.loss[used][0]:.6g} in every run: there is no dependence to fit.")
    floor = recipe.fixed.get("E", 0.0)
    below = runs.loss[used] <= floor
    if below.any():
        raise FitError(
            f"E is fixed at {floor:g}, but {int(below.sum())} of {n} runs have a loss at or below it, down "
            f"to {runs.loss[used].min():.6g}. No run can be below the floor: correct E or the runs."
        )


def _refuse_shares(runs: Runs, recipe: Recipe) -> None:
    """
    Raises:
        FitError: for shares that add up to 1 in every run, of which one follows from the others.
    """
    shares = recipe.law_type.shares
    if not shares or set(shares.values()) & set(recipe.fixed):
        return
    if np.allclose(np.sum([runs.inputs[name] for name in shares], axis=0), 1, atol=1e-6):
        *_, last = shares.values()
        raise FitError(
            f"{' + '.join(shares)} is 1 in every run, so one of these shares follows from the others and not "
            f"all of {', '.join(shares.values())} have a value. Hold one, against which the others are: "
            f"scaling fit --fix {last}=0."
        )


def doubts_about_runs(runs: Runs, parameters: int, redrawn: int) -> tuple[FitWarning, ...]:
    """Doubts that the runs alone raise."""
    doubts = []
    n = runs.n_distinct
    if n <= parameters:
        message = (
            f"{n} runs for {parameters} parameters: the law passes through every run; intervals are void."
        )
        doubts.append(FitWarning("few-runs", message))
    elif n < 2 * parameters:
        doubts.append(
            FitWarning("few-runs", f"{n} runs for {parameters} parameters: intervals are unreliable.")
        )
    if runs.n_groups < runs.n and runs.n_groups < FEW_TRUNKS:
        doubts.append(
            FitWarning(
                "few-trunks",
                f"intervals rest on {runs.n_groups} independent trunk{'s' * (runs.n_groups > 1)}; "
                f"{FEW_TRUNKS} or more are needed.",
            )
        )
    if redrawn:
        doubts.append(
            FitWarning("redrawn", f"{redrawn} bootstrap draws had too few distinct sizes and were redrawn.")
        )
    for name, x in runs.inputs.items():
        distinct, factor = len(np.unique(x)), float(x.max() / x.min())
        if name not in OPTIONAL and distinct < 3:
            doubts.append(
                FitWarning(
                    "few-sizes",
                    f"{distinct} distinct {called(name)}: an exponent and a floor need at least 3.",
                )
            )
        elif name not in OPTIONAL and factor < NARROW:
            doubts.append(
                FitWarning(
                    "narrow", f"{called(name)} spans only a factor of {factor:.3g}: its exponent is a guess."
                )
            )
    doubts += _units(runs)
    doubts += _design(runs)
    doubts += _rising(runs)
    return tuple(doubts)


def doubts_about_fit(
    form: Form,
    certificate: Certificate,
    residuals: Array,
    theta_draws: Array,
    level: float,
    runs: Runs,
) -> tuple[FitWarning, ...]:
    """Doubts that the minimum raises."""
    doubts = []
    for name in certificate.bounds:
        doubts.append(
            FitWarning("bound", BOUNDS.get(name, f"{form.called(name)} lies at the limit of the search."))
        )
    if not certificate.bounds and not certificate.ok:
        doubts.append(FitWarning("not-certified", "no strict minimum was certified: some direction is free."))
    if len(theta_draws):
        at_bound = (theta_draws <= form.lower + AT_BOUND) | (theta_draws >= form.upper - AT_BOUND)
        share = at_bound.mean(axis=0)
        loose = [form.called(n) for n, s in zip(form.names, share, strict=True) if s > (1 - level) / 2]
        if loose:
            doubts.append(
                FitWarning(
                    "unidentified",
                    f"{', '.join(loose)}: the interval reaches a bound, so the runs do not identify it. "
                    f"scaling fit --profile {loose[0]} shows how flat the objective is.",
                )
            )
    if len(theta_draws) and len(residuals) > len(form.names) and float(np.abs(residuals).max()) < EXACT:
        doubts.append(
            FitWarning(
                "exact",
                f"the law goes through all {len(residuals)} runs without any error: losses look computed, "
                "not measured. Intervals have no width and say nothing about measured runs.",
            )
        )
    typical = 1.4826 * float(np.median(np.abs(residuals)))
    far = np.abs(residuals) > max(FAR * typical, 1e-9)
    count = int(far.sum())
    if count and typical > 0 and len(residuals) - len(form.names) >= SPARE:
        worst = "; ".join(_named(runs, i) for i in np.argsort(-np.abs(residuals))[: min(count, 5)])
        doubts.append(
            FitWarning(
                "outliers",
                f"{count} of {len(residuals)} runs lie{'s' * (count == 1)} more than {FAR:g} × "
                f"the typical residual ({100 * typical:.2g} %) from the law: "
                f"{worst}{'; …' if count > 5 else ''}. "
                "Wrong units, a failed run, or another recipe?",
            )
        )
    return tuple(doubts)


def _named(runs: Runs, i: int) -> str:
    """A run by its inputs and loss, which are the same in every file and selection, unlike a row's number."""
    inputs = ", ".join(f"{name} {values[i]:,.6g}" for name, values in runs.inputs.items())
    return f"{inputs}, loss {runs.loss[i]:.4g}"


BOUNDS = {
    "log_E": "E fell to 0: the runs do not reach a floor, and far forecasts assume there is none.",
    "log_A": "the size term vanished: loss does not fall with params (or x) in these runs.",
    "log_B": "the data term vanished: loss does not fall with tokens in these runs.",
    "alpha": "alpha lies on its bound: the size term cannot be told from the floor.",
    "beta": "beta lies on its bound: the data term cannot be told from the floor.",
    "log_k": "k lies on its bound: the runs do not say how the two terms join.",
}


def _units(runs: Runs) -> list[FitWarning]:
    """Inputs of which a minority lies a factor of 100 or more away from all the others."""
    doubts = []
    for name, x in runs.inputs.items():
        logs = np.sort(np.log(x))
        gaps = np.diff(logs)
        if not gaps.size or gaps.max() < np.log(GAP):
            continue
        below = int(gaps.argmax()) + 1
        few = min(below, len(x) - below)
        if few <= MINORITY * len(x):
            cut = float(np.exp(logs[below - 1 : below + 1].mean()))
            rows = np.sort(runs.order[(x < cut) if below <= len(x) - below else (x > cut)])[:5]
            side = "smaller" if below <= len(x) - below else "larger"
            doubts.append(
                FitWarning(
                    "units",
                    f"{few} of {len(x)} values of {called(name)} are {np.exp(gaps.max()):.2g} times or more "
                    f"{side} than all others (rows {', '.join(map(str, rows))}): "
                    "were some values entered in millions?",
                )
            )
    return doubts


def _design(runs: Runs) -> list[FitWarning]:
    if not {"N", "D"} <= set(runs.inputs) or runs.n < 3:
        return []
    n, d = (x - x.mean() for x in (np.log(runs.inputs["N"]), np.log(runs.inputs["D"])))
    if np.ptp(n) == 0 or np.ptp(d) == 0:
        return []
    correlation = float(n @ d / np.sqrt((n @ n) * (d @ d)))
    if abs(correlation) < COLLINEAR:
        return []
    if np.std(d - n) < 0.05 * np.std(n):
        why = "every run has about the same tokens per parameter"
    else:
        why = f"log params and log tokens have correlation {correlation:.4f}"
    return [
        FitWarning(
            "collinear",
            f"{why}, so alpha and beta cannot be told apart. Vary tokens at fixed params (arXiv:2605.08541).",
        )
    ]


def _rising(runs: Runs) -> list[FitWarning]:
    """Inputs with which loss rises: the partial slope of log loss is above 0 by 3 standard errors."""
    names = [name for name in runs.inputs if name not in OPTIONAL]
    X = np.log(np.stack([*(runs.inputs[name] for name in names), runs.loss]))
    X -= X.mean(axis=1, keepdims=True)
    X, y = X[:-1], X[-1]
    freedom = runs.n - len(names) - 1
    values, vectors = np.linalg.eigh(X @ X.T)
    if freedom < 1 or values[0] <= 1e-12 * values[-1]:
        return []
    inverse = (vectors / values) @ vectors.T
    slope = inverse @ (X @ y)
    residual = y - slope @ X
    error = np.sqrt(residual @ residual / freedom * np.diag(inverse))
    return [
        FitWarning(
            "rising",
            f"loss rises with {called(name)} (slope {s:+.3g} of log loss): diverged runs, swapped columns, "
            "or a learning rate that was not tuned. No scaling law describes this.",
        )
        for name, s, e in zip(names, slope, error, strict=True)
        if name in COLUMNS and s > max(3 * e, 1e-9)  # a rate or a share may raise it
    ]
