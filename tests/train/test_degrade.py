"""Degradations do to a picture what they say, by numbers that follow from their definitions; a seed gives it again."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from answerprint.fields.weave import weave
from answerprint.train import degrade
from pictures import shaded


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


FLAT = torch.full((3, 200, 200), 0.5)
FILM = torch.linspace(0.2, 0.8, 120).expand(8, 3, 96, 120).contiguous()

EVERY = {
    "gaussian": lambda g: degrade.gaussian(FLAT, 0.1, g),
    "poisson_gaussian": lambda g: degrade.poisson_gaussian(FLAT, 0.01, 0.02, g)[0],
    "salt_and_pepper": lambda g: degrade.salt_and_pepper(FLAT, 0.05, g)[0],
    "grain": lambda g: degrade.grain(FLAT, 0.1, 1.0, 0.3, g)[0],
    "darken": lambda g: degrade.darken(FLAT, 2.0, g),
    "scratches": lambda g: degrade.scratches(FILM, 4, g)[0],
    "dust": lambda g: degrade.dust(FILM, 3, g)[0],
    "moving_mask": lambda g: degrade.moving_mask(5, 60, 80, g),
    "camera": lambda g: degrade.camera(FILM[0], 3, 48, 64, 3.0, g),
    "lettering": lambda g: degrade.lettering(FILM, g),
    "blur": lambda g: degrade.blur(
        FLAT * torch.rand(200, generator=torch.Generator().manual_seed(1)), degrade.random_kernel(g)
    ),
}


@pytest.mark.parametrize("name", EVERY)
def test_a_seed_gives_the_same_again_and_another_does_not(name: str) -> None:
    assert torch.equal(EVERY[name](rng(1)), EVERY[name](rng(1)))
    assert not torch.equal(EVERY[name](rng(1)), EVERY[name](rng(2)))


SHEET = Path(__file__).with_name("degradations.png")
SCENE = degrade.lettering(shaded(96, 128)[None], rng(11))[0]
PAN = torch.stack([SCENE[:, :, 2 * t : 2 * t + 96] for t in range(8)])
STILL = PAN[4]
# Row by row in degradations.png; what it should look like is seen there.
PICTURES = {
    "as it was": lambda: STILL,
    "gaussian 0.05": lambda: degrade.gaussian(STILL, 0.05, rng()),
    "gaussian 0.3": lambda: degrade.gaussian(STILL, 0.3, rng()),
    "salt_and_pepper": lambda: degrade.salt_and_pepper(STILL, 0.05, rng())[0],
    "poisson_gaussian": lambda: degrade.poisson_gaussian(STILL, 0.02, 0.01, rng())[0],
    "grain": lambda: degrade.grain(STILL, 0.1, 1.0, 0.3, rng())[0],
    "blur, isotropic": lambda: degrade.blur(STILL, degrade.gaussian_kernel(2.0)),
    "blur, anisotropic": lambda: degrade.blur(STILL, degrade.gaussian_kernel(4.0, 0.6, 0.8)),
    "blur, motion": lambda: degrade.blur(STILL, degrade.motion_kernel(11, 0.5)),
    "resize": lambda: degrade.resize(degrade.resize(STILL, 24, 24), 96, 96, "nearest"),
    "jpeg": lambda: degrade.jpeg(STILL, 10),
    "h264": lambda: degrade.coded(PAN, "h264", 40)[4],
    "mpeg2": lambda: degrade.coded(PAN, "mpeg2", 31)[4],
    "darken": lambda: degrade.darken(STILL, 2.5, rng(), peak=200),
    "gray": lambda: degrade.gray(STILL),
    "scratches": lambda: degrade.scratches(PAN, 6, rng(2))[0][4],
    "dust": lambda: degrade.dust(PAN, 6, rng(3))[0][4],
    "moving_mask": lambda: degrade.moving_mask(8, 96, 96, rng(6))[4].expand(3, -1, -1),
    "camera": lambda: degrade.camera(SCENE, 8, 96, 96, 3.0, rng(2))[7],
}
ACROSS = 7


@pytest.mark.parametrize("name", PICTURES)
def test_a_degradation_looks_as_it_did_when_it_was_looked_at(name: str) -> None:
    """To look again after a change: delete the PNG, run with ANSWERPRINT_SHEET=1, and open what was written."""
    if os.environ.get("ANSWERPRINT_SHEET") and not SHEET.exists():
        codes = [code(make()) for make in PICTURES.values()]
        rows = [np.concatenate(codes[i : i + ACROSS], axis=1) for i in range(0, len(codes), ACROSS)]
        cv2.imwrite(str(SHEET), np.concatenate(rows, axis=0)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    sheet = cv2.imread(str(SHEET))[..., ::-1].astype(int)
    row, column = divmod(list(PICTURES).index(name), ACROSS)
    seen = sheet[96 * row : 96 * (row + 1), 96 * column : 96 * (column + 1)]
    # Coders and fonts of another version may differ by a little; another degradation differs by far more.
    assert np.abs(code(PICTURES[name]()) - seen).mean() < 2.0


def code(picture: torch.Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy().astype(int)


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.3])
def test_gaussian_has_mean_0_and_the_deviation_asked_for(sigma: float) -> None:
    noise = degrade.gaussian(FLAT, sigma, rng()) - FLAT
    assert abs(float(noise.mean())) < 4 * sigma / 346  # four standard errors of 120,000 values
    assert float(noise.std()) == pytest.approx(sigma, rel=0.01)
    assert abs(float((noise[:, :, 1:] * noise[:, :, :-1]).mean())) < 0.02 * sigma**2  # white


@pytest.mark.parametrize("density", [0.01, 0.05])
def test_salt_and_pepper_hits_the_share_asked_for_half_black_half_white(density: float) -> None:
    noisy, hit = degrade.salt_and_pepper(FLAT, density, rng())
    assert float(hit.float().mean()) == pytest.approx(density, rel=0.1)
    assert float((noisy == 1).float().mean()) == pytest.approx(density / 2, rel=0.15)
    assert float((noisy == 0).float().mean()) == pytest.approx(density / 2, rel=0.15)
    assert torch.equal(noisy[:, ~hit[0]], FLAT[:, ~hit[0]])


def test_sensor_noise_grows_with_the_light() -> None:
    steps = torch.tensor([0.04, 0.64]).repeat_interleave(200).expand(3, 200, 400)
    noisy, sigma = degrade.poisson_gaussian(steps, 0.01, 0.01, rng())
    dark, bright = (noisy - steps)[..., :200].std(), (noisy - steps)[..., 200:].std()
    assert float(dark) == pytest.approx((0.01 * 0.04 + 0.0001) ** 0.5, rel=0.02)
    assert float(bright) == pytest.approx((0.01 * 0.64 + 0.0001) ** 0.5, rel=0.02)
    assert float(sigma[0, 0, 0]) == pytest.approx(float(dark), rel=0.02)


def test_grain_is_correlated_gray_where_told_and_strongest_in_the_mid_tones() -> None:
    noisy, sigma = degrade.grain(FLAT, 0.1, 1.0, 0.0, rng())
    noise = noisy - FLAT
    assert torch.allclose(noise[0], noise[1])
    assert float(noise[0].std()) == pytest.approx(0.1, rel=0.05)
    beside = float((noise[0][:, 1:] * noise[0][:, :-1]).mean() / noise[0].var())
    assert beside == pytest.approx(np.exp(-0.25), abs=0.05)  # two Gaussians of width 1, one pixel apart
    assert float(degrade.grain(FLAT * 0, 0.1, 1.0, 0.0, rng())[1].max()) < 0.5 * float(sigma.min())
    colored = degrade.grain(FLAT, 0.1, 1.0, 1.0, rng())[0]
    assert abs(float(torch.corrcoef(colored.flatten(1))[0, 1])) < 0.05


@pytest.mark.parametrize("width", [0.2, 1.0, 4.0])
def test_gaussian_kernel_has_the_width_asked_for(width: float) -> None:
    kernel = degrade.gaussian_kernel(width, size=41)
    assert float(kernel.sum()) == pytest.approx(1)
    spread = float((kernel.sum(0) * (torch.arange(41) - 20.0) ** 2).sum())
    assert spread == pytest.approx(width**2 if width >= 1 else 0, rel=0.01, abs=1e-3)


def test_anisotropic_kernel_lies_along_its_angle() -> None:
    kernel = degrade.gaussian_kernel(3.0, 1.0, 0.0)
    axis = (torch.arange(21) - 10.0) ** 2
    assert float((kernel.sum(0) * axis).sum()) == pytest.approx(9, rel=0.05)  # x
    assert float((kernel.sum(1) * axis).sum()) == pytest.approx(1, rel=0.05)  # y


def test_motion_smears_along_the_move_only() -> None:
    bar = torch.zeros(3, 41, 41)
    bar[:, 20, 20] = 1
    smeared = degrade.blur(bar, degrade.motion_kernel(9, 0.0))
    assert float(smeared[0, 20].sum()) == pytest.approx(1, abs=1e-4)
    assert float(smeared[0, 20, 16:25].min()) > 0.08 and float(smeared[0, 20, :15].max()) == 0


def test_blur_keeps_flat_pictures_and_moves_nothing() -> None:
    assert torch.allclose(degrade.blur(FLAT, degrade.random_kernel(rng(3))), FLAT, atol=1e-5)
    point = torch.zeros(1, 21, 21)
    point[0, 10, 10] = 1
    kernel = torch.zeros(5, 5)
    kernel[2, 4] = 1  # all weight two columns to the right: convolution moves the point right
    assert int(degrade.blur(point, kernel)[0, 10].argmax()) == 12


def test_resize_is_free_of_aliases() -> None:
    stripes = (torch.arange(200) % 2).float().expand(3, 200, 200)
    small = degrade.resize(stripes, 50, 50, "bicubic")
    assert small.shape == (3, 50, 50) and float((small - 0.5).abs().max()) < 0.05
    assert torch.allclose(degrade.resize(stripes, 50, 100, "area"), torch.full((3, 50, 100), 0.5))


@pytest.mark.parametrize("size", [(64, 96), (63, 95)])
@pytest.mark.parametrize(("codec", "good", "bad"), [("h264", 15, 40), ("mpeg2", 2, 31)])
def test_video_coders_lose_more_at_a_worse_setting_and_keep_time_and_place(
    codec: str, good: int, bad: int, size: tuple[int, int]
) -> None:
    noise = rng(2).random((1, 3, *size), dtype=np.float32)
    texture = degrade.blur(torch.from_numpy(noise), degrade.gaussian_kernel(1.5)) * 2 - 0.5
    frames = torch.cat([texture.roll(2 * t, dims=-1) for t in range(5)])
    better, worse = degrade.coded(frames, codec, good), degrade.coded(frames, codec, bad)
    assert better.shape == worse.shape == frames.shape
    error = [(made - frames).square().mean().item() for made in (better, worse)]
    assert error[1] > 3 * error[0]
    # Luma, since chroma is halved: the good one is near, and nearer to its own frame than to the next.
    luma = [made.mean(dim=1) for made in (better, frames)]
    assert (luma[0] - luma[1]).abs().mean() < 0.5 * (luma[0][:-1] - luma[1][1:]).abs().mean()
    assert torch.equal(better, degrade.coded(frames, codec, good))


def test_fields_coded_apart() -> None:
    moments = torch.cat([FILM.roll(3 * t, dims=-1)[:1] for t in range(8)])
    frames = weave(moments[0::2], moments[1::2])
    back = degrade.coded(frames, "mpeg2", 3, interlaced=True)
    assert back.shape == frames.shape and float((back - frames).abs().mean()) < 0.02


def test_an_unknown_coder_is_named() -> None:
    with pytest.raises(ValueError, match="allowed: h264, mpeg2"):
        degrade.coded(FILM, "vp9", 30)


def test_darkness_has_the_photon_noise_of_its_peak() -> None:
    dark = degrade.darken(FLAT, 2.0, rng(), peak=200)
    assert float(dark.mean()) == pytest.approx(0.25, rel=0.01)
    assert float(dark.var()) == pytest.approx(0.25 / 200, rel=0.03)


def test_graying_keeps_luma() -> None:
    picture = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))
    made = degrade.gray(picture)
    assert torch.equal(made[0], made[2])
    assert torch.allclose(made[0], 0.2126 * picture[0] + 0.7152 * picture[1] + 0.0722 * picture[2])


def test_scratches_are_vertical_and_dust_lies_on_one_frame() -> None:
    scratched, where = degrade.scratches(FILM, 3, rng())
    changed = (scratched - FILM).abs().amax(dim=1, keepdim=True) > 0.03
    assert 0 < float(changed.float().mean()) < 0.3 and bool((where.bool() | ~changed).all())
    assert bool((changed.any(dim=2) == changed.float().mean(dim=2).gt(0.9)).float().mean() > 0.97)  # whole columns
    dusty, specks = degrade.dust(FILM, 4, rng())
    hit = (dusty - FILM).abs().amax(dim=1, keepdim=True) > 0.03
    assert bool((specks.bool() | ~hit).all()) and 0 < float(hit.float().mean()) < 0.1
    assert not torch.equal(specks[0], specks[1])


def test_a_moving_mask_moves_and_keeps_its_size() -> None:
    masks = degrade.moving_mask(6, 90, 120, rng(4))
    assert masks.shape == (6, 1, 90, 120) and set(masks.unique().tolist()) == {0.0, 1.0}
    assert float(masks[0].sum()) > 20
    assert not torch.equal(masks[0], masks[5])


def test_jpeg_leaves_more_residue_at_lower_quality() -> None:
    noise = torch.from_numpy(rng(2).random((1, 3, 64, 64), dtype=np.float32))
    picture = degrade.blur(noise, degrade.gaussian_kernel(1.5))
    errors = [float((degrade.jpeg(picture, quality) - picture).square().mean()) for quality in (95, 50, 10)]
    assert errors[0] < errors[1] < errors[2] and errors[0] < 3e-4


def test_a_camera_moves_no_faster_than_told_and_stands_still_to_the_bit() -> None:
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(240.0), indexing="ij")
    # Every pixel says where it is, so its change is how far the camera went.
    places = torch.stack((x / 240, y / 200, torch.zeros_like(x)))
    for seed in range(8):
        still = degrade.camera(places, 5, 96, 128, 0.0, rng(seed))
        assert torch.equal(still, still[:1].expand_as(still))
        moved = degrade.camera(places, 5, 96, 128, 3.0, rng(seed))[:, :2, 24:72, 32:96]
        step = (moved[1:] - moved[:-1]) * torch.tensor([240.0, 200.0]).view(2, 1, 1)
        assert 0.02 < float(step.square().sum(dim=1).sqrt().max()) < 3.1


def test_lettering_stands_still_where_told_and_moves_where_told() -> None:
    gray = torch.full((4, 3, 96, 160), 0.5)
    still = degrade.lettering(gray, rng(3))
    assert torch.equal(still, still[:1].expand_as(still))
    assert 0.002 < float(((still - gray).abs() > 0.1).float().mean()) < 0.6
    moving = degrade.lettering(gray, rng(3), speed=(2.0, 5.0))
    assert torch.allclose(moving[1][:, 2:, 5:], moving[0][:, :-2, :-5], atol=0.02)
