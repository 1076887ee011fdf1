"""Deinterlacing: still pictures stay, motion is kept, film comes back, and chunks equal the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from answerprint.errors import SettingsError
from answerprint.fields import combs, weave
from answerprint.frame import Frame
from answerprint.media import reader
from answerprint.operations import deinterlace
from answerprint.operations.deinterlace import HANDLES, Findings, Params
from footage import as_shot, shared
from pictures import psnr

CPU = torch.device("cpu")
NTSC = Fraction(30000, 1001)


def scene(number: float, height: int = 96, width: int = 128, noise: float = 0.0) -> Tensor:
    """A textured background that stands and a textured disc that moves 3 pixels a step, smooth enough to fill."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    ground = 0.4 + 0.2 * torch.sin(x / 5) * torch.cos(y / 7)
    cx, cy = 20 + 3 * number, 40 + 1.5 * number
    disc = torch.sigmoid(18 - torch.hypot(x - cx, y - cy))
    texture = 0.6 + 0.25 * torch.sin((x - cx) / 3 + (y - cy) / 4)
    picture = ground * (1 - disc) + texture * disc
    pixels = torch.stack([picture, picture * 0.9, picture * 0.8])
    if noise:
        pixels = pixels + noise * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(int(number * 2)))
    return pixels


def card(height: int = 96, width: int = 128) -> Tensor:
    """A test card: one-line stripes, a grating, a step."""
    pixels = torch.zeros(3, height, width)
    pixels[:, ::2, :40] = 1.0
    pixels[:, :, 50:90:2] = 0.8
    pixels[:, 30:60, 90:] = 0.5
    return pixels


def frames_of(pictures: list[Tensor], order: str = "tff", rate: Fraction = NTSC, first: int = 0) -> list[Frame]:
    return [Frame(p, (first + i) / rate, field_order=order) for i, p in enumerate(pictures)]


def from_fields(pictures: list[Tensor], order: str, first: int = 0) -> list[Frame]:
    """Frames whose fields show successive pictures."""
    pairs = zip(pictures[::2], pictures[1::2], strict=True)
    woven = [weave.weave(a, b) if order == "tff" else weave.weave(b, a) for a, b in pairs]
    return frames_of(woven, order, first=first)


def video(count: int, order: str = "tff", first: int = 0, noise: float = 0.0) -> list[Frame]:
    return from_fields([scene(u, noise=noise) for u in range(2 * count)], order, first)


def telecine(film: list[Tensor], phase: int, frames: int, order: str = "tff") -> list[Frame]:
    """Film spread over fields 2, 3, 2, 3 ... with a group of 2 at fields whose number modulo 5 is `phase`."""
    spread = []
    for u in range(2 * frames):
        cycle, place = divmod(u - phase, 5)
        spread.append(film[2 + 2 * cycle + (0 if place < 2 else 1)])
    return from_fields(spread, order)


def found(frames: list[Frame], **params: str) -> Findings:
    return deinterlace.analyze(as_shot(frames, NTSC), Params.of(params), CPU)


def render(frames: list[Frame], findings: Findings | None = None, **params: Any) -> list[Frame]:
    settings = Params.of(params)
    findings = findings or deinterlace.analyze(as_shot(frames, NTSC), settings, CPU)
    return list(deinterlace.run(iter(frames), settings, findings, CPU))


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_field_order_is_measured_against_the_flag(order: str) -> None:
    frames = [replace(frame, field_order="unknown") for frame in video(10, order)]
    result = found(frames)
    assert (result.field_order, result.cadence) == (order, "none")
    assert result.order_confidence > 0.9
    assert result.combed > 0.9


def test_progressive_shot_is_left_untouched_even_where_flagged_interlaced() -> None:
    frames = frames_of([scene(i) for i in range(8)], "tff")
    assert found(frames).field_order == "progressive"
    for before, after in zip(frames, render(frames), strict=True):
        assert after.pixels is before.pixels
        assert after.field_order == "progressive"
    plain = frames_of([scene(i) for i in range(8)], "progressive")
    assert all(a is b for a, b in zip(plain, render(plain), strict=True))


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_whole_frames_among_video_stay_untouched(order: str, share: float) -> None:
    """As when graphics or film that was never telecined are cut into a tape within one shot."""
    count, split = 24, int(24 * share)
    frames = video(count, order)
    for n in range(split):
        frames[n] = replace(frames[n], pixels=scene(2 * n))
    result = found(frames)
    assert (result.field_order, result.mixed, result.cadence) == (order, True, "none")
    out = render(frames, result)
    assert all(out[n].pixels is frames[n].pixels for n in range(1, split - 1))
    for n in range(split, count):
        assert psnr(out[n].pixels, scene(2 * n)) > 34.0
    assert not found(video(12, order)).mixed


def repeating(count: int) -> list[int]:
    """Moments shown by the fields of film that runs at 4/5 of the fields' rate: one of four pictures comes twice."""
    shown = [cycle * 4 + place for cycle in range(count // 4) for place in (0, 1, 2, 2, 3)]
    return shown[: len(shown) // 2 * 2]


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("passes", [1, 3])
def test_film_that_repeats_a_picture_now_and_then_gives_it_back_whole(order: str, passes: int) -> None:
    """As with old film at 20 pictures a second on tape of 50 fields: at no cadence that would fit every field."""
    moments = repeating(40)
    frames = from_fields([scene(u) for u in moments], order)
    result = found(frames, field_order=order)
    assert (result.mixed, result.cadence) == (True, "none")
    out = render(frames, result, rate="field", passes=passes)
    for u in range(5, len(moments) - 5):
        if moments[u] in (moments[u - 1], moments[u + 1]):
            assert torch.equal(out[u].pixels, scene(moments[u])), u
        else:
            assert psnr(out[u].pixels, scene(moments[u])) > 34.0, u


@pytest.mark.footage
@pytest.mark.parametrize(("name", "mixed"), [("abomb_blast_432x320.mp4", True), ("old_002.mp4", False)])
def test_old_film_that_is_repeated_but_not_quite_is_not_woven(name: str, mixed: bool) -> None:
    """The second repeats pictures too, but each time with other light and things moved a little: woven, it combs."""
    clip = shared("video", "oldfilm", name)
    moments = [frame.pixels for frame in reader.open(clip).frames(0, 20)]
    assert found(from_fields(moments, "tff"), field_order="tff").mixed is mixed


def test_field_rate_repeats_progressive_pictures_so_that_the_delivery_rate_holds() -> None:
    frames = frames_of([scene(i) for i in range(4)], "progressive")
    out = render(frames, rate="field")
    assert [frame.time for frame in out] == [Fraction(i) / (2 * NTSC) for i in range(8)]
    assert all(out[i].pixels is frames[i // 2].pixels for i in range(8))


def test_pictures_that_field_rate_only_repeats_are_told() -> None:
    whole = frames_of([scene(i) for i in range(12)], "progressive")
    assert "shows each of them twice" in found(whole, rate="field").note
    assert found(whole).note == ""
    assert found(from_fields([scene(u) for u in range(24)], "tff"), rate="field").note == ""


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_field_rate_shows_every_moment(order: str, noise: float) -> None:
    frames = video(8, order, noise=noise)
    out = render(frames, rate="field")
    assert len(out) == 16
    clean = [scene(u) for u in range(16)]
    floor = 33.0 if noise else 37.0
    for u, frame in enumerate(out):
        assert psnr(frame.pixels, clean[u]) > floor, u
        assert psnr(frame.pixels, clean[u]) > psnr(frames[u // 2].pixels, clean[u]) + 1, u


@pytest.mark.parametrize("rate", ["frame", "field"])
@pytest.mark.parametrize("passes", [1, 3])
def test_still_card_keeps_every_line_and_does_not_twitter(rate: str, passes: int) -> None:
    still = card()
    frames = frames_of([still] * 6, "tff")
    for frame in render(frames, Findings(field_order="tff"), rate=rate, passes=passes):
        assert torch.equal(frame.pixels, still)


def test_still_card_under_noise_does_not_twitter() -> None:
    noise = [0.01 * torch.randn(3, 96, 128, generator=torch.Generator().manual_seed(i)) for i in range(12)]
    frames = from_fields([card() + part for part in noise], "tff")
    out = render(frames, Findings(field_order="tff", noise=0.01), rate="field")
    for frame in out:
        assert psnr(frame.pixels, card()) > 38.0


def test_still_text_over_motion_stays_still() -> None:
    """A caption over a scene that moves all around it, at field rate, where twitter would show."""
    letters = cv2.putText(np.zeros((96, 128), np.uint8), "12:04", (20, 55), 0, 1.1, 255, 2, cv2.LINE_AA)
    mask = torch.from_numpy(letters).float() / 255
    moments = [torch.roll(scene(0), 3 * u, 2) * (1 - mask) + mask for u in range(16)]
    solid = (mask == 1)[None].expand(3, -1, -1)
    twitter = {}
    ways = {"adaptive": {"method": "adaptive"}, "learned": {}, "gone over": {"passes": 3}}
    for name, told in ways.items():
        out = render(from_fields(moments, "tff"), Findings(field_order="tff"), rate="field", **told)
        steps = [float((out[u].pixels - out[u + 1].pixels)[solid].abs().mean()) for u in range(4, 12)]
        twitter[name] = sum(steps) / len(steps)
    for name in ("learned", "gone over"):
        assert twitter[name] < 1.5 / 255
        assert twitter[name] < 0.7 * twitter["adaptive"]


@pytest.mark.footage
def test_on_footage_it_never_saw_learned_lines_are_nearer_and_nearer_still_gone_over() -> None:
    clip = shared("video", "davis_goat_854x480.mp4")
    moments = [frame.pixels[:, 160:340, 240:560].contiguous() for frame in reader.open(clip).frames(0, 12)]
    frames = from_fields(moments, "tff")
    figures = []
    for told in ({"method": "adaptive"}, {"passes": 1}, {"passes": 2}, {"passes": 3}):
        out = render(frames, Findings(field_order="tff"), rate="field", telecine="off", **told)
        figures.append(sum(psnr(out[u].pixels, moments[u]) for u in range(2, 10)) / 8)
    adaptive, once, twice, thrice = figures
    assert once > adaptive + 2.0
    assert twice > once + 0.5
    assert thrice > twice + 0.1


@pytest.mark.footage
@pytest.mark.parametrize("passes", [1, 3])
def test_a_dark_line_at_the_edge_stays_dark(passes: int) -> None:
    """The last line of this clip is half covered, as on many tapes; it has a neighbor on one side only."""
    clip = shared("video", "davis_motocross-jump_854x480.mp4")
    moments = [frame.pixels[:, -160:, 240:560].contiguous() for frame in reader.open(clip).frames(0, 12)]
    out = render(from_fields(moments, "tff"), Findings(field_order="tff"), rate="field", passes=passes)
    off = sum((out[u].pixels - moments[u])[:, -1].abs().mean() for u in (4, 6))
    assert off < 0.3 * sum((moments[u][:, -2] - moments[u][:, -1]).abs().mean() for u in (4, 6))


@pytest.mark.parametrize("phase", range(5))
@pytest.mark.parametrize("order", ["tff", "bff"])
def test_telecine_is_found_and_film_comes_back_bit_for_bit(phase: int, order: str) -> None:
    film = [scene(i) for i in range(24)]
    frames = telecine(film, phase, 20, order)
    result = found(frames)
    assert (result.field_order, result.cadence, result.phase) == (order, "3:2", phase)
    out = render(frames, telecine="remove")
    assert [frame.time for frame in out] == [i * Fraction(5, 4) / NTSC for i in range(16)]
    inner = out[1:-1]
    start = next(i for i, picture in enumerate(film) if torch.equal(picture, inner[0].pixels))
    for i, frame in enumerate(inner):
        assert torch.equal(frame.pixels, film[start + i])


def test_telecine_auto_weaves_film_and_keeps_the_rate() -> None:
    film = [scene(i) for i in range(24)]
    frames = telecine(film, 3, 20)
    out = render(frames)
    assert [frame.time for frame in out] == [frame.time for frame in frames]
    for frame in out[1:-1]:
        assert any(torch.equal(frame.pixels, picture) for picture in film)


def test_telecine_removal_of_video_keeps_the_grid() -> None:
    frames = video(10)
    out = render(frames, telecine="remove")
    assert [frame.time for frame in out] == [i * Fraction(5, 4) / NTSC for i in range(8)]
    for i, frame in enumerate(out):
        assert psnr(frame.pixels, scene(5 * i // 2)) > 37.0


def test_pictures_spread_one_field_off_are_woven() -> None:
    film = [scene(2 * i) for i in range(12)]
    fields = [film[(u + 1) // 2] for u in range(20)]
    frames = from_fields(fields, "tff")
    result = found(frames)
    assert (result.field_order, result.cadence, result.phase) == ("tff", "2:2", 1)
    for i, frame in enumerate(render(frames)[1:-1], 1):
        assert torch.equal(frame.pixels, film[i])


def test_where_the_cadence_breaks_nothing_combs() -> None:
    """After an edit made in video the pattern of the findings is wrong."""
    film = [scene(1.5 * i) for i in range(24)]
    frames = telecine(film, 0, 20)
    wrong = found(frames).model_copy(update={"phase": 2})
    for number, frame in enumerate(render(frames, wrong)):
        assert max(psnr(frame.pixels, picture) for picture in film) > 40, number


def chunk(frames: list[Frame], start: int, stop: int, handles: int) -> Iterator[Frame]:
    return iter(frames[max(start - handles, 0) : stop + handles])


@pytest.mark.parametrize(
    "params",
    [
        {"rate": "frame"},
        {"rate": "field"},
        {"telecine": "remove"},
        {"telecine": "off"},
        {"rate": "field", "passes": 2},
        {"telecine": "remove", "passes": 3},
    ],
    ids=lambda params: "-".join(map(str, params.values())),
)
@pytest.mark.parametrize("kind", ["video", "telecine"])
def test_chunks_equal_the_whole(params: dict[str, Any], kind: str) -> None:
    frames = video(14) if kind == "video" else telecine([scene(i) for i in range(20)], 2, 14)
    settings, findings = Params.of(params), found(frames, **params)
    whole = render(frames, findings, **params)
    for length in (1, 4, 5):
        cut: list[Frame] = []
        for start in range(0, len(frames), length):
            stop = min(start + length, len(frames))
            begin = frames[start].time
            end = frames[stop].time if stop < len(frames) else frames[-1].time + 1
            made = deinterlace.run(chunk(frames, start, stop, HANDLES), settings, findings, CPU)
            cut += [frame for frame in made if begin <= frame.time < end]
        assert [frame.time for frame in cut] == [frame.time for frame in whole]
        assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(cut, whole, strict=True))


def test_telecine_phase_counts_from_the_clip_and_not_from_the_shot() -> None:
    film = [scene(i) for i in range(24)]
    frames = telecine(film, 1, 22)
    shot = frames[7:20]
    result = deinterlace.analyze(as_shot(shot, NTSC), Params(), CPU)
    assert (result.cadence, result.phase) == ("3:2", 1)
    whole = render(frames, result, telecine="remove")
    part = render(shot, result, telecine="remove")
    match = {frame.time: frame.pixels for frame in whole}
    assert len(part) == 10
    assert all(torch.equal(frame.pixels, match[frame.time]) for frame in part[1:-1])


def test_variable_rate_puts_the_second_field_halfway_to_the_next_frame() -> None:
    times = [Fraction(0), Fraction(1, 25), Fraction(1, 10), Fraction(3, 25)]
    frames = [replace(frame, time=time) for frame, time in zip(video(4), times, strict=True)]
    out = render(frames, Findings(field_order="tff", frame_rate="25"), rate="field")
    assert [frame.time for frame in out[1::2]] == [
        Fraction(1, 50),
        Fraction(7, 100),
        Fraction(11, 100),
        Fraction(13, 100),
    ]


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize(
    "params", [{"rate": "field"}, {"telecine": "remove"}, {"rate": "frame"}, {"rate": "field", "passes": 3}]
)
def test_very_short_shots(length: int, params: dict[str, Any]) -> None:
    frames = video(length)
    out = render(frames, Findings(field_order="tff", frame_rate=str(NTSC)), **params)
    assert len(out) >= length
    for frame in out:
        moment = round(frame.time * NTSC * 2 - Fraction(1, 4))
        assert psnr(frame.pixels, scene(moment)) > 36.0
    found(frames)


@pytest.mark.parametrize("size", [(97, 128), (5, 7), (3, 1), (2, 2), (1, 8)])
def test_odd_and_tiny_pictures(size: tuple[int, int]) -> None:
    pictures = [scene(u, *size) for u in range(12)]
    frames = from_fields(pictures, "tff")
    found(frames)
    for u, frame in enumerate(render(frames, Findings(field_order="tff"), rate="field")):
        assert frame.pixels.shape == (3, *size)
        assert bool(frame.pixels.isfinite().all())
        assert torch.equal(frame.pixels[:, u % 2 :: 2], pictures[u][:, u % 2 :: 2]) or size[0] == 1


def test_matte_and_alpha_are_deinterlaced_too() -> None:
    frames = [replace(frame, matte=frame.pixels[:1], alpha=frame.pixels[1:2]) for frame in video(6)]
    for u, frame in enumerate(render(frames, Findings(field_order="tff"), rate="field")):
        assert frame.matte is not None and frame.alpha is not None
        assert psnr(frame.matte, scene(u)[:1]) > 36.0


def test_said_order_wins_and_film_without_fields_is_refused() -> None:
    assert found(video(4), field_order="bff").field_order == "bff"
    with pytest.raises(SettingsError, match="--rate frame"):
        Params.of({"telecine": "remove", "rate": "field"})
    with pytest.raises(SettingsError, match="--method learned"):
        Params.of({"method": "adaptive", "passes": 2})
    with pytest.raises(SettingsError, match="one of auto, tff, bff"):
        Params.of({"field_order": "up"})
    assert deinterlace.rate(Params(), None) == 1
    assert deinterlace.rate(Params(rate="field"), None) == 2
    assert deinterlace.rate(Params(telecine="remove"), None) == Fraction(4, 5)


@pytest.mark.footage
@pytest.mark.parametrize(
    "name, order", [("flowers_480i_mpeg2.mp4", "tff"), ("presenter_480i_mpeg2.mp4", "progressive")]
)
def test_real_footage_flagged_interlaced(name: str, order: str) -> None:
    """Flowers are video; the presenter is progressive under an interlaced flag."""
    clip = reader.open(shared("video", "interlaced", name))
    frames = list(clip.frames(0, 4))
    result = deinterlace.analyze(as_shot(frames, clip.info.rate), Params(), CPU)
    assert result.field_order == order
    for before, after in zip(frames, render(frames, result), strict=True):
        beside = [weave.brightness(frame.pixels) for frame in frames if frame is not before]
        assert not combs.is_combed(weave.brightness(after.pixels), beside, result.noise)
        assert (after.pixels is before.pixels) == (order == "progressive")
