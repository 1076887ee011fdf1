"""Mood: moves the tone of a shot towards what a word says, in a few moves that are told and can be changed.

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
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from answerprint.color import cdl as cdl_file
from answerprint.color import display, emotion, fit, lut, spaces, style
from answerprint.color.emotion import Mood
from answerprint.errors import MediaError, SettingsError
from answerprint.frame import ColorTags, Frame, Shot
from answerprint.media import sequence
from answerprint.operations import look, match
from answerprint.settings import Settings

HANDLES = 0
OWN = ("findings", "finite", "matte")

Array = NDArray[np.float64]
Triple = tuple[float, float, float]


class Params(Settings):
    """Which mood, and how far towards it."""

    mood: str = Field(
        "", description="The word: calm sadness, tension, joy, nostalgia, mystery, dread, tenderness, epic."
    )
    moods: Path | None = Field(None, description="A TOML table of your own words (warm, heavy, active), over those.")
    amount: float = Field(1.0, ge=0, le=2, description="How far towards the mood: 0.5 is half the way, 1 all of it.")
    scene: Path | None = Field(
        None, description="Clip or stills of the whole scene: its shots get its moves, and differ by little."
    )
    apart: float = Field(
        0.25, ge=0, le=1, description="How far a shot may differ from its scene, as a share of a move."
    )
    references: Path | None = Field(None, description="Folder of stills: the look of the one nearest to the mood.")
    structure: float = Field(0.9, ge=0, le=1, description="SSIM of luma to the source that is kept where it can be.")
    frames: int = Field(4, ge=1, le=64, description="Frames of the shot that are looked at.")
    rounds: int = Field(30, ge=1, le=1000, description="Rounds of the search; 48 drawings each.")
    strength: float = Field(1.0, ge=0, le=1, description="How much of the result is taken; 0 is the source.")
    seed: int = Field(0, ge=0, description="Seed of the search.")


class Findings(look.Findings):
    """The grade as numbers, and what they do to the mood of the shot."""

    moves: tuple[str, ...] = Field((), description="The moves in words, the largest first.")
    target: Triple | None = Field(None, description="What the mood asks for: warm, heavy, active (Ou et al. 2004).")
    before: Triple | None = Field(None, description="What the shot has: warm, heavy, active.")
    after: Triple | None = Field(None, description="What it has when graded.")
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
    own = _Seen.of(frames)
    if own is None:
        return Findings(times=(float(frames[0].time),), summary="the frames hold no finite pixel; nothing was changed")
    if params.references is not None:
        return _by_reference(shot, own, mood, params, device)
    target = _target(own, mood, params.amount)
    center, notes = np.zeros(len(_MOVES)), list[str]()
    reach = 1.0
    if params.scene is not None:
        seen = _scene(params)
        center = _search(seen, _target(seen, mood, params.amount), params, np.zeros(len(_MOVES)), 1.0)
        target, reach = _target(seen, mood, params.amount), params.apart
        notes.append(f"moves of the scene {params.scene.name}, this shot within {params.apart * 100:g} % of them")
    found = _search(own, target, params, center, reach) if reach else center
    return _findings(own, found, target, float(frames[0].time), params, notes, frames[0])


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Grades every frame by the findings, as `look` does."""
    yield from look.run(frames, look.Params(strength=params.strength), findings, device)


def cube(params: Params, findings: Findings, size: int = 33) -> lut.Cube:
    """The grade as a LUT; see `look.cube`."""
    return look.cube(look.Params(strength=params.strength), findings, size)


def correction(params: Params, findings: Findings) -> tuple[cdl_file.Correction, list[str]]:
    """What one ASC CDL can hold of it, and the names of what it cannot."""
    return look.correction(look.Params(strength=params.strength), findings)


def color_part(findings: Findings) -> tuple[look.Findings, Fraction]:
    """The grade without its sharpness; see `look.color_part`."""
    return look.color_part(findings)


# ---- the moves


@dataclass(frozen=True)
class _Move:
    """One move: how far it goes at 1, and how it is told at either side."""

    name: str
    furthest: float
    factor: bool
    above: str
    below: str

    def value(self, u: Any) -> Any:
        """Its number for u in -1..1; neutral at 0."""
        return self.furthest**u if self.factor else self.furthest * u

    def words(self, u: float) -> str:
        """What it does, as a colorist would say it."""
        return f"{self.above if u > 0 else self.below} ({self.name} {self.value(u):.3g})"


_MOVES = (
    _Move("exposure", 1.2, False, "brighter", "darker"),
    _Move("temperature", 45.0, False, "warmer", "cooler"),
    _Move("shadows", 0.04, False, "warmer shadows", "cooler shadows"),
    _Move("saturation", 1.9, True, "more color", "less color"),
    _Move("contrast", 1.35, True, "more contrast", "less contrast"),
    _Move("gamma", 1.4, True, "lighter midtones", "darker midtones"),
)
_TOLD = 0.04  # moves smaller than this are left at neutral


def _grade(moves: Array) -> dict[str, Array]:
    """The values of a look for moves (..., 6): exposure is slope, warm shadows are offset with white kept."""
    u = {move.name: move.value(moves[..., i]) for i, move in enumerate(_MOVES)}
    gain, shadow = 2.0 ** (u["exposure"] / 2), u["shadows"]
    none = np.zeros_like(shadow)
    return {
        "temperature": u["temperature"],
        "slope": np.stack([gain * (1 - shadow), gain, gain * (1 + shadow)], -1),
        "offset": np.stack([shadow, none, -shadow], -1),
        "saturation": u["saturation"],
        "contrast": u["contrast"],
        "gamma": u["gamma"],
    }


# ---- what is seen of a shot


_COLORS = 3000  # that emotion is measured on
_STRUCTURE = 9000  # pixels that structure is compared on, of all frames together


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the search looks at: colors (n, 3), which of them are skin or gray, and frames made small.

    Colors and frames are in the encoding of the shot, in which it is graded; mood is felt by what a display shows.
    """

    tags: ColorTags
    colors: Tensor
    skin: Tensor
    gray: Tensor
    pictures: Tensor
    luma: Tensor

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> _Seen | None:
        share = -(-_COLORS // len(frames))
        colors = torch.cat([style.colors(f.pixels, share, weight=_weight(f, frames)) for f in frames]).cpu()
        if not len(colors):
            return None
        tags = frames[0].color
        lab = _felt(colors, tags)
        small = torch.stack(look.small(frames, _STRUCTURE // len(frames)))
        return cls(tags, colors, _skin(lab), _gray(lab), small, spaces.luma(small))

    @property
    def emotion(self) -> Tensor:
        return emotion.emotion(_felt(self.colors, self.tags))


def _felt(colors: Tensor, tags: ColorTags) -> Tensor:
    """CIELAB of colors (..., n, 3) as they are seen."""
    planes = colors.nan_to_num().movedim(-1, -2)[..., None, :]  # (..., 3, 1, n)
    if tags.transfer != "linear":
        planes = planes.clamp(0, 1)
    seen = display.on_sdr(planes, tags.transfer, tags.primaries).clamp(0, 1)
    shown = seen[..., 0, :].movedim(-1, -2)
    return style.to_lab(shown.reshape(-1, 3)).reshape(colors.shape)


def _weight(frame: Frame, frames: Sequence[Frame]) -> Tensor | None:
    """The matte, where any frame has one that holds something."""
    matted = any(f.matte is not None and bool((f.matte > 0).any()) for f in frames)
    return frame.matte if matted else None


# Skin of all tones lies in a narrow range of hue whatever its lightness (Zeng and Luo 2013, "Colour and tolerance of
# preferred skin colours on digital photographic images": preferred hues about 35 to 60 degrees).
_SKIN_HUE, _SKIN_CHROMA, _SKIN_LIGHT = (25.0, 75.0), (10.0, 45.0), (20.0, 92.0)
_PLAUSIBLE_HUE, _PLAUSIBLE_CHROMA = (15.0, 85.0), (5.0, 50.0)
_GRAY, _TINTED = 6.0, 12.0  # chroma under which a color counts as gray, and up to which a gray may be tinted
_FEW = 0.005  # share of the picture under which skin or gray is chance


def _polar(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Chroma, and hue in degrees -180..180."""
    return lab[..., 1:].square().sum(-1).clamp_min(1e-12).sqrt(), torch.rad2deg(torch.atan2(lab[..., 2], lab[..., 1]))


def _skin(lab: Tensor) -> Tensor:
    chroma, hue = _polar(lab)
    found = torch.ones_like(hue, dtype=torch.bool)
    for values, (low, high) in ((hue, _SKIN_HUE), (chroma, _SKIN_CHROMA), (lab[..., 0], _SKIN_LIGHT)):
        found &= (values > low) & (values < high)
    return found if float(found.float().mean()) > _FEW else torch.zeros_like(found)


def _gray(lab: Tensor) -> Tensor:
    chroma, _ = _polar(lab)
    found = (chroma < _GRAY) & (lab[..., 0] > 15) & (lab[..., 0] < 97)
    return found if float(found.float().mean()) > _FEW else torch.zeros_like(found)


# ---- reward and search


_DRAWN, _KEPT = 48, 8  # drawings in a round, and the best of them that the next round is drawn around
_NARROW = 0.01  # deviation at which the search is over
_COSTS = {"structure": 12.0, "skin": 0.08, "gray": 0.06, "clipped": 8.0, "moves": 0.06}


def _reward(seen: _Seen, moves: Array, target: Tensor, params: Params) -> Array:
    """The reward of each of (n, 6) moves: 0 is the target reached at no cost."""
    values = {name: torch.from_numpy(number).float() for name, number in _grade(moves).items()}
    with torch.no_grad():
        done = fit.apply(seen.colors.T[:, None].expand(len(moves), 3, 1, -1), values)[:, :, 0].transpose(1, 2)
        lab = _felt(done, seen.tags)
        away = emotion.distance(emotion.emotion(lab), target)
        clipped = ((done > 1.001) | (done < -0.001)).any(-1).float().mean(-1)
        lost = (params.structure - _structure(seen, values)).clamp_min(0)
        cost = (
            _COSTS["structure"] * lost
            + _COSTS["clipped"] * (clipped - _clipped(seen.colors)).clamp_min(0)
            + _COSTS["skin"] * _implausible(lab, seen.skin)
            + _COSTS["gray"] * _tinted(lab, seen.gray)
        )
    effort = _COSTS["moves"] * np.abs(moves).mean(-1)
    rewards: Array = -(away + cost).double().numpy() - effort
    return np.nan_to_num(rewards, nan=-np.inf)


def _clipped(colors: Tensor) -> Tensor:
    return ((colors > 1.001) | (colors < -0.001)).any(-1).float().mean()


def _structure(seen: _Seen, values: Mapping[str, Tensor]) -> Tensor:
    """SSIM of luma to the source, for each drawing."""
    found = []
    for i in range(len(values["temperature"])):
        own = {name: number[i] for name, number in values.items()}
        found.append(style.structure(spaces.luma(fit.apply(seen.pictures, own).clamp(0, 1)), seen.luma))
    return torch.stack(found)


def _implausible(lab: Tensor, skin: Tensor) -> Tensor:
    """Mean distance, in CIELAB units, of what was skin to what can be skin; 0 where there is none."""
    if not bool(skin.any()):
        return torch.zeros(lab.shape[0])
    chroma, hue = _polar(lab[:, skin])
    low, high = _PLAUSIBLE_HUE
    turned = torch.deg2rad((low - hue).clamp_min(0) + (hue - high).clamp_min(0)) * chroma
    pale, rich = _PLAUSIBLE_CHROMA
    return (turned + (pale - chroma).clamp_min(0) + (chroma - rich).clamp_min(0)).mean(-1)


def _tinted(lab: Tensor, gray: Tensor) -> Tensor:
    """Mean chroma of what was gray, above what a tint may be."""
    if not bool(gray.any()):
        return torch.zeros(lab.shape[0])
    chroma, _ = _polar(lab[:, gray])
    return (chroma - _TINTED).clamp_min(0).mean(-1)


def _search(seen: _Seen, target: Tensor, params: Params, center: Array, reach: float) -> Array:
    """The best moves within `reach` of `center` (both in -1..1), by the cross-entropy method."""
    chance = np.random.default_rng(params.seed)
    mean, deviation = center.copy(), np.full(len(center), 0.5 * reach)
    best, highest = center.copy(), float(_reward(seen, center[None], target, params)[0])
    for _ in range(params.rounds):
        drawn = chance.normal(mean, deviation, (_DRAWN, len(mean)))
        drawn = drawn.clip(np.maximum(center - reach, -1), np.minimum(center + reach, 1))
        rewards = _reward(seen, drawn, target, params)
        kept = drawn[np.argsort(-rewards)[:_KEPT]]
        if rewards.max() > highest:
            best, highest = drawn[rewards.argmax()].copy(), float(rewards.max())
        # Smoothed, so that one lucky round does not end the search (de Boer et al. 2005, remark 3.1).
        mean, deviation = 0.3 * mean + 0.7 * kept.mean(0), 0.3 * deviation + 0.7 * kept.std(0)
        if deviation.max() < _NARROW:
            break
    return _plain(seen, best, target, params, highest)


def _plain(seen: _Seen, moves: Array, target: Tensor, params: Params, reward: float) -> Array:
    """The same without the moves that bring next to nothing: fewer are easier to read and to change."""
    found = moves.copy()
    for i in np.argsort(np.abs(moves)):
        without = found.copy()
        without[i] = 0
        reached = float(_reward(seen, without[None], target, params)[0])
        if abs(found[i]) < _TOLD or reached > reward - 0.01:
            found, reward = without, max(reached, reward - 0.01)
    return found


# ---- what is wanted


def _mood(params: Params) -> Mood:
    known = emotion.moods(params.moods)
    name = params.mood.strip().lower()
    by_name = {word.lower(): mood for word, mood in known.items()}
    if name not in by_name:
        raise SettingsError(
            f"mood '{params.mood}' is unknown; there are: {', '.join(known)} (yours: moods, a TOML file)"
        )
    return by_name[name]


def _target(seen: _Seen, mood: Mood, amount: float) -> Tensor:
    before = seen.emotion
    return before + amount * (torch.tensor(mood.target) - before)


def _scene(params: Params) -> _Seen:
    """What the whole scene looks like.

    Raises:
        MediaError: it cannot be read.
        SettingsError: it holds no visible pixel.
    """
    path = params.scene or Path()
    if path.is_dir():
        stills = _stills(path, "scene")
        step = max(1, len(stills) // (2 * params.frames))
        frames = [match.read_reference(still, 1)[0][0] for still in stills[::step]]
    else:
        frames, _ = match.read_reference(path, 2 * params.frames)
    seen = _Seen.of(frames)
    if seen is None:
        raise SettingsError(f"scene {path} holds no visible pixel")
    return seen


def _stills(folder: Path, role: str) -> list[Path]:
    if not folder.is_dir():
        raise MediaError(f"{role}: {folder} is no folder")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in sequence.ENDINGS)
    if not found:
        raise SettingsError(f"{role}: {folder} holds no stills ({', '.join(sequence.ENDINGS)})")
    return found


def _by_reference(shot: Shot, own: _Seen, mood: Mood, params: Params, device: torch.device) -> Findings:
    """The look of the still that is nearest to the mood."""
    if params.scene is not None:
        raise SettingsError("mood: scene and references were both given; a look of a still is the same for all shots")
    folder = params.references or Path()
    target = torch.tensor(mood.target)
    nearest: tuple[float, Path] | None = None
    for still in _stills(folder, "references"):
        frames, _ = match.read_reference(still, 1)
        seen = _Seen.of(frames)
        away = float(emotion.distance(seen.emotion, target)) if seen is not None else float("inf")
        if nearest is None or away < nearest[0]:
            nearest = (away, still)
    if nearest is None:
        raise SettingsError(f"references: {folder} holds no still")
    found = look.analyze(shot, look.Params(reference=nearest[1], frames=params.frames, seed=params.seed), device)
    values = {name: torch.tensor(getattr(found, name)[0]) for name in look.NAMES}
    with torch.no_grad():
        done = fit.apply(own.colors.T[:, None], values)[:, 0].T
    after = emotion.emotion(_felt(done, own.tags))
    return Findings(
        **{**found.model_dump(), "summary": f"{params.mood}, by the look of {nearest[1].name}: {found.summary}"},
        moves=(f"the look of {nearest[1].name}",),
        picked=nearest[1].name,
        **_measured(own.emotion, after, target),
    )


# ---- what is told


def _measured(before: Tensor, after: Tensor, target: Tensor) -> dict[str, Any]:
    way = float(emotion.distance(before, target))
    left = float(emotion.distance(after, target))
    return {
        "before": _triple(before),
        "after": _triple(after),
        "target": _triple(target),
        "reached": round(max(0.0, 1 - left / way), 3) if way > 1e-6 else 1.0,
    }


def _triple(values: Tensor) -> Triple:
    a, b, c = (round(float(value), 3) for value in values)
    return a, b, c


def _findings(
    seen: _Seen, moves: Array, target: Tensor, time: float, params: Params, notes: Sequence[str], like: Frame
) -> Findings:
    tensors = {name: torch.from_numpy(np.asarray(value)).float() for name, value in _grade(moves).items()}
    values = fit.plain(tensors)
    tensors = {name: tensor for name, tensor in values.tensors().items() if name in tensors}
    with torch.no_grad():
        done = fit.apply(seen.colors.T[:, None], tensors)[:, 0].T
        kept = float(style.structure(spaces.luma(fit.apply(seen.pictures, tensors)), seen.luma))
    measured = _measured(seen.emotion, emotion.emotion(_felt(done, seen.tags)), target)
    words = [_MOVES[i].words(float(moves[i])) for i in np.argsort(-np.abs(moves)) if moves[i] != 0]
    if like.color.transfer in display.HDR:
        notes = [*notes, f"the footage is {like.color.transfer}: its mood is measured as an SDR display would show it"]
    return Findings(
        times=(time,),
        **{name: (getattr(values, name),) for name in look.NAMES},
        kept=round(kept, 4),
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
