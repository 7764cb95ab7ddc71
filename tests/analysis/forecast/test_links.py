"""Links from loss to score: exact on exact data, least squares on noisy ones, refusals by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from analysis.fitting.runs import FitError
from analysis.forecast.links import Exponential, Sigmoid, excess_spread, fit_link, measure

LOSS = np.linspace(2.0, 4.5, 25)


@given(steep=st.floats(0.8, 6), middle=st.floats(2.4, 3.6), top=st.floats(0.5, 1.0), chance=st.floats(0, 0.4))
@settings(max_examples=40, deadline=None)
def test_sigmoid_is_recovered(steep: float, middle: float, top: float, chance: float) -> None:
    truth = Sigmoid(chance, max(top, chance + 0.1), steep, middle)
    found = fit_link(LOSS, truth(LOSS), chance=chance, resamples=0)
    assert found.link(LOSS) == pytest.approx(truth(LOSS), abs=2e-6)
    assert found.rms < 2e-6


@given(gamma=st.floats(0.2, 3), eps=st.floats(0.7, 1.0), share=st.floats(0.2, 0.9))
@settings(max_examples=40, deadline=None)
def test_exponential_is_recovered(gamma: float, eps: float, share: float) -> None:
    truth = Exponential(eps, share * eps * np.exp(gamma * 2.0), gamma)
    found = fit_link(LOSS, truth(LOSS), kind="exponential", resamples=0)
    assert isinstance(found.link, Exponential)
    assert found.link.gamma == pytest.approx(gamma, rel=1e-5)
    assert found.link.eps == pytest.approx(eps, rel=1e-6)


def test_noisy_fit_is_that_of_scipy() -> None:
    truth = Sigmoid(0.25, 0.9, 2.5, 3.0)
    rng = np.random.default_rng(0)
    score = rng.binomial(500, truth(LOSS)) / 500
    found = fit_link(LOSS, score, chance=0.25, resamples=0).link
    assert isinstance(found, Sigmoid)
    best, _ = curve_fit(lambda x, a, k, m: 0.25 + a / (1 + np.exp(k * (x - m))), LOSS, score, p0=[0.6, 2, 3])
    assert [found.top - 0.25, found.steepness, found.middle] == pytest.approx(best, rel=1e-5)


def test_order_of_runs_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    score = rng.binomial(500, Sigmoid(0.25, 0.9, 2.5, 3.0)(LOSS)) / 500
    order = rng.permutation(len(LOSS))
    one, other = (fit_link(LOSS[o], score[o], chance=0.25, resamples=5) for o in (slice(None), order))
    assert one.link == other.link
    assert one.draws == other.draws
    assert one.residuals[order] == pytest.approx(other.residuals)


def test_top_is_never_above_one() -> None:
    steep = Sigmoid(0.0, 1.0, 1.0, 1.0)(LOSS) * 1.02
    found = fit_link(LOSS, steep, resamples=50)
    assert all(isinstance(link, Sigmoid) and link.top <= 1 for link in (found.link, *found.draws))


def test_spread_is_what_the_binomial_leaves() -> None:
    rng = np.random.default_rng(0)
    expected = np.full(4000, 0.6)
    score = measure(expected, 0.0, 400, rng)
    assert excess_spread(score - expected, expected, 0, 400) < 0.004
    wide = measure(expected, 0.03, 400, rng)
    assert excess_spread(wide - expected, expected, 0, 400) == pytest.approx(0.03, rel=0.1)
    assert excess_spread(wide - expected, expected, 0, None) == pytest.approx(np.std(wide), rel=1e-3)


def test_a_flat_task_is_said_to_be_flat() -> None:
    score = np.random.default_rng(0).binomial(200, 0.25, len(LOSS)) / 200
    assert [d.code for d in fit_link(LOSS, score, chance=0.25, resamples=0).warnings] == ["flat"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "probit"}, "kind: one of sigmoid, exponential; got 'probit'"),
        ({"chance": 1.0}, "chance: a score from 0 to below 1; got 1.0"),
        ({"items": 0}, "items: 1 or more questions in the task; got 0"),
        ({"score": [0.5, 0.4]}, r"score has shape \(2,\), loss has 5 rows"),
        ({"score": [50, 40, 30, 20, 10]}, r"row 0 is 50.0. Give a fraction, not a percentage"),
        ({"loss": [2, 3, 4], "score": [0.5, 0.4, 0.3]}, "needs 4 runs or more; got 3"),
        ({"loss": [3] * 5}, "loss is 3 in every run"),
    ],
)
def test_refusals(changes: dict[str, object], message: str) -> None:
    asked = {"loss": [2, 2.5, 3, 3.5, 4], "score": [0.9, 0.8, 0.6, 0.4, 0.3]} | changes
    with pytest.raises((ValueError, FitError), match=message):
        fit_link(**asked)  # type: ignore[arg-type]
