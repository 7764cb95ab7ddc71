"""Every law: exact derivatives, exact recovery of noise-free data, its published equation."""

import numpy as np
import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.cells import Cells
from analysis.fitting.fit import fit_runs
from analysis.fitting.losses import ROBUST_KINDS, Robust
from analysis.fitting.newton import minimise, objective
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.laws.bnsl import BrokenPowerLaw
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.distillation import Distillation
from analysis.laws.experts import Experts
from analysis.laws.farseer import Farseer
from analysis.laws.finetune import FineTune
from analysis.laws.form import Data, Form, LawForm, Pins
from analysis.laws.frontier import Frontier
from analysis.laws.gadre import OverTraining
from analysis.laws.kaplan import Kaplan
from analysis.laws.kaplan_floor import KaplanFloor
from analysis.laws.law import Array, Law
from analysis.laws.m3 import M3
from analysis.laws.m4 import M4, log_odds
from analysis.laws.mixture import Mixture
from analysis.laws.overfit import Overfit
from analysis.laws.parallel import Parallel
from analysis.laws.power import PowerLaw
from analysis.laws.power_without_offset import PurePowerLaw
from analysis.laws.precision import Precision
from analysis.laws.rate_batch import RateBatch
from analysis.laws.repeated import Repeated
from analysis.laws.sparse import Sparse
from analysis.laws.transferred import Transferred
from analysis.laws.vocabulary import Vocabulary

N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e4, 1e7, 7), np.geomspace(1e5, 1e8, 6)))
U = np.minimum(D, np.resize([1e6, 1e7, 1e9], len(D)))
X = np.geomspace(10, 1e6, 30)
DENSITY = np.resize([1.0, 0.5, 0.25, 0.125, 0.7], len(N))
SHARES = dict(
    zip(("r1", "r2", "r3", "r4"), np.random.default_rng(5).dirichlet(np.ones(5), 40).T, strict=False)
)
RATES = np.resize(np.geomspace(3e-4, 3e-2, 5), len(N))
BATCHES = np.resize(np.geomspace(3e4, 3e6, 4), len(N))
EXAMPLES = np.resize([64.0, 256.0, 1024.0, 4096.0, 128.0], len(N))
TEACHERS = np.resize([2.0, 2.4, 2.9, 3.5, 2.2, 3.1, 1.8], len(N))
ALONE = Bootstrap(resamples=0)
LONG = ("distillation", "farseer", "rate_batch", "precision", "experts", "finetune", "sparse")  # to fit
CASES: dict[str, tuple[Law, dict[str, Array]]] = {
    "power": (PowerLaw(1.1, 9.0, 0.3), {"x": X}),
    "power_without_offset": (PurePowerLaw(9.0, 0.1), {"x": X}),
    "frontier": (Frontier(1.6, 900.0, 0.15), {"C": np.geomspace(1e18, 1e22, 20)}),
    "m3": (M3(5.0, 1e-4, 0.2), {"x": X}),
    "m4": (M4(1.2, 7.0, 80.0, 0.6, 0.45), {"x": X}),
    "bnsl": (BrokenPowerLaw(0.5, 6.0, 0.08, 0.5, 2e3, 0.3), {"x": X}),
    "chinchilla": (Chinchilla(1.5, 40.0, 60.0, 0.3, 0.32), {"N": N, "D": D}),
    "coupled": (Coupled(1.5, 40.0, 60.0, 0.3, 0.32, 2.5), {"N": N, "D": D}),
    "kaplan": (Kaplan(6.4e13, 1.8e13, 0.076, 0.103), {"N": N, "D": D}),
    "kaplan_floor": (KaplanFloor(1.2, 6.4e13, 1.8e13, 0.2, 0.3), {"N": N, "D": D}),
    "farseer": (Farseer(-0.03, 0.15, 0.6, 30.0, -0.1, 1.0, -0.1, 0.1, -0.9), {"N": N, "D": D}),
    "overfit": (Overfit(1.5, 9.0, 5.0, 8.0, 0.5, 0.3, 0.32, 0.4, 0.5), {"N": N, "D": D, "U": U}),
    "gadre": (OverTraining(1.8, 60.0, 70.0, 0.15), {"N": N, "D": D}),
    "parallel": (Parallel(1.2, 40.0, 0.25, 0.3), {"N": N, "parallel": np.resize([1.0, 2, 4, 8, 3], len(N))}),
    "sparse": (Sparse(1.5, 20.0, 0.3, 60.0, 0.32, 2.0, 0.8), {"N": N, "D": D, "density": DENSITY}),
    "vocabulary": (
        Vocabulary(1.5, 40.0, 0.3, 30.0, 0.35, 60.0, 0.32),
        {"N": N, "D": D, "vocab_params": np.resize(np.geomspace(1e4, 1e6, 5), len(N))},
    ),
    "experts": (
        Experts(2.6, -0.09, -0.12, 0.01, 2.0, 60.0),
        {"N": N * 1e2, "experts": np.resize([1.0, 2, 8, 32, 128], len(N))},
    ),
    "mixture": (Mixture(1.5, 1.2, -2.0, 0.8, 1.5, -0.6), SHARES),
    "rate_batch": (
        RateBatch(1.6, 40.0, 0.3, 60.0, 0.32, 0.06, 0.03, 2e-3, -0.4, 0.2, 3e5, 0.5),
        {"N": N * 1e3, "D": D * 1e3, "learning_rate": RATES, "batch_tokens": BATCHES},
    ),
    "finetune": (FineTune(0.3, 12.0, 0.15, 0.25), {"N": N, "examples": EXAMPLES}),
    "transferred": (Transferred(2.0, 0.4, 0.3), {"N": N, "examples": EXAMPLES}),
    "precision": (
        Precision(1.5, 40.0, 0.3, 60.0, 0.32, 2.0, 0.3, 0.25, 1.1),
        {"N": N, "D": D, "bits": np.resize([32.0, 8, 4, 3, 2], len(N))},
    ),
    "distillation": (
        Distillation(1.2, 0.9, 1.3, 0.4, 30.0, 0.3, 50.0, 0.32, 0.8),
        {
            "N": N,
            "D": D,
            "teacher_loss": TEACHERS,
            "alone_loss": 1.5 + 40.0 * N**-0.3 + 60.0 * D**-0.32,
        },
    ),
    "repeated": (Repeated(1.5, 40.0, 60.0, 0.3, 0.32, 8.0, 4.0), {"N": N, "D": D, "U": U}),
}


def close(a: Array, b: Array) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in CASES]
)
def test_runs_of_one_cell_count_as_they_do_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds of a cell, one cell without weight: all that the solver sees of them, and the fit."""
    law, inputs = CASES[name]
    rng = np.random.default_rng(1)
    many = {key: np.repeat(x, 5) for key, x in inputs.items()}
    runs = Runs.of(many, law.sample(rng, relative_noise=0.004, **many))
    data, recipe = Data.of(runs.inputs, runs.loss), Recipe(name)
    whole, apart = recipe.form(data), recipe.form_by_run(data)
    assert isinstance(whole, Cells)
    weights = rng.exponential(size=(2, runs.n))
    weights[1, :5] = 0
    log_loss = np.broadcast_to(data.log_loss, weights.shape)
    starts = apart.starts(weights, log_loss, thorough=True)
    if name not in (
        "m3",
        "m4",
        "bnsl",
        "overfit",
    ):  # theirs are of log residuals, which only starts may take for relative ones
        close(whole.starts(weights, log_loss, thorough=True), starts)
    theta = np.clip(starts[0], apart.lower, apart.upper)
    first, second = rng.normal(size=(2, 2, runs.n))
    ours, theirs = whole.tape(theta), apart.tape(theta)
    for a, b in zip(ours.sums(first, second), theirs.sums(first, second), strict=True):
        close(a, b)
    close(ours.outer(first), theirs.outer(first))
    close(ours.value, theirs.value)
    close(whole.value(theta), theirs.value)
    objective_by_cell = fit_runs(runs, recipe, ALONE).objective
    monkeypatch.setattr(Recipe, "form", Recipe.form_by_run)
    # Farseer's nine coefficients leave a plateau, on which a fit stops where 40 steps gain next to nothing.
    near = 1e-7 if name == "farseer" else 1e-9
    assert objective_by_cell == pytest.approx(fit_runs(runs, recipe, ALONE).objective, rel=near)


def form_of(name: str) -> tuple[Form, Data]:
    law, inputs = CASES[name]
    runs = Runs.of(inputs, law(**inputs))
    data = Data.of(runs.inputs, runs.loss)
    return Recipe(name).form(data), data


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_exact(name: str) -> None:
    form, data = form_of(name)
    rng = np.random.default_rng(0)
    n, p = len(data.log_loss), len(form.names)
    start = form.starts(np.ones((1, n)), data.log_loss[None], thorough=True)[0]
    theta = np.clip(start + 0.05 * rng.normal(size=(1, p)), form.lower + 0.01, form.upper - 0.01)
    first, second = rng.normal(size=(2, 1, n))
    steps = 1e-5 * np.eye(p)
    slope = np.array([(form.value(theta + e) - form.value(theta - e))[0] / 2e-5 for e in steps])
    tape = form.tape(theta)
    gradient, hessian = tape.sums(first, second)
    np.testing.assert_allclose(tape.value, form.value(theta), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradient[0], slope @ first[0], rtol=1e-6, atol=1e-6)
    outer = (slope * second) @ slope.T
    np.testing.assert_allclose(tape.outer(second)[0], outer, rtol=1e-6, atol=1e-6)

    def gradient_at(point: Array) -> Array:
        return form.tape(point).sums(first, np.zeros_like(first))[0][0]

    bend = np.array([(gradient_at(theta + e) - gradient_at(theta - e)) / 2e-5 for e in steps])
    np.testing.assert_allclose(hessian[0], bend + outer, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_noise_free_data_are_recovered(name: str) -> None:
    law, inputs = CASES[name]
    fit = fit_runs(Runs.of(inputs, law(**inputs)), Recipe(name), ALONE)
    assert type(fit.law) is type(law)
    assert fit.law.parameters == pytest.approx(law.parameters, rel=2e-5)
    assert fit.certificate.gradient == 0.0


@pytest.mark.parametrize("kind", ROBUST_KINDS)
@pytest.mark.parametrize("space", ["log", "raw"])
def test_no_start_beats_the_fit(kind: str, space: str) -> None:
    """Ten random starts, polished, find nothing better under any loss."""
    truth, inputs = CASES["chinchilla"]
    loss = truth.sample(np.random.default_rng(1), relative_noise=0.01, **inputs)
    recipe = Recipe("chinchilla", Robust(kind), space)  # type: ignore[arg-type]
    fit = fit_runs(Runs.of(inputs, loss), recipe, ALONE)
    rng = np.random.default_rng(2)
    low, high = np.array([-2.0, -4, -4, 0.05, 0.05]), np.array([0.5, 1, 1, 1.2, 1.2])
    theta = rng.uniform(low, high, size=(10, 5))
    ones = np.ones((10, fit.n_runs))
    for robust in recipe.robust.smooth():
        theta = minimise(fit.form, theta, ones, fit.data.log_loss[None], robust, recipe.space).theta
    best = objective(fit.form, theta, ones, fit.data.log_loss[None], recipe.robust, recipe.space).min()
    assert fit.objective <= best * (1 + 1e-6 if kind == "l1" else 1 + 1e-9)


def test_asymmetric_loss_follows_the_best_runs() -> None:
    truth, inputs = CASES["chinchilla"]
    rng = np.random.default_rng(3)
    loss = truth(**inputs) * np.exp(np.abs(0.02 * rng.standard_normal(len(N))))  # faults only raise a loss
    even = fit_runs(Runs.of(inputs, loss), Recipe("chinchilla"), ALONE)
    low = fit_runs(Runs.of(inputs, loss), Recipe("chinchilla", Robust("asymmetric", tau=0.9)), ALONE)
    bias = [abs(float(f.law(N=1e8, D=1e9)) / float(truth(N=1e8, D=1e9)) - 1) for f in (even, low)]
    assert bias[1] < bias[0]


def test_over_training_is_chinchilla_with_equal_exponents() -> None:
    law = OverTraining(1.8, 60.0, 70.0, 0.15)
    C, M = 6 * N * D, D / N
    np.testing.assert_allclose(law(N=N, D=D), 1.8 + (60 * M**0.15 + 70 * M**-0.15) * C**-0.15, rtol=1e-12)
    assert OverTraining.of(law.chinchilla).parameters == pytest.approx(law.parameters)


def test_m4_satisfies_its_equation() -> None:
    law = M4(1.2, 7.0, 80.0, 0.6, 0.45)
    loss = law(x=X)
    np.testing.assert_allclose((loss - 1.2) / (7.0 - loss) ** 0.6, 80.0 * X**-0.45, rtol=1e-9)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"kind": "tukey"}, "robust: one of huber, l1, squared, asymmetric; got 'tukey'"),
        ({"delta": 0.0}, "delta: a positive number; got 0.0"),
        ({"tau": 1.0}, "tau: between 0 and 1 exclusive; got 1.0"),
    ],
)
def test_impossible_losses(how: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Robust(**how)  # type: ignore[arg-type]


def test_impossible_recipes() -> None:
    with pytest.raises(ValueError, match="space: log or raw loss; got 'square'"):
        Recipe("chinchilla", space="square")  # type: ignore[arg-type]
    _, data = form_of("chinchilla")
    with pytest.raises(ValueError, match="fixed: alpha must lie between 0 and 8; got -1"):
        Recipe("chinchilla", fixed={"alpha": -1.0}).form(data)
    with pytest.raises(ValueError, match="'gamma' cannot be fixed or tied in the chinchilla law"):
        Recipe("chinchilla", fixed={"gamma": 1.0}).form(data)


def test_no_optimum_without_a_surface_or_a_positive_exponent() -> None:
    with pytest.raises(NotImplementedError, match="power: a law of x has no compute optimum"):
        PowerLaw(1, 1, 1).optimum(1e20)
    with pytest.raises(ValueError, match="no finite compute optimum with A=0"):
        Chinchilla(1, 0, 1, 0.3, 0.3).optimum(1e20)
    with pytest.raises(ValueError, match="a compute budget is a positive number"):
        Chinchilla(1, 1, 1, 0.3, 0.3).optimum(0)
    with pytest.raises(ValueError, match="no best size with alpha=0, beta=0"):
        _ = Chinchilla(1, 1, 1, 0.0, 0.0).growth


@pytest.mark.parametrize(
    "law", [Chinchilla(1.7, 400, 410, 0.34, 0.28), Coupled(1.7, 400, 410, 0.34, 0.28, 1.4)]
)
def test_the_best_size_grows_with_compute_as_it_says(law: Chinchilla | Coupled) -> None:
    kaplan = Kaplan(8.8e13, 5.4e13, 0.076, 0.103)
    for one in (law, kaplan):
        far, near = one.optimum(1e22).N, one.optimum(1e20).N
        assert np.log(far / near) / np.log(100) == pytest.approx(one.growth)


def test_an_exponent_near_zero_puts_the_optimum_beyond_every_float() -> None:
    best = Chinchilla(1.0, 3.0, 2.0, 1e-6, 1e-6).optimum(1e20)
    assert np.isinf(best.N)
    assert best.D == 0.0
    assert best.loss == pytest.approx(1 + 2 * np.sqrt(3 * 2), rel=1e-4)  # both terms alike, their product AB


def test_log_odds_solve_their_equation_to_rounding_wherever_they_bend() -> None:
    a = np.exp(np.linspace(np.log(1e-8), np.log(1e6), 300))[:, None]
    for low, high in ((-1e4, 1e4), (-60.0, 300.0), (-1.0, 0.1)):
        target = np.linspace(low, high, 1001)
        u = log_odds(target, a)
        missed = a * np.logaddexp(0, u) - np.logaddexp(0, -u) - target
        assert np.abs(missed / (1 + np.abs(target) + a)).max() < 1e-15


@pytest.mark.parametrize("name", CASES)
def test_a_law_of_which_a_term_vanished_still_has_losses(name: str) -> None:
    """A fit reports a term that fell to its bound as exactly 0; forecasts and intervals go on from there."""
    law, inputs = CASES[name]
    form = type(law).form(Data.of(inputs, law(**inputs)), Pins())
    assert isinstance(form, LawForm)
    vanishing = [parameter for parameter, readout in form.readouts.items() if readout.amount]
    for gone in (*([one] for one in vanishing), vanishing):
        left = law.parameters | dict.fromkeys(gone, 0.0)
        if set(left) != set(vars(law)):
            continue  # read from coordinates under other names
        loss = type(law)(**left)(**inputs)
        assert not np.isnan(loss).any(), gone
