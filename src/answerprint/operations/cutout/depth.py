"""Depth of a shot's frames: from a clip, a network, a Z channel, or as a relative cue of our own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from answerprint.errors import MediaError, SettingsError
from answerprint.frame import Frame, Shot
from answerprint.operations.cutout import region
from answerprint.operations.cutout.contours import Strip
from answerprint.operations.cutout.params import Params

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Read = Callable[[int], Array]

_NETWORK_SIDE = 384  # pixels a side of a depth network's input
_HELD = 8  # frames of depth in memory


class DepthSource:
    """Depth of the shot's frames at the working size.

    Args:
        name: what depth is taken from, in words.
        strip: the shot's frames.
        read: gives the depth (H, W) of a frame by its number in the shot; None takes the cue of our own.
        step: of the codes that depth was stored in, in parts of full scale.

    Attributes:
        bad: frames whose depth holds NaN or infinity.
    """

    def __init__(self, name: str, strip: Strip, read: Read | None = None, step: float = 0.0) -> None:
        self.name, self.bad = name, 0
        self._strip, self._read, self._step, self._planes = strip, read, step, dict[int, Array]()

    @property
    def is_cue(self) -> bool:
        """True for the relative cue of our own, which is no depth."""
        return self._read is None

    def change(self, number: int, other: int, vectors: Array, cue: Array) -> tuple[Array, Mask]:
        """Change of depth (H, W) in 0..1 between two frames, and where (H, W) it is known.

        Args:
            number: of a frame in the shot.
            other: of a frame beside it.
            vectors: (H, W, 2) flow from the first to the second.
            cue: (H, W) in 0..1, `region.depth_cue` of the two.
        """
        if self._read is None:
            return cue, np.ones(cue.shape, bool)
        first, second = self._plane(self._read, number), self._plane(self._read, other)
        return region.depth_change(first, second, vectors, self._step)

    def _plane(self, read: Read, number: int) -> Array:
        if number not in self._planes:
            plane = np.asarray(read(number), np.float32)
            self.bad += not np.isfinite(plane).all()
            # Unknown must not spread into its neighbors by scaling: nearest.
            self._planes[number] = cv2.resize(plane, self._strip.work, interpolation=cv2.INTER_NEAREST)
            while len(self._planes) > _HELD:
                del self._planes[next(iter(self._planes))]
        return self._planes[number]


def depth_source(strip: Strip, shot: Shot, params: Params) -> DepthSource:
    """The depth of a shot, from what the parameters name or the frames hold.

    Raises:
        MediaError: the depth clip or network cannot be read.
        SettingsError: the depth clip is too short.
    """
    if params.depth is not None:
        return DepthSource(f"clip {params.depth}", strip, *_from_clip(params.depth, shot))
    if params.depth_model is not None:
        network = _network(params.depth_model)
        return DepthSource(f"model {params.depth_model.name}", strip, lambda number: network(strip[number]))
    if strip.holds_depth:
        return DepthSource("Z channel", strip, lambda number: _z_channel(next(shot.frames(number, number + 1))))
    return DepthSource("own cue: parallax and focus, relative", strip)


def _z_channel(frame: Frame) -> Array:
    if frame.depth is None:
        return np.full((frame.height, frame.width), np.nan, np.float32)
    return frame.depth[0].cpu().numpy()


def _from_clip(path: Path, shot: Shot) -> tuple[Read, float]:
    """A function from a frame's number to its depth, and the step of its codes."""
    from answerprint.media import reader

    try:
        clip = reader.open(path, nonfinite="zero")
    except MediaError as error:
        raise MediaError(f"depth {error}") from error
    if len(clip) < shot.start + shot.length:
        raise SettingsError(
            f"depth {path}: holds {len(clip)} frames, shot {shot.name} ends at {shot.start + shot.length}; "
            "give one picture of depth per frame of the clip"
        )

    def read(number: int) -> Array:
        frame = next(iter(clip.frames(shot.start + number, shot.start + number + 1)))
        return frame.pixels[0].numpy() if frame.depth is None else _z_channel(frame)

    return read, 0.0 if clip.info.floating else 2.0**-clip.info.bits


def _network(path: Path) -> Callable[[Picture], Array]:
    """A monocular depth network as a function of a picture (H, W, 3) uint8, which gives depth (h, w), above 0."""
    if not path.is_file():
        raise MediaError(f"depth model {path}: there is no such file")
    try:
        infer = _onnx(path) if path.suffix.lower() == ".onnx" else _torch_script(path)
    except (cv2.error, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MediaError(f"depth model {path}: is neither ONNX nor TorchScript that can be read: {reason}") from error

    def depth(picture: Picture) -> Array:
        result = infer(_network_input(picture))
        plane = np.squeeze(result)
        if plane.ndim != 2:
            raise SettingsError(f"depth model {path}: gives shape {result.shape}; one plane of depth is needed")
        above_zero: Array = (plane - plane.min() + 0.05 * float(np.ptp(plane)) + 1e-6).astype(np.float32)
        return above_zero

    return depth


def _network_input(picture: Picture) -> Array:
    """(1, 3, h, w) of a picture (H, W, 3) uint8, normalized as ImageNet's are."""
    side = (_NETWORK_SIDE, _NETWORK_SIDE)
    small = cv2.resize(picture, side, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    planes = (small - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return np.ascontiguousarray(planes.transpose(2, 0, 1)[None].astype(np.float32))


def _onnx(path: Path) -> Callable[[Array], npt.NDArray[Any]]:
    network = cv2.dnn.readNetFromONNX(str(path))

    def infer(planes: Array) -> npt.NDArray[Any]:
        network.setInput(planes)
        return np.asarray(network.forward())

    return infer


def _torch_script(path: Path) -> Callable[[Array], npt.NDArray[Any]]:
    network = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]

    def infer(planes: Array) -> npt.NDArray[Any]:
        with torch.inference_mode():
            result: npt.NDArray[Any] = network(torch.from_numpy(planes)).float().numpy()
            return result

    return infer
