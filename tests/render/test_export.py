"""What is handed to other tools comes back from them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest
import torch

from answerprint import operations
from answerprint.color import cdl, cube_file
from answerprint.errors import ColorError, SettingsError, ShotError
from answerprint.frame import Frame
from answerprint.media import reader
from answerprint.operations import look, lowlight
from answerprint.render import export
from answerprint.settings import Settings
from answerprint.shots.boundary import ShotRange
from answerprint.shots.decisions.model import DecisionList, OperationDecision, ShotDecision, SourceRef

CPU = torch.device("cpu")
LOOK = look.Findings(
    slope=((1.2, 1.0, 0.85),), offset=((0.02, 0.0, -0.01),), power=((1.1, 1.0, 0.95),), saturation=(0.8,),
    curve_red=((0.0, 0.08, 0.22, 0.5, 0.79, 0.92, 1.0),), sharpness=(0.3,),
)  # fmt: skip


@pytest.fixture
def clip(tmp_path: Path) -> reader.Clip:
    import cv2
    import numpy as np

    for i in range(10):
        cv2.imwrite(str(tmp_path / f"take.{i:04d}.png"), np.full((32, 48, 3), 20 * i, np.uint8))
    return reader.open(tmp_path / "take.%04d.png", rate="25")


def listed(clip: reader.Clip, *steps: tuple[str, Settings, Settings | None]) -> DecisionList:
    source = SourceRef.describe(Path(clip.info.path), len(clip), Fraction(25))
    made = tuple(OperationDecision.of(*step) for step in steps)
    shots = (ShotDecision(ShotRange("001", 0, 6), made), ShotDecision(ShotRange("002", 6, 10)))
    return DecisionList(source, shots)


def test_a_look_comes_back_from_every_form(clip: reader.Clip, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    made = export.export(listed(clip, ("look", look.Params(), LOOK)), clip, folder, export.ExportSpec(sizes=(17, 33)))
    endings = {path.suffix for path in made.files}
    assert endings == {".cube", ".cc", ".ccc", ".cdl", ".edl", ".otio", ".json"}
    assert all(path.is_file() for path in made.files)
    assert any("sharpness" in line for line in made.lines) and any("curve" in line for line in made.lines)
    assert any("OpenColorIO" in line for line in made.lines) and any("FFmpeg" in line for line in made.lines)

    correction = cdl.read(next(path for path in made.files if path.suffix == ".ccc"))[0]
    assert correction.id == "001" and correction.slope == pytest.approx((1.2, 1.0, 0.85))

    edl = next(path for path in made.files if path.suffix == ".edl").read_text()
    read = otio.adapters.read_from_string(edl, "cmx_3600", rate=25)
    first, second = read.video_tracks()[0]
    assert list(first.metadata["cdl"]["asc_sop"]["slope"]) == pytest.approx([1.2, 1.0, 0.85])
    assert first.metadata["cdl"]["asc_sat"] == pytest.approx(0.8)
    assert "cdl" not in second.metadata

    again = otio.adapters.read_from_file(str(next(path for path in made.files if path.suffix == ".otio")))
    assert {effect.effect_name for effect in again.video_tracks()[0][0].effects} == {
        "ASC CDL",
        "LUT",
        "answerprint.look",
    }

    data = json.loads(next(path for path in made.files if path.suffix == ".json").read_text())
    assert data["shots"][0]["operations"][0]["findings"]["saturation"] == [0.8]
    assert max(d["mean"] for each in data["shots"][0]["luts"] for d in each["differences"]) < 0.002


def test_what_a_lut_leaves_out_of_a_lift_is_told_and_stands_in_the_file(clip: reader.Clip, tmp_path: Path) -> None:
    """One curve of a shot that has four, without its compensation, was exported as if it were all of it."""
    straight = lowlight.Findings().red
    found = lowlight.Findings(
        strength=1, times=(0.0, 0.2), levels=(0.1, 0.2), red=straight * 2, green=straight * 2, blue=straight * 2
    )
    made = export.export(
        listed(clip, ("lowlight", lowlight.Params(), found)), clip, tmp_path, export.ExportSpec(sizes=(9,))
    )
    head = next(path for path in made.files if path.suffix == ".cube").read_text().partition("LUT_3D_SIZE")[0]
    for word in ("compensation", "2 keys"):
        assert word in head and any(word in line and line.startswith("shot 001: LUT: lowlight") for line in made.lines)
    data = json.loads(next(path for path in made.files if path.suffix == ".json").read_text())
    assert any("2 keys" in line for line in data["shots"][0]["left_out"])


def test_the_lut_is_what_is_rendered(clip: reader.Clip, tmp_path: Path) -> None:
    findings = LOOK.model_copy(update={"sharpness": (0.0,)})
    made = export.export(
        listed(clip, ("look", look.Params(), findings)), clip, tmp_path / "out", export.ExportSpec(sizes=(65,))
    )
    cube = cube_file.read(next(path for path in made.files if path.suffix == ".cube"))
    pixels = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    rendered = next(look.run(iter([Frame(pixels, Fraction(0))]), look.Params(), findings, CPU)).pixels
    assert float((cube.apply(pixels) - rendered).abs().max()) < 0.004
    ends = torch.tensor([0.0, 1.0]).expand(3, 1, 2).contiguous()
    exact = next(look.run(iter([Frame(ends, Fraction(0))]), look.Params(), findings, CPU)).pixels
    assert float((cube.apply(ends) - exact).abs().max()) < 1e-6, "both ends of the range are sampled exactly"


def test_two_operations_are_one_lut_and_two_corrections(clip: reader.Clip, tmp_path: Path) -> None:
    grade = operations.load("grade")
    steps = (("grade", grade.params_type.of({"slope": (0.9, 1.0, 1.1)}), None), ("look", look.Params(), LOOK))
    made = export.export(listed(clip, *steps), clip, tmp_path / "out", export.ExportSpec(sizes=(17,)))
    assert [path.name for path in made.files if path.suffix == ".cc"] == [
        "take.001.grade.cc", "take.001.look.cc"
    ]  # fmt: skip


def test_linear_footage_gets_a_shaper(clip: reader.Clip, tmp_path: Path) -> None:
    wanted = export.ExportSpec(sizes=(33,), linear=8.0, input_space="ACEScg", output_space="ACEScg")
    findings = LOOK.model_copy(update={"curve_red": LOOK.curve_green})
    made = export.export(listed(clip, ("look", look.Params(), findings)), clip, tmp_path / "out", wanted)
    path = next(path for path in made.files if path.suffix == ".cube")
    assert "input color space: ACEScg" in path.read_text()[:600]
    cube = cube_file.read(path)
    bright = torch.tensor([0.02, 0.18, 1.0, 4.0]).expand(3, 1, 4).contiguous()
    exact = next(
        look.run(
            iter([Frame(bright, Fraction(0))]), look.Params(), findings.model_copy(update={"sharpness": (0.0,)}), CPU
        )
    ).pixels
    assert float(((cube.apply(bright) - exact).abs() / exact.abs().clamp_min(0.05)).max()) < 0.03


def test_what_cannot_be_exported_is_told(clip: reader.Clip, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no color work"):
        export.export(listed(clip), clip, tmp_path / "out")
    with pytest.raises(ColorError, match=r"ACESgg.*near: ACEScg"):
        export.export(
            listed(clip, ("look", look.Params(), LOOK)), clip, tmp_path / "out", export.ExportSpec(input_space="ACESgg")
        )


def test_names_of_shots_never_lead_out_of_the_folder_and_files_do_not_meet(clip: reader.Clip, tmp_path: Path) -> None:
    listing = listed(clip, ("look", look.Params(), LOOK))
    names = ["../../out", "a/b", "a_b", "A_B", "..", "-x\n\x00"]
    made = tuple(
        ShotDecision(ShotRange(name, number, number + 1), listing.shots[0].operations)
        for number, name in enumerate(names)
    )
    folder = tmp_path / "deep" / "out"
    listing = DecisionList(listing.source, made)
    result = export.export(listing, clip, folder, export.ExportSpec(sizes=(9,)))
    assert len(set(result.files)) == len(result.files) == len(list(folder.iterdir()))
    assert all(path.parent == folder for path in result.files)
    assert len([path for path in result.files if path.suffix == ".cube"]) == len(names)
    assert list((tmp_path / "deep").iterdir()) == [folder]


@pytest.mark.parametrize("rate", ["15", "12.5", "120"])
def test_a_rate_that_no_edl_has_is_told_first_and_all_else_is_written(
    clip: reader.Clip, tmp_path: Path, rate: str
) -> None:
    folder = tmp_path / "out"
    other = reader.open(tmp_path / "take.%04d.png", rate=rate)
    notes: list[str] = []

    def note(text: str) -> None:
        assert not folder.exists(), "told before anything is written"
        notes.append(text)

    listing = listed(other, ("look", look.Params(), LOOK))
    made = export.export(listing, other, folder, export.ExportSpec(sizes=(9,)), note)
    assert {path.suffix for path in made.files} == {".cube", ".cc", ".ccc", ".cdl", ".otio", ".json"}
    assert f"an EDL knows no rate of {rate}" in made.refusal and made.refusal in notes[0]
    with pytest.raises(ShotError, match="an EDL knows no rate"):
        export.export(listing, other, tmp_path / "none", export.ExportSpec(edl=True), note)
    assert not (tmp_path / "none").exists()
