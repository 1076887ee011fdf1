"""Pictures for tests of restoration, in memory: one without any noise, and photographs never trained on."""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from answerprint.train import degrade
from footage import shared


def shaded(height: int = 160, width: int = 208) -> Tensor:
    """Smooth shading, a colored edge and fine stripes: flat blocks and detail, as pictures have them."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    picture = torch.stack([0.2 + 0.6 * x, 0.3 + 0.4 * y, 0.7 - 0.3 * x])
    picture[:, height // 2 :, width // 2 :] = torch.tensor([0.7, 0.3, 0.2]).view(3, 1, 1)
    picture[:, : height // 4, : width // 4] += 0.1 * torch.sin(40 * x + 90 * y)[: height // 4, : width // 4]
    return picture


def spots(rng: np.random.Generator, rows: int, columns: int, height: int, width: int) -> np.ndarray:
    """Soft spots of color, so many in a column and a row, (height, width, 3) uint8."""
    coarse = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def photographs(count: int = 3, height: int = 224, width: int = 288) -> Iterator[Tensor]:
    """Pieces of photographs that no network was trained on, (3, H, W)."""
    for path in sorted(shared("train", "photos", "bsds").glob("*.jpg"))[::19][:count]:
        code = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        yield torch.from_numpy(code).permute(2, 0, 1).float()[:, :height, :width] / 255


def bars(shift: float, angle: float, height: int = 80, width: int = 160) -> Tensor:
    """A soft-edged slanted bar; `angle` is its run in pixels per line."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    across = (x - angle * y - shift) % 60
    picture = torch.sigmoid((across - 15) * 2) * torch.sigmoid((45 - across) * 2)
    return picture.expand(3, height, width).contiguous()


def noisy(picture: Tensor, sigma: float, count: int = 2, seed: int = 1) -> list[Tensor]:
    """The picture so many times, each with Gaussian noise of its own."""
    rng = np.random.default_rng(seed)
    return [degrade.gaussian(picture, sigma, rng) for _ in range(count)]


def psnr(one: Tensor, other: Tensor) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1, at most 120, reckoned in the tensors' own precision."""
    return float(-10 * torch.log10((one - other).square().mean().clamp(min=1e-12)))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((a & b).sum() / (a | b).sum())
