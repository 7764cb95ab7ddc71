"""The W&B mirror, and the only file that imports wandb. It may be slow, broken or absent: training goes on.

Everything W&B does, its import included, happens on one daemon thread that takes orders from a queue.
Measured with wandb 0.31, 30 runs in one process: import 1 s, the first init 0.7 s, later ones 18 ms, finish
7 ms, and 0.4 ms of CPU a row, which would be a tenth of a 4 ms step. So training rows are also thinned to ten
a second (0.4 % of a core), but never below the sixty a run that draw its curve. Evaluations all pass, and
`metrics.jsonl` has every row.

A resumed run is a second folder with the same id. `wandb sync` (tried with 0.31) sends the folders that it is
given in the order of their start, and appends to the run that is there.
"""

from __future__ import annotations

import importlib.util
import logging
import netrc
import os
import queue
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import urlsplit

from scaling.records.storage import own_folder
from scaling.records.thinning import Thinning

Mode = Literal["auto", "offline", "online", "off"]

MIN_INTERVAL = 0.1  # seconds between two training rows
BACKLOG = 10_000  # orders that may wait; W&B has stood still for a quarter of an hour by then
INIT_SECONDS = 4.0  # then offline, within 5 s; W&B itself tries for 90
FINISH_SECONDS = 5.0  # W&B itself waits for ever for a server that went away
CLOSE_SECONDS = 20.0
PROJECT = "scaling"  # where neither the config nor WANDB_PROJECT names one

# WANDB_MODE → mode; W&B itself still takes the first names that its modes had, `dryrun` and `run`.
MODES: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "off",
}

_NAMES = {
    "train_loss": "train/loss",
    "loss": "eval/loss",
    "loss_se": "eval/loss_se",
    "bits_per_byte": "eval/bits_per_byte",
}
AXIS = "train/tokens"

logger = logging.getLogger(__name__)


def display_name(key: str) -> str:
    """What a key of a row of `metrics.jsonl` is called in W&B and TensorBoard."""
    return _NAMES.get(key, f"train/{key}")


def open_tracker(
    mode: Mode,
    *,
    study: str,
    folder: str | Path,
    project: str | None = None,
    entity: str | None = None,
    patience: float | None = None,
) -> Tracker:
    """Open the mirror of a study. W&B writes into `wandb/` of the study's `folder` and nowhere else.

    `auto` does what WANDB_DISABLED or WANDB_MODE says; without them it is online where the user is logged in
    (WANDB_API_KEY, or a netrc entry), else offline. With `off`, wandb is not even imported.

    Args:
        project: default WANDB_PROJECT, else `scaling`.
        entity: default WANDB_ENTITY, else the user's own.
        patience: seconds that the end of a run may take, uploads included; default FINISH_SECONDS.

    Raises:
        ValueError: for a mode that is none of auto, offline, online, off.
    """
    if mode not in ("auto", "offline", "online", "off"):
        raise ValueError(f"tracking: is one of auto, offline, online, off; got {mode!r}.")
    if mode == "auto":
        mode, _ = resolve_auto()
    if mode != "off" and not _installed():
        logger.warning("W&B: not mirrored: the package is missing: pip install 'scaling-harness[train]'.")
        mode = "off"
    return Tracker(
        mode,
        study=study,
        folder=Path(folder),
        project=project or os.environ.get("WANDB_PROJECT") or PROJECT,
        entity=entity or os.environ.get("WANDB_ENTITY") or None,
        patience=patience,
    )


def waiting_runs(folder: str | Path) -> int:
    """How many runs of a study `wandb sync` has not sent yet; a resumed run counts once."""
    waiting = set()
    for path in Path(folder).glob("wandb/offline-run-*/*.wandb"):
        if not path.with_name(f"{path.name}.synced").exists():
            waiting.add(path.name)
    return len(waiting)


def sync_command(folder: str | Path) -> str:
    """The shell command that sends what waits, all folders of a resumed run in their order."""
    return f"wandb sync {shlex.quote(str(Path(folder) / 'wandb'))}/offline-run-*"


def resolve_auto() -> tuple[Mode, str]:
    """What `auto` means here, and why; opens no connection."""
    disabled = os.environ.get("WANDB_DISABLED", "")
    if disabled.strip().lower() not in ("", "0", "false", "no", "off"):
        return "off", f"WANDB_DISABLED={disabled}"
    asked = os.environ.get("WANDB_MODE", "")
    if asked.strip().lower() in MODES:
        return MODES[asked.strip().lower()], f"WANDB_MODE={asked}"
    if asked:
        logger.warning(
            "W&B: WANDB_MODE=%s is unknown; there are %s. Mirroring offline.", asked, ", ".join(MODES)
        )
        return "offline", f"WANDB_MODE={asked} is unknown"
    return ("online", "logged in") if _logged_in() else ("offline", "not logged in")


def _installed() -> bool:
    return "wandb" in sys.modules or importlib.util.find_spec("wandb") is not None


def _logged_in() -> bool:
    """Whether W&B would find a key without asking. Looks at no other host's entry and opens no connection."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return host in netrc.netrc(str(path)).hosts
    except FileNotFoundError:
        return False
    except (OSError, netrc.NetrcParseError) as error:
        logger.warning("W&B: %s cannot be read (%s); mirroring offline.", path, error)
        return False


class Tracker:
    """One W&B connection for all runs of a process. Use as a context manager, or `close` it."""

    def __init__(
        self,
        mode: Mode,
        *,
        study: str,
        folder: Path,
        project: str,
        entity: str | None,
        patience: float | None = None,
    ) -> None:
        self.patience = FINISH_SECONDS if patience is None else patience
        self.mode = mode  # falls back from online to offline for good when the server does not answer
        self._study, self._folder, self._project, self._entity = study, folder, project, entity
        self._orders: queue.SimpleQueue[tuple[RunTracker, Callable[[], None]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._runs: list[RunTracker] = []
        self._wandb: Any = None  # the module, once it is imported

    def run(
        self,
        run_id: str,
        *,
        name: str,
        job_type: str,
        config: Mapping[str, Any],
        tags: Sequence[str] = (),
        steps: int = 0,
    ) -> RunTracker:
        """Mirror a run; `run_id` is the stable one: a resumed run goes on.

        `job_type` is "trunk" or "run" of what is trained, else that of an answer: "fit", "compare", "next".

        Args:
            tags: beside those of WANDB_TAGS.
            steps: that it will train, so that a short run has enough points; 0 where that is not known.
        """
        said = [tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(",")]
        tags = list(dict.fromkeys(tag for tag in (*tags, *said) if tag))
        about = {"id": run_id, "name": name, "job_type": job_type, "config": dict(config), "tags": tags}
        run = RunTracker(self, about, steps)
        if self.mode != "off":
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="wandb-mirror", daemon=True)
                self._thread.start()
            self._runs.append(run)
            run.start()
        return run

    def close(self) -> None:
        """Finish what is open, as failed, and wait for W&B: CLOSE_SECONDS at most, or as it is patient."""
        if self._thread is None:
            return
        for run in self._runs:
            run.finish(exit_code=1)
        self._orders.put(None)
        limit = CLOSE_SECONDS + self.patience - FINISH_SECONDS
        self._thread.join(limit)
        if self._thread.is_alive():
            logger.warning(
                "W&B: not finished after %.0f s; stopped. Its files are in %s; `wandb sync` sends them.",
                limit,
                self._folder / "wandb",
            )
            # Left alone, it would hold up the end of the process for as long as it likes.
            for pid in _children(self._thread):
                os.kill(pid, signal.SIGKILL)
            self._thread.join(FINISH_SECONDS)
        self._thread = None

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def order(self, run: RunTracker, act: Callable[[], None]) -> bool:
        """Have the thread do something for a run. False when too much is waiting."""
        if self._orders.qsize() >= BACKLOG:
            return False
        self._orders.put((run, act))
        return True

    def _work(self) -> None:
        while (item := self._orders.get()) is not None:
            run, act = item
            if run.broken:
                continue
            try:
                act()
            except Exception as error:
                run.give_up(f"{type(error).__name__}: {error}")
        try:
            if self._wandb is not None:  # here, where it holds up nothing, and not as the process ends
                self._wandb.teardown()
        except Exception as error:
            logger.debug("W&B: did not shut down cleanly: %s: %s", type(error).__name__, error)

    @property
    def wandb(self) -> Any:
        """The module; only for the thread, once a run is open."""
        return self._wandb

    def init(self, about: Mapping[str, Any]) -> Any:
        """`wandb.init` on the thread: online if that was asked and works, else offline."""
        cache = str(own_folder(own_folder(self._folder, "wandb"), "cache"))
        for variable, value in {
            "WANDB_CACHE_DIR": cache,  # otherwise the home folder, which may be full or read-only
            "WANDB_DATA_DIR": cache,
            "WANDB_SILENT": "true",  # the setting alone does not silence its login
            "WANDB_ERROR_REPORTING": "false",  # where its server is silent, that holds the exit up for 30 s
        }.items():
            os.environ.setdefault(variable, value)
        import wandb

        self._wandb = wandb
        if self.mode == "online":
            try:
                return wandb.init(**self._arguments(about, "online"))
            except Exception as error:
                if any(run.started for run in self._runs):
                    raise  # falling back takes the connection down: not under a run that is well
                logger.warning(
                    "W&B: no connection (%s: %s); mirroring offline into %s. `wandb sync` sends it later.",
                    type(error).__name__,
                    error,
                    self._folder / "wandb",
                )
                self.mode = "offline"
                wandb.teardown()  # or W&B says that the id is in use: by the run that it did not start
        return wandb.init(**self._arguments(about, "offline"))

    def _arguments(self, about: Mapping[str, Any], mode: Literal["online", "offline"]) -> dict[str, Any]:
        settings = self._wandb.Settings(
            mode=mode,
            root_dir=str(self._folder),
            silent=True,
            console="off",
            init_timeout=INIT_SECONDS,
            finish_timeout=self.patience,
            # The record has versions and device. What else W&B collects costs time and reaches outside.
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            disable_git=True,
            disable_code=True,
        )
        return {
            **about,
            "project": self._project,
            "entity": self._entity,
            "group": os.environ.get("WANDB_RUN_GROUP") or self._study,
            "resume": "allow",
            "reinit": "create_new",  # a trunk is open while its cooldowns come and go
            "settings": settings,
        }


def _children(thread: threading.Thread) -> list[int]:
    """The processes a thread has started: of the mirror's, wandb-core. Empty where there is no /proc."""
    listing = Path(f"/proc/self/task/{thread.native_id}/children")
    return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []


class RunTracker:
    """The mirror of one run. No method waits, raises or touches the disk; after `finish` all do nothing."""

    def __init__(self, tracker: Tracker, about: dict[str, Any], steps: int = 0) -> None:
        self.broken = False
        self._tracker, self._about = tracker, about
        self._open = tracker.mode != "off"
        self._thinning = Thinning(MIN_INTERVAL, steps)
        self._thinned = 0
        self._run: Any = None  # wandb's; only the thread touches it

    @property
    def started(self) -> bool:
        """Whether W&B has it open."""
        return self._run is not None and not self.broken

    def start(self) -> None:
        self._order(self._start)

    def log(self, row: Mapping[str, Any]) -> None:
        """Mirror a row as `metrics.jsonl` has it; of training rows, those that `Thinning` shows.

        Never passes `step=`: W&B drops rows below its own step, and a resumed run starts below.
        """
        if not self._open:
            return
        if not self._thinning.shows(row, time.monotonic()):
            self._thinned += 1
            return
        named = {display_name(key): value for key, value in row.items()}
        self._order(lambda: self._run.log(named))

    def configure(self, values: Mapping[str, Any]) -> None:
        """Replace settings by what came of them, e.g. the precision that `auto` has meant."""
        values = dict(values)
        self._order(lambda: self._run.config.update(values, allow_val_change=True))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Final numbers, e.g. those of the record."""
        values = dict(values)
        self._order(lambda: self._run.summary.update(values))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show a table; cells are text, numbers, or None where one is missing."""
        columns, rows = list(columns), [list(row) for row in rows]

        def show() -> None:
            made = self._tracker.wandb.Table(columns=columns, data=rows, allow_mixed_types=True)
            self._run.log({name: made})

        self._order(show)

    def images(self, pictures: Mapping[str, tuple[Path, str]]) -> None:
        """Show pictures: name → file and caption."""
        chosen = dict(pictures)

        def show() -> None:
            image = self._tracker.wandb.Image
            self._run.log({name: image(str(path), caption=words) for name, (path, words) in chosen.items()})

        self._order(show)

    def artifact(self, name: str, kind: str, files: Mapping[str, Path]) -> None:
        """Keep files, each under its name, as a version of an artifact."""
        chosen = dict(files)

        def keep() -> None:
            made = self._tracker.wandb.Artifact(name, type=kind)
            for inner, path in chosen.items():
                made.add_file(str(path), name=inner)
            self._run.log_artifact(made)

        self._order(keep)

    def finish(self, exit_code: int = 0) -> None:
        """End the run; anything but 0 shows it as failed."""
        thinned = self._thinned
        self._order(lambda: self._finish(exit_code, thinned))
        self._open = False

    def give_up(self, why: str) -> None:
        """Stop mirroring this run, saying so once."""
        if self.broken:
            return
        self.broken, self._open = True, False
        rest = "Training goes on; its record and metrics are complete."
        if not self._trained:
            rest = "What is on disk is complete."
        logger.warning("W&B: run %s is no longer mirrored (%s). %s", self._about["id"], why, rest)

    @property
    def _trained(self) -> bool:
        return self._about["job_type"] in ("trunk", "run")

    def _order(self, act: Callable[[], None]) -> None:
        if self._open and not self._tracker.order(self, act):
            self.give_up(f"{BACKLOG:,} orders wait for it")

    def _start(self) -> None:
        self._run = self._tracker.init(self._about)
        if not self._trained:
            return
        self._run.define_metric(AXIS)
        self._run.define_metric("train/flops")
        for metrics in ("train/*", "eval/*"):
            self._run.define_metric(metrics, step_metric=AXIS)

    def _finish(self, exit_code: int, thinned: int) -> None:
        if self._trained:
            self._run.summary.update({"mirror/rows_thinned": thinned})
        self._run.finish(exit_code=exit_code)
        self._run = None
