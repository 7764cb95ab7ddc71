"""The state of a training run: model, optimizer and step, and the step that moves them.

`TrainState` is what the training loop needs of it. `LocalState` holds it on one device; the `Coordinator` of
`scaling.training.sharded` has every rank hold a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from scaling.data.layout import NOTHING, Batch, Ids
from scaling.models import Shape, get_family, shape_of
from scaling.recipe.optimizers import OPTIMIZERS, OptimizerOptions
from scaling.recipe.parametrisation import parametrise, roles
from scaling.study.spec import TrunkSpec
from scaling.training.arithmetic import can_fuse, set_arithmetic
from scaling.training.device import Numerics
from scaling.training.fused_cross_entropy import sum_of_cross_entropies
from scaling.training.objectives import LOSSES, cross_entropy, distance

EVALUATED = "evaluated"  # in a checkpoint: weights that are judged, where they are not those that are trained


class TrainState(Protocol):
    """Everything that a step changes."""

    spec: TrunkSpec
    step: int  # taken so far
    model: nn.Module  # to be called in evaluation

    def train_step(self, batch: Batch, rate: float) -> tuple[Tensor, Tensor]:
        """Take one optimizer step; returns the mean loss per predicted token and the gradient's norm."""

    def save(self, file: BinaryIO, extra: dict[str, Any]) -> None:
        """Write a checkpoint; `extra` is plain data that must go back in time with it."""

    def restore(self, content: dict[str, Any]) -> dict[str, Any]:
        """Become the state that was saved; returns its `extra`."""

    def learn_from(self, teacher: Callable[[Sequence[Tensor]], Tensor]) -> None:
        """Take every further step towards what a teacher predicts of the inputs, as the spec asks.

        Raises:
            NotImplementedError: of a state that is spread over devices.
        """

    def evaluating(self) -> AbstractContextManager[None]:
        """Have `model` hold the weights that it is judged by, while inside; no bit of the state moves."""


class LocalState:
    """A `TrainState` on one device. Randomness is spent on the initial weights only.

    Batches come from (seed, step), rates from the step: so a checkpoint is weights, optimizer and step, and
    a resumed run cannot differ from an untouched one.
    """

    def __init__(self, spec: TrunkSpec, numerics: Numerics) -> None:
        self.spec = spec
        self.numerics = numerics
        self.step = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            model = build_model(spec)
        parametrise(model, spec.parametrisation, Shape(spec.width, spec.depth), spec.family)
        self.loss = LOSSES[spec.loss]
        self.model = self._place(model)
        set_arithmetic(self.model, numerics.compute_dtype)
        self.fused = self.loss is cross_entropy and can_fuse(self.model)
        self.optimizer = make_optimizer(self.model, spec)
        self.averages = OPTIMIZERS[spec.optimizer].averages
        self.teacher: Callable[[Sequence[Tensor]], Tensor] | None = None
        self.compiled: Callable[..., Tensor] | None = None
        if numerics.compiled:
            # On a GPU also as CUDA graphs: a step of a tiny model is mostly the launch of its kernels.
            mode = "reduce-overhead" if numerics.device.startswith("cuda") else None
            self.compiled = torch.compile(self._losses_of_logits, mode=mode, dynamic=False)

    def train_step(self, batch: Batch, rate: float) -> tuple[Tensor, Tensor]:
        """See `TrainState.train_step`."""
        total = self._backward(batch, int((batch.targets != NOTHING).sum()))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)  # the first checkpoints know no factor
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return total, norm

    def learn_from(self, teacher: Callable[[Sequence[Tensor]], Tensor]) -> None:
        """See `TrainState.learn_from`."""
        self.teacher = teacher

    def _place(self, model: nn.Module) -> nn.Module:
        return model.to(self.numerics.device)

    def _backward(self, batch: Batch, tokens: int) -> Tensor:
        """Gradients of the mean loss over the `tokens` that are predicted; returns that mean."""
        total = torch.zeros((), device=self.numerics.device)
        for part in batch.split(self.spec.microbatch):
            loss = self._sum_of_losses(part) / tokens
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _sum_of_losses(self, part: Batch) -> Tensor:
        inputs, targets = [self.move(x) for x in part.inputs], self.move(part.targets)
        if self.teacher is not None:
            return self._losses_to_teacher(self.teacher, targets, inputs)
        if self.compiled is not None:
            return self.compiled(targets, *inputs)
        if not self.fused:
            return self._losses_of_logits(targets, *inputs)
        model: Any = self.model
        places = np.flatnonzero(part.targets != NOTHING)
        some = self.move(places) if len(places) < part.targets.size else None
        return self._with_auxiliary(
            sum_of_cross_entropies(model.features(*inputs), model.head, targets, some), targets
        )

    def _losses_of_logits(self, targets: Tensor, *inputs: Tensor) -> Tensor:
        return self._with_auxiliary(self.loss(self.model(*inputs), targets).sum(), targets)

    def _losses_to_teacher(
        self, teacher: Callable[[Sequence[Tensor]], Tensor], targets: Tensor, inputs: Sequence[Tensor]
    ) -> Tensor:
        """The loss of the text and the distance to a teacher, in the shares that the spec asks for."""
        spec, logits = self.spec, self.model(*inputs)
        with torch.no_grad():
            wanted = teacher(inputs)
        far = distance(logits, wanted, targets, spec.teacher_temperature)
        total = spec.teacher_share * far
        if spec.teacher_share < 1:
            total = total + (1 - spec.teacher_share) * self.loss(logits, targets).sum()
        return self._with_auxiliary(total, targets)

    def _with_auxiliary(self, total: Tensor, targets: Tensor) -> Tensor:
        """Add what a model wants to be added to the loss of each token, where it has that."""
        auxiliary: Any = getattr(self.model, "auxiliary_loss", None)
        return total if auxiliary is None else total + auxiliary() * (targets != NOTHING).sum()

    def move(self, ids: Ids) -> Tensor:
        """To the device, without waiting for it."""
        tokens = torch.from_numpy(np.ascontiguousarray(ids))
        if self.numerics.device == "cpu":
            return tokens
        return tokens.pin_memory().to(self.numerics.device, non_blocking=True)

    def save(self, file: BinaryIO, extra: dict[str, Any]) -> None:
        """See `TrainState.save`."""
        content = {
            "step": self.step,
            "model": {name: _whole(tensor) for name, tensor in self.model.state_dict().items()},
            "optimizer": self.optimizer.state_dict(),
            "extra": extra,
        }
        if self.averages:
            with self.evaluating():
                content[EVALUATED] = {name: t.clone() for name, t in self.model.state_dict().items()}
        torch.save(content, file)

    def restore(self, content: dict[str, Any]) -> dict[str, Any]:
        """See `TrainState.restore`."""
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step = content["step"]
        return dict(content["extra"])

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """See `TrainState.evaluating`."""
        if not self.averages:
            yield
            return
        kept = self.use_averages()
        try:
            yield
        finally:
            self.use_trained(kept)

    def use_averages(self) -> list[Tensor]:
        """Put the optimizer's averages into the model; returns the weights that are trained."""
        kept = [weights.detach().clone() for weights in self.model.parameters()]
        optimizer: Any = self.optimizer
        optimizer.eval()
        return kept

    def use_trained(self, kept: list[Tensor]) -> None:
        """Put the trained weights back, to the bit: the optimizer's own way back rounds."""
        optimizer: Any = self.optimizer
        optimizer.train()
        with torch.no_grad():
            for weights, before in zip(self.model.parameters(), kept, strict=True):
                weights.copy_(before)


def build_model(spec: TrunkSpec) -> nn.Module:
    """The model of a trunk, with weights drawn from PyTorch's generator."""
    shape = shape_of(spec.family, spec.width, spec.depth, spec.sizes)
    return get_family(spec.family).make(shape, spec.data.vocab, spec.data.context)


def _whole(tensor: Tensor) -> Tensor:
    """With storage of its own: a file holds the whole storage of what it holds a part of."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def make_optimizer(model: nn.Module, spec: TrunkSpec) -> torch.optim.Optimizer:
    """Make the optimizer that a spec asks for, over the parameters of a model."""
    options = OptimizerOptions(
        learning_rate=spec.learning_rate,
        weight_decay=spec.weight_decay,
        beta1=spec.beta1,
        beta2=spec.beta2,
        settings=dict(spec.optimizer_settings),
        parametrisation=spec.parametrisation,
        shape=Shape(spec.width, spec.depth),
    )
    return OPTIMIZERS[spec.optimizer].make(list(roles(model)), options)


def evaluated_weights(content: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a checkpoint that its model is judged by: the averages, where it has any."""
    return dict(content.get(EVALUATED) or content["model"])


def read_checkpoint(file: BinaryIO) -> dict[str, Any]:
    """Read what `TrainState.save` wrote. Runs no code from the file."""
    return dict(torch.load(file, weights_only=True, map_location="cpu"))
