"""Names from outside: plain as a slug, or refused as a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.records import storage


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("isoflop", "isoflop"),
        ("Größe 3e5", "Groe-3e5"),
        ("../../etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("a/b\\c:d\0e\nf", "a-b-c-d-e-f"),
        ("=cmd|' /C calc'!A0", "cmd-C-calc-A0"),
        ("<script>alert(1)</script>", "script-alert-1-script"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_slug_is_plain(name: str, expected: str) -> None:
    assert storage.slug(name) == expected


@given(st.text())
def test_a_slug_is_one_safe_path_component(name: str) -> None:
    try:
        short = storage.slug(name)
    except ValueError as error:
        assert repr(name) in str(error)  # noqa: PT017
        return
    assert storage.slug(short) == short
    assert storage.safe_child("/root-of-runs", short) == Path("/root-of-runs") / short


@pytest.mark.parametrize("name", ["", "...", "///", "日本語", "\0"])
def test_a_name_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="has no letter or digit"):
        storage.slug(name)


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "/etc/passwd", "", ".", "a/..", "out/x", "out"])
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="not inside"):
        storage.safe_child(root, name)


def test_a_name_with_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NUL"):
        storage.safe_child(tmp_path, "a\0b")


def test_a_name_that_stays_inside_is_resolved(tmp_path: Path) -> None:
    assert storage.safe_child(tmp_path, "a/../b") == tmp_path.resolve() / "b"
