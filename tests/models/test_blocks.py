from __future__ import annotations

import math

import pytest
import torch

from scaling.models.blocks import rotate, rotate_real, rotations
from scaling.models.options import heads_for


def real_rotation(x: torch.Tensor) -> torch.Tensor:
    """Rotation pair by pair, as a matrix; angles from the paper."""
    width = x.shape[-1]
    out = torch.empty_like(x)
    for t in range(x.shape[1]):
        for i in range(x.shape[-1] // 2):
            angle = t * 10000 ** (-2 * i / width)
            c, s = math.cos(angle), math.sin(angle)
            a, b = x[:, t, :, 2 * i], x[:, t, :, 2 * i + 1]
            out[:, t, :, 2 * i], out[:, t, :, 2 * i + 1] = a * c - b * s, a * s + b * c
    return out


def test_rotation_turns_each_pair_by_its_angle() -> None:
    x = torch.randn(2, 5, 3, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rotate(x, rotations(5, 8)), real_rotation(x))


def test_real_and_complex_arithmetic_agree() -> None:
    x = torch.randn(2, 5, 3, 8, generator=torch.Generator().manual_seed(0))
    turn = rotations(5, 8)
    real = rotate_real(x.unflatten(-1, (-1, 2)), *turn[:, None].unbind(-1))
    torch.testing.assert_close(real, rotate(x, turn))


def test_scores_depend_on_distance_only() -> None:
    """The property that rotary embedding is for: <R_m q, R_n k> depends on m - n."""
    g = torch.Generator().manual_seed(0)
    q, k = torch.randn(8, generator=g).expand(1, 20, 1, 8), torch.randn(8, generator=g).expand(1, 20, 1, 8)
    turn = rotations(20, 8)
    scores = (rotate(q, turn)[0, :, 0] @ rotate(k, turn)[0, :, 0].T).double()
    for distance in (0, 3, 7):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (14, 1),
        (16, 2),
        (24, 2),
        (40, 4),
        (52, 2),
        (56, 7),
        (80, 8),
        (128, 8),
        (512, 8),
        (1024, 16),
        (2048, 16),
    ],
)
def test_heads(width: int, heads: int) -> None:
    assert heads_for(width) == heads
    assert width % (2 * heads) == 0


@pytest.mark.parametrize(("width", "heads"), [(12, 1), (16, 1), (32, 2), (48, 3), (64, 4), (80, 5), (56, 4)])
def test_heads_of_one_width_at_every_size(width: int, heads: int) -> None:
    assert heads_for(width, near=16) == heads
