"""Options of a command, made from tables of settings: each value's flag, help, range and default stand once, there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:  # pydantic takes a while to import, and `answerprint --help` must not wait for it
    from answerprint.render.options import Options
    from answerprint.settings import Settings

Command = Callable[..., None]

Input = Annotated[str, Parameter(help="File, sequence (shot.%04d.exr, shot.####.dpx) or folder of images.")]
Output = Annotated[
    Path,
    Parameter(
        name=["--output", "-o"], help="File or sequence to write: f.%04d.exr, or f.1001.exr for its first number."
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON instead of text.")]
ChainFile = Annotated[Path, Parameter(name="--chain", help="TOML file that names operations and delivery.")]


def keyword(name: str, kind: Any, help: str, group: str = "Parameters", default: Any = None) -> inspect.Parameter:
    """An option such as --max-gain."""
    switch = kind in (bool, bool | None)
    described = Parameter(help=help, group=group, allow_leading_hyphen=not switch, negative=None if switch else "")
    annotation = Annotated[kind, described]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def required(name: str, annotation: Any) -> inspect.Parameter:
    """An option that must be given."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def positional(name: str, annotation: Any, *, several: bool = False) -> inspect.Parameter:
    """What is written without a flag."""
    kind = inspect.Parameter.VAR_POSITIONAL if several else inspect.Parameter.POSITIONAL_ONLY
    return inspect.Parameter(name, kind, annotation=annotation)


def of_table(table: type[Settings], group: str = "Parameters") -> list[inspect.Parameter]:
    """One option per value of a table, with its help, what is allowed and its default."""
    from answerprint.settings import values

    options = []
    for value in values(table):
        switch = value.type is bool
        facts = [] if switch else [value.allowed]
        if value.required:
            facts.append("required")
        elif value.default not in (None, "", ()):
            facts.append(f"default: {_text(value.default)}")
        kind = bool | None if switch else str | None
        options.append(keyword(value.name, kind, f"{value.help} [{'; '.join(facts)}]", group))
    return options


def of_job() -> list[inspect.Parameter]:
    """The options of every command that renders: those of a job, and two for the screen."""
    from answerprint.render.options import Options

    return [
        *of_table(Options, "Job"),
        keyword("json", bool | None, "Print progress and result as JSON lines.", "Job"),
        keyword("report", bool | None, "Write OUTPUT.report.html and .json.", "Job"),
    ]


def drop_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those options that the user gave."""
    return {name: value for name, value in values.items() if value is not None}


def job_options(values: Mapping[str, Any]) -> Options:
    """The table of job options from those that the user gave."""
    from answerprint.render.options import Options

    return Options.of({name: value for name, value in drop_none(values).items() if name in Options.model_fields})


def command(function: Command, parameters: list[inspect.Parameter], text: str) -> Command:
    """A command with these parameters, which `function` takes as its own.

    Args:
        function: what it does.
        parameters: in the order of the help.
        text: its help.
    """

    def run(*arguments: Any, **options: Any) -> None:
        function(*arguments, **options)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__doc__ = _reflow(text)
    return run


def with_job(function: Command) -> Command:
    """The same command with the job options in place of its `**options`."""
    signature = inspect.signature(function, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return command(function, [*own, *of_job()], function.__doc__ or "")


def _reflow(text: str) -> str:
    """Paragraphs without the line breaks of the source; indented blocks and lists keep theirs."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    lines = [p if any(line[:1] in " -|" for line in p.splitlines()) else " ".join(p.split()) for p in paragraphs]
    return "\n\n".join(lines)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (tuple, list)):
        return ",".join(_text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
