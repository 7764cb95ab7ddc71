"""What an optimizer is to the harness: a function that makes it, and what the planner must know of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

from scaling.models import BASE, Shape
from scaling.recipe.parametrisation import Factors, Role, factors

if TYPE_CHECKING:
    import torch
    from torch import nn

EPSILON = 1e-8

Parameter: TypeAlias = "tuple[str, nn.Parameter, Role]"  # name, weights, what they are in the model


@dataclass(frozen=True)
class OptimizerOptions:
    """What an optimizer is asked for.

    Attributes:
        learning_rate: peak; the trainer sets the rate of every step.
        settings: every setting of the optimizer, defaults included.
        parametrisation: standard, or one that the optimizer does not refuse.
        shape: of the model, for the parametrisation.
    """

    learning_rate: float
    weight_decay: float
    beta1: float = 0.9
    beta2: float = 0.95
    settings: Mapping[str, float] = field(default_factory=dict)
    parametrisation: str = "standard"
    shape: Shape = BASE


Make: TypeAlias = "Callable[[Sequence[Parameter], OptimizerOptions], torch.optim.Optimizer]"


@dataclass(frozen=True)
class Optimizer:
    """An optimizer: how it is made, its settings, and what it refuses.

    Attributes:
        make: makes it for the parameters of a model. A group's `factor`, 1 where there is none, multiplies
            the rate of every step. All that a step depends on must be in its `state_dict`.
        settings: its own settings with their defaults; numbers.
        unused: keys of `training` that it has no use for, and that are refused where they are set.
        decoupled: whether a step multiplies the weights by 1 - rate * decay, so that tau has a meaning.
        refused: parametrisations that it cannot take, each with the reason in a sentence.
        refused_parallel: the same for `training.parallel`.
        averages: whether a model is evaluated at other weights than those that are trained. It then has
            `eval()` and `train()`, which put these weights into the model and take them out again.
        package: a package that it needs besides PyTorch, which an extra of the same name installs.
        torch: the first version of PyTorch that has it, where older ones that the harness takes lack it.
    """

    make: Make
    settings: Mapping[str, float] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    decoupled: bool = True
    refused: Mapping[str, str] = field(default_factory=dict)
    refused_parallel: Mapping[str, str] = field(default_factory=dict)
    averages: bool = False
    package: str = ""
    torch: tuple[int, int] | None = None

    def check(self, name: str, parametrisation: str, parallel: str) -> None:
        """
        Raises:
            ValueError: for a parametrisation or a way of sharing a model that it cannot take.
            ModuleNotFoundError: where a package is missing, naming the extra that installs it.
        """
        if parametrisation in self.refused:
            raise ValueError(
                f"training.parametrisation: {parametrisation} is not for optimizer {name!r}: "
                f"{self.refused[parametrisation]} Use training.parametrisation=standard."
            )
        if parallel in self.refused_parallel:
            raise ValueError(
                f"training.parallel: {parallel} is not for optimizer {name!r}: "
                f"{self.refused_parallel[parallel]}"
            )
        if self.torch and tuple(map(int, _pytorch().split(".")[:2])) < self.torch:
            needed = ".".join(map(str, self.torch))
            raise ModuleNotFoundError(
                f"optimizer {name!r} needs PyTorch {needed}, and this is {_pytorch()}: install a newer one, "
                "or take optimizer=adamw."
            )
        if self.package and importlib.util.find_spec(self.package) is None:
            raise ModuleNotFoundError(
                f"optimizer {name!r} needs the package {self.package}: pip install '.[{self.package}]'."
            )


@cache
def _pytorch() -> str:
    """The version of PyTorch that is installed; not imported, which takes seconds."""
    return version("torch")


def group_parameters(
    parameters: Iterable[Parameter],
    options: OptimizerOptions,
    by_role: Callable[[str, Role, Shape], Factors] = factors,
) -> list[dict[str, Any]]:
    """Group parameters by their factors; matrices decay, vectors do not.

    Args:
        by_role: factors of a role under a parametrisation at a shape; those of Adam by default.

    Returns:
        Groups with `params`, `weight_decay`, `eps`, and the `factor` that multiplies the rate.
    """
    groups: dict[tuple[bool, Factors], list[nn.Parameter]] = {}
    for _, parameter, role in parameters:
        by = by_role(options.parametrisation, role, options.shape)
        groups.setdefault((role != "vector", by), []).append(parameter)
    return [
        {
            "params": members,
            "weight_decay": options.weight_decay * by.decay if decays else 0.0,
            "eps": EPSILON * by.epsilon,
            "factor": by.rate,
        }
        for (decays, by), members in sorted(groups.items(), key=lambda item: not item[0][0])
    ]


def without_eps(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups for an optimizer that does not divide by a root of squares."""
    return [{key: value for key, value in group.items() if key != "eps"} for group in groups]
