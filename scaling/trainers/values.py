"""What another program says of a run, checked before it becomes part of a record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from scaling.records.record import UNSTATED, RunRecord
from scaling.records.storage.names import slug

MOST = 0.1  # part by which the tokens of a finished run may differ from its budget

# Settings that a record has a column for. All others are columns by their own names.
NUMBERS = (
    *("width", "depth", "params_matmul", "params_total", "params_encoder", "params_decoder"),
    *("tokens_unique", "epochs", "learning_rate", "batch_tokens", "steps", "cooldown_steps", "vocab"),
    "context",
)
TEXTS = ("objective", "schedule", "data", "data_fingerprint", "precision")
SURROUNDINGS = ("device", "threads")  # move no id
_WHOLE = frozenset(NUMBERS) - {"epochs", "learning_rate"}
_INSTEAD = {
    "family": "give arm=…",
    "loss": "give it to run.finish(loss=…)",
    "loss_se": "give it to run.finish(loss_se=…)",
    "bits_per_byte": "give it to run.finish(bits_per_byte=…)",
    "flops": "give it to run.finish(flops=…)",
}
_TAKEN = {field.name for field in fields(RunRecord)} - {*NUMBERS, *TEXTS, *SURROUNDINGS}


def number(name: str, value: Any) -> float:
    """Return a number of any library as a float; NaN and infinity pass.

    Raises:
        TypeError: for what is none, True and False and text included.
    """
    plain = getattr(value, "item", None)  # of NumPy and PyTorch
    if callable(plain) and getattr(value, "size", 1) != 0:
        try:
            value = plain()
        except (ValueError, RuntimeError) as error:
            raise TypeError(f"{name}: one number is needed; got {type(value).__name__}: {error}.") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: a number is needed; got {value!r}.")
    return float(value)


def count(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number.

    Raises:
        TypeError: for what is not a number.
        ValueError: for a fraction, or less than `least`.
    """
    found = number(name, value)
    if not math.isfinite(found) or found != int(found) or found < least:
        raise ValueError(f"{name}: a whole number of at least {least} is needed; got {value!r}.")
    return int(value) if isinstance(value, int) else int(found)


def positive(name: str, value: Any) -> float:
    """Return a positive, finite number.

    Raises:
        TypeError, ValueError: for what is none.
    """
    found = number(name, value)
    if not 0 < found < math.inf:
        raise ValueError(f"{name}: a positive, finite number is needed; got {value!r}.")
    return found


def not_negative(name: str, value: Any) -> float | None:
    """Return a finite number that is zero or more; None stays None.

    Raises:
        TypeError, ValueError: for what is none.
    """
    if value is None:
        return None
    found = number(name, value)
    if not 0 <= found < math.inf:
        raise ValueError(f"{name}: zero or more, and finite; got {value!r}.")
    return found


@dataclass(frozen=True)
class Result:
    """A held-out loss that a program reports."""

    loss: float | None  # [nats/token]; None where it diverged
    loss_se: float | None = None
    bits_per_byte: float | None = None
    reason: str | None = None  # why it counts as diverged


def read_held_out_loss(loss: Any, loss_se: Any = None, bits_per_byte: Any = None) -> Result:
    """Return what a loss says: a result, or that the run has diverged.

    Raises:
        TypeError: for what is not a number.
        ValueError: for a negative loss or standard error.
    """
    found = number("loss", loss)
    if not math.isfinite(found):
        return Result(None, reason=f"held-out loss is {found}")
    if found < 0:
        raise ValueError(
            f"loss: {found!r} is negative. The held-out loss is a mean cross-entropy in nats per token."
        )
    return Result(found, not_negative("loss_se", loss_se), not_negative("bits_per_byte", bits_per_byte))


def read_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as plain values.

    Raises:
        TypeError: for a value that is neither number, text, truth value nor None.
        ValueError: for a name that a record has for something else, or a number that is not finite.
    """
    found = {}
    for name, value in settings.items():
        if name in _TAKEN:
            said = _INSTEAD.get(name, "the record says that by itself; choose another name")
            raise ValueError(f"{name}: not a setting; {said}.")
        found[name] = _setting(name, value)
    return found


def _setting(name: str, value: Any) -> Any:
    if name in TEXTS or name == "device":
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name}: a text is needed; got {value!r}.")
        return value
    if value is None or isinstance(value, str | bool):
        if name in NUMBERS and value is not None:
            raise TypeError(f"{name}: a number is needed; got {value!r}.")
        return value
    if name in (*_WHOLE, "threads"):
        return count(name, value, 0 if name == "cooldown_steps" else 1)
    found = positive(name, value) if name in NUMBERS else number(name, value)
    if not math.isfinite(found):
        raise ValueError(f"{name}: a finite number is needed; got {value!r}.")
    return value if type(value) is int else found


def record_fields(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a record that settings fill; None and `UNSTATED` where they do not say."""
    said: dict[str, Any] = {name: settings.get(name) for name in (*NUMBERS, "threads")}
    return said | {name: settings.get(name) or UNSTATED for name in (*TEXTS, "device")}


def short_name(text: str) -> str:
    """Return the readable part of an id; the hash behind it tells names apart that look alike."""
    try:
        return slug(text)[:32].rstrip(".-_")
    except ValueError:  # no letter that a folder's name may have
        return "run"
