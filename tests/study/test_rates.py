from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from analysis.sweeps.rates import BestRate, best_rates, fit_rule
from analysis.table import load_runs
from experiments.learning_rate.__main__ import KEPT, main
from experiments.optimizers import __main__ as optimizers
from experiments.recipe.__main__ import KEPT as RECIPE
from scaling.study import compose
from scaling.study.config import RateRule
from scaling.study.plan import plan_study
from scaling.study.rates import BATCH, default_learning_rate
from scaling.study.sources import config_folder


def kept_rules(name: str) -> dict[str, RateRule]:
    content = yaml.safe_load((config_folder() / "rates" / f"{name}.yaml").read_text())
    return {family: RateRule(**rule) for family, rule in content.items()}


MEASURED = kept_rules("measured")


def test_a_mixture_of_experts_takes_the_decoder_s_rule() -> None:
    assert MEASURED["moe"] == MEASURED["decoder"]


@pytest.mark.parametrize("family", sorted(MEASURED.keys() - {"moe"}))
def test_the_default_is_what_the_kept_study_says(family: str) -> None:
    if family == "decoder.muon":
        kept_runs = load_runs(RECIPE).rows.query("study == 'rates'")
        cells = best_rates(kept_runs)
        wider = (BATCH / kept_runs["batch_tokens"].iloc[0]) ** 0.5
    else:
        cells = [cell for cell in best_rates(load_runs(KEPT).rows) if cell.family == family]
        wider = 1.0
    assert len({cell.params for cell in cells}) >= 3
    rule = fit_rule(cells)
    kept = MEASURED[family]
    assert (kept.rate, kept.params_exponent) == pytest.approx((wider * rule.rate, rule.exponent), rel=5e-3)


def test_optimizers_are_compared_at_the_rates_that_their_sweep_found() -> None:
    rates = {}
    for name in ("optimizers", "optimizer_rates"):
        rates[name] = yaml.safe_load((config_folder() / "study" / f"{name}.yaml").read_text())
    printed = optimizers.rules(load_runs(optimizers.FOLDER / "rates.csv").rows)
    for name, rule in rates["optimizers"]["rates"].items():
        assert (
            f"  as rates: {name}: {{rate: {rule['rate']}, params_exponent: {rule['params_exponent']}}}"
            in printed
        )
    assert not any("EDGE" in line for line in printed)


def test_the_rate_follows_the_root_of_the_batch() -> None:
    small, large = (default_learning_rate(MEASURED, "decoder", 10**5, 1e6, n) for n in (1024, 4096))
    assert large == pytest.approx(2 * small, rel=1e-2)


def test_step_law_is_what_its_paper_says() -> None:
    """Li et al. 2025 (arXiv:2503.04715): 1.79 N^-0.713 D^0.307."""
    rules = kept_rules("steplaw")
    for N, D in ((10**8, 2e9), (10**9, 1e11)):
        found = default_learning_rate(rules, "decoder", N, D, 500_000)
        assert found == pytest.approx(1.79 * N**-0.713 * D**0.307, rel=1e-2)


def test_a_study_names_its_rules(tiny_study: list[str]) -> None:
    measured, steplaw = (
        plan_study([*tiny_study, "model.params=8e3", f"rates={name}"]).trunks[0].spec
        for name in ("measured", "steplaw")
    )
    assert measured.learning_rate != steplaw.learning_rate
    assert steplaw.learning_rate == default_learning_rate(kept_rules("steplaw"), "decoder", 7866, 4992, 128)


def test_a_family_without_a_rule_must_be_told_its_rate() -> None:
    with pytest.raises(
        ValueError, match=r"no learning rate was measured for family 'rnn'.*training\.learning_rate"
    ):
        default_learning_rate(MEASURED, "rnn", 10**5, 1e6, 1024)


def cell(params: int, rate: float, edge: bool = False) -> BestRate:
    return BestRate("lstm", params, 10**6, rate, 3.0, rate / 2, rate * 2, 5, edge)


def test_a_rule_is_recovered_and_edges_are_left_out() -> None:
    cells = [cell(n, 0.01 * (n / 1e5) ** -0.3) for n in (10**4, 3 * 10**4, 10**5)]
    rule = fit_rule([*cells, cell(10**6, 1.0, edge=True)])
    assert (rule.rate, rule.exponent) == pytest.approx((0.01, 0.3))
    assert rule.rate_interval == pytest.approx((0.01, 0.01), rel=1e-6)
    assert (rule.optima, rule.edges) == (3, 1)
    assert "1 at an edge left out" in str(rule)
    two = fit_rule(cells[:2])
    assert two.exponent == pytest.approx(0.3)
    assert math.isnan(two.exponent_interval[0])


def test_a_sweep_becomes_rules_that_a_study_can_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "conf"
    (conf / "rates").mkdir(parents=True)
    monkeypatch.setattr("experiments.learning_rate.__main__.config_folder", lambda: conf)
    assert main([str(KEPT), "--save", "mine"]) == 0
    assert "a study uses them with rates=mine" in capsys.readouterr().out
    found = yaml.safe_load((conf / "rates" / "mine.yaml").read_text())
    assert found["decoder"]["rate"] == pytest.approx(MEASURED["decoder"].rate, rel=5e-3)
    assert compose.config_folder() != conf
