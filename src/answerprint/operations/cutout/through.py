"""The contour on every frame of a shot: propagated from the key frames both ways, and blended between them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from answerprint.motion.lines import Line
from answerprint.motion.plate import Plate
from answerprint.operations.cutout.blend import BlendEvidence, blend, palette_of
from answerprint.operations.cutout.contours import Contours, Strip
from answerprint.operations.cutout.keys import chan_vese_contour, contour_settings
from answerprint.operations.cutout.params import Params
from answerprint.operations.cutout.propagate import propagate
from answerprint.operations.cutout.state import ContourState, overlap

_DOUBT = 0.35  # confidence under which another key is asked for
_STRETCH = 24  # frames of doubt for which one key is asked


def contours_of_shot(strip: Strip, keys: dict[int, ContourState], params: Params) -> tuple[Contours, list[float]]:
    """The contours of all frames, and how sure each is, 0..1.

    Args:
        strip: the shot's frames.
        keys: the solved key frames by their number in the shot, one at least.
        params: of the operation.
    """
    return _ShotContours(strip, keys, params).result()


def doubtful_frames(confidence: list[float]) -> list[int]:
    """The frame of least confidence in every stretch of doubt, of stretches longer than 24 frames one in each 24."""
    frames, stretch = [], list[int]()
    for number, value in enumerate([*confidence, 1.0]):
        if value < _DOUBT and len(stretch) < _STRETCH:
            stretch.append(number)
            continue
        if stretch:
            frames.append(min(stretch, key=lambda at: (confidence[at], at)))
        stretch = [number] if value < _DOUBT else []
    return frames


class _ShotContours:
    """The contours of a shot as they come, from the key frames outward."""

    def __init__(self, strip: Strip, keys: dict[int, ContourState], params: Params) -> None:
        self._strip, self._keys, self._params = strip, keys, params
        self._settings = contour_settings(params)
        self._contours, self._confidence = Contours(), [0.0] * len(strip)

    def result(self) -> tuple[Contours, list[float]]:
        """The contours of all frames, and how sure each is, 0..1."""
        strip, numbers = self._strip, sorted(self._keys)
        for number, state in self._keys.items():
            self._store(number, state)
        for number, state in self._propagate(numbers[0], range(numbers[0] - 1, -1, -1)):
            self._store(number, state)
        for number, state in self._propagate(numbers[-1], range(numbers[-1] + 1, len(strip))):
            self._store(number, state)
        for before, after in pairwise(numbers):
            self._between(before, after)
        confidence = [0.0 if number in strip.blank else value for number, value in enumerate(self._confidence)]
        return self._contours, confidence

    def _store(self, number: int, state: ContourState) -> None:
        self._contours[number], self._confidence[number] = state.planes(), state.confidence

    def _propagate(self, first: int, numbers: range) -> Iterator[tuple[int, ContourState]]:
        key = self._keys[first]
        if self._params.model == "chan-vese":
            return _chan_vese(self._strip, numbers, key, self._params)
        # What the keys at both ends look like, and no others: light and background change along a shot.
        keys = {first: key} | {number: self._keys[number] for number in numbers[-1:] if number in self._keys}
        return propagate(self._strip.__getitem__, first, numbers, keys, self._settings, self._strip.plates)

    def _between(self, before: int, after: int) -> None:
        """The frames between two keys."""
        strip, keys = self._strip, self._keys
        forward, backward = _Way(), _Way()
        for number, state in self._propagate(before, range(before + 1, after + 1)):
            forward[number] = state
        for number, state in self._propagate(after, range(after - 1, before - 1, -1)):
            backward[number] = state
        arrival = forward.overlap(after, keys[after]), backward.overlap(before, keys[before])
        palette = palette_of([(strip[at], keys[at]) for at in (before, after)])
        for number in range(before + 1, after):
            nearness = 1 - (number - before) / (after - before)
            if self._params.model == "chan-vese":
                self._store(number, forward[number] if nearness >= 0.5 else backward[number])
                continue
            evidence = BlendEvidence(strip[number], palette, self._settings, Plate(strip.plates, number))
            self._store(number, blend(forward[number], backward[number], nearness, arrival, evidence))


class _Way:
    """The contours of one way from a key to the next, packed."""

    def __init__(self) -> None:
        self._contours, self._others = Contours(), dict[int, tuple[float, tuple[Line, ...]]]()

    def __setitem__(self, number: int, state: ContourState) -> None:
        self._contours[number], self._others[number] = state.phi[None], (state.confidence, state.lines)

    def __getitem__(self, number: int) -> ContourState:
        return ContourState(self._contours[number][0], *self._others[number])

    def overlap(self, number: int, key: ContourState) -> float:
        """Overlap (0..1) of the contour of a frame with that of a key."""
        return overlap(self._contours[number][0] > 0, key.phi > 0)


def _chan_vese(strip: Strip, numbers: range, key: ContourState, params: Params) -> Iterator[tuple[int, ContourState]]:
    """The basic model on every frame, started from the one before."""
    phi = key.phi
    for number in numbers:
        phi = chan_vese_contour(strip, number, phi, params)
        yield number, ContourState(phi, key.confidence)
