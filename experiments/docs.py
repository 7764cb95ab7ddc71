"""`python -m experiments.docs`: writes docs/reference/, docs/guide.md and llms.txt from the code.

Things are explained where they are defined: in the comment of a config key or of a record's field, in the
help of an option, in the docstring of a law. A test compares the pages with what this would write.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import io
import re
import sys
import textwrap
import tokenize
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from experiments.cli import MODULES, VERBS, expected_errors

ROOT = Path(__file__).parents[1]
HEAD = "<!-- Written by `python -m experiments.docs`; edit the source that it names, not this page. -->\n\n"
YAML = {"None": "null", "True": "true", "False": "false"}
ENVIRONMENT = {  # every variable that the code reads; a test finds those that are missing here
    "WANDB_PROJECT": "W&B project where `project` is null",
    "WANDB_ENTITY": "W&B entity where `entity` is null",
    "WANDB_MODE": "under `tracking=auto`: `online`, `offline`, `dryrun` (offline) or `disabled` (off)",
    "WANDB_DISABLED": "under `tracking=auto`: any value but `false` turns W&B off",
    "WANDB_API_KEY": "key of W&B: studies are mirrored online, and `wandb://` tables can be read",
    "WANDB_BASE_URL": "a W&B server of your own (default `https://api.wandb.ai`)",
    "WANDB_RUN_GROUP": "W&B group of the runs (default: the name of the study)",
    "WANDB_TAGS": "W&B tags, separated by commas, in addition to family and corpus",
    "NETRC": "file in which to look for a W&B login (default `~/.netrc`)",
    "LOCAL_RANK": "set by torchrun: which GPU a process uses",
    "CXX": "C++ compiler that `scaling doctor` looks for (default `g++`, then `clang++`)",
    "SCALING_TRACEBACK": "`1`: an expected error shows where it was raised",
    "SCALING_PUBLIC_DATA": "folder of public tables for `scaling verify` and the benchmarks",
}


CONFIG = """# Configuration

Every key that a study file or the command line may set, as in `training.clip=2`. Counts may be written as
`1e6`. A comma-separated list is a sweep: `seed=0,1,2`. Unknown keys and values of the wrong type are refused
before anything trains. `scaling plan study=demo --cfg job` prints the configuration of a study. Where the
type is a list of words, the value is one of them.
"""
COLUMNS = """# Columns

## Columns of a table of runs

The columns of `runs.csv`, and the names on the left side of a mapping: `--columns "params=Model Size"`. An
alias is read as the column, whatever its case and punctuation, also after a prefix such as `config.` or
`summary.`; the letters N, D, C and L have to match exactly. [Tables](../tables.md) explains how tables are
read.

"""
OTHER_COLUMNS = """
Every other setting of a run's spec is a column of `runs.csv` under its own name, data options with the
prefix `data_`. A held-out set or domain NAME gives `loss_NAME`, `loss_NAME_se`, `weight_NAME`,
`tokens_NAME`, `tokens_unique_NAME` and `epochs_NAME`.

## Columns of truth values

"""
LAWS = """# Laws by name

The laws that `--law` can name. N is `params`, D is `tokens`, U is `tokens_unique`, C is `flops`, and x is a
column that you map; any other input is the column of that name. [Laws](../laws.md) explains how to pin,
profile and add laws.

"""
COMMANDS = """# Commands

Each command can also be started as a module, `python -m experiments.cli plan` for example. Exit status: 0; 1
if something requested is missing or changed, or raises an alarm; 2 for an error; 130 after Ctrl-C.
"""
API = """# Python

The public names; everything else may change without notice. `help(analysis.fit)` prints the arguments and
errors of a function, and the site that `make docs` builds lists them below. [In a notebook](../notebook.md)
shows them in use.
"""
VARIABLES = """# Environment variables

A config key takes precedence over the environment, and the environment over the default.

"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; what is not in backticks is shown as it stands."""
    lines = [head, ["---"] * len(head), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _escaped(cell: str) -> str:
    """A cell with every character that Markdown or HTML would take for its own, links aside."""
    parts = re.split(r"(`[^`]*`|\[[^]]*\]\([^)]*\))", cell.replace("|", "\\|"))
    return "".join(part if i % 2 else re.sub(r"([*<\[])", r"\\\1", part) for i, part in enumerate(parts))


def comments_of(cls: type) -> dict[str, tuple[str, str]]:
    """The unit and meaning of each field of a dataclass, from the comment behind it or in the line above.

    Raises:
        ValueError: for a field without one.
    """
    found: dict[str, tuple[str, str]] = {}
    for base in reversed([base for base in cls.__mro__ if dataclasses.is_dataclass(base)]):
        source = textwrap.dedent(inspect.getsource(base))
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
        code = {n: line.strip() for n, line in enumerate(source.splitlines(), 1)}
        for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            above = node.lineno - 1
            text = comments.get(node.end_lineno or node.lineno)
            if text is None and code.get(above, "").startswith("#"):
                text = comments[above]
            if text is None:
                raise ValueError(
                    f"{base.__module__}.{base.__name__}.{node.target.id}: no comment says what it is."
                )
            found[node.target.id] = parted(text)
    return found


def parted(text: str) -> tuple[str, str]:
    """`[FLOP] of a run` → its unit and the rest."""
    match = re.match(r"\[([\w/]+)\] (.*)", text, re.S)
    return (match[1], match[2]) if match else ("", text)


def kind_of(annotation: Any) -> str:
    """A type as a person would say it."""
    if annotation is Any:
        return "number, list or word"
    options = [a for a in typing.get_args(annotation) if a is not type(None)]
    if type(None) in typing.get_args(annotation):
        return " or ".join([kind_of(options[0]), "null"])
    if typing.get_origin(annotation) is list:
        return f"list of {kind_of(options[0])}s" if options[0] is str else "list"
    if typing.get_origin(annotation) is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.name}`" for member in annotation)
    plain = {float: "number", int: "whole number", str: "text", bool: "true or false"}
    return plain.get(annotation, "section")


def default_of(field: dataclasses.Field[Any]) -> str:
    """The default of a config key as YAML has it."""
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if value is dataclasses.MISSING or value == "???":
        return "required"
    if isinstance(value, Enum):
        value = value.name
    if dataclasses.is_dataclass(value) or value == "":
        return ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text if isinstance(value, str) else YAML.get(text, text)}`"


def config_page() -> str:
    """Every key of the configuration."""
    from scaling.study import config

    top = config.RunConfig
    sections: dict[str, Any] = {"": top}
    sections |= {name: kind for name, kind in typing.get_type_hints(top).items() if isinstance(kind, type)}
    sections |= {
        "training.batch_rule": config.BatchRule,
        "training.tau_rule": config.TauRule,
        "data.mixture.NAME": config.DomainConfig,
        "data.heldout.NAME": config.CorpusConfig,
        "rates.FAMILY": config.RateRule,
    }
    sections = {name: kind for name, kind in sections.items() if dataclasses.is_dataclass(kind)}
    text = CONFIG
    for name, kind in sections.items():
        about = f"{inspect.cleandoc(kind.__doc__ or '')}\n\n" if name else ""
        heading = f"`{name}`" if name else "Top level"
        head = ["key", "type", "unit", "default", "meaning"]
        text += f"\n## {heading}\n\n{about}" + table(head, keys_of(name, kind))
    return text + groups() + launchers()


def keys_of(section: str, kind: Any) -> list[list[str]]:
    """One row per key of a section of the configuration."""
    hints, comments, dot = typing.get_type_hints(kind), comments_of(kind), "." if section else ""
    return [
        [f"`{section}{dot}{f.name}`", kind_of(hints[f.name]), unit, default_of(f), meaning]
        for f in dataclasses.fields(kind)
        for unit, meaning in [comments[f.name]]
    ]


def groups() -> str:
    """What may be chosen of each config group, by the comment that its file begins with."""
    text = "\n## Groups\n\nChosen by name, `optimizer=muon`; a list is a sweep, `model=decoder,lstm`.\n"
    for folder in ("model", "data", "optimizer", "rates", "trainer", "study"):
        rows = []
        for path in sorted((ROOT / "conf" / folder).glob("*.yaml")):
            lines = path.read_text().splitlines()
            about = [line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line]
            question = yaml.safe_load(path.read_text()).get("question")
            what = question or re.split(r":(?: |$)", about[0])[0].rstrip(".") + "."
            rows.append([f"`{folder}={path.stem}`", what])
        text += "\n" + table([folder, "asks" if folder == "study" else ""], rows)
    return text


def launchers() -> str:
    """Settings of launchers and sweepers, from their files."""
    text = "\n## Launchers and sweepers\n\nChosen by name, `hydra/launcher=slurm`, `hydra/sweeper=optuna`.\n"
    for path in sorted((ROOT / "conf/hydra").glob("*/*.yaml")):
        group = path.parent.name
        head = [line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#")]
        rows = []
        for key, value, comment in re.findall(r"^([a-z]\w*): (\S+) *(?:# (.*))?$", path.read_text(), re.M):
            if not comment:
                raise ValueError(f"{path}: no comment says what {key} is.")
            unit, meaning = parted(comment)
            rows.append([f"`hydra.{group}.{key}`", unit, f"`{value}`", meaning])
        text += f"\n### `hydra/{group}={path.stem}`\n\n{' '.join(head)}\n"
        text += "\n" + table(["key", "unit", "default", "meaning"], rows) if rows else ""
    return text


def columns_page() -> str:
    """Every column of a table of runs, and the names that are read as it."""
    from analysis.table import columns, roles, status
    from scaling.records.record import RunRecord

    meanings = comments_of(RunRecord) | {name: parted(text) for name, text in columns.MEANINGS.items()}
    rows = []
    for name in columns.KNOWN:
        unit, meaning = meanings[name]
        aliases = ", ".join(f"`{alias}`" for alias in columns.ALIASES.get(name, ()))
        rows.append([f"`{name}`", unit, meaning, aliases])
    text = COLUMNS
    text += table(["column", "unit", "meaning", "also read from"], rows)
    text += OTHER_COLUMNS
    text += table(
        [
            "a true cell means",
            "columns named by these words, also with `is`, `has` or `run` beside them",
        ],
        [
            [f"the run is {kind}", ", ".join(f"`{word}`" for word in sorted(words))]
            for kind, words in status.FLAGS.items()
        ],
    )
    text += "\n## How a column is interpreted by its name\n\nFor a name not listed, the values decide.\n\n"
    about = {
        roles.QUANTITY: "sizes, budgets and losses",
        roles.INPUT: "inputs of laws beside N and D",
        roles.REPLICATE: "replicates of one recipe: do not separate arms",
        roles.BOOKKEEPING: "bookkeeping: does not separate arms",
        roles.MEASURED: "measurements, if they hold numbers: do not separate arms",
        roles.SHAPE: "what N is made of, if they hold numbers",
        roles.REMARK: "remarks: do not separate arms",
        roles.RECIPE: "recipes: two values never share a law",
        roles.RATE: "settings often swept: the best run of each size and budget is fitted",
        roles.SETTING: "other settings: separate arms unless they follow from N and D",
    }
    return text + table(
        ["role", "names"], [[about[role], " ".join(sorted(names))] for role, names in roles._EXACT.items()]
    )


def laws_page() -> str:
    """Every registered law."""
    from analysis.laws.registry import FITTED, law_named, law_names

    rows, sources = [], []
    for name in law_names():
        law = law_named(name)
        parameters = ", ".join(f"`{f.name}`" for f in dataclasses.fields(law))
        rows.append(
            [f"[`{name}`](#{name.replace('_', '-')})", f"`{law.formula}`", ", ".join(law.inputs), parameters]
        )
        doc = inspect.cleandoc(law.__doc__ or "")
        doc = re.sub(r"(?m)^(Source|Args|Raises):", r"**\1:**", doc)
        module = inspect.cleandoc(sys.modules[law.__module__].__doc__ or "").split("\n")[0]
        where = f"[{law.__module__}](../../{law.__module__.replace('.', '/')}.py)"
        sources.append(f"## {name.replace('_', ' ')}\n\n{module}\n\n{doc}\n\nIn {where}.\n")
    fitted = [
        [", ".join(inputs), ", ".join(f"`{name}`" for name in names)] for inputs, names in FITTED.items()
    ]
    return (
        LAWS
        + table(["name", "equation", "a function of", "parameters"], rows)
        + "\nFitted when no law is named:\n\n"
        + table(["inputs in the table", "laws"], fitted)
        + "\n"
        + "\n".join(sources)
    )


class _Parser(Exception):
    """Carries the parser of a command out of it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


@contextmanager
def _unparsed() -> Iterator[None]:
    """Commands raise their parser when they come to parse."""

    def raising(self: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
        raise _Parser(self)

    kept = {name: getattr(argparse.ArgumentParser, name) for name in ("parse_args", "parse_intermixed_args")}
    try:
        for name in kept:
            setattr(argparse.ArgumentParser, name, raising)
        yield
    finally:
        for name, method in kept.items():
            setattr(argparse.ArgumentParser, name, method)


def parser_of(verb: str) -> argparse.ArgumentParser:
    """The parser of a verb of `scaling`."""
    module = importlib.import_module(f"experiments.commands.{MODULES.get(verb, verb)}")
    with _unparsed():
        try:
            module.main(["study=smoke"])
        except _Parser as found:
            return found.parser
    raise ValueError(f"scaling {verb}: takes no arguments.")


def commands_page() -> str:
    """Every verb and every option of it."""
    text = COMMANDS
    text += "\n" + table(
        ["command", ""], [[f"[`scaling {verb}`](#scaling-{verb})", what] for verb, what in VERBS.items()]
    )
    for verb in VERBS:
        parser = parser_of(verb)
        about = "\n\n".join(" ".join(part.split()) for part in (parser.description or "").split("\n\n"))
        rows = []
        for action in parser._actions:
            if action.dest == "help":
                continue
            name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
            kind = "" if action.nargs == 0 else _metavar(action)
            said = (action.help or "") % vars(action) if "%(" in (action.help or "") else action.help or ""
            rows.append([f"`{name}{f' {kind}' if action.option_strings and kind else ''}`", said])
        text += f"\n## scaling {verb}\n\n{about}\n\n" + table(["argument", "meaning"], rows)
    return text


def _metavar(action: argparse.Action) -> str:
    if action.choices is not None and action.metavar is None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    name = str(action.metavar or action.dest.upper())
    return f"{name} …" if action.nargs == "+" else f"[{name}]" if action.nargs == "?" else name


def environment_page() -> str:
    """Every environment variable that the code reads."""
    rows = [[f"`{name}`", meaning] for name, meaning in ENVIRONMENT.items()]
    return VARIABLES + table(["variable", "meaning"], rows)


def api_page() -> str:
    """The public names of Python, with what each is in a line."""
    text = API
    for package in ("analysis", "scaling"):
        module = importlib.import_module(package)
        rows = []
        for name in sorted(module.__all__):
            about = inspect.cleandoc(getattr(module, name).__doc__ or "")
            rows.append([f"`{package}.{name}`", " ".join(about.split("\n\n")[0].split())])
        text += f"\n## {package}\n\n" + table(["name", "what it is"], rows)
    return text


def variables_read() -> set[str]:
    """The environment variables that the source reads by name."""
    files = [path for wing in ("scaling", "analysis", "experiments") for path in (ROOT / wing).rglob("*.py")]
    reading = re.compile(r"""(?:environ(?:\.get)?|getenv)[\[(]["'](\w+)["'](?!\] = )""")
    return {name for path in files for name in reading.findall(path.read_text())}


def pages() -> dict[str, Callable[[], str]]:
    """Each page that is written: its path in the repository, and what makes it."""
    from experiments.commands import guide

    return {
        "docs/reference/config.md": config_page,
        "docs/reference/columns.md": columns_page,
        "docs/reference/laws.md": laws_page,
        "docs/reference/commands.md": commands_page,
        "docs/reference/environment.md": environment_page,
        "docs/reference/api.md": api_page,
        "docs/guide.md": guide.page,
    }


def write() -> list[Path]:
    """Write every page that differs from what the code says; returns those."""
    from experiments.commands import guide

    changed = []
    texts = {name: HEAD + make() for name, make in pages().items()}
    texts["llms.txt"] = guide.llms(ROOT)
    for name, text in texts.items():
        path = ROOT / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed.append(path)
    return changed


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.docs", description=__doc__)
    parser.parse_args(arguments)
    for path in write():
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(expected_errors("docs", lambda: main(sys.argv[1:])))
