"""Mood: moves the tone of a shot towards what a word says, in a few moves that can be read and changed.

"Tone that follows the story" is asked for by AEPR (section 3.4), which speaks of reinforcement learning and gives no
method. This one measures how warm, heavy and active the shot's colors feel (color emotion, Ou et al. 2004; the mean
over the picture) and searches a few bounded moves for what the mood asks for (`moods`: a table with its source, open
to yours): exposure, temperature, warm or cool shadows, saturation, contrast, gamma.

The search is policy search: the cross-entropy method (Rubinstein 1999; de Boer, Kroese, Mannor and Rubinstein 2005),
seeded. Draw moves from a Gaussian, keep those with the best reward, draw again around them. The reward is the target
reached, less what it costs: structure lost (SSIM of luma), skin that no skin has, grays that are none any more, light
and shade that clip, and moves that bring little.

`references` goes another way: of a folder of stills the one nearest to the mood is taken, and `look` is fitted to it.

The result is a look's findings: the same numbers, the same order of work, the same export. Shots are analyzed one by
one; `scene` (a clip or stills of the whole scene) makes the moves on the scene and lets each shot differ by little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from answerprint.color import cdl as cdl_file
from answerprint.color import display, emotion, lut
from answerprint.color.emotion import Mood
from answerprint.color.values import NAMES, columns, to_tensors, to_values
from answerprint.errors import MediaError, SettingsError
from answerprint.frame import Frame, Shot
from answerprint.media.pictures.names import ENDINGS
from answerprint.operations import look
from answerprint.operations.match.reference import in_primaries, read_reference
from answerprint.operations.mood.moves import MOVES, Array, grade_of
from answerprint.operations.mood.moves import words as move_words
from answerprint.operations.mood.reward import Goal
from answerprint.operations.mood.samples import MoodSamples
from answerprint.operations.mood.search import search
from answerprint.settings import Settings

HANDLES = 0
COST = 0.02
OWN = look.OWN  # `look` renders it

Triple = tuple[float, float, float]


class Params(Settings):
    """The mood and how far towards it."""

    mood: str = Field(
        "", description="The word: calm sadness, tension, joy, nostalgia, mystery, dread, tenderness, epic."
    )
    moods: Path | None = Field(None, description="A TOML table of your own words (warm, heavy, active), over those.")
    amount: float = Field(
        1.0, ge=0, le=2, description="Distance to go towards the mood: 0.5 is half the way, 1 all of it."
    )
    scene: Path | None = Field(
        None, description="Clip or stills of the whole scene: its shots get its moves, and differ by little."
    )
    apart: float = Field(
        0.25, ge=0, le=1, description="Largest difference of a shot from its scene, as a share of a move."
    )
    references: Path | None = Field(None, description="Folder of stills; the one nearest to the mood gives its look.")
    structure: float = Field(
        0.9, ge=0, le=1, description="SSIM of luma to the source below which lost structure costs."
    )
    frames: int = Field(4, ge=1, le=64, description="Frames of the shot that are measured.")
    rounds: int = Field(30, ge=1, le=1000, description="Maximum rounds of the search, of 48 candidates each.")
    strength: float = Field(1.0, ge=0, le=1, description="Opacity of the grade; 0 is the source.")
    seed: int = Field(0, ge=0, description="Random seed of the search.")


class Findings(look.Findings):
    """The grade as numbers, and the mood of the shot before and after."""

    moves: tuple[str, ...] = Field((), description="The moves in words, the largest first.")
    target: Triple | None = Field(None, description="Goal of the mood: warm, heavy, active (Ou et al. 2004).")
    before: Triple | None = Field(None, description="Emotion of the shot: warm, heavy, active.")
    after: Triple | None = Field(None, description="Emotion of the shot when graded.")
    reached: float = Field(0.0, description="Share of the way to the target, 0..1.")
    picked: str = Field("", description="The still that was picked from the folder of references.")


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:
    """Searches the moves.

    Raises:
        SettingsError: no mood, an unknown word, a wrong table, a folder without stills.
        MediaError: the scene or a reference cannot be read.
    """
    if not params.mood:
        return Findings(summary="no mood was asked for: nothing was changed")
    mood = _mood(params)
    frames = shot.sample(params.frames)
    samples = MoodSamples.of([in_primaries(frame, "bt709") for frame in frames])
    if samples is None:
        return Findings(times=(float(frames[0].time),), summary="the frames hold no finite pixel; nothing was changed")
    if params.references is not None:
        return _by_reference(shot, samples, mood, params, device)
    goal = _goal(samples, mood, params)
    center, notes, reach = np.zeros(len(MOVES)), list[str](), 1.0
    if params.scene is not None:
        scene = _scene(params.scene, params.frames)
        goal = _goal(scene, mood, params)
        center = search(scene, goal, center, 1.0, params.rounds, params.seed)
        reach = params.apart
        notes.append(f"moves of the scene {params.scene.name}, this shot within {params.apart * 100:g} % of them")
    moves = search(samples, goal, center, reach, params.rounds, params.seed) if reach else center
    return _findings(samples, moves, goal.target, float(frames[0].time), params, notes)


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Grades every frame by the findings, as `look` does."""
    yield from look.run(frames, look.Params(strength=params.strength), findings, device)


def cube(params: Params, findings: Findings, size: int = 33) -> lut.Cube:
    """The grade as a LUT; see `look.cube`."""
    return look.cube(look.Params(strength=params.strength), findings, size)


def color_part(findings: Findings) -> tuple[look.Findings, Fraction]:
    """The grade without its sharpness; see `look.color_part`."""
    return look.color_part(findings)


def correction(params: Params, findings: Findings) -> tuple[cdl_file.Correction, list[str]]:
    """The part of the grade that one ASC CDL can hold, and the names of what it cannot."""
    return look.correction(look.Params(strength=params.strength), findings)


# ---- the goal


def _mood(params: Params) -> Mood:
    known = emotion.moods(params.moods)
    name = params.mood.strip().lower()
    by_name = {word.lower(): mood for word, mood in known.items()}
    if name not in by_name:
        raise SettingsError(
            f"mood '{params.mood}' is unknown; there are: {', '.join(known)} (yours: moods, a TOML file)"
        )
    return by_name[name]


def _goal(samples: MoodSamples, mood: Mood, params: Params) -> Goal:
    before = samples.emotion
    return Goal(before + params.amount * (torch.tensor(mood.target) - before), params.structure)


def _scene(path: Path, count: int) -> MoodSamples:
    """Samples of the whole scene, of about `2 * count` frames of a clip or a folder of stills.

    Raises:
        MediaError: it cannot be read.
        SettingsError: it holds no visible pixel.
    """
    if path.is_dir():
        stills = _stills(path, "scene")
        step = max(1, len(stills) // (2 * count))
        frames = [read_reference(still, 1)[0][0] for still in stills[::step]]
    else:
        frames, _ = read_reference(path, 2 * count)
    samples = MoodSamples.of([in_primaries(frame, "bt709") for frame in frames])
    if samples is None:
        raise SettingsError(f"scene {path} holds no visible pixel")
    return samples


def _stills(folder: Path, role: str) -> list[Path]:
    if not folder.is_dir():
        raise MediaError(f"{role}: {folder} is no folder")
    stills = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not stills:
        raise SettingsError(f"{role}: {folder} holds no stills ({', '.join(ENDINGS)})")
    return stills


def _by_reference(shot: Shot, samples: MoodSamples, mood: Mood, params: Params, device: torch.device) -> Findings:
    """The look of the still that is nearest to the mood."""
    if params.scene is not None:
        raise SettingsError("mood: scene and references were both given; a look of a still is the same for all shots")
    folder = params.references or Path()
    target = torch.tensor(mood.target)
    nearest: tuple[float, Path] | None = None
    for still in _stills(folder, "references"):
        frames, _ = read_reference(still, 1)
        theirs = MoodSamples.of([in_primaries(frame, "bt709") for frame in frames])
        away = float(emotion.distance(theirs.emotion, target)) if theirs is not None else float("inf")
        if nearest is None or away < nearest[0]:
            nearest = (away, still)
    if nearest is None:
        raise SettingsError(f"references: {folder} holds no still")
    still = nearest[1]
    grade = look.analyze(shot, look.Params(reference=still, frames=params.frames, seed=params.seed), device)
    values = {name: torch.tensor(getattr(grade, name)[0]) for name in NAMES}
    with torch.no_grad():
        after = samples.emotion_of(samples.graded(values))
    return Findings(
        **{**grade.model_dump(), "summary": f"{params.mood}, by the look of {still.name}: {grade.summary}"},
        moves=(f"the look of {still.name}",),
        picked=still.name,
        **_measured(samples.emotion, after, target),
    )


# ---- findings


def _measured(before: Tensor, after: Tensor, target: Tensor) -> dict[str, Any]:
    way = float(emotion.distance(before, target))
    rest = float(emotion.distance(after, target))
    return {
        "before": _triple(before),
        "after": _triple(after),
        "target": _triple(target),
        "reached": round(max(0.0, 1 - rest / way), 3) if way > 1e-6 else 1.0,
    }


def _triple(values: Tensor) -> Triple:
    a, b, c = (round(float(value), 3) for value in values)
    return a, b, c


def _findings(
    samples: MoodSamples, moves: Array, target: Tensor, time: float, params: Params, notes: Sequence[str]
) -> Findings:
    tensors = {name: torch.from_numpy(np.asarray(value)).float() for name, value in grade_of(moves).items()}
    values = to_values(tensors)
    tensors = {name: tensor for name, tensor in to_tensors(values).items() if name in tensors}
    with torch.no_grad():
        after = samples.emotion_of(samples.graded(tensors))
        structure = float(samples.structure(tensors, clamp=False))
    measured = _measured(samples.emotion, after, target)
    words = move_words(moves)
    transfer = samples.tags.transfer
    if transfer in display.HDR:
        notes = [*notes, f"the footage is {transfer}: its mood is measured as an SDR display would show it"]
    return Findings(
        times=(time,),
        **columns([values]),
        luma_ssim=round(structure, 4),
        moves=tuple(words),
        summary=_summary(params, measured, words),
        note="; ".join(notes),
        **measured,
    )


def _summary(params: Params, measured: Mapping[str, Any], words: Sequence[str]) -> str:
    scales = ", ".join(
        f"{name} {before:+.2f} -> {after:+.2f}"
        for name, before, after in zip(emotion.SCALES, measured["before"], measured["after"], strict=True)
    )
    way = f"{measured['reached']:.0%}".replace("%", " %")
    return f"{params.mood}: {', '.join(words) or 'no move needed'}; {scales}; {way} of the way"
