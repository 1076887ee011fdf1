"""What is delivered: every frame at its time, with its tags, sound, chapters and timecode; whole, or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from time import sleep
from typing import Any

import av
import numpy as np
import pytest
import torch

from answerprint.errors import DeliveryError
from answerprint.frame import ColorTags, Frame
from answerprint.media import presets, reader
from answerprint.media.presets import PRESETS, Delivery
from answerprint.media.writer import files
from answerprint.media.writer.chunk import ChunkWriter
from answerprint.media.writer.direct import Writer
from answerprint.media.writer.join import join
from clips import Sound, flat, gradient, interlaced, samples, variable, write

HD = ColorTags("bt709", "bt709", "bt709", "limited", "left")
FILM = Fraction(24000, 1001)


def slopes(times: list[Fraction], width: int = 96, height: int = 64) -> Iterator[Frame]:
    """Frames that move, made here, without codes of a source."""
    x, y = (
        torch.linspace(0, 1, width).expand(height, width),
        torch.linspace(0, 1, height)[:, None].expand(height, width),
    )
    for number, time in enumerate(times):
        yield Frame(torch.stack([x, y, (x + y + number / 20) % 1]).contiguous(), time, HD)


def evenly(count: int, rate: Fraction = FILM) -> list[Fraction]:
    return [number / rate for number in range(count)]


def delivery_of(name: str, ending: str | None = None, **said: Any) -> Delivery:
    preset = PRESETS[name]
    layout = "yuv422p10" if preset.layout == "source" else preset.layout
    rgb = layout.startswith("gbr")
    values = {
        "preset": name, "ending": ending or preset.endings[0], "layout": layout, "rate": FILM, "time_base": 1 / FILM,
        "matrix": "rgb" if rgb else "bt709", "range": "full" if rgb else "limited",
    }  # fmt: skip
    return Delivery.model_validate(values | said)


def chunked(folder: Path, frames: list[Frame], delivery: Delivery, lengths: list[int]) -> list[Path]:
    """Chunks of the given lengths."""
    made, at = [], 0
    for number, length in enumerate(lengths):
        made.append(folder / f"chunk{number}")
        with ChunkWriter(made[-1], delivery) as chunk:
            for frame in frames[at : at + length]:
                chunk.write(frame)
        at += length
    return made


def shown(path: Path) -> list[Fraction]:
    """Times of the decoded frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [frame.pts * stream.time_base for frame in container.decode(stream)]


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["h264", "h264-10", "h265"])
def test_the_same_frames_are_the_same_bytes_every_time(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    card = torch.nn.functional.interpolate(
        torch.from_numpy(rng.normal(0.5, 0.2, (1, 3, 60, 80))).float(), scale_factor=6, mode="bicubic"
    )[0]
    pictures = [card[:, i : i + 180, 2 * i : 2 * i + 320].clamp(0, 1).contiguous() for i in range(24)]
    frames = [Frame(picture, time, HD) for picture, time in zip(pictures, evenly(24), strict=True)]
    delivery = delivery_of(name)
    made = {digest(chunked(tmp_path, frames, delivery, [24])[0]) for _ in range(10)}
    assert len(made) == 1


VIDEO = [(name, ending) for name, preset in PRESETS.items() if not preset.pictures for ending in preset.endings]


@pytest.mark.parametrize(("name", "ending"), VIDEO)
def test_every_preset_in_every_container(tmp_path: Path, name: str, ending: str) -> None:
    delivery = delivery_of(
        name, ending, primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", timecode="10:00:00:00",
        sar=Fraction(4, 3),
    )  # fmt: skip
    frames = list(slopes(evenly(7), 256, 128))
    out = tmp_path / f"out{ending}"
    notes = join(chunked(tmp_path, frames, delivery, [4, 3]), out, delivery, None, Fraction(0), 7 / FILM)
    tolerance = Fraction(1, 1000) if ending == ".mkv" else 0
    assert all(abs(a - b) <= tolerance for a, b in zip(shown(out), evenly(7), strict=True))
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if ending != ".avi":
            assert (context.color_primaries, context.color_trc, context.colorspace) == (9, 16, 9)
            labels = [track.metadata for track in container.streams] + [container.metadata]
            assert "10:00:00:00" in [tags.get("timecode") or tags.get("TIMECODE") for tags in labels]
        else:
            assert any("timecode" in note for note in notes) and any("color tags" in note for note in notes)
        if not any("aspect" in note for note in notes):
            assert stream.sample_aspect_ratio == Fraction(4, 3)
        assert stream.average_rate == FILM


@pytest.mark.parametrize(
    ("name", "tag"),
    [("prores-proxy", "apco"), ("prores-lt", "apcs"), ("prores", "apcn"), ("prores-hq", "apch"),
     ("prores-4444", "ap4h"), ("prores-4444xq", "ap4x"), ("h265", "hvc1")],
)  # fmt: skip
def test_other_tools_see_which_kind_it_is(tmp_path: Path, name: str, tag: str) -> None:
    delivery = delivery_of(name, ".mov")
    with Writer(tmp_path / "out.mov", delivery) as made:
        for frame in slopes(evenly(2)):
            made.write(frame)
    with av.open(str(tmp_path / "out.mov")) as container:
        assert container.streams.video[0].codec_context.codec_tag == tag


@pytest.mark.parametrize("name", ["ffv1", "prores-hq", "dnxhr-hqx", "exr", "dpx", "tiff", "png"])
def test_chunks_of_frames_that_stand_alone_are_the_whole(tmp_path: Path, name: str) -> None:
    """Cut anywhere and made at any time, the output is the same file to the byte."""
    delivery = delivery_of(name)
    frames = list(slopes(evenly(6), 256, 128))
    made = []
    for folder, lengths in (("a", [6]), ("b", [1, 3, 2])):
        if made and delivery.format.pictures:
            sleep(1.1)  # dates of files are told to the second
        (tmp_path / folder).mkdir()
        many = ".%04d" if delivery.format.pictures else ""
        out = tmp_path / folder / f"out{many}{delivery.ending}"
        join(chunked(tmp_path / folder, frames, delivery, lengths), out, delivery, None, Fraction(0), 6 / FILM)
        made.append([digest(file) for file in sorted((tmp_path / folder).glob("out*"))])
    assert made[0] == made[1]
    assert len(made[0]) == (6 if delivery.format.pictures else 1)


@pytest.mark.parametrize("name", ["h264", "h265-10", "av1"])
@pytest.mark.parametrize("uneven", [False, True])
def test_frames_that_lean_on_others_come_at_their_times(tmp_path: Path, name: str, uneven: bool) -> None:
    """B-frames over chunk borders, evenly and unevenly spaced: order, times and bytes."""
    times = variable(25) if uneven else evenly(25)
    base = Fraction(1, 90000) if uneven else 1 / FILM
    delivery = delivery_of(name, time_base=base, variable_rate=uneven)
    chunks = chunked(tmp_path, list(slopes(times)), delivery, [10, 1, 14])
    for out in (tmp_path / "a.mp4", tmp_path / "b.mp4"):
        assert join(chunks, out, delivery, None, Fraction(0), times[-1] + 1 / FILM) == []
    assert shown(tmp_path / "a.mp4") == times
    assert digest(tmp_path / "a.mp4") == digest(tmp_path / "b.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        decoded = [packet.dts for packet in container.demux(video=0) if packet.size]
    assert decoded == sorted(set(decoded))


def test_decoded_frames_of_a_chunk_are_those_of_its_place(tmp_path: Path) -> None:
    """What is shown at a time is the frame of that time: its gray level is its number."""
    frames = [Frame(torch.full((3, 64, 96), 0.1 + number / 40), time, HD) for number, time in enumerate(evenly(25))]
    delivery = delivery_of("h264")
    out = tmp_path / "out.mp4"
    join(chunked(tmp_path, frames, delivery, [7, 9, 9]), out, delivery, None, Fraction(0), 25 / FILM)
    levels = [float(frame.pixels.mean()) for frame in reader.open(out).frames()]
    assert levels == pytest.approx([0.1 + number / 40 for number in range(25)], abs=0.006)


def source_with_all(folder: Path, ending: str = ".mov") -> Path:
    """A second and a half at 29.97 with two sound tracks, chapters, metadata, drop-frame timecode, anamorphic."""
    made = write(
        folder / f"source{ending}", codec="prores_ks", rate=Fraction(30000, 1001), frames=45,
        width=256, height=128, sar=Fraction(10, 11),
        timecode="00:00:59;20", sounds=[Sound(), Sound("aac", language="ita")], metadata={"title": "A day"},
        chapters=[(Fraction(0), Fraction(1, 2), "one"), (Fraction(1, 2), Fraction(3, 2), "two")],
        matrix="smpte170m", primaries="smpte170m", transfer="smpte170m",
    )  # fmt: skip
    path: Path = made.path
    return path


def deliver(source: Path, out: Path, preset: str | None = None, start: int = 0, stop: int | None = None) -> list[str]:
    clip = reader.open(source)
    with Writer(out, presets.choose(out, preset, clip.info), clip) as made:
        for frame in clip.frames(start, stop):
            made.write(frame)
    return made.notes


def sound_of(path: Path, track: int = 0) -> np.ndarray[Any, Any]:
    """Samples (channels, n) as decoded, and where they begin."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16p", "stereo", 48000)
        parts = [part.to_ndarray() for frame in container.decode(audio=track) for part in resampler.resample(frame)]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.mp4", "out.mxf"])
def test_what_lies_beside_the_pictures_comes_along(tmp_path: Path, name: str) -> None:
    notes = deliver(source_with_all(tmp_path), tmp_path / name)
    info = reader.open(tmp_path / name).info
    assert info.frames == 45 and info.rate == Fraction(30000, 1001)
    matrices = {"smpte170m", "bt470bg"} if name == "out.mxf" else {"smpte170m"}  # MXF has one label for both
    assert info.color.matrix in matrices and info.color.primaries == "smpte170m"
    sounds = [stream for stream in info.streams if stream.kind == "audio"]
    assert len(sounds) == 2
    if name != "out.mxf":
        assert [chapter.title for chapter in info.chapters] == ["one", "two"]
        assert info.chapters[1].start == Fraction(1, 2)
        assert sounds[1].language == "ita"
        assert (info.metadata or {}).get("title") == "A day"
        assert info.sar == Fraction(10, 11)
    else:
        assert any("2 chapters" in note for note in notes) and any("aspect" in note for note in notes)
    expected = samples(Sound(), 0, round(45 * 1001 / 30000 * 48000))
    got = sound_of(tmp_path / name)
    if name == "out.mp4":
        assert any("sound track 1 was encoded anew as aac" in note for note in notes)
        assert abs(got.shape[1] - expected.shape[1]) <= 2048
    else:
        assert np.array_equal(got, expected)


def test_a_range_takes_its_sound_timecode_and_chapters(tmp_path: Path) -> None:
    """Frames 15 to 30: sample-exact sound, drop-frame timecode moved on over the minute, chapters cut."""
    source = source_with_all(tmp_path)
    deliver(source, tmp_path / "out.mov", start=15, stop=30)
    info = reader.open(tmp_path / "out.mov").info
    assert info.frames == 15
    assert info.timecode == "00:01:00;07"  # 00:00:59;20 and 15 frames, two labels dropped
    first = round(15 * 1001 / 30000 * 48000)
    assert np.array_equal(sound_of(tmp_path / "out.mov"), samples(Sound(), first, round(15 * 1001 / 30000 * 48000)))
    assert [chapter.title for chapter in info.chapters] == ["two"] or info.chapters[0].stop < Fraction(1, 1000)
    copied = sound_of(tmp_path / "out.mov", 1)
    assert abs(copied.shape[1] - 24024) <= 1024 * 2


def test_subtitles_come_along_or_are_named(tmp_path: Path) -> None:
    made = write(tmp_path / "in.mkv", subtitles=[(Fraction(1, 10), Fraction(3, 10), "Good day")], frames=10)
    assert deliver(made.path, tmp_path / "out.mkv") == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        found = [(p.pts, bytes(p)) for p in container.demux(subtitles=0) if p.size]
    assert found == [(100, b"Good day")]
    notes = deliver(made.path, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as container:
        kept = [bytes(p) for p in container.demux(container.streams.subtitles) if p.size]
    assert any(b"Good day" in text for text in kept) or any("subtitle track" in note for note in notes)


def test_uneven_times_of_a_phone_survive(tmp_path: Path) -> None:
    made = write(
        tmp_path / "in.mp4", codec="libx264", layout="yuv420p", times=variable(20), rate=30, sounds=[Sound("aac")]
    )
    for name in ("out.mov", "out.mp4"):
        assert deliver(made.path, tmp_path / name) == []
        assert shown(tmp_path / name) == made.times
        assert list(reader.open(tmp_path / name).times) == made.times
    notes = deliver(made.path, tmp_path / "out.mkv")
    assert any("millisecond" in note for note in notes)


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("preset", ["prores-hq", "h264"])
def test_fields_are_coded_as_fields(tmp_path: Path, order: str, preset: str) -> None:
    made = write(
        tmp_path / "in.mov",
        codec="prores_ks",
        field_order=order,
        picture=interlaced(gradient, order),
        height=64,
        frames=4,
    )
    clip = reader.open(made.path, field_order=order)
    out = tmp_path / "out.mov"
    with Writer(out, presets.choose(out, preset, clip.info), clip) as made_again:
        for frame in clip.frames():
            made_again.write(frame)
    with av.open(str(out)) as container:
        assert all(frame.interlaced_frame for frame in container.decode(video=0))


@pytest.mark.parametrize("siting", ["topleft", "center", "left"])
@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_chroma_stays_where_it_lies(tmp_path: Path, siting: str, name: str) -> None:
    made = write(tmp_path / "in.mp4", codec="libx264", layout="yuv420p", siting=siting, frames=3)
    assert reader.open(made.path).info.color.siting == siting
    deliver(made.path, tmp_path / name)
    assert reader.open(tmp_path / name).info.color.siting == siting


def test_alpha_is_delivered_and_opaque_where_there_is_none(tmp_path: Path) -> None:
    made = write(tmp_path / "in.mkv", layout="yuva444p10", picture=flat(500, 512, 512, 341), frames=2)
    deliver(made.path, tmp_path / "out.mov", "prores-4444")
    frame = next(reader.open(tmp_path / "out.mov").frames())
    assert frame.alpha is not None
    assert float(frame.alpha.mean()) == pytest.approx(341 / 1023, abs=0.002)


@pytest.mark.parametrize(
    ("name", "kind", "top"),
    [("exr", "half", 1.0), ("dpx", "uint10", 1.0), ("tiff", "uint16", 1.0), ("png", "uint16", 1.0)],
)
def test_pictures_are_numbered_and_deep_enough(tmp_path: Path, name: str, kind: str, top: float) -> None:
    import OpenImageIO

    delivery = delivery_of(name)
    with Writer(tmp_path / f"shot.####{delivery.ending}", delivery) as made:
        for frame in slopes(evenly(3)):
            made.write(frame)
    files = sorted(tmp_path.glob(f"*{delivery.ending}"))
    assert [file.name for file in files] == [f"shot.000{number}{delivery.ending}" for number in (1, 2, 3)]
    image = OpenImageIO.ImageInput.open(str(files[0]))
    spec = image.spec()
    assert str(spec.format) == ("half" if kind == "half" else "uint16")
    assert spec.get_int_attribute("oiio:BitsPerSample", 16) == (10 if kind == "uint10" else 16)
    red = image.read_image("float")[0, :, 0]
    assert red == pytest.approx(np.linspace(0, top, 96), abs=1.6 / 1023)


def test_one_still_and_the_number_in_a_name(tmp_path: Path) -> None:
    delivery = delivery_of("png")
    for name, count in (("still.png", 1), ("shot.1001.png", 2)):
        with Writer(tmp_path / name, delivery) as made:
            for frame in slopes(evenly(count)):
                made.write(frame)
    assert {file.name for file in tmp_path.glob("*.png")} == {"still.png", "shot.1001.png", "shot.1002.png"}
    with (
        pytest.raises(DeliveryError, match=r"still.png: holds one picture, 2 are to be written; use .*still.%04d.png"),
        Writer(tmp_path / "still.png", delivery) as made,
    ):
        for frame in slopes(evenly(2)):
            made.write(frame)


@pytest.mark.parametrize(
    ("out", "preset", "said"),
    [
        ("a.mp4", "prores", "preset 'prores' cannot be written to '.mp4'; it goes to .mov, .mkv; '.mp4' takes h264"),
        ("a.avi", "dnxhr-hqx", "preset 'dnxhr-hqx' cannot be written to '.avi'; it goes to .mxf, .mov"),
        ("a.txt", None, "ending '.txt' is not one to deliver to; use .mov, .mp4"),
        ("a", None, "ending '' is not one to deliver to"),
        ("a.mov", "prores-xl", "preset 'prores-xl' is unknown; presets: prores-proxy"),
    ],
)
def test_impossible_pairs_are_answered(tmp_path: Path, out: str, preset: str | None, said: str) -> None:
    info = reader.open(write(tmp_path / "in.mkv", frames=2).path).info
    with pytest.raises(DeliveryError) as caught:
        presets.choose(out, preset, info)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("ending", "preset"),
    [(".mov", "prores-hq"), (".mp4", "h264"), (".mkv", "ffv1"), (".mxf", "dnxhr-hqx"), (".exr", "exr")],
)
def test_the_ending_alone_is_enough(tmp_path: Path, ending: str, preset: str) -> None:
    info = reader.open(write(tmp_path / "in.mkv", frames=2).path).info
    assert presets.choose(f"a{ending}", None, info).preset == preset


def test_a_delivery_survives_being_stored(tmp_path: Path) -> None:
    info = reader.open(source_with_all(tmp_path)).info
    delivery = presets.choose("a.mov", None, info)
    assert Delivery.model_validate_json(delivery.model_dump_json()) == delivery


def test_a_chain_that_doubles_the_rate_doubles_the_timecode(tmp_path: Path) -> None:
    info = reader.open(source_with_all(tmp_path)).info
    delivery = presets.choose("a.mov", None, info)
    probe = next(slopes([Fraction(0)]))
    after = presets.adapt(delivery, Fraction(60000, 1001), probe, info)
    assert (after.rate, after.time_base, after.timecode) == (
        Fraction(60000, 1001),
        Fraction(1001, 60000),
        "00:00:59;40",
    )


def test_an_odd_size_is_refused_where_the_codec_cannot_take_it(tmp_path: Path) -> None:
    frame = next(slopes([Fraction(0)], 95, 63))
    with (
        pytest.raises(DeliveryError, match="95 x 63: h264 takes even sizes only; use ffv1"),
        Writer(tmp_path / "out.mp4", delivery_of("h264")) as made,
    ):
        made.write(frame)
    assert list(tmp_path.iterdir()) == []
    with Writer(tmp_path / "out.mkv", delivery_of("ffv1", layout="yuv420p10")) as made:
        made.write(frame)
    assert reader.open(tmp_path / "out.mkv").info.width == 95


def test_a_size_that_changes_is_refused(tmp_path: Path) -> None:
    first, other = next(slopes([Fraction(0)])), next(slopes([1 / FILM], 64, 64))
    with (
        pytest.raises(DeliveryError, match="64 x 64, those before it 96 x 64"),
        Writer(tmp_path / "out.mkv", delivery_of("ffv1")) as made,
    ):
        made.write(first)
        made.write(other)
    assert list(tmp_path.iterdir()) == []


def test_the_source_is_never_written_to(tmp_path: Path) -> None:
    made = write(tmp_path / "in.mkv", frames=2)
    (tmp_path / "link.mkv").symlink_to(made.path)
    before = digest(made.path)
    for name in ("in.mkv", "link.mkv"):
        with pytest.raises(DeliveryError, match="is the source itself"):
            deliver(made.path, tmp_path / name)
    assert digest(made.path) == before


def test_an_error_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Writer(tmp_path / "out.mov", delivery_of("prores-hq", ".mov")) as made:
        made.write(next(slopes([Fraction(0)])))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_old_output_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    out.write_bytes(b"old")
    with pytest.raises(DeliveryError, match="chunk0"):
        (tmp_path / "chunk0").write_bytes(b"this is no chunk")
        join([tmp_path / "chunk0"], out, delivery_of("ffv1"), None, Fraction(0), Fraction(1))
    assert out.read_bytes() == b"old"
    assert {file.name for file in tmp_path.iterdir()} == {"out.mkv", "chunk0"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with (
        pytest.raises(DeliveryError, match="cannot be written to; choose another"),
        Writer(tmp_path / "out.mkv", delivery_of("ffv1")) as made,
    ):
        made.write(next(slopes([Fraction(0)])))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for name, preset in (("no/out.mkv", "ffv1"), ("no/out.%04d.png", "png")):
        with (
            pytest.raises(DeliveryError, match="does not exist; make it first"),
            Writer(tmp_path / name, delivery_of(preset)) as made,
        ):
            made.write(next(slopes([Fraction(0)])))


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    said = files._reason(tmp_path / "out.mov", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert said == "the disk is full; free some space and run it again"
    with (
        pytest.raises(DeliveryError, match="the disk is full"),
        files.delivery_errors(tmp_path / "out.mov"),
        av.open(str(full), "w", format="nut") as container,
    ):
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame(640, 480, "yuv420p")
            for plane in frame.planes:
                plane.update(os.urandom(plane.buffer_size))
            frame.pts = number
            container.mux(stream.encode(frame))


def test_alpha_of_exr_is_multiplied_once(tmp_path: Path) -> None:
    """Color under half alpha comes back as it was; color without alpha (a glow) is not lost."""
    alpha = torch.tensor([1.0, 0.5, 0.0, 0.25]).expand(1, 2, 4).contiguous()
    frame = Frame(torch.full((3, 2, 4), 0.5), Fraction(0), HD, alpha=alpha)
    delivery = delivery_of("exr", layout="gbrapf32")
    with Writer(tmp_path / "a.0001.exr", delivery) as made:
        made.write(frame)
    back = next(reader.open(tmp_path / "a.0001.exr").frames())
    assert back.alpha is not None
    assert torch.allclose(back.alpha, alpha, atol=1e-3)
    assert torch.allclose(back.pixels, frame.pixels, atol=1e-3)
