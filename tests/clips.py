"""Synthetic clips whose right answer is known: every code value, time, sample of sound and tag is chosen here.

They are written with PyAV directly, from code values, so that nothing of Answerprint stands between them and the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph

Planes = tuple[np.ndarray[Any, Any], ...]
Picture = Callable[
    [int, int, int, str], Planes
]  # number, width, height, layout -> planes, Y Cb Cr or R G B, then alpha

# H.273 numbers of the names used here.
PRIMARIES = {"bt709": 1, "bt470bg": 5, "smpte170m": 6, "bt2020": 9, "unknown": 2}
TRANSFERS = {"bt709": 1, "smpte170m": 6, "smpte2084": 16, "arib-std-b67": 18, "unknown": 2}
MATRICES = {"rgb": 0, "bt709": 1, "bt470bg": 5, "smpte170m": 6, "bt2020nc": 9, "unknown": 2}
RANGES = {"limited": 1, "full": 2, "unknown": 0}
TONE = 1000  # Hz of the sound


@dataclass(frozen=True)
class Sound:
    """A track with a ramp of samples: sample n of channel c is known (see `samples`)."""

    codec: str = "pcm_s16le"
    rate: int = 48000
    layout: str = "stereo"
    language: str = "und"


@dataclass(frozen=True)
class Made:
    """What was written."""

    path: Path
    planes: list[Planes]
    times: list[Fraction]
    rate: Fraction
    sounds: Sequence[Sound] = field(default_factory=tuple)


def bits_of(layout: str) -> int:
    """Bits per sample of a planar layout."""
    found = re.search(r"(?:p|gray)(\d+)$", layout)
    return int(found[1]) if found else 8


def sizes(layout: str, width: int, height: int) -> list[tuple[int, int]]:
    """(height, width) of every plane."""
    across, down = (1, 1) if "420" in layout else (1, 0) if "422" in layout else (2, 0) if "411" in layout else (0, 0)
    count = (1 if layout.startswith("gray") else 3) + ("yuva" in layout or "gbra" in layout)
    chroma = (-(-height >> down), -(-width >> across))
    return [chroma if number in (1, 2) else (height, width) for number in range(count)]


def gradient(number: int, width: int, height: int, layout: str) -> Planes:
    """A slope that moves by 2 pixels a frame, over nearly all codes, sub-blacks and super-whites included."""
    bits = bits_of(layout)
    top = (1 << bits) - 1
    planes = []
    for plane, (lines, columns) in enumerate(sizes(layout, width, height)):
        y, x = np.mgrid[0:lines, 0:columns].astype(np.float64)
        wave = 0.5 + 0.5 * np.sin((x * (1 + plane) + 2 * number) * 6.28 / columns + y * 3.0 / lines * (2 - plane))
        planes.append(np.rint(0.02 * top + wave * 0.96 * top).astype(np.uint8 if bits == 8 else np.uint16))
    return tuple(planes)


def noise(number: int, width: int, height: int, layout: str) -> Planes:
    """Any code at any place: nothing can be guessed from a neighbor."""
    bits = bits_of(layout)
    rng = np.random.default_rng(number)
    kind = np.uint8 if bits == 8 else np.uint16
    return tuple(rng.integers(0, 1 << bits, size).astype(kind) for size in sizes(layout, width, height))


def flat(*codes: int) -> Picture:
    """Pictures of one color, by its codes."""

    def picture(number: int, width: int, height: int, layout: str) -> Planes:
        kind = np.uint8 if bits_of(layout) == 8 else np.uint16
        return tuple(np.full(size, code, kind) for size, code in zip(sizes(layout, width, height), codes, strict=False))

    return picture


def bars(number: int, width: int, height: int, layout: str) -> Planes:
    """A test card: eight bars (white, yellow, cyan, green, magenta, red, blue, black at 75 %), a ramp, a moving square.

    For Y'CbCr layouts the codes are limited-range BT.709.
    """
    bits = bits_of(layout)
    x = np.arange(width) * 8 // width
    bars = 0.75 * np.stack([1 - (x >> 1) % 2, 1 - (x >> 2) % 2, 1 - x % 2]).astype(np.float64)
    rgb = np.repeat(bars[:, None, :], height, axis=1)
    rgb[:, height * 3 // 4 :] = np.linspace(0, 1, width)
    left = (2 * number) % max(width - 8, 1)
    rgb[:, height // 4 : height // 4 + 8, left : left + 8] = 0.5
    if layout.startswith(("gbr", "gray")):
        codes = np.rint(rgb * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)
        planes = [codes[0]] if layout.startswith("gray") else list(codes)
    else:
        planes = _limited_709(rgb, layout)
    if len(sizes(layout, width, height)) in (2, 4):
        planes.append(np.full((height, width), (1 << bits) - 1, planes[0].dtype))
    return tuple(planes)


def _limited_709(rgb: np.ndarray[Any, Any], layout: str) -> list[np.ndarray[Any, Any]]:
    bits = bits_of(layout)
    red, green, blue = rgb
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    numbers = [16 + 219 * y, 128 + 224 * (blue - y) / 1.8556, 128 + 224 * (red - y) / 1.5748]
    planes = []
    for plane, (lines, columns) in zip(numbers, sizes(layout, y.shape[1], y.shape[0]), strict=False):
        step = (-(-plane.shape[0] // lines), -(-plane.shape[1] // columns))
        codes = np.rint(plane[:: step[0], :: step[1]] * (1 << (bits - 8)))
        planes.append(codes.astype(np.uint8 if bits == 8 else np.uint16))
    return planes


def interlaced(picture: Picture, first: str = "tff") -> Picture:
    """Weaves fields of successive moments: the field that is first shows moment 2n, the other 2n + 1."""

    def woven(number: int, width: int, height: int, layout: str) -> Planes:
        moments = [picture(2 * number + later, width, height, layout) for later in (0, 1)]
        top, bottom = moments if first == "tff" else moments[::-1]
        planes = []
        for upper, lower in zip(top, bottom, strict=True):
            both = upper.copy()
            both[1::2] = lower[1::2]
            planes.append(both)
        return tuple(planes)

    return woven


def variable(count: int, rate: Fraction = Fraction(30)) -> list[Fraction]:
    """Frame times of a phone: about `rate`, each a little early or late, in 1/90000 s."""
    ticks = [round(number * 90000 / rate) + (number * 37 % 7) * 91 for number in range(count)]
    return [Fraction(tick - ticks[0], 90000) for tick in ticks]


def samples(sound: Sound, start: int, count: int) -> np.ndarray[Any, Any]:
    """int16 (channels, count): channel 0 counts samples (modulo 20000), the others are a tone."""
    number = np.arange(start, start + count)
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[sound.layout]
    tone = np.rint(8000 * np.sin(number * 2 * np.pi * TONE / sound.rate))
    return np.stack([number % 20000 if channel == 0 else tone for channel in range(channels)]).astype(np.int16)


def card(path: Path, **said: Any) -> Path:
    """Writes the test card as a clip (see `write`) and gives its path."""
    return write(path, **({"picture": bars} | said)).path


def write(
    path: Path,
    *,
    codec: str = "ffv1",
    layout: str = "yuv422p10",
    width: int = 96,
    height: int = 64,
    frames: int = 12,
    rate: Fraction | int = Fraction(25),
    times: Sequence[Fraction] | None = None,
    picture: Picture = gradient,
    primaries: str = "bt709",
    transfer: str = "bt709",
    matrix: str = "bt709",
    range: str = "limited",
    siting: str | None = None,
    sar: Fraction = Fraction(1),
    field_order: str = "progressive",
    timecode: str | None = None,
    reel: str | None = None,
    sounds: Sequence[Sound] = (),
    subtitles: Sequence[tuple[Fraction, Fraction, str]] = (),
    chapters: Sequence[tuple[Fraction, Fraction, str]] = (),
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Made:
    """Writes a clip; the container goes by the ending.

    Args:
        path: file to make.
        codec: FFmpeg's encoder.
        layout: planar pixel format; the codes of `picture` are in it.
        times: of every frame in seconds; evenly spaced by `rate` when absent.
        picture: makes the planes of a frame.
        siting: chroma location tag.
        sar: sample aspect ratio (mkv cannot hold it for FFV1; use mov or mp4).
        sounds: tracks as long as the pictures.
        subtitles: (start, stop, text), for .mkv, as SubRip.
        chapters: (start, stop, title).
    """
    rate = Fraction(rate)
    times = [number / rate for number in np.arange(frames).tolist()] if times is None else list(times)
    base = Fraction(1, 90000) if any((time * rate).denominator != 1 for time in times) else 1 / rate
    muxing = {"movflags": "+write_colr", "video_track_timescale": str(base.denominator)}
    container = av.open(str(path), "w", container_options=muxing if path.suffix in (".mov", ".mp4") else {})
    container.metadata.update(metadata or {})
    more = dict(options or {}) | ({"chroma_sample_location": siting} if siting else {})
    stream: Any = container.add_stream(codec, rate=rate, options=more)
    stream.width, stream.height, stream.pix_fmt = width, height, _native(layout)
    context = stream.codec_context
    context.time_base, context.sample_aspect_ratio = base, sar
    context.field_order = {"progressive": 1, "tff": 2, "bff": 3}[field_order]
    numbers = PRIMARIES[primaries], TRANSFERS[transfer], MATRICES[matrix], RANGES[range]
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = numbers
    if field_order != "progressive" and codec in ("prores_ks", "libx264", "mpeg2video"):
        context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
    if timecode is not None:
        (container if path.suffix == ".mkv" else stream).metadata["timecode"] = timecode
    if reel is not None:
        stream.metadata["reel_name"] = reel
    if chapters:
        container.set_chapters(_chapters(chapters))
    tracks = [_sound_stream(container, sound) for sound in sounds]
    texts: Any = container.add_mux_stream("subrip") if subtitles else None
    if texts is not None:
        texts.time_base = Fraction(1, 1000)
    made: list[Planes] = []
    marks: list[Graph] = []
    for number, time in enumerate(times):
        planes = picture(number, width, height, layout)
        made.append(planes)
        frame = _frame(planes, width, height, layout)
        frame.pts, frame.time_base = round(time / base), base
        frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = numbers
        container.mux(stream.encode(_marked(frame, field_order, base, marks)))
    container.mux(stream.encode(None))
    duration = times[-1] + 1 / rate
    for sound, track in zip(sounds, tracks, strict=True):
        _write_sound(container, sound, track, round(duration * sound.rate))
    for start, stop, text in subtitles:
        _write_subtitle(container, texts, start, stop, text)
    container.close()
    return Made(path, made, list(times), rate, sounds)


def _native(layout: str) -> str:
    return f"{layout}le" if bits_of(layout) > 8 else layout


def _frame(planes: Planes, width: int, height: int, layout: str) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, _native(layout))
    if layout.startswith("gbr"):
        planes = (planes[1], planes[2], planes[0], *planes[3:])
    for plane, codes in zip(frame.planes, planes, strict=True):
        lines = np.frombuffer(plane, dtype=codes.dtype).reshape(plane.height, plane.line_size // codes.itemsize)
        lines[: codes.shape[0], : codes.shape[1]] = codes
    return frame


def _marked(frame: av.VideoFrame, field_order: str, base: Fraction, kept: list[Graph]) -> av.VideoFrame:
    """The frame with its field order on it, which PyAV has no setter for."""
    if field_order == "progressive":
        return frame
    if not kept:
        graph = Graph()
        source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base)
        graph.link_nodes(source, graph.add("setfield", field_order), graph.add("buffersink"))
        graph.configure()
        kept.append(graph)
    kept[0].push(frame)
    marked: Any = kept[0].pull()
    marked.pts, marked.time_base = frame.pts, frame.time_base
    return marked


def _chapters(chapters: Sequence[tuple[Fraction, Fraction, str]]) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "start": round(start * 1000),
            "end": round(stop * 1000),
            "time_base": Fraction(1, 1000),
            "metadata": {"title": title},
        }
        for number, (start, stop, title) in enumerate(chapters, 1)
    ]


def _sound_stream(container: Any, sound: Sound) -> Any:
    stream = container.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)
    stream.metadata["language"] = sound.language
    return stream


def _write_sound(container: Any, sound: Sound, stream: Any, count: int) -> None:
    for start in range(0, count, 1024):
        part = samples(sound, start, min(1024, count - start))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="s16p", layout=sound.layout)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, start, Fraction(1, sound.rate)
        context = stream.codec_context
        for converted in av.AudioResampler(context.format, context.layout, context.sample_rate).resample(frame):
            container.mux(stream.encode(converted))
    container.mux(stream.encode(None))


def _write_subtitle(container: Any, stream: Any, start: Fraction, stop: Fraction, text: str) -> None:
    packet = av.Packet(text.encode())
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = round(start * 1000)
    packet.duration = round((stop - start) * 1000)
    container.mux(packet)
