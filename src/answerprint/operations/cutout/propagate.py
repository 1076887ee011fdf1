"""The contour of a key frame propagated along the flow, frame by frame.

Every frame is a level set (`levelset.py`) whose evidence is what inside and outside looked like in the frames before it
(`regions.py`), whose prior shape is the last contour carried along the flow and trusted as far as the flow is. Frames
farther off show what the background behind a target looks like (`motion/plate.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
import numpy as np

from answerprint.color.bins import features
from answerprint.motion import flow, layers
from answerprint.motion.layers import CropWindow, View
from answerprint.motion.lines import Line, follow
from answerprint.motion.plate import Plate, Plates
from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.regions import Regions, odds
from answerprint.operations.cutout.state import (
    Array,
    ContourSettings,
    ContourState,
    Mask,
    Picture,
    box_of,
    certainty,
    dilate,
    evolve_contour,
    level_set_terms,
    region_weights,
    shrink_contour,
    shrink_picture,
)

T = TypeVar("T")

_ROOM = 16  # pixels that a target may move before its window follows
_THREADS = 2  # for what does not wait for the rest of a frame


def propagate(
    pictures: Callable[[int], Picture],
    first: int,
    numbers: Sequence[int],
    keys: Mapping[int, ContourState],
    settings: ContourSettings,
    plates: Plates | None = None,
) -> Iterator[tuple[int, ContourState]]:
    """Propagates the contour of a key frame to the frames `numbers`, one after the other.

    Args:
        pictures: gives a frame by its number, (H, W, 3) uint8.
        first: the key frame's number.
        numbers: in the order they are reached, each beside the one before.
        keys: the key frame, solved, and others that show what target and background look like as a whole.
        settings: of the contour.
        plates: the clean plates of the shot; None does without.

    Yields:
        A frame's number and its state.
    """
    key = keys[first]
    lines, length = key.lines, sum(len(line.points) for line in key.lines)
    if not (key.phi > 0).any():
        for number in numbers:
            lines = follow(pictures(number), lines) if lines else ()
            yield number, ContourState(key.phi, _line_confidence(lines, length) if length else 0.0, lines)
        return
    scale = _working_scale(key.phi, settings)
    with ThreadPoolExecutor(_THREADS) as pool:
        view = View.of(shrink_picture(pictures(first), scale))
        tracker = Tracker(view, shrink_contour(key.phi, scale), settings, scale, pool)
        tracker.plates = plates
        for number in (first, *(other for other in keys if other != first)):
            tracker.anchor(pictures(number), keys[number])
        confidence, key_likeness, phi = key.confidence, tracker.likeness(), key.phi
        ready = ((picture, pool.submit(shrink_picture, picture, scale)) for picture in map(pictures, numbers))
        for number, ((picture, small), following) in zip(numbers, _with_next(ready), strict=True):
            tracing = pool.submit(follow, picture, lines, phi > 0)
            visibility = tracker.step(number, small.result(), following and following[1], number > first)
            confidence = confidence**0.75 * min(1.0, visibility / 0.45) ** 0.25
            phi = _enlarge(tracker.whole(), key.phi.shape, scale)
            # Looking right is not being right: doubt grows with every frame away from the key. Colors followed frame
            # by frame go along with a contour that is lost; those of the keys do not.
            drift = min(1.0, tracker.likeness() / max(key_likeness, 1e-3)) ** 2
            lines = tracing.result()
            lasting = confidence * drift * _line_confidence(lines, length) * 0.96 ** abs(number - first)
            yield number, ContourState(phi, lasting, lines)


def _with_next(items: Iterator[T]) -> Iterator[tuple[T, T | None]]:
    """Each item with the one after it."""
    here = next(items, None)
    while here is not None:
        after = next(items, None)
        yield here, after
        here = after


def _enlarge(phi: Array, shape: tuple[int, ...], scale: float) -> Array:
    """A signed distance found on pictures `scale` times smaller, in pixels of the picture of `shape` (H, W)."""
    if scale <= 1:
        return phi
    result: Array = cv2.resize(phi, shape[::-1], interpolation=cv2.INTER_CUBIC) * np.float32(scale)
    return result


def _line_confidence(lines: Sequence[Line], length: int) -> float:
    """Factor on the confidence (1 none) by what of the key's thin parts, `length` pixels in all, is lost."""
    visible = sum(len(line.points) for line in lines if not line.misses)
    return 0.5 + 0.5 * min(1.0, visible / length) if length else 1.0


def _working_scale(phi: Array, settings: ContourSettings) -> float:
    """Factor by which pictures are made smaller to propagate a contour: 1 where the target is small."""
    box = box_of(phi > 0, round(settings.search) + _ROOM)
    sides = [float(side.stop - side.start) for side in box]
    return max(1.0, float(np.sqrt(sides[0] * sides[1] / settings.window_pixels)))


class Tracker:
    """The last frame's contour, its colors, the background, and the key, carried from frame to frame.

    All but the key is held in a window around the target, which follows it. What does not wait for the rest of a frame
    is worked out beside it, in a pool of threads.

    Args:
        view: the key frame.
        phi: (H, W) its contour.
        settings: of the contour.
        scale: how much smaller the frames are than the shot's pictures.
        pool: of threads.

    Attributes:
        plates: the clean plates of the shot; None does without.
    """

    def __init__(
        self, view: View, phi: Array, settings: ContourSettings, scale: float, pool: ThreadPoolExecutor
    ) -> None:
        self.settings, self.scale, self.codes, self._pool = settings, scale, view.codes, pool
        self.plates: Plates | None = None
        self.size = (phi.shape[0], phi.shape[1])
        self.window = self._window_around(phi > 0, CropWindow(0, 0, 0, 0))
        box = self.window.box
        self.view, self.phi = View.of(view.codes[box]), np.ascontiguousarray(phi[box])
        self.regions = Regions(self.size, max(4, round(settings.cell / scale)))
        self.memory = layers.KeyMemory(view, phi, self.window)
        self.background = layers.Background.of(self.view, self.phi)
        self.color_confidence: Array | None = None
        self._distance = 0  # frames from the key
        self._prefetch: tuple[CropWindow, Future[tuple[View, Array]]] | None = None

    def anchor(self, picture: Picture, key: ContourState) -> None:
        """Adds the colors of a key frame, (H, W, 3) at the shot's size, to those that are never forgotten."""
        colors = features(shrink_picture(picture, self.scale))
        self.regions.anchor(colors, *region_weights(shrink_contour(key.phi, self.scale)))

    def whole(self) -> Array:
        """The contour (H, W) in the whole picture."""
        result = np.full(self.size, layers.OUTSIDE, np.float32)
        result[self.window.box] = self.phi
        return result

    def likeness(self) -> float:
        """Likeness of the contour's inside to the key frames' target, 0..1."""
        return self.regions.likeness(self.view.colors, self.phi > 0)

    def step(self, number: int, codes: Picture, following: Future[Picture] | None, forward: bool) -> float:
        """Goes on to the next frame; returns how clearly the target is visible in it, 0..1.

        Args:
            number: of the frame.
            codes: (H, W, 3) the frame.
            following: the one that is reached after it, if there is one.
            forward: whether the frame lies after the one before.
        """
        self._distance += 1
        self._move_window()
        window, before, phi = self.window, self.view, self.phi
        learning = self._pool.submit(self._learn, before, phi)
        present, back = self._view_and_flow(codes, before)
        self.codes = codes
        motion = layers.layer_motion(before, present, phi, back)
        carried = flow.warp(phi, motion.target, layers.OUTSIDE)
        background = self.background.warped(motion.background)
        if not (carried > 0).any():
            self.view, self.phi, self.background = present, np.full_like(phi, layers.OUTSIDE), background
            self.color_confidence = learning.result()
            return 0.0
        remembering = self._pool.submit(self.memory.warp_onto, present, motion.target)
        comparing = self._pool.submit(self._plate_odds, number, present, carried, motion, forward)
        color_confidence = flow.warp(learning.result(), motion.target)
        layer_odds = self.settings.appearance * layers.appearance_evidence(present, before, carried, motion, background)
        layer_odds += self.settings.motion * layers.motion_evidence(present, before, back, motion)
        remembered, trust = remembering.result()
        if following is not None:
            self._prefetch = window, self._pool.submit(_look, following.result()[window.box], present)
        shape = ((1 - trust) * carried.clip(-8, 8) + trust * remembered.clip(-8, 8)).astype(np.float32)
        near = dilate(shape > 0, self.settings.search / self.scale)
        chance = self.regions.ask(present.colors, near, (window.top, window.left))
        log_odds = self._shape_odds(carried, remembered, trust)
        log_odds += layer_odds + self._target_bias()
        log_odds += self._color_weight(color_confidence) * odds(chance)
        log_odds += self.settings.plate * comparing.result()
        contour = self._solve(log_odds, shape, near, present)
        self.background = background.updated(present, contour)
        self.view, self.phi, self.color_confidence = present, contour, _color_confidence(contour, chance)
        edge = np.abs(contour) < 3
        fit = float(trust[edge].mean()) if edge.any() else 0.0
        return certainty(contour, chance) * (0.5 + 0.5 * fit)

    def _window_around(self, mask: Mask, present: CropWindow) -> CropWindow:
        """The window for a target: the present one, as long as the target is not near its border."""
        inside = layers.bounding_box(mask, 0)
        if inside is None:
            return present
        down, across = inside
        box = (
            slice(down.start + present.top, down.stop + present.top),
            slice(across.start + present.left, across.stop + present.left),
        )
        reach = round(self.settings.search / self.scale)
        if present.holds(CropWindow.around(box, reach, self.size)):
            return present
        return CropWindow.around(box, reach + round(_ROOM / self.scale), self.size)

    def _move_window(self) -> None:
        """Moves the window where the target nears its border."""
        old, new = self.window, self._window_around(self.phi > 0, self.window)
        if new == old:
            return
        self.window = new
        self.view = View.of(self.codes[new.box])
        self.phi = levelset.signed_distance(layers.rewindow(self.phi, old, new, layers.OUTSIDE) > 0)
        self.memory.move_window(new)
        self.background = self.background.rewindowed(old, new).updated(self.view, self.phi)
        if self.color_confidence is not None:
            self.color_confidence = layers.rewindow(self.color_confidence, old, new)

    def _view_and_flow(self, codes: Picture, before: View) -> tuple[View, Array]:
        """`_look` at the present frame, worked out ahead where the window stayed."""
        prefetch, self._prefetch = self._prefetch, None
        if prefetch is not None and prefetch[0] == self.window:
            return prefetch[1].result()
        return _look(codes[self.window.box], before)

    def _shape_odds(self, carried: Array, remembered: Array, trust: Array) -> Array:
        """Log odds by the carried contour and by the key's, each as far as it is trusted."""
        settings = self.settings
        result: Array = settings.propagated_prior * (1 - trust) * carried.clip(-8, 8)
        result += settings.key_memory * trust * 3 * np.tanh(remembered / 3)
        return result

    def _target_bias(self) -> np.float32:
        return np.float32(self.settings.target_bias * np.exp(-self._distance / self.settings.bias_frames))

    def _color_weight(self, color_confidence: Array) -> Array:
        least = self.settings.least_color
        result: Array = self.settings.color * (least + (1 - least) * color_confidence)
        return result

    def _plate_odds(
        self, number: int, present: View, carried: Array, motion: layers.LayerMotion, forward: bool
    ) -> Array:
        """Log odds by the clean plate."""
        if self.plates is None or not self.settings.plate:
            return np.zeros_like(carried)
        back = (motion.whole - motion.background)[carried > 0].mean(0)
        plate = Plate(self.plates, number, self.scale)
        return plate.odds(present, self.window, carried, -back if forward else back)

    def _learn(self, before: View, phi: Array) -> Array:
        """Learns the colors of the frame before; returns how well those known before told its two sides apart."""
        corner = (self.window.top, self.window.left)
        confidence = self.color_confidence
        if confidence is None:
            near = dilate(phi > 0, self.settings.search / self.scale)
            confidence = _color_confidence(phi, self.regions.ask(before.colors, near, corner))
        self.regions.fade(self.settings.decay)
        self.regions.learn(before.colors, *region_weights(phi), corner)
        self.regions.rebuild()
        return confidence

    def _solve(self, log_odds: Array, shape: Array, near: Mask, present: View) -> Array:
        """The contour near the propagated one, by the log odds of every pixel."""
        box = box_of(near, 4)
        evidence = cv2.GaussianBlur(np.tanh(log_odds[box] / 2).astype(np.float32), (0, 0), 0.7)
        evidence[~near[box]] = -1
        start, prior = levelset.signed_distance(evidence > 0), np.ascontiguousarray(shape[box])
        terms = level_set_terms(self.settings.weights, evidence, prior, present.colors[box])
        phi = evolve_contour(start, terms, self.settings.iterations)
        mask = np.zeros(shape.shape, bool)
        mask[box] = layers.remove_stray_pieces(phi > 0, prior > 0)
        return levelset.signed_distance(mask)


def _look(codes: Picture, before: View) -> tuple[View, Array]:
    """The view of a frame, and the flow from it to the one before."""
    present = View.of(codes)
    return present, flow.flow(present.gray, before.gray, "medium")


def _color_confidence(phi: Array, chance: Array) -> Array:
    """Confidence (H, W) of color near a contour: 0 where it does not tell the two sides apart, 1 where without error.

    The color confidence of Bai et al. 2009 (equation 2): by histograms that had not learned the frame.
    """
    side = (41, 41)
    weight = (np.exp(-((phi / 6) ** 2)) * (np.abs(phi) < 14)).astype(np.float32)
    wrong = cv2.blur(weight * np.abs((phi > 0) - chance), side) / np.maximum(cv2.blur(weight, side), 1e-4)
    result: Array = (1 - 2 * wrong).clip(0, 1).astype(np.float32)
    return result
