"""Septuplets: at the rate that was drawn, in place with the master, the same however often the work was stopped."""

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from answerprint import cli
from answerprint.errors import TrainingError
from answerprint.media import reader
from answerprint.train import septuplets
from footage import shared

SMALL = {"height": 64, "width": 96, "crops": 2, "groups": 4}


def master(
    path: Path, count: int = 16, seed: int = 0, layout: str = "yuv422p10le", size: tuple[int, int] = (144, 176)
) -> Path:
    """A textured card that pans under a little grain, 10 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = rng.random((12, 20, 3), dtype=np.float32)
    picture = cv2.resize(coarse, (300, 180), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = *size, layout
        for t in range(count):
            part = picture[4 : 4 + size[0], 2 * t : 2 * t + size[1]] + rng.normal(0, 0.01, (*size, 3))
            code = np.ascontiguousarray((part.clip(0, 1) * 65535).astype(np.uint16))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(code, "rgb48le").reformat(format=layout)))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masters")
    master(folder / "one.mkv", seed=1)
    master(folder / "two.mkv", seed=2)
    return folder


def made(masters: Path, folder: Path, **said: Any) -> tuple[list[dict[str, Any]], list[str]]:
    lines = []
    return septuplets.make([masters], folder, septuplets.Params.of(SMALL | said), lines.append), lines


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg2"])
def test_every_codec_meets_the_rate_and_keeps_the_picture(codec: str, tmp_path: Path) -> None:
    clip = reader.open(str(master(tmp_path / "a.mkv")))
    color = clip.info.assumed
    from answerprint.media.planes import from_rgb

    frames = [frame.pixels for frame in clip.frames(0, 7)]
    offered = [tuple(plane.numpy() for plane in from_rgb(frame, "yuv420p", color)) for frame in frames]
    errors = []
    for wanted in (0.3, 0.6):
        coded, rate, *_ = septuplets.at_rate(offered, codec, wanted)
        # MPEG-2 has whole steps only, and the first of them are large.
        assert rate == pytest.approx(wanted, rel=0.3 if codec == "mpeg2" else 0.05)
        assert [plane.shape for plane in coded[3]] == [(144, 176), (72, 88), (72, 88)] and len(coded) == 7
        errors.append(np.mean([np.abs(a[0].astype(int) - b[0]).mean() for a, b in zip(offered, coded, strict=True)]))
    assert errors[1] < errors[0] < 8


def test_the_coded_middle_frame_lies_on_the_target(masters: Path, tmp_path: Path) -> None:
    rows, _ = made(masters, tmp_path, min_rate=1.0, max_rate=1.5, hevc=0, mpeg2=0)
    kept = septuplets.read(tmp_path / rows[0]["samples"][0])
    coded, target = kept.coded(), kept.master()
    assert coded.shape == (7, 3, 64, 96) and target.shape == (3, 64, 96)
    errors = [float((frame - target).square().mean()) for frame in coded]
    assert errors.index(min(errors)) == 3
    place = kept.facts
    frame = next(reader.open(place["clip"]).frames(place["frame"] + 3, place["frame"] + 4)).pixels
    exact = frame[:, place["top"] : place["top"] + 64, place["left"] : place["left"] + 96]
    assert float((target - exact).abs().max()) < 2 / 65535 * 2
    assert len(torch.unique(target[0])) > 256, "more levels than 8 bits have"


def test_rates_are_drawn_uniformly_and_crops_cover_half(masters: Path, tmp_path: Path) -> None:
    drawn = [septuplets._draw_codec(np.random.default_rng([1, n]), septuplets.Params()) for n in range(2000)]
    rates = np.array([rate for codec, rate in drawn if codec != "mpeg2"])
    assert rates.min() >= 0.0417 and rates.max() <= 0.2504
    assert rates.mean() == pytest.approx((0.0417 + 0.2504) / 2, rel=0.05)
    assert rates.std() == pytest.approx((0.2504 - 0.0417) / 12**0.5, rel=0.05)
    shares = {codec: sum(c == codec for c, _ in drawn) / 2000 for codec in ("h264", "hevc", "mpeg2")}
    assert shares["h264"] == pytest.approx(0.6, abs=0.04) and shares["hevc"] == pytest.approx(0.2, abs=0.03)
    rows, _ = made(masters, tmp_path, groups=1, crops=0, height=32, width=48)
    assert len(rows[0]["samples"]) == round(144 * 176 / (32 * 48) / 2)


def test_stopping_going_on_and_enlarging_equal_one_go(
    masters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(masters, tmp_path / "whole")
    plain, calls = septuplets.at_rate, []

    def killed(*given: Any) -> Any:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return plain(*given)

    monkeypatch.setattr(septuplets, "at_rate", killed)
    with pytest.raises(KeyboardInterrupt):
        made(masters, tmp_path / "parts")
    monkeypatch.setattr(septuplets, "at_rate", plain)
    with (tmp_path / "parts" / septuplets.GROUPS).open("a") as groups:
        groups.write('{"group": 2, "cut of')  # what a kill in the middle of a line leaves
    made(masters, tmp_path / "parts", groups=3)
    rows, lines = made(masters, tmp_path / "parts")
    assert len(lines) == 1 and [row["group"] for row in rows] == [0, 1, 2, 3]
    for split in ("training", "validation", "test"):
        ours, theirs = (septuplets.samples(tmp_path / each, split) for each in ("whole", "parts"))
        assert [path.name for path in ours] == [path.name for path in theirs]
        for one, other in zip(ours, theirs, strict=True):
            a, b = septuplets.read(one), septuplets.read(other)
            assert all(np.array_equal(p, q) for p, q in zip((*a.planes, a.target), (*b.planes, b.target), strict=True))


def test_the_manifest_says_where_all_comes_from(masters: Path, tmp_path: Path) -> None:
    made(masters, tmp_path, licence="CC0", source="our masters")
    manifest = json.loads((tmp_path / septuplets.MANIFEST).read_text())
    for row in manifest["samples"]:
        assert (row["licence"], row["source"], len(row["sha256"])) == ("CC0", "our masters", 64)
        assert row["bits"] == 10 and all((tmp_path / name).is_file() for name in row["samples"])
        assert all(name.startswith(row["split"]) for name in row["samples"])
    splits = {row["sha256"]: row["split"] for row in manifest["samples"]}
    assert all(splits[row["sha256"]] == row["split"] for row in manifest["samples"]), "a clip is in one split"


def test_what_cannot_be_used_is_refused_with_the_reason(
    masters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eight = master(tmp_path / "eight.mkv", layout="yuv420p")
    short = master(tmp_path / "short.mkv", count=6)
    for arguments, words in (
        ([str(eight), "--height", "64", "--width", "96"], "8 bits, so it cannot teach more; --min-bits 8"),
        ([str(short), "--height", "64", "--width", "96"], "no shot of 7 frames"),
        ([str(short)], "176x144 is too small, 448x256 is needed"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["dataset", "septuplets", *arguments, "-o", str(tmp_path / "set")])
        said = capsys.readouterr()
        assert words in said.out and "no master in there that can be used" in said.err
    made(masters, tmp_path / "set", groups=1)
    with pytest.raises(TrainingError, match="begun with other masters or settings"):
        made(masters, tmp_path / "set", groups=1, seed=7)
    with pytest.raises(TrainingError, match="lowest rate is above"):
        made(masters, tmp_path / "x", min_rate=0.5)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK nothing")
    with pytest.raises(TrainingError, match=r"broken\.npz: no septuplet"):
        septuplets.read(broken)


@pytest.mark.footage
def test_real_masters(tmp_path: Path) -> None:
    path = shared("video", "10bit", "window_1920x1080_hevc10.mp4")
    params = septuplets.Params(groups=1, crops=2, hevc=0, mpeg2=0)
    (row,) = septuplets.make([path], tmp_path, params, lambda line: None)
    assert row["bits a pixel"] == pytest.approx(row["wanted"], rel=0.04)
    assert row["quantizer"] > 0
    kept = septuplets.read(tmp_path / row["samples"][0])
    assert float(-10 * (kept.coded()[3] - kept.master()).square().mean().log10()) > 28
