"""Parameters, FLOPs and roles, found on the built model on the meta device, where nothing is allocated.

Only there does PyTorch's counter see every matrix product. On the CPU it does not look inside fused
kernels and returns too little in silence: for attention it returns 0.

What a parameter is for is found by shape and use: of another vocabulary, the parameters that change are those
of embedding and output layer; a table that is looked up is an embedding, a matrix in a product is an output.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from scaling.models.settings import own_settings
from scaling.models.sizes import Counts, Role, Shape, input_lengths

OTHER = 64  # added to vocabulary or context, to see which parameters change


class Builds(Protocol):
    """What is needed of a family."""

    def __hash__(self) -> int: ...

    @property
    def name(self) -> str: ...
    @property
    def objective(self) -> str: ...
    @property
    def build(self) -> Callable[[Shape, int, int], nn.Module]: ...


@dataclass(frozen=True)
class Built:
    """What was found on a model."""

    counts: Counts
    roles: Mapping[str, Role]  # by the parameter's name


def count_built(family: Builds, shape: Shape, vocab: int, context: int) -> Counts:
    """Count one sequence through the model that `family.build` returns.

    Raises:
        ValueError: for a model that cannot be built or called on the meta device.
    """
    return inspect_built(family, shape, vocab, context).counts


@cache
def count_params(family: Builds, shape: Shape) -> int:
    """Non-embedding parameters alone: no call of the model where it has no table of positions.

    Raises:
        ValueError: for a model that cannot be built or called on the meta device.
    """
    vocab = context = 16
    sizes = dict(build_meta(family, shape, vocab, context).named_parameters())
    vocabs = _changed(sizes, build_meta(family, shape, vocab + OTHER, context))
    if _changed(sizes, build_meta(family, shape, vocab, context + OTHER)) - vocabs:
        return inspect_built(family, shape, vocab, context).counts.params
    return sum(p.numel() for name, p in sizes.items() if name not in vocabs)


@cache
def inspect_built(family: Builds, shape: Shape, vocab: int, context: int) -> Built:
    """Count as `count_built` does, and find the role of every parameter.

    Raises:
        ValueError: for a model that cannot be built or called on the meta device.
    """
    model = build_meta(family, shape, vocab, context)
    sizes = dict(model.named_parameters())
    vocabs = _changed(sizes, build_meta(family, shape, vocab + OTHER, context))
    contexts = _changed(sizes, build_meta(family, shape, vocab, context + OTHER)) - vocabs
    uses, flops = _call(family, model, context)
    looked_up = {name for name in sizes if name in uses.looked_up}
    places = {name for name in contexts if name not in uses.multiplied}  # positions: no part of N (Kaplan)
    numel = {name: parameter.numel() for name, parameter in sizes.items()}
    total = sum(numel.values())
    params = total - sum(numel[name] for name in vocabs | places)
    output = {name for name in vocabs if name not in looked_up or name in uses.multiplied}
    halves = {half: _part(model, half) for half in ("encoder", "decoder")}
    two_sided = family.objective == "seq2seq" and None not in halves.values()
    counts = Counts(
        params=params,
        params_matmul=params + sum(numel[name] for name in output),
        params_total=total,
        forward_flops=flops / context,
        params_encoder=halves["encoder"] if two_sided else None,
        params_decoder=halves["decoder"] if two_sided else None,
    )
    grown = _growth(family, sizes, shape, vocab, context)
    roles = {
        name: _role(p, name in looked_up | places, name in output, grown.get(name, 2))
        for name, p in sizes.items()
    }
    return Built(counts, roles)


def build_meta(family: Builds, shape: Shape, vocab: int, context: int) -> nn.Module:
    """
    Raises:
        ValueError: for a model that cannot be built there, with the place in its code.
    """
    try:
        with own_settings(), torch.device("meta"):
            return family.build(shape, vocab, context)
    except Exception as error:
        raise _unbuilt(family, shape, "built", error) from error


def _call(family: Builds, model: nn.Module, context: int) -> tuple[_Uses, float]:
    """How each parameter is used in one sequence, and what that takes [FLOP]."""
    uses = _Uses({id_of(p): name for name, p in model.named_parameters()})
    for parent, name, part in list(_recurrent(model)):
        setattr(parent, name, AllSteps(part))
    with torch.device("meta"):
        inputs = [torch.zeros(1, n, dtype=torch.long) for n in input_lengths(family.objective, context)]
    try:
        with own_settings(), torch.no_grad(), FlopCounterMode(display=False) as counter, uses:
            model(*inputs)
    except Exception as error:
        raise _unbuilt(family, None, "called", error) from error
    return uses, float(counter.get_total_flops())


def _unbuilt(family: Builds, shape: Shape | None, what: str, error: Exception) -> ValueError:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    at = f" at {shape}" if shape is not None else ""
    return ValueError(
        f"family {family.name!r}{at}: its model cannot be {what} on the meta device, where it is counted "
        f"without memory: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}{where}. "
        "Make tensors with PyTorch alone; shapes must not depend on values."
    )


def has_cache(model: nn.Module) -> bool:
    """Whether a model continues from a state: by `extend`, which is another thing of PyTorch's containers."""
    return hasattr(model, "extend") and not isinstance(model, nn.Sequential | nn.ModuleList)


def id_of(tensor: Tensor) -> int:
    """What a tensor shares with its views."""
    return int(tensor.untyped_storage()._cdata)


class _Uses(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Which parameters are looked up in, and which are multiplied."""

    def __init__(self, owners: Mapping[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.owners = owners
        self.looked_up: set[str] = set()
        self.multiplied: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        found = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if name == "embedding":
            self._note(found[:1], self.looked_up)
        elif name in _PRODUCTS:
            self._note(found, self.multiplied)
        return func(*args, **(kwargs or {}))

    def _note(self, tensors: list[Tensor], where: set[str]) -> None:
        where |= {self.owners[key] for x in tensors if (key := id_of(x)) in self.owners}


_PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm", "convolution", "linear", "matmul"})


def _changed(sizes: Mapping[str, nn.Parameter], other: nn.Module) -> set[str]:
    """Names of the parameters whose shape is another in `other`."""
    return {name for name, p in other.named_parameters() if name in sizes and sizes[name].shape != p.shape}


def _growth(
    family: Builds, sizes: Mapping[str, nn.Parameter], shape: Shape, vocab: int, context: int
) -> dict[str, int]:
    """How many dimensions of each parameter grow with the width; nothing where twice the width is refused."""
    try:
        wide = dict(build_meta(family, shape.set(width=2 * shape.width), vocab, context).named_parameters())
    except ValueError:
        return {}
    return {
        name: sum(a != b for a, b in zip(p.shape, wide[name].shape, strict=False))
        for name, p in sizes.items()
        if name in wide
    }


def _role(parameter: nn.Parameter, table: bool, output: bool, grown: int) -> Role:
    """A matrix of which one side or none grows with the width is scaled as an embedding is."""
    if parameter.ndim < 2:
        return "vector"
    if table:
        return "embedding"
    if output:
        return "output"
    return "hidden" if grown > 1 else "embedding"


def _part(model: nn.Module, name: str) -> int | None:
    part = getattr(model, name, None)
    return sum(p.numel() for p in part.parameters()) if isinstance(part, nn.Module) else None


def _recurrent(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.RNNBase]]:
    for parent in list(model.modules()):
        for name, part in parent.named_children():
            if isinstance(part, nn.RNNBase):
                yield parent, name, part


class AllSteps(nn.Module):
    """Stands in for a recurrent layer where it is only counted: each matrix times every token at once.

    PyTorch's meta kernel goes step by step, at 9 ms per step; a test holds this to it.
    """

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.matrices = [p for p in layer.parameters() if p.ndim == 2]
        sides = 2 if layer.bidirectional else 1
        self.width, self.states = sides * (layer.proj_size or layer.hidden_size), sides * layer.num_layers
        self.hidden, self.batch_first = layer.hidden_size, layer.batch_first
        self.lstm = isinstance(layer, nn.LSTM)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        for matrix in self.matrices:
            F.linear(x.new_empty(*x.shape[:-1], matrix.shape[1]), matrix)
        rows = x.shape[0 if self.batch_first else 1]
        last = x.new_empty(self.states, rows, self.hidden)
        return x.new_empty(*x.shape[:-1], self.width), (last, last) if self.lstm else last
