"""Colors and small frames of a shot or a scene, on which moods are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from answerprint.color import display, emotion, spaces, style, values
from answerprint.frame import ColorTags, Frame
from answerprint.operations.look import sampling

_COLORS = 3000  # that emotion is measured on
_STRUCTURE = 9000  # pixels that structure is compared on, of all frames together

# Skin of all tones lies in a narrow range of hue whatever its lightness (Zeng and Luo 2013, "Colour and tolerance of
# preferred skin colours on digital photographic images": preferred hues about 35 to 60 degrees).
_SKIN_HUE, _SKIN_CHROMA, _SKIN_LIGHT = (25.0, 75.0), (10.0, 45.0), (20.0, 92.0)
_GRAY = 6.0  # chroma under which a color counts as gray
_FEW = 0.005  # share of the picture under which skin or gray is chance


@dataclass(frozen=True, eq=False)
class MoodSamples:
    """Samples in the encoding of the shot, in which it is graded; mood is measured as a display shows them.

    Attributes:
        tags: of the frames.
        colors: (n, 3).
        skin, gray: which of the colors are skin or gray, bool (n,).
        pictures: frames made small, (N, 3, h, w).
        luma: of the pictures, (N, 1, h, w).
    """

    tags: ColorTags
    colors: Tensor
    skin: Tensor
    gray: Tensor
    pictures: Tensor
    luma: Tensor

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> MoodSamples | None:
        """Samples of frames; None where they hold no finite pixel."""
        share = -(-_COLORS // len(frames))
        colors = torch.cat([style.colors(f.pixels, share, weight=_weight(f, frames)) for f in frames]).cpu()
        if not len(colors):
            return None
        tags = frames[0].color
        lab = displayed_lab(colors, tags)
        small = torch.stack(sampling.shrink(frames, _STRUCTURE // len(frames)))
        return cls(tags, colors, _skin(lab), _gray(lab), small, spaces.luma(small))

    @property
    def emotion(self) -> Tensor:
        """Warm, heavy, active, (3,)."""
        return self.emotion_of(self.colors)

    def emotion_of(self, colors: Tensor) -> Tensor:
        """Warm, heavy, active, (..., 3), of other colors (..., n, 3) in the same encoding."""
        return emotion.emotion(displayed_lab(colors, self.tags))

    def graded(self, grade: Mapping[str, Tensor]) -> Tensor:
        """The colors after a grade, (n, 3)."""
        return values.apply(self.colors.T[:, None], grade)[:, 0].T

    def graded_by_each(self, grades: Mapping[str, Tensor], count: int) -> Tensor:
        """The colors after each of `count` grades, (count, n, 3)."""
        planes = self.colors.T[:, None].expand(count, 3, 1, -1)
        return values.apply(planes, grades)[:, :, 0].transpose(1, 2)

    def structure(self, grade: Mapping[str, Tensor], clamp: bool = True) -> Tensor:
        """SSIM of luma to the source after a grade, a scalar."""
        graded = values.apply(self.pictures, grade)
        return style.structure(spaces.luma(graded.clamp(0, 1) if clamp else graded), self.luma)


def displayed_lab(colors: Tensor, tags: ColorTags) -> Tensor:
    """CIELAB of colors (..., n, 3) as a display shows them, of the same shape."""
    planes = colors.nan_to_num().movedim(-1, -2)[..., None, :]  # (..., 3, 1, n)
    if tags.transfer != "linear":
        planes = planes.clamp(0, 1)
    shown = display.on_sdr(planes, tags.transfer, tags.primaries).clamp(0, 1)
    flat = shown[..., 0, :].movedim(-1, -2)
    return style.to_lab(flat.reshape(-1, 3)).reshape(colors.shape)


def polar(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Chroma, and hue in degrees -180..180, of CIELAB (..., 3)."""
    return lab[..., 1:].square().sum(-1).clamp_min(1e-12).sqrt(), torch.rad2deg(torch.atan2(lab[..., 2], lab[..., 1]))


def _weight(frame: Frame, frames: Sequence[Frame]) -> Tensor | None:
    """The matte, where any frame has one that holds something."""
    has_matte = any(f.matte is not None and bool((f.matte > 0).any()) for f in frames)
    return frame.matte if has_matte else None


def _skin(lab: Tensor) -> Tensor:
    chroma, hue = polar(lab)
    skin = torch.ones_like(hue, dtype=torch.bool)
    for measure, (low, high) in ((hue, _SKIN_HUE), (chroma, _SKIN_CHROMA), (lab[..., 0], _SKIN_LIGHT)):
        skin &= (measure > low) & (measure < high)
    return _unless_few(skin)


def _gray(lab: Tensor) -> Tensor:
    chroma, _ = polar(lab)
    return _unless_few((chroma < _GRAY) & (lab[..., 0] > 15) & (lab[..., 0] < 97))


def _unless_few(mask: Tensor) -> Tensor:
    return mask if float(mask.float().mean()) > _FEW else torch.zeros_like(mask)
