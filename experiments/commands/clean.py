"""`scaling clean [FOLDER]`: show what a runs folder or the token cache can spare; delete it when told to.

Records, specs and logs always stay, and so does the newest intact checkpoint of every trunk and run: a wider
command continues from it, and `evaluate`, `sample` and `export` read it. Links are never followed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.terminal import Column, plural, printable, size, table
from scaling.records.record import StudyRecords, read_study
from scaling.records.storage import Spare, find_old_checkpoints, find_set_aside, freed, remove_spares

CACHE = "~/.cache/scaling"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scaling clean", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", nargs="?", default="runs", help="folder of one study, or of all studies (default runs)")
    add("--checkpoints", action="store_true",
        help="old checkpoints of trunks whose runs all have a record (this is the default)")  # fmt: skip
    add("--cache", nargs="?", const=CACHE, metavar="DIR", help=f"stale token sets (default {CACHE}) "
        "that no finished run beside FOLDER was trained on")  # fmt: skip
    add("--set-aside", action="store_true", help="damaged files in quarantine (then no longer counted), "
        "and checkpoints of trunks that were started over")  # fmt: skip
    add("--days", type=float, default=30.0, help="days without use after which token sets are stale (30)")
    add("--yes", action="store_true", help="delete without asking")
    asked = parser.parse_args(arguments)
    checkpoints = asked.checkpoints or not (asked.cache or asked.set_aside)
    studies, links = find_studies(Path(asked.folder))
    spares: list[Spare] = []
    for study in studies:
        if checkpoints:
            spares += find_old_checkpoints(study)
        if asked.set_aside:
            spares += find_set_aside(study)
    if asked.cache:
        from scaling.data.stale import find_stale_sets

        used = {record.data_fingerprint for study in _siblings(studies) for record in study.records}
        spares += find_stale_sets(Path(asked.cache).expanduser().resolve(), used, asked.days)
    print(printable(describe(spares, links)))
    if not spares or not (asked.yes or _agreed()):
        return 0
    left = remove_spares(spares)
    gone = [spare for spare in spares if not os.path.lexists(spare.path)]
    print(f"deleted {plural(len(gone), 'file')}: {size(freed(gone))} freed")
    for line in left:
        print(printable(f"left, in use: {line}"))
    return 0


def find_studies(folder: Path) -> tuple[list[StudyRecords], list[Path]]:
    """Return the studies in a folder, or the one that it is; and links in it, which are not followed.

    Raises:
        FileNotFoundError: when there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder. Name a study's runs folder, e.g. runs/demo.")
    folder = folder.resolve()
    try:
        return [read_study(folder)], []
    except FileNotFoundError:  # neither plan nor record: a folder of studies
        pass
    studies, links = [], []
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            links.append(path)
        elif path.is_dir():
            try:
                studies.append(read_study(path))
            except FileNotFoundError:
                continue
    return studies, links


def _siblings(studies: Sequence[StudyRecords]) -> Sequence[StudyRecords]:
    """These studies and those beside them: a token set may serve any of the runs folder."""
    if len(studies) == 1 and studies[0].folder.parent.is_dir():
        return [*studies, *find_studies(studies[0].folder.parent)[0]]
    return studies


def describe(spares: Sequence[Spare], links: Sequence[Path] = ()) -> str:
    """One line per folder and kind, and what deleting all of them frees."""
    lines = [f"a link, not followed: {path}" for path in links]
    if not spares:
        return "\n".join([*lines, "nothing to clean"])
    groups: dict[tuple[str, str], list[Spare]] = {}
    for spare in spares:
        groups.setdefault((str(spare.lock.parent), spare.kind), []).append(spare)
    return "\n".join(
        [
            *lines,
            table(
                [
                    Column("where", [where for where, _ in groups], left=True),
                    Column("what", [kind for _, kind in groups], left=True),
                    Column("files", [str(len(found)) for found in groups.values()]),
                    Column("size", [size(sum(s.status.st_size for s in found)) for found in groups.values()]),
                ]
            ),
            "",
            f"deleting {plural(len(spares), 'file')} frees {size(freed(spares))}",
        ]
    )


def _agreed() -> bool:
    if not sys.stdin.isatty():
        print("nothing was deleted; add --yes to delete it")
        return False
    if input("delete them? [y/N] ").strip().lower() in ("y", "yes"):
        return True
    print("nothing was deleted")
    return False
