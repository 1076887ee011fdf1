"""Writing single pictures of a sequence through OpenImageIO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its own documentation calls it so
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.errors import DeliveryError, MediaError
from answerprint.frame import Frame
from answerprint.media.layout import parse_layout
from answerprint.media.pictures.encoding import write_color
from answerprint.media.pictures.header import ALPHA_LABELS, NO_DATE, attribute, write_rate_and_timecode, write_tags
from answerprint.media.pictures.passes import read_passes
from answerprint.media.presets import Delivery
from answerprint.text import utf8_path


def write_picture(
    path: Path, planes: tuple[Tensor, ...], frame: Frame, delivery: Delivery, timecode: str | None = None
) -> None:
    """Writes one picture; the caller moves it into place.

    Args:
        path: file to make.
        planes: as `planes.encode_frame` gives them, (H, W) each: R, G, B, and alpha where the layout has it.
        frame: that they are of. OpenEXR keeps its depth, its windows and the passes beside it.
        delivery: preset, layout, rate and sample aspect ratio.
        timecode: of this picture; kept where the format has a place for it (OpenEXR, DPX).

    Raises:
        DeliveryError: it cannot be written.
        MediaError: its passes cannot be read.
    """
    form, preset = parse_layout(delivery.layout), delivery.format
    samples = torch.stack(planes, dim=-1).numpy()
    height, width, channels = samples.shape
    spec = oiio.ImageSpec(width, height, channels, "half" if form.floating else f"uint{8 if form.bits == 8 else 16}")
    if frame.tags is not None:
        write_tags(spec, frame.tags, frame.time)
    _describe(spec, delivery)
    write_rate_and_timecode(spec, delivery.ending, delivery.rate, timecode)
    write_color(spec, preset.codec, delivery.color, delivery.film)
    if preset.codec == "openexr":
        samples = _premultiply(samples) if frame.associated is None else samples
        samples = _add_channels(spec, samples, frame)
        _set_windows(spec, frame)
    elif form.bits not in (8, 16):
        # OpenImageIO takes integers at their full width: the code's bits, repeated below.
        spec["oiio:BitsPerSample"] = form.bits
        samples = (samples << (16 - form.bits)) | (samples >> (2 * form.bits - 16))
    _write(path, preset.codec, spec, np.ascontiguousarray(samples))


def _describe(spec: oiio.ImageSpec, delivery: Delivery) -> None:
    """Puts compression, alpha and sample aspect ratio into the header."""
    form, options = parse_layout(delivery.layout), delivery.format.options
    if "compression" in options:
        spec["compression"] = options["compression"]
    if form.alpha:
        spec.alpha_channel = 3
        if delivery.format.codec != "openexr":
            spec["oiio:UnassociatedAlpha"] = 1
    if delivery.alpha:
        spec["ImageDescription"] = ALPHA_LABELS[delivery.alpha]
    if delivery.alpha == "matte" and delivery.format.codec == "openexr":
        spec.channelnames = ("A",)  # what compositing tools read as a matte
        spec.alpha_channel = 0
    spec["PixelAspectRatio"] = float(delivery.sar)
    spec["Software"] = "Answerprint"
    # The time of writing would make the same picture another file, and is not that of its capture, as OpenEXR calls it.
    # Empty, it is left out of OpenEXR and TIFF.
    if attribute(spec, "DateTime", None) is None:
        spec["DateTime"] = NO_DATE if delivery.format.codec == "dpx" else ""


def _add_channels(spec: oiio.ImageSpec, samples: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """The samples (H, W, channels) with depth and passes behind them; the header names them and their types."""
    height, width, channels = samples.shape
    names, formats = list(spec.channelnames), ["half"] * channels
    if frame.depth is not None:
        samples = np.concatenate([samples, frame.depth.numpy().transpose(1, 2, 0)], axis=-1)
        names, formats = [*names, "Z"], [*formats, "float"]  # a distance is more than half floats can tell
    # A picture between two of the source, or one channel that is a matte, is not the picture that they belong to.
    if frame.passes is not None and frame.passes.time == frame.time and channels >= 3:
        passes = read_passes(frame.passes)
        if passes.samples.shape[:2] != (height, width):
            raise MediaError(f"{frame.passes.path}: has another size than when it was read")
        if passes.names:
            names = [*(passes.own[name] for name in names), *passes.names]
            formats = [*formats, *passes.formats]
            samples = np.concatenate([samples, passes.samples], axis=-1)
        for name, value in passes.attributes:
            spec.attribute(name, value)
    if len(names) > channels:
        spec.nchannels, spec.channelnames = len(names), tuple(names)
        spec.channelformats = tuple(oiio.TypeDesc(kind) for kind in formats)
        spec.z_channel = channels if frame.depth is not None else -1
    return samples


def _set_windows(spec: oiio.ImageSpec, frame: Frame) -> None:
    """Puts the windows of a picture that holds more or less than what is shown into the header."""
    if frame.framing is not None:
        stored, shown = frame.framing.canvas, frame.framing.display
        spec.x, spec.y = stored.left, stored.top
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = shown.left, shown.top, shown.width, shown.height


def _premultiply(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Color times alpha, (H, W, 4), as OpenEXR has it; light without alpha stays as it is, as on reading."""
    if samples.shape[2] < 4:
        return samples
    alpha = samples[..., 3:]
    return np.concatenate([samples[..., :3] * np.where(alpha > 0, alpha, 1), alpha], axis=-1)


def _write(path: Path, codec: str, spec: oiio.ImageSpec, samples: NDArray[Any]) -> None:
    output = oiio.ImageOutput.create(codec)
    if output is None:
        raise DeliveryError(f"{path}: OpenImageIO here cannot write {codec}")
    if not (output.open(utf8_path(path), spec) and output.write_image(samples) and output.close()):
        reason = (output.geterror() or "no reason given").splitlines()[0]
        raise DeliveryError(f"{path}: the picture cannot be written: {reason}")
    if codec == "dpx":
        _clear_name(path)


def _clear_name(path: Path) -> None:
    """Takes the name of the temporary file out of a DPX header (SMPTE ST 268: 100 bytes from byte 36)."""
    with path.open("r+b") as file:
        file.seek(36)
        file.write(bytes(100))
