"""Mood: nearer to what the word says, told in words, the same again with the same seed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from answerprint.color import display, emotion, spaces, style
from answerprint.errors import MediaError, SettingsError
from answerprint.frame import ColorTags, Frame, Shot
from answerprint.operations import mood
from footage import as_shot, shot_of

CPU = torch.device("cpu")


def scene(seed: int = 0, height: int = 48, width: int = 72) -> torch.Tensor:
    """Light, shade and moderate color, (3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 9, generator=generator) * 0.3 + torch.rand(1, 1, 6, 9, generator=generator) * 0.6
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)


def done(shot: Shot, params: mood.Params, findings: mood.Findings) -> torch.Tensor:
    return next(mood.run(shot.frames(), params, findings, CPU)).pixels


def felt(picture: torch.Tensor) -> torch.Tensor:
    return emotion.emotion(style.to_lab(picture.clamp(0, 1).reshape(3, -1).T))


def quick(word: str = "", **more: object) -> mood.Params:
    return mood.Params.of({"mood": word, "rounds": 8, **more})


@pytest.mark.parametrize("word", ["joy", "mystery"])
def test_it_comes_nearer_and_says_how(word: str) -> None:
    shot, params = shot_of([scene()]), quick(word)
    findings = mood.analyze(shot, params, CPU)
    target = torch.tensor(emotion.moods()[word].target)
    before, after = felt(scene()), felt(done(shot, params, findings))
    assert emotion.distance(after, target) < 0.85 * emotion.distance(before, target)
    assert findings.after == pytest.approx(tuple(after.tolist()), abs=0.05)
    assert findings.moves and all("(" in move for move in findings.moves)
    assert word in findings.summary and "of the way" in findings.summary
    assert findings.luma_ssim > 0.85


def test_moods_pull_apart_and_the_amount_counts() -> None:
    shot = shot_of([scene()])
    joy, mystery = (done(shot, quick(w), mood.analyze(shot, quick(w), CPU)) for w in ("joy", "mystery"))
    assert float(felt(joy)[0]) > float(felt(mystery)[0]) + 0.1  # warmer
    assert float(felt(joy)[1]) < float(felt(mystery)[1]) - 0.3  # lighter
    half = quick("mystery", amount=0.3)
    less = done(shot, half, mood.analyze(shot, half, CPU))
    assert float((less - scene()).abs().mean()) < float((mystery - scene()).abs().mean())


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_footage_is_felt_as_its_light_and_brought_nearer(transfer: str) -> None:
    """The same light coded as HDR has the same mood; its code values alone would be a pale gray."""
    sdr, hdr = ColorTags("bt709", "bt709", "bt709"), ColorTags("bt709", transfer, "bt709")
    # In the range where no highlight is rolled off.
    picture = 0.05 + 0.75 * scene()
    coded = display.encode(display.light(picture, "bt709"), transfer)
    params = quick("joy")
    findings = {}
    for name, pixels, tags in (("sdr", picture, sdr), ("hdr", coded, hdr)):
        frame = Frame(pixels, Fraction(0), tags)
        findings[name] = mood.analyze(as_shot([frame]), params, CPU)
    assert findings["hdr"].before == pytest.approx(findings["sdr"].before, abs=0.02)
    assert findings["hdr"].reached > 0.1 and "SDR display" in findings["hdr"].note


def test_the_same_seed_gives_the_same_moves_and_an_edit_is_rendered() -> None:
    shot, params = shot_of([scene()]), quick("tension")
    findings = mood.analyze(shot, params, CPU)
    assert findings == mood.analyze(shot, params, CPU)
    edited = findings.model_copy(update={"saturation": (0.0,)})
    gray = done(shot, params, edited)
    lab = spaces.rgb_to_lab(done(shot, params, findings))
    assert float(spaces.rgb_to_lab(gray)[1:].abs().mean()) < float(lab[1:].abs().mean())


def test_skin_stays_skin_and_gray_is_not_dyed() -> None:
    skin = torch.tensor([0.78, 0.6, 0.5]).view(3, 1, 1) * torch.linspace(0.6, 1.1, 40).view(1, 40, 1).expand(1, 40, 60)
    gray = torch.linspace(0.2, 0.9, 40).view(1, 40, 1).expand(3, 40, 60)
    shot, params = shot_of([torch.cat([skin, gray], 2).contiguous()]), mood.Params(mood="mystery", rounds=12)
    lab = spaces.rgb_to_lab(done(shot, params, mood.analyze(shot, params, CPU)).clamp(0, 1))
    hue = torch.rad2deg(torch.atan2(lab[2, :, :60], lab[1, :, :60])).median()
    assert 10 < float(hue) < 90
    assert float(lab[1:, :, 60:].square().sum(0).sqrt().mean()) < 16


def test_shots_of_a_scene_get_the_same_moves(tmp_path: Path) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.png"), (scene(i) * 255).permute(1, 2, 0).numpy()[..., ::-1])
    params = quick("calm sadness", scene=folder, apart=0)
    one, other = (mood.analyze(shot_of([scene(i)]), params, CPU) for i in range(2))
    assert one.moves == other.moves and one.slope == other.slope and "scene" in one.note
    near = mood.analyze(shot_of([scene(0)]), quick("calm sadness", scene=folder, apart=0.1), CPU)
    assert abs(near.temperature[0] - one.temperature[0]) <= 4.6
    assert abs(np.log(near.gamma[0] / one.gamma[0])) <= 0.1 * np.log(1.4) + 1e-3


def test_of_a_folder_of_stills_the_nearest_to_the_mood_gives_its_look(tmp_path: Path) -> None:
    tints = {"day": (1.1, 1.0, 0.8), "night": (0.15, 0.25, 0.4)}
    for name, tint in tints.items():
        picture = (scene(4) * torch.tensor(tint).view(3, 1, 1)).clamp(0, 1)
        cv2.imwrite(str(tmp_path / f"{name}.png"), (picture * 255).permute(1, 2, 0).numpy()[..., ::-1])
    shot, params = shot_of([scene()]), quick("mystery", references=tmp_path)
    findings = mood.analyze(shot, params, CPU)
    assert findings.picked == "night.png" and "CDL" in findings.summary
    assert float(felt(done(shot, params, findings))[1]) > float(felt(scene())[1]) + 0.5


def test_it_can_be_handed_over() -> None:
    shot, params = shot_of([scene()]), quick("epic")
    findings = mood.analyze(shot, params, CPU)
    table = mood.cube(params, findings, 33)
    assert float((table.apply(scene()) - done(shot, params, findings)).abs().mean()) < 3e-3
    correction, _ = mood.correction(params, findings)
    assert correction.slope != (1.0, 1.0, 1.0)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0, float("nan")])
def test_a_frame_of_one_tone_never_gives_not_a_number(level: float) -> None:
    picture = torch.full((3, 20, 30), level)
    shot, params = shot_of([picture]), quick("joy")
    result = done(shot, params, mood.analyze(shot, params, CPU))
    assert bool(torch.isfinite(result).all()) or level != level


def test_what_makes_no_sense_is_told(tmp_path: Path) -> None:
    shot = shot_of([scene()])
    with pytest.raises(SettingsError, match="'fury' is unknown; there are: calm sadness"):
        mood.analyze(shot, quick("fury"), CPU)
    with pytest.raises(SettingsError, match="holds no stills"):
        mood.analyze(shot, quick("joy", references=tmp_path), CPU)
    with pytest.raises(MediaError, match="no folder"):
        mood.analyze(shot, quick("joy", references=tmp_path / "none"), CPU)
    with pytest.raises(MediaError, match=r"none\.mov"):
        mood.analyze(shot, quick("joy", scene=tmp_path / "none.mov"), CPU)
    assert "nothing was changed" in mood.analyze(shot, quick(), CPU).summary
