"""From laws to decisions: how to split compute, what a run will score, and what is worth measuring next."""
