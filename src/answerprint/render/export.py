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
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from answerprint.color import cdl as cdl_file
from answerprint.color import cube_file, lut, readback
from answerprint.color.cdl import Correction
from answerprint.errors import ColorError, DeliveryError, SettingsError
from answerprint.frame import Frame
from answerprint.media import timecode
from answerprint.media.reader import Clip
from answerprint.render import jobs
from answerprint.render.pipeline import Step, chain_of
from answerprint.settings import Settings
from answerprint.shots import timeline
from answerprint.shots.decisions import DecisionList, ShotDecision

FORMAT = "answerprint.export/1"
SIZES = (17, 33, 65)
_LARGEST = 1e-4  # a reader that is further than this from the table that was written did not read it
_FINE = 129  # points of the LUT that stands in for the direct transform of operations that look at neighbors
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Wanted:
    """What to write.

    Attributes:
        cube, cdl, edl, otio, json: which forms.
        sizes: points per axis of the LUTs; a file each.
        input_space, output_space: names of color spaces in OpenColorIO's configs, told in the files' comments.
        linear: brightest value of scene-linear footage: a shaper then brings 0..linear to the LUT; 0 = no shaper.
    """

    cube: bool = True
    cdl: bool = True
    edl: bool = True
    otio: bool = True
    json: bool = True
    sizes: tuple[int, ...] = SIZES
    input_space: str = ""
    output_space: str = ""
    linear: float = 0.0


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: in the order they were written.
        lines: in words: the errors of every LUT, what could not be carried.
    """

    files: tuple[Path, ...]
    lines: tuple[str, ...]


@dataclass
class _Shot:
    """One shot on its way out."""

    decision: ShotDecision
    steps: tuple[Step, ...]
    corrections: list[Correction] = field(default_factory=list)
    luts: list[dict[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.decision.range.name


def export(decisions: DecisionList, clip: Clip, folder: Path, wanted: Wanted | None = None) -> Exported:
    """Writes the color of every shot into `folder`.

    Args:
        decisions: the list; its operations that are a matter of color are exported, in order.
        clip: its source, for timecodes.

    Raises:
        SettingsError: no shot of the list has color work in it.
        ColorError: a LUT does not come back from its readers; a color space is unknown.
        DeliveryError: the folder cannot be written.
    """
    wanted = wanted or Wanted()
    _check_spaces(wanted)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeliveryError(f"{folder}: cannot be made ({error.strerror})") from None
    shots = [_Shot(shot, _color_steps(shot)) for shot in decisions.shots]
    if not any(shot.steps for shot in shots):
        raise SettingsError(
            "the decision list holds no color work (grade, look, lowlight, match, mood), so there is nothing to export"
        )
    stem, files, lines = jobs.plain_stem(Path(decisions.source.path)), list[Path](), list[str]()
    for shot in shots:
        _correct(shot)
        if wanted.cube and shot.steps:
            files += _cubes(shot, folder, stem, wanted, lines)
        lines += [f"shot {shot.name}: {text}" for text in [*shot.told, *shot.left]]
    if wanted.cdl:
        files += _cdls(shots, folder, stem)
    if wanted.edl:
        files.append(_edl(shots, clip, folder / f"{stem}.edl"))
    if wanted.otio:
        files.append(_otio(shots, clip, folder / f"{stem}.otio"))
    if wanted.json:
        files.append(_json(shots, decisions, clip, folder / f"{stem}.grades.json"))
    return Exported(tuple(files), tuple(lines))


def _check_spaces(wanted: Wanted) -> None:
    """Names that no config knows would mislead the next in line."""
    if not (wanted.input_space or wanted.output_space):
        return
    import PyOpenColorIO as ocio  # noqa: N813

    config = ocio.Config.CreateFromBuiltinConfig("studio-config-latest")
    for name in filter(None, (wanted.input_space, wanted.output_space)):
        if config.getColorSpace(name) is None:
            known = list(config.getColorSpaceNames())
            near = difflib.get_close_matches(name, known, 4, 0.35) or known[:4]
            raise ColorError(
                f"color space '{name}' is unknown to OpenColorIO's studio config; near: {', '.join(near)}, ..."
            )


def _color_steps(shot: ShotDecision) -> tuple[Step, ...]:
    return tuple(step for step in chain_of(shot) if hasattr(step.operation.module, "cube"))


# ---- LUTs


def _cubes(shot: _Shot, folder: Path, stem: str, wanted: Wanted, lines: list[str]) -> list[Path]:
    direct = functools.reduce(_after, [_direct(step) for step in shot.steps])
    shot.told += [text for step in shot.steps for text in _told(step)]
    files = []
    for size in wanted.sizes:
        path = folder / f"{stem}.{shot.name}.{size}.cube"
        made = _baked(direct, shot, size, wanted)
        cube_file.write(made, path)
        read_back, away = readback.verify(made, path), readback.verify(direct, path)
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
    findings = _unsharpened(step.findings)

    def run(pixels: Tensor) -> Tensor:
        frame = Frame(pixels.contiguous(), _middle(findings))
        return next(step.operation.run(iter([frame]), step.params, findings, _CPU)).pixels

    generator = torch.Generator().manual_seed(0)
    colors = torch.rand(3, 24, 24, generator=generator)
    order = torch.randperm(24 * 24, generator=generator)
    moved = colors.reshape(3, -1)[:, order].reshape(3, 24, 24)
    if torch.allclose(run(colors).reshape(3, -1)[:, order].reshape(3, 24, 24), run(moved), atol=1e-5):
        return run
    fine = step.operation.cube(step.params, step.findings, _FINE)
    if fine is None:
        raise ColorError(f"{step.operation.name}: is no color transform that a LUT could hold")
    return fine.apply


def _unsharpened(findings: Settings | None) -> Settings | None:
    """Findings without sharpness, which `_correct` tells of."""
    if findings is None or "sharpness" not in type(findings).model_fields:
        return findings
    silent = {"sharpness": tuple(0.0 for _ in getattr(findings, "sharpness"))}  # noqa: B009 - not every table has it
    return findings.model_copy(update=silent)


def _told(step: Step) -> list[str]:
    """What an operation says of its LUT: what of it is not in there, which of its keys is."""
    small = step.operation.cube(step.params, _unsharpened(step.findings), 2)
    return [f"LUT: {step.operation.name}: {text}" for text in small.comments] if small is not None else []


def _middle(findings: Settings | None) -> Fraction:
    """The time at which a look with keys is exported."""
    times: Sequence[float] = getattr(findings, "times", (0.0,))
    return Fraction(times[len(times) // 2])


_SHAPER_ENTRIES, _SHAPER_TOE = 16384, 64.0


def _baked(direct: Callable[[Tensor], Tensor], shot: _Shot, size: int, wanted: Wanted) -> lut.Cube:
    title = f"{shot.name} " + " + ".join(step.operation.name for step in shot.steps)
    comments = [f"input color space: {wanted.input_space}"] if wanted.input_space else []
    comments += [f"output color space: {wanted.output_space}"] if wanted.output_space else []
    comments += [text.removeprefix("LUT: ") for text in shot.told]
    comments += [f"not in this LUT: {text}" for text in shot.left if not text.startswith("CDL")]
    if not wanted.linear:
        return lut.bake(direct, size, title=title, comments=tuple(comments))
    top = math.log2(1 + _SHAPER_TOE * wanted.linear)
    ramp = torch.linspace(0, wanted.linear, _SHAPER_ENTRIES, dtype=torch.float64)
    table = (torch.log2(1 + _SHAPER_TOE * ramp) / top).float()[:, None].expand(-1, 3).contiguous()
    shaper = lut.Curves(table, (0.0,) * 3, (wanted.linear,) * 3)
    comments.append(f"shaper: log2(1 + {_SHAPER_TOE:g} x) / {top:.6f} for x from 0 to {wanted.linear:g}")
    return lut.bake(
        lambda shaped: direct((2.0 ** (shaped * top) - 1) / _SHAPER_TOE),
        size,
        title=title,
        comments=tuple(comments),
        shaper=shaper,
    )


# ---- CDL


def _correct(shot: _Shot) -> None:
    """The corrections of a shot, and in words what they leave out."""
    for step in shot.steps:
        own: Callable[..., tuple[Correction, list[str]]] | None = getattr(step.operation.module, "correction", None)
        label = step.operation.name
        if own is None:
            shot.left.append(f"CDL: {label} is nothing that a CDL can hold; it is in the LUT")
            continue
        correction, left = own(step.params, step.findings)
        alone = sum(hasattr(other.operation.module, "correction") for other in shot.steps) == 1
        shot.corrections.append(
            replace(correction, id=shot.name if alone else f"{shot.name}.{label}", description=label)
        )
        if left:
            shot.left.append(f"CDL: without {', '.join(left)} of {label}")
        shot.left += [f"{name} of {label}" for name in left if name == "sharpness"]


def _cdls(shots: Sequence[_Shot], folder: Path, stem: str) -> list[Path]:
    files, together = [], [correction for shot in shots for correction in shot.corrections]
    for correction in together:
        files.append(folder / f"{stem}.{correction.id}.cc")
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


def _edl(shots: Sequence[_Shot], clip: Clip, path: Path) -> Path:
    """The cuts as `shots/timeline.py` writes them, with ASC_SOP and ASC_SAT comments below each event."""
    timeline.write([shot.decision.range for shot in shots], clip, path)
    lines, number = list[str](), -1
    for line in path.read_text(encoding="utf-8").splitlines():
        lines.append(line)
        if re.match(r"\d{3,}  ", line):
            number += 1
        elif line.startswith("* FROM CLIP NAME"):
            for correction in shots[number].corrections[:1]:
                lines += [f"* ASC_SOP {_sop(correction)}", f"* ASC_SAT {correction.saturation:.6f}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _otio(shots: Sequence[_Shot], clip: Clip, path: Path) -> Path:
    """The cuts with each grade as an effect, and as the `cdl` metadata that OpenTimelineIO's EDL adapter reads."""
    import opentimelineio as otio

    timeline.write([shot.decision.range for shot in shots], clip, path)
    loaded: Any = otio.adapters.read_from_file(str(path), "otio_json")
    for shot, entry in zip(shots, loaded.video_tracks()[0], strict=True):
        for correction in shot.corrections:
            sop = {"slope": correction.slope, "offset": correction.offset, "power": correction.power}
            plain = {"asc_sop": {key: list(value) for key, value in sop.items()}, "asc_sat": correction.saturation}
            entry.metadata.setdefault("cdl", plain)
            entry.effects.append(otio.schema.Effect(correction.id, "ASC CDL", {"cdl": plain}))
        for made in shot.luts:
            entry.effects.append(otio.schema.Effect(made["file"], "LUT", {"answerprint": {"file": made["file"]}}))
        for step in shot.steps:
            metadata = {"answerprint": _plain_step(step)}
            entry.effects.append(
                otio.schema.Effect(step.operation.name, f"answerprint.{step.operation.name}", metadata)
            )
    otio.adapters.write_to_file(loaded, str(path), "otio_json")
    return path


def _json(shots: Sequence[_Shot], decisions: DecisionList, clip: Clip, path: Path) -> Path:
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
            "left_out": [*shot.told, *shot.left],
        }
        for shot in shots
    ]
    data = {"format": FORMAT, "source": str(decisions.source.path), "rate": str(rate), "shots": entries}
    try:
        path.write_text(jsonlib.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DeliveryError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _plain_step(step: Step) -> Mapping[str, Any]:
    return {
        "name": step.operation.name,
        "params": step.params.model_dump(mode="json"),
        "findings": None if step.findings is None else step.findings.model_dump(mode="json"),
    }
