"""Whether the weight decay of a study is tuned alike along its budgets: the drift of tau."""

from __future__ import annotations

from scaling.study.plan import Plan

TENFOLD = 10 * (1 - 1e-3)  # budgets are rounded to whole steps


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
