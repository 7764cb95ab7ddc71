"""Every optimizer by name. Adding one: its file, and its line here; or `scaling.register`, from outside."""

from scaling.recipe.optimizers import adafactor, adamw, muon, schedule_free, sgd
from scaling.recipe.optimizers.optimizer import Optimizer, OptimizerOptions, Parameter, group_parameters
from scaling.registry import Registry

OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer",
    "optimizer",
    {
        "adamw": adamw.OPTIMIZER,
        "muon": muon.OPTIMIZER,
        "sgd": sgd.OPTIMIZER,
        "adafactor": adafactor.OPTIMIZER,
        "schedule_free": schedule_free.OPTIMIZER,
    },
)

__all__ = ["OPTIMIZERS", "Optimizer", "OptimizerOptions", "Parameter", "group_parameters"]
