"""Trunks from before ids forgot where their text lay: found again by what they are of.

Their ids hash the paths of the text too, so the id of a trunk that is asked for today is another one. What
was begun under the old id goes on under it, wherever the text lies now.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from scaling.records.reading import read_small
from scaling.records.record import canonical_json, spec_digest
from scaling.study.command import CommandSpec
from scaling.study.spec import RunSpec, Trunk, TrunkSpec

SPEC_FILE = "spec.json"
NO_PATHS = b'"paths": []'


class OldIds:
    """The trunks of a runs folder whose ids hold paths; looked for when the first is asked after.

    Args:
        study: the folder of the study that asks; its own come before those of others.
    """

    def __init__(self, study: Path) -> None:
        self.study = study
        self._paths: dict[bytes, tuple[str, ...]] | None = None

    def keep(self, trunk: Trunk) -> Trunk:
        """Return the trunk under the id that it was begun with, if it was; else as it is."""
        spec = trunk.spec
        if isinstance(spec, CommandSpec) or not spec.data.paths or (self.study / spec.id).is_dir():
            return trunk
        if self._paths is None:
            self._paths = dict(self._find())
        paths = self._paths.get(canonical_json(spec.identity())) if self._paths else None
        if paths is None:
            return trunk
        old = replace(spec, data=replace(spec.data, id_paths=paths))
        return replace(trunk, spec=old, runs=tuple(_of(old, run) for run in trunk.runs))

    def _find(self) -> Iterator[tuple[bytes, tuple[str, ...]]]:
        own = self.study.name
        files = self.study.parent.glob(f"*/*/{SPEC_FILE}")
        # The last one of a kind counts.
        for path in sorted(files, key=lambda path: (path.parent.parent.name == own, path)):
            try:
                content = read_small(path)
                if NO_PATHS in content:
                    continue
                spec: dict[str, Any] = json.loads(content)
                paths = tuple(map(str, spec["data"]["paths"]))
                if path.parent.name.endswith(f"-{spec_digest(spec)}"):
                    yield canonical_json({**spec, "data": {**spec["data"], "paths": []}}), paths
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue  # no trunk of ours, or a damaged one: training says so


def _of(spec: TrunkSpec, run: RunSpec) -> RunSpec:
    return RunSpec(spec, run.steps, run.cooldown_steps, run.evaluation_tokens)
