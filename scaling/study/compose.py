"""Hydra composes: command-line overrides → the config of every job.

The only file that touches Hydra's private API: `PRIVATE` lists what of it, and a test fails by name when a
release of Hydra moves any of it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.conf import HydraConf
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scaling.study.axes import Axis, read_axes
from scaling.study.config import RunConfig, register
from scaling.study.extensions import load_extensions
from scaling.study.keys import choices, explain_unknown, is_key, lies_in_dict, sections
from scaling.study.mistakes import explain, explain_override
from scaling.study.sources import FOUND_RATES, OneFile, Sources, config_folder

PRIVATE = (
    "hydra._internal.callbacks:Callbacks",
    "hydra._internal.config_loader_impl:ConfigLoaderImpl._apply_overrides_to_config",
    "hydra._internal.config_repository:ConfigRepository.initialize_sources",
    "hydra._internal.config_repository:ConfigRepository.load_config",
    "hydra._internal.core_plugins.basic_sweeper:BasicSweeper.split_arguments",
    "hydra._internal.core_plugins.bash_completion:BashCompletion._query",
    "hydra._internal.hydra:Hydra.format_config_groups",
    "hydra._internal.hydra:Hydra.show_cfg",
    "hydra._internal.hydra:Hydra.show_info",
    "hydra.core.plugins:Plugins.instantiate_launcher",
    "hydra.core.plugins:Plugins.register",
)
GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # every combination of the comma lists
SEARCH = "scaling.launch.search.Search"
TEXTS = (  # keys whose values are text as it stands, and not Hydra's grammar
    *("trainer.command", "trainer.params", "trainer.flops", "trainer.resume"),
    *("trainer.fields.", "trainer.formulas."),
)
OPEN = ("trainer.names.", "trainer.formulas.", "trainer.fields.", "data.settings.")
GRID_KEYS = {"_target_", "max_batch_size", "params"}

Overrides = tuple[str, ...]

FIELDS = tuple(field.name for field in fields(RunConfig))
HYDRA_FIELDS = tuple(field.name for field in fields(HydraConf))
SECTIONS = sections()


class PlanError(ValueError):
    """What was asked cannot be decided. The message lists every job that is wrong, and why."""


@dataclass(frozen=True)
class Job:
    """One Hydra job as composed: its overrides and its config."""

    overrides: Overrides
    config: RunConfig


@dataclass(frozen=True)
class Composition:
    """Every job of a sweep, and the config that they share, Hydra's own part of it included."""

    jobs: tuple[Job, ...]
    shared: DictConfig
    sources: Sources = field(default_factory=Sources)
    axes: tuple[Axis, ...] = ()  # of a search: the one job is what all its trials share
    extensions: tuple[str, ...] = ()  # absolute paths of the files that were loaded for it

    @property
    def launcher(self) -> dict[str, Any]:
        """`hydra.launcher`: its class under `_target_`, and its settings."""
        found: dict[str, Any] = OmegaConf.to_container(self.shared.hydra.launcher, resolve=True)  # type: ignore[assignment]
        return found

    @property
    def sweeper(self) -> dict[str, Any]:
        """`hydra.sweeper`, likewise."""
        found: dict[str, Any] = OmegaConf.to_container(self.shared.hydra.sweeper, resolve=True)  # type: ignore[assignment]
        return found

    def to_yaml(self) -> str:
        """The shared config as Hydra writes it into `multirun.yaml`."""
        return OmegaConf.to_yaml(self.shared)

    def with_jobs(self, values: Iterable[dict[str, Any]]) -> Composition:
        """The same with a job for each of these values of swept keys.

        Raises:
            PlanError: for a value that the schema refuses.
        """
        (base,) = self.jobs
        lines = [tuple(f"{key}={_written(value)}" for key, value in chosen.items()) for chosen in values]
        with _hydra(self.sources):
            batch = [base.overrides + more for more in lines]
            return replace(self, jobs=_compose_jobs(batch, self.sources, self.shared))


@contextmanager
def _hydra(sources: Sources) -> Iterator[None]:
    """Have Hydra initialised with our schema, `conf/` and what else is searched, while inside."""
    register()
    with (
        warnings.catch_warnings(),
        initialize_config_dir(str(config_folder()), version_base="1.3", job_name="scaling"),
    ):
        warnings.filterwarnings(
            "error", r"[\s\S]*is not\s+available", UserWarning
        )  # a searchpath: else only said
        Plugins.instance().register(OneFile)
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoaderImpl)
        path = loader.get_search_path()
        for folder in sources.folders:
            path.prepend("own", f"file://{folder}", SearchPathQuery(provider="schema"))
        for file in sources.files:
            path.prepend("file", f"{OneFile.scheme()}://{file}", SearchPathQuery(provider="main"))
        loader.repository.initialize_sources(path)
        yield


EXPECTED = (HydraException, OmegaConfBaseException, yaml.YAMLError, UserWarning)  # of a config that is wrong


@dataclass(frozen=True)
class _Sweep:
    """What all jobs share, and the overrides of each; `axes` where they are searched for."""

    shared: DictConfig
    batch: list[Overrides]
    axes: tuple[Axis, ...] = ()


def compose_study(overrides: Sequence[str], sources: Sources | None = None) -> Composition:
    """Compose every job of the sweep that these overrides and the study they name ask for.

    Raises:
        PlanError: for unknown keys, wrong types, values out of range; all jobs are tried first.
    """
    overrides, sources = _with_files(overrides, sources or Sources.here())
    with _hydra(sources):
        extensions = _load_extensions(overrides, sources)
        sweep = _split(overrides, sources)
        jobs = _compose_jobs(sweep.batch, sources, sweep.shared)
        return Composition(jobs, sweep.shared, sources, sweep.axes, extensions)


def _load_extensions(overrides: Sequence[str], sources: Sources) -> tuple[str, ...]:
    """Load the extensions that a study and its overrides name, so that what they register can be asked for.

    Read from the files as they are: only then is it known which keys there are.

    Raises:
        PlanError: for one that is missing or broken.
    """
    parsed = _parse(overrides)
    said = [o for o in parsed if o.key_or_group == "extensions"]
    names = [sources.name]
    names += [
        f"study/{o.value()}" for o in parsed if o.key_or_group == "study" and isinstance(o.value(), str)
    ]
    asked: Any = []
    folders: list[Path] = []
    for name in names:
        try:
            found = GlobalHydra.instance().config_loader().repository.load_config(name)  # type: ignore[attr-defined]
        except EXPECTED as error:
            raise PlanError(explain(error)) from error
        if found is not None and OmegaConf.is_dict(found.config) and "extensions" in found.config:
            asked = OmegaConf.to_container(found.config)["extensions"]  # type: ignore[call-overload,index]
            folders = [Path(found.path.removeprefix("file://")).parent]
    if said:
        asked, folders = said[-1].value(), []
    asked = [asked] if isinstance(asked, str) else asked or []
    if not isinstance(asked, list) or not all(isinstance(file, str) for file in asked):
        raise PlanError(
            f"extensions: a list of files is needed, e.g. extensions=[./my_model.py]; got {asked!r}."
        )
    try:
        loaded = load_extensions(asked, folders)
    except ValueError as error:
        raise PlanError(str(error)) from error
    register()
    return loaded


def _compose_jobs(
    batch: Sequence[Overrides], sources: Sources, shared: DictConfig | None = None
) -> tuple[Job, ...]:
    """
    Raises:
        PlanError: listing every job that cannot be composed.
    """
    composer = Composer(sources.name, shared)
    jobs: dict[Overrides, RunConfig] = {}
    problems: dict[str, list[Overrides]] = {}
    for job in batch:
        try:
            jobs[job] = composer.compose(job)
        except (*EXPECTED, ValueError) as error:
            problems.setdefault(explain(error), []).append(job)
    if problems:
        raise PlanError(report_problems(problems, batch))
    return tuple(Job(job, config) for job, config in jobs.items())


def one_study_each(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each study, where several are named: `study=smoke,demo`."""
    parsed = _parse(overrides)
    swept = [o for o in parsed if o.key_or_group == "study" and o.is_choice_sweep()]
    if not swept:
        return [list(overrides)]
    rest = [str(o.input_line) for o in parsed if o.key_or_group != "study"]
    return [[f"study={name}", *rest] for name in swept[-1].sweep_string_iterator()]


def _parse(overrides: Sequence[str]) -> list[Override]:
    """
    Raises:
        PlanError: for what is no override.
    """
    found = []
    for line in overrides:
        try:
            found.append(copy.copy(_parse_line(_quoted(line))))
        except HydraException as error:
            raise PlanError(explain_override(line, error)) from error
    return found


@lru_cache(maxsize=4096)  # the same lines are parsed five times on their way to a plan, 2 ms each
def _parse_line(line: str) -> Override:
    (parsed,) = OverridesParser.create().parse_overrides([line])
    return parsed


def _quoted(line: str) -> str:
    """Quote what is plain text, and let keys of the user's own be set as any other.

    So a command needs no second pair of quotes for Hydra's grammar, and `trainer.names.x=1` no plus sign.
    """
    key, equals, value = line.partition("=")
    name = key.lstrip("+")
    if not equals or name.startswith("~"):
        return line
    if f"{name}.".startswith(OPEN):
        key = f"++{name}"
    if name.startswith(TEXTS) and value[:1] not in ("'", '"') and value not in ("", "null"):
        value = _quote(value)
    return f"{key}={value}"


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _with_files(overrides: Sequence[str], sources: Sources) -> tuple[list[str], Sources]:
    """`study=./mine.yaml` and the like as `study=mine` with that file among the sources.

    Raises:
        PlanError: for a file that is not there.
    """
    lines = []
    parsed = _parse(overrides)
    runs = next((str(o.value()) for o in reversed(parsed) if o.key_or_group == "runs"), "runs")
    for o in parsed:
        file = _named_file(o, Path(runs), sources)
        if file is None:
            lines.append(_opened(o))
            continue
        name, path = file
        if not path.is_file():
            raise PlanError(f"{o.input_line}: no such file: {path.absolute()}.")
        sources = sources.with_file(o.key_or_group, name, path)
        lines.append(f"{o.get_key_element()}={_written(name)}")
    return lines, sources


def _opened(override: Override) -> str:
    """The override, such that it may name an entry that a dict of the schema does not have yet.

    Hydra asks for `++` there, and elsewhere refuses it only by the schema.
    """
    line = str(override.input_line)
    change = override.type is OverrideType.CHANGE
    return f"++{line}" if change and lies_in_dict(override.key_or_group) else line


def _named_file(override: Override, runs: Path, sources: Sources) -> tuple[str, Path] | None:
    """The name and path of a single file that is chosen for a config group, if it is one."""
    value, group = override.value(), override.key_or_group
    if not isinstance(value, str) or "." in group or group in set(FIELDS) - SECTIONS:
        return None
    if value.endswith((".yaml", ".yml")):
        path = Path(value).expanduser()
        return path.stem, path
    found = runs / value / FOUND_RATES  # what a search of that name has found
    if group == "rates" and found.is_file():
        folders = (str(config_folder()), *sources.folders)
        if not any((Path(folder) / "rates" / f"{value}.yaml").exists() for folder in folders):
            return value, found
    return None


def _split(overrides: Sequence[str], sources: Sources) -> _Sweep:
    """What all jobs of a sweep share, and the overrides of each job.

    Raises:
        PlanError: for what Hydra cannot compose, keys that the schema does not have, or an unknown sweeper.
    """
    parsed = _parse(overrides)
    fixed = [str(o.input_line) for o in parsed if not o.is_sweep_override()]
    try:
        shared = compose(sources.name, fixed, return_hydra_config=True)
    except EXPECTED as error:
        _refuse_unknown(parsed, None)
        raise PlanError(explain(error)) from error
    sweeper = OmegaConf.to_container(shared.hydra.sweeper, resolve=True)
    assert isinstance(sweeper, dict)
    swept = [f"{key}={_swept(value)}" for key, value in (sweeper.get("params") or {}).items()]
    everything = _parse(swept + list(overrides))
    _refuse_unknown(everything, shared)
    _refuse_hidden(parsed, shared, sources)
    final = list({o.get_key_element(): o for o in everything}.values())  # the last word counts
    if sweeper["_target_"] == SEARCH:
        axes = read_axes([o for o in final if o.is_sweep_override()])
        return _Sweep(shared, [tuple(_line(o) for o in final if not o.is_sweep_override())], axes)
    if sweeper["_target_"] != GRID:
        raise PlanError(
            f"hydra/sweeper: {sweeper['_target_']} is not used here. There are hydra/sweeper=grid, which is "
            "the default and takes comma-separated lists, and hydra/sweeper=optuna, which searches."
        )
    _check_grid(sweeper, final)
    (batch,) = BasicSweeper.split_arguments(everything, None)
    return _Sweep(shared, [tuple(job) for job in batch])


def _check_grid(sweeper: dict[Any, Any], overrides: Sequence[Override]) -> None:
    """
    Raises:
        PlanError: for what a grid would not heed.
    """
    ignored = sorted(f"hydra.sweeper.{key}" for key in sweeper.keys() - GRID_KEYS)
    if sweeper.get("max_batch_size") is not None:
        ignored.append("hydra.sweeper.max_batch_size (workers=N says how many train at a time)")
    if ignored:
        raise PlanError(f"a grid has no use for {', '.join(ignored)}; leave it out.")
    for o in overrides:
        if o.is_interval_sweep():
            raise PlanError(
                f"{o.input_line}: an interval has no list of values; give values, or search with "
                "hydra/sweeper=optuna."
            )


def _refuse_unknown(overrides: Iterable[Override], shared: DictConfig | None) -> None:
    """
    Args:
        shared: the composed config, or None where it could not be composed.

    Raises:
        PlanError: for keys that neither the schema nor a config group has, each with the nearest one.
    """
    overrides = list(overrides)
    if shared is None and any(o.key_or_group == "hydra.searchpath" for o in overrides):
        return  # its groups are not known
    groups = _groups(shared)
    unknown = [
        o.key_or_group
        for o in overrides
        if _field(o) not in groups | {"hydra"} and "/" not in o.key_or_group and not is_key(o.key_or_group)
    ]
    problems = [explain_unknown(key) for key in dict.fromkeys(unknown)]
    for o in overrides:
        section, _, rest = o.key_or_group.partition(".")
        if section == "hydra" and rest.partition(".")[0] not in HYDRA_FIELDS:
            problems.append(f"hydra has no key {rest}; there are {', '.join(HYDRA_FIELDS)}")
    if problems:
        raise PlanError("\n".join(problems))


def _groups(shared: DictConfig | None) -> set[str]:
    """Config groups of the search path, other than those of Hydra itself and of single files in sections."""
    loader = GlobalHydra.instance().config_loader()
    groups = set(loader.list_groups(""))
    for folder in _folders(shared) if shared is not None else ():
        groups |= {path.name for path in folder.iterdir() if path.is_dir()}
    return groups - {"hydra"}


def _folders(shared: DictConfig) -> list[Path]:
    """The folders of the search path that were used, the first that counts first."""
    found = shared.hydra.runtime.config_sources
    return [Path(source.path) for source in found if source.schema == "file"]


def _refuse_hidden(overrides: Sequence[Override], shared: DictConfig, sources: Sources) -> None:
    """
    Raises:
        PlanError: for a file that was named and that another file of this name hides.
    """
    given = {file.partition("=")[0] for file in sources.files}
    for o in overrides:
        option = f"{o.key_or_group}/{o.value()}"
        if not isinstance(o.value(), str) or option in given:
            continue
        files = [folder / f"{option}.yaml" for folder in _folders(shared)]
        files = [file for file in files if file.is_file()]
        if len({file.read_bytes() for file in files}) > 1:
            raise PlanError(
                f"{o.input_line}: {files[0]} hides {files[-1]}. Name the one you mean, "
                f"{o.key_or_group}={files[-1]}, or rename yours."
            )


def _line(override: Override) -> str:
    return f"{override.get_key_element()}={override.get_value_element_as_str()}"


def _swept(value: Any) -> str:
    """A value of `hydra.sweeper.params`: a string in Hydra's words for sweeps, or a YAML list of values."""
    if isinstance(value, list):
        return ",".join(map(_written, value)) if len(value) != 1 else _written(value[0])
    return value if isinstance(value, str) else _written(value)


def _written(value: Any) -> str:
    """A value in the grammar of overrides."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, str):
        try:
            if OverridesParser.create().parse_override(f"key={value}").value() == value:
                return value
        except HydraException:
            pass
        return _quote(value)
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))


def show_config(
    overrides: Sequence[str], sources: Sources, kind: str, package: str | None, resolve: bool
) -> None:
    """Print what `--cfg` asks for, of the first job of a sweep.

    Args:
        kind: job, hydra or all.

    Raises:
        PlanError: as `compose_study`, of the keys and types of what all jobs share.
    """
    overrides, sources = _with_files(overrides, sources)
    with _hydra(sources):
        _load_extensions(overrides, sources)
        sweep = _split(overrides, sources)
        first = sweep.batch[0]
        number = len(sweep.batch)
        if number > 1:
            told = set(first).difference(_shared(sweep.batch))
            print(f"# job 1 of {number}: {' '.join(line for line in first if line in told)}")
        try:
            GlobalHydra.instance().hydra.show_cfg(sources.name, list(first), kind, package, resolve)  # type: ignore[union-attr]
        except EXPECTED as error:
            raise PlanError(explain(error)) from error


def show_info(overrides: Sequence[str], sources: Sources, kind: str) -> None:
    """Print what `--info` asks for: all, config, defaults, defaults-tree, plugins or searchpath.

    Raises:
        PlanError: as `show_config`.
    """
    overrides, sources = _with_files(overrides, sources)
    with _hydra(sources):
        _load_extensions(overrides, sources)
        _split(overrides, sources)
        fixed = [str(o.input_line) for o in _parse(overrides) if not o.is_sweep_override()]
        GlobalHydra.instance().hydra.show_info(kind, sources.name, fixed)  # type: ignore[union-attr]


def describe_groups(sources: Sources) -> str:
    """A line a config group: its name, and what may be chosen."""
    with _hydra(sources):
        ours = GlobalHydra.instance().hydra.format_config_groups(  # type: ignore[union-attr]
            lambda name: not name.startswith("hydra/") or name in ("hydra/launcher", "hydra/sweeper")
        )
    return str(ours).rstrip()


def launch_by_hydra(
    composition: Composition, jobs: Sequence[Overrides], task: Callable[[DictConfig], None]
) -> None:
    """Have the composed launcher, Hydra's own or a plugin's, call `task` for each job.

    Raises:
        Exception: what the first job that failed has raised.
    """
    shared = composition.shared
    with _hydra(composition.sources):
        context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks(shared))
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=task, config=shared
        )
        for result in launcher.launch([list(job) for job in jobs], initial_job_idx=0):
            _ = result.return_value  # raises what the job has raised


def complete(line: str) -> list[str]:
    """What Hydra knows of the configuration that may follow `line`, the overrides so far."""
    from hydra._internal.core_plugins.bash_completion import BashCompletion

    with _hydra(Sources.here()):
        plugin = BashCompletion(GlobalHydra.instance().config_loader())
        found = plugin._query(config_name="config", line=line)
    key, equals, begun = line.rpartition(" ")[2].partition("=")
    *before, last = begun.split(",")  # of a comma list, the last one is still being typed
    start = f"{key}={''.join(f'{value},' for value in before)}"
    listed = [f"{start}{value}" for value in choices(key) if value.startswith(last)] if equals else []
    return listed or sorted(found)  # Hydra knows of the value that is set, and names it as Python does


class Composer:
    """Composes each choice of config groups once, and each section's settings once: 30 ms per job become 0.1.

    To be used while Hydra is initialised. A section is one field of `RunConfig`, e.g. `training`. Unless
    something refers to elsewhere (`${seed}`), what a job sets in one says nothing about another.

    Args:
        name: of the primary config.
        shared: what all jobs share, as composed. Where a job chooses no other groups, its sections are made
            from these, for each job sets what all share again: composing takes as long as all else.
    """

    def __init__(self, name: str, shared: DictConfig | None = None) -> None:
        parser = OverridesParser.create()
        self.parse = cache(lambda line: parser.parse_override(line))
        self.composed = cache(lambda chosen: compose(name, list(chosen)))
        self.known = {} if shared is None else self._chosen_by(shared)
        self.sections = cache(
            lambda chosen: self.known[chosen] if chosen in self.known else self.composed(chosen)
        )
        self.apart = cache(self._apart)
        self.section = cache(self._section)

    def _chosen_by(self, shared: DictConfig) -> dict[Overrides, DictConfig]:
        """The groups that it chooses → it, unless it sets anything else than plain values."""
        said: Any = OmegaConf.to_container(shared.hydra.overrides, resolve=False)  # `${…}` stays text
        parsed = [self.parse(line) for line in (*said["hydra"], *said["task"])]
        if not all(_plain(o) for o in parsed if not self._chooses(o)):
            return {}
        return {tuple(str(o.input_line) for o in parsed if self._chooses(o)): shared}

    def _apart(self, chosen: Overrides) -> bool:
        """Whether no section refers to elsewhere."""
        found = OmegaConf.to_container(self.sections(chosen))
        assert isinstance(found, dict)
        return not any("$" in str(found.get(name)) for name in FIELDS)

    def compose(self, overrides: Sequence[str]) -> RunConfig:
        """The config of one job.

        Raises:
            HydraException, OmegaConfBaseException, ValueError: for what cannot be composed.
        """
        parsed = [self.parse(line) for line in overrides]
        chosen = tuple(str(o.input_line) for o in parsed if self._chooses(o))
        set_values = [o for o in parsed if not self._chooses(o)]
        try:
            if self.apart(chosen) and all(map(_plain, set_values)):
                lines: dict[str, Overrides] = dict.fromkeys(FIELDS, ())
                for o in set_values:
                    lines[_field(o)] += (str(o.input_line),)
                return RunConfig(**{name: self.section(chosen, name, said) for name, said in lines.items()})
        except (HydraException, OmegaConfBaseException, ValueError):
            pass  # said below, as Hydra says it
        config = copy.deepcopy(self.composed(chosen))
        ConfigLoaderImpl._apply_overrides_to_config(set_values, config)
        whole = OmegaConf.to_object(config)
        if not isinstance(whole, RunConfig):
            raise ValueError("the primary config has no schema: begin its defaults list with run_schema.")
        return whole

    def _section(self, chosen: Overrides, name: str, lines: Overrides) -> Any:
        """What a section holds once these lines have set their values in it."""
        config = self.sections(chosen)
        before = copy.deepcopy(config[name])
        try:
            ConfigLoaderImpl._apply_overrides_to_config([self.parse(line) for line in lines], config)
            found = config[name]
            return OmegaConf.to_object(found) if OmegaConf.is_config(found) else found
        finally:
            config[name] = before

    def _chooses(self, override: Override) -> bool:
        key = override.key_or_group
        option = key in SECTIONS and isinstance(override.value(), str)
        return option or "/" in key or _field(override) not in FIELDS


def _plain(override: Override) -> bool:
    """Whether it sets one field, as `training.clip=2` does, and nothing else."""
    if override.type is not OverrideType.CHANGE or "$" in str(override.input_line):
        return False
    return _field(override) in FIELDS


def _field(override: Override) -> str:
    return override.key_or_group.partition(".")[0]


def _shared(jobs: Sequence[Overrides]) -> set[str]:
    """The overrides that all jobs have."""
    return set(jobs[0]).intersection(*jobs[1:])


def report_problems(problems: dict[str, list[Overrides]], jobs: Sequence[Overrides]) -> str:
    """Every message once, with the jobs it is about, named by what tells them apart from the others."""
    shared = _shared(jobs) if len(jobs) > 1 else set()
    bad = sum(map(len, problems.values()))
    lines = [f"{bad} of {len(jobs)} jobs cannot be decided; nothing was trained."]
    for message, about in problems.items():
        names = [" ".join(o for o in job if o not in shared) or "the defaults" for job in about]
        where = "all jobs" if len(names) == len(jobs) > 1 else ", ".join(names[:3])
        more = f" and {len(names) - 3} more" if 3 < len(names) < len(jobs) else ""
        lines.append(f"- {where}{more}:\n  " + message.replace("\n", "\n  "))
    return "\n".join(lines)
