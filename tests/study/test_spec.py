from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from scaling.study.spec import DataSpec, RunSpec, TrunkSpec, readable

DATA = DataSpec(corpus="text", vocab=256, fingerprint="0123456789abcdef", context=32)
TRUNK = TrunkSpec("decoder", 16, 2, DATA, 0, 4, 4, 1e-2, 0.1, 0.9, 0.95, 1.0, 3, None, "float32")
RUN = RunSpec(TRUNK, 40, 8, 2048)


def changed(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, DataSpec):
        return replace(value, fingerprint="another")
    if value is None:
        return 7
    if isinstance(value, tuple):
        return (*value, "more")
    return value + "x" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("name", [f.name for f in fields(TrunkSpec)])
def test_every_field_of_a_trunk_changes_its_id(name: str) -> None:
    other = replace(TRUNK, **{name: changed(getattr(TRUNK, name))})
    assert other.id.rsplit("-", 1)[1] != TRUNK.id.rsplit("-", 1)[1]


@pytest.mark.parametrize("name", [f.name for f in fields(DataSpec) if f.name not in ("paths", "mixture")])
def test_every_field_of_the_data_but_its_place_changes_the_id(name: str) -> None:
    data = replace(DATA, **{name: changed(getattr(DATA, name))})
    assert replace(TRUNK, data=data).id != TRUNK.id


@pytest.mark.parametrize("name", ["steps", "cooldown_steps", "evaluation_tokens"])
def test_every_field_of_a_run_changes_its_id(name: str) -> None:
    other = replace(RUN, **{name: getattr(RUN, name) + 1})
    assert other.id.rsplit("-", 1)[1] != RUN.id.rsplit("-", 1)[1]


def test_ids_are_the_same_in_every_process() -> None:
    """A literal: a change of the hash would orphan every record there is. Raise SCHEMA when it must."""
    assert TRUNK.id == "decoder-16x2-40169e9122"
    assert RUN.id == "decoder-16x2-5.12k-6c1eb9cf96"


def test_a_run_must_have_a_trunk() -> None:
    with pytest.raises(ValueError, match="a run of 8 steps cannot cool down for 8"):
        RunSpec(TRUNK, 8, 8, 2048)
    with pytest.raises(ValueError, match="a cosine over 50 steps cannot give a run of 40"):
        RunSpec(replace(TRUNK, horizon=50), 40, 0, 2048)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (7, "7"),
        (999, "999"),
        (1000, "1k"),
        (24_576, "24.6k"),
        (999_999, "1M"),
        (1.234e6, "1.23M"),
        (2e9, "2B"),
    ],
)
def test_readable(count: float, text: str) -> None:
    assert readable(count) == text
