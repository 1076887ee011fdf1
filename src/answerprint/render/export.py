"""Hands the color of a decision list to other tools: .cube, .cdl, .cc, .ccc, EDL, OTIO and JSON, each proved.

Every LUT is read back by OpenColorIO and FFmpeg's `lut3d` and compared with what was written and with the direct
transform; one that does not come back is an error, not a file. What a form cannot hold is told, never dropped in
silence.
"""

from __future__ import annotations

import difflib
import functools
import json as jsonlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from answerprint import disk
from answerprint.assets import Assets
from answerprint.color import cdl as cdl_file
from answerprint.color import cube_file, lut, readback
from answerprint.color.cdl import Correction
from answerprint.errors import ColorError, DeliveryError, SettingsError, ShotError
from answerprint.frame import Frame
from answerprint.media import timecode
from answerprint.media.reader import Clip
from answerprint.render.paths import plain_stem
from answerprint.render.pipeline import Step, chain_of
from answerprint.settings import Settings
from answerprint.shots import edl
from answerprint.shots import otio as timeline_file
from answerprint.shots.decisions.model import DecisionList, ShotDecision
from answerprint.text import file_name, visible, write_path

FORMAT = "answerprint.export/1"
_LARGEST = 1e-4  # a reader that is further than this from the table that was written did not read it
_FINE = 129  # points of the LUT that stands in for the direct transform of operations that look at neighbors
_CPU = torch.device("cpu")


class ExportSpec(Settings):
    """The forms to write; with none named, all."""

    cube: bool = Field(False, description="LUTs of each shot's color (.cube).")
    cdl: bool = Field(False, description="Color decision lists (.cdl, .cc, .ccc).")
    edl: bool = Field(False, description="An EDL with ASC_SOP and ASC_SAT comments.")
    otio: bool = Field(False, description="A timeline with the grades as effects.")
    grades: bool = Field(False, description="All decisions on color as JSON (.grades.json).")
    sizes: tuple[int, ...] = Field((17, 33, 65), description="Points per axis of the LUTs; a file each.")
    input_space: str = Field("", description="OpenColorIO name of the footage's color space, for the comments.")
    output_space: str = Field("", description="OpenColorIO name of the result's color space, for the comments.")
    linear: float = Field(
        0.0, ge=0, description="Brightest value of scene-linear footage: a shaper brings 0..linear to the LUT; 0: none."
    )

    def writes(self, form: str) -> bool:
        """Whether a form is written."""
        return form in self.forms

    @property
    def forms(self) -> list[str]:
        """The forms that are written: those that are named, or all."""
        names = ["cube", "cdl", "edl", "otio", "grades"]
        return [name for name in names if getattr(self, name)] or names


@dataclass(frozen=True)
class Export:
    """The files that an export wrote.

    Attributes:
        files: in the order they were written.
        lines: in words: the errors of every LUT, what could not be carried.
        refusal: the form that this footage cannot have, and why; empty where all were written.
    """

    files: tuple[Path, ...]
    lines: tuple[str, ...]
    refusal: str = ""


@dataclass
class _ShotExport:
    """One shot on its way out."""

    decision: ShotDecision
    steps: tuple[Step, ...]
    label: str  # of its files
    corrections: list[Correction] = field(default_factory=list)
    luts: list[dict[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return visible(self.decision.range.name)


def export(
    decisions: DecisionList,
    clip: Clip,
    folder: Path,
    spec: ExportSpec | None = None,
    note: Callable[[str], None] | None = None,
) -> Export:
    """Writes the color of every shot into `folder`.

    Args:
        decisions: the list; its operations that are a matter of color are exported, in order.
        clip: its source, for timecodes.
        folder: made where it is not there.
        spec: the forms.
        note: told before anything is written what this footage cannot have.

    Raises:
        SettingsError: no shot of the list has color work in it.
        ShotError: an EDL alone is asked for, and none has this frame rate.
        ColorError: a LUT does not come back from its readers; a color space is unknown.
        DeliveryError: the folder cannot be written.
    """
    spec = spec or ExportSpec()
    _check_spaces(spec)
    refusal = edl.refusal(clip.info.rate) if spec.writes("edl") else ""
    if refusal and spec.forms == ["edl"]:
        raise ShotError(refusal)
    if refusal and note is not None:
        note(f"{refusal}; the other forms are written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeliveryError(f"{folder}: cannot be made ({error.strerror})") from None
    shots = _shot_exports(decisions)
    stem, files, lines = file_name(plain_stem(Path(decisions.source.path))), list[Path](), list[str]()
    for shot in shots:
        _correct(shot)
        if spec.writes("cube") and shot.steps:
            files += _cubes(shot, folder, stem, spec, lines)
        lines += [f"shot {shot.name}: {text}" for text in [*shot.remarks, *shot.left]]
    if spec.writes("cdl"):
        files += _cdls(shots, folder, stem)
    if spec.writes("edl") and not refusal:
        files.append(_edl(shots, clip, folder / f"{stem}.edl"))
    if spec.writes("otio"):
        files.append(_otio(shots, clip, folder / f"{stem}.otio"))
    if spec.writes("grades"):
        files.append(_json(shots, decisions, clip, folder / f"{stem}.grades.json"))
    return Export(tuple(files), tuple(lines), refusal)


def _shot_exports(decisions: DecisionList) -> list[_ShotExport]:
    """The shots with their color steps.

    Raises:
        SettingsError: none has any.
    """
    labels = _labels([shot.range.name for shot in decisions.shots])
    shots = [
        _ShotExport(shot, _color_steps(shot, decisions.assets), label)
        for shot, label in zip(decisions.shots, labels, strict=True)
    ]
    if not any(shot.steps for shot in shots):
        raise SettingsError(
            "the decision list holds no color work (grade, look, lowlight, match, mood), so there is nothing to export"
        )
    return shots


def _labels(names: Sequence[str]) -> list[str]:
    """Names of shots as parts of file names, each once also where letters make no difference."""
    labels: list[str] = []
    for name in names:
        label, number = file_name(name), 1
        while label.casefold() in (other.casefold() for other in labels):
            number += 1
            label = f"{file_name(name)}-{number}"
        labels.append(label)
    return labels


def _check_spaces(spec: ExportSpec) -> None:
    """Names that no config knows would mislead the next in line."""
    if not (spec.input_space or spec.output_space):
        return
    import PyOpenColorIO as ocio  # noqa: N813

    config = ocio.Config.CreateFromBuiltinConfig("studio-config-latest")
    for name in filter(None, (spec.input_space, spec.output_space)):
        if config.getColorSpace(name) is None:
            known = list(config.getColorSpaceNames())
            near = difflib.get_close_matches(name, known, 4, 0.35) or known[:4]
            raise ColorError(
                f"color space '{name}' is unknown to OpenColorIO's studio config; near: {', '.join(near)}, ..."
            )


def _color_steps(shot: ShotDecision, assets: Assets) -> tuple[Step, ...]:
    return tuple(step for step in chain_of(shot, assets) if step.operation.is_color)


# ---- LUTs


def _cubes(shot: _ShotExport, folder: Path, stem: str, spec: ExportSpec, lines: list[str]) -> list[Path]:
    direct = functools.reduce(_after, [_direct(step) for step in shot.steps])
    shot.remarks += [text for step in shot.steps for text in _remarks(step)]
    files = []
    for size in spec.sizes:
        path = folder / f"{stem}.{shot.label}.{size}.cube"
        cube = _bake(direct, shot, size, spec)
        cube_file.write(cube, path)
        read_back, away = readback.verify(cube, path), readback.verify(direct, path)
        for proof, difference in zip(read_back, away, strict=True):
            if not proof.largest < _LARGEST:
                path.unlink()
                raise ColorError(
                    f"{path}: does not come back from {proof.reader}: off by {proof.largest:.2g} at most; not exported"
                )
            lines.append(
                f"{path.name}: read back by {proof.reader}; from the direct transform "
                f"{difference.largest:.5f} at most, {difference.mean:.6f} on average"
            )
        shot.luts.append({"file": path.name, "points": size, "differences": [asdict(each) for each in away]})
        files.append(path)
    return files


def _after(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda pixels: second(first(pixels))


def _direct(step: Step) -> Callable[[Tensor], Tensor]:
    """What a step does to a color by itself: the operation as it renders, or a fine LUT where it looks at neighbors."""
    findings, time = step.operation.color_part(step.findings)
    color = replace(step, findings=findings)

    def run(pixels: Tensor) -> Tensor:
        return next(color.run(iter([Frame(pixels.contiguous(), time)]), _CPU)).pixels

    generator = torch.Generator().manual_seed(0)
    colors = torch.rand(3, 24, 24, generator=generator)
    order = torch.randperm(24 * 24, generator=generator)
    shuffled = colors.reshape(3, -1)[:, order].reshape(3, 24, 24)
    if torch.allclose(run(colors).reshape(3, -1)[:, order].reshape(3, 24, 24), run(shuffled), atol=1e-5):
        return run
    fine = step.operation.cube(step.params, step.findings, _FINE)
    if fine is None:
        raise ColorError(f"{step.operation.name}: is no color transform that a LUT could hold")
    return fine.apply


def _remarks(step: Step) -> list[str]:
    """Remarks of an operation on its LUT: what of it is not in there, which of its keys is."""
    findings, time = step.operation.color_part(step.findings)
    small = step.operation.cube_at(step.params, findings, time, 2)
    return [f"LUT: {step.operation.name}: {text}" for text in small.comments] if small is not None else []


_SHAPER_ENTRIES, _SHAPER_TOE = 16384, 64.0


def _bake(direct: Callable[[Tensor], Tensor], shot: _ShotExport, size: int, spec: ExportSpec) -> lut.Cube:
    title = f"{shot.name} " + " + ".join(step.operation.name for step in shot.steps)
    comments = [f"input color space: {spec.input_space}"] if spec.input_space else []
    comments += [f"output color space: {spec.output_space}"] if spec.output_space else []
    comments += [text.removeprefix("LUT: ") for text in shot.remarks]
    comments += [f"not in this LUT: {text}" for text in shot.left if not text.startswith("CDL")]
    if not spec.linear:
        return lut.bake(direct, size, title=title, comments=tuple(comments))
    top = math.log2(1 + _SHAPER_TOE * spec.linear)
    ramp = torch.linspace(0, spec.linear, _SHAPER_ENTRIES, dtype=torch.float64)
    table = (torch.log2(1 + _SHAPER_TOE * ramp) / top).float()[:, None].expand(-1, 3).contiguous()
    shaper = lut.Curves(table, (0.0,) * 3, (spec.linear,) * 3)
    comments.append(f"shaper: log2(1 + {_SHAPER_TOE:g} x) / {top:.6f} for x from 0 to {spec.linear:g}")
    return lut.bake(
        lambda shaped: direct((2.0 ** (shaped * top) - 1) / _SHAPER_TOE),
        size,
        title=title,
        comments=tuple(comments),
        shaper=shaper,
    )


# ---- CDL


def _correct(shot: _ShotExport) -> None:
    """The corrections of a shot, and in words what they leave out."""
    corrections = [step.operation.correction(step.params, step.findings) for step in shot.steps]
    alone = sum(each is not None for each in corrections) == 1
    for step, each in zip(shot.steps, corrections, strict=True):
        label = step.operation.name
        if each is None:
            shot.left.append(f"CDL: {label} is nothing that a CDL can hold; it is in the LUT")
            continue
        correction, left = each
        shot.corrections.append(
            replace(correction, id=shot.name if alone else f"{shot.name}.{label}", description=label)
        )
        if left:
            shot.left.append(f"CDL: without {', '.join(left)} of {label}")
        shot.left += [f"{name} of {label}" for name in left if name in _no_color(step)]


def _no_color(step: Step) -> set[str]:
    """The names of findings that are no matter of color alone, which no LUT holds either."""
    color, _ = step.operation.color_part(step.findings)
    if step.findings is None or color is None:
        return set()
    return {name for name, value in step.findings if getattr(color, name) != value}


def _cdls(shots: Sequence[_ShotExport], folder: Path, stem: str) -> list[Path]:
    files, together = [], [correction for shot in shots for correction in shot.corrections]
    for shot in shots:
        for correction in shot.corrections:
            part = correction.id.removeprefix(shot.name)
            files.append(folder / f"{stem}.{shot.label}{part}.cc")
            cdl_file.write([correction], files[-1])
    for ending in (".ccc", ".cdl") if together else ():
        files.append(folder / f"{stem}{ending}")
        cdl_file.write(together, files[-1])
    return files


def _sop(correction: Correction) -> str:
    return "".join(
        f"({' '.join(f'{number:.6f}' for number in triple)})"
        for triple in (correction.slope, correction.offset, correction.power)
    )


# ---- timelines


def _edl(shots: Sequence[_ShotExport], clip: Clip, path: Path) -> Path:
    """The cuts as `shots/edl.py` writes them, with ASC_SOP and ASC_SAT comments below each event."""
    lines, number = list[str](), -1
    for line in edl.write([shot.decision.range for shot in shots], clip).splitlines():
        lines.append(line)
        if re.match(r"\d{3,}  ", line):
            number += 1
        elif line.startswith("* FROM CLIP NAME"):
            for correction in shots[number].corrections[:1]:
                lines += [f"* ASC_SOP {_sop(correction)}", f"* ASC_SAT {correction.saturation:.6f}"]
    return _put(path, "\n".join(lines) + "\n")


def _otio(shots: Sequence[_ShotExport], clip: Clip, path: Path) -> Path:
    """The cuts with each grade as an effect, and as the `cdl` metadata that OpenTimelineIO's EDL adapter reads."""
    import opentimelineio as otio

    edit: Any = otio.adapters.read_from_string(
        timeline_file.write([shot.decision.range for shot in shots], clip), "otio_json"
    )
    for shot, entry in zip(shots, edit.video_tracks()[0], strict=True):
        for correction in shot.corrections:
            sop = {"slope": correction.slope, "offset": correction.offset, "power": correction.power}
            plain = {"asc_sop": {key: list(value) for key, value in sop.items()}, "asc_sat": correction.saturation}
            entry.metadata.setdefault("cdl", plain)
            entry.effects.append(otio.schema.Effect(correction.id, "ASC CDL", {"cdl": plain}))
        for table in shot.luts:
            entry.effects.append(otio.schema.Effect(table["file"], "LUT", {"answerprint": {"file": table["file"]}}))
        for step in shot.steps:
            metadata = {"answerprint": _plain_step(step)}
            entry.effects.append(
                otio.schema.Effect(step.operation.name, f"answerprint.{step.operation.name}", metadata)
            )
    return _put(path, otio.adapters.write_to_string(edit, "otio_json"))


def _json(shots: Sequence[_ShotExport], decisions: DecisionList, clip: Clip, path: Path) -> Path:
    begin, rate = timecode.start(clip.info.timecode, clip.info.rate), clip.info.rate
    entries = [
        {
            "name": shot.name,
            "start": shot.decision.range.start,
            "stop": shot.decision.range.stop,
            "timecode_in": timecode.shift(begin, shot.decision.range.start, rate),
            "timecode_out": timecode.shift(begin, shot.decision.range.stop, rate),
            "operations": [_plain_step(step) for step in shot.steps],
            "cdl": [asdict(correction) for correction in shot.corrections],
            "luts": shot.luts,
            "left_out": [*shot.remarks, *shot.left],
        }
        for shot in shots
    ]
    data = {"format": FORMAT, "source": write_path(str(decisions.source.path)), "rate": str(rate), "shots": entries}
    return _put(path, jsonlib.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _put(path: Path, text: str) -> Path:
    """Writes a file whole and gives its path."""
    try:
        disk.write(path, text, "backslashreplace")
    except OSError as error:
        raise DeliveryError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _plain_step(step: Step) -> Mapping[str, Any]:
    return {
        "name": step.operation.name,
        "params": step.params.model_dump(mode="json"),
        "findings": None if step.findings is None else step.findings.model_dump(mode="json"),
    }


def shot_cube(decisions: DecisionList, shot: ShotDecision, size: int = 33) -> lut.Cube:
    """The color of a shot as one LUT: what its operations do to a pixel by itself, in order.

    Args:
        decisions: the list that the shot is in.
        shot: the shot's decisions.
        size: points per axis.

    Raises:
        ColorError: no operation of the shot is a matter of color.
    """
    steps = _color_steps(shot, decisions.assets)
    cubes = [cube for step in steps if (cube := step.operation.cube(step.params, step.findings, size)) is not None]
    if not cubes:
        raise ColorError(f"shot {shot.range.name}: none of its operations is a color transform that a LUT could hold")
    comments = tuple(comment for cube in cubes for comment in cube.comments)
    return lut.bake(
        lambda pixels: functools.reduce(lambda result, cube: cube.apply(result), cubes, pixels), size, comments=comments
    )
