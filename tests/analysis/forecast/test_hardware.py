"""Device-hours against published runs, and what fits where."""

from __future__ import annotations

import pytest

from analysis.forecast.hardware import DEVICES, device_named, price_run


@pytest.mark.parametrize(
    ("name", "device", "flops", "params", "hours"),
    [
        # Llama 3 405B: 3.8e25 FLOP (arXiv:2407.21783, section 1); model card of 3.1: 30.84M H100-hours.
        ("Llama 3 405B", "h100", 3.8e25, 405e9, 30.84e6),
        # DeepSeek-V3, arXiv:2412.19437, table 1: 14.8T tokens, 37B active, 2,664K H800-hours of pre-training.
        ("DeepSeek-V3", "h800", 6 * 37e9 * 14.8e12, 671e9, 2.664e6),
        # OLMo 2 32B, allenai.org/blog/olmo2-32B: 6T tokens at over 1,800 tokens per second a GPU.
        ("OLMo 2 32B", "h100", 6 * 32.2e9 * 6e12, 32.2e9, 6e12 / 1800 / 3600),
    ],
)
def test_published_device_hours_within_30_percent(
    name: str, device: str, flops: float, params: float, hours: float
) -> None:
    found = price_run(flops, params, DEVICES[device])
    assert found.hours == pytest.approx(hours, rel=0.3), name
    assert found.basis == "assumed"


def test_hours_energy_and_money_are_products() -> None:
    device = device_named("h100", {"h100": {"price": 2.5}})
    found = price_run(1e21, 1e9, device, devices=8, utilisation=0.5)
    assert found.hours == pytest.approx(1e21 / (0.5 * 989e12) / 3600)
    assert found.days == pytest.approx(found.hours / 8 / 24)
    assert found.energy == pytest.approx(found.hours * 700 * 1.1 / 1000)
    assert found.money == pytest.approx(2.5 * found.hours)
    assert found.basis == "given"
    assert price_run(1e21, 1e9, DEVICES["h100"]).money is None
    assert price_run(1e27, 1e13, DEVICES["h200"]).days > 0


@pytest.mark.parametrize(
    ("params", "devices", "words"),
    [
        (1e9, 1, "fits on one device"),
        (1e9, 4, "the others take data"),
        (7e9, 1, "does not fit: 2 devices"),
        (7e9, 8, "optimizer sharded over 8"),
        (70e9, 24, "weights and optimizer sharded over 24"),
        (405e9, 1024, "tensor parallel within nodes of 8"),
    ],
)
def test_the_split_is_the_simplest_that_fits(params: float, devices: int, words: str) -> None:
    assert words in price_run(1e21, params, DEVICES["h100"], devices).split


def test_a_device_of_the_user_goes_first_and_nonsense_is_refused() -> None:
    mine = {"h100": {"peak": 6e14}, "mine": {"peak": 1e13, "memory": 8e9, "watts": 100}}
    assert device_named("h100", mine).peak == 6e14
    assert device_named("h100", mine).memory == 80e9
    assert device_named("mine", mine).watts == 100
    with pytest.raises(ValueError, match=r"device: 'b9000' is not known; choose from h100, mine, v100"):
        device_named("b9000", mine)
    with pytest.raises(ValueError, match=r"no field 'power'"):
        device_named("h100", {"h100": {"power": 3}})
    with pytest.raises(ValueError, match=r"peak: a positive number"):
        device_named("h100", {"h100": {"peak": "fast"}})
    with pytest.raises(ValueError, match=r"utilisation: a share"):
        price_run(1e21, 1e9, DEVICES["h100"], utilisation=40)
    with pytest.raises(ValueError, match=r"up to 1e\+27 FLOP; got 1e\+28"):
        price_run(1e28, 1e9, DEVICES["h100"])
