"""`scaling check`: our families and the strangers' pass by one door, and what is broken is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.cli import main
from scaling.models import FAMILIES
from tests.extensions.conftest import HERE


@pytest.mark.parametrize(
    "family",
    [name if name == "decoder" else pytest.param(name, marks=pytest.mark.slow) for name in sorted(FAMILIES)],
)  # tests/models holds each to its contract
def test_our_families_keep_the_contract(family: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", "--family", family])
    assert code == 0, capsys.readouterr().out


def test_the_strangers_keep_it(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(HERE / f"{name}.py") for name in ("gru", "ssm", "mixture")]
    code = main(["check", *files])
    said = capsys.readouterr().out
    assert code == 0, said
    assert said.count("ok      learning") == 3


BROKEN = {
    "causality": ("x, _ = self.layers(self.tokens(ids))", "x = self.tokens(ids).flip(1).cumsum(1).flip(1)"),
    "determinism": ("return self.output(x)", "return self.output(nn.functional.dropout(x, 0.5))"),
    "rows": ("return self.output(x)", "return self.output(x - x.mean(dim=(0, 2), keepdim=True))"),
    "learning": ("return self.output(x)", "return self.output(0 * x)"),
    "gradients": ("return self.output(x)", "return self.output(x.detach())"),
    "logits": ("return self.output(x)", "return self.output(x).transpose(1, 2)"),
    "counts": (
        'name="gru", build=build',
        'counts=lambda shape, vocab, context: scaling.Counts(1, 2, 3, 4.0), name="gru", build=build',
    ),
}


@pytest.mark.parametrize("part", BROKEN)
def test_what_is_broken_is_named(part: str, gru: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = gru.read_text()
    gru.write_text(text.replace(*BROKEN[part]))
    assert gru.read_text() != text
    code = main(["check", str(gru), "--seconds", "1"])
    said = capsys.readouterr().out
    assert code == 1, said
    assert f"  FAILED  {part} " in said


def test_a_file_without_a_family_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "no_family.py"
    file.write_text("x = 1\n")
    assert main(["check", str(file)]) == 2
    assert "registers no family. End it with" in capsys.readouterr().err
