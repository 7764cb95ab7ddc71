"""Minima of IsoFLOP curves, which have one shape at every budget, and how far noise moves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from analysis.fitting.bootstrap.draws import small_sample
from analysis.fitting.bootstrap.variance import Scatter
from analysis.forecast.slices import Slices
from analysis.laws.law import Array

LEAST_EXPONENT = 0.02  # of a flank; with 0 and 0 a curve would be the parabola
WIDTHS = (float(np.log(0.05)), float(np.log(4.0)))  # log(p + q)
TILTS = (-1.5, 1.5)  # q - p, which the losses determine far better: the axes of the mesh follow that
NODES = 11  # a side of the mesh of exponents
ZOOMS = 6  # refinements of the mesh; each shrinks what is known exactly about five times
NEGLIGIBLE = 1e-3  # share of the likeliest node's below which a node is left out of the refined mesh
REACHES = (0.3, 0.1, 0.03, 0.01)  # relative excess over the lowest loss at which spread has doubled
CLEARLY = 3.0  # gain in log likelihood without which losses are taken to scatter alike
QUIET = 1e-3  # relative: losses that scatter less about their curves need no unequal weights
LEAST = 1e-26  # sum of squared relative residuals: what rounding leaves of exact losses


@dataclass(frozen=True)
class _Curve:
    """One budget: n points in order of size, as a curve is solved for."""

    points: npt.NDArray[np.int64]  # (n,) places in the slices
    centre: float  # mean log N
    x: Array  # (n,) log N less the mean
    loss: Array  # (n,) over the least of the budget
    log_tokens: Callable[[Array], Array]  # log D of log N

    @classmethod
    def of(cls, slices: Slices, budget: int) -> _Curve:
        points = slices.at(budget)
        log_n = np.log(slices.N[points])
        loss = slices.loss[points] / slices.loss[points].min()
        return cls(points, float(log_n.mean()), log_n - log_n.mean(), loss, slices.log_tokens(budget))

    def spread(self, reach: float) -> Array:
        """Standard deviation (n,) of each loss in units of that near the minimum."""
        return 1 + np.log(self.loss) / reach


@dataclass(frozen=True)
class _Mesh:
    """Curves solved at G pairs of exponents."""

    p: Array  # (G,)
    q: Array  # (G,)
    solvers: list[Array]  # a budget: (G, 3, n), from losses to coefficients
    squares: Array  # (G,) weighted sum of squared relative residuals
    log_det: Array  # (G,) what unequal spreads take from the likelihood
    share: Array  # (G,) posterior of the pairs; even until `_posterior` has weighed them
    span: tuple[tuple[float, float], tuple[float, float]]  # of log(p + q) and of q - p

    @property
    def around(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Three times as wide in both directions, where another choice of weights is looked for."""
        limits = zip(self.span, (WIDTHS, TILTS), strict=True)
        wide = [(max(2 * a - b, low), min(2 * b - a, high)) for (a, b), (low, high) in limits]
        return wide[0], wide[1]


@dataclass(frozen=True)
class Vertices:
    """The minimum of each of B IsoFLOP curves.

    `log_n`, `log_d` (B,): the optimum, NaN where the curve has none. `variance` (B,): of log_n by noise.
    `inside` (B,): strictly between the smallest and the largest size tried. `reach`: the relative excess over
    the lowest loss at which the spread of losses has doubled; infinite where all losses scatter alike.
    """

    log_n: Array
    variance: Array
    inside: npt.NDArray[np.bool_]
    reach: float
    noise: float  # relative standard deviation of losses near the minima
    _curves: Sequence[_Curve] = field(repr=False)
    _mesh: _Mesh = field(repr=False)
    _free: float = field(repr=False)  # degrees of freedom
    _group: npt.NDArray[np.int64] = field(repr=False)

    @cached_property
    def log_d(self) -> Array:
        return self.tokens(self.log_n)

    def tokens(self, log_n: Array) -> Array:
        """log D (..., B) of sizes log N (..., B) on each budget's curve."""
        columns = [curve.log_tokens(log_n[..., i]) for i, curve in enumerate(self._curves)]
        return np.stack(columns, axis=-1)

    def draws(self, resamples: int, seed: int) -> Array:
        """log N of the minima under other noise and other shapes: (R, B), NaN where there is none.

        Where every run is a trunk of its own, losses get noise of the spread of all residuals together.
        Otherwise the residuals of a trunk keep their places and get one random factor: what its runs share
        moves all its budgets together. Few trunks widen that as `small_sample` says.
        """
        rng = np.random.default_rng(seed)
        node = rng.choice(len(self._mesh.p), p=self._mesh.share, size=resamples)
        p, q = self._mesh.p[node], self._mesh.q[node]
        groups, m = int(self._group.max()) + 1, len(self._group)
        if groups == m:
            deviation = np.sqrt(self._mesh.squares[node] / rng.chisquare(self._free, resamples))
            noise = deviation[:, None] * self._spread * rng.standard_normal((resamples, m))
        else:
            left = max(groups * (1 - 3 * len(self._curves) / m), 1.0)
            widened = small_sample(groups, Scatter(float(np.sqrt(groups / left)), left), 1.0)
            noise = widened * self._residual * rng.standard_normal((resamples, groups))[:, self._group]
        found = []
        for curve, solver in zip(self._curves, self._mesh.solvers, strict=True):
            losses = curve.loss + noise[:, curve.points]
            found.append(curve.centre + _minimum(np.einsum("rkn,rn->rk", solver[node], losses), p, q))
        return np.stack(found, axis=1)

    @cached_property
    def _spread(self) -> Array:
        """Standard deviation (m,) of each loss in units of that near the minima."""
        spread = np.empty(len(self._group))
        for curve in self._curves:
            spread[curve.points] = curve.spread(self.reach)
        return spread

    @cached_property
    def _residual(self) -> Array:
        """(m,) relative residuals of the likeliest shape."""
        best = int(self._mesh.squares.argmin())
        residual = np.empty(len(self._group))
        for curve, solver in zip(self._curves, self._mesh.solvers, strict=True):
            terms = _terms(curve.x, self._mesh.p[[best]], self._mesh.q[[best]])[0]
            residual[curve.points] = curve.loss - terms @ (solver[best] @ curve.loss)
        return residual


def fit_vertices(slices: Slices) -> Vertices:
    """Fit L = c + s N^-p + t N^q at every budget, p and q shared by all, and take each curve's minimum.

    On every surface whose reducible loss is one power law along its optima (Chinchilla, coupled, Kaplan's)
    the curves of all budgets have one shape, up to height and place; so two exponents shared by all give a
    parabola its asymmetry for two parameters instead of one or more a budget. Losses far above a
    budget's least may scatter more (warm-up, noise by loss level): by how much, `REACHES`, is chosen by
    restricted likelihood, equal spread among the choices. Minima are averages over the posterior of (p, q).

    Chosen by bias and by coverage of N* at ten times the largest budget, for three laws and 5 or 9 sizes
    within ±2, 4, 16× of the optima or drifting off (`experiments/benchmarks/vertices.py`). On exact losses it
    is off by 1 % at most; a parabola by up to 36 %, a cubic 6 %, Akima's spline 11 %. With 0.2 or 1 % of
    noise its errors are the least or second least on every grid, a third to an eighth of Akima's, and its
    nominal 95 % intervals hold the truth in 95 % of studies, 83 to 100 % by grid (parabola 17 to 100 %, cubic
    82 to 100 %).

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) section 3.2 fits parabolas; Czech et al. 2026
    (arXiv:2603.22339) show their bias; Porian et al. 2024 (arXiv:2406.19146) interpolate by Akima's splines
    and let noise grow with loss.
    """
    curves = [_Curve.of(slices, budget) for budget in range(len(slices.compute))]
    m, groups = len(slices.loss), int(slices.group.max()) + 1
    free = max(groups * (1 - 3 * len(curves) / m), 1.0)
    mesh, reach = _posterior(curves, np.inf, free), np.inf
    if mesh.squares.min() > free * QUIET**2:
        best = _likelihood(mesh, free, groups / m) + CLEARLY
        for other in REACHES:
            tried = _posterior(curves, other, free, mesh.around)
            likelihood = _likelihood(tried, free, groups / m)
            if likelihood > best:
                mesh, reach, best = tried, other, likelihood
    noise = float(np.sqrt(mesh.squares.min() / max(free - 2, 1.0)))
    log_n, variance, inside = [], [], []
    for curve, solver in zip(curves, mesh.solvers, strict=True):
        place = _minimum(solver @ curve.loss, mesh.p, mesh.q)
        known = np.isfinite(place)
        likely = float(mesh.share[known].sum())
        mean = float(mesh.share[known] @ place[known]) / likely if likely > 0.5 else np.nan
        log_n.append(curve.centre + mean)
        variance.append(noise**2 * _leverage(curve, solver, mesh, reach))
        inside.append(bool(curve.x[0] < mean < curve.x[-1]))
    places = (np.array(log_n), np.array(variance), np.array(inside))
    return Vertices(*places, reach, noise, curves, mesh, free, slices.group)


def _likelihood(mesh: _Mesh, free: float, independent: float) -> float:
    """Restricted log likelihood of the likeliest shape, up to a constant.

    Args:
        free: degrees of freedom of the residuals.
        independent: how many of the points are, as a share.
    """
    return float(np.max(-(free * np.log(mesh.squares) + independent * mesh.log_det) / 2))


def _posterior(
    curves: Sequence[_Curve],
    reach: float,
    free: float,
    start: tuple[tuple[float, float], tuple[float, float]] = (WIDTHS, TILTS),
) -> _Mesh:
    """Refine the mesh until it covers what the losses leave of the exponents, and weigh its nodes."""
    widths, tilts = start
    for _ in range(ZOOMS):
        mesh = _solve(curves, widths, tilts, reach)
        share = (mesh.squares / mesh.squares.min()) ** (-free / 2)
        by_node = share.reshape(NODES, NODES)
        refined = (_refined(widths, by_node.sum(axis=1)), _refined(tilts, by_node.sum(axis=0)))
        if refined == (widths, tilts):
            break
        widths, tilts = refined
    return replace(mesh, share=share / share.sum())


def _terms(x: Array, p: Array, q: Array) -> Array:
    """A constant, a slope and a bend that turn into 1, x and x² as p and q (G,) vanish: (G, n, 3)."""
    p, q = p[:, None], q[:, None]
    left, right = np.expm1(-p * x), np.expm1(q * x)
    return np.stack(
        [np.ones_like(left), (right - left) / (p + q), 2 * (left / p + right / q) / (p + q)], axis=-1
    )


def _minimum(coefficients: Array, p: Array, q: Array) -> Array:
    """Where a curve of coefficients (..., 3) is least; NaN unless both flanks rise."""
    _, slope, bend = np.moveaxis(coefficients, -1, 0)
    left, right = 2 * bend - p * slope, 2 * bend + q * slope
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((left > 0) & (right > 0), np.log(left / right) / (p + q), np.nan)


def _solve(
    curves: Sequence[_Curve], widths: tuple[float, float], tilts: tuple[float, float], reach: float
) -> _Mesh:
    """Least squares at each node of the mesh between two log(p + q) and two q - p."""
    axes = np.meshgrid(np.linspace(*widths, NODES), np.linspace(*tilts, NODES), indexing="ij")
    width, tilt = np.exp(axes[0].ravel()), axes[1].ravel()
    p, q = (np.maximum((width + side * tilt) / 2, LEAST_EXPONENT) for side in (-1, 1))
    squares, log_det, solvers = np.zeros(len(p)), np.zeros(len(p)), []
    for curve in curves:
        spread = curve.spread(reach)
        terms = _terms(curve.x, p, q)
        orthonormal, triangle = np.linalg.qr(terms / spread[:, None])
        solver = np.linalg.inv(triangle) @ orthonormal.transpose(0, 2, 1) / spread
        misfit = (curve.loss - (terms @ (solver @ curve.loss)[:, :, None])[:, :, 0]) / spread
        squares += (misfit**2).sum(axis=1)
        log_det += 2 * float(np.log(spread).sum()) + _log_det(triangle)
        log_det -= _log_det(np.linalg.qr(terms).R) if np.isfinite(reach) else _log_det(triangle)
        solvers.append(solver)
    even, span = np.full(len(p), 1 / len(p)), (widths, tilts)
    return _Mesh(p, q, solvers, np.maximum(squares, LEAST), log_det, even, span)


def _log_det(triangle: Array) -> Array:
    """log |RᵀR| of triangles R (G, 3, 3)."""
    return np.asarray(2 * np.log(np.abs(np.diagonal(triangle, axis1=1, axis2=2))).sum(axis=1))


def _refined(over: tuple[float, float], share: Array) -> tuple[float, float]:
    """The part of an axis of the mesh that the posterior (NODES,) does not rule out."""
    nodes = np.linspace(*over, NODES)
    likely = np.flatnonzero(share > NEGLIGIBLE * share.max())
    return float(nodes[max(likely[0] - 1, 0)]), float(nodes[min(likely[-1] + 1, NODES - 1)])


def _leverage(curve: _Curve, solver: Array, mesh: _Mesh, reach: float) -> float:
    """Variance of the minimum's log N for losses of unit relative variance, at the likeliest shape."""
    best = int(mesh.squares.argmin())
    p, q, solve = mesh.p[best], mesh.q[best], solver[best]
    _, slope, bend = solve @ curve.loss
    left, right = 2 * bend - p * slope, 2 * bend + q * slope
    if not (left > 0 and right > 0):
        return np.inf
    gradient = (2 * solve[2] - p * solve[1]) / left - (2 * solve[2] + q * solve[1]) / right
    return float(((gradient / (p + q) * curve.spread(reach)) ** 2).sum())
