"""Model families: each one file, one registration, one accounting of parameters and FLOPs."""

from scaling.models.family import Counts, Family, Shape
from scaling.models.registry import FAMILIES, get_family

__all__ = ["FAMILIES", "Counts", "Family", "Shape", "get_family"]
