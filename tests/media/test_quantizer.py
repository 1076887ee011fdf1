"""The quantizer of every block, for clips whose coder was told it."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from answerprint.media import container, quantizer, reader

HEIGHT, WIDTH = 72, 112


def picture(number: int) -> np.ndarray:
    """Noise on the left half, a slow ramp on the right, moving."""
    rng = np.random.default_rng(number)
    luma = np.tile(np.linspace(60, 90, WIDTH), (HEIGHT, 1)) + number
    luma[:, : WIDTH // 2] += rng.normal(0, 40, (HEIGHT, WIDTH // 2))
    flat = np.full(HEIGHT * WIDTH // 2, 128)
    return np.concatenate([luma.ravel(), flat]).clip(16, 235).astype(np.uint8).reshape(-1, WIDTH)


def coded(codec: str, options: dict[str, str], count: int = 6) -> list[np.ndarray | None]:
    packed = io.BytesIO()
    with av.open(packed, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = WIDTH, HEIGHT, "yuv420p", options
        stream.codec_context.thread_count = 1
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number), format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    packed.seek(0)
    with av.open(packed) as container:
        quantizer.request_export(container.streams.video[0])
        return [quantizer.step_map(frame) for frame in container.decode(video=0)]


def test_h264_of_one_quantizer_has_that_step_everywhere() -> None:
    for cells in coded("libx264", {"x264-params": "qp=28:aq-mode=0:ipratio=1:pbratio=1"}):
        assert cells is not None and cells.shape == (HEIGHT // 8, WIDTH // 8)
        # ITU-T H.264: 0.625 at 0, doubled with every 6.
        assert cells == pytest.approx(0.625 * 2 ** (28 / 6), rel=1e-5)


def test_blocks_with_detail_are_quantized_more_coarsely_where_the_coder_says_so() -> None:
    first = coded("libx264", {"x264-params": "crf=28:aq-mode=1:aq-strength=1.5"})[0]
    assert first is not None
    assert first[:, : WIDTH // 32].mean() > 1.5 * first[:, -WIDTH // 32 :].mean()


def test_mpeg2_of_one_scale_has_that_step_everywhere() -> None:
    first = coded("mpeg2video", {"qmin": "8", "qmax": "8", "b": "1000000000"})[0]
    assert first is not None and len(np.unique(first)) == 1
    finer = coded("mpeg2video", {"qmin": "4", "qmax": "4", "b": "1000000000"})[0]
    assert finer is not None and first.mean() / finer.mean() == pytest.approx(2, rel=0.01)


def test_vp9_tells_every_place() -> None:
    for cells in coded("libvpx-vp9", {"crf": "40", "b": "0", "cpu-used": "8", "lag-in-frames": "0"}):
        assert cells is not None and cells.shape == (HEIGHT // 8, WIDTH // 8) and cells.min() > 0


def test_a_coder_that_does_not_tell_gives_none() -> None:
    assert all(cells is None for cells in coded("ffv1", {}))


def test_frames_know_it_however_they_were_reached(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "24", "g": "4"}
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(picture(number), format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = reader.open(path)
    whole = [frame.origin for frame in clip.frames(quantizers=True)]
    (ninth,) = (frame.origin for frame in clip.frames(9, 10, quantizers=True))
    assert ninth is not None and ninth.steps is not None
    assert whole[9] is not None and whole[9].steps is not None and whole[9].steps.equal(ninth.steps)
    assert any(not ninth.steps.equal(each.steps) for each in whole if each is not None and each.steps is not None)
    assert all(frame.origin is not None and frame.origin.steps is None for frame in clip.frames())


def test_they_are_the_same_whatever_else_goes_on(tmp_path: Path) -> None:
    """With threads by frame, one decode in five gave blocks of other pictures, or none."""
    rng = np.random.default_rng(0)
    wall = cv2.GaussianBlur(rng.integers(0, 255, (320, 450), np.uint8), (0, 0), 1.5)
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = 320, 240, "yuv420p", {"crf": "30"}
        for number in range(24):
            seen = wall[3 * number : 3 * number + 240, 5 * number : 5 * number + 320]
            frame = av.VideoFrame.from_ndarray(np.concatenate([seen, np.full((120, 320), 128, np.uint8)]), "yuv420p")
            frame.pts = number
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))

    def told(_: int) -> list[bytes]:
        with av.open(str(path)) as opened:
            stream = container.video_stream(opened, str(path))
            quantizer.request_export(stream)
            found = [quantizer.step_map(frame) for frame in opened.decode(stream)]
        return [cells.tobytes() for cells in found if cells is not None]

    with ThreadPoolExecutor(6) as pool:
        first, *others = pool.map(told, range(40))
    assert len(first) == 24 and all(other == first for other in others)
