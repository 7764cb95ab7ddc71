"""The argument of commands on finished runs that names what such runs do not bring along: a person's code."""

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
