from __future__ import annotations

import pytest

from analysis.forecast.rates import best_rates, fit_rule
from analysis.table import load_runs
from experiments.learning_rate.__main__ import KEPT
from scaling.study.rates import RULES, default_learning_rate


def test_the_default_is_what_the_kept_study_says() -> None:
    cells = best_rates(load_runs(KEPT))
    assert len({cell.params for cell in cells}) >= 3
    assert not any(cell.edge for cell in cells)
    assert RULES["decoder"] == pytest.approx(fit_rule(cells), rel=2e-3)
    for cell in cells:
        assert cell.low < default_learning_rate("decoder", cell.params) < cell.high


def test_the_rate_follows_the_root_of_the_batch() -> None:
    assert default_learning_rate("decoder", 10**5, 4096) == pytest.approx(
        2 * default_learning_rate("decoder", 10**5, 1024), rel=1e-2
    )


def test_a_family_without_a_rule_must_be_told_its_rate() -> None:
    with pytest.raises(
        ValueError, match=r"no learning rate was measured for family 'rnn'.*training\.learning_rate"
    ):
        default_learning_rate("rnn", 10**5)
