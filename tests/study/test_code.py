"""Which change of which file moves which digest: code that computes, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaling.models import FAMILIES
from scaling.recipe.optimizers import OPTIMIZERS
from scaling.recipe.schedules import SCHEDULES
from scaling.study import code

PACKAGE = Path(code.__file__).parents[1]
OPTIMIZER_MODULES = {optimizer.make.__module__ for optimizer in OPTIMIZERS.values()}
SHARE_MODULES = {schedule.share.__module__ for schedule in SCHEDULES.values()}
FAMILY_MODULES = {name: family.module for name, family in FAMILIES.items()}
PARTS = {
    *("scaling.training.train", "scaling.training.schedule"),
    *OPTIMIZER_MODULES,
    *SHARE_MODULES,
    *("scaling.training.objectives:causal,cross_entropy", "scaling.training.objectives:cross_entropy,masked"),
    *("scaling.data.dataset", "scaling.data.rows", "scaling.data.generated", "scaling.data.tokenset"),
    "scaling.data.mixture",
    *("scaling.data.truth.zipf_facts", "scaling.data.truth.zipf_markov", "scaling.training.sharded"),
    *FAMILY_MODULES.values(),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that digests are taken of."""
    for wing in ("data", "models", "recipe", "training", "study"):
        shutil.copytree(PACKAGE / wing, tmp_path / wing, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "HOME", tmp_path)
    code.forget_files()
    yield tmp_path
    code.forget_files()


def digests() -> dict[str, str | None]:
    code.forget_files()
    return {root: code.digest_of(root) for root in PARTS}


def moved(home: Path, file: str, change: Callable[[str], str]) -> set[str]:
    """The parts whose digest moves when a file changes."""
    before = digests()
    path = home / file
    text = path.read_text()
    path.write_text(change(text))
    assert path.read_text() != text
    after = digests()
    path.write_text(text)
    return {root for root in PARTS if before[root] != after[root]}


def test_every_module_belongs_to_a_part_or_is_said_to_compute_nothing() -> None:
    modules = set()
    for wing in ("data", "models", "recipe", "training"):
        for path in (PACKAGE / wing).rglob("*.py"):
            name = ".".join(["scaling", *path.relative_to(PACKAGE).with_suffix("").parts])
            if path.name != "__init__.py" or path.read_text().count("import"):
                modules.add(name.removesuffix(".__init__"))
    modules.discard("scaling.data.truth")  # a docstring
    covered = set().union(*(code.reached(root.partition(":")[0]) for root in PARTS))
    assert modules - covered - code.NOT_COMPUTING == set()
    assert covered & code.NOT_COMPUTING == set()


def test_families_are_known_by_their_modules() -> None:
    assert {name: f"scaling.models.{name}" for name in FAMILIES} == FAMILY_MODULES


def test_words_move_no_digest(home: Path) -> None:
    """Comments, docstrings, blank lines and the breaks of a line, in every file at once."""
    before = digests()
    for path in home.rglob("*.py"):
        text = path.read_text()
        text = text.replace('"""', '"""Another word. ', 1) if text.startswith('"""') else text
        path.write_text("# a comment\n\n" + text.replace("\n\n\n", "\n\n\n\n# another\n\n") + "\n# the end\n")
    assert digests() == before


def append(text: str) -> str:
    return f"{text}\nADDED = 1\n"


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        ("models/lstm.py", {"scaling.models.lstm"}),
        ("models/encoder_decoder.py", {"scaling.models.encoder_decoder"}),
        ("models/transformer.py", {f"scaling.models.{name}" for name in ("decoder", "masked", "moe")}),
        ("models/blocks.py", set(FAMILY_MODULES.values())),
        ("recipe/optimizers/sgd.py", {"scaling.recipe.optimizers.sgd"}),
        ("recipe/parametrisation.py", {"scaling.training.train", *OPTIMIZER_MODULES}),
        ("recipe/schedules/cosine.py", {"scaling.recipe.schedules.cosine"}),
        ("recipe/cooldown.py", {"scaling.training.schedule"}),
        ("recipe/optimizers/__init__.py", set()),  # it chooses
        ("training/schedule.py", {"scaling.training.schedule"}),
        ("training/segment.py", {"scaling.training.train"}),
        ("training/evaluate.py", {"scaling.training.train"}),
        ("training/throughput.py", set()),
        ("data/batches.py", {f"scaling.data.{name}" for name in ("dataset", "rows", "generated", "mixture")}),
        ("data/truth/zipf_markov.py", {"scaling.data.truth.zipf_markov"}),
        ("data/text.py", set()),  # what it reads is in the fingerprint
    ],
)
def test_a_change_moves_the_parts_that_it_is_in(home: Path, file: str, parts: set[str]) -> None:
    assert moved(home, file, append) == parts


def test_objectives_of_one_file_are_told_apart(home: Path) -> None:
    of_masked = {"scaling.training.objectives:cross_entropy,masked"}
    change = "training/objectives.py"
    assert moved(home, change, lambda text: text.replace("MASKED = 0.15", "MASKED = 0.2")) == of_masked
    both = {root for root in PARTS if root.startswith("scaling.training.objectives")}
    assert moved(home, change, lambda text: text.replace('reduction="none"', 'reduction="sum"')) == both


def test_a_family_of_a_strangers_is_covered_with_its_helpers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_gru.py").write_text(
        "from my_gates import gate\nfrom scaling.models.blocks import Linear\n"
    )
    gates = tmp_path / "my_gates.py"
    gates.write_text("def gate(x):\n    return x\n")
    package = tmp_path / "my_package" / "families"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("")
    (package / "gru.py").write_text("from .gates import gate\nfrom my_package import other\n")
    inner = package / "gates.py"
    inner.write_text("def gate(x):\n    return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_ssm.py").write_text("from my_library.blocks import scan\n")
    library = tmp_path / "my_library"
    library.mkdir()
    for name in ("__init__", "blocks"):
        (library / f"{name}.py").write_text("def gate(x):\n    return x\n")
    beside = [("my_ssm", library / f"{name}.py") for name in ("__init__", "blocks")]
    for root, helper in (("my_gru", gates), ("my_package.families.gru", inner), *beside):
        code.forget_files()
        before = code.digest_of(root)
        assert before is not None
        helper.write_text("def gate(x):\n    return x  # the same\n")
        code.forget_files()
        assert code.digest_of(root) == before
        helper.write_text("def gate(x):\n    return 2 * x\n")
        code.forget_files()
        assert code.digest_of(root) != before
    assert "scaling.models.blocks" in code.reached("my_gru")
    assert code.digest_of("nobody_has_this.family") is None
    assert code.digest_of("scaling.models.gone") == "missing"
    code.forget_files()


def test_changed_parts_are_named_with_both_digests() -> None:
    now = code.code_versions(
        code.run_roots(family="scaling.models.lstm", objective="causal", loss="squared", corpus="text")
    )
    assert code.changed_parts(now) == []
    assert code.changed_parts({"torch": "2.13.0", "code": "0123456789ab"}) == []  # before there were parts
    root, _, digest = now["code.family"].rpartition(" ")
    assert code.changed_parts({**now, "code.family": f"{root} 000000000000"}) == [
        f"family scaling.models.lstm: 000000000000 then, {digest} now"
    ]
