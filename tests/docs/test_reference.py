"""The pages of docs/reference are what the code says now."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import docs
from experiments.commands import guide

STALE = "python -m experiments.docs writes it again"


@pytest.mark.parametrize("name", docs.pages())
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (docs.ROOT / name).read_text() == docs.HEAD + docs.pages()[name](), STALE


def test_the_list_of_pages_is_complete() -> None:
    assert (docs.ROOT / "llms.txt").read_text() == guide.llms(docs.ROOT), STALE


def test_every_variable_that_is_read_is_listed() -> None:
    assert docs.variables_read() == set(docs.ENVIRONMENT)


def test_a_key_without_a_meaning_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare.py").write_text(
        "from dataclasses import dataclass\n\n@dataclass\nclass Bare:\n    width: int = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from bare import Bare  # type: ignore[import-not-found]

    with pytest.raises(ValueError, match=r"bare\.Bare\.width: no comment says what it is"):
        docs.comments_of(Bare)
