"""How close written text comes to what a person wrote: BLEU, ROUGE-L and exact match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling.capability.score import Score, bootstrap_se

RESAMPLES = 100


def score_writing(written: Sequence[str], wanted: Sequence[str]) -> Score:
    """BLEU of the whole as a share of 1, with ROUGE-L and exact match as `details`, each with its error.

    Source: BLEU by sacrebleu with its default tokens, Post 2018 (arXiv:1804.08771).

    Raises:
        ModuleNotFoundError: without sacrebleu, naming the extra that installs it.
    """
    bleu = _sacrebleu().BLEU(effective_order=True)

    def corpus(rows: Any) -> float:
        return float(bleu.corpus_score([written[i] for i in rows], [[wanted[i] for i in rows]]).score) / 100

    count = len(written)
    rouge = np.array([rouge_l(one, other) for one, other in zip(written, wanted, strict=True)])
    exact = np.array([one.strip() == other.strip() for one, other in zip(written, wanted, strict=True)])
    share = float(exact.mean())
    details = {
        "rouge_l": float(rouge.mean()),
        "rouge_l_se": float(rouge.std(ddof=1) / np.sqrt(count)),
        "exact": share,
        "exact_se": float(np.sqrt(share * (1 - share) / count)),
    }
    return Score(
        corpus(range(count)), bootstrap_se(count, corpus, RESAMPLES), 0.0, count, "BLEU/100", details
    )


def rouge_l(written: str, wanted: str) -> float:
    """F1 of the longest common subsequence of words, in lower case.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3, with beta = 1.
    """
    a, b = written.lower().split(), wanted.lower().split()
    longest = [0] * (len(b) + 1)
    for word in a:
        before = 0
        for j, other in enumerate(b, start=1):
            before, longest[j] = longest[j], before + 1 if word == other else max(longest[j], longest[j - 1])
    return 2 * longest[-1] / (len(a) + len(b)) if a and b else 0.0


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "BLEU needs the package sacrebleu: pip install 'scaling-harness[tasks]'."
        ) from error
    return sacrebleu
