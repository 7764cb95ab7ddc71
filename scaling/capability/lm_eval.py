"""The EleutherAI harness on a finished causal run: `pip install 'scaling-harness[eval]'`, then

    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    model = adapt(open_finished("runs/STUDY/TRUNK/RUN").subject)
    found = simple_evaluate(model, tasks=["my_task"], task_manager=TaskManager(include_path="my/tasks"))

Offline with tasks of one's own: TaskManager(include_path=…, include_defaults=False) and HF_HUB_OFFLINE=1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from scaling.capability.finished import Subject
from scaling.capability.generate import generate
from scaling.capability.likelihood import Question, log_probs, read_answers

LONGEST = 64  # tokens to write, where a task does not say


def adapt(subject: Subject) -> Any:
    """An `lm_eval.api.model.LM` that answers by this model.

    Raises:
        ValueError: for a model that is not causal: the harness asks for what comes next.
        ModuleNotFoundError: without lm-eval, naming the extra that installs it.
    """
    if subject.objective != "causal":
        raise ValueError(
            f"lm-eval asks what comes next, and this is a {subject.objective} model. Give a run of a causal "
            "family, or use `scaling evaluate`, whose tasks every family can be asked."
        )
    try:
        from lm_eval.api.model import LM
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "this needs the package lm-eval: pip install 'scaling-harness[eval]'."
        ) from error
    answers = _Answers(subject)

    class Adapted(LM):  # type: ignore[misc]
        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            return answers.likelihoods([request.args for request in requests])

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            return [answers.rolling(request.args[0]) for request in requests]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return [answers.write(*request.args) for request in requests]

    return Adapted()


class _Answers:
    """What the harness asks, without the harness."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        assert subject.dataset.tokenizer is not None
        self.end = subject.dataset.tokenizer.end

    def likelihoods(self, pairs: list[tuple[str, str]]) -> list[tuple[float, bool]]:
        """(log-probability, whether greedy decoding gives it) of each pair's second text after its first."""
        questions = []
        for context, continuation in pairs:
            bare = context.rstrip()  # the harness's own convention: white space goes with what follows
            begin = self.subject.dataset.encode(bare)
            whole = self.subject.dataset.encode(context + continuation)
            questions.append(Question(whole, min(len(begin), len(whole) - 1)))
        totals, greedy = read_answers(self.subject, questions)
        return [(float(total), bool(same)) for total, same in zip(totals, greedy, strict=True)]

    def rolling(self, text: str) -> float:
        """Log-probability of a whole text, in windows of the context side by side."""
        ids = [self.end, *self.subject.dataset.encode(text)]
        width = self.subject.context
        windows = [Question(ids[i : i + width + 1], 1) for i in range(0, len(ids) - 1, width)]
        return float(np.sum(log_probs(self.subject, windows)))

    def write(self, prompt: str, how: dict[str, Any]) -> str:
        """What comes after a prompt, up to the first of `until`."""
        until = how.get("until") or []
        until = [until] if isinstance(until, str) else list(until)
        ids = self.subject.dataset.encode(prompt)[-self.subject.context :] or [self.end]
        rows = generate(
            self.subject.model,
            torch.tensor([ids], device=self.subject.device),
            int(how.get("max_gen_toks", LONGEST)),
            temperature=float(how.get("temperature", 0.0)) if how.get("do_sample") else 0.0,
            end=self.end,
        )
        text = self.subject.dataset.decode(rows[0])
        places = [text.find(stop) for stop in until if stop in text]
        return text[: min(places)] if places else text
