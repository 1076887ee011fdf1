"""The command line: one command per operation, made from its `Params`, and those that run the way of the data.

Nothing heavy is imported at the top: `answerprint --help` must answer at once, and torch alone takes seconds.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from answerprint import operations, recipes
from answerprint.errors import AnswerprintError

if TYPE_CHECKING:
    from answerprint.media.reader import Clip
    from answerprint.operation import Operation
    from answerprint.render.jobs import Outcome
    from answerprint.render.options import Options
    from answerprint.render.progress import Watcher
    from answerprint.settings import Settings
    from answerprint.shots.decisions import DecisionList

HELP = """Finishes film and television footage.

A clip goes in as it left a camera, a tape or an archive; a master comes out, and every automatic choice is written \
down per shot in a decision list that can be read, changed and rendered again."""

Input = Annotated[str, Parameter(help="File, sequence (shot.%04d.exr, shot.####.dpx) or folder of pictures.")]
Output = Annotated[Path, Parameter(name=["--output", "-o"], help="File or sequence (f.%04d.exr) to write.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON instead of text.")]
RecipeName = Annotated[str, Parameter(help="Name of the recipe.")]
DataFolders = Annotated[
    list[Path],
    Parameter(name="--data", consume_multiple=True, negative="", help="Folders of pictures or clips, or video files."),
]
RunFolder = Annotated[Path, Parameter(name=["--output", "-o"], help="Folder of the run: checkpoints, log, pictures.")]
Footage = Annotated[Path, Parameter(help="Clips, picture sequences, or folders of them.")]
SetFolder = Annotated[Path, Parameter(name=["--output", "-o"], help="Folder of the set; what is there is completed.")]
RecipeFile = Annotated[Path, Parameter(help="The recipe: a TOML file that names the chain and the delivery.")]


def shared_options() -> list[inspect.Parameter]:
    """The options that every command that renders has, as keyword parameters."""
    texts: list[tuple[str, Any, str]] = [
        ("preset", str | None, "Delivery preset, such as prores-hq; `answerprint presets` lists them."),
        ("start", str | None, "First frame to render: a frame number, or a timecode of the source."),
        ("stop", str | None, "The frame after the last to render: a frame number, or a timecode of the source."),
        (
            "shots",
            str | None,
            "Shot list (.edl, .otio, .csv) to use instead of detecting shots, or 'none' for one shot.",
        ),
        ("workers", int | None, "Local processes that render chunks; by default this process alone."),
        ("device", str | None, "cpu, cuda, cuda:1, ...; by default cuda where there is one."),
        ("chunk", int | None, "Frames per chunk: what is lost at most when a job is killed."),
        ("json", bool | None, "Print progress and result as JSON lines."),
        ("report", bool | None, "Write OUTPUT.report.html and .json."),
        (
            "input_matrix",
            str | None,
            "Matrix of the source where its tag is wrong or missing: bt709, smpte170m, bt2020nc.",
        ),
        ("input_range", str | None, "Range of the source where its tag is wrong or missing: limited, full."),
        (
            "input_siting",
            str | None,
            "Chroma siting of the source where its tag is wrong or missing: left, center, topleft.",
        ),
        ("input_rate", str | None, "Frame rate of a picture sequence, or instead of the source's own: 24, 30000/1001."),
        ("input_field_order", str | None, "Field order of the source where its flag is wrong: progressive, tff, bff."),
        ("input_incomplete", str | None, "What to do with a file that is cut off: error, keep (what is there)."),
        ("input_nonfinite", str | None, "What to do with NaN and infinity in float pictures: error, zero."),
    ]
    return [_keyword(name, kind, None, help, group="Job") for name, kind, help in texts]


def _keyword(name: str, kind: Any, default: Any, help: str, group: str = "Parameters") -> inspect.Parameter:
    negative = None if kind in (bool, bool | None) else ""
    described = Parameter(
        help=help, group=group, allow_leading_hyphen=kind not in (bool, bool | None), negative=negative
    )
    annotation = Annotated[kind, described]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _operation_command(operation: Operation) -> Callable[..., None]:
    """The command of an operation, its options read from the operation's `Params`."""
    own = _table_options(operation.params_type)

    def command(input: str, output: Path, **given: Any) -> None:
        said = {option.name: given.pop(option.name, None) for option in own}
        params = {name: text for name, text in said.items() if text is not None}
        _run_chain(input, output, operation.name, params, given)

    positional = inspect.Parameter("input", inspect.Parameter.POSITIONAL_ONLY, annotation=Input)
    output = inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, annotation=Output)
    return _spelled(command, [positional, output, *own, *shared_options()], operation.module.__doc__)


def _train_command(recipe: str) -> Callable[..., None]:
    """The command that trains a recipe, its options read from the recipe's `Params`."""
    module = recipes.load(recipe)
    own = _table_options(module.Params)

    def command(_: str, data: list[Path], output: Path, **given: Any) -> None:
        from answerprint.train import loop

        said = {key: text for key, text in given.items() if text is not None}
        done = loop.train(module, module.Params.of(said), data, output)
        score = f", best score {done.best:.3f}" if math.isfinite(done.best) else ""
        further = "; the same command goes on" if done.reason == "stopped" else ""
        print(f"{output}: {done.reason} at step {done.step}{score}{further}")

    fixed = [
        inspect.Parameter("name", inspect.Parameter.POSITIONAL_ONLY, annotation=RecipeName),
        inspect.Parameter("data", inspect.Parameter.KEYWORD_ONLY, annotation=DataFolders),
        inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, annotation=RunFolder),
    ]
    return _spelled(command, [*fixed, *own], module.__doc__)


def _train(name: RecipeName, /) -> None:
    """Train a network: `answerprint train RECIPE --help` gives the options of a recipe.

    On several GPUs: torchrun --nproc-per-node 4 -m answerprint train RECIPE ...
    """


def _models(
    *,
    add: Annotated[
        Path | None, Parameter(help="A run of `answerprint train` whose weights to put beside these.")
    ] = None,
    licence: Annotated[str, Parameter(help="Licence of the weights that are added.")] = "unknown",
    commercial_ok: Annotated[bool, Parameter(help="All their training data allows commercial use.")] = False,
) -> None:
    """List the trained weights, those that ship and a user's own, with licence and figures; or add those of a run."""
    from answerprint.inference import weights

    if add is not None:
        from answerprint.train import checkpoint

        card = checkpoint.describe(add, licence, commercial_ok)
        path = weights.added() / f"{card.name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.export(recipes.load(card.name), add, path, card)
        print(f"written: {path}")
        return
    entries, refused = weights.listing()
    for entry in entries:
        card = entry.card
        use = "commercial use ok" if card.commercial_ok else "not for commercial use"
        print(
            f"{card.name}  {'ships' if entry.ships else entry.path}  {entry.bytes / 1e6:.1f} MB  {card.licence}, {use}"
        )
        print(f"    {card.summary}")
        print(f"    trained: {card.trained}")
        for figure, value in card.figures.items():
            print(f"    {figure}: {value:g}")
    for error in refused:
        print(f"left out: {error}", file=sys.stderr)


def _learn_command() -> Callable[..., None]:
    """The command that learns a look from pairs, its options read from the `Params` there."""
    from answerprint.looks import deliver, learn

    def command(ungraded: list[Path], graded: list[Path], output: Path, **given: Any) -> None:
        params = learn.Params.of({key: text for key, text in given.items() if text is not None})
        deliver.check(output)
        learned = learn.learn(ungraded, graded, params, lambda line: print(line, flush=True))
        files, lines = deliver.write(learned, output, params)
        for line in (*lines, *(f"written: {file}" for file in files)):
            print(line)
        print(
            f"on other shots: answerprint look SHOT --learned {files[2]} -o OUT, or grade SHOT --lut {files[0]} -o OUT"
        )

    sides = [
        _required("ungraded", list[Path], "Footage before: clips, sequences, stills or folders of stills."),
        _required("graded", list[Path], "The same as it was graded, in the same order."),
    ]
    output = inspect.Parameter(
        "output",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[Path, Parameter(name=["--output", "-o"], help="The .cube; .cdl, .json, .html beside it.")],
    )
    return _spelled(command, [*sides, output, *_table_options(learn.Params)], learn.__doc__)


def _required(name: str, kind: Any, help: str) -> inspect.Parameter:
    described = Parameter(help=help, consume_multiple=True, negative="")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, described])


def _learn_look() -> None:
    """Learn what a colorist did from pairs of ungraded and graded footage: CDL, curves and a LUT for other shots."""


def _dataset_command(kind: Literal["footage", "septuplets"]) -> Callable[..., None]:
    """The command that makes a training set of one kind, its options read from the `Params` of that kind."""
    module = importlib.import_module(f"answerprint.train.{kind}")

    def command(*footage: Path, output: Path, **given: Any) -> None:
        params = module.Params.of({key: text for key, text in given.items() if text is not None})
        if not footage:
            raise AnswerprintError(
                f"dataset: name at least one {'master' if kind == 'septuplets' else 'clip or folder'}"
            )
        module.make(footage, output, params)
        print(f"written: {output / module.MANIFEST}")

    positional = inspect.Parameter("footage", inspect.Parameter.VAR_POSITIONAL, annotation=Footage)
    output = inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, annotation=SetFolder)
    return _spelled(command, [positional, output, *_table_options(module.Params)], module.__doc__)


def _dataset() -> None:
    """Make a training set from footage: shots found, what repeats, fades or blurs left out, content balanced."""


def _table_options(table: type[Settings]) -> list[inspect.Parameter]:
    """One option per value of a table, with its help, what is allowed and its default."""
    from answerprint.settings import values

    options = []
    for value in values(table):
        shown = "needed" if value.required else f"default: {_as_text(value.default)}"
        kind = bool | None if value.type is bool else str | None
        options.append(_keyword(value.name, kind, None, f"{value.help} [{value.allowed}; {shown}]"))
    return options


def _spelled(command: Callable[..., None], options: list[inspect.Parameter], text: str | None) -> Callable[..., None]:
    """A command that says its options one by one."""

    def spelled(*positional: Any, **given: Any) -> None:
        command(*positional, **given)

    spelled.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    spelled.__annotations__ = {option.name: option.annotation for option in options}
    spelled.__doc__ = _flowing(text or "")
    return spelled


def _flowing(text: str) -> str:
    """Paragraphs without the line breaks of the source; indented blocks and lists keep theirs."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    kept = [p if any(line[:1] in " -|" for line in p.splitlines()) else " ".join(p.split()) for p in paragraphs]
    return "\n\n".join(kept)


def _as_text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        return ",".join(_as_text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _options(given: dict[str, Any]) -> Options:
    """What was said of the job; `json` and `report` are for the screen."""
    from answerprint.render.options import Options

    return Options.of(
        {name: value for name, value in given.items() if name not in ("json", "report") and value is not None}
    )


def _run_chain(input: str, output: Path, name: str, params: dict[str, Any], given: dict[str, Any]) -> None:
    """Analyzes and renders with one operation, said on the command line."""
    from answerprint.render import decide, jobs, summary
    from answerprint.render.options import open_source
    from answerprint.render.progress import shown

    options, as_json = _options(given), bool(given.get("json"))
    with shown(as_json) as watcher:
        clip = open_source(input, options.overrides)
        decisions = decide.analyze(clip, [(name, params)], options, watcher, output=output)
        if any(decision.findings for shot in decisions.shots for decision in shot.operations):
            decide.save(decisions, jobs.decisions_path(output), watcher)
        outcome = jobs.render(
            decisions, output, options, watcher, clip=clip, keep_chunks=False, wants_report=bool(given.get("report"))
        )
        if given.get("report"):
            summary.write(decisions, outcome)
    _print_outcome(outcome, as_json)


def _print_outcome(outcome: Outcome, as_json: bool) -> None:
    print(json.dumps(outcome.to_json()) if as_json else outcome.text())


def _info(
    input: Input,
    /,
    *,
    json_: Json = False,
) -> None:
    """Tell what a clip is: format, color, timing, timecode, sound, and what had to be assumed."""
    from rich.console import Console
    from rich.table import Table

    from answerprint.media import info, reader

    clip = reader.open(input)
    if json_:
        print(json.dumps(info.to_json(clip.info), indent=2))
        return
    table = Table(show_header=False, box=None)
    for label, value in info.table(clip.info):
        table.add_row(label, value)
    Console().print(table)


def _shots(
    input: Input,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Shot list: .otio, .edl or .csv.")] = None,
    json_: Json = False,
) -> None:
    """Find the shots: hard cuts, dissolves and fades."""
    from answerprint.media import reader
    from answerprint.shots import boundary, timeline

    clip = reader.open(input)
    found = boundary.detect(clip)
    if output is not None:
        timeline.write(found, clip, output)
    if json_:
        print(
            json.dumps([{"name": s.name, "start": s.start, "stop": s.stop, "transition": s.transition} for s in found])
        )
        return
    for shot in found:
        print(f"{shot.name}  frames {shot.start} to {shot.stop - 1}  ({len(shot)})  {shot.transition}")
    if output is not None:
        print(f"written: {output}")


def _analyze(
    input: Input,
    /,
    *,
    recipe: RecipeFile,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Decision list to write.")] = None,
    **given: Any,
) -> None:
    """Look at a clip and write the decision list: what each operation found in each shot, to read and to change."""
    from answerprint.render import decide, jobs
    from answerprint.render.progress import shown

    written = output or Path(f"{jobs.plain_stem(Path(input))}.decisions.toml")
    with shown(bool(given.get("json"))) as watcher:
        decisions = decide.analyze_recipe(input, recipe, _options(given), watcher, before=written)
        decide.save(decisions, written, watcher)
    print(f"decision list: {written} ({len(decisions.shots)} shots)")


def _render(
    decisions: Annotated[Path, Parameter(help="The decision list that `analyze` wrote.")],
    /,
    *,
    output: Output,
    **given: Any,
) -> None:
    """Render a decision list: it and nothing else decides; what did not change is not rendered again."""
    from answerprint.render import decide
    from answerprint.render.progress import shown

    with shown(bool(given.get("json"))) as watcher:
        _render_list(decide.load(decisions), decisions, output, given, _options(given), watcher)


def _run(input: Input, /, *, recipe: RecipeFile, output: Output, **given: Any) -> None:
    """Analyze a clip and render it: decision list, master and report."""
    from answerprint.render import decide, jobs
    from answerprint.render.options import open_source
    from answerprint.render.progress import shown

    with shown(bool(given.get("json"))) as watcher:
        options, written = _options(given), jobs.decisions_path(output)
        clip = open_source(input, options.overrides)
        decisions = decide.analyze_recipe(clip, recipe, options, watcher, before=written, output=output)
        decide.save(decisions, written, watcher)
        _render_list(decisions, written, output, given, options, watcher, clip)


def _render_list(
    decisions: DecisionList,
    file: Path,
    output: Path,
    given: dict[str, Any],
    options: Options,
    watcher: Watcher,
    clip: Clip | None = None,
) -> None:
    from answerprint.render import jobs, summary

    wants_report = given.get("report") is not False
    outcome = jobs.render(
        decisions, output, options, watcher, clip=clip, decisions_file=file, wants_report=wants_report
    )
    if wants_report:
        summary.write(decisions, outcome)
    _print_outcome(outcome, bool(given.get("json")))


def _resume(
    output: Annotated[Path, Parameter(help="The output whose job was stopped.")],
    /,
    *,
    workers: Annotated[int | None, Parameter(help="Local processes that render chunks.")] = None,
    json_: Json = False,
) -> None:
    """Finish a job that was stopped, killed or ran out of room."""
    from answerprint.render import jobs, summary
    from answerprint.render.progress import shown

    with shown(json_) as watcher:
        decisions, outcome = jobs.resume(output, workers, watcher)
        if outcome.wants_report:
            summary.write(decisions, outcome)
    _print_outcome(outcome, json_)


def _export(
    decisions: Annotated[Path, Parameter(help="The decision list.")],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="Folder to write into.")],
    cube: Annotated[bool, Parameter(negative="", help="LUTs of each shot's color (.cube).")] = False,
    cdl: Annotated[bool, Parameter(negative="", help="Color decision lists (.cdl, .cc, .ccc).")] = False,
    edl: Annotated[bool, Parameter(negative="", help="An EDL with ASC_SOP and ASC_SAT comments.")] = False,
    otio: Annotated[bool, Parameter(negative="", help="A timeline with the grades as effects.")] = False,
    json_: Annotated[bool, Parameter(name="--json", negative="", help="The grades as JSON.")] = False,
    sizes: Annotated[str, Parameter(help="Points per axis of the LUTs, separated by commas.")] = "17,33,65",
    input_space: Annotated[
        str, Parameter(help="OpenColorIO name of the footage's color space, for the comments.")
    ] = "",
    output_space: Annotated[str, Parameter(help="OpenColorIO name of the result's color space.")] = "",
    linear: Annotated[float, Parameter(help="Brightest value of scene-linear footage: puts a shaper first.")] = 0.0,
) -> None:
    """Hand the color of every shot over to other tools; with no form named, in all of them."""
    from answerprint.render import decide, export, options

    everything = not (cube or cdl or edl or otio or json_)
    forms = {"cube": cube, "cdl": cdl, "edl": edl, "otio": otio, "json": json_}
    if not all(size.strip().isdecimal() for size in sizes.split(",")):
        raise AnswerprintError(f"--sizes is {sizes!r}; allowed: whole numbers separated by commas, such as 17,33,65")
    wanted = export.Wanted(
        **{form: asked or everything for form, asked in forms.items()},
        sizes=tuple(int(size) for size in sizes.split(",")),
        input_space=input_space,
        output_space=output_space,
        linear=linear,
    )
    made = decide.load(decisions)
    done = export.export(made, options.open_source(made.source.path, made.source.overrides), output, wanted)
    for line in (*done.lines, *(f"written: {file}" for file in done.files)):
        print(line)


def _schema(
    what: Annotated[Literal["decisions", "recipe"], Parameter(help="Which file.")] = "decisions",
    /,
) -> None:
    """Print the JSON schema of a decision list or a recipe."""
    from answerprint.shots import decisions, recipe

    contracts = {name: operations.load(name) for name in operations.names()}
    made = decisions.schema(contracts) if what == "decisions" else recipe.schema(contracts)
    print(json.dumps(made, indent=2))


def _presets() -> None:
    """List the delivery presets."""
    from answerprint.media.presets import PRESETS

    for preset in PRESETS.values():
        print(f"{preset.name:16} {' '.join(preset.endings):28} {preset.summary}")


def _demo(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="Folder to write into.")] = Path("demo"),
) -> None:
    """Make a demo clip and its answer print, and say what to open."""
    from answerprint import demo

    demo.run(output)


def build(tokens: Sequence[str]) -> App:
    """The command line as it is for these tokens: only the operation that is asked for is imported."""
    from answerprint import __version__

    app = App(name="answerprint", help=HELP, version=__version__, help_format="plaintext")
    job = shared_options()
    commands: list[tuple[str, Callable[..., None], bool]] = [
        ("info", _info, False),
        ("shots", _shots, False),
        ("analyze", _analyze, True),
        ("render", _render, True),
        ("run", _run, True),
        ("resume", _resume, False),
        ("export", _export, False),
        ("schema", _schema, False),
        ("presets", _presets, False),
        ("demo", _demo, False),
        ("models", _models, False),
    ]
    for name, command, renders in commands:
        app.command(_with_options(command, job) if renders else command, name=name, group="The way of the data")
    words = [token for token in tokens if not token.startswith("-")]
    asked = words[0] if words else None
    recipe = words[1] if asked == "train" and len(words) > 1 else None
    # A name that is no recipe is told before its options, which nobody knows.
    app.command(_train_command(recipe) if recipe else _train, name="train", group="The way of the data")
    learns = asked == "learn-look"
    app.command(_learn_command() if learns else _learn_look, name="learn-look", group="The way of the data")
    if asked == "dataset":
        sets = App(name="dataset", group="The way of the data")
        sets.default(_dataset_command("footage"))
        sets.command(_dataset_command("septuplets"), name="septuplets")
        app.command(sets)
    else:
        app.command(_dataset, name="dataset", group="The way of the data")
    for name in operations.names():
        if name == asked:
            app.command(_operation_command(operations.load(name)), name=name, group="Operations")
        else:
            app.command(App(name=name, help=operations.summary(name), group="Operations"))
    return app


def _with_options(command: Callable[..., None], options: list[inspect.Parameter]) -> Callable[..., None]:
    """The same command with the shared options spelled out in place of its `**given`."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {parameter.name for parameter in own}
    return _spelled(command, [*own, *(option for option in options if option.name not in taken)], command.__doc__)


def main(tokens: Sequence[str] | None = None) -> None:
    """Runs a command; what a person did wrong is one line on stderr and exit code 2."""
    tokens = list(sys.argv[1:] if tokens is None else tokens)
    try:
        build(tokens)(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except (AnswerprintError, CycloptsError) as error:
        text = " ".join(str(error).split())
        print(f"answerprint: {text}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("answerprint: stopped; what is done is kept, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); Python would complain once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
