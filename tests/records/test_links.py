"""A runs folder that came from elsewhere: no link in it leads a write, a move or a deletion out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.cli import main
from scaling.records.record import read_study
from scaling.records.storage import (
    Lock,
    MetricsLog,
    commit_evaluation,
    load_evaluation,
    load_record,
    new_attempt,
    record_failure,
    remove_folder,
    save_checkpoint,
    supersede,
)
from tests.records.test_evaluations import a_score


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Name → time of change and content, of all that lies in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(folder))] = (status.st_mtime_ns, content)
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "deeper").mkdir(parents=True)
    (folder / "precious").write_bytes(b"not ours\n" * 100)
    (folder / f"step-00000001-{'0' * 32}.pt").write_bytes(b"looks damaged")
    (folder / "000001.json").write_text("{}")
    return folder


WRITES: dict[str, Callable[[Path], object]] = {
    "lock": lambda trunk: Lock(trunk / "lock").__enter__(),
    "metrics.jsonl": lambda trunk: MetricsLog(trunk / "metrics.jsonl"),
    "attempts": lambda trunk: new_attempt(trunk, {}),
    "checkpoints": lambda trunk: save_checkpoint(trunk, 3, lambda file: file.write(b"x")),
    "superseded": lambda trunk: supersede(trunk),
    "failures": lambda trunk: record_failure(trunk, 1, "exception", "why"),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("target", ["", "precious", "deeper", "absent"])
def test_no_write_goes_through_a_link(name: str, target: str, tmp_path: Path, outside: Path) -> None:
    trunk = tmp_path / "runs" / "study" / "trunk"
    trunk.mkdir(parents=True)
    (trunk / "something").write_text("to set aside")
    (trunk / name).symlink_to(outside / target if target else outside)
    before = everything(outside)
    if name == "failures":  # the failure itself matters more
        assert not WRITES[name](trunk)
    else:
        with pytest.raises(OSError, match="is a symbolic link, and nothing is written through one"):
            WRITES[name](trunk)
    assert everything(outside) == before


@pytest.mark.parametrize("name", ["lock", "metrics.jsonl"])
def test_no_write_goes_into_a_pipe(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(OSError, match="not a regular file; move it away"):
        WRITES[name](tmp_path)


def test_what_looks_damaged_elsewhere_is_not_moved(tmp_path: Path, outside: Path) -> None:
    trunk = tmp_path / "trunk"
    (trunk / "run").mkdir(parents=True)
    (outside / "record.json").write_text("damaged")
    (outside / "x.json").write_text("damaged")
    before = everything(outside)
    (trunk / "run" / "evaluations").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        load_evaluation(trunk / "run", "x.json")
    with pytest.raises(OSError, match="symbolic link"):
        commit_evaluation(trunk / "run", a_score(run_id="run"))
    (trunk / "linked").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        load_record(trunk, "linked")
    with pytest.raises(OSError, match="symbolic link"):
        commit_evaluation(trunk / "linked", a_score(run_id="outside"))
    (trunk / "way").symlink_to(outside)
    remove_folder(trunk / "way")
    assert not os.path.lexists(trunk / "way")
    (trunk / "run" / "record.json").symlink_to(outside / "absent")
    assert load_record(trunk, "run") is None  # set aside, so that a new one can be written
    assert not os.path.lexists(trunk / "run" / "record.json")
    assert everything(outside) == before


STUDY_FILES = ["plan.lock", "plan.json", "search.lock", "multirun.yaml", "trials.json", "rates.yaml"]
TRUNK_FILES = ["lock", "metrics.jsonl", "spec.json", "attempts", "checkpoints", "failures", "quarantine"]
RUN_FILES = ["record.json", "metrics.jsonl", "spec.json", "checkpoints", "way", ""]


def test_a_command_leaves_the_outside_alone(
    tiny_study: list[str],
    tmp_path: Path,
    outside: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each file of a study is a link in turn: the command says so, or replaces the link; nothing else."""
    words = [*tiny_study, "model.params=5e3", "budget.tokens=2e3"]
    assert main(["run", *words]) == 0
    study = tmp_path / "runs" / "tiny"
    (record,) = read_study(study).records
    trunk, run = study / record.trunk_id, study / record.trunk_id / record.run_id
    before = everything(outside)
    places = [(study, name) for name in STUDY_FILES]
    places += [(trunk, name) for name in TRUNK_FILES] + [(run, name) for name in RUN_FILES]
    for place, name in places:
        path = place / name if name else place
        aside = tmp_path / "aside"
        if os.path.lexists(path):
            path.rename(aside)
        record_file = run / "record.json"
        kept = record_file.read_bytes() if record_file.exists() else b""
        if kept and name != "record.json":
            record_file.unlink()
        target = outside / "precious" if "." in name or name == "lock" else outside
        path.symlink_to(target)
        caplog.clear()
        code = main(["run", *words])
        assert code in (0, 1, 2), name
        assert everything(outside) == before, name
        said = capsys.readouterr()
        if path.is_symlink() and code:
            assert f"{path.name}" in said.out + said.err + caplog.text, name
        if path.is_symlink():
            path.unlink()
        if aside.exists() and not path.exists():
            aside.rename(path)
        elif aside.exists():
            remove_folder(aside) if aside.is_dir() else aside.unlink()
    assert main(["run", *words]) == 0


def test_a_report_leaves_the_outside_alone(
    tmp_path: Path, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.analysis.synthetic import write_study

    study = tmp_path / "runs" / "done"
    write_study(study)
    before = everything(outside)
    (study / "report").symlink_to(outside)
    assert main(["report", str(study), "--law", "power", "--resamples", "0"]) == 2
    assert "symbolic link" in capsys.readouterr().err
    (study / "report").unlink()
    (study / "report").mkdir()
    (study / "report" / "figures").symlink_to(outside)
    (study / "report" / "index.html").symlink_to(outside / "precious")
    assert main(["report", str(study), "--law", "power", "--resamples", "0"]) == 2
    assert everything(outside) == before
