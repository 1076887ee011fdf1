"""Checks of an output before anything is written."""

from __future__ import annotations

from pathlib import Path

from answerprint.errors import DeliveryError
from answerprint.media.layout import parse_layout
from answerprint.media.pictures import names
from answerprint.media.presets import Delivery


def check_not_source(out: Path, source: Path) -> None:
    """Refuses to write to the source.

    Raises:
        DeliveryError: both are the same file.
    """
    if source.absolute() == out.absolute() or (source.exists() and out.exists() and source.samefile(out)):
        raise DeliveryError(f"{out}: is the source itself; choose another output, the source is never written to")


def check_picture_count(out: Path, count: int) -> None:
    """Refuses one name for several pictures.

    Raises:
        DeliveryError: `out` names one picture, and `count` is above 1.
    """
    if count > 1 and not names.holds_many(out):
        pattern = out.with_name(f"{out.stem}.%04d{out.suffix}")
        raise DeliveryError(f"{out}: holds one picture, {count} are to be written; use {pattern}")


def check_size(delivery: Delivery, width: int, height: int) -> None:
    """Refuses sizes that the encoder would refuse in its own words, such as odd ones with subsampled chroma.

    Raises:
        DeliveryError: the delivery does not take pictures of this size.
    """
    codec, form = delivery.format.codec, parse_layout(delivery.layout)
    if codec == "ffv1" or delivery.format.pictures:
        return
    if codec == "dnxhd" and (width < 256 or height < 120):
        raise DeliveryError(f"{width} x {height}: DNxHR takes pictures from 256 x 120 on; use ffv1 or prores")
    if (form.chroma_shift_x and width % 2) or (form.chroma_shift_y and height % 2):
        raise DeliveryError(
            f"{width} x {height}: {delivery.preset} takes even sizes only; use ffv1, prores-4444 or pictures"
        )
