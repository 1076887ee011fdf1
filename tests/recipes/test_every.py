"""The same questions asked of every recipe: it learns, stops and resumes, and what it exports can be read."""

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from answerprint import recipes
from answerprint.errors import TrainingError
from answerprint.inference import weights
from answerprint.settings import values
from answerprint.train import checkpoint, loop
from answerprint.train import data as training
from pictures import spots


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    for index in range(8):
        cv2.imwrite(str(folder / f"p_{index * 3}.png"), spots(rng, 12, 16, 200, 240))
    return folder


def run(name: str, folder: Path, photos: Path, **more: Any) -> Any:
    stop_after = more.pop("stop_after", None)
    recipe = recipes.load(name)
    small = {
        "batch": 2,
        "crop": 32,
        "scales": (1.0,),
        "steps": 4,
        "warm_up": 0,
        "validate_every": 2,
        "log_every": 1,
        "validation_samples": 4,
    }
    known = {key: value for key, value in small.items() if key in recipe.Params.model_fields}
    params = recipe.Params.of(known | getattr(recipe, "TINY", {}) | more)
    return loop.train(recipe, params, [photos], folder, stop_after=stop_after, say=lambda line: None)


@pytest.mark.parametrize("name", recipes.names())
def test_says_what_it_is(name: str) -> None:
    recipe = recipes.load(name)
    assert recipes.summary(name).endswith(".") and recipe.__doc__.startswith(recipes.summary(name))
    for value in values(recipe.Params):
        assert value.help, f"{name}: {value.name} has no help"


@pytest.mark.parametrize("name", recipes.names())
def test_stop_and_resume_equals_not_stopping_and_exports(name: str, tmp_path: Path, photos: Path) -> None:
    run(name, tmp_path / "whole", photos)
    run(name, tmp_path / "parts", photos, stop_after=2)
    run(name, tmp_path / "parts", photos)
    whole, parts = (weights.read(tmp_path / each / checkpoint.CHECKPOINT)[0] for each in ("whole", "parts"))
    assert all(torch.equal(tensor, parts[key]) for key, tensor in whole.items())
    out = tmp_path / f"{name}.safetensors"
    checkpoint.export(recipes.load(name), tmp_path / "whole", out, weights.Card(name=name))
    kept = weights.load(checkpoint.weights_name(recipes.load(name), tmp_path / "whole"), out)
    assert kept.tensors and kept.config and kept.card.trained.endswith("steps")


@pytest.mark.parametrize("name", recipes.names())
def test_it_learns(name: str, tmp_path: Path, photos: Path) -> None:
    if getattr(recipes.load(name), "SLOW", False):
        pytest.skip("it learns too little in a few steps")
    run(name, tmp_path / "run", photos, steps=24, validate_every=24, rate=2e-3, average=0.0)
    with (tmp_path / "run" / "log.csv").open() as lines:
        losses = [float(row[f"loss {recipes.load(name).SHIPS.partition('.')[0]}"]) for row in csv.DictReader(lines)]
    first, last = np.mean(losses[:6]), np.mean(losses[-6:])
    assert last < first - 0.1 * abs(first)


def test_a_temporal_denoiser_trains_on_sequences_and_on_stills(tmp_path: Path, photos: Path) -> None:
    assert run("denoise", tmp_path / "run", photos, frames=3, steps=6).step == 6
    tensors, _ = weights.read(tmp_path / "run" / checkpoint.CHECKPOINT)
    assert float(tensors["net/denoiser/stages.0.neighbors.weight"].abs().sum()) > 0


def test_a_denoiser_is_told_what_noise_is_left_where_neighbors_are_laid_onto_a_frame(photos: Path) -> None:
    recipe = recipes.load("denoise")
    params = recipe.Params.of({"frames": 5, "stills": 0.0, "batch": 20, "joined": 1.0, "gaussian": 1.0, "crop": 48})
    batch = recipe.batch(params, np.random.default_rng(3), training.load([photos]).training)
    error, told = batch["noisy"] - batch["clean"], batch["sigma"]
    assert float(told.std(dim=(-1, -2)).max()) > 0  # no longer the same in every pixel
    assert float((error / told).std()) == pytest.approx(1.0, abs=0.25)


def test_toflow_is_trained_on_noise_first_then_on_coded_footage(tmp_path: Path, photos: Path) -> None:
    run("toflow", tmp_path / "noise", photos, task="denoise", steps=2)
    begun = {"init_from": tmp_path / "noise" / checkpoint.BEST, "steps": 1, "rate": 1e-9}
    run("toflow", tmp_path / "decode", photos, **begun)
    noise, decode = (weights.read(tmp_path / each / checkpoint.CHECKPOINT)[0] for each in ("noise", "decode"))
    for key in (key for key in noise if key.startswith("average/")):
        assert torch.allclose(noise[key], decode[key], atol=1e-6), key


@pytest.mark.parametrize("task", ["denoise", "decode"])
def test_toflow_learns_a_batch_by_heart(task: str, photos: Path) -> None:
    recipe = recipes.load("toflow")
    small = recipe.TINY | {"task": task, "relative": True, "crop": 32, "rates": (0.3, 0.3)}
    params = recipe.Params.of(small)
    data = training.load([photos]).training
    batch = recipe.batch(params, np.random.default_rng(1), data)
    torch.manual_seed(1)
    nets = recipe.networks(params)
    optimizer = torch.optim.Adam(nets["toflow"].parameters(), 5e-3)
    losses = []

    def update(_: str, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))

    for _ in range(40):
        recipe.step(nets, batch, update)
    assert losses[0] == pytest.approx(1, abs=0.1) and losses[-1] < 0.97


def test_toflow_learns_flow_from_any_footage(tmp_path: Path) -> None:
    """Pictures that move by half a pixel: what flow lays onto the master must come nearer to it."""
    rng = np.random.default_rng(1)
    for clip in range(6):
        coarse = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (240, 200), interpolation=cv2.INTER_CUBIC)
        (tmp_path / "data" / f"c{clip}" / "frames").mkdir(parents=True)
        for t in range(7):
            cv2.imwrite(str(tmp_path / "data" / f"c{clip}" / "frames" / f"{t}.png"), picture[:, t : t + 192])
    told = {"task": "flow", "flow_widths": (8, 8), "rate": 5e-3, "average": 0.0, "validate_every": 40}
    run("toflow", tmp_path / "none", tmp_path / "data", steps=1, **told)
    run("toflow", tmp_path / "run", tmp_path / "data", steps=40, **told)
    with (tmp_path / "run" / "log.csv").open() as lines:
        laid = [float(row["laid"]) for row in csv.DictReader(lines) if row["laid"]]
    assert laid[-1] < 0.9
    # What makes the picture has learned nothing, and nothing has worn it down.
    none, some = (weights.read(tmp_path / each / checkpoint.CHECKPOINT)[0] for each in ("none", "run"))
    assert all(torch.equal(none[key], some[key]) for key in none if key.startswith("net/toflow/processing"))


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(TrainingError, match="unknown recipe 'paint'; there are:"):
        recipes.load("paint")


def test_a_cyclegan_sees_the_clean_side_of_a_noisy_picture_only_where_it_is_asked_for(photos: Path) -> None:
    recipe = recipes.load("cyclegan")
    clips = training.load([photos], scales=(1.0,)).training
    for pairs in (0.0, 10.0):
        params = recipe.Params.of({"batch": 4, "crop": 32, "pairs": pairs})
        batch = recipe.batch(params, np.random.default_rng(1), clips)
        known = [name for name in ("clean", "truth") if name in batch]
        apart = {name: float((batch["noisy"] - batch[name]).square().mean()) for name in known}
        assert ("truth" in apart) == bool(pairs)
        assert apart["clean"] > 0.03 > apart.get("truth", 0.0)
