"""The recipes behind a look: they learn, and what they export can be read."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from answerprint import recipes
from answerprint.inference import weights
from answerprint.nets import look
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


def test_a_look_is_learned(tmp_path: Path, photos: Path) -> None:
    recipe = recipes.load("look")
    params: Settings = recipe.Params.of({**TINY, "steps": 150, "rate": 3e-3})
    loop.train(recipe, params, [photos], tmp_path / "run", say=lambda line: None)
    course = losses(tmp_path / "run", "look")
    assert np.mean(course[-50:]) < np.mean(course[:50])


def test_a_trained_encoder_is_read_where_the_network_looks_for_it(tmp_path: Path, photos: Path) -> None:
    recipe = recipes.load("encoder")
    params: Settings = recipe.Params.of({**TINY, **recipe.TINY, "steps": 2})
    loop.train(recipe, params, [photos], tmp_path / "run", say=lambda line: None)
    out = tmp_path / "encoder.safetensors"
    checkpoint.export(recipe, tmp_path / "run", out, weights.Card(name="encoder"))
    network = look.shipped_encoder(out)
    assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


def test_the_encoder_of_the_network_is_not_trained(tmp_path: Path, photos: Path) -> None:
    recipe = recipes.load("look")
    loop.train(recipe, recipe.Params.of({**TINY, "steps": 3}), [photos], tmp_path / "run", say=lambda line: None)
    kept = weights.read(tmp_path / "run" / checkpoint.CHECKPOINT)[0]
    for key, value in look.shipped_encoder().state_dict().items():
        assert torch.equal(kept[f"net/look/encoder.{key}"], value)
