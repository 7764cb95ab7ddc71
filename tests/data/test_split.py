from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.data.source import Document, Source, position
from scaling.data.split import Sample, Tally, split_documents

Kept = list[tuple[str, str, bytes]]


def run(
    documents: list[Document], *, heldout_fraction: float = 0.3, limit_bytes: int | None = None
) -> tuple[Kept, Tally]:
    tally = Tally()
    source = Source("test", "a test", (), lambda: iter(documents))
    kept = split_documents(source, heldout_fraction=heldout_fraction, limit_bytes=limit_bytes, tally=tally)
    return list(kept), tally


contents = st.none() | st.sampled_from([b"", b"a", b"bb", b"ccc", b"\xff", b"\0", "é".encode()])


@given(st.lists(contents), st.floats(0.01, 0.99), st.none() | st.integers(1, 10))
def test_every_document_is_kept_once_or_counted(
    texts: list[bytes | None], fraction: float, limit: int | None
) -> None:
    kept, tally = run(
        [Document(str(i), text) for i, text in enumerate(texts)], heldout_fraction=fraction, limit_bytes=limit
    )
    assert tally.found == len(kept) + tally.dropped.total()
    assert tally.limited or tally.found == len(texts)
    assert len({text for _, _, text in kept}) == len(kept)  # so no text is in both splits
    assert tally.documents.total() == len(kept)
    assert tally.kept_bytes.total() == sum(len(text) for _, _, text in kept)
    for _, key, text in kept:
        assert texts[int(key)] == text
        assert text.decode()
        assert b"\0" not in text
    if limit is not None and kept:
        assert sum(len(text) for _, _, text in kept[:-1]) < limit


def test_each_reason_is_counted() -> None:
    texts = [b"a", b"a", b"", None, b"\0a", b"\xff\xfe"]
    _, tally = run([Document(str(i), text) for i, text in enumerate(texts)])
    assert tally.to_facts()["dropped"] == dict.fromkeys(
        ["unreadable", "empty", "not_utf8", "nul", "duplicate"], 1
    )


def test_a_document_keeps_its_side_when_others_come_and_go() -> None:
    documents = [Document(f"{i}.py", str(i).encode()) for i in range(300)]
    all_, _ = run(documents)
    some, _ = run(documents[::3])
    assert set(some) <= set(all_)
    few, _ = run(documents, limit_bytes=100)
    assert few == all_[: len(few)]
    assert 60 < sum(split == "heldout" for split, _, _ in all_) < 120  # expected 90; 3.8 sigma either way


def test_content_tells_order_split_and_text() -> None:
    one, two = Document("1", b"one"), Document("2", b"two")
    assert run([one, two])[1].content == run([one, two])[1].content
    assert run([one, two])[1].content != run([two, one])[1].content
    assert run([one, two])[1].content != run([one])[1].content
    both = [run([one, two], heldout_fraction=f)[1] for f in (1e-9, 1 - 1e-9)]
    assert both[0].documents == {"train": 2}
    assert both[1].documents == {"heldout": 2}
    assert both[0].content != both[1].content


def test_reading_stops_at_the_limit() -> None:
    def documents() -> Iterator[Document]:
        yield Document("1", b"12345")
        pytest.fail("read on after the limit")

    source = Source("test", "a test", (), documents)
    kept = split_documents(source, heldout_fraction=0.5, limit_bytes=5, tally=Tally())
    assert [text for _, _, text in kept] == [b"12345"]


@given(st.text(), st.text())
def test_positions_are_fractions_and_differ_by_purpose(key: str, other: str) -> None:
    assert 0 <= position(key, "split") < 1
    assert position(key, "split") == position(key, "split")
    assert position(key, "split") != position(key, "order")
    assert (position(key, "split") == position(other, "split")) == (key == other)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1), st.integers(1, 100), st.randoms())
def test_a_sample_is_bounded_and_depends_on_the_documents_alone(
    texts: list[bytes], limit: int, random: Random
) -> None:
    documents = [(str(i), text) for i, text in enumerate(texts)]
    samples = []
    for _ in range(2):
        sample = Sample(limit)
        for key, text in documents:
            sample.add(key, text)
        samples.append(list(sample.texts()))
        random.shuffle(documents)
    assert samples[0] == samples[1]
    assert sum(map(len, samples[0])) <= limit or len(samples[0]) == 1
