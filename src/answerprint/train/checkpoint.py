"""The state of a training run on disk: checkpoints, the clips it was trained on, and its finished weights."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from answerprint import disk
from answerprint.errors import WeightsError
from answerprint.inference import weights
from answerprint.train.grow import widen
from answerprint.train.params import Training
from answerprint.train.recipe import Networks, Recipe, recipe_name, shipped_network

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
CLIPS = "seen.json"  # keys of the clips that a run was trained on or chosen by


@dataclass
class TrainingState:
    """All that a checkpoint holds.

    Attributes:
        nets: the networks in training.
        averaged: moving averages of their weights.
        optimizers: one for each network.
        step: steps done.
        best: best score of a validation, -inf before the first.
        without_progress: validations since the best one.
        seconds: time spent in steps, over all calls.
    """

    nets: Networks
    averaged: Networks
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0
    best: float = -math.inf
    without_progress: int = 0
    seconds: float = 0.0


def start(
    recipe: Recipe, params: Training, run: Path, device: torch.device, say: Callable[[str], None]
) -> TrainingState:
    """The state of a new run, or of the checkpoint in `run`; `say` takes a line on which."""
    torch.manual_seed(params.seed)
    nets = {
        name: net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, net in recipe.networks(params).items()
    }
    averaged = {name: copy.deepcopy(net).requires_grad_(False).eval() for name, net in nets.items()}
    state = TrainingState(nets, averaged, {name: _optimizer(net, params) for name, net in nets.items()})
    if (run / CHECKPOINT).exists():
        restore(state, run / CHECKPOINT, recipe)
        say(f"resumes at step {state.step}")
    elif params.init_from is not None:
        say(_adopt(state, params.init_from, recipe, grow=params.grow))
    return state


def _optimizer(net: nn.Module, params: Training) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if params.optimizer == "adamw" else torch.optim.Adam
    return kind(net.parameters(), lr=params.rate, betas=params.betas, weight_decay=params.weight_decay)


def save(state: TrainingState, path: Path, recipe: Recipe, params: Training) -> None:
    """Writes a checkpoint: tensors and JSON in one safetensors file with its SHA-256."""
    tensors = {f"net/{key}": value for key, value in flatten(state.nets).items()}
    tensors |= {f"average/{key}": value for key, value in flatten(state.averaged).items()}
    for name, optimizer in state.optimizers.items():
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{key}": value for key, value in entry.items()}
    facts = {
        "recipe": recipe_name(recipe),
        "params": params.model_dump(mode="json"),
        "step": state.step,
        "best": None if math.isinf(state.best) else state.best,
        "without_progress": state.without_progress,
        "seconds": state.seconds,
    }
    weights.write(path, tensors, facts)


def restore(state: TrainingState, path: Path, recipe: Recipe) -> None:
    """Fills a state from a checkpoint.

    Raises:
        WeightsError: it is damaged, of another recipe or of other dimensions.
    """
    tensors, facts = weights.read(path)
    if facts.get("recipe") != recipe_name(recipe):
        raise WeightsError(f"{path}: a checkpoint of recipe '{facts.get('recipe')}', not of '{recipe_name(recipe)}'")
    for prefix, nets in (("net", state.nets), ("average", state.averaged)):
        for name, net in nets.items():
            try:
                net.load_state_dict(with_prefix(tensors, f"{prefix}/{name}/"))
            except RuntimeError:
                raise WeightsError(f"{path}: its '{name}' has other dimensions; give this run its own folder") from None
    for name, optimizer in state.optimizers.items():
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in with_prefix(tensors, f"optimizer/{name}/").items():
            index, _, entry = key.partition("/")
            entries.setdefault(int(index), {})[entry] = value
        optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
    state.step, state.seconds = facts["step"], facts["seconds"]
    state.best = -math.inf if facts["best"] is None else facts["best"]
    state.without_progress = facts["without_progress"]


def _adopt(state: TrainingState, path: Path, recipe: Recipe, *, grow: bool) -> str:
    """Starts from the averaged weights of another run, or from finished ones; returns how many tensors fit, in words.

    Raises:
        WeightsError: the file cannot be trusted, or nothing in it fits.
    """
    tensors, facts = weights.read(path)
    if weights.finished(facts):
        name, _, part = shipped_network(recipe, state.nets).partition(".")
        prefix = f"average/{name}/{part}." if part else f"average/{name}/"
        tensors = {prefix + key: value for key, value in tensors.items()}
    count = 0
    for nets in (state.nets, state.averaged):
        for name, net in nets.items():
            source, own = with_prefix(tensors, f"average/{name}/"), net.state_dict()
            if grow:
                source = {key: widen(value, own[key]) for key, value in source.items() if key in own}
            fitting = {key: value for key, value in source.items() if key in own and own[key].shape == value.shape}
            net.load_state_dict(fitting, strict=False)
            count += len(fitting)
    if not count:
        raise WeightsError(f"{path}: nothing in it fits recipe '{recipe_name(recipe)}' at these dimensions")
    return f"starts from {count // 2} tensors of {path}"


def export(recipe: Recipe, run: Path, path: Path, card: weights.Card) -> None:
    """Writes the averaged weights of a run as finished weights with their card; `recipe.SHIPS` names the network.

    Raises:
        WeightsError: the run's best weights are missing, damaged or of another recipe.
    """
    _, facts = weights.read(run / CHECKPOINT)
    if facts.get("recipe") != recipe_name(recipe):
        raise WeightsError(f"{run}: a run of recipe '{facts.get('recipe')}', not of '{recipe_name(recipe)}'")
    source = run / BEST if (run / BEST).exists() else run / CHECKPOINT
    tensors, source_facts = weights.read(source)
    params = _params(recipe, facts)
    networks = recipe.networks(params)
    name, _, part = shipped_network(recipe, networks).partition(".")
    whole = networks[name]
    whole.load_state_dict(with_prefix(tensors, f"average/{name}/"))
    network: Any = whole.get_submodule(part)
    trained = f"answerprint train {recipe_name(recipe)}, {source_facts['step']} steps"
    card = card.model_copy(update={"trained": trained, "name": weights_name(recipe, run)})
    weights.save(path, network, network.config, card)


def weights_name(recipe: Recipe, run: Path) -> str:
    """Name of the weights that a run of a recipe makes: the recipe's, or what the recipe says of its options."""
    name: Callable[[Training], str] | None = getattr(recipe, "weights_name", None)
    if name is None:
        return recipe_name(recipe)
    return name(_params(recipe, weights.read(run / CHECKPOINT)[1]))


def _params(recipe: Recipe, facts: dict[str, Any]) -> Training:
    """The options of a run; those that a newer recipe no longer has shape no network."""
    return recipe.Params.of(
        {name: value for name, value in facts["params"].items() if name in recipe.Params.model_fields}
    )


def describe(run: Path, licence: str, commercial_ok: bool) -> weights.Card:
    """The card of a run's weights from its folder: name of the recipe, clips, sources and licences of data.

    Raises:
        WeightsError: no run, or its checkpoint cannot be trusted.
    """
    if not (run / CHECKPOINT).is_file():
        raise WeightsError(f"{run}: no training run in there ({CHECKPOINT} is missing)")
    _, facts = weights.read(run / CHECKPOINT)
    manifest = run / "manifest.json"
    rows: list[dict[str, str]] = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else []
    data = f"{len(rows)} clips; " + "; ".join(sorted({f"{row['source']} ({row['licence']})" for row in rows}))
    return weights.Card(
        name=facts["recipe"],
        data=data,
        seen=tuple(sorted(read_clips(run))),
        licence=licence,
        commercial_ok=commercial_ok,
    )


def record_clips(run: Path, source: Path | None, keys: set[str]) -> None:
    """Adds the keys of clips to those that the run was trained on before, with those of the weights it started from."""
    clips = keys | read_clips(run)
    if source is not None:
        _, facts = weights.read(source)
        clips |= set(facts["card"].get("seen", ())) if weights.finished(facts) else read_clips(source.parent)
    disk.write(run / CLIPS, json.dumps(sorted(clips), indent=1) + "\n")


def read_clips(run: Path) -> set[str]:
    """Keys of the clips that a run was trained on or chosen by."""
    return set(json.loads((run / CLIPS).read_text(encoding="utf-8"))) if (run / CLIPS).is_file() else set()


def flatten(nets: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """All tensors of some networks, by "NETWORK/TENSOR"."""
    return {f"{name}/{key}": value for name, net in nets.items() for key, value in net.state_dict().items()}


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
