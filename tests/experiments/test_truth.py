"""What experiments/truth says, on a part that is quick to compute again."""

from __future__ import annotations

import pytest

from experiments.truth.features import SOURCE, facts_for, train_readout
from scaling.data.truth.zipf_facts import ZipfFacts


@pytest.mark.parametrize("features", [32])
def test_random_features_know_as_many_facts_as_they_are(features: int) -> None:
    """METHODS 3.2c: the excess is predicted with nothing to fit. Within 5 %, as it was asked."""
    found = train_readout(SOURCE, features)
    assert abs(found.error) < 0.05
    assert found.known == pytest.approx(features, rel=0.05)


def test_facts_known_inverts_the_tail() -> None:
    source = ZipfFacts(base=16)
    for known in (0, 10, 100.5, 255):
        assert facts_for(source, source.ignorance * source.tail(known)) == pytest.approx(known)
