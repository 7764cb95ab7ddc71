"""From a question to records: studies, data, models, training.

    >>> import scaling
    >>> run = scaling.open_run("runs/mine", arm="mamba", params=1.2e6)

Public names are imported when they are first read: `import scaling` itself takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.trainers.imported import OpenRun, open_run

__all__ = ["OpenRun", "open_run"]
_HOMES = {"OpenRun": "scaling.trainers.imported", "open_run": "scaling.trainers.imported"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
