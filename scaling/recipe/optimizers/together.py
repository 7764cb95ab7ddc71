"""Two optimizers that step as one, each with its own part of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Together(torch.optim.Optimizer):
    """The groups of both, in one state: the first's parameters are numbered before the second's."""

    def __init__(self, first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
        self.members = (first, second)
        super().__init__([*first.param_groups, *second.param_groups], {})
        self._share_groups()

    def _share_groups(self) -> None:
        self.param_groups = [group for member in self.members for group in member.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Step both; a closure is not taken."""
        for member in self.members:
            member.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of both as that of one optimizer."""
        state: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        for member in self.members:
            start = sum(len(group["params"]) for group in groups)
            own = member.state_dict()
            state |= {start + number: values for number, values in own["state"].items()}
            groups += [
                {**group, "params": [start + n for n in group["params"]]} for group in own["param_groups"]
            ]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        groups, start, at = state_dict["param_groups"], 0, 0
        for member in self.members:
            own = groups[at : at + len(member.param_groups)]
            count = sum(len(group["params"]) for group in own)
            member.load_state_dict(
                {
                    "state": {
                        number - start: values
                        for number, values in state_dict["state"].items()
                        if start <= number < start + count
                    },
                    "param_groups": [
                        {**group, "params": [n - start for n in group["params"]]} for group in own
                    ],
                }
            )
            start, at = start + count, at + len(own)
        self._share_groups()
