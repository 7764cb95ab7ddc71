"""`python -m experiments.truth.features`: random features on facts, whose loss follows from their number.

A key is a frozen Gaussian vector of n features, and all that is trained is the softmax that reads it, which
is a convex problem. Such a model is predicted to know the n most frequent facts and no other, so that its
excess over the floor is (ln V - floor) times the frequency of all others: there is nothing to fit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from experiments.cli import expected_errors
from experiments.terminal import Column, table
from scaling.data.truth.zipf_facts import ZipfFacts

Array = NDArray[np.float64]
SOURCE = ZipfFacts(base=128, digits=2)  # 16,384 keys: the tail beyond 256 facts is far from its end
FEATURES = (8, 16, 32, 64, 128, 256)
STATIONARY = 1e-7  # largest entry of the gradient at which the solver may stop [nats]


@dataclass(frozen=True)
class Trained:
    """A readout at its minimum."""

    features: int
    excess: float  # over the floor, on the whole population [nats]
    predicted: float
    known: float  # how many facts, known in the order of frequency, have this excess
    gradient: float  # largest entry
    seconds: float

    @property
    def error(self) -> float:
        """Relative deviation of the excess from its prediction."""
        return self.excess / self.predicted - 1


def train_readout(source: ZipfFacts, features: int, seed: int = 0) -> Trained:
    """Minimise the exact population loss over the readout by L-BFGS, from zero.

    Raises:
        RuntimeError: when the solver stops before its gradient is small.
    """
    started = time.process_time()
    keys, answers, p = source.keys, source.answers, source.frequency
    X = np.concatenate(
        [np.random.default_rng(seed).normal(size=(keys, features)), np.ones((keys, 1))], axis=1
    )
    target = np.full((keys, answers), source.wrong)
    target[np.arange(keys), source.facts] = source.right
    target *= p[:, None]
    fixed = X.T @ target

    def loss(theta: Array) -> tuple[float, Array]:
        logits = X @ theta.reshape(fixed.shape)
        logits -= logits.max(axis=1, keepdims=True)
        linear = float((target * logits).sum())
        np.exp(logits, out=logits)
        total = logits.sum(axis=1)
        logits *= (p / total)[:, None]
        return float(p @ np.log(total)) - linear, (X.T @ logits - fixed).ravel()

    options = {"maxiter": 20_000, "maxfun": 40_000, "gtol": STATIONARY, "ftol": 0.0, "maxcor": 20}
    found = minimize(loss, np.zeros(fixed.size), jac=True, method="L-BFGS-B", options=options)
    gradient = float(np.abs(found.jac).max())
    if gradient > 10 * STATIONARY:
        raise RuntimeError(f"{features} features: stopped at a gradient of {gradient:.1e}: {found.message}")
    excess = float(found.fun) - source.floor
    return Trained(
        features=features,
        excess=excess,
        predicted=source.ignorance * source.tail(features),
        known=facts_for(source, excess),
        gradient=gradient,
        seconds=time.process_time() - started,
    )


def facts_for(source: ZipfFacts, excess: float) -> float:
    """How many of the most frequent facts must be known for this excess; between integers, in proportion."""
    tails = source.ignorance * np.concatenate([[1.0], 1 - np.cumsum(source.frequency)])
    return float(np.interp(-excess, -tails, np.arange(source.keys + 1)))


def describe(rows: Sequence[Trained]) -> str:
    """One line per number of features."""
    return table(
        [
            Column("features", [str(r.features) for r in rows]),
            Column("excess", [f"{r.excess:.4f}" for r in rows]),
            Column("predicted", [f"{r.predicted:.4f}" for r in rows]),
            Column("error", [f"{100 * r.error:+.1f} %" for r in rows]),
            Column("facts known", [f"{r.known:.1f}" for r in rows]),
            Column("CPU", [f"{r.seconds:.1f} s" for r in rows]),
        ]
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.truth.features", description=__doc__)
    parser.add_argument("features", nargs="*", type=int, default=FEATURES, help="numbers of features")
    parser.add_argument("--exponent", type=float, default=SOURCE.exponent, help="of the facts (default 0.7)")
    parser.add_argument("--seed", type=int, default=0, help="of the features (default 0)")
    asked = parser.parse_args(arguments)
    source = replace(SOURCE, exponent=asked.exponent)
    print(describe([train_readout(source, features, asked.seed) for features in asked.features]))
    return 0


if __name__ == "__main__":
    sys.exit(expected_errors("truth", lambda: main(sys.argv[1:])))
