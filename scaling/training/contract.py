"""What a family must keep for its runs to mean what their records say, tried on a small member of it."""

from __future__ import annotations

import io
import math
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scaling.data.generated import open_generated
from scaling.data.layout import NOTHING, Layout
from scaling.models import Counts, Family, Shape, input_lengths
from scaling.models.counting import has_cache, inspect_built
from scaling.study.spec import DataSpec, TrunkSpec
from scaling.training.arithmetic import can_fuse
from scaling.training.device import Numerics
from scaling.training.evaluate import predictions
from scaling.training.objectives import OBJECTIVES, cross_entropy
from scaling.training.state import LocalState, read_checkpoint

SIZE = 3e4  # parameters of the member that is tried, as near as the ladder has it
VOCAB, CONTEXT, ROWS = 64, 24, 16
RATE, WARMUP, LOOK = 1e-2, 20, 50  # of the learning test: peak rate, and steps to it and between two looks
LEAD = 0.05  # nats below the best that a model without a past can reach


class Broken(Exception):
    """A part of the contract that does not hold: why, and what to do."""

    def __init__(self, why: str, cure: str) -> None:
        super().__init__(why)
        self.cure = cure


@dataclass(frozen=True)
class Check:
    """One part of the contract, tried."""

    name: str
    ok: bool
    says: str  # what was found, or what is wrong
    cure: str = ""


class Member:
    """A small member of a family, and random tokens for it."""

    def __init__(self, family: Family, seconds: float) -> None:
        self.family, self.seconds = family, seconds

    @cached_property
    def shape(self) -> Shape:
        found: Shape = min(self.family.ladder, key=lambda s: abs(math.log(self.family.params(s) / SIZE)))
        return found

    def build(self, seed: int = 0) -> nn.Module:
        """With the weights of a seed, in training mode as a run has it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.family.make(self.shape, VOCAB, CONTEXT)

    def inputs(self, rows: int = 3) -> list[Tensor]:
        """Random tokens for each input."""
        generator = torch.Generator().manual_seed(1)
        lengths = input_lengths(self.family.objective, CONTEXT)
        return [torch.randint(VOCAB, (rows, n), generator=generator) for n in lengths]

    @property
    def spec(self) -> TrunkSpec:
        data = DataSpec(corpus="zipf_markov", vocab=VOCAB, fingerprint="contract", context=CONTEXT)
        return TrunkSpec(
            self.family.name,
            self.shape.width,
            self.shape.depth,
            data,
            seed=0,
            sequences=ROWS,
            microbatch=ROWS,
            learning_rate=RATE,
            weight_decay=0.1,
            beta1=0.9,
            beta2=0.95,
            clip=1.0,
            warmup_steps=WARMUP,
            horizon=None,
            precision="float32",
            sizes=self.shape.extra,
        )


def check_family(family: Family, seconds: float = 30.0) -> Iterator[Check]:
    """Try every part of the contract, each whatever became of the others.

    Args:
        family: a registered one.
        seconds: of the processor, for the learning test at most.
    """
    member = Member(family, seconds)
    for name, part in PARTS.items():
        try:
            says = part(member)
        except Broken as error:
            yield Check(name, False, str(error), error.cure)
        except Exception as error:  # of any kind: it is the stranger's code
            frames = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename]
            where = f"{frames[-1].filename}, line {frames[-1].lineno}"
            lines = str(error).strip().splitlines() or [""]
            yield Check(name, False, f"{type(error).__name__}: {lines[0]}", f"See {where}.")
        else:
            if says is not None:
                yield Check(name, True, says)


def _ladder(member: Member) -> str:
    family = member.family
    sizes = [family.params(shape) for shape in family.ladder]
    if len(set(family.ladder)) < len(sizes):
        raise Broken("a shape stands twice in the ladder", "Leave one of them out.")
    if min(sizes) < 1:
        raise Broken(f"{family.ladder[sizes.index(min(sizes))]} has no parameters", "Mend build or counts.")
    gap = max((b / a for a, b in zip(sorted(sizes), sorted(sizes)[1:], strict=False)), default=1.0)
    wide = f"; model.params finds no shape inside its widest gap, a factor of {gap:.2g}" if gap > 1.35 else ""
    return f"{len(sizes)} shapes of {min(sizes):,} to {max(sizes):,} parameters{wide}"


def _logits(member: Member) -> str:
    inputs = member.inputs()
    logits = member.build()(*inputs)
    wanted = (*inputs[-1].shape, VOCAB)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise Broken(f"got {got} for ids {tuple(inputs[-1].shape)}", f"Return logits of shape {wanted}.")
    if not bool(torch.isfinite(logits).all()):
        raise Broken("logits of fresh weights are not finite", "Look at the initial weights.")
    loss = float(torch.nn.functional.cross_entropy(logits.detach().flatten(0, 1), inputs[-1].flatten()))
    return f"{wanted} at {member.shape}; untrained loss {loss:.2f}, that of guessing {math.log(VOCAB):.2f}"


def _counts(member: Member) -> str:
    family = member.family
    ordered = sorted(family.ladder, key=family.params)
    for shape in dict.fromkeys((ordered[0], member.shape)):
        for vocab, context in ((VOCAB, CONTEXT), (VOCAB + 1, CONTEXT + 2)):
            try:
                family.check_counts(shape, vocab, context)
            except ValueError as error:
                raise Broken(
                    str(error), "Mend counts, or leave it out: the built model is counted."
                ) from error
    found: Counts = family.counts(member.shape, VOCAB, CONTEXT)
    if found.params == found.params_total:
        raise Broken(
            "no parameter's shape follows the vocabulary, so all count as non-embedding",
            "Make embedding and output layer by the `vocab` that build is given.",
        )
    active = f", {found.params_active:,} active" if found.params_active is not None else ""
    how = "closed form, as built" if family.closed_form else "counted on the built model"
    return (
        f"N {found.params:,}{active}, all {found.params_total:,}, {found.forward_flops:.3g} FLOP/token; {how}"
    )


def _causality(member: Member) -> str | None:
    """By gradient where embeddings are looked up, and by another token everywhere."""
    if member.family.objective == "masked":
        return None
    model = member.build().eval()
    inputs = member.inputs(1)
    length = inputs[-1].shape[1]
    place = length // 2
    seen: list[Tensor] = []

    def keep(_module: nn.Module, ids: tuple[Tensor], output: Tensor) -> None:
        if torch.equal(ids[0], inputs[-1]) and output.requires_grad:  # neither a source nor positions
            output.retain_grad()
            seen.append(output)

    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(keep)
    logits = model(*inputs)
    logits[0, place].square().sum().backward()
    reached = [x.grad[0].abs().sum(dim=-1) > 0 for x in seen if x.grad is not None]
    other = [*inputs[:-1], inputs[-1].clone()]
    other[-1][:, place + 1 :] = (other[-1][:, place + 1 :] + 1) % VOCAB
    with torch.no_grad():
        moved = (model(*other) - logits)[:, : place + 1].abs().max()
    leak = next((int(i) for r in reached for i in torch.nonzero(r)[:, 0] if i > place), None)
    if leak is not None or float(moved) > 1e-5:
        which = f"token {leak}" if leak is not None else "later tokens"
        raise Broken(f"the output at position {place} sees {which}", "Let no output see what comes after it.")
    if not any(bool(r[place]) for r in reached) and reached:
        raise Broken(
            f"the output at position {place} does not see its own token", "Look at shifts and masks."
        )
    past = sum(int(r[: place + 1].sum()) for r in reached[-1:])
    return (
        f"by gradient, position {place} sees {past} tokens and none after it"
        if reached
        else "by other tokens"
    )


def _rows(member: Member) -> str:
    """A row is computed alone: in any company, and at any length, the same."""
    model, inputs = member.build(), member.inputs(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        whole, mixed = model(*inputs), model(*(x[order] for x in inputs))
        alone = model(*(x[1:2] for x in inputs))
    if not torch.allclose(whole[order], mixed, rtol=1e-4, atol=1e-5) or not torch.allclose(
        whole[1:2], alone, rtol=1e-4, atol=1e-5
    ):
        raise Broken(
            "the logits of a row depend on the other rows of its batch",
            "Use no statistics of a batch, such as BatchNorm's, and no dropout.",
        )
    if member.family.objective == "causal":
        with torch.no_grad():
            short = model(inputs[0][:, : CONTEXT // 2])
        if not torch.allclose(short, whole[:, : CONTEXT // 2], rtol=1e-4, atol=1e-5):
            raise Broken(
                "the logits of a beginning depend on the row's length", "Let no output see the length."
            )
    return "the same in any company and at any length"


def _padding(member: Member) -> str | None:
    if member.family.objective == "causal":
        return None  # its batches hold no padding
    model, inputs = member.build().eval(), member.inputs()
    lengths = [x.shape[1] // 2 + 1 for x in inputs]
    with torch.no_grad():
        alone = model(*(x[1:2, :n] for x, n in zip(inputs, lengths, strict=True)))
        for x, n in zip(inputs, lengths, strict=True):
            x[1, n:] = NOTHING
        among = model(*inputs)[1:2, : lengths[-1]]
    if not torch.allclose(among, alone, rtol=1e-4, atol=1e-4):
        raise Broken(
            f"ids of {NOTHING}, which are padding, change the logits of other tokens",
            "Let nothing attend to them; scaling.models.blocks.attendable makes a mask.",
        )
    return "changes nothing"


def _determinism(member: Member) -> str:
    inputs = member.inputs()
    one, other = member.build(), member.build()
    with torch.no_grad():
        if not torch.equal(one(*inputs), other(*inputs)):
            raise Broken(
                "one seed gives two models, or one model two answers",
                "Draw weights from PyTorch's generator alone, and nothing in forward (no dropout).",
            )
        if torch.equal(one(*inputs), member.build(seed=1)(*inputs)):
            raise Broken("another seed gives the same model", "Draw the weights from PyTorch's generator.")
    return "a seed decides the weights, and they the logits"


def _gradients(member: Member) -> str:
    model = member.build()
    model(*member.inputs()).square().mean().backward()
    lost = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    if lost:
        raise Broken(
            f"no finite gradient reaches {', '.join(lost[:3])}", "Use it in forward, or leave it out."
        )
    return f"finite for all {len(list(model.parameters()))} parameters"


def _fused(member: Member) -> str | None:
    model: Any = member.build()
    if not can_fuse(model):
        return None
    inputs = member.inputs()
    if not torch.allclose(model.head(model.features(*inputs)), model(*inputs), rtol=1e-4, atol=1e-5):
        raise Broken(
            "head(features(ids)) are not the logits, and the loss is computed by them",
            "Make them agree, or rename one of the two: then the logits are used.",
        )
    return "head(features(ids)) are the logits"


def _cache(member: Member) -> str | None:
    model: Any = member.build().eval()
    if member.family.objective != "causal" or not has_cache(model):
        return None
    (tokens,) = member.inputs()
    state, pieces = None, []
    with torch.no_grad():
        for piece in torch.split(tokens, [5, 1, CONTEXT - 6], dim=1):
            logits, state = model.extend(piece, state)
            pieces.append(logits)
        if not torch.allclose(torch.cat(pieces, dim=1), model(tokens), rtol=1e-4, atol=1e-5):
            raise Broken(
                "extend in pieces gives other logits than the whole", "Mend extend, or leave it out."
            )
    return "a sequence in pieces is the sequence whole"


def _roles(member: Member) -> str:
    found = inspect_built(member.family, member.shape, VOCAB, CONTEXT).roles
    number = {role: list(found.values()).count(role) for role in dict.fromkeys(found.values())}
    return ", ".join(f"{count} {role}" for role, count in number.items())


def _restored(member: Member) -> str:
    """What was saved goes on to the bits of what was not."""
    numerics = Numerics("cpu", "float32", torch.get_num_threads())
    ids = np.random.default_rng(0).integers(0, VOCAB, (ROWS, CONTEXT + 1))
    batch = OBJECTIVES[member.family.objective](ids, Layout(VOCAB), (0,))
    whole, again = LocalState(member.spec, numerics), LocalState(member.spec, numerics)
    for _ in range(2):
        whole.train_step(batch, RATE)
    file = io.BytesIO()
    whole.save(file, {})
    again.restore(read_checkpoint(io.BytesIO(file.getvalue())))
    for state in (whole, again):
        state.train_step(batch, RATE)
    for (name, one), other in zip(whole.model.named_parameters(), again.model.parameters(), strict=True):
        if not torch.equal(one, other):
            raise Broken(
                f"{name} differs after a restart", "Keep what changes in parameters and registered buffers."
            )
    return "goes on to the same bits"


def _learning(member: Member) -> str:
    numerics = Numerics("cpu", "float32", torch.get_num_threads())
    state = LocalState(member.spec, numerics)
    settings = {"tokens": float(VOCAB), "follow": 0.75, "exponent": 0.3}
    data = open_generated("zipf_markov", VOCAB, settings)
    source: Any = data.truth
    arrange, batches = OBJECTIVES[member.family.objective], data.batches(CONTEXT, ROWS, 0)
    begin, step, loss = time.process_time(), 0, math.inf
    while loss > source.unigram - LEAD:
        for _ in range(LOOK):
            batch = arrange(batches.batch(step), data.layout, (0, step))
            state.train_step(batch, RATE * min(1.0, (step + 1) / WARMUP))
            step += 1
        rows = data.heldout_batches(CONTEXT, ROWS, 4096)
        found = [
            (cross_entropy(logits.float(), torch.from_numpy(b.targets)).sum(), (b.targets != NOTHING).sum())
            for _, b, logits in predictions(state.model, member.family.objective, rows, data, "cpu")
        ]
        loss = float(sum(s for s, _ in found)) / float(sum(n for _, n in found))
        if not math.isfinite(loss):
            raise Broken(
                f"the loss is {loss} after {step} steps at a rate of {RATE:g}", "Look at the initial weights."
            )
        if time.process_time() - begin > member.seconds:
            break
    says = f"held-out loss {loss:.3f} after {step} steps; {source.unigram:.3f} is the best without a past"
    if loss > source.unigram - LEAD:
        raise Broken(says, "Does an output see the tokens before it, and is its loss that of the next one?")
    return says


def _gpu(member: Member) -> str | None:
    if not torch.cuda.is_available():
        return None
    inputs, model = member.inputs(), member.build().eval()
    with torch.no_grad():
        here = model(*inputs)
        there = model.cuda()(*(x.cuda() for x in inputs)).cpu()
    if not torch.allclose(here, there, rtol=1e-2, atol=1e-2):
        off = float((here - there).abs().max())
        raise Broken(f"logits on the GPU are off by {off:.2g}", "Make new tensors on the device of the ids.")
    state = LocalState(member.spec, Numerics("cuda", "bfloat16", torch.get_num_threads()))
    ids = np.random.default_rng(0).integers(0, VOCAB, (ROWS, CONTEXT + 1))
    loss, _ = state.train_step(OBJECTIVES[member.family.objective](ids, Layout(VOCAB), (0,)), RATE)
    if not math.isfinite(float(loss)):
        raise Broken("a step in bfloat16 gives no finite loss", "Keep what is sensitive in float32.")
    return "the logits of the CPU; a step in bfloat16"


PARTS: dict[str, Callable[[Member], str | None]] = {
    "ladder": _ladder,
    "logits": _logits,
    "counts": _counts,
    "causality": _causality,
    "rows": _rows,
    "padding": _padding,
    "determinism": _determinism,
    "gradients": _gradients,
    "fused loss": _fused,
    "cache": _cache,
    "roles": _roles,
    "restart": _restored,
    "learning": _learning,
    "GPU": _gpu,
}
