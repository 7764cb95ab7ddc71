"""From a question to records: studies, data, models, training.

    >>> import scaling
    >>> scaling.Shape(width=64, depth=2, experts=8).experts
    8

`register` offers what you bring (a family, corpus, task, objective, …), `run_study` trains a study, from a
notebook too, and `open_run` records a run of a program of yours. Everything is imported when it is first
used: `import scaling` itself takes no time.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from scaling.api import run_study
    from scaling.capability.tasks import Task
    from scaling.data.corpora import Corpus
    from scaling.data.truth.law import Truth
    from scaling.models.family import Family
    from scaling.models.sizes import Counts, Shape
    from scaling.recipe.optimizers import Optimizer, group_parameters
    from scaling.recipe.schedules import Schedule
    from scaling.study.config import RateRule
    from scaling.trainers.open_run import OpenRun, open_run
    from scaling.training.objectives import Objective

_HOMES = {
    "Corpus": "scaling.data.corpora",
    "Counts": "scaling.models.sizes",
    "Family": "scaling.models.family",
    "Objective": "scaling.training.objectives",
    "OpenRun": "scaling.trainers.open_run",
    "Optimizer": "scaling.recipe.optimizers",
    "RateRule": "scaling.study.config",
    "Schedule": "scaling.recipe.schedules",
    "Shape": "scaling.models.sizes",
    "Task": "scaling.capability.tasks",
    "Truth": "scaling.data.truth.law",
    "open_run": "scaling.trainers.open_run",
    "group_parameters": "scaling.recipe.optimizers",
    "run_study": "scaling.api",
}
__all__ = [
    "Corpus",
    "Counts",
    "Family",
    "Objective",
    "OpenRun",
    "Optimizer",
    "RateRule",
    "Schedule",
    "Shape",
    "Task",
    "Truth",
    "group_parameters",
    "open_run",
    "register",
    "run_study",
]

T = TypeVar("T")


def register(thing: T, name: str | None = None) -> T:
    """Make a thing available wherever a thing of its type can be named; usable as a decorator of a class.

    A `Family`, `Corpus`, `Task` or `Objective` brings its own name; a class derived from `Truth` (a generated
    corpus) is named like the class. An `Optimizer` and a `Schedule` need a `name`, and a `RateRule` needs
    that of its family. Laws are registered with `analysis.register`, in the same file if you like: this
    package never imports analysis. A launcher needs no registration: `hydra.launcher._target_` names its
    class, which may be in an extension file.

    Put the call into a file, and name the file in the study: `extensions: [./my_model.py]`.

    Args:
        name: for a thing without a name of its own, or to give it another.

    Returns:
        The thing.

    Raises:
        TypeError: for a thing of no registrable type, or without a name.
        ValueError: for a name that another thing has.

    >>> import scaling
    >>> rule = scaling.register(scaling.RateRule(rate=0.01, params_exponent=0.3), name="gru")
    """
    from scaling.registry import file_under

    file_under(thing, name, str(sys._getframe(1).f_globals.get("__name__", "")))
    return thing


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scaling' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
