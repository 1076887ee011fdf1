"""Commands around trained networks: training, their data, their weights."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from answerprint import excerpt, recipes
from answerprint.cli.options import Command, command, drop_none, of_table, positional, required
from answerprint.cli.screen import say
from answerprint.errors import AnswerprintError
from answerprint.text import visible

RecipeName = Annotated[str, Parameter(help="Name of the recipe.")]
DataFolders = Annotated[
    list[Path],
    Parameter(name="--data", consume_multiple=True, negative="", help="Folders of images or clips, or video files."),
]
RunFolder = Annotated[Path, Parameter(name=["--output", "-o"], help="Folder of the run: checkpoints, log, images.")]
Footage = Annotated[Path, Parameter(help="Clips, image sequences, or folders of them.")]
SetFolder = Annotated[Path, Parameter(name=["--output", "-o"], help="Folder of the set; what is there is completed.")]

DATASET = "Make a training set from footage: shots detected; repeats, fades and blur left out; content balanced."


def train(name: RecipeName, /) -> None:
    """Train a network: `answerprint train RECIPE --help` gives the options of a recipe.

    On several GPUs: torchrun --nproc-per-node 4 -m answerprint train RECIPE ...
    """


def train_recipe(name: str) -> Command:
    """The command that trains a recipe, its options read from the recipe's `Params`."""

    def run(_: str, data: list[Path], output: Path, **options: Any) -> None:
        from answerprint.train import loop

        recipe = recipes.load(name)
        outcome = loop.train(recipe, recipe.Params.of(drop_none(options)), data, output)
        score = f", best score {outcome.best:.3f}" if math.isfinite(outcome.best) else ""
        further = "; the same command continues" if outcome.reason == "stopped" else ""
        say(f"{output}: {outcome.reason} at step {outcome.step}{score}{further}")

    fixed = [positional("name", RecipeName), required("data", DataFolders), required("output", RunFolder)]
    return command(run, [*fixed, *of_table(recipes.table(name))], recipes.docstring(name))


def models(
    *,
    add: Annotated[Path | None, Parameter(help="A run of `answerprint train` whose weights to install.")] = None,
    licence: Annotated[str, Parameter(help="Licence of the weights that are added.")] = "unknown",
    commercial_ok: Annotated[bool, Parameter(help="All their training data allows commercial use.")] = False,
) -> None:
    """List trained weights with licence and figures, those that ship and a user's own; or add those of a run."""
    if add is not None:
        _add_weights(add, licence, commercial_ok)
        return
    from answerprint.inference import weights

    entries, refused = weights.listing()
    for entry in entries:
        card = entry.card
        use = "commercial use ok" if card.commercial_ok else "not for commercial use"
        say(f"{card.name}  {'ships' if entry.ships else entry.path}  {entry.bytes / 1e6:.1f} MB  {card.licence}, {use}")
        say(f"    {card.summary}")
        say(f"    trained: {card.trained}")
        for figure, value in card.figures.items():
            say(f"    {figure}: {value:g}")
    for error in refused:
        print(f"left out: {visible(str(error))}", file=sys.stderr)


def _add_weights(run: Path, licence: str, commercial_ok: bool) -> None:
    from answerprint.inference import weights
    from answerprint.train import checkpoint

    card = checkpoint.describe(run, licence, commercial_ok)
    recipe = recipes.load(card.name)
    path = weights.added() / f"{checkpoint.weights_name(recipe, run)}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.export(recipe, run, path, card)
    say(f"written: {path}")


def dataset() -> App:
    """The command `dataset`, with `septuplets` below it."""
    app = App(name="dataset")
    app.default(_dataset_of("footage"))
    app.command(_dataset_of("septuplets"), name="septuplets")
    return app


def _dataset_of(kind: Literal["footage", "septuplets"]) -> Command:
    """The command that makes a training set of one kind, its options read from the `Params` of that kind."""
    name = f"answerprint.train.{kind}"

    def run(*footage: Path, output: Path, **options: Any) -> None:
        module = importlib.import_module(name)
        params = module.Params.of(drop_none(options))
        if not footage:
            raise AnswerprintError(
                f"dataset: name at least one {'master' if kind == 'septuplets' else 'clip or folder'}"
            )
        module.make(footage, output, params)
        say(f"written: {output / module.MANIFEST}")

    fixed = [positional("footage", Footage, several=True), required("output", SetFolder)]
    return command(run, [*fixed, *of_table(excerpt.load(name))], excerpt.module_docstring(name))
