"""Hashes of the stored bytes that frames are decoded from, read without decoding."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from answerprint import disk
from answerprint.errors import MediaError
from answerprint.media.container import open_container, video_stream
from answerprint.media.index import Index, whole_packets


def of_packets(path: str, index: Index, start: int, stop: int) -> str:
    """SHA-256 of the packets that frames [start, stop) of a file are decoded from, and of the decoder's header.

    Raises:
        MediaError: the file cannot be read.
    """
    contents = hashlib.sha256()
    last = None if index.ordinal else index.pts[stop - 1]
    with open_container(path) as container:
        stream = video_stream(container, path)
        contents.update(stream.codec_context.extradata or b"")
        key = index.key_before(start)
        if key is not None:
            container.seek(index.keys[key][0], stream=stream)
        for packet in whole_packets(container, stream):
            if last is not None and packet.is_keyframe and packet.pts is not None and packet.pts > last:
                break
            if packet.size:
                contents.update(packet)
    return contents.hexdigest()


def of_files(paths: Sequence[str]) -> str:
    """SHA-256 of the contents of files in order.

    Raises:
        MediaError: one cannot be read.
    """
    contents = hashlib.sha256()
    for path in paths:
        try:
            contents.update(disk.digest(Path(path)).encode())
        except OSError as error:
            raise MediaError(f"{path}: cannot be read: {error.strerror or error}") from None
    return contents.hexdigest()
