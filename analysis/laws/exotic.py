"""Laws written once as arithmetic on jets: Kaplan, repeated data, M3, M4 and the broken power law."""

from __future__ import annotations

from abc import abstractmethod
from itertools import product

import numpy as np

from analysis.laws import jet
from analysis.laws.curves import M3, M4, BrokenPowerLaw, log_odds
from analysis.laws.form import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, Form, Tape
from analysis.laws.jet import Jet
from analysis.laws.law import Array
from analysis.laws.powers import COARSE, PowerSum, scale
from analysis.laws.projection import project_one
from analysis.laws.surfaces import Kaplan, Repeated

SATURATED = 40.0
LOG_SCALE = (-12.0, 12.0)  # log of a scale of x, relative to the middle of the data


class JetForm(Form):
    """A form that gives its log loss as a jet."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._shape = len(data.log_loss)

    @abstractmethod
    def jet(self, theta: Array) -> Jet:
        """Log loss minus the centre."""

    def tape(self, theta: Array) -> Tape:
        return jet.tape(self.jet(theta), theta.shape[1], (len(theta), self._shape))

    def value(self, theta: Array) -> Array:
        return np.broadcast_to(self.jet(theta).value, (len(theta), self._shape))

    def _screen(self, candidates: list[Array], weights: Array, log_loss: Array, keep: int) -> Array:
        """The `keep` candidates (R, p) with the least squared log error, for each replicate."""
        stacked = np.clip(np.stack(candidates), self.lower, self.upper)
        error = np.stack([(weights * (self.value(theta) - log_loss) ** 2).sum(axis=1) for theta in stacked])
        order = np.argsort(error, axis=0)[:keep]
        chosen: Array = stacked[order, np.arange(len(weights))]
        return chosen


class KaplanForm(JetForm):
    """theta = (log_A, log_B, alpha, beta) of the coupled surface with k = 1/beta and no floor."""

    names = ("log_A", "log_B", "alpha", "beta")
    lower = np.array([LOG_ZERO] * 2 + [5e-3] * 2)  # smaller, and Nc is more than a float holds
    upper = np.array([LOG_LARGE] * 2 + [EXPONENTS[1]] * 2)

    def jet(self, theta: Array) -> Jet:
        a, b, alpha, beta = Jet.parameters(theta)
        k = jet.exp(-jet.log(beta))
        by_size, by_data = a - alpha * self._data.inputs["N"], b - beta * self._data.inputs["D"]
        return jet.logaddexp(k * by_size, k * by_data) * beta

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        additive = PowerSum(self._data, offset=False).starts(weights, log_loss, thorough)
        small = additive * np.array([1.0, 1.0, 0.3, 0.3])
        candidates = [*additive, *small, *(additive * np.array([1.0, 1.0, 0.6, 0.6]))]
        return self._screen(candidates, weights, log_loss, 3 if thorough else 1)

    def law(self, theta: Array) -> Kaplan:
        a, b, alpha, beta = (float(v) for v in theta)
        data = self._data
        log_A = a + data.centre + alpha * data.centres["N"]
        log_B = b + data.centre + beta * data.centres["D"]
        return Kaplan(Nc=float(np.exp(log_A / alpha)), Dc=float(np.exp(log_B / beta)), alpha=alpha, beta=beta)


class RepeatedForm(JetForm):
    """theta = (log_E, log_A, log_B, alpha, beta, log_rd, log_rn)."""

    names = ("log_E", "log_A", "log_B", "alpha", "beta", "log_rd", "log_rn")
    lower = np.array([LOG_ZERO] * 3 + [1e-3] * 2 + [np.log(0.05)] * 2)
    upper = np.array([LOG_LARGE] * 3 + [EXPONENTS[1]] * 2 + [np.log(1e4)] * 2)

    def jet(self, theta: Array) -> Jet:
        floor, a, b, alpha, beta, log_rd, log_rn = Jet.parameters(theta)
        data = self._data
        n, d, u = (data.inputs[name] + data.centres[name] for name in ("N", "D", "U"))
        unique = np.minimum(u, d)
        # Back from the middle of the data: U_N, the parameters optimal for U tokens, is not relative to it.
        log_A, log_B = a + alpha * data.centres["N"], b + beta * data.centres["D"]
        ratio = jet.log(alpha) + log_A - jet.log(beta) - log_B
        enough = (ratio + beta * unique) * jet.exp(-jet.log(alpha))
        short = (n <= enough.value).astype(float)
        base = jet.where(short, Jet(np.broadcast_to(n, short.shape)), enough)
        size = base + _worth(Jet(n) - base, log_rn)
        amount = _worth(Jet((d - unique)[None]), log_rd) + unique
        terms = jet.logaddexp(log_A - alpha * size, log_B - beta * amount)
        return jet.logaddexp(floor, terms)

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        data = self._data
        once = Data({k: data.inputs[k] for k in ("N", "D")}, data.centres, data.log_loss, data.centre)
        fresh = data.inputs["D"] + data.centres["D"] <= data.inputs["U"] + data.centres["U"] + 1e-9
        base = weights * fresh if fresh.sum() >= 6 else weights
        additive = PowerSum(once).starts(base, log_loss, thorough)
        decays = product((1.0, 4.0, 15.0, 60.0), (1.0, 5.0, 20.0))
        candidates = [
            np.concatenate([start, np.broadcast_to(np.log([rd, rn]), (len(start), 2))], axis=1)
            for rd, rn in decays
            for start in additive[:1]
        ]
        return self._screen(candidates, weights, log_loss, 4 if thorough else 1)

    def law(self, theta: Array) -> Repeated:
        e, a, b, alpha, beta, log_rd, log_rn = (float(v) for v in theta)
        data = self._data
        return Repeated(
            E=scale(e, data.centre),
            A=scale(a, data.centre + alpha * data.centres["N"]),
            B=scale(b, data.centre + beta * data.centres["D"]),
            alpha=alpha,
            beta=beta,
            rd=float(np.exp(log_rd)),
            rn=float(np.exp(log_rn)),
        )


def _worth(excess: Jet, log_decay: Jet) -> Jet:
    """log of 1 + r (1 - exp(-(e^excess - 1) / r)): by how much repeats multiply what they repeat."""
    near = (excess.value < SATURATED).astype(float)  # beyond, repeats have given all they can
    excess = jet.where(near, excess, Jet(np.full((1, 1), SATURATED)))
    decay = jet.exp(log_decay)
    repeats = (jet.exp(excess) - 1.0) * jet.exp(-log_decay)
    return jet.log((jet.exp(-repeats) * -1.0 + 1.0) * decay + 1.0)


class M3Form(JetForm):
    """theta = (log_A, log_g, c), g relative to 1 / the middle of x."""

    names = ("log_A", "log_g", "c")
    lower = np.array([LOG_ZERO, LOG_SCALE[0], EXPONENTS[0]])
    upper = np.array([LOG_LARGE, LOG_SCALE[1], EXPONENTS[1]])

    def jet(self, theta: Array) -> Jet:
        a, log_g, c = Jet.parameters(theta)
        return a + c * jet.logaddexp(log_g, Jet(-self._data.inputs["x"][None]))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        x = self._data.inputs["x"]
        candidates = []
        for log_g in np.linspace(-x.max() - 2, -x.min() + 2, 9):
            shape = np.logaddexp(log_g, -x)[None]
            mean, level = ((weights * v).sum(1) / weights.sum(1) for v in (shape, log_loss))
            gap = shape - mean[:, None]
            c = (weights * gap * log_loss).sum(1) / np.maximum((weights * gap * gap).sum(1), 1e-300)
            candidates.append(np.stack([level - c * mean, np.full_like(c, log_g), c], axis=1))
        return self._screen(candidates, weights, log_loss, 3 if thorough else 2)

    def law(self, theta: Array) -> M3:
        a, log_g, c = (float(v) for v in theta)
        middle = self._data.centres["x"]
        return M3(A=float(np.exp(a + self._data.centre + c * middle)), g=float(np.exp(log_g - middle)), c=c)


class M4Form(JetForm):
    """theta = (log_E, log_span, log_A, log_a, c); L0 = E + span."""

    names = ("log_E", "log_span", "log_A", "log_a", "c")
    lower = np.array([LOG_ZERO, LOG_ZERO, -40.0, np.log(1e-3), EXPONENTS[0]])
    upper = np.array([LOG_LARGE, 2 * LOG_LARGE, 40.0, np.log(20.0), EXPONENTS[1]])

    def jet(self, theta: Array) -> Jet:
        floor, span, log_A, log_a, c = Jet.parameters(theta)
        a = jet.exp(log_a)
        target = log_A - c * self._data.inputs["x"] - (Jet(np.ones((1, 1))) - a) * span
        u = Jet(log_odds(target.value, a.value))
        rising = np.exp(-np.logaddexp(0, -u.value))
        slope = (1.0 - rising) + a.value * rising
        # Each step with the slope held fixed makes one more order of derivatives exact; the value is already.
        for _ in range(2):
            gap = a * jet.softplus(u) - jet.softplus(-u) - target
            u = u - gap * (1.0 / slope)
        return jet.logaddexp(floor, span - jet.softplus(-u))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        E, A, alpha = np.moveaxis(PowerSum(self._data).starts(weights, log_loss, thorough)[0], 1, 0)
        highest = log_loss.max(axis=1)
        candidates = []
        for above, log_a, steeper in product((0.1, 0.7, 2.0), np.log([0.05, 0.4, 1.0]), (1.0, 1.5)):
            span = np.log(np.maximum(np.exp(highest + above) - np.exp(E), 1e-6))
            log_A = A + np.exp(log_a) * span
            candidates.append(np.stack([E, span, log_A, np.full_like(E, log_a), steeper * alpha], axis=1))
        return self._screen(candidates, weights, log_loss, 4 if thorough else 2)

    def law(self, theta: Array) -> M4:
        e, span, log_A, log_a, c = (float(v) for v in theta)
        data, a = self._data, float(np.exp(log_a))
        E = scale(e, data.centre)
        shift = (1 - a) * data.centre + c * data.centres["x"]  # (L - E)/(L0 - L)^a scales as loss^(1 - a)
        return M4(E=E, L0=E + float(np.exp(span + data.centre)), A=float(np.exp(log_A + shift)), a=a, c=c)


class BrokenForm(JetForm):
    """theta = (log_E, log_A, c0, c1, log_d, log_f)."""

    names = ("log_E", "log_A", "c0", "c1", "log_d", "log_f")
    patience = 2000  # floor, slope and a break near the last run trade off along a valley of condition 1e9

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        x = data.inputs["x"]
        self.lower = np.array([LOG_ZERO, LOG_ZERO, -2.0, -8.0, x.min(), np.log(0.02)])
        self.upper = np.array([LOG_LARGE, LOG_LARGE, 8.0, 12.0, x.max() + 1.0, np.log(4.0)])

    def jet(self, theta: Array) -> Jet:
        floor, a, c0, c1, d, log_f = Jet.parameters(theta)
        f, sharp = jet.exp(log_f), jet.exp(-log_f)
        x = Jet(self._data.inputs["x"][None])
        return jet.logaddexp(floor, a - c0 * x - c1 * f * jet.softplus((x - d) * sharp))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        x, loss = self._data.inputs["x"], np.exp(log_loss)
        turns = (-0.5, -0.2, 0.2, 0.6, 2.0, 5.0)
        places = []
        breaks = [*np.quantile(x, [0.15, 0.3, 0.5, 0.7, 0.85, 0.95]), x.max() + 0.2, x.max() + 0.5]
        for d, f in product(breaks, (0.08, 0.4, 1.5)):
            candidates = []
            bent = f * np.logaddexp(0.0, (x - d) / f)
            for c1 in turns:
                error, E, A = project_one(x, COARSE, weights, loss, True, shape=np.exp(-c1 * bent))
                best = error.argmin(axis=1)
                rows = np.arange(len(weights))
                fixed = [np.full(len(weights), v) for v in (c1, d, np.log(f))]
                logs = np.log(E[rows, best]), np.log(A[rows, best])
                candidates.append(np.stack([*logs, COARSE[best], *fixed], axis=1))
            places.append(self._screen(candidates, weights, log_loss, 1)[0])
        # Where the break lies decides which minimum is reached, so the fit itself starts from every place.
        return np.stack(places) if thorough else self._screen(places, weights, log_loss, 2)

    def law(self, theta: Array) -> BrokenPowerLaw:
        e, a, c0, c1, d, log_f = (float(v) for v in theta)
        data = self._data
        return BrokenPowerLaw(
            E=scale(e, data.centre),
            A=scale(a, data.centre + c0 * data.centres["x"]),
            c0=c0,
            c1=c1,
            d=float(np.exp(d + data.centres["x"])),
            f=float(np.exp(log_f)),
        )


EXOTIC: dict[str, type[JetForm]] = {
    "kaplan": KaplanForm,
    "repeated": RepeatedForm,
    "m3": M3Form,
    "m4": M4Form,
    "bnsl": BrokenForm,
}
