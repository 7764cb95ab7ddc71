"""The parts of the code that train a trunk, by what its spec names."""

from __future__ import annotations

from scaling.data.truth.sources import SOURCES
from scaling.models import FAMILIES, get_family
from scaling.recipe.optimizers import OPTIMIZERS
from scaling.recipe.schedules import SCHEDULES
from scaling.study.code import code_versions, run_roots
from scaling.study.spec import Trunk


def trunk_code(trunk: Trunk, parallel: str = "none") -> dict[str, str]:
    """Return the digests of the code that trains a trunk, as its attempts and records say them."""
    spec = trunk.spec
    source = SOURCES.get(spec.data.corpus)
    return code_versions(
        run_roots(
            family=FAMILIES.origin(spec.family) or get_family(spec.family).module,
            objective=trunk.objective,
            loss=spec.loss,
            corpus=spec.data.corpus,
            source=source.__module__ if source else None,
            sharded=parallel != "none",
            optimizer=OPTIMIZERS[spec.optimizer].make.__module__,
            share=SCHEDULES[spec.schedule_name].share.__module__,
        )
    )
