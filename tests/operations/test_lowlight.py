"""Low light: dark shots are lifted steadily, and what must not change does not."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from answerprint.errors import SettingsError, WeightsError
from answerprint.frame import ColorTags, Frame, Shot
from answerprint.media import reader
from answerprint.metrics.quality import psnr
from answerprint.operations import load, lowlight
from answerprint.operations.lowlight.display import as_coded, as_displayed
from answerprint.train import degrade
from footage import as_shot, shared, shot_of

CPU = torch.device("cpu")
CODE = 1 / 255


def scene(height: int = 90, width: int = 160, seed: int = 1) -> torch.Tensor:
    """Soft shapes of many colors, as bright as a well-lit picture."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 3, 7, 11), dtype=np.float32))
    return 0.1 + 0.7 * torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]


def work(
    shot: Shot, findings: lowlight.Findings | None = None, **params: Any
) -> tuple[list[torch.Tensor], lowlight.Findings]:
    settings = lowlight.Params.of(params)
    findings = findings or lowlight.analyze(shot, settings, CPU)
    return [frame.pixels for frame in lowlight.run(shot.frames(), settings, findings, CPU)], findings


def test_a_dark_shot_is_lifted_and_said_so() -> None:
    dark = scene() ** 3
    done, found = work(shot_of([dark] * 5))
    assert found.exposure == pytest.approx(float(dark.mean()), abs=0.03) and found.strength == 1
    assert float(done[2].mean()) > 1.8 * float(dark.mean())
    assert float(done[2].mean()) == pytest.approx(found.curve_mean, abs=0.05)
    assert found.noise_gain > 1 and "denoise" in found.note


def test_what_was_darkened_comes_back_nearer_than_by_equalization() -> None:
    bright = scene()
    dark = bright**2.5
    (done,), _ = work(shot_of([dark]))
    lost, kept = (float((x - bright).abs().mean()) for x in (dark, done))
    assert kept < 0.4 * lost


def test_bright_footage_is_left_as_it_is() -> None:
    bright = scene() * 0.6 + 0.3
    done, found = work(shot_of([bright] * 3))
    assert found.strength == 0 and "not dark" in found.note
    assert all(float((after - bright).abs().max()) <= CODE for after in done)


def test_bright_footage_is_lifted_all_the_same_when_told_so() -> None:
    dim = scene() * 0.5 + 0.15
    assert lowlight.analyze(shot_of([dim]), lowlight.Params(), CPU).strength < 1
    assert lowlight.analyze(shot_of([dim]), lowlight.Params(only_dark=False), CPU).strength == 1


def test_black_frames_stay_black_and_do_not_count() -> None:
    dark = scene() ** 3
    black = torch.zeros_like(dark)
    done, found = work(shot_of([black, *[dark] * 8, black]))
    assert float(done[0].abs().max()) <= CODE and "black" in found.note
    _, whole = work(shot_of([dark] * 8))
    assert np.abs(np.asarray(found.green) - np.asarray(whole.green)).max() < 0.02


def test_a_black_shot_is_left_as_it_is() -> None:
    done, found = work(shot_of([torch.zeros(3, 40, 60)] * 3))
    assert found.strength == 0 and "black" in found.note and float(done[0].abs().max()) == 0


def test_a_letterbox_stays_black() -> None:
    dark = scene() ** 3
    dark[:, :12] = 0
    (done,), _ = work(shot_of([dark]))
    assert float(done[:, :11].abs().max()) <= CODE


@pytest.mark.parametrize("backward", [False, True])
def test_the_mapping_does_not_follow_a_fade(backward: bool) -> None:
    rng = np.random.default_rng(5)
    dark = scene() ** 2.5
    light = [1.0] * 10 + list(np.linspace(1, 0, 10))
    noisy = [dark * share + torch.from_numpy(rng.normal(0, 0.004, dark.shape).astype(np.float32)) for share in light]
    if backward:
        noisy, light = noisy[::-1], light[::-1]
    done, found = work(shot_of(noisy))
    assert "fade" in found.note and len(found.times) == 1
    means = [float(picture.mean()) for picture in done]
    order = means if not backward else means[::-1]
    assert all(a >= b - 0.005 for a, b in itertools.pairwise(order[10:]))
    plateau, end = (0, -1) if not backward else (-1, 0)
    assert means[end] < 0.12 * means[plateau]


def test_nothing_pumps() -> None:
    rng = np.random.default_rng(6)
    card = scene(90, 240) ** 2.5
    pictures = [
        card[:, :, 2 * t : 2 * t + 160] + torch.from_numpy(rng.normal(0, 0.003, (3, 90, 160)).astype(np.float32))
        for t in range(12)
    ]
    done, found = work(shot_of(pictures))

    def flicker(frames: list[torch.Tensor]) -> float:
        return float(np.abs(np.diff([float(frame.mean()) for frame in frames], 2)).mean())

    gain = float(np.mean([float(d.mean()) for d in done]) / np.mean([float(p.mean()) for p in pictures]))
    assert flicker(done) <= flicker(pictures) * gain * 1.05
    assert len(found.times) == 1


def test_a_change_of_light_gets_keys_and_curves_between_them() -> None:
    card = scene() ** 2
    pictures = [card * share for share in np.linspace(0.25, 1.0, 24)]
    found = lowlight.analyze(shot_of(pictures), lowlight.Params(), CPU)
    assert len(found.times) > 1 and "keys" in found.note
    assert found.levels[0] < found.levels[-1] and found.green[0][8] > found.green[-1][8]
    done, _ = work(shot_of(pictures), found)
    means = [float(picture.mean()) for picture in done]
    assert max(np.abs(np.diff(means))) < 0.05
    assert lowlight.analyze(shot_of(pictures), lowlight.Params(keys=1), CPU).times == (found.times[0] + 0.46,)


def test_target_and_strength_are_edited_in_the_findings() -> None:
    shot = shot_of([scene() ** 3])
    (natural,), found = work(shot, compensation=0)
    (brighter,), _ = work(shot, found.model_copy(update={"target": found.curve_mean + 0.1}), compensation=0)
    assert 0.04 < float(brighter.mean() - natural.mean()) < 0.12
    (half,), _ = work(shot, found.model_copy(update={"strength": 0.5}), compensation=0)
    assert torch.allclose(half, (natural + scene() ** 3) / 2, atol=1e-5)
    (asked,), told = work(shot, target=0.3, compensation=0, skin=0)
    assert told.target == pytest.approx(0.3, abs=0.01) and float(asked.mean()) == pytest.approx(0.3, abs=0.03)


def test_a_target_that_is_told_is_reached_on_a_shot_that_is_only_somewhat_dark() -> None:
    """The share that spares such shots was taken of what had been asked for, too: of 0.5 not half was left."""
    dusk = scene() * 0.65
    (spared,), found = work(shot_of([dusk]), compensation=0)
    assert 0 < found.strength < 0.8
    (asked,), told = work(shot_of([dusk]), target=0.5, compensation=0, skin=0)
    assert told.strength == 1 and float(asked.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(asked.mean()) > float(spared.mean()) > float(dusk.mean())


def test_a_shot_behind_a_temporal_operation_is_worked_out_once_to_be_looked_at() -> None:
    """Behind denoise, which needs five neighbors to each side, a shot of 31 frames was denoised five times over."""
    pictures, worked = [scene() ** 3 * (0.5 + t / 60) for t in range(31)], []
    plain = shot_of(pictures)

    def read(start: int, stop: int) -> Iterator[Frame]:
        worked.extend(range(max(start - 5, 0), min(stop + 5, 31)))
        return plain.read(start, stop)

    found = lowlight.analyze(replace(plain, read=read, reach=5), lowlight.Params(), CPU)
    assert len(worked) <= 31 and found == lowlight.analyze(plain, lowlight.Params(), CPU)


def test_the_lut_is_the_mapping_where_it_is_global() -> None:
    dark = scene() ** 2.5
    (done,), found = work(shot_of([dark]), compensation=0)
    params = lowlight.Params(compensation=0)
    table = lowlight.cube(params, found, 65)
    assert float((table.apply(dark) - done).abs().mean()) < 0.5 * CODE
    assert not table.comments
    assert "compensation" in lowlight.cube(lowlight.Params(), found, 17).comments[0]


def test_a_night_sky_of_rounded_noise_is_not_lifted_to_purple() -> None:
    """Codes of 1 to 5 whose channels differ by what a camera's black level leaves; a dark color of its own stays."""
    sky = (torch.tensor([4.5, 1.5, 3.5]).view(3, 1, 1) + torch.randn(3, 60, 160)).round().clamp(min=0) * CODE
    sky[:, 40:, :80] = torch.tensor([0.0, 0.05, 0.25]).view(3, 1, 1)
    dark = torch.cat([sky, scene(30) ** 3], dim=1)
    (done,), _ = work(shot_of([dark]))
    (kept,), _ = work(shot_of([dark]), chroma_floor=0)
    cast, before = (x[:, :36].mean(dim=(1, 2)) for x in (done, kept))
    assert float(cast.max() - cast.min()) < 0.5 * float(before.max() - before.min())
    assert float(cast.mean()) == pytest.approx(float(before.mean()), abs=0.03)
    assert float((done - kept)[:, 42:58, 2:76].abs().max()) < 0.5 * CODE


def test_highlights_keep_their_differences() -> None:
    dark = scene() ** 3
    dark[:, 10:20, 10:90] = torch.linspace(0.7, 1.1, 80)
    (done,), _ = work(shot_of([dark]))
    lamp = done[1, 15, 10:90]
    assert float((lamp[1:] - lamp[:-1]).min()) > 0.25 * 0.4 / 79
    assert float(lamp[-1]) == pytest.approx(1.1, abs=0.03)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67", "linear"])
def test_hdr_is_lifted_below_diffuse_white_and_untouched_above(transfer: str) -> None:
    seen = scene() ** 3
    coded = as_coded(seen, transfer)
    assert torch.allclose(as_displayed(coded, transfer), seen, atol=1e-3)
    coded[:, :10, :20] = 4.0 if transfer == "linear" else 0.9
    (done,), found = work(shot_of([coded], color=ColorTags(transfer=transfer)))
    assert found.strength == 1 and bool(done.isfinite().all())
    assert torch.equal(done[:, :10, :20], coded[:, :10, :20])
    shown = as_displayed(done, transfer)[:, 20:]
    assert float(shown.mean()) > 1.6 * float(seen[:, 20:].mean())


def test_frames_of_a_variable_rate_are_worked_on_by_their_times() -> None:
    pictures = [scene() ** 3] * 6
    frames = [Frame(p, Fraction(t * t, 50)) for t, p in enumerate(pictures)]
    shot = as_shot(frames)
    found = lowlight.analyze(shot, lowlight.Params(), CPU)
    done = list(lowlight.run(iter(frames), lowlight.Params(), found, CPU))
    assert [frame.time for frame in done] == [frame.time for frame in frames]


def test_rendering_without_findings_and_missing_weights_are_refused(tmp_path: Path) -> None:
    shot = shot_of([scene() ** 3])
    with pytest.raises(SettingsError, match="analyze"):
        load("lowlight").run(shot.frames(), lowlight.Params(), None, CPU)
    with pytest.raises(WeightsError, match="no such weights"):
        work(shot, model="mbllen", weights=str(tmp_path / "none.safetensors"))


def test_noise_is_not_lifted_with_the_light_unless_told_so() -> None:
    clean = scene(360, 640) ** 3
    noisy = [clean + 0.01 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(t)) for t in range(3)]
    quiet, found = work(shot_of(noisy))
    lifted, loud = work(shot_of(noisy), denoise=0)
    same, _ = work(shot_of([clean] * 3), found)
    assert max(loud.noise) == 0 and 0.01 < max(found.noise) < 0.03
    left, whole = (float((x[1] - same[1]).square().mean().sqrt()) for x in (quiet, lifted))
    assert left < 0.5 * whole
    # A clean shot has nothing to lose.
    (sharp,), told = work(shot_of([clean]))
    (plain,), _ = work(shot_of([clean]), told, denoise=0)
    assert max(told.noise) < 0.001 and float((sharp - plain).abs().max()) < 0.5 * CODE


def test_keys_that_do_not_fit_are_told() -> None:
    with pytest.raises(SettingsError, match="levels has 1 entries, times has 2"):
        lowlight.Findings.of({"times": [0, 1]})


@pytest.mark.footage
def test_a_real_night_street_gets_brighter_and_no_restless() -> None:
    frames = list(reader.open(shared("video", "street_night_640x360.mp4")).frames(0, 8))
    done, found = work(as_shot(frames), only_dark=False)
    before = [float(frame.pixels.mean()) for frame in frames]
    after = [float(picture.mean()) for picture in done]
    gain = np.mean(after) / np.mean(before)
    assert gain > 1.1
    assert np.abs(np.diff(after, 2)).mean() <= np.abs(np.diff(before, 2)).mean() * gain
    assert float(done[3].clamp(0, 1).mean()) < 0.6 and found.ratio >= 1


def test_a_shot_that_is_one_long_fade_gets_one_curve() -> None:
    dark = scene() ** 2.5
    found = lowlight.analyze(shot_of([dark * share for share in np.linspace(1, 0, 25)]), lowlight.Params(), CPU)
    assert len(found.times) == 1 and "fade" in found.note
    lit = lowlight.analyze(shot_of([dark] * 5), lowlight.Params(), CPU)
    assert np.abs(np.asarray(found.green) - np.asarray(lit.green)).max() < 0.06


@pytest.mark.footage
def test_the_network_that_ships_comes_nearer_to_what_was_darkened() -> None:
    photos = shared("train", "photos", "bsds")
    ahead = []
    for path in sorted(photos.glob("*.jpg"))[5::20]:
        bright = torch.from_numpy(np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])).permute(2, 0, 1) / 255
        dark = degrade.darken(bright, 2.5, np.random.default_rng(1)).clamp(0, 1)
        (done,), _ = work(shot_of([dark]), model="mbllen", only_dark=False)
        ahead.append(psnr(done.clamp(0, 1), bright) - psnr(dark, bright))
    assert np.mean(ahead) > 5
