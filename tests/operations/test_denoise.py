"""Denoise: the noise is measured right, taken out, and nothing else is."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from answerprint import operations
from answerprint.color import spaces
from answerprint.errors import SettingsError, WeightsError
from answerprint.frame import Frame
from answerprint.inference import engine, weights
from answerprint.nets import gan
from answerprint.noise import impulse, synth
from answerprint.operations import denoise
from answerprint.train import degrade
from footage import as_shot, frames_of
from pictures import noisy, photographs, psnr
from pictures import shaded as scene

CPU = torch.device("cpu")


def work(frames: list[Frame], findings: denoise.Findings | None = None, **params: Any) -> list[torch.Tensor]:
    settings = denoise.Params.of(params)
    findings = findings or denoise.analyze(as_shot(frames), settings, CPU)
    return [frame.pixels for frame in operations.load("denoise").run(iter(frames), settings, findings, CPU)]


@pytest.mark.parametrize("sigma", [5 / 255, 15 / 255, 50 / 255])
def test_white_noise_is_measured_within_a_tenth(sigma: float) -> None:
    found = denoise.analyze(as_shot(frames_of(noisy(scene(), sigma))), denoise.Params(), CPU)
    assert found.levels.mean().item() == pytest.approx(sigma, rel=0.1)
    assert found.reach == 0 and found.impulses < 0.002


@pytest.mark.parametrize("model", ["ours", "gan"])
def test_the_next_shot_does_not_wait_for_the_network_again(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """To make it ready for a size takes seconds: more than a chunk of a job."""
    frames = frames_of(noisy(scene(96, 128), 0.05))
    first = work(frames, model=model)
    assert not torch.equal(first[0], frames[0].pixels)

    def again(*_: Any) -> None:
        raise AssertionError("made ready twice")

    monkeypatch.setattr(engine, "ready", again)
    second = work(frames, model=model)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("density", [0.01, 0.05])
def test_impulses_are_counted_and_mended(density: float) -> None:
    picture = scene()
    hit_picture, hit = degrade.salt_and_pepper(picture, density, np.random.default_rng(1))
    frames = frames_of([hit_picture, degrade.salt_and_pepper(picture, density, np.random.default_rng(2))[0]])
    found = denoise.analyze(as_shot(frames), denoise.Params(), CPU)
    assert found.impulses == pytest.approx(density, rel=0.25)
    (done, _) = work(frames)
    assert psnr(done, picture) > 33 > psnr(hit_picture, picture) + 5
    untouched = ~hit.expand_as(picture)
    assert float((done - picture)[untouched].abs().mean()) < 0.01


@pytest.mark.footage
def test_impulses_over_other_noise_cost_little_more_than_it_does() -> None:
    """White and black near what was there are impulses too, told by the channels in which they are farther from it."""
    for photo in photographs():
        piece = photo[:, 40:200, 60:220]
        white = frames_of(noisy(piece, 15 / 255, count=1))
        hit = frames_of([degrade.salt_and_pepper(white[0].pixels, 0.05, np.random.default_rng(0))[0]])
        alone, both = work(white)[0], work(hit)[0]
        assert psnr(both.clamp(0, 1), piece) > psnr(alone.clamp(0, 1), piece) - 3.5


@pytest.mark.parametrize("density", [0.2, 0.4])
def test_strong_impulse_noise_is_taken_out_under_other_noise(density: float) -> None:
    """So many that they hide each other: pixels beside one like them were taken for lines, and left."""
    picture = scene(128, 160)
    rng = np.random.default_rng(1)
    frames = frames_of([degrade.salt_and_pepper(degrade.gaussian(picture, 0.05, rng), density, rng)[0].clamp(0, 1)])
    found = denoise.analyze(as_shot(frames), denoise.Params(), CPU)
    assert found.impulses == pytest.approx(density, rel=0.1)
    assert float(found.levels.mean()) == pytest.approx(0.05, rel=0.3)
    (done,) = work(frames, found)
    assert psnr(done.clamp(0, 1), picture) > 27


def test_letters_halftones_and_highlights_are_no_crowd_of_impulses() -> None:
    page = degrade.lettering(torch.full((1, 3, 96, 128), 0.995), np.random.default_rng(4))[0]
    checks = ((torch.arange(96)[:, None] + torch.arange(128)) % 2).float().expand(3, 96, 128)
    stars = torch.full((3, 96, 128), 0.01)
    stars[:, ::7, ::9] = 1.0
    for picture in (page, checks, stars, scene(96, 128) * 1.6):
        assert not impulse.is_crowded(picture.clamp(0, 1))


def test_large_pictures_are_measured_on_bands_and_mapped_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noisy(scene(320, 416), 0.05)[0]
    found = denoise.analyze(as_shot(frames_of([picture])), denoise.Params(), CPU)
    plain = denoise.level_map(picture, found)
    monkeypatch.setattr(denoise, "ENOUGH", 416 * 100)
    assert denoise._bands(picture).shape == (3, 64, 416)
    parts = denoise.analyze(as_shot(frames_of([picture])), denoise.Params(), CPU)
    assert float(parts.levels.mean()) == pytest.approx(0.05, rel=0.1)
    assert torch.allclose(denoise.level_map(picture, found), plain, atol=1e-6)


def test_highlights_and_thin_lines_are_no_impulses() -> None:
    picture = torch.full((3, 60, 60), 0.1)
    picture[:, 30, :] = 1.0  # a line of one pixel
    picture[:, 10:12, 10:12] = 1.0  # a glint of four
    assert not bool(impulse.find(picture).any())
    picture[:, 45, 45] = 1.0
    assert impulse.find(picture).nonzero()[:, 1:].unique(dim=0).tolist() == [[45, 45]]


@pytest.mark.footage
@pytest.mark.parametrize(("sigma", "gain"), [(15, 5.0), (25, 6.5), (50, 8.5)])
def test_photographs_get_much_better_than_they_came_and_than_classical_filters(sigma: int, gain: float) -> None:
    gains, ahead = [], []
    for photo in photographs():
        frames = frames_of(noisy(photo, sigma / 255, count=1))
        (done,) = work(frames)
        gains.append(psnr(done.clamp(0, 1), photo) - psnr(frames[0].pixels, photo))
        code = np.ascontiguousarray((frames[0].pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
        means = cv2.fastNlMeansDenoisingColored(code, None, 0.6 * sigma, 0.6 * sigma, 7, 21)
        ahead.append(psnr(done.clamp(0, 1), photo) - psnr(torch.from_numpy(means).permute(2, 0, 1) / 255, photo))
    assert np.mean(gains) > gain
    assert np.mean(ahead) > 1.5


@pytest.mark.footage
def test_refining_brings_photographs_nearer_and_keeps_what_is_silent_mended() -> None:
    near = ((37.65, 36.64), (39.74, 39.36), (32.78, 30.1))
    for photo, floors in zip(photographs(), near, strict=True):
        piece = photo[:, 40:200, 60:220]
        white = frames_of(noisy(piece, 15 / 255, count=1))
        hit = frames_of([degrade.salt_and_pepper(white[0].pixels, 0.05, np.random.default_rng(0))[0]])
        for frames, floor, gain in zip((white, hit), floors, (0.05, 0.15), strict=True):
            plain, refined = (psnr(work(frames, refine=refine)[0].clamp(0, 1), piece) for refine in (False, True))
            assert refined > max(floor, plain + gain)


def test_clean_footage_stays_as_it_is() -> None:
    pictures = [scene().roll(2 * t, dims=-1) for t in range(3)]
    for before, after in zip(pictures, work(frames_of(pictures)), strict=True):
        assert float((before - after).abs().mean()) < 1 / 255
    faint = noisy(scene(), 0.0015, count=3)
    for before, after in zip(faint, work(frames_of(faint)), strict=True):
        assert float((before - after).abs().mean()) < 1 / 255


@pytest.mark.footage
@pytest.mark.parametrize("sigma", [0.003, 0.006])
def test_photographs_with_hardly_any_noise_do_not_get_worse_by_much(sigma: float) -> None:
    """Nothing that is far off the noise is taken for it, and the less there is the less is touched."""
    level = (sigma,) * 4
    findings = denoise.Findings(red=level, green=level, blue=level)
    for photo in photographs():
        frames = frames_of(noisy(photo, sigma, count=1))
        (done,) = work(frames, findings)
        assert psnr(done, photo) > psnr(frames[0].pixels, photo) - 0.5
        assert float((done - frames[0].pixels).abs().max()) <= denoise.FARTHEST * sigma + 1e-6


def test_footage_without_noise_is_not_even_touched() -> None:
    frames = frames_of([scene()])
    assert torch.equal(work(frames, denoise.Findings())[0], frames[0].pixels)


def test_strength_luma_and_chroma_say_how_much_goes() -> None:
    frames = frames_of(noisy(scene(), 0.08, count=1))
    before = frames[0].pixels
    full, half = work(frames)[0], work(frames, strength=0.5)[0]
    assert torch.allclose(half - before, (full - before) / 2, atol=1e-5)
    assert torch.equal(work(frames, strength=0)[0], before)
    weights = torch.tensor(spaces.LUMA_709).view(3, 1, 1)
    colors_only = work(frames, luma=0)[0] - before
    assert float((colors_only * weights).sum(0).abs().max()) < 1e-5 < float(colors_only.abs().mean())
    light_only = work(frames, chroma=0)[0] - before
    assert torch.allclose(light_only[0], light_only[2], atol=1e-6)


def test_kept_grain_has_the_measured_level_and_moves() -> None:
    frames = frames_of(
        [
            torch.full((3, 128, 160), 0.5) + noise
            for noise in (0.05 * synth.normal(np.random.default_rng(seed), (3, 128, 160)) for seed in (1, 2))
        ]
    )
    clean, grainy = work(frames), work(frames, keep_grain=1.0)
    back = [a - b for a, b in zip(grainy, clean, strict=True)]
    assert float(back[0].std()) == pytest.approx(0.05, rel=0.15)
    assert torch.allclose(back[0][0], back[0][2], atol=1e-6)
    assert float((back[0] - back[1]).abs().mean()) > 0.02
    again = work(frames, keep_grain=1.0)
    assert torch.equal(again[0], grainy[0])


def test_a_matte_keeps_the_rest() -> None:
    picture = noisy(scene(), 0.1, count=1)[0]
    matte = torch.zeros(1, 160, 208)
    matte[:, 40:80, 40:120] = 1
    (done,) = work([Frame(picture, Fraction(0), matte=matte)])
    outside = (matte == 0).expand_as(picture)
    assert torch.equal(done[outside], picture[outside])
    assert float((done - picture)[:, 50:70, 50:110].abs().mean()) > 0.02


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (33, 50)])
def test_pictures_of_any_size_come_back_as_large(size: tuple[int, int]) -> None:
    frames = frames_of([torch.rand(3, *size)])
    level = (0.1, 0.1, 0.1, 0.1)
    (done,) = work(frames, denoise.Findings(red=level, green=level, blue=level))
    assert done.shape == (3, *size) and bool(torch.isfinite(done).all())


def test_super_whites_survive() -> None:
    picture = scene() + 0.25
    (done,) = work(frames_of([degrade.gaussian(picture, 0.02, np.random.default_rng(1))]))
    assert float((done - picture).abs().mean()) < 0.01


def test_rendering_without_findings_and_strange_weights_are_refused(tmp_path: Path) -> None:
    frames = frames_of([scene()])
    with pytest.raises(SettingsError, match="analyze"):
        list(operations.load("denoise").run(iter(frames), denoise.Params(), None, CPU))
    with pytest.raises(WeightsError, match="no such weights"):
        work(frames_of(noisy(scene(), 0.1)), model=str(tmp_path / "none.safetensors"))


def test_another_model_stands_in_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that takes a tenth of the light away, known by name and by file; strength and luma still hold."""
    network = gan.Generator(gan.Config(width=4, depth=1)).eval()
    with torch.no_grad():
        network.after.weight.zero_()
        network.after.bias.fill_(0.1)
    path = tmp_path / "gan.safetensors"
    weights.save(path, network, network.config, weights.Card(name="gan"))
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path))
    frames = frames_of(noisy(scene().clamp(0.2, 0.8), 0.02, count=2))
    for model in ("gan", str(path)):
        assert denoise.handles(denoise.Params.of({"model": model})) == 0
        for before, after in zip(frames, work(frames, model=model), strict=True):
            assert torch.allclose(after, before.pixels - 0.1, atol=1e-3)
        half = work(frames, model=model, strength=0.5)[0]
        assert torch.allclose(half, frames[0].pixels - 0.05, atol=1e-3)


def test_a_model_without_weights_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    with pytest.raises(WeightsError, match="answerprint train cyclegan"):
        denoise.analyze(as_shot(frames_of(noisy(scene(), 0.1))), denoise.Params(model="cyclegan"), CPU)
