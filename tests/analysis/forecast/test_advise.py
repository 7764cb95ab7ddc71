"""Which runs next: what is chosen, at which price, and when it stops."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analysis.fitting.runs import FitError, Runs
from analysis.forecast.advise import Advice, advise_runs
from analysis.forecast.belief import expected_regret
from analysis.forecast.candidates import price
from analysis.forecast.regret import deadweight
from analysis.laws.chinchilla import Chinchilla

LAW = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
SIZES, BUDGETS = np.geomspace(1e7, 8e7, 4), np.geomspace(2e8, 1.6e9, 4)
TARGET = 1e21


def runs(noise: float = 0.004, seed: int = 0) -> Runs:
    N, D = (v.ravel() for v in np.meshgrid(SIZES, BUDGETS))
    return Runs.of({"N": N, "D": D}, LAW.sample(np.random.default_rng(seed), relative_noise=noise, N=N, D=D))


@pytest.fixture(scope="module")
def advice() -> Advice:
    return advise_runs(runs(), TARGET, resamples=60)


def test_the_expected_waste_falls_and_the_spend_is_kept(advice: Advice) -> None:
    assert advice.runs
    regrets = [advice.now.regret, *(run.regret for run in advice.runs)]
    assert regrets[-1] < 0.7 * regrets[0]
    assert advice.cost <= advice.spend
    assert advice.after.N.high / advice.after.N.low < advice.now.N.high / advice.now.N.low
    assert advice.now.N.low < LAW.optimum(TARGET).N < advice.now.N.high
    assert all(run.cost == pytest.approx(6 * run.N * run.D) for run in advice.runs)
    assert "N of least expected waste" in str(advice)
    json.dumps(advice.to_dict(), allow_nan=False)


def test_expected_regret_is_the_deadweight_of_a_law() -> None:
    """To first order in what is lost: within a fifth, up to twice and half the best size."""
    best = LAW.optimum(TARGET).N
    sizes = best * np.geomspace(0.5, 2, 21)
    loss, half = (LAW(N=sizes, D=C / (6 * sizes))[None] for C in (TARGET, TARGET / 2))
    found = expected_regret(loss, half)
    for i in (0, 5, 15, 20):
        assert found[i] == pytest.approx(deadweight(LAW, sizes[i], TARGET / (6 * sizes[i])), rel=0.2)
    assert found[10] == pytest.approx(0, abs=1e-9)


def test_trunks_make_runs_cheaper() -> None:
    trunks = {float(n): float(BUDGETS[-1]) for n in SIZES}
    found = advise_runs(runs(), TARGET, trunks=trunks, resamples=60)
    kinds = {run.kind for run in found.runs}
    assert kinds & {"extension", "cooldown"}
    for run in found.runs:
        if run.kind == "cooldown":
            assert run.cost == pytest.approx(0.2 * 6 * run.N * run.D)
        if run.kind == "extension":
            assert run.cost < 6 * run.N * run.D


def test_shorter_runs_are_candidates_down_to_a_limit(advice: Advice) -> None:
    """They are cheap and far from the rest; a run in its warm-up says nothing of the law."""
    assert BUDGETS[0] / 4 <= min(run.D for run in advice.runs) < BUDGETS[0]
    assert min(run.cost for run in advice.runs) >= 6 * SIZES[0] * BUDGETS[0] / 4 * (1 - 1e-9)
    found = advise_runs(runs(), TARGET, shortest=float(BUDGETS[0]), resamples=60)
    assert min(run.D for run in found.runs) >= BUDGETS[0]


def test_it_stops_where_nothing_is_left_to_learn() -> None:
    found = advise_runs(runs(noise=1e-5), 1e19, resamples=60)
    assert found.runs == ()
    assert "stop: the expected waste is below 0.5 %" in found.stop


def test_what_is_no_question_is_refused() -> None:
    with pytest.raises(ValueError, match="compute: a positive number of FLOP; got -1"):
        advise_runs(runs(), -1)
    with pytest.raises(ValueError, match=r"compute: the cheapest run took 1\.2e\+16 FLOP"):
        advise_runs(runs(), 10)
    with pytest.raises(FitError, match="params and tokens"):
        advise_runs(Runs.of({"C": [1e18, 1e19, 1e20]}, [3.0, 2.8, 2.6]), 1e21)


def test_a_run_of_a_size_that_there_is_or_will_be_is_no_new_size() -> None:
    taken = {(1e6, 1e8)}
    kinds = [price(n, d, {}, taken, False)[1] for n, d in ((1e6, 1e8), (1e6, 2e8), (2e6, 1e8))]
    assert kinds == ["new seed", "new run", "new size"]
