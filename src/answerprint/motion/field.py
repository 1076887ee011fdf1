"""The one type of optical flow: vectors with their confidence, one way or both, and what they say of occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from answerprint.motion import flow as search
from answerprint.motion.evidence import Array, Ways


@dataclass(frozen=True, eq=False)
class Flow:
    """Where every pixel of one picture went in another.

    Attributes:
        vectors: (2, H, W) float32, x then y in pixels, from this picture to the other.
        confidence: (H, W) float32, 0..1.
    """

    vectors: Tensor
    confidence: Tensor

    @classmethod
    def of(cls, vectors: Array, confidence: Array) -> Flow:
        """The flow of arrays as OpenCV has them: vectors (H, W, 2), confidence (H, W)."""
        planes = np.ascontiguousarray(vectors.transpose(2, 0, 1), np.float32)
        return cls(torch.from_numpy(planes), torch.from_numpy(np.ascontiguousarray(confidence, np.float32)))

    def array(self) -> Array:
        """The vectors as OpenCV has them, (H, W, 2)."""
        return np.ascontiguousarray(self.vectors.permute(1, 2, 0).numpy())

    def resized(self, height: int, width: int) -> Flow:
        """The flow of the same pictures at another size, in pixels of that size."""
        if (height, width) == tuple(self.confidence.shape):
            return self
        vectors = search.resized(self.array(), width, height)
        confidence = resize_plane(np.ascontiguousarray(self.confidence.numpy()), height, width)
        return Flow.of(vectors, confidence)

    def warp(self, other: Tensor) -> Tensor:
        """The other picture (C, H, W) as it looks from here."""
        grid = np.ascontiguousarray(other.permute(1, 2, 0).numpy())
        warped = search.warp(grid, self.array()).reshape(grid.shape)
        return torch.from_numpy(np.ascontiguousarray(warped.transpose(2, 0, 1)))


@dataclass(frozen=True, eq=False)
class FlowPair:
    """Flow from first to second picture and back."""

    forward: Flow
    backward: Flow

    def swapped(self) -> FlowPair:
        """The same, seen from the second picture."""
        return FlowPair(self.backward, self.forward)

    def miss(self) -> Tensor:
        """Distance in pixels between a pixel of the first picture and where both flows take it, (H, W)."""
        return torch.from_numpy(Ways(self.forward.array(), self.backward.array()).miss)

    def occluded(self) -> Tensor:
        """Which pixels of the first picture the second does not show, (H, W) bool.

        Those that leave the picture, and those that do not come home: by more than one pixel and a tenth of the motion.
        """
        vectors = self.forward.vectors
        height, width = vectors.shape[1:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        x, y = x + vectors[0], y + vectors[1]
        outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
        hidden: Tensor = outside | (self.miss() > 1 + 0.1 * vectors.norm(dim=0))
        return hidden


def resize_plane(plane: Array, height: int, width: int) -> Array:
    """The plane (h, w) at another size, (height, width), interpolated linearly."""
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
