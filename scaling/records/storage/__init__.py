"""The only package that writes durable files; every other module asks it to.

What is promised: a file is either whole under its name or not there; a committed file survives power loss
where the filesystem honours fsync; a record is never overwritten; a checkpoint whose content does not match
the hash in its name is set aside, never loaded. Needs neither PyTorch, pandas nor W&B.

One trunk is one folder, held by one `Lock`. Every `folder` below is such a folder, or one of its runs'.
"""

from scaling.records.storage.attempts import (
    FRESH,
    StaleAttempt,
    commit_record,
    history,
    is_latest_attempt,
    latest_attempt,
    load_record,
    new_attempt,
    read_attempts,
    record_failure,
    supersede,
    write_spec_once,
)
from scaling.records.storage.checkpoints import (
    checkpoint_steps,
    load_checkpoint,
    peek_checkpoint,
    reuse_checkpoint,
    save_checkpoint,
)
from scaling.records.storage.evaluations import commit_evaluation, load_evaluation
from scaling.records.storage.files import (
    atomic_file,
    make_folder,
    own_folder,
    quarantine,
    refuse_link,
    remove_folder,
    sweep_temps,
    write_atomic,
    write_json,
    write_once,
)
from scaling.records.storage.lock import Lock, LockedError, waiting_lock
from scaling.records.storage.metrics import MetricsLog
from scaling.records.storage.names import safe_child, slug
from scaling.records.storage.outputs import OutputLog, read_tail
from scaling.records.storage.plans import join_plan
from scaling.records.storage.spare import Spare, find_old_checkpoints, find_set_aside, freed, remove_spares

__all__ = [
    "FRESH",
    "Lock",
    "LockedError",
    "MetricsLog",
    "OutputLog",
    "Spare",
    "StaleAttempt",
    "atomic_file",
    "checkpoint_steps",
    "commit_evaluation",
    "commit_record",
    "find_old_checkpoints",
    "find_set_aside",
    "freed",
    "history",
    "is_latest_attempt",
    "join_plan",
    "latest_attempt",
    "load_checkpoint",
    "load_evaluation",
    "load_record",
    "make_folder",
    "new_attempt",
    "own_folder",
    "peek_checkpoint",
    "quarantine",
    "read_attempts",
    "read_tail",
    "record_failure",
    "refuse_link",
    "remove_folder",
    "remove_spares",
    "reuse_checkpoint",
    "safe_child",
    "save_checkpoint",
    "slug",
    "supersede",
    "sweep_temps",
    "waiting_lock",
    "write_atomic",
    "write_json",
    "write_once",
    "write_spec_once",
]
