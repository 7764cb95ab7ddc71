"""Model families: each one file, one entry of the registry, one accounting of parameters and FLOPs."""

from scaling.models.family import Family
from scaling.models.registry import FAMILIES, check_counts, get_family, shape_of
from scaling.models.sizes import BASE, NOTHING, Counts, Role, Shape, input_lengths

__all__ = [
    "BASE",
    "FAMILIES",
    "NOTHING",
    "Counts",
    "Family",
    "Role",
    "Shape",
    "check_counts",
    "get_family",
    "input_lengths",
    "shape_of",
]
