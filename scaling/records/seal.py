"""JSON that carries the sha256 of its own content: written once, and never trusted when read."""

from __future__ import annotations

import hashlib
import json
from typing import Any


class DamagedRecord(ValueError):
    """A file of measurements whose content cannot be trusted."""


def canonical_json(value: Any) -> bytes:
    """The one serialisation that hashes are taken of: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: for NaN or infinity, which JSON has no number for.
        TypeError: for anything that is not plain data.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def seal(body: dict[str, Any]) -> bytes:
    """One line per field, and at the end the sha256 of their own canonical form.

    Without its line breaks and the blank after each the file *is* the canonical form (no JSON string holds a
    raw line break), so that a reader checks the hash without serialising again.
    """
    digest = hashlib.sha256(canonical_json(body)).hexdigest()
    lines = [canonical_json({key: body[key]})[1:-1] for key in sorted(body)]
    return b"{\n " + b",\n ".join(lines) + _tail(digest)


def unseal(data: bytes, schema: int) -> dict[str, Any]:
    """Inverse of `seal`, of a body whose `schema` is this one, which is taken out.

    Raises:
        DamagedRecord: naming what is wrong: not JSON, another schema, or a wrong hash.
    """
    try:
        body = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise DamagedRecord(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise DamagedRecord(f"a record is a JSON object; got {type(body).__name__}")
    digest = body.pop("sha256", None)
    if not _spells_out(data, digest):
        # Laid out otherwise, by hand or by another tool: only then serialise again.
        try:
            expected = hashlib.sha256(canonical_json(body)).hexdigest()
        except ValueError as error:
            raise DamagedRecord(f"contains a number that JSON cannot represent: {error}") from error
        if digest != expected:
            raise DamagedRecord(f"sha256 says {str(digest)[:12]}…, content hashes to {expected[:12]}…")
    found = body.pop("schema", None)
    if found != schema:
        raise DamagedRecord(f"schema {found!r}; this version reads schema {schema}")
    return body


def _spells_out(data: bytes, digest: object) -> bool:
    """Whether `data` is laid out as `seal` does, and its canonical form has this sha256."""
    tail = _tail(digest)
    canonical = data.removesuffix(tail).replace(b"\n ", b"") + b"}"
    return data.endswith(tail) and hashlib.sha256(canonical).hexdigest() == digest


def _tail(digest: object) -> bytes:
    return f',\n "sha256":"{digest}"\n}}\n'.encode()
