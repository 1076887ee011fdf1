"""Opening a media file through PyAV, with every refusal in one line."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from answerprint.errors import MediaError, NotMediaError

# Demuxers that take text or playlists for footage.
_NOT_FOOTAGE = frozenset(
    "tty bin xbin adf idf concat hls ffmetadata srt ass webvtt lrc microdvd sbg dash sdp".split()  # noqa: SIM905
)
_BOXES = (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip")


def check_readable(path: str) -> int:
    """Size in bytes of a file that can be read.

    Raises:
        MediaError: it does not exist or may not be read.
        NotMediaError: it is empty, or a pipe or device, which may never end.
    """
    try:
        facts = Path(path).stat()
        if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            raise NotMediaError(f"{path}: is a pipe or a device; write its footage to a file first")
        with Path(path).open("rb"):
            size = facts.st_size
    except FileNotFoundError:
        raise MediaError(f"{path}: no such file") from None
    except PermissionError:
        raise MediaError(f"{path}: no permission to read it") from None
    except MediaError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with NUL in it
        raise MediaError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if size == 0:
        raise NotMediaError(f"{path}: is empty (0 bytes)")
    return size


def open_path(path: str | Path, mode: str = "r", **options: Any) -> Any:
    """A file opened by PyAV as this file: no part of its name is taken for a protocol, and it may open no other file.

    Args:
        path: of the file.
        mode: "r" or "w".
        options: further keywords of `av.open`.

    Raises:
        av.error.FFmpegError: it cannot be opened.
    """
    if mode == "r":
        options["options"] = {"protocol_whitelist": "file"} | options.get("options", {})
    return av.open(f"file:{path}", mode, **options)


def open_container(path: str) -> InputContainer:
    """A file, open; the caller closes it.

    Raises:
        NotMediaError: it is no footage.
        MediaError: it is footage that is broken or cannot be read.
    """
    check_readable(path)
    try:
        container: InputContainer = open_path(path, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise _refusal(path, error) from None
    if container.format.name.split(",")[0] in _NOT_FOOTAGE:
        container.close()
        raise NotMediaError(f"{path}: is not a video ({_kind(path)})")
    return container


def video_stream(container: InputContainer, path: str, threads: int | None = None) -> VideoStream:
    """The stream of moving pictures of a file, ready to decode with slice and frame threads.

    Raises:
        NotMediaError: the file has no moving picture.
        MediaError: nothing here can decode it.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise NotMediaError(f"{path}: has no picture" + (", only sound" if container.streams.audio else ""))
    stream = max(streams, key=lambda s: bool(s.disposition & Disposition.default))
    if stream.codec_context is None:
        raise MediaError(f"{path}: its picture is in a codec that cannot be decoded here")
    stream.thread_type = "AUTO"
    if threads is not None:
        stream.codec_context.thread_count = threads
    return stream


def _refusal(path: str, error: av.error.FFmpegError) -> MediaError:
    head = _head(path)
    if head[4:8] in _BOXES:
        return MediaError(
            f"{path}: is not complete: its table of frames (moov) is missing or damaged; copy the file again"
        )
    if head[:4] == b"\x1aE\xdf\xa3" or head[:4] == b"\x06\x0e\x2b\x34":
        return MediaError(f"{path}: is cut off or damaged at its beginning; copy the file again")
    if isinstance(error, av.error.InvalidDataError):
        return NotMediaError(f"{path}: is not a video ({_kind(path)})")
    return MediaError(f"{path}: cannot be opened: {error.strerror or error}")


def _head(path: str) -> bytes:
    """The first bytes of a file."""
    with Path(path).open("rb") as file:
        return file.read(4096)


def _kind(path: str) -> str:
    """A file that is no video, in words."""
    head = _head(path)
    try:
        # The cut may fall inside a character.
        head[: max(len(head) - 4, 1)].decode("utf-8")
    except UnicodeDecodeError:
        return "no known kind of file"
    return "no known kind of file" if b"\0" in head else "a text file"
