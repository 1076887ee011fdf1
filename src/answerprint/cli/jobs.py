"""Commands that look at footage, decide, render and hand over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from answerprint import excerpt, operations
from answerprint.cli.options import (
    ChainFile,
    Command,
    Input,
    Json,
    Output,
    command,
    drop_none,
    job_options,
    of_job,
    of_table,
    positional,
    required,
)
from answerprint.cli.screen import say
from answerprint.errors import MediaError, ShotError
from answerprint.text import visible

if TYPE_CHECKING:  # all of this waits for torch
    from answerprint.media.reader import Clip
    from answerprint.render.job import JobResult, JobSpec
    from answerprint.render.progress import Watcher
    from answerprint.shots.decisions.model import DecisionList

ListFile = Annotated[Path, Parameter(help="The decision list that `analyze` wrote.")]
EXPORT = "Export the color of every shot to other tools: LUTs, CDLs, EDL, timeline, JSON; with no form named, all."


def operation(name: str) -> Command:
    """The command of an operation, its options read from the operation's `Params`."""
    own = of_table(operations.table(name))

    def run(input: str, output: Path, **options: Any) -> None:
        params = drop_none({option.name: options.pop(option.name, None) for option in own})
        _run_operation(input, output, (name, params), options)

    return command(
        run, [positional("input", Input), required("output", Output), *own, *of_job()], operations.docstring(name)
    )


def _run_operation(input: str, output: Path, step: tuple[str, dict[str, Any]], options: dict[str, Any]) -> None:
    """Analyzes and renders with one operation."""
    _refuse_missing(input)
    from answerprint.render import decide, paths
    from answerprint.render.job import JobSpec
    from answerprint.render.progress import open_watcher
    from answerprint.render.source import open_clip

    spec = JobSpec(output=output, options=job_options(options), keep_chunks=False, report=bool(options.get("report")))
    with open_watcher(bool(options.get("json"))) as watcher:
        clip = open_clip(input, spec.options.overrides)
        decisions = decide.analyze(clip, [step], spec.options, watcher, output=output)
        if any(decision.findings for shot in decisions.shots for decision in shot.operations):
            decide.save(decisions, paths.decisions_path(output), watcher)
        result = _render(decisions, spec, watcher, clip)
    _print_result(result, bool(options.get("json")))


def _refuse_missing(input: str) -> None:
    """Tells of a file that is not there before torch is imported, which takes seconds."""
    if not any(mark in input for mark in "%#") and not Path(input).exists():
        raise MediaError(f"{input}: no such file")


def info(input: Input, /, *, json_: Json = False) -> None:
    """Show format, color, timing, timecode and sound of a clip, and what had to be assumed."""
    _refuse_missing(input)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from answerprint.media import info as describe
    from answerprint.media import reader

    clip = reader.open(input)
    if json_:
        print(json.dumps(describe.to_json(clip.info), indent=2))
        return
    table = Table(show_header=False, box=None)
    for label, value in describe.table(clip.info):
        table.add_row(*(Text(visible(part)) for part in (label, value)))  # a Text's brackets are no markup
    Console().print(table)


def shots(
    input: Input,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Shot list: .otio, .edl or .csv.")] = None,
    json_: Json = False,
) -> None:
    """Detect shots: hard cuts, dissolves and fades."""
    _refuse_missing(input)
    from answerprint.media import reader
    from answerprint.shots import boundary, timeline

    clip = reader.open(input)
    ranges = boundary.detect(clip)
    if output is not None:
        timeline.write(ranges, clip, output)
    if json_:
        print(
            json.dumps([{"name": s.name, "start": s.start, "stop": s.stop, "transition": s.transition} for s in ranges])
        )
        return
    for shot in ranges:
        say(f"{shot.name}  frames {shot.start} to {shot.stop - 1}  ({len(shot)})  {shot.transition}")
    if output is not None:
        say(f"written: {output}")


def analyze(
    input: Input,
    /,
    *,
    chain: ChainFile,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Decision list to write.")] = None,
    **options: Any,
) -> None:
    """Analyze a clip and write its decision list: what each operation found in each shot, to read and to edit."""
    _refuse_missing(input)
    from answerprint.render import decide, paths
    from answerprint.render.progress import open_watcher
    from answerprint.render.source import open_clip

    list_file, job = output or Path(f"{paths.plain_stem(Path(input))}.decisions.toml"), job_options(options)
    with open_watcher(bool(options.get("json"))) as watcher:
        clip = open_clip(input, job.overrides)
        before = decide.load_earlier(list_file, clip)
        decisions = decide.analyze(clip, decide.load_chain(chain), job, watcher, before=before)
        decide.save(decisions, list_file, watcher)
    say(f"decision list: {list_file} ({len(decisions.shots)} shots)")


def render(decisions: ListFile, /, *, output: Output, **options: Any) -> None:
    """Render a decision list; only what changed since the last render is rendered again."""
    from answerprint.render import decide
    from answerprint.render.job import JobSpec
    from answerprint.render.progress import open_watcher

    spec = JobSpec(
        output=output,
        options=job_options(options),
        decisions=decisions,
        report=options.get("report") is not False,
    )
    with open_watcher(bool(options.get("json"))) as watcher:
        result = _render(decide.load(decisions), spec, watcher)
    _print_result(result, bool(options.get("json")))


def run(input: Input, /, *, chain: ChainFile, output: Output, **options: Any) -> None:
    """Analyze a clip and render it: decision list, master and report."""
    _refuse_missing(input)
    from answerprint.render import decide, paths
    from answerprint.render.job import JobSpec
    from answerprint.render.progress import open_watcher
    from answerprint.render.source import open_clip

    list_file = paths.decisions_path(output)
    spec = JobSpec(
        output=output,
        options=job_options(options),
        decisions=list_file,
        report=options.get("report") is not False,
    )
    with open_watcher(bool(options.get("json"))) as watcher:
        clip = open_clip(input, spec.options.overrides)
        before = decide.load_earlier(list_file, clip)
        decisions = decide.analyze(clip, decide.load_chain(chain), spec.options, watcher, before=before, output=output)
        decide.save(decisions, list_file, watcher)
        result = _render(decisions, spec, watcher, clip)
    _print_result(result, bool(options.get("json")))


def _render(decisions: DecisionList, spec: JobSpec, watcher: Watcher, clip: Clip | None = None) -> JobResult:
    """Renders, and writes the report where the job is told to."""
    from answerprint.render import job, summary

    result = job.render(decisions, spec, watcher, clip)
    if spec.report:
        summary.write(decisions, result)
    return result


def _print_result(result: JobResult, as_json: bool) -> None:
    say(json.dumps(result.to_json()) if as_json else result.text())


def resume(
    output: Annotated[Path, Parameter(help="The output whose job was stopped.")],
    /,
    *,
    workers: Annotated[int | None, Parameter(help="Local processes that render chunks.")] = None,
    json_: Json = False,
) -> None:
    """Finish a job that was stopped, killed or ran out of disk space."""
    from answerprint.render import job, summary
    from answerprint.render.progress import open_watcher

    with open_watcher(json_) as watcher:
        decisions, result = job.resume(output, workers, watcher)
        if result.spec.report:
            summary.write(decisions, result)
    _print_result(result, json_)


def export() -> Command:
    """The command that exports color, its options read from `ExportSpec`."""

    def run(decisions: Path, output: Path, **options: Any) -> None:
        from answerprint.render import decide
        from answerprint.render import export as exporting
        from answerprint.render.source import open_clip

        spec = exporting.ExportSpec.of(drop_none(options))
        listing = decide.load(decisions)
        clip = open_clip(listing.source.path, listing.source.overrides)
        result = exporting.export(listing, clip, output, spec, lambda text: say(f"note: {text}"))
        for line in (*result.lines, *(f"written: {file}" for file in result.files)):
            say(line)
        if result.refusal:
            raise ShotError(result.refusal)

    folder = Annotated[Path, Parameter(name=["--output", "-o"], help="Folder to write into.")]
    own = of_table(excerpt.load("answerprint.render.export", "ExportSpec"))
    return command(run, [positional("decisions", ListFile), required("output", folder), *own], EXPORT)


def schema(what: Annotated[Literal["decisions", "chain"], Parameter(help="Which file.")] = "decisions", /) -> None:
    """Print the JSON schema of a decision list or a chain."""
    from answerprint.shots import chain
    from answerprint.shots.decisions import file

    contracts = {name: operations.load(name) for name in operations.names()}
    print(json.dumps(file.schema(contracts) if what == "decisions" else chain.schema(contracts), indent=2))


def presets() -> None:
    """List the delivery presets."""
    from answerprint.media.presets import PRESETS

    for preset in PRESETS.values():
        print(f"{preset.name:16} {' '.join(preset.endings):28} {preset.summary}")


def demo(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="Folder to write into.")] = Path("demo"),
) -> None:
    """Make a demo clip and its answer print, and list the files to open."""
    from answerprint import demo

    demo.run(output)
