"""Hand a checked plan to Hydra's multirun: one job is one trunk with its cooldowns."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence

import hydra
from omegaconf import DictConfig, OmegaConf

from scaling.data.dataset import Dataset
from scaling.records.storage import LockedError
from scaling.study.compose import config_folder
from scaling.study.config import RunConfig, register
from scaling.study.decide import decide
from scaling.study.plan import Plan, open_corpus
from scaling.training.observer import Observer
from scaling.training.train import train_trunk

logger = logging.getLogger(__name__)


def launch(plan: Plan, overrides: Sequence[str], observer: Observer) -> None:
    """Train every trunk of `plan` through the launcher that Hydra is configured with.

    A trunk that fails has noted it in its folder and does not stop the others; what is missing is read from
    the records afterwards, never from here.
    """
    trunks = {trunk.spec.id: trunk for trunk in plan.trunks}
    handled: set[str] = set()
    corpora: dict[str, Dataset] = {}

    def job(composed: DictConfig) -> None:
        config = OmegaConf.to_object(composed)
        assert isinstance(config, RunConfig)
        key = f"{config.data} {config.cache}"
        if key not in corpora:
            corpora[key] = open_corpus(config.data, config.cache)
        for decided in decide(config, corpora[key]):
            trunk = trunks[decided.spec.id]  # with every budget that any job asks of it
            if trunk.spec.id in handled:
                continue
            handled.add(trunk.spec.id)
            try:
                train_trunk(
                    trunk,
                    corpora[key],
                    plan.folder,
                    study=plan.name,
                    device=config.training.device,
                    threads=config.training.threads,
                    observer=observer,
                )
            except LockedError as error:
                logger.warning("%s: another process trains it: %s", trunk.spec.id, error)
            except (OSError, RuntimeError, MemoryError, ValueError) as error:
                logger.error("%s failed: %s", trunk.spec.id, error)

    run_job(job, overrides)


def run_job(job: Callable[[DictConfig], None], overrides: Sequence[str]) -> None:
    """Call `job` for every composed config of a sweep, as a Hydra application does."""
    register()
    application = hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")(job)
    before = sys.argv
    sys.argv = ["scaling", *overrides]
    try:
        application()
    finally:
        sys.argv = before
