"""What a colorist did, learned: known grades come back, what is out of line is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from answerprint.cli import main
from answerprint.color import cdl, cube_file, spaces
from answerprint.errors import ColorError, MediaError, SettingsError
from answerprint.frame import Frame
from answerprint.looks import deliver, learn
from answerprint.operations import grade, look
from footage import as_shot, frames_of, shot_of

CPU = torch.device("cpu")
CDL = grade.Params(slope=(1.15, 1.0, 0.85), offset=(0.03, 0.0, -0.02), power=(1.1, 1.0, 0.9), saturation=0.8)
BEYOND = CDL.model_copy(update={"hue": 20.0, "gamma": 1.2})
QUICK = learn.Params(points=9, frames=10, iterations=120)


def scenes(count: int = 10, seed: int = 0) -> list[torch.Tensor]:
    """A colorful card that is pulled sideways, (3, 72, 128) each."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 14, 36, generator=generator)
    card = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bicubic", align_corners=False)[0]
    return [card.clamp(0.02, 0.98)[:, 10:82, 6 * i : 6 * i + 128].contiguous() for i in range(count)]


def graded(pictures: list[torch.Tensor], params: grade.Params) -> list[torch.Tensor]:
    frames = [Frame(picture, Fraction(i, 25)) for i, picture in enumerate(pictures)]
    return [frame.pixels.clamp(0, 1) for frame in grade.run(iter(frames), params, CPU)]


def written(folder: Path, pictures: list[torch.Tensor], first: int = 0) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures, first):
        codes = (picture * 65535).round().permute(1, 2, 0).numpy().astype(np.uint16)
        cv2.imwrite(str(folder / f"{folder.name}.{number:04d}.png"), codes[..., ::-1])
    return folder


def away(transform: Callable[[torch.Tensor], torch.Tensor], params: grade.Params) -> float:
    """CIEDE2000 of a learned grade to the true one, on a scene that it never saw."""
    pictures = scenes(1, seed=5)
    labs = [spaces.rgb_to_lab(p.clamp(0, 1)) for p in (transform(pictures[0]), graded(pictures, params)[0])]
    return float(spaces.delta_e_2000(*labs).mean())


def test_a_cdl_comes_back_as_its_numbers(tmp_path: Path) -> None:
    before, after = written(tmp_path / "b", scenes()), written(tmp_path / "a", graded(scenes(), CDL))
    learned = learn.learn([before], [after], QUICK)
    assert learned.findings.slope[0] == pytest.approx(CDL.slope, abs=0.02)
    assert learned.findings.power[0] == pytest.approx(CDL.power, abs=0.03)
    assert learned.findings.saturation[0] == pytest.approx(CDL.saturation, abs=0.02)
    assert learned.stages[0].mean > 3 and learned.stages[1].mean < 0.3
    files, lines = deliver.write(learned, tmp_path / "look.cube", QUICK)
    assert all(file.is_file() for file in files) and any("OpenColorIO" in line for line in lines)
    assert cdl.choose(tmp_path / "look.cdl").slope == pytest.approx(CDL.slope, abs=0.02)
    assert "held out" in (tmp_path / "look.html").read_text()


def test_what_a_cdl_cannot_hold_is_in_the_lut_and_holds_on_another_scene(tmp_path: Path) -> None:
    before, after = written(tmp_path / "b", scenes()), written(tmp_path / "a", graded(scenes(), BEYOND))
    heard: list[str] = []
    learned = learn.learn([before], [after], QUICK, heard.append)
    means = [stage.mean for stage in learned.stages]
    assert means[-1] < 0.5 * means[1] < means[0]
    deliver.write(learned, tmp_path / "look.cube", QUICK)
    table = cube_file.read(tmp_path / "look.cube")
    assert table is not None and away(table.apply, BEYOND) < 0.25 * away(lambda pixels: pixels, BEYOND)
    assert any("held out" in line for line in heard)

    # The same as an operation on other footage, its numbers in the decision list.
    params = look.Params(learned=tmp_path / "look.json")
    frames = frames_of(scenes(2, seed=5))
    findings = look.analyze(as_shot(frames), params, CPU)
    done = next(look.run(iter(frames), params, findings, CPU)).pixels
    assert float((done - table.apply(frames[0].pixels)).abs().mean()) < 2e-3
    assert "learned" in findings.summary


def test_an_offset_in_time_is_found_and_told(tmp_path: Path) -> None:
    pictures = scenes(14)
    before = written(tmp_path / "b", pictures)
    after = written(tmp_path / "a", graded(pictures, CDL)[3:])
    heard: list[str] = []
    learned = learn.learn([before], [after], QUICK.model_copy(update={"lut": False}), heard.append)
    assert any("3 frames early" in line for line in heard)
    assert learned.stages[-1].mean < 0.5
    with pytest.raises(SettingsError, match="3 frames early"):
        learn.learn([before], [after], QUICK.model_copy(update={"align": False}))


def test_a_shift_in_the_picture_is_found_and_told(tmp_path: Path) -> None:
    pictures = scenes(6)
    moved = [torch.roll(picture, (4, 1), (1, 2)) for picture in graded(pictures, CDL)]
    before, after = written(tmp_path / "b", pictures), written(tmp_path / "a", moved)
    heard: list[str] = []
    learned = learn.learn([before], [after], QUICK.model_copy(update={"lut": False}), heard.append)
    assert any("+3.9 down" in line or "+4.0 down" in line for line in heard)
    assert learned.stages[-1].mean < 0.6


def test_stills_go_together_by_name_and_one_alone_is_enough(tmp_path: Path) -> None:
    before, after = tmp_path / "b", tmp_path / "a"
    for folder, made in ((before, scenes(2)), (after, graded(scenes(2), CDL))):
        folder.mkdir()
        for name, picture in zip(("sea", "wood"), made, strict=True):
            cv2.imwrite(str(folder / f"{name}.png"), (picture * 255).round().permute(1, 2, 0).numpy()[..., ::-1])
    both = learn.learn([before], [after], QUICK.model_copy(update={"lut": False}))
    one = learn.learn([before / "sea.png"], [after / "sea.png"], QUICK.model_copy(update={"lut": False}))
    for learned in (both, one):
        assert learned.stages[-1].mean < 0.25 * learned.stages[0].mean
        assert learned.held_out == "every fifth tile of the pictures"


def test_what_is_no_matter_of_color_is_told(tmp_path: Path) -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 72), torch.linspace(-1, 1, 128), indexing="ij")
    vignette = 1 - 0.5 * (x**2 + y**2) / 2
    before = written(tmp_path / "b", scenes())
    after = written(tmp_path / "a", [picture * vignette for picture in graded(scenes(), CDL)])
    learned = learn.learn([before], [after], QUICK)
    assert learned.local > 2 and any("no matter of color" in note for note in learned.notes)


@pytest.mark.parametrize("wrong", ["another scene", "another shape", "one missing", "no file", "a single tone"])
def test_pairs_that_are_none_are_refused(tmp_path: Path, wrong: str) -> None:
    before, other, message = written(tmp_path / "b", scenes(4)), scenes(4, seed=3), "does not show"
    error: type[Exception] = SettingsError
    graded_: list[Path] = [tmp_path / "a"]
    if wrong == "another shape":
        other, message = [picture[:, :, :80] for picture in other], "another frame"
    elif wrong == "one missing":
        graded_, message = [tmp_path / "a", tmp_path / "a"], "1 ungraded and 2 graded"
    elif wrong == "no file":
        graded_, message, error = [tmp_path / "none.mov"], "none.mov", MediaError
    elif wrong == "a single tone":
        before, message = written(tmp_path / "flat", [torch.full((3, 72, 128), 0.4)] * 4), "single tone"
    written(tmp_path / "a", other)
    with pytest.raises(error, match=message):
        learn.learn([before], graded_, QUICK)


def test_a_wrong_ending_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ColorError, match=r"\.cube"):
        deliver.check(tmp_path / "look.txt")


def test_the_command_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = written(tmp_path / "b", scenes(5)), written(tmp_path / "a", graded(scenes(5), CDL))
    words = [
        "learn-look",
        "--ungraded",
        str(before),
        "--graded",
        str(after),
        "-o",
        str(tmp_path / "l.cube"),
        "--no-lut",
    ]
    main(words)
    said = capsys.readouterr().out
    assert "CDL: CIEDE2000" in said and "l.cube" in said and "--learned" in said
    assert json.loads((tmp_path / "l.json").read_text())["stages"][0]["name"] == "ungraded"


def test_what_is_no_learned_look_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text('{"format": "something"}')
    shot = shot_of(scenes(1))
    with pytest.raises(SettingsError, match="no learned look"):
        look.analyze(shot, look.Params(learned=tmp_path / "l.json"), CPU)
    with pytest.raises(SettingsError, match="alone"):
        look.analyze(shot, look.Params(learned=tmp_path / "l.json", reference=tmp_path / "x.png"), CPU)
