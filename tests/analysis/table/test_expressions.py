"""The language of mappings and conditions: what it computes, what it refuses, and with which advice."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.table.expressions import parse, truth_of
from analysis.table.grammar import ExpressionError

COLUMNS = {
    "ppl": ["20", "10", ""],
    "log D": [8, 9, 10],
    "Model Size (M)": [1.5, 2, 3],
    "size": ["410M", "1B", "410M"],
    "N-1": [5, 6, 7],
    "N": [1, 2, 3],
    "log(x)": [0.5, 0.6, 0.7],
    "outlier": ["True", "False", ""],
    "or": [1, 1, 1],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log(ppl)", [math.log(20), math.log(10), math.nan]),
        ("10**log D", [1e8, 1e9, 1e10]),
        ("Model Size (M)*1e6", [1.5e6, 2e6, 3e6]),
        ("Model Size (M) * N + 1", [2.5, 5, 10]),
        ("-N**2", [-1, -4, -9]),
        ("2**-N", [0.5, 0.25, 0.125]),
        ("2**N**2", [2, 16, 512]),
        ("(N + 1) % 2", [0, 1, 0]),
        ("7 - 2 - N", [4, 3, 2]),
        ("min(N, 2, 5) + max(N, 2)", [3, 4, 5]),
        ("sqrt(abs(-N*N))", [1, 2, 3]),
        ("log2(N) + log10(N) + ln(exp(N))", [1, 3 + math.log10(2), math.log2(3) + math.log10(3) + 3]),
        ("N-1", [5, 6, 7]),  # a column's own name wins over arithmetic
        ("`N` - 1", [0, 1, 2]),
        ("log(x)", [0.5, 0.6, 0.7]),
        ("`or` * 2", [2, 2, 2]),
    ],
)
def test_arithmetic(text: str, expected: list[float]) -> None:
    values, reasons, _ = parse(text, list(COLUMNS)).numbers(COLUMNS)
    np.testing.assert_allclose(values, expected, rtol=1e-14)
    assert not reasons


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('size == "410M"', [1, 0, 1]),
        ("size in ('1B', '7B') or ppl > 15", [1, 1, 0]),
        ("size not in ('1B')", [1, 0, 1]),
        ("not (N > 1 and N < 3)", [1, 0, 1]),
        ("N == 1 or N == 3 and size == '1B'", [1, 0, 0]),
        ("outlier", [1, 0, 0]),
        ("not outlier", [0, 1, 1]),
        ("outlier == false", [0, 1, 0]),
        ("ppl != 20", [0, 1, 0]),  # a comparison with an empty cell is false
        ("log(ppl) <= log(10)", [0, 1, 0]),
        ("N == `log D` - 7", [1, 1, 1]),
        ("N", [1, 0, 0]),
    ],
)
def test_conditions(text: str, expected: list[int]) -> None:
    if text == "N":
        with pytest.raises(ExpressionError, match="'N' holds 2, neither true nor false"):
            parse(text, list(COLUMNS), condition=True).holds(COLUMNS)
        return
    holds, _ = parse(text, list(COLUMNS), condition=True).holds(COLUMNS)
    assert holds.tolist() == [bool(value) for value in expected]


def test_empty_cells_of_a_condition_are_reported() -> None:
    assert parse("ppl > 1 and N > 0", list(COLUMNS), condition=True).holds(COLUMNS)[1].tolist() == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "condition", "message"),
    [
        ("log(pp)", False, r"no column 'pp'; did you mean 'ppl'\?.* at character 5 of 'log\(pp\)'"),
        ("foo(ppl)", False, "no function 'foo'; there are log, ln, log2"),
        ("ppl^2", False, r"write '\*\*', not '\^'"),
        ("ppl*", False, "ends too early, at character 5"),
        ("(ppl", False, r"expected '\)', got 'the end'"),
        ("min(ppl)", False, "min takes two or more values, got 1"),
        ("log(ppl, N)", False, "log takes one value, got 2"),
        ("3 + 4", False, "names no column"),
        ("ppl.real", False, "did not expect '.'"),
        ("__import__('os')", False, "no function '__import__'"),
        ("ppl + 'a'", False, r"'\+' takes numbers"),
        ("(ppl > 2)", False, "a mapping is a number"),
        ("`nowhere`", False, "no column 'nowhere' in backticks"),
        ("(" * 60 + "ppl" + ")" * 60, False, "nested more than 40 deep"),
        ("-" * 500 + "ppl", False, "nested more than 40 deep"),
        ("ppl+" * 400 + "ppl", False, "at most 1000 characters"),
        ("size = '1B'", True, "write '==', not '='"),
        ("size == 410M", True, r'a text is written in quotes: "410M"'),
        ("size == small", True, r'no column \'small\'.*a text is written in quotes: "small"'),
        ("ppl > 3 & N < 1", True, "write 'and', not '&'"),
        ("ppl > 3 and 2", True, "and, or and not join conditions"),
        ("ppl + 1", True, "a condition compares"),
        ("ppl not 3", True, "expected 'in' after 'not'"),
    ],
)
def test_refusals_say_where_and_what_instead(text: str, condition: bool, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse(text, list(COLUMNS), condition=condition)


def test_text_is_compared_with_text_only() -> None:
    with pytest.raises(ExpressionError, match="'size' holds text such as '410M'; compare it with a"):
        parse("size > 3", list(COLUMNS), condition=True).holds(COLUMNS)
    with pytest.raises(ExpressionError, match="a text is compared with a column"):
        parse("size == 'a' or 'a' == N + 1", list(COLUMNS), condition=True).holds(COLUMNS)


def test_what_cannot_be_computed_is_a_reason_and_what_is_empty_is_missing() -> None:
    columns = {"ppl": ["20", "-3", "", "oops", "0"], "n": [1e200, 1, 1, 1, 1]}
    values, reasons, _ = parse("log(ppl)", list(columns)).numbers(columns)
    assert np.isfinite(values).tolist() == [True, False, False, False, False]
    assert reasons == {
        1: "not a finite number: log(ppl) where ppl -3",
        3: "not a number: 'oops'",
        4: "not a finite number: log(ppl) where ppl 0",
    }
    assert "n**2" in parse("n**2", list(columns)).numbers(columns).reasons[0], (
        "numbers do not grow without bound"
    )


@pytest.mark.parametrize(
    ("cell", "value"), [("True", True), (False, False), (1.0, True), ("no", False), ("x", None), (None, None)]
)
def test_truth_of_a_cell(cell: object, value: bool | None) -> None:
    assert truth_of(cell) is value


def test_a_size_that_says_its_unit_is_read_under_an_expression_and_takes_no_factor() -> None:
    columns = {"size": ["21M", "1.5B", "30"], "head": ["1M", "1M", "1e6"]}
    values, reasons, notes = parse("size*1e6", list(columns)).numbers(columns, role="size")
    assert values.tolist() == [21e6, 1.5e9, 30e6]
    assert not reasons
    assert notes == ["2 cells such as '21M' state their own unit, to which the factor 1e+06 is not applied"]
    values, _, _ = parse("size - head", list(columns)).numbers(columns, role="size")
    assert values[:2].tolist() == [20e6, 1.499e9]
    assert len(parse("size*1e6", list(columns)).numbers(columns).reasons) == 2, "a loss has no such suffix"
