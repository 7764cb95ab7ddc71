"""Every family by name. Adding one of ours: its file, counts and entry here; yours: `scaling.register`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib import import_module
from typing import Any

from scaling.models import counts
from scaling.models.family import Family
from scaling.models.options import OPTIONS
from scaling.models.sizes import Shape, Size
from scaling.registry import Registry


def _built_by(module: str, model: str) -> Callable[[Shape, int, int], Any]:
    """A function that builds a model by this class of a module, which is imported then.

    What a study will train is said by numbers alone, and PyTorch takes seconds to import.
    """

    def build(shape: Shape, vocab: int, context: int) -> Any:
        return getattr(import_module(module), model)(shape, vocab, context)

    build.__module__ = module
    return build


OURS = (
    Family(
        name="decoder",
        ladder=counts.transformer_ladder(),
        counts=counts.transformer,
        build=_built_by("scaling.models.decoder", "Decoder"),
        options=OPTIONS,
    ),
    Family(
        name="lstm",
        ladder=[Shape(width, depth=2) for width in counts.widths(16, 8192)],
        counts=counts.lstm,
        build=_built_by("scaling.models.lstm", "Lstm"),
    ),
    Family(
        name="feedforward",
        ladder=[Shape(width, depth=2) for width in counts.widths(16, 8192)],
        counts=counts.feedforward,
        build=_built_by("scaling.models.feedforward", "Feedforward"),
    ),
    Family(
        name="masked",
        objective="masked",
        ladder=counts.transformer_ladder(),
        counts=partial(counts.transformer, extra=1),
        build=_built_by("scaling.models.masked", "Masked"),
        options=OPTIONS,
    ),
    Family(
        name="encoder_decoder",
        objective="seq2seq",
        ladder=counts.encoder_decoder_ladder(),
        counts=counts.encoder_decoder,
        build=_built_by("scaling.models.encoder_decoder", "EncoderDecoder"),
    ),
    Family(
        name="moe",
        ladder=counts.transformer_ladder(8),
        counts=counts.moe,
        build=_built_by("scaling.models.moe", "Moe"),
        sizes={"experts": 8, "top_k": 2, "shared": 1, "balance": 0.01},
        options=OPTIONS,
    ),
)
FAMILIES: Registry[Family] = Registry("family", "model.family", {family.name: family for family in OURS})


def get_family(name: str) -> Family:
    """The family of this name.

    Raises:
        ValueError: naming the known families.
    """
    return FAMILIES[name]


def shape_of(family: str, width: int, depth: int, sizes: Iterable[tuple[str, Size]] = ()) -> Shape:
    """The whole shape of what a spec or a record names."""
    return get_family(family).shape(width, depth, **dict(sizes))


def check_counts(family: str, shape: Shape, vocab: int, context: int) -> None:
    """Hold the closed form of a family to the built model, once per process; see `Family.check_counts`."""
    _check(get_family(family), shape, vocab, context)


@cache
def _check(family: Family, shape: Shape, vocab: int, context: int) -> None:
    family.check_counts(shape, vocab, context)
