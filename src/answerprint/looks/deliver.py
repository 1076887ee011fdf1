"""Writes a learned look: .cube and .cdl for other tools, .json for `look --learned`, .html for a person."""

from __future__ import annotations

import json as jsonlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import torch
from torch import Tensor

from answerprint import arrays
from answerprint.color import cdl, cube_file, readback, spaces, values
from answerprint.color.values import Transform
from answerprint.errors import ColorError
from answerprint.looks.learn import LearnedLook, Params
from answerprint.looks.pairs import FramePair
from answerprint.metrics import page
from answerprint.metrics.plots import LinePlot, PicturePlot
from answerprint.metrics.tables import Table
from answerprint.operations import look
from answerprint.operations.look.keys import KeyedGrade

_LARGEST = 1e-4  # error of a LUT as another program reads it, from which on it is refused
_BRIGHT = 10.0  # CIEDE2000 that is white in the picture of the difference


def check(output: Path) -> None:
    """Refuses a place that `write` could not write to, before any work is done.

    Raises:
        ColorError: the ending is not .cube, or its folder is not there.
    """
    if output.suffix.lower() != ".cube":
        raise ColorError(f"{output}: learn-look writes a .cube (and beside it .cdl, .json, .html)")
    if not output.parent.is_dir():
        raise ColorError(f"{output}: there is no folder {output.parent}; make it first")


def write(learned: LearnedLook, output: Path, params: Params) -> tuple[list[Path], list[str]]:
    """Writes the grade beside `output` (look.cube): .cube, .cdl, .json (for `look --learned`) and .html.

    Returns:
        The files, and in words how the LUT came back from its readers.

    Raises:
        ColorError: the place cannot be written, or the LUT does not come back.
        DeliveryError: the page or the .json cannot be written.
    """
    settings, lines = look.Params(), list[str]()
    cube = look.cube(settings, learned.findings, params.size)
    cube = replace(cube, title=f"learned look {output.stem}", comments=learned.encodings)
    cube_file.write(cube, output)
    for proof, difference in zip(
        readback.verify(cube, output), readback.verify(_transform(learned), output), strict=True
    ):
        if proof.largest > _LARGEST:
            output.unlink()
            raise ColorError(f"{output}: does not come back from {proof.reader}: off by {proof.largest:.2g} at most")
        lines.append(
            f"{output.name}: read back by {proof.reader}; from the direct transform {difference.largest:.5f} at most, "
            f"{difference.mean:.6f} on average"
        )
    files = [output, output.with_suffix(".cdl"), output.with_suffix(".json"), output.with_suffix(".html")]
    correction, _ = look.correction(settings, learned.findings)
    cdl.write([replace(correction, id=output.stem, description="learned look, CDL stage alone")], files[1])
    page.put(files[2], _json(learned))
    table = _table(learned)
    page.put(files[3], page.fill("tables.html", title="learned look", tables=[table.view()], versions=page.versions()))
    return files, lines


def _transform(learned: LearnedLook) -> Transform:
    return values.transform(KeyedGrade(learned.findings).at(Fraction(0)).values, learned.findings.residual)


def _json(learned: LearnedLook) -> str:
    data = {
        "format": look.LEARNED,
        "findings": learned.findings.model_dump(mode="json"),
        "held_out": learned.held_out,
        "stages": [
            {"name": s.name, "mean": round(s.mean, 4), "percentile_95": round(s.high, 4), "fitted": round(s.fitted, 4)}
            for s in learned.stages
        ],
        "not_a_matter_of_color": round(learned.local, 4),
        "smooth": learned.smooth,
        "notes": list(learned.notes),
        "encodings": list(learned.encodings),
    }
    return jsonlib.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _table(learned: LearnedLook) -> Table:
    """The figures, the grade along the gray axis, and a frame beside its graded counterpart."""
    transform = _transform(learned)
    ramp = torch.linspace(0, 1, 65)
    with torch.no_grad():
        gray = transform(ramp.expand(3, 1, 65).contiguous())[:, 0]
        picture = transform(learned.example.before).clamp(0, 1)
    curves = {
        name: list(zip(ramp.tolist(), gray[channel].tolist(), strict=True))
        for channel, name in enumerate(("red", "green", "blue"))
    }
    return Table(
        "how near the learned grade comes",
        ("stage", "held out: mean", "held out: 95 % under", "fitted: mean"),
        [(stage.name, stage.mean, stage.high, stage.fitted) for stage in learned.stages],
        notes=(
            "CIEDE2000 to the graded footage, without the edges of the pictures",
            f"held out: {learned.held_out}; what is delivered was then fitted to all of it",
            f"no matter of color: {learned.local:.2f} CIELAB units of what is left",
            *learned.notes,
        ),
        plots=(
            LinePlot("gray from black to white, as graded", curves, "in", "out"),
            _pictures(learned.example, picture),
        ),
    )


def _pictures(frame: FramePair, picture: Tensor) -> PicturePlot:
    error = spaces.delta_e_2000(*(spaces.rgb_to_lab(side.clamp(0, 1)) for side in (picture, frame.after)))
    sides = {
        "ungraded": frame.before,
        "learned": picture,
        "graded": frame.after,
        f"difference, white is {_BRIGHT:g}": (error / _BRIGHT).expand(3, -1, -1),
    }
    height, width = picture.shape[1:]
    return PicturePlot(f"frame {frame.name}", {name: _jpeg(side) for name, side in sides.items()}, width, height)


def _jpeg(pixels: Tensor) -> bytes:
    codes = arrays.to_bgr(arrays.to_codes(pixels))
    _, data = cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return bytes(data)
