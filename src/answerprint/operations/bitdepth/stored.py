"""The planes of a frame as its coder stored them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from answerprint.coding.codes import Plane
from answerprint.color import spaces
from answerprint.frame import ColorTags, Frame
from answerprint.media.layout import Layout, parse_layout
from answerprint.media.siting import SITES


@dataclass(frozen=True, eq=False)
class StoredPlanes:
    """The planes of a frame that no operation has changed, or those of one of its fields.

    Attributes:
        planes: as the decoder gave them: luma and chroma, or R'G'B'.
        form: how they are laid out.
        color: tags of the source.
        site: place of a chroma sample beside its luma samples, (across, down), in luma samples.
    """

    planes: tuple[Tensor, ...]
    form: Layout
    color: ColorTags
    site: tuple[float, float]

    def luma(self) -> Plane:
        """Luma in codes of 8 bits, (H, W)."""
        return self.plane(0)

    def plane(self, index: int) -> Plane:
        """A plane in codes of 8 bits, float32 (h, w)."""
        scale = np.float32(2.0 ** (8 - self.form.bits)) if not self.form.floating else np.float32(255)
        plane: Plane = self.planes[index].cpu().numpy().astype(np.float32) * scale
        return plane


def stored_planes(frame: Frame) -> list[StoredPlanes] | None:
    """The stored planes, for each field where two are woven; None where pixels are no longer theirs."""
    origin = frame.origin
    if origin is None or (frame.pixels is not origin.pixels and not torch.equal(frame.pixels, origin.pixels)):
        return None
    if origin.color.matrix == "ycgco":
        return None
    form = parse_layout(origin.layout)
    across, down = SITES.get(origin.color.siting, SITES["left"])
    if not is_woven(frame):
        return [StoredPlanes(origin.planes, form, origin.color, (across, down))]
    # Chroma line k of the frame lies at luma line 2 k + down (ISO/IEC 13818-2, 6.1.1.8); here in lines of a field.
    return [
        StoredPlanes(
            tuple(plane[field::2] for plane in origin.planes), form, origin.color, (across, (field + down) / 2)
        )
        for field in (0, 1)
    ]


def is_woven(frame: Frame) -> bool:
    """Whether a frame holds two fields."""
    return frame.field_order in ("tff", "bff") and frame.height > 1


def stored_luma(frame: Frame) -> Plane:
    """Luma in 8-bit codes of limited range, as stored where that is known; of the upper field where two are woven."""
    stored = stored_planes(frame)
    if stored is not None and stored[0].form.family != "rgb":
        return stored[0].luma()
    return np.asarray(16 + 219 * spaces.luma(torch.nan_to_num(frame.pixels.cpu()))[0].numpy(), np.float32)
