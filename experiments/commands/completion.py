"""`eval "$(scaling completion)"`: bash completes commands, config keys, groups and folders."""

from __future__ import annotations

import argparse

from experiments.cli import VERBS

SCRIPT = """_scaling() {
    COMPREPLY=($(scaling completion --line "${COMP_LINE:0:$COMP_POINT}" 2>/dev/null))
    [[ ${COMPREPLY[0]} == *= || ${COMPREPLY[0]} == *. ]] && compopt -o nospace
    return 0
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o default -F _scaling scaling
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling completion", description=__doc__)
    parser.add_argument("--line", help="complete this command line instead: one candidate per line")
    asked = parser.parse_args(arguments)
    print(SCRIPT if asked.line is None else "\n".join(candidates(asked.line)), end="\n" if asked.line else "")
    return 0


def candidates(line: str) -> list[str]:
    """What may follow `line`: verbs first; after `plan` and `run`, what Hydra knows of the configuration."""
    words = line.split(" ")
    if len(words) <= 2:
        return [verb for verb in VERBS if verb.startswith(words[-1])]
    if words[1] not in ("plan", "run"):
        return []  # folders: bash's own completion
    from scaling.study.compose import complete  # Hydra takes a while to import: verbs need none of it

    return complete(" ".join(words[2:]))
