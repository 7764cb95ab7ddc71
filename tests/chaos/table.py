"""A pytest plugin: what the battery counted, as a table at the end. `make chaos` loads it with `-p`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

KEY = "chaos"
SCALE = "CHAOS_SCALE"  # 0.1 runs a tenth of every number, to see in seconds that the battery itself works

# Rows, or parts of one, that the default suite runs at their full number.
ELSEWHERE = [
    (2, "tests/records/test_crash_points.py::test_every_crash_point_recovers"),
    (3, "tests/records/test_crash_points.py::test_every_power_loss_recovers_and_keeps_what_was_acknowledged"),
    (4, "tests/records/test_crash_points.py::test_an_in_place_save_is_noticed"),
    (4, "tests/records/test_crash_points.py::test_files_that_are_not_synced_are_noticed"),
    (4, "tests/records/test_crash_points.py::test_folders_that_are_not_synced_are_noticed"),
    (4, "tests/records/test_corruption.py::test_a_loader_that_does_not_verify_is_noticed"),
    (8, "tests/records/test_record.py::test_no_damage_to_a_record_is_silent"),
    (11, "tests/analysis/fitting/test_battery.py::test_refused"),
    (11, "tests/analysis/fitting/test_battery.py::test_warned"),
    (12, "tests/records/test_tracking.py::test_a_server_that_never_answers_is_given_up"),
    (12, "tests/records/test_tracking.py::test_a_killed_core_is_survived"),
    (13, "tests/training/test_train.py::test_divergence_is_a_record_with_its_step_and_no_number"),
]


def scaled(number: int, least: int = 1) -> int:
    """`number` cases, or the part of it that was asked for."""
    return max(least, round(number * float(os.environ.get(SCALE, "1"))))


@dataclass
class Tally:
    """Cases and failures of one test. The test ends with `assert not tally.failures`."""

    cases: int = 0
    failures: list[str] = field(default_factory=list)
    facts: Counter[str] = field(default_factory=Counter)

    def case(self, wrong: str | None) -> None:
        """One more case; `wrong` says what is, None that all is well."""
        self.cases += 1
        if wrong:
            self.failures.append(wrong)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Shown in the table under the row that `@pytest.mark.battery(row)` names."""
    found = Tally()
    yield found
    facts = {"cases": found.cases, "failures": len(found.failures), **found.facts}
    request.node.user_properties.append((KEY, facts))


class Table:
    """Sums over the tests of one name: a parametrised test is one line."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], Counter[str]] = {}

    def add(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "row" not in properties:
            return
        name = report.nodeid.partition("[")[0].rpartition("::")[2]
        line = self.rows.setdefault((int(properties["row"]), name), Counter())
        if report.when == "teardown":
            line.update(properties.get(KEY, {"cases": 1}))
        elif report.failed and KEY not in properties:
            line["broken"] += 1
        line["seconds"] += round(report.duration)

    def lines(self) -> Iterator[str]:
        yield f"{'row':>3}  {'test':62}{'cases':>7}{'failures':>10}  seconds"
        for (row, name), line in sorted(self.rows.items()):
            said = dict(line)
            cases, seconds = said.pop("cases", 0), said.pop("seconds", 0)
            failures = max(said.pop("failures", 0), said.pop("broken", 0))
            facts = ", ".join(f"{number:,} {what}" for what, number in sorted(said.items()))
            yield f"{row:>3}  {name:62}{cases:>7,}{failures:>10,}  {seconds:>7,}  {facts}"
        yield "in `make test`, at their full number:"
        yield from (f"{row:>3}  {name}" for row, name in ELSEWHERE)


class Plugin:
    """What pytest calls."""

    def __init__(self) -> None:
        self.table = Table()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        mark = item.get_closest_marker("battery")
        if mark:
            item.user_properties.append(("row", mark.args[0]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.table.add(report)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.table.rows:
            terminalreporter.section("the reliability battery")
            for line in self.table.lines():
                terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Plugin(), "battery-table")
