"""`python -m experiments.mixture`: does a mixture law find the best weights, where they are known?"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from experiments.cli import expected_errors
from experiments.terminal import Column, table
from scaling.data.corpora import open_dataset
from scaling.data.mixture import MixtureDataset
from scaling.data.options import DataOptions, Domain
from scaling.data.truth.zipf_facts import ZipfFacts

Array = NDArray[np.float64]
EXPONENTS = {"steep": 1.2, "flat": 0.4}
WEIGHTS = (0.1, 0.2, 0.35, 0.5, 0.65)  # of `steep`: what is measured
ROWS, BATCH = 2**15, 256


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.mixture", description=__doc__)
    parser.add_argument("--seeds", type=int, default=8, help="of rows at each weight (default 8)")
    parser.add_argument("--resamples", type=int, default=400, help="of seeds, for the interval (default 400)")
    asked = parser.parse_args(arguments)
    measured = np.array([[losses(w, seed) for w in WEIGHTS] for seed in range(asked.seeds)])
    exact = np.array([expected(w) for w in WEIGHTS])
    mean = measured.mean(axis=0)
    print(
        table(
            [
                Column("weight of steep", [f"{w:g}" for w in WEIGHTS]),
                *(
                    Column(f"loss {name}", [f"{value:.4f}" for value in mean[:, i]])
                    for i, name in enumerate(EXPONENTS)
                ),
                Column("mean", [f"{value:.4f}" for value in mean.mean(axis=1)]),
                Column("in closed form", [f"{value:.4f}" for value in exact.mean(axis=1)]),
            ]
        )
    )
    truth = float(optimize.minimize_scalar(lambda w: expected(w).mean(), bounds=(0.01, 0.99)).x)
    found = best_weight(mean)
    rng = np.random.default_rng(0)
    again = [
        best_weight(measured[rng.integers(0, asked.seeds, asked.seeds)].mean(axis=0))
        for _ in range(asked.resamples)
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    cost = expected(found).mean() - expected(truth).mean()
    print(
        f"\nbest weight of steep: {truth:.3f} in closed form, {found:.3f} [{low:.3f}, {high:.3f}] by the "
        f"mixture law; at the law's weight the loss is {cost:.1e} nats above the least"
    )
    return 0


def mixture(weight: float) -> MixtureDataset:
    """Two domains of facts with different exponents and nothing in common."""
    shares = {"steep": weight, "flat": 1 - weight}
    domains = []
    for world, (name, exponent) in enumerate(EXPONENTS.items()):
        settings = (("exponent", exponent), ("world", float(world)))
        domains.append(Domain(name, shares[name], None, DataOptions("zipf_facts", 64, settings=settings)))
    opened = open_dataset(DataOptions("mixture", 64, mixture=tuple(domains)), "")
    assert isinstance(opened, MixtureDataset)
    return opened


def losses(weight: float, seed: int) -> list[float]:
    """The loss in each domain of a memoriser that has seen the rows of this mixture.

    It knows the law of the answer to every key that it has seen, and nothing of the others.
    Source: Hutter 2021 (arXiv:2102.04074), the memoriser; noise of answers is left out, as it knows the law.
    """
    data = mixture(weight)
    batches = data.batches(2, BATCH, seed)
    steps = ROWS // BATCH
    ids = np.concatenate([batches.batch(step) for step in range(steps)])
    domain = batches.deal(ROWS).domain
    found = []
    for i, source in enumerate(sources()):
        seen = np.zeros(source.keys, dtype=bool)
        seen[source.ranks(ids[domain == i])] = True
        found.append(source.floor + source.ignorance * float(source.frequency[~seen].sum()))
    return found


def expected(weight: float) -> Array:
    """(2,) the memoriser's expected loss by domain: floor + ignorance * sum_j p_j (1 - p_j)^rows."""
    rows = np.array([weight, 1 - weight]) * ROWS
    return np.array(
        [
            source.floor + source.ignorance * float(source.frequency @ (1 - source.frequency) ** n)
            for source, n in zip(sources(), rows, strict=True)
        ]
    )


def sources() -> list[ZipfFacts]:
    """The law of each domain."""
    return [ZipfFacts(exponent=exponent, world=i) for i, exponent in enumerate(EXPONENTS.values())]


def best_weight(mean: Array) -> float:
    """The weight at which the mean of the two fitted laws is least.

    Args:
        mean: (weights, 2) losses.

    Source: Ye et al. 2024 (arXiv:2403.16952), equation 1: L_i = c_i + k_i exp(t_i r_i).
    """
    shares = np.array([WEIGHTS, 1 - np.array(WEIGHTS)]).T
    laws = [
        optimize.curve_fit(_law, shares[:, i], mean[:, i], p0=(mean[:, i].min(), 0.5, -3.0), maxfev=20_000)[0]
        for i in range(2)
    ]
    total = optimize.minimize_scalar(
        lambda w: _law(w, *laws[0]) + _law(1 - w, *laws[1]), bounds=(0.01, 0.99), method="bounded"
    )
    return float(total.x)


def _law(share: Array, c: float, k: float, t: float) -> Array:
    law: Array = c + k * np.exp(t * share)
    return law


if __name__ == "__main__":
    sys.exit(expected_errors("mixture", lambda: main(sys.argv[1:])))
