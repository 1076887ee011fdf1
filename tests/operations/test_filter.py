"""What each filter does to a picture that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from answerprint import operations
from answerprint.errors import SettingsError
from answerprint.frame import ColorTags, Frame
from answerprint.operations import filter as filtering
from footage import as_shot

FILTER = operations.load("filter")
CPU = torch.device("cpu")
KINDS = ["gaussian", "bilateral", "median", "guided", "equalize", "clahe", "laplacian"]


def picture(seed: int = 1, height: int = 60, width: int = 80) -> Tensor:
    card = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(card, size=(height, width), mode="bicubic")[0]
    grain = torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed + 1)) * 0.02
    return 0.2 + 0.4 * smooth + grain


def filtered(frames: Sequence[Frame], **params: Any) -> list[Tensor]:
    given = filtering.Params.of(params)
    findings = filtering.analyze(as_shot(frames), given, CPU)
    return [frame.pixels for frame in FILTER.run(iter(frames), given, findings, CPU)]


def alone(pixels: Tensor, matte: Tensor | None = None, **params: Any) -> Tensor:
    return filtered([Frame(pixels, Fraction(0), matte=matte)], **params)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_strength_0_and_an_empty_matte_leave_every_bit(kind: str) -> None:
    pixels = picture()
    assert torch.equal(alone(pixels, kind=kind, strength=0), pixels)
    matte = torch.zeros(1, 60, 80)
    matte[:, :, 40:] = 1
    half = alone(pixels, matte, kind=kind)
    assert torch.equal(half[:, :, :40], pixels[:, :, :40])
    assert not torch.equal(half[:, :, 40:], pixels[:, :, 40:])


@pytest.mark.parametrize("kind", KINDS)
def test_not_a_number_does_not_spread(kind: str) -> None:
    pixels = picture()
    pixels[1, 20, 20], pixels[0, 40, 40] = torch.nan, torch.inf
    result = alone(pixels, kind=kind)
    assert torch.equal(torch.isfinite(result), torch.isfinite(pixels))


@pytest.mark.parametrize("kind", ["gaussian", "bilateral", "median", "guided"])
def test_smoothing_takes_grain_away(kind: str) -> None:
    flat = torch.full((3, 40, 40), 0.5) + torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(3)) * 0.01
    assert float(alone(flat, kind=kind, edge=0.2).std()) < 0.6 * float(flat.std())


@pytest.mark.parametrize("kind", ["gaussian", "bilateral", "median", "guided", "equalize", "clahe", "laplacian"])
def test_super_whites_stay(kind: str) -> None:
    pixels = picture()
    pixels[:, 10:40, 10:40] = 1.08
    assert float(alone(pixels, kind=kind)[:, 25, 25].min()) > 1.03


def test_median_removes_a_speck() -> None:
    pixels = torch.full((3, 30, 30), 0.4)
    pixels[:, 15, 15] = 1
    torch.testing.assert_close(alone(pixels, kind="median", radius=1), torch.full((3, 30, 30), 0.4))


def test_laplacian_sharpens_luma_and_keeps_color_differences() -> None:
    pixels = picture()
    result = alone(pixels, kind="laplacian", amount=1.0, sigma=0.5)
    torch.testing.assert_close(result[0] - result[2], pixels[0] - pixels[2], atol=1e-5, rtol=0)
    assert float(result[1].diff(dim=1).abs().mean()) > 1.1 * float(pixels[1].diff(dim=1).abs().mean())


def test_equalize_is_one_curve_for_the_whole_shot() -> None:
    """A gray patch that does not change stays the same while the picture around it changes."""
    frames = []
    for i in range(6):
        pixels = picture(i) * (0.3 + 0.1 * i)
        pixels[:, :8, :8] = 0.35
        frames.append(Frame(pixels, Fraction(i, 25)))
    patches = [result[:, :8, :8] for result in filtered(frames, kind="equalize")]
    assert all(torch.equal(patch, patches[0]) for patch in patches)


def test_equalize_spreads_the_luma_and_an_edited_curve_is_used() -> None:
    pixels = (picture() * 0.3 + 0.1).mean(0, keepdim=True).repeat(3, 1, 1)
    result = alone(pixels, kind="equalize")
    assert float(result.std()) == pytest.approx(0.2887, abs=0.01)
    edited = filtering.Findings(curve=(0.0, 0.5, 1.0))
    params = filtering.Params(kind="equalize")
    same = next(iter(FILTER.run(iter([Frame(pixels, Fraction(0))]), params, edited, CPU))).pixels
    torch.testing.assert_close(same, pixels)


def test_luma_follows_the_matrix_of_the_footage() -> None:
    """A curve that takes every luma to 0 moves a red picture by just its luma."""
    curve = filtering.Findings(curve=(0.0, 0.0))

    def luma_of(color: ColorTags) -> float:
        red = Frame(torch.tensor([1.0, 0, 0]).view(3, 1, 1).repeat(1, 2, 2), Fraction(0), color)
        dark = next(iter(FILTER.run(iter([red]), filtering.Params(kind="equalize"), curve, CPU))).pixels
        return float((red.pixels - dark)[0, 0, 0])

    by = {tag: luma_of(ColorTags(matrix=tag)) for tag in ("bt709", "smpte170m", "bt2020nc")}
    assert by == pytest.approx({"bt709": 0.2126, "smpte170m": 0.299, "bt2020nc": 0.2627})
    assert luma_of(ColorTags(matrix="rgb", primaries="bt2020")) == pytest.approx(0.2627)


@pytest.mark.parametrize("wrong", [{"kind": "sobel"}, {"radius": 0}, {"radius": 65}, {"sigma": -1}, {"edge": 0}])
def test_refuses_the_impossible(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        filtering.Params.of(wrong)
