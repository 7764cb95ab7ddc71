"""Hydra's `compose` with a memory: what two tests choose alike is composed once, a quarter of a second each.

The values that a test sets are then set in a copy, as Hydra sets them. Of errors, and of configs that lie
elsewhere than in `conf/`, nothing is remembered: there Hydra composes.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra import compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, open_dict

from scaling.study import compose as ours
from scaling.study.config import _outside, schema
from scaling.study.sources import config_folder

_made: dict[tuple[Any, ...], DictConfig] = {}


def remembered(name: str, overrides: list[str], return_hydra_config: bool = False) -> DictConfig:
    """As `hydra.compose`."""
    with suppress(Exception):  # of any kind: Hydra says below what is wrong
        return _from_memory(name, overrides, return_hydra_config)
    return compose(name, overrides, return_hydra_config=return_hydra_config)


def _from_memory(name: str, overrides: list[str], whole: bool) -> DictConfig:
    loader = GlobalHydra.instance().config_loader()
    folders = [Path(source.path) for source in loader.get_sources() if source.scheme() in ("file", "onefile")]
    if folders != [config_folder()]:
        raise LookupError
    parsed = [ours._parse_line(line) for line in overrides]
    values = [o for o in parsed if _sets_a_value(o)]
    chosen = [str(o.input_line) for o in parsed if not _sets_a_value(o)]
    key = (name, whole, schema(), str(_outside()), str(Path.cwd()), *chosen)
    if key not in _made:
        _made[key] = compose(name, chosen, return_hydra_config=whole)
    config = copy.deepcopy(_made[key])
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    if whole:
        said = [o for o in parsed if not o.is_hydra_override()]
        words = config.hydra.job.config.override_dirname
        with open_dict(config.hydra):
            config.hydra.overrides.task = [o.input_line for o in said]
            config.hydra.job.override_dirname = get_overrides_dirname(
                said, exclude_keys=words.exclude_keys, item_sep=words.item_sep, kv_sep=words.kv_sep
            )
    return config


def _sets_a_value(override: Any) -> bool:
    option = isinstance(override.value(), str) and override.key_or_group in ours.SECTIONS
    return ours._plain(override) and not option
