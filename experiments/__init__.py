"""Where `scaling` and `analysis` meet: the commands, and what they found."""
