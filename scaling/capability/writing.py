"""How close written text comes to what a person wrote: BLEU, ROUGE and exact match, in any language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling.capability.score import Score, binomial_se, bootstrap_se
from scaling.capability.words import bleu_tokens, words_to_compare

RESAMPLES = 100
ROUGE = ("rouge1", "rouge2", "rougeL")


def score_writing(written: Sequence[str], wanted: Sequence[str]) -> Score:
    """BLEU of the whole as a share of 1, with ROUGE and exact match as `details`, each with its error.

    Source: BLEU by sacrebleu, Post 2018 (arXiv:1804.08771), of Chinese with its tokens `zh`; ROUGE-1, -2 and
    -L by torchmetrics, Lin 2004, of words, which in Chinese are characters. Of the libraries for ROUGE it is
    the one that is kept: `rouge-score` had its last release in 2022, and sees no letters beyond ASCII.

    Raises:
        ModuleNotFoundError: without sacrebleu or torchmetrics, naming the extra that installs them.
    """
    bleu = _sacrebleu().BLEU(effective_order=True, tokenize=bleu_tokens(wanted))

    def corpus(rows: Any) -> float:
        return float(bleu.corpus_score([written[i] for i in rows], [[wanted[i] for i in rows]]).score) / 100

    count = len(written)
    rouge = rouges(written, wanted)
    exact = np.array([one.strip() == other.strip() for one, other in zip(written, wanted, strict=True)])
    share = float(exact.mean())
    details = {"exact": share, "exact_se": binomial_se(share, count)}
    for name, values in rouge.items():
        details |= {name: float(values.mean()), f"{name}_se": float(values.std(ddof=1) / np.sqrt(count))}
    value, se = corpus(range(count)), bootstrap_se(count, corpus, RESAMPLES)
    return Score(value, se, 0.0, count, "BLEU/100", details)


def rouges(written: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
    """ROUGE-1, -2 and -L (texts,) as F1."""
    rouge_score = _rouge_score()
    found = [
        rouge_score(
            *(one, other),
            rouge_keys=ROUGE,
            normalizer=str,
            tokenizer=words_to_compare,
        )
        for one, other in zip(written, wanted, strict=True)
    ]
    names = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}
    return {names[key]: np.array([float(each[f"{key}_fmeasure"]) for each in found]) for key in ROUGE}


def _rouge_score() -> Any:
    try:
        from torchmetrics.functional.text import rouge_score
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "ROUGE needs the package torchmetrics: pip install 'scaling-harness[tasks]'."
        ) from error
    return rouge_score


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "BLEU needs the package sacrebleu: pip install 'scaling-harness[tasks]'."
        ) from error
    return sacrebleu
