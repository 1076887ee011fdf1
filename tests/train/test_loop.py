"""The training loop: stopping changes nothing, bad checkpoints are refused, a loss that is no number ends the run."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from answerprint.errors import SettingsError, TrainingError, WeightsError
from answerprint.inference import weights
from answerprint.train import checkpoint, loop
from answerprint.train.data import Library, find
from answerprint.train.params import Training
from answerprint.train.recipe import Networks, Update, Validation


class Params(Training):
    steps: int = 8
    warm_up: int = 2
    validate_every: int = 4
    log_every: int = 1
    width: int = 4
    poison: int = -1


def _networks(params: Params) -> Networks:
    body = nn.Sequential(nn.Conv2d(3, params.width, 3, padding=1), nn.BatchNorm2d(params.width), nn.Dropout(0.3))
    return {
        "generator": nn.Sequential(body, nn.Conv2d(params.width, 3, 3, padding=1)),
        "discriminator": nn.Conv2d(3, 1, 4, stride=4),
    }


def _batch(params: Params, rng: np.random.Generator, data: Library) -> dict[str, torch.Tensor]:
    clean = torch.from_numpy(data.crop(rng, 16)[0].copy()).permute(2, 0, 1).float()[None] / 255
    noisy = clean + 0.1 * torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
    return {"clean": clean, "noisy": noisy}


def _step(nets: Networks, batch: dict[str, torch.Tensor], update: Update) -> None:
    made = nets["generator"](batch["noisy"])
    update(
        "discriminator", F.softplus(nets["discriminator"](made.detach()) - nets["discriminator"](batch["clean"])).mean()
    )
    update("generator", F.l1_loss(made, batch["clean"]) - 0.01 * nets["discriminator"](made).mean())


def _validate(nets: Networks, params: Params, data: Library) -> Validation:
    clean = torch.from_numpy(data.crop(np.random.default_rng(0), 32)[0].copy()).permute(2, 0, 1).float()[None] / 255
    made = nets["generator"](clean)
    score = -float(F.l1_loss(made, clean))
    return Validation(score, {"mae": -score}, [made, clean])


def recipe(**changed: Any) -> Any:
    parts = {"networks": _networks, "batch": _batch, "step": _step, "validate": _validate} | changed
    return SimpleNamespace(__name__="recipes.toy", Params=Params, **parts)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for index in range(12):
        picture = cv2.resize(
            rng.integers(0, 256, (8, 10, 3), dtype=np.uint8), (140, 112), interpolation=cv2.INTER_CUBIC
        )
        cv2.imwrite(str(folder / f"photo_{index * 3}.png"), picture)
    return folder


def go(run: Path, photos: Path, params: Params | None = None, **more: Any) -> Any:
    return loop.train(more.pop("recipe", recipe()), params or Params(), [photos], run, say=lambda line: None, **more)


def test_stop_and_resume_equals_not_stopping(tmp_path: Path, photos: Path) -> None:
    go(tmp_path / "whole", photos)
    assert go(tmp_path / "parts", photos, stop_after=3).reason == "stopped"
    go(tmp_path / "parts", photos, Params(workers=3), stop_after=5)
    assert go(tmp_path / "parts", photos).reason == "finished"
    whole, facts = weights.read(tmp_path / "whole" / checkpoint.CHECKPOINT)
    parts, again = weights.read(tmp_path / "parts" / checkpoint.CHECKPOINT)
    assert whole.keys() == parts.keys() and any(name.startswith("optimizer/") for name in whole)
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name
    assert facts["best"] == again["best"] and facts["step"] == again["step"] == 8


def test_log_has_every_step_once_after_resuming(tmp_path: Path, photos: Path) -> None:
    go(tmp_path / "run", photos, stop_after=5)
    go(tmp_path / "run", photos)
    with (tmp_path / "run" / "log.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["step"]) for row in rows] == list(range(1, 9))
    assert all(float(row["loss generator"]) < 2 for row in rows)
    assert [row["step"] for row in rows if row["mae"]] == ["4", "8"]


def test_validation_writes_a_sheet_and_the_best_weights(tmp_path: Path, photos: Path) -> None:
    outcome = go(tmp_path / "run", photos)
    sheet = cv2.imread(str(tmp_path / "run" / "sheet.png"))
    assert sheet.shape == (64, 32, 3)
    tensors, facts = weights.read(tmp_path / "run" / checkpoint.BEST)
    assert facts["recipe"] == "toy" and all(name.startswith("average/") for name in tensors)
    assert outcome.best > -1


def test_nan_loss_stops_and_keeps_the_last_good_weights(tmp_path: Path, photos: Path) -> None:
    def poisoned(nets: Networks, batch: dict[str, torch.Tensor], update: Update) -> None:
        calls.append(1)
        _step(nets, {**batch, "clean": batch["clean"] * (float("nan") if len(calls) == 3 else 1)}, update)

    calls: list[int] = []
    with pytest.raises(TrainingError, match=r"not a number at step 3\b.*checkpoint"):
        go(tmp_path / "run", photos, recipe=recipe(step=poisoned))
    tensors, _ = weights.read(tmp_path / "run" / checkpoint.CHECKPOINT)
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_gradient_that_is_no_number_stops_before_it_spoils_the_weights(tmp_path: Path, photos: Path) -> None:
    def poisoned(nets: Networks, batch: dict[str, torch.Tensor], update: Update) -> None:
        calls.append(1)
        if len(calls) == 3:
            weight = next(nets["generator"].parameters())
            update("generator", (weight * 0).sum().sqrt())  # 0, with an infinite slope
            return
        _step(nets, batch, update)

    calls: list[int] = []
    with pytest.raises(TrainingError, match=r"gradient of 'generator' is not a number at step 3\b"):
        go(tmp_path / "run", photos, Params(steps=8, max_grad_norm=0), recipe=recipe(step=poisoned))
    tensors, _ = weights.read(tmp_path / "run" / checkpoint.CHECKPOINT)
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_training_learns(tmp_path: Path, photos: Path) -> None:
    params = Params(steps=60, rate=0.02, warm_up=0)
    go(tmp_path / "run", photos, params)
    with (tmp_path / "run" / "log.csv").open() as lines:
        losses = [float(row["loss generator"]) for row in csv.DictReader(lines)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_early_stopping_counts_validations_without_progress(tmp_path: Path, photos: Path) -> None:
    params = Params(steps=40, validate_every=2, patience=3)
    flat = recipe(validate=lambda nets, params, data: Validation(1.0))
    outcome = go(tmp_path / "run", photos, params, recipe=flat)
    assert (outcome.reason, outcome.step) == ("early", 8)


def test_schedule_rises_then_falls_along_a_cosine() -> None:
    params = Params(steps=1000, warm_up=100, rate=1.0, final_rate=0.1)
    assert loop.learning_rate(params, 0) == pytest.approx(0.01)
    assert loop.learning_rate(params, 100) == pytest.approx(1.0)
    assert loop.learning_rate(params, 550) == pytest.approx(0.55)
    assert loop.learning_rate(params, 1000) == pytest.approx(0.1)


def test_checkpoint_of_another_recipe_is_refused(tmp_path: Path, photos: Path) -> None:
    go(tmp_path / "run", photos, stop_after=1)
    other = recipe()
    other.__name__ = "recipes.other"
    with pytest.raises(WeightsError, match="a checkpoint of recipe 'toy', not of 'other'"):
        go(tmp_path / "run", photos, recipe=other)


def test_checkpoint_of_other_dimensions_is_refused(tmp_path: Path, photos: Path) -> None:
    go(tmp_path / "run", photos, stop_after=1)
    with pytest.raises(WeightsError, match="other dimensions"):
        go(tmp_path / "run", photos, Params(width=5))


@pytest.mark.parametrize("harm", ["truncate", "tamper", "pickle"])
def test_damaged_checkpoint_is_refused(tmp_path: Path, photos: Path, harm: str) -> None:
    go(tmp_path / "run", photos, stop_after=1)
    path = tmp_path / "run" / checkpoint.CHECKPOINT
    data = bytearray(path.read_bytes())
    if harm == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "tamper":
        data[-5] ^= 1
        path.write_bytes(data)
    else:
        torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match={"truncate": "truncated", "tamper": "changed", "pickle": "pickle"}[harm]):
        go(tmp_path / "run", photos)


def test_begins_with_the_averaged_weights_of_another_run(tmp_path: Path, photos: Path) -> None:
    go(tmp_path / "first", photos)
    go(tmp_path / "second", photos, Params(init_from=tmp_path / "first" / checkpoint.BEST), stop_after=1)
    # One step at the start of the warm-up moves nothing by more than its learning rate.
    given, _ = weights.read(tmp_path / "first" / checkpoint.BEST)
    taken, _ = weights.read(tmp_path / "second" / checkpoint.CHECKPOINT)
    name = "generator/1.weight"
    assert (taken[f"net/{name}"] - given[f"average/{name}"]).abs().max() < 1e-3


def test_begins_with_finished_weights(tmp_path: Path, photos: Path) -> None:
    """Shipped weights are trained on with footage of one's own; here of a recipe that ships a part of a network."""
    shipping = recipe(SHIPS="generator.0")
    go(tmp_path / "first", photos, recipe=shipping)
    config = Params()
    whole = _networks(config)["generator"]
    averaged = checkpoint.with_prefix(weights.read(tmp_path / "first" / checkpoint.BEST)[0], "average/generator/")
    whole.load_state_dict(averaged)
    finished = tmp_path / "toy.safetensors"
    weights.save(finished, whole[0], config, weights.Card(name="toy"), torch.float32)
    go(tmp_path / "second", photos, Params(init_from=finished), recipe=shipping, stop_after=1)
    taken, _ = weights.read(tmp_path / "second" / checkpoint.CHECKPOINT)
    assert (taken["net/generator/0.0.weight"] - averaged["0.0.weight"]).abs().max() < 1e-3


def test_the_card_names_what_the_run_and_the_weights_it_began_with_have_seen(tmp_path: Path, photos: Path) -> None:
    kept = [source.key for source in find([photos])]
    folders = [tmp_path / "photos of old", tmp_path / "of a friend", photos]
    for number, folder in enumerate(folders[:2]):
        folder.mkdir()
        noise = np.random.default_rng(number).integers(0, 256, (110, 120, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "one.png"), noise)
    seen = [find([folder])[0].key for folder in folders[:2]]
    go(tmp_path / "first", folders[0], stop_after=1)
    card = checkpoint.describe(tmp_path / "first", "CC0", True)
    assert card.seen == (seen[0],)
    weights.save(tmp_path / "toy.safetensors", _networks(Params())["generator"], Params(), card)
    go(tmp_path / "second", folders[1], Params(init_from=tmp_path / "toy.safetensors"), stop_after=1)
    begun = Params(init_from=tmp_path / "second" / checkpoint.CHECKPOINT)
    go(tmp_path / "third", photos, begun, stop_after=1)
    go(tmp_path / "third", photos, begun, stop_after=2)
    told = set(checkpoint.describe(tmp_path / "third", "CC0", True).seen)
    tested = {row["sha256"][:16] for row in manifest(tmp_path / "third") if row["split"] == "test"}
    assert set(seen) <= told and told - set(seen) == set(kept) - tested and tested


def manifest(run: Path) -> Any:
    return json.loads((run / "manifest.json").read_text())


def test_a_wider_network_grown_out_of_another_answers_as_it_did(tmp_path: Path, photos: Path) -> None:
    go(tmp_path / "narrow", photos)
    grown = Params(init_from=tmp_path / "narrow" / checkpoint.BEST, grow=True, width=7)
    go(tmp_path / "wide", photos, grown, stop_after=1)
    told = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    answers = []
    for run, file, params in (("narrow", checkpoint.BEST, Params()), ("wide", checkpoint.CHECKPOINT, grown)):
        network = _networks(params)["generator"].eval()
        network.load_state_dict(checkpoint.with_prefix(weights.read(tmp_path / run / file)[0], "average/generator/"))
        answers.append(network(told))
    # One step at the start of the warm-up moves next to nothing.
    torch.testing.assert_close(*answers, atol=0.02, rtol=0)


def test_growing_out_of_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="nothing to grow from"):
        Params.of({"grow": True})


def test_nothing_that_fits_to_init_from_is_told(tmp_path: Path, photos: Path) -> None:
    go(tmp_path / "first", photos)
    other = tmp_path / "other.safetensors"
    weights.write(other, {"average/somewhere/else": torch.zeros(3)}, {"recipe": "other"})
    with pytest.raises(WeightsError, match="nothing in it fits recipe 'toy'"):
        go(tmp_path / "second", photos, Params(init_from=other))


def test_a_signal_saves_and_ends_the_run(tmp_path: Path, photos: Path) -> None:
    # In a process of its own, as a run is: a signal to the process of all tests has been seen to crash it.
    script, run = tmp_path / "slow.py", tmp_path / "run"
    script.write_text(
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_loop as t\n"
        "def slow(nets, batch, update):\n"
        "    time.sleep(0.05); t._step(nets, batch, update); print('step', flush=True)\n"
        "done = t.go(Path(sys.argv[2]), Path(sys.argv[3]), t.Params(steps=100_000), recipe=t.recipe(step=slow))\n"
        "print(done.reason, done.step)\n"
    )
    command = [sys.executable, str(script), str(Path(__file__).parent), str(run), str(photos)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "step":
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read().split()
    _, facts = weights.read(run / checkpoint.CHECKPOINT)
    assert said[-2] == "stopped" and facts["step"] == int(said[-1]) > 0


def test_two_processes_train_one_network(tmp_path: Path, photos: Path) -> None:
    script = tmp_path / "both.py"
    script.write_text(
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_loop as t\n"
        "t.go(Path(sys.argv[2]), Path(sys.argv[3]), t.Params(steps=3))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29517", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    here = str(Path(__file__).parent)
    result = subprocess.run(
        [*command, here, str(tmp_path / "run"), str(photos)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    _, facts = weights.read(tmp_path / "run" / checkpoint.CHECKPOINT)
    assert facts["step"] == 3
