"""The first screen of a report, and the parts of a page that a script reads."""

from __future__ import annotations

import json
import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from analysis.laws.registry import law_named, law_names
from analysis.report.arm_style import looks
from analysis.report.equation import as_latex, as_mathml, as_text
from analysis.report.inline import Inliner, frame_of
from analysis.report.interactive import as_json, budgets_in
from analysis.report.style import PALETTE, panels, save, styled

VALUES = {"E": 1.8, "A": 406.4, "B": 4.1e5, "alpha": 0.34, "beta": 0.28, "k": 1.0}


@pytest.mark.parametrize("name", law_names())
def test_every_formula_is_typeset_and_is_well_formed(name: str) -> None:
    formula = law_named(name).formula
    numbers = {p: 0.5 for p in re.findall(r"[A-Za-z]+\d*", formula) if p not in ("L", "exp", "ln")}
    for values in (None, numbers):
        made = str(as_mathml(formula, values))
        root = ElementTree.fromstring(made)
        assert root.tag == "math"


def test_an_equation_with_numbers_can_be_copied_and_computed() -> None:
    text = as_text("L = E + A/N^alpha + B/D^beta", VALUES)
    assert text == "L = 1.8 + 406.4/N^0.34 + 410000/D^0.28"
    right = text.removeprefix("L = ").replace("^", "**")
    N, D = 1e8, 2e9
    expected = law_named("chinchilla")(**{k: VALUES[k] for k in ("E", "A", "B", "alpha", "beta")})
    assert eval(right, {"N": N, "D": D}) == pytest.approx(expected(N=N, D=D))
    assert as_text("L = A N^-alpha", {"A": 1e-9, "alpha": -0.2}) == "L = (1e-09) N^-(-0.2)"


def test_an_equation_in_latex_has_no_command_of_a_stranger() -> None:
    assert (
        as_latex("L = 1.8 + 4.1/N^0.34 + exp(2 D^(-0.2))") == r"L = 1.8 + 4.1/N^{0.34} + \exp (2 D^{(-0.2)})"
    )
    assert as_latex(r"L = \input{/etc/passwd} % $x$") == "L = input/etc/passwd  x"


def test_a_hostile_formula_stays_text() -> None:
    made = str(as_mathml("L = <img src=x> & more"))
    assert made == "<code>L = &lt;img src=x&gt; &amp; more</code>"


def test_twelve_arms_differ_in_colour_and_marker_also_to_the_colour_blind() -> None:
    worn = looks(f"arm {i}" for i in range(12))
    assert len({look.ink for look in worn.values()}) == 12
    assert len({look.marker for look in worn.values()}) == 12
    assert len({look.key for look in worn.values()}) == 12
    # Viénot, Brettel & Mollon 1999, for linear RGB: what is left without red or green cones.
    blind = {
        "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    }
    for matrix in blind.values():
        seen = [np.clip(np.array(matrix) @ np.power(to_rgb(ink), 2.2), 0, 1) ** (1 / 2.2) for ink in PALETTE]
        near = [np.linalg.norm(a - b) for a, b in combinations(seen[:6], 2)]
        assert min(near) > 0.09  # the first six are distinguished by colour alone; markers tell all twelve


def test_marks_of_an_inline_figure_name_their_runs_and_share_no_id() -> None:
    look = looks(["one"])["one"]
    inliner = Inliner()
    figures = []
    for name in ("first", "second"):
        with styled():
            (ax,) = panels()
            look.tag(ax.plot([1.0, 10.0, 100.0], [3.0, 2.0, 1.0], look.marker), [7, 1, 4])
            ax.set_xscale("log")
            ax.set_title("same words")
            svg = save(ax.figure, ["svg"])["svg"]  # type: ignore[arg-type]
            figures.append(str(inliner.inline(svg, name, 'a "caption" <b>', frame_of(ax, ("C", "loss")))))
    whole = "".join([str(inliner.letters), *figures])
    ids = re.findall(r'\bid="([^"]+)"', whole)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', whole)) <= set(ids)
    assert "<b>" not in whole
    for figure in figures:
        root = ElementTree.fromstring(figure)
        (group,) = [each for each in root.iter() if "data-runs" in each.attrib]
        assert (group.get("data-runs"), group.get("data-arm")) == ("7 1 4", look.key)
        frame = json.loads(root.attrib["data-frame"])
        scale, low, high, first, last = frame["x"]
        xs = [float(u.attrib["x"]) for u in group.iter() if u.tag.endswith("use")]
        for x, value in zip(xs, (1.0, 10.0, 100.0), strict=True):
            at = first + (last - first) * np.log(value / low) / np.log(high / low)
            assert x == pytest.approx(at, abs=0.05)
        assert scale == "log"


def test_json_of_a_page_cannot_end_its_script() -> None:
    text = str(as_json([{"label": "</script><script>alert(1)</script>&", "best": None}]))
    assert not set("<>&") & set(text)
    assert json.loads(text)["arms"][0]["label"].endswith("</script>&")
    assert budgets_in([{"best": None}]) is None
    assert budgets_in([{"best": {"C": [10.0, 12.0]}}, {"best": {"C": [11.0, 14.0]}}]) == (10.0, 14.0)
