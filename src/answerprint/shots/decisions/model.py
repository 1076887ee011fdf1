"""A decision list in memory: the clip, its shots, and what each operation was told and found in each of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import Field

from answerprint.assets import Assets, names_in
from answerprint.errors import MediaError, SettingsError
from answerprint.media import timecode
from answerprint.settings import Settings
from answerprint.shots.boundary import ShotRange
from answerprint.shots.contracts import Contract, Scalar, absolute_path


class SourceRef(Settings):
    """The clip that was analyzed, so that another one is not rendered by mistake."""

    path: Path = Field(
        description="the clip: a file, a folder or a pattern such as f.%04d.exr; from this file's folder"
    )
    size: int = Field(ge=0, description="bytes, of all files of a sequence together")
    hash: str = Field(description="SHA-256 of its size, first and last MiB (sequence: all sizes, first and last file)")
    frames: int = Field(ge=1, description="number of frames")
    rate: Fraction = Field(gt=0, description="frames per second")
    timecode: str | None = Field(None, description="of the first frame")
    overrides: dict[str, Scalar] = Field(
        default_factory=dict, description="what was said of the clip when it was opened: matrix, range, siting, ..."
    )

    @classmethod
    def describe(
        cls,
        path: Path,
        frames: int,
        rate: Fraction,
        timecode: str | None = None,
        overrides: Mapping[str, Scalar] | None = None,
    ) -> SourceRef:
        """Looks at the file or sequence on disk.

        Raises:
            MediaError: it cannot be read.
        """
        path = absolute_path(path)
        size, digest = fingerprint(path)
        return cls(
            path=path,
            size=size,
            hash=digest,
            frames=frames,
            rate=rate,
            timecode=timecode,
            overrides=dict(overrides or {}),
        )

    def verify(self) -> None:
        """Makes sure that the clip is still the one that was analyzed.

        Raises:
            MediaError: it is gone, unreadable or another one.
        """
        size, digest = fingerprint(self.path)
        if (size, digest) != (self.size, self.hash):
            what = f"{size} bytes, was {self.size}" if size != self.size else "same size, other contents"
            raise MediaError(f"{self.path}: is not the clip that was analyzed ({what}); analyze it again")

    def timecode_at(self, frame: int) -> str:
        """Timecode of a frame number; counted from 00:00:00:00 where the clip has none."""
        return timecode.shift(timecode.start(self.timecode, self.rate), frame, self.rate)


@dataclass(frozen=True)
class OperationDecision:
    """One operation on one shot.

    Attributes:
        name: of the operation.
        enabled: False leaves it out.
        locked: True keeps params and findings when the clip is analyzed again.
        params: every value of its Params.
        findings: every value of its Findings; None where it has none, or none yet.
        analyzed: mark of params and findings as analysis wrote them: another mark now means a person edited them.
    """

    name: str
    enabled: bool = True
    locked: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    findings: Mapping[str, Any] | None = None
    analyzed: str = ""

    @classmethod
    def of(cls, name: str, params: Settings, findings: Settings | None = None) -> OperationDecision:
        """The decision that analysis comes to."""
        decision = cls(name, params=params.model_dump(), findings=None if findings is None else findings.model_dump())
        return replace(decision, analyzed=decision.mark)

    @property
    def mark(self) -> str:
        """A short mark of params and findings."""
        # A path counts by its name: a project that was moved to another folder is not thereby edited.
        text = json.dumps([self.params, self.findings], default=lambda value: getattr(value, "name", str(value)))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def edited(self) -> bool:
        """Whether a person changed params or findings after analysis."""
        return bool(self.analyzed) and self.analyzed != self.mark

    def settings(self, contract: Contract) -> tuple[Settings, Settings | None]:
        """Params and findings as the operation takes them.

        Raises:
            SettingsError: a value that the operation does not allow.
        """
        params = contract.params_type.of(self.params, f"{self.name} params")
        if contract.findings_type is None or self.findings is None:
            return params, None
        return params, contract.findings_type.of(self.findings, f"{self.name} findings")


@dataclass(frozen=True)
class ShotDecision:
    """One shot and the operations on it, in order."""

    range: ShotRange
    operations: tuple[OperationDecision, ...] = ()


@dataclass(frozen=True)
class DecisionList:
    """All that a render needs to know.

    Attributes:
        source: the clip.
        shots: in the order of the clip; they do not overlap.
        delivery: preset and changes to it.
        chain: name of the chain that the clip was analyzed with.
        chunk: frames per chunk; None leaves it to the render.
        versions: of Answerprint and what it stands on, at the analysis.
        assets: what findings name by its hash.
    """

    source: SourceRef
    shots: tuple[ShotDecision, ...]
    delivery: Mapping[str, Scalar] = field(default_factory=dict)
    chain: str = ""
    chunk: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    assets: Assets = field(default_factory=Assets, compare=False, repr=False)

    def shot(self, name: str) -> ShotDecision:
        """The shot of that name.

        Raises:
            SettingsError: there is none.
        """
        for shot in self.shots:
            if shot.range.name == name:
                return shot
        raise SettingsError(f"no shot '{name}'; there are: {', '.join(shot.range.name for shot in self.shots)}")

    def asset_names(self) -> set[str]:
        """The names of the assets that findings hold."""
        return {name for shot in self.shots for operation in shot.operations for name in names_in(operation.findings)}

    def edit(self, shot: str, position: int, **changes: Any) -> DecisionList:
        """The list with one operation changed.

        Args:
            shot: name of the shot.
            position: place of the operation in the shot's chain, from 0.
            changes: `enabled`, `locked`, or new whole tables `params` and `findings`.
        """
        old = self.shot(shot)
        operations = list(old.operations)
        operations[position] = replace(operations[position], **changes)
        new = replace(old, operations=tuple(operations))
        return replace(self, shots=tuple(new if entry is old else entry for entry in self.shots))


def fingerprint(path: Path) -> tuple[int, str]:
    """Size in bytes and quick hash of a file or a sequence.

    The hash is SHA-256 over the size of every file and the first and last MiB; for a sequence, of its first and last
    file. A job looks closer: see `render/executor.py`.

    Raises:
        MediaError: there is nothing there, or it cannot be read.
    """
    files = files_of(path)
    if not files:
        raise MediaError(f"{path}: there is no such file or sequence")
    try:
        sizes = [file.stat().st_size for file in files]
        size = sum(sizes)
        digest = hashlib.sha256(f"{len(files)} {' '.join(map(str, sizes))}".encode())
        for file in dict.fromkeys((files[0], files[-1])):
            with file.open("rb") as stream:
                digest.update(stream.read(1 << 20))
                stream.seek(max(file.stat().st_size - (1 << 20), 0))
                digest.update(stream.read(1 << 20))
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from None
    return size, digest.hexdigest()[:32]


def files_of(path: Path) -> list[Path]:
    """The file itself, or the files of a folder or a sequence in order; none where there is nothing."""
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file())
    number = re.compile(r"%0?\d*d|#+")
    if not number.search(path.name) or not path.parent.is_dir():
        return []
    name = re.compile(r"\d+".join(re.escape(part) for part in number.split(path.name)))
    return sorted(file for file in path.parent.iterdir() if name.fullmatch(file.name))
