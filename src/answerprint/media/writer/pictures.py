"""The pictures of chunks as one sequence under its final names, which is never taken for whole while it is not."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from answerprint import disk
from answerprint.errors import DeliveryError
from answerprint.media.pictures import names
from answerprint.media.presets import Delivery
from answerprint.media.writer.checks import check_picture_count
from answerprint.media.writer.files import link

if TYPE_CHECKING:
    from answerprint.media.reader import Clip


def join_pictures(chunks: Sequence[Path], out: Path, delivery: Delivery, source: Clip | None, start: Fraction) -> Path:
    """Gives the pictures of all chunks their final names, and returns the first of these.

    Args:
        chunks: folders of pictures named by their number, in the order of their times.
        out: a pattern, or the name of the first picture.
        delivery: how the chunks were made.
        source: whose numbers the pictures take where `out` does not say; None for none.
        start: time in the source, in seconds, of the first picture.

    Raises:
        OSError: they cannot be written there.
        DeliveryError: `out` names one picture where there are several, or a folder stands in the way.
    """
    files = [file for chunk in chunks for file in sorted(chunk.iterdir())]
    check_picture_count(out, len(files))
    begin = first_number(out, source, start)
    zero = names.frame_number(start, delivery.rate)
    moves: list[tuple[Path, Path]] = []
    try:
        for file in files:
            place = names.picture_path(out, begin + int(file.stem) - zero)
            if place.is_dir():
                raise DeliveryError(f"{place}: is a folder where a picture should be; move it away")
            part = place.with_name(f".{place.name}.part")
            moves.append((part, place))
            link(file, part)
        disk.sync(out.parent)
        _publish(moves, names.unfinished_mark(out))
        return moves[0][1]
    finally:
        for part, _ in moves:
            disk.remove(part)


def first_number(out: Path, source: Clip | None, start: Fraction) -> int:
    """Number of an output's first picture: as its name says, else that of the source's picture, else 1.

    Args:
        out: the output.
        source: of the job; None for none.
        start: time in the source, in seconds, that becomes the start of the output.
    """
    own = names.first_number(out)
    if own is not None:
        return own
    if source is None or source.info.first_number is None:
        return 1
    return source.info.first_number + names.frame_number(start, source.info.rate)


def _publish(moves: Sequence[tuple[Path, Path]], mark: Path) -> None:
    """Moves pictures into place, each (from, to) in the order of their numbers.

    No file system renames many files at once. While it is going on a mark lies beside them, by which our reader refuses
    them, and a picture in the middle is missing, by which every other reader can tell: those of an earlier render leave
    first, and the first and the last come before those between.
    """
    many = len(moves) > 1
    if many:
        disk.create(mark)
        disk.sync(mark.parent)
        for _, place in moves:
            place.unlink(missing_ok=True)
    for part, place in [moves[0], *moves[:0:-1]]:
        part.replace(place)
    disk.sync(mark.parent)
    if many:
        mark.unlink()
