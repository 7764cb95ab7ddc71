"""From anybody's runs to laws, forecasts and reports.

    >>> from analysis import fit, forecast, load_runs, report
    >>> runs = load_runs("runs/demo")            # or a CSV, JSON, Parquet file, or wandb://entity/project
    >>> print(fit(runs))                         # laws with intervals and warnings, arm by arm
    >>> print(forecast(runs, compute=1e15))      # best size and data, and the loss there
    >>> report(runs, "report")                   # one HTML page, figures, tables

Everything is imported when it is first used: `import analysis` itself takes no time.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.api import compare, fit, forecast, report
    from analysis.laws.registry import register
    from analysis.table import RunTable, load_runs

__all__ = ["RunTable", "compare", "fit", "forecast", "load_runs", "register", "report"]
_HOMES = {"RunTable": "analysis.table", "load_runs": "analysis.table", "register": "analysis.laws.registry"}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}; it has {', '.join(__all__)}.")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "analysis.api")), name)
