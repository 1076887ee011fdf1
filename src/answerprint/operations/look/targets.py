"""The look that a shot is to have: the colors of a reference, or the shot itself as someone graded it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from answerprint.color import display, spaces, style
from answerprint.color.objective import Objective, PairsObjective, ShotSamples, StyleObjective
from answerprint.errors import SettingsError
from answerprint.frame import ColorTags, Frame, Shot
from answerprint.media import reader
from answerprint.motion import align
from answerprint.operations.look import sampling
from answerprint.operations.match.reference import in_primaries, read_reference, usable

if TYPE_CHECKING:
    from answerprint.operations.look import Params

FLAT = 0.5  # deviation of lightness under which a picture is a single tone
NETWORK_PIXELS = 256 * 256  # of a picture that the network is given, as in the paper
_COLORS = 8192  # of the reference
_PIECES = 12  # pieces at full size of a shot
_STRUCTURE = 20_000  # pixels that structure is compared on, of all frames together
_PAIR = 10_000  # pixels of one of a pair: few, so that a pixel of misregistration does not matter
_SWATCH = 64  # pixels under which a reference is a swatch
_SAME_SCENE = 0.5  # agreement of edges from which on two pictures show the same scene


@dataclass(frozen=True, eq=False)
class ReferenceTarget:
    """The colors of a reference still or clip.

    Attributes:
        lab: CIELAB colors, (n, 3), in the shot's encoding.
        picture: the reference made small for the network, (3, h, w).
        digest: SHA-256 of the file.
        note: what was special about it, "" if nothing.
        params: how the look is fitted.
    """

    lab: Tensor
    picture: Tensor
    digest: str
    note: str
    params: Params

    @classmethod
    def read(cls, path: Path, tags: ColorTags, params: Params) -> ReferenceTarget:
        """Reads the reference and brings it to the encoding of the shot.

        Raises:
            SettingsError: it is black or transparent everywhere.
            MediaError: it cannot be read.
        """
        frames, digest = read_reference(path, params.frames)
        pictures = [to_encoding(frame, tags) for frame in frames]
        share = -(-_COLORS // len(frames))
        parts = [
            style.colors(pixels, share, params.seed, usable(frame)[None].float())
            for pixels, frame in zip(pictures, frames, strict=True)
        ]
        lab = style.to_lab(torch.cat(parts).clamp(-0.1, 1.1))
        if float(lab[:, 0].max()) < 1:
            raise SettingsError(f"reference {path} is black everywhere; give a picture with a look")
        notes = [_color_note(lab), _alpha_note(frames), _encoding_note(frames[0].color, tags)]
        if len(lab) < _SWATCH:
            lab = lab.mean(0).expand(2, 3)
        picture = sampling.shrink_pixels(pictures[0], NETWORK_PIXELS)
        return cls(lab, picture, digest, "; ".join(filter(None, notes)), params)

    def objective(self, frames: Sequence[Frame], places: Sequence[int], shot: Shot) -> Objective:
        """The objective for frames of the shot; `places` are their numbers in it."""
        params = self.params
        colors = sampling.colors(frames, params)
        reference = self.lab
        if float(reference[:, 0].std(correction=0)) < FLAT:
            # A swatch says which tint is wanted, nothing of light and shade: those stay the shot's own.
            lightness = style.to_lab(colors)[:, :1]
            reference = torch.cat([lightness, reference[:, 1:].mean(0).expand(len(lightness), 2)], 1)
        # A frame on its own, for a key, counts as much as it does among those of the whole shot.
        among = max(len(frames), min(params.frames, shot.length))
        pieces = sampling.pieces(frames, -(-_PIECES * len(frames) // among))
        pictures = torch.stack(sampling.shrink(frames, _STRUCTURE // among)), torch.stack(pieces)
        samples = ShotSamples(colors, pictures, tuple(sampling.twins(frames, places, shot, params)))
        return StyleObjective.of(samples, reference, params.structure, params.steadiness, params.seed)


@dataclass(frozen=True, eq=False)
class GradedClipTarget:
    """The shot as someone graded it.

    Attributes:
        clip: the graded clip.
        path: of it.
        digest: SHA-256 of it.
        note: what was special about it, "" if nothing.
    """

    clip: reader.Clip
    path: Path
    digest: str
    note: str

    @classmethod
    def read(cls, path: Path, params: Params) -> GradedClipTarget:
        """Opens the graded clip.

        Raises:
            MediaError: it cannot be read.
        """
        _, digest = read_reference(path, 1)
        note = "fitted to a graded clip; the reference was not looked at" if params.reference is not None else ""
        return cls(reader.open(path), path, digest, note)

    def objective(self, frames: Sequence[Frame], places: Sequence[int], shot: Shot) -> Objective:
        """The objective for frames of the shot, matched by time.

        Raises:
            SettingsError: the graded clip has no frame there, or shows something else.
        """
        del places
        pairs = [(frame, self._graded_frame(frame, shot)) for frame in frames]
        before = torch.cat([_small(frame).reshape(3, -1) for frame, _ in pairs], 1)
        after = torch.cat(
            [sampling.resize(other.pixels, _small(frame).shape).reshape(3, -1) for frame, other in pairs], 1
        )
        keep = torch.from_numpy(np.random.default_rng(0).permutation(before.shape[1])[: sampling.COLORS])
        return PairsObjective(before[:, keep].T, style.to_lab(after[:, keep].T))

    def _graded_frame(self, frame: Frame, shot: Shot) -> Frame:
        """The frame of the graded clip at the same time."""
        times = np.asarray([float(time) for time in self.clip.times])
        place = int(np.abs(times - float(frame.time)).argmin())
        if abs(times[place] - float(frame.time)) > 0.6 / float(shot.rate):
            raise SettingsError(
                f"{self.path} has no frame at {float(frame.time):.3f} s of the clip; "
                "it must be the whole clip, graded, aligned in time"
            )
        other = next(iter(self.clip.frames(place, place + 1)))
        agreement = _edge_agreement(frame, other)
        if agreement < _SAME_SCENE:
            raise SettingsError(
                f"{self.path} does not show the same picture as the clip at {float(frame.time):.3f} s "
                f"(structures agree to {agreement:.2f}, {_SAME_SCENE} is needed); align it in time and framing"
            )
        return other


Target = ReferenceTarget | GradedClipTarget


def read(tags: ColorTags, params: Params) -> Target:
    """The target that the parameters name; `tags` are those of the shot.

    Raises:
        SettingsError: it cannot serve as one.
        MediaError: it cannot be read.
    """
    if params.fit is not None:
        return GradedClipTarget.read(params.fit, params)
    return ReferenceTarget.read(params.reference or Path(), tags, params)


def _small(frame: Frame) -> Tensor:
    return sampling.shrink([frame], _PAIR)[0]


def _edge_agreement(first: Frame, second: Frame) -> float:
    """Agreement of the edges of two frames, -1..1, whatever the grade of either."""
    ours = _small(first)
    planes = [spaces.luma(ours)[0], spaces.luma(sampling.resize(second.pixels, ours.shape))[0]]
    return align.agreement(*(align.edges(plane.numpy()) for plane in planes))


def to_encoding(frame: Frame, tags: ColorTags) -> Tensor:
    """A reference (3, H, W) in the encoding of the shot, by the light that both show: diffuse white is kept."""
    if _displayed_alike(frame.color, tags):
        return in_primaries(frame, tags.primaries).pixels
    light = display.light(frame.pixels, frame.color.transfer)
    primaries = frame.color.primaries, tags.primaries
    if primaries[0] != primaries[1] and set(primaries) <= spaces.PRIMARIES.keys():
        light = spaces.xyz_to_rgb(spaces.rgb_to_xyz(light, primaries[0]), primaries[1])
    return display.encode(light, tags.transfer)


def _displayed_alike(theirs: ColorTags, ours: ColorTags) -> bool:
    return theirs.transfer == ours.transfer or (theirs.transfer not in display.HDR and ours.transfer not in display.HDR)


def _encoding_note(theirs: ColorTags, ours: ColorTags) -> str:
    if _displayed_alike(theirs, ours):
        return ""
    return (
        f"the reference is {theirs.transfer}, the shot {ours.transfer}: brought over by the light shown, diffuse white "
        f"at {display.WHITE:g} cd/m2" + ("" if ours.transfer in display.HDR else ", highlights rolled off")
    )


def _color_note(lab: Tensor) -> str:
    if len(lab) < _SWATCH:
        few = f"{len(lab)} pixel{'s' * (len(lab) > 1)}"
        return f"the reference has only {few}: its color is used, its lightness is not"
    if float(lab[:, 0].std(correction=0)) < FLAT:
        return "the reference is a single tone: its color is used, its lightness is not"
    return "the reference has no color: the shot will have none" if float(lab[:, 1:].abs().max()) < 1 else ""


def _alpha_note(frames: Sequence[Frame]) -> str:
    share = sum(float((~usable(frame)).float().mean()) for frame in frames) / len(frames)
    return f"transparent parts of the reference do not count ({share:.0%} of it)".replace("%", " %") if share else ""
