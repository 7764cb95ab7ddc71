"""Text out of a model: what comes next, what a mask hides, what a source becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from scaling.models.counting import has_cache

Advance = Callable[[Tensor], Tensor]  # ids so far (n, t) → logits of the next one (n, vocab)


@torch.inference_mode()
def generate(
    model: nn.Module,
    prompts: Tensor,
    tokens: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    end: int | None = None,
    cached: bool = True,
) -> list[list[int]]:
    """Continue prompts (n, t), all of one length, by a causal model.

    A decoder's positions end with its context. When it is full, it continues from its last half alone: its
    cache cannot be moved. `cached=False` computes everything anew for every token, and gives the same.

    Args:
        tokens: how many at most.
        temperature: 0 takes the likeliest token; above, tokens are drawn from softmax(logits / temperature).
        seed: of the draw.
        end: where a row ends; it is not returned.
    """
    advance = _cached(model) if cached and has_cache(model) else _anew(model)
    return _go_on(advance, prompts, tokens, temperature, seed, end)


@torch.inference_mode()
def translate(
    model: nn.Module,
    sources: Tensor,
    begin: Tensor,
    tokens: int,
    *,
    beam: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
    end: int | None = None,
    length_power: float = 0.6,
) -> list[list[int]]:
    """Targets of sources (n, s), which NOTHING may pad, by an encoder_decoder.

    Args:
        begin: the target's first tokens (n, t), such as the separator; they are not returned.
        tokens: how many at most; the model's context is a limit too.
        beam: 1 takes the likeliest token each time, or draws; above, `beam` targets are followed at once.
        temperature, seed, end: as in `generate`.
        length_power: targets of a beam are compared by log p / ((5 + length) / 6)^length_power.
            Source: Wu et al. 2016 (arXiv:1609.08144), equation 14, without the coverage penalty.

    Raises:
        ValueError: for a beam below 1, or one with a temperature.
    """
    if beam < 1 or (beam > 1 and temperature > 0):
        raise ValueError(f"beam: at least 1, and 1 when drawing; got {beam}, temperature {temperature}.")
    longest: Any = model.context
    tokens = min(tokens, longest + 1 - begin.shape[1])
    if beam == 1:
        return _go_on(_of_source(model, sources), begin, tokens, temperature, seed, end)
    return [
        _search(_of_source(model, source.expand(beam, -1)), first, tokens, beam, end, length_power)
        for source, first in zip(torch.split(sources, 1), torch.split(begin, 1), strict=True)
    ]


@torch.inference_mode()
def fill(model: nn.Module, ids: Tensor, mask: int) -> Tensor:
    """Fill every `mask` in ids (n, t) by a masked model, in each row the one it is surest of first.

    Later ones see what was filled in before. Source: the easy-first order of Ghazvininejad et al. 2019
    (arXiv:1904.09324), one token per iteration and none taken back.
    """
    ids = ids.clone()
    while bool((ids == mask).any()):
        sure, best = torch.softmax(model(ids).float(), dim=-1).max(dim=-1)
        place = sure.where(ids == mask, -1.0).argmax(dim=1)
        rows = torch.nonzero((ids == mask).any(dim=1))[:, 0]
        ids[rows, place[rows]] = best[rows, place[rows]]
    return ids


def window_start(length: int, context: int | None) -> int:
    """Where what a model sees of `length` tokens begins: it moves by half a context whenever that is full."""
    if context is None or length <= context:
        return 0
    step = context - context // 2
    return -(-(length - context) // step) * step


def _cached(model: Any) -> Advance:
    state, start, done = None, 0, 0

    def advance(ids: Tensor) -> Tensor:
        nonlocal state, start, done
        begin = window_start(ids.shape[1], model.context)
        if begin != start:
            state, start, done = None, begin, begin
        logits, state = model.extend(ids[:, done:], state)
        done = ids.shape[1]
        return logits[:, -1]  # type: ignore[no-any-return]

    return advance


def _anew(model: Any) -> Advance:
    return lambda ids: model(ids[:, window_start(ids.shape[1], model.context) :])[:, -1]


def _of_source(model: Any, sources: Tensor) -> _Target:
    return _Target(model, model.encode(sources))


class _Target:
    """The next token of a target that grows, with what was computed before."""

    def __init__(self, model: Any, memory: Any) -> None:
        self.model, self.memory = model, memory
        self.state: list[tuple[Tensor, Tensor]] | None = None
        self.done = 0

    def __call__(self, ids: Tensor) -> Tensor:
        logits, self.state = self.model.extend(ids[:, self.done :], self.state, self.memory)
        self.done = ids.shape[1]
        return logits[:, -1]  # type: ignore[no-any-return]

    def select(self, rows: Tensor) -> None:
        """Go on with these rows, in this order."""
        if self.state is not None:
            self.state = [(k[rows], v[rows]) for k, v in self.state]


def _go_on(
    advance: Advance, ids: Tensor, tokens: int, temperature: float, seed: int, end: int | None
) -> list[list[int]]:
    given = ids.shape[1]
    generator = torch.Generator().manual_seed(seed)
    ended = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    for _ in range(tokens):
        logits = advance(ids).float()
        if temperature > 0:
            chance = torch.softmax(logits / temperature, dim=-1).cpu()
            chosen = torch.multinomial(chance, 1, generator=generator).to(ids.device)
        else:
            chosen = logits.argmax(dim=-1, keepdim=True)
        ids = torch.cat((ids, chosen), dim=1)
        ended |= chosen[:, 0] == end
        if bool(ended.all()):
            break
    return [_until(row, end) for row in ids[:, given:].tolist()]


def _search(
    advance: _Target, ids: Tensor, tokens: int, beam: int, end: int | None, power: float
) -> list[int]:
    """Beam search from one beginning (1, t); rows of `advance` are the beam's."""
    given = ids.shape[1]
    ids = ids.expand(beam, -1)
    scores = torch.full((beam,), -torch.inf, device=ids.device)
    scores[0] = 0.0  # all rows are the same at first: follow one
    best, found = -torch.inf, ids[0, given:]

    def rate(score: Tensor, length: int) -> float:
        return float(score) / float(((5 + length) / 6) ** power)

    for length in range(1, tokens + 1):
        following = torch.log_softmax(advance(ids).float(), dim=-1)
        totals = scores[:, None] + following
        if end is not None:
            done = int(totals[:, end].argmax())
            if rate(totals[done, end], length) > best:
                best, found = rate(totals[done, end], length), ids[done, given:]
            totals[:, end] = -torch.inf
        scores, places = totals.flatten().topk(beam)
        rows, chosen = places // totals.shape[1], places % totals.shape[1]
        ids = torch.cat((ids[rows], chosen[:, None]), dim=1)
        advance.select(rows)
        if rate(scores[0], tokens) <= best:  # log p only falls: none that goes on can come first any more
            return found.tolist()
    if rate(scores[0], tokens) > best:
        found = ids[0, given:]
    return found.tolist()


def _until(row: list[int], end: int | None) -> list[int]:
    return row[: row.index(end)] if end in row else row
