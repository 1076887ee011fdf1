"""Optical flow of a pair of pictures, with how far to trust it.

    forward = flow(first, second, quality="best")
    forward.vectors       # (2, H, W), x then y in pixels, from first to second
    forward.confidence    # (H, W), how likely the vector is within a pixel of the truth

"fast" is dense inverse search (Kroeger et al. 2016) whose confidence says how well there-and-back comes home. "best" is
the network of nets/flow, polished by variational refinement; a small second network judges it and inverse search,
takes the better one pixel by pixel, and says how sure it is. Large pictures are worked on at a smaller size, so that
memory stays bounded: the network at up to half a million pixels, the rest at up to a million (fast: 2.5 million).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from answerprint.inference import weights
from answerprint.motion import evidence
from answerprint.motion import flow as search
from answerprint.motion.evidence import Array, Codes, Estimates, Ways
from answerprint.motion.field import Flow, FlowPair, resize_plane
from answerprint.nets import flow as nets

Quality = Literal["fast", "best"]
Picture = Tensor | NDArray[np.floating]

NETWORK_PIXELS = 960 * 544  # largest picture the network is given: 8160 cells, whose volume is 266 MB
POLISH_PIXELS = 1_050_000  # largest picture that flow is polished and judged at
LEAST = 64  # shortest side the network is given
UPDATES = 6  # of the flow by the network


def flow(first: Picture, second: Picture, quality: Quality = "fast", device: torch.device | None = None) -> Flow:
    """Flow from `first` to `second`.

    Args:
        first: (3, H, W), 0..1, at least 16 x 16.
        second: the same size.
        quality: "fast" or "best".
        device: where the network runs.

    Raises:
        ValueError: pictures of other shapes.
        WeightsError: "best" without weights of the network.
    """
    return both_ways(first, second, quality, device).forward


def both_ways(
    first: Picture, second: Picture, quality: Quality = "fast", device: torch.device | None = None
) -> FlowPair:
    """Flow from `first` to `second` and back, see `flow`."""
    one, two = _checked(first), _checked(second)
    if one.shape != two.shape:
        raise ValueError(f"pictures of {tuple(one.shape)} and {tuple(two.shape)}; flow is between two of one size")
    if torch.equal(one, two):
        still = Flow(torch.zeros(2, *one.shape[1:]), torch.ones(one.shape[1:]))
        return FlowPair(still, still)
    if quality == "fast":
        return _fast(one, two)
    return judged(_network(None, device or torch.device("cpu")), one, two)


@torch.no_grad()
def judged(net: nets.FlowNet, first: Tensor, second: Tensor) -> FlowPair:
    """Flow of the network both ways, polished and judged beside inverse search; pictures are (3, H, W)."""
    height, width = first.shape[1:]
    found = []
    for each in estimates(net, first, second):
        logits = net.judge(*(plane.to(_device(net)) for plane in evidence.planes(each))).cpu()
        full = evidence.enlarged(logits, *each.spread.shape)
        ours = full[2] > 0
        vectors = np.where(ours[..., None], each.network.forward, each.searched.forward)
        trust = 1 / (1 + np.exp(-np.where(ours, full[0], full[1])))
        found.append(Flow.of(vectors, trust.astype(np.float32)).resized(height, width))
    return FlowPair(*found)


@torch.no_grad()
def estimates(net: nets.FlowNet, first: Tensor, second: Tensor) -> tuple[Estimates, Estimates]:
    """What the network and inverse search say, from the first picture on and from the second."""
    pictures = [_limited(picture, POLISH_PIXELS) for picture in (first, second)]
    lumas = evidence.luma(pictures[0]), evidence.luma(pictures[1])
    looks = evidence.codes(lumas[0]), evidence.codes(lumas[1])
    searched = _searched(looks)
    raw = [_run(net, *pair, vectors) for pair, vectors in _turns(pictures, searched)]
    height, width = lumas[0].shape
    network = Ways(
        evidence.polished(looks, search.resized(raw[0][0], width, height)),
        evidence.polished(looks[::-1], search.resized(raw[1][0], width, height)),
    )
    scale = height / raw[0][0].shape[0]
    sure = [[resize_plane(plane, height, width) for plane in each[1:]] for each in raw]
    there = Estimates(lumas, network, searched, sure[0][0] * np.float32(scale), sure[0][1])
    back = Estimates(lumas[::-1], network.swapped(), searched.swapped(), sure[1][0] * np.float32(scale), sure[1][1])
    return there, back


def _fast(first: Tensor, second: Tensor) -> FlowPair:
    height, width = first.shape[1:]
    one, two = (evidence.luma(_limited(picture, search.LARGE)) for picture in (first, second))
    ways = _searched((evidence.codes(one), evidence.codes(two)))
    found = []
    for here, other, each in ((one, two, ways), (two, one, ways.swapped())):
        trust = search.confidence(each.forward, each.backward) * evidence.fit(here, other, each.forward)
        found.append(Flow.of(each.forward, trust).resized(height, width))
    return FlowPair(*found)


def _searched(looks: tuple[Codes, Codes]) -> Ways:
    first, second = looks
    return Ways(search.flow(first, second, "medium"), search.flow(second, first, "medium"))


def _turns(pictures: list[Tensor], ways: Ways) -> list[tuple[tuple[Tensor, Tensor], Array]]:
    first, second = pictures
    return [((first, second), ways.forward), ((second, first), ways.backward)]


def _run(net: nets.FlowNet, first: Tensor, second: Tensor, hint: Array) -> tuple[Array, Array, Array]:
    """Flow (h, w, 2), expected error and confidence of the match (h, w) of the network, at the size it works at."""
    pair = [_limited(picture, NETWORK_PIXELS) for picture in (first, second)]
    height, width = pair[0].shape[1:]
    down, across = (max(LEAST, -(-side // net.multiple) * net.multiple) - side for side in (height, width))
    padded = [F.pad(picture[None], (0, across, 0, down), mode="replicate") for picture in pair]
    vectors = torch.from_numpy(search.resized(hint, width, height)).permute(2, 0, 1)[None]
    cells = F.avg_pool2d(F.pad(vectors, (0, across, 0, down), mode="replicate"), nets.CELL)
    device = _device(net)
    with _autocast(device):
        estimate = net(*(plane.to(device) for plane in (*padded, cells)), updates=UPDATES)
    confidence = F.interpolate(estimate.match.confidence, scale_factor=float(nets.CELL), mode="bilinear")
    found = (estimate.flow[0].permute(1, 2, 0), nets.spread(estimate.info)[0, 0], confidence[0, 0])
    return tuple(  # type: ignore[return-value]
        np.ascontiguousarray(plane[:height, :width].float().cpu().numpy()) for plane in found
    )


def _autocast(device: torch.device) -> torch.autocast:
    half = device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)


def _device(net: nets.FlowNet) -> torch.device:
    return next(net.parameters()).device


def _ready(path: Path | None, device: torch.device) -> nets.FlowNet:
    net = nets.load(path).eval().requires_grad_(False)
    return net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


_network: Callable[[Path | None, torch.device], nets.FlowNet] = weights.cached("flow", _ready)


def _checked(picture: Picture) -> Tensor:
    tensor = picture if isinstance(picture, Tensor) else torch.from_numpy(np.ascontiguousarray(picture))
    if tensor.ndim != 3 or tensor.shape[0] != 3 or min(tensor.shape[1:]) < 16:
        raise ValueError(f"a picture of shape {tuple(tensor.shape)}; flow takes (3, H, W) of 16 x 16 or more")
    return tensor.detach().cpu().float().nan_to_num(0.0).clamp(0, 1)


def _limited(picture: Tensor, pixels: int) -> Tensor:
    """The picture, made smaller where it has more pixels."""
    height, width = picture.shape[1:]
    if height * width <= pixels:
        return picture
    scale = (pixels / (height * width)) ** 0.5
    size = (max(int(width * scale), 16), max(int(height * scale), 16))
    small = cv2.resize(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()), size, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))
