"""Model families: each one file, one registration, one accounting of parameters and FLOPs."""

from scaling.models.family import NOTHING, Family, has_cache
from scaling.models.registry import FAMILIES, check_counts, get_family, shape_of
from scaling.models.sizes import BASE, Counts, Role, Shape, input_lengths

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
    "has_cache",
    "input_lengths",
    "shape_of",
]
