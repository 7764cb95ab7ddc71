"""What a choice of size and tokens wastes, in compute, under one law."""

from __future__ import annotations

from math import exp, log

import scipy  # its submodules load when they are used

from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Law

LOG_RANGE = 200.0  # of compute below that of the run: wider than any law is meant for


def compute_for(law: Law, loss: float, below: float) -> float:
    """The least compute 6 N D [FLOP] with which the law reaches a loss, at most `below`.

    Raises:
        ValueError: when the optimum of `below` FLOP does not reach the loss.
    """
    best = law.optimum(below).loss
    if loss < best * (1 - 1e-12):
        raise ValueError(
            f"loss {loss:.6g} is out of reach of {below:.4g} FLOP: the {law.name} law's best is {best:.6g}."
        )
    if loss <= best * (1 + 1e-13):
        return below

    def surplus(log_compute: float) -> float:
        return law.optimum(exp(log_compute)).loss - loss

    top, step = log(below), 0.01
    while surplus(top - step) < 0:
        step *= 4
        if step > LOG_RANGE:
            raise ValueError(f"loss {loss:.6g} is above that of any compute under the {law.name} law.")
    return exp(scipy.optimize.brentq(surplus, top - step, top, xtol=1e-13))


def deadweight(law: Law, N: float, D: float) -> float:
    """Share of the compute 6 N D that is lost by using it on N and D: (C - C_eq) / C, 0 at the optimum.

    C_eq is the least compute that reaches the loss of N and D. Times C it is the Deadweight Compute Loss.

    Source: Czech et al. 2026 (arXiv:2603.22339), their metric C - C_eq(L(N, D)).
    """
    compute = FLOPS_PER_PARAM_TOKEN * N * D
    return max(0.0, 1.0 - compute_for(law, float(law(N=N, D=D)), compute) / compute)
