"""Text from outside: bounded, on one line, and names that can be written down."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerprint import text

ANY_NAME = st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name and b"/" not in name)


@given(ANY_NAME)
def test_any_name_can_be_written_into_a_text_file_and_read_back(name: bytes) -> None:
    path = os.fsdecode(b"footage/" + name)
    written = text.write_path(path)
    assert text.read_path(written.encode("utf-8").decode("utf-8")) == path


@given(ANY_NAME)
def test_what_is_shown_is_one_line_without_control_characters(name: bytes) -> None:
    shown = text.visible(os.fsdecode(name))
    assert len(shown.splitlines()) <= 1
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    shown.encode("utf-8")


def test_plain_names_are_shown_and_written_as_they_are() -> None:
    assert text.visible("reel_01 (Größe) 日本.mov") == "reel_01 (Größe) 日本.mov"
    assert text.write_path("reel_01 (Größe) 日本.mov") == "reel_01 (Größe) 日本.mov"
    assert text.visible("a\nb\x1b[31m") == r"a\nb\x1b[31m"


@given(st.text(max_size=40))
def test_a_name_made_of_any_text_stays_in_its_folder(name: str) -> None:
    made = text.file_name(name)
    assert made not in ("", ".", "..") and not made.startswith(("-", "."))
    assert Path("folder", made).parent == Path("folder") and made == made.rstrip(". ")
    assert text.file_name(made) == made


def test_a_pipe_a_device_and_a_huge_file_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(text.LARGEST + 1)
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "huge", tmp_path):
        with pytest.raises(OSError):
            text.read_file(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_is_read_in_the_encodings_of_spreadsheets(encoding: str) -> None:
    assert text.decode("name\tstart\nGröße\t0\n".encode(encoding)) == "name\tstart\nGröße\t0\n"


def test_a_file_of_any_name_has_a_name_in_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.png")
    path.write_bytes(b"picture")
    other = text.utf8_path(path)
    other.encode("utf-8")
    assert other.endswith(".png") and Path(other).read_bytes() == b"picture"
    assert text.utf8_path(tmp_path / "b.png") == str(tmp_path / "b.png")
