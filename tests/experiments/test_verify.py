"""`scaling verify`: everything published agrees; what cannot be run says why; a wrong number is seen."""

import json
import os
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.commands import verify

DEFAULT = Path(__file__).resolve().parents[2].parent / "shared" / "data"
DATA = Path(os.environ.get("SCALING_PUBLIC_DATA", DEFAULT))


def test_closed_forms_agree_without_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SCALING_PUBLIC_DATA", raising=False)
    assert main(["verify"]) == 0
    out = capsys.readouterr().out
    assert "2.225644" in out
    assert "SCALING_PUBLIC_DATA is not set; needs chinchilla_points/svg_extracted_data.csv" in out
    assert "18 of 18 agree, 3 skipped" in out
    assert " NO " not in out


def test_absent_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--data", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    skipped = [check for check in told["checks"] if check["skipped"]]
    assert len(skipped) == 3
    assert str(tmp_path) in skipped[0]["skipped"]
    assert skipped[0]["passed"] is None


@pytest.mark.skipif(
    not (DATA / "chinchilla_points").is_dir(), reason="public data absent: set SCALING_PUBLIC_DATA"
)
def test_every_published_number_agrees() -> None:
    checks = list(verify.verify(DATA))
    assert [check.what for check in checks if check.passed is not True] == []
    assert len(checks) > 30


def test_a_wrong_number_is_seen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("SCALING_PUBLIC_DATA", raising=False)
    monkeypatch.setattr(verify, "noise_free_bias", lambda *args, **kwargs: -0.033)
    assert main(["verify"]) == 1
    out = capsys.readouterr().out
    assert " NO " in out
    assert "6 of 18 agree" in out


def test_narrow_window_keeps_the_verdict() -> None:
    checks = list(verify.verify(None))
    text = verify.describe(checks, 0.1)
    assert all(line.index("  ok") < 80 for line in text.split("\n") if "  ok" in line)
