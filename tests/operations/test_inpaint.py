"""Objects taken out of clips whose background is known, because the test painted it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import clips
from answerprint.assets import Assets
from answerprint.errors import MediaError, SettingsError
from answerprint.frame import Frame
from answerprint.media import reader
from answerprint.metrics import quality
from answerprint.operations import inpaint
from answerprint.operations.inpaint import Findings, Params
from answerprint.render import decide, job
from answerprint.render.options import Options
from footage import as_shot

CPU = torch.device("cpu")
HEIGHT, WIDTH = 96, 144
Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def card(seed: int = 1, height: int = HEIGHT, width: int = 2 * WIDTH) -> Array:
    """A texture with detail at several sizes, (height, width, 3) in 0.1..0.9."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(
            rng.random((height // size, width // size, 3), np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        for size in (4, 12, 32)
    ]
    mixed = 0.2 * layers[0] + 0.4 * layers[1] + 0.4 * layers[2]
    return np.asarray(0.1 + 0.8 * mixed.clip(0, 1), np.float32)


def panned(count: int, speed: float = 3.0, seed: int = 1) -> list[Array]:
    """A camera that pans over the card."""
    whole = card(seed)
    shift = (np.array([[1, 0, -speed * i], [0, 1, 0]], np.float32) for i in range(count))
    return [
        cv2.warpAffine(whole, each, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        for each in shift
    ]


def box_mask(left: int, top: int = 30, side: int = 24) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + side, max(left, 0) : max(left + side, 0)] = True
    return mask


def with_object(
    pictures: Sequence[Array], masks: Sequence[Mask], color: tuple[float, float, float] = (1.0, 0.1, 0.9)
) -> list[Frame]:
    """The pictures with something gaudy over each mask, and the mask as the frame's matte."""
    frames = []
    for number, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        painted = np.where(mask[..., None], np.float32(color), picture).astype(np.float32)
        matte = torch.from_numpy(mask)[None].float()
        frames.append(Frame(planes(painted), number / Fraction(25), matte=matte))
    return frames


def planes(picture: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def cleaned(frames: list[Frame], params: Params, assets: Assets | None = None) -> tuple[list[Frame], Findings]:
    assets = assets or Assets()
    findings = inpaint.analyze(as_shot(frames), params, CPU, None, assets)
    return list(inpaint.run(iter(frames), params, findings, assets)), findings


def inside(frames: Sequence[Frame], truth: Sequence[Array], masks: Sequence[Mask]) -> float:
    """PSNR under the masks in dB."""
    errors = [
        ((frame.pixels - planes(right)) ** 2)[:, torch.from_numpy(mask)].double()
        for frame, right, mask in zip(frames, truth, masks, strict=True)
        if mask.any()
    ]
    return float(-10 * torch.cat([error.flatten() for error in errors]).mean().log10())


EXACT = Params(grow=0, grain=False)


def test_background_that_other_frames_show_comes_back_and_nothing_else_changes() -> None:
    truth = panned(12)
    masks = [box_mask(20 + 6 * i) for i in range(12)]
    frames = with_object(truth, masks)
    done, findings = cleaned(frames, EXACT)
    assert findings.recovered > 0.97
    assert inside(done, truth, masks) > 32
    for before, after, mask in zip(frames, done, masks, strict=True):
        outside = torch.from_numpy(~mask)
        assert torch.equal(before.pixels[:, outside], after.pixels[:, outside])


def test_a_place_that_is_uncovered_in_one_frame_only_is_found() -> None:
    """The object stands over it in all frames but the last, 12 frames away, under a camera that stands still."""
    still = [panned(1)[0]] * 13
    masks = [box_mask(60)] * 12 + [np.zeros((HEIGHT, WIDTH), bool)]
    done, findings = cleaned(with_object(still, masks), EXACT)
    assert findings.recovered == 1
    assert inside(done, still, masks) > 45


def test_what_no_frame_shows_is_told_and_stands_still() -> None:
    still = [panned(1)[0]] * 6
    masks = [box_mask(60)] * 6
    done, findings = cleaned(with_object(still, masks), EXACT)
    assert findings.recovered == 0
    assert findings.invented == 1
    assert "100% invented" in findings.summary
    assert len(findings.worst) == 5
    mask = torch.from_numpy(masks[0])
    gaudy = torch.tensor((1.0, 0.1, 0.9))[:, None]
    assert float((done[0].pixels[:, mask] - gaudy).abs().max(0).values.min()) > 0.2
    for frame in done[1:]:
        assert float((frame.pixels - done[0].pixels)[:, mask].abs().max()) < 0.02


def test_what_no_frame_shows_moves_with_the_scene() -> None:
    """A sticker on the card: never uncovered, and its place moves with the pan."""
    truth = panned(8, speed=4)
    masks = [box_mask(80 - 4 * i) for i in range(8)]
    done, findings = cleaned(with_object(truth, masks), EXACT)
    assert findings.invented > 0.9
    for number in range(1, 8):
        first = done[0].pixels[:, 30:54, 80:104]
        here = done[number].pixels[:, 30:54, 80 - 4 * number : 104 - 4 * number]
        assert float((first - here).abs().mean()) < 0.02


def test_leave_keeps_what_no_frame_shows_as_it_was() -> None:
    frames = with_object([panned(1)[0]] * 4, [box_mask(60)] * 4)
    done, findings = cleaned(frames, Params(grow=0, unseen="leave"))
    assert findings.invented == 1
    for before, after in zip(frames, done, strict=True):
        assert quality.psnr(after.pixels, before.pixels) > 80


def test_repeats_itself() -> None:
    frames = with_object(panned(5), [box_mask(20 + 8 * i) for i in range(5)])
    names = {cleaned(frames, Params())[1].fill for _ in range(2)}
    assert len(names) == 1


def test_what_is_under_the_mask_leaves_no_trace() -> None:
    """Not even by a filter that reaches under it: the fill is the same to the bit, whatever is removed."""
    truth = panned(8)
    masks = [box_mask(30 + 2 * number) for number in range(8)]
    params = Params(grow=2)
    pink, green = (cleaned(with_object(truth, masks, color), params)[0] for color in ((1, 0.1, 0.9), (0, 0.6, 0.1)))
    for one, other in zip(pink, green, strict=True):
        assert torch.equal(one.pixels, other.pixels)


def test_an_empty_mask_changes_no_bit() -> None:
    frames = with_object(panned(3), [np.zeros((HEIGHT, WIDTH), bool)] * 3)
    done, findings = cleaned(frames, Params())
    assert "nothing is removed" in findings.summary
    for before, after in zip(frames, done, strict=True):
        assert after.pixels is before.pixels


def test_a_frame_alone_is_filled_from_itself() -> None:
    frames = with_object(panned(1), [box_mask(60)])
    done, findings = cleaned(frames, Params(grow=0))
    assert findings.recovered == 0
    assert bool(done[0].pixels.isfinite().all())


def test_two_objects_that_cross() -> None:
    truth = panned(16)
    masks = [box_mask(8 + 8 * i) | box_mask(112 - 8 * i) for i in range(16)]
    done, findings = cleaned(with_object(truth, masks), EXACT)
    assert findings.recovered > 0.95
    assert inside(done, truth, masks) > 30


def test_the_fill_follows_a_change_of_light() -> None:
    """The exposure falls to a half over the shot: what comes from a brighter frame is dimmed."""
    truth = [picture * np.float32(1 - 0.5 * i / 11) for i, picture in enumerate(panned(12))]
    masks = [box_mask(20 + 6 * i) for i in range(12)]
    done, _ = cleaned(with_object(truth, masks), EXACT)
    for frame, right, mask in zip(done, truth, masks, strict=True):
        cover = torch.from_numpy(mask)
        assert abs(float((frame.pixels - planes(right))[:, cover].mean())) < 0.01


def test_values_beyond_white_are_kept() -> None:
    truth = [picture * 6 for picture in panned(8)]
    masks = [box_mask(20 + 8 * i) for i in range(8)]
    done, _ = cleaned(with_object(truth, masks), EXACT)
    top = max(float(frame.pixels[:, torch.from_numpy(mask)].max()) for frame, mask in zip(done, masks, strict=True))
    assert top > 3


def test_a_tight_mask_grows_to_the_edge_of_the_object() -> None:
    truth = panned(12)
    wide = [box_mask(20 + 6 * i) for i in range(12)]
    tight = [cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0 for mask in wide]
    frames = [
        replace(frame, matte=torch.from_numpy(mask)[None].float())
        for frame, mask in zip(with_object(truth, wide), tight, strict=True)
    ]
    done, findings = cleaned(frames, Params(grain=False))
    assert 4 <= findings.growth <= 7
    assert inside(done, truth, wide) > 28


def test_an_exact_mask_hardly_grows() -> None:
    _, findings = cleaned(with_object(panned(12), [box_mask(20 + 6 * i) for i in range(12)]), Params())
    assert findings.growth <= 3


def test_grain_under_the_mask_is_that_of_the_picture() -> None:
    rng = np.random.default_rng(5)
    plain = [
        np.full((HEIGHT, WIDTH, 3), 0.5, np.float32) + rng.normal(0, 0.03, (HEIGHT, WIDTH, 3)).astype(np.float32)
        for _ in range(9)
    ]
    masks = [box_mask(20 + 8 * i) for i in range(9)]
    done, _ = cleaned(with_object(plain, masks), Params(grow=0))
    for frame, mask in zip(done, masks, strict=True):
        assert 0.7 < float(frame.pixels[:, torch.from_numpy(mask)].std()) / 0.03 < 1.2


def test_delivers_the_object_and_its_matte() -> None:
    masks = [box_mask(20 + 8 * i) for i in range(4)]
    frames = with_object(panned(4), masks)
    taken, _ = cleaned(frames, Params(grow=0, deliver="object"))
    mattes, _ = cleaned(frames, Params(grow=0, deliver="matte"))
    for frame, before, matte, mask in zip(taken, frames, mattes, masks, strict=True):
        assert torch.equal(frame.pixels, before.pixels)
        assert frame.alpha is not None
        assert np.array_equal(frame.alpha[0].numpy() > 0.5, mask)
        assert np.array_equal(matte.pixels[0].numpy(), mask.astype(np.float32))


def test_what_is_no_number_under_the_mask_is_filled() -> None:
    masks = [box_mask(20 + 8 * i) for i in range(4)]
    frames = with_object(panned(4), masks)
    broken = frames[1].pixels.clone()
    broken[:, 40, 36] = torch.nan
    broken[:, 2, 2] = torch.inf
    frames[1] = replace(frames[1], pixels=broken)
    done, _ = cleaned(frames, Params(grow=0))
    assert bool(done[1].pixels[:, 40, 36].isfinite().all())
    assert bool(done[1].pixels[:, 2, 2].isinf().all())


def test_frames_that_changed_since_are_refused() -> None:
    frames = with_object(panned(4), [box_mask(20 + 8 * i) for i in range(4)])
    assets = Assets()
    findings = inpaint.analyze(as_shot(frames), Params(), CPU, None, assets)
    graded = [replace(frame, pixels=frame.pixels * 0.9) for frame in frames]
    with pytest.raises(SettingsError, match="has changed since it was filled"):
        list(inpaint.run(iter(graded), Params(), findings, assets))


# ------------------------------------------------------------------------------------------------------------- masks


def bare(frames: list[Frame]) -> list[Frame]:
    return [replace(frame, matte=None) for frame in frames]


def write_masks(folder: Path, masks: Sequence[Mask], first: int = 1001) -> Path:
    for number, mask in enumerate(masks):
        cv2.imwrite(str(folder / f"mask.{number + first}.png"), mask.astype(np.uint8) * 255)
    return folder / "mask.%04d.png"


def test_masks_of_a_sequence_count_from_its_first_number(tmp_path: Path) -> None:
    truth, masks = panned(6), [box_mask(20 + 8 * i) for i in range(6)]
    frames = with_object(truth, masks)
    named, _ = cleaned(bare(frames), replace_params(EXACT, mask=write_masks(tmp_path, masks)))
    own, _ = cleaned(frames, EXACT)
    for one, other in zip(named, own, strict=True):
        assert torch.equal(one.pixels, other.pixels)


def replace_params(params: Params, **values: object) -> Params:
    return Params.of(params.model_dump(exclude_unset=True) | {name: str(value) for name, value in values.items()})


def test_one_mask_serves_all_frames(tmp_path: Path) -> None:
    mask = box_mask(60)
    cv2.imwrite(str(tmp_path / "logo.png"), mask.astype(np.uint8) * 255)
    truth = panned(12, speed=6)
    frames = bare(with_object(truth, [mask] * 12))
    done, findings = cleaned(frames, replace_params(EXACT, mask=tmp_path / "logo.png"))
    assert findings.recovered > 0.9
    assert inside(done, truth, [mask] * 12) > 28


def test_keys_between_which_a_box_moves(tmp_path: Path) -> None:
    truth, masks = panned(11), [box_mask(10 + 8 * i) for i in range(11)]
    keys = [{"frame": at, "box": [10 + 8 * at, 30, 34 + 8 * at, 54]} for at in (0, 10)]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": keys}))
    frames = bare(with_object(truth, masks))
    mattes, _ = cleaned(frames, replace_params(EXACT, mask=tmp_path / "keys.json", deliver="matte"))
    for frame, mask in zip(mattes, masks, strict=True):
        apart = (frame.pixels[0].numpy() > 0.5) ^ mask
        assert apart.sum() <= 0.1 * mask.sum()


def _nothing(folder: Path) -> dict[str, object]:
    return {}


def _small(folder: Path) -> dict[str, object]:
    cv2.imwrite(str(folder / "m.png"), np.zeros((10, 10), np.uint8))
    return {"mask": folder / "m.png"}


def _few(folder: Path) -> dict[str, object]:
    return {"mask": write_masks(folder, [box_mask(10)] * 3)}


def _gone(folder: Path) -> dict[str, object]:
    return {"mask": folder / "none.png"}


def _full(folder: Path) -> dict[str, object]:
    cv2.imwrite(str(folder / "m.png"), np.full((HEIGHT, WIDTH), 255, np.uint8))
    return {"mask": folder / "m.png"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (_nothing, "there is no mask; give --mask"),
        (_small, r"m\.png: is 10x10, the clip 144x96"),
        (_few, r"holds 3 pictures, shot 001 ends with frame 3; .* \(at least 4\)"),
        (_gone, r"mask .*none\.png"),
        (_full, "frame 0: the mask covers the whole picture"),
    ],
)
def test_bad_masks_are_refused(tmp_path: Path, given: Callable[[Path], dict[str, object]], message: str) -> None:
    frames = bare(with_object(panned(4), [box_mask(60)] * 4))
    with pytest.raises((SettingsError, MediaError), match=message):
        cleaned(frames, replace_params(Params(), **given(tmp_path)))


def test_interlaced_footage_is_refused_with_the_way_out() -> None:
    frames = [replace(frame, field_order="tff") for frame in with_object(panned(4), [box_mask(60)] * 4)]
    with pytest.raises(SettingsError, match=r"frame 0 is interlaced.*answerprint deinterlace"):
        cleaned(frames, Params())


def test_large_pictures_are_filled_at_their_own_size() -> None:
    """Motion is found at a smaller size; detail of the full size comes back all the same."""
    truth = panned(10, speed=4)
    masks = [box_mask(16 + 8 * i) for i in range(10)]
    done, findings = cleaned(with_object(truth, masks), Params(grow=0, grain=False, working_size=72))
    assert findings.recovered > 0.95
    assert inside(done, truth, masks) > 28


def test_frames_of_no_shot_are_refused() -> None:
    frames = with_object(panned(4), [box_mask(20 + 8 * i) for i in range(4)])
    assets = Assets()
    findings = inpaint.analyze(as_shot(frames), Params(), CPU, None, assets)
    late = [replace(frames[0], time=Fraction(9))]
    with pytest.raises(SettingsError, match=r"frame at 9\.000 s is none of those"):
        list(inpaint.run(iter(late), Params(), findings, assets))


def test_a_shadow_beside_the_mask_is_told_and_removed() -> None:
    truth = panned(14)
    masks = [box_mask(10 + 7 * i) for i in range(14)]
    frames = with_object(truth, masks)
    soft = [cv2.GaussianBlur(np.roll(mask, (24, 4), (0, 1)).astype(np.float32), (0, 0), 1.5) for mask in masks]
    shaded = [
        replace(
            frame, pixels=torch.where(frame.matte > 0, frame.pixels, frame.pixels * (1 - 0.45 * torch.from_numpy(dark)))
        )
        for frame, dark in zip(frames, soft, strict=True)
    ]
    left, findings = cleaned(shaded, EXACT)
    assert findings.shadow == "left"
    assert "--shadow" in findings.note
    done, findings = cleaned(shaded, replace_params(EXACT, shadow="true"))
    assert findings.shadow == "removed"
    under = [(dark > 0.5) & ~mask for dark, mask in zip(soft, masks, strict=True)]
    assert inside(done, truth, under) > inside(left, truth, under) + 8


def test_no_shadow_is_told_where_there_is_none() -> None:
    _, findings = cleaned(with_object(panned(14), [box_mask(10 + 7 * i) for i in range(14)]), EXACT)
    assert findings.shadow == "none"


@pytest.mark.parametrize("layout", ["yuv422p10", "yuv420p"])
def test_code_values_outside_the_mask_are_those_of_the_source(tmp_path: Path, layout: str) -> None:
    """From file to file: every luma code, and every chroma code that no pixel of the mask is part of."""
    source = clips.write(tmp_path / "s.mkv", layout=layout, frames=5, width=128, height=96).path
    mask = np.zeros((96, 128), np.uint8)
    mask[30:54, 40:64] = 255
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    chain = [("inpaint", {"mask": str(tmp_path / "m.png"), "grow": "3"})]
    decisions = decide.analyze(source, chain, Options(shots="none"))
    job.deliver(decisions, tmp_path / "o.mkv", Options(preset="ffv1"))
    wide = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))) > 0
    before, after = (list(reader.open(path).frames()) for path in (source, tmp_path / "o.mkv"))
    for one, other in zip(before, after, strict=True):
        assert one.origin is not None and other.origin is not None
        for plane, result in zip(one.origin.planes, other.origin.planes, strict=True):
            size = (plane.shape[0], wide.shape[0] // plane.shape[0], plane.shape[1], wide.shape[1] // plane.shape[1])
            # The filter that makes chroma samples reaches two pixels to each side (media/siting.py).
            near = cv2.dilate(wide.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            touched = (wide if plane.shape == wide.shape else near).reshape(size).any((1, 3))
            assert np.array_equal(plane.numpy()[~touched], result.numpy()[~touched])
            assert not np.array_equal(plane.numpy()[touched], result.numpy()[touched])


def test_flow_of_the_network_serves_as_well() -> None:
    truth, masks = panned(5), [box_mask(20 + 12 * i) for i in range(5)]
    done, findings = cleaned(with_object(truth, masks), replace_params(EXACT, flow="best"))
    assert findings.recovered > 0.9
    assert inside(done, truth, masks) > 28
