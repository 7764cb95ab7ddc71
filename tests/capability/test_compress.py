"""Rounding and pruning by hand, and what is never touched."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.capability.compress import FULL, SCALE, compress, prune, quantise
from scaling.models import FAMILIES, get_family


def test_rounding_by_hand() -> None:
    weight = torch.tensor([[0.7, -0.2, 0.36, 0.0], [-3.0, 1.4, 1.6, 0.1], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(
        quantise(weight, 2),
        torch.tensor([[0.7, 0.0, 0.7, 0.0], [-3.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
    )
    third = quantise(weight, 3)  # seven levels: thirds of the largest
    assert third[1].tolist() == pytest.approx([-3.0, 1.0, 2.0, 0.0])


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), bits=st.sampled_from([2, 3, 4, 8]))
def test_rounding_is_off_by_half_a_level_at_most_and_is_idempotent(seed: int, bits: int) -> None:
    weight = torch.randn(5, 17, generator=torch.Generator().manual_seed(seed))
    rounded = quantise(weight, bits)
    level = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((rounded - weight).abs() <= level * 0.5001).all()
    assert torch.allclose(quantise(rounded, bits), rounded)
    assert len(torch.unique(rounded[0])) <= 2**bits - 1


def test_pruning_takes_the_smallest() -> None:
    weight = torch.tensor([[0.1, -0.5], [0.2, 0.3]])
    assert torch.equal(prune(weight, 0.5), torch.tensor([[0.0, -0.5], [0.0, 0.3]]))
    assert torch.equal(prune(torch.ones(4, 4), 0.25).sum(), torch.tensor(12.0)), "ties, and still a quarter"


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_copy_is_compressed_and_counted_and_the_model_stays(family: str) -> None:
    registered = get_family(family)
    torch.manual_seed(0)
    model = registered.build(registered.shape_for(6e3), 64, 16).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = sum(p.numel() for p in model.parameters() if p.ndim < 2)
    entries, rows = sum(p.numel() for p in matrices), sum(p.shape[0] for p in matrices)

    for bits in (4, 2):
        small, size = compress(model, {"quantise": bits})
        assert size == bits * entries + SCALE * rows + FULL * vectors
        for p in small.parameters():
            if p.ndim >= 2:
                assert all(len(torch.unique(row)) <= 2**bits - 1 for row in p.flatten(1))
    sparse, size = compress(model, {"prune": 0.5})
    zeros = sum(int((p == 0).sum()) for p in sparse.parameters() if p.ndim >= 2)
    assert zeros == sum(round(p.numel() / 2) for p in matrices)
    assert size == FULL * (entries - zeros + vectors) + entries, "and a bit for each place"
    same, size = compress(model, {})
    assert size == FULL * (entries + vectors)
    for other in (model, same):
        assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    "setting", [{"quantise": 1}, {"quantise": 4.5}, {"prune": 1.0}, {"prune": 0.0}, {"distil": 2}]
)
def test_a_setting_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"compression: .* got \{"):
        compress(torch.nn.Linear(2, 2), setting)
