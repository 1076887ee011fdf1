"""The file of a decision list, which people read, edit and render again: written, read, and its JSON schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from answerprint import disk
from answerprint.assets import Assets
from answerprint.errors import MediaError, SettingsError
from answerprint.settings import Settings
from answerprint.shots import tables, toml
from answerprint.shots.boundary import ShotRange, Transition
from answerprint.shots.contracts import Contract, Contracts, Scalar, absolute, contract_of
from answerprint.shots.decisions.model import DecisionList, OperationDecision, ShotDecision, SourceRef
from answerprint.text import visible

FORMAT = 1

_HEADER = """\
# What Answerprint will do to {clip}, shot by shot. Edit, then render again:
#
#     answerprint render {file} -o out.mov
#
# Only what a change touches is rendered anew. `params` say what is wanted, `findings` what was measured in the shot;
# both are used exactly as they stand here. A folder of this name that ends in .assets belongs to this file.
#     enabled = false   leaves an operation out of this shot (so does deleting its block)
#     locked = true     keeps its params and findings when the clip is analyzed again
"""


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


class _ListTop(Settings):
    format: int = Field(FORMAT, ge=1, le=FORMAT, description="version of this kind of file")
    chain: str = Field("", description="the chain that the clip was analyzed with")
    chunk: int | None = Field(None, ge=1, description="frames rendered in one piece")
    delivery: dict[str, Scalar] = Field(default_factory=dict, description="preset, and changes to it")
    versions: dict[str, str] = Field(default_factory=dict, description="what this was made with")


# Writing


def save(decisions: DecisionList, path: Path, contracts: Contracts) -> None:
    """Writes a decision list with a comment on every number, whole or not at all, and its assets beside it.

    Raises:
        SettingsError: a value that its operation does not allow, or an asset that is missing.
        MediaError: the file cannot be written.
    """
    text = "\n".join(_document(decisions, path, contracts)) + "\n"
    assets, names = Assets.beside(path), decisions.asset_names()
    decisions.assets.copy_to(assets, names)
    try:
        disk.write(path, text)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from None
    assets.drop_all_but(names)


def _document(decisions: DecisionList, path: Path, contracts: Contracts) -> Iterator[str]:
    source = decisions.source
    yield from _HEADER.format(clip=visible(source.path.name), file=visible(path.name)).splitlines()
    yield ""
    head: list[tuple[str, Any, str]] = [
        ("format", FORMAT, "of this file"),
        ("chain", decisions.chain, "that the clip was analyzed with"),
    ]
    if decisions.chunk is not None:
        head.append(("chunk", decisions.chunk, "frames rendered in one piece"))
    yield from toml.entries(head)
    yield from ("", "[source]")
    yield from tables.lines(SourceRef, source.model_dump(), path.parent, ["source"], allowed=False)
    yield from ("", "[delivery]  # preset, and changes to it")
    yield from tables.free_lines(decisions.delivery)
    yield from ("", "[versions]  # what this was made with")
    yield from tables.free_lines(decisions.versions)
    for shot in decisions.shots:
        yield from _shot(shot, source, path.parent, contracts)


def _shot(shot: ShotDecision, source: SourceRef, folder: Path, contracts: Contracts) -> Iterator[str]:
    span = shot.range
    length = f"{len(span)} frame{'s' if len(span) > 1 else ''}, {float(len(span) / source.rate):.2f} s"
    title = f"{source.timecode_at(span.start)} to {source.timecode_at(span.stop)} (exclusive), {length}"
    yield from ("", "", f"# ── Shot {visible(span.name)} " + "─" * max(0, 60 - len(span.name)), f"# {title}")
    yield "[[shot]]"
    yield from toml.entries(
        [
            ("name", span.name, ""),
            ("start", span.start, "its first frame, counted from 0"),
            ("stop", span.stop, "the frame after its last"),
            ("transition", span.transition, "how it begins: cut, dissolve, fade, wipe or key"),
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
    mark = operation.analyzed or OperationDecision.of(operation.name, params, findings).analyzed
    yield from ("", f"# {tables.one_line(contract.summary)}".rstrip(), "[[shot.operation]]")
    yield from toml.entries(
        [
            ("name", operation.name, ""),
            ("enabled", operation.enabled, ""),
            ("locked", operation.locked, ""),
            ("analyzed", mark, "tells what was edited since; leave it"),
        ]
    )
    yield from ("", "[shot.operation.params]")
    yield from tables.lines(contract.params_type, params.model_dump(), folder, ["shot", "operation", "params"])
    if findings is not None:
        yield from ("", "[shot.operation.findings]")
        yield from tables.lines(type(findings), findings.model_dump(), folder, ["shot", "operation", "findings"])


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
    values = document.values
    document.only(values, [*_ListTop.model_fields, "source", "shot"])
    document.scalars(values, "delivery")
    document.scalars(values, "versions")
    top = document.table(_ListTop, {name: values[name] for name in _ListTop.model_fields if name in values})
    if "source" not in values:
        raise SettingsError(f"{path}: has no [source], so it is no decision list; `answerprint analyze` makes one")
    source = document.table(SourceRef, document.mapping(values, "source"), "source")
    source = source.model_copy(update={"path": absolute(source.path, path.parent)})
    shots = tuple(
        _read_shot(document, number, table, contracts) for number, table in enumerate(document.array(values, "shot"))
    )
    _check(document, shots, source)
    return DecisionList(source, shots, top.delivery, top.chain, top.chunk, top.versions, Assets.beside(path))


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
    params = tables.read(document, contract.params_type, document.mapping(table, "params", *key), (*key, "params"))
    findings = None
    if "findings" in table:
        if contract.findings_type is None:
            raise SettingsError(f"{document.where(*key, 'findings')}: '{head.name}' has no findings; delete this table")
        findings = tables.read(
            document, contract.findings_type, document.mapping(table, "findings", *key), (*key, "findings")
        )
    return OperationDecision(head.name, head.enabled, head.locked, params, findings, head.analyzed)


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


# Schema


def schema(contracts: Mapping[str, Contract]) -> dict[str, Any]:
    """JSON schema of a decision list with these operations."""
    definitions: dict[str, Any] = {}
    operations = []
    for name, contract in contracts.items():
        properties = {**tables.properties(_OperationHead, definitions), "name": {"const": name}}
        properties["params"] = tables.schema(contract.params_type, definitions)
        if contract.findings_type is not None:
            properties["findings"] = tables.schema(contract.findings_type, definitions)
        operations.append(
            {"type": "object", "title": name, "description": contract.summary, "properties": properties}
            | {"required": ["name"], "additionalProperties": False}
        )
    shot = tables.schema(_ShotHead, definitions)
    shot["properties"]["operation"] = {"type": "array", "items": {"oneOf": operations} if operations else False}
    top = tables.schema(_ListTop, definitions)
    top["properties"] |= {
        "source": tables.schema(SourceRef, definitions),
        "shot": {"type": "array", "items": shot},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "title": "Answerprint decision list",
        "required": ["source"],
        "$defs": definitions,
    }
