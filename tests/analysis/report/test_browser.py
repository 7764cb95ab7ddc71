"""The page in a real browser: what a reader points at, presses, drags, prints; and whether all can use it.

Needs Chromium and `pip install '.[browser]'`; `make browser-test`.
"""

from __future__ import annotations

import importlib.resources
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.forecast.findings import Question, fit_study
from analysis.laws.chinchilla import Chinchilla
from analysis.report import write
from analysis.report.style import SMALL, save
from analysis.table import load_runs

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install '.[browser]'")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")]

PHONE = {"width": 390, "height": 844}
SEEN = 'figure svg[data-name="{}"] g[data-runs] use'


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 100 runs of two optimizers, with figures as SVG alone: the page holds no other."""
    folder = tmp_path_factory.mktemp("page")
    law, rng = Chinchilla(1.8, 400.0, 410.0, 0.34, 0.28), np.random.default_rng(0)
    rows = [
        {
            "run_id": f"{optimizer}-{N:.0e}-{ratio:.0f}",
            "optimizer": optimizer,
            "params": N,
            "tokens": ratio * N,
            "loss": (law(N=N, D=ratio * N) - lead) * np.exp(0.002 * rng.normal()),
            "seed": 0,
            "learning_rate": 0.01 * N**-0.2,
        }
        for optimizer, lead in (("adamw", 0.0), ("muon", 0.1))
        for N in (1e6, 3e6, 1e7, 3e7, 1e8)
        for ratio in np.geomspace(5, 400, 10)
    ]
    pd.DataFrame(rows).to_csv(folder / "two.csv", index=False)
    table = load_runs(folder / "two.csv")
    findings = fit_study(table, Question(("chinchilla",), bootstrap=Bootstrap(resamples=60)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "save", partial(save, kinds=("svg",)))
        written = write.write_report(table, findings, folder / "report", question="Is Muon ahead at scale?")
    return written["index.html"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any, file: Path) -> Iterator[Any]:
    """Opens the page in a context with these settings; at the end nothing may have gone wrong in it."""
    problems: list[str] = []
    contexts = []

    def open_page(**settings: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: None if request.url == address else problems.append(request.url))
        page.goto(address)
        return page

    address = file.as_uri()
    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(visit: Any) -> Any:
    return visit()


def point(page: Any, figure: str, place: int) -> tuple[float, float]:
    """The middle of a point of a figure that is scrolled into sight."""
    mark = page.locator(SEEN.format(figure)).nth(place)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_first_screen_answers(page: Any) -> None:
    assert page.locator(".question").inner_text() == "Is Muon ahead at scale?"
    assert "muon" in page.locator(".answer").inner_text()
    assert page.locator("math").count() == 4
    assert page.locator("math").first.bounding_box()["height"] > 15
    assert page.locator(".answer").bounding_box()["y"] < 300


def test_pointing_at_a_run_tells_what_it_was(page: Any) -> None:
    page.mouse.move(*point(page, "loss-vs-flops", 3))
    told = page.locator("#tip").inner_text()
    assert "adamw-" in told
    for word in ("N\n", "D\n", "C\n", "FLOP", "loss\n", "residual\n", "%", "learning_rate\n"):
        assert word in told
    page.mouse.move(5, 5)
    assert page.locator("#tip").is_hidden()


def test_a_run_is_ringed_in_every_figure(page: Any) -> None:
    page.mouse.move(*point(page, "loss-vs-flops", 3))
    ringed = page.locator("svg:has(.ring)").evaluate_all("all => all.map(svg => svg.dataset.name)")
    assert {"loss-vs-flops", "reducible-loss"} <= set(ringed)
    assert len(ringed) >= 6


def test_a_press_keeps_the_run_and_escape_lets_it_go(page: Any) -> None:
    x, y = point(page, "loss-vs-flops", 3)
    page.mouse.click(x, y)
    page.mouse.move(x + 80, y - 60)
    assert page.locator("#tip").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_a_tap_shows_a_run(visit: Any) -> None:
    page = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    page.touchscreen.tap(*point(page, "loss-vs-flops", 5))
    assert "adamw-" in page.locator("#tip").inner_text()
    box = page.locator("#tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


def test_an_arm_goes_from_every_figure_and_comes_back(page: Any) -> None:
    box = page.get_by_role("checkbox", name="muon")
    key = box.get_attribute("data-toggle")
    marks = page.locator(f'svg [data-arm="{key}"]')
    assert marks.count() > 20
    box.uncheck()
    assert set(marks.evaluate_all("all => all.map(each => getComputedStyle(each).display)")) == {"none"}
    box.check()
    assert "none" not in marks.evaluate_all("all => all.map(each => getComputedStyle(each).display)")


def test_a_hidden_arm_is_not_pointed_at(page: Any) -> None:
    page.get_by_role("checkbox", name="adamw").uncheck()
    page.keyboard.press("Escape")
    figure = page.locator('svg[data-name="loss-vs-flops"]')
    figure.focus()
    page.keyboard.press("Home")
    assert "muon-" in page.locator("#tip").inner_text()


def cells(page: Any) -> list[str]:
    return page.locator("tr[data-best] td").all_inner_texts()


def test_the_slider_moves_the_best_use_and_its_marks(page: Any) -> None:
    page.evaluate("() => { window.scrollTo(0, 0); }")
    slider = page.locator("#budget")
    before, mark = cells(page), page.locator('svg[data-name="loss-vs-flops"] .best circle').first
    x = float(mark.get_attribute("cx"))
    low = float(slider.get_attribute("min"))
    slider.fill(str(round(low + 3, 2)))
    assert float(mark.get_attribute("cx")) < x - 20
    after = cells(page)
    assert all(a != b for a, b in zip(before, after, strict=True) if "run" not in a and a)
    assert "–" in after[1]
    assert "within the runs" in after
    assert page.locator('svg[data-name^="contours"] .best line').count() >= 2


def test_the_slider_says_what_the_table_says(page: Any) -> None:
    """Ten times the largest run: the page interpolates, the table does not."""
    rows = page.locator("section table tbody tr").all_inner_texts()
    wanted = [row.split("\t") for row in rows][1]
    loss = float(wanted[7])
    told = float(cells(page)[5])
    assert told == pytest.approx(loss, rel=2e-3)


def test_the_slider_follows_the_keyboard_and_names_its_value(page: Any) -> None:
    slider = page.locator("#budget")
    slider.focus()
    before = page.locator("#budget-said").inner_text()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    said = page.locator("#budget-said").inner_text()
    assert said != before
    assert slider.get_attribute("aria-valuetext") == said


def test_arrow_keys_step_through_the_runs_of_a_figure(page: Any) -> None:
    page.locator('svg[data-name="reducible-loss"]').focus()
    seen = set()
    for key in ("Home", "ArrowRight", "ArrowRight", "End", "ArrowLeft"):
        page.keyboard.press(key)
        seen.add(page.locator("#tip strong").inner_text())
    assert len(seen) == 5
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def brush(page: Any, figure: str = "loss-vs-flops") -> None:
    svg = page.locator(f'svg[data-name="{figure}"]')
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"])
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"])
    page.mouse.up()


def test_a_brush_picks_runs_in_every_figure(page: Any) -> None:
    brush(page)
    number = int(page.locator("#brushed").inner_text().split()[0])
    assert 0 < number < 100
    for figure in ("loss-vs-flops", "reducible-loss"):
        marks = page.locator(SEEN.format(figure))
        assert marks.count() - page.locator(SEEN.format(figure) + ".dim").count() == number
    page.get_by_role("button", name="clear selection").click()
    assert page.locator(".dim").count() == 0
    assert page.locator("#clear").is_hidden()


def test_escape_ends_a_selection(page: Any) -> None:
    brush(page, "reducible-loss")
    assert page.locator(".dim").count() > 0
    page.keyboard.press("Escape")
    assert page.locator(".dim").count() == 0


def test_a_phone_scrolls_down_only_and_reads_every_figure(visit: Any) -> None:
    page = visit(viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    scales = page.locator("figure svg").evaluate_all("all => all.map(svg => svg.getScreenCTM().a)")
    assert len(scales) > 8
    assert min(scales) * SMALL >= 9, "the smallest text of a figure in px"


def ground(page: Any) -> list[int]:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


def test_dark_is_dark_in_figures_too(visit: Any) -> None:
    page = visit(color_scheme="dark")
    assert max(ground(page)) < 60
    text = page.locator("figure svg g[style*='1c2024']").first
    assert text.evaluate("each => getComputedStyle(each).fill") == "rgb(228, 231, 235)"


def test_paper_is_white_and_holds_no_controls(visit: Any) -> None:
    page = visit(color_scheme="dark")
    page.mouse.move(*point(page, "loss-vs-flops", 3))
    page.emulate_media(media="print")
    assert min(ground(page)) > 240
    for hidden in (".controls", "#tip", ".copy button"):
        assert page.locator(hidden).first.is_hidden()
    assert page.locator("figure svg").first.is_visible()
    assert page.locator(".over").first.evaluate("each => getComputedStyle(each).display") == "none"


def test_without_script_the_page_is_whole(visit: Any) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator(".controls").is_hidden()
    assert page.locator("figure svg").first.is_visible()
    assert page.locator("figure svg").count() > 8
    assert page.locator("section table tbody tr").count() >= 6


def test_the_number_of_warnings_leads_to_them(page: Any) -> None:
    page.locator(".tally a").click()
    assert page.url.endswith("#warnings")
    assert page.locator("#warnings").bounding_box()["y"] < 900


def test_an_equation_can_be_copied(visit: Any) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.locator("button[data-copy]").first.click()
    page.wait_for_function("document.querySelector('button[data-copy]').textContent !== 'copy'")
    assert page.locator("#law-1").inner_text().startswith("L = 1.")


AXE = """async () => (await axe.run(document)).violations.map(
    found => `${found.id}: ${found.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' | ')}`)"""


@pytest.mark.parametrize(
    ("settings", "used"),
    [({}, False), ({"color_scheme": "dark"}, False), ({"viewport": PHONE}, False), ({}, True)],
    ids=["light", "dark", "phone", "after use"],
)
def test_axe_finds_nothing(visit: Any, settings: dict[str, Any], used: bool) -> None:
    package = pytest.importorskip("axe_playwright_python", reason="pip install '.[browser]'")
    page = visit(**settings)
    if used:
        page.mouse.move(*point(page, "loss-vs-flops", 3))
    page.evaluate((importlib.resources.files(package) / "axe.min.js").read_text(encoding="utf-8"))
    assert page.evaluate(AXE) == []


def test_the_page_of_a_hundred_runs_is_light(file: Path) -> None:
    assert file.stat().st_size <= 1.5e6
