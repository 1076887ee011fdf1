"""Film that is coded for video by repeat flags (soft telecine): its true rate, from the times of its pictures.

A stream coded at 29.97 says of every second film picture that one of its fields is shown again (`repeat_first_field`,
ITU-T H.262, 6.3.10): pictures then last three and two fields by turns, at 24 a second on average. No picture is
interlaced, none is missing, and a player shows each at the nearest field. Even times are within a field of it.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from answerprint.media.index import Index

# Pictures a second per coded one, and fields (of the coded rate) that a picture can last: 24 in 30 (2:3), 24 in 60 by
# whole frames, 24 in 25 (one field more in every twelfth picture).
_PATTERNS = ((Fraction(4, 5), (2, 3)), (Fraction(2, 5), (4, 6)), (Fraction(24, 25), (2, 3)))
_SHORTEST = 10  # pictures: two whole cycles of 2:3, and two of what would look like it by chance


def film_rate(index: Index, coded: Fraction) -> Fraction | None:
    """Pictures a second of soft telecine, None where the times of the frames are no such pattern.

    Args:
        index: of the frames, with times.
        coded: frames per second as the stream says.
    """
    if index.count < _SHORTEST:
        return None
    pts = np.asarray(index.pts, dtype=np.int64) - index.pts[0]
    field = float(1 / (2 * coded * index.tick))
    lengths = np.diff(pts) / field
    # Times are whole ticks, and where a stream has them for some pictures only, those between are added up of these.
    slack = max(2 / field, 0.05)
    if slack > 0.25:
        return None  # ticks too coarse to tell fields apart
    for share, allowed in _PATTERNS:
        fits = [np.abs(lengths - length) <= slack for length in allowed]
        if not np.logical_or(*fits).all() or not all(each.any() for each in fits):
            continue
        drift = pts / field - np.arange(index.count) * float(2 / share)
        longest = max(allowed) - min(allowed)
        if drift.max() - drift.min() <= longest + slack:
            return coded * share
    return None
