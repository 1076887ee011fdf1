"""Ropes and wires are found in the margin that was painted around them, and followed as they move."""

import cv2
import numpy as np
import pytest

from answerprint.motion import lines


def sea(seed: int = 1, height: int = 240, width: int = 320) -> np.ndarray:
    """A soft texture with noise."""
    rng = np.random.default_rng(seed)
    large = cv2.GaussianBlur(rng.normal(0, 60, (height, width)).astype(np.float32), (0, 0), 6)
    base = np.array((60, 110, 120), np.float32) + large[..., None] + rng.normal(0, 3, (height, width, 3))
    return base.clip(0, 255).astype(np.uint8)


def with_rope(
    picture: np.ndarray, points: list[tuple[int, int]], width: int = 2, color: tuple[int, int, int] = (200, 200, 190)
) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a rope along points, and where it is."""
    at = np.rint(np.array(points) * 16).astype(np.int32)
    share = np.zeros(picture.shape[:2], np.uint8)
    cv2.polylines(share, [at], False, 255, width, cv2.LINE_AA, 4)
    alpha = (share / np.float32(255))[..., None]
    return (picture * (1 - alpha) + np.float32(color) * alpha).astype(np.uint8), share > 127


def margin(mask: np.ndarray, side: int = 8, shift: tuple[int, int] = (3, -4)) -> np.ndarray:
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * side + 1, 2 * side + 1))
    wide = cv2.dilate(mask.astype(np.uint8), brush)
    return cv2.warpAffine(wide, np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]), mask.shape[::-1]) > 0


def near(mask: np.ndarray, found: np.ndarray, reach: int = 1) -> tuple[float, float]:
    """Share of each that is near the other."""
    grown = [cv2.dilate(one.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0 for one in (mask, found)]
    return float(grown[1][mask].mean()), float(grown[0][found].mean())


STRAIGHT = [(40, 200), (290, 40)]
BENT = [(40 + 24 * t, 200 - 26 * t + 1.3 * t * t) for t in range(11)]


@pytest.mark.parametrize("points", [STRAIGHT, BENT])
def test_a_rope_is_found_in_a_painted_margin(points: list[tuple[int, int]]) -> None:
    picture, rope = with_rope(sea(), points)
    found, settled = lines.find(picture, margin(rope), 12)
    assert len(found) == 1
    covered, right = near(rope, lines.draw(found, *rope.shape) > 0)
    assert covered > 0.95 and right > 0.9
    assert settled[margin(rope)].mean() > 0.9


@pytest.mark.parametrize("width", [1, 3, 6])
def test_its_width_is_measured(width: int) -> None:
    picture, rope = with_rope(sea(), STRAIGHT, width)
    found, _ = lines.find(picture, margin(rope), 14)
    length = np.hypot(*np.subtract(*STRAIGHT))
    assert abs(float(np.median(found[0].widths)) - rope.sum() / length) < 0.7
    assert abs((lines.draw(found, *rope.shape) > 0).sum() - rope.sum()) < 0.7 * length


def test_it_is_no_wider_where_it_is_hardly_seen() -> None:
    """To the right the ground is nearly as light as the rope, and clouded."""
    rng, ground = np.random.default_rng(1), sea()
    clouds = cv2.GaussianBlur(rng.normal(0, 1, (240, 120)), (0, 0), 8)
    pale = 165 + 12 * clouds / clouds.std()
    ground[:, 200:] = (pale[..., None] + rng.normal(0, 3, (240, 120, 3))).clip(0, 255)
    picture, rope = with_rope(ground, STRAIGHT)
    found, _ = lines.find(picture, margin(rope), 12)
    pale_part = found[0].points[:, 0] > 200
    assert pale_part.sum() > 60
    assert float(found[0].widths[pale_part].max()) < 1.2 * float(np.median(found[0].widths[~pale_part]))


def test_it_reaches_the_border_of_the_picture() -> None:
    picture, rope = with_rope(sea(), [(-20, 150), (340, 60)])
    found, _ = lines.find(picture, margin(rope), 12)
    covered, right = near(rope, lines.draw(found, *rope.shape) > 0)
    assert covered > 0.97 and right > 0.97


def test_it_is_followed_as_it_turns_and_moves() -> None:
    picture, rope = with_rope(sea(), STRAIGHT)
    found, _ = lines.find(picture, margin(rope), 12)
    for step in range(1, 9):
        points = [(40 + 3 * step, 200 - 2 * step), (290 - 6 * step, 40 + 5 * step)]
        picture, rope = with_rope(sea(seed=step), points)
        found = lines.follow(picture, found)
    covered, right = near(rope, lines.draw(found, *rope.shape) > 0, 2)
    assert covered > 0.9 and right > 0.9


def test_a_stronger_edge_that_crosses_it_does_not_lead_it_astray() -> None:
    picture, _ = with_rope(sea(), [(0, 118), (320, 112)], 9, (250, 240, 200))
    picture, rope = with_rope(picture, STRAIGHT)
    found, _ = lines.find(picture, margin(rope), 12)
    _, right = near(rope, lines.draw(found, *rope.shape) > 0, 2)
    assert right > 0.85


def test_nothing_is_found_where_no_rope_is() -> None:
    _, rope = with_rope(sea(), STRAIGHT)
    found, settled = lines.find(sea(), margin(rope), 12)
    assert not found and not settled.any()


def test_a_limb_is_no_line() -> None:
    shape = np.zeros((240, 320), bool)
    cv2.ellipse(shape.view(np.uint8), (160, 120), (60, 40), 0, 0, 360, 1, -1)
    shape[150:210, 150:170] = True
    picture = sea()
    picture[shape] = (200, 120, 80)
    found, settled = lines.find(picture, shape, 14)
    assert not found and not settled.any()


def test_a_rope_ends_at_the_area_it_hangs_on() -> None:
    """From the second frame on something behind the ball goes on as the rope does."""
    middle = (165, 120)
    ball = np.zeros((240, 320), np.uint8)
    cv2.circle(ball, middle, 8, 1, -1)
    (first, rope), (other, _) = with_rope(sea(), [STRAIGHT[0], middle]), with_rope(sea(), STRAIGHT)
    for picture in (first, other):
        picture[ball > 0] = (200, 120, 80)
    found, _ = lines.find(first, margin(rope), 12)
    held, astray = found, found
    for _ in range(8):
        held, astray = lines.follow(other, held, ball > 0), lines.follow(other, astray)
    assert float(astray[0].points[:, 0].max()) > 220
    assert float(held[0].points[:, 0].max()) < 180


def test_a_rope_that_is_hidden_for_a_while_is_found_again() -> None:
    picture, rope = with_rope(sea(), STRAIGHT)
    found, _ = lines.find(picture, margin(rope), 12)
    for hidden in (np.zeros_like(picture), sea(seed=2), sea(seed=3)):
        found = lines.follow(hidden, found)
        assert not (lines.draw(found, *rope.shape) > 0).any()
    picture, rope = with_rope(sea(seed=4), [(x + 4, y - 3) for x, y in STRAIGHT])
    found = lines.follow(picture, found)
    covered, right = near(rope, lines.draw(found, *rope.shape) > 0, 2)
    assert covered > 0.9 and right > 0.9


def test_a_rope_that_is_gone_is_dropped() -> None:
    picture, rope = with_rope(sea(), STRAIGHT)
    found, _ = lines.find(picture, margin(rope), 12)
    for seed in range(2, 22):
        found = lines.follow(sea(seed=seed), found)
        assert not (lines.draw(found, *rope.shape) > 0).any()
    assert not found


def test_nothing_drawn_is_outside_everywhere() -> None:
    assert not (lines.draw((), 4, 5) > -1e6).any()
