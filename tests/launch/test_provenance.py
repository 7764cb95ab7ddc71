"""What a number was made by: no run mixes two codes or two machines, and none is reused, in silence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import scaling
from analysis.table import load_runs
from experiments.cli import main
from scaling.launch import estimate
from scaling.launch.job import TrunkJob
from scaling.launch.local import train_here
from scaling.launch.study import StudyObserver, _changed_code, run_study
from scaling.records.record import ACCEPTED, RunRecord, decode_record, encode_record, read_study
from scaling.study import code
from scaling.study.plan import Plan, plan_study
from scaling.training import segment, train
from scaling.training.device import Numerics, resolve_numerics
from scaling.training.observer import Observer
from scaling.training.provenance import ChangedError
from scaling.training.throughput import StepTime

ROOT = Path(scaling.__file__).parents[1]


class Pulled(KeyboardInterrupt):
    """The plug of the machine."""


class PullAfter(StudyObserver):
    """Ends a study in the middle, with no chance to save, once it has heard of so many steps."""

    def __init__(self, rows: int) -> None:
        self.left = rows

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        self.left -= 1
        if self.left == 0:
            raise Pulled


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step is timed and no model counted: that takes longer than all else."""
    monkeypatch.setattr(
        estimate, "time_steps", lambda trunks, *_: ([StepTime(0.01, 0.01, 0.01)] * len(trunks), None)
    )
    monkeypatch.setattr(train, "check_counts", lambda *_: None)


@pytest.fixture
def overrides(tiny_study: list[str]) -> list[str]:
    """One trunk with two runs."""
    return [*tiny_study, "model.params=5e3", "budget.tokens=[2e3,4e3]"]


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it with a root: its code is another one from then on."""
    digest_of = code.digest_of
    changed: dict[str, str] = {}
    monkeypatch.setattr(code, "digest_of", lambda root: changed.get(root) or digest_of(root))
    return lambda root: changed.update({root: "0" * 12})


def begin(overrides: list[str], monkeypatch: pytest.MonkeyPatch, rows: int = 8) -> Plan:
    """A study whose machine went off in the middle of its trunk."""
    plan = plan_study(overrides)
    with monkeypatch.context() as patch:
        patch.setattr(segment, "FLUSH_STEPS", 1)
        patch.setattr(segment, "CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(Pulled):
            run_study(plan, PullAfter(rows))
    return plan


def losses(folder: Path) -> dict[str, str]:
    return {r.run_id: float(r.loss or 0).hex() for r in read_study(folder).records}


def test_a_narrower_command_goes_on_in_the_arithmetic_that_a_trunk_was_begun_in(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone in its command a trunk would get every core, and a longer budget would pay for compiling."""
    plan = begin(overrides, monkeypatch)
    monkeypatch.setattr("scaling.training.device.usable_cores", lambda: 2)
    monkeypatch.setattr("scaling.training.device.COMPILE_FLOPS", 0.0)
    monkeypatch.setattr("scaling.training.device.can_compile", lambda: True)
    longer = plan_study([*overrides, "budget.tokens=[2e3,8e3]", "training.threads=null"])
    assert resolve_numerics(longer.trunks[0]) == Numerics("cpu", "float32", 2, compiled=True)
    assert {(r.threads, r.versions.get("step")) for r in run_study(longer).records.records} == {(1, None)}
    with pytest.raises(ChangedError, match="threads: 1 then, 2 now"):
        run_study(plan_study([*overrides, "budget.tokens=[2e3,9e3]", "training.threads=2"]))
    assert read_study(plan.folder).failures == {}


def test_a_trunk_whose_attempts_are_lost_is_not_resumed_in_silence(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = begin(overrides, monkeypatch)
    for path in plan.folder.glob("*/attempts/*.json"):
        path.write_bytes(b"")
    with pytest.raises(ChangedError, match=r"none of attempts/\*.json can be read"):
        run_study(plan)
    done = run_study(plan, on_change="accept").records.records
    assert ["can be read" in record.versions[ACCEPTED] for record in done] == [True, True]


DECODER = "scaling.models.decoder"


def other_code(monkeypatch: pytest.MonkeyPatch) -> str:
    digest_of = code.digest_of
    monkeypatch.setattr(code, "digest_of", lambda root: "0" * 12 if root == DECODER else digest_of(root))
    return rf"code.family: {DECODER} \w{{12}} then, {DECODER} 0{{12}} now"


def other_torch(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    return r"torch: \S+ then, 9.9.9 now"


def other_processor(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ABACUS")
    return r"processor: \S+ then, ABACUS now"


def test_a_resume_under_other_code_or_on_another_machine_is_refused(
    overrides: list[str],
    monkeypatch: pytest.MonkeyPatch,
    trained_steps: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Naming what has changed from what to what, and both ways on; nothing is trained."""
    plan = begin(overrides, monkeypatch)
    done = len(trained_steps)
    for other in (other_code, other_torch, other_processor):
        with monkeypatch.context() as patch:
            said = other(patch)
            with pytest.raises(ChangedError, match=rf"(?s)decoder-\S+\n +{said}.*--restart.*--accept-change"):
                run_study(plan)
    threads = replace(plan, config=replace(plan.config, training=replace(plan.config.training, threads=2)))
    with pytest.raises(ChangedError, match="threads: 1 then, 2 now"):
        run_study(threads)
    with monkeypatch.context() as patch:
        other_code(patch)
        assert main(["run", *overrides]) == 2
    assert "a trunk was begun by other code or in other arithmetic" in capsys.readouterr().err
    assert len(trained_steps) == done
    # The change of another family stops nothing.
    digest_of = code.digest_of
    monkeypatch.setattr(code, "digest_of", lambda root: "0" * 12 if "lstm" in root else digest_of(root))
    result = run_study(plan)
    assert len(result.records.done) == 2
    assert not result.changed


def test_a_job_on_another_machine_refuses_by_itself_and_is_not_tried_again(
    overrides: list[str],
    monkeypatch: pytest.MonkeyPatch,
    trained_steps: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The machine that trains may not be the one that planned."""
    plan = begin(overrides, monkeypatch)
    done = len(trained_steps)
    job = TrunkJob(plan.trunks[0], plan.config.cache, plan.folder, plan.name, "cpu", 1)
    other_processor(monkeypatch)
    train_here([job], Observer())
    assert len(trained_steps) == done
    assert "refused: a trunk was begun" in caplog.text
    (failure,) = read_study(plan.folder).failures.values()
    assert failure.kind == "changed"
    assert "ABACUS" in failure.message


def test_restart_trains_from_the_first_step(
    overrides: list[str],
    monkeypatch: pytest.MonkeyPatch,
    change: Any,
    trained_steps: list[int],
    tmp_path: Path,
) -> None:
    plan = begin(overrides, monkeypatch)
    trained_steps.clear()
    clean = replace(plan, folder=tmp_path / "clean" / "tiny")
    run_study(replace(clean, config=replace(plan.config, runs=str(tmp_path / "clean"))))
    whole = len(trained_steps)
    change(DECODER)
    trained_steps.clear()
    assert main(["run", "--restart", *overrides]) == 0
    assert len(trained_steps) == whole
    folder = tmp_path / "runs" / "tiny"
    assert losses(folder) == losses(tmp_path / "clean" / "tiny")
    assert list(folder.glob("*/superseded/000001/checkpoints/*.pt"))  # nothing is deleted
    assert {tuple(r.code.items()) for r in read_study(folder).records} == {tuple(load(folder).items())}
    longer = [*overrides, "budget.tokens=[2e3,4e3,6e3]"]  # attempts of before count no more
    assert len(run_study(plan_study(longer)).records.done) == 3


def load(folder: Path) -> dict[str, str]:
    """The digests of one record."""
    return read_study(folder).records[0].code


def test_an_accepted_change_is_recorded_and_shown(
    overrides: list[str],
    monkeypatch: pytest.MonkeyPatch,
    change: Any,
    trained_steps: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin(overrides, monkeypatch)
    change(DECODER)
    done = len(trained_steps)
    assert main(["run", "--accept-change", *overrides]) == 0
    assert min(trained_steps[done:]) > 0  # it went on
    folder = tmp_path / "runs" / "tiny"
    for record in read_study(folder).records:
        assert f"{DECODER} {'0' * 12} now" in record.versions["accepted"]
    capsys.readouterr()
    assert main(["status", str(folder)]) == 0
    assert "accepted  2 runs were resumed after a change: code.family" in capsys.readouterr().out
    table = load_runs(folder)
    assert any("resumed after a change that was accepted" in warning for warning in table.warnings)
    with pytest.raises(ValueError, match="no row is left"):  # the advice works when typed
        load_runs(folder, drop="code_accepted == 'yes'")
    longer = [
        *overrides,
        "budget.tokens=[2e3,4e3,6e3]",
    ]  # accepted once is enough, and every later run says it
    records = run_study(plan_study(longer)).records.records
    assert ["accepted" in r.versions for r in records] == [True] * 3


def test_finished_runs_of_other_code_are_listed_and_trained_again_when_asked(
    overrides: list[str],
    change: Any,
    trained_steps: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "runs" / "tiny"
    plan = plan_study(overrides)
    run_study(plan)
    before, trained = losses(folder), len(trained_steps)
    change(DECODER)
    result = run_study(plan)
    assert result.nothing_to_train
    assert set(result.changed) == set(before)
    for command in (["run", *overrides], ["status", str(folder)]):
        said = printed(command, capsys)
        assert f"2 runs were made by other code: family {DECODER}" in said
        assert "--retrain-changed trains them again" in said
    assert len(trained_steps) == trained
    body = json.loads(printed(["status", str(folder), "--json"], capsys))
    assert set(body["changed"]) == set(before)
    again = run_study(plan, retrain_changed=True)
    assert len(trained_steps) == 2 * trained
    assert losses(folder) == before  # only the digest was another one
    assert not again.changed
    assert not run_study(plan).changed
    assert len(list(folder.glob("*/superseded/*/*/record.json"))) == 2


def printed(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(command) == 0
    return capsys.readouterr().out


def test_runs_of_two_versions_of_the_code_are_warned_about_in_a_fit(
    overrides: list[str], change: Any, tmp_path: Path
) -> None:
    run_study(plan_study(overrides))
    change(DECODER)
    run_study(plan_study([*overrides, "seed=1"]))
    folder = tmp_path / "runs" / "tiny"
    table = load_runs(folder)
    (warning,) = [w for w in table.warnings if "versions of the code" in w]
    assert f"2 versions of the code of {DECODER}" in warning
    condition = warning.partition('--where "')[2].partition('"')[0]
    assert len(load_runs(folder, where=condition)) == 2
    assert not any("versions of the code" in w for w in load_runs(folder, where=condition).warnings)


def test_a_copy_with_one_changed_line_lists_the_runs_and_one_with_a_comment_none(
    overrides: list[str], tmp_path: Path
) -> None:
    """By another process, from other files: the door that a user takes."""
    run_study(plan_study(overrides))
    copy = tmp_path / "copy"
    for wing in ("scaling", "experiments"):
        shutil.copytree(
            ROOT / wing, copy / wing, ignore=shutil.ignore_patterns("__pycache__", "*.csv", "*.png")
        )
    decoder = copy / "scaling" / "models" / "decoder.py"
    text = decoder.read_text()
    command = [sys.executable, "-m", "experiments.cli", "status", str(tmp_path / "runs" / "tiny")]

    def status(source: str) -> str:
        decoder.write_text(source)
        return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=True).stdout

    assert "other code" not in status(
        "# a comment\n" + text.replace('"""Next-token model."""', '"""A model."""')
    )
    assert "2 runs were made by other code: family" in status(text.replace("causal=True", "causal=False"))


def rewrite(folder: Path, change: Any) -> None:
    """Every record and attempt of a study as another version of the harness would have written it."""
    for path in folder.glob("*/*/record.json"):
        record = decode_record(path.read_bytes())
        path.write_bytes(encode_record(change(record)))
    for path in folder.glob("*/attempts/*.json"):
        body = json.loads(path.read_bytes())
        body["versions"] = without_code(body["versions"])
        path.write_text(json.dumps(body))


def without_code(versions: dict[str, str]) -> dict[str, str]:
    return {key: line for key, line in versions.items() if not key.startswith("code.")}


def old(record: RunRecord) -> RunRecord:
    return replace(record, versions=without_code(record.versions))


def test_records_from_before_digests_are_reused_and_said_once(
    overrides: list[str], trained_steps: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "tiny"
    run_study(plan_study(overrides))
    rewrite(folder, old)
    trained = len(trained_steps)
    said = printed(["run", "--retrain-changed", *overrides], capsys)
    assert said.count("2 runs do not say which code made them") == 1
    assert len(trained_steps) == trained
    run_study(plan_study([*overrides, "budget.tokens=[2e3,4e3,6e3]"]))  # and their trunk goes on
    assert 0 not in trained_steps[trained:]
    assert any("2 of 3 runs do not say which code" in note for note in load_runs(folder).notes)


def test_code_that_is_edited_after_a_fork_server_loaded_it_trains_nothing(
    overrides: list[str], trained_steps: list[int]
) -> None:
    """The process would compute by the old code, and its record would name the new one."""
    plan = plan_study(overrides)
    job = TrunkJob(plan.trunks[0], plan.config.cache, plan.folder, plan.name, "cpu", 1)
    outcome = replace(job, code="0" * 12).run(Observer())
    assert (outcome.kind, outcome.again, trained_steps) == ("refused", False, [])
    assert "its code was edited after this command had begun" in outcome.why
    assert replace(job, code=job.code_now()).run(Observer()).kind == "done"


def test_a_file_that_a_command_names_is_compared_by_its_path() -> None:
    """A result that exists after the run only moves the places of all files behind it."""
    then = {"code.script": "./b.py 1", "code.family": "scaling.models.decoder 2"}
    record: Any = SimpleNamespace(versions=then)
    same = {**then, "code.script": "./a.json 9", "code.script1": "./b.py 1"}
    assert _changed_code(record, same) == []
    assert _changed_code(record, {**same, "code.script1": "./b.py 3"}) == ["script ./b.py 1 then, 3 now"]
    (line,) = _changed_code(record, {**same, "code.family": "scaling.models.decoder 5"})
    assert line == "family scaling.models.decoder 2 then, 5 now"
