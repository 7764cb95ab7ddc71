"""Runs that a command of the user's trains: which they are, and what the command is told.

The command is a template. Everything that it may be told has a name: what the study asks for, and names of
the user's own. A run's identity is what its command is told, and how its result and size are read; where it
runs, or what it is not told, moves no id.
"""

from __future__ import annotations

import difflib
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import cached_property
from string import Formatter
from typing import Any, cast

from scaling.records.record import UNSTATED, spec_digest
from scaling.records.storage.names import slug
from scaling.study.code import command_code
from scaling.study.config import RunConfig, TrainerConfig
from scaling.study.decide import warmup_steps
from scaling.study.expression import ExpressionError, evaluate, names_in, unknown_name
from scaling.study.model_size import PATTERN, count_model
from scaling.study.rates import default_learning_rate
from scaling.study.spec import DataSpec, RunSpec, Trunk, TrunkSpec, readable

READS = ("loss", "loss_se", "bits_per_byte", "params", "tokens", "flops", "steps")  # fields of a result
PLACES = ("folder", "study", "device", "threads")  # names whose value moves no id
TOLERANCE = 0.15  # by how much a rung of the ladder may miss the size that is asked for, as with our families
# Settings of the built-in trainer that no command has a use for.
UNUSED = (
    *("objective", "loss", "parallel", "field", "limit_bytes", "heldout_fraction", "subset", "split"),
    *("revision", "evaluation_tokens", "curve_evaluations", "curve_tokens"),
)

MEANINGS = {
    "family": "the arm: model.family",
    "width": "model.width, or that of a rung of trainer.ladder",
    "depth": "likewise",
    "params": "N by trainer.params",
    "tokens": "D, the training tokens of the run",
    "steps": "D / batch_tokens",
    "batch_tokens": "sequences x context",
    "learning_rate": "training.learning_rate, or the rule of the family in rates",
    "warmup_steps": "training.warmup_steps, one token per parameter at most where N is known",
    "cooldown_steps": "training.cooldown x steps",
    "seed": "seed",
    "folder": "the run's own folder: the same after a restart",
    "study": "name of the study",
    "device": "where it was placed, e.g. cuda:0",
    "threads": "training.threads",
}
_COUNTS = frozenset({"sequences", "microbatch", "vocab", "context", "width", "depth", "seed", "threads"})


@dataclass(frozen=True, kw_only=True)
class CommandSpec(TrunkSpec):
    """What a command is told, and how its result is read. What of the recipe it is not told is no part."""

    command: str  # the template
    told: tuple[tuple[str, Any], ...]  # every name that it reads, but for places and, in branches, steps
    result: str
    reads: tuple[tuple[str, str], ...]  # ours → theirs
    size: int | None  # N, where it is known before
    params_text: str | None
    flops_text: str | None
    resume: str | None
    checkpoint: str | None
    branches: bool
    timeout: float | None
    environment: tuple[str, ...]
    known: tuple[tuple[str, Any], ...]  # every name that has a value

    @cached_property
    def id(self) -> str:
        return f"{slug(self.family)}-{self.shape.replace('·', 'run')}-{spec_digest(self.identity())}"

    @property
    def shape(self) -> str:
        return f"{self.width}x{self.depth}" if self.width and self.depth else "·"

    def identity(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "trainer": "command",
            "family": self.family,
            "command": self.command,
            "told": dict(self.told),
        }
        body |= {"result": self.result, "fields": dict(self.reads), "branches": self.branches}
        return body | {"params": self.params_text, "flops": self.flops_text, "size": self.size}

    def to_dict(self) -> dict[str, Any]:
        """What it was told, a setting each, and the command."""
        settings = {name: value for name, value in self.told if name not in ("tokens", "steps")}
        return {"family": self.family, **settings, "command": self.command}


@dataclass(frozen=True)
class CommandRun(RunSpec):
    """One run of a command: so many tokens."""

    seen: int = 0

    @property
    def tokens(self) -> int:
        return self.seen

    @cached_property
    def id(self) -> str:
        trunk = cast(CommandSpec, self.trunk)
        shape = trunk.shape.replace("·", "run")
        return f"{slug(trunk.family)}-{shape}-{readable(self.tokens)}-{spec_digest(self.identity())}"

    def identity(self) -> dict[str, Any]:
        return {"trunk": self.trunk.identity(), "steps": self.steps, "tokens": self.tokens}

    def to_dict(self) -> dict[str, Any]:
        return {"trunk": self.trunk.to_dict(), "steps": self.steps}


@dataclass(frozen=True)
class CommandTrunk(Trunk):
    """What one command trains: a run, or a trunk with branches where it can.

    `params` is NaN where only the result will tell.
    """

    def values(self, **places: Any) -> dict[str, Any]:
        """Every name of the template and its value: of branches, lists of steps and tokens with commas."""
        spec = cast(CommandSpec, self.spec)
        listed: dict[str, Any] = {
            "steps": ",".join(str(run.steps) for run in self.runs),
            "tokens": ",".join(str(run.tokens) for run in self.runs),
        }
        return {**dict(spec.known), **(listed if spec.branches else {}), **places}

    @property
    def code(self) -> dict[str, str]:
        """Digests of the files that the command names once its names have their values (`command_code`)."""
        places = {"folder": "", "study": "", "device": "", "threads": ""}
        words = render(cast(CommandSpec, self.spec).command, self.values(**places))
        return command_code(shlex.join(words))

    def tau(self, run: RunSpec) -> float | None:
        """None: what a command does with rate and decay is not known."""
        return None

    def flops_of(self, params: float, tokens: int) -> float:
        """Training FLOPs of a run."""
        spec = cast(CommandSpec, self.spec)
        if spec.flops_text is None:
            return 6.0 * params * tokens
        steps = round(tokens / max(1, spec.batch_tokens))
        return evaluate(
            spec.flops_text, {**dict(spec.known), "params": params, "tokens": tokens, "steps": steps}
        )


def render(template: str, values: Mapping[str, Any]) -> list[str]:
    """Return the words of a command. The template is split first, so a value is never more than one word.

    Raises:
        ValueError: for a template that cannot be split or names what has no value.
    """
    return ["".join(_fill(word, values)) for word in _split(template)]


def _split(template: str) -> list[str]:
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise ValueError(f"trainer.command: {template!r} cannot be split into words: {error}.") from error
    if not words:
        raise ValueError("trainer.command: a command is needed, e.g. trainer.command='python train.py …'.")
    return words


def _fill(word: str, values: Mapping[str, Any]) -> list[str]:
    parts = []
    for text, name, form, _ in _pieces(word):
        parts.append(text)
        if name is not None:
            parts.append(_say(name, values[name], form or ""))
    return parts


def _pieces(word: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(Formatter().parse(word))
    except ValueError as error:
        raise ValueError(f"trainer.command: {word!r}: {error}. Write a literal brace twice.") from error


def _say(name: str, value: Any, form: str) -> str:
    try:
        return format(value, form) if form else str(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"trainer.command: {{{name}:{form}}} does not suit {value!r}: {error}.") from error


def names_read(template: str) -> list[str]:
    """Return the names in a template, each once.

    Raises:
        ValueError: for what is no template.
    """
    found = [name for word in _split(template) for _, name, _, _ in _pieces(word) if name is not None]
    return list(dict.fromkeys(found))


def decide_command(config: RunConfig) -> list[Trunk]:
    """Every trunk of one job: a run each, or one with branches where the command can.

    Raises:
        ValueError: for a command that names what there is not, or that is not told how long to train; a size
            that the ladder does not have; a budget that needs an N which is not known.
    """
    _check(config)
    return [trunk for rung in _rungs(config) for trunk in _of_shape(config, rung)]


def describe_names(config: RunConfig) -> list[tuple[str, str, str]]:
    """Every name, its value in the first run of a job, and what it is."""
    rung = _rungs(config)[0]
    tokens = config.budget.amounts()[0] if config.budget.kind == "tokens" else None
    values = {**_known(config, rung, None if tokens is None else int(tokens)), **_places(config)}
    own = config.trainer.names.keys() | config.trainer.formulas.keys() | rung.keys()
    keys = {f.name: f"{section}.{f.name}" for section, f in _sections(config)}
    return [
        (name, str(values.get(name, "?")), MEANINGS.get(name, "yours" if name in own else keys.get(name, "")))
        for name in sorted({*values, *MEANINGS})
    ]


def _places(config: RunConfig) -> dict[str, Any]:
    return {
        "folder": f"{config.runs}/{config.name}/…",
        "study": config.name,
        "device": config.training.device,
        "threads": config.training.threads or "",
    }


def _check(config: RunConfig) -> None:
    trainer = config.trainer
    if not trainer.command:
        raise ValueError("trainer.command: give the command, e.g. trainer.command='python train.py …'.")
    wrong = [name for name in trainer.fields if name not in READS]
    if wrong:
        near = difflib.get_close_matches(wrong[0], READS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"trainer.fields: a result has no {wrong[0]!r}.{hint} There are {', '.join(READS)}.")
    if trainer.branches and config.trainer.fields.keys().isdisjoint({"steps", "tokens"}):
        raise ValueError(
            "trainer.branches: a result of each branch is needed: name the field that tells them apart, e.g. "
            "trainer.fields={loss: val_loss, steps: step}."
        )
    if config.tasks:
        raise ValueError("tasks: a model that a command trained cannot be evaluated here; remove tasks.")
    if config.training.parallel.value != "none":
        raise ValueError(
            "training.parallel: a command starts its own processes, e.g. trainer.command='torchrun …'."
        )


def _rungs(config: RunConfig) -> list[dict[str, Any]]:
    """The shapes that a job asks for: one, or the whole ladder where it asks for none."""
    model, trainer = config.model, config.trainer
    ladder: list[dict[str, Any]] = [dict(rung) for rung in trainer.ladder]
    asked = {key: getattr(model, key) for key in ("width", "depth") if getattr(model, key) is not None}
    if asked:
        fits = [rung for rung in ladder if all(rung.get(key) == value for key, value in asked.items())]
        if ladder and not fits:
            shapes = ", ".join(str(rung) for rung in ladder)
            raise ValueError(f"trainer.ladder: no rung has {asked}; there are {shapes}.")
        return fits[:1] or [asked]
    if model.params is None:
        return ladder or [{}]
    if not ladder:
        return [{"params": int(model.params)}] if trainer.params is None else _needs_ladder(model.params)
    size = model.params
    sizes = [(_params(config, rung), rung) for rung in ladder]
    if any(size is None for size, _ in sizes):
        raise ValueError("model.params: the size of a rung is not known; give trainer.params, a formula.")
    best, rung = min(sizes, key=lambda item: abs(math.log((item[0] or 1) / size)))
    if best is None or abs(best / model.params - 1) > TOLERANCE:
        known = ", ".join(readable(size or 0) for size, _ in sizes)
        raise ValueError(f"model.params: no rung of trainer.ladder is near {model.params:g}; it has {known}.")
    return [rung]


def _needs_ladder(params: float) -> list[dict[str, Any]]:
    raise ValueError(
        f"model.params: {params:g} is a size, and its shape is not known: give trainer.ladder, or sweep "
        "model.width and model.depth."
    )


def _params(config: RunConfig, rung: Mapping[str, Any]) -> int | None:
    """N of a shape by the user's formula, or as the rung says; None where only the result will tell."""
    text = config.trainer.params
    if text is None:
        return None if rung.get("params") is None else int(rung["params"])
    known = _known(config, rung, None, sized=False)
    if PATTERN.fullmatch(text):
        return count_model(text, known)
    value = evaluate(text, known)
    if value < 1:
        raise ExpressionError(f"trainer.params: {text!r} is {value:g} for {dict(rung)}; N is 1 or more.")
    return round(value)


def _of_shape(config: RunConfig, rung: Mapping[str, Any]) -> list[Trunk]:
    params = _params(config, rung)
    budgets = [_tokens(config, amount, params) for amount in config.budget.amounts()]
    if config.trainer.branches:
        return [_trunk(config, rung, params, sorted(set(budgets)))]
    return [_trunk(config, rung, params, [tokens]) for tokens in sorted(set(budgets))]


def _tokens(config: RunConfig, amount: float, params: int | None) -> int:
    kind = config.budget.kind
    if kind == "tokens":
        return max(1, round(amount))
    if params is None:
        raise ValueError(f"budget.{kind}: needs N; give trainer.params, a formula, or budget.tokens.")
    if kind == "compute" and config.trainer.flops is not None:
        raise ValueError("budget.compute: is taken as 6 N D; with trainer.flops give budget.tokens.")
    return max(1, round(amount * params if kind == "tokens_per_param" else amount / (6 * params)))


def _sections(config: RunConfig) -> list[tuple[str, Any]]:
    parts: dict[str, Any] = {"training": config.training, "data": config.data, "model": config.model}
    return [(name, f) for name, part in parts.items() for f in fields(part)]


def _known(
    config: RunConfig, rung: Mapping[str, Any], tokens: int | None, *, sized: bool = True
) -> dict[str, Any]:
    """Every name that has a value, but for places: the config's, then the rung's, then the user's own."""
    found: dict[str, Any] = {}
    for section, f in _sections(config):
        value = getattr(getattr(config, section), f.name)
        value = value.value if isinstance(value, Enum) else value
        if f.name not in (*PLACES, *UNUSED) and isinstance(value, int | float | str):
            whole = f.name in _COUNTS and isinstance(value, float) and value == int(value)
            found.setdefault(f.name, int(value) if whole else value)
    found.pop("params", None)
    found |= {"seed": config.seed, "batch_tokens": int(found["sequences"] * found["context"])}
    found |= rung
    own = _own_names(config.trainer, found)  # a formula for N may use them
    params = _params(config, rung) if sized else None
    found |= {} if params is None else {"params": params}
    warmup = int(config.training.warmup_steps)
    found["warmup_steps"] = warmup if params is None else warmup_steps(warmup, params, found["batch_tokens"])
    if tokens is not None:
        steps = max(1, round(tokens / found["batch_tokens"]))
        found |= {"tokens": tokens, "steps": steps}
        found["cooldown_steps"] = round(config.training.cooldown * steps)
    rate = _rate(config, params, tokens, found["batch_tokens"])
    found |= {} if rate is None else {"learning_rate": rate}
    return found | (_own_names(config.trainer, found) if sized else own)


def _rate(config: RunConfig, params: int | None, tokens: int | None, batch_tokens: int) -> float | None:
    if config.training.learning_rate is not None:
        return config.training.learning_rate
    if params is None or tokens is None:
        return None
    try:
        return default_learning_rate(config.rates, config.model.family, params, tokens, batch_tokens)
    except ValueError:  # of a family without a rule; refused where the command reads it
        return None


def _own_names(trainer: TrainerConfig, known: Mapping[str, Any]) -> dict[str, Any]:
    """The user's names: numbers and text as they are, and formulas on names that have a value by now."""
    for key in ("names", "formulas"):
        for name in getattr(trainer, key):
            if not name.isidentifier() or name in PLACES:
                raise ValueError(f"trainer.{key}: {name!r} cannot be a name of yours; choose another.")
    found = dict(trainer.names)
    for name, text in trainer.formulas.items():
        values = {**known, **found}
        missing = [inner for inner in names_in(text) if inner not in values]
        if not set(missing) <= MEANINGS.keys():
            raise ValueError(f"trainer.formulas.{name}: {unknown_name(missing[0], values)}.")
        if not missing:  # else it is one of the size or the budget, which are not decided yet
            number = evaluate(text, values)
            found[name] = int(number) if number == int(number) else number
    return found


def _trunk(config: RunConfig, rung: Mapping[str, Any], params: int | None, budgets: Sequence[int]) -> Trunk:
    """What one command trains: runs of these tokens."""
    trainer, longest = config.trainer, budgets[-1]
    known = _known(config, rung, longest)
    told = _told(config, known)
    batch = known["batch_tokens"]
    length = {"steps", "tokens", "cooldown_steps"}
    render(
        f"{trainer.command} {trainer.resume or ''}", {**known, **_places(config)}
    )  # or it cannot be: raises
    kept = {name: value for name, value in told.items() if not (trainer.branches and name in length)}
    spec = CommandSpec(
        **_recipe(config, known),
        command=" ".join(str(trainer.command).split()),
        told=tuple(sorted(kept.items())),
        result=trainer.result,
        reads=tuple(sorted({"loss": "loss", **trainer.fields}.items())),
        size=params,
        params_text=trainer.params,
        flops_text=trainer.flops,
        resume=trainer.resume,
        checkpoint=trainer.checkpoint,
        branches=trainer.branches,
        timeout=trainer.timeout,
        environment=tuple(trainer.environment),
        known=tuple(sorted(known.items())),
    )
    runs = []
    for tokens in budgets:
        steps = max(1, round(tokens / batch))
        seen = tokens if "tokens" in told else steps * batch
        runs.append(CommandRun(spec, steps, 0, 0, seen=seen))
    size = cast(int, math.nan if params is None else params)
    trunk = CommandTrunk(spec, tuple(runs), size, size, size, math.nan, UNSTATED)
    total = sum(trunk.flops_of(size, run.tokens) for run in runs)
    return replace(trunk, flops_per_token=total / sum(run.tokens for run in runs))


def _told(config: RunConfig, known: Mapping[str, Any]) -> dict[str, Any]:
    """The names that the command reads, those within the user's own included, and their values.

    Raises:
        ValueError: for a name that has no value, or a command that is not told how long to train.
    """
    trainer = config.trainer
    names = names_read(f"{trainer.command} {trainer.resume or ''}")
    for name in names:
        if name in known or name in PLACES:
            continue
        if name == "learning_rate":
            default_learning_rate(config.rates, config.model.family, 1, 1, 1)  # says what is missing
        if name in MEANINGS or name in {f.name for _, f in _sections(config)}:
            raise ValueError(
                f"trainer.command: {{{name}}} has no value in this job: {MEANINGS.get(name, '')}."
            )
        raise ValueError(f"trainer.command: {unknown_name(name, {*known, *PLACES})}.")
    inner = [n for name in names if name in trainer.formulas for n in names_in(trainer.formulas[name])]
    if not {"steps", "tokens"} & {*names, *inner}:
        raise ValueError(
            "trainer.command: does not say how long to train: use {steps} or {tokens}, e.g. "
            "--max_iters={steps}."
        )
    return {name: known[name] for name in names if name not in PLACES}


def _recipe(config: RunConfig, known: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a trunk's spec that commands and tables read; they are no part of the identity."""
    training = config.training
    options = vars(config.data.options())
    return {
        "family": config.model.family,
        "width": int(known.get("width") or 0),
        "depth": int(known.get("depth") or 0),
        "data": DataSpec(**options, fingerprint=UNSTATED, context=int(known["context"])),
        "seed": config.seed,
        "sequences": int(known["sequences"]),
        "microbatch": int(training.microbatch or known["sequences"]),
        "learning_rate": known.get("learning_rate", math.nan),
        "weight_decay": training.weight_decay,
        "beta1": training.beta1,
        "beta2": training.beta2,
        "clip": training.clip,
        "warmup_steps": int(known["warmup_steps"]),
        "horizon": None,
        "precision": UNSTATED,
    }
