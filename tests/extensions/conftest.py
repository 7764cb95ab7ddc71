"""Each test leaves no extension behind: what one loads, the next must name again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling import registry
from scaling.study import extensions

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    forget_extensions()


def forget_extensions() -> None:
    """As in a process that has just started."""
    for module in list(extensions._loaded):
        registry.forget(module)
        sys.modules.pop(module, None)
    extensions._loaded.clear()
    sys.path[:] = [path for path in sys.path if path != str(HERE) and "pytest-of" not in path]


@pytest.fixture
def gru(tmp_path: Path) -> Path:
    """A copy of the GRU that a test may change."""
    file = tmp_path / "gru.py"
    file.write_text((HERE / "gru.py").read_text())
    return file
