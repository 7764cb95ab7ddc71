"""Optimizers, schedules and parametrisations by name: what the planner asks about and the trainer uses."""
