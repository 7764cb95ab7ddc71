"""What was decided: one trunk, and the runs that branch off it. Frozen, hashable, complete.

A spec's id is a hash of everything in it, so a finished run is found again by asking for it again, and a
changed question can never be answered by an old record. Needs neither Hydra nor PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

from scaling.data.options import DataOptions
from scaling.data.sizes import BatchSizes, Ramp
from scaling.records.record import spec_digest

Settings = tuple[tuple[str, float], ...]

EVALUATION_SEQUENCES = 16  # a held-out batch; not the recipe's, so that every recipe is judged on one set


@dataclass(frozen=True, kw_only=True)
class DataSpec(DataOptions):
    """Which tokens, to the byte: `fingerprint` covers both splits and the tokenizer.

    `paths` say where they were found, and are no part of an id. They were once: `id_paths` are those in the
    id of a trunk that was begun then.
    """

    fingerprint: str
    context: int
    row_tokens: float | None = None  # tokens of a row, where rows are shorter than the context
    id_paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrunkSpec:
    """Everything that decides the weights at every step before a cooldown."""

    family: str
    width: int
    depth: int
    data: DataSpec
    seed: int
    sequences: int  # a step
    microbatch: int  # sequences at once
    learning_rate: float  # peak
    weight_decay: float
    beta1: float
    beta2: float
    clip: float
    warmup_steps: int
    horizon: int | None  # steps of a cosine; None is a constant rate
    precision: str  # as asked: auto is resolved where it trains, and recorded
    parametrisation: str = "standard"
    loss: str = "cross_entropy"  # trained on; the held-out loss is always cross-entropy
    compile: bool | None = None  # steps by torch.compile, as asked: None is resolved where it trains
    origin: str = ""  # run whose state it continues from; none: fresh weights
    start: int = 0  # its first step then, counted in its own batches
    optimizer: str = "adamw"
    optimizer_settings: Settings = ()  # all of them, sorted by name
    schedule: str = ""  # by name; none: a constant rate, or a cosine where there is a horizon
    schedule_settings: Settings = ()  # all of them; of a cosine, none at the defaults
    batch_ramp: Ramp = ()  # (step, sequences of every batch from there on)
    tau_asked: float | str | None = None  # what the weight decay was chosen by
    sizes: tuple[tuple[str, int | float | bool | str], ...] = ()  # beside width and depth, by name
    teacher: str = ""  # run whose predictions it learns from, or `exact`
    teacher_share: float = 1.0  # of the loss that is distance to the teacher; the rest is that of the text
    teacher_temperature: float = 1.0  # of both their predictions
    teacher_loss: float | None = None  # held out, as its record says; of `exact`, the floor
    extensions: tuple[str, ...] = ()  # `module digest` of what it uses from outside this package

    @property
    def batch_tokens(self) -> int:
        """Tokens of the first batch."""
        return self.tokens(1)

    @cached_property
    def batch_sizes(self) -> BatchSizes:
        """Sequences of each batch."""
        return BatchSizes(self.sequences, self.batch_ramp)

    @property
    def schedule_name(self) -> str:
        return self.schedule or ("trunk" if self.horizon is None else "cosine")

    def tokens(self, steps: int) -> int:
        """Tokens in `steps` batches; where rows differ in length, as many as are expected."""
        return round(self.batch_sizes.rows(steps) * (self.data.row_tokens or self.data.context))

    @property
    def shape(self) -> str:
        """In words."""
        return " ".join([f"{self.width}x{self.depth}", *(f"{name}={value}" for name, value in self.sizes)])

    @cached_property
    def id(self) -> str:
        return f"{self.family}-{self.width}x{self.depth}-{spec_digest(self.identity())}"

    def identity(self) -> dict[str, Any]:
        """Plain data, for `spec.json` and the id: not where the data lie."""
        return dict(self._identity)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        # Of a mixture the fingerprint says all: domains, weights and repeats.
        data = replace(self.data, paths=self.data.id_paths, id_paths=(), mixture=())
        return _plain(self, data=_plain(data))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, complete."""
        return _plain(self)


@dataclass(frozen=True)
class RunSpec:
    """One run: `steps` in all, the last `cooldown_steps` of them off the trunk."""

    trunk: TrunkSpec
    steps: int
    cooldown_steps: int
    evaluation_tokens: int
    cooldown_shape: str = "sqrt"
    cooldown_floor: float = 0.0  # of the rate at the branch
    heldout: tuple[tuple[str, str], ...] = ()  # (name, fingerprint) of more held-out sets

    def __post_init__(self) -> None:
        if not 0 <= self.cooldown_steps < self.steps:
            raise ValueError(f"a run of {self.steps} steps cannot cool down for {self.cooldown_steps}.")
        if self.trunk.horizon not in (None, self.steps):
            raise ValueError(
                f"a {self.trunk.schedule_name} over {self.trunk.horizon} steps cannot give a run of "
                f"{self.steps}."
            )

    @property
    def branch_step(self) -> int:
        """The trunk's step at which this run leaves it."""
        return self.steps - self.cooldown_steps

    @property
    def tokens(self) -> int:
        return self.trunk.tokens(self.steps)

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch, the mean of a ramp."""
        return round(self.tokens / self.steps) if self.trunk.batch_ramp else self.trunk.batch_tokens

    @property
    def schedule(self) -> str:
        return self.trunk.schedule_name

    @cached_property
    def id(self) -> str:
        shape = f"{self.trunk.family}-{self.trunk.width}x{self.trunk.depth}"
        return f"{shape}-{readable(self.tokens)}-{spec_digest(self.identity())}"

    def identity(self) -> dict[str, Any]:
        """Plain data, for `spec.json` and the id: not where the data lie."""
        return _plain(self, trunk=self.trunk.identity())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, complete, for the record."""
        return _plain(self)


@dataclass(frozen=True)
class Trunk:
    """One Hydra job: a trunk and the runs that branch off it, in the order the trunk meets them."""

    spec: TrunkSpec
    runs: tuple[RunSpec, ...]
    params: int
    params_matmul: int
    params_total: int
    flops_per_token: float  # training, counted
    objective: str
    params_encoder: int | None = None
    params_decoder: int | None = None
    params_active: int | None = None
    curve_steps: tuple[int, ...] = ()  # where the trunk's held-out curve is measured
    curve_tokens: int = 0
    heldout: tuple[tuple[str, DataOptions], ...] = ()  # more sets that its runs are judged by, by name
    decoupled: bool = True  # a step multiplies weights by 1 - rate * decay, so that tau has a meaning
    epochs: float | None = None  # how often its longest run reads the training part of the corpus

    @property
    def last_step(self) -> int:
        return max(run.branch_step for run in self.runs)

    @property
    def steps_to_train(self) -> int:
        """Steps of trunk and cooldowns together: what the whole D axis costs."""
        return self.last_step + sum(run.cooldown_steps for run in self.runs)

    @property
    def tokens_to_train(self) -> int:
        """Tokens of trunk and cooldowns together."""
        if not self.spec.batch_ramp:
            return self.spec.batch_tokens * self.steps_to_train
        apart = sum(run.tokens - self.spec.tokens(run.branch_step) for run in self.runs)
        return self.spec.tokens(self.last_step) + apart

    @property
    def flops(self) -> float:
        """What its runs cost as branches of one trunk [FLOP]."""
        return self.flops_per_token * self.tokens_to_train

    def tau(self, run: RunSpec) -> float | None:
        """Share of a run over which its weights are an average, 1 / (rate * decay * steps).

        None without decay, and where the decay is not decoupled from the gradient.
        Source: Bergsma et al. 2025 (arXiv:2505.13738), B / (eta lambda D).
        """
        decay = self.spec.learning_rate * self.spec.weight_decay * run.steps
        return 1 / decay if decay and self.decoupled else None

    @property
    def flops_apart(self) -> float:
        """What its runs would cost if each were trained from scratch [FLOP]."""
        return self.flops_per_token * sum(run.tokens for run in self.runs)

    def decided(self, run: RunSpec) -> dict[str, Any]:
        """What the record of one of its runs says that was known before it was trained."""
        spec = self.spec
        return {
            "run_id": run.id,
            "trunk_id": spec.id,
            "family": spec.family,
            "objective": self.objective,
            "width": spec.width,
            "depth": spec.depth,
            "params": self.params,
            "params_matmul": self.params_matmul,
            "params_total": self.params_total,
            "params_encoder": self.params_encoder,
            "params_decoder": self.params_decoder,
            "params_active": self.params_active,
            "learning_rate": spec.learning_rate,
            "batch_tokens": run.batch_tokens,
            "tau": self.tau(run),
            "steps": run.steps,
            "schedule": run.schedule,
            "cooldown_steps": run.cooldown_steps,
            "seed": spec.seed,
            "data": spec.data.corpus,
            "data_fingerprint": spec.data.fingerprint,
            "vocab": spec.data.vocab,
            "context": spec.data.context,
            "spec": run.to_dict(),
        }


def readable(count: float) -> str:
    """A count in three digits at most: 1.23M, 50k."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit * 0.9995:
            return f"{count / unit:.3g}{name}"
    return f"{count:.3g}"


def _plain(spec: Any, **known: Any) -> dict[str, Any]:
    """Every field but later options at their default: so a new option leaves old runs their ids.

    Args:
        known: what stands for some of the fields.
    """
    found = {}
    for field in fields(spec):
        if field.name in known:
            found[field.name] = known[field.name]
            continue
        value = getattr(spec, field.name)
        if field.name in _LATER and value == field.default:
            continue
        found[field.name] = _plain_value(value)
    return found


def _plain_value(value: Any) -> Any:
    if isinstance(value, tuple) and any(map(is_dataclass, value)):
        return tuple(map(_plain, value))
    return _plain(value) if is_dataclass(value) else value


# Options that the first records did not have.
_LATER = frozenset(
    {
        *("settings", "row_tokens", "train_tokens", "parametrisation", "loss", "compile", "origin", "start"),
        *("id_paths", "optimizer", "optimizer_settings", "schedule", "schedule_settings", "batch_ramp"),
        *("teacher", "teacher_share", "teacher_temperature", "teacher_loss"),
        *("tau_asked", "cooldown_shape", "cooldown_floor", "heldout", "mixture", "sizes", "extensions"),
    }
)
