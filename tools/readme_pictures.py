"""Makes the README's crops of denoise and deinterlace: python -m tools.readme_pictures

The picture is scikit-image's photographer (by Lav Varshney, CC0), which no network that ships was trained on, under a
camera that pans over it; each panel is enlarged without smoothing.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from torch import Tensor

from answerprint.frame import Frame, Shot
from answerprint.operations import deinterlace, denoise
from answerprint.train import degrade
from benchmarks.deinterlace import PEERS, filtered, woven

DOCS = Path(__file__).parents[1] / "docs"
CPU = torch.device("cpu")
RATE = Fraction(25)
MOMENTS = 12
MIDDLE = 6
HEIGHT, WIDTH = 288, 384
TOP, LEFT, SIDE, ENLARGED = 60, 130, 130, 3


def scene(down: float, right: float) -> list[Tensor]:
    """Moments of a pan, in pixels a moment, with a caption that stands still."""
    picture = cv2.cvtColor(skimage.data.camera(), cv2.COLOR_GRAY2RGB)
    moments = []
    for t in range(MOMENTS):
        matrix = np.array([[1, 0, 60 + right * t], [0, 1, 60 + down * t]], dtype=np.float64)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        moment = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=flags)
        cv2.putText(moment, "12:04:07", (142, 180), cv2.FONT_HERSHEY_DUPLEX, 0.7, (255, 240, 120), 2, cv2.LINE_AA)
        moments.append(torch.from_numpy(np.asarray(moment, np.float32)).permute(2, 0, 1).contiguous() / 255)
    return moments


def denoised(noisy: list[Tensor]) -> list[Tensor]:
    frames = [Frame(picture, i / RATE) for i, picture in enumerate(noisy)]
    shot = Shot("001", len(frames), RATE, lambda start, stop: iter(frames[start:stop]))
    params = denoise.Params()
    findings = denoise.analyze(shot, params, CPU)
    return [frame.pixels for frame in denoise.run(iter(frames), params, findings, CPU)]


def deinterlaced(pictures: list[Tensor]) -> list[Tensor]:
    frames = (Frame(picture, i / RATE, field_order="tff") for i, picture in enumerate(pictures))
    findings = deinterlace.Findings(field_order="tff", frame_rate=str(RATE))
    params = deinterlace.Params(rate="field")
    return [frame.pixels for frame in deinterlace.run(frames, params, findings, CPU)]


def write(panels: Sequence[Tensor], name: str) -> None:
    """Crops of the same place side by side."""
    box = (slice(None), slice(TOP, TOP + SIDE), slice(LEFT, LEFT + SIDE))
    crops = [panel[box].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy() for panel in panels]
    white = np.full((crops[0].shape[0], 4, 3), 255, np.uint8)
    row = np.concatenate([part for crop in crops for part in (white, crop)][1:], axis=1)
    large = cv2.resize(row, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(DOCS / name), np.ascontiguousarray(large[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    clean = scene(0.4, 1.5)
    rng = np.random.default_rng(1)
    noisy = [degrade.gaussian(moment, 25 / 255, rng).clamp(0, 1) for moment in clean]
    write((noisy[MIDDLE], denoised(noisy)[MIDDLE], clean[MIDDLE]), "denoise.jpg")
    moments = scene(0.25, 4.3)
    fields = woven(moments)
    bwdif = filtered(fields, "bwdif", PEERS["bwdif"])
    write((fields[MIDDLE // 2], bwdif[MIDDLE], deinterlaced(fields)[MIDDLE], moments[MIDDLE]), "deinterlace.jpg")
