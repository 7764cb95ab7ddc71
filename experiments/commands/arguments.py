"""What `scaling plan` and `scaling run` accept: overrides, and the flags that people know from Hydra."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import zip_longest

KINDS = ("job", "hydra", "all")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
EPILOG = """Every key, with type, unit and default: docs/reference/config.md. Comma lists are sweeps.
Studies of your own lie in ./conf/study/ or --config-dir, or are named by path: study=./mine.yaml"""


class StudyParser(argparse.ArgumentParser):
    """Parses a command about a study."""

    def __init__(self, verb: str, description: str | None) -> None:
        super().__init__(
            prog=f"scaling {verb}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            usage=f"scaling {verb} study=NAME [KEY=VALUE …] [options]",
        )
        self.add_argument("overrides", nargs="*", help="study=NAME and any Hydra override")
        add = self.add_argument_group("as in Hydra").add_argument
        add("-m", "--multirun", action="store_true", help="accepted and ignored: every study is a multirun")
        add("-cd", "--config-dir", metavar="DIR", help="a further folder to search for study/NAME.yaml")
        add("-cn", "--config-name", metavar="NAME", help="primary config (default: config)")
        add("-c", "--cfg", choices=KINDS, help="print the config of the first job, and exit")
        add("-p", "--package", metavar="KEY", help="with --cfg: only this part, e.g. training")
        add("--resolve", action="store_true", help="with --cfg: resolve interpolations")
        kinds = "|".join(INFO)
        add("-i", "--info", choices=INFO, nargs="?", const="all", metavar=kinds, help="print this, and exit")

    def format_help(self) -> str:
        """The usual, and what may be chosen of each config group."""
        from scaling.study.compose import describe_groups
        from scaling.study.sources import Sources

        return f"{super().format_help()}\nconfig groups:\n{describe_groups(Sources.here())}\n\n{EPILOG}\n"

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse; overrides and flags may be mixed."""
        full = []
        for word, following in zip_longest(words, words[1:], fillvalue=""):
            full.append(word)
            if word in ("-i", "--info") and "=" in following:
                full.append("all")
        asked = self.parse_intermixed_args(full)
        if not asked.overrides and asked.config_name is None and asked.cfg is None and asked.info is None:
            self.error("name a study: study=NAME; --help lists them")
        return asked


def show(asked: argparse.Namespace) -> bool:
    """Print what `--cfg` or `--info` asks for, if they do.

    Raises:
        PlanError: for what cannot be composed.
    """
    if asked.cfg is None and asked.info is None:
        return False
    from scaling.study.compose import show_config, show_info
    from scaling.study.sources import Sources

    sources = Sources.here(asked.config_dir, asked.config_name)
    if asked.cfg is not None:
        show_config(asked.overrides, sources, asked.cfg, asked.package, asked.resolve)
    else:
        show_info(asked.overrides, sources, asked.info)
    return True
