"""N of a stranger's model: built on the meta device, where nothing is allocated, and counted."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scaling.models.sizes import Shape
from scaling.study.extensions import load_extensions, module_of

if TYPE_CHECKING:
    from torch import nn

PATTERN = re.compile(r"(?P<file>\S+\.py):(?P<function>\w+)")


@dataclass(frozen=True)
class _Model:
    """What counting asks of a family: a function of the user's, with vocabulary and context left open."""

    name: str
    function: Callable[..., Any] = field(compare=False)
    arguments: tuple[tuple[str, Any], ...]
    objective: str = "causal"

    def build(self, shape: Shape, vocab: int, context: int) -> nn.Module:
        from torch import nn

        taken = inspect.signature(self.function).parameters
        asked = {**dict(self.arguments), "vocab": vocab, "context": context}
        model = self.function(**{name: value for name, value in asked.items() if name in taken})
        if not isinstance(model, nn.Module):
            raise TypeError(f"it returned {type(model).__name__}, not a torch.nn.Module")
        return model


def count_model(text: str, known: Mapping[str, Any]) -> int:
    """Return the non-embedding parameters of the model that a function of a file builds.

    Args:
        text: `model.py:build`, relative to the working directory. The function gets those of `known` that it
            has parameters for, and must have `vocab`: what changes with it is embedding and output layer.

    Raises:
        ValueError: for a file or function that is not there, or that builds no model from these names.
    """
    from scaling.models.counting import count_params

    found = PATTERN.fullmatch(text)
    assert found is not None
    (path,) = load_extensions([found["file"]])
    function = getattr(sys.modules[module_of(path)], found["function"], None)
    if not callable(function):
        raise ValueError(f"trainer.params: {found['file']} has no function {found['function']!r}.")
    parameters = inspect.signature(function).parameters
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [n for n, p in parameters.items() if p.default is p.empty and p.kind not in several]
    missing = [name for name in needed if name not in known]
    if "vocab" not in parameters or missing:
        what = f"{missing[0]!r} is not a name of a run" if missing else "it has no parameter 'vocab'"
        raise ValueError(
            f"trainer.params: {text}: {what}. The function is called with the names of a run that it has "
            f"parameters for, vocab among them; there are {', '.join(sorted(known))}."
        )
    arguments = tuple(sorted((name, known[name]) for name in parameters if name in known))
    return count_params(_Model(text, function, arguments), Shape(0, 0))
