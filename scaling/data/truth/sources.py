"""The sources by the name of their corpus."""

from __future__ import annotations

from scaling.data.truth.law import Truth
from scaling.data.truth.zipf_facts import ZipfFacts
from scaling.data.truth.zipf_markov import ZipfMarkov
from scaling.registry import Registry

SOURCES: Registry[type[Truth]] = Registry(
    "generated corpus", "data.corpus", {"zipf_facts": ZipfFacts, "zipf_markov": ZipfMarkov}
)
