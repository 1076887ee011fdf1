"""What a `Params` or a `Findings` is: a frozen table of values whose name, type, default, range and help stand once.

The command-line flag, the chain key, the JSON schema, the comment in a decision list and the documentation of a value
are all read from its field. Values arrive typed (Python) or as text (command line, file): both go through pydantic, so
`--slope 1,1,1`, `slope = [1, 1, 1]` and `slope=(1, 1, 1)` are the same.

    class Params(Settings):
        radius: int = Field(2, ge=1, le=64, description="Radius of the kernel in pixels.")
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from answerprint.errors import SettingsError
from answerprint.text import is_number, shorten


class Settings(BaseModel):
    """A frozen table of values; unknown keys are refused, defaults are checked too."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, arbitrary_types_allowed=False
    )

    @model_validator(mode="before")
    @classmethod
    def _split_text(cls, data: Any) -> Any:
        """Text for a field that holds several values is split at commas: `1,1,1` (the command line has only text)."""
        if not isinstance(data, Mapping):
            return data
        read = dict(data)
        for name, value in read.items():
            field = cls.model_fields.get(name)
            if field is not None and isinstance(value, str) and _holds_several(field.annotation):
                read[name] = [part.strip() for part in value.split(",")] if value.strip() else []
            elif field is not None and Fraction in _members(field.annotation) and not is_number(str(value)):
                raise ValueError(f"'{name}' is {shorten(value)}; it is no number that can be counted with")
        return read

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Makes the table from `values` (typed or text).

        Args:
            values: one entry per value that differs from its default.
            where: where the values were written, put in front of the message ("chain.toml:12", "--radius").

        Raises:
            SettingsError: one line that says what was found and what is allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise SettingsError(explain(cls, error, where)) from None


@dataclass(frozen=True)
class Value:
    """One value of a table as a person sees it: all that a flag, a form or a comment needs."""

    name: str
    type: Any
    default: Any
    required: bool
    help: str
    allowed: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def values(table: type[Settings]) -> Iterator[Value]:
    """The values of a table in the order they are written."""
    for name, field in table.model_fields.items():
        required = field.is_required()
        yield Value(
            name=name,
            type=field.annotation,
            default=None if required else field.get_default(call_default_factory=True),
            required=required,
            help=field.description or "",
            allowed=_allowed(field.annotation, field.metadata),
        )


def explain(table: type[Settings], error: ValidationError, where: str = "") -> str:
    """One line for the first thing that is wrong: key, what was found, what is allowed."""
    first = error.errors(include_url=False)[0]
    # Of a union pydantic names the type that it tried, which is no part of the file.
    path = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
    name = str(first["loc"][0]) if first["loc"] else ""
    prefix = f"{where}: " if where else ""
    field = table.model_fields.get(name)
    if first["type"] == "extra_forbidden":
        keys = ", ".join(table.model_fields) or "none"
        return f"{prefix}unknown key '{path}'; allowed keys: {keys}"
    if field is None:
        return f"{prefix}{first['msg'].removeprefix('Value error, ')}"
    if first["type"] == "missing":
        return f"{prefix}'{path}' is needed: {field.description or _allowed(field.annotation, field.metadata)}"
    allowed = _allowed(field.annotation, field.metadata)
    reason = first["msg"].removeprefix("Value error, ") if first["type"] == "value_error" else f"allowed: {allowed}"
    return f"{prefix}'{path}' is {shorten(first['input'])}; {reason}"


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union (without None), or the type itself."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = (part for part in typing.get_args(annotation) if part is not type(None))
        return tuple(member for part in parts for member in _members(part))
    return (annotation,)


def _holds_several(annotation: Any) -> bool:
    return any(typing.get_origin(part) in (tuple, list) for part in _members(annotation))


def _allowed(annotation: Any, metadata: list[Any]) -> str:
    """What a value may be, in words: 'one of a, b', 'a number from 0 to 1', '3 numbers separated by commas'."""
    words = []
    for part in _members(annotation):
        origin, arguments = typing.get_origin(part), typing.get_args(part)
        if origin is typing.Literal:
            words.append("one of " + ", ".join(str(choice) for choice in arguments))
        elif origin is tuple and arguments and arguments[-1] is not Ellipsis:
            words.append(f"{len(arguments)} values separated by commas")
        elif origin in (tuple, list):
            words.append("values separated by commas")
        else:
            plain = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
            words.append(plain.get(part, getattr(part, "__name__", str(part)).lower()))
    text = " or ".join(words)
    bounds = {key: getattr(rule, key) for rule in metadata for key in ("ge", "gt", "le", "lt") if hasattr(rule, key)}
    low = f"from {bounds['ge']:g}" if "ge" in bounds else f"above {bounds['gt']:g}" if "gt" in bounds else ""
    high = f"to {bounds['le']:g}" if "le" in bounds else f"below {bounds['lt']:g}" if "lt" in bounds else ""
    return " ".join(part for part in (text, low, high) if part)
