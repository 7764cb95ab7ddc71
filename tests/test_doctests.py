"""Examples in docstrings of public names run, in processes of no state."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

import scaling
from scaling import registry

MODULES = sorted({"scaling", *scaling._HOMES.values()})


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_run(name: str) -> None:
    try:
        assert doctest.testmod(import_module(name)).failed == 0
    finally:
        registry.forget("__main__")
        registry.forget(name)


def test_the_front_door_is_instant_and_knows_its_names() -> None:
    import subprocess
    import sys

    code = "import sys, scaling; print(*sys.modules); scaling.register"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "hydra", "numpy"} & set(done.stdout.split())
    for public in scaling.__all__:
        assert getattr(scaling, public).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        scaling.nope  # noqa: B018
