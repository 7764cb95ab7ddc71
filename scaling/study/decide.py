"""From what was asked to what will be trained: one config → its trunks and runs. Trains nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from scaling.data.dataset import Dataset
from scaling.models import BASE, FAMILIES, Counts, Family, Shape, get_family
from scaling.study.config import BudgetConfig, ModelConfig, Parametrisation, RunConfig, Schedule
from scaling.study.extensions import made_by
from scaling.study.rates import default_learning_rate
from scaling.study.spec import EVALUATION_SEQUENCES, DataSpec, RunSpec, Trunk, TrunkSpec


@dataclass(frozen=True)
class _Model:
    """A member of a family on a corpus, and what a token and a step of it are."""

    family: Family
    shape: Shape
    counts: Counts
    data: DataSpec
    sequences: int  # a step
    batch_tokens: int
    flops_per_token: float  # training, counted


def decide(config: RunConfig, dataset: Dataset) -> list[Trunk]:
    """Every trunk of one job: one under a constant rate, one a budget under cosine.

    Raises:
        ValueError: for an unknown family, a size off the ladder, a budget shorter than its warm-up, or a
            held-out set smaller than one batch.
    """
    model = _model(config, dataset)
    steps = sorted({_steps(config.budget, amount, model) for amount in config.budget.amounts()})
    if config.training.schedule is Schedule.cosine:
        return [_trunk(config, model, n, [n]) for n in steps]
    return [_trunk(config, model, None, steps)]


def _model(config: RunConfig, dataset: Dataset) -> _Model:
    shape, context = _shape(config.model), int(config.data.context)
    family = get_family(config.model.family)
    _check_objective(family, config.training.objective)
    counts = family.counts(shape, dataset.vocab, context)
    sequences, row_tokens = int(config.training.sequences), dataset.row_tokens(context)
    dataset.heldout_batches(context, EVALUATION_SEQUENCES, 1)  # or it is too small: raises
    return _Model(
        family,
        shape,
        counts,
        data=DataSpec(
            **vars(config.data.options()),
            fingerprint=dataset.fingerprint,
            context=context,
            row_tokens=None if row_tokens == context else row_tokens,
        ),
        sequences=sequences,
        batch_tokens=round(sequences * row_tokens),
        flops_per_token=counts.training_flops * dataset.reading(context),
    )


def _trunk(config: RunConfig, model: _Model, horizon: int | None, steps: list[int]) -> Trunk:
    """A trunk and a run for each number of `steps`, ascending; `horizon` is that of a cosine."""
    spec = _spec(config, model, horizon, horizon or steps[-1])
    runs = tuple(sorted((_run(config, model, spec, n) for n in steps), key=lambda run: run.branch_step))
    counts, training = model.counts, config.training
    return Trunk(
        spec=spec,
        runs=runs,
        params=counts.params,
        params_matmul=counts.params_matmul,
        params_total=counts.params_total,
        flops_per_token=model.flops_per_token,
        objective=model.family.objective,
        params_encoder=counts.params_encoder,
        params_decoder=counts.params_decoder,
        params_active=counts.params_active,
        curve_steps=curve_steps(int(training.curve_evaluations), spec, runs[-1].branch_step),
        curve_tokens=int(training.curve_tokens),
    )


def _spec(config: RunConfig, model: _Model, horizon: int | None, longest: int) -> TrunkSpec:
    """What decides the weights of a trunk whose longest run has so many steps."""
    training, params = config.training, _used(model.counts)
    sized = rate_params(config, params, model.data.vocab, model.data.context)
    return TrunkSpec(
        family=model.family.name,
        width=model.shape.width,
        depth=model.shape.depth,
        data=model.data,
        seed=config.seed,
        sequences=model.sequences,
        microbatch=int(training.microbatch or model.sequences),
        learning_rate=training.learning_rate
        or default_learning_rate(
            config.rates, model.family.name, sized, longest * model.batch_tokens, model.batch_tokens
        ),
        weight_decay=training.weight_decay,
        beta1=training.beta1,
        beta2=training.beta2,
        clip=training.clip,
        warmup_steps=warmup_steps(int(training.warmup_steps), params, model.batch_tokens),
        horizon=horizon,
        precision=training.precision.value,
        parametrisation=training.parametrisation.value,
        loss=training.loss.value,
        compile=training.compile,
        sizes=model.shape.extra,
        extensions=_extensions(model),
    )


def _extensions(model: _Model) -> tuple[str, ...]:
    """What decides the numbers of a run and comes from outside this package."""
    corpus = model.data.corpus
    return made_by(
        ("family", model.family.name),
        ("objective", model.family.objective),
        ("corpus", corpus),
        ("generated corpus", corpus),
    )


def rate_params(config: RunConfig, params: int, vocab: int, context: int) -> int:
    """The size at which the rule for the rate is asked: under muP and CompleteP that of the base shape."""
    if config.training.parametrisation is Parametrisation.standard:
        return params
    family = get_family(config.model.family)
    base = family.shape(BASE.width, BASE.depth, **config.model.sizes())
    return _used(family.counts(base, vocab, context))


def _run(config: RunConfig, model: _Model, spec: TrunkSpec, steps: int) -> RunSpec:
    """
    Raises:
        ValueError: for a budget shorter than its warm-up and cooldown.
    """
    training = config.training
    cooldown = 0 if spec.horizon else max(1, round(training.cooldown * steps)) if training.cooldown else 0
    if steps - cooldown <= spec.warmup_steps:
        raise ValueError(
            f"budget.{config.budget.kind}: {steps * spec.batch_tokens:,} tokens are {steps} steps of "
            f"{spec.batch_tokens:,}, of which {spec.warmup_steps} warm up and {cooldown} cool down: "
            "no step is left at the full rate. Give more tokens, or a smaller training.sequences."
        )
    asked = training.evaluation_tokens
    tokens = enough_tokens(model.family.objective, spec.data.context) if asked == "auto" else int(asked)
    return RunSpec(spec, steps, cooldown, tokens)


def warmup_steps(asked: int, params: int, batch_tokens: int) -> int:
    """Warm-up no longer than one token a parameter.

    A long fixed warm-up is one of the causes of Kaplan's exponent. Source: Porian et al. 2024
    (arXiv:2406.19146), section 3.2.
    """
    return min(asked, max(1, params // batch_tokens))


def enough_tokens(objective: str, context: int) -> int:
    """Held-out tokens on which a loss is known to a tenth of what seeds differ by; a power of two.

    Seeds differ by 0.034 nats (standard deviation over 48 cells of experiments/cooldown). To be known to a
    tenth of that is a run's loss against other runs of its study: all see the same tokens, and how hard these
    are cancels. On 32k, 64k and 128k tokens in rows of 128, loss less the mean of its study was off from what
    it is on 400k or more by (rms, nats) 0.0056, 0.0032, 0.0023 for 12 decoders of experiments/demo, and for
    runs of experiments/families by 0.0045, 0.0026, 0.0018 (LSTM), 0.0050, 0.0042, 0.0033 (encoder-decoder)
    and 0.0076, 0.0056, 0.0032 (masked). For a loss on its own no held-out set here is large enough: its
    standard error is 0.01 to 0.03.

    Tokens of a row go together: rows put end to end, 4 and 16 long, needed 1.8 and 3.4 times the tokens.
    Where the corpus holds out less, all of it is used. Not known: other corpora and larger models.
    """
    enough = 2**16 if objective == "causal" else 2**17
    return int(2 ** math.ceil(math.log2(enough * math.sqrt(context / 128))))


def curve_steps(count: int, spec: TrunkSpec, last: int) -> tuple[int, ...]:
    """Steps at which a trunk's held-out loss is drawn: `count` a tenfold of steps, from warm-up on.

    Where the trunk ends moves none of them: its log is the same whatever else is asked of it, so that
    another study, or this one with a budget more, can go on with it.
    """
    if count < 1:
        return ()
    first = max(spec.warmup_steps, 1)
    number = math.floor(count * math.log10(max(last / first, 1)) + 1e-9) + 1
    return tuple(sorted({round(first * 10 ** (i / count)) for i in range(number)}))


def _used(counts: Counts) -> int:
    """Parameters that a token goes through."""
    return counts.params if counts.params_active is None else counts.params_active


def _shape(model: ModelConfig) -> Shape:
    family, sizes = get_family(model.family), model.sizes()
    if model.width is not None and model.depth is not None:
        return family.shape(model.width, model.depth, **sizes)
    assert model.params is not None  # ModelConfig has checked
    return _shape_for(family, model.params, tuple(sorted(sizes.items())))


@cache  # a grid asks for the same few sizes again and again, and each looks at the whole ladder
def _shape_for(family: Family, params: float, sizes: tuple[tuple[str, Any], ...]) -> Shape:
    return family.shape_for(params, **dict(sizes))


def _steps(budget: BudgetConfig, amount: float, model: _Model) -> int:
    tokens = {
        "tokens": amount,
        "tokens_per_param": amount * model.counts.params,
        "compute": amount / model.flops_per_token,
    }[budget.kind]
    return max(1, round(tokens / model.batch_tokens))


def _check_objective(family: Family, asked: str | None) -> None:
    if asked not in (None, family.objective):
        raise ValueError(
            f"training.objective: family {family.name!r} is trained by the {family.objective} objective; "
            f"got {asked!r}. Families by objective: "
            + "; ".join(
                f"{kind}: {', '.join(f.name for f in FAMILIES.values() if f.objective == kind)}"
                for kind in sorted({f.objective for f in FAMILIES.values()})
            )
            + "."
        )
