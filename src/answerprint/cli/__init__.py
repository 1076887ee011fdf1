"""The command line: one command per operation, made from its `Params`, and those of jobs, looks and training.

Nothing heavy is imported until a command runs: help must answer at once, and torch alone takes seconds. Only the
command that is asked for gets its options.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Group

from answerprint import operations
from answerprint.cli import jobs, looks, training
from answerprint.cli.options import Command, with_job
from answerprint.cli.screen import is_output_broken, leave, prepare
from answerprint.errors import AnswerprintError, Stopped

HELP = """Finishes film and television footage.

A clip goes in as it left a camera, a tape or an archive; a master comes out, and every automatic choice is written \
down per shot in a decision list that can be read, changed and rendered again."""

OPERATIONS, JOBS, LOOKS, TRAINING = (
    Group(name, sort_key=place) for place, name in enumerate(("Operations", "Jobs", "Looks", "Training"))
)
_JOBS: dict[str, Command] = {
    "info": jobs.info,
    "shots": jobs.shots,
    "analyze": jobs.analyze,
    "render": jobs.render,
    "run": jobs.run,
    "resume": jobs.resume,
    "schema": jobs.schema,
    "presets": jobs.presets,
    "demo": jobs.demo,
}
_RENDER = ("analyze", "render", "run")  # they take the job options


def build(tokens: Sequence[str]) -> App:
    """The command line for these tokens: only the command that is asked for has its options."""
    from answerprint import __version__

    app = App(
        name="answerprint", help=HELP, version=__version__, help_format="plaintext", suppress_keyboard_interrupt=False
    )
    words = [token for token in tokens if not token.startswith("-")]
    name = words[0] if words else ""
    for each, function in _JOBS.items():
        app.command(with_job(function) if each == name and each in _RENDER else function, name=each, group=JOBS)
    _add(app, name, "export", jobs.export, jobs.EXPORT, JOBS)
    _add(app, name, "learn-look", looks.learn_look, looks.LEARN_LOOK, LOOKS)
    # A name that is no recipe is told before its options, which nobody knows.
    recipe = words[1] if name == "train" and len(words) > 1 else None
    app.command(training.train_recipe(recipe) if recipe else training.train, name="train", group=TRAINING)
    _add(app, name, "dataset", training.dataset, training.DATASET, TRAINING)
    app.command(training.models, name="models", group=TRAINING)
    for operation in operations.names():
        _add(app, name, operation, lambda: jobs.operation(name), operations.summary(operation), OPERATIONS)
    return app


def _add(app: App, current: str, name: str, make: Callable[[], Command | App], summary: str, group: Group) -> None:
    """Adds a command whole where it is current for, else its name and one line."""
    if current == name:
        command = make()
        if isinstance(command, App):
            command.group = group
            app.command(command)
        else:
            app.command(command, name=name, group=group)
    else:
        app.command(App(name=name, help=summary, group=group))


def main(tokens: Sequence[str] | None = None) -> None:
    """Runs a command; what a person did wrong is one line on stderr and exit code 2."""
    tokens = list(sys.argv[1:] if tokens is None else tokens)
    prepare()
    try:
        build(tokens)(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except AnswerprintError as error:
        leave(str(error), 2)
    except CycloptsError as error:
        leave(f"{error}{_dash_hint(tokens)}", 2)
    except KeyboardInterrupt as stop:
        leave(str(stop) if isinstance(stop, Stopped) else "stopped; no output is left half written", 130)
    except OSError as error:
        if not is_output_broken():
            raise
        if isinstance(error, BrokenPipeError):  # the reader of our output went away (`| head`)
            sys.exit(141)
        leave(f"standard output cannot be written: {error.strerror}", 2)


def _dash_hint(tokens: Sequence[str]) -> str:
    """Advice on a file whose name looks like an option; empty where there is none."""
    name = next((token for token in tokens if re.fullmatch(r"-[^-].*\.[A-Za-z]\w*", token)), None)
    return f" The file {name} is written ./{name}" if name else ""
