"""Steps of Muon on a CPU: all matrices of one shape in one product."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


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
