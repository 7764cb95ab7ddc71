"""A record comes back as it was written, or not at all; a study folder accounts for every run."""

from __future__ import annotations

import hashlib
import json
import random
import time
import tracemalloc
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.records.record import (
    DamagedRecord,
    RunRecord,
    canonical_json,
    decode_record,
    encode_record,
    find_record_files,
    read_study,
)
from tests.records.life import a_record

SLOWER = 3.0  # times the parsing of the JSON alone, that verified records may take

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60)
@given(
    family=st.text(),
    loss=finite,
    flops=finite,
    tokens=st.integers(),
    spec=st.dictionaries(st.text(), plain, max_size=5),
    versions=st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_any_record_comes_back_bit_for_bit(**changes: Any) -> None:
    record = a_record(**changes)
    data = encode_record(record)
    back = decode_record(data)
    assert back == record
    assert canonical_json(asdict(back)) == canonical_json(asdict(record))  # -0.0 and 1 against 1.0, too
    assert encode_record(back) == data


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_a_record(data: bytes) -> None:
    with pytest.raises(DamagedRecord):
        decode_record(data)


def test_a_record_laid_out_anew_is_still_believed() -> None:
    """Content is what the hash is of: an editor may change the layout, and no more."""
    record = a_record()
    body = json.loads(encode_record(record))
    assert decode_record(json.dumps(body, indent=4).encode()) == record
    body["loss"] += 1e-9
    with pytest.raises(DamagedRecord, match="sha256 says"):
        decode_record(json.dumps(body, indent=4).encode())


def test_one_field_a_line() -> None:
    lines = encode_record(a_record()).decode().splitlines()
    assert len(lines) == len(fields(RunRecord)) + 4  # schema, sha256 and two brackets
    assert ' "loss":2.8471,' in lines


def test_a_diverged_record_has_no_loss_and_says_why() -> None:
    record = a_record(status="diverged", loss=None, loss_se=None, bits_per_byte=None, reason="NaN at step 7")
    assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "failed"}, "status: a record is done or diverged; got 'failed'"),
        ({"loss": None}, "run run-1: a done record needs a finite loss; got None"),
        ({"loss": float("nan")}, "a done record needs a finite loss; got nan"),
        ({"loss": float("inf")}, "a done record needs a finite loss; got inf"),
        ({"status": "diverged"}, "a diverged record carries no loss; got 2.8471"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        a_record(**changes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_a_number_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        encode_record(a_record(bits_per_byte=value))
    with pytest.raises(ValueError, match="Out of range float values"):
        encode_record(a_record(spec={"budget": {"tokens": value}}))


def rehashed(**changes: Any) -> bytes:
    """A file whose hash is right and whose content is not a record."""
    record = a_record()
    body = {**json.loads(encode_record(record)), **changes}
    del body["sha256"]
    body = {key: value for key, value in body.items() if value != "drop"}
    return json.dumps({**body, "sha256": hashlib.sha256(canonical_json(body)).hexdigest()}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1, 2]", "a record is a JSON object; got list"),
        (b"{}", "sha256 says None"),
        (b'{"loss": NaN}', "a number that JSON cannot represent"),
        (rehashed(schema=2), "schema 2; this version reads schema 1"),
        (rehashed(tokens="drop"), "missing 1 required positional argument: 'tokens'"),
        (rehashed(status="failed"), "a record is done or diverged; got 'failed'"),
        (rehashed(loss=None), "needs a finite loss"),
        (rehashed(loss="2.5"), "must be real number"),
    ],
)
def test_damage_is_named(data: bytes, message: str) -> None:
    with pytest.raises(DamagedRecord, match=message):
        decode_record(data)


def test_fields_a_later_version_may_add_are_passed_over() -> None:
    assert decode_record(rehashed(colour="blue")) == a_record()


def test_no_damage_to_a_record_is_silent() -> None:
    """2,000 flipped bits, 500 truncations, 300 zeroed pages: refused, or (a last line break) unchanged."""
    record = a_record(versions={"python": "3.11.7 " * 40, "torch": "2.13.0"})
    data = encode_record(record)
    rng = random.Random(8)
    damaged = []
    for _ in range(2000):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        damaged.append(bytes(flipped))
    damaged += [data[: rng.randrange(len(data))] for _ in range(500)]
    for _ in range(300):
        start = rng.randrange(len(data))
        damaged.append(data[:start] + bytes(min(512, len(data) - start)) + data[start + 512 :])
    refused = 0
    for bad in damaged:
        try:
            assert decode_record(bad) == record
        except DamagedRecord:
            refused += 1
    assert refused >= 2790


# A study folder.


def write(study: Path, record: RunRecord, data: bytes | None = None) -> Path:
    path = study / record.trunk_id / record.run_id / "record.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_record(record) if data is None else data)
    return path


def plan(study: Path, *records: RunRecord) -> None:
    rows = [{"run_id": r.run_id, "trunk_id": r.trunk_id} for r in records]
    (study / "plan.json").write_text(json.dumps({"study": "tiny", "schema": 1, "runs": rows}))


def test_every_planned_run_is_accounted_for(tmp_path: Path) -> None:
    done, diverged, damaged, moved, missing = (
        a_record(run_id="a", trunk_id="t1"),
        a_record(run_id="b", trunk_id="t1", status="diverged", loss=None, reason="NaN at step 3"),
        a_record(run_id="c", trunk_id="t2"),
        a_record(run_id="d", trunk_id="t2"),
        a_record(run_id="e", trunk_id="t3"),
    )
    write(tmp_path, diverged)
    write(tmp_path, done)
    write(tmp_path, damaged, encode_record(damaged)[:-20])
    write(tmp_path, moved, encode_record(replace(moved, run_id="x")))
    plan(tmp_path, done, diverged, damaged, moved, missing)
    for number, kind in enumerate(["oom", "exception"], start=1):
        note = tmp_path / "t3" / "failures" / f"{number:06d}.json"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"kind": kind, "message": "why"}))
    study = read_study(tmp_path)
    assert study.name == "tiny"
    assert study.records == (done, diverged)
    assert study.done == (done,)
    assert study.diverged == (diverged,)
    assert study.missing == ("c", "d", "e")
    assert study.failures["t3"].kind == "exception"
    assert study.failures["t3"].attempt == 2
    assert set(study.damaged) == {"t2/c/record.json", "t2/d/record.json"}
    assert "not JSON" in study.damaged["t2/c/record.json"]
    assert "says it is run x, but lies in the folder of d" in study.damaged["t2/d/record.json"]
    assert [path.parent.name for path in find_record_files(tmp_path)] == ["a", "b", "c", "d"]


def test_a_run_has_one_record(tmp_path: Path) -> None:
    write(tmp_path, a_record(trunk_id="t1"))
    write(tmp_path, a_record(trunk_id="t2", loss=1.0))
    study = read_study(tmp_path)
    assert [r.loss for r in study.records] == [2.8471]
    assert study.damaged == {"t2/run-1/record.json": "a second record of run run-1; trunk t1 has one"}


def test_what_was_set_aside_is_still_counted(tmp_path: Path) -> None:
    path = write(tmp_path, a_record())
    for folder in (path.parent, path.parent.parent):
        (folder / "quarantine").mkdir()
        (folder / "quarantine" / "x.pt").write_bytes(b"")
    (path.parent / "quarantine" / "x.pt.reason").write_text("a flipped bit\n")
    assert read_study(tmp_path).quarantined == {
        "trunk-1/quarantine/x.pt": "no note",
        "trunk-1/run-1/quarantine/x.pt": "a flipped bit",
    }


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such runs folder"):
        read_study(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"neither plan.json nor any record"):
        read_study(tmp_path)


def test_a_damaged_plan_or_note_is_reported(tmp_path: Path) -> None:
    write(tmp_path, a_record())
    (tmp_path / "plan.json").write_text('{"study": "tiny"}')
    assert "missing runs cannot be counted" in read_study(tmp_path).damaged["plan.json"]
    plan(tmp_path, a_record(run_id="other"))
    (tmp_path / "trunk-1" / "failures").mkdir()
    (tmp_path / "trunk-1" / "failures" / "000001.json").write_text("{")
    assert "unreadable failure note" in read_study(tmp_path).damaged["trunk-1/failures/000001.json"]


def test_a_large_study_is_read_and_verified_fast(tmp_path: Path) -> None:
    """A tenth of 10,000 records; the slow test takes them all."""
    assert times_of_json(tmp_path, trunks=200) < SLOWER


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.battery(19)
def test_ten_thousand_records_take_little_more_than_their_json_and_100_megabytes(tmp_path: Path) -> None:
    assert times_of_json(tmp_path, trunks=2000) < SLOWER
    tracemalloc.start()
    study = read_study(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(study.done) == 10_000
    assert peak < 100e6


def times_of_json(study: Path, trunks: int) -> float:
    """CPU time of reading five records per trunk over that of parsing their JSON: the best of five, warm."""
    records = [
        a_record(trunk_id=f"t{t}", run_id=f"t{t}-{r}", spec={f"key{i}": 1.5 * i for i in range(25)})
        for t in range(trunks)
        for r in range(5)
    ]
    for record in records:
        write(study, record)
    plan(study, *records)
    files = sorted(study.glob("*/*/record.json"))
    assert len(files) == len(records)
    ours, theirs = [], []
    for _ in range(5):
        start = time.process_time()
        assert len(read_study(study).done) == len(records)
        middle = time.process_time()
        for file in files:
            json.loads(file.read_bytes())
        ours.append(middle - start)
        theirs.append(time.process_time() - middle)
    return min(ours) / min(theirs)
