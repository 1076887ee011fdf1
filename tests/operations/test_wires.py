"""Wires over a background that is known, because the test made both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from answerprint.assets import Assets
from answerprint.errors import MediaError, SettingsError
from answerprint.frame import Frame
from answerprint.operations import wires
from answerprint.operations.wires import Findings, Params
from benchmarks.rendered import RenderedWire
from footage import as_shot

Array = NDArray[np.float32]
CPU = torch.device("cpu")
HEIGHT, WIDTH, COUNT = 120, 200, 14
WIRE = RenderedWire(
    first=(60.0, -30.0), second=(130.0, 150.0), width=2.0, sag=0.0, speed=2.0, swing="all", period=20.0, phase=0.1,
    shutter=0.5, color=(0.08, 0.08, 0.1),
)  # fmt: skip


def background(count: int = COUNT, pan: float = 2.0) -> list[Array]:
    """A card of soft blobs that pans."""
    rng = np.random.default_rng(3)
    card = cv2.GaussianBlur(rng.random((HEIGHT, WIDTH + 80, 3), np.float32), (0, 0), 4)
    card = (card - card.min()) / (card.max() - card.min()) * 0.6 + 0.3
    return [
        cv2.warpAffine(
            card, np.array([[1, 0, -pan * n], [0, 1, 0]], np.float32), (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
        for n in range(count)
    ]  # fmt: skip


def frames_of(pictures: Sequence[Array]) -> list[Frame]:
    return [
        Frame(torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))), Fraction(number, 25))
        for number, picture in enumerate(pictures)
    ]


def hung(pictures: Sequence[Array]) -> tuple[list[Frame], list[Array]]:
    """Frames with the wire in them, and its opacity in each."""
    pairs = [WIRE.over(picture, number) for number, picture in enumerate(pictures)]
    return frames_of([picture for picture, _ in pairs]), [opacity for _, opacity in pairs]


def keys(folder: Path, frame: int = 5, *, off: float = 2.0) -> Path:
    """A file with the wire drawn on one frame, a little beside it."""
    points = WIRE.points(frame)
    inside = points[(points[:, 1] > 0) & (points[:, 1] < HEIGHT - 1)]
    drawn = inside[[0, len(inside) // 2, -1]] + np.array([off, 0])
    path = folder / "lines.json"
    path.write_text(json.dumps([{"frame": frame, "lines": [{"points": drawn.tolist()}]}]))
    return path


def cleaned(frames: list[Frame], params: Params, **findings: object) -> tuple[list[Frame], Findings]:
    assets = Assets()
    found = wires.analyze(as_shot(frames), params, None, assets)
    found = found.model_copy(update=findings)
    return list(wires.run(iter(frames), params, found, assets)), found


def decibels(frames: Sequence[Frame], truth: Sequence[Array], opacity: Sequence[Array]) -> float:
    """PSNR where the wire is, against the picture without it."""
    errors = []
    for frame, picture, cover in zip(frames, truth, opacity, strict=True):
        difference = frame.pixels.numpy().transpose(1, 2, 0) - picture
        errors.append((difference[cover > 0.1] ** 2).ravel())
    return float(-10 * np.log10(np.concatenate(errors).mean()))


def test_a_wire_drawn_once_is_gone_from_all_frames_and_nothing_else_changes(tmp_path: Path) -> None:
    truth = background()
    frames, opacity = hung(truth)
    done, findings = cleaned(frames, Params(keys=keys(tmp_path), grain=0.0))
    assert decibels(done, truth, opacity) > max(decibels(frames, truth, opacity) + 18, 33)
    for after, before, cover in zip(done, frames, opacity, strict=True):
        outside = torch.from_numpy(cv2.dilate(cover, np.ones((5, 5))) < 1e-4)
        assert torch.equal(after.pixels[:, outside], before.pixels[:, outside])
    assert findings.removed == (1,) and not findings.lost and "drawn" in findings.wires[0]


def test_a_width_that_is_drawn_in_another_size_is_scaled(tmp_path: Path) -> None:
    truth = background()
    frames, opacity = hung(truth)
    path = keys(tmp_path, off=0.0)
    (key,) = json.loads(path.read_text())
    key["lines"][0]["points"] = [[2 * x + 0.5, 2 * y + 0.5] for x, y in key["lines"][0]["points"]]
    path.write_text(json.dumps([key | {"size": [2 * WIDTH, 2 * HEIGHT]}]))
    done, _ = cleaned(frames, Params(keys=path, grain=0.0))
    assert decibels(done, truth, opacity) > 33


def test_wires_that_are_found_stay_until_they_are_named() -> None:
    truth = background()
    frames, opacity = hung(truth)
    done, findings = cleaned(frames, Params())
    assert len(findings.wires) == 1 and not findings.removed and "found" in findings.wires[0]
    assert all(torch.equal(after.pixels, before.pixels) for after, before in zip(done, frames, strict=True))
    gone, _ = cleaned(frames, Params(grain=0.0), removed=(1,))
    assert decibels(gone, truth, opacity) > 33


def test_a_picture_without_wires_is_left_alone() -> None:
    frames = frames_of(background(4))
    done, findings = cleaned(frames, Params())
    assert findings.summary == "no wire"
    assert all(torch.equal(after.pixels, before.pixels) for after, before in zip(done, frames, strict=True))


def test_who_hangs_on_the_wire_is_not_touched(tmp_path: Path) -> None:
    frames, _ = hung(background())
    matte = np.zeros((HEIGHT, WIDTH), np.uint8)
    matte[60:] = 255
    cv2.imwrite(str(tmp_path / "body.png"), matte)
    done, _ = cleaned(frames, Params(keys=keys(tmp_path), body=tmp_path / "body.png"))
    for after, before in zip(done, frames, strict=True):
        assert torch.equal(after.pixels[:, 60:], before.pixels[:, 60:])
        assert not torch.equal(after.pixels[:, :60], before.pixels[:, :60])


def test_the_matte_is_the_opacity_of_the_wire(tmp_path: Path) -> None:
    frames, opacity = hung(background())
    done, _ = cleaned(frames, Params(keys=keys(tmp_path), deliver="matte"))
    errors = [np.abs(frame.pixels[0].numpy() - cover).max() for frame, cover in zip(done, opacity, strict=True)]
    assert np.median(errors) < 0.25
    found, there = (sum(float((each > 0.3).sum()) for each in planes) for planes in (opacity, [
        frame.pixels[0].numpy() for frame in done
    ]))  # fmt: skip
    assert there == pytest.approx(found, rel=0.2)


def test_one_frame(tmp_path: Path) -> None:
    truth = background(1)
    frames, opacity = hung(truth)
    done, _ = cleaned(frames, Params(keys=keys(tmp_path, 0), grain=0.0))
    assert decibels(done, truth, opacity) > decibels(frames, truth, opacity) + 10


def test_chunks_give_the_same_frames(tmp_path: Path) -> None:
    frames, _ = hung(background())
    params, assets = Params(keys=keys(tmp_path), reach=3), Assets()
    findings = wires.analyze(as_shot(frames), params, None, assets)
    whole = list(wires.run(iter(frames), params, findings, assets))
    part = list(wires.run(iter(frames[2:11]), params, findings, assets))
    for number in range(5, 8):
        assert torch.equal(whole[number].pixels, part[number - 2].pixels)


def test_a_key_of_another_shot_is_none_of_this(tmp_path: Path) -> None:
    frames, _ = hung(background(4))
    done, findings = cleaned(frames, Params(keys=keys(tmp_path, 40)))
    assert "no wire is drawn in this shot" in findings.summary
    assert all(torch.equal(after.pixels, before.pixels) for after, before in zip(done, frames, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is no JSON"),
        ("[]", "holds no key frame"),
        ('[{"frame": 0}]', "lines"),
        ('[{"frame": 0, "lines": [{"points": [[1, 1]]}]}]', "points"),
        ('[{"frame": 0, "lines": [{"points": [[900, 1], [950, 4]]}]}]', "outside the picture of 200x120"),
        ('[{"frame": 0, "size": [0, 5], "lines": [{"points": [[1, 1], [5, 5]]}]}]', "size is 0x5"),
        ("[3]", "key 0 is 3"),
    ],
)
def test_bad_lines_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(SettingsError, match=message):
        cleaned(frames_of(background(2)), Params(keys=tmp_path / "l.json"))


def test_missing_lines_interlaced_footage_and_wrong_numbers_are_refused(tmp_path: Path) -> None:
    frames, _ = hung(background(3))
    with pytest.raises(MediaError, match="cannot be read"):
        cleaned(frames, Params(keys=tmp_path / "none.json"))
    with pytest.raises(SettingsError, match="answerprint deinterlace"):
        cleaned([replace(frame, field_order="tff") for frame in frames], Params(keys=keys(tmp_path, 0)))
    with pytest.raises(SettingsError, match="removed names wire 4; there are 1"):
        cleaned(frames, Params(keys=keys(tmp_path, 0)), removed=(4,))
