"""Pictures of a validation on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn

from answerprint import arrays
from answerprint.errors import TrainingError


def write_sheet(rows: Sequence[Tensor], path: Path) -> None:
    """Writes rows of pictures, each (N, 3, H, W) in 0..1, as one PNG."""
    lines = [torch.cat(list(row.float().cpu()), dim=2) for row in rows]
    width = max(line.shape[2] for line in lines)
    sheet = torch.cat([nn.functional.pad(line, (0, width - line.shape[2])) for line in lines], dim=1)
    if not cv2.imwrite(str(path), arrays.to_bgr(arrays.to_codes(sheet))):
        raise TrainingError(f"{path}: the sheet of pictures cannot be written")
