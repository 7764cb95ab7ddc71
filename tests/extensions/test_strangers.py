"""A stranger's family, one file that imports nothing private: from a study to a report."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from analysis.table import load_runs
from experiments.cli import main
from scaling.records.record import find_record_files
from scaling.study.compose import PlanError
from scaling.study.plan import Plan, plan_study
from tests.extensions.conftest import HERE, forget_extensions

FILES = [HERE / f"{name}.py" for name in ("gru", "ssm", "mixture")]


def options(study: list[str], *more: str) -> list[str]:
    kept = [line for line in study if not line.startswith("model.")]
    return [*kept, "training.learning_rate=1e-2", *more]


@pytest.fixture
def trained(tiny_study: list[str], tmp_path: Path) -> list[str]:
    """Overrides of a study of the three that was run; the process has forgotten them since."""
    asked = options(
        tiny_study,
        f"extensions=[{','.join(map(str, FILES))}]",
        "model=gru,ssm,mixture",
        "model.params=null",
        "model.width=12,16",
        "model.depth=1",
    )
    assert main(["run", *asked]) == 0
    forget_extensions()
    return asked


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_file_is_short_and_uses_the_front_door_only(file: Path) -> None:
    tree = ast.parse(file.read_text())
    imported = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert not [name for name in imported if str(name).startswith(("scaling", "analysis", "experiments"))]
    models = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    rest = len(file.read_text().splitlines()) - sum((n.end_lineno or 0) - n.lineno + 1 for n in models)
    assert rest <= 40


def test_from_file_to_report(trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "runs" / "tiny"
    rows = load_runs(folder).rows
    assert len(rows) == 12
    assert set(rows["state"].dropna()) == {8}
    assert set(rows["experts"].dropna()) == {4}
    mixture = rows[rows["family"] == "mixture"]
    assert (mixture["params_active"] < mixture["params"]).all()
    assert main(["report", str(folder), "--resamples", "20"]) == 0  # reads records, and needs no extension
    assert (folder / "report" / "index.html").is_file()
    capsys.readouterr()

    runs = {path.parent.name.partition("-")[0]: path.parent for path in find_record_files(folder)}
    run, cache = str(runs["gru"]), next(o for o in trained if o.startswith("cache=")).removeprefix("cache=")
    sample = ["sample", run, "--prompt", "item 3", "--tokens", "40", "--cache", cache]
    evaluate = [
        "evaluate",
        str(folder),
        "--tasks",
        "none",
        "--quantise",
        "8",
        "--workers",
        "1",
        "--cache",
        cache,
    ]
    export = ["export", run, "--to", str(tmp_path / "out"), "--cache", cache]
    for command in (sample, export):
        assert main(command) == 2
        assert "extension gru. Name its file: --extension gru.py." in capsys.readouterr().err
    assert main(evaluate) == 1
    assert "Name its file: --extension" in capsys.readouterr().out
    given = [word for file in FILES for word in ("--extension", str(file))]
    assert main([*sample, *given]) == 0
    assert capsys.readouterr().out.startswith("item 3")
    assert main([*evaluate, *given]) == 0
    assert main([*export, *given]) == 0


def test_another_code_cannot_pose_as_that_which_made_a_run(
    tiny_study: list[str], tmp_path: Path, gru: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = options(tiny_study, f"extensions=[{gru}]", "model.family=gru", "model.width=8", "model.depth=1")
    assert main(["run", *asked, "model.params=null", "budget.tokens=2e3"]) == 0
    (record,) = find_record_files(tmp_path / "runs" / "tiny")
    forget_extensions()
    gru.write_text(gru.read_text().replace("return self.output(x)", "return 2 * self.output(x)"))
    assert main(["sample", str(record.parent), "--extension", str(gru)]) == 2
    assert "was made by other code of extension gru" in capsys.readouterr().err


def plan(study: list[str], *more: str) -> Plan:
    return plan_study(options(study, *more, "model.depth=1", "model.params=null"))


def test_a_changed_model_is_a_new_run_and_a_comment_is_not(tiny_study: list[str], gru: Path) -> None:
    def ids() -> list[str]:
        return [
            run.id for _, run in plan(tiny_study, f"extensions=[{gru}]", "model=gru", "model.width=8").runs
        ]

    before = ids()
    text = gru.read_text()
    gru.write_text("# a comment\n" + text.replace('"""A GRU', '"""Another word. A GRU'))
    assert ids() == before
    gru.write_text(text.replace("nn.Linear(width, vocab)", "nn.Linear(width, vocab, bias=False)"))
    assert not set(ids()) & set(before)
    gru.write_text(text)
    assert ids() == before


def test_a_neighbour_that_the_file_imports_counts_as_well(tiny_study: list[str], gru: Path) -> None:
    helper = gru.with_name("gru_widths.py")
    helper.write_text("WIDTHS = [8, 12]\n")
    gru.write_text(
        "from gru_widths import WIDTHS\n"
        + gru.read_text().replace("widths = range", "widths = WIDTHS or range")
    )

    def ids() -> list[str]:
        return [
            run.id for _, run in plan(tiny_study, f"extensions=[{gru}]", "model=gru", "model.width=8").runs
        ]

    before = ids()
    helper.write_text("WIDTHS = [8, 16]\n")
    assert ids() != before


def test_sizes_of_a_family_are_swept_and_part_of_the_id(tiny_study: list[str]) -> None:
    asked = [f"extensions=[{HERE / 'ssm.py'}]", "model=ssm", "model.width=8"]
    swept = plan(tiny_study, *asked, "model.state=4,8,16")
    assert [dict(trunk.spec.sizes)["state"] for trunk in swept.trunks] == [4, 8, 16]
    assert len({trunk.spec.id for trunk in swept.trunks}) == 3
    assert swept.trunks[0].params < swept.trunks[2].params
    default = plan(tiny_study, *asked)
    assert default.trunks[0].spec.id == swept.trunks[1].spec.id
    for wrong, says in (
        ("model.stat=4", "did you mean model.state?"),
        ("model.experts=4", "model.experts: family 'ssm' has no such size. It has width, depth, state"),
        ("model.state=many", "model.state: family 'ssm' takes a value of type int; got 'many'"),
    ):
        with pytest.raises(PlanError) as error:
            plan(tiny_study, *asked, wrong)
        assert says in str(error.value)


def test_a_study_names_its_extension_beside_itself(tiny_study: list[str], tmp_path: Path, gru: Path) -> None:
    study = tmp_path / "mine.yaml"
    study.write_text(
        "# @package _global_\nname: mine\nextensions: [./gru.py]\nmodel: {family: gru, width: 8, depth: 1}\n"
    )
    found = plan_study(options(tiny_study[2:], f"study={study}", "model.params=null"))
    assert found.name == "mine"
    assert {trunk.spec.family for trunk in found.trunks} == {"gru"}
    assert found.composition.extensions == (str(gru),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no such file"),
        ("x = 1\ny = (", "line 2: SyntaxError"),
        ("\n\nimport nothing_of_that_name", "line 3: ModuleNotFoundError"),
        ("import scaling\nscaling.register(3)", "line 2: TypeError: register: one of "),
        ("import sys\nsys.exit(1)", "line 2: SystemExit"),
    ],
)
def test_a_broken_extension_is_one_sentence_before_anything_trains(
    tiny_study: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, says: str
) -> None:
    file = tmp_path / "broken_one.py"
    if text is not None:
        file.write_text(text)
    assert main(["run", *tiny_study, f"extensions=[{file}]"]) == 2
    said = capsys.readouterr().err
    assert "extension " in said
    assert "broken_one.py" in said
    assert says in said
    assert not (tmp_path / "runs").exists()


def test_names_that_are_taken_are_refused(tiny_study: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine_too.py"
    text = (HERE / "gru.py").read_text()
    file.write_text(text.replace('name="gru", build', 'name="lstm", build'))
    with pytest.raises(PlanError, match="there is a family named 'lstm' already; choose another name"):
        plan_study([*tiny_study, f"extensions=[{file}]"])
    hides = tmp_path / "json.py"
    hides.write_text(text)
    with pytest.raises(PlanError, match=r"a module named json already exists, .*; rename yours"):
        plan_study([*tiny_study, f"extensions=[{hides}]"])


def test_nothing_in_a_runs_folder_names_a_file_to_run(trained: list[str], tmp_path: Path) -> None:
    """Even where its plan or its multirun.yaml does: only the command line and the study are read for it."""
    folder = tmp_path / "runs" / "tiny"
    marker = tmp_path / "was_run"
    trap = folder / "trap.py"
    trap.write_text(f"open({str(marker)!r}, 'w')\n")
    for path in folder.rglob("*.yaml"):
        path.write_text(path.read_text().replace("extensions:", f"extensions: [{trap}]\nother:"))
    for command in (["status", str(folder)], ["fit", str(folder), "--resamples", "0"]):
        main(command)
    assert not marker.exists()


@pytest.mark.slow  # two processes, each of which imports PyTorch's compiler to count a model
def test_workers_load_what_the_planner_has_loaded(tiny_study: list[str], tmp_path: Path) -> None:
    asked = options(tiny_study, f"extensions=[{HERE / 'gru.py'}]", "model=gru", "model.width=8,12")
    assert main(["run", *asked, "model.params=null", "model.depth=1", "workers=2"]) == 0
    assert len(list(find_record_files(tmp_path / "runs" / "tiny"))) == 4
