"""`--extension`, for commands on finished runs: it names the user's code, which such runs do not contain."""

from __future__ import annotations

import argparse


def add_extension(parser: argparse.ArgumentParser, what: str = "the family of the run") -> None:
    """`--extension FILE.py`, for `load_extensions`; may be given several times."""
    parser.add_argument(
        "--extension",
        action="append",
        default=[],
        metavar="FILE.py",
        help=f"a Python file of yours that registers {what}; it is run",
    )
