"""What SECURITY.md says of untrusted files: playlists are refused, XML opens no other file, its tests exist."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import clips
from answerprint.color import cdl, cube_file
from answerprint.errors import AnswerprintError, NotMediaError
from answerprint.media import reader
from answerprint.shots import chain

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("far.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        ("near.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nclip.mov\n#EXT-X-ENDLIST\n"),
        ("near.mov", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nclip.mov\n#EXT-X-ENDLIST\n"),
        ("near.ffconcat", "ffconcat version 1.0\nfile clip.mov\n"),
        ("far.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"),
    ],
)
def test_a_playlist_is_refused(tmp_path: Path, name: str, text: str) -> None:
    clips.card(tmp_path / "clip.mov", codec="prores_ks", frames=2)
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(NotMediaError, match="is not a video"):
        reader.open(tmp_path / name)


def test_external_entities_of_a_cdl_are_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("never to be seen", encoding="utf-8")
    path = tmp_path / "grade.cc"
    path.write_text(
        f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
        '<ColorCorrection id="a"><SOPNode><Description>&x;</Description>'
        "<Slope>1 1 1</Slope><Offset>0 0 0</Offset><Power>1 1 1</Power></SOPNode></ColorCorrection>",
        encoding="utf-8",
    )
    try:
        corrections = cdl.read(path)
    except AnswerprintError as refusal:
        assert "never to be seen" not in str(refusal)
    else:
        assert "never to be seen" not in str(corrections)


def test_pipes_and_devices_are_no_footage(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mov")
    for path in (tmp_path / "pipe.mov", Path("/dev/zero")):
        with pytest.raises(NotMediaError, match="is a pipe or a device"):
            reader.open(path)
        with pytest.raises(AnswerprintError, match="pipe or a device"):
            cube_file.read(path)


@pytest.mark.parametrize("nested", ["a = " + "[" * 100_000, "[" + "a." * 100_000 + "b]", "a = " + "9" * 5000])
def test_toml_without_end_is_refused(tmp_path: Path, nested: str) -> None:
    (tmp_path / "chain.toml").write_text(nested, encoding="utf-8")
    with pytest.raises(AnswerprintError) as refused:
        chain.load(tmp_path / "chain.toml", {})
    assert len(str(refused.value)) < 500


def test_the_tests_that_the_policy_names_exist() -> None:
    names = re.findall(r"`(tests/[\w./]+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(names) > 5
    for name in names:
        assert (ROOT / name).exists(), name
