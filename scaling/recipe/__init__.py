"""What a recipe is made of, by name: optimizers, schedules and parametrisations. Asked by planner and trainer."""
