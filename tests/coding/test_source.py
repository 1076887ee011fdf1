"""How hard a file was coded: rate and quantizer; measuring leaves the log level of the process alone."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
import pytest

from answerprint.coding.source import mean_step, measure_coding
from answerprint.media import reader


@pytest.fixture
def hevc(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=none", "qp": "30"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        rng = np.random.default_rng(1)
        for _ in range(4):
            picture = rng.integers(0, 256, (96, 160, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return path


class Slow:
    """A container whose packets wait until the other thread is at its own, or is not coming."""

    def __init__(self, container: Any, own: threading.Event, other: threading.Event) -> None:
        self.container, self.own, self.other = container, own, other

    def demux(self, stream: Any) -> Iterator[av.Packet]:
        self.own.set()
        self.other.wait(1.0)
        yield from self.container.demux(stream)


def test_two_threads_that_ask_leave_the_logging_of_the_process_as_it_was(hevc: Path) -> None:
    """One that began while the other was at it took the other's level for that of the process, and left it at that."""
    before = av.logging.get_level()
    begun, done, found = [threading.Event(), threading.Event()], threading.Event(), []

    def ask(own: threading.Event, other: threading.Event) -> None:
        with av.open(str(hevc)) as container:
            found.append(mean_step(Slow(container, own, other), container.streams.video[0], 4))

    first = threading.Thread(target=ask, args=(begun[0], begun[1]))
    second = threading.Thread(target=ask, args=(begun[1], done))
    first.start()
    begun[0].wait(10)
    second.start()
    first.join()
    done.set()
    second.join()
    try:
        assert av.logging.get_level() == before
    finally:
        av.logging.set_level(before)
    assert len(found) == 2 and found[0] == found[1] > 5


@pytest.mark.parametrize("ending", ["mkv", "ts", "mpg"])
def test_bits_a_pixel_are_those_of_the_picture_alone(tmp_path: Path, ending: str) -> None:
    """Sound was counted where the container knows no rate of the stream, and MPEG-2 told the ceiling it was given."""
    path = tmp_path / f"clip.{ending}"
    with av.open(str(path), "w") as container:
        options = {"maxrate": "8000000", "bufsize": "2000000", "qmin": "20", "qmax": "20"}
        video = container.add_stream("mpeg2video", rate=25, options=options)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        sound = container.add_stream("pcm_s16le" if ending == "mkv" else "mp2", rate=48000)
        y, x = np.mgrid[:96, :160]
        packets = []
        for number in range(12):
            picture = np.stack([(x + 3 * number) % 256, y, 255 - x], -1).astype(np.uint8)
            packets += video.encode(av.VideoFrame.from_ndarray(picture, "rgb24"))
        packets += video.encode(None)
        size = sum(packet.size for packet in packets)
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 23040), np.int16), "s16", "stereo")
        heard.rate, heard.pts = 48000, 0
        container.mux([*packets, *sound.encode(heard), *sound.encode(None)])
    found = measure_coding(reader.open(path)).bits_per_pixel
    assert found == pytest.approx(8 * size / (12 * 160 * 96), rel=0.02)
