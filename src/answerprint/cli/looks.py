"""Commands that learn looks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from answerprint import excerpt
from answerprint.cli.options import Command, command, drop_none, of_table, required
from answerprint.cli.screen import say

LEARN_LOOK = "Learn a look from pairs of ungraded and graded footage: CDL, curves and a LUT for other shots."
_LEARN = "answerprint.looks.learn"


def learn_look() -> Command:
    """The command that learns a look from pairs, its options read from the `Params` there."""

    def run(ungraded: list[Path], graded: list[Path], output: Path, **options: Any) -> None:
        from answerprint.looks import deliver, learn

        params = learn.Params.of(drop_none(options))
        deliver.check(output)
        learned = learn.learn(ungraded, graded, params, say)
        files, lines = deliver.write(learned, output, params)
        for line in (*lines, *(f"written: {file}" for file in files)):
            say(line)
        say(f"on other shots: answerprint look SHOT --learned {files[2]} -o OUT, or grade SHOT --lut {files[0]} -o OUT")

    fixed = [
        required("ungraded", _footage("Footage before: clips, sequences, stills or folders of stills.")),
        required("graded", _footage("The same as it was graded, in the same order.")),
        required(
            "output",
            Annotated[Path, Parameter(name=["--output", "-o"], help="The .cube; .cdl, .json, .html beside it.")],
        ),
    ]
    return command(run, [*fixed, *of_table(excerpt.load(_LEARN))], excerpt.module_docstring(_LEARN))


def _footage(help: str) -> Any:
    return Annotated[list[Path], Parameter(help=help, consume_multiple=True, negative="")]
