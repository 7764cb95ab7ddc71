"""Several corpora as one: rows are dealt out by weight, and no domain is repeated beyond its cap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scaling.data.batches import Batches, Shuffle, count_windows, gather
from scaling.data.dataset import Dataset, TokenDataset
from scaling.data.generated import GeneratedDataset
from scaling.data.layout import Ids
from scaling.data.options import Domain
from scaling.data.sizes import BatchSizes, batch_sizes
from scaling.data.tokenset import json_digest

MIXTURE = "mixture"  # as a corpus


class Deal(NamedTuple):
    """Which domain each row is of.

    Attributes:
        domain: (n,) places in the list of domains.
        number: (n,) how many rows of this domain came before.
    """

    domain: NDArray[np.int64]
    number: NDArray[np.int64]


def deal(weights: Sequence[float], most: Sequence[float], rows: int) -> Deal:
    """Deal `rows` rows out to domains: after any number of them each domain has its share, to a row or so.

    The j-th row of a domain of weight w falls due at (j + 1/2) / w; rows come in the order in which they fall
    due. A domain that has given `most` rows is left out from there on, and the others keep their proportions.
    A longer deal begins with the shorter one.

    Args:
        weights: (k,) above 0.
        most: (k,) rows that each domain may give; infinite where it never ends.

    Raises:
        ValueError: when all domains together may not give so many.
    """
    if sum(most) < rows:
        raise ValueError(
            f"data.mixture: {rows:,} rows are needed, but the domains may give {int(sum(most)):,} under "
            "their max_epochs. Raise max_epochs, give more text, or a smaller budget."
        )
    given = np.zeros(len(weights), dtype=np.int64)
    domains = [np.empty(0, dtype=np.int64)]
    while (missing := rows - sum(map(len, domains))) > 0:
        left = [i for i in range(len(weights)) if given[i] < most[i]]
        total = sum(weights[i] for i in left)
        counts = [int(np.ceil(missing * weights[i] / total)) + 1 for i in left]
        due = np.concatenate([(np.arange(n) + 0.5) / weights[i] for i, n in zip(left, counts, strict=True)])
        owner = np.repeat(left, counts)
        order = owner[np.lexsort((owner, due))][:missing]
        for i in left:  # up to the first row that a domain may not give any more
            own = np.flatnonzero(order == i)
            if given[i] + len(own) > most[i]:
                order = order[: own[int(most[i] - given[i])]]
        domains.append(order)
        given += np.bincount(order, minlength=len(weights))
    domain = np.concatenate(domains)
    number = np.empty(rows, dtype=np.int64)
    for i in range(len(weights)):
        own = domain == i
        number[own] = np.arange(own.sum())
    return Deal(domain, number)


@dataclass(frozen=True, kw_only=True)
class MixtureDataset(Dataset):
    """Domains with their weights. Held-out rows are those of every domain, as many of each."""

    domains: tuple[Domain, ...]
    members: tuple[Dataset, ...]

    def batches(self, context: int, sequences: int | BatchSizes, seed: int) -> MixtureBatches:
        return MixtureBatches(self, context, batch_sizes(sequences), seed)

    def heldout_batches(self, context: int, sequences: int, tokens: int | None = None) -> list[Ids]:
        each = None if tokens is None else max(1, tokens // len(self.members))
        return [rows for one in self.members for rows in one.heldout_batches(context, sequences, each)]

    def heldout_sets(self) -> dict[str, Dataset]:
        return {domain.name: member for domain, member in zip(self.domains, self.members, strict=True)}

    def row_tokens(self, context: int) -> float:
        return self.members[0].row_tokens(context)

    def reading(self, context: int) -> float:
        return self.members[0].reading(context)


def mix(domains: Sequence[Domain], members: Sequence[Dataset]) -> MixtureDataset:
    """Make one data set of several.

    Raises:
        ValueError: for domains whose rows are not alike.
    """
    first = members[0]
    for domain, member in zip(domains, members, strict=True):
        if not isinstance(member, TokenDataset | GeneratedDataset) or member.layout.separator is not None:
            raise ValueError(f"data.mixture.{domain.name}: corpus {member.name!r} cannot be a domain.")
        if member.vocab != first.vocab or repr(member.layout) != repr(first.layout):
            raise ValueError(
                f"data.mixture.{domain.name}: its rows have another layout than those of {domains[0].name}: "
                f"{member.layout} and {first.layout}."
            )
    identity = [
        [domain.name, domain.weight, domain.max_epochs, domain.options.train_tokens, member.fingerprint]
        for domain, member in zip(domains, members, strict=True)
    ]
    return MixtureDataset(
        name=MIXTURE,
        fingerprint=json_digest(identity)[:16],
        layout=first.layout,
        token_bytes=first.token_bytes,
        facts={domain.name: member.facts for domain, member in zip(domains, members, strict=True)},
        tokenizer=first.tokenizer,
        domains=tuple(domains),
        members=tuple(members),
    )


class MixtureBatches(Batches):
    """Batches of a mixture; each domain takes its own rows in an order of its own."""

    def __init__(self, mixture: MixtureDataset, context: int, sizes: BatchSizes, seed: int) -> None:
        self.mixture, self.context, self.sizes, self.seed = mixture, context, sizes, seed
        self._dealt = deal([1.0], [1.0], 0)

    @cached_property
    def windows(self) -> tuple[float, ...]:
        """Rows that each domain has; infinite where they are drawn."""
        return tuple(
            count_windows(one.train, self.context) if isinstance(one, TokenDataset) else np.inf
            for one in self.mixture.members
        )

    @cached_property
    def _shuffles(self) -> tuple[Shuffle | None, ...]:
        return tuple(
            None if np.isinf(rows) else Shuffle(int(rows), 1, self.seed, 1 + i)
            for i, rows in enumerate(self.windows)
        )

    def deal(self, rows: int) -> Deal:
        """The first `rows` rows."""
        if rows > len(self._dealt.domain):
            most = [
                np.inf if domain.max_epochs is None else np.floor(domain.max_epochs * rows_there)
                for domain, rows_there in zip(self.mixture.domains, self.windows, strict=True)
            ]
            more = max(rows, int(min(2.0 * rows, sum(most))))
            self._dealt = deal([domain.weight for domain in self.mixture.domains], most, more)
        return Deal(self._dealt.domain[:rows], self._dealt.number[:rows])

    def batch(self, step: int) -> Ids:
        """(sequences, context + 1) ids."""
        if step < 0:
            raise ValueError(f"step: counted from 0; got {step}.")
        first, last = self.sizes.rows(step), self.sizes.rows(step + 1)
        dealt = self.deal(last)
        domain, number = dealt.domain[first:], dealt.number[first:]
        found = np.empty((last - first, self.context + 1), dtype=np.int64)
        for i, (member, shuffle) in enumerate(zip(self.mixture.members, self._shuffles, strict=True)):
            own = domain == i
            if not own.any():
                continue
            if isinstance(member, TokenDataset) and shuffle is not None:
                found[own] = gather(member.train, shuffle.take(number[own]), self.context)
            elif isinstance(member, GeneratedDataset):
                rng = np.random.default_rng([self.seed, 1 + i, step])
                found[own] = member.source.draw(rng, int(own.sum()), self.context)
        return found

    def tokens(self, steps: int) -> int:
        """Tokens in the first `steps` batches, repeats included."""
        return round(self.sizes.rows(steps) * self.mixture.row_tokens(self.context))

    def tokens_unique(self, steps: int) -> int:
        """Distinct tokens in the first `steps` batches."""
        return sum(int(found["tokens_unique"]) for found in self.by_domain(steps).values())

    def epochs(self, steps: int) -> float:
        """How often the first `steps` batches go through all domains; those that are drawn never repeat."""
        return self.tokens(steps) / max(1.0, self._served(steps))

    def _served(self, steps: int) -> float:
        a_row = self.mixture.row_tokens(self.context)
        given = np.bincount(self.deal(self.sizes.rows(steps)).domain, minlength=len(self.windows))
        return a_row * sum(n if np.isinf(rows) else rows for n, rows in zip(given, self.windows, strict=True))

    def by_domain(self, steps: int) -> dict[str, dict[str, float]]:
        """Weight, tokens, distinct tokens and epochs of each domain in the first `steps` batches."""
        a_row = self.mixture.row_tokens(self.context)
        given = np.bincount(self.deal(self.sizes.rows(steps)).domain, minlength=len(self.windows))
        total = sum(domain.weight for domain in self.mixture.domains)
        return {
            domain.name: {
                "weight": domain.weight / total,
                "tokens": round(int(n) * a_row),
                "tokens_unique": round(min(int(n), rows) * a_row),
                "epochs": 1.0 if np.isinf(rows) else int(n) / rows,
            }
            for domain, n, rows in zip(self.mixture.domains, given, self.windows, strict=True)
        }
