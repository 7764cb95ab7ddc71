"""Python source that every machine has, as a corpus; models of every family on it; an oracle that read it."""

from __future__ import annotations

import ast
import math
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scaling.capability.finished import Subject
from scaling.capability.items import Item
from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions
from scaling.models import get_family

CONTEXT = 128
LIBRARY = Path(sysconfig.get_path("stdlib"))
MODULES = """bdb bisect calendar cmd code codecs configparser copy csv dis filecmp fileinput fnmatch fractions
functools getopt gettext glob gzip hashlib heapq imaplib io keyword linecache locale lzma mimetypes
netrc ntpath numbers pickle platform plistlib poplib posixpath pprint profile pstats queue random
sched selectors shelve shlex shutil smtplib socketserver stat string struct subprocess symtable
tempfile textwrap timeit token trace traceback tty uuid warnings wave weakref webbrowser zipapp"""


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Some modules of the standard library, byte by byte, each one document; a third held out."""
    folder = tmp_path_factory.mktemp("code")
    for module in MODULES.split():
        path = LIBRARY / f"{module}.py"
        if path.is_file() and path.stat().st_size < 40_000:  # some have left later versions
            (folder / f"{module}.txt").write_bytes(path.read_bytes())
    return open_code(folder, tmp_path_factory.mktemp("cache"))


def open_code(folder: Path, cache: Path, vocab: int = 256) -> Dataset:
    return open_dataset(DataOptions("text", vocab, (str(folder),), heldout_fraction=0.3), cache)


def untrained(dataset: Dataset, family: str, seed: int = 0, context: int = CONTEXT) -> Subject:
    registered = get_family(family)
    torch.manual_seed(seed)
    model = registered.build(registered.shape_for(6e3), dataset.vocab, context).eval()
    return Subject(model, registered.objective, context, dataset, rate=1e-2)


class Oracle:
    """Backs off from the longest context of up to six bytes that it has seen, the prompt included."""

    ORDER = 6

    def __init__(self, text: bytes) -> None:
        self.counts: dict[bytes, Counter[int]] = {}
        for place in range(len(text)):
            self._learn(self.counts, text, place)

    def _learn(self, counts: dict[bytes, Counter[int]], text: bytes, place: int) -> None:
        for order in range(self.ORDER + 1):
            if place >= order:
                counts.setdefault(text[place - order : place], Counter())[text[place]] += 1

    def choices(self, item: Item) -> NDArray[np.float64]:
        """Log-probability of every choice (choices,) [nats]."""
        prompt = item.prompt.encode()
        local: dict[bytes, Counter[int]] = {}
        for place in range(len(prompt)):
            self._learn(local, prompt, place)
        totals = []
        for choice in item.choices:
            text, total = prompt + choice.encode(), 0.0
            for place in range(len(prompt), len(text)):
                total += math.log(self._probability(local, text, place))
            totals.append(total)
        return np.array(totals)

    def _probability(self, local: dict[bytes, Counter[int]], text: bytes, place: int) -> float:
        p = 1 / 256
        for order in range(min(self.ORDER, place) + 1):
            context = text[place - order : place]
            near, far = local.get(context), self.counts.get(context)
            n = (8 * near.total() if near and order > 2 else 0) + (far.total() if far else 0)
            hit = (8 * near[text[place]] if near and order > 2 else 0) + (far[text[place]] if far else 0)
            p = (hit + 4 * p) / (n + 4)
        return p


@pytest.fixture(scope="session")
def oracle(code: Dataset) -> Oracle:
    return Oracle(bytes(np.asarray(code.train[:100_000], dtype=np.uint8)))  # type: ignore[attr-defined]


def is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
