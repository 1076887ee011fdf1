"""Where one shot ends and the next begins: hard cuts, dissolves and fades, found in one pass over small copies.

Hard cuts are PySceneDetect's AdaptiveDetector (a frame's change in hue, saturation and luma against that of its
neighbors, so that a moving camera is no cut), fades its ThresholdDetector. It has no detector for dissolves: here a
dissolve is a run of frames that are mixtures of its first and its last, in shares that rise steadily, where first and
last are different pictures and those between have less detail than both (linear model and loss of contrast: Hanjalic,
"Shot-boundary detection: unraveled and resolved?", IEEE TCSVT 12(2), 2002).

What is not found: cuts in the first or last two frames, shots of fewer than five frames (a flash looks the same),
dissolves of fewer than about 6 or more than about 40 frames, or between pictures that move a lot or look alike; wipes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol

from answerprint.errors import ShotError

if TYPE_CHECKING:  # both take long to import, and every command reads this module
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    from answerprint.frame import Frame

    Picture = NDArray[np.uint8]
    Vector = NDArray[np.float32]

Transition = Literal["cut", "dissolve", "fade", "wipe", "key"]  # detection knows the first three

SHORTEST = 5  # frames of a shot; what returns sooner was a flash
_WIDTH = 160  # of the copies that cuts are looked for in
_BLACK = 20.0  # of 255: a frame is black where even its bright parts are darker
_REACHES = (4, 6, 9, 12, 18, 24)  # half the frames that a dissolve is looked for in


@dataclass(frozen=True)
class ShotRange:
    """Frames [start, stop) of a clip that belong together.

    Attributes:
        name: "001", "002", ... or the name that a given shot list has for it.
        start: its first frame, counted from 0.
        stop: the frame after its last.
        transition: how it begins: the clip's first shot begins with a cut.
    """

    name: str
    start: int
    stop: int
    transition: Transition = "cut"

    def __post_init__(self) -> None:
        if self.start < 0 or self.stop <= self.start:
            raise ShotError(
                f"shot {self.name}: frames {self.start} to {self.stop} are no range; stop must be after start"
            )

    def __len__(self) -> int:
        return self.stop - self.start


class Footage(Protocol):
    """What detection needs of a clip (`media.reader.Clip`)."""

    @property
    def info(self) -> Any: ...
    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]: ...
    def __len__(self) -> int: ...


def whole(length: int) -> list[ShotRange]:
    """A clip of so many frames as one shot."""
    return [ShotRange("001", 0, length)]


def detect(
    clip: Footage,
    *,
    start: int = 0,
    stop: int | None = None,
    threshold: float = 2.2,
    on_frame: Callable[[], None] | None = None,
) -> list[ShotRange]:
    """The shots of a clip, in order and without gaps.

    Args:
        clip: the footage; its frames are read once.
        start: the first frame to look at.
        stop: the frame after the last; None for the end of the clip.
        threshold: how many times the change of its neighbors a frame's change must be for a hard cut.
        on_frame: called after each frame, to show how far it is.

    Raises:
        ShotError: the clip has no frames.
    """
    boundaries: dict[int, Transition] = {}
    length = 0
    search = _Search(clip.info.rate, threshold)
    for frame in clip.frames(start, stop):
        search.look(_small(frame))
        length += 1
        if on_frame is not None:
            on_frame()
    if length == 0:
        raise ShotError("the clip has no frames, so it has no shots")
    boundaries = search.boundaries()
    starts = [0, *sorted(boundaries)]
    return [
        ShotRange(f"{number:03d}", start + first, start + last, boundaries.get(first, "cut"))
        for number, (first, last) in enumerate(zip(starts, [*starts[1:], length], strict=True), 1)
    ]


def _small(frame: Frame) -> Picture:
    """A small 8-bit copy, (h, w, 3) in the order blue, green, red that PySceneDetect takes."""
    import cv2
    import numpy as np

    planes = frame.pixels.numpy()
    width = min(_WIDTH, frame.width)
    height = max(1, round(frame.height * width / frame.width))
    small = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in planes[::-1]]
    codes = np.nan_to_num(np.stack(small, axis=-1), nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(np.clip(codes * 255 + 0.5, 0, 255), dtype=np.uint8)


class _Search:
    """Looks at one small frame after another; remembers only the last few, however long the clip is."""

    def __init__(self, rate: Fraction, threshold: float) -> None:
        from scenedetect.detectors import AdaptiveDetector, ThresholdDetector

        self._rate = rate
        self._count = 0
        self._cutter = AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=2)
        self._fader = ThresholdDetector(threshold=_BLACK, min_scene_len=SHORTEST)
        self._recent: deque[Picture] = deque(maxlen=4 * SHORTEST)
        self._vectors: deque[Vector] = deque(maxlen=2 * max(_REACHES) + 1)
        self._details: deque[float] = deque(maxlen=2 * max(_REACHES) + 1)
        self._waiting: list[int] = []  # hard cuts whose flash check still needs frames
        self._cuts: list[int] = []
        self._fades: list[int] = []
        self._mixtures: list[tuple[int, float]] = []  # middle of a dissolve, how far from a perfect mixture

    def look(self, picture: Picture) -> None:
        import numpy as np
        from scenedetect import FrameTimecode

        now = FrameTimecode(self._count, fps=self._rate)
        self._waiting += [cut.frame_num for cut in self._cutter.process_frame(now, picture)]
        bright = np.full((1, 1, 3), _brightness(picture), dtype=np.uint8)
        self._fades += [fade.frame_num for fade in self._fader.process_frame(now, bright)]
        self._recent.append(picture)
        self._vectors.append(_vector(picture))
        self._details.append(_detail(picture))
        self._count += 1
        self._settle(SHORTEST)
        self._mixtures += _dissolves(self._vectors, self._details, self._count)

    def _settle(self, after: int) -> None:
        """Takes hard cuts for true that are followed by `after` frames and are no flash."""
        while self._waiting and self._count - self._waiting[0] >= after:
            cut = self._waiting.pop(0)
            place = len(self._recent) - (self._count - cut)
            recent = list(self._recent)
            old, new = recent[max(place - SHORTEST, 0) : place], recent[place : place + SHORTEST]
            if not (_is_dark(old[-1], new[0]) or _is_flash(old, new) or _is_motion(old, new)):
                self._cuts.append(cut)

    def boundaries(self) -> dict[int, Transition]:
        """First frame of each shot but the first, and how it begins. A hard cut counts before a fade or dissolve."""
        self._settle(0)
        starts: dict[int, Transition] = {}
        for cut in self._cuts:
            if not _near(cut, starts, SHORTEST) and cut >= 2:
                starts[cut] = "cut"
        for fade in self._fades:
            if not _near(fade, starts, 2 * SHORTEST):
                starts[fade] = "fade"
        for middle in _middles(self._mixtures):
            if not _near(middle, starts, 2 * SHORTEST):
                starts[middle] = "dissolve"
        return starts


def _near(frame: int, others: Iterable[int], reach: int) -> bool:
    return any(abs(frame - other) < reach for other in others)


def _distance(one: Picture, other: Picture) -> float:
    import cv2

    return float(cv2.norm(one, other, cv2.NORM_L1)) / one.size


def _brightness(picture: Picture) -> float:
    """Of the bright parts of a picture, 0 to 255."""
    import numpy as np

    return float(np.percentile(picture, 98))


def _is_dark(one: Picture, other: Picture) -> bool:
    """Whether both pictures are nearly black, where hue and saturation jump without anything to see: a fade's end."""
    return max(_brightness(one), _brightness(other)) < 2 * _BLACK


def _is_flash(before: list[Picture], after: list[Picture]) -> bool:
    """Whether the picture before a cut returns soon after it: a flash, a dropped frame, a splice."""
    step = _distance(before[-1], after[0])
    return any(_distance(old, new) < 0.5 * step for old in before for new in after)


def _is_motion(before: list[Picture], after: list[Picture]) -> bool:
    """Whether the picture after a cut is much the same one, and the change no great leap beside those around it."""
    if _likeness(_vector(before[-1]), _vector(after[0])) < 0.8:
        return False
    around = [_distance(one, other) for run in (before[-3:], after[:3]) for one, other in pairwise(run)]
    return bool(around) and _distance(before[-1], after[0]) < 4 * sum(around) / len(around)


def _vector(picture: Picture) -> Vector:
    """A frame as a point: so small that what moves a little stays where it is."""
    import cv2
    import numpy as np

    return np.asarray(cv2.resize(picture, (24, 16), interpolation=cv2.INTER_AREA), dtype=np.float32).ravel()


def _detail(picture: Picture) -> float:
    """How much detail a picture has: the deviation of its Laplacian."""
    import cv2

    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.CV_32F).std())


def _dissolves(vectors: deque[Vector], details: deque[float], count: int) -> list[tuple[int, float]]:
    """Dissolves whose middle is `reach` frames ago, for each reach that the frames remembered allow."""
    import numpy as np

    mixtures = []
    for reach in _REACHES:
        length = 2 * reach + 1
        if len(vectors) < length:
            break
        detail = [details[i] for i in range(len(details) - length, len(details))]
        # Independent detail that is averaged loses up to 1 - sqrt(1/2) of its deviation; a panned picture loses none.
        quarter = max(1, reach // 4)
        within = detail[reach - quarter : reach + quarter + 1]
        if sum(within) / len(within) > 0.8 * (detail[0] + detail[-1]) / 2:
            continue
        fault = _mixture_fault(np.stack([vectors[i] for i in range(len(vectors) - length, len(vectors))]))
        if fault is not None:
            mixtures.append((count - 1 - reach, fault))
    return mixtures


def _mixture_fault(window: Vector) -> float | None:
    """How far frames are from mixtures of the first and last in rising shares; None where they are no dissolve.

    Args:
        window: frames as points, (frames, values) of 0 to 255.
    """
    import numpy as np

    first, last = window[0], window[-1]
    way = last - first
    span = float(way @ way)
    if span < way.size * 15.0**2 or min(first.std(), last.std()) < 8.0:  # alike, or one of them is blank
        return None
    if _likeness(first, last) > 0.7:  # the same picture, brighter or moved a little
        return None
    shares = (window - first) @ way / span
    rest = window - first - shares[:, None] * way
    fault = float(np.sqrt((rest**2).sum(axis=1).mean() / span))
    steps = np.diff(shares)
    steady = steps.max() < 0.3 and steps.min() > -0.05 and 0.35 < shares[len(shares) // 2] < 0.65
    return fault if steady and fault < 0.35 else None


def _likeness(one: Vector, other: Vector) -> float:
    """Correlation of two pictures, whatever their brightness and contrast; 0 where one is blank."""
    import numpy as np

    if min(one.std(), other.std()) < 1.0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _middles(mixtures: list[tuple[int, float]]) -> list[int]:
    """One frame for each run of neighboring finds: the one that is most a mixture."""
    runs: list[list[tuple[int, float]]] = []
    for mixture in sorted(mixtures):
        if runs and mixture[0] - runs[-1][-1][0] <= SHORTEST:
            runs[-1].append(mixture)
        else:
            runs.append([mixture])
    return [min(run, key=lambda mixture: mixture[1])[0] for run in runs]
