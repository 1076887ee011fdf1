"""Damage that only a checksum shows is told with its frame, and refused unless it is to be kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import pytest

import clips
from answerprint.errors import MediaError
from answerprint.media import reader

LOSSLESS = {"level": "3", "slices": "4", "g": "1"}


def damaged(path: Path, frame: int, options: dict[str, str]) -> Path:
    """A clip with one bit of one frame flipped."""
    clips.card(path, frames=12, options=options, timecode="01:00:00:00")
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    data[packets[frame][0] + packets[frame][1] // 2] ^= 16
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
@pytest.mark.parametrize("frame", [0, 7])
@pytest.mark.parametrize("version", ["3", "4"])
def test_a_slice_that_does_not_match_is_refused(tmp_path: Path, name: str, frame: int, version: str) -> None:
    path = damaged(
        tmp_path / name,
        frame,
        LOSSLESS | {"level": version, "slicecrc": "1" if version == "3" else "2", "strict": "-2"},
    )
    clip = reader.open(path)
    with pytest.raises(MediaError, match=rf"{name}: frame {frame} at .* is damaged \(its checksum does not match\)"):
        list(clip.frames())
    assert len(list(clip.frames(8))) == 4  # what is whole is read


def test_it_is_kept_where_it_is_to_be(tmp_path: Path) -> None:
    path = damaged(tmp_path / "a.mkv", 5, LOSSLESS | {"slicecrc": "1"})
    clip = reader.open(path, damaged="keep")
    assert len(list(clip.frames())) == 12
    assert [line.partition(": ")[2] for line in clip.damage(0, 12)] == [
        "frame 5 at 00:00:00.200 is damaged (its checksum does not match); it is kept as it was decoded"
    ]


def test_frames_that_build_on_it_are_damaged_too(tmp_path: Path) -> None:
    path = damaged(tmp_path / "a.mkv", 5, LOSSLESS | {"slicecrc": "1", "g": "8"})
    clip = reader.open(path, damaged="keep")
    list(clip.frames())
    assert [f"frame {number} " in line for number, line in zip((5, 6, 7), clip.damage(0, 12), strict=True)] == [
        True
    ] * 3


def test_slices_without_checksums_are_read(tmp_path: Path) -> None:
    clips.card(tmp_path / "a.mkv", options={"level": "3", "slices": "4", "slicecrc": "0"})
    assert len(list(reader.open(tmp_path / "a.mkv").frames())) == 12


def test_a_render_names_damaged_frames(tmp_path: Path) -> None:
    """By default none is delivered; kept ones are named again where their chunk was done before."""
    path, out = damaged(tmp_path / "a.mkv", 5, LOSSLESS | {"slicecrc": "1"}), tmp_path / "out.mkv"
    words = [sys.executable, "-m", "answerprint", "grade", str(path), "-o", str(out), "--saturation", "0.5"]
    refused = subprocess.run(words, capture_output=True, text=True)
    assert refused.returncode == 2 and not out.exists()
    assert refused.stderr.count("\n") == 1 and "frame 5 at 00:00:00.200 is damaged" in refused.stderr
    (tmp_path / "c.toml").write_text('[[operation]]\nname = "grade"\nsaturation = 0.5\n')
    words = [sys.executable, "-m", "answerprint", "run", str(path), "-o", str(out), "--chain", str(tmp_path / "c.toml")]
    for _ in range(2):
        told = subprocess.run([*words, "--input-damaged", "keep", "--no-report"], capture_output=True, text=True)
        assert told.returncode == 0 and told.stderr.count("frame 5 at 00:00:00.200 is damaged") == 1, told.stderr
