"""The decision list: what will be done to each shot of a clip, in a file that people read, edit and render again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from answerprint.errors import MediaError, SettingsError
from answerprint.media import timecode
from answerprint.settings import Settings, Value, values
from answerprint.shots import toml
from answerprint.shots.boundary import ShotRange, Transition
from answerprint.shots.contracts import Contract, Contracts, absolute, contract_of, relative, spelled_out

FORMAT = 1
Scalar = str | int | float | bool

_HEADER = """\
# What Answerprint will do to {clip}, shot by shot. Edit, then render again:
#
#     answerprint render {file} -o out.mov
#
# Only what a change touches is rendered anew. `params` say what is wanted, `findings` what was measured in the shot;
# both are used exactly as they stand here.
#     enabled = false   leaves an operation out of this shot (so does deleting its block)
#     locked = true     keeps its params and findings when the clip is analyzed again
"""


class SourceRef(Settings):
    """The clip that was analyzed, so that another one is not rendered by mistake."""

    path: Path = Field(
        description="the clip: a file, a folder or a pattern such as f.%04d.exr; from this file's folder"
    )
    size: int = Field(ge=0, description="bytes, of all files of a sequence together")
    hash: str = Field(description="SHA-256 of its size, first and last MiB (of a sequence: of its first and last file)")
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
        path = spelled_out(path)
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
    def made(cls, name: str, params: Settings, findings: Settings | None = None) -> OperationDecision:
        """The decision that analysis comes to."""
        made = cls(name, params=params.model_dump(), findings=None if findings is None else findings.model_dump())
        return replace(made, analyzed=made.mark)

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
        delivery: preset and what was said on top of it.
        recipe: name of the recipe that it was made by.
        chunk: frames per chunk; None leaves it to the render.
        versions: of Answerprint and what it stands on, when this was made.
    """

    source: SourceRef
    shots: tuple[ShotDecision, ...]
    delivery: Mapping[str, Scalar] = field(default_factory=dict)
    recipe: str = ""
    chunk: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def shot(self, name: str) -> ShotDecision:
        """The shot of that name.

        Raises:
            SettingsError: there is none.
        """
        for shot in self.shots:
            if shot.range.name == name:
                return shot
        raise SettingsError(f"no shot '{name}'; there are: {', '.join(shot.range.name for shot in self.shots)}")

    def edited(self, shot: str, position: int, **changes: Any) -> DecisionList:
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


class _ShotHead(Settings):
    name: str = Field(min_length=1, description="name of the shot; each once")
    start: int = Field(ge=0, description="its first frame, counted from 0")
    stop: int = Field(ge=1, description="the frame after its last")
    transition: Transition = Field("cut", description="how it begins")


class _OperationHead(Settings):
    name: str = Field(description="name of the operation")
    enabled: bool = Field(True, description="false leaves it out of this shot")
    locked: bool = Field(False, description="true keeps params and findings when the clip is analyzed again")
    analyzed: str = Field("", description="mark of what analysis wrote, to tell what was edited since")


class _Top(Settings):
    format: int = Field(FORMAT, ge=1, le=FORMAT, description="version of this kind of file")
    recipe: str = Field("", description="the recipe that this was made by")
    chunk: int | None = Field(None, ge=1, description="frames rendered in one piece")
    delivery: dict[str, Scalar] = Field(default_factory=dict, description="preset, and what is said on top of it")
    versions: dict[str, str] = Field(default_factory=dict, description="what this was made with")


def fingerprint(path: Path) -> tuple[int, str]:
    """Size in bytes and quick hash of a file or a sequence.

    The hash is SHA-256 over the size and the first and last MiB; for a sequence over the first and last file.

    Raises:
        MediaError: there is nothing there, or it cannot be read.
    """
    files = _files(path)
    if not files:
        raise MediaError(f"{path}: there is no such file or sequence")
    try:
        size = sum(file.stat().st_size for file in files)
        digest = hashlib.sha256(f"{len(files)} {size}".encode())
        for file in dict.fromkeys((files[0], files[-1])):
            with file.open("rb") as stream:
                digest.update(stream.read(1 << 20))
                stream.seek(max(file.stat().st_size - (1 << 20), 0))
                digest.update(stream.read(1 << 20))
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from None
    return size, digest.hexdigest()[:32]


def _files(path: Path) -> list[Path]:
    """The file itself, or the files of a sequence in order."""
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file())
    number = re.compile(r"%0?\d*d|#+")
    if not number.search(path.name) or not path.parent.is_dir():
        return []
    name = re.compile(r"\d+".join(re.escape(part) for part in number.split(path.name)))
    return sorted(file for file in path.parent.iterdir() if name.fullmatch(file.name))


# Writing


def save(decisions: DecisionList, path: Path, contracts: Contracts) -> None:
    """Writes a decision list with a comment on every number; whole or not at all.

    Raises:
        SettingsError: a value that its operation does not allow.
        MediaError: the file cannot be written.
    """
    text = "\n".join(_document(decisions, path, contracts)) + "\n"
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            file.write(text)
        # A temporary file is private to its owner; a decision list is as readable as any other document.
        mask = os.umask(0)
        os.umask(mask)
        Path(file.name).chmod(0o666 & ~mask)
        Path(file.name).replace(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from None


def _document(decisions: DecisionList, path: Path, contracts: Contracts) -> Iterator[str]:
    source = decisions.source
    yield from _HEADER.format(clip=source.path.name, file=path.name).splitlines()
    yield ""
    head: list[tuple[str, Any, str]] = [
        ("format", FORMAT, "of this file"),
        ("recipe", decisions.recipe, "that this was made by"),
    ]
    if decisions.chunk is not None:
        head.append(("chunk", decisions.chunk, "frames rendered in one piece"))
    yield from toml.entries(head)
    yield from ("", "[source]")
    yield from _table(SourceRef, source.model_dump(), path.parent, ["source"], allowed=False)
    yield from ("", "[delivery]  # preset, and what is said on top of it")
    yield from _free(decisions.delivery)
    yield from ("", "[versions]  # what this was made with")
    yield from _free(decisions.versions)
    for shot in decisions.shots:
        yield from _shot(shot, source, path.parent, contracts)


def _shot(shot: ShotDecision, source: SourceRef, folder: Path, contracts: Contracts) -> Iterator[str]:
    span = shot.range
    length = f"{len(span)} frame{'s' if len(span) > 1 else ''}, {float(len(span) / source.rate):.2f} s"
    title = f"{source.timecode_at(span.start)} to {source.timecode_at(span.stop)} (exclusive), {length}"
    yield from ("", "", f"# ── Shot {span.name} " + "─" * max(0, 60 - len(span.name)), f"# {title}")
    yield "[[shot]]"
    yield from toml.entries(
        [
            ("name", span.name, ""),
            ("start", span.start, "its first frame, counted from 0"),
            ("stop", span.stop, "the frame after its last"),
            ("transition", span.transition, "how it begins: cut, dissolve or fade"),
        ]
    )
    for operation in shot.operations:
        contract = contract_of(contracts, operation.name, f"shot {span.name}")
        yield from _operation(operation, contract, span.name, folder)


def _operation(operation: OperationDecision, contract: Contract, shot: str, folder: Path) -> Iterator[str]:
    where = f"shot {shot}, {operation.name}"
    params = contract.params_type.of(operation.params, where)
    findings = None
    if contract.findings_type is not None and operation.findings is not None:
        findings = contract.findings_type.of(operation.findings, where)
    mark = operation.analyzed or OperationDecision.made(operation.name, params, findings).analyzed
    yield from ("", f"# {_one_line(contract.summary)}".rstrip(), "[[shot.operation]]")
    yield from toml.entries(
        [
            ("name", operation.name, ""),
            ("enabled", operation.enabled, ""),
            ("locked", operation.locked, ""),
            ("analyzed", mark, "tells what was edited since; leave it"),
        ]
    )
    yield from ("", "[shot.operation.params]")
    yield from _table(contract.params_type, params.model_dump(), folder, ["shot", "operation", "params"])
    if findings is not None:
        yield from ("", "[shot.operation.findings]")
        yield from _table(type(findings), findings.model_dump(), folder, ["shot", "operation", "findings"])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _table(
    kind: type[Settings], found: Mapping[str, Any], folder: Path, key: list[str], allowed: bool = True
) -> Iterator[str]:
    """The lines of a table, each value with its help; tables inside it come last, as TOML wants it."""
    plain: dict[str, Any] = _any.dump_python(relative(dict(found), folder), mode="json")
    rows: list[tuple[str, Any, str]] = []
    inside: list[Value] = []
    for value in values(kind):
        written = plain[value.name]
        if isinstance(written, dict):
            inside.append(value)
            continue
        if written is None and (value.default is not None or value.required):
            written = "none"  # TOML has no empty value; read_table knows the word
        rows.append((value.name, written, _comment(value, folder) if allowed else value.help))
    yield from toml.entries(rows)
    for value in inside:
        if plain[value.name]:
            yield from (
                "",
                f"[{'.'.join([*key, value.name])}]" + (f"  # {_one_line(value.help)}" if value.help else ""),
            )
            inner = _inner(value.type)
            if inner is not None:
                yield from _table(inner, found[value.name], folder, [*key, value.name], allowed)
            else:
                yield from _free(plain[value.name])


def _free(written: Mapping[str, Any]) -> Iterator[str]:
    """A table without a settings class: names to values."""
    yield from toml.entries((name, value, "") for name, value in written.items() if value is not None)


_any: TypeAdapter[Any] = TypeAdapter(Any)


def _inner(annotation: Any) -> type[Settings] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Settings) else None


def _comment(value: Value, folder: Path) -> str:
    """Help, allowed range and default of a value in a few words."""
    parts = [_one_line(value.help).rstrip(".")] if value.help else []
    allowed = value.allowed.replace("values separated by commas", "values").removeprefix("values")
    if allowed and allowed not in ("text", "path", "true or false"):
        parts.append(allowed.strip())
    if not value.required and value.default is not None and not isinstance(value.default, Mapping | Settings):
        default = _any.dump_python(relative(value.default, folder), mode="json")
        text = ", ".join(str(part) for part in default) if isinstance(default, list) else _show(default)
        if len(text) <= 40 and text:
            parts.append(f"default {text}")
    return "; ".join(parts)


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


# Reading


def load(path: Path, contracts: Contracts) -> DecisionList:
    """Reads a decision list.

    Args:
        path: the file; relative paths in it are taken from its folder.
        contracts: the operations there are.

    Raises:
        SettingsError: a key or value is wrong; the message says file, line, what was found and what is allowed.
    """
    document = toml.read(path)
    given = document.values
    document.only(given, [*_Top.model_fields, "source", "shot"])
    document.scalars(given, "delivery")
    document.scalars(given, "versions")
    top = document.table(_Top, {name: given[name] for name in _Top.model_fields if name in given})
    if "source" not in given:
        raise SettingsError(f"{path}: has no [source], so it is no decision list; `answerprint analyze` makes one")
    source = document.table(SourceRef, document.mapping(given, "source"), "source")
    source = source.model_copy(update={"path": absolute(source.path, path.parent)})
    shots = tuple(
        _read_shot(document, number, table, contracts) for number, table in enumerate(document.array(given, "shot"))
    )
    _check(document, shots, source)
    return DecisionList(source, shots, top.delivery, top.recipe, top.chunk, top.versions)


def _read_shot(document: toml.Document, number: int, table: dict[str, Any], contracts: Contracts) -> ShotDecision:
    key = ("shot", number)
    document.only(table, [*_ShotHead.model_fields, "operation"], *key)
    head = document.table(_ShotHead, {name: table[name] for name in table if name != "operation"}, *key)
    if head.stop <= head.start:
        raise SettingsError(
            f"{document.where(*key, 'stop')}: 'stop' is {head.stop}; allowed: a frame number above start, {head.start}"
        )
    operations = tuple(
        _read_operation(document, (*key, "operation", place), entry, contracts)
        for place, entry in enumerate(document.array(table, "operation", *key))
    )
    return ShotDecision(ShotRange(head.name, head.start, head.stop, head.transition), operations)


def _read_operation(
    document: toml.Document, key: toml.Key, table: dict[str, Any], contracts: Contracts
) -> OperationDecision:
    document.only(table, [*_OperationHead.model_fields, "params", "findings"], *key)
    head = document.table(
        _OperationHead, {name: table[name] for name in table if name not in ("params", "findings")}, *key
    )
    contract = contract_of(contracts, head.name, document.where(*key, "name"))
    params = read_table(document, contract.params_type, document.mapping(table, "params", *key), (*key, "params"))
    findings = None
    if "findings" in table:
        if contract.findings_type is None:
            raise SettingsError(f"{document.where(*key, 'findings')}: '{head.name}' has no findings; delete this table")
        findings = read_table(
            document, contract.findings_type, document.mapping(table, "findings", *key), (*key, "findings")
        )
    return OperationDecision(head.name, head.enabled, head.locked, params, findings, head.analyzed)


def read_table(
    document: toml.Document, kind: type[Settings], given: Mapping[str, Any], key: toml.Key
) -> dict[str, Any]:
    """Every value of a table of settings as the file has it; defaults filled in, paths made absolute.

    Raises:
        SettingsError: a wrong key or value, with file and line.
    """
    meant = dict(given)
    for value in values(kind):
        # TOML has no empty value: "none" takes a default away from a value that may be empty.
        if (
            meant.get(value.name) == "none"
            and (value.default is not None or value.required)
            and _may_be_none(kind, value.name)
        ):
            meant[value.name] = None
    found: dict[str, Any] = absolute(document.table(kind, meant, *key).model_dump(), document.path.parent)
    return found


def _may_be_none(kind: type[Settings], name: str) -> bool:
    return type(None) in getattr(kind.model_fields[name].annotation, "__args__", ())


def _check(document: toml.Document, shots: Iterable[ShotDecision], source: SourceRef) -> None:
    """Shots stand in order, once each, inside the clip."""
    names: set[str] = set()
    end, before = 0, ""
    for number, shot in enumerate(shots):
        span = shot.range
        if span.name in names:
            raise SettingsError(f"{document.where('shot', number, 'name')}: there are two shots named '{span.name}'")
        if span.start < end:
            raise SettingsError(
                f"{document.where('shot', number, 'start')}: 'start' is {span.start}; shot {before} before it ends at "
                f"{end}, and shots stand in order and do not overlap"
            )
        if span.stop > source.frames:
            raise SettingsError(
                f"{document.where('shot', number, 'stop')}: 'stop' is {span.stop}; the clip has {source.frames} frames"
            )
        names.add(span.name)
        end, before = span.stop, span.name


# Analyzing again


def merge(old: DecisionList, new: DecisionList) -> tuple[DecisionList, list[str]]:
    """A new analysis with what people decided in the old list kept.

    Locked operations keep their params and findings, and whether an operation is enabled stays. What was edited but not
    locked is replaced, and told.

    Returns:
        the merged list; notes in words on what was kept and what was lost.
    """
    notes: list[str] = []
    shots = []
    for shot in new.shots:
        before = _same_shot(old, shot.range)
        shots.append(_merge_shot(before, shot, notes) if before is not None else shot)
    kept = [_same_shot(old, shot.range) for shot in new.shots]
    for lost in old.shots:
        if lost not in kept and any(operation.locked for operation in lost.operations):
            notes.append(f"shot {lost.range.name} is no longer there; its locked operations are lost")
    return replace(new, shots=tuple(shots)), notes


def _same_shot(old: DecisionList, span: ShotRange) -> ShotDecision | None:
    """The old shot that shares most frames with a new one, and at least half of both."""

    def shared(shot: ShotDecision) -> int:
        return min(shot.range.stop, span.stop) - max(shot.range.start, span.start)

    best = max(old.shots, key=shared, default=None)
    if best is None or 2 * shared(best) < max(len(best.range), len(span)):
        return None
    return best


def _merge_shot(old: ShotDecision, new: ShotDecision, notes: list[str]) -> ShotDecision:
    """One shot's operations, those of the same name paired in order."""
    waiting = list(old.operations)
    merged = []
    for fresh in new.operations:
        before = next((entry for entry in waiting if entry.name == fresh.name), None)
        if before is None:
            merged.append(fresh)
            continue
        waiting.remove(before)
        merged.append(_merge_operation(before, fresh, new.range.name, notes))
    for lost in waiting:
        if lost.locked or lost.edited:
            notes.append(f"shot {new.range.name}: {lost.name} is not in the recipe any more; its decisions are lost")
    return replace(new, operations=tuple(merged))


def _merge_operation(old: OperationDecision, new: OperationDecision, shot: str, notes: list[str]) -> OperationDecision:
    if old.locked:
        notes.append(f"shot {shot}: {old.name} is locked and stays as it is")
        return old
    if old.edited:
        notes.append(f"shot {shot}: {old.name} was edited by hand and is replaced; lock it to keep it")
    return replace(new, enabled=old.enabled)


# Schema


def schema(contracts: Mapping[str, Contract]) -> dict[str, Any]:
    """JSON schema of a decision list with these operations."""
    definitions: dict[str, Any] = {}
    operations = []
    for name, contract in contracts.items():
        properties = {**_properties(_OperationHead, definitions), "name": {"const": name}}
        properties["params"] = table_schema(contract.params_type, definitions)
        if contract.findings_type is not None:
            properties["findings"] = table_schema(contract.findings_type, definitions)
        operations.append(
            {"type": "object", "title": name, "description": contract.summary, "properties": properties}
            | {"required": ["name"], "additionalProperties": False}
        )
    shot = table_schema(_ShotHead, definitions)
    shot["properties"]["operation"] = {"type": "array", "items": {"oneOf": operations} if operations else False}
    top = table_schema(_Top, definitions)
    top["properties"] |= {
        "source": table_schema(SourceRef, definitions),
        "shot": {"type": "array", "items": shot},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "title": "Answerprint decision list",
        "required": ["source"],
        "$defs": definitions,
    }


def table_schema(kind: type[Settings], definitions: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of one table; what it refers to is added to `definitions`."""
    made = kind.model_json_schema()
    definitions.update(made.pop("$defs", {}))
    made.pop("description", None)
    return made


def _properties(kind: type[Settings], definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = table_schema(kind, definitions)["properties"]
    return properties
