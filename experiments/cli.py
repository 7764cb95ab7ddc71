"""`scaling VERB …`: one short module per verb, imported only when needed, so that help is instant."""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from experiments.extras import explain_missing
from experiments.terminal import discard_output, printable

VERBS = {
    "guide": "what to ask, and in what order, and which command answers it",
    "plan": "list every run of a study with its size, cost and learning rate; train nothing",
    "run": "train the runs of a study that have no record yet",
    "new": "write a study file to edit: conf/study/NAME.yaml",
    "status": "which runs are done, diverged, failed or missing, and why",
    "check": "check your own model family against the contract that its runs rely on",
    "import": "make records from a table of runs that other programs trained",
    "evaluate": "measure what finished runs can do: tasks, as trained, compressed or fine-tuned",
    "fit": "fit scaling laws, with intervals and warnings",
    "report": "write one HTML page, figures, and tables in Markdown, LaTeX and CSV",
    "index": "write one page about all studies in a folder: question, answer, forecasts and outcomes",
    "forecast": "predict the loss of a run, or the best N and D for a budget; register it, score it",
    "forecasts": "list registered forecasts, their outcomes, and how well they did overall",
    "compare": "say which recipe scales better, and whether its lead survives at scale",
    "next": "choose the runs to train next for a budget, and write them as a study",
    "autopilot": "train, fit and choose the next runs, round by round, until a budget is spent",
    "watch": "predict where a run in progress will end; raise an alarm if it goes off course",
    "sample": "generate text, fill masks or translate with a finished run",
    "serve": "serve completions from a finished run over HTTP, to this machine only",
    "export": "export a finished run as safetensors; a decoder also for transformers",
    "verify": "recompute published numbers on this machine, as a table",
    "doctor": "check this machine: device, precision, caches, packages; say what to do",
    "clean": "show old checkpoints, stale token caches and quarantined files; delete them if told to",
    "completion": 'print tab completion for bash: eval "$(scaling completion)"',
}
MODULES = {"import": "import_table"}  # of verbs that no module can be called
INTERRUPTED = "scaling: interrupted; everything finished is saved, and the same command continues from here."


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; expected errors are one message on standard error and exit status 2.

    Args:
        arguments: None for those of this program, which Ctrl-C then ends in one sentence from the start on.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if arguments is None:
        signal.signal(signal.SIGINT, _end)
    if not words or words[0] in ("-h", "--help", "help"):
        return _print(usage)
    if words[0] in ("-V", "--version"):
        return _print(lambda: f"scaling-harness {version()}")
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        more = f" Did you mean scaling {near[0]}?" if near else f"\n\n{usage()}"
        print(f"scaling: unknown command {verb!r}.{more}", file=sys.stderr)
        return 2
    return run_verb(verb, rest)


def _print(text: Callable[[], str]) -> int:
    def call() -> int:
        print(text())
        return 0

    return expected_errors("", call)


def run_verb(verb: str, arguments: list[str]) -> int:
    """Call the module of `verb`."""

    def call() -> int:
        code: int = importlib.import_module(f"experiments.commands.{MODULES.get(verb, verb)}").main(arguments)
        return code

    return expected_errors(verb, call)


def expected_errors(verb: str, command: Callable[[], int]) -> int:
    """Turn what a command is expected to raise into a message and an exit status.

    SCALING_TRACEBACK=1 shows where it came from.
    """
    try:
        code = command()
        sys.stdout.flush()  # here a full disk is a message; when Python ends, it is a traceback
        return code
    except BrokenPipeError:
        discard_output()
        return 0
    except ModuleNotFoundError as error:
        if os.environ.get("SCALING_TRACEBACK"):
            raise
        print(f"scaling {verb}: {printable(explain_missing(error))}", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        if os.environ.get("SCALING_TRACEBACK"):
            raise
        print(f"scaling {verb}".rstrip() + f": {printable(str(error))}", file=sys.stderr)
        discard_output()
        return 2
    except RuntimeError as error:
        from scaling.records.storage import LockedError

        if not isinstance(error, LockedError) or os.environ.get("SCALING_TRACEBACK"):
            raise
        print(f"scaling {verb}: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{INTERRUPTED}", file=sys.stderr)
        return 130


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End at once: an exception could come up inside an import, which prints it or swallows it.

    Training takes the signal over and saves first. What else is written is whole files or none.
    """
    cursor = "\x1b[?25h" if os.isatty(2) else ""  # a progress bar hides it
    os.write(2, f"{cursor}\n{INTERRUPTED}\n".encode())
    os._exit(130)


def version() -> str:
    """Of the installed package; of a bare checkout, what its pyproject.toml says."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("scaling-harness")
    except PackageNotFoundError:
        return str(project()["version"])


def project() -> dict[str, Any]:
    """What the pyproject.toml of a checkout says of the package."""
    import tomllib
    from pathlib import Path

    text = Path(__file__).parents[1].joinpath("pyproject.toml").read_text()
    return dict(tomllib.loads(text)["project"])


def usage() -> str:
    """The text of `scaling --help`."""
    lines = ["usage: scaling COMMAND …", ""]
    lines += [f"  {verb:<12}{what}" for verb, what in VERBS.items()]
    lines += [
        "",
        "A study is named with study=NAME and changed with overrides: scaling run study=demo seed=1,2",
        "Its records lie in runs/NAME:                                scaling report runs/demo",
        "Options of a command: scaling COMMAND --help. What to ask first: scaling guide",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
