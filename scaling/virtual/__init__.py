"""Trainers whose loss is computed, not sampled: their records are like any other run's, and without noise.

They prove the path record → table → fit → forecast on exponents that are known. Needs NumPy and SciPy only.
"""
