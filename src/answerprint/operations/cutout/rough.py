"""Rough shapes of a key frame: out of strokes, out of a box by GrabCut, and moved to where they fit."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.color.bins import features
from answerprint.motion.layers import CropWindow, View
from answerprint.motion.plate import Plate
from answerprint.operations.cutout import levelset
from answerprint.operations.cutout.regions import Regions
from answerprint.operations.cutout.state import FAR, MARGIN, Array, ContourSettings, Mask, Picture, box_of

_CUT_PIXELS = 100_000  # of the picture that GrabCut works on
_CUTS = 10  # that it makes, each after learning the colors anew
_SURE = 2.0  # log odds by the clean plate that GrabCut may not go against
_HARDLY = 0.5  # log odds against a pixel from which on it begins as background there
_LEAST_OF_BOX = 0.05  # share of a box that a target in it fills at least


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """A key frame and what is known of it.

    Attributes:
        picture: (H, W, 3) uint8.
        foreground: (H, W) bool, pixels that are surely the target.
        background: (H, W) bool, pixels that are surely not.
        neighbors: frames some way off, which show what moves with the target.
        plate: the frame's clean plate; None does without.
    """

    picture: Picture
    foreground: Mask
    background: Mask
    neighbors: tuple[Picture, ...] = ()
    plate: Plate | None = None

    @classmethod
    def of(cls, picture: Picture, neighbors: tuple[Picture, ...] = (), plate: Plate | None = None) -> KeyFrame:
        """A key frame of which no pixel is sure."""
        none = np.zeros(picture.shape[:2], bool)
        return cls(picture, none, none, neighbors, plate)


def shape_from_strokes(key: KeyFrame, settings: ContourSettings) -> Mask:
    """A rough shape (H, W) from strokes alone: what looks like the foreground strokes and is connected to them."""
    colors = features(key.picture)
    height, width = key.foreground.shape
    regions = Regions((height, width), settings.key_cell)
    inside, outside = key.foreground.astype(np.float32), key.background.astype(np.float32)
    if not key.background.any():
        # The border of the picture is the best guess of what is not the target.
        rim = max(1, min(height, width) // 40)
        outside[:rim] = outside[-rim:] = outside[:, :rim] = outside[:, -rim:] = 1
        outside[key.foreground] = 0
    regions.learn(colors, inside, outside)
    regions.anchor(colors, inside, outside)
    chance = cv2.GaussianBlur(regions.ask(colors, np.ones_like(key.foreground)), (0, 0), 2)
    likely = ((chance > 0.5) | key.foreground) & ~key.background
    _, labels = cv2.connectedComponents(likely.astype(np.uint8))
    stroke_labels = np.unique(labels[key.foreground])
    result: Mask = np.isin(labels, stroke_labels[stroke_labels > 0])
    return result


def shape_in_box(key: KeyFrame, box: Mask, slack: float, settings: ContourSettings) -> Mask:
    """The rough shape of the target in a box, by GrabCut (Rother, Kolmogorov and Blake 2004, OpenCV's).

    What the clean plate is sure of either way is given to it beforehand: colors alone cannot tell a target from
    background that the box holds too.

    Args:
        key: the key frame.
        box: (H, W) bool, the box.
        slack: how far inside the box the target's border may be, in pixels.
        settings: of the contour.

    Returns:
        (H, W) bool; the box where nothing in it stands out.
    """
    prior = levelset.signed_distance(box)
    part = box_of(prior > -FAR, MARGIN)
    codes, rough = np.ascontiguousarray(key.picture[part]), np.ascontiguousarray(prior[part])
    plate_odds = np.zeros_like(rough)
    if key.plate is not None and settings.plate:
        window, inset = CropWindow.of(part), min(slack, 0.5 * float(prior.max()))
        away = key.plate.away(rough > inset, window)
        plate_odds = settings.plate * key.plate.odds(View.of(codes), window, rough, away)
    labels = np.where(plate_odds < -_HARDLY, cv2.GC_PR_BGD, cv2.GC_PR_FGD).astype(np.uint8)
    labels[plate_odds > _SURE] = cv2.GC_FGD
    labels[(plate_odds < -_SURE) | (rough <= 0)] = cv2.GC_BGD
    labels[key.foreground[part]], labels[key.background[part]] = cv2.GC_FGD, cv2.GC_BGD
    shape = np.zeros_like(box)
    shape[part] = _grab_cut(codes, labels)
    return shape if shape.sum() > _LEAST_OF_BOX * box.sum() else box


def _grab_cut(picture: Picture, labels: npt.NDArray[np.uint8]) -> Mask:
    """GrabCut from labels, on a picture made smaller where it is large: its time grows faster than the picture."""
    height, width = labels.shape
    shrink = max(1.0, float(np.sqrt(height * width / _CUT_PIXELS)))
    small = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    codes = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    marks = cv2.resize(labels, small, interpolation=cv2.INTER_NEAREST)
    if not (marks % 2).any() or (marks % 2).all():
        return np.asarray(labels % 2 > 0)  # nothing to tell apart
    cv2.setRNGSeed(1)  # it begins with k-means, which draws; the same frame must give the same shape
    cv2.grabCut(codes, marks, None, np.zeros((1, 65)), np.zeros((1, 65)), _CUTS, cv2.GC_INIT_WITH_MASK)
    target = (marks % 2).astype(np.float32)
    return np.asarray(cv2.resize(target, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)


def fit_shape(shape: Array, chance: Array, slack: float) -> Array:
    """A rough shape moved and scaled to where it covers most of the target and least of the background.

    Args:
        shape: (H, W) signed distance of the shape.
        chance: (H, W) in 0..1 that a pixel belongs to the target.
        slack: how far it may move or shrink, in pixels.

    Returns:
        (H, W) signed distance of the shape where it fits; `shape` itself where it would vanish.
    """
    step = max(1, round(slack / 6))
    size = (max(2, shape.shape[1] // step), max(2, shape.shape[0] // step))
    gain = cv2.resize(2 * chance - 1, size, interpolation=cv2.INTER_AREA)
    reach = max(1, round(slack / step))
    padded = cv2.copyMakeBorder(gain, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=-1)
    cover = cv2.resize((shape > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # The chance was learned where the shape lies and speaks for that place: only a clear gain moves it.
    score = float((cover * gain).sum())
    best = (score + max(abs(score), 0.4 * float(cover.sum())), 0.0, 1.0, 0, 0)
    for scale in (0.9, 1.0, 1.1):
        scaled_shape = _scale_shape(shape, scale)
        for inset in (0.0, 0.33 * slack, 0.66 * slack):
            mask = cv2.resize((scaled_shape > inset).astype(np.float32), size, interpolation=cv2.INTER_AREA)
            scores = cv2.matchTemplate(padded, mask, cv2.TM_CCORR)
            y, x = divmod(int(scores.argmax()), scores.shape[1])
            if scores[y, x] > best[0]:
                best = (float(scores[y, x]), inset, scale, x - reach, y - reach)
    _, inset, scale, x, y = best
    turn = np.array([[1, 0, x * step], [0, 1, y * step]], np.float32)
    fitted_shape = cv2.warpAffine(
        _scale_shape(shape, scale) - np.float32(inset), turn, shape.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )
    return levelset.signed_distance(fitted_shape > 0) if (fitted_shape > 0).sum() > 0.2 * (shape > 0).sum() else shape


def _scale_shape(shape: Array, scale: float) -> Array:
    """A signed distance with its shape scaled about its middle."""
    rows, columns = np.nonzero(shape > 0)
    if scale == 1.0 or not len(rows):
        return shape
    turn = cv2.getRotationMatrix2D((float(columns.mean()), float(rows.mean())), 0, scale)
    result: Array = cv2.warpAffine(shape, turn, shape.shape[::-1], borderMode=cv2.BORDER_REPLICATE) * np.float32(scale)
    return result
