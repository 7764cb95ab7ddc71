"""The options that ask what a run costs on other machines, and the line with the answer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from analysis.forecast.hardware import Price, device_named, price_run

OWN = Path("devices.yaml")


def add_price(parser: argparse.ArgumentParser) -> None:
    """The options of a device."""
    group = parser.add_argument_group("what it costs on other machines")
    group.add_argument(
        "--device", metavar="NAME", help="what to price: h100, a100, mi300x, … or one from ./devices.yaml"
    )
    group.add_argument(
        "--devices", type=int, metavar="COUNT", help="number of devices (default: as many as hold the model)"
    )
    group.add_argument(
        "--utilisation",
        type=float,
        metavar="SHARE",
        help="fraction of the peak that is used (default .4, assumed)",
    )
    group.add_argument("--price", type=float, metavar="RATE", help="price per device-hour")


def price_asked(asked: argparse.Namespace, flops: float, params: float) -> Price | None:
    """The price of a run; None where no device was named.

    Raises:
        ValueError: for a device that is not known, or numbers out of range.
    """
    if asked.device is None:
        given = [n for n in ("devices", "utilisation", "price") if getattr(asked, n) is not None]
        if given:
            raise ValueError(f"--{given[0]}: of which device? Add --device h100, or another.")
        return None
    own = _own_devices()
    if asked.price is not None:
        own[asked.device] = {**own.get(asked.device, {}), "price": asked.price}
    return price_run(flops, params, device_named(asked.device, own), asked.devices, asked.utilisation)


def _own_devices() -> dict[str, dict[str, Any]]:
    """The user's table, name → peak, memory, watts, price; empty where there is no file."""
    if not OWN.is_file():
        return {}
    found = yaml.safe_load(OWN.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        raise ValueError(f"{OWN}: one entry per device, name: {{peak: …, memory: …, watts: …, price: …}}.")
    return found
