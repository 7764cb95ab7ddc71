"""What `scaling plan` says of a design before anything is trained."""

from __future__ import annotations

import json

import pytest

from experiments.cli import main
from experiments.commands.design import check_plan, fit_prior
from experiments.progress import StudyProgress
from scaling.launch.estimate import estimate
from scaling.study.plan import plan_study
from scaling.training.throughput import StepTime


@pytest.fixture
def grid(tiny_study: list[str]) -> list[str]:
    return [*tiny_study, "model.params=5e3,8e3,1.2e4", "budget.tokens=[2e3,4e3,8e3]"]


def test_a_ray_is_named_before_it_is_trained(tiny_study: list[str]) -> None:
    ray = ["model.params=5e3,6e3,8e3,1e4,1.2e4,1.6e4", "budget.tokens=null", "budget.tokens_per_param=20"]
    (found,) = check_plan(plan_study([*tiny_study, *ray]), 0, None)
    assert [doubt.code for doubt in found.warnings] == ["ray"]
    assert "! decoder: ray: tokens per parameter are" in str(found)


def test_a_grid_is_simulated_under_the_law_of_small_runs(grid: list[str]) -> None:
    (found,) = check_plan(plan_study(grid), 20, None)
    assert found.prior.endswith("demo/runs.csv")
    assert found.simulated is not None
    low, high = found.simulated.loss.low, found.simulated.loss.high
    assert low < found.simulated.loss.value < high
    assert "of such studies would find" in str(found)


def test_too_few_runs_for_a_surface_are_not_judged(tiny_study: list[str]) -> None:
    assert check_plan(plan_study(tiny_study), 0, None) == []


def test_large_models_are_judged_by_chinchilla() -> None:
    law, noise = fit_prior(None)
    assert (law.E, noise) == (1.817218, 0.004)


def test_a_prior_that_has_no_law_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    table = tmp_path_factory.mktemp("prior") / "two.csv"
    table.write_text("params,tokens,loss\n1e3,1e5,3\n2e3,1e5,2.9\n")
    with pytest.raises(ValueError, match=r"--prior .*two\.csv: "):
        fit_prior(str(table))


def test_the_plan_prints_it(
    grid: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "scaling.launch.estimate.time_steps",
        lambda trunks, *_: ([StepTime(1e-3, 1e-3, 2e-3)] * len(trunks), None),
    )
    assert main(["plan", *grid]) == 0
    assert "on cpu: 1 trunk at a time, 1 thread each" in capsys.readouterr().out
    assert main(["plan", *grid, "--json"]) == 0
    (design,) = json.loads(capsys.readouterr().out)["design"]
    assert design["family"] == "decoder"
    assert design["condition"] > 1


def test_max_flops_pays_for_the_cheapest_trunks(grid: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_study(grid)
    costs = sorted(t.flops_per_token * t.spec.batch_tokens * t.steps_to_train for t in plan.trunks)
    asked = plan_study([*grid, f"max_flops={costs[0] + costs[1]}"])
    kept = asked.affordable()
    assert len(kept.trunks) == 2
    StudyProgress(asked).started(estimate(kept))
    assert "pays for 6 of 9 runs; the others stay missing" in capsys.readouterr().out
    assert main(["plan", *grid, f"max_flops={costs[0] + costs[1]}"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{asked.name}: {costs[0] + costs[1]:.2e} FLOP, about ")
    assert "pays for 6 of 9 runs; the others stay missing" in said
    assert {t.spec.id for t in kept.trunks} < {t.spec.id for t in plan.trunks}
    with pytest.raises(ValueError, match=r"max_flops: the cheapest trunk takes .* FLOP; got 1\.00e\+00"):
        plan_study([*grid, "max_flops=1"]).affordable()
    assert len(plan.affordable().trunks) == 3
