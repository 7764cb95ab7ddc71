"""Minima of parabolas: the one routine for sweeps over learning rates and for published IsoFLOP fits."""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array


def parabola(x: Array, losses: Array) -> tuple[Array, Array]:
    """Position and value, (R,) each, of the minimum of the least-squares parabola through each row.

    Args:
        x: positions (n,), at least 3 different ones.
        losses: (R, n), one curve per row.

    Returns:
        NaN in both where the parabola has no minimum, as with three equal losses.
    """
    centre, scale = float(x.mean()), float(np.ptp(x)) / 2
    z = (x - centre) / scale
    offset, slope, bend = np.linalg.pinv(np.stack([np.ones_like(z), z, z * z], axis=1)) @ losses.T
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(bend > 0, -slope / (2 * bend), np.nan)
    return centre + scale * shift, offset + slope * shift / 2
