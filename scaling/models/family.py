"""What a model family is: a way to build it, a ladder of shapes, and what it counts as."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from scaling.models.sizes import Counts, Shape, Size

if TYPE_CHECKING:
    from torch import nn

TAKEN = frozenset({"family", "params", "width", "depth"})  # keys of `model` that every family has

Counting = Callable[[Shape, int, int], Counts]


@dataclass(frozen=True, eq=False, kw_only=True)
class Family:
    """A family: models that differ in size alone, and what the harness needs to know of them.

    Args:
        name: as in `model.family=NAME`.
        objective: what it is trained for: causal, masked, seq2seq, or one that was registered.
        build: (shape, vocab, context) → a module that maps ids (batch, tokens) to logits (batch, tokens,
            vocab). It works on the meta device, and draws its weights from PyTorch's generator. If the module
            has `features(ids)` and a linear `head` without bias, the loss is fused with the output layer; if
            it has `auxiliary_loss()`, that is added for each token.
        ladder: shapes from small to large; `model.params` chooses the nearest. A pair is width and depth.
        counts: a closed form, checked against the built model before anything trains; without one, the built
            model is counted.
        sizes: dimensions beside width and depth, with their defaults: `{"experts": 4}` gives
            `model.experts=8`, and `shape.experts` in `build`. A tuple lists what is allowed, the default
            first.
        options: the same for ablations, which at their defaults are not part of an id.

    >>> import scaling, torch
    >>> def build(shape, vocab, context):
    ...     layers = torch.nn.Embedding(vocab, shape.width), torch.nn.Linear(shape.width, vocab)
    ...     return torch.nn.Sequential(*layers)
    >>> bigram = scaling.Family(name="bigram", build=build, ladder=[(16, 1), (64, 1)])
    >>> bigram.counts(bigram.ladder[0], vocab=100, context=8).params_total
    3300
    """

    name: str
    build: Callable[[Shape, int, int], nn.Module]
    ladder: Sequence[Any]
    objective: str = "causal"
    counts: Any = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        taken = sorted(TAKEN & {*self.sizes, *self.options})
        if taken:
            raise ValueError(
                f"family {self.name!r}: {taken[0]} cannot be a size of its own; every family has it."
            )
        if self.counts is None:
            object.__setattr__(self, "counts", self._count_built)
        shapes = [s if isinstance(s, Shape) else Shape(*s) for s in self.ladder]
        if not shapes:
            raise ValueError(
                f"family {self.name!r}: its ladder is empty; give shapes, e.g. [(16, 2), (32, 2)]."
            )
        object.__setattr__(self, "ladder", [self.shape(s.width, s.depth, **dict(s.extra)) for s in shapes])

    @property
    def closed_form(self) -> bool:
        """Whether it says itself what it counts as."""
        return getattr(self.counts, "__func__", None) is not Family._count_built

    @property
    def module(self) -> str:
        """The module whose code builds its models."""
        build: Any = self.build
        return str(getattr(build, "func", build).__module__)  # of a partial, that of its function

    @property
    def builtin(self) -> bool:
        """Whether it is one of this package's."""
        return self.module.startswith("scaling.models.")

    def make(self, shape: Shape, vocab: int, context: int) -> nn.Module:
        """Build a model to train; one from outside carries the `roles` of its parameters."""
        model = self.build(shape, vocab, context)
        if not self.builtin:
            from scaling.models.counting import inspect_built

            model.roles = inspect_built(self, shape, vocab, context).roles  # type: ignore[assignment]
        return model

    def shape(self, width: int, depth: int, **given: Any) -> Shape:
        """The shape with every size of this family, and the options that are not at their default.

        Raises:
            ValueError: for a size that it does not have, or a value that it cannot take.
        """
        known = {**self.sizes, **self.options}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f" Did you mean {near[0]}?" if near else ""
                has = ", ".join(["width", "depth", *known])
                raise ValueError(f"model.{name}: family {self.name!r} has no such size.{hint} It has {has}.")
        values = {name: self._value(name, known[name], given.get(name)) for name in known}
        for name, default in self.options.items():
            if values[name] == (default[0] if isinstance(default, tuple) else default):
                del values[name]
        return Shape(width, depth, **values)

    def _value(self, name: str, default: Any, given: Any) -> Size:
        choices = default if isinstance(default, tuple) else ()
        default = default[0] if choices else default
        if given is None:
            found: Size = default
            return found
        if isinstance(default, float) and isinstance(given, int) and not isinstance(given, bool):
            given = float(given)
        whole = isinstance(default, int | None) and not isinstance(default, bool)
        if whole and isinstance(given, float) and given == int(given):
            given = int(given)
        kind = int if whole else type(default)
        if type(given) is not kind or (choices and given not in choices):
            wanted = (
                f"one of {', '.join(map(str, choices))}" if choices else f"a value of type {kind.__name__}"
            )
            raise ValueError(f"model.{name}: family {self.name!r} takes {wanted}; got {given!r}.")
        return given

    def params(self, shape: Shape) -> int:
        """Non-embedding parameters of a shape."""
        if self.closed_form:
            found: int = self.counts(shape, 1, 1).params
            return found
        from scaling.models.counting import count_params

        return count_params(self, shape)

    def _count_built(self, shape: Shape, vocab: int, context: int) -> Counts:
        from scaling.models.counting import count_built  # PyTorch takes seconds to import

        return count_built(self, shape, vocab, context)

    def shape_for(self, params: float, tolerance: float = 0.15, **given: Any) -> Shape:
        """The shape of the ladder whose non-embedding parameters come closest, by ratio.

        Args:
            given: sizes and options that all shapes shall have.

        Raises:
            ValueError: when the closest is further away than `tolerance`, naming it and the ladder's ends.
        """
        if not (math.isfinite(params) and params > 0):
            raise ValueError(f"model.params: a positive number of parameters is needed; got {params!r}.")
        sizes = _ladder_sizes(self, tuple(sorted(given.items())))
        nearest = min(sizes, key=lambda shape: abs(math.log(sizes[shape] / params)))
        if abs(sizes[nearest] / params - 1) > tolerance:
            raise ValueError(
                f"family {self.name!r} has no shape within {tolerance:.0%} of {params:,.0f} parameters; "
                f"the nearest is {sizes[nearest]:,}. "
                f"Its ladder goes from {min(sizes.values()):,} to {max(sizes.values()):,}."
            )
        return nearest

    def check_counts(self, shape: Shape, vocab: int, context: int) -> None:
        """Hold the closed form, which plans and records carry, to the built model.

        Raises:
            ValueError: naming both counts. The family's `counts` is then wrong: nothing may be trained.
        """
        closed = self.counts(shape, vocab, context)
        built = self._count_built(shape, vocab, context)
        unseen = {"params_active": closed.params_active}  # a parameter does not show whether a token skips it
        if not self.builtin:
            unseen |= {"params_encoder": closed.params_encoder, "params_decoder": closed.params_decoder}
        found = Counts(**{**vars(built), **unseen})
        if closed != found:
            raise ValueError(
                f"family {self.name!r} at {shape}: its closed form says {closed}, built: {found}."
            )


@cache
def _ladder_sizes(family: Family, given: tuple[tuple[str, Any], ...]) -> dict[Shape, int]:
    """The ladder with these sizes, and what each shape counts; shapes that cannot have them are left out.

    Raises:
        ValueError: where none can.
    """
    found: dict[Shape, int] = {}
    failed: ValueError | None = None
    for shape in family.ladder:
        try:
            shape = family.shape(shape.width, shape.depth, **{**dict(shape.extra), **dict(given)})
            found[shape] = family.params(shape)
        except ValueError as error:
            failed = error
    if not found:
        assert failed is not None
        raise failed
    return found
