"""A chain: operations in order, with the delivery and the defaults that a clip is analyzed and rendered with.

name = "warm evening"
shots = "detect"                  # or "none", or a shot list: "reel1.edl"
chunk = 48                        # frames rendered in one piece

[delivery]
preset = "prores-hq"

[[operation]]
name = "match"
reference = "stills/evening.jpg"  # from the chain's folder
strength = 0.8
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from answerprint.errors import SettingsError
from answerprint.settings import Settings
from answerprint.shots import tables, toml
from answerprint.shots.contracts import Contract, Contracts, Scalar, absolute, contract_of


@dataclass(frozen=True)
class ChainStep:
    """One operation of the chain.

    Attributes:
        name: of the operation.
        params: every value of its Params; paths absolute.
    """

    name: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Chain:
    """What to do to a clip, before anything is known of it.

    Attributes:
        name: what people call it.
        operations: the chain, in order.
        delivery: preset, and changes to it; empty goes by the ending of the output.
        shots: "detect", "none" (the clip is one shot), or the absolute path of a shot list.
        chunk: frames rendered in one piece; None leaves it to the render.
    """

    name: str
    operations: tuple[ChainStep, ...]
    delivery: Mapping[str, Scalar] = field(default_factory=dict)
    shots: str = "detect"
    chunk: int | None = None


class _ChainTop(Settings):
    name: str = Field("", description="what people call it; by default the file's name")
    shots: str = Field("detect", description="'detect', 'none' (one shot), or a shot list: .edl, .otio, .csv")
    chunk: int | None = Field(None, ge=1, description="frames rendered in one piece")
    delivery: dict[str, Scalar] = Field(default_factory=dict, description="preset, and changes to it")


def load(path: Path, contracts: Contracts) -> Chain:
    """Reads a chain.

    Args:
        path: the file; relative paths in it are taken from its folder.
        contracts: the operations there are.

    Raises:
        SettingsError: a key or value is wrong; the message says file, line, what was found and what is allowed.
    """
    document = toml.read(path)
    values = document.values
    document.only(values, [*_ChainTop.model_fields, "operation"])
    document.scalars(values, "delivery")
    top = document.table(_ChainTop, {name: values[name] for name in values if name != "operation"})
    if "operation" not in values:
        raise SettingsError(f"{path}: names no operation; each is written under its own [[operation]] with its name")
    steps = tuple(
        _step(document, number, table, contracts) for number, table in enumerate(document.array(values, "operation"))
    )
    return Chain(top.name or path.stem, steps, top.delivery, _shots(document, top.shots), top.chunk)


def _step(document: toml.Document, number: int, table: Mapping[str, Any], contracts: Contracts) -> ChainStep:
    key = ("operation", number)
    name = table.get("name")
    if not isinstance(name, str):
        found = "has no name" if name is None else f"'name' is {name!r}"
        raise SettingsError(f'{document.where(*key, "name")}: this [[operation]] {found}; allowed: name = "grade"')
    contract = contract_of(contracts, name, document.where(*key, "name"))
    params = {key: value for key, value in table.items() if key != "name"}
    return ChainStep(name, tables.read(document, contract.params_type, params, key))


def _shots(document: toml.Document, shots: str) -> str:
    if shots in ("detect", "none"):
        return shots
    listing = Path(absolute(Path(shots), document.path.parent))
    if not listing.is_file():
        raise SettingsError(
            f"{document.where('shots')}: 'shots' is {shots!r}, and there is no such file; "
            "allowed: detect, none, or a shot list (.edl, .otio, .csv)"
        )
    return str(listing)


def schema(contracts: Mapping[str, Contract]) -> dict[str, Any]:
    """JSON schema of a chain with these operations."""
    definitions: dict[str, Any] = {}
    operations = []
    for name, contract in contracts.items():
        table = tables.schema(contract.params_type, definitions)
        table["properties"] = {"name": {"const": name}} | table.get("properties", {})
        table["required"] = ["name", *table.get("required", [])]
        operations.append(table | {"title": name, "description": contract.summary})
    top = tables.schema(_ChainTop, definitions)
    top["properties"]["operation"] = {"type": "array", "items": {"oneOf": operations}, "minItems": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "title": "Answerprint chain",
        "required": ["operation"],
        "$defs": definitions,
    }
