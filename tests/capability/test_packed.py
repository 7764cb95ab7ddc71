"""Packed weights: the bits of a file, and the numbers of today's rounding."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.capability.compress import compress
from scaling.capability.packed import load_packed, pack, pack_model, unpack
from scaling.models import FAMILIES, get_family, input_lengths


@settings(max_examples=40)
@given(bits=st.sampled_from([1, 2, 3, 4, 8]), count=st.integers(1, 100), seed=st.integers(0, 10**6))
def test_codes_come_back_and_take_as_many_bits_as_they_have(bits: int, count: int, seed: int) -> None:
    codes = torch.randint(2**bits, (count,), generator=torch.Generator().manual_seed(seed))
    packed = pack(codes, bits)
    assert packed.dtype == torch.uint8
    assert len(packed) == -(-count * bits // 8)
    assert torch.equal(unpack(packed, bits, count), codes)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_model_says_what_the_rounded_one_says_and_is_as_small(family: str) -> None:
    registered = get_family(family)
    torch.manual_seed(0)
    model = registered.build(registered.shape_for(6e3), 64, 16).eval()
    inputs = [torch.randint(64, (2, n)) for n in input_lengths(registered.objective, 16)]
    for setting in (
        {"quantise": 8},
        {"quantise": 4, "group": 5},
        {"quantise": 3},
        {"quantise": 2},
        {"prune": 0.5},
    ):
        rounded, bits = compress(model, setting)
        packed = pack_model(copy.deepcopy(model), setting).eval()
        with torch.no_grad():
            expected = rounded(*inputs)
            torch.testing.assert_close(packed(*inputs), expected, rtol=0, atol=1e-6)
            state = packed.state_dict()
            size = sum(8 * t.numel() * t.element_size() for t in state.values())
            assert size == pytest.approx(bits, rel=0.02), setting
            file = io.BytesIO()
            torch.save(state, file)
            fresh = registered.build(registered.shape_for(6e3), 64, 16).eval()
            again = load_packed(fresh, torch.load(io.BytesIO(file.getvalue())), setting)
            torch.testing.assert_close(again(*inputs), expected, rtol=0, atol=1e-6)
            torch.testing.assert_close(copy.deepcopy(again)(*inputs), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_of_four_bits_is_a_fifth_of_the_whole_one(family: str) -> None:
    save = pytest.importorskip("safetensors.torch", reason="in the extra `export`").save
    registered = get_family(family)
    model = registered.build(registered.shape_for(1e5), 256, 16)
    whole = len(save(model.state_dict()))
    assert len(save(pack_model(model, {"quantise": 4}).state_dict())) <= 0.2 * whole


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(ValueError, match="weights are packed into 2, 3, 4, 8 bits; got 5"):
        pack_model(torch.nn.Linear(2, 2), {"quantise": 5})
    with pytest.raises(ValueError, match="groups of 4 weights or more"):
        pack_model(torch.nn.Linear(2, 2), {"quantise": 4, "group": 2})
