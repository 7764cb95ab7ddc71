"""From runs to a law: one solver core, one bootstrap, one quantile rule."""
