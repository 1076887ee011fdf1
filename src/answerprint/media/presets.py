"""Delivery presets, the containers they go to, and how a source and a preset become a `Delivery`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

import cv2
import torch
from pydantic import Field

from answerprint.color.spaces import LUMA_WEIGHTS
from answerprint.errors import DeliveryError
from answerprint.frame import ColorTags, FieldOrder, Frame
from answerprint.media import sidedata, timecode
from answerprint.media.info import ClipInfo
from answerprint.media.layout import Layout, parse_layout
from answerprint.settings import Settings

VIDEO_FORMATS = {".mov": "mov", ".mp4": "mp4", ".mkv": "matroska", ".mxf": "mxf", ".avi": "avi"}
_FIXED_THREADS = 4  # the bytes of x264 and x265 depend on the number of threads: the same everywhere
_AVX_512F = 13  # to OpenCV, which has no name for it in Python


def repeatable(codec: str) -> dict[str, str]:
    """Encoder options that make the same frames the same bytes every time on this machine.

    x264 does not with AVX-512: of 25 runs on one clip up to six different streams. Not part of a preset, for it is the
    machine's matter, not the job's.
    """
    return {"x264-params": "asm=avx2"} if codec == "libx264" and cv2.checkHardwareSupport(_AVX_512F) else {}


@dataclass(frozen=True)
class Preset:
    """One way to deliver.

    Attributes:
        name: by which users choose it.
        summary: codec, bits and chroma in a line.
        endings: file endings it can be written to, the usual one first.
        codec: FFmpeg's name of the encoder; OpenImageIO's name of the format for pictures.
        layout: planar pixel format it stores; "source" keeps the source's.
        alpha: the pixel format for a source with alpha; None where alpha cannot be carried.
        options: of the encoder, by FFmpeg's names.
        intra: every frame stands alone.
        chunk: container of the chunks of a job; one that keeps time bases exactly.
        full_range: full-range Y'CbCr can be signaled.
        threads: encoder threads; 0 lets FFmpeg choose where the bytes do not depend on it.
        fields: the codec codes interlaced pictures as such.
    """

    name: str
    summary: str
    endings: tuple[str, ...]
    codec: str
    layout: str
    alpha: str | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    intra: bool = True
    chunk: Literal["mov", "nut", "pictures"] = "mov"
    full_range: bool = False
    threads: int = 0
    fields: bool = False

    @property
    def pictures(self) -> bool:
        """Numbered pictures, one file per frame."""
        return self.chunk == "pictures"


def _prores(name: str, profile: str, summary: str, layout: str = "yuv422p10", alpha: str | None = None) -> Preset:
    # bits_per_mb as high as it goes spares the encoder its search for a quantizer: twice the speed at the same quality.
    options = {"profile": profile, "vendor": "apl0", "bits_per_mb": "8000"}
    if alpha:
        options["alpha_bits"] = "16"
    return Preset(name, summary, (".mov", ".mkv"), "prores_ks", layout, alpha, options, fields=True)


def _dnxhr(name: str, profile: str, summary: str, layout: str) -> Preset:
    return Preset(name, summary, (".mxf", ".mov"), "dnxhd", layout, None, {"profile": profile})


def _x26(name: str, codec: str, summary: str, layout: str, crf: str) -> Preset:
    options = {"crf": crf, "preset": "medium"}
    if codec == "libx265":
        options["x265-params"] = f"log-level=error:open-gop=0:frame-threads=2:pools={_FIXED_THREADS}"
    endings = (".mp4", ".mov", ".mkv")
    interlaced = codec == "libx264"
    return Preset(name, summary, endings, codec, layout, None, options, False, "nut", True, _FIXED_THREADS, interlaced)


def _pictures(name: str, codec: str, summary: str, endings: tuple[str, ...], layout: str, **options: str) -> Preset:
    alpha = None if codec in ("dpx", "jpeg") else layout.replace("gbr", "gbra")
    return Preset(name, summary, endings, codec, layout, alpha, options, True, "pictures", True)


_ALL = (
    _prores("prores-proxy", "proxy", "ProRes 422 Proxy, 10-bit"),
    _prores("prores-lt", "lt", "ProRes 422 LT, 10-bit"),
    _prores("prores", "standard", "ProRes 422, 10-bit"),
    _prores("prores-hq", "hq", "ProRes 422 HQ, 10-bit"),
    _prores("prores-4444", "4444", "ProRes 4444, 10-bit, alpha kept", "yuv444p10", "yuva444p10"),
    _prores("prores-4444xq", "4444xq", "ProRes 4444 XQ, 10-bit, alpha kept", "yuv444p10", "yuva444p10"),
    _dnxhr("dnxhr-lb", "dnxhr_lb", "DNxHR LB, 8-bit 4:2:2", "yuv422p"),
    _dnxhr("dnxhr-sq", "dnxhr_sq", "DNxHR SQ, 8-bit 4:2:2", "yuv422p"),
    _dnxhr("dnxhr-hq", "dnxhr_hq", "DNxHR HQ, 8-bit 4:2:2", "yuv422p"),
    _dnxhr("dnxhr-hqx", "dnxhr_hqx", "DNxHR HQX, 10-bit 4:2:2", "yuv422p10"),
    _dnxhr("dnxhr-444", "dnxhr_444", "DNxHR 444, 10-bit 4:4:4", "yuv444p10"),
    Preset(
        "ffv1", "FFV1 version 3, lossless, the source's own pixel format", (".mkv", ".avi"), "ffv1", "source", "source",
        # The number of slices would else follow the number of threads.
        {"level": "3", "g": "1", "slices": "4", "slicecrc": "1", "coder": "1", "context": "0"},
        True, "nut", True, fields=True,
    ),
    _x26("h264", "libx264", "H.264, 8-bit 4:2:0, CRF 16", "yuv420p", "16"),
    _x26("h264-10", "libx264", "H.264 High 10, 10-bit 4:2:0, CRF 16", "yuv420p10", "16"),
    _x26("h265", "libx265", "H.265, 8-bit 4:2:0, CRF 18", "yuv420p", "18"),
    _x26("h265-10", "libx265", "H.265 Main 10, 10-bit 4:2:0, CRF 18", "yuv420p10", "18"),
    Preset(
        "av1", "AV1, 10-bit 4:2:0, CRF 24", (".mp4", ".mkv"), "libsvtav1", "yuv420p10", None,
        {"crf": "24", "preset": "8", "svtav1-params": "lp=2"}, False, "nut", True,
    ),
    _pictures("exr", "openexr", "OpenEXR, half float, ZIP", (".exr",), "gbrpf32", compression="zip"),
    _pictures("exr-dwaa", "openexr", "OpenEXR, half float, DWAA", (".exr",), "gbrpf32", compression="dwaa:45"),
    _pictures("dpx", "dpx", "DPX, 10-bit R'G'B'", (".dpx",), "gbrp10"),
    _pictures("tiff", "tiff", "TIFF, 16-bit R'G'B'", (".tif", ".tiff"), "gbrp16", compression="zip"),
    _pictures("png", "png", "PNG, 16-bit R'G'B'", (".png",), "gbrp16"),
    _pictures("jpeg", "jpeg", "JPEG, 8-bit, for stills", (".jpg", ".jpeg"), "gbrp", compression="jpeg:95"),
)  # fmt: skip
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})
_DEFAULTS = MappingProxyType(
    {
        ".mov": "prores-hq", ".mp4": "h264", ".mkv": "ffv1", ".mxf": "dnxhr-hqx", ".avi": "ffv1",
        ".exr": "exr", ".dpx": "dpx", ".tif": "tiff", ".tiff": "tiff", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg",
    }
)  # fmt: skip

# What FFV1 stores without loss, by family; RGB of 8 bits goes as packed BGR, which is the same code values.
_FFV1_BITS = {"yuv": (8, 9, 10, 12, 14, 16), "yuva": (8, 9, 10, 12, 16), "rgb": (8, 9, 10, 12, 14, 16)}


class Delivery(Settings):
    """All settings of an encoder; stored with a job, so that resuming it makes the same bytes."""

    preset: str = Field(description="Name of the preset.")
    ending: str = Field(description="File ending of the output, with its dot.")
    layout: str = Field(description="Planar pixel format that is stored.")
    primaries: str = Field("bt709", description="Color primaries.")
    transfer: str = Field("bt709", description="Transfer characteristic.")
    matrix: str = Field("bt709", description="Matrix of Y'CbCr; rgb for R'G'B'.")
    range: str = Field("limited", description="limited or full.")
    siting: str = Field("left", description="Where chroma samples lie.")
    rate: Fraction = Field(Fraction(25), description="Frames per second; nominal where the rate is variable.")
    variable_rate: bool = Field(False, description="Frame times are not evenly spaced.")
    time_base: Fraction = Field(Fraction(1, 25), description="Seconds that frame times are whole multiples of.")
    sar: Fraction = Field(Fraction(1), description="Sample aspect ratio.")
    field_order: FieldOrder = Field("progressive", description="How lines were taken.")
    timecode: str | None = Field(None, description="Timecode of the first frame of the source.")
    alpha: Literal["", "straight", "premultiplied", "matte"] = Field(
        "", description="What kind of alpha the picture carries; matte: the picture itself is one."
    )
    film: str = Field("", description="DPX's name of the source's encoding where no color tag says it.")
    boxes: dict[str, str] = Field(
        default_factory=dict,
        description="What is said of all pictures, as QuickTime boxes (mdcv, clli, clap), hexadecimal.",
    )

    @property
    def color(self) -> ColorTags:
        """The color tags of the output."""
        return ColorTags(self.primaries, self.transfer, self.matrix, self.range, self.siting)

    @property
    def format(self) -> Preset:
        """The preset: codec, container of chunks and encoder options."""
        return PRESETS[self.preset]


def choose(path: Path | str, name: str | None, info: ClipInfo) -> Delivery:
    """The delivery of a clip to a path.

    Args:
        path: the output; its ending names the container.
        name: preset; the ending's default where None.
        info: the source.

    Raises:
        DeliveryError: no such preset or ending, or the two do not go together.
    """
    preset, ending = _preset(Path(path), name)
    layout = _layout_for(preset, info.layout)
    color = _color_for(preset, layout, info.layout, info.assumed)
    variable = info.variable_rate and not preset.pictures
    return Delivery(
        preset=preset.name,
        ending=ending,
        layout=layout,
        primaries=color.primaries,
        transfer=color.transfer,
        matrix=color.matrix,
        range=color.range,
        siting=color.siting,
        rate=info.rate,
        variable_rate=variable,
        time_base=_fine_base(info) if variable else 1 / info.rate,
        sar=info.sar if info.sar > 0 else Fraction(1),
        field_order=info.field_order,
        timecode=info.timecode,
        film=info.film,
        boxes=_boxes_for(preset, color, info),
    )


def preset_with_alpha(delivery: Delivery) -> str:
    """Name of the container's preset that carries alpha; that of the delivery where it does, or where none can."""
    if delivery.format.alpha is not None:
        return delivery.preset
    return next((p.name for p in _ALL if p.alpha is not None and delivery.ending in p.endings), delivery.preset)


def adapt(delivery: Delivery, rate: Fraction, probe: Frame, info: ClipInfo) -> Delivery:
    """The delivery of what a chain of operations gives, which may have changed rate, fields, size or color.

    Args:
        delivery: as chosen for the source.
        rate: frames per second at the end of the chain.
        probe: a frame as it leaves the chain.
        info: of the source.
    """
    preset, changes = delivery.format, dict[str, object]()
    if rate != delivery.rate:
        base = delivery.time_base / max(math.ceil(rate / delivery.rate), 1) if delivery.variable_rate else 1 / rate
        changes |= {"rate": rate, "time_base": base}
        if delivery.timecode is not None:
            changes["timecode"] = timecode.relabel(delivery.timecode, delivery.rate, rate)
    if probe.field_order != delivery.field_order and "unknown" not in (probe.field_order, delivery.field_order):
        changes["field_order"] = probe.field_order
    if probe.sar != delivery.sar:
        changes["sar"] = probe.sar
    if probe.color.matrix not in ("unknown", "rgb", info.assumed.matrix) and delivery.matrix != "rgb":
        changes["matrix"] = probe.color.matrix
    for name in ("primaries", "transfer"):
        if getattr(probe.color, name) not in ("unknown", getattr(delivery, name)):
            changes |= {name: getattr(probe.color, name), "film": ""}
            changes["boxes"] = {box: text for box, text in delivery.boxes.items() if box == "clap"}
    shown = probe.displayed()
    if (shown.width, shown.height) != info.display_size:  # a clean aperture is of the old size
        boxes = cast(Mapping[str, str], changes.get("boxes", delivery.boxes))
        changes["boxes"] = {box: text for box, text in boxes.items() if box != "clap"}
    if probe.alpha is not None and preset.alpha and not parse_layout(delivery.layout).alpha:
        # An operation made an alpha (a cutout): a format that can carry it does.
        changes["layout"] = preset.alpha if preset.alpha != "source" else _lossless_layout(_with_alpha(delivery.layout))
    changes |= _alpha(delivery, probe)
    form = parse_layout(delivery.layout)
    if form.family == "gray" and preset.layout == "source" and not _is_gray(probe):
        changes |= {"layout": f"yuv444p{form.bits if form.bits > 8 else ''}", "range": "limited"}
        changes["matrix"] = "bt709" if delivery.matrix in ("rgb", "unknown") else delivery.matrix
    return Delivery.model_validate(delivery.model_dump() | changes)


_ONE_CHANNEL = MappingProxyType({"openexr": "grayf32", "png": "gray16", "tiff": "gray16"})


def _alpha(delivery: Delivery, probe: Frame) -> dict[str, object]:
    """Changes of a delivery by the alpha of a chain's frames; a picture that is a matte gets one channel."""
    if probe.matte is not None and probe.alpha is None and torch.equal(probe.pixels, probe.matte.expand(3, -1, -1)):
        one = _ONE_CHANNEL.get(delivery.format.codec)
        return {"alpha": "matte"} if one is None else {"alpha": "matte", "layout": one}
    if probe.alpha is None or delivery.format.alpha is None:
        return {}
    # OpenEXR's alpha is premultiplied by definition; where an operation says otherwise, the file is labeled so.
    premultiplied = delivery.format.codec == "openexr" if probe.associated is None else probe.associated
    return {"alpha": "premultiplied" if premultiplied else "straight"}


def _is_gray(frame: Frame) -> bool:
    red, green, blue = frame.pixels
    return torch.equal(red, green) and torch.equal(red, blue)


def _preset(path: Path, name: str | None) -> tuple[Preset, str]:
    ending = path.suffix.lower()
    if name is not None and name not in PRESETS:
        raise DeliveryError(f"preset '{name}' is unknown; presets: {', '.join(PRESETS)}")
    if name is None:
        if ending not in _DEFAULTS:
            raise DeliveryError(f"{path}: ending '{ending}' is not one to deliver to; use {', '.join(_DEFAULTS)}")
        return PRESETS[_DEFAULTS[ending]], ending
    preset = PRESETS[name]
    if ending not in preset.endings:
        fitting = [other.name for other in _ALL if ending in other.endings]
        also = f"; '{ending}' takes {', '.join(fitting)}" if fitting else ""
        raise DeliveryError(
            f"{path}: preset '{name}' cannot be written to '{ending}'; it goes to {', '.join(preset.endings)}{also}"
        )
    return preset, ending


def _layout_for(preset: Preset, source: str) -> str:
    form = parse_layout(source)
    if preset.layout == "source":
        return _lossless_layout(form)
    return preset.alpha if form.alpha and preset.alpha else preset.layout


def _with_alpha(name: str) -> Layout:
    """The layout with an alpha plane; there is none beside 4:4:0, 4:1:1 and 4:1:0, so these become 4:4:4."""
    form = parse_layout(name)
    if form.family != "yuv":
        return replace(form, alpha=True)
    kind = form.name.removeprefix("yuvj").removeprefix("yuv")
    return parse_layout("yuva" + (kind if kind[:3] in ("444", "422", "420") else "444" + kind[3:]))


def _lossless_layout(form: Layout) -> str:
    """Name of the layout that FFV1 stores a source in without losing a bit (floats become 16-bit)."""
    if form.family == "rgb":
        bits = 16 if form.floating else next(b for b in _FFV1_BITS["rgb"] if b >= form.bits)
        if form.alpha and bits == 9:
            bits = 10
        return f"gbr{'a' if form.alpha else ''}p{bits if bits > 8 else ''}"
    if form.family == "gray":
        bits = 16 if form.floating else form.bits
        bits = next(b for b in (8, 10, 12, 14, 16) if b >= bits)
        if form.alpha:
            return f"yuva444p{bits if bits in (10, 12, 16) else 16 if bits > 8 else ''}"
        return f"gray{bits if bits > 8 else ''}"
    bits = next(b for b in _FFV1_BITS["yuva" if form.alpha else "yuv"] if b >= form.bits)
    name = form.name.replace("yuvj", "yuv").partition("p")[0]
    if name == "yuva420" and bits == 12:
        bits = 16
    if name in ("yuv411", "yuv410") and bits > 8:
        name = "yuv422"
    if name == "yuv440" and bits not in (8, 10, 12):
        name = "yuv444"
    return f"{name}p{bits if bits > 8 else ''}"


def _color_for(preset: Preset, layout: str, source: str, tags: ColorTags) -> ColorTags:
    form, before = parse_layout(layout), parse_layout(source)
    if form.family == "rgb":
        keep = before.family == "rgb" and not form.floating and not preset.pictures
        return ColorTags(tags.primaries, tags.transfer, "rgb", tags.range if keep else "full", "center")
    matrix = tags.matrix
    if form.family == "yuv" and matrix not in LUMA_WEIGHTS and not (matrix == "ycgco" and preset.full_range):
        matrix = "bt2020nc" if tags.primaries == "bt2020" else "bt709"
    from_rgb = before.family == "rgb" and form.family == "yuv"
    # A format that cannot say "full" is read as limited everywhere.
    range_ = tags.range if preset.full_range and not from_rgb else "limited"
    alike = form.subsampling == before.subsampling and before.family == "yuv"
    keeps_siting = alike and preset.codec not in ("dnxhd", "prores_ks")
    siting = tags.siting if keeps_siting else "left"
    return ColorTags(tags.primaries, tags.transfer, matrix, range_, siting)


def _boxes_for(preset: Preset, color: ColorTags, info: ClipInfo) -> dict[str, str]:
    """Boxes that stay true of the output: its display where color stays, its aperture where nothing turns."""
    if preset.pictures:
        return {}
    boxes = sidedata.boxes(info.side_data)
    if (color.primaries, color.transfer) != (info.assumed.primaries, info.assumed.transfer):
        boxes = {name: content for name, content in boxes.items() if name == "clap"}
    if info.rotation or info.flipped:
        boxes.pop("clap", None)
    return boxes


def _fine_base(info: ClipInfo) -> Fraction:
    """A time base that the usual ones (1/90000, 1/24000, 1/15360, 1/12800, 1/1000) are whole multiples of."""
    usual = 5_760_000
    exact = math.lcm(usual, info.duration.denominator, info.start.denominator)
    return Fraction(1, exact if exact < 2**31 else usual)
