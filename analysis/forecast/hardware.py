"""What a training run costs on machines that are not here: device-hours, energy, money, and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

ASSUMED = 0.4  # of the peak; published runs of 8B to 405B lie at .35 to .43 of bfloat16
OVERHEAD = 1.1  # power of hosts, network and cooling over that of the devices
STATE = 16.0  # bytes per parameter: bfloat16 weights and gradients, float32 weights and two moments of Adam
WEIGHTS = 4.0  # of them, bytes that every device holds where only the optimizer is sharded
ROOM = 0.8  # share of memory that weights and optimizer may take; activations and buffers have the rest
NODE = 8  # devices that one fast link joins
LARGEST = 1e27  # FLOP, past any published run


@dataclass(frozen=True)
class Device:
    """An accelerator, by its data sheet; dense arithmetic."""

    name: str
    peak: float  # [FLOP/s] in bfloat16
    memory: float  # [byte]
    watts: float
    price: float | None = None  # a device-hour, in whatever currency


# Data sheets of the makers: dense bfloat16, memory, board power. No prices: they are the user's to give.
DEVICES: dict[str, Device] = {
    d.name: d
    for d in (
        Device("v100", 125e12, 32e9, 300),  # float16: it has no bfloat16
        Device("a100", 312e12, 80e9, 400),
        Device("h100", 989e12, 80e9, 700),
        Device("h800", 989e12, 80e9, 700),
        Device("h200", 989e12, 141e9, 700),
        Device("l40s", 362e12, 48e9, 350),
        Device("rtx4090", 165e12, 24e9, 450),
        Device("mi250x", 383e12, 128e9, 560),
        Device("mi300x", 1307e12, 192e9, 750),
        Device("tpu-v4", 275e12, 32e9, 192),
    )
}


@dataclass(frozen=True)
class Price:
    """What a run costs on a device."""

    device: str
    flops: float
    devices: int
    hours: float  # device-hours
    days: float  # of wall clock on so many devices
    energy: float  # [kWh], hosts and cooling included
    money: float | None
    utilisation: float
    basis: str  # of the utilisation: measured, given or assumed
    memory: float  # [byte] that weights, gradients and optimizer take
    least: int  # devices that hold them, all sharded
    split: str  # how so many devices hold the model; a warning where they do not

    def __str__(self) -> str:
        money = "no price given" if self.money is None else f"{self.money:,.0f} at the price given"
        days = f"{self.days:.3g} days" if self.days >= 2 else f"{24 * self.days:.3g} hours"
        return (
            f"on {self.devices:,} {self.device}: {self.hours:,.4g} device-hours, {days}, "
            f"{self.energy:,.3g} kWh, {money}; utilisation {self.utilisation:.2g} ({self.basis}); "
            f"{self.split}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


def price_run(
    flops: float,
    params: float,
    device: Device,
    devices: int | None = None,
    utilisation: float | None = None,
    basis: str = "given",
) -> Price:
    """Price a run of C = `flops`: hours = C / (utilisation × peak) / 3600, energy = hours × watts × 1.1.

    Args:
        params: all parameters, for memory: 16 bytes each (bfloat16 with Adam), of 80 % of a device's memory.
        devices: how many work together; by default the fewest that hold the model, in whole nodes past one.
        utilisation: FLOP/s over the peak; where none is known, `ASSUMED`, marked so.

    Raises:
        ValueError: for a number that is not positive, a utilisation above 1, or compute past 1e27 FLOP.

    Source: bytes of the state: Rajbhandari et al. 2020 (arXiv:1910.02054) section 3.1.
    """
    if not 0 < flops <= LARGEST:
        raise ValueError(f"flops: above 0 and up to {LARGEST:g} FLOP; got {flops!r}.")
    if not (params > 0 and (devices is None or devices > 0)):
        raise ValueError(f"params and devices: positive; got {params!r} and {devices!r}.")
    if utilisation is None:
        utilisation, basis = ASSUMED, "assumed"
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation: a share of the peak between 0 and 1; got {utilisation!r}.")
    memory = STATE * params
    room = ROOM * device.memory
    least = max(1, math.ceil(memory / room))
    if devices is None:
        devices = least if least <= NODE else NODE * math.ceil(least / NODE)
    hours = flops / (utilisation * device.peak) / 3600
    return Price(
        device.name,
        flops,
        devices,
        hours,
        hours / devices / 24,
        hours * device.watts * OVERHEAD / 1000,
        None if device.price is None else hours * device.price,
        utilisation,
        basis,
        memory,
        least,
        _split(params, devices, least, room),
    )


def device_named(name: str, own: Mapping[str, Mapping[str, Any]] | None = None) -> Device:
    """A device of the user's table, or else of this one; a user's entry may give only what differs.

    Raises:
        ValueError: for a device that neither knows, or an entry with a field or value that is none.
    """
    known = DEVICES.get(name)
    mine = dict((own or {}).get(name, {}))
    names = [f.name for f in fields(Device)]
    if unknown := sorted(set(mine) - set(names)):
        raise ValueError(f"device {name!r}: no field {unknown[0]!r}; choose from {', '.join(names[1:])}.")
    for key, value in mine.items():
        if key != "name" and not (isinstance(value, int | float) and value > 0):
            raise ValueError(f"device {name!r}, {key}: a positive number, e.g. 9.89e+14; got {value!r}.")
    if known is None and not {"peak", "memory", "watts"} <= set(mine):
        every = ", ".join(dict.fromkeys([*(own or {}), *DEVICES]))
        raise ValueError(
            f"device: {name!r} is not known; choose from {every}, or describe it in a file of your own with "
            "peak, memory, watts and price."
        )
    return Device(**{**(asdict(known) if known else {}), **mine, "name": name})


def _split(params: float, devices: int, least: int, room: float) -> str:
    """The simplest split that holds the model, in words."""
    if devices < least:
        return f"does not fit: {least:,} devices are needed to hold weights and optimizer"
    if least == 1:
        return "fits on one device" + ("; the others take data" if devices > 1 else "")
    shared = WEIGHTS * params + (STATE - WEIGHTS) * params / devices
    if shared <= room:
        return f"optimizer sharded over {devices:,} devices"
    if least <= 4 * NODE:
        return f"weights and optimizer sharded over {devices:,} devices"
    return (
        f"weights and optimizer sharded over {devices:,} devices; tensor parallel within nodes of {NODE} and "
        "pipeline or sharding across them"
    )
