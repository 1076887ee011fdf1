"""Bit depth: values between the codes where they are sure, and the codes themselves elsewhere."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clips
from answerprint import operations
from answerprint.cli import main
from answerprint.coding import codes
from answerprint.coding.source import measure_coding
from answerprint.color import spaces
from answerprint.errors import SettingsError, WeightsError
from answerprint.frame import Coding, ColorTags, Frame, Origin, Shot
from answerprint.inference import weights
from answerprint.media import reader
from answerprint.media.planes import from_rgb, to_rgb
from answerprint.media.reader import Clip
from answerprint.metrics import quality
from answerprint.nets import bitdepth as bitdepth_net
from answerprint.nets import toflow
from answerprint.operations import bitdepth
from answerprint.render.pipeline import shot_after
from answerprint.shots.boundary import ShotRange
from answerprint.train import septuplets
from footage import as_shot, shared

CPU = torch.device("cpu")
TAGS = ColorTags("bt709", "bt709", "bt709", "limited", "left")


def sky(number: int, width: int, height: int, layout: str) -> clips.Planes:
    """A slow gradient with a hard-edged card in it and color that changes with it, in codes of the layout."""
    y, x = np.mgrid[:height, :width]
    luma = 80 + 12 * x / width + 3 * y / height + 0.3 * number
    luma = np.where((x > width // 2) & (x < width // 2 + 24) & (y > height // 2), 180.0, luma)
    chroma = 120 + 6 * x / width
    depth = 2.0 ** (clips.bits_of(layout) - 8)
    kind = np.uint8 if clips.bits_of(layout) == 8 else np.uint16
    planes = [
        luma,
        *(
            chroma[: rows * 9 : height // rows, : width : width // columns]
            for rows, columns in clips.sizes(layout, width, height)[1:]
        ),
    ]
    return tuple(np.ascontiguousarray(np.rint(plane * depth)).astype(kind) for plane in planes)


def clip_of(path: Path, layout: str = "yuv420p", codec: str = "ffv1", **more: Any) -> Clip:
    clips.write(path, codec=codec, layout=layout, width=192, height=128, frames=3, picture=sky, siting="left", **more)
    return reader.open(path)


def shot_of(clip: Clip) -> Shot:
    return shot_after(clip, ShotRange("001", 0, len(clip)), [], CPU)


def work(shot: Shot, findings: bitdepth.Findings | None = None, **params: Any) -> tuple[list[Frame], bitdepth.Findings]:
    settings = bitdepth.Params.of({"model": "bounds"} | params)
    findings = findings or bitdepth.analyze(shot, settings, CPU)
    return list(operations.load("bitdepth").run(shot.frames(), settings, findings, CPU)), findings


def luma(frame: Frame) -> np.ndarray:
    matrix = frame.origin.color.matrix if frame.origin is not None else "bt709"
    return 16 + 219 * spaces.luma(frame.pixels, matrix)[0].numpy()


def test_a_gradient_gets_the_values_between_its_codes_and_the_card_keeps_its_edge(tmp_path: Path) -> None:
    shot = shot_of(clip_of(tmp_path / "a.mkv"))
    done, found = work(shot)
    true = sky(1, 192, 128, "yuv420p")[0].astype(np.float32)
    y, x = np.mgrid[:128, :192]
    exact = 80 + 12 * x / 192 + 3 * y / 128 + 0.3
    made = luma(done[1])
    sky_only = (x < 80) & (x > 8)
    assert np.abs(made - exact)[sky_only].mean() < 0.5 * np.abs(true - exact)[sky_only].mean()
    assert np.abs(made - true).max() <= 0.5 + 1e-3
    assert made[100, 100] - made[100, 94] > 80
    assert codes.banding(made.astype(np.float32)) < 0.4 * found.banding and found.bound == 0.5
    assert "estimated, not recovered" in found.note and found.bits == 8


def test_codes_that_are_not_touched_are_written_as_they_were(tmp_path: Path) -> None:
    shot = shot_of(clip_of(tmp_path / "a.mkv"))
    frame = next(shot.frames())
    (done, *_), _ = work(shot, chroma=False)
    same = (done.pixels == frame.pixels).all(0)
    assert 0.001 < float(same.float().mean()) < 0.9
    assert done.origin is not None


def test_what_the_stream_tells_is_found(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.mp4", codec="libx264", options={"qp": "30"})
    found = bitdepth.analyze(shot_of(clip), bitdepth.Params(), CPU)
    assert found.codec == "h264" and found.layout == "yuv420p"
    assert found.quantizer == pytest.approx(0.625 * 2**5, rel=0.3)
    assert found.bits_per_pixel > 0 and found.bound > 0.5 + found.quantizer / 20
    tape = clip_of(tmp_path / "b.mpg", codec="mpeg2video", options={"qmin": "12", "qmax": "12"})
    assert measure_coding(tape).step == pytest.approx(12, abs=12)
    assert measure_coding(tape).codec == "mpeg2video" and measure_coding(tape).step > 0
    still = measure_coding(clip_of(tmp_path / "c.mkv"))
    assert still.codec == "ffv1" and still.step == 0


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx265", {"x265-params": "qp=30:log-level=error"}),
        ("libsvtav1", {"qp": "40", "preset": "12", "svtav1-params": "tune=1"}),
        ("libvpx-vp9", {"crf": "40", "b": "0", "cpu-used": "8"}),
    ],
)
def test_the_quantizer_of_other_coders_is_found_too(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    found = bitdepth.analyze(shot_of(clip_of(tmp_path / "a.mkv", codec=codec, options=options)), bitdepth.Params(), CPU)
    # Quantizer 30 of HEVC is a step of 20 codes; index 40 of 63 of the others is nearly the same.
    assert 14 < found.quantizer < 45
    assert ("headers" in found.note) == (codec != "libvpx-vp9")


def test_a_quantizer_that_nothing_tells_is_guessed_and_told_so(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.mkv", codec="libvpx", options={"b": "100000", "cpu-used": "8"})
    found = bitdepth.analyze(shot_of(clip), bitdepth.Params(), CPU)
    assert found.codec == "vp8" and found.quantizer > 0 and "guess by rate and detail" in found.note


def test_why_the_network_is_not_in_it_is_told_as_it_is(tmp_path: Path) -> None:
    """Frames of two pixels and footage with centered chroma were told to be no 8-bit 4:2:0."""
    tiny = tmp_path / "tiny.mkv"
    clips.write(tiny, codec="ffv1", layout="yuv420p", width=2, height=2, frames=1, picture=sky, siting="left")
    centered = reader.open(clip_of(tmp_path / "a.mkv").info.path, siting="center")
    for clip, why in (
        (reader.open(tiny), "frames of 4 pixels"),
        (centered, "here it is center"),
        (clip_of(tmp_path / "b.mkv", layout="yuv444p"), "stored as yuv444p"),
    ):
        found = bitdepth.analyze(shot_of(clip), bitdepth.Params(), CPU)
        assert why in found.note and not found.learned


def test_the_network_is_believed_as_far_as_the_coder_took_something(tmp_path: Path) -> None:
    """It learned on footage of low rates; on luma that lost nothing but by rounding it cost 1.5 dB."""
    share = {}
    for codec, options in (("ffv1", {}), ("libx264", {"qp": "12"}), ("libx264", {"qp": "30"})):
        clip = clip_of(tmp_path / f"{codec}{options.get('qp', '')}.mkv", codec=codec, options=options)
        found = bitdepth.analyze(shot_of(clip), bitdepth.Params(), CPU)
        share[options.get("qp")] = found.learned
        assert ("the coder took" in found.note) == (found.learned > 0)
    assert share[None] == 0 < share["12"] < 1 == share["30"]


def test_the_guess_follows_the_rate() -> None:
    plane = np.random.default_rng(1).normal(100, 10, (64, 64)).astype(np.float32)
    assert codes.quantizer(plane, 0.05) > 3 * codes.quantizer(plane, 0.25) > 0
    assert codes.quantizer(plane, 0) == codes.quantizer(plane, 3) == 0


def test_a_source_of_ten_bits_has_nothing_to_interpolate(tmp_path: Path) -> None:
    shot = shot_of(clip_of(tmp_path / "a.mkv", layout="yuv422p10"))
    done, found = work(shot)
    assert found.bits == 10 and found.bound == 0 and "nothing to interpolate" in found.note
    assert torch.equal(done[0].pixels, next(shot.frames()).pixels)


def test_ten_coded_bits_are_freed_of_what_the_coder_left_alone(tmp_path: Path) -> None:
    shot = shot_of(clip_of(tmp_path / "a.mp4", layout="yuv420p10", codec="libx264", options={"qp": "30"}))
    found = bitdepth.analyze(shot, bitdepth.Params(), CPU)
    assert found.bits == 10 and found.quantizer > 0 and found.bound == pytest.approx(found.quantizer / 16, abs=1e-3)
    assert "only what the coder left" in found.note


@pytest.mark.parametrize("layout", ["yuv444p", "gbrp", "yuv422p"])
def test_other_layouts_of_eight_bits_work(tmp_path: Path, layout: str) -> None:
    shot = shot_of(clip_of(tmp_path / "a.mkv", layout=layout) if layout != "gbrp" else _rgb(tmp_path))
    done, found = work(shot)
    frame = next(shot.frames())
    assert found.chroma == (1.0 if layout == "yuv422p" else 0.0)
    assert 0 < float((done[0].pixels - frame.pixels).abs().max()) < 0.03
    assert codes.banding(luma(done[0]).astype(np.float32)) < 0.5 * codes.banding(luma(frame).astype(np.float32))


def _rgb(folder: Path) -> Clip:
    def gray(number: int, width: int, height: int, layout: str) -> clips.Planes:
        one = sky(number, width, height, "gray")[0]
        return one, one, one

    clips.write(folder / "rgb.avi", codec="utvideo", layout="gbrp", width=192, height=128, frames=2, picture=gray)
    return reader.open(folder / "rgb.avi")


def test_pixels_that_another_operation_changed_are_worked_on_as_they_are() -> None:
    y, x = np.mgrid[:96, :160]
    plane = np.rint(80 + 12 * x / 160 + y / 96) / 255
    frame = Frame(torch.from_numpy(plane.astype(np.float32)).expand(3, -1, -1).contiguous(), Fraction(0))
    shot = as_shot([frame])
    (done,), found = work(shot)
    assert found.layout == "" and found.codec == ""
    assert float((done.pixels - frame.pixels).abs().max()) <= 0.5 / 255 + 1e-5
    assert len(torch.unique(done.pixels)) > 10 * len(torch.unique(frame.pixels))


def test_strength_and_switches(tmp_path: Path) -> None:
    shot = shot_of(clip_of(tmp_path / "a.mkv"))
    frame = next(shot.frames())
    assert torch.equal(work(shot, strength=0)[0][0].pixels, frame.pixels)
    off, found = work(shot, gradients=False, chroma=False, blocks=False)
    assert torch.equal(off[0].pixels, frame.pixels) and "nothing is changed" in found.note
    whole, half = work(shot)[0][0].pixels, work(shot, strength=0.5)[0][0].pixels
    assert torch.allclose(half - frame.pixels, (whole - frame.pixels) / 2, atol=1e-6)


def shown(plane: np.ndarray) -> Shot:
    """A shot of one gray frame of such luma, 0..1 of limited range."""
    pixels = torch.from_numpy(plane.astype(np.float32)).expand(3, -1, -1).contiguous()
    return as_shot([Frame(pixels, Fraction(0))])


def test_log_footage_is_guessed_named_and_told() -> None:
    scene = 0.012 + 0.85 * np.random.default_rng(1).random((64, 64)) ** 3
    # Sony's formula, in the codes of 10 bits that it is stored as.
    log = ((420 + np.log10((scene + 0.01) / 0.19) * 261.5) / 4 - 16) / 219
    guessed = bitdepth.analyze(shown(log), bitdepth.Params(), CPU)
    assert guessed.encoding == "log" and "a guess: log footage" in guessed.note
    told = bitdepth.analyze(shown(log), bitdepth.Params(encoding="s-log3"), CPU)
    assert told.encoding == "s-log3" and "s-log3 footage as told" in told.note and "guess" not in told.note
    usual = bitdepth.analyze(shown(1.05 * scene**0.45 - 0.1), bitdepth.Params(), CPU)
    assert usual.encoding == "display" and "log" not in usual.note


@pytest.mark.parametrize(
    ("said", "curve"),
    [("<CaptureGamma>V-Log</CaptureGamma>", "v-log"), ("S-Log3/S-Gamut3.Cine", "s-log3"), ("a catalog 3", "")],
)
def test_a_tag_names_the_curve(tmp_path: Path, said: str, curve: str) -> None:
    clips.write(
        tmp_path / "a.mkv", codec="ffv1", layout="yuv420p", width=64, height=48, frames=1, picture=sky,
        metadata={"comment": said},
    )  # fmt: skip
    found = bitdepth.analyze(shot_of(reader.open(tmp_path / "a.mkv")), bitdepth.Params(), CPU)
    assert found.encoding == (curve or "display")
    assert not curve or f"{curve} footage by the clip's tags" in found.note


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p"])
def test_woven_fields_are_worked_on_one_by_one(tmp_path: Path, layout: str) -> None:
    """Two fields of other light: a gradient across lines of both would take it for texture, or mix them."""

    def fields(number: int, width: int, height: int, form: str) -> clips.Planes:
        planes = [plane.astype(np.int16) for plane in sky(number, width, height, form)]
        for plane in planes:
            plane[1::2] += 9
        return tuple(plane.astype(np.uint8) for plane in planes)

    clips.write(
        tmp_path / "a.mkv", codec="ffv1", layout=layout, width=192, height=128, frames=2, picture=fields,
        siting="left", field_order="tff",
    )  # fmt: skip
    shot = shot_of(reader.open(tmp_path / "a.mkv"))
    done, found = work(shot)
    frame = next(shot.frames())
    assert frame.field_order == "tff" and "interlaced: each field" in found.note
    y, x = np.mgrid[:128, :192]
    exact = 80 + 12 * x / 192 + 3 * y / 128 + 9.0 * (y % 2)
    even = (x < 80) & (x > 8)
    before, made = (np.abs(luma(each) - exact)[even].mean() for each in (frame, done[0]))
    assert made < 0.6 * before
    assert np.abs(luma(done[0]) - luma(frame)).max() <= found.bound + 1e-3


def test_a_matte_keeps_the_rest(tmp_path: Path) -> None:
    frame = next(shot_of(clip_of(tmp_path / "a.mkv")).frames())
    matte = torch.zeros(1, 128, 192)
    matte[:, 30:60, 30:90] = 1
    masked = Frame(frame.pixels, frame.time, frame.color, matte=matte, origin=frame.origin)
    shot = as_shot([masked])
    (done,), _ = work(shot)
    outside = (matte == 0).expand(3, -1, -1)
    assert torch.equal(done.pixels[outside], frame.pixels[outside])
    assert not torch.equal(done.pixels, frame.pixels)


def test_rendering_without_findings_is_refused(tmp_path: Path) -> None:
    shot = shot_of(clip_of(tmp_path / "a.mkv"))
    with pytest.raises(SettingsError, match="analyze"):
        list(operations.load("bitdepth").run(shot.frames(), bitdepth.Params(), None, CPU))


def test_the_command_makes_prores_of_ten_bits_with_values_between(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip_of(tmp_path / "a.mp4", codec="libx264", options={"crf": "20"})
    main(["bitdepth", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "b.mov")])
    made = reader.open(tmp_path / "b.mov")
    assert made.info.codec == "prores" and made.info.layout == "yuv422p10" and len(made) == 3
    plane = next(made.frames()).origin.planes[0].numpy()
    assert float((plane % 4 != 0).mean()) > 0.3
    text = (tmp_path / "b.decisions.toml").read_text()
    assert "estimated, not recovered" in text


@pytest.mark.parametrize(("width", "height"), [(2, 2), (16, 16), (34, 18)])
def test_tiny_frames(tmp_path: Path, width: int, height: int) -> None:
    clips.write(
        tmp_path / "t.mkv", codec="ffv1", layout="yuv420p", width=width, height=height, frames=2, picture=clips.bars
    )
    done, _ = work(shot_of(reader.open(tmp_path / "t.mkv")))
    assert done[0].pixels.shape == (3, height, width) and bool(done[0].pixels.isfinite().all())


def test_a_variable_rate_and_a_very_low_bitrate_keep_their_frames(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    clips.write(
        path, codec="libx264", layout="yuv420p", width=192, height=128, times=clips.variable(12), frames=12,
        picture=sky, options={"qp": "48"},
    )  # fmt: skip
    clip = reader.open(path)
    done, found = work(shot_of(clip))
    assert [frame.time for frame in done] == list(clip.times)
    assert found.quantizer > 80 and all(bool(frame.pixels.isfinite().all()) for frame in done)


@pytest.mark.footage
def test_real_footage_is_moved_no_farther_than_its_bound() -> None:
    path = shared("video", "sam2_01_dog_854x480.mp4")
    clip = reader.open(path)
    shot = shot_after(clip, ShotRange("001", 0, 2), [], CPU)
    done, found = work(shot, chroma=False)
    frame = next(shot.frames())
    moved = np.abs(luma(done[0]) - luma(frame))
    assert found.codec == "h264" and moved.max() <= found.bound + max(found.deblock * 1.3, 0) + 0.01


def trained(folder: Path, name: str) -> Path:
    """Weights of a network that was never trained, as a user's own."""
    torch.manual_seed(1)
    path, card = folder / f"{name}.safetensors", weights.Card(name=name)
    if name == "bitdepth":
        decoder = bitdepth_net.Config(width=8, blocks=1)
        weights.save(path, bitdepth_net.Decoder(decoder), decoder, card)
    else:
        flow = toflow.Config(levels=2, flow_widths=(4,), width=4)
        weights.save(path, toflow.TOFlow(flow), flow, card)
    return path


@pytest.mark.parametrize(("model", "name"), [("network", "bitdepth"), ("toflow", "toflow")])
def test_networks_come_in_front_of_the_bounds_and_chunks_equal_the_whole(tmp_path: Path, model: str, name: str) -> None:
    clips.write(
        tmp_path / "a.mp4", codec="libx264", layout="yuv420p", width=66, height=50, frames=9, picture=sky,
        options={"qp": "30"},
    )  # fmt: skip
    shot = shot_of(reader.open(tmp_path / "a.mp4"))
    params = bitdepth.Params.of({"model": model, "weights": trained(tmp_path, name)})
    found = bitdepth.analyze(shot, params, CPU)
    whole = list(operations.load("bitdepth").run(shot.frames(), params, found, CPU))
    plain = list(operations.load("bitdepth").run(shot.frames(), bitdepth.Params(model="bounds"), found, CPU))
    assert all(bool(frame.pixels.isfinite().all()) for frame in whole)
    assert not torch.equal(whole[4].pixels, plain[4].pixels)
    reach = bitdepth.handles(params)
    part = list(operations.load("bitdepth").run(shot.frames(4 - reach, 5 + reach), params, found, CPU))
    assert torch.equal(part[reach].pixels, whole[4].pixels)
    if model == "network":
        limit = found.bound + 0.5 + found.quantizer / 2
        assert float(np.abs(luma(whole[4]) - luma(next(shot.frames(4, 5)))).max()) <= limit + 0.01


def coded(path: Path, rate: float) -> tuple[Shot, torch.Tensor]:
    """Seven frames at half size of a clip, through a coder: the frames as decoded, and the middle one of the master."""
    with torch.inference_mode():
        whole = [frame.pixels[:, 60:420, 100:740] for frame in reader.open(path).frames(10, 17)]
        small = [torch.nn.functional.avg_pool2d(pixels, 2) for pixels in whole]
    stored = [tuple(plane.numpy() for plane in from_rgb(picture, "yuv420p", TAGS)) for picture in small]
    made = septuplets.at_rate(stored, "h264", rate)
    frames = []
    for number, planes in enumerate(made.frames):
        kept = tuple(torch.from_numpy(plane.copy()) for plane in planes)
        rgb = to_rgb(kept, "yuv420p", TAGS)
        steps = made.steps[number]
        origin = Origin(kept, "yuv420p", TAGS, rgb, steps=None if steps is None else torch.from_numpy(steps))
        frames.append(Frame(rgb, Fraction(number, 25), TAGS, field_order="progressive", origin=origin))
    told = Coding("h264", made.rate, made.step)
    return Shot("001", 7, Fraction(25), lambda a, b: iter(frames[a:b]), coding=lambda: told), small[3]


def test_the_network_hears_of_every_block_how_coarsely_it_was_coded(tmp_path: Path) -> None:
    shot, _ = coded_noise()
    params = bitdepth.Params.of({"model": "network", "weights": trained(tmp_path, "bitdepth")})
    found = bitdepth.analyze(shot, params, CPU)
    frames = list(shot.frames())
    said = replace(frames[3].origin, steps=torch.full((6, 8), found.quantizer))  # type: ignore[type-var]
    said.steps[:3] = 4 * found.quantizer
    other = [*frames[:3], replace(frames[3], origin=said), *frames[4:]]
    before, after = (
        list(operations.load("bitdepth").run(iter(each), params, found, CPU))[3].pixels for each in (frames, other)
    )
    apart = (before - after).abs().amax(dim=(0, 2))
    # The upper half is told of a coarser quantizer than its frame has; far below that nothing is new.
    assert float(apart[:16].max()) > 0 and float(apart[-8:].max()) == 0


def coded_noise() -> tuple[Shot, Frame]:
    """Seven frames of 64 x 48, all blocks of all of them with one quantizer, which their decoder does not tell."""
    rng = np.random.default_rng(5)
    frames = []
    for number in range(7):
        kept = tuple(
            torch.from_numpy(rng.integers(90, 160, shape, np.uint8)) for shape in ((48, 64), (24, 32), (24, 32))
        )
        rgb = to_rgb(kept, "yuv420p", TAGS)
        origin = Origin(kept, "yuv420p", TAGS, rgb)
        frames.append(Frame(rgb, Fraction(number, 25), TAGS, field_order="progressive", origin=origin))
    told = Coding("h264", 0.2, 8.0)
    return Shot("001", 7, Fraction(25), lambda a, b: iter(frames[a:b]), coding=lambda: told), frames[3]


def test_faint_lines_of_color_behind_the_network_are_smoothed_by_no_more_than_rounding(tmp_path: Path) -> None:
    lines = np.where(np.arange(80) % 12 == 6, 122, 120)
    kept = tuple(
        torch.from_numpy(np.ascontiguousarray(np.broadcast_to(plane, shape)).astype(np.uint8))
        for plane, shape in ((np.full(160, 110), (96, 160)), (lines, (48, 80)), (lines, (48, 80)))
    )
    rgb = to_rgb(kept, "yuv420p", TAGS)
    frame = Frame(rgb, Fraction(0), TAGS, field_order="progressive", origin=Origin(kept, "yuv420p", TAGS, rgb))
    told = Coding("h264", 0.2, 8.0)
    shot = Shot("001", 1, Fraction(25), lambda a, b: iter([frame][a:b]), coding=lambda: told)

    def color(model: str, bound: float) -> torch.Tensor:
        params = bitdepth.Params.of({"model": model, "weights": trained(tmp_path, "bitdepth")})
        found = bitdepth.analyze(shot, params, CPU).model_copy(update={"bound": bound})
        (done,) = operations.load("bitdepth").run(shot.frames(), params, found, CPU)
        return 224 * torch.stack(spaces.to_ycbcr(*done.pixels, "bt709")[1:])  # type: ignore[call-arg]

    assert float((color("network", 0.5) - color("network", 3.0)).abs().max()) < 1e-3  # codes
    assert float((color("bounds", 0.5) - color("bounds", 3.0)).abs().max()) > 0.2


@pytest.mark.footage
@pytest.mark.parametrize("rate", [0.06, 0.2])
def test_the_network_that_ships_comes_nearer_to_a_master_it_never_saw(rate: float) -> None:
    path = shared("video", "davis_goat_854x480.mp4")
    shot, master = coded(path, rate)
    by_default, found = work(shot, model="network")
    by_filters, _ = work(shot)
    plain, made, filtered = (
        quality.psnr(frames[3].pixels.clamp(0, 1), master) for frames in (list(shot.frames()), by_default, by_filters)
    )
    assert bitdepth.Params().model == "network" and found.learned == 1 and "by a network" in found.note
    assert made > plain + LEAST_GAIN and made > filtered
    less = found.model_copy(update={"learned": 0.0, "chroma": 0.0})
    params = bitdepth.Params(model="network")
    without = list(operations.load("bitdepth").run(shot.frames(), params, less, CPU))[3].pixels
    assert torch.equal(
        without,
        list(operations.load("bitdepth").run(shot.frames(), bitdepth.Params(model="bounds"), less, CPU))[3].pixels,
    )


@pytest.mark.footage
def test_the_papers_network_that_ships_comes_nearer_too() -> None:
    path = shared("video", "davis_goat_854x480.mp4")
    shot, master = coded(path, 0.12)
    done, found = work(shot, model="toflow")
    plain, made = (quality.psnr(frames[3].pixels.clamp(0, 1), master) for frames in (list(shot.frames()), done))
    assert found.learned == 1 and made > plain + 0.01  # dB; it is a small network, lightly trained


LEAST_GAIN = 0.05  # dB over the decoder alone; it was measured at several times that


def test_what_the_network_never_learned_is_left_to_the_filters(tmp_path: Path) -> None:
    for layout in ("yuv444p", "yuv422p10"):
        shot = shot_of(clip_of(tmp_path / f"{layout}.mkv", layout=layout))
        done, found = work(shot, model="network")
        assert found.learned == 0 and ("by the filters alone" in found.note) == (layout == "yuv444p")
        assert torch.equal(done[1].pixels, work(shot)[0][1].pixels)


def test_a_network_without_weights_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    shot = shot_of(clip_of(tmp_path / "a.mkv"))
    with pytest.raises(WeightsError, match="no weights for 'toflow'"):
        work(shot, model="toflow")
