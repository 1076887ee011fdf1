"""Makes whole pictures of interlaced fields, and gives telecined film its own frames back.

Missing lines are made by a small network that sees two fields to both sides (nets/deinterlace.py), or, with `--method
adaptive`, by motion and edges: per pixel the other field is woven in where nothing moves within two fields either way,
else the line is made along the edge found in its own field, with detail from the fields beside it and bounded by the
change in time (after yadif and bwdif; edges after Doyle 1998). Film in video is undone, not filtered: the fields of one
film picture are found by the cadence and woven (3:2: one of five differences between fields of equal parity vanishes).

Analysis decides per shot, rendering obeys. Fields are counted through the whole clip (frame number `n`, from its time
and the nominal rate, holds fields `2 n` and `2 n + 1` in the order they were taken), so the phase of a cadence means
the same in every chunk. What a shot shows at field `u` is
    progressive   the frame itself, untouched
    3:2, 2:2      the picture that field `u` belongs to, woven; a pair that still combs (an edit in the middle of the
                  cadence, video titles over film) is interpolated instead
    video         field `u` with its missing lines made; where pictures that last two fields or longer are mixed in
                  (whole frames, film that is repeated now and then; `mixed`), these are woven: each pair of fields,
                within a frame and across two, is compared with what the fields around would give woven crosswise

The delivery has one rate for all shots, so the rate follows from the parameters alone. `--rate field` gives two
pictures per frame; a progressive shot repeats each. `--telecine auto` weaves what belongs together and leaves the rate
alone, for a clip may hold film and video by turns. `--telecine remove` gives 4 pictures for 5 frames, evenly spaced on
the clip's own grid of times: the film's own pictures where a shot is 3:2, and for any other shot the picture nearest
in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator

from answerprint.fields.cadence import Cadence
from answerprint.frame import Frame, Shot
from answerprint.inference import weights
from answerprint.nets import deinterlace as nets
from answerprint.operation import windows
from answerprint.operations.deinterlace import analysis
from answerprint.operations.deinterlace.moments import Cache, Moments
from answerprint.settings import Settings

# A group of 3 fields that begins up to two frames off, each with two frames around it for three passes.
HANDLES = 4
OWN = ("matte",)  # a matte is deinterlaced as the pixels are


class Params(Settings):
    """How interlaced footage becomes whole pictures."""

    method: Literal["learned", "adaptive"] = Field(
        "learned", description="Interpolation of missing lines: by a network, or adaptive to motion and edges (faster)."
    )
    field_order: Literal["auto", "tff", "bff"] = Field(
        "auto", description="Field taken first: top (tff) or bottom (bff); auto measures it per shot."
    )
    rate: Literal["frame", "field"] = Field(
        "frame", description="One picture per frame, or one per field (twice the rate, all motion kept)."
    )
    telecine: Literal["auto", "off", "remove"] = Field(
        "auto",
        description="Film in video: auto weaves matching fields at the same rate, off treats it as video, "
        "remove gives 4 film pictures for 5 frames.",
    )
    passes: int = Field(
        1,
        ge=1,
        le=3,
        description="Passes of the network; each further one refines the result of the last along its motion: closer "
        "to the original, at about four times the work with 2, nine times with 3.",
    )
    weights: Path | None = Field(None, description="File of trained weights, in place of those that ship.")

    @model_validator(mode="after")
    def _require_frames_of_film(self) -> Self:
        if self.telecine == "remove" and self.rate == "field":
            raise ValueError("removing telecine gives film pictures, not fields; use --rate frame or --telecine auto")
        return self

    @model_validator(mode="after")
    def _require_a_network_for_passes(self) -> Self:
        if self.passes > 1 and self.method != "learned":
            raise ValueError("only the network takes several passes; use --method learned, or leave --passes at 1")
        return self


class Findings(Settings):
    """Field order, cadence and noise of a shot."""

    field_order: Literal["tff", "bff", "progressive"] = Field("tff", description="Field taken first in this shot.")
    order_confidence: float = Field(
        0.0, ge=0, le=1, description="Confidence in the field order; 0 means taken from the file."
    )
    mixed: bool = Field(
        False, description="Whether some pictures last two fields or longer, at no fixed cadence: they are woven."
    )
    combed: float = Field(0.0, ge=0, le=1, description="Share of the frames looked at that show combs.")
    cadence: Cadence = Field("none", description="Pattern in which film pictures are spread over fields.")
    phase: int = Field(
        0,
        ge=0,
        le=4,
        description="Field of the clip, modulo 5 (3:2) or 2 (2:2), at which a picture of 2 fields begins.",
    )
    cadence_confidence: float = Field(
        0.0, ge=0, le=1, description="Confidence in the cadence: share of the shot that keeps to it."
    )
    noise: float = Field(
        0.0, ge=0, le=0.1, description="Standard deviation of the noise; less than 3 of it is no motion."
    )
    frame_rate: str = Field(
        "30000/1001", pattern=r"^[1-9]\d*(/[1-9]\d*)?$", description="Frames per second by which frames are numbered."
    )
    note: str = Field("", description="What was special, such as pictures that come twice.")


def rate(params: Params, findings: Findings | None) -> Fraction:  # noqa: ARG001
    """Frames out per frame in: the same for every shot of a clip."""
    if params.telecine == "remove":
        return Fraction(4, 5)
    return Fraction(2 if params.rate == "field" else 1)


def cost(params: Params) -> float:
    """Passes after the first compensate motion."""
    one = 0.03 if params.method == "adaptive" else 0.2
    return (one + 1.3 * (params.passes - 1)) * (2 if params.rate == "field" else 1)


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:  # noqa: ARG001
    """Measures field order, combs, cadence and noise in up to three runs of frames."""
    findings = Findings.of(analysis.measure(shot, None if params.field_order == "auto" else params.field_order))
    return findings.model_copy(update={"note": _repeats(findings, params)})


def _repeats(findings: Findings, params: Params) -> str:
    """Tells of pictures that field rate only shows again, "" where it shows new ones."""
    if params.rate != "field":
        return ""
    if findings.field_order == "progressive" or findings.cadence == "2:2":
        return "the pictures are whole (progressive): --rate field shows each of them twice, --rate frame once"
    if findings.cadence == "3:2" and params.telecine != "off":
        return "the pictures are film (3:2): --rate field shows each two or three times; --telecine remove gives film"
    return ""


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Whole pictures for the frames of a shot; see the module for rates and times."""
    network = _network(params.weights, device) if params.method == "learned" else None
    if params.telecine == "off" and findings.cadence == "3:2":
        findings = findings.model_copy(update={"cadence": "none"})
    cache = Cache()
    for window in windows(frames, HANDLES):
        moments = Moments(window, findings, cache, network, params.passes)
        if params.telecine == "remove":
            yield from moments.film_pictures()
        elif params.rate == "field":
            half = moments.duration() / 2
            yield moments.picture(moments.field)
            yield replace(moments.picture(moments.field + 1), time=window.center.time + half)
        else:
            yield moments.picture(moments.field)


def networks(params: Params) -> tuple[str, ...]:
    """The learned deinterlacer, where it is asked for and no file of weights is named."""
    return ("deinterlace",) if params.method == "learned" and params.weights is None else ()


_network = weights.cached("deinterlace", lambda path, device: nets.ready(nets.load(path), device))
