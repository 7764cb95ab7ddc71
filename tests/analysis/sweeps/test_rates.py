from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.sweeps.rates import BestRate, best_rates, fit_rule


def sweep(optimum: float, rates: list[float], params: int = 10_000) -> pd.DataFrame:
    """Losses of an exact parabola in log rate."""
    losses = [3 + 0.1 * np.log(rate / optimum) ** 2 for rate in rates]
    return pd.DataFrame(
        {"family": "decoder", "params": params, "tokens": 10**6, "learning_rate": rates, "loss": losses}
    )


def test_a_parabola_gives_its_vertex() -> None:
    (cell,) = best_rates(sweep(5e-3, [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2]))
    assert cell.rate == pytest.approx(5e-3, rel=1e-9)
    assert cell.loss == pytest.approx(3, rel=1e-12)
    assert not cell.edge
    assert cell.low < 5e-3 < cell.high


def test_seeds_are_averaged() -> None:
    rates = [1e-3, 2e-3, 4e-3, 8e-3]
    one, other = sweep(3e-3, rates), sweep(3e-3, rates)
    one["loss"] += 0.01
    other["loss"] -= 0.01
    two = pd.concat([one, other])
    assert best_rates(two)[0].rate == pytest.approx(3e-3, rel=1e-9)


@pytest.mark.parametrize("optimum", [1e-4, 1.0])
def test_an_optimum_outside_the_grid_is_flagged(optimum: float) -> None:
    (cell,) = best_rates(sweep(optimum, [1e-3, 2e-3, 4e-3]))
    assert cell.edge
    assert cell.rate == pytest.approx(1e-3 if optimum < 1e-3 else 4e-3)


def test_the_rule_is_recovered_and_edges_do_not_bend_it() -> None:
    cells = [
        BestRate("decoder", n, 10**6, 0.01 * (n / 1e5) ** -0.3, 3.0, 0.0, 1.0, 5, False)
        for n in (10**4, 10**5, 10**6)
    ]
    wrong = BestRate("decoder", 10**7, 10**6, 1.0, 3.0, 0.0, 1.0, 5, True)
    rule = fit_rule([*cells, wrong])
    assert (rule.rate, rule.exponent) == pytest.approx((0.01, 0.3))
    assert (rule.optima, rule.edges) == (3, 1)


def test_too_few_rates_or_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"decoder N 10,000 D 1,000,000: 2 learning rates; at least 3"):
        best_rates(sweep(1e-3, [1e-3, 2e-3]))
    with pytest.raises(ValueError, match="0 of 1 optima lie inside their grid"):
        fit_rule(best_rates(sweep(1.0, [1e-3, 2e-3, 4e-3])))
