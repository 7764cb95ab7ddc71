"""`eval "$(scaling completion)"`: bash completes commands, config keys, groups and folders."""

from __future__ import annotations

import argparse
import sys

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
    parser.add_argument("--line", help="complete this command line instead: one candidate a line")
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
    from hydra import initialize_config_dir
    from hydra._internal.core_plugins.bash_completion import BashCompletion
    from hydra.core.global_hydra import GlobalHydra

    from scaling.study.compose import config_folder
    from scaling.study.config import register

    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3", job_name="scaling"):
        plugin = BashCompletion(GlobalHydra.instance().config_loader())
        return sorted(plugin._query(config_name="config", line=" ".join(words[2:])))


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("completion", sys.argv[1:]))
