"""What a person may ask: the typed schema of every key under `conf/`.

Plain dataclasses, because Hydra cannot compose frozen ones, and floats for counts, because an `int` field
refuses `1e6`. Range checks live in `__post_init__`; what they leave open is decided in `plan`.

The comment of a field, behind it or above it, is its meaning in docs/reference/config.md; its unit stands
first, in brackets.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, make_dataclass
from enum import Enum
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from scaling.data.options import MOST_HELDOUT, DataOptions, Domain
from scaling.records.storage.names import LONGEST, slug


class Precision(Enum):
    """Arithmetic of matrix products. `auto` follows the rule in `scaling.training.device`."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Parametrisation(Enum):
    """How rates and initial weights go with width and depth; see `scaling.recipe.parametrisation`."""

    standard = "standard"
    mup = "mup"
    completep = "completep"


class Norm(Enum):
    """Of a transformer; every option of one is explained in `scaling.models.options`."""

    layer = "layer"
    rms = "rms"


class Mlp(Enum):
    """What a transformer's feed-forward does between its matrices."""

    gelu = "gelu"
    swiglu = "swiglu"
    relu2 = "relu2"


class Positions(Enum):
    """How a transformer knows the order of tokens."""

    rotary = "rotary"
    learned = "learned"
    none = "none"


class Loss(Enum):
    """What is trained on. The held-out loss of a record is always cross-entropy."""

    cross_entropy = "cross_entropy"
    squared = "squared"


class Parallel(Enum):
    """How the processes that torchrun starts share one model: copies of it, or a part each."""

    none = "none"
    ddp = "ddp"
    fsdp = "fsdp"


class Tracking(Enum):
    """Where to watch a study: a W&B mirror, or TensorBoard's files.

    `auto` is W&B as WANDB_MODE says; without it online where the user is logged in, else offline.
    """

    auto = "auto"
    offline = "offline"
    online = "online"
    off = "off"
    tensorboard = "tensorboard"


@dataclass
class ModelConfig:
    """One member of a family, by size or by shape; null stands for the family's own default."""

    family: str = "decoder"  # which family of models
    params: float | None = None  # [parameters] wanted size N, non-embedding; the nearest shape is taken
    width: int | None = None  # instead of params: the shape itself, together with depth
    depth: int | None = None  # number of blocks or layers
    norm: Norm | None = None  # normalisation (null: layer); keys norm to tied: decoder, masked, moe
    mlp: Mlp | None = None  # activation of the feed-forward part (null: gelu)
    mlp_ratio: float | None = None  # hidden width of the feed-forward part, divided by the width (null: 4)
    heads: int | None = None  # query heads (null: about eight, each at least 8 wide)
    head_width: int | None = None  # instead of heads: about how wide each head is
    kv_heads: int | None = None  # key and value heads, each shared by a group of query heads (null: heads)
    qk_norm: bool | None = None  # whether queries and keys are normalised (null: false)
    positions: Positions | None = None  # how positions enter (null: rotary)
    shift: bool | None = None  # token shift: half of attention's input is the previous token's (null: false)
    tied: bool | None = None  # whether one matrix is embedding and output layer (null: false)
    experts: int | None = None  # moe only: experts per layer (null: 8)
    top_k: int | None = None  # moe only: experts that a token is sent to (null: 2)
    shared: int | None = None  # moe only: experts that every token goes through (null: 1)
    balance: float | None = None  # moe only: weight of the load-balance loss (null: 0.01)

    def __post_init__(self) -> None:
        by_shape = self.width is not None or self.depth is not None
        if (self.params is not None and by_shape) or (self.width is None) != (self.depth is None):
            raise self.no_size()
        for key in ("width", "depth", "heads", "head_width", "kv_heads", "experts", "top_k"):
            value = getattr(self, key)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"model.{key}: at least 1; got {value}.")

    def no_size(self) -> ValueError:
        """Return the error for what is not one size."""
        asked = {"params": self.params, "width": self.width, "depth": self.depth}
        return ValueError(
            f"model: give either params, or both width and depth; got {asked}. "
            "On the command line: model.params=1e5, or model.params=null model.width=64 model.depth=3."
        )

    def sizes(self) -> dict[str, Any]:
        """What was asked beside family, size and shape, as plain values."""
        common = {field.name for field in dataclasses.fields(ModelConfig)[:4]}
        asked = {key: value for key, value in vars(self).items() if key not in common and value is not None}
        return {key: value.value if isinstance(value, Enum) else value for key, value in asked.items()}


@dataclass
class CorpusConfig:
    """A further corpus, in the tokens of the main one: a held-out set, or a domain of a mixture."""

    corpus: str = "text"  # as data.corpus
    paths: list[str] = field(default_factory=list)  # as data.paths
    field: str = "text"  # as data.field
    limit_bytes: float | None = None  # [bytes] as data.limit_bytes
    heldout_fraction: float = 0.02  # fraction of a domain that is held out; a held-out set is held out whole
    subset: str | None = None  # as data.subset
    split: str = "train"  # as data.split
    revision: str | None = None  # as data.revision
    settings: dict[str, float] = dataclasses.field(default_factory=dict)  # as data.settings

    def options(self, vocab: int) -> DataOptions:
        """What was asked as one frozen value."""
        asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(CorpusConfig)}
        asked["limit_bytes"] = None if self.limit_bytes is None else int(self.limit_bytes)
        settings = tuple(sorted(self.settings.items()))
        return DataOptions(**{**asked, "vocab": vocab, "paths": tuple(self.paths), "settings": settings})


@dataclass
class DomainConfig(CorpusConfig):
    """One corpus of a mixture."""

    weight: float = 1.0  # its share of the rows, relative to the weights of the other domains
    max_epochs: float | None = None  # maximum passes over it; then the others take its share

    def __post_init__(self) -> None:
        _positive("data.mixture", self, ("weight", "max_epochs"))


@dataclass
class DataConfig:
    """One corpus, its tokenizer and its split."""

    corpus: str = "python_source"  # which corpus; data=NAME chooses it with its settings
    vocab: float = 1024  # [tokens] size of the vocabulary: 256 is raw bytes, more is byte-level BPE
    context: float = 128  # [tokens] length of a sequence
    paths: list[str] = field(default_factory=list)  # files, globs, a folder or an HF hub data set
    field: str = "text"  # column of .jsonl, .parquet and hub data that holds the text
    limit_bytes: float | None = None  # [bytes] use an unbiased subset of that much text
    heldout_fraction: float = 0.02  # fraction of the documents that is held out
    subset: str | None = None  # configuration of a hub data set
    split: str = "train"  # split of a hub data set
    revision: str | None = None  # revision of a hub data set
    train_tokens: float | None = None  # [tokens] train on that many distinct tokens, repeated as needed
    settings: dict[str, float] = dataclasses.field(default_factory=dict)  # parameters of a generated corpus
    # further sets to evaluate on, by name: each gives a column loss_NAME
    heldout: dict[str, CorpusConfig] = dataclasses.field(default_factory=dict)
    # domains of data=mixture, by name
    mixture: dict[str, DomainConfig] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for section in ("heldout", "mixture"):
            for name in getattr(self, section):
                check_set_name(f"data.{section}", name)
        twice = sorted(self.heldout.keys() & self.mixture.keys())
        if twice:
            raise ValueError(f"data.heldout: {twice[0]} is a domain, and is judged by its own held-out part.")
        _positive("data", self, ("vocab", "context", "limit_bytes", "heldout_fraction", "train_tokens"))
        if self.heldout_fraction >= MOST_HELDOUT:
            raise ValueError(f"data.heldout_fraction: below {MOST_HELDOUT}; got {self.heldout_fraction}.")

    def options(self) -> DataOptions:
        """What was asked as one frozen value, counts as whole numbers."""
        asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(DataOptions)}
        asked["mixture"] = tuple(
            Domain(name, one.weight, one.max_epochs, one.options(int(self.vocab)))
            for name, one in self.mixture.items()
        )
        for count in ("vocab", "limit_bytes", "train_tokens"):
            asked[count] = None if asked[count] is None else int(asked[count])
        return DataOptions(
            **{**asked, "paths": tuple(self.paths), "settings": tuple(sorted(self.settings.items()))}
        )


@dataclass
class BudgetConfig:
    """How long to train: exactly one of the three, each a number or a list. One run per number."""

    tokens: Any = None  # [tokens] D: a number or a list
    tokens_per_param: Any = None  # [tokens/parameter] D / N: a number or a list
    compute: Any = None  # [FLOP] C, as counted here: a number or a list

    def __post_init__(self) -> None:
        given = {key: value for key, value in vars(self).items() if value is not None}
        if len(given) != 1:
            raise ValueError(
                f"budget: give exactly one of tokens, tokens_per_param, compute; got {given or 'none'}.\n"
                "On the command line, budget.tokens=null unsets what a study sets."
            )
        self.amounts()

    @property
    def kind(self) -> str:
        """The one that was given."""
        return next(key for key, value in vars(self).items() if value is not None)

    def amounts(self) -> list[float]:
        """What was given, as floats in ascending order.

        Raises:
            ValueError: for anything that is not a positive, finite number.
        """
        value = getattr(self, self.kind)
        items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
        good = [isinstance(x, int | float) and not isinstance(x, bool) and 0 < x < math.inf for x in items]
        if not items or not all(good):
            raise ValueError(f"budget.{self.kind}: positive numbers are needed; got {value!r}.")
        return sorted({float(x) for x in items})


@dataclass
class TauRule:
    """The best tau as a power law of tokens per parameter, for `training.tau=rule`."""

    tau: float = 7.3  # tau at one token per parameter, from experiments/decay
    exponent: float = -0.527  # exponent of D / N, from Bergsma et al. 2025 (arXiv:2505.13738)

    def __post_init__(self) -> None:
        _positive("training.tau_rule", self, ("tau",))


@dataclass
class BatchRule:
    """Tokens of a batch as a power law of the training tokens, for `training.sequences=auto`."""

    tokens: float = 1024  # [tokens] batch size at 1e6 training tokens
    tokens_exponent: float = 0.383  # exponent of D: the best batch of Bergsma et al. 2025 (arXiv:2505.13738)

    def __post_init__(self) -> None:
        _positive("training.batch_rule", self, ("tokens",))


@dataclass
class OptimizerConfig:
    """One optimizer, by name; what all of them share, such as rate and weight decay, is in `training`."""

    name: str = "adamw"  # which optimizer; optimizer=NAME chooses it with its settings
    settings: dict[str, float] = field(default_factory=dict)  # settings that only this optimizer has


@dataclass
class TrainingConfig:
    """The recipe. If learning_rate is null, it follows the rule in `rates` for family and optimizer."""

    # causal, masked or seq2seq (null: the family's, which is the only legal one)
    objective: str | None = None
    loss: Loss = Loss.cross_entropy  # training loss; the held-out loss of a record is always cross-entropy
    # a finished run's id or folder to distil from, or exact; see docs/your-task.md
    teacher: str | None = None
    teacher_share: float = 1.0  # weight of the distance to the teacher; the rest is the loss of the text
    teacher_temperature: float = 1.0  # temperature of both predictions in that distance
    parametrisation: Parametrisation = Parametrisation.standard  # how rates and initial weights scale
    sequences: Any = 8  # [sequences] batch size: a number, or auto (from the budget, by batch_rule)
    # the rule of sequences=auto
    batch_rule: BatchRule = field(default_factory=BatchRule)
    # [[tokens seen, sequences from then on], …]: larger batches along the trunk
    batch_ramp: Any = None
    microbatch: float | None = None  # [sequences] how many are computed at once; gradients accumulate
    learning_rate: float | None = None  # peak learning rate (null: by the rule in rates)
    weight_decay: float = 0.1  # weight decay, multiplied by the learning rate as in AdamW
    # instead of weight_decay: tau = 1 / (rate × decay × steps), a number, or rule (by tau_rule)
    tau: Any = None
    # the rule of tau=rule
    tau_rule: TauRule = field(default_factory=TauRule)
    beta1: float = 0.9  # decay of the first moment
    beta2: float = 0.95  # decay of the second moment
    clip: float = 1.0  # norm at which gradients are clipped
    warmup_steps: float = 32  # [steps] linear warm-up; at most one token per parameter
    warmup_tokens: float | None = None  # [tokens] instead of warmup_steps, and exactly that many
    # trunk, cosine, linear, inverse_sqrt, power, or one that an extension registers
    schedule: str = "trunk"
    schedule_settings: dict[str, float] = field(default_factory=dict)  # settings that only this schedule has
    cooldown: float = 0.2  # cooldown's share of a run's steps, for schedules without a fixed budget
    cooldown_shape: str = "sqrt"  # sqrt, linear or cosine
    cooldown_floor: float = 0.0  # fraction of the rate at the branch that is left at the end
    precision: Precision = Precision.auto  # arithmetic of matrix products (auto: by device and size)
    compile: bool | None = None  # whether steps go through torch.compile (null: where it pays)
    device: str = "auto"  # cpu, cuda, cuda:1, … (auto: a GPU where there is one)
    parallel: Parallel = Parallel.none  # how the processes that torchrun starts share one model
    threads: int | None = None  # CPU threads of one trunk (null: 1 where several train at a time)
    evaluation_tokens: Any = 131072  # [tokens] held-out tokens of a final loss: a number, or auto
    curve_evaluations: float = 5  # evaluations along a trunk, per tenfold of steps
    curve_tokens: float = 8192  # [tokens] held-out tokens of each of these evaluations

    def __post_init__(self) -> None:
        _positive("training", self, ("microbatch", "learning_rate", "clip", "curve_tokens", "warmup_tokens"))
        _positive("training", self, ("teacher_temperature",))
        if not 0 < self.teacher_share <= 1:
            raise ValueError(f"training.teacher_share: above 0 and up to 1; got {self.teacher_share}.")
        _positive_or("training", self, "sequences", "auto")
        _positive_or("training", self, "tau", "rule")
        self._check_recipe()
        tokens = self.evaluation_tokens
        if tokens != "auto" and (isinstance(tokens, bool) or not isinstance(tokens, int | float)):
            raise ValueError(f"training.evaluation_tokens: a number, or auto; got {tokens!r}.")
        if tokens != "auto":
            _positive("training", self, ("evaluation_tokens",))
        for key in ("weight_decay", "warmup_steps", "curve_evaluations"):
            if not 0 <= getattr(self, key) < math.inf:
                raise ValueError(f"training.{key}: zero or more; got {getattr(self, key)}.")
        for key in ("beta1", "beta2", "cooldown", "cooldown_floor"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"training.{key}: from 0 to below 1; got {getattr(self, key)}.")
        if self.compile and self.parallel is not Parallel.none:
            raise ValueError(
                f"training.compile: not with training.parallel={self.parallel.value}; remove one of the two."
            )
        if self.microbatch is not None and self.sequences != "auto" and self.sequences % self.microbatch:
            raise ValueError(
                f"training.microbatch: must divide training.sequences = {self.sequences:g}; "
                f"got {self.microbatch:g}."
            )

    def _check_recipe(self) -> None:
        if self.tau is not None and self.weight_decay != TrainingConfig.weight_decay:
            raise ValueError(
                f"training.tau: it chooses the weight decay; give tau={self.tau} or "
                f"weight_decay={self.weight_decay:g}, not both."
            )
        ramp = self.ramp()
        if ramp and self.sequences == "auto":
            raise ValueError(
                "training.batch_ramp: needs training.sequences as a number, which it begins with."
            )
        if any(a[0] >= b[0] for a, b in pairwise(ramp)):
            raise ValueError(f"training.batch_ramp: tokens must ascend; got {self.batch_ramp}.")

    def ramp(self) -> tuple[tuple[float, int], ...]:
        """The batch ramp as pairs (tokens seen, sequences from there on).

        Raises:
            ValueError: for anything else than a list of pairs of positive numbers.
        """
        try:
            pairs = tuple((float(tokens), int(sequences)) for tokens, sequences in self.batch_ramp or ())
        except (TypeError, ValueError):
            pairs = ((0.0, 0),)
        if any(not 0 < tokens < math.inf or sequences < 1 for tokens, sequences in pairs):
            raise ValueError(
                "training.batch_ramp: a list of [tokens seen, sequences from there on] is needed, "
                f"e.g. 'training.batch_ramp=[[1e5,16],[4e5,32]]'; got {self.batch_ramp!r}."
            )
        return pairs


@dataclass
class TrainerConfig:
    """Who trains: the built-in loop, or a command of yours; see docs/your-trainer.md."""

    kind: str = "builtin"  # builtin or command
    command: str | None = None  # the command, a template: python train.py --max_iters={steps} …
    # file that it writes into {folder}: .json, .jsonl (last line) or .csv (last row)
    result: str = "result.json"
    # our names and the result's: loss: val_loss, params: n_params, …
    fields: dict[str, str] = field(default_factory=dict)
    params: str | None = None  # N: a formula, 12*depth*width**2, or model.py:build
    flops: str | None = None  # formula for the training FLOPs of a run (null: 6 N D)
    names: dict[str, Any] = field(default_factory=dict)  # more names for the command: numbers or text
    formulas: dict[str, str] = field(
        default_factory=dict
    )  # more names, computed by arithmetic: heads: width/64
    # shapes to choose from: [{width: 64, depth: 2, heads: 4}, …]
    ladder: list[Any] = field(default_factory=list)
    # whether one command trains a whole trunk: {steps} is a list, the result has a row for each
    branches: bool = False
    checkpoint: str | None = None  # file or pattern in {folder} that shows that there is a checkpoint
    resume: str | None = None  # arguments to add where there is a checkpoint, e.g. --init_from=resume
    timeout: float | None = None  # [s] time limit of one attempt
    environment: list[str] = field(
        default_factory=list
    )  # secrets that the command may see: WANDB_API_KEY, HF_TOKEN

    def __post_init__(self) -> None:
        _positive("trainer", self, ("timeout",))
        set_without_use = [key for key in ("command", "params", "flops", "resume") if getattr(self, key)]
        if self.kind == "builtin" and set_without_use:
            raise ValueError(
                f"trainer.{set_without_use[0]}: the built-in trainer has no use for it; add trainer=command."
            )
        for rung in self.ladder:
            if not isinstance(rung, dict) or not rung:
                raise ValueError(
                    f"trainer.ladder: each rung is a shape, e.g. {{width: 64, depth: 2}}; got {rung!r}."
                )


@dataclass
class RateRule:
    """Peak learning rate of a family as a power law; see `scaling.study.rates`."""

    rate: float  # peak rate at 1e5 parameters, 1e6 tokens and batches of 1,024 tokens
    params_exponent: float  # how fast it falls with N: rate ∝ N^-params_exponent
    tokens_exponent: float = 0.0  # how fast it grows with D: rate ∝ D^tokens_exponent
    batch_exponent: float = 0.5  # how fast it grows with the batch


@dataclass
class RunConfig:
    """One Hydra job: one model, one corpus, one recipe, and every budget its trunk passes."""

    name: str = "single"  # name of the study; its records go to <runs>/<name>
    question: str = ""  # what the study asks, in one sentence
    seed: int = 0  # seed of the initial weights and of the order of the data
    model: ModelConfig = MISSING  # conf/model/NAME.yaml
    data: DataConfig = field(default_factory=DataConfig)  # conf/data/NAME.yaml
    budget: BudgetConfig = MISSING  # exactly one of its three keys
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)  # conf/optimizer/NAME.yaml
    training: TrainingConfig = field(default_factory=TrainingConfig)  # the recipe
    trainer: TrainerConfig = field(default_factory=TrainerConfig)  # conf/trainer/NAME.yaml
    # conf/rates/NAME.yaml: peak learning rates, by family or family.optimizer
    rates: dict[str, RateRule] = field(default_factory=dict)
    runs: str = "runs"  # folder of all studies
    cache: str = "~/.cache/scaling"  # folder of tokenised corpora
    workers: int | None = None  # trunks at a time (null: one per core for small models, one per GPU)
    reuse: bool = True  # whether finished runs and trunks of other studies below `runs` are reused
    max_flops: float | None = None  # [FLOP] limit of a study: it trains the cheapest trunks that fit in
    max_hours: float | None = None  # [h] limit of one command, which then saves and stops
    tasks: list[str] = field(default_factory=list)  # tasks to measure on every finished run
    extensions: list[str] = field(
        default_factory=list
    )  # files that register what the study uses: [./my_model.py]
    tracking: Tracking = Tracking.auto  # W&B or TensorBoard; auto: W&B, in the mode of WANDB_MODE
    project: str | None = None  # W&B project (null: WANDB_PROJECT, else `scaling`)
    entity: str | None = None  # W&B entity (null: WANDB_ENTITY, else your own)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: at least 1; got {self.workers}.")
        _positive("", self, ("max_flops", "max_hours"))


def _positive(section: str, config: object, keys: Iterable[str]) -> None:
    for key in keys:
        value = getattr(config, key)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(
                f"{section}{'.' if section else ''}{key}: a positive, finite number is needed; got {value}."
            )


def _positive_or(section: str, config: object, key: str, word: str) -> None:
    """
    Raises:
        ValueError: for anything else than a positive number, `word` or, where it is the default, null.
    """
    value = getattr(config, key)
    if value == word or (value is None and getattr(type(config), key) is None):
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{section}.{key}: a positive, finite number is needed, or {word}; got {value!r}.")


def check_set_name(section: str, name: str) -> None:
    """
    Raises:
        ValueError: for a name of a held-out set or domain that could be no part of a column's name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name.endswith("_se"):
        raise ValueError(
            f"{section}: {name!r} cannot name a set; use lower-case letters, digits and underscores, not "
            "ending in _se, as its loss is the column loss_NAME."
        )


def check_name(name: str) -> None:
    """
    Raises:
        ValueError: for a name of a study that could not be its folder as it stands.
    """
    try:
        plain = slug(name)
    except ValueError:
        plain = ""
    if not name or name != plain:
        raise ValueError(
            f"name: {name!r} cannot be a folder's name as it stands. Use letters, digits, dot, dash and "
            f"underscore, with a letter or digit at both ends, {LONGEST} characters at most"
            + (f"; e.g. name={plain}" if plain else "")
            + "."
        )


def schema() -> type[RunConfig]:
    """The schema as it is now: `model` also has the sizes of families that were registered from outside."""
    return _schema(tuple(sorted(_outside()[1])))


def register() -> None:
    """Make the schema known to Hydra, and families and corpora from outside as `model=` and `data=`."""
    families, sizes, corpora = _outside()
    _store(tuple(sorted(sizes)), tuple(families), tuple(corpora))


@lru_cache(maxsize=1)  # twice a plan, each time a fifth of composing it: only what has changed is stored
def _store(sizes: tuple[str, ...], families: tuple[str, ...], corpora: tuple[str, ...]) -> None:
    store = ConfigStore.instance()
    store.store(name="run_schema", node=_schema(sizes))
    for name in families:
        store.store(group="model", name=name, node={"family": name, "params": 1e5})
    for name in corpora:
        store.store(group="data", name=name, node={"corpus": name})


def _outside() -> tuple[list[str], set[str], list[str]]:
    """Families, sizes of theirs and corpora from outside; without the import of what nobody has used yet."""
    models, data = (sys.modules.get(m) for m in ("scaling.models.registry", "scaling.data.corpora"))
    families = [f for f in models.FAMILIES.values() if not f.builtin] if models else []
    corpora = [name for name in data.CORPORA if data.CORPORA.origin(name)] if data else []
    return [f.name for f in families], {size for f in families for size in (*f.sizes, *f.options)}, corpora


@cache
def _schema(sizes: tuple[str, ...]) -> type[RunConfig]:
    if not sizes:
        return RunConfig
    own: list[Any] = [(size, Any, field(default=None)) for size in sizes]
    model = make_dataclass("ModelConfig", own, bases=(ModelConfig,))
    return make_dataclass("RunConfig", [("model", model, field(default=MISSING))], bases=(RunConfig,))
