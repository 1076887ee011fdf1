"""Names of numbered pictures.

A sequence is named by a pattern (`shot.%04d.exr`, `shot.####.dpx`), by the folder that holds it, or by one picture,
which is a sequence of one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from answerprint.errors import MediaError, NotMediaError
from answerprint.media.container import check_readable

ENDINGS = (".exr", ".dpx", ".cin", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".hdr", ".jp2", ".webp")
LISTED = 12  # how many numbers or names a message lists
_NUMBERED = re.compile(r"^(.*?)(\d+)(\.[^.]+)$")
_HASHES = re.compile(r"#+")
_PERCENT = re.compile(r"%(?:0(\d{1,2}))?d")
_OUTPUT_PATTERN = re.compile(r"%0?(\d{0,2})d|#+")
_OUTPUT_NUMBER = re.compile(r"(\d+)(?=\.[A-Za-z]+$)")


@dataclass(frozen=True)
class Pattern:
    """Names of a sequence.

    Attributes:
        folder: that holds the pictures.
        before: what the name has before the number.
        digits: how many digits the number has at least.
        after: what the name has after the number, ending included.
    """

    folder: Path
    before: str
    digits: int
    after: str

    def path(self, number: int) -> Path:
        """The path of picture `number`."""
        return self.folder / f"{self.before}{number:0{self.digits}d}{self.after}"

    @property
    def name(self) -> str:
        """Without the folder."""
        return f"{self.before}%0{self.digits}d{self.after}"

    def __str__(self) -> str:
        return str(self.folder / self.name)


@dataclass(frozen=True)
class PictureList:
    """The pictures that a path means.

    Attributes:
        name: the pattern, or the path of a single picture.
        paths: in the order of their numbers.
        first_number: number of the first picture, None where it has none.
    """

    name: str
    paths: list[Path]
    first_number: int | None


def parse_pattern(path: str | Path) -> Pattern | None:
    """The pattern that a path with `%04d` or `####` in its name is; None for any other path, and for a file's own."""
    name = Path(path).name
    if Path(path).is_file():
        return None
    match = _PERCENT.search(name) or _HASHES.search(name)
    if match is None or Path(path).suffix.lower() not in ENDINGS:
        return None
    digits = len(match[0]) if match[0].startswith("#") else int(match[1] or 1)
    return Pattern(Path(path).parent, name[: match.start()], digits, name[match.end() :])


def is_sequence(path: str | Path) -> bool:
    """Whether a path means pictures rather than a video file: a pattern, a folder, or a still by its ending."""
    return parse_pattern(path) is not None or Path(path).is_dir() or Path(path).suffix.lower() in ENDINGS


def list_pictures(path: str) -> PictureList:
    """The pictures that a path means: a pattern, a folder or one picture.

    Raises:
        MediaError: none are there, or some are missing.
    """
    pattern = parse_pattern(path)
    if pattern is None and not Path(path).is_dir():
        check_readable(path)
        match = _NUMBERED.match(Path(path).name)
        return PictureList(path, [Path(path)], int(match[2]) if match else None)
    if pattern is None:
        pattern, paths = _in_folder(Path(path))
        if pattern is None:
            return PictureList(str(paths[0]), paths, None)
    mark = unfinished_mark(Path(str(pattern)))
    if mark.exists():
        raise MediaError(
            f"{pattern}: is not whole, writing it was stopped; run its command again, or remove {mark} to read what "
            "is there"
        )
    numbers = _numbers(pattern)
    if not numbers:
        raise MediaError(f"{path}: no such pictures")
    # As runs, not numbers: two pictures may be billions apart.
    missing = [(before + 1, after - 1) for before, after in pairwise(numbers) if after > before + 1]
    if missing:
        total = sum(last - first + 1 for first, last in missing)
        count = "1 picture is" if total == 1 else f"{total} pictures are"
        raise MediaError(
            f"{pattern}: {count} missing: {_runs(missing)}; the sequence runs from {numbers[0]} to {numbers[-1]}"
        )
    return PictureList(str(pattern), [pattern.path(number) for number in numbers], numbers[0])


def picture_path(out: Path, number: int) -> Path:
    """The file of one picture to write: `shot.%04d.exr` or `shot.####.exr` with its number filled in.

    Args:
        out: a pattern, or the name of the first picture (`shot.0001.exr`).
        number: of this picture.
    """
    match = _OUTPUT_PATTERN.search(out.name) or _OUTPUT_NUMBER.search(out.name)
    if match is None:
        return out
    width = len(match[0]) if match[0][0] != "%" else int(match[1] or 1)
    return out.with_name(f"{out.name[: match.start()]}{number:0{width}d}{out.name[match.end() :]}")


def unfinished_mark(out: Path) -> Path:
    """The file that lies beside a sequence while it is being written under its final names."""
    match = _OUTPUT_PATTERN.search(out.name) or _OUTPUT_NUMBER.search(out.name)
    name = out.name if match is None else f"{out.name[: match.start()]}#{out.name[match.end() :]}"
    return out.with_name(f".{name}.unfinished")


def first_number(out: Path) -> int | None:
    """The number that the name of an output itself begins with: 1001 for `shot.1001.exr`; None for a pattern."""
    if _OUTPUT_PATTERN.search(out.name):
        return None
    match = _OUTPUT_NUMBER.search(out.name)
    return int(match[1]) if match else None


def holds_many(out: Path) -> bool:
    """Whether more than one picture can be named by the output `out`."""
    return bool(_OUTPUT_PATTERN.search(out.name) or _OUTPUT_NUMBER.search(out.name))


def frame_number(time: Fraction, rate: Fraction) -> int:
    """Number of the frame at a time in seconds from the clip's first frame."""
    return round(time * rate)


def _numbers(pattern: Pattern) -> list[int]:
    """Numbers of the pictures that are there, rising."""
    form = re.compile(re.escape(pattern.before) + r"(\d+)" + re.escape(pattern.after))
    numbers = []
    for entry in _listing(pattern.folder):
        if (match := form.fullmatch(entry)) and (
            len(match[1]) == pattern.digits or pattern.digits < len(match[1]) == len(str(int(match[1])))
        ):
            numbers.append(int(match[1]))
    return sorted(numbers)


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        raise MediaError(f"{folder}: no such folder") from None
    except PermissionError:
        raise MediaError(f"{folder}: no permission to read the folder") from None


def _in_folder(folder: Path) -> tuple[Pattern | None, list[Path]]:
    """The one sequence that a folder holds, and its pictures; None for a single picture without a number."""
    by_form: dict[tuple[str, int, str], list[Path]] = {}
    for name in _listing(folder):
        if Path(name).suffix.lower() not in ENDINGS or name.startswith("."):
            continue
        match = _NUMBERED.match(name)
        # Numbers without leading zeros grow in length within one sequence.
        digits = len(match[2]) if match and match[2].startswith("0") else 0
        key = (match[1], digits, match[3]) if match else (name, -1, "")
        by_form.setdefault(key, []).append(folder / name)
    groups = _by_pattern(folder, by_form)
    if not groups:
        raise NotMediaError(f"{folder}: the folder holds no pictures ({', '.join(ENDINGS)})")
    if len(groups) > 1:
        names = sorted(paths[0].name if pattern is None else pattern.name for pattern, paths in groups)
        raise MediaError(f"{folder}: holds {len(groups)} sequences; name one of: {', '.join(names[:LISTED])}")
    return groups[0]


def _by_pattern(
    folder: Path, by_form: dict[tuple[str, int, str], list[Path]]
) -> list[tuple[Pattern | None, list[Path]]]:
    """Sequences by their pattern; numbers past the padding (0999, 1000) belong to the padded ones.

    Args:
        folder: that holds them.
        by_form: pictures by what stands before the number, its digits (0: not padded, -1: no number), what follows.
    """
    padded = {(form[0], form[2]): form[1] for form in by_form if form[1] > 0}
    groups: dict[Pattern | str, list[Path]] = {}
    for (before, digits, after), paths in by_form.items():
        if digits == -1:
            groups[before] = paths
            continue
        width = digits or padded.get((before, after), 1)
        if not digits and (before, after) not in padded:
            width = min(_digits(path) for path in paths)
        groups.setdefault(Pattern(folder, before, width, after), []).extend(paths)
    return [(key if isinstance(key, Pattern) else None, paths) for key, paths in groups.items()]


def _digits(path: Path) -> int:
    """Number of digits of the number in a name, 0 where there is none."""
    match = _NUMBERED.match(path.name)
    return len(match[2]) if match else 0


def _runs(runs: list[tuple[int, int]]) -> str:
    """Runs of numbers, first and last of each, as "3, 7-9"."""
    words = [f"{first}" if first == last else f"{first}-{last}" for first, last in runs[:LISTED]]
    return ", ".join(words) + (f" and {len(runs) - LISTED} more" if len(runs) > LISTED else "")
