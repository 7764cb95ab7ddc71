"""Which column of a source is which of ours: mapped, equal in name, or an alias that its values bear out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.table.columns import KNOWN, OWN_INPUTS, means, plain, without_embedding
from analysis.table.mapping import NO_STATUS, Columns, Origin, describe, parse_columns
from analysis.table.raw import Raw
from analysis.table.status import check_states, find_states
from analysis.table.suggest import Offer, same_numbers, shape_hint, suggest, why_not

# Where two columns could be one of these, the choice changes a fit, so it is asked for.
_ASKED = ("params", "tokens", "tokens_unique", "flops", "loss", "run_id", "trunk_id")


@dataclass
class Resolved:
    """Our columns and where each comes from, and what the reader should know of that."""

    origins: dict[str, Origin]
    states: tuple[str, ...] = ()  # columns that say which rows hold no result; the first is our status
    notes: list[str] = field(default_factory=list)


def resolve(columns: Columns | None, raw: Raw) -> Resolved:
    """Find the origin of every column of ours that the source has: mapped, equal in name, or an alias.

    An alias is believed unless its values say otherwise: `L` may count layers, `D` may be a width.

    Raises:
        ValueError: when two columns could be the same one of ours, or the source has no loss, or nothing that
            the loss is a function of: naming the columns present and the mapping to type.
    """
    present = list(raw.columns)
    given = parse_columns(columns, present)
    found = Resolved(dict(given))
    _find_states(raw, found)
    refused: dict[str, str] = {}
    for ours in KNOWN:
        if ours not in found.origins and ours != "status":
            _find(ours, raw, found, refused)
    found.notes += [f"{reason}: not read as {ours}" for ours, reason in refused.items()]
    _add_budget(raw, found)
    if (
        "x" in present
        and "loss" in found.origins
        and not {"params", "tokens", "flops", "x"} & set(found.origins)
    ):
        found.origins["x"] = Origin.of("x")
    missing = _missing(found.origins, given, raw)
    if missing:
        raise ValueError(_no_column(missing, raw, found, refused))
    return found


def _find_states(raw: Raw, found: Resolved) -> None:
    """Find what says which rows hold no result: the column that was mapped, or all that do."""
    mapped = found.origins.get("status")
    if mapped is None:
        states, notes = find_states(raw.columns, _taken(found.origins))
        found.states, found.notes = tuple(states), [*found.notes, *notes]
        if states:
            found.origins["status"] = Origin.of(states[0])
    elif mapped.column == NO_STATUS:
        del found.origins["status"]
    else:
        found.states = (mapped.column or "",)
        check_states(found.states[0], raw.columns[found.states[0]])


def _find(ours: str, raw: Raw, found: Resolved, refused: dict[str, str]) -> None:
    taken = {*_taken(found.origins), *found.states}
    candidates = []
    for name, cells in raw.columns.items():
        if name in taken or not means(name, ours):
            continue
        if reason := why_not(name, cells, ours, raw):
            refused[ours] = reason
        else:
            candidates.append(name)
    first = [name for name in candidates if plain(name) == ours] or candidates
    others = [
        n for n in candidates if n != first[0] and not same_numbers(raw.columns[n], raw.columns[first[0]])
    ]
    if others and ours in _ASKED:
        theirs, hint = first[0], ""
        if ours == "params":
            theirs = sorted(candidates, key=without_embedding, reverse=True)[0]
            hint = " N is without the embedding here." if without_embedding(theirs) else ""
        elif ours == "loss" and plain(first[0]) == ours:  # so Hugging Face and Keras call the training loss
            theirs = others[0]
            hint = f" {first[0]!r} beside {theirs!r} is often the training loss."
        raise ValueError(
            f"{raw.source}: {ours!r} could be any of {', '.join(map(repr, candidates))}. "
            f"Say which one, e.g. --columns {_typed(ours, theirs)}.{hint}"
        )
    if others and plain(first[0]) != ours:
        found.notes.append(f"{ours} could be any of {', '.join(map(repr, candidates))}: none is used")
    elif candidates:
        found.origins[ours] = Origin.of(first[0])


def _add_budget(raw: Raw, found: Resolved) -> None:
    """Take a column `budget` for compute where it is about 6 N D; it may be one of tokens, or of money."""
    names = [name for name in raw.columns if plain(name) in ("budget", "c_budget")]
    if "flops" in found.origins or len(names) != 1 or not {"params", "tokens"} <= set(found.origins):
        return
    params, tokens = (found.origins[name].numbers(name, raw).values for name in ("params", "tokens"))
    budget = Origin.of(names[0]).numbers("flops", raw).values
    with np.errstate(all="ignore"):
        ratio = budget / (6 * params * tokens)
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) and 0.3 < np.median(ratio) < 3 and np.mean((ratio > 0.1) & (ratio < 10)) > 0.9:
        found.origins["flops"] = Origin.of(names[0])
        found.notes.append(f"{names[0]!r} is read as flops: it is about 6 N D")


def _missing(origins: Mapping[str, Origin], given: Mapping[str, Origin], raw: Raw) -> list[str]:
    """What a fit still needs: a loss, and something that it is a function of."""
    have = set(origins)
    missing = [] if "loss" in have else ["loss"]
    own = bool(set(OWN_INPUTS) & set(given))
    if "x" in have or {"params", "tokens"} <= have or {"params", "flops"} <= have or own:
        return missing
    if "flops" in have:  # (C, loss) is a compute frontier, if no column could be N or D
        taken = _taken(origins)
        others = "tokens" in have or suggest("params", raw, taken) or suggest("tokens", raw, taken)
        frontier = "flops" in given or not others
        return missing if frontier else ["params", *missing]
    if "params" not in have:
        missing.insert(0, "params")
    return missing if "tokens" in have else [*missing, "tokens (or flops)"]


def _no_column(missing: Sequence[str], raw: Raw, found: Resolved, refused: Mapping[str, str]) -> str:
    """Say what is missing, which columns may be it, and the mapping to type."""
    taken = _taken(found.origins)
    said, typed = [f"{raw.source}: no column for {', '.join(missing)}."], []
    said += [f"{refused[ours]}, so it was not read as {ours}." for ours in refused if _short(missing, ours)]
    for ours in [name.split()[0] for name in missing]:
        offers = suggest(ours, raw, taken)
        if ours == "tokens" and not offers:
            ours, offers = "flops", suggest("flops", raw, taken)
        if ours == "params" and {"tokens", "flops"} <= set(found.origins):
            D, C = (_bracketed(found.origins[name].expression.text) for name in ("tokens", "flops"))
            offers.append(Offer(f"{C}/(6*{D})", (), "by C = 6 N D"))
        if ours == "loss" and "bits_per_byte" in found.origins:
            bits = _bracketed(found.origins["bits_per_byte"].expression.text)
            offers.append(Offer(f"{bits}*log(2)", (), "bits per byte, given in nats per byte"))
        if offers:
            said.append(f"{ours} may be {'; '.join(f'{o.text} ({o.why})' for o in offers[:4])}.")
            typed.append(f"{ours}={offers[0].text}")
            taken = [*taken, *offers[0].columns]
    typed = typed or [f"{missing[0].split()[0]}=NAME"]
    said += shape_hint(raw)
    said += [
        describe(list(raw.columns)),
        f"Map them, e.g. --columns {shlex.join(typed)} on the command line,",
    ]
    said.append(f"columns={typed!r} in Python, or a YAML file of `ours: theirs` lines;")
    said.append("an expression brings other units in: params=NAME*1e6, loss=log(NAME).")
    if "flops" in found.origins and "params" in missing:
        origin = found.origins["flops"]
        said.append(
            f"For a law of compute alone, name it: --columns {_typed('flops', origin.expression.text)}."
        )
    elif "loss" in found.origins and len(missing) > ("params" not in found.origins):
        known = [name for name in ("params", "tokens") if name in found.origins]
        one = found.origins[known[0]].expression.text if known else typed[0].partition("=")[2]
        said.append(f"For a curve of one input: --columns {_typed('x', one)}.")
    return " ".join(said)


def _taken(origins: Mapping[str, Origin]) -> list[str]:
    """Columns that one of ours says all of; those of `steps*batch` are still columns of their own."""
    read = [origin.expression.columns for origin in origins.values()]
    return [names[0] for names in read if len(names) == 1]


def _bracketed(text: str) -> str:
    return text if re.fullmatch(r"[\w. ]+", text) else f"({text})"


def _short(missing: Sequence[str], ours: str) -> bool:
    return any(ours in name for name in missing)


def _typed(ours: str, theirs: str) -> str:
    """A mapping as it is typed into a shell."""
    return shlex.quote(f"{ours}={theirs}")
