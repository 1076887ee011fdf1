"""The recipes behind a look: they learn, and what they export can be read."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from answerprint import recipes
from answerprint.nets import look, weights
from answerprint.settings import Settings
from answerprint.train import checkpoint, loop
from pictures import spots

TINY = {"batch": 2, "crop": 32, "scales": (1.0,), "warm_up": 0, "validate_every": 1000, "log_every": 1, "average": 0.0}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    for index in range(6):
        cv2.imwrite(str(folder / f"p_{index}.png"), spots(rng, 8, 10, 128, 160))
    return folder


def losses(folder: Path, name: str) -> list[float]:
    with (folder / "log.csv").open() as lines:
        return [float(row[f"loss {name}"]) for row in csv.DictReader(lines) if row[f"loss {name}"]]


@pytest.mark.parametrize(("name", "more"), [("encoder", {"widths": (8, 8, 16, 16)}), ("look", {"rate": 3e-3})])
def test_it_learns_resumes_and_exports(name: str, more: dict[str, object], tmp_path: Path, photos: Path) -> None:
    recipe = recipes.load(name)
    params: Settings = recipe.Params.of({**TINY, "steps": 150 if name == "look" else 10, **more})
    quiet = {"say": lambda line: None}
    loop.train(recipe, params, [photos], tmp_path / "whole", **quiet)
    loop.train(recipe, params, [photos], tmp_path / "parts", stop_after=4, **quiet)
    loop.train(recipe, params, [photos], tmp_path / "parts", **quiet)
    whole, parts = (weights.read(tmp_path / each / checkpoint.CHECKPOINT)[0] for each in ("whole", "parts"))
    assert all(torch.equal(tensor, parts[key]) for key, tensor in whole.items())
    if name == "look":  # what the encoder learns takes longer than a test may
        found = losses(tmp_path / "whole", name)
        assert np.mean(found[-50:]) < np.mean(found[:50])
    out = tmp_path / f"{name}.safetensors"
    checkpoint.export(recipe, tmp_path / "whole", out, weights.Card(name=name))
    network = look.shipped_encoder(out) if name == "encoder" else look.load(out)
    assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


def test_the_encoder_of_the_network_is_not_trained(tmp_path: Path, photos: Path) -> None:
    recipe = recipes.load("look")
    loop.train(recipe, recipe.Params.of({**TINY, "steps": 3}), [photos], tmp_path / "run", say=lambda line: None)
    kept = weights.read(tmp_path / "run" / checkpoint.CHECKPOINT)[0]
    for key, value in look.shipped_encoder().state_dict().items():
        assert torch.equal(kept[f"net/look/encoder.{key}"], value)
