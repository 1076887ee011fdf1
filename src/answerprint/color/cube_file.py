"""LUT files in and out: `.cube`.

Formats: Adobe/IRIDAS Cube LUT Specification 1.0 (2013), and DaVinci Resolve's form of it (LUT_*_INPUT_RANGE, a 1D
shaper in front of the 3D table, LUT_IN_VIDEO_RANGE and LUT_OUT_VIDEO_RANGE: the table was made for values that have
black at code 64 of 1023 and white at 940, where pictures here have 0 and 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from answerprint import disk
from answerprint.color.lut import LARGEST, Cube, Curves, Triple
from answerprint.errors import ColorError
from answerprint.text import read_file

_KEYWORDS = (
    "TITLE",
    "LUT_1D_SIZE",
    "LUT_3D_SIZE",
    "DOMAIN_MIN",
    "DOMAIN_MAX",
    "LUT_1D_INPUT_RANGE",
    "LUT_3D_INPUT_RANGE",
    "LUT_IN_VIDEO_RANGE",
    "LUT_OUT_VIDEO_RANGE",
)
_VIDEO_RANGE = _KEYWORDS[-2:]
_BLACK, _WHITE = 64 / 1023, 940 / 1023
_LARGEST_FILE = 1 << 30  # bytes; a table of 256 points per axis takes half of it
_SIZES = {"LUT_1D_SIZE": (2, 65536), "LUT_3D_SIZE": (2, LARGEST)}


def read(path: Path) -> Cube | Curves:
    """The LUT of a `.cube` file: a 3D LUT, a 3D LUT behind a 1D shaper, or a 1D LUT.

    Both range forms are honored: DOMAIN_MIN and DOMAIN_MAX (Adobe), LUT_1D_ and LUT_3D_INPUT_RANGE (Resolve). A LUT
    for video range becomes one of the same colors for nominal black 0 and white 1.

    Raises:
        ColorError: the file cannot be read or is not a LUT; the message names file and line.
    """
    lines = _text(path).splitlines()
    header, first = _header(lines, path)
    sizes = {key: int(header[key][1]) for key in _SIZES if key in header}  # 1D first
    if not sizes:
        raise ColorError(f"{path}: no LUT_3D_SIZE or LUT_1D_SIZE in it; this is not a .cube LUT")
    rows = [sizes.get("LUT_1D_SIZE", 0), sizes.get("LUT_3D_SIZE", 0) ** 3]
    expected = " and ".join(f"{key} {size}" for key, size in sizes.items())
    table = torch.from_numpy(_rows(lines, first, sum(rows), expected, path))
    # What video range says of the input is true of the first stage, of the output of the last.
    ends = [_domain(header, key.replace("SIZE", "INPUT_RANGE"), path) for key in sizes]
    if "LUT_IN_VIDEO_RANGE" in header:
        ends[0] = _nominal(*ends[0])
    if "LUT_OUT_VIDEO_RANGE" in header:
        table[rows[0] if rows[1] else 0 :] = (table[rows[0] if rows[1] else 0 :] - _BLACK) / (_WHITE - _BLACK)
    curves = Curves(table[: rows[0]].contiguous(), *ends[0]) if rows[0] else None
    if curves is not None and not rows[1]:
        return curves
    n = sizes["LUT_3D_SIZE"]
    title = str(header.get("TITLE", (0, ""))[1])
    return Cube(table[rows[0] :].reshape(n, n, n, 3).contiguous(), *ends[-1], title, (), curves)


def _nominal(low: Triple, high: Triple) -> tuple[Triple, Triple]:
    """Ends of a domain in video range as values with nominal black 0 and white 1."""
    low, high = (
        ((a - _BLACK) / (_WHITE - _BLACK), (b - _BLACK) / (_WHITE - _BLACK), (c - _BLACK) / (_WHITE - _BLACK))
        for a, b, c in (low, high)
    )
    return low, high


def _text(path: Path) -> str:
    try:
        data = read_file(path, _LARGEST_FILE)
    except OSError as error:
        raise ColorError(f"{path}: LUT cannot be read ({error.strerror})") from None
    if not data.strip():
        raise ColorError(f"{path}: the LUT file is empty")
    if b"\0" in data[:4096]:
        raise ColorError(f"{path}: not a text file; a LUT is read from a .cube file")
    return data.decode("utf-8-sig", errors="replace")


def _header(lines: list[str], path: Path) -> tuple[dict[str, tuple[int, Any]], int]:
    """Keyword -> (line number, value), and the index of the first row of numbers."""
    header: dict[str, tuple[int, Any]] = {}
    for index, line in enumerate(lines):
        words = line.split("#")[0].split() if not line.lstrip().upper().startswith("TITLE") else line.split()
        if not words:
            continue
        if _is_number(words[0]):
            return header, index
        key, where = words[0].upper(), f"{path}:{index + 1}"
        if key not in _KEYWORDS:
            raise ColorError(
                f"{where}: '{words[0][:40]}' is not a keyword of a .cube LUT; allowed: {', '.join(_KEYWORDS)}"
            )
        if key in header:
            raise ColorError(f"{where}: {key} stands twice (first on line {header[key][0]})")
        header[key] = (index + 1, _value(key, words[1:], line, where))
    return header, len(lines)


def _value(key: str, words: list[str], line: str, where: str) -> Any:
    if key == "TITLE":
        return line.split(None, 1)[1].strip().strip('"') if words else ""
    if key in _SIZES:
        if len(words) != 1 or not words[0].isdigit():
            raise ColorError(f"{where}: {key} needs one whole number, found '{' '.join(words)}'")
        return _check_size(key, int(words[0]), where)
    count = 3 if key.startswith("DOMAIN") else 0 if key in _VIDEO_RANGE else 2
    if len(words) != count or not all(_is_number(word) and np.isfinite(float(word)) for word in words):
        raise ColorError(f"{where}: {key} needs {count or 'no'} numbers, found '{' '.join(words)}'")
    return tuple(float(word) for word in words)


def _check_size(key: str, size: int, where: str) -> int:
    low, high = _SIZES[key]
    if not low <= size <= high:
        raise ColorError(f"{where}: {key} is {size}; allowed: {low} to {high}")
    return size


def _domain(header: dict[str, tuple[int, Any]], key: str, path: Path) -> tuple[Triple, Triple]:
    """Lower and upper end of the inputs by the keywords of the file, per channel."""
    named = [name for name in ("DOMAIN_MIN", "DOMAIN_MAX") if name in header]
    if key in header and named:
        raise ColorError(f"{path}:{header[key][0]}: {key} and {named[0]} both give the range; keep one of them")
    if key in header:
        line, (a, b) = header[key]
        low, high = (a, a, a), (b, b, b)
        if b in (255.0, 1023.0, 4095.0, 65535.0):
            raise ColorError(f"{path}:{line}: {key} {a:g} {b:g} counts in code values; a .cube LUT counts from 0 to 1")
    else:
        line = max((header[name][0] for name in named), default=1)
        low = header.get("DOMAIN_MIN", (0, (0.0, 0.0, 0.0)))[1]
        high = header.get("DOMAIN_MAX", (0, (1.0, 1.0, 1.0)))[1]
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise ColorError(f"{path}:{line}: the input range {_words(low)} to {_words(high)} is empty or reversed")
    return low, high


def _rows(lines: list[str], first: int, count: int, expected: str, path: Path) -> NDArray[np.float32]:
    """`count` rows from line index `first` on, (count, 3)."""
    body = [line.split("#")[0] for line in lines[first:]]
    try:
        values = np.array(" ".join(body).split(), dtype=np.float64)
    except ValueError:
        values = np.zeros(0)
    widths = {len(line.split()) for line in body} - {0}
    if values.size != 3 * count or widths != {3} or not np.isfinite(values).all():
        _complain(body, first, count, expected, path)
    return values.reshape(count, 3).astype(np.float32)


def _complain(body: Iterable[str], first: int, count: int, expected: str, path: Path) -> None:
    """Raises the error that names the first wrong line."""
    rows = 0
    for number, line in enumerate(body, first + 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or not all(_is_number(word) for word in words):
            raise ColorError(f"{path}:{number}: a row of the table is three numbers, found '{line.strip()[:40]}'")
        if not np.isfinite([float(word) for word in words]).all():
            raise ColorError(f"{path}:{number}: NaN or infinity in the table: '{line.strip()}'")
        rows += 1
        if rows > count:
            break
    present = f"more than {count}" if rows > count else str(rows)
    where = f"{path}:{number}" if rows > count else str(path)
    raise ColorError(
        f"{where}: {expected} needs {count} rows, the file has {present}; it is cut off or its size is wrong"
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _words(triple: Iterable[float]) -> str:
    return " ".join(f"{value:g}" for value in triple)


def write(cube: Cube, path: Path) -> None:
    """Writes a portable `.cube`: TITLE, size, red fastest; a range only where it is not 0..1.

    With a shaper it is Resolve's form (which has no TITLE in OpenColorIO's reading, so the title becomes a comment).

    Raises:
        ColorError: the place cannot be written, or the table holds NaN or infinity.
    """
    if not bool(torch.isfinite(cube.table).all()):
        raise ColorError(f"{path}: the LUT holds NaN or infinity and was not written")
    text = "\n".join([*_head(cube), *_table_lines(cube)]) + "\n"
    try:
        disk.write(path, text)
    except OSError as error:
        raise ColorError(f"{path}: LUT cannot be written ({error.strerror})") from None


def _head(cube: Cube) -> list[str]:
    title = " ".join(cube.title.replace('"', "'").split())
    comments = [f"# {line}" for comment in cube.comments for line in comment.splitlines()]
    if cube.shaper is not None:
        front, ends = cube.shaper, (cube.low, cube.high)
        for ends in ((front.low, front.high), (cube.low, cube.high)):
            if len(set(ends[0])) > 1 or len(set(ends[1])) > 1:
                raise ColorError("a LUT with a shaper needs the same range in all three channels")
        return [
            *([f"# {title}"] if title else []),
            *comments,
            f"LUT_1D_SIZE {front.table.shape[0]}",
            f"LUT_1D_INPUT_RANGE {front.low[0]:.8f} {front.high[0]:.8f}",
            f"LUT_3D_SIZE {cube.size}",
            f"LUT_3D_INPUT_RANGE {cube.low[0]:.8f} {cube.high[0]:.8f}",
        ]
    lines = [f'TITLE "{title}"'] if title else []
    lines += [*comments, f"LUT_3D_SIZE {cube.size}"]
    if cube.low != (0.0, 0.0, 0.0) or cube.high != (1.0, 1.0, 1.0):
        lines += [
            f"{key} {a:.8f} {b:.8f} {c:.8f}" for key, (a, b, c) in (("DOMAIN_MIN", cube.low), ("DOMAIN_MAX", cube.high))
        ]
    return lines


def _table_lines(cube: Cube) -> list[str]:
    tables = ([cube.shaper.table] if cube.shaper is not None else []) + [cube.table.reshape(-1, 3)]
    rows = torch.cat([table.detach().cpu() for table in tables]).to(torch.float64).tolist()
    return [f"{r:.8f} {g:.8f} {b:.8f}" for r, g, b in rows]
