"""The bench of denoising: what is not trained is said to be so, and figures mean what they say."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from answerprint.errors import SettingsError, TrainingError
from answerprint.inference import weights
from answerprint.nets import gan
from answerprint.operations.denoise import single
from answerprint.train import data
from benchmarks import denoise as bench
from pictures import spots


@pytest.fixture
def photos(tmp_path: Path) -> list[data.ClipSource]:
    for seed in range(2):
        cv2.imwrite(str(tmp_path / f"p{seed * 3}.png"), spots(np.random.default_rng(seed), 8, 10, 96, 120))
    return data.find([tmp_path])


def test_a_network_without_weights_is_not_trained_and_no_figure_is_made_up(
    photos: list[data.ClipSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = gan.Generator(gan.Config(width=4, depth=1))
    torch.nn.init.zeros_(network.after.weight)
    assert network.after.bias is not None
    torch.nn.init.zeros_(network.after.bias)
    (tmp_path / "own").mkdir()
    weights.save(tmp_path / "own" / "gan.safetensors", network, network.config, weights.Card(name="gan"))
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    monkeypatch.setattr(bench, "_measured", lambda noisy: noisy)  # ours has its own tests, and takes its time
    bench._network.cache_clear()
    first, second = bench._paper(photos, (0.02, 0.05))
    bench._network.cache_clear()
    assert len(first.rows) == 2 * 2 * (2 + len(single.PAPER))
    for table, name_at in ((first, 2), (second, 1)):
        for row in table.rows:
            if row[name_at] in ("densenet", "cyclegan"):
                assert row[-3:] == ("not trained", None, None)
    found = {(row[0], row[1], row[2]): row[3:] for row in first.rows}
    decibels, _, error = found["Gaussian", 0.05, "gan"]
    assert decibels == pytest.approx(-20 * np.log10(0.05), abs=0.5), "a network that does nothing leaves the noise"
    assert error == pytest.approx(0.05 * (2 / np.pi) ** 0.5, rel=0.1)
    assert found["Gaussian", 0.05, "gan"] == found["Gaussian", 0.05, "as it came"]
    assert not second.met, "CycleGAN was asked for and is not there"
    assert first.targets[0].figure == pytest.approx(0.0)


def test_flicker_is_what_changes_along_the_motion() -> None:
    coarse = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(1))
    card = torch.nn.functional.interpolate(coarse, size=(120, 200), mode="bicubic")[0].clamp(0, 1)
    clean = [card[:, :96, 2 * t : 2 * t + 160] for t in range(4)]
    generator = torch.Generator().manual_seed(2)
    noisy = [frame + 0.05 * torch.randn(frame.shape, generator=generator) for frame in clean]
    still = bench.flicker(clean, clean)
    assert still < 0.01
    assert bench.flicker(noisy, clean) > still + 0.03


def test_what_the_weights_were_trained_on_is_never_measured(
    photos: list[data.ClipSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = gan.Generator(gan.Config(width=4, depth=1))
    seen = tuple(source.key for source in photos)
    (tmp_path / "own").mkdir()
    weights.save(tmp_path / "own" / "gan.safetensors", network, network.config, weights.Card(name="gan", seen=seen))
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path / "own"))
    with pytest.raises(TrainingError, match=r"nothing in there but what the weights of denoise, gan.* were trained on"):
        next(bench.run(tmp_path, True))


def test_no_folder_of_pictures_outweighs_the_others(tmp_path: Path) -> None:
    for name in [*(f"many/{n:03}" for n in range(0, 80, 2)), "one/a", "two/b", "two/d"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((8, 10, 3), hash(name) % 255, np.uint8))
    chosen = bench._mixed(data.find([tmp_path]), 7)
    assert len(chosen) == len({source.name for source in chosen}) == 7
    assert sum(source.name.startswith("many/") for source in chosen) == 4
    assert len(bench._mixed(data.find([tmp_path / "two"]), 17)) == 2


def test_the_matrix_rate_counts_the_work_of_a_frame() -> None:
    table = bench._rate(1, 128, 96)
    rows: Any = table.rows
    (_, squares, _, rate), (_, frame, seconds, ours) = rows
    assert squares == pytest.approx(2 * bench.MATRIX**3 / 1e9)
    weights_used = sum(p.numel() for p in bench.nets.load().parameters())  # type: ignore[attr-defined]
    # Each weight is multiplied and added at every place of its layer: a 64th to a quarter of the pixels.
    assert 2 * weights_used * 128 * 96 / 64 / 1e9 < frame < 2 * weights_used * 128 * 96 / 4 / 1e9
    assert ours == pytest.approx(frame / seconds) and rate > 0
    assert table.targets[0].figure == pytest.approx(ours / rate)


def test_without_data_it_says_what_it_needs() -> None:
    with pytest.raises(SettingsError, match="needs --data"):
        next(bench.run(None, True))
