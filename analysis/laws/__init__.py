"""Scaling laws as values, and fits of them with doubts.

Start at `fit.py` (`fit_loss_surface`, `fit_power_law`) and `select.py` (which law, by held-out compute).

    laws, surfaces, curves      the laws: each makes data and is what a fit estimates
    forms, slots, powers,       a law as the solver sees it, with exact derivatives
      coupled, exotic, jet
    grid, newton, chart,        where to start, and how to arrive
      losses
    runs, checks, certificate   what is refused, doubted and certified
    resample, smooth, draws,    intervals
      uncertainty
    heldout, select,            larger compute, choice of form, other choices
      sensitivity
    inference                   the optimum of a model that will be served
"""
