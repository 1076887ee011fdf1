"""What may be said of a job besides its operations, and what follows from it: source, range, device."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from answerprint.errors import SettingsError
from answerprint.media import presets, reader, timecode
from answerprint.media.reader import Clip
from answerprint.media.writer import checks
from answerprint.settings import Settings
from answerprint.shots.boundary import ShotRange


class Options(Settings):
    """What may be said of a job besides its operations."""

    preset: str | None = Field(None, description="Delivery preset; by default the one that the file ending calls for.")
    start: str | None = Field(None, description="First frame: a frame number or a timecode of the source.")
    stop: str | None = Field(None, description="The frame after the last: a frame number or a timecode of the source.")
    shots: str = Field("detect", description="'detect', 'none' (one shot), or a shot list (.edl, .otio, .csv).")
    workers: int = Field(1, ge=1, le=256, description="Local processes that render chunks; 1 is this process.")
    device: str = Field("auto", description="Torch device; auto is cuda where there is one, else cpu.")
    chunk: int | None = Field(None, ge=1, description="Frames per chunk.")
    input_matrix: str | None = Field(None, description="Matrix of the source.")
    input_range: str | None = Field(None, description="Range of the source.")
    input_siting: str | None = Field(None, description="Chroma siting of the source.")
    input_rate: str | None = Field(None, description="Frame rate of the source.")
    input_field_order: str | None = Field(None, description="Field order of the source.")
    input_incomplete: Literal["error", "keep"] | None = Field(
        None, description="What to do with a file that is cut off."
    )
    input_nonfinite: Literal["error", "zero"] | None = Field(None, description="What NaN and infinity become.")

    @property
    def overrides(self) -> dict[str, str]:
        """What is said of the source when it is opened."""
        said = {name.removeprefix("input_"): value for name, value in self if name.startswith("input_")}
        return {name: value for name, value in said.items() if value is not None}


_LARGE = 4 << 20  # bytes; planes of HD and above are larger
_M_MMAP_THRESHOLD = -3  # malloc.h


@functools.cache
def give_back_large_blocks() -> None:
    """Has the C library return large blocks to the system as soon as they are freed, where it is glibc.

    Left alone, glibc begins to keep blocks of up to 32 MB for itself once it has seen some freed: a plane of 1080p is
    25 MB, and each thread keeps some, which took a third more memory at 1080p.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def open_source(path: str | Path, overrides: Mapping[str, Any]) -> Clip:
    """The source of a job, opened as it was said."""
    give_back_large_blocks()
    return reader.open(path, **overrides)


def preset_of(options: Options, delivery: Mapping[str, object]) -> str | None:
    """The delivery preset: what is said of the job goes over what its recipe or decision list says; None by ending."""
    named = options.preset or delivery.get("preset")
    return None if named is None else str(named)


def refuse_output(clip: Clip, output: Path, options: Options, delivery: Mapping[str, object]) -> None:
    """Tells what cannot be delivered before anything is analyzed or rendered, which may take hours.

    Args:
        clip: the source.
        output: file or sequence to write.
        options: what is said of the job.
        delivery: what a recipe or decision list says of it.

    Raises:
        DeliveryError: the output is the source, its ending or the preset is none that there is, the two do not go
            together, it names one picture where there are several, or it takes no pictures of this size.
        SettingsError: the range is none of the clip.
    """
    checks.check_not_source(output, Path(clip.path))
    start, stop = frame_range(clip, options)
    named = preset_of(options, delivery)
    chosen = presets.choose(output, named, clip.info)
    if chosen.format.pictures:
        checks.check_picture_count(output, stop - start)
    if named is None:
        # Where a chain gives pictures alpha, another of the container's presets carries it, and takes other sizes.
        chosen = presets.choose(output, presets.preset_with_alpha(chosen), clip.info)
    checks.check_size(chosen, clip.info.width, clip.info.height)


def overlaps(shot: ShotRange, start: int, stop: int) -> bool:
    """Whether a shot has frames in [start, stop)."""
    return shot.start < stop and start < shot.stop


def frame_range(clip: Clip, options: Options) -> tuple[int, int]:
    """The frames [start, stop) that were asked for.

    Raises:
        SettingsError: they are no range of the clip.
    """
    start = _frame_number(clip, options.start, "--start", 0)
    stop = _frame_number(clip, options.stop, "--stop", len(clip))
    if not 0 <= start < stop <= len(clip):
        raise SettingsError(
            f"--start {start} --stop {stop} is no range of this clip; it has frames 0 to {len(clip) - 1}"
        )
    return start, stop


def _frame_number(clip: Clip, text: str | None, flag: str, default: int) -> int:
    if text is None:
        return default
    if text.isdecimal():
        return int(text)
    if not timecode.is_timecode(text):
        raise SettingsError(f"{flag} is {text!r}; allowed: a frame number or a timecode such as 01:00:10:00")
    first = clip.info.timecode or timecode.from_frames(0, clip.info.rate, timecode.is_drop(text))
    return timecode.to_frames(text, clip.info.rate) - timecode.to_frames(first, clip.info.rate)


def device_of(name: str) -> torch.device:
    """The torch device of that name.

    Raises:
        SettingsError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"--device {name}: there is no such device here ({str(error).splitlines()[0]})") from None
    return device
