"""Muon for matrices, AdamW for the rest."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from scaling.models import BASE, Shape
from scaling.recipe.optimizers import adamw
from scaling.recipe.optimizers.optimizer import (
    Optimizer,
    OptimizerOptions,
    Parameter,
    group_parameters,
    without_eps,
)
from scaling.recipe.optimizers.together import Together
from scaling.recipe.parametrisation import Factors, Role


def make(parameters: Sequence[Parameter], options: OptimizerOptions) -> Together:
    """Muon for matrices inside blocks; AdamW for embedding, output layer, vectors and other tensors.

    An update is orthogonalised and given the spread that AdamW's have, 0.2 times the root of the larger side,
    so that one rate serves both; `matrix_rate` multiplies that of the matrices.

    Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon); Liu et al. 2025 (arXiv:2502.16982),
    section 2.2, the spread.
    """
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


class StackedMuon(torch.optim.Muon):
    """PyTorch's Muon, on a CPU in float32 and with all matrices of one shape in one product.

    PyTorch orthogonalises in bfloat16, one matrix after the other; for matrices of width 16 to 80 that takes
    several times as long on a CPU. State, settings and updates are PyTorch's, but for bfloat16's rounding.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all matrices; a closure is not taken."""
        if self.param_groups[0]["params"][0].device.type != "cpu":
            super().step()  # type: ignore[no-untyped-call]
            return
        for group in self.param_groups:
            alike: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
            for weights in group["params"]:
                if weights.grad is not None:
                    alike[weights.shape].append(weights)
            for shape, matrices in alike.items():
                update = orthogonalise(self._directions(matrices, group), group)
                rate = group["lr"] * 0.2 * math.sqrt(max(shape))
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, update.unbind(), alpha=-rate)

    def _directions(self, matrices: list[Tensor], group: dict[str, Any]) -> Tensor:
        """Nesterov's momentum of the gradients, (matrices, rows, columns)."""
        for weights in matrices:
            state = self.state[weights]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(weights)
        gradients = [weights.grad for weights in matrices if weights.grad is not None]
        momenta = [self.state[weights]["momentum_buffer"] for weights in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        return torch.stack(gradients).lerp_(torch.stack(momenta), group["momentum"])


def orthogonalise(x: Tensor, group: dict[str, Any]) -> Tensor:
    """Newton-Schulz iteration of matrices (…, rows, columns): singular values go to between 0.7 and 1.2.

    Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon), with PyTorch's coefficients.
    """
    a, b, c = group["ns_coefficients"]
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=group["eps"])
    for _ in range(group["ns_steps"]):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


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
    torch_class="Muon",
)
