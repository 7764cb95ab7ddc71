"""Scaling laws as values: each makes data, and is what a fit estimates. One file per law, one registry.

registry                    every law by name; where a new one is added
chinchilla, coupled, …      a law's equation, and its coordinates for the solver
formula                     a law from one formula, with nothing else to write
law, surface, form          what every law and its coordinates must offer; pinned and tied parameters
power_sum, jet, jet_form,   coordinates with exact derivatives: by hand for sums of powers, by arithmetic
  slots                       on jets for everything else
projection                  starting points: coefficients by least squares on a grid of exponents
"""

from analysis.laws.form import Pins
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Law, Optimum
from analysis.laws.registry import law_named, law_names, register

__all__ = ["FLOPS_PER_PARAM_TOKEN", "Law", "Optimum", "Pins", "law_named", "law_names", "register"]
