"""A state that every rank has a part of, and what rank 0 sees of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from scaling.data.layout import Batch, Ids
from scaling.study.extensions import load_extensions, loaded_files
from scaling.study.spec import TrunkSpec
from scaling.training.device import Numerics
from scaling.training.process_group import ProcessGroup
from scaling.training.state import EVALUATED, LocalState


class ShardedState(LocalState):
    """What one rank holds of the state: a copy under DDP, a share under FSDP2."""

    def __init__(
        self, spec: TrunkSpec, numerics: Numerics, kind: str, extensions: Sequence[str] = ()
    ) -> None:
        load_extensions(extensions)
        if kind == "fsdp" and dict(spec.sizes).get("tied"):
            raise ValueError("training.parallel: fsdp cuts up an embedding that model.tied shares; use ddp.")
        self.kept: list[Tensor] = []
        self.rank, self.ranks, self.kind = dist.get_rank(), dist.get_world_size(), kind
        if numerics.device.startswith("cuda"):
            numerics = replace(numerics, device=f"cuda:{os.environ['LOCAL_RANK']}")
            torch.cuda.set_device(numerics.device)
        torch.set_num_threads(numerics.threads)
        super().__init__(spec, numerics)
        self.whole: nn.Module = self.model  # what is called in training
        if kind == "ddp":
            with warnings.catch_warnings():
                # PyTorch 2.13 renames the first argument; 2.6, which is allowed, knows it by this name only.
                warnings.simplefilter("ignore", FutureWarning)
                # Every rank has drawn the same weights from the same seed, and no buffer ever changes.
                self.whole = DistributedDataParallel(self.model, broadcast_buffers=False, init_sync=False)

    def _place(self, model: nn.Module) -> nn.Module:
        if self.kind == "ddp":
            return super()._place(model)
        # From the CPU, so that no device ever holds the whole model. A unit is a module that owns weights,
        # not a block: `encoder_decoder` calls the parts of its blocks, and only a called unit is gathered.
        # PyTorch's recurrent layers return a view, which a unit must not: they go with the rest.
        mesh = init_device_mesh(torch.device(self.numerics.device).type, (self.ranks,))
        for module in [m for m in model.modules() if m is not model and not isinstance(m, nn.RNNBase)]:
            if any(True for _ in module.parameters(recurse=False)):
                fully_shard(module, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return model

    def train_step(self, batch: Batch, rate: float) -> tuple[Tensor, Tensor]:
        """See `TrainState.train_step`; `batch` is that of all ranks, and so is what comes back."""
        total, norm = super().train_step(batch, rate)
        return total, norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _backward(self, batch: Batch, tokens: int) -> Tensor:
        """Of this rank's rows. Both wrappers take the mean of the ranks' gradients, hence the factor."""
        total = torch.zeros((), device=self.numerics.device)
        parts = batch.split(len(batch.targets) // self.ranks)[self.rank].split(self.spec.microbatch)
        for index, part in enumerate(parts):
            early = isinstance(self.whole, DistributedDataParallel) and index + 1 < len(parts)
            with self.whole.no_sync() if early else nullcontext():  # type: ignore[operator]
                loss = self._sum_of_losses(part) * (self.ranks / tokens)
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        dist.all_reduce(total)
        return total / self.ranks

    def _sum_of_losses(self, part: Batch) -> Tensor:
        """By the logits: the wrappers act when the whole model is called."""
        logits = self.whole(*(self.move(x) for x in part.inputs))
        targets = self.move(part.targets)
        return self._with_auxiliary(self.loss(logits, targets).sum(), targets)

    def forward(self, inputs: list[Ids]) -> Tensor:
        """Logits in evaluation mode, computed by every rank: each has a share of the weights only."""
        self.model.eval()
        # Not in inference mode: what is gathered here is used by the next step's backward pass.
        with torch.inference_mode(False), torch.no_grad():
            logits = self.model(*(self.move(x) for x in inputs))
        self.model.train()
        return logits  # type: ignore[no-any-return]

    def gather(self) -> dict[str, Any]:
        """The whole state on rank 0's CPU, one tensor at a time; elsewhere its shape without tensors."""

        def whole(tensor: Tensor) -> Tensor | None:
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            return None if self.rank else full.cpu()

        content = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        found = {"step": self.step, **_replace(content, whole)}
        if self.averages:
            with self.evaluating():
                found[EVALUATED] = _replace({k: t.clone() for k, t in self.model.state_dict().items()}, whole)
        return found

    def judge(self, averages: bool) -> None:
        """Have the model hold the weights that it is judged by, or those that are trained again."""
        if averages:
            self.kept = self.use_averages()
        else:
            self.use_trained(self.kept)
            self.kept = []

    def spread(self, outline: dict[str, Any], content: dict[str, Any] | None = None) -> None:
        """Become a state that rank 0 has; `outline` is that with a `_Size` in place of every tensor."""
        given = content or outline
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        model = self.model.state_dict()
        loaded = {k: self._receive(outline["model"][k], given["model"][k], model[k]) for k in model}
        moments = {
            i: {
                k: self._receive(size, given["optimizer"]["state"][i][k], parameters[i])
                for k, size in sizes.items()
            }
            for i, sizes in outline["optimizer"]["state"].items()
        }
        self.model.load_state_dict(loaded)
        self.optimizer.load_state_dict({**outline["optimizer"], "state": moments})
        self.step = outline["step"]

    def _receive(self, size: Any, given: Any, like: Tensor) -> Any:
        """A tensor that rank 0 has, cut up as `like` is if it has its shape; what is no tensor is there."""
        if not isinstance(size, _Size):
            return size
        if isinstance(given, _Size):
            given = torch.empty(size.shape, dtype=size.dtype)
        given = given.to(self.numerics.device)
        if isinstance(like, DTensor) and like.shape == size.shape:
            return distribute_tensor(given, like.device_mesh, like.placements)
        dist.broadcast(given, src=0)
        return given


class Coordinator:
    """A `TrainState` on rank 0 that has every rank of a group act on its part."""

    def __init__(self, group: ProcessGroup, spec: TrunkSpec, numerics: Numerics, kind: str) -> None:
        self.spec, self.group = spec, group
        self.step = 0
        group.call_all("open", spec, numerics, kind, loaded_files())
        self.model: nn.Module = group.part.model if kind == "ddp" else _Everywhere(group)

    def train_step(self, batch: Batch, rate: float) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.group.call_all("train_step", batch, rate)
        self.step += 1
        return found

    def learn_from(self, teacher: Callable[[Sequence[Tensor]], Tensor]) -> None:
        """See `TrainState.learn_from`."""
        raise NotImplementedError("a teacher teaches on one device; plans with training.parallel refuse it.")

    def save(self, file: BinaryIO, extra: dict[str, Any]) -> None:
        torch.save({**self.group.call_all("gather"), "extra": extra}, file)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """See `TrainState.evaluating`."""
        if not self.group.part.averages:
            yield
            return
        self.group.call_all("judge", True)
        try:
            yield
        finally:
            self.group.call_all("judge", False)

    def restore(self, content: dict[str, Any]) -> dict[str, Any]:
        state = {key: content[key] for key in ("step", "model", "optimizer")}
        outline = _replace(state, lambda tensor: _Size(tensor.shape, tensor.dtype))
        self.group.call_all("spread", outline, content=state)
        self.step = content["step"]
        return dict(content["extra"])


class _Everywhere(nn.Module):
    """Calls the model on every rank."""

    def __init__(self, group: ProcessGroup) -> None:
        super().__init__()
        self.group = group

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.group.call_all("forward", [x.cpu().numpy() for x in inputs])  # type: ignore[no-any-return]


class _Size(NamedTuple):
    shape: torch.Size
    dtype: torch.dtype


def _replace(tree: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same nesting of dicts and lists with every tensor changed, in the same order on every rank."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _replace(value, change) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_replace(value, change) for value in tree]
    return tree
