"""Sweeps compared: families, learning rates, transfer across widths, and critical batch sizes."""
