"""`hydra/sweeper=optuna`: search for the recipe with the lowest loss, for one model and one budget.

A trial is an ordinary run of the study. What was tried stands in `trials.json`, what came of it in the
records, so a search that was interrupted goes on where it was, and one that is asked for more trials adds
them. The sampler is made anew for every few trials from the seed and what is known by then: a search that was
interrupted tries what an uninterrupted one tries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.launch.devices import share_machine
from scaling.launch.study import StudyObserver, StudyResult, run_study
from scaling.records.reading import LARGEST_PLAN, read_json
from scaling.records.record import RunRecord, StudyRecords, read_study
from scaling.records.storage import Lock, LockedError, make_folder, quarantine, write_atomic, write_json
from scaling.study.axes import Axis
from scaling.study.command import CommandTrunk
from scaling.study.decide import rate_params
from scaling.study.plan import Plan, plan_jobs
from scaling.study.rates import rule_name, rule_through
from scaling.study.sources import FOUND_RATES

if TYPE_CHECKING:
    import optuna

TRIALS_FILE = "trials.json"
Train = Callable[..., StudyResult]  # `run_study`, some of its options given

STARTUP = 8  # trials at random before the sampler believes what it sees


@dataclass(frozen=True)
class Search:
    """What a file like conf/hydra/sweeper/optuna.yaml says."""

    n_trials: int = 20
    n_jobs: int = 4
    seed: int = 0
    params: Any = None  # the axes, read by `study.compose`

    def __post_init__(self) -> None:
        for key in ("n_trials", "n_jobs"):
            value = getattr(self, key)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"hydra.sweeper.{key}: a whole number, at least 1; got {value!r}.")


def read_settings(plan: Plan) -> Search:
    """The composed `hydra.sweeper` of a search.

    Raises:
        ValueError: for keys that a search does not have, values out of range, or a study that it cannot be.
    """
    settings = {key: value for key, value in plan.composition.sweeper.items() if key != "_target_"}
    unknown = settings.keys() - Search.__dataclass_fields__.keys()
    if unknown:
        names = ", ".join(f"hydra.sweeper.{name}" for name in sorted(unknown))
        raise ValueError(f"{names}: not a setting of a search; there are n_trials, n_jobs, seed and params.")
    if plan.config.max_flops is not None:
        raise ValueError("max_flops: a search is bounded by hydra.sweeper.n_trials; remove max_flops.")
    if plan.config.tasks:
        raise ValueError("tasks: a search looks at losses; measure its best run with scaling evaluate.")
    return Search(**settings)


@dataclass(frozen=True)
class Trial:
    """What was tried, and the record of the run that judges it: that with the largest budget."""

    number: int  # 1 on
    values: dict[str, Any]  # by key of the config
    run_id: str
    record: RunRecord | None = None  # None where it is still missing

    @property
    def loss(self) -> float:
        """Held-out [nats/token]; infinite where the run diverged."""
        assert self.record is not None
        return float("inf") if self.record.loss is None else self.record.loss


@dataclass(frozen=True)
class SearchResult:
    """What a search has found so far."""

    plan: Plan  # of what all trials share
    trials: tuple[Trial, ...]
    unused: int  # earlier trials under this name, of other ranges or another recipe
    last: StudyResult | None  # of the trials that were run last; None where all had been done

    @property
    def best(self) -> Trial | None:
        """The trial of lowest loss."""
        done = [trial for trial in self.trials if trial.record is not None and trial.record.loss is not None]
        return min(done, key=lambda trial: trial.loss, default=None)

    @property
    def timed_out(self) -> bool:
        """Whether `max_hours` ended it."""
        return self.last is not None and self.last.timed_out


def run_search(
    plan: Plan,
    watch: Callable[[Plan], AbstractContextManager[StudyObserver]],
    tell: Callable[[SearchResult], None] = lambda _: None,
    train: Train = run_study,
) -> SearchResult:
    """Try until `n_trials` have been tried, and write what was found as a file for `rates=NAME`.

    Args:
        plan: of a composition with axes.
        watch: gives an observer for the plan of a few trials.
        tell: hears after every few trials of all that is known.
        train: `run_study`, or that with other options.

    Raises:
        ValueError: for settings out of range, or while another command searches under this name.
        ModuleNotFoundError: without the package optuna.
        Stopped, OSError: as `run_study`.
    """
    settings = read_settings(plan)
    _import_optuna()
    check_ends(plan)
    make_folder(plan.folder)
    try:
        with Lock(plan.folder / "search.lock"):
            return _search(plan, settings, watch, tell, train)
    except LockedError as error:
        raise ValueError(f"study {plan.name} is being searched by another command: {error}") from error


def check_ends(plan: Plan) -> None:
    """Decide a trial at each end of each axis, so that what cannot be trained is known before anything is.

    Raises:
        PlanError: listing every one that cannot be decided.
    """
    ends = [{axis.key: value} for axis in plan.composition.axes for value in axis.ends()]
    plan_jobs(plan, plan.composition.with_jobs(ends))


def _search(
    plan: Plan,
    settings: Search,
    watch: Callable[[Plan], AbstractContextManager[StudyObserver]],
    tell: Callable[[SearchResult], None],
    train: Train,
) -> SearchResult:
    begin = time.monotonic()
    path = plan.folder / TRIALS_FILE
    crowd = replace(
        plan, trunks=plan.trunks * settings.n_jobs
    )  # of one size: the same threads for every trial
    threads = share_machine(crowd).threads
    tried, others = _of_this_study(plan, _read_trials(path))
    result = _result(plan, tried, others, None)
    given_up: set[int] = set()
    while True:
        fresh = min(settings.n_jobs, settings.n_trials - len(tried))
        waiting = [trial for trial in result.trials if trial.record is None and trial.number not in given_up]
        if not waiting and fresh > 0:
            values = ask(plan.composition.axes, result.trials, fresh, settings.seed)
            waiting = _plan_trials(plan, values, len(others) + len(tried))
            tried += waiting
            write_json(path, {"trials": [_row(trial) for trial in (*others, *tried)]})
        if not waiting:
            break
        now = _with_trials(plan, waiting, threads, begin)
        with watch(now) as observer:
            last = train(now, observer) if result.last is None else train(now, observer, replace_plan=False)
        result = _result(plan, tried, others, last)
        given_up |= {trial.number for trial in result.trials if trial.record is None}
        tell(result)
        if last.timed_out:
            break
    if result.best is not None and not any(isinstance(trunk, CommandTrunk) for trunk in plan.trunks):
        write_atomic(plan.folder / FOUND_RATES, describe_rates(result).encode())
    return result


def ask(axes: Sequence[Axis], trials: Sequence[Trial], number: int, seed: int) -> list[dict[str, Any]]:
    """What to try next, knowing what became of these trials; all of it at once.

    Optuna's tree-structured Parzen estimator; those that are being tried count as bad, so that a few at once
    differ. Source: Bergstra et al. 2011 (NeurIPS 24).
    """
    optuna = _import_optuna()
    space = {axis.key: _distribution(axis) for axis in axes}
    sampler = optuna.samplers.TPESampler(
        seed=seed * 100_003 + len(trials), n_startup_trials=STARTUP, constant_liar=True
    )
    study = optuna.create_study(sampler=sampler)
    for trial in trials:
        if trial.record is not None and _inside(trial, axes):
            values = {axis.key: trial.values[axis.key] for axis in axes}
            study.add_trial(optuna.trial.create_trial(params=values, distributions=space, value=trial.loss))
    asked = [study.ask(space).params for _ in range(number)]
    return [{axis.key: axis.rounded(values[axis.key]) for axis in axes} for values in asked]


def _distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    kinds = _import_optuna().distributions
    found: optuna.distributions.BaseDistribution
    if axis.choices:
        found = kinds.CategoricalDistribution(axis.choices)
    elif axis.step is not None:
        found = kinds.IntDistribution(int(axis.low), int(axis.high), step=axis.step)
    else:
        found = kinds.FloatDistribution(axis.low, axis.high, log=axis.log)
    return found


def _import_optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "hydra/sweeper=optuna needs the package optuna: pip install 'scaling-harness[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _inside(trial: Trial, axes: Sequence[Axis]) -> bool:
    same = trial.values.keys() == {axis.key for axis in axes}
    return same and all(axis.holds(trial.values[axis.key]) for axis in axes)


def _with_trials(plan: Plan, trials: Sequence[Trial], threads: int | None, begin: float) -> Plan:
    """The plan of these trials; `max_hours` counts from `begin`."""
    found = plan_jobs(plan, plan.composition.with_jobs(trial.values for trial in trials))
    config = replace(plan.config, training=replace(plan.config.training, threads=threads))
    if config.max_hours is not None:
        config = replace(config, max_hours=max(config.max_hours - (time.monotonic() - begin) / 3600, 1e-9))
    return replace(found, config=config)


def _plan_trials(plan: Plan, values: Sequence[dict[str, Any]], before: int) -> list[Trial]:
    """New trials, each with the run that judges it."""
    trials = []
    for number, chosen in enumerate(values, before + 1):
        runs = plan_jobs(plan, plan.composition.with_jobs([chosen])).runs
        _, judge = max(runs, key=lambda pair: pair[1].tokens)
        trials.append(Trial(number, chosen, judge.id))
    return trials


def _of_this_study(plan: Plan, trials: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
    """The trials that this command would judge by the same runs, and all others.

    Under one name, an earlier command may have searched other ranges, or with another model or budget.
    """
    mine = []
    for trial in trials:
        if _inside(trial, plan.composition.axes):
            (now,) = _plan_trials(plan, [trial.values], trial.number - 1)
            mine += [trial] if now.run_id == trial.run_id else []
    return mine, [trial for trial in trials if trial not in mine]


def _result(
    plan: Plan, tried: Sequence[Trial], others: Sequence[Trial], last: StudyResult | None
) -> SearchResult:
    records = {} if not tried else {r.run_id: r for r in _read(plan.folder).records}
    trials = tuple(replace(trial, record=records.get(trial.run_id)) for trial in tried)
    return SearchResult(plan, trials, len(others), last)


def _read(folder: Path) -> StudyRecords:
    try:
        return read_study(folder)
    except FileNotFoundError:  # nothing was trained before it was interrupted
        return StudyRecords(folder, folder.name, (), {}, {}, {})


def _row(trial: Trial) -> dict[str, Any]:
    return {"number": trial.number, "run_id": trial.run_id, "values": trial.values}


def _read_trials(path: Path) -> list[Trial]:
    """What was tried so far. A damaged file is set aside: the search does not know its runs, which stay."""
    try:
        rows = read_json(path, LARGEST_PLAN)["trials"]
        return [Trial(int(row["number"]), dict(row["values"]), str(row["run_id"])) for row in rows]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        quarantine(path.parent.resolve() / path.name, f"unreadable trials: {error!r}")
        return []


def describe_rates(result: SearchResult) -> str:
    """`rates.yaml`: the rules of the study, that of the family moved to pass through what was found."""
    best = result.best
    assert best is not None
    record, config = best.record, result.plan.config
    assert record is not None
    assert record.vocab
    assert record.context
    assert record.learning_rate
    assert record.batch_tokens
    params = rate_params(config, record.params, record.vocab, record.context)
    optimizer = config.optimizer.name
    rule = rule_through(
        *(record.learning_rate, config.rates, record.family, params, record.tokens, record.batch_tokens),
        optimizer,
    )
    rules = {**config.rates, rule_name(record.family, optimizer): rule}
    lines = [
        f"# The best of {len(result.trials)} trials of study {result.plan.name}: loss {record.loss:.4f} with",
        f"# {' '.join(f'{key}={value}' for key, value in best.values.items())}",
        f"# at N {record.params:,}, D {record.tokens:,}; the exponents are those that it began with.",
    ]
    for family, values in rules.items():
        lines.append(f"{family}: {{{', '.join(f'{k}: {v:.8g}' for k, v in asdict(values).items())}}}")
    return "\n".join(lines) + "\n"
