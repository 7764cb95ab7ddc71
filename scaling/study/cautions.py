"""What may bend the law of a study and can be said before it is trained."""

from __future__ import annotations

from scaling.study.plan import Plan
from scaling.study.spec import readable

TENFOLD = 10 * (1 - 1e-3)  # budgets are rounded to whole steps
ONCE = 1.05  # readings of a corpus up to which no more is said


def cautions(plan: Plan) -> list[str]:
    """Return every warning about a plan, a sentence or two each."""
    return [*tau_drifts(plan), *repetitions(plan)]


def repetitions(plan: Plan) -> list[str]:
    """Return a warning where the longest run reads its corpus more than once.

    A repeated token is worth less than a new one, and a law of N and D takes them for the same.
    Source: Muennighoff et al. 2023 (arXiv:2305.16264), section 3.
    """
    trunk = max(plan.trunks, key=lambda trunk: trunk.epochs or 0.0)
    if (trunk.epochs or 0.0) <= ONCE:
        return []
    tokens = max(run.tokens for run in trunk.runs)
    return [
        f"the text repeats: {readable(tokens)} tokens read the training part of the corpus "
        f"{trunk.epochs:.2g} times. A repeated token is worth less than a new one; "
        "fit and report say from where the law of repeated data (--law repeated) is needed. "
        "More text, or smaller budgets, avoid it."
    ]


def tau_drifts(plan: Plan) -> list[str]:
    """Return a warning where tau drifts tenfold along the budgets of one model and recipe.

    At a fixed decay tau = 1 / (rate * decay * steps) falls as 1 / D, while the best tau falls more slowly, so
    that a law in D would also measure how well the decay fits each budget.
    Source: Bergsma et al. 2025 (arXiv:2505.13738), section 3.
    """
    found: dict[tuple[object, ...], list[float]] = {}
    for trunk, run in plan.runs:
        spec, tau = trunk.spec, trunk.tau(run)
        if tau is not None and spec.tau_asked is None:
            alike = (spec.family, spec.width, spec.depth, spec.optimizer, spec.weight_decay, spec.sequences)
            found.setdefault(alike, []).append(tau)
    drifts = [taus for taus in found.values() if max(taus) >= TENFOLD * min(taus)]
    if not drifts:
        return []
    low, high = min(map(min, drifts)), max(map(max, drifts))
    return [
        f"tau = 1 / (rate × decay × steps) drifts {max(max(t) / min(t) for t in drifts):.3g}-fold along the "
        f"budgets of a model, from {low:.2g} to {high:.2g}: their weights average over different fractions "
        "of a run, so the D axis also measures how well the decay suits each budget. training.tau=rule gives "
        "every budget its own decay, and a trunk of its own."
    ]
