"""Cutting out: shapes that are known, priors of every kind, and what must be refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO
import OpenImageIO as oiio  # noqa: N813
import pytest
import torch

from answerprint.assets import Assets
from answerprint.errors import MediaError, SettingsError
from answerprint.frame import Frame, Shot
from answerprint.media import reader
from answerprint.operations import cutout
from answerprint.operations.cutout import Findings, Params
from answerprint.operations.cutout.deliver import matte_of
from answerprint.render import decide, job
from answerprint.render.options import Options
from clips import bits_of, gradient, sizes, write
from footage import shared

CPU = torch.device("cpu")
H, W = 96, 144


def truth(number: int) -> np.ndarray:
    y, x = np.mgrid[0:H, 0:W]
    return np.hypot(x - 50 - 3 * number, y - 48 - number) < 18


def frames(count: int = 8, still: bool = False) -> list[Frame]:
    """A mottled orange ball that rolls over a mottled green ground."""
    rng = np.random.default_rng(3)
    ground = cv2.GaussianBlur(rng.normal(0, 1, (H, W)), (0, 0), 2)[..., None] * 0.4 + (0.25, 0.45, 0.3)
    ball = cv2.GaussianBlur(rng.normal(0, 1, (H, W)), (0, 0), 2)[..., None] * 0.4 + (0.8, 0.45, 0.2)
    made = []
    for number in range(count):
        at = 0 if still else number
        turn = np.array([[1, 0, 3 * at], [0, 1, at]], np.float32)
        rolled = cv2.warpAffine(ball, turn, (W, H), borderMode=cv2.BORDER_WRAP)
        picture = np.where(truth(at)[..., None], rolled, ground) + rng.normal(0, 0.01, (H, W, 3))
        made.append(Frame(torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1), Fraction(number, 25)))
    return made


def shot(made: list[Frame], start: int = 0) -> Shot:
    def read(first: int, stop: int) -> Iterator[Frame]:
        return iter(made[first:stop])

    return Shot("001", len(made), Fraction(25), read, start)


def paint(path: Path, mask: np.ndarray) -> Path:
    cv2.imwrite(str(path), mask.astype(np.uint8) * 255)
    return path


def rough(number: int) -> np.ndarray:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    return np.roll(cv2.dilate(truth(number).astype(np.uint8), kernel), (2, -2), (0, 1)) > 0


def overlap(matte: torch.Tensor, right: np.ndarray) -> float:
    found = matte[0].numpy() > 0.5
    return float((found & right).sum() / (found | right).sum())


def mattes(made: list[Frame], params: Params, start: int = 0) -> tuple[list[torch.Tensor], Findings]:
    assets = Assets()
    findings = cutout.analyze(shot(made, start), params, assets)
    results = cutout.run(iter(made), params, findings, assets)
    return [frame.matte for frame in results if frame.matte is not None], findings


def test_a_rough_mask_on_the_first_frame_follows_the_ball(tmp_path: Path) -> None:
    found, findings = mattes(frames(), Params(prior=paint(tmp_path / "mask.png", rough(0))))
    assert min(overlap(matte, truth(i)) for i, matte in enumerate(found)) > 0.85
    assert findings.start == "prior" and findings.keys == (0,)
    assert len(findings.confidence) == 8 and min(findings.confidence) > 0.3


def test_keys_by_number_go_both_ways_and_are_counted_in_the_clip(tmp_path: Path) -> None:
    for number in (103, 107):
        paint(tmp_path / f"mask.{number:04d}.png", rough(number - 103 + 1))
    made = frames()
    params = Params(prior=tmp_path / "mask.%04d.png", start_number=100)
    found, findings = mattes(made, params, start=2)
    assert findings.keys == (3, 7)
    assert min(overlap(matte, truth(i)) for i, matte in enumerate(found)) > 0.8


def test_keys_of_other_shots_do_not_count(tmp_path: Path) -> None:
    params = Params(prior=paint(tmp_path / "mask.png", rough(0)))
    _, findings = mattes(frames(), params, start=50)
    assert findings.start == "motion"
    assert "other shots or outside the clip" in findings.note and "frames 50 to 57" in findings.note


@pytest.mark.parametrize(
    "said",
    [
        {"box": [31, 29, 70, 68]},
        {"polygon": [[34, 34], [66, 34], [66, 62], [34, 62]]},
        {"size": [288, 192], "box": [62, 58, 140, 136]},
        {"foreground": [{"points": [[42, 48], [58, 48]], "radius": 3}]},
        {"mask": "mask.png", "background": [{"points": [[90, 40]], "radius": 4}]},
    ],
)
def test_json_keys(tmp_path: Path, said: dict[str, Any]) -> None:
    paint(tmp_path / "mask.png", rough(0))
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"frame": 0, **said}]}))
    found, _ = mattes(frames(3), Params(prior=path))
    assert overlap(found[0], truth(0)) > 0.8


def test_motion_alone_finds_the_ball() -> None:
    found, findings = mattes(frames(), Params())
    assert findings.start == "motion" and findings.keys
    assert findings.threshold > 0 and "parallax" in findings.depth
    assert np.mean([overlap(matte, truth(i)) for i, matte in enumerate(found)]) > 0.6


def test_depth_that_does_not_change_rules_the_region_out_and_nan_is_said() -> None:
    made = [replace(frame, depth=torch.full((1, H, W), 4.0)) for frame in frames()]
    made[2].depth[0, :4] = torch.nan
    _, by_depth = mattes(made, Params(depth_influence=1.0))
    assert by_depth.start == "nothing" and by_depth.depth == "Z channel" and by_depth.depth_share == 0
    assert "NaN" in by_depth.note
    _, without = mattes(made, Params(depth_influence=0.0))
    assert without.start == "motion"


@pytest.mark.parametrize(
    ("count", "still", "says"), [(1, False, "one frame"), (2, False, "two frames"), (6, True, "nothing moves")]
)
def test_shots_without_three_moving_frames_say_so(count: int, still: bool, says: str) -> None:
    found, findings = mattes(frames(count, still), Params())
    assert says in findings.note
    assert len(found) == count
    if count != 2:
        assert findings.start == "nothing" and max(float(matte.max()) for matte in found) == 0


def test_motion_alone_is_found_in_a_shot_that_fades_in() -> None:
    """The gain of the black first frame burnt out the others, and flow followed the light, as if the camera moved."""
    made = [replace(f, pixels=f.pixels * min(1.0, number / 4)) for number, f in enumerate(frames())]
    found, findings = mattes(made, Params())
    assert findings.start == "motion" and findings.camera == "static"
    assert np.mean([overlap(matte, truth(i)) for i, matte in enumerate(found) if i > 1]) > 0.6


def test_a_fade_to_black_is_carried_and_doubted(tmp_path: Path) -> None:
    made = frames(8)
    made[5:] = [replace(frame, pixels=frame.pixels * 0) for frame in made[5:]]
    found, findings = mattes(made, Params(prior=paint(tmp_path / "mask.png", rough(0))))
    assert all(bool(torch.isfinite(matte).all()) for matte in found)
    assert findings.confidence[-1] == 0 and "fade" in findings.note
    assert findings.doubtful


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (np.zeros((H, W), bool), "empty"),
        (np.ones((H, W), bool), "whole picture"),
        (np.eye(90, 60) > 0, "another shape"),
    ],
)
def test_priors_that_cannot_be_meant(tmp_path: Path, mask: np.ndarray, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        mattes(frames(3), Params(prior=paint(tmp_path / "mask.png", mask)))


@pytest.mark.parametrize("name", ["mask#1.png", "mask.exr"])
def test_a_mask_that_is_stored_turned_or_with_a_window_is_the_same(tmp_path: Path, name: str) -> None:
    """As a phone stores a picture held upright, and as compositing programs cut black away."""
    mask = rough(0).astype(np.float32)
    if name.endswith(".exr"):
        top, left = (int(axis.min()) for axis in np.nonzero(mask))
        data = mask[top:, left:]
        spec = oiio.ImageSpec(data.shape[1], data.shape[0], 1, "half")
        spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height = left, top, 0, 0, *mask.shape[::-1]
    else:
        data = np.rot90(mask, 1)
        spec = oiio.ImageSpec(data.shape[1], data.shape[0], 1, "uint8")
        spec.attribute("Orientation", 6)
    output = oiio.ImageOutput.create(name)
    assert output.open(str(tmp_path / name), spec) and output.write_image(np.ascontiguousarray(data)[..., None])
    output.close()
    found, _ = mattes(frames(2), Params(prior=tmp_path / name))
    plain, _ = mattes(frames(2), Params(prior=paint(tmp_path / "plain.png", rough(0))))
    assert all(np.array_equal(one, other) for one, other in zip(found, plain, strict=True))


def test_a_prior_of_another_size_is_scaled(tmp_path: Path) -> None:
    large = cv2.resize(rough(0).astype(np.uint8), (3 * W, 3 * H), interpolation=cv2.INTER_NEAREST) > 0
    found, _ = mattes(frames(2), Params(prior=paint(tmp_path / "mask.png", large)))
    assert overlap(found[0], truth(0)) > 0.85


def test_a_prior_off_the_object_is_doubted(tmp_path: Path) -> None:
    away = np.roll(truth(0), 60, 1)
    _, on = mattes(frames(2), Params(prior=paint(tmp_path / "on.png", rough(0))))
    _, off = mattes(frames(2), Params(prior=paint(tmp_path / "off.png", away)))
    assert off.confidence[0] < 0.6 * on.confidence[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON"),
        ('{"frame": 0}', "says nothing"),
        ('[{"box": [1,2,3,4]}]', "frame"),
        ("[]", "no key"),
        ('{"frame": 0, "polygon": [[]]}', "polygon"),
        ('{"frame": 0, "polygon": [[1e300, 0], [1, 1], [0, 2]]}', "1e.300"),
        ("[" * 100_000, "too deeply"),
    ],
)
def test_json_that_says_nothing(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=says):
        mattes(frames(2), Params(prior=path))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for name in ("none.png", "none.%04d.png", "none.json"):
        with pytest.raises(MediaError, match="none"):
            mattes(frames(2), Params(prior=tmp_path / name))
    with pytest.raises(MediaError, match="model"):
        mattes(frames(3), Params(depth_model=tmp_path / "none.onnx"))


def test_a_depth_network_is_asked(tmp_path: Path) -> None:
    class Brightness(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(1)

    path = tmp_path / "depth.pt"
    torch.jit.script(Brightness()).save(str(path))
    _, findings = mattes(frames(4), Params(depth_model=path))
    assert findings.depth == "model depth.pt"


def test_rendering_without_the_asset_says_what_to_do(tmp_path: Path) -> None:
    params = Params(prior=paint(tmp_path / "mask.png", rough(0)))
    made = frames(2)
    findings = cutout.analyze(shot(made), params, Assets())
    with pytest.raises(SettingsError, match="analyze the clip again"):
        list(cutout.run(iter(made), params, findings, Assets()))


def test_what_is_delivered(tmp_path: Path) -> None:
    made = frames(2)
    params = Params(prior=paint(tmp_path / "mask.png", rough(0)))
    assets = Assets()
    findings = cutout.analyze(shot(made), params, assets)

    def first(**said: Any) -> Frame:
        return next(cutout.run(iter(made), params.model_copy(update=said), findings, assets))

    matte = first()
    assert matte.matte is not None and matte.alpha is None
    assert torch.equal(matte.pixels, matte.matte.expand(3, -1, -1))
    kept = first(deliver="keep")
    assert torch.equal(kept.pixels, made[0].pixels) and kept.alpha is None
    cut = first(deliver="alpha")
    assert cut.alpha is not None and cut.matte is not None and torch.equal(cut.alpha, cut.matte)
    whole = (cut.matte == 1).expand(3, -1, -1)
    assert torch.equal(cut.pixels[whole], made[0].pixels[whole])
    assert float(first(deliver="alpha", alpha="premultiplied").pixels[:, 0, 0].abs().max()) == 0
    size = float(matte.matte.sum())
    grown, shrunk = first(grow=3.0).matte, first(grow=-3.0).matte
    assert grown is not None and shrunk is not None
    assert float(shrunk.sum()) < 0.85 * size < 1.15 * size < float(grown.sum()) * 1.05
    soft = first(feather=6.0).matte
    assert soft is not None and ((soft > 0.1) & (soft < 0.9)).sum() > ((matte.matte > 0.1) & (matte.matte < 0.9)).sum()


def test_outside_the_matte_the_code_values_stay(tmp_path: Path) -> None:
    """A grade inside, FFV1 to FFV1: code values outside are the source's, a chroma sample's reach aside."""
    source = write(tmp_path / "in.mkv", layout="yuv422p10", width=W, height=H, frames=3, picture=gradient)
    prior = paint(tmp_path / "mask.png", truth(0))
    out = tmp_path / "out.mkv"
    chain = [("cutout", {"prior": str(prior), "deliver": "keep"}), ("grade", {"exposure": 1.0})]
    decisions = decide.analyze(source.path, chain, Options.of({"shots": "none"}))
    job.deliver(decisions, out, Options.of({"shots": "none"}))
    before, after = reader.open(source.path), reader.open(out)
    found = decisions.shots[0].operations[0].findings
    params = Params(prior=prior, deliver="keep")
    graded = list(cutout.run(before.frames(), params, Findings.of(dict(found or {})), decisions.assets))
    changed = 0
    for kept, made in zip(graded, after.frames(), strict=True):
        assert kept.origin is not None and made.origin is not None and kept.matte is not None
        inside = kept.matte[0].numpy() > 0
        reach = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        for plane, (old, new) in enumerate(zip(kept.origin.planes, made.origin.planes, strict=True)):
            outside = ~inside if plane == 0 else ~reach[:, ::2]
            assert np.array_equal(old.numpy()[outside], new.numpy()[outside]), f"plane {plane}"
        changed += int((kept.origin.planes[0] != made.origin.planes[0]).sum())
    assert changed > 100


def test_alpha_is_delivered_where_it_can_be(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", layout="yuv444p10", width=W, height=H, frames=2, picture=gradient)
    prior = paint(tmp_path / "mask.png", truth(0))
    out = tmp_path / "out.mov"
    options = Options.of({"shots": "none", "preset": "prores-4444"})
    made = decide.analyze(source.path, [("cutout", {"prior": str(prior), "deliver": "alpha"})], options)
    job.deliver(made, out, options)
    frame = next(iter(reader.open(out).frames()))
    assert frame.alpha is not None
    assert float(frame.alpha.max()) > 0.99 and float(frame.alpha.min()) < 0.01


def _rendered(tmp_path: Path, out: str, preset: str | None = None, **said: Any) -> Path:
    source = write(tmp_path / "in.mkv", layout="yuv444p10", width=W, height=H, frames=2, picture=gradient)
    prior = paint(tmp_path / "mask.png", truth(0))
    options = Options.of({"shots": "none", **({"preset": preset} if preset else {})})
    made = decide.analyze(source.path, [("cutout", {"prior": str(prior), **said})], options)
    job.deliver(made, tmp_path / out, options)
    return tmp_path


@pytest.mark.parametrize(("out", "channel"), [("m.0001.exr", "A"), ("m.0001.png", "Y"), ("m.0001.tif", "Y")])
def test_a_matte_is_one_channel_and_labelled(tmp_path: Path, out: str, channel: str) -> None:
    file = OpenImageIO.ImageBuf(str(_rendered(tmp_path, out) / out))
    spec = file.spec()
    assert spec.nchannels == 1 and (channel != "A" or spec.channelnames == ("A",))
    assert "matte" in spec["ImageDescription"]
    picture = np.asarray(file.get_pixels(OpenImageIO.FLOAT))[..., 0]
    assert picture.max() > 0.99 and picture.min() < 0.01 and 0.02 < picture.mean() < 0.6


@pytest.mark.parametrize("alpha", ["auto", "premultiplied"])
def test_exr_multiplies_color_by_alpha_once_and_says_so(tmp_path: Path, alpha: str) -> None:
    folder = _rendered(tmp_path, "c.0001.exr", deliver="alpha", alpha=alpha, feather=8.0, decontaminate=False)
    file = OpenImageIO.ImageBuf(str(folder / "c.0001.exr"))
    assert "premultiplied" in file.spec()["ImageDescription"]
    stored = np.asarray(file.get_pixels(OpenImageIO.FLOAT))
    once = next(iter(reader.open(folder / "in.mkv").frames())).pixels.permute(1, 2, 0).numpy() * stored[..., 3:]
    soft = (stored[..., 3] > 0.3) & (stored[..., 3] < 0.8)
    assert soft.any() and np.abs(stored[..., :3] - once)[soft].max() < 0.02


def test_exr_keeps_straight_color_where_asked_and_reads_it_as_such(tmp_path: Path) -> None:
    folder = _rendered(tmp_path, "c.0001.exr", deliver="alpha", alpha="straight", feather=8.0, decontaminate=False)
    file = OpenImageIO.ImageBuf(str(folder / "c.0001.exr"))
    assert "straight" in file.spec()["ImageDescription"]
    shot = next(iter(reader.open(folder / "in.mkv").frames())).pixels
    stored = torch.from_numpy(np.asarray(file.get_pixels(OpenImageIO.FLOAT))).permute(2, 0, 1)
    assert float((stored[:3] - shot).abs().max()) < 0.002
    again = next(iter(reader.open(folder / "c.0001.exr").frames()))
    assert again.alpha is not None and 0 < float(again.alpha.mean()) < 1
    assert float((again.pixels - shot).abs().max()) < 0.002


@pytest.mark.parametrize(("alpha", "says"), [("straight", "straight"), ("premultiplied", "premultiplied")])
def test_the_kind_of_alpha_stands_in_the_file(tmp_path: Path, alpha: str, says: str) -> None:
    folder = _rendered(tmp_path, "c.mov", "prores-4444", deliver="alpha", alpha=alpha)
    assert says in reader.open(folder / "c.mov").info.metadata["comment"]
    folder = _rendered(tmp_path, "c.0001.png", deliver="alpha", alpha=alpha)
    assert says in OpenImageIO.ImageBuf(str(folder / "c.0001.png")).spec()["ImageDescription"]


@pytest.mark.parametrize(("out", "preset"), [("c.mov", "prores-4444"), ("c.mkv", "ffv1")])
def test_an_alpha_that_is_asked_for_is_not_lost_by_the_container(tmp_path: Path, out: str, preset: str) -> None:
    """MOV took ProRes 422 HQ, which has no alpha, and said nothing; MKV did not render at all."""
    clip = reader.open(_rendered(tmp_path, out, deliver="alpha") / out)
    frame = next(iter(clip.frames()))
    assert frame.alpha is not None and float(frame.alpha.max()) > 0.99 and float(frame.alpha.min()) < 0.01
    assert clip.info.codec.startswith(preset.partition("-")[0])


def test_an_alpha_that_cannot_be_carried_is_told(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", layout="yuv444p10", width=W, height=H, frames=2, picture=gradient)
    prior = paint(tmp_path / "mask.png", truth(0))
    options = Options.of({"shots": "none", "preset": "prores-hq"})
    made = decide.analyze(source.path, [("cutout", {"prior": str(prior), "deliver": "alpha"})], options)
    outcome = job.deliver(made, tmp_path / "out.mov", options)
    assert any("alpha is not carried" in note and "prores-4444" in note for note in outcome.notes)


def onnx_of_mean(path: Path) -> Path:
    """The smallest depth network in ONNX: the mean of the channels, written field by field (protobuf wire format)."""

    def field(number: int, value: int | bytes | str) -> bytes:
        if isinstance(value, int):
            return bytes([number << 3, value]) if number < 16 else bytes([number << 3 & 127 | 128, number >> 4, value])
        data = value.encode() if isinstance(value, str) else value
        size = bytes([len(data)]) if len(data) < 128 else bytes([len(data) & 127 | 128, len(data) >> 7])
        return bytes([number << 3 | 2]) + size + data

    def tensor(name: str, *shape: int) -> bytes:
        sides = b"".join(
            field(1, b"\x08" + (bytes([side]) if side < 128 else bytes([side & 127 | 128, side >> 7])))
            for side in shape
        )
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, sides)))

    axes = field(1, "axes") + field(8, 1) + field(20, 7)
    keep = field(1, "keepdims") + field(3, 0) + field(20, 2)
    node = field(1, "x") + field(2, "y") + field(4, "ReduceMean") + field(5, axes) + field(5, keep)
    inside = field(11, tensor("x", 1, 3, 384, 384)), field(12, tensor("y", 1, 384, 384))
    graph = field(1, node) + field(2, "g") + inside[0] + inside[1]
    path.write_bytes(field(1, 7) + field(7, graph) + field(8, field(2, 11)))
    return path


def test_depth_networks_as_onnx_and_what_is_no_network(tmp_path: Path) -> None:
    made = onnx_of_mean(tmp_path / "depth.onnx")
    _, findings = mattes(frames(4), Params(depth_model=made))
    assert findings.depth == "model depth.onnx"
    for name in ("broken.onnx", "broken.pt"):
        (tmp_path / name).write_bytes(b"no network")
        with pytest.raises(MediaError, match=name):
            mattes(frames(4), Params(depth_model=tmp_path / name))


@pytest.mark.parametrize(("codec", "layout"), [("libx264", "yuv420p"), ("ffv1", "yuv422p10")])
def test_depth_from_a_clip(codec: str, layout: str, tmp_path: Path) -> None:
    def plane(number: int, width: int, height: int, layout: str, change: float = 0.1) -> tuple[np.ndarray, ...]:
        bits = bits_of(layout)
        planes = [np.full(size, 2.0 ** (bits - 1)) for size in sizes(layout, width, height)]
        planes[0][:] = 0.3 * 2**bits
        planes[0][truth(number)] = (0.45 + change * number) * 2**bits
        return tuple(one.astype(np.uint8 if bits == 8 else np.uint16) for one in planes)

    def flat(*said: Any) -> tuple[np.ndarray, ...]:
        return plane(*said, change=0.0)  # type: ignore[misc]

    told = []
    for name, picture in (("nearing.mkv", plane), ("flat.mkv", flat)):
        depth = write(tmp_path / name, codec=codec, layout=layout, width=W, height=H, frames=4, picture=picture).path
        _, findings = mattes(frames(4), Params(depth=depth, depth_influence=1.0))
        assert name in findings.depth
        told.append((findings.start, findings.depth_share))
    assert told[0][0] == "motion" and told[0][1] >= 0.5
    assert told[1] == ("nothing", 0.0)
    with pytest.raises(SettingsError, match="holds 4 frames"):
        mattes(frames(6), Params(depth=depth))


def test_depth_from_a_sequence(tmp_path: Path) -> None:
    made = frames(4)
    for number in range(4):
        plane = np.full((H, W), 20000, np.uint16)
        plane[truth(number)] = 30000 + 4000 * number
        cv2.imwrite(str(tmp_path / f"z.{number:04d}.png"), plane)
    _, findings = mattes(made, Params(depth=tmp_path / "z.%04d.png"))
    assert findings.start == "motion" and "z.%04d.png" in findings.depth and findings.depth_share >= 0.5
    (tmp_path / "z.0003.png").unlink()
    with pytest.raises(SettingsError, match="holds 3 frames"):
        mattes(made, Params(depth=tmp_path / "z.%04d.png"))
    with pytest.raises(MediaError, match="depth"):
        mattes(made, Params(depth=tmp_path / "none.mov"))


@pytest.mark.footage
@pytest.mark.parametrize(("name", "number", "least"), [("dog", 0, 0.75), ("parkour", 12, 0.7), ("bmx-trees", 24, 0.6)])
def test_a_box_is_enough_on_real_footage(name: str, number: int, least: float, tmp_path: Path) -> None:
    """Most of such a box is background, some of it in the target's own colors."""
    folder = shared("vos", "davis", name)
    right = cv2.imread(str(folder / f"masks/{number:05d}.png"), 0) > 127
    around = slice(max(0, number - 12), number + 13)
    pictures = [cv2.imread(str(path))[..., ::-1] for path in sorted((folder / "frames").glob("*.jpg"))[around]]
    made = [
        Frame(torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1).contiguous(), Fraction(i, 25))
        for i, picture in enumerate(pictures)
    ]
    rows, columns = np.nonzero(right)
    box = [int(columns.min()) - 4, int(rows.min()) - 4, int(columns.max()) + 5, int(rows.max()) + 5]
    at = number - around.start
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [{"frame": at, "box": box}]}))
    found, _ = mattes(made, Params(prior=tmp_path / "keys.json"))
    assert overlap(found[at], right) > least


@pytest.mark.footage
@pytest.mark.parametrize("name", ["dog", pytest.param("parkour", marks=pytest.mark.nightly)])
def test_real_footage_beats_the_bare_difference(name: str, tmp_path: Path) -> None:
    folder = shared("vos", "davis", name)
    masks = [cv2.imread(str(folder / f"masks/{i:05d}.png"), 0)[::2, ::2] > 127 for i in range(6)]
    made = []
    for i in range(6):
        picture = cv2.imread(str(folder / f"frames/{i:05d}.jpg"))[..., ::-1]
        small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        made.append(Frame(torch.from_numpy(small).permute(2, 0, 1).contiguous(), Fraction(i, 25)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    prior = np.roll(cv2.dilate(masks[0].astype(np.uint8), kernel), (3, 3), (0, 1)) > 0
    found, _ = mattes(made, Params(prior=paint(tmp_path / "mask.png", prior)))
    height, width = found[0].shape[1:]
    assert np.mean([overlap(m, right[:height, :width]) for m, right in zip(found, masks, strict=True)]) > 0.75


def _outlined(name: str, number: int, picture: np.ndarray) -> np.ndarray:
    """A mask drawn by hand (corners in pixels), its rim laid on the picture by GrabCut within 3 pixels."""
    corners = json.loads(Path(__file__).with_name("cutout_outlines.json").read_text())[name][str(number)]
    mask = cv2.fillPoly(np.zeros(picture.shape[:2], np.uint8), [np.array(corners)], 1)
    square = np.ones((7, 7), np.uint8)
    labels = np.where(mask > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[cv2.erode(mask, square) > 0] = cv2.GC_FGD
    labels[cv2.dilate(mask, square) == 0] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))


@pytest.mark.footage
@pytest.mark.nightly
@pytest.mark.parametrize(("name", "least"), [("goat", 0.6), ("soapbox", 0.6), ("dance-twirl", 0.4)])
def test_clips_that_the_bench_does_not_report(name: str, least: float, tmp_path: Path) -> None:
    """What cutout was developed on; the four sequences of the bench stay a test."""
    path = shared("video", f"davis_{name}_854x480.mp4")
    made = list(reader.open(path).frames(0, 21))
    pictures = [(frame.pixels.permute(1, 2, 0).numpy().clip(0, 1) * 255).astype(np.uint8) for frame in made]
    pictures = [np.ascontiguousarray(one[..., ::-1]) for one in (pictures[0], pictures[20])]
    first, last = _outlined(name, 0, pictures[0]), _outlined(name, 20, pictures[1])
    wide = cv2.dilate(first.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17))) > 0
    found, _ = mattes(made, Params(prior=paint(tmp_path / "mask.png", np.roll(wide, (4, -4), (0, 1)))))
    assert overlap(found[0], first) > overlap(torch.from_numpy(wide)[None], first) + 0.05
    assert overlap(found[20], last) > least


# ---- thin parts

TALL, WIDE = 240, 320


def ball_on_a_rope(number: int, ball: bool = True) -> tuple[Frame, np.ndarray, np.ndarray]:
    """A ball that swings on a rope in front of a mottled ground: the frame, the ball's mask, the rope's."""
    rng = np.random.default_rng(5)
    picture = cv2.GaussianBlur(rng.normal(0, 1, (TALL, WIDE)), (0, 0), 3)[..., None] * 0.4 + (0.25, 0.45, 0.45)
    end = (90 + 4 * number, 170 - number)
    round_part, rope = np.zeros((TALL, WIDE), np.uint8), np.zeros((TALL, WIDE), np.uint8)
    cv2.line(rope, end, (260 + number, 0), 1, 3)
    if ball:
        cv2.circle(round_part, end, 40, 1, -1)
    for part, color in ((rope, (0.85, 0.8, 0.7)), (round_part, (0.8, 0.4, 0.2))):
        picture[part > 0] = color
    noise = np.random.default_rng(number).normal(0, 0.01, picture.shape)
    frame = Frame(torch.from_numpy((picture + noise).astype(np.float32)).permute(2, 0, 1), Fraction(number, 25))
    return frame, round_part > 0, (rope > 0) & (round_part == 0)


def painted(mask: np.ndarray) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))) > 0


def covered(matte: torch.Tensor, rope: np.ndarray) -> tuple[float, float]:
    """How much of a rope is in the matte, and how much of the matte around it is rope, a pixel aside."""
    found, near = matte[0].numpy() > 0.5, cv2.dilate(rope.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    around = cv2.dilate(rope.astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
    return float(found[rope].mean()), float((found & near).sum() / max((found & around).sum(), 1))


@pytest.mark.parametrize("edge", ["guided", "closed-form"])
def test_a_rope_is_cut_out_with_the_ball_that_hangs_on_it(tmp_path: Path, edge: str) -> None:
    made = [ball_on_a_rope(number) for number in range(8)]
    prior = paint(tmp_path / "mask.png", painted(made[0][1] | made[0][2]))
    pictures = [frame for frame, _, _ in made]
    found, findings = mattes(pictures, Params(prior=prior, edge=edge))
    for matte, (_, ball, rope) in zip(found, made, strict=True):
        away = rope & ~painted(ball)
        held, right = covered(matte, away)
        assert held > 0.85 and right > 0.8
        assert float((matte[0].numpy() > 0.5)[ball].mean()) > 0.95
    assert "1 thin part is followed as a line" in findings.note


def test_what_has_the_color_of_a_rope_beside_it_stays_out() -> None:
    frame, _, rope = ball_on_a_rope(0, ball=False)
    off = cv2.distanceTransform((~rope).astype(np.uint8), cv2.DIST_L2, 5)
    beside = torch.from_numpy((off > 0) & (off < 7) & (np.mgrid[0:TALL, 0:WIDE][1] < 140))
    frame.pixels[:, beside] = torch.tensor([0.84, 0.79, 0.7])[:, None]
    signed = np.where(rope, 1.0, 0.5 - off).astype(np.float32)
    nothing = np.full_like(signed, -30)

    def spilled(planes: np.ndarray) -> float:
        return float(matte_of(frame, planes, Params())[off > 2.5].sum())

    assert spilled(np.stack((nothing, signed))) < 0.1 * spilled(signed[None])


@pytest.mark.footage
def test_the_lines_of_a_kite_are_cut_out_of_real_footage(tmp_path: Path) -> None:
    folder = shared("vos", "davis", "kite-surf")
    masks = [cv2.imread(str(folder / f"masks/{i:05d}.png"), 0) > 127 for i in range(3)]
    made = []
    for i in range(3):
        picture = cv2.imread(str(folder / f"frames/{i:05d}.jpg"))[..., ::-1].astype(np.float32) / 255
        made.append(Frame(torch.from_numpy(picture).permute(2, 0, 1).contiguous(), Fraction(i, 25)))
    prior = paint(tmp_path / "mask.png", np.roll(painted(masks[0]), (3, 3), (0, 1)))
    with_lines, without = (mattes(made, Params(prior=prior, thin=thin))[0] for thin in (True, False))
    for one, other, right in zip(with_lines, without, masks, strict=True):
        assert overlap(one, right) > overlap(other, right) + 0.03


def test_a_rope_alone_is_a_target_too(tmp_path: Path) -> None:
    made = [ball_on_a_rope(number, ball=False) for number in range(6)]
    found, findings = mattes(
        [frame for frame, _, _ in made], Params(prior=paint(tmp_path / "mask.png", painted(made[0][2])))
    )
    for matte, (_, _, rope) in zip(found, made, strict=True):
        held, right = covered(matte, rope)
        assert held > 0.85 and right > 0.85
    assert min(findings.confidence) > 0.5


def test_a_rope_between_two_keys_is_followed_from_the_nearer_one(tmp_path: Path) -> None:
    made = [ball_on_a_rope(number) for number in range(9)]
    for number in (0, 8):
        paint(tmp_path / f"mask.{number:04}.png", painted(made[number][1] | made[number][2]))
    found, _ = mattes([frame for frame, _, _ in made], Params(prior=tmp_path / "mask.%04d.png"))
    assert (
        min(covered(matte, rope & ~painted(ball))[0] for matte, (_, ball, rope) in zip(found, made, strict=True)) > 0.85
    )
