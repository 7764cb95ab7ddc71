"""Every schedule by name. Adding one: its file, and its line here; or `scaling.register`, from outside."""

from scaling.recipe.schedules import constant, cosine, linear, power
from scaling.recipe.schedules.schedule import Place, Schedule
from scaling.registry import Registry

SCHEDULES: Registry[Schedule] = Registry(
    "schedule",
    "training.schedule",
    {
        "trunk": constant.SCHEDULE,
        "cosine": cosine.SCHEDULE,
        "linear": linear.SCHEDULE,
        "inverse_sqrt": power.INVERSE_SQRT,
        "power": power.POWER,
    },
)

__all__ = ["SCHEDULES", "Place", "Schedule"]
