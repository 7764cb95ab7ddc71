"""Model families: each one file, one registration, one accounting of parameters and FLOPs."""

from scaling.models.family import BASE, NOTHING, Counts, Family, Shape, input_lengths
from scaling.models.registry import FAMILIES, get_family

__all__ = ["BASE", "FAMILIES", "NOTHING", "Counts", "Family", "Shape", "get_family", "input_lengths"]
