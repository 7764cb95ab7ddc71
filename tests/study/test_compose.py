"""What Hydra is asked for that it has promised nobody, and in one file only."""

from __future__ import annotations

import importlib
import inspect
from functools import reduce
from pathlib import Path

import pytest

from scaling.study.compose import PRIVATE, PlanError, complete, compose_study

ROOT = Path(__file__).parents[2]
ARGUMENTS = {  # as `scaling.study.compose` calls them
    "Callbacks": ["config"],
    "ConfigLoaderImpl._apply_overrides_to_config": ["overrides", "cfg"],
    "ConfigRepository.initialize_sources": ["self", "config_search_path"],
    "ConfigRepository.load_config": ["self", "config_path"],
    "BasicSweeper.split_arguments": ["overrides", "max_batch_size"],
    "BashCompletion._query": ["self", "config_name", "line"],
    "Hydra.format_config_groups": ["self", "predicate"],
    "Hydra.show_cfg": ["self", "config_name", "overrides", "cfg_type", "package", "resolve"],
    "Hydra.show_info": ["self", "info", "config_name", "overrides"],
    "Plugins.register": ["self", "clazz"],
    "Plugins.instantiate_launcher": ["self", "hydra_context", "task_function", "config"],
}


@pytest.mark.parametrize("place", PRIVATE)
def test_hydra_still_has(place: str) -> None:
    """One that fails names what a release of Hydra has moved or given other arguments."""
    module, _, name = place.partition(":")
    found = reduce(getattr, name.split("."), importlib.import_module(module))
    arguments = list(inspect.signature(found).parameters)  # type: ignore[arg-type]
    assert arguments[: len(ARGUMENTS[name])] == ARGUMENTS[name]


def test_one_file_touches_what_is_hydra_s_own() -> None:
    owner = ROOT / "scaling/study/compose.py"
    touching = [
        path
        for wing in ("scaling", "experiments", "analysis")
        for path in (ROOT / wing).rglob("*.py")
        if "hydra._internal" in path.read_text() or "hydra.core.plugins" in path.read_text()
    ]
    assert touching == [owner]
    imported = [line.split()[1] for line in owner.read_text().splitlines() if "from hydra._internal" in line]
    assert set(imported) <= {place.partition(":")[0] for place in PRIVATE}


def test_a_sweeper_that_would_be_ignored_is_refused() -> None:
    overrides = ["model.params=1e4", "budget.tokens=1e5", "hydra.sweeper._target_=my.Sweeper"]
    with pytest.raises(PlanError, match=r"my\.Sweeper is not used here\. There are hydra/sweeper=grid"):
        compose_study(overrides)


def test_completion_knows_the_configuration() -> None:
    assert "study=demo" in complete("study=")
    assert "training.clip=" in complete("training.cl")
