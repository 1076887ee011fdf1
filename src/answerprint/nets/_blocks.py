"""Building blocks shared by several networks: the residual block, and the initial scale of a last layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def faint(layer: nn.Module, share: float) -> None:
    """Makes a layer answer with little before it learned: its weights are made smaller, its bias is 0.

    Not with nothing at all: no gradient would come through to the layers in front, and L2 regularization, which Adam
    takes for a gradient of any size, would wear them down.
    """
    with torch.no_grad():
        for name, values in layer.named_parameters():
            values.mul_(share if name == "weight" else 0)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions without bias around a rectifier, added to the input, (B, width, H, W) in and out.

    No normalization, as in EDSR (Lim et al. 2017). `reach` is the dilation of the first convolution.
    """

    def __init__(self, width: int, reach: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=reach, dilation=reach, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        # Begin near the identity: without normalization a stack of full-size branches would not train at 1e-3.
        faint(self.second, 0.2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.relu(self.first(x)))
        return out
