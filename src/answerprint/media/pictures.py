"""Writing single pictures of a sequence through OpenImageIO, and how numbered files are named."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenImageIO
import torch
from torch import Tensor

from answerprint.errors import DeliveryError
from answerprint.media import pixels, sequence
from answerprint.media.presets import Delivery

_PATTERN = re.compile(r"%0?(\d*)d|#+")
_NUMBER = re.compile(r"(\d+)(?=\.[A-Za-z]+$)")


def numbered(out: Path, number: int) -> Path:
    """The file of one picture: `shot.%04d.exr` or `shot.####.exr` with its number filled in.

    Args:
        out: a pattern, or the name of the first picture (`shot.0001.exr`).
        number: of this picture.
    """
    found = _PATTERN.search(out.name) or _NUMBER.search(out.name)
    if found is None:
        return out
    width = len(found[0]) if found[0][0] != "%" else int(found[1] or 1)
    return out.with_name(f"{out.name[: found.start()]}{number:0{width}d}{out.name[found.end() :]}")


def first_number(out: Path) -> int | None:
    """The number that the name itself begins with: 1001 for `shot.1001.exr`; None for a pattern."""
    if _PATTERN.search(out.name):
        return None
    found = _NUMBER.search(out.name)
    return int(found[1]) if found else None


def holds_many(out: Path) -> bool:
    """Whether more than one picture can be named by `out`."""
    return bool(_PATTERN.search(out.name) or _NUMBER.search(out.name))


def write_picture(
    path: Path,
    planes: tuple[Tensor, ...],
    delivery: Delivery,
    *,
    timecode: str | None = None,
    depth: Tensor | None = None,
    associated: bool | None = None,
) -> None:
    """Writes one picture; the caller moves it into place.

    Args:
        path: file to make.
        planes: as `pixels.encode_planes` gives them: R, G, B, and alpha where the layout has it.
        delivery: preset, layout, rate and sample aspect ratio.
        timecode: of this picture; kept where the format has a place for it (OpenEXR, DPX).
        depth: float32 (1, H, W); kept as channel Z by OpenEXR.
        associated: whether color is multiplied by alpha already; False: it is not, and stays so; None: it is not, and
            is here where that is the format's way.

    Raises:
        DeliveryError: it cannot be written.
    """
    form, preset = pixels.layout(delivery.layout), delivery.how
    samples = torch.stack(planes, dim=-1).numpy()
    height, width, channels = samples.shape
    spec = OpenImageIO.ImageSpec(
        width, height, channels, "half" if form.floating else f"uint{8 if form.bits == 8 else 16}"
    )
    _describe(spec, delivery)
    sequence.stamp(spec, delivery.ending, delivery.rate, timecode)
    if preset.codec == "openexr":
        samples = _premultiplied(samples) if associated is None else samples
        if depth is not None:
            samples = np.concatenate([samples, depth.numpy().transpose(1, 2, 0)], axis=-1)
            spec.nchannels, spec.z_channel = channels + 1, channels
            spec.channelnames = (*spec.channelnames, "Z")
    elif form.bits not in (8, 16):
        # OpenImageIO takes integers at their full width: the code's bits, repeated below.
        spec["oiio:BitsPerSample"] = form.bits
        samples = (samples << (16 - form.bits)) | (samples >> (2 * form.bits - 16))
    _write(path, preset.codec, spec, np.ascontiguousarray(samples))


def _describe(spec: OpenImageIO.ImageSpec, delivery: Delivery) -> None:
    form, options = pixels.layout(delivery.layout), delivery.how.options
    if "compression" in options:
        spec["compression"] = options["compression"]
    if form.alpha:
        spec.alpha_channel = 3
        if delivery.how.codec != "openexr":
            spec["oiio:UnassociatedAlpha"] = 1
    if delivery.alpha:
        spec["ImageDescription"] = sequence.ALPHA_LABELS[delivery.alpha]
    if delivery.alpha == "matte" and delivery.how.codec == "openexr":
        spec.channelnames = ("A",)  # what compositing tools read as a matte
        spec.alpha_channel = 0
    spec["PixelAspectRatio"] = float(delivery.sar)
    spec["Software"] = "Answerprint"
    # The time of writing would make the same picture another file, and is not that of its capture, as OpenEXR calls it.
    # Empty, it is left out of OpenEXR and TIFF.
    spec["DateTime"] = "1970:01:01 00:00:00" if delivery.how.codec == "dpx" else ""


def _premultiplied(
    samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Color times alpha, as OpenEXR has it; light without alpha stays as it is, as on reading."""
    if samples.shape[2] < 4:
        return samples
    alpha = samples[..., 3:]
    return np.concatenate([samples[..., :3] * np.where(alpha > 0, alpha, 1), alpha], axis=-1)


def _write(
    path: Path, codec: str, spec: OpenImageIO.ImageSpec, samples: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> None:
    output = OpenImageIO.ImageOutput.create(codec)
    if output is None:
        raise DeliveryError(f"{path}: OpenImageIO here cannot write {codec}")
    if not (output.open(str(path), spec) and output.write_image(samples) and output.close()):
        reason = (output.geterror() or "no reason given").splitlines()[0]
        raise DeliveryError(f"{path}: the picture cannot be written: {reason}")
    if codec == "dpx":
        _forget_name(path)


def _forget_name(path: Path) -> None:
    """Takes the name of the temporary file out of a DPX header (SMPTE ST 268: 100 bytes from byte 36)."""
    with path.open("r+b") as file:
        file.seek(36)
        file.write(bytes(100))


def frame_number(time: Fraction, rate: Fraction) -> int:
    """Which frame of the clip a time is."""
    return round(time * rate)
