"""Which rows hold no result, by what their own columns say: a state, an exit code, an error, a yes or no."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from analysis.table.cells import is_empty
from analysis.table.columns import plain
from analysis.table.expressions import truth_of
from analysis.table.roles import BOOKKEEPING, UNKNOWN, role_of, words_of

DONE, DIVERGED, MISSING, FAILED = "done", "diverged", "missing", "failed"

# The words of trackers (W&B, MLflow, Neptune, Ray Tune, Optuna) and of schedulers (Slurm, LSF, Kubernetes).
_WORDS = {
    word: kind
    for kind, words in {
        DONE: "done finished complete completed success succeeded successful ok okay passed converged",
        DIVERGED: "diverged nan exploded blew_up",
        MISSING: "missing running run pending pend queued scheduled starting waiting active in_progress "
        "inprogress requeued suspended paused created preparing submitted",
        FAILED: "failed fail failure crashed crash killed error errored aborted abandoned cancelled canceled "
        "preempted preempting timeout timed_out oom oomkilled oom_killed out_of_memory node_fail interrupted "
        "unfinished incomplete terminated revoked stopped stopping exit exited inactive closed deadline "
        "boot_fail evicted crashloopbackoff lost dead pruned early_stopped failed_setup",
    }.items()
    for word in words.split()
}
# Ray Tune writes TERMINATED for a finished trial, Neptune Inactive: failures only beside a word for success.
_EITHER = words_of("terminated stopped exit exited inactive closed")
# What a column of truth values is called, by what a true cell means; `is_`, `run_` and the like say nothing.
FLAGS = {
    DONE: words_of("done finished complete completed success successful succeeded converged ok passed"),
    DIVERGED: words_of("diverged diverge divergence nan nans exploded inf"),
    FAILED: words_of(
        """failed fail failure crashed crash killed preempted oom error errored timeout timed out aborted
        cancelled canceled pruned interrupted terminated stopped exception incomplete unfinished"""
    ),
}
_FILLERS = words_of(
    "is has was did had run runs job trial training train task sys early loss detected spike or and"
)
_STATE = re.compile(r"(\w+_)?(state|status|stat|outcome|result)")
_REASON = re.compile(r"(finish|stop|stopping|end|exit|termination|completion)_(reason|cause)")
_CODE = re.compile(r"(\w+_)?(exit(_?(code|status|signal))?|return_?code|ret_?code|rc|error_?code|errno)")
_CODES = re.compile(r"[+-]?\d+(\.0+)?(:\d+)?")  # Slurm writes status:signal
_ERROR = re.compile(
    r"(\w+_)?(errors?|err|exceptions?|traceback|stack_?trace|failures?|crash|fail)"
    r"(_?(message|msg|type|reason|text|str|string|log|name|info))?"
)
_NO_ERROR = frozenset(("no", "ok", "0", "false", "no error", "success", "[]", "{}"))
_MARKS = {"x": True, "✓": True, "✔": True, "✗": False, "✘": False}
_SHOWN = 4  # words of one column that a note lists


def kind_of(word: str) -> str | None:
    """What a state means: done, diverged, missing (no result yet) or failed; None for any other word."""
    known = plain(word).partition("_by_")[0]  # Slurm: CANCELLED by 1000
    if word.endswith("+"):  # and cuts a long one: OUT_OF_ME+
        known = next((full for full in _WORDS if full.startswith(known)), known)
    return _WORDS.get(known)


def find_states(columns: dict[str, list[Any]], taken: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Find the columns that say which rows hold no result, those called a state first.

    Args:
        taken: columns that are something else already.

    Returns:
        names: of these columns.
        notes: columns that are called a state, and say nothing of the kind.
    """
    found, notes = [], []
    for name, cells in columns.items():
        if name in taken:
            continue
        kinds, why = _read(name, cells)
        if kinds is not None:
            found.append(name)
        elif why:
            notes.append(f"{name!r} {why}: not read as status")
    return sorted(found, key=lambda name: not _STATE.fullmatch(plain(name))), notes


def check_states(name: str, cells: Sequence[Any]) -> None:
    """Refuse a column that was mapped and says of no row what became of it.

    Raises:
        ValueError: with a value of it, and what a state may be.
    """
    if _read(name, cells)[0] is None and not any(kind_of(str(cell)) for cell in cells):
        held = next((repr(cell) for cell in cells if not is_empty(cell)), "nothing")
        raise ValueError(
            f"column mapping: status={name} holds {held}, which is not the state of a run (finished, failed, "
            "crashed, running, …). Leave the mapping out, or take status=none where all rows are results."
        )


def read_states(columns: dict[str, list[Any]]) -> tuple[dict[int, str], list[str]]:
    """Read columns that say which rows hold no result; one of them is enough.

    Returns:
        without: row → diverged, failed or missing.
        notes: one a word that is counted under another name.
    """
    without: dict[int, str] = {}
    notes: list[str] = []
    for name, cells in columns.items():
        kinds = _read(name, cells)[0]
        if kinds is None:  # mapped by its owner, or of few rows by now
            kinds = _by_word(cells, unknown=FAILED) if any(kind_of(str(cell)) for cell in cells) else []
        found = {i: kind for i, kind in enumerate(kinds) if kind != DONE and i not in without}
        words = Counter(
            ("empty" if is_empty(cells[i]) else str(cells[i]).strip(), k) for i, k in found.items()
        )
        said = [
            f"{n} row{'s' * (n > 1)} with {name} {word!r} count{'s' * (n == 1)} as {kind}"
            for (word, kind), n in sorted(words.items())
            if word.casefold() != kind
        ]
        notes += said[:_SHOWN]
        if len(said) > _SHOWN:
            notes.append(f"and so do the rows with {len(said) - _SHOWN} other values of {name}")
        without |= found
    if notes:
        notes.append("--columns status=none fits the rows that say they have failed, too")
    return without, notes


def holds_reasons(name: str) -> bool:
    """Whether a column tells why runs ended, so that words it shares with no failure are still a setting."""
    return _REASON.fullmatch(plain(name)) is not None


def _read(name: str, cells: Sequence[Any]) -> tuple[list[str] | None, str]:
    """Judge each row (n,), or None where the column says nothing of it; and why not, if so named."""
    word = plain(name)
    first = next((str(cell).strip() for cell in cells if not is_empty(cell)), None)
    called = _STATE.fullmatch(word) is not None
    if first is None:
        return None, "is empty" * called
    flag, code, error = _flag(word), _CODE.fullmatch(word), _ERROR.fullmatch(word)
    if not (called or flag or code or error or holds_reasons(name) or kind_of(first)):
        return None, ""
    said = [str(cell).strip() for cell in cells if not is_empty(cell)]
    if flag and all(_truth(text) is not None for text in said):
        # Who marks the failures leaves the others empty.
        rest = FAILED if flag == DONE else DONE
        return _if_some_are_done([flag if _truth(cell) else rest for cell in cells])
    if code and all(map(_CODES.fullmatch, said)):
        return _if_some_are_done([DONE if is_empty(c) or _is_zero(str(c)) else FAILED for c in cells])
    if error and not any(map(_is_number, said)):
        fine = [is_empty(cell) or str(cell).strip().casefold() in _NO_ERROR for cell in cells]
        return _if_some_are_done([DONE if each else FAILED for each in fine])
    kinds = [kind_of(text) for text in said]
    known = len(kinds) - kinds.count(None)
    if called:
        if 2 * known >= len(said):
            return _by_word(cells, unknown=FAILED), ""
        return None, f"holds {said[kinds.index(None)]!r}, which is not the state of a run"
    if holds_reasons(name) and {FAILED, DIVERGED} & {*kinds}:
        return _if_some_are_done(_by_word(cells, unknown=DONE))
    if known == len(said) and role_of(name) in (UNKNOWN, BOOKKEEPING):
        judged = _by_word(cells, unknown=DONE)
        if len({*judged}) > 1:
            return _if_some_are_done(judged)
    return None, ""


def _by_word(cells: Sequence[Any], unknown: str) -> list[str]:
    """Judge rows by a word each; an empty cell is no word that is known."""
    words = ["" if is_empty(cell) else str(cell).strip() for cell in cells]
    kinds = [kind_of(word) or unknown for word in words]
    commonest = plain(Counter(words).most_common(1)[0][0])
    if DONE not in kinds and commonest in _EITHER:
        kinds = [DONE if plain(word) == commonest else kind for word, kind in zip(words, kinds, strict=True)]
    return kinds


def _if_some_are_done(kinds: list[str]) -> tuple[list[str] | None, str]:
    """Believe a column of this name only where it spares some rows: nobody lists failures alone."""
    return (kinds, "") if DONE in kinds else (None, "")


def _flag(word: str) -> str | None:
    """What a true cell of a column means, by the words of its name."""
    words = set(word.split("_")) - _FILLERS
    return next((kind for kind, names in FLAGS.items() if words and words <= names), None)


def _truth(cell: Any) -> bool | None:
    return _MARKS.get(str(cell).strip().casefold(), truth_of(cell))


def _is_zero(code: str) -> bool:
    return all(float(part) == 0 for part in code.strip().split(":"))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
