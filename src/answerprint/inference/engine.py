"""One way to run any network fast on frames: padding, feathered tiles, and the quickest back end that the machine has.

A network knows neither sizes nor devices: here its input is padded to the multiple it needs and cut into overlapping
tiles where the picture is large, so that memory does not grow with it. Back ends: CUDA in bf16; OpenVINO in bf16
where the processor multiplies in bf16 and OpenVINO is installed; torch in bf16 there without it; torch in fp32 else.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import util
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Backend = Literal["cuda", "openvino", "bf16", "fp32"]
Run = Callable[..., Tensor]


def choose(device: torch.device) -> Backend:
    """The quickest back end for networks on `device`."""
    if device.type == "cuda":
        return "cuda"
    if device.type != "cpu" or not _multiplies_bf16():
        return "fp32"  # Apple's MPS, too
    return "openvino" if util.find_spec("openvino") else "bf16"


@cache
def _multiplies_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Part(nn.Module):
    """A piece of a network's work as a network of its own, so that a back end can make it ready by itself."""

    def __init__(self, network: nn.Module, work: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network = network
        self.work = work

    def forward(self, *planes: Tensor) -> Tensor:
        return self.work(*planes)


def ready(network: nn.Module, device: torch.device, backend: Backend | None = None) -> Run:
    """A network made ready to run on one back end: tensors in (on any device), one float32 tensor out, on `device`.

    A network whose `forward` is its first input plus `change(*inputs)` has that sum taken here, in float32: a sum in
    bf16 would leave 8 bits of the picture.

    Args:
        network: maps tensors (B, C, H, W) to one tensor.
        device: where the result is wanted.
        backend: one of `Backend`; the quickest there is where None.
    """
    change: Callable[..., Tensor] | None = getattr(network, "change", None)
    if change is None:
        return _ready(network, device, backend or choose(device))
    run_change = _ready(Part(network, change), device, backend or choose(device))

    def run(*planes: Tensor) -> Tensor:
        return planes[0].to(device).float() + run_change(*planes)

    return run


def _ready(network: nn.Module, device: torch.device, backend: Backend) -> Run:
    network = network.eval().requires_grad_(False)
    if backend == "openvino":
        return _OpenVino(network)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = backend in ("cuda", "bf16")

    def run(*planes: Tensor) -> Tensor:
        autocast = torch.autocast(device.type, dtype=torch.bfloat16) if half else contextlib.nullcontext()
        with torch.inference_mode(), autocast:
            result: Tensor = network(*(plane.to(device, memory_format=torch.channels_last) for plane in planes))
        return result.float()

    return run


_KEPT = 4  # sizes of input that a network stays compiled for


class _OpenVino:
    """A network compiled for each size of input it meets (tiles: one size); the latest few stay so."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.compiled: dict[tuple[tuple[int, ...], ...], Any] = {}

    def __call__(self, *planes: Tensor) -> Tensor:
        planes = tuple(plane.detach().float().cpu().contiguous() for plane in planes)
        sizes = tuple(tuple(plane.shape) for plane in planes)
        compiled = self.compiled[sizes] = self.compiled.pop(sizes, None) or self._compile(planes)
        if len(self.compiled) > _KEPT:
            del self.compiled[next(iter(self.compiled))]
        result = compiled([plane.numpy() for plane in planes])[0]
        return torch.from_numpy(result).float().clone()

    def _compile(self, planes: tuple[Tensor, ...]) -> Any:
        hints = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
        if _multiplies_bf16():
            hints["INFERENCE_PRECISION_HINT"] = "bf16"
        return _openvino().Core().compile_model(self._converted(planes), "CPU", hints)

    def _converted(self, planes: tuple[Tensor, ...]) -> Any:
        """The network as OpenVINO's model for planes of these sizes.

        By the front end itself: `openvino.convert_model` runs a network three times to compare, and takes five times
        as long.
        """
        openvino = _openvino()
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        with torch.no_grad(), warnings.catch_warnings():
            # It warns of sizes that become constants; a model is of one size only.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            traced = torch.jit.trace(self.network, planes, strict=False, check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(traced, example_input=planes)  # must outlive what reads from it
        frontend = openvino.frontend.FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
        for entry, plane in zip(model.inputs, planes, strict=True):
            entry.get_node().set_element_type(openvino.Type.f32)
            entry.get_node().set_partial_shape(openvino.PartialShape(list(plane.shape)))
        model.validate_nodes_and_infer_types()
        return model


def _openvino() -> Any:
    """The module, imported in silence: left alone, it tells its maker of every import over the net."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


@dataclass(frozen=True)
class Tile:
    """A piece of a picture: rows [top, top + height), columns [left, left + width)."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, plane: Tensor) -> Tensor:
        return plane[..., self.top : self.top + self.height, self.left : self.left + self.width]


def grid(height: int, width: int, tile: int, overlap: int, multiple: int = 1) -> list[Tile]:
    """Tiles of one size, as few and as small as will do, that cover a picture and overlap by `overlap` or more.

    All sizes are multiples of `multiple`, and so are the places of the tiles: a network that changes size inside would
    otherwise answer differently from tile to tile.

    Args:
        height, width: of the picture, multiples of `multiple`.
        tile: longest side of a tile.
    """
    (rows, tall), (columns, wide) = (_starts(length, tile, overlap, multiple) for length in (height, width))
    return [Tile(top, left, tall, wide) for top in rows for left in columns]


def _starts(length: int, tile: int, overlap: int, multiple: int) -> tuple[list[int], int]:
    """Where tiles begin along one side, and how long they are."""
    if length <= tile:
        return [0], length
    # Rounding a place down may take up to `multiple` pixels from an overlap.
    count = -(-(length - overlap) // (tile - overlap - multiple + 1))
    needed = -(-(length + (count - 1) * (overlap + multiple)) // count)
    size = min(needed + -needed % multiple, tile)
    return [i * (length - size) // (count - 1) // multiple * multiple for i in range(count)], size


def feather(tile: Tile, height: int, width: int, overlap: int) -> Tensor:
    """Weights (h, w) of a tile's result: 1 inside; across an overlap from nothing near its own edge to 1, linearly.

    The outer quarter of the overlap counts for nothing: there the network missed what lies beyond.
    """
    return torch.outer(
        _ramp(tile.height, overlap, tile.top > 0, tile.top + tile.height < height),
        _ramp(tile.width, overlap, tile.left > 0, tile.left + tile.width < width),
    )


def _ramp(length: int, overlap: int, before: bool, after: bool) -> Tensor:
    rise = ((torch.arange(length, dtype=torch.float32) + 0.5) / overlap - 0.25).mul(2).clamp(1e-4, 1)
    weight = torch.ones(length)
    if before:
        weight = weight * rise
    if after:
        weight = weight * rise.flip(0)
    return weight


def padded(planes: Sequence[Tensor], multiple: int, least: int = 1) -> list[Tensor]:
    """Planes (B, C, H, W) grown at the bottom and right to multiples, by mirroring where there is enough to mirror.

    Args:
        least: neither side is left shorter than this many pixels.
    """
    height, width = planes[0].shape[-2:]
    down, right = (max(length, least) - length for length in (height, width))
    down, right = down + -(height + down) % multiple, right + -(width + right) % multiple
    if not (down or right):
        return list(planes)
    mode = "reflect" if down < height and right < width else "replicate"
    return [F.pad(plane, (0, right, 0, down), mode=mode) for plane in planes]


def tiled(
    run: Run, planes: Sequence[Tensor], *, multiple: int = 8, tile: int = 768, overlap: int = 64, least: int = 1
) -> Tensor:
    """Runs a network over pictures of any size.

    Args:
        run: from `ready`, or any function of such planes whose result has the size of its input.
        planes: (B, C, H, W) each, one height and width.
        multiple: what height and width must be multiples of for the network.
        tile: pictures longer or wider than this are cut into tiles of this size (a multiple of `multiple`).
        overlap: pixels shared by neighboring tiles, over which one fades into the other.
        least: shortest side that the network can work on.
    """
    before = planes[0].shape[-2:]
    planes = padded(planes, multiple, least)
    height, width = planes[0].shape[-2:]
    if height <= tile and width <= tile:
        return run(*planes)[..., : before[0], : before[1]]
    total: Tensor | None = None
    weight = torch.zeros(height, width)
    for piece in grid(height, width, tile, overlap, multiple):
        result = run(*(piece.cut(plane) for plane in planes)).cpu()
        if total is None:
            total = torch.zeros(*result.shape[:-2], height, width)
        share = feather(piece, height, width, overlap)
        piece.cut(total).add_(result * share)
        piece.cut(weight).add_(share)
    if total is None:
        raise ValueError(f"a picture of {width}x{height} has no pixels")
    return (total / weight).to(planes[0].device)[..., : before[0], : before[1]]
