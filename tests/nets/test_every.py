"""The same questions asked of every network: it says what it is, is built from its Config, and its weights load."""

from __future__ import annotations

import pytest
from torch import nn

from answerprint import nets
from answerprint.errors import WeightsError
from answerprint.inference import weights
from answerprint.settings import values


@pytest.mark.parametrize("name", nets.names())
def test_it_says_what_it_is(name: str) -> None:
    module = nets.load(name)
    assert nets.summary(name).endswith(".") and module.__doc__.startswith(nets.summary(name))
    for value in values(module.Config):
        assert value.help, f"{name}: {value.name} has no help"


@pytest.mark.parametrize("name", nets.names())
def test_weights_that_ship_fit_it(name: str) -> None:
    # A network of several sizes has a file for each: upscale2, upscale4.
    files = sorted(weights.SHIPPED.glob(f"{name}*.safetensors"))
    if not files:
        with pytest.raises(WeightsError, match=f"no weights for '{name}'"):
            nets.load(name).load()
        return
    network = nets.load(name).load()
    assert isinstance(network, nn.Module)
    assert all(weights.load(file.stem).card.licence != "unknown" for file in files)


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(WeightsError, match="unknown network 'paint'; there are: "):
        nets.load("paint")
