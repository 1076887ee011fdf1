"""Color transfer: the statistics come over, detail and footage survive, and odd references get clear answers."""

from __future__ import annotations

import os
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest
import torch
from torch import Tensor

from answerprint import operations
from answerprint.color import icc, spaces
from answerprint.errors import MediaError, NotMediaError, SettingsError
from answerprint.frame import ColorTags, Frame
from answerprint.media import reader
from answerprint.operations import match
from answerprint.operations.match import combined
from answerprint.operations.match.neighbors import NeighborRegression
from footage import as_shot, shared

CPU = torch.device("cpu")
MATCH = operations.load("match")
METHODS = ["reinhard", "knn", "combined"]


def picture(seed: int, tint: tuple[float, float, float] = (1.0, 1.0, 1.0), height: int = 60, width: int = 80) -> Tensor:
    card = torch.rand(1, 3, 8, 10, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(card, size=(height, width), mode="bicubic")[0].clamp(0, 1)
    grain = torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed + 1)) * 0.01
    return (0.15 + 0.55 * smooth + grain).clamp(0, 1) * torch.tensor(tint).view(3, 1, 1)


def save(pixels: Tensor, path: Path) -> Path:
    codes = np.rint(pixels.clamp(0, 1).numpy().transpose(1, 2, 0)[..., ::-1] * 65535).astype(np.uint16)
    cv2.imwrite(str(path), codes)
    return path


def matched(pixels: Tensor, reference: Path, matte: Tensor | None = None, **params: Any) -> Tensor:
    given = match.Params.of({"reference": reference, **params})
    frame = Frame(pixels, Fraction(0), matte=matte)
    findings = match.analyze(as_shot([frame]), given, CPU)
    return next(iter(MATCH.run(iter([frame]), given, findings, CPU))).pixels


def rendered(pixels: Tensor, findings: match.Findings, **params: Any) -> Tensor:
    given = match.Params.of(params)
    return next(iter(MATCH.run(iter([Frame(pixels, Fraction(0))]), given, findings, CPU))).pixels


@pytest.fixture
def warm(tmp_path: Path) -> Path:
    return save(picture(5, (1.0, 0.8, 0.5)), tmp_path / "warm.png")


@pytest.mark.parametrize("space", ["lab", "lalphabeta"])
def test_reinhard_gives_the_mean_and_deviation_of_the_reference(warm: Path, space: str) -> None:
    result = matched(picture(1), warm, method="reinhard", space=space)
    params = match.Params.of({"reference": warm, "method": "reinhard", "space": space})
    after = match.analyze(as_shot([Frame(result, Fraction(0))]), params, CPU)
    scale = 1.0 if space == "lab" else 0.01
    assert after.source_mean == pytest.approx(after.reference_mean, abs=0.1 * scale)
    assert after.source_deviation == pytest.approx(after.reference_deviation, abs=0.1 * scale)


@pytest.mark.parametrize("method", METHODS)
def test_colors_come_nearer_to_the_reference(warm: Path, method: str) -> None:
    source = picture(1, (0.6, 0.8, 1.0))
    target = spaces.rgb_to_lab(picture(5, (1.0, 0.8, 0.5)))[1:].mean((1, 2))
    before = spaces.rgb_to_lab(source)[1:].mean((1, 2))
    after = spaces.rgb_to_lab(matched(source, warm, method=method))[1:].mean((1, 2))
    assert float((after - target).norm()) < 0.35 * float((before - target).norm())


@pytest.mark.parametrize("space", ["lab", "lalphabeta"])
def test_a_picture_matched_to_itself_stays(tmp_path: Path, space: str) -> None:
    source = picture(1)
    result = matched(source, save(source, tmp_path / "self.png"), method="reinhard", space=space)
    assert float((result - source).abs().max()) < 1e-3
    local = matched(source, tmp_path / "self.png", method="combined")
    # Lightness alone does not tell the color, so the local part cannot give every pixel back.
    assert float((spaces.rgb_to_lab(local) - spaces.rgb_to_lab(source)).norm(dim=0).mean()) < 3


def test_knn_leaves_lightness(warm: Path) -> None:
    source = picture(1)
    result = matched(source, warm, method="knn")
    difference = spaces.rgb_to_lab(result)[0] - spaces.rgb_to_lab(source)[0]
    assert float(difference.abs().max()) < 0.05


@pytest.mark.parametrize("method", METHODS)
def test_protect_luma_leaves_lightness(warm: Path, method: str) -> None:
    source = picture(1)
    result = matched(source, warm, method=method, protect_luma=True)
    difference = spaces.rgb_to_lab(result)[0] - spaces.rgb_to_lab(source)[0]
    assert float(difference.abs().max()) < 0.05


def test_knn_is_what_scikit_learn_predicts(tmp_path: Path) -> None:
    """Equations 9 and 10 by the plain library, asked for every pixel."""
    sklearn_neighbors = pytest.importorskip("sklearn.neighbors")
    source, target = picture(1), picture(5, (1.0, 0.8, 0.5))
    path = save(target, tmp_path / "all.png")
    result = matched(source, path, method="knn", samples=60 * 80)

    def neighborhoods(plane: np.ndarray) -> np.ndarray:
        padded = np.pad(plane, 1, mode="symmetric")
        return np.stack([padded[y : y + 60, x : x + 80] for y in range(3) for x in range(3)], -1).reshape(-1, 9)

    stored = spaces.rgb_to_lab((target * 65535).round() / 65535).numpy()
    lab = spaces.rgb_to_lab(source)
    tree = sklearn_neighbors.KNeighborsRegressor(5, weights="distance", algorithm="kd_tree")
    tree.fit(neighborhoods(stored[0]), stored[1:].reshape(2, -1).T)
    expected = torch.from_numpy(tree.predict(neighborhoods(lab[0].numpy())).T.reshape(2, 60, 80))
    assert float((spaces.rgb_to_lab(result)[1:] - expected).norm(dim=0).mean()) < 0.1


def test_combined_keeps_detail_exactly_where_deviations_are_equal(warm: Path) -> None:
    source = picture(1)
    params = {"reference": warm, "method": "combined", "local": 0}
    findings = match.analyze(as_shot([Frame(source, Fraction(0))]), match.Params.of(params), CPU)
    equal = findings.model_copy(update={"reference_deviation": findings.source_deviation})
    shift = spaces.rgb_to_lab(rendered(source, equal, **params)) - spaces.rgb_to_lab(source)
    moved = torch.tensor(findings.reference_mean) - torch.tensor(findings.source_mean)
    assert float((shift - moved.view(3, 1, 1)).abs().max()) < 0.02


def test_combined_has_softer_color_steps_than_knn(warm: Path) -> None:
    source = picture(1)
    local, fused = (spaces.rgb_to_lab(matched(source, warm, method=m))[1:] for m in ("knn", "combined"))
    assert float(fused.diff(dim=2).abs().mean()) < 0.7 * float(local.diff(dim=2).abs().mean())


@pytest.mark.parametrize("method", METHODS)
def test_findings_and_seed_decide(warm: Path, method: str) -> None:
    frames = [Frame(picture(i), Fraction(i, 25)) for i in range(4)]
    params = match.Params.of({"reference": warm, "method": method, "samples": 500})
    findings = match.analyze(as_shot(frames), params, CPU)
    again = match.Findings.model_validate_json(findings.model_dump_json())
    first = [frame.pixels for frame in MATCH.run(iter(frames), params, findings, CPU)]
    # The same frame in another chunk, by the list read back.
    second = [frame.pixels for frame in MATCH.run(iter(frames[2:]), params, again, CPU)]
    assert torch.equal(first[2], second[0]) and torch.equal(first[3], second[1])


@pytest.mark.parametrize("method", ["reinhard", "combined"])
def test_an_edited_mean_moves_the_picture(warm: Path, method: str) -> None:
    source = picture(1)
    params = {"reference": warm, "method": method, "local": 0}
    findings = match.analyze(as_shot([Frame(source, Fraction(0))]), match.Params.of(params), CPU)
    mean = findings.reference_mean
    edited = findings.model_copy(update={"reference_mean": (mean[0] + 5, mean[1], mean[2])})
    plain, lifted = (spaces.rgb_to_lab(rendered(source, found, **params))[0] for found in (findings, edited))
    assert float((lifted - plain).mean()) == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_matte_and_strength(warm: Path, method: str) -> None:
    source = picture(1)
    matte = torch.zeros(1, 60, 80)
    matte[:, :, 30:50], matte[:, :, 50:] = 0.5, 1
    whole, half = matched(source, warm, method=method), matched(source, warm, matte, method=method)
    assert torch.equal(half[:, :, :30], source[:, :, :30])
    assert not torch.equal(half[:, :, 50:], source[:, :, 50:])
    assert torch.equal(matched(source, warm, method=method, strength=0), source)
    part = matched(source, warm, method=method, strength=0.5)
    assert 0.3 < float((part - source).norm() / (whole - source).norm()) < 0.7


def test_statistics_are_taken_inside_the_matte(warm: Path) -> None:
    source = picture(1)
    source[:, :, :40] = 0
    matte = torch.zeros(1, 60, 80)
    matte[:, :, 40:] = 1
    params = match.Params.of({"reference": warm})
    inside = match.analyze(as_shot([Frame(source, Fraction(0), matte=matte)]), params, CPU)
    alone = match.analyze(as_shot([Frame(source[:, :, 40:].contiguous(), Fraction(0))]), params, CPU)
    assert inside.source_mean == pytest.approx(alone.source_mean, abs=1e-3)


def test_cube_is_the_global_part(warm: Path) -> None:
    source = picture(1)
    params = match.Params.of({"reference": warm, "method": "reinhard"})
    findings = match.analyze(as_shot([Frame(source, Fraction(0))]), params, CPU)
    direct = rendered(source, findings, reference=warm, method="reinhard")
    assert float((match.cube(params, findings).apply(source) - direct).abs().mean()) < 2e-3
    combined = match.Params.of({"reference": warm})
    assert "global part" in match.cube(combined, findings, 5).comments[0]


# ------------------------------------------------------------------------------------------------- odd references


@pytest.mark.parametrize("method", METHODS)
def test_a_reference_with_a_wide_profile_gives_the_colors_it_shows(tmp_path: Path, method: str) -> None:
    """The same colors as sRGB and as Display P3 with its profile embedded, as phones store them."""
    pixels = picture(5, (1.0, 0.8, 0.5))
    own, wide = icc.profile_of("bt709", "iec61966-2-1"), icc.profile_of("smpte432", "iec61966-2-1")
    assert own is not None and wide is not None
    data = icc.to_bytes(wide)
    spec = oiio.ImageSpec(pixels.shape[2], pixels.shape[1], 3, "uint16")
    spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(data)}]"), np.frombuffer(data, np.uint8))
    codes = own.convert(pixels, "smpte432", "iec61966-2-1").clamp(0, 1).permute(1, 2, 0).numpy() * 65535
    output = oiio.ImageOutput.create("p3.png")
    output.open(str(tmp_path / "p3.png"), spec)
    output.write_image(np.ascontiguousarray(np.rint(codes).astype(np.uint16)))
    output.close()
    plain = matched(picture(1), save(pixels, tmp_path / "srgb.png"), method=method)
    assert float((matched(picture(1), tmp_path / "p3.png", method=method) - plain).abs().mean()) < 2e-3


def test_a_wide_shot_takes_the_colors_that_the_reference_shows(tmp_path: Path) -> None:
    """A BT.2020 shot matched to an sRGB still, on a display of either, is the BT.709 shot matched to it."""
    plain, still = picture(1), save(picture(5, (1.0, 0.8, 0.5)), tmp_path / "warm.png")
    wide = icc.profile_of("bt709", "iec61966-2-1")
    assert wide is not None
    tags = ColorTags("bt2020", "iec61966-2-1", "rgb", "full", "center")
    shot = Frame(wide.convert(plain, "bt2020", "iec61966-2-1"), Fraction(0), tags)
    params = match.Params.of({"reference": still, "method": "reinhard"})
    findings = match.analyze(as_shot([shot]), params, CPU)
    result = next(iter(MATCH.run(iter([shot]), params, findings, CPU))).pixels
    shown = spaces.xyz_to_rgb(spaces.rgb_to_xyz(spaces.decode(result, "iec61966-2-1"), "bt2020"), "bt709")
    mean = spaces.encode(shown, "iec61966-2-1").mean((1, 2))
    assert torch.allclose(mean, matched(plain, still, method="reinhard").mean((1, 2)), atol=0.02)


def test_a_text_file_is_no_reference(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("not a picture\n")
    with pytest.raises(NotMediaError, match=r"reference .*notes\.txt") as refused:
        matched(picture(1), notes)
    assert "\n" not in str(refused.value)


def test_a_reference_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"reference .*missing\.png"):
        matched(picture(1), tmp_path / "missing.png")


def test_a_black_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="black everywhere"):
        matched(picture(1), save(torch.zeros(3, 8, 8), tmp_path / "black.png"))


def test_a_changed_reference_is_refused(warm: Path) -> None:
    source = picture(1)
    params = match.Params.of({"reference": warm})
    findings = match.analyze(as_shot([Frame(source, Fraction(0))]), params, CPU)
    save(picture(8), warm)
    with pytest.raises(SettingsError, match="analyze again"):
        next(iter(MATCH.run(iter([Frame(source, Fraction(0))]), params, findings, CPU)))
    # The global method needs the findings alone.
    warm.unlink()
    assert bool(torch.isfinite(rendered(source, findings, reference=warm, method="reinhard")).all())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", ["lab", "lalphabeta"])
@pytest.mark.parametrize("kind", ["gray", "one color", "one pixel", "two pixels", "checker"])
def test_odd_references_give_a_picture(tmp_path: Path, kind: str, method: str, space: str) -> None:
    pixels = {
        "gray": picture(3).mean(0, keepdim=True).repeat(3, 1, 1),
        "one color": torch.tensor([0.8, 0.3, 0.2]).view(3, 1, 1).repeat(1, 20, 30),
        "one pixel": torch.tensor([0.8, 0.3, 0.2]).view(3, 1, 1),
        "two pixels": torch.tensor([[0.0, 1.0]] * 3).view(3, 1, 2),
        "checker": ((torch.arange(20)[:, None] + torch.arange(30)) % 2).float().repeat(3, 1, 1),
    }[kind]
    source = picture(1)
    result = matched(source, save(pixels, tmp_path / "odd.png"), method=method, space=space)
    assert bool(torch.isfinite(result).all())
    # In the logarithm half a picture of black is very dark: what it gives is dark, but there.
    assert float(result.mean(0).std()) > (0.02 if space == "lab" else 0.01), "the picture is gone"
    if kind in ("gray", "two pixels", "checker"):
        assert float((result.amax(0) - result.amin(0)).mean()) < 0.02, "a gray reference makes gray"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [0.0, 0.4])
def test_a_flat_shot_does_not_explode(warm: Path, method: str, level: float) -> None:
    flat = torch.full((3, 40, 40), level) + torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(2)) * 1e-3
    result = matched(flat, warm, method=method)
    assert bool(torch.isfinite(result).all()) and float(result.abs().max()) < 1.2


def test_transparent_pixels_do_not_count(tmp_path: Path) -> None:
    target = picture(5, (1.0, 0.8, 0.5))
    codes = np.rint(target.numpy().transpose(1, 2, 0)[..., ::-1] * 65535).astype(np.uint16)
    layers = np.dstack([codes, np.full((60, 80), 65535, np.uint16)])
    layers[:, :40] = (65535, 0, 65535, 0)
    cv2.imwrite(str(tmp_path / "alpha.png"), layers)
    cut = save(target[:, :, 40:], tmp_path / "cut.png")
    with_alpha, without = (
        match.analyze(as_shot([Frame(picture(1), Fraction(0))]), match.Params.of({"reference": path}), CPU)
        for path in (tmp_path / "alpha.png", cut)
    )
    assert with_alpha.reference_mean == pytest.approx(without.reference_mean, abs=1e-2)
    layers[..., 3] = 0
    cv2.imwrite(str(tmp_path / "alpha.png"), layers)
    with pytest.raises(SettingsError, match="no visible pixel"):
        matched(picture(1), tmp_path / "alpha.png")


@pytest.mark.parametrize("method", METHODS)
def test_letterbox_bars_stay_black_and_do_not_count(warm: Path, method: str) -> None:
    """The picture inside the bars comes out as it does without them; the bars come out as they went in."""
    bare = picture(7, (0.6, 0.8, 1.0))
    boxed = torch.nn.functional.pad(bare, (0, 0, 12, 12))
    result = matched(boxed, warm, method=method)
    assert torch.equal(result[:, :12], boxed[:, :12]) and torch.equal(result[:, -12:], boxed[:, -12:])
    torch.testing.assert_close(result[:, 12:-12], matched(bare, warm, method=method), atol=1e-5, rtol=0)


def test_a_line_half_bar_half_picture_takes_no_look(warm: Path) -> None:
    boxed = torch.nn.functional.pad(picture(7), (0, 0, 12, 12))
    boxed[:, 12] *= 0.4
    assert torch.equal(matched(boxed, warm, method="reinhard")[:, :13], boxed[:, :13])


def test_bars_of_a_reference_do_not_count(warm: Path, tmp_path: Path) -> None:
    boxed = save(torch.nn.functional.pad(picture(5, (1.0, 0.8, 0.5)), (9, 9, 0, 0)), tmp_path / "boxed.png")
    bare = picture(7, (0.6, 0.8, 1.0))
    alike = matched(bare, boxed, method="reinhard"), matched(bare, warm, method="reinhard")
    torch.testing.assert_close(*alike, atol=1e-5, rtol=0)


def test_a_night_sky_is_no_bar(warm: Path) -> None:
    """Dark at the top only: picture, and graded without a seam."""
    night = picture(8)
    night[:, :20] = 0.01
    result = matched(night, warm, method="reinhard")
    assert float((result[:, :20] - night[:, :20]).abs().min()) > 0


def test_bars_that_leave_no_picture_are_refused(warm: Path) -> None:
    given = match.Params.of({"reference": warm, "method": "reinhard"})
    frame = Frame(picture(7), Fraction(0))
    found = match.analyze(as_shot([frame]), given, CPU).model_copy(update={"bars": (30, 30, 0, 0)})
    with pytest.raises(SettingsError, match="bars 30, 30, 0, 0"):
        next(iter(MATCH.run(iter([frame]), given, found, CPU)))


def test_working_in_strips_changes_nothing(warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tall = picture(9, height=300)
    whole = matched(tall, warm, method="combined")
    monkeypatch.setattr(combined, "STRIP", 37)
    torch.testing.assert_close(matched(tall, warm, method="combined"), whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_not_a_number_does_not_spread(warm: Path, method: str) -> None:
    source = picture(1)
    source[1, 30, 30], source[0, 10, 10] = torch.nan, torch.inf
    result = matched(source, warm, method=method)
    assert int((~torch.isfinite(result).all(0)).sum()) == 2


# --------------------------------------------------------------------------------------------------- real footage


@pytest.mark.footage
@pytest.mark.parametrize("method", METHODS)
def test_real_footage_does_not_flicker(method: str) -> None:
    clip, looks = reader.open(shared("video", "davis_cows_854x480.mp4")), shared("style", "photo_looks")
    frames = [Frame(f.pixels[:, ::3, ::3].contiguous(), f.time, f.color) for f in clip.frames(0, 4)]
    reference = sorted(path for path in looks.iterdir() if path.suffix in (".png", ".jpg"))[3]
    params = match.Params.of({"reference": reference, "method": method})
    findings = match.analyze(as_shot(frames), params, CPU)
    before = torch.stack([spaces.rgb_to_lab(f.pixels).mean((1, 2)) for f in frames])
    done = torch.stack(
        [spaces.rgb_to_lab(f.pixels).mean((1, 2)) for f in MATCH.run(iter(frames), params, findings, CPU)]
    )
    # The mean color of the whole picture moves from frame to frame about as the footage does.
    assert float(done.diff(dim=0).abs().max()) < 3 * float(before.diff(dim=0).abs().max()) + 0.1


@pytest.mark.nightly
def test_knn_takes_less_than_a_twentieth_of_scikit_learn() -> None:
    """On a 1080p frame; the library is asked for every 20th pixel and its time multiplied."""
    sklearn_neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(0)
    lightness = spaces.rgb_to_lab(picture(1, height=1080, width=1920))[0]
    reference = spaces.rgb_to_lab(picture(5, height=540, width=960)).numpy()

    def neighborhoods(plane: np.ndarray) -> np.ndarray:
        height, width = plane.shape
        padded = np.pad(plane, 1, mode="symmetric")
        return np.stack([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], -1).reshape(-1, 9)

    chosen = rng.permutation(540 * 960)[:10_000]
    samples, values = neighborhoods(reference[0])[chosen], reference[1:].reshape(2, -1).T[chosen]
    asked = neighborhoods(lightness.numpy())[::20]
    tree = sklearn_neighbors.KNeighborsRegressor(5, weights="distance", algorithm="kd_tree").fit(samples, values)
    # Time of the processor, so that what else runs on the machine does not decide; ours shares it among all cores.
    started = time.process_time()
    expected = tree.predict(asked)
    plain = 20 * (time.process_time() - started)

    regression = NeighborRegression(samples, values, 5)
    regression.predict(lightness[:8])  # compiled
    started = time.process_time()
    predicted, _, _ = regression.predict(lightness)
    ours = (time.process_time() - started) / min(2, os.cpu_count() or 1)
    assert np.linalg.norm(predicted.reshape(2, -1).T.numpy()[::20] - expected, axis=1).mean() < 1
    assert ours < plain / 20
