"""Which code, and which machine, made the runs of a study: as columns, and in words where they differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from scaling.records.record import ACCEPTED, RunRecord

_MACHINE = {"torch": "PyTorch", "numpy": "NumPy", "processor": "processor", "machine": "machine"}


def code_columns(records: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """Return `code`, a digest of what made a run, and `code_accepted`, yes where that changed meanwhile.

    Columns that no run has are left out.
    """
    found = {
        "code": [record.versions.get("code") for record in records],
        "code_accepted": ["yes" if ACCEPTED in record.versions else None for record in records],
    }
    return {name: cells for name, cells in found.items() if any(cells)}


def code_warnings(records: Sequence[RunRecord]) -> list[str]:
    """Return warnings: parts of the code that runs were made by several versions of, and runs made by two."""
    made: dict[str, dict[str, list[RunRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for root, digest in record.code.items():
            made[root][digest].append(record)
    warnings = []
    for root, versions in made.items():
        if len(versions) > 1:
            commonest = sorted({record.versions["code"] for record in max(versions.values(), key=len)})
            condition = " or ".join(f"code == '{code}'" for code in commonest)
            shares = ", ".join(f"{digest} ({len(runs)} runs)" for digest, runs in versions.items())
            warnings.append(
                f"runs were made by {len(versions)} versions of the code of {root}: {shares}. A single law "
                "would mix the effect of the code with the effects of size and data. "
                f'--where "{condition}" fits those of one version; '
                "scaling run … --retrain-changed trains the others again."
            )
    mixed = Counter(record.versions[ACCEPTED] for record in records if ACCEPTED in record.versions)
    for change, count in mixed.items():
        warnings.append(
            f"{count} {'run was' if count == 1 else 'runs were'} resumed after a change that was accepted "
            f"(--accept-change): {change}. --drop \"code_accepted == 'yes'\" leaves such runs out."
        )
    return warnings


def code_notes(records: Sequence[RunRecord]) -> list[str]:
    """Return notes about runs of several machines or versions of libraries, and of code that is not known."""
    notes = []
    for key, name in _MACHINE.items():
        counts = Counter(r.versions[key] for r in records if key in r.versions)
        if len(counts) > 1:
            shares = ", ".join(f"{value} ({count} runs)" for value, count in sorted(counts.items()))
            notes.append(f"runs were made with several versions of {name}: {shares}")
    unknown = sum(not record.code for record in records)
    if 0 < unknown < len(records):
        notes.append(f"{unknown} of {len(records)} runs do not say which code made them")
    return notes
