"""Variable projection: with the exponents on a grid, the coefficients of a power law are linear.

For all bootstrap replicates at once. Every sum over runs that the normal equations need is a product of the
weights (R, n) with columns (n, m) that all replicates share, so that a grid of exponents for each of 4,000
replicates costs a fraction of a second.

Source: Golub & Pereyra 1973; for scaling laws Czech et al. 2026 (arXiv:2603.22339) section on VPNLS.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array

APART = 2  # cells between independent starts: a factor of 1.5 in an exponent on the finer grid
CHUNK = 1024  # runs whose columns are made at a time
LARGEST_SHARE = 1e3
SMALLEST_SHARE = 1e-3  # a coefficient the grid finds ≤ 0 starts at this share of the loss instead


def project_one(
    x: Array, exponents: Array, weights: Array, loss: Array, offset: bool, shape: Array | float = 1.0
) -> tuple[Array, ...]:
    """Relative least squares of loss = E + A e^(-alpha x) × shape at each exponent.

    Args: x (n,) log input; exponents (G,); weights and loss (R, n); shape (n,), or none.
    Returns: squared error, E, A; each (R, G).
    """
    power = np.exp(-np.outer(x, exponents)) * np.reshape(shape, (-1, 1))
    W = weights / loss**2
    s1, sl, sll = W.sum(1)[:, None], (W * loss).sum(1)[:, None], weights.sum(1)[:, None]
    sx, sxx, sxl = W @ power, W @ power**2, (W * loss) @ power
    least, most = SMALLEST_SHARE * sl / s1, LARGEST_SHARE * sl / s1
    if offset:
        with np.errstate(over="ignore"):  # it is clipped
            A = np.clip((sxl - sx * sl / s1) / _positive(sxx - sx * sx / s1), least, most)
        E = np.maximum((sl - A * sx) / s1, least)
    else:
        A, E = np.clip(sxl / sxx, least, most), np.zeros((1, 1))
    error = sll - 2 * (E * sl + A * sxl) + E * E * s1 + A * A * sxx + 2 * E * A * sx
    return np.maximum(error, 0.0), E + 0 * A, A


def project_two(
    x: Array, y: Array, alphas: Array, betas: Array, weights: Array, loss: Array, offset: bool
) -> tuple[Array, ...]:
    """Relative least squares of loss = E + A e^(-alpha x) + B e^(-beta y) on the grid alphas × betas.

    Args: x, y (n,) log inputs; alphas (G,), betas (H,); weights and loss (R, n).
    Returns: squared error, E, A, B; each (R, G, H).
    """
    px, py = np.exp(-np.outer(x, alphas)), np.exp(-np.outer(y, betas))
    G = px.shape[1]
    W = weights / loss**2
    both = np.concatenate([px, py], axis=1)
    linear, square, target = W @ both, W @ (both * both), (W * loss) @ both
    sx, sxx, sxl = (v[:, :G, None] for v in (linear, square, target))
    sy, syy, syl = (v[:, None, G:] for v in (linear, square, target))
    sxy = _pair_sums(W, px, py)
    s1, sl, sll = (v[:, None, None] for v in (W.sum(1), (W * loss).sum(1), weights.sum(1)))
    least, most = SMALLEST_SHARE * sl / s1, LARGEST_SHARE * sl / s1

    def solve(cxx: Array, cyy: Array, cxy: Array, cxl: Array, cyl: Array) -> tuple[Array, Array]:
        determinant = _positive(cxx * cyy - cxy * cxy)
        with np.errstate(over="ignore"):  # they are clipped
            A = np.clip((cyy * cxl - cxy * cyl) / determinant, least, most)
            B = np.clip((cxx * cyl - cxy * cxl) / determinant, least, most)
        return A, B

    if offset:
        A, B = solve(
            sxx - sx * sx / s1, syy - sy * sy / s1, sxy - sx * sy / s1, sxl - sx * sl / s1, syl - sy * sl / s1
        )
        E = np.maximum((sl - A * sx - B * sy) / s1, least)
    else:
        A, B = solve(sxx, syy, sxy, sxl, syl)
        E = np.zeros_like(A)
    error = sll + A * (A * sxx - 2 * sxl + 2 * E * sx) + B * (B * syy - 2 * syl + 2 * E * sy)
    error += 2 * A * B * sxy + E * (E * s1 - 2 * sl)
    return np.maximum(error, 0.0), E, A, B


def _pair_sums(W: Array, px: Array, py: Array) -> Array:
    """sum_i W_ri px_ig py_ih, (R, G, H); W (R, n), px (n, G), py (n, H)."""
    R, G, H = len(W), px.shape[1], py.shape[1]
    if R < G:
        few: Array = (W[:, None, :] * px.T) @ py
        return few
    sums = np.zeros((R, G * H))
    for i in range(0, len(px), CHUNK):  # the columns of all pairs, shared by all replicates
        rows = slice(i, i + CHUNK)
        sums += W[:, rows] @ (px[rows, :, None] * py[rows, None, :]).reshape(-1, G * H)
    return sums.reshape(R, G, H)


def best_cells(error: Array, count: int) -> Array:
    """Flat indices (count, R) of independent starts on a grid of error (R, ...), the best first.

    The local minima, then the best of all other cells; none within APART cells of another.
    """
    flat = error.reshape(len(error), -1)
    best = flat.argmin(axis=1)
    if count == 1:
        only: Array = best[None, :]
        return only
    minimum = np.ones(error.shape, dtype=bool)
    for axis in range(1, error.ndim):
        ahead = np.diff(np.minimum(error, 1e300), axis=axis)  # no inf - inf where cells are ruled out
        lead = [slice(None)] * error.ndim
        lag = [slice(None)] * error.ndim
        lead[axis], lag[axis] = slice(1, None), slice(None, -1)
        minimum[tuple(lead)] &= ahead <= 0
        minimum[tuple(lag)] &= ahead >= 0
    behind = np.where(np.isfinite(flat), flat, 0.0).max(axis=1, keepdims=True)
    left = np.where(minimum.reshape(flat.shape), flat, flat + behind)
    places = np.stack(np.unravel_index(np.arange(flat.shape[1]), error.shape[1:]))
    cells = [best]
    for _ in range(count - 1):
        away = np.abs(places[:, None] - places[:, cells[-1], None]).max(axis=0)
        left = np.where(away <= APART, np.inf, left)
        next_best = left.argmin(axis=1)
        none_left = np.isinf(left[np.arange(len(left)), next_best])
        cells.append(np.where(none_left, best, next_best))
    chosen: Array = np.stack(cells)
    return chosen


def _positive(x: Array) -> Array:
    positive: Array = np.maximum(x, 1e-300)
    return positive
