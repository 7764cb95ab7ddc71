"""Which recipe scales better: identities, a published table, coverage by simulation, and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.fitting.runs import FitError
from analysis.laws.coupled import Coupled
from analysis.laws.frontier import Frontier
from analysis.sweeps.compare import Comparison, compare_arms
from analysis.sweeps.frontiers import Matched, compare_frontiers, match_budgets
from analysis.sweeps.grids import compare_grids, frontier_of
from analysis.sweeps.joint import ArmRuns
from analysis.sweeps.lead import say_factor
from analysis.table import RunTable
from experiments.benchmarks.compare import frontier_study, grid_study, rows

# marin-community/marin issue 5596: Paloma macro loss of AdamH and MuonH at four budgets [FLOP].
COMPUTE = (2.19e17, 1.70e18, 9.00e18, 2.83e19)
ADAMH = (3.8104, 3.4339, 3.1605, 3.0065)
MUONH = (3.7542, 3.3988, 3.1357, 2.9888)


def table(
    arms: Mapping[str, tuple[float, ...]], compute: tuple[float, ...] = COMPUTE, **more: object
) -> RunTable:
    rows = [
        {"optimizer": name, "flops": C, "loss": loss, **more}
        for name, losses in arms.items()
        for C, loss in zip(compute, losses, strict=True)
    ]
    frame = pd.DataFrame(rows).assign(run_id=lambda t: [f"r{i}" for i in range(len(t))])
    return RunTable.of(frame.assign(trunk_id=frame["run_id"]))


def grids(saved: float = 1.25, noise: float = 0.0, seed: int = 0, sizes: int = 6) -> RunTable:
    law = Coupled(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.35, k=1.0)
    rng = np.random.default_rng(seed)
    parts = []
    for name, factor in (("adamw", 1.0), ("muon", saved)):
        N, D = (
            v.ravel()
            for v in np.meshgrid(np.geomspace(1e7, 3e8, sizes), np.geomspace(2e8, 6e9, 4), indexing="ij")
        )
        loss = law.sample(rng, relative_noise=noise, N=N, D=D * factor)
        trunk = [f"{name}-{n:.0f}" for n in N]
        parts.append(
            pd.DataFrame({"optimizer": name, "params": N, "tokens": D, "loss": loss, "trunk_id": trunk})
        )
    whole = pd.concat(parts, ignore_index=True)
    return RunTable.of(whole.assign(run_id=[f"r{i}" for i in range(len(whole))]))


def test_the_published_speed_ups_come_out_and_the_lead_is_lost() -> None:
    """The issue prints 1.31, 1.23, 1.19 and 1.14 with E pinned at 1.6; its projections cross by 1e23 FLOP."""
    found = compare_arms(table({"adamh": ADAMH, "muonh": MUONH}), ["optimizer"], at=[1e21, 1e23], floor=1.6)
    (lead,) = found.leads
    for point, published in zip(lead.points, (1.31, 1.23, 1.19, 1.14), strict=True):
        assert point.speedup.value == pytest.approx(published, abs=0.012)
        assert point.speedup.low < published < point.speedup.high
    assert lead.slope.value == pytest.approx(-0.064, abs=0.004)
    assert lead.p_slope < 0.05
    assert lead.at(1e21).value == pytest.approx(1.04, abs=0.012)
    assert lead.at(1e23).value == pytest.approx(0.91, abs=0.012)
    assert lead.at(1e23).high < 1
    assert lead.verdict(1e23).startswith("muonh loses its lead by 3")
    assert "these runs cannot tell" in lead.verdict(1e21)
    assert str(found).startswith("muonh over adamh: 1.1")


def test_the_floor_hardly_moves_a_ratio() -> None:
    runs = table({"adamh": ADAMH, "muonh": MUONH})
    pinned = [compare_arms(runs, ["optimizer"], floor=E).leads[0].at(1e21).value for E in (1.4, 1.5, 1.6)]
    assert np.ptp(pinned) < 0.02
    (lead,) = compare_arms(runs, ["optimizer"]).leads
    effect = lead.floor_effect(1e21)
    assert effect is not None
    assert effect[0][0] < 1.5 < effect[0][1]
    assert compare_arms(runs, ["optimizer"], floor=1.5).leads[0].floor_effect(1e21) is None


@pytest.mark.parametrize("saved", [0.5, 1.0, 1.3])
def test_arms_of_one_floor_and_exponent_have_one_speed_up_at_every_budget(saved: float) -> None:
    law = Frontier(E=1.6, A=92.0, alpha=0.0933)
    C = np.geomspace(1e17, 1e20, 5)
    lead = compare_frontiers(Matched(C, law(C), law(C * saved), np.zeros(5)), "new", "old", floor=1.6)
    assert [p.speedup.value for p in lead.points] == pytest.approx([saved] * 5, rel=1e-9)
    assert lead.at(1e24).value == pytest.approx(saved, rel=1e-6)
    assert lead.slope.value == pytest.approx(0, abs=1e-9)


def test_a_frontier_of_a_surface_is_its_optimum_at_every_compute() -> None:
    law = Coupled(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.35, k=1.6)
    K, gamma = frontier_of(law, c=6.0, p=1.0, at=1e20)
    for C in (1e18, 1e24):
        assert np.exp(K) * C**-gamma == pytest.approx(law.optimum(C).loss - law.E, rel=1e-9)
    K, gamma = frontier_of(law, c=20.0, p=0.9, at=1e20)
    N = np.geomspace(1e6, 1e12, 20001)
    least = (law(N=N, D=1e21 / (20.0 * N**0.9)) - law.E).min()
    assert np.exp(K) * 1e21**-gamma == pytest.approx(least, rel=1e-6)


def test_without_noise_a_grid_gives_the_saving_at_every_compute() -> None:
    found = compare_arms(grids(saved=1.25), ["optimizer"], resamples=20)
    assert found.design == "grid"
    (lead,) = found.leads
    for reach in (0.1, 1, 100):
        assert lead.at(reach * lead.largest).value == pytest.approx(1.25, rel=5e-3)


def test_trunks_of_one_size_share_their_weight() -> None:
    rows = grids(noise=0.003).rows.assign(flops=lambda t: 6 * t["params"] * t["tokens"], seed=0)
    runs = ArmRuns.of(rows, "optimizer", "adamw")
    weights = runs.draw(np.random.default_rng(0), 3)
    half = len(rows) // 2
    assert weights[:, :half] == pytest.approx(weights[:, half:])
    apart = ArmRuns.of(rows.assign(seed=[0] * half + [1] * half), "optimizer", "adamw")
    assert len(set(apart.pair)) == 2 * len(set(runs.pair))


def test_intervals_cover_and_the_slope_test_keeps_its_size() -> None:
    """120 frontiers: at 95 % fewer than 106 hold the truth once in 1,900; of .05 more than 14 once in 1,200.

    Nominally; the shipped coverage of 500 studies is in `experiments/benchmarks/compare.py`.
    """
    rng = np.random.default_rng(11)
    leads = [frontier_study(rng) for _ in range(120)]
    for reach in (1, 10, 100):
        assert (
            sum(
                lead.at(reach * lead.largest).low <= 1.25 <= lead.at(reach * lead.largest).high
                for lead in leads
            )
            >= 106
        )
    assert sum(lead.p_slope < 0.05 for lead in leads) <= 14


@pytest.mark.slow
def test_coverage_and_size_of_the_slope_test_on_2000_frontiers() -> None:
    """95 % intervals hold 92 to 97 % at 1, 10 and 100 times the compute; a .05 test rejects 3.5 to 6.5 %.

    Of 500 studies a true .042, as it is here, would come out below .035 once in four times.
    """
    found = list(rows(2000, grids=False))
    assert len(found) == 11
    assert [str(row) for row in found if not row.reached] == []


@pytest.mark.slow
def test_a_family_against_itself_has_no_lead() -> None:
    """40 studies: more than 7 false leads at .05 come up once in 1,000."""
    rng = np.random.default_rng(5)
    leads = [grid_study(rng, saved=1.0) for _ in range(40)]
    assert sum(lead.p_value(lead.largest) < 0.05 for lead in leads) <= 7


def test_an_arm_against_its_own_copy_is_said_to_have_the_same_losses() -> None:
    one = grids(noise=0.003).rows.query("optimizer == 'adamw'")
    copy = one.assign(optimizer="muon", trunk_id="m" + one["trunk_id"], run_id="m" + one["run_id"])
    both = RunTable.of(pd.concat([one, copy], ignore_index=True))
    (lead,) = compare_arms(both, ("optimizer",), resamples=50).leads
    assert lead.verdict(1e21).startswith("muon has the same losses as adamw")
    assert lead.p_better(1e21) == 0.5
    assert lead.p_slope == 1.0


def test_seeds_are_paired_where_both_arms_have_them() -> None:
    C = np.repeat([1e18, 1e19, 1e20], 2)
    loss = np.array([3.0, 3.2, 2.7, 2.9, 2.5, 2.7])
    one = pd.DataFrame({"flops": C, "loss": loss, "seed": [0, 1] * 3})
    other = one.assign(loss=loss - 0.1)[one["seed"] == 0]
    found, alone = match_budgets(one, other)
    assert found.baseline == pytest.approx(loss[::2])
    assert found.other == pytest.approx(loss[::2] - 0.1)
    assert alone == ""
    _, alone = match_budgets(one, other[other["flops"] > 1e18])
    assert alone == "1 budgets of the baseline and 0 of the other arm have no partner"


def test_wall_clock_counts_throughput() -> None:
    law = Frontier(E=1.6, A=92.0, alpha=0.0933)
    C = tuple(np.geomspace(1e17, 1e20, 5))
    losses = tuple(law(np.array(C)))
    runs = table({"slow": losses, "fast": losses}, C)
    seconds = runs.rows["flops"] / np.where(runs["optimizer"] == "fast", 2e14, 1e14)
    timed = RunTable.of(runs.rows.assign(seconds=seconds))
    (lead,) = compare_arms(timed, ["optimizer"], per="time", floor=1.6).leads
    assert lead.at(1e20).value == pytest.approx(2.0, rel=1e-6)
    with pytest.raises(ValueError, match=r"not every run records tokens_per_second, or seconds above 0"):
        compare_arms(runs, ["optimizer"], per="time", floor=1.6)


def test_arms_that_differ_elsewhere_are_refused_and_the_advice_works() -> None:
    runs = table({"adamh": ADAMH, "muonh": MUONH})
    decay = np.where(runs["optimizer"] == "muonh", 0.1, 0.2)
    both = RunTable.of(runs.rows.assign(weight_decay=decay))
    with pytest.raises(ValueError, match=r"also in weight_decay.*--by optimizer weight_decay"):
        compare_arms(both, ["optimizer"])
    found = compare_arms(both, ["optimizer", "weight_decay"], "adamh")
    assert found.baseline == "adamh, 0.2"
    tuned = RunTable.of(runs.rows.assign(learning_rate=np.where(decay == 0.1, 0.02, 0.003)))
    assert "taken as tuned for each" in compare_arms(tuned, ["optimizer"]).notes[0]


def test_what_cannot_be_compared_is_refused() -> None:
    runs = table({"adamh": ADAMH, "muonh": MUONH})
    with pytest.raises(ValueError, match="no column 'family'"):
        compare_arms(runs, ["family"])
    with pytest.raises(
        ValueError, match=r"baseline: 'sgd' is not a value of optimizer; choose from adamh, muonh"
    ):
        compare_arms(runs, ["optimizer"], "sgd")
    with pytest.raises(ValueError, match="needs two arms"):
        compare_arms(table({"adamh": ADAMH}), ["optimizer"])
    with pytest.raises(ValueError, match="'flops' is what a law relates"):
        compare_arms(runs, ["flops"])
    with pytest.raises(FitError, match=r"floor: between 0 and the least loss, 2.9888; got 3.5"):
        compare_arms(runs, ["optimizer"], floor=3.5)
    unlike = RunTable.of(
        runs.rows.assign(objective=np.where(runs["optimizer"] == "muonh", "masked", "causal"))
    )
    with pytest.raises(
        ValueError, match=r"also in objective.*Keep one value: --where 'objective == \"causal\"'\.$"
    ):
        compare_arms(unlike, ["optimizer"])
    with pytest.raises(ValueError, match="losses of different objective do not measure the same thing"):
        compare_arms(unlike, ["objective"])
    three = table({"adamh": ADAMH[:3], "muonh": MUONH[:3]}, COMPUTE[:3])
    with pytest.raises(FitError, match=r"share 3 budgets.*With --floor E three are enough"):
        compare_arms(three, ["optimizer"])
    assert compare_arms(three, ["optimizer"], floor=1.6).leads[0].pairs == 3


def test_several_arms_say_how_often_one_would_seem_ahead_by_chance() -> None:
    found = compare_arms(table({"adamh": ADAMH, "muonh": MUONH, "other": ADAMH}), ["optimizer"], floor=1.6)
    assert found.multiplicity.startswith("2 arms are compared")
    assert "up to 10 %" in found.multiplicity
    assert isinstance(found, Comparison)


def test_the_line_of_the_door() -> None:
    line = str(analysis.compare(grids(1.25, noise=0.002), by="optimizer", baseline="adamw", resamples=40))
    assert line.startswith("muon over adamw: 1.")
    assert "; slope " in line
    assert " per decade [" in line


def test_more_runs_narrow_the_interval_as_said() -> None:
    """With as many more pairs as `more` names, the target's interval would just exclude 1."""
    (lead,) = compare_arms(table({"adamh": ADAMH, "muonh": MUONH}), ["optimizer"], floor=1.6).leads
    more = lead.more(1e21)
    assert more is not None
    assert 1 <= more <= 20


def test_compare_grids_pins_the_floor() -> None:
    arms = dict(iter(grids(noise=0.002).rows.groupby("optimizer")))
    found = compare_grids(arms, floor=1.7, resamples=20, tests=0)
    assert all(pytest.approx(1.7) == law.E for law in found.laws.values())
    assert found.leads[0].floor_effect(1e22) is None


def test_a_setting_that_only_one_arm_has_is_part_of_that_arm() -> None:
    """Muon has a rate of its matrices and AdamW has none: that alone stops no comparison by optimizer."""
    from analysis.sweeps.parting import _refuse_others

    rows = pd.DataFrame(
        {
            "params": [1e4, 2e4] * 2,
            "tokens": 1e6,
            "loss": [3.0, 2.9, 2.8, 2.7],
            "optimizer": ["adamw"] * 2 + ["muon"] * 2,
            "optimizer_matrix_rate": [np.nan] * 2 + [1.0] * 2,
        }
    )
    (note,) = _refuse_others(RunTable(rows), ["optimizer"], rows["optimizer"])
    assert note == "optimizer_matrix_rate belongs to the optimizer"


def test_a_factor_is_not_printed_beyond_what_runs_can_tell() -> None:
    assert say_factor(1.28e33) == "> 1,000"
    assert say_factor(1e-9) == "< 0.001"
    assert say_factor(2.894) == "2.89"


def test_the_effect_of_the_floor_stays_within_the_draws() -> None:
    """A line through one extreme draw reached 10^33 times, and past what a float holds."""
    rng = np.random.default_rng(0)
    draws = np.stack([rng.normal(0, 0.2, 200), np.zeros(200)], axis=1)
    floors = rng.normal(1.5, 0.1, 200)
    draws[0, 0], floors[0] = 5000.0, 1.9
    (whole,) = compare_arms(table({"adamh": ADAMH, "muonh": MUONH}), ["optimizer"]).leads
    lead = replace(whole, draws=draws, floors=floors)
    effect = lead.floor_effect(10**whole.centre)
    assert effect is not None
    assert all(np.exp(-0.6) < moved < np.exp(0.6) for moved in effect[1])


def test_the_extension_that_brings_an_arm_is_no_other_setting() -> None:
    """Its column is empty for arms of the harness's own."""
    runs = table({"adamh": ADAMH, "mine": MUONH})
    rows = runs.rows.assign(extensions=runs.rows["optimizer"].map({"mine": '["my_model b84f9f4fc9ac"]'}))
    found = compare_arms(replace(runs, rows=rows), ["optimizer"], floor=1.5)
    assert "the code of some arms is an extension" in found.notes
