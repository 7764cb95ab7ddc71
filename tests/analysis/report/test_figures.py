"""Figures: what is drawn is the data and the law, in the family's colour, with ticks one can say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.font_manager import findfont

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit import fit_runs
from analysis.fitting.fit_columns import fit_power_law
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.forecast.along import pareto
from analysis.forecast.findings import Findings, Question, fit_study
from analysis.report.arm_style import looks
from analysis.report.figures.approaches import plot_approaches
from analysis.report.figures.compute import plot_curve_law, plot_loss_vs_flops
from analysis.report.figures.contours import plot_contours
from analysis.report.figures.decimate import GRAIN, apart, outline, some_trunks
from analysis.report.figures.fits import plot_forecast, plot_parameter, plot_residuals
from analysis.report.figures.learning import plot_learning_curves
from analysis.report.figures.surface import levels, plot_isoflop, plot_loss_vs_params, plot_loss_vs_tokens
from analysis.report.fonts import families
from analysis.report.style import (
    PLAIN,
    colours,
    label_ends,
    linear_axis,
    log_ticks,
    panels,
    save,
    say,
    say_flops,
    shades,
    styled,
)
from analysis.table import load_curves, load_runs
from tests.analysis.synthetic import BUDGETS, WIDTHS, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "demo"
    write_study(folder, families=("decoder", "lstm"), curves=True)
    return folder


@pytest.fixture(scope="module")
def parts(study: Path) -> dict[str, Findings]:
    return fit_study(load_runs(study), Question(("chinchilla",), bootstrap=Bootstrap(resamples=40)))


def dots(ax: Axes) -> np.ndarray:
    """All markers drawn without a line, as (x, y) rows in order."""
    xy = [
        np.column_stack(line.get_data())
        for line in ax.lines
        if line.get_marker() == "o" and line.get_linestyle() == "None"
    ]
    return np.concatenate([a for a in xy if len(a)])


def texts(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.texts]


def test_loss_vs_params_draws_every_run_and_the_law(parts: dict[str, Findings]) -> None:
    part = parts["decoder"]
    ax = plot_loss_vs_params(part.runs, part.fits)
    drawn = dots(ax)
    assert sorted(map(tuple, drawn)) == sorted(
        zip(part.runs["params"].astype(float), part.runs["loss"], strict=True)
    )
    lines = [line for line in ax.lines if line.get_marker() == "None"]
    assert len(lines) == len(BUDGETS)
    for line, D in zip(lines, BUDGETS, strict=True):
        N, L = line.get_data()
        np.testing.assert_allclose(L, part.fits[0].law(N=N, D=D), rtol=1e-12)
    assert {say(D) for D in BUDGETS} <= set(texts(ax))


def test_loss_vs_tokens_has_a_line_a_size(parts: dict[str, Findings]) -> None:
    part = parts["decoder"]
    ax = plot_loss_vs_tokens(part.runs, part.fits)
    assert {say(N) for N in WIDTHS.values()} <= set(texts(ax))
    assert len(dots(ax)) == len(part.runs)


def test_chosen_budgets_only(parts: dict[str, Findings]) -> None:
    part = parts["decoder"]
    ax = plot_loss_vs_params(part.runs, part.fits, tokens=[250_000, 4_000_000])
    assert len(dots(ax)) == 2 * len(WIDTHS)


def test_isoflop_optima_are_those_of_the_law(parts: dict[str, Findings]) -> None:
    part = parts["decoder"]
    ax = plot_isoflop(part.runs, part.fits)
    law = part.fits[0].law
    optima = [line.get_data() for line in ax.lines if line.get_marker() == "D" and len(line.get_xdata())]
    curves = [line.get_data() for line in ax.lines if line.get_marker() == "None"]
    assert len(optima) >= 4
    for (N,), (L,) in optima:
        assert min(curve[1].min() for curve in curves if abs(curve[1].min() / L - 1) < 1e-3) >= L * (1 - 1e-9)
        D = np.exp(np.log(law.B * law.beta / (law.A * law.alpha)) / law.beta) * N ** (law.alpha / law.beta)
        np.testing.assert_allclose(law(N=N, D=D), L, rtol=1e-9)


def test_isoflop_curves_stay_in_the_frame(parts: dict[str, Findings]) -> None:
    part = parts["decoder"]
    ax = plot_isoflop(part.runs, part.fits)
    low, high = ax.get_ylim()
    left, right = ax.get_xlim()
    for line in ax.lines:
        x, y = line.get_data()
        if len(x):
            assert left <= min(x) <= max(x) <= right
            assert low <= min(y) <= max(y) <= high
    labels = [text for text in ax.texts if text.get_text()]
    assert labels
    assert all(low <= text.xy[1] <= high and left <= text.xy[0] <= right for text in labels)


def test_the_path_of_the_contours_is_the_optimum(parts: dict[str, Findings]) -> None:
    part = parts["decoder"]
    ax = plot_contours(part.runs, part.fits)
    (path,) = [line for line in ax.lines if line.get_label() == "best N and D"]
    for N, D in zip(*path.get_data(), strict=True):
        best = part.fits[0].law.optimum(6 * N * D)
        assert pytest.approx((N, D), rel=1e-6) == (best.N, best.D)
    (dots,) = [line for line in ax.lines if line.get_label() == "run"]
    assert len(dots.get_xdata()) == len(part.runs)


def test_a_run_on_a_slice_is_not_moved(parts: dict[str, Findings]) -> None:
    """With one slice at a run's own compute, that run is drawn at its own loss."""
    part = parts["decoder"]
    one = part.runs.iloc[[7]]
    ax = plot_isoflop(one, part.fits, budgets=1)
    np.testing.assert_allclose(dots(ax)[0], [one["params"].iloc[0], one["loss"].iloc[0]], rtol=1e-9)


@pytest.mark.parametrize("against", ["params", "tokens", "fitted"])
def test_residuals_are_the_fits_own(parts: dict[str, Findings], against: str) -> None:
    part = parts["decoder"]
    ax = plot_residuals(part.runs, part.fits, against=against)
    x, y = dots(ax).T
    predicted = part.fits[0].law(N=part.runs["params"].to_numpy(), D=part.runs["tokens"].to_numpy())
    np.testing.assert_allclose(y, 100 * (part.runs["loss"] / predicted - 1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(x, predicted if against == "fitted" else part.runs[against])


def test_forecast_bars_are_the_intervals(parts: dict[str, Findings]) -> None:
    part = parts["lstm"]
    ax = plot_forecast([(part.label, part.forecasts[0])])
    segments = np.array(ax.containers[0].lines[2][0].get_segments())
    table = part.forecasts[0].table
    np.testing.assert_allclose(segments[:, 0, 1], table["lo"])
    np.testing.assert_allclose(segments[:, 1, 1], table["hi"])
    np.testing.assert_allclose(segments[:, 0, 0], table["loss"])


def test_parameter_bar_is_the_interval(parts: dict[str, Findings]) -> None:
    fit = parts["decoder"].fits[0]
    ax = plot_parameter([("chinchilla", PLAIN, fit)], "beta")
    np.testing.assert_allclose(ax.lines[0].get_xdata(), fit.interval(lambda law: law.beta))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["chinchilla"]
    assert len(plot_parameter([("chinchilla", PLAIN, fit)], "k").lines) == 0


def test_envelope_never_rises(study: Path) -> None:
    ax = plot_learning_curves(load_curves(study).rows, against="flops")
    (envelope,) = [line for line in ax.lines if line.get_label() == "envelope"]
    assert (np.diff(envelope.get_ydata()) <= 0).all()
    loss = load_curves(study).rows["loss"]
    assert envelope.get_ydata()[-1] == loss.min()


def test_frontier_is_not_beaten(parts: dict[str, Findings]) -> None:
    runs = parts["decoder"].runs
    best = pareto(runs)
    for run in best.itertuples():
        assert not ((runs["flops"] <= run.flops) & (runs["loss"] < run.loss)).any()
    assert (np.diff(best["loss"]) < 0).all()


def test_one_colour_an_arm_in_every_figure(parts: dict[str, Findings], study: Path) -> None:
    """Two arms of one family: each is drawn in its own colour and its shades, and never in the other's."""
    labels = {"decoder": "decoder, adamw", "lstm": "decoder, muon"}
    inks, worn = colours(labels.values()), looks(labels.values())
    expected = {
        name: {to_hex(ink)} | {to_hex(c) for n in range(1, 9) for c in shades(ink, n)}
        for name, ink in inks.items()
    }
    assert not expected["decoder, adamw"] & expected["decoder, muon"]
    arms = {str(t): labels[f] for f, part in parts.items() for t in part.runs["trunk_id"]}
    for family, part in parts.items():
        label, ink = labels[family], inks[labels[family]]
        look = worn[label]
        curves = load_curves(study).rows
        for ax in (
            plot_loss_vs_params(part.runs, part.fits, look=look),
            plot_loss_vs_tokens(part.runs, part.fits, look=look),
            plot_isoflop(part.runs, part.fits, look=look),
            plot_residuals(part.runs, part.fits, look=look),
            plot_forecast([(label, part.forecasts[0])], looks=worn),
            plot_parameter([("one", ink, part.fits[0])], "E"),
            plot_loss_vs_flops([(label, part.runs, part.fits)], looks=worn),
            plot_learning_curves(curves[curves["family"] == family], arms=arms, looks=worn),
        ):
            drawn = {
                to_hex(line.get_color())
                for line in ax.lines
                if len(line.get_xdata()) and line.get_marker() != "D"
            }
            assert drawn & expected[label]
            assert not drawn & expected[next(other for other in labels.values() if other != label)]


def test_colours_differ_by_arm_and_a_family_keeps_its_own() -> None:
    alone = colours(["decoder"])["decoder"]
    assert colours(["weight_decay 0.1", "decoder, weight_decay 0.3"])["decoder, weight_decay 0.3"] == alone
    many = colours([f"decoder, arm {i}" for i in range(30)])
    assert len(set(many.values())) == 30


def test_nothing_to_draw_says_why(parts: dict[str, Findings]) -> None:
    runs = parts["decoder"].runs
    empty = pd.DataFrame(
        columns=["trunk_id", "run_id", "part", "family", "params", "tokens", "flops", "loss"], dtype=float
    )
    assert texts(plot_learning_curves(empty)) == ["no evaluation along training was logged"]
    assert texts(plot_forecast([])) == ["no run was held out"]
    assert texts(plot_isoflop(runs, [])) == ["no law could be fitted"]
    assert texts(plot_residuals(runs, [])) == ["no law could be fitted"]


def test_a_figure_draws_where_it_is_told(parts: dict[str, Findings]) -> None:
    left, right = panels(1, 2)
    part = parts["decoder"]
    assert plot_loss_vs_params(part.runs, part.fits, ax=right) is right
    assert not left.lines


def test_style_leaves_the_users_settings_alone() -> None:
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 31.0}):
        with styled():
            assert mpl.rcParams["font.size"] != 31.0
        assert mpl.rcParams["font.size"] == 31.0
    assert dict(mpl.rcParams) == before


def test_svg_follows_light_and_dark() -> None:
    with styled():
        (ax,) = panels()
        ax.plot([1, 2], [1, 2], color=PLAIN)
        svg = save(ax.figure)["svg"].decode()  # type: ignore[arg-type]
    assert "prefers-color-scheme:dark" in svg
    assert f"stroke: var(--{PLAIN[1:]})" in svg
    assert "<dc:date>" not in svg


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (20_000, "20k"),
        (2.8, "2.8"),
        (1.6e6, "1.6M"),
        (2e9, "2B"),
        (999.9, "1k"),
        (3e15, "3e15"),
        (5760, "5.76k"),
        (0, "0"),
        (0.05, "0.05"),
    ],
)
def test_numbers_as_one_says_them(value: float, words: str) -> None:
    assert say(value) == words


def test_compute_as_one_writes_it() -> None:
    assert [say_flops(c) for c in (2.1e10, 1e12, 5.76e23)] == ["2.1e10", "1e12", "5.8e23"]


@given(st.floats(-3, 25), st.floats(0.05, 14))
def test_log_ticks_are_few_and_inside(start: float, decades: float) -> None:
    low, high = 10.0**start, 10.0 ** (start + decades)
    ticks = log_ticks(low, high)
    assert len(ticks) <= 7
    assert ticks == sorted(set(ticks))
    assert all(low * 0.96 <= t <= high * 1.04 for t in ticks)
    assert len(ticks) >= 2 or decades < 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_labels_at_line_ends_do_not_cover_each_other(heights: list[float]) -> None:
    (ax,) = panels()
    ax.set_ylim(0, 1)
    label_ends(ax, "N", [(y, str(i), "black") for i, y in enumerate(heights)])
    placed = sorted(text.xy[1] for text in ax.texts)
    assert np.diff(placed).min() > 0.03
    by_text = {text.get_text(): text.xy[1] for text in ax.texts}
    order = sorted(range(len(heights)), key=lambda i: (heights[i], by_text[str(i)]))
    assert [by_text[str(i)] for i in order] == sorted(by_text[str(i)] for i in order)


@given(st.lists(st.floats(1e3, 1e9), min_size=1, max_size=40))
def test_levels_cover_every_row(values: list[float]) -> None:
    column = np.array(values)
    found, member = levels(column)
    assert 1 <= len(found) <= 6
    assert (member >= 0).all()
    assert set(found) <= set(values)


def test_approaches_lie_side_by_side_with_what_each_wastes(parts: dict[str, Findings]) -> None:
    found = parts["decoder"].approaches
    assert found is not None
    ax = plot_approaches(found)
    legend = ax.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(labels) == len(found.approaches) >= 2
    assert labels[-1].endswith("the judge")
    assert all("wastes" in label for label in labels[:-1])
    advised = [
        line.get_data() for line in ax.lines if line.get_linestyle() != "-" and len(line.get_xdata()) == 2
    ]
    ends = sorted(float(y[-1]) for _, y in advised)
    assert ends == pytest.approx(sorted(found.table["N"]), rel=1e-9)
    assert all(float(x[-1]) == found.compute for x, _ in advised)


def test_ticks_of_a_narrow_axis_differ() -> None:
    ax = panels()[0]
    ax.set_xlim(0.33915, 0.34005)
    linear_axis(ax.xaxis, most=4)
    said = [tick.get_text() for tick in ax.get_xticklabels()]
    assert len(set(said)) == len(said) > 2
    assert all(len(text) <= 7 for text in said)


def test_an_interval_without_end_does_not_stretch_the_axis(parts: dict[str, Findings]) -> None:
    found = parts["decoder"].approaches
    assert found is not None
    wide = replace(found, table=found.table.assign(N_lo=1e-300, N_hi=np.inf))
    low, high = plot_approaches(wide).get_ylim()
    sizes = np.concatenate([a.sizes for a in found.approaches] + [found.table["N"]])
    assert low > sizes.min() / 30
    assert high < sizes.max() * 30


def test_points_that_cover_one_another_are_drawn_once() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, 5000).astype(float), rng.normal(size=5000)
    drawn = apart(x, y)
    assert 500 < len(drawn) < 4000
    step = np.array([np.ptp(x), np.ptp(y)]) / GRAIN
    for point in np.stack([x, y], axis=1)[::97]:
        assert (np.abs(np.stack([x, y], axis=1)[drawn] - point) <= step).all(axis=1).any()
    assert apart(x[:900], y[:900]).tolist() == list(range(900))
    assert apart(np.ones(2000), np.ones(2000)).tolist() == [0]


def test_of_many_trunks_some_are_drawn_and_the_envelope_is_that_of_all() -> None:
    """Thirty seeds of three sizes: the best and worst of each size are there, and the lowest loss of all."""
    rng = np.random.default_rng(1)
    tokens = np.geomspace(1e6, 1e8, 5)
    curves = pd.concat(
        [
            pd.DataFrame(
                {"params": size, "trunk_id": f"{size}-{seed}", "tokens": tokens, "flops": 6 * size * tokens}
                | {"loss": 9 * tokens**-0.1 + 0.1 * rng.random()}
            )
            for size in (1e5, 1e6, 1e7)
            for seed in range(30)
        ],
        ignore_index=True,
    ).assign(family="decoder", part="trunk", run_id=None)
    some = some_trunks(curves, most=12)
    final = curves.groupby(["params", "trunk_id"])["loss"].min()
    for _, of_size in final.groupby("params"):
        names = of_size.sort_values().index.get_level_values("trunk_id")
        assert {names[0], names[-1]} <= set(some["trunk_id"])
    assert some["trunk_id"].nunique() == 12
    ax = plot_learning_curves(curves, against="flops")
    (envelope,) = [line for line in ax.lines if line.get_label() == "envelope"]
    x, best = np.asarray(envelope.get_xdata()), np.asarray(envelope.get_ydata())
    for C in curves["flops"]:
        assert best[x <= C].min() == curves.loc[curves["flops"] <= C, "loss"].min()


@pytest.mark.parametrize("law", ["power", "m3"])
def test_a_law_of_one_input_is_drawn_beyond_its_runs(law: str) -> None:
    """Loss of x or compute alone: every run, and the law with its band up to ten times the largest x."""
    x = np.geomspace(1e15, 1e18, 12)
    loss = 1.7 + 40 * x**-0.1 * np.exp(0.002 * np.random.default_rng(0).standard_normal(12))
    recipe = Recipe(law)
    fits = [
        fit_runs(Runs.of({"x": x}, loss), recipe, Bootstrap(resamples=20)),
        fit_power_law(x, loss, resamples=0),
    ]
    ax = plot_curve_law("muon", x, loss, fits, x_label="C [FLOP]")
    assert sorted(map(tuple, dots(ax))) == sorted(zip(x, loss, strict=True))
    inside, beyond = [line for line in ax.lines if line.get_color() == PLAIN and line.get_marker() == "None"][
        :2
    ]
    assert np.asarray(inside.get_xdata()).max() <= x.max()
    assert np.asarray(beyond.get_xdata()).max() == pytest.approx(10 * x.max())
    np.testing.assert_allclose(beyond.get_ydata(), fits[0].law(x=beyond.get_xdata()), rtol=1e-12)
    assert len(ax.collections) == 1
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["muon", *(fit.name for fit in fits)]


def test_runs_without_a_law_of_one_input_are_drawn_alone() -> None:
    ax = plot_curve_law("runs", [1.0, 10.0, 100.0], [9.0, 3.0, 1.0], [])
    assert len(dots(ax)) == 3
    assert ax.get_yscale() == "log"


def test_sizes_of_several_arms_are_no_labels_beside_the_lines(study: Path) -> None:
    """Fifty labels leave the page: with several arms the legend names these, and shades stand for sizes."""
    ax = plot_learning_curves(load_curves(study).rows)
    assert texts(ax) == []
    legend = ax.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {"decoder", "lstm"}


def test_of_many_line_ends_only_those_with_room_are_labelled() -> None:
    (ax,) = panels()
    label_ends(ax, "N", [(i / 40, str(i), "black") for i in range(40)])
    heights = [text.xy[1] for text in ax.texts]
    assert 10 < len(heights) < 20
    assert max(heights) < 1.2
    assert {"0", "39"} <= set(texts(ax))


def test_a_long_line_keeps_its_extremes_everywhere() -> None:
    rng = np.random.default_rng(2)
    x, y = np.log(np.arange(1.0, 50_001)), rng.normal(size=50_000)
    kept = outline(x, y, places=100)
    assert len(kept) <= 204
    assert (np.diff(kept) > 0).all()
    assert {0, 49_999, int(y.argmin()), int(y.argmax())} <= set(kept.tolist())
    place = np.rint((x - x[0]) / (x[-1] - x[0]) * 100)
    for k in (50, 90, 100):
        here = place == k
        shown = y[kept][place[kept] == k]
        assert (shown.min(), shown.max()) == (y[here].min(), y[here].max())
    assert outline(x[:200], y[:200], places=100).tolist() == list(range(200))


def test_the_cut_font_holds_what_figures_write_and_the_whole_one_the_rest() -> None:
    """Text in a PDF stays text, and a letter that was cut away comes from the whole font."""
    with styled():
        (ax,) = panels()
        ax.set_title("α × 5 % → ≥ 1, Ёж")
        saved = save(ax.figure)  # type: ignore[arg-type]
    assert len(saved["pdf"]) < 40_000
    assert b"/Type0" in saved["pdf"]
    cut, whole = families()
    assert findfont(cut) != findfont(whole)


def test_curves_of_runs_whose_size_is_not_stated_are_drawn() -> None:
    tokens = np.geomspace(1e6, 1e8, 5)
    curves = pd.DataFrame({"tokens": tokens, "flops": np.nan, "loss": 9 * tokens**-0.1, "params": np.nan})
    curves = curves.assign(trunk_id="run-1", run_id=None, part="trunk", family="unstated")
    ax = plot_learning_curves(curves)
    assert np.isfinite(ax.lines[0].get_ydata()).sum() == 5
    assert "not stated" in texts(ax)
    assert texts(plot_learning_curves(curves, against="flops")) == ["no evaluation along training was logged"]
