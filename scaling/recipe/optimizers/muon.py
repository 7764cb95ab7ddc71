"""Muon for matrices, AdamW for the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scaling.models import BASE, Shape
from scaling.recipe.optimizers import adamw
from scaling.recipe.optimizers.optimizer import (
    Optimizer,
    OptimizerOptions,
    Parameter,
    group_parameters,
    without_eps,
)
from scaling.recipe.parametrisation import Factors, Role

if TYPE_CHECKING:
    from scaling.recipe.optimizers.together import Together


def make(parameters: Sequence[Parameter], options: OptimizerOptions) -> Together:
    """Muon for matrices inside blocks; AdamW for embedding, output layer, vectors and other tensors.

    An update is orthogonalised and given the spread that AdamW's have, 0.2 times the root of the larger side,
    so that one rate serves both; `matrix_rate` multiplies that of the matrices.

    Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon); Liu et al. 2025 (arXiv:2502.16982),
    section 2.2, the spread.
    """
    from scaling.recipe.optimizers.stacked_muon import StackedMuon
    from scaling.recipe.optimizers.together import Together

    matrices = [one for one in parameters if _by_muon(one)]
    rest = [one for one in parameters if not _by_muon(one)]
    groups: list[dict[str, Any]] = without_eps(group_parameters(matrices, options, factors))
    for group in groups:
        group["factor"] *= options.settings["matrix_rate"]
    muon = StackedMuon(
        groups,
        lr=options.learning_rate,
        momentum=options.settings["momentum"],
        nesterov=True,
        ns_steps=int(options.settings["newton_schulz_steps"]),
        adjust_lr_fn="match_rms_adamw",
    )
    return Together(muon, adamw.make(rest, options))


def _by_muon(parameter: Parameter) -> bool:
    _, weights, role = parameter
    return role in ("hidden", "residual") and weights.ndim == 2


def factors(parametrisation: str, role: Role, shape: Shape) -> Factors:
    """Factors of a matrix under muP: an update keeps its spectral norm, so the rate goes as 1 / sqrt(width).

    An orthogonalised update of spread 0.2 sqrt(larger side) has a spectral norm that grows as the root of the
    width; muP asks for one that does not, where the sides keep their ratio.

    Source: Yang, Simon & Bernstein 2023 (arXiv:2310.17813), condition 1.
    """
    if parametrisation == "standard":
        return Factors()
    wide = math.sqrt(shape.width / BASE.width)
    return Factors(rate=1 / wide, decay=wide)


OPTIMIZER = Optimizer(
    make,
    settings={"momentum": 0.95, "matrix_rate": 1.0, "newton_schulz_steps": 5.0},
    refused={
        "completep": "its factors of depth were derived for Adam, and no source that we know derives them "
        "for orthogonalised updates."
    },
    refused_parallel={
        "fsdp": "it orthogonalises whole matrices, of which fsdp gives each process a part. "
        "Use training.parallel=ddp."
    },
    torch=(2, 9),
)
