"""From anybody's runs to laws, forecasts and reports.

    >>> from analysis import fit, forecast, load_runs, report
    >>> runs = load_runs("runs/demo")            # or a CSV, JSON, Parquet file, or wandb://entity/project
    >>> print(fit(runs))                         # laws with intervals and warnings, arm by arm
    >>> print(forecast(runs, compute=1e15))      # best size and data, and the loss there
    >>> print(compare(runs, by="optimizer"))     # compute that one recipe saves over another
    >>> print(advise(runs, compute=1e15))        # which runs to train next
    >>> report(runs, "report")                   # one HTML page, figures, tables

Everything is imported when it is first used: `import analysis` itself takes no time.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.api import advise, compare, fit, forecast, report
    from analysis.laws.registry import register
    from analysis.table import RunTable, load_runs

__all__ = ["RunTable", "advise", "compare", "fit", "forecast", "load_runs", "register", "report"]
_HOMES = {"RunTable": "analysis.table", "load_runs": "analysis.table", "register": "analysis.laws.registry"}


def _public(name: str) -> property:
    """A public name, imported from where it lives when it is read.

    Two of them are also folders, `forecast` and `report`. Importing such a folder sets it as an attribute of
    this package; the setter lets that pass, so that the name stays the function. Folders are reached by their
    paths: `from analysis.forecast.predict import …`.
    """

    def read(_: ModuleType) -> Any:
        return getattr(import_module(_HOMES.get(name, "analysis.api")), name)

    def keep(_: ModuleType, __: Any) -> None:
        pass

    return property(read, keep)


class _Door(ModuleType):
    """The package as a module whose public names are read lazily."""


for _name in __all__:
    setattr(_Door, _name, _public(_name))
sys.modules[__name__].__class__ = _Door
