"""Any training script as the trainer: planned, run, restarted and read as a black box."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis import load_runs
from experiments.cli import main
from scaling.launch.job import CommandJob, work
from scaling.records.record import StudyRecords, read_study
from scaling.study.command import CommandTrunk
from scaling.study.compose import PlanError
from scaling.study.plan import plan_study
from scaling.trainers.command import Place, environment
from scaling.training.observer import Observer

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("tiny_train.py")
COMMAND = (
    f"{sys.executable} {SCRIPT} --n_layer={{depth}} --n_embd={{width}} --learning_rate={{learning_rate}} "
    "--max_iters={steps} --out_dir={folder} --seed={seed}"
)


def study(tmp_path: Path, *more: str, command: str = COMMAND) -> list[str]:
    return [
        *("name=mine", f"runs={tmp_path}/runs", f"cache={tmp_path}/cache", "tracking=off", "trainer=command"),
        *(f"trainer.command={command}", "trainer.params=12*depth*width**2"),
        *("trainer.fields.loss=val.loss", "model.family=mygpt", "model.width=64", "model.depth=2"),
        *("training.learning_rate=1e-3", "budget.tokens=[1e5]"),
        *more,
    ]


def run(tmp_path: Path, *more: str, command: str = COMMAND, flags: tuple[str, ...] = ()) -> int:
    return main(["run", *study(tmp_path, *more, command=command), *flags])


def records(tmp_path: Path) -> StudyRecords:
    return read_study(tmp_path / "runs" / "mine")


def test_a_sweep_is_planned_run_fitted_and_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["model.width=32,64,128,256", "budget.tokens=[1e5,3e5,1e6]"]
    assert main(["plan", *study(tmp_path, *sweep)]) == 0
    out = capsys.readouterr().out
    assert "12 runs on 12 trunks" in out
    assert re.search(r"mygpt +64x2 +98.3k", out)
    assert "how long a command takes is not known" in out
    assert run(tmp_path, *sweep) == 0
    found = records(tmp_path)
    assert len(found.done) == 12
    assert not found.missing
    record = next(r for r in found.done if r.width == 64 and r.tokens == 292 * 1024 + 1024)
    assert (record.params, record.seed, record.learning_rate) == (98304, 0, 1e-3)
    assert (record.flops, record.steps, record.attempts) == (6.0 * 98304 * record.tokens, 293, 1)
    assert record.versions["code.script"].startswith(f"{SCRIPT} ")
    capsys.readouterr()
    assert run(tmp_path, *sweep) == 0
    assert "all 12 runs are done already" in capsys.readouterr().out
    home = str(tmp_path / "runs" / "mine")
    assert main(["fit", home, "--resamples", "20", "--law", "chinchilla"]) == 0
    out = capsys.readouterr().out
    assert "12 used" in out
    assert "alpha         0.34 " in out
    assert main(["status", home]) == 0
    assert "12 done, 0 diverged, 0 failed, 0 missing of 12 planned" in capsys.readouterr().out
    main(["evaluate", home, "--tasks", "recall"])
    assert "trained by another program (command)" in "".join(capsys.readouterr())


MODEL = """
from torch import nn
def build(width, depth, vocab, context=8):
    blocks = [nn.Linear(width, 3 * width, bias=False) for _ in range(depth)]
    return nn.Sequential(nn.Embedding(vocab, width), *blocks, nn.Linear(width, vocab, bias=False))
def without_vocabulary(width):
    return nn.Linear(width, width)
def of_layers(width, vocab, layers):
    return nn.Linear(width, width)
def words(vocab):
    return "none"
"""


def test_n_is_counted_on_the_users_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counted_model.py").write_text(MODEL)
    plan = plan_study(study(tmp_path, "model.width=32,64", "trainer.params=counted_model.py:build"))
    assert [trunk.params for trunk in plan.trunks] == [2 * 3 * 32**2, 2 * 3 * 64**2]
    for name, said in {
        "without_vocabulary": "no parameter 'vocab'",
        "of_layers": "'layers' is not a name of a run",
        "words": "not a torch.nn.Module",
        "missing": "no function 'missing'",
    }.items():
        with pytest.raises(PlanError, match=said):
            plan_study(study(tmp_path, f"trainer.params=counted_model.py:{name}"))
    with pytest.raises(PlanError, match="no such file"):
        plan_study(study(tmp_path, "trainer.params=none.py:build"))


def a_script_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A script that imports a helper, named relative to the working directory; and its command."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "train.py"
    script.write_text("import helper\n" + SCRIPT.read_text())
    (tmp_path / "helper.py").write_text("RATE = 1\n")
    return script, COMMAND.replace(str(SCRIPT), "train.py")


def test_an_edited_script_is_noticed_and_a_comment_is_no_edit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, command = a_script_of_ones_own(tmp_path, monkeypatch)
    assert run(tmp_path, command=command) == 0
    script.write_text("# other words\n" + script.read_text())
    capsys.readouterr()
    assert main(["status", str(tmp_path / "runs/mine")]) == 0
    assert "other code" not in capsys.readouterr().out
    (tmp_path / "helper.py").write_text("RATE = 2\n")
    assert main(["status", str(tmp_path / "runs/mine")]) == 0
    assert "./train.py" in capsys.readouterr().out
    assert run(tmp_path, command=command) == 0
    assert "--retrain-changed" in capsys.readouterr().out
    (before,) = records(tmp_path).done
    assert run(tmp_path, command=command, flags=("--retrain-changed",)) == 0
    (after,) = records(tmp_path).done
    assert before.versions["code.script"] != after.versions["code.script"]
    assert main(["status", str(tmp_path / "runs/mine")]) == 0
    assert "./train.py" not in capsys.readouterr().out


TOLD = " {width} {depth} {learning_rate} {steps} {folder} {seed}"


@pytest.mark.parametrize(
    ("command", "edited"),
    [
        ("python train.py --config=conf/w{width}.json", "conf/w64.json"),
        ("python -m pkg.run", "pkg/model.py"),
        ("python -m pkg.run", "pkg/__init__.py"),
        ("python -m pkg.run", "pkg/lib/__init__.py"),
        ("python train.py", "pkg/lib/deep.py"),
    ],
)
def test_a_file_that_a_command_names_or_a_script_imports_is_code(
    command: str, edited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "train.py": "import pkg.lib.deep\n",
        "conf/w64.json": "1",
        "pkg/__init__.py": "",
        "pkg/run.py": "from pkg.model import x\nfrom .lib import deep\n",
        "pkg/model.py": "x = 1",
        "pkg/lib/__init__.py": "",
        "pkg/lib/deep.py": "y = 1",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (trunk,) = plan_study(study(tmp_path, command=command + TOLD)).trunks
    assert isinstance(trunk, CommandTrunk)
    before = trunk.code
    (tmp_path / edited).write_text("2")
    assert trunk.code["code"] != before["code"]


def test_a_command_whose_files_are_not_watched_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *study(tmp_path, command="sh -c 'python train.py'" + TOLD)]) == 0
    assert "! trainer.command names no file" in capsys.readouterr().out
    assert main(["plan", *study(tmp_path)]) == 0
    assert "names no file" not in capsys.readouterr().out


def test_the_result_of_an_attempt_that_was_killed_is_not_that_of_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It writes an early evaluation and is killed; started again, it finds its marker and writes nothing."""
    script = tmp_path / "early.py"
    script.write_text(
        "import os, pathlib, signal, sys\n"
        "out = pathlib.Path(sys.argv[1])\n"
        "if not (out / 'begun').exists():\n"
        "    (out / 'begun').touch()\n"
        "    (out / 'result.json').write_text('{\"val\": {\"loss\": 9.0}}')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert run(tmp_path, command=f"{sys.executable} {script} {{folder}}" + TOLD) == 1
    found = records(tmp_path)
    assert not found.records
    (failure,) = found.failures.values()
    assert "it wrote no result.json" in failure.message
    assert "not of this attempt" in caplog.text
    assert list((tmp_path / "runs").glob("**/quarantine/result.json"))


@pytest.mark.parametrize("flag", ["--restart", "--accept-change"])
def test_an_interrupted_command_does_not_go_on_with_another_script_unasked(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, command = a_script_of_ones_own(tmp_path, monkeypatch)
    place = {"command": command + " --fail={fails}"}
    assert run(tmp_path, "trainer.names.fails=silent", **place) == 1
    script.write_text(script.read_text().replace("1.03", "1.02").replace('!= "silent"', '!= "never"'))
    capsys.readouterr()
    assert run(tmp_path, "trainer.names.fails=silent", **place) != 0
    said = "".join(capsys.readouterr())
    assert "./train.py" in said
    assert "--restart" in said
    assert "--accept-change" in said
    assert run(tmp_path, "trainer.names.fails=silent", **place, flags=(flag,)) == 0
    (record,) = records(tmp_path).done
    assert ("accepted" in record.versions) == (flag == "--accept-change")
    printed = next((tmp_path / "runs/mine").glob("*/command/log.txt")).read_text()
    assert ("resuming from step" in printed) == (flag == "--accept-change")


def test_a_name_of_ones_own_parts_arms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["trainer.names.optimizer=adamw,muon", "trainer.formulas.embd=width/2*2"]
    command = COMMAND.replace("{width}", "{embd}") + " --optimizer={optimizer}"
    assert run(tmp_path, *more, command=command) == 0
    table = load_runs(tmp_path / "runs" / "mine")
    assert sorted(table["optimizer"]) == ["adamw", "muon"]
    assert set(table["embd"]) == {64}
    assert set(table["command"]) == {" ".join(command.split())}


@pytest.mark.parametrize(
    ("result", "fields"),
    [
        ("result.json", "{loss: val.loss}"),
        ("result.jsonl", "{loss: val.loss, params: n_params}"),
        ("result.csv", "{loss: 'log(ppl)', steps: step}"),
    ],
)
def test_a_result_is_json_lines_or_csv(tmp_path: Path, result: str, fields: str) -> None:
    more = [f"trainer.result={result}", f"trainer.fields={fields}"]
    assert run(tmp_path, *more, "trainer.params=null" if "params" in fields else "seed=0") == 0
    (record,) = records(tmp_path).done
    assert record.params == 98304
    assert record.loss == pytest.approx(1.03 * (1.7 + 40 * 98304**-0.34 + 30 * (1024 * 98) ** -0.33))


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        ("silent", "it wrote no result.json into"),
        ("nan", "val.loss is nan: the run has diverged, or was not evaluated"),
        ("text", "val.loss is 'low', which is not a number"),
        ("exit", "exit status 3"),
    ],
)
def test_no_result_is_a_failure_with_the_end_of_the_log(
    tmp_path: Path, fail: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, command=f"{COMMAND} --fail={fail}") == 1
    found = records(tmp_path)
    assert not found.records
    assert main(["status", str(found.folder)]) == 0
    out = capsys.readouterr().out
    assert "1 failed" in out
    assert said in out
    assert "| RuntimeError: no such GPU" in out if fail == "exit" else "| iter 95: loss" in out


PER_PARAM = ("budget.tokens=null", "budget.tokens_per_param=20")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["trainer.command=train {steps} {widht}"], "no name 'widht'; did you mean 'width'?"),
        (["trainer.command=train {width}"], "does not say how long to train"),
        (["trainer.command=train {steps} {width.real}"], "no name 'width.real'"),
        (["trainer.command=train '{steps}"], "cannot be split into words"),
        (["trainer.command=train {steps"], "Write a literal brace twice"),
        (["trainer.command=train {steps:q}"], "does not suit"),
        (["trainer.command="], "give the command"),
        (
            ["trainer.command=train {steps}", "seed=0,1"],
            "it receives the same values for seed=0 and for seed=1",
        ),
        (["trainer.params=__import__('os').system('true')"], "no function"),
        (["trainer.params=12*depht"], "no name 'depht'; did you mean 'depth'?"),
        (["trainer.params=9**9**9**9"], "has no value here"),
        (["trainer.params=depth-5"], "N is 1 or more"),
        (["trainer.formulas.heads=widht/2"], "no name 'widht'"),
        (["trainer.fields.lss=val_loss"], "Did you mean loss?"),
        (["trainer.kind=comand"], "Did you mean 'command'?"),
        (
            ["trainer.params=null", "budget={tokens: null, tokens_per_param: 20}"],
            "needs N; give trainer.params",
        ),
        (["training.learning_rate=null"], "no learning rate was measured for family 'mygpt'"),
        (["tasks=[recall]"], "remove tasks"),
        (["trainer.branches=true"], "name the field that tells them apart"),
        (["trainer.timeout=0"], "trainer.timeout: a positive, finite number"),
        (["trainer.kind=builtin"], "the built-in trainer has no use for it; add trainer=command"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(
    tmp_path: Path, more: list[str], said: str
) -> None:
    with pytest.raises(PlanError) as error:
        plan_study(study(tmp_path, *more))
    assert said in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_shapes_come_from_a_ladder(tmp_path: Path) -> None:
    ladder = "trainer.ladder=[{width: 32, depth: 1, heads: 2}, {width: 64, depth: 2, heads: 4}]"
    command = f"{COMMAND} --fail={{heads}}"
    shape = ["model.width=null", "model.depth=null"]
    whole = plan_study(study(tmp_path, ladder, *shape, command=command))
    assert [(t.spec.width, t.params) for t in whole.trunks] == [(32, 12288), (64, 98304)]
    one = plan_study(study(tmp_path, ladder, *shape, "model.params=1e5", command=command))
    assert [t.params for t in one.trunks] == [98304]
    with pytest.raises(PlanError, match=r"no rung of trainer\.ladder is near 500000"):
        plan_study(study(tmp_path, ladder, *shape, "model.params=5e5", command=command))
    with pytest.raises(PlanError, match=r"give trainer\.ladder"):
        plan_study(study(tmp_path, *shape, "model.params=5e5"))


def test_a_changed_command_is_a_new_run_and_a_place_is_not(tmp_path: Path) -> None:
    def ids(*more: str, command: str = COMMAND) -> set[str]:
        return {run.id for _, run in plan_study(study(tmp_path, *more, command=command)).runs}

    same = ids()
    assert ids("workers=2", "training.threads=2", "name=other", "trainer.timeout=9") == same
    assert ids("training.weight_decay=0.3") == same  # it is not told
    assert ids(command=COMMAND.replace(" --seed", "   --seed")) == same
    others = [
        ids(command=f"{COMMAND} --pause=0"),
        ids("trainer.params=12*depth*width**2+width"),
        ids("trainer.fields.loss=val.other"),
        ids("trainer.result=other.json"),
        ids("seed=1"),
        ids("budget.tokens=[2e5]"),
    ]
    assert len({*same}.union(*others)) == 7


def test_names_are_listed_with_their_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["plan", "--names", *study(tmp_path, "trainer.names.optimizer=muon", command="x {nope}")]) == 0
    )
    out = capsys.readouterr().out
    for name, value in (("learning_rate", "0.001"), ("optimizer", "muon"), ("steps", "98")):
        assert re.search(rf"^{{{name}}} +{value} ", out, re.M)


def test_a_crash_is_tried_again_in_the_same_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        code = run(tmp_path, "seed=0,1", "workers=2", command=f"{COMMAND} --fail=once")
    assert code == 0
    assert [record.attempts for record in records(tmp_path).done] == [2, 2]
    assert "ended by SIGABRT" in caplog.text
    (log, _) = (tmp_path / "runs" / "mine").glob("*/command/log.txt")
    assert "resuming from step 1\n" in log.read_text()


def test_more_arguments_where_there_is_something_to_go_on_from(tmp_path: Path) -> None:
    more = ["trainer.resume=--resume", "trainer.checkpoint=ckpt*.json"]
    for _ in range(2):
        run(tmp_path, *more, command=f"{COMMAND} --fail=once")
    (log,) = (tmp_path / "runs" / "mine").glob("*/command/log.txt")
    starts = [line for line in log.read_text().splitlines() if line.startswith("[")]
    assert [line.endswith("--resume") for line in starts] == [False, True]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(path: str, tmp_path: Path, seconds: float = 60) -> Path:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = list(tmp_path.glob(path))
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"no {path}")


def all_gone(pids: list[int], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_a_command_that_takes_too_long_ends_with_all_its_children(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "trainer.timeout=3", command=f"{COMMAND} --fail=hang") == 1
    pids = json.loads(wait_for("runs/*/*/command/out/pids.json", tmp_path).read_text())
    assert all_gone(pids)
    main(["status", str(tmp_path / "runs" / "mine")])
    assert "ran longer than trainer.timeout=3 s" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.chaos)])
def test_nothing_outlives_the_harness_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    words = [sys.executable, "-m", "experiments.cli", "run"]
    hang = study(tmp_path, command=f"{COMMAND} --fail={{mode}}")
    harness = subprocess.Popen(
        [*words, *hang, "trainer.names.mode=hang"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    pids = json.loads(wait_for("runs/*/*/command/out/pids.json", tmp_path).read_text())
    harness.send_signal(number)
    harness.communicate(timeout=60)
    assert harness.returncode == (130 if number == signal.SIGINT else -number)
    assert all_gone(pids)
    assert not list(tmp_path.glob("runs/*/*/failures/*"))
    assert main(["run", *hang, "trainer.names.mode=''"]) == 0


def test_a_command_sees_no_secret_unless_it_is_named() -> None:
    ours = {
        "PATH": "/bin",
        "HOME": "/root",
        "WANDB_API_KEY": "s",
        "HF_TOKEN": "s",
        "AWS_SECRET_ACCESS_KEY": "s",
        "SCALING_TRACEBACK": "1",
        "RANK": "0",
        "DB_PASSWORD": "s",
        "CUDA_VISIBLE_DEVICES": "4,7",
        "TOKENIZERS_PARALLELISM": "false",
        "KEYBOARD": "us",
    }
    found = environment(ours, Place("cuda:1", 2), allowed=("HF_TOKEN",))
    assert {name for name, value in found.items() if value == "s"} == {"HF_TOKEN"}
    assert {"PATH", "HOME", "TOKENIZERS_PARALLELISM", "KEYBOARD"} <= found.keys()
    assert not {"RANK", "SCALING_TRACEBACK"} & found.keys()
    assert (found["CUDA_VISIBLE_DEVICES"], found["OMP_NUM_THREADS"]) == ("7", "2")


def test_one_command_gives_a_trunk_of_branches(tmp_path: Path) -> None:
    more = ["trainer.branches=true", "trainer.fields.steps=step"]
    assert run(tmp_path, *more, "budget.tokens=[1e5,2e5]") == 0
    first = {record.run_id: record for record in records(tmp_path).done}
    assert len({record.trunk_id for record in first.values()}) == 1
    assert sorted(record.steps or 0 for record in first.values()) == [98, 195]
    assert run(tmp_path, *more, "budget.tokens=[1e5,2e5,4e5]") == 0
    found = {record.run_id: record for record in records(tmp_path).done}
    assert len(found) == 3
    assert {id: found[id] for id in first} == first


def test_a_job_goes_to_another_machine_as_plain_data(tmp_path: Path) -> None:
    """As Slurm and Ray do it, for a launcher does not see what trains."""
    plan = plan_study(study(tmp_path))
    job = CommandJob(plan.trunks[0], plan.config.cache, plan.folder, plan.name, "cpu", None)
    home = os.getcwd()
    assert work(pickle.loads(pickle.dumps(job)), home).kind == "done"
    assert job.done()
    assert job.train(Observer()) == list(records(tmp_path).done)


def test_output_is_kept_and_bounded(tmp_path: Path) -> None:
    assert run(tmp_path, command=f"{COMMAND} --fail=noise") == 0
    (log,) = (tmp_path / "runs" / "mine").glob("*/command/log.txt")
    text = log.read_text()
    assert len(text) < 5 << 20
    assert text.startswith("[older output is cut off]\n")
    assert text.endswith("y" * 99 + "\n")


def test_a_received_folder_runs_nothing_until_it_is_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it holds a plan and records that name commands; a folder of your own needs no word."""
    canary = tmp_path / "canary"
    assert run(tmp_path) == 0
    for file in (tmp_path / "runs").rglob("*.json"):
        file.write_text(file.read_text().replace(str(SCRIPT), f"{SCRIPT} ; touch {canary}"))
    (tmp_path / "cache" / "commands.json").unlink()  # the user who gets it has another cache
    capsys.readouterr()
    assert run(tmp_path, "seed=1") == 2
    error = capsys.readouterr().err
    assert "Nothing was run. Add --trust" in error
    assert "--seed=1" in error
    assert len(list((tmp_path / "runs" / "mine").glob("mygpt*"))) == 1
    assert run(tmp_path, "seed=1", flags=("--trust",)) == 0
    assert run(tmp_path, "seed=2") == 0
    main(["status", str(tmp_path / "runs" / "mine")])
    assert not canary.exists()


def test_values_never_become_words_or_shell(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    more = [f"trainer.names.optimizer='a b; touch {canary} $(touch {canary})'"]
    assert run(tmp_path, *more, command=f"{COMMAND} --optimizer={{optimizer}}") == 0
    assert not canary.exists()
    assert os.listdir(tmp_path / "runs") == ["mine"]
