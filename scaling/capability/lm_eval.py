"""The EleutherAI harness on a finished causal run: `pip install 'scaling-harness[eval]'`, then

    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    model = adapt(open_finished("runs/STUDY/TRUNK/RUN").subject)
    found = simple_evaluate(model, tasks=["my_task"], task_manager=TaskManager(include_path="my/tasks"))

Offline with tasks of your own: TaskManager(include_path=…, include_defaults=False) and HF_HUB_OFFLINE=1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from scaling.capability.finished import Subject
from scaling.capability.generate import generate
from scaling.capability.likelihood import Question, log_probs, read_answers

LONGEST = 64  # tokens to write, where a task does not say
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the first one counts


def adapt(subject: Subject) -> Any:
    """An `lm_eval.api.model.LM` that answers by this model.

    Raises:
        ValueError: for a model that is not causal: the harness asks for what comes next.
        ModuleNotFoundError: without lm-eval, naming the extra that installs it.
    """
    if subject.objective != "causal":
        raise ValueError(
            f"lm-eval asks what comes next, but this is a {subject.objective} model. Give a run of a causal "
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
        """(log-probability, whether greedy decoding gives it) of each pair's second text after its first.

        An empty text is certain: (0, True). One longer than the context is read in the windows of `rolling`.
        """
        asked = [self._windows(*pair) for pair in pairs]
        totals, greedy = read_answers(self.subject, [question for windows in asked for question in windows])
        found, at = [], 0
        for windows in asked:
            part = slice(at, at := at + len(windows))
            found.append((float(totals[part].sum()), bool(greedy[part].all())))
        return found

    def rolling(self, text: str) -> float:
        """Log-probability of a whole text after the end of another document."""
        ids = [self.end, *self.subject.dataset.encode(text)]
        return float(np.sum(log_probs(self.subject, self._roll(ids, 1))))

    def write(self, prompt: str, how: dict[str, Any]) -> str:
        """What comes after a prompt, up to the first of `until`.

        A prompt that leaves no room for what is to be written loses its beginning.
        """
        until = how.get("until") or []
        stops = [stop for stop in ([until] if isinstance(until, str) else until) if stop]
        tokens = int(next((how[key] for key in LIMITS if how.get(key) is not None), LONGEST))
        context = self.subject.context
        room = context - tokens if tokens < context else context // 2
        ids = self.subject.dataset.encode(prompt)[-max(1, room) :] or [self.end]
        temperature = float(how.get("temperature") or 0.0)
        rows = generate(
            self.subject.model,
            torch.tensor([ids], device=self.subject.device),
            tokens,
            temperature=temperature if how.get("do_sample", temperature > 0) else 0.0,
            end=self.end,
        )
        text = self.subject.dataset.decode(rows[0])
        places = [text.find(stop) for stop in stops if stop in text]
        return text[: min(places)] if places else text

    def _windows(self, context: str, continuation: str) -> list[Question]:
        bare = context.rstrip()  # the harness's own convention: white space goes with what follows
        if bare == context and not continuation:
            return []
        begin = self.subject.dataset.encode(bare)
        whole = self.subject.dataset.encode(context + continuation)
        start = min(len(begin), len(whole) - 1)
        return self._roll([self.end, *whole], 1) if start == 0 else self._roll(whole, start)

    def _roll(self, ids: list[int], start: int) -> list[Question]:
        """Every id from `start` on once, each window with as much before it as the context allows.

        Source: the rolling windows of lm-eval 0.4 (`loglikelihood_rolling`): the first predicts a context's
        length of ids, and so does each that follows; the last reaches back.
        """
        width = self.subject.context
        questions = []
        while start < len(ids):
            stop = min(start + width, len(ids))
            first = max(0, stop - 1 - width)
            questions.append(Question(ids[first:stop], start - first))
            start = stop
        return questions
