"""The one contract of what can be done to a shot, and the helpers that operations are written with.

An operation is a file or a folder in `operations/` whose docstring names its method and source. Its name is the
operation's name:

    HANDLES = 2                    # neighbor frames needed on each side; None = the whole shot
    class Params(Settings): ...    # what the user may say
    class Findings(Settings): ...  # optional: what analysis found in this shot; editable

    def analyze(shot, params, device, say, assets) -> Findings: ...             # optional, once per shot
    def run(frames, params, findings, device, assets) -> Iterator[Frame]: ...

    OWN = ("matte",)                                  # optional: what it does itself that the house does for others
    STRENGTH = True                                   # optional: the house applies `params.strength`
    QUANTIZERS = True                                 # optional: it looks at the coder's quantizers, Origin.steps
    def handles(params) -> int | None: ...            # optional, where HANDLES depends on the parameters
    def rate(params, findings) -> Fraction: ...       # optional: frames out per frame in (deinterlacing to fields: 2)
    COST = 0.03                                       # optional: seconds a megapixel that `run` takes, see `cost`
    def cost(params) -> float: ...                    # optional, where COST depends on the parameters
    def networks(params) -> tuple[str, ...]: ...      # optional: trained weights that `run` takes by name
    def before(params) -> Sequence[tuple[str, dict]]: ...           # optional: operations that go before it in a chain

    def cube(params, findings, size=33) -> Cube: ...  # optional: the global part as a LUT; such an operation is a
                                                      # matter of color, and `render/export.py` hands it to other tools
    def cube_at(params, findings, time, size=33) -> Cube: ...       # optional, of a color operation with keys
    def color_part(findings) -> tuple[Findings, Fraction]: ...      # optional, where `run` does more than color, or
                                                      # changes with time: findings of the color alone; the time (s)
                                                      # at which it stands for the shot
    def correction(params, findings) -> tuple[Correction, list[str]]: ...   # optional: the part that one ASC CDL
                                                      # holds, and the names of what it does not

`analyze` and `run` name those parameters that they need, `shot` and `frames` first. `say` takes lines on progress for
who watches; `assets` keeps what is no number (contours): `assets.put` gives a name, which goes into the findings.
Findings may have the fields `summary` (what analysis came to, in words) and `note` (what was special): both are shown.

`run` is streaming and sees one shot, or one chunk of it with its handles: a `for` with a `yield` for per-frame work,
`for window in windows(frames, HANDLES)` for neighbors, `spool(frames)` for the whole shot, local variables for memory.
`run` must not depend on where its chunk begins: with enough handles, chunks give the same frames as the whole shot.
`params` and `findings` are all it may decide by.

What every operation needs is done here, around `run`, unless `OWN` names it:

    "findings"   a shot without findings is refused where the module has `Findings`
    "finite"     pixels that are no finite numbers reach `run` as 0 (NaN, -inf) or 1 (+inf) and leave as they came
    "matte"      pixels outside the frame's matte stay, those within are blended by it

An operation whose result is a matte names "makes matte", too.

`matte` and `strength` blend a frame with the source frame of the same time and size, or the last one before it.
"""

from __future__ import annotations

import importlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from inspect import signature
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self, overload

import numpy as np
import torch
from torch import Tensor

from answerprint.assets import Assets
from answerprint.color.cdl import Correction
from answerprint.color.lut import Cube
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.settings import Settings

__all__ = ["Operation", "Shot", "Spool", "Window", "spool", "windows"]


_COST = 0.5  # of an operation that does not say


@dataclass(frozen=True)
class Operation:
    """One module of `operations/`, with what it left out of the contract filled in."""

    name: str
    module: ModuleType

    def __reduce__(self) -> tuple[Callable[[str, str], Operation], tuple[str, str]]:
        # A module cannot be pickled; worker processes import it again.
        return _reload, (self.name, self.module.__name__)

    @property
    def params_type(self) -> type[Settings]:
        params: type[Settings] = self.module.Params
        return params

    @property
    def findings_type(self) -> type[Settings] | None:
        return getattr(self.module, "Findings", None)

    @cached_property
    def summary(self) -> str:
        return (self.module.__doc__ or "").strip().partition("\n")[0]

    @property
    def is_color(self) -> bool:
        """Whether it is a matter of color, at least in part, so that a LUT can hold it."""
        return hasattr(self.module, "cube")

    @property
    def quantizers(self) -> bool:
        """Whether it looks at the coder's quantizers (`Origin.steps`)."""
        return getattr(self.module, "QUANTIZERS", False)

    def handles(self, params: Settings) -> int | None:
        """Neighbor frames needed on each side; None = the whole shot."""
        own: Callable[[Settings], int | None] | None = getattr(self.module, "handles", None)
        if own is not None:
            return own(params)
        constant: int | None = self.module.HANDLES
        return constant

    def cost(self, params: Settings) -> float:
        """Seconds a megapixel that `run` takes, about, on two cores of the reference machine (a Xeon of 2023 with AMX).

        A constant and no measurement, so that jobs are cut into the same chunks on every machine.
        """
        own: Callable[[Settings], float] | None = getattr(self.module, "cost", None)
        constant: float = getattr(self.module, "COST", _COST)
        return own(params) if own is not None else constant

    def before(self, params: Settings) -> Sequence[tuple[str, dict[str, Any]]]:
        """Operations that go before it in a chain, with their parameters."""
        own: Callable[[Settings], Sequence[tuple[str, dict[str, Any]]]] | None = getattr(self.module, "before", None)
        return () if own is None else own(params)

    def rate(self, params: Settings, findings: Settings | None) -> Fraction:
        """Frames out per frame in."""
        own: Callable[[Settings, Settings | None], Fraction] | None = getattr(self.module, "rate", None)
        return own(params, findings) if own is not None else Fraction(1)

    def analyze(
        self,
        shot: Shot,
        params: Settings,
        device: torch.device,
        say: Callable[[str], None] | None = None,
        assets: Assets | None = None,
    ) -> Settings | None:
        """The findings of the shot; None where the operation has no analysis.

        Args:
            shot: the shot as the operations before leave it.
            params: the operation's parameters.
            device: where the work is done.
            say: hears of the progress.
            assets: where what is no number is put.
        """
        own: Callable[..., Settings] | None = getattr(self.module, "analyze", None)
        if own is None:
            return None
        return own(shot, **self._arguments(own, params=params, device=device, say=say, assets=assets))

    def remarks(self, findings: Settings | None) -> tuple[str, ...]:
        """What analysis says in words: the summary and the note of its findings, where there are any."""
        return tuple(text for name in ("summary", "note") if (text := getattr(findings, name, "")))

    def cube(self, params: Settings, findings: Settings | None, size: int = 33) -> Cube | None:
        """The part of it that one LUT can hold, `size` points per axis; None where it is no matter of color alone."""
        own: Callable[[Settings, Settings | None, int], Cube] | None = getattr(self.module, "cube", None)
        return own(params, findings, size) if own is not None else None

    def cube_at(self, params: Settings, findings: Settings | None, time: Fraction, size: int = 33) -> Cube | None:
        """The LUT of one time (s from the clip's first frame), where the operation has keys; else that of the shot."""
        own: Callable[[Settings, Settings | None, Fraction, int], Cube] | None = getattr(self.module, "cube_at", None)
        return own(params, findings, time, size) if own is not None else self.cube(params, findings, size)

    def color_part(self, findings: Settings | None) -> tuple[Settings | None, Fraction]:
        """Findings without what is no matter of color alone, and the time (s) at which they stand for the shot."""
        own: Callable[[Settings], tuple[Settings, Fraction]] | None = getattr(self.module, "color_part", None)
        return own(findings) if own is not None and findings is not None else (findings, Fraction(0))

    def correction(self, params: Settings, findings: Settings | None) -> tuple[Correction, list[str]] | None:
        """What one ASC CDL holds of it, and the names of what it does not; None where it holds nothing."""
        own: Callable[..., tuple[Correction, list[str]]] | None = getattr(self.module, "correction", None)
        return own(params, findings) if own is not None else None

    def networks(self, params: Settings) -> tuple[str, ...]:
        """Names of the trained weights that `run` takes as it finds them: a user's own, else those that ship."""
        own: Callable[[Settings], tuple[str, ...]] | None = getattr(self.module, "networks", None)
        return own(params) if own is not None else ()

    def run(
        self,
        frames: Iterator[Frame],
        params: Settings,
        findings: Settings | None,
        device: torch.device,
        assets: Assets | None = None,
    ) -> Iterator[Frame]:
        """The frames of one shot, or of a chunk with its handles, as the operation leaves them.

        Args:
            frames: in order of time.
            params: the operation's parameters.
            findings: of the shot.
            device: where the work is done.
            assets: where what findings name stands.

        Raises:
            SettingsError: the operation has Findings, and `findings` is None; an asset is missing.
        """
        own = frozenset(getattr(self.module, "OWN", ()))
        if findings is None and self.findings_type is not None and "findings" not in own:
            raise SettingsError(f"{self.name}: the shot has no findings; analyze it first")
        strength = float(params.strength) if getattr(self.module, "STRENGTH", False) else 1.0  # type: ignore[attr-defined]
        passed = self._arguments(self.module.run, params=params, findings=findings, device=device, assets=assets)
        if strength == 0:
            return frames
        guard = _Guard("finite" not in own, "matte" not in own, strength)
        result: Iterator[Frame] = self.module.run(guard.sources(frames), **passed)
        return guard.blended(result)

    def _arguments(self, function: Callable[..., object], **values: object) -> dict[str, object]:
        """Those values that the function has a parameter for."""
        parameters = signature(function).parameters
        if "assets" in parameters and values["assets"] is None:
            raise SettingsError(f"{self.name}: keeps assets, and was called without a place for them")
        return {name: value for name, value in values.items() if name in parameters}


class _Guard:
    """Source frames on their way through `run`, and what of them the frames that come out take back.

    Only sources that have something to give back are held: those with pixels that are no finite numbers, those with a
    matte, and all of them where `strength` is below 1; no longer than until a later frame comes out.

    Args:
        finite: whether pixels that are no finite numbers are replaced for `run` and put back.
        matte: whether frames are blended by their source's matte.
        strength: share of the operation's result, 0..1.
    """

    def __init__(self, finite: bool, matte: bool, strength: float) -> None:
        self._finite, self._matte, self._strength = finite, matte, strength
        self._sources: deque[tuple[Fraction, Frame | None]] = deque()

    def sources(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames as `run` sees them."""
        for frame in frames:
            # A sum is a finite number only where all its terms are: one pass, nothing allocated.
            broken = self._finite and not bool(frame.pixels.sum().isfinite())
            needed = broken or self._strength < 1 or (self._matte and frame.matte is not None)
            self._sources.append((frame.time, frame if needed else None))
            if broken:
                frame = frame.with_pixels(frame.pixels.nan_to_num(nan=0.0, posinf=1.0, neginf=0.0))
            yield frame

    def blended(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames that came out of `run`, with what their sources keep."""
        for frame in frames:
            while len(self._sources) > 1 and self._sources[1][0] <= frame.time:
                self._sources.popleft()
            source = self._sources[0][1] if self._sources and self._sources[0][0] <= frame.time else None
            yield frame if source is None else self._blend(source, frame)
            del frame, source  # they are large: they must not stay alive while the next one is made

    def _blend(self, source: Frame, frame: Frame) -> Frame:
        if frame.pixels is source.pixels or frame.pixels.shape != source.pixels.shape:
            return frame
        before = source.pixels.to(frame.pixels.device)
        result = frame.pixels if self._strength == 1 else torch.lerp(before, frame.pixels, self._strength)
        if self._matte and source.matte is not None:
            matte = source.matte.to(result.device)
            result = torch.where(matte > 0, torch.lerp(before, result, matte), before)
        if self._finite:
            result = torch.where(before.isfinite().all(0) & result.isfinite().all(0), result, before)
        return frame.with_pixels(result)


def _reload(name: str, module: str) -> Operation:
    return Operation(name, importlib.import_module(module))


@dataclass(frozen=True)
class Window:
    """A frame with its neighbors; where the shot has none, its first or last frame stands in.

    Attributes:
        frames: 2 n + 1 frames, the present one in the middle.
        first: how many of them, from the start, stand in for frames before the shot.
        last: how many of them, from the end, stand in for frames after it.
    """

    frames: tuple[Frame, ...]
    first: int = 0
    last: int = 0

    @property
    def center(self) -> Frame:
        return self.frames[len(self.frames) // 2]


def windows(frames: Iterator[Frame], handles: int) -> Iterator[Window]:
    """Each frame with `handles` neighbors on both sides; one window per frame, in order."""
    size = 2 * handles + 1
    window: deque[Frame] = deque(maxlen=size)
    missing = handles  # stand-ins at the start of `window`
    for frame in frames:
        if not window:
            window.extend([frame] * handles)
        window.append(frame)
        if len(window) == size:
            yield Window(tuple(window), first=missing)
            missing = max(missing - 1, 0)
    if not window:
        return
    # A shot shorter than its handles never filled the window: its later frames still get theirs.
    past_end = 0
    while past_end < handles:
        past_end += 1
        window.append(window[-1])
        if len(window) == size:
            yield Window(tuple(window), first=missing, last=past_end)
            missing = max(missing - 1, 0)


class Spool(Sequence[Frame]):
    """The frames of a whole shot on disk, indexable in any order, gone when closed. Pixels come back bit for bit."""

    def __init__(self, frames: Iterator[Frame], folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(prefix="answerprint-spool-", dir=folder)  # noqa: SIM115
        self._entries: list[tuple[Frame, dict[str, tuple[int, tuple[int, ...]]]]] = []
        offset = 0
        for frame in frames:
            planes: dict[str, tuple[int, tuple[int, ...]]] = {}
            for name in ("pixels", "alpha", "matte", "depth"):
                plane: Tensor | None = getattr(frame, name)
                if plane is not None:
                    data = plane.detach().cpu().contiguous().numpy()
                    self._file.write(data.data)
                    planes[name] = (offset, data.shape)
                    offset += data.nbytes
            empty = torch.empty((3, 0, 0), dtype=torch.float32)
            # The source's code values are left out: work over a whole shot changes every pixel.
            stub = replace(frame, pixels=empty, alpha=None, matte=None, depth=None, origin=None)
            self._entries.append((stub, planes))
        self._file.flush()

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        stub, stored = self._entries[index]
        planes: dict[str, Any] = {}
        for name, (offset, shape) in stored.items():
            data = np.empty(shape, dtype=np.float32)
            self._file.seek(offset)
            self._file.readinto(data.data)
            planes[name] = torch.from_numpy(data)
        return replace(stub, **planes)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def spool(frames: Iterator[Frame]) -> Spool:
    """Puts the frames of a whole shot on disk, so that work in any order needs no memory that grows with the shot."""
    return Spool(frames)
