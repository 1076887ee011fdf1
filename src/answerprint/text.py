"""Text that comes from outside: files read with a bound, and names made fit for a screen, a line or a file name."""

from __future__ import annotations

import atexit
import codecs
import errno
import functools
import hashlib
import os
import re
import shutil
import stat
import tempfile
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

LARGEST = 256 << 20  # bytes of a text file that people or programs write: lists, chains, timelines
# C0 and C1 controls, line separators, marks that turn the direction of writing, bytes of a name that are no UTF-8.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NO_FILE_NAME = re.compile(_HIDDEN.pattern[:-1] + r'/\\:*?"<>|%#]')
_URI = "file:"


def read_file(path: Path, limit: int = LARGEST) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: it cannot be read, is a pipe or a device (which may never end), or is larger than `limit`.
    """
    facts = path.stat()
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    if facts.st_size > limit:
        raise OSError(errno.EFBIG, f"it has {facts.st_size} bytes, more than the {limit} that such a file may have")
    with path.open("rb") as file:
        return file.read(limit)


def decode(data: bytes) -> str:
    """Text of a file in UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        ValueError: it is no text.
    """
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16")
    if data[1:2] == b"\0" or data[:1] == b"\0":  # Excel and others leave the mark out; the first letter is Latin
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    return data.decode("utf-8-sig")


def parse(loads: Callable[[str], Any], text: str) -> Any:
    """The value that `json.loads` or `tomllib.loads` reads from a text.

    Raises:
        ValueError: it is wrong, has a number of thousands of digits, or tables too deep inside each other.
    """
    try:
        return loads(text)
    except RecursionError:
        raise ValueError("its lists or tables stand inside each other too deeply") from None


def is_number(text: str) -> bool:
    """Whether a text is short enough to be made a number: `1e99999999` as an exact one would fill the memory."""
    return len(text) <= 64 and re.search(r"[eE][+-]?\d{4}", text) is None


def shorten(value: object) -> str:
    """A value as Python writes it, cut where it is too long for a message."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def visible(text: str) -> str:
    r"""The text on one line, with nothing in it that acts on a terminal: `\n`, `\x1b`, `\xff` for a byte of no text."""
    return _HIDDEN.sub(lambda match: _escape(match[0]), text)


def _escape(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def file_name(text: str) -> str:
    """The text as part of a file name that every system takes; what would leave the folder or hide is put as `_`."""
    name = _NO_FILE_NAME.sub("_", text).strip()[:120]
    # A name may not be empty, `.` or `..`, look like an option, be hidden, or end as Windows forbids.
    name = re.sub(r"^[.\-]+|[. ]+$", lambda match: "_" * len(match[0]), name)
    return name or "_"


def write_path(path: str) -> str:
    """A path as a text file has it: itself, or a `file:` URI where its bytes are no UTF-8 or it begins like one."""
    if _is_utf8(path) and not path.startswith(_URI):
        return path
    return _URI + urllib.parse.quote(os.fsencode(path))


def read_path(text: str) -> str:
    """The path that a text names: itself, or what a `file:` URI means (`file:clip%FF.mov`)."""
    if not text.startswith(_URI):
        return text
    return os.fsdecode(urllib.parse.unquote_to_bytes(text.removeprefix(_URI)))


def utf8_path(path: str | Path) -> str:
    """A path for libraries that take UTF-8 only: the path itself, or a link to it in a folder of this process."""
    text = str(path)
    if _is_utf8(text):
        return text
    full = Path(os.path.abspath(text))  # noqa: PTH100 - links are kept
    suffix = full.suffix if _is_utf8(full.suffix) else ""
    link = _links() / (hashlib.sha256(os.fsencode(full)).hexdigest()[:32] + suffix)
    if not link.is_symlink():
        link.symlink_to(full)
    return str(link)


@functools.cache
def _links() -> Path:
    folder = tempfile.mkdtemp(prefix="answerprint-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
