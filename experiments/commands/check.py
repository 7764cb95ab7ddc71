"""`scaling check my_model.py`: whether a family keeps the contract that its runs rely on, line by line."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from scaling.study.extensions import load_extensions, module_of


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling check", description=__doc__)
    parser.add_argument(
        "files", nargs="*", metavar="FILE.py", help="Python files that register families; they are run"
    )
    parser.add_argument(
        "--family", metavar="NAME", help="check only this family; without a file, a built-in one"
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="time limit of the learning test (default 30)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    if not asked.files and asked.family is None:
        parser.error("name a file, or --family NAME")
    names = find(asked.files, asked.family)
    from scaling.models import get_family  # PyTorch takes seconds to import: help does without
    from scaling.training.contract import check_family

    failed, found = 0, {}
    for name in names:
        checks = []
        if not asked.json:
            print(f"{name}:")
        for check in check_family(get_family(name), asked.seconds):
            checks.append(asdict(check))
            failed += not check.ok
            if not asked.json:
                print(f"  {'ok    ' if check.ok else 'FAILED'}  {check.name:<12} {check.says}", flush=True)
                if check.cure:
                    print(f"{'':<23}{check.cure}", flush=True)
        found[name] = checks
    if asked.json:
        print(json.dumps(found, indent=1))
    elif failed:
        print(f"{failed} of {sum(map(len, found.values()))} checks failed; train nothing with it yet.")
    else:
        print(f"next: scaling run model.family={names[0]} … extensions=[{', '.join(asked.files)}]")
    return int(bool(failed))


def find(files: list[str], family: str | None) -> list[str]:
    """The names of the families to check.

    Raises:
        ValueError: for files that cannot be run or register no family, or a family that is not there.
    """
    paths = load_extensions(files)
    from scaling.models import FAMILIES, get_family

    if family is not None:
        return [get_family(family).name]
    modules = {module_of(path) for path in paths}
    names = [name for name in FAMILIES if FAMILIES.origin(name) in modules]
    if not names:
        raise ValueError(
            f"{', '.join(str(Path(file)) for file in files)}: registers no family. End it with "
            "scaling.register(scaling.Family(name=…, build=build, ladder=[(16, 2), …]))."
        )
    return names
