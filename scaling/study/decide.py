"""From what was asked to what will be trained: one config → its trunks and runs. Trains nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from scaling.data.corpora import open_heldout
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions
from scaling.data.sizes import BatchSizes
from scaling.models import BASE, FAMILIES, Counts, Family, Shape, get_family
from scaling.recipe.cooldown import COOLDOWNS
from scaling.recipe.optimizers import OPTIMIZERS
from scaling.recipe.schedules import SCHEDULES
from scaling.recipe.settings import complete
from scaling.study.config import ModelConfig, Parallel, Parametrisation, RunConfig, TrainingConfig
from scaling.study.extensions import made_by
from scaling.study.rates import TOKENS, default_learning_rate
from scaling.study.spec import EVALUATION_SEQUENCES, DataSpec, RunSpec, Trunk, TrunkSpec
from scaling.study.teacher import decide_teacher

SETTLED = 4.0  # warm-ups


@dataclass(frozen=True)
class _Model:
    """A member of a family on a corpus, and what a token and a step of it are."""

    family: Family
    shape: Shape
    counts: Counts
    data: DataSpec
    row_tokens: float
    flops_per_token: float  # training, counted
    heldout: tuple[tuple[str, DataOptions], ...]
    heldout_fingerprints: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Batches:
    """The batches of a trunk."""

    sizes: BatchSizes
    tokens: int  # of the first

    def steps(self, tokens: float) -> int:
        """Steps whose tokens come closest to so many."""
        batches = tokens / self.tokens
        return self.sizes.steps(batches * self.sizes.first) if self.sizes.ramp else max(1, round(batches))


def decide(config: RunConfig, dataset: Dataset) -> list[Trunk]:
    """Every trunk of one job: one for all budgets, or one a budget where the recipe depends on it.

    It does under a schedule with a horizon, and where the weight decay is chosen by tau.

    Raises:
        ValueError: for an unknown family, optimizer or schedule, a size off the ladder, a budget shorter than
            its warm-up, or a held-out set smaller than one batch.
    """
    model = _model(config, dataset)
    _check_recipe(config)
    budgets = [_tokens(config, amount, model) for amount in config.budget.amounts()]
    if not SCHEDULES[config.training.schedule].horizon and config.training.tau is None:
        return [_trunk(config, dataset, model, budgets)]
    trunks = [_trunk(config, dataset, model, [tokens]) for tokens in budgets]
    return list({trunk.spec.id: trunk for trunk in trunks}.values())  # budgets within a step are one


def _model(config: RunConfig, dataset: Dataset) -> _Model:
    shape, context = _shape(config.model), int(config.data.context)
    family = get_family(config.model.family)
    _check_objective(family, config.training.objective)
    counts = family.counts(shape, dataset.vocab, context)
    row_tokens = dataset.row_tokens(context)
    asked = tuple((name, one.options(dataset.vocab)) for name, one in config.data.heldout.items())
    sets = open_heldout(asked, dataset, config.cache) if asked else {}
    for one in (dataset, *sets.values()):
        one.heldout_batches(context, EVALUATION_SEQUENCES, 1)  # or it is too small: raises
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
        row_tokens=row_tokens,
        flops_per_token=counts.training_flops * dataset.reading(context),
        heldout=asked,
        heldout_fingerprints=tuple((name, one.fingerprint) for name, one in sets.items()),
    )


def _trunk(config: RunConfig, dataset: Dataset, model: _Model, budgets: list[float]) -> Trunk:
    """A trunk and a run for each of these numbers of tokens, ascending."""
    batches = _batches(config.training, model, budgets[-1])
    steps = sorted({batches.steps(tokens) for tokens in budgets})
    spec = _spec(config, dataset, model, batches, steps[-1])
    rows = dataset.batches(spec.data.context, batches.sizes, 0)
    rows.by_domain(steps[-1])  # or a mixture runs out: raises
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
        heldout=model.heldout,
        decoupled=OPTIMIZERS[config.optimizer.name].decoupled,
        epochs=rows.epochs(steps[-1]),
    )


def _check_recipe(config: RunConfig) -> None:
    """
    Raises:
        ValueError: for an optimizer, schedule or cooldown that is not known or cannot do what is asked of it.
        ModuleNotFoundError: for an optimizer whose package is missing.
    """
    training, name = config.training, config.optimizer.name
    optimizer, _ = OPTIMIZERS[name], SCHEDULES[training.schedule]
    _ = COOLDOWNS[training.cooldown_shape]
    optimizer.check(name, training.parametrisation.value, training.parallel.value)
    for key in optimizer.unused:
        if getattr(training, key) != getattr(TrainingConfig, key):
            raise ValueError(
                f"training.{key}: optimizer {name!r} has no use for it; got {getattr(training, key)}. "
                "Leave it out."
            )
    if training.tau is not None and not optimizer.decoupled:
        raise ValueError(
            f"training.tau: the decay of optimizer {name!r} passes through its momentum, so the weights are "
            "not an average over a time tau. Give training.weight_decay."
        )


def _batches(training: TrainingConfig, model: _Model, longest: float) -> _Batches:
    """The batches of a trunk whose longest run has so many tokens."""
    sequences = training.sequences
    if sequences == "auto":
        rule = training.batch_rule
        wanted = rule.tokens * (longest / TOKENS) ** rule.tokens_exponent
        sequences = max(1, round(wanted / model.row_tokens))
    first = int(sequences)
    ramp: list[tuple[int, int]] = []
    for tokens, rows in training.ramp():
        before = BatchSizes(first, tuple(ramp))
        step = math.ceil(tokens / model.row_tokens / first - 1e-9) if not ramp else ramp[-1][0]
        while round(before.rows(step) * model.row_tokens) < tokens:
            step += max(1, int((tokens / model.row_tokens - before.rows(step)) / before.size(step)))
        ramp.append((step, rows))
    return _Batches(BatchSizes(first, tuple(ramp)), round(first * model.row_tokens))


def _spec(config: RunConfig, dataset: Dataset, model: _Model, batches: _Batches, longest: int) -> TrunkSpec:
    """What decides the weights of a trunk whose longest run has so many steps."""
    training, params = config.training, _used(model.counts)
    sized = rate_params(config, params, model.data.vocab, model.data.context)
    optimizer, schedule = OPTIMIZERS[config.optimizer.name], SCHEDULES[training.schedule]
    tokens = (
        longest * batches.tokens if not batches.sizes.ramp else batches.sizes.rows(longest) * model.row_tokens
    )
    rate = training.learning_rate or default_learning_rate(
        *(config.rates, model.family.name, sized, tokens, batches.tokens), config.optimizer.name
    )
    settings = complete(
        *("training.schedule_settings", f"schedule {training.schedule!r}", schedule.settings),
        training.schedule_settings,
    )
    named = training.schedule not in ("trunk", "cosine")  # they were there before schedules had names
    return TrunkSpec(
        family=model.family.name,
        width=model.shape.width,
        depth=model.shape.depth,
        data=model.data,
        seed=config.seed,
        sequences=batches.sizes.first,
        microbatch=int(training.microbatch or batches.sizes.first),
        learning_rate=rate,
        weight_decay=_weight_decay(training, rate, longest, tokens / params),
        beta1=training.beta1,
        beta2=training.beta2,
        clip=training.clip,
        warmup_steps=batches.steps(training.warmup_tokens)
        if training.warmup_tokens
        else warmup_steps(int(training.warmup_steps), params, batches.tokens),
        horizon=longest if schedule.horizon else None,
        precision=training.precision.value,
        parametrisation=training.parametrisation.value,
        loss=training.loss.value,
        compile=training.compile,
        optimizer=config.optimizer.name,
        optimizer_settings=complete(
            *("optimizer.settings", f"optimizer {config.optimizer.name!r}", optimizer.settings),
            config.optimizer.settings,
        ),
        schedule=training.schedule if named else "",
        schedule_settings=settings if named or dict(settings) != dict(schedule.settings) else (),
        batch_ramp=batches.sizes.ramp,
        tau_asked=training.tau,
        sizes=model.shape.extra,
        **_teacher(config, dataset, model),
        extensions=_extensions(config, model),
    )


def _teacher(config: RunConfig, dataset: Dataset, model: _Model) -> dict[str, Any]:
    """The fields of a spec that say who its run learns from.

    Raises:
        ValueError: for a teacher that is not there or cannot teach, or a way of training that has no teacher.
    """
    training = config.training
    if training.teacher is None:
        for key in ("teacher_share", "teacher_temperature"):
            if getattr(training, key) != getattr(TrainingConfig, key):
                raise ValueError(f"training.{key}: there is no teacher. Name one: training.teacher=RUN.")
        return {}
    if training.parallel is not Parallel.none or training.compile:
        key = "compile" if training.compile else "parallel"
        raise ValueError(f"training.teacher: not with training.{key}; remove one of the two.")
    asked = (training.teacher, config.runs)
    found = decide_teacher(*asked, dataset, model.family.objective, model.data.context)
    return {
        "teacher": found.name,
        "teacher_loss": found.loss,
        "teacher_share": training.teacher_share,
        "teacher_temperature": training.teacher_temperature,
    }


def _extensions(config: RunConfig, model: _Model) -> tuple[str, ...]:
    """What decides the numbers of a run and comes from outside this package."""
    corpus = model.data.corpus
    return made_by(
        ("family", model.family.name),
        ("objective", model.family.objective),
        ("corpus", corpus),
        ("generated corpus", corpus),
        ("optimizer", config.optimizer.name),
        ("schedule", config.training.schedule),
    )


def _weight_decay(training: TrainingConfig, rate: float, steps: int, tokens_per_param: float) -> float:
    """The decay that was asked for, or three digits of the one whose tau = 1 / (rate * decay * steps) was.

    Source: Bergsma et al. 2025 (arXiv:2505.13738), tau = B / (eta lambda D), its best value a power of D / N.
    """
    if training.tau is None:
        return training.weight_decay
    tau = training.tau
    if tau == "rule":
        tau = training.tau_rule.tau * tokens_per_param**training.tau_rule.exponent
    return float(f"{1 / (rate * steps * tau):.3g}")


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
    tokens = spec.tokens(steps)
    if steps - cooldown <= spec.warmup_steps:
        raise ValueError(
            f"budget.{config.budget.kind}: {tokens:,} tokens are {steps} steps of "
            f"{spec.batch_tokens:,}, of which {spec.warmup_steps} warm up and {cooldown} cool down: "
            "no step is left at the full rate. Give more tokens, or a smaller training.sequences."
        )
    asked = training.evaluation_tokens
    enough = enough_tokens(model.family.objective, spec.data.context) if asked == "auto" else int(asked)
    shape = (training.cooldown_shape, training.cooldown_floor) if cooldown else ("sqrt", 0.0)
    return RunSpec(spec, steps, cooldown, enough, *shape, model.heldout_fingerprints)


def warmup_steps(asked: int, params: int, batch_tokens: int) -> int:
    """Warm-up no longer than one token per parameter.

    A long fixed warm-up is one of the causes of Kaplan's exponent. Source: Porian et al. 2024
    (arXiv:2406.19146), section 3.2.
    """
    return min(asked, max(1, params // batch_tokens))


def shortest_budget(config: RunConfig) -> float:
    """Tokens of a run that is a few times as long as its warm-up; laws do not hold of shorter ones."""
    training = config.training
    rows = training.batch_rule.tokens if training.sequences == "auto" else 0.0
    batch = rows or float(training.sequences) * float(config.data.context)
    return SETTLED * (training.warmup_tokens or float(training.warmup_steps) * batch)


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
    if model.params is None:  # only a command may find its own
        raise model.no_size()
    return _shape_for(family, model.params, tuple(sorted(sizes.items())))


@cache  # a grid asks for the same few sizes again and again, and each looks at the whole ladder
def _shape_for(family: Family, params: float, sizes: tuple[tuple[str, Any], ...]) -> Shape:
    return family.shape_for(params, **dict(sizes))


def nearest_params(config: RunConfig, params: float) -> int | None:
    """N of the model that would be built for a size; None where no model is near it."""
    family = get_family(config.model.family)
    try:
        shape = _shape_for(family, params, tuple(sorted(config.model.sizes().items())))
    except ValueError:
        return None
    return int(family.counts(shape, int(config.data.vocab), int(config.data.context)).params)


def _tokens(config: RunConfig, amount: float, model: _Model) -> float:
    """The training tokens that an amount of the budget pays for."""
    return {
        "tokens": amount,
        "tokens_per_param": amount * model.counts.params,
        "compute": amount / model.flops_per_token,
    }[config.budget.kind]


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
