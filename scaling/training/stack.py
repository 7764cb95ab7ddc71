"""Several trunks of one shape, a step of each at once.

A step of a tiny model is mostly the launch of its kernels, and seeds and learning rates of one shape launch
the same ones. Their weights lie side by side, and one forward and one backward pass serve all. Everything
else of a trunk stays its own: batches, clipping, optimizer, logs, checkpoints, records. The results are those
of training alone to rounding, not to the bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from scaling.data.layout import NOTHING, Batch
from scaling.study.spec import Trunk
from scaling.training.head import sums_of_cross_entropies
from scaling.training.objectives import cross_entropy
from scaling.training.segment import Answer, Ask, Result, Steps
from scaling.training.state import State, compile_step, predicted
from scaling.training.stop import Stopped

FAMILIES = ("decoder", "feedforward")  # the others hold operations that PyTorch cannot stack
FAILURES = (OSError, RuntimeError, MemoryError, ValueError)  # of one trunk, which leave the others be


def together(trunks: Sequence[Trunk], most: int) -> list[list[Trunk]]:
    """Cut `trunks` into those that can be trained as one, `most` at once, in the order of their first.

    These agree in model, batch shape, data and loss, and may differ in seed, rates, decay and budgets.
    """
    stacks: dict[object, list[Trunk]] = {}
    for index, trunk in enumerate(trunks):
        spec = trunk.spec
        fits = most > 1 and spec.family in FAMILIES and spec.data.row_tokens is None
        sizes = (spec.sequences, spec.microbatch, spec.precision, spec.loss, spec.compile)
        key: object = (spec.family, spec.width, spec.depth, spec.data, *sizes) if fits else index
        stacks.setdefault(key, []).append(trunk)
    return [stack[i : i + most] for stack in stacks.values() for i in range(0, len(stack), most)]


def at_once(works: Sequence[Steps[Result]]) -> list[Result | Exception]:
    """Take the steps that several trunks ask for in one pass each; what each returns, or what failed it.

    A trunk that ends or fails leaves the others to go on. What fails a pass fails every trunk in it.
    """
    found: list[Result | Exception] = [RuntimeError("not begun")] * len(works)
    asks: dict[int, Ask] = {}

    def go_on(index: int, word: Callable[[], Ask]) -> None:
        asks.pop(index, None)
        try:
            asks[index] = word()
        except StopIteration as end:
            found[index] = end.value
        except (*FAILURES, Stopped) as error:
            found[index] = error

    try:
        for index, work in enumerate(works):
            go_on(index, partial(next, work))
        stack = Stack([ask.state for ask in asks.values()])
        while asks:
            now = list(asks.items())
            try:
                answers = stack.take([ask for _, ask in now])
            except BaseException as error:
                for index, _ in now:
                    go_on(index, partial(works[index].throw, error))
            else:
                for (index, _), answer in zip(now, answers, strict=True):
                    go_on(index, partial(works[index].send, answer))
    finally:
        for work in works:
            work.close()  # gives up its lock
    return found


class Stack:
    """States of one shape, whose weights become slices of common tensors, each (states, ...)."""

    def __init__(self, states: Sequence[State]) -> None:
        self.states = states
        if len(states) < 2:
            return
        first = states[0]
        self.model: Any = first.model
        self.body = _Features(first.model)
        members = [dict(state.model.named_parameters()) for state in states]
        self.weights = {
            name: torch.stack([own[name].detach() for own in members]).requires_grad_() for name in members[0]
        }
        for index, own in enumerate(members):
            for name, parameter in own.items():
                parameter.data = self.weights[name].detach()[index]
        self.by_logits = vmap(self._loss_of_logits)
        if first.arithmetic.compiled:
            self.by_logits = compile_step(self.by_logits, first.arithmetic)

    def take(self, asks: Sequence[Ask]) -> list[Answer]:
        """One step of each; see `State.train_step`."""
        if len(asks) == 1:
            return [ask.state.train_step(ask.batch, ask.rate) for ask in asks]
        first = asks[0].state
        places = [next(i for i, state in enumerate(self.states) if state is ask.state) for ask in asks]
        counts = torch.tensor([predicted(ask.batch) for ask in asks], dtype=torch.float32)
        counts = counts.to(first.arithmetic.device)
        totals = torch.zeros_like(counts)
        for parts in zip(*(ask.batch.split(first.spec.microbatch) for ask in asks), strict=True):
            weights = self.weights
            if len(places) < len(self.states):  # the others have ended
                weights = {name: whole[places] for name, whole in weights.items()}
            losses = self._sums_of_losses(weights, parts) / counts
            losses.sum().backward()  # type: ignore[no-untyped-call]
            totals += losses.detach()
        answers = []
        for place, ask, total in zip(places, asks, totals.unbind(), strict=True):
            for name, parameter in ask.state.model.named_parameters():
                slopes = self.weights[name].grad
                assert slopes is not None
                parameter.grad = slopes[place]
            answers.append((total, ask.state.descend(ask.rate)))
        for whole in self.weights.values():
            whole.grad = None
        return answers

    def _sums_of_losses(self, weights: dict[str, Tensor], parts: Sequence[Batch]) -> Tensor:
        """(states,) sums of losses, each over its own part."""
        first = self.states[0]
        targets = first.move(np.stack([part.targets for part in parts]))
        inputs = [first.move(np.stack(x)) for x in zip(*(part.inputs for part in parts), strict=True)]
        all_predicted = all((part.targets != NOTHING).all() for part in parts)
        with warnings.catch_warnings():
            # On a CPU, where nothing is launched, attention falls back to one model after the other.
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
            if first.arithmetic.compiled or first.loss is not cross_entropy or not all_predicted:
                return self.by_logits(weights, targets, *inputs)
            features = vmap(self._features)(weights, *inputs)
        return sums_of_cross_entropies(features, weights["head.weight"], self.model.head, targets)

    def _loss_of_logits(self, weights: dict[str, Tensor], targets: Tensor, *inputs: Tensor) -> Tensor:
        logits: Tensor = functional_call(self.model, weights, inputs)
        return self.states[0].loss(logits, targets).sum()

    def _features(self, weights: dict[str, Tensor], *inputs: Tensor) -> Tensor:
        named = {f"model.{name}": weight for name, weight in weights.items()}
        features: Tensor = functional_call(self.body, named, inputs)
        return features


class _Features(nn.Module):
    """What the output layer reads, as the result of a call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model.features(*inputs)  # type: ignore[no-any-return]
