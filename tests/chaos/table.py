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

# What broke when the harness was attacked from outside, and the tests that hold it: kind → (what, tests).
ATTACKED = {
    1: (
        "a resume mixes code, threads or processors",
        [
            "tests/launch/test_provenance.py::test_a_resume_under_other_code_or_on_another_machine_is_refused",
            "tests/launch/test_provenance.py::test_finished_runs_of_other_code_are_listed_and_trained_again_when_asked",
        ],
    ),
    2: ("damage to a token cache", ["tests/chaos/test_cache.py::test_no_damage_to_a_token_cache_is_silent"]),
    3: (
        "links that lead writes outside",
        [
            "tests/records/test_links.py::test_no_write_goes_through_a_link",
            "tests/records/test_links.py::test_a_command_leaves_the_outside_alone",
            "tests/records/test_links.py::test_a_report_leaves_the_outside_alone",
        ],
    ),
    4: (
        "names that lead out or collide",
        ["tests/chaos/test_hostile.py::test_no_name_leads_out_of_the_runs_folder"],
    ),
    5: (
        "damage to a shorter run cuts the trunk's log",
        [
            "tests/training/test_train.py::test_a_shorter_run_that_is_damaged_later_cuts_nothing_of_the_trunk",
        ],
    ),
    6: (
        "failures of any kind",
        [
            "tests/experiments/test_interrupted.py::test_a_trunk_that_fails_in_any_way_is_noted_and_the_rest_goes_on",
        ],
    ),
    7: (
        "a narrower command hides missing runs",
        [
            "tests/experiments/test_hydra_habits.py::test_a_plan_is_joined_and_replaced_when_asked",
        ],
    ),
    8: (
        "a result that is unpickled",
        ["tests/launch/test_launchers.py::test_no_answer_of_a_slurm_job_is_unpickled"],
    ),
    9: (
        "decompression without bounds",
        ["tests/analysis/table/test_hostile.py::test_files_that_would_never_end"],
    ),
    10: (
        "records that are no files, have no bottom or write to a terminal",
        [
            "tests/records/test_reading.py::test_a_record_that_is_no_file_is_damaged",
            "tests/records/test_reading.py::test_notes_do_not_write_to_the_terminal",
            "tests/training/test_train.py::test_a_damaged_spec_is_written_again",
        ],
    ),
    11: (
        "signals at every moment",
        [
            "tests/chaos/test_pool.py::test_kills_in_the_pool_change_no_bit",
            "tests/launch/test_pool.py::test_a_parent_that_is_killed_at_the_birth_of_a_worker_leaves_none",
            "tests/experiments/test_interrupted.py::test_ctrl_c_in_the_first_seconds_is_one_sentence",
            "tests/experiments/test_interrupted.py::test_a_terminal_that_closes_saves",
            "tests/experiments/test_interrupted.py::test_output_that_nobody_takes_ends_no_training",
        ],
    ),
    12: ("a moved corpus", ["tests/study/test_old_ids.py::test_a_moved_corpus_trains_nothing_again"]),
    13: (
        "duplicates under new ids",
        [
            "tests/analysis/table/test_formats.py::test_an_index_column_never_hides_duplicates",
        ],
    ),
}


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
        yield "what broke when it was attacked from outside, and what holds it:"
        for kind, (what, tests) in ATTACKED.items():
            yield f"{kind:>3}  {what}: {', '.join(name.rpartition('::')[2] for name in tests)}"


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
