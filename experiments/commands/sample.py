"""`scaling sample RUN --prompt …`: continue text, fill masks or translate with any finished run.

A model fine-tuned (--tune) to classify, tag or answer gives the label, one tag per line, or the answer.
"""

from __future__ import annotations

import argparse
import json

import torch

from experiments.trained import add_model, open_model
from scaling.capability.finished import Subject
from scaling.capability.generate import fill, generate, translate
from scaling.capability.labelled.read import say

MASK = "[MASK]"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling sample", description=__doc__)
    add_model(parser)
    parser.add_argument(
        "--prompt", default="", help=f"text; for a masked model, with {MASK} for each token to fill in"
    )
    parser.add_argument("--tokens", type=int, default=200, help="most tokens to generate (default 200)")
    parser.add_argument(
        "--temperature", type=float, help="0 takes the likeliest token (default 0.8; 0 for a translation)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random draws (default 0)")
    parser.add_argument("--beam", type=int, default=1, help="beam width of a translation")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    opened = open_model(asked)
    if opened.tuned:
        text = say(opened.tuned, asked.prompt)
    else:
        text = sample(
            opened.subject, asked.prompt, asked.tokens, asked.temperature, seed=asked.seed, beam=asked.beam
        )
    if asked.json:
        print(json.dumps({**opened.about, "prompt": asked.prompt, "text": text}))
    else:
        print((asked.prompt if _continues(opened.subject) and not opened.tuned else "") + text)
    return 0


def sample(
    subject: Subject,
    prompt: str,
    tokens: int,
    temperature: float | None = None,
    *,
    seed: int = 0,
    beam: int = 1,
) -> str:
    """What follows `prompt`; `prompt` with its masks filled; or what it is in the target's language.

    An encoder_decoder of plain text reads all of the prompt but its last token, with which it begins to
    write, as in training.

    Raises:
        ValueError: for a corpus without text, a prompt without masks given to a masked model, or a beam or
            a prompt that the model cannot take.
    """
    dataset = subject.dataset
    tokenizer = dataset.tokenizer
    if tokenizer is None:
        raise ValueError(f"corpus {dataset.name!r} is synthetic: its models cannot produce text.")
    if tokens < 0:
        raise ValueError(f"--tokens: 0 or more; got {tokens}.")
    if beam > 1 and subject.objective != "seq2seq":
        raise ValueError(f"--beam: only an encoder_decoder is searched; this is a {subject.objective} model.")
    if subject.objective == "masked":
        if MASK not in prompt:
            raise ValueError(f"masked models cannot generate text: put {MASK} into the prompt.")
        ids = [i for part in prompt.split(MASK) for i in (*tokenizer.encode(part), dataset.vocab)][:-1]
        filled = fill(subject.model, _row(ids, subject), dataset.vocab)
        return tokenizer.decode(filled[0].tolist())
    if temperature is None:
        temperature = 0.8 if _continues(subject) and beam == 1 else 0.0
    ids = tokenizer.encode(prompt)
    if subject.objective == "causal":
        # Documents begin after the end of another.
        start = [tokenizer.end] if not ids else []
        if dataset.layout.separator is not None:
            ids = [*ids, dataset.layout.separator]
        row = _row(start + ids, subject)
        found = generate(subject.model, row, tokens, temperature=temperature, seed=seed, end=tokenizer.end)
        return tokenizer.decode(found[0])
    if dataset.layout.separator is not None:
        source, begin = ids, [dataset.layout.separator]
    else:
        ids = [tokenizer.end] * (2 - len(ids)) + ids
        source, begin = ids[:-1][-(subject.context // 2) :], ids[-1:]
    found = translate(
        subject.model,
        _row(source, subject),
        _row(begin, subject),
        tokens,
        beam=beam,
        temperature=temperature,
        seed=seed,
        end=tokenizer.end,
    )
    return tokenizer.decode(found[0])


def _continues(subject: Subject) -> bool:
    """Whether the text that comes out belongs behind the prompt."""
    return subject.objective != "masked" and subject.dataset.layout.separator is None


def _row(ids: list[int], subject: Subject) -> torch.Tensor:
    return torch.tensor([ids], device=subject.device)
