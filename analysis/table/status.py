"""Whether a run has a result, by the words that trackers and schedulers use for its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from analysis.table.columns import FLAGS, plain
from analysis.table.expressions import truth_of

_WORDS = {
    word: kind
    for kind, words in {
        "done": "done finished complete completed success succeeded successful ok converged",
        "diverged": "diverged nan exploded",
        "missing": "missing running pending queued scheduled starting waiting active in_progress requeued "
        "suspended",
        "failed": "failed failure crashed crash killed error errored aborted cancelled canceled preempted "
        "timeout timed_out oom out_of_memory node_fail interrupted unfinished incomplete terminated revoked "
        "stopped deadline boot_fail",
    }.items()
    for word in words.split()
}


def kind_of(word: str) -> str | None:
    """What a state means: done, diverged, missing (no result yet) or failed; None for any other word."""
    return _WORDS.get(plain(word))


def read_states(column: str, cells: Sequence[str | None]) -> tuple[dict[int, str], list[str]]:
    """Rows that say themselves that they hold no result.

    Args:
        column: the name of the column; one of truth values, such as `diverged`, is read by its name.

    Returns:
        row → diverged, failed or missing; and a note a word that is counted under another name. An empty cell
        or an unknown word counts as failed.
    """
    flag = FLAGS.get(plain(column))
    without: dict[int, str] = {}
    others: Counter[tuple[str, str]] = Counter()
    for i, cell in enumerate(cells):
        word = (cell or "empty").strip().casefold()
        truth = None if flag is None or cell is None else truth_of(cell)
        if truth is None:
            kind = kind_of(word) or "failed"
        else:
            kind = (flag or "done") if truth else ("failed" if flag == "done" else "done")
        if kind != "done":
            without[i] = kind
            if word != kind:
                others[word, kind] += 1
    notes = [
        f"{n} row{'s' * (n > 1)} with status {word!r} count{'s' * (n == 1)} as {kind}"
        for (word, kind), n in sorted(others.items())
    ]
    return without, notes


def _counted(number: int, word: str, kind: str) -> str:
    if number == 1:
        return f"1 row with status {word!r} counts as {kind}"
    return f"{number} rows with status {word!r} count as {kind}"
