"""Frames of a reference still or clip, without its black bars."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from answerprint import disk
from answerprint.color import spaces
from answerprint.errors import MediaError, NotMediaError, SettingsError
from answerprint.filters.bars import BlackBars, find_bars
from answerprint.frame import Frame, Shot
from answerprint.media import reader

_WIDE = frozenset(("bt2020", "smpte431", "smpte432"))


def read_reference(path: Path, count: int) -> tuple[list[Frame], str]:
    """Up to `count` frames spread through the reference, without its bars, and its SHA-256.

    Raises:
        NotMediaError: it is no picture and no clip.
        SettingsError: it is transparent or not finite everywhere.
    """
    try:
        clip = reader.open(path)
        shot = Shot("reference", len(clip), clip.info.rate, clip.frames)
        frames = [frame.displayed() for frame in shot.sample(count)]
    except NotMediaError as error:
        raise NotMediaError(f"reference {error}; give a still or a clip") from error
    except MediaError as error:
        raise MediaError(f"reference {error}") from error
    if not any(bool(usable(frame).any()) for frame in frames):
        raise SettingsError(f"reference {path} holds no visible pixel; give a picture with colors to match")
    bars = find_bars(frame.pixels for frame in frames)
    return [inside(frame, bars) for frame in frames], _fingerprint(path, frames)


def in_primaries(frame: Frame, primaries: str) -> Frame:
    """The frame with the same colors in the primaries of a shot.

    Those of BT.709 and of the standards before it are taken as one, as monitors do; wider ones are not. Primaries
    without a name here are taken as BT.709.
    """
    own, wanted = (name if name in spaces.PRIMARIES else "bt709" for name in (frame.color.primaries, primaries))
    if own == wanted or _WIDE.isdisjoint((own, wanted)):
        return frame
    light = spaces.decode(frame.pixels, frame.color.transfer)
    light = spaces.xyz_to_rgb(spaces.rgb_to_xyz(light, own), wanted)
    color = replace(frame.color, primaries=wanted)
    return replace(frame, pixels=spaces.encode(light, frame.color.transfer), color=color, origin=None)


def usable(frame: Frame) -> Tensor:
    """Pixels that count, bool (H, W): finite and not transparent."""
    finite = torch.isfinite(frame.pixels).all(0)
    return finite if frame.alpha is None else finite & (frame.alpha[0] > 0)


def inside(frame: Frame, bars: BlackBars) -> Frame:
    """The frame without its bars, to be looked at only."""

    def crop(plane: Tensor | None) -> Tensor | None:
        return None if plane is None else bars.inside(plane)

    return Frame(bars.inside(frame.pixels), frame.time, frame.color, alpha=crop(frame.alpha), matte=crop(frame.matte))


def _fingerprint(path: Path, frames: list[Frame]) -> str:
    """SHA-256 of the file; of a sequence or folder, of the pixels of the frames that are used."""
    if path.is_file():
        return disk.digest(path)
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(frame.pixels.contiguous().numpy().tobytes())
    return digest.hexdigest()
