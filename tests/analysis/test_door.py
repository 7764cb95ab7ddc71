"""The public names of analysis are what they say, whatever was imported before; importing takes no time."""

import subprocess
import sys

import numpy as np
import pandas as pd

CALLS = """
import sys
import analysis
assert not {"numpy", "pandas", "matplotlib", "scipy"} & set(sys.modules)
from analysis.forecast.predict import forecast_run
from analysis.report.write import write_report
from analysis import advise, compare, fit, forecast, load_runs, register, report
for f in (advise, compare, fit, forecast, load_runs, register, report, analysis.forecast, analysis.report):
    assert type(f).__name__ == "function", f
"""


def test_names_are_functions_in_every_order_of_imports() -> None:
    subprocess.run([sys.executable, "-c", CALLS], check=True)


def test_the_lines_of_the_readme() -> None:
    from analysis import fit, forecast, load_runs

    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(2e8, 2e10, 5)))
    loss = (1.7 + 400 * N**-0.34 + 900 * D**-0.33) * np.exp(0.003 * np.sin(np.arange(25)))
    runs = load_runs(pd.DataFrame({"params": N, "tokens": D, "ppl": np.exp(loss)}), {"loss": "log(ppl)"})
    fits = fit(runs, "chinchilla", "coupled", resamples=20)
    assert "chinchilla law of L(N, D) on 25 runs" in str(fits)
    assert "one new run" in str(forecast(runs, at={"N": 1e9, "D": 2e10}, resamples=20))
