"""Who may import whom, what the first second of a command loads, and where configs are found."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_import_contracts() -> None:
    # In a process of its own: it switches off the loggers that are there, and other tests read theirs.
    code = "import sys; from importlinter.cli import lint_imports; "
    code += f"sys.exit(lint_imports(config_filename={str(ROOT / 'pyproject.toml')!r}, no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("call", "banned"),
    [
        ("main(['--help'])", {"torch", "wandb", "hydra", "pandas", "matplotlib", "numpy"}),
        ("main(['status', '/nowhere'])", {"torch", "wandb", "hydra", "pandas", "matplotlib"}),
        ("main(['fit', '/nowhere'])", {"torch", "wandb", "hydra", "matplotlib", "jinja2"}),
        ("main(['plan', 'study=nope'])", {"wandb", "pandas"}),
    ],
)
def test_a_command_imports_only_what_it_needs(call: str, banned: set[str]) -> None:
    code = f"import sys; from experiments.cli import main; {call}; print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.rsplit("loaded", 1)[1].split())
    assert not loaded & banned


def test_functions_are_short() -> None:
    """At most 60 lines; ruff's C901 sees to their branches."""
    longest = {
        f"{path.relative_to(ROOT)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for wing in ("scaling", "experiments")
        for path in sorted((ROOT / wing).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in longest.items() if lines > 60} == {}


def test_training_needs_neither_hydra_nor_wandb() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('hydra', 'omegaconf', 'wandb', 'pandas', 'rich')));"
        "import scaling.training.train, scaling.training.throughput, scaling.study.spec"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_verb_is_a_module_with_main_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    from experiments.cli import VERBS, main

    for verb in VERBS:
        with pytest.raises(SystemExit) as stop:
            main([verb, "--help"])
        assert stop.value.code == 0
        assert f"usage: scaling {verb}" in capsys.readouterr().out
