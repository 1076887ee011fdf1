"""Scopes show each level and color where it belongs, by the picture's own matrix, also outside 0..1."""

import numpy as np
import pytest
import torch

from answerprint.frame import ColorTags
from answerprint.metrics import scopes

REC709 = ColorTags(matrix="bt709")


def flat(r: float, g: float, b: float, height: int = 90, width: int = 160) -> torch.Tensor:
    return torch.tensor([r, g, b]).view(3, 1, 1).expand(3, height, width).contiguous()


def lit(image: np.ndarray) -> tuple[float, float]:
    """Center (x, y) of what is bright, in shares of the image."""
    weight = image.astype(float).sum(axis=2) - 3 * 13
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    x, y = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
    return (x + 0.5) / image.shape[1], (y + 0.5) / image.shape[0]


@pytest.mark.parametrize("level", [-0.05, 0.0, 0.18, 0.5, 1.0, 1.05])
def test_waveform_shows_a_flat_picture_at_its_level(level: float) -> None:
    _, y = lit(scopes.waveform(flat(level, level, level), REC709, graticule=False))
    assert y == pytest.approx((1.1 - level) / 1.2, abs=0.006)


def test_waveform_keeps_left_left() -> None:
    ramp = torch.linspace(0, 1, 160).expand(3, 90, 160)
    image = scopes.waveform(ramp, REC709, graticule=False).astype(float).sum(axis=2)
    brightest = image.argmax(axis=0)
    assert brightest[5] > brightest[190] > brightest[378]


def test_waveform_has_no_gaps_when_the_picture_is_narrow() -> None:
    image = scopes.waveform(flat(0.5, 0.5, 0.5, width=70), REC709, width=384, graticule=False)
    assert (image.max(axis=(0, 2)) > 100).all()


def test_luma_follows_the_matrix_of_the_picture() -> None:
    red = flat(1, 0, 0)
    assert scopes.luma(red, ColorTags(matrix="smpte170m"))[0, 0] == pytest.approx(0.299)
    assert scopes.luma(red, REC709)[0, 0] == pytest.approx(0.2126)
    assert scopes.luma(red, ColorTags(matrix="bt2020nc"))[0, 0] == pytest.approx(0.2627)


@pytest.mark.parametrize(
    ("tags", "height", "expected"),
    [
        (ColorTags(), 576, (0.299, 0.114)),
        (ColorTags(), 1080, (0.2126, 0.0722)),
        (ColorTags(matrix="rgb"), 480, (0.2126, 0.0722)),
        (ColorTags(matrix="rgb", primaries="bt2020"), 1080, (0.2627, 0.0593)),
    ],
)
def test_a_picture_without_a_matrix_is_read_by_the_stated_policy(
    tags: ColorTags, height: int, expected: tuple[float, float]
) -> None:
    assert scopes.weights(tags, height) == expected


def test_parade_shows_each_channel_in_its_third() -> None:
    image = scopes.parade(flat(1.0, 0.5, 0.0), graticule=False)
    places = [lit(image[:, i * 128 : (i + 1) * 128])[1] for i in range(3)]
    assert places == pytest.approx([0.1 / 1.2, 0.6 / 1.2, 1.1 / 1.2], abs=0.006)
    red, _, blue = (image[:, i * 128 : (i + 1) * 128].max(axis=(0, 1)) for i in range(3))
    assert red.argmax() == 0 and blue.argmax() == 2


@pytest.mark.parametrize("matrix", ["smpte170m", "bt709", "bt2020nc"])
@pytest.mark.parametrize("bar", list(scopes.BARS))
def test_color_bars_land_in_their_boxes(matrix: str, bar: str) -> None:
    tags = ColorTags(matrix=matrix)
    x, y = lit(scopes.vectorscope(flat(*(0.75 * v for v in scopes.BARS[bar])), tags, size=216, graticule=False))
    assert (x, y) == pytest.approx(scopes.vector_targets(tags, 90)[bar], abs=1 / 216)


def test_bars_of_another_matrix_miss_the_boxes() -> None:
    green = scopes.vector_targets(ColorTags(matrix="bt709"), 90)["G"]
    other = scopes.vector_targets(ColorTags(matrix="smpte170m"), 90)["G"]
    assert max(abs(green[0] - other[0]), abs(green[1] - other[1])) > 3 / 216


def test_gray_lies_in_the_middle_of_the_vectorscope_at_every_level() -> None:
    for level in (0.0, 0.4, 1.2):
        middle = lit(scopes.vectorscope(flat(level, level, level), REC709, graticule=False))
        assert middle == pytest.approx((0.5, 0.5), abs=1 / 216)


def test_histogram_shows_levels_beyond_white() -> None:
    x, _ = lit(scopes.histogram(flat(1.05, 1.05, 1.05), graticule=False))
    assert x == pytest.approx((1.05 + 0.1) / 1.2, abs=0.01)


def test_histogram_of_eight_bit_levels_is_no_comb() -> None:
    ramp = (torch.arange(219).float() / 219).repeat_interleave(4).expand(3, 50, 876)
    image = scopes.histogram(ramp, graticule=False)
    heights = (image.max(axis=2) > 60).sum(axis=0)[60:320]
    assert heights.std() < 0.1 * heights.mean()


def test_neutral_pictures_draw_neutral_scopes() -> None:
    ramp = torch.linspace(0, 1, 160).expand(3, 90, 160)
    for image in (scopes.waveform(ramp, REC709), scopes.histogram(ramp), scopes.vectorscope(ramp, REC709)):
        assert int(np.ptp(image.astype(int), axis=2).max()) <= 1


def test_broken_pixels_do_not_break_a_scope() -> None:
    broken = flat(0.5, 0.5, 0.5)
    broken[0, 3, 4], broken[1, 5, 6], broken[2, 7, 8] = float("nan"), float("inf"), float("-inf")
    for image in (
        scopes.waveform(broken, REC709),
        scopes.parade(broken),
        scopes.histogram(broken),
        scopes.vectorscope(broken, REC709),
    ):
        assert image.dtype == np.uint8
        assert image.max() > 100
