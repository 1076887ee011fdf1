"""The look: nearer to the reference, readable, editable, the same from its numbers alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from answerprint.color import cube_file, readback, spaces, style, values
from answerprint.errors import MediaError, SettingsError
from answerprint.frame import ColorTags, Frame, Shot
from answerprint.operations import look
from answerprint.operations.look import targets
from answerprint.operations.match.reference import read_reference
from footage import shared, shot_of

CPU = torch.device("cpu")


def scene(seed: int = 0, height: int = 60, width: int = 90) -> torch.Tensor:
    """Something with light, shade and color, (3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 9, generator=generator) * 0.5 + torch.rand(1, 1, 6, 9, generator=generator) * 0.4
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)


def written(path: Path, picture: torch.Tensor, depth: int = 8) -> Path:
    top = 2**depth - 1
    codes = (picture.clamp(0, 1) * top).round().permute(1, 2, 0).numpy().astype(np.uint8 if depth == 8 else np.uint16)
    cv2.imwrite(str(path), codes[..., [2, 1, 0, *range(3, codes.shape[2])]])
    return path


def rendered(shot: Shot, params: look.Params, findings: look.Findings) -> list[torch.Tensor]:
    return [frame.pixels for frame in look.run(shot.frames(), params, findings, CPU)]


def distance(picture: torch.Tensor, reference: torch.Tensor) -> float:
    ours, theirs = (style.to_lab(style.colors(p.clamp(0, 1), 4000)) for p in (picture, reference))
    return float(style.sliced_wasserstein(ours, theirs, seed=5))


@pytest.fixture
def warm(tmp_path: Path) -> Path:
    return written(tmp_path / "warm.png", scene(9) * torch.tensor([0.9, 0.6, 0.35]).view(3, 1, 1) + 0.05)


def test_the_shot_comes_near_to_the_reference_and_keeps_its_structure(warm: Path) -> None:
    shot, params = shot_of([scene()] * 2), look.Params(reference=warm)
    findings = look.analyze(shot, params, CPU)
    done = rendered(shot, params, findings)[0]
    reference = read_reference(warm, 1)[0][0].pixels
    assert distance(done, reference) < 0.4 * distance(scene(), reference)
    assert findings.distance_after < 0.4 * findings.distance_before
    assert findings.luma_ssim > 0.7
    assert sum(findings.shares.values()) == pytest.approx(1, abs=1e-3)
    assert "CDL" in findings.summary and "%" in findings.summary


def test_a_number_that_is_edited_changes_the_render(warm: Path) -> None:
    shot, params = shot_of([scene()]), look.Params(reference=warm)
    findings = look.analyze(shot, params, CPU)
    before = rendered(shot, params, findings)[0]
    edited = findings.model_copy(
        update={"saturation": (0.0,), "curve_red": findings.curve_green, "curve_blue": findings.curve_green}
    )
    after = rendered(shot, params, edited)[0]
    assert not torch.equal(before, after)
    # Saturation stands before the curves: with equal curves nothing colors the gray again.
    assert float((after[0] - after[2]).abs().max()) < 1e-4


def test_render_needs_the_numbers_only(warm: Path) -> None:
    shot, params = shot_of([scene()]), look.Params(reference=warm)
    findings = look.analyze(shot, params, CPU)
    before = rendered(shot, params, findings)[0]
    warm.unlink()
    again = look.Findings.model_validate_json(findings.model_dump_json())
    assert torch.equal(rendered(shot, params, again)[0], before)


def test_the_render_is_the_differentiable_grade() -> None:
    grade = values.Values(
        temperature=10, brightness=0.02, slope=(1.1, 0.9, 1.0), offset=(0.02, 0.0, -0.03), power=(1.1, 0.9, 1.0),
        saturation=1.2, contrast=1.1, gamma=0.9, hue=8, curve_red=(0.02, 0.1, 0.22, 0.5, 0.8, 0.93, 1.0),
    )  # fmt: skip
    findings = look.Findings(**look.grade_fields([grade], None))
    picture = scene() * 1.1 - 0.04
    done = rendered(shot_of([picture]), look.Params(), findings)[0]
    assert float((done - values.transform(grade)(picture)).abs().max()) < 2e-5


def test_the_lut_is_the_look_without_its_sharpness(warm: Path, tmp_path: Path) -> None:
    shot, params = shot_of([scene()]), look.Params(reference=warm, lut=True, lut_size=5, iterations=60)
    findings = look.analyze(shot, params, CPU).model_copy(update={"sharpness": (0.5,)})
    cube = look.cube(params, findings, 33)
    assert any("sharpness" in comment for comment in cube.comments)
    cube_file.write(cube, tmp_path / "look.cube")
    for found in readback.verify(cube, tmp_path / "look.cube"):
        assert found.largest < 1e-4
    flat = findings.model_copy(update={"sharpness": (0.0,)})
    direct = rendered(shot, params, flat)[0]
    assert float((cube.apply(scene()) - direct).abs().mean()) < 2e-3


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67", "linear"])
def test_an_hdr_reference_shows_the_same_light(transfer: str) -> None:
    # Of a scene below the knee, what a display shows is the same in both encodings: there and back is the scene itself.
    sdr, hdr = ColorTags("bt709", "bt709", "bt709"), ColorTags("bt2020", transfer, "bt2020nc")
    picture = scene() * 0.8
    over = targets.to_encoding(Frame(picture, Fraction(0), sdr), hdr)
    assert float((over - picture).abs().mean()) > 0.01
    back = targets.to_encoding(Frame(over, Fraction(0), hdr), sdr)
    assert float((back - picture).abs().max()) < 2e-3


def test_highlights_of_an_hdr_reference_stay_apart() -> None:
    light = torch.linspace(0, 8, 90).expand(3, 60, 90).contiguous()
    seen = targets.to_encoding(Frame(light, Fraction(0), ColorTags(transfer="linear")), ColorTags(transfer="bt709"))
    assert bool((seen[0, 0].diff() > 0).all()) and float(seen.max()) < 1


def test_a_swatch_of_a_few_pixels_gives_its_tint_only(tmp_path: Path) -> None:
    tint = torch.tensor([0.9, 0.5, 0.2]).view(3, 1, 1).expand(3, 2, 3)
    params = look.Params(reference=written(tmp_path / "tiny.png", tint), iterations=60)
    findings = look.analyze(shot_of([scene()]), params, CPU)
    assert "only 6 pixels" in findings.note and findings.luma_ssim > 0.95


def test_a_shot_without_color_is_told(warm: Path) -> None:
    gray = scene().mean(0, keepdim=True).expand(3, -1, -1).contiguous()
    params = look.Params(reference=warm, iterations=20, hold=("contrast",))
    findings = look.analyze(shot_of([gray]), params, CPU)
    assert "no color" in findings.note and "hold contrast" in findings.note


def test_strength_zero_gives_the_source_itself(warm: Path) -> None:
    shot = shot_of([scene()])
    params = look.Params(reference=warm)
    findings = look.analyze(shot, params, CPU)
    assert torch.equal(rendered(shot, look.Params(reference=warm, strength=0), findings)[0], scene())


def test_neutral_findings_touch_nothing() -> None:
    picture = scene() * 1.4 - 0.2
    assert torch.equal(rendered(shot_of([picture]), look.Params(), look.Findings())[0], picture)


def test_a_drifting_shot_gets_keys_that_move_smoothly(warm: Path) -> None:
    pictures = [scene() * (0.35 + 0.6 * i / 23) for i in range(24)]
    shot, params = shot_of(pictures), look.Params(reference=warm, iterations=60)
    findings = look.analyze(shot, params, CPU)
    assert len(findings.times) > 1 and findings.times[0] == 0
    done = rendered(shot, params, findings)
    means = torch.stack([style.to_lab(style.colors(p, 4000)).mean(0) for p in done])
    before = torch.stack([style.to_lab(style.colors(p, 4000)).mean(0) for p in pictures])
    assert float((means[-1] - means[0]).norm()) < 0.5 * float((before[-1] - before[0]).norm())
    assert float(means.diff(dim=0).norm(dim=1).max()) < 3, "no jump from frame to frame"
    one = look.analyze(shot, params.model_copy(update={"keys": 1}), CPU)
    assert len(one.times) == 1


def test_a_steady_shot_has_one_key(warm: Path) -> None:
    noise = torch.Generator().manual_seed(1)
    pictures = [(scene() + torch.randn(3, 60, 90, generator=noise) * 0.01).clamp(0, 1) for _ in range(12)]
    assert len(look.analyze(shot_of(pictures), look.Params(reference=warm, iterations=20), CPU).times) == 1


def test_a_graded_clip_is_fitted_into_the_same_numbers(tmp_path: Path) -> None:
    grade = values.Values(slope=(1.15, 1.0, 0.9), offset=(0.0, 0.02, 0.04), saturation=0.7)
    for i in range(3):
        written(tmp_path / f"graded.{i:04d}.png", values.transform(grade)(scene(i)).clamp(0, 1))
    shot = shot_of([scene(i) for i in range(3)])
    params = look.Params(fit=tmp_path / "graded.%04d.png", keys=1)
    findings = look.analyze(shot, params, CPU)
    assert findings.color_error < 1.0
    assert findings.saturation[0] == pytest.approx(0.7, abs=0.1)


def test_pairs_that_are_not_the_same_scene_are_told(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    for i in range(2):
        written(tmp_path / f"other.{i:04d}.png", torch.rand(3, 60, 90, generator=generator))
    with pytest.raises(SettingsError, match="does not show the same picture"):
        look.analyze(shot_of([scene(0), scene(1)]), look.Params(fit=tmp_path / "other.%04d.png"), CPU)


def test_nothing_to_take_a_look_from(warm: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nothing to take a look from"):
        look.analyze(shot_of([scene()]), look.Params(), CPU)
    with pytest.raises(MediaError, match=r"no\.png"):
        look.analyze(shot_of([scene()]), look.Params(reference=tmp_path / "no.png"), CPU)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(MediaError, match=r"text\.png"):
        look.analyze(shot_of([scene()]), look.Params(reference=tmp_path / "text.png"), CPU)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"hold": ("slope", "offset", "power", "saturation", "curve")}, "every parameter is held"),
        ({"hold": ("sharpnes",)}, "no parameter of a look"),
        ({"method": "ncst", "lut": True}, "lut is a stage"),
        ({"tune": "off", "lut": True}, "lut is fitted"),
        ({"tune": "network", "keys": 3}, "keys are fitted"),
    ],
)
def test_contradictory_wishes_are_refused(warm: Path, wishes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        look.analyze(shot_of([scene()]), look.Params.of({"reference": warm, **wishes}), CPU)


def test_what_is_held_stays_neutral(warm: Path) -> None:
    params = look.Params(reference=warm, hold=("saturation", "curve", "power"), iterations=40)
    findings = look.analyze(shot_of([scene()]), params, CPU)
    assert findings.saturation == (1.0,) and findings.power == ((1.0, 1.0, 1.0),)
    assert findings.curve_red == (values.CURVE,)
    assert findings.slope != ((1.0, 1.0, 1.0),)


STRANGE = {
    "gray": torch.full((3, 30, 40), 0.5),
    "one color": torch.tensor([0.8, 0.3, 0.1]).view(3, 1, 1).expand(3, 30, 40),
    "one pixel": torch.tensor([0.2, 0.5, 0.7]).view(3, 1, 1),
    "no color": scene(4).mean(0, keepdim=True).expand(3, -1, -1),
    "transparent in part": torch.cat([scene(5), (scene(6)[:1] > 0.5).float()]),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_references_give_sensible_results(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / "reference.png", STRANGE[kind])
    shot, params = shot_of([scene()]), look.Params(reference=path, iterations=60)
    findings = look.analyze(shot, params, CPU)
    done = rendered(shot, params, findings)[0]
    assert bool(torch.isfinite(done).all())
    kept = style.structure(spaces.luma(done)[None], spaces.luma(scene())[None])
    assert float(kept) > 0.5, "the picture must still be there"
    if kind == "no color":
        assert float((done.amax(0) - done.amin(0)).mean()) < 0.05
        assert "no color" in findings.note
    if kind in ("gray", "one color"):
        assert "single tone" in findings.note
    if kind == "one pixel":
        assert "only 1 pixel:" in findings.note


def test_a_black_reference_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "black.png", torch.zeros(3, 20, 20))
    with pytest.raises(SettingsError, match="black everywhere"):
        look.analyze(shot_of([scene()]), look.Params(reference=path), CPU)


def test_sixteen_bits_are_the_same_look(tmp_path: Path) -> None:
    eight, sixteen = (written(tmp_path / f"{depth}.png", scene(7), depth) for depth in (8, 16))
    found = [look.analyze(shot_of([scene()]), look.Params(reference=p, iterations=40), CPU) for p in (eight, sixteen)]
    assert found[0].slope[0] == pytest.approx(found[1].slope[0], abs=0.1)
    assert found[0].distance_before == pytest.approx(found[1].distance_before, abs=0.1)


@pytest.mark.parametrize("kind", ["gray shot", "black shot", "not a number"])
def test_strange_shots(kind: str, warm: Path) -> None:
    picture = {
        "gray shot": scene().mean(0, keepdim=True).repeat(3, 1, 1),
        "black shot": torch.zeros(3, 20, 30),
        "not a number": scene().index_fill(1, torch.tensor([3]), float("nan")),
    }[kind]
    shot, params = shot_of([picture]), look.Params(reference=warm, iterations=40)
    findings = look.analyze(shot, params, CPU)
    done = rendered(shot, params, findings)[0]
    assert bool(torch.isfinite(done[torch.isfinite(picture)]).all())
    if kind == "black shot":
        assert torch.equal(done, picture) and "single tone" in findings.note


def test_a_shot_shorter_than_the_frames_asked_for(warm: Path) -> None:
    findings = look.analyze(shot_of([scene()]), look.Params(reference=warm, frames=16, keys=5, iterations=20), CPU)
    assert len(findings.times) == 1 and len(findings.sample_times) == 1


def test_keys_of_different_number_are_told() -> None:
    with pytest.raises(SettingsError, match="one per key"):
        look.Findings.of({"times": (0.0, 1.0)})


def test_the_cdl_of_a_look_says_what_it_leaves_out(warm: Path) -> None:
    findings = look.Findings(slope=((1.2, 1.0, 0.9),), saturation=(0.9,), hue=(5.0,), sharpness=(0.2,))
    own, left = look.correction(look.Params(reference=warm), findings)
    assert own.slope == pytest.approx((1.2, 1.0, 0.9)) and own.saturation == 0.9
    assert left == ["hue", "sharpness"]


def test_sharpness_sharpens_and_keeps_the_outside_of_a_matte() -> None:
    picture = scene()
    matte = torch.zeros(1, 60, 90)
    matte[:, :, 45:] = 1
    frame = Frame(picture, Fraction(0), matte=matte)
    done = next(look.run(iter([frame]), look.Params(), look.Findings(sharpness=(0.8,)), CPU)).pixels
    assert torch.equal(done[..., :45], picture[..., :45])
    assert float(done[..., 50:].diff(dim=2).abs().mean()) > float(picture[..., 50:].diff(dim=2).abs().mean())


@pytest.mark.footage
def test_nearer_than_reinhard_at_equal_structure_on_photographs() -> None:
    folder = shared("style")
    from benchmarks.look import methods as bench

    found = [bench.compare(*pair) for pair in bench.pairs(folder)[:3]]
    assert sum(entry.won for entry in found) >= 2


@pytest.mark.parametrize("tune", ["network", "off"])
@pytest.mark.parametrize("method", ["ncst", "extended"])
def test_the_network_gives_parameters_of_its_own(tune: str, method: str, warm: Path) -> None:
    params = look.Params.of({"reference": warm, "tune": tune, "method": method, "iterations": 3, "hold": ["hue"]})
    findings = look.analyze(shot_of([scene()]), params, CPU)
    assert findings.hue == (0.0,)
    assert findings != look.Findings()
    assert bool(torch.isfinite(rendered(shot_of([scene()]), params, findings)[0]).all())


def test_the_network_cannot_be_fitted_to_a_clip(warm: Path) -> None:
    with pytest.raises(SettingsError, match="takes a reference still"):
        look.analyze(shot_of([scene()]), look.Params(fit=warm, tune="off"), CPU)


def test_the_paper_s_seven_parameters_come_near_too(warm: Path) -> None:
    params = look.Params(reference=warm, method="ncst", iterations=60)
    findings = look.analyze(shot_of([scene()]), params, CPU)
    assert findings.distance_after < 0.7 * findings.distance_before
    assert findings.slope == ((1.0, 1.0, 1.0),) and list(findings.shares) == ["seven"]


def _grainy(count: int) -> Shot:
    """A scene that stands still, with grain in its darks."""
    generator = torch.Generator().manual_seed(2)
    clean = scene() ** 2.2
    grain = (torch.randn(count, 3, 60, 90, generator=generator) * 0.02) * (1 - clean) ** 4
    return shot_of([(clean + own).clamp(0, 1) for own in grain])


def _flicker(pictures: Sequence[torch.Tensor]) -> float:
    """Difference from frame to frame over the contrast of the picture."""
    change = torch.stack([(a - b).abs().mean() for a, b in itertools.pairwise(pictures)]).mean()
    return float(change / pictures[0].std(dim=(1, 2)).mean())


def test_grain_is_lifted_no_more_than_contrast(tmp_path: Path) -> None:
    faded, shot = written(tmp_path / "faded.png", scene(3) ** 0.6 * 0.7 + 0.25), _grainy(12)
    before, after = _flicker([frame.pixels for frame in shot.frames()]), dict[float, float]()
    for steadiness in (0.0, 1.0):
        params = look.Params(reference=faded, steadiness=steadiness)
        findings = look.analyze(shot, params, CPU)
        after[steadiness] = _flicker([picture.clamp(0, 1) for picture in rendered(shot, params, findings)]) / before
        assert after[steadiness] == pytest.approx(findings.noise_gain, abs=0.04) or steadiness == 0
    assert after[0.0] > 1.05, "otherwise this test shows nothing"
    assert after[1.0] < 1.02


def test_a_single_frame_cannot_flicker(warm: Path) -> None:
    shot = _grainy(1)
    found = [look.analyze(shot, look.Params(reference=warm, steadiness=value), CPU) for value in (0.0, 1.0)]
    assert found[0] == found[1]


def test_a_camera_that_turns_is_no_drift_of_light(warm: Path) -> None:
    # From a dark red side of one set to a bright blue one, in steps that flow can follow.
    wide = scene(5, 60, 210)
    across = torch.linspace(0, 1, 210)
    wide = (
        wide
        * (0.35 + 0.5 * across)
        * torch.stack([1.1 - 0.6 * across, torch.full((210,), 0.8), 0.5 + 0.6 * across])[:, None]
    )
    turning = [wide[:, :, 2 * i : 2 * i + 90].clamp(0, 1).contiguous() for i in range(60)]
    params = look.Params(reference=warm, iterations=10)
    findings = look.analyze(shot_of(turning), params, CPU)
    assert len(findings.times) == 1
    fading = [wide[:, :, 2 * i : 2 * i + 90].clamp(0, 1) * (1 - 0.01 * i) for i in range(60)]
    assert len(look.analyze(shot_of(fading), params, CPU).times) > 1


def test_a_transparent_part_of_the_reference_and_a_short_shot_are_told(tmp_path: Path) -> None:
    still = np.zeros((40, 60, 4), np.uint8)
    still[:, :30] = (40, 90, 200, 255)
    still[:20, :30, :3] = (20, 200, 60)
    still[:, 30:, :3] = 255  # would be white, were it not transparent
    cv2.imwrite(str(tmp_path / "cutout.png"), still)
    params = look.Params.of({"reference": str(tmp_path / "cutout.png"), "frames": 8})
    findings = look.analyze(shot_of([scene()]), params, CPU)
    assert "transparent parts of the reference do not count (50 % of it)" in findings.note
    assert "the 1 frame of the shot: 8 were asked for" in findings.note
