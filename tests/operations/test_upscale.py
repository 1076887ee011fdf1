"""Upscaling: where pictures go, in which shape, color and size; inputs whose right answer is known."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import clips
from answerprint.errors import SettingsError
from answerprint.filters import inverse
from answerprint.filters.inverse import Blur
from answerprint.frame import ColorTags, Frame
from answerprint.media import reader
from answerprint.operations import upscale
from answerprint.operations.upscale import Findings, Params
from answerprint.render import decide
from answerprint.render.job import JobSpec, render
from answerprint.render.options import Options
from answerprint.render.progress import Silent
from footage import as_shot

CPU = torch.device("cpu")
PAL = ColorTags("bt470bg", "bt709", "bt470bg", "limited", "left")
NTSC = ColorTags("smpte170m", "bt709", "smpte170m", "limited", "left")


def spot(width: int, height: int, x: float, y: float, sar: Fraction = Fraction(1), color: ColorTags = PAL) -> Frame:
    """A smooth round spot on gray, centered at a place counted from the picture's corner."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    plane = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
    return Frame(torch.from_numpy(np.float32(plane)).expand(3, -1, -1).contiguous(), Fraction(0), color, sar=sar)


def place(frame: Frame) -> tuple[float, float]:
    """The center of what is bright."""
    plane = frame.pixels[1].numpy().astype(np.float64).clip(0)
    rows, columns = np.mgrid[: frame.height, : frame.width] + 0.5
    return float((plane * columns).sum() / plane.sum()), float((plane * rows).sum() / plane.sum())


def assert_at(frame: Frame, x: float, y: float, error: float = 0.05) -> None:
    assert list(place(frame)) == pytest.approx([x, y], abs=error)


def enlarged(frame: Frame, **words: object) -> Frame:
    """The frame, mapped without a network unless `quality` says otherwise."""
    params = Params.of({"quality": "plain"} | {name: str(value) for name, value in words.items()})
    findings = upscale.analyze(as_shot([frame]), params, CPU)
    return next(upscale.run(iter([frame]), params, findings, CPU))


@pytest.mark.parametrize("sar", [Fraction(12, 11), Fraction(59, 54), Fraction(128, 117), Fraction(16, 15)])
def test_a_pal_picture_has_its_true_shape_in_hd(sar: Fraction) -> None:
    """702 of 720 samples become 1440 of 1920 columns, whatever convention the file follows."""
    frame = enlarged(spot(720, 576, 9 + 702 / 4, 144, sar), to="hd")
    assert (frame.width, frame.height) == (1920, 1080) and frame.sar == Fraction(1)
    assert_at(frame, 240 + 1440 / 4, 270, 0.05)
    assert not frame.pixels[:, :, :240].any() and not frame.pixels[:, :, 1680:].any()


@pytest.mark.parametrize("sar", [Fraction(40, 33), Fraction(32, 27), Fraction(5760, 4739)])
def test_a_wide_ntsc_picture_fills_uhd(sar: Fraction) -> None:
    frame = enlarged(spot(720, 480, 4.575 + 710.85 / 3, 160, sar, NTSC), to="uhd")
    assert (frame.width, frame.height) == (3840, 2160)
    assert_at(frame, 1280, 720, 0.1)


def test_all_samples_are_the_picture_where_that_is_asked_for() -> None:
    frame = enlarged(spot(720, 576, 180, 288, Fraction(16, 15)), to="hd", samples="all")
    assert place(frame)[0] == pytest.approx(240 + 360, abs=0.05)


def test_edges_are_kept_beside_the_picture() -> None:
    frame = enlarged(spot(720, 576, 9 + 351, 288, Fraction(12, 11)), to="hd", edges="keep")
    assert place(frame)[0] == pytest.approx(960, abs=0.05)
    lit = torch.full((3, 576, 720), 0.5)
    wide = enlarged(replace(spot(720, 576, 1, 1, Fraction(12, 11)), pixels=lit), to="hd", edges="keep")
    columns = int((wide.pixels[1, 540] > 0.25).sum())
    assert columns == pytest.approx(1440 * 720 / 702, abs=1.5)


def test_film_holds_the_picture_at_4_3() -> None:
    lit = replace(spot(720, 576, 1, 1, Fraction(12, 11)), pixels=torch.full((3, 576, 720), 0.5))
    frame = enlarged(lit, to="2k")
    assert (frame.width, frame.height) == (2048, 1556)
    rows = (frame.pixels[1, :, 1000] > 0.25).nonzero()[:, 0]
    assert (int(rows[0]), int(rows[-1])) == (10, 1545)


def test_crop_fills_the_size() -> None:
    frame = enlarged(spot(720, 576, 360, 288, Fraction(12, 11)), to="hd", fit="crop")
    assert_at(frame, 960, 540, 0.05)
    lit = replace(spot(720, 576, 1, 1, Fraction(12, 11)), pixels=torch.full((3, 576, 720), 0.5))
    assert float(enlarged(lit, to="hd", fit="crop").pixels[1].min()) > 0.4


@pytest.mark.parametrize("scale", ["1.5", "2", "3", "4"])
def test_a_factor_keeps_places_and_the_shape_of_pixels(scale: str) -> None:
    frame = enlarged(spot(101, 75, 40.3, 30.7, Fraction(10, 11)), scale=scale)
    assert (frame.width, frame.height) == (round(101 * float(scale)), round(75 * float(scale)))
    assert frame.sar == Fraction(10, 11)
    ratio = frame.width / 101, frame.height / 75
    assert_at(frame, 40.3 * ratio[0], 30.7 * ratio[1], 0.05)


def test_sd_becomes_bt709_and_white_stays_white() -> None:
    pixels = torch.ones(3, 576, 720)
    pixels[:, :, 360:] = torch.tensor([0.8, 0.2, 0.3]).view(3, 1, 1)
    frame = enlarged(Frame(pixels, Fraction(0), PAL, sar=Fraction(12, 11)), to="hd")
    assert (frame.color.primaries, frame.color.matrix) == ("bt709", "bt709")
    assert torch.allclose(frame.pixels[:, 500, 500], torch.ones(3), atol=1e-4)
    red = frame.pixels[:, 500, 1300]
    # EBU red holds a little less than that of BT.709 can: R grows, G stays (ITU-R BT.709, EBU Tech. 3213).
    assert float(red[0]) > 0.81 and float(red[1]) == pytest.approx(0.2, abs=2e-3)
    kept = enlarged(Frame(pixels, Fraction(0), PAL, sar=Fraction(12, 11)), to="hd", colors="keep")
    assert kept.color == PAL and torch.allclose(kept.pixels[:, 500, 1300], torch.tensor([0.8, 0.2, 0.3]), atol=1e-4)


def test_hd_keeps_its_color() -> None:
    hd = ColorTags("bt709", "bt709", "bt709", "limited", "left")
    assert enlarged(spot(192, 108, 50, 50, color=hd), to="480x270").color == hd


def test_alpha_and_matte_grow_with_the_picture() -> None:
    frame = spot(40, 30, 20, 15)
    alpha = torch.zeros(1, 30, 40)
    alpha[:, 10:20, 10:30] = 1
    larger = enlarged(replace(frame, alpha=alpha, matte=alpha), scale="2")
    for plane in (larger.alpha, larger.matte):
        assert plane is not None and plane.shape == (1, 60, 80)
        assert float(plane[0, 30, 40]) == 1 and float(plane[0, 5, 5]) == 0 and float(plane.min()) >= 0


def test_an_unknown_shape_is_told() -> None:
    findings = upscale.analyze(as_shot([spot(720, 576, 1, 1)]), Params(to="hd", quality="plain"), CPU)
    assert "4:3 assumed" in findings.note


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"scale": "2", "to": "hd"}, "give one"),
        ({"to": "huge"}, "is no size"),
        ({"to": "9000x20"}, "from 16 to 8192"),
        ({"scale": "9"}, "8"),
        ({"scale": "0.5"}, "1"),
    ],
)
def test_sizes_that_are_none_are_refused(words: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Params.of(words)


def test_a_result_beyond_8k_and_interlaced_footage_are_refused() -> None:
    with pytest.raises(SettingsError, match="beyond 8192"):
        enlarged(Frame(torch.zeros(3, 20, 4100), Fraction(0)), scale="2")
    with pytest.raises(SettingsError, match="answerprint deinterlace"):
        enlarged(replace(spot(720, 576, 1, 1), field_order="tff"), to="hd")


def test_an_interlaced_tape_is_deinterlaced_where_that_is_asked_for(tmp_path: Path) -> None:
    source = clips.write(
        tmp_path / "tape.mov", codec="prores_ks", layout="yuv422p10", width=720, height=576, frames=6,
        sar=Fraction(12, 11), field_order="tff", picture=clips.gradient,
    ).path  # fmt: skip
    chain = [("upscale", {"to": "hd", "quality": "plain", "deinterlace": "true"})]
    decisions = decide.analyze(source, chain, Options(shots="none"))
    assert [each.name for each in decisions.shots[0].operations] == ["deinterlace", "upscale"]
    render(decisions, JobSpec(output=tmp_path / "hd.mov", options=Options(shots="none")), Silent())
    info = reader.open(tmp_path / "hd.mov").info
    assert (info.width, info.height, info.field_order) == (1920, 1080, "progressive")


def test_other_peoples_networks_are_read_by_spandrel(tmp_path: Path) -> None:
    """Of any factor, with the same geometry."""
    try:
        from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"spandrel does not import here: {error}")
    torch.manual_seed(1)
    network = SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=3)
    with torch.no_grad():
        for values in network.parameters():
            values.mul_(0.0)  # it adds nothing to the nearest pixel
    torch.save(network.state_dict(), tmp_path / "foreign.pth")
    frame = enlarged(spot(90, 60, 40.5, 30.5), scale=3, quality="best", model=tmp_path / "foreign.pth")
    assert (frame.width, frame.height) == (270, 180)
    assert_at(frame, 121.5, 91.5)


def test_a_tape_becomes_an_hd_master(tmp_path: Path) -> None:
    """The file says what it is: square pixels, BT.709, its sound and timecode."""
    source = clips.write(
        tmp_path / "tape.mov", codec="prores_ks", layout="yuv422p10", width=720, height=576, frames=5,
        sar=Fraction(12, 11), timecode="10:00:00:00", sounds=[clips.Sound("pcm_s16le")],
    ).path  # fmt: skip
    decisions = decide.analyze(source, [("upscale", {"to": "hd", "quality": "plain"})], Options(shots="none"))
    render(decisions, JobSpec(output=tmp_path / "hd.mov", options=Options(shots="none")), Silent())
    info = reader.open(tmp_path / "hd.mov").info
    assert (info.width, info.height) == (1920, 1080) and info.sar == Fraction(1)
    assert (info.color.primaries, info.color.matrix) == ("bt709", "bt709")
    assert info.timecode == "10:00:00:00" and [stream.codec for stream in info.streams if stream.kind == "audio"]


def card(height: int = 240, width: int = 320) -> torch.Tensor:
    """Edges at many angles and of many sizes, (1, 3, H, W): what a lens would have drawn sharp."""
    rng = np.random.default_rng(11)
    canvas = np.full((4 * height, 4 * width, 3), 0.5, np.float32)
    for _ in range(120):
        corners = (rng.random((4, 2)) * (4 * width, 4 * height)).astype(np.int32)
        size = 4 * int(rng.integers(6, 60))
        shape = corners[0] + ((corners - corners[0]) % size)
        cv2.fillPoly(canvas, [shape], tuple(float(part) for part in rng.random(3)))
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None]


@pytest.mark.parametrize(("factor", "across", "down"), [(2, 1.4, 0.8), (4, 2.2, 2.2)])
def test_a_blurred_picture_comes_nearer_to_what_it_was_than_by_resampling(
    factor: int, across: float, down: float
) -> None:
    truth = card()
    low = inverse.lower(truth, Blur(factor, across, down))
    frames = [Frame((low[0] * 255).round() / 255, Fraction(number, 25)) for number in range(3)]
    errors = {}
    for quality in ("plain", "best"):
        params = Params.of({"quality": quality, "scale": str(factor)})
        findings = upscale.analyze(as_shot(frames), params, CPU)
        result = next(upscale.run(iter(frames), params, findings, CPU)).pixels
        errors[quality] = float((result - truth[0])[:, 16:-16, 16:-16].square().mean())
    assert errors["best"] < errors["plain"] / 10**0.15  # 1.5 dB
    assert "softness" in findings.summary


def test_softness_across_and_down_are_told_apart() -> None:
    """Tape is softer across than down; the finding says so, in pixels of the source."""
    low = inverse.lower(card(480, 640), Blur(2, 1.7, 0.9))
    frames = [Frame((low[0] * 255).round() / 255, Fraction(0))]
    findings = upscale.analyze(as_shot(frames), Params(scale=2), CPU)
    assert findings.softness_across > findings.softness_down + 0.15
    assert findings.softness_across == pytest.approx(0.85, abs=0.2)


def test_softness_can_be_edited() -> None:
    frame = Frame(inverse.lower(card(), Blur(2, 1.2, 1.2))[0], Fraction(0))
    sharp, soft = (
        next(upscale.run(iter([frame]), Params(scale=2), Findings(softness_across=width, softness_down=width), CPU))
        for width in (0.6, 0.2)
    )
    detail = [float((each.pixels[:, :, 1:] - each.pixels[:, :, :-1]).square().mean()) for each in (sharp, soft)]
    assert detail[0] > 1.05 * detail[1]


@pytest.mark.parametrize("scale", [2, 4])
def test_places_stay_by_the_network_too(scale: int) -> None:
    """Scaled down again, the result lies on its source: within a fiftieth of a pixel."""
    low = inverse.lower(card(), Blur(2, 1.2, 1.2))
    frame = Frame(low[0].contiguous(), Fraction(0))
    params = Params(scale=scale)
    large = next(upscale.run(iter([frame]), params, upscale.analyze(as_shot([frame]), params, CPU), CPU)).pixels
    again = torch.nn.functional.avg_pool2d(large[None], scale)[0].mean(0)
    own = torch.nn.functional.avg_pool2d(low, 3, 1, 1)[0].mean(0)
    for axis in (0, 1):
        slope = torch.gradient(own, dim=axis)[0][8:-8, 8:-8]
        difference = (again - own)[8:-8, 8:-8]
        assert abs(float((slope * difference).sum() / (slope * slope).sum())) < 0.02


@pytest.mark.parametrize("scale", [2, 4])
def test_what_is_sharp_does_not_ring(scale: int) -> None:
    """Edges of graphics go no further beyond their sides than with bicubic enlargement, by a code of 8 bits."""
    fine = np.full((240 * 8, 320 * 8), 0.25, np.float32)
    rows, columns = np.mgrid[: 240 * 8, : 320 * 8]
    fine[0.9 * columns + 0.3 * rows > 1200] = 0.75
    fine[400:900, 300:800] = 0.8
    fine[1000:1500, 1500:2200] = 0.2
    sharp = np.rint(cv2.resize(fine, (320, 240), interpolation=cv2.INTER_AREA) * 255) / 255
    frame = Frame(torch.from_numpy(np.float32(sharp)).expand(3, -1, -1).contiguous(), Fraction(0))
    params = Params(scale=scale)
    large = next(upscale.run(iter([frame]), params, upscale.analyze(as_shot([frame]), params, CPU), CPU)).pixels
    plain = inverse.cubic(frame.pixels[None], scale)[0]
    assert float(large.max()) < float(plain.max()) + 1 / 255 and float(large.min()) > float(plain.min()) - 1 / 255
