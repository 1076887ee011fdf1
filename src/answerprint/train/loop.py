"""The one loop that trains every network: a recipe in, checkpoints, a log and pictures out.

Stopping and resuming changes nothing, bit for bit on a CPU.

A recipe is a module with

    class Params(Training): ...                       # every hyper-parameter, on the first screen
    def networks(params) -> dict[str, nn.Module]      # {"generator": ..., "discriminator": ...}
    def batch(params, rng, data) -> dict[str, Tensor] # data: the training clips
    def step(nets, batch, update) -> None             # update("generator", loss): backward, clip, optimizer step, log
    def validate(nets, params, data) -> Validation    # optional; with the averaged weights, on the validation clips

All that is random in step n is drawn from (seed, rank, n), so the number of the step is the whole state of chance.
"""

from __future__ import annotations

import copy
import csv
import json
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol, Self

import cv2
import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from answerprint.errors import TrainingError, WeightsError
from answerprint.nets import weights
from answerprint.settings import Settings
from answerprint.train.data import Library, Splits, load

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
SEEN = "seen.json"

Batch = dict[str, Tensor]
Networks = dict[str, nn.Module]
Update = Callable[[str, Tensor], None]


class Training(Settings):
    """What every training run needs to be told; a recipe's Params add their own and change the defaults."""

    steps: int = Field(10_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    last_rate: float = Field(0.01, ge=0, le=1, description="Learning rate at the end, as a share of the highest.")
    warm_up: int = Field(200, ge=0, description="Steps over which the learning rate rises from 0.")
    optimizer: Literal["adamw", "adam"] = Field("adamw", description="AdamW, or Adam with L2 regularization.")
    betas: tuple[float, float] = Field((0.9, 0.99), description="Momenta of the optimizer.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Weight decay (AdamW) or L2 regularization (Adam).")
    clip: float = Field(1.0, ge=0, description="Largest norm of a gradient; 0 = as it is.")
    average: float = Field(0.999, ge=0, lt=1, description="Memory of the averaged weights.")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="bf16 where the processor has it, or as told."
    )
    seed: int = Field(1, ge=0, description="Everything random follows from it.")
    loaders: int = Field(1, ge=1, le=64, description="Threads that prepare batches.")
    ratio: tuple[float, float, float] = Field((8, 1, 1), description="Shares of training, validation and test clips.")
    scales: tuple[float, ...] = Field((1.0,), description="Sizes at which each clip is used.")
    exclude: tuple[str, ...] = Field((), description="Patterns of file names to leave out.")
    always: tuple[str, ...] = Field((), description="Patterns of names of clips that train whatever their hash.")
    checkpoint_minutes: float = Field(3.0, gt=0, description="Minutes between checkpoints.")
    log_every: int = Field(50, ge=1, description="Steps between lines of the log.")
    validate_every: int = Field(1000, ge=1, description="Steps between validations.")
    begin_with: Path | None = Field(
        None, description="Checkpoint of another run, or finished weights, to begin with where shapes fit."
    )
    grow: bool = Field(
        False, description="Narrower networks to begin with become the first channels, and answer as they did."
    )
    patience: int = Field(0, ge=0, description="Validations without progress before stopping early; 0 = never.")

    @model_validator(mode="after")
    def _grows_out_of_something(self) -> Self:
        if self.grow and self.begin_with is None:
            raise ValueError("nothing to grow out of; name weights with --begin-with, or leave --grow out")
        return self


@dataclass(frozen=True)
class Validation:
    """What a recipe found on clips that are not trained on.

    Attributes:
        score: higher is better; early stopping and the best weights go by it.
        figures: named numbers for the log.
        rows: pictures for the sheet, each row (N, 3, H, W) in 0..1.
    """

    score: float
    figures: dict[str, float] = field(default_factory=dict)
    rows: Sequence[Tensor] = ()


class Recipe(Protocol):
    """A module of `recipes/`."""

    __name__: str
    Params: type[Training]

    def networks(self, params: Any) -> Networks: ...
    def batch(self, params: Any, rng: np.random.Generator, data: Library) -> Batch: ...
    def step(self, nets: Networks, batch: Batch, update: Update) -> None: ...


@dataclass
class State:
    """All that a checkpoint holds."""

    nets: Networks
    averaged: Networks
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0
    best: float = -math.inf
    without_progress: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended.

    Attributes:
        step: steps done in all.
        reason: "finished", "stopped" (by a signal or `stop_after`), or "early" (no more progress).
        best: best score of a validation, -inf without one.
    """

    step: int
    reason: Literal["finished", "stopped", "early"]
    best: float


def train(
    recipe: Recipe,
    params: Training,
    folders: Sequence[Path],
    run: Path,
    *,
    stop_after: int | None = None,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Trains a recipe into the folder `run`, going on where an earlier call stopped.

    Args:
        recipe: module of `recipes/`.
        params: its Params; those of a resumed run may differ in schedule and batch, not in the networks' dimensions.
        folders: data folders.
        run: holds checkpoint.safetensors, best.safetensors, log.csv, sheet.png, manifest.json, seen.json, params.json.
        stop_after: stop, with a checkpoint, when this many steps are done in all.
        say: where a line for a person goes.

    Raises:
        TrainingError: no usable data; the loss is not a number (the last good checkpoint stays).
        WeightsError: the checkpoint in `run` is damaged or of another recipe.
    """
    with _processes() as place:
        data = load(folders, scales=params.scales, ratio=params.ratio, exclude=params.exclude, always=params.always)
        run.mkdir(parents=True, exist_ok=True)
        state = _begin(recipe, params, run, place, say)
        if place.first:
            _note_seen(run, params.begin_with if state.step == 0 else None, data.seen())
            (run / "manifest.json").write_text(json.dumps(data.manifest, indent=1) + "\n", encoding="utf-8")
            (run / "params.json").write_text(params.model_dump_json(indent=1) + "\n", encoding="utf-8")
            for line in data.training.skipped:
                say(f"left out: {line}")
        return _Run(recipe, params, data, run, state, place, say).go(stop_after)


@dataclass(frozen=True)
class Place:
    """Where this process stands among those that train together."""

    rank: int
    processes: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0


@contextmanager
def _processes() -> Iterator[Place]:
    """This process's place, from torchrun's environment; alone without it."""
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if count == 1:
        yield Place(0, 1, device)
        return
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Place(rank, count, device)
    finally:
        torch.distributed.destroy_process_group()


def _note_seen(run: Path, begun_with: Path | None, keys: set[str]) -> None:
    """Adds to what the run has seen, in this call and in those before, and what it began with had."""
    known = keys | _seen(run)
    if begun_with is not None:
        _, facts = weights.read(begun_with)
        known |= set(facts["card"].get("seen", ())) if weights.finished(facts) else _seen(begun_with.parent)
    (run / SEEN).write_text(json.dumps(sorted(known), indent=1) + "\n", encoding="utf-8")


def _seen(run: Path) -> set[str]:
    return set(json.loads((run / SEEN).read_text(encoding="utf-8"))) if (run / SEEN).is_file() else set()


def _begin(recipe: Recipe, params: Training, run: Path, place: Place, say: Callable[[str], None]) -> State:
    torch.manual_seed(params.seed)
    nets = {
        name: net.to(place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, net in recipe.networks(params).items()
    }
    averaged = {name: copy.deepcopy(net).requires_grad_(False).eval() for name, net in nets.items()}
    state = State(nets, averaged, {name: _optimizer(net, params) for name, net in nets.items()})
    if (run / CHECKPOINT).exists():
        _restore(state, run / CHECKPOINT, recipe)
        say(f"going on at step {state.step}")
    elif params.begin_with is not None:
        say(_adopt(state, params.begin_with, recipe, grow=params.grow))
    return state


def _optimizer(net: nn.Module, params: Training) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if params.optimizer == "adamw" else torch.optim.Adam
    return kind(net.parameters(), lr=params.rate, betas=params.betas, weight_decay=params.weight_decay)


class _Run:
    """One call of `train` under way."""

    def __init__(
        self,
        recipe: Recipe,
        params: Training,
        data: Splits,
        run: Path,
        state: State,
        place: Place,
        say: Callable[[str], None],
    ) -> None:
        self.recipe, self.params, self.data, self.run = recipe, params, data, run
        self.state, self.place, self.say = state, place, say
        self.losses: dict[str, list[Tensor]] = {}
        self.log = _Log(run / "log.csv", state.step) if place.first else None
        self.autocast = _precision(params.precision, place.device)
        self.wrapped = {name: _shared(net, place) for name, net in state.nets.items()}

    def go(self, stop_after: int | None) -> Outcome:
        last = min(self.params.steps, stop_after or self.params.steps)
        saved = time.monotonic()
        if self.state.step == 0:
            self._save()
        reason: Literal["finished", "stopped", "early"] = "finished" if last == self.params.steps else "stopped"
        with _signals() as asked, _batches(self, last) as batches:
            for batch in batches:
                begun = time.monotonic()
                self._step(batch)
                self.state.seconds += time.monotonic() - begun
                early = self._look()
                if early or self._agree(bool(asked)):
                    reason = "early" if early else "stopped"
                    break
                if time.monotonic() - saved > 60 * self.params.checkpoint_minutes:
                    self._save()
                    saved = time.monotonic()
        self._save()
        return Outcome(self.state.step, reason, self.state.best)

    def _step(self, batch: Batch) -> None:
        state = self.state
        torch.manual_seed(_chance(self.params.seed, self.place.rank, state.step, 1).integers(2**62))
        for optimizer in state.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.params, state.step)
        with self.autocast():
            self.recipe.step(self.wrapped, batch, self._update)
        state.step += 1

    def _update(self, name: str, loss: Tensor) -> None:
        state, number = self.state, self.state.step + 1
        if not math.isfinite(float(loss.detach())):
            raise self._lost(f"the loss of '{name}'")
        optimizer = state.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(state.nets[name].parameters(), self.params.clip or math.inf)
        if not math.isfinite(float(norm)):  # one more step, and the weights would be no numbers either
            raise self._lost(f"the gradient of '{name}'")
        optimizer.step()
        _average(state.averaged[name], state.nets[name], min(self.params.average, number / (number + 9)))
        self.losses.setdefault(name, []).append(loss.detach())

    def _lost(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} is not a number at step {self.state.step + 1}; the last good weights are kept in "
            f"{self.run / CHECKPOINT}: resume with a lower learning rate"
            + (", or with --precision fp32" if self.params.precision != "fp32" else "")
        )

    def _look(self) -> bool:
        """Writes the log and validates where it is time; says whether there has been no progress for too long."""
        step, params = self.state.step, self.params
        timely = step % params.validate_every == 0 or step == params.steps
        figures = self._validate() if timely and self.place.first else {}
        if self.log is not None and (step % params.log_every == 0 or figures):
            losses = {f"loss {name}": float(torch.stack(some).mean()) for name, some in self.losses.items()}
            self.losses.clear()
            row = {"step": step, "seconds": round(self.state.seconds, 1), "rate": learning_rate(params, step)}
            self.log.write({**row, **losses, **figures})
        # Only the first process validates; the others hear of it.
        return (
            self._agree(bool(params.patience) and self.state.without_progress >= params.patience) if timely else False
        )

    def _validate(self) -> dict[str, float]:
        validate: Callable[..., Validation] | None = getattr(self.recipe, "validate", None)
        if validate is None:
            return {}
        with torch.no_grad(), self.autocast():
            found = validate(self.state.averaged, self.params, self.data.validation)
        if found.rows:
            write_sheet(found.rows, self.run / "sheet.png")
        if found.score > self.state.best:
            self.state.best, self.state.without_progress = found.score, 0
            tensors = {f"average/{key}": value for key, value in _flat(self.state.averaged).items()}
            weights.write(self.run / BEST, tensors, {"recipe": _name(self.recipe), "step": self.state.step})
        else:
            self.state.without_progress += 1
        self.say(f"step {self.state.step}: " + ", ".join(f"{key} {value:.4g}" for key, value in found.figures.items()))
        return {"score": found.score, **found.figures}

    def _agree(self, wish: bool) -> bool:
        """True everywhere when any of the processes wishes it."""
        if self.place.processes == 1:
            return wish
        flag = torch.tensor(float(wish), device=self.place.device)
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        return bool(flag)

    def _save(self) -> None:
        if self.place.first:
            save(self.state, self.run / CHECKPOINT, self.recipe, self.params)


def export(recipe: Recipe, run: Path, path: Path, card: weights.Card) -> None:
    """Writes the averaged weights of a run as finished weights with their card; `recipe.SHIPS` names the network.

    Raises:
        WeightsError: the run's best weights are missing, damaged or of another recipe.
    """
    _, facts = weights.read(run / CHECKPOINT)
    if facts.get("recipe") != _name(recipe):
        raise WeightsError(f"{run}: a run of recipe '{facts.get('recipe')}', not of '{_name(recipe)}'")
    source = run / BEST if (run / BEST).exists() else run / CHECKPOINT
    tensors, kept = weights.read(source)
    networks = recipe.networks(recipe.Params.of(facts["params"]))
    name, _, part = _ships(recipe, networks).partition(".")
    whole = networks[name]
    whole.load_state_dict(_under(tensors, f"average/{name}/"))
    network: Any = whole.get_submodule(part)
    trained = f"answerprint train {_name(recipe)}, {kept['step']} steps"
    weights.save(path, network, network.config, card.model_copy(update={"trained": trained}))


def described(run: Path, licence: str, commercial_ok: bool) -> weights.Card:
    """The card of a run's weights, as far as its folder tells: name of the recipe, clips, sources and licences of data.

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
        name=facts["recipe"], data=data, seen=tuple(sorted(_seen(run))), licence=licence, commercial_ok=commercial_ok
    )


def learning_rate(params: Training, step: int) -> float:
    """Linear warm-up, then half a cosine down to `last_rate` (Loshchilov and Hutter 2017)."""
    if step < params.warm_up:
        return params.rate * (step + 1) / params.warm_up
    share = min((step - params.warm_up) / max(params.steps - params.warm_up, 1), 1.0)
    return params.rate * (params.last_rate + (1 - params.last_rate) * 0.5 * (1 + math.cos(math.pi * share)))


def save(state: State, path: Path, recipe: Recipe, params: Training) -> None:
    """Writes a checkpoint: tensors and JSON in one safetensors file with its SHA-256."""
    tensors = {f"net/{key}": value for key, value in _flat(state.nets).items()}
    tensors |= {f"average/{key}": value for key, value in _flat(state.averaged).items()}
    for name, optimizer in state.optimizers.items():
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{key}": value for key, value in entry.items()}
    facts = {
        "recipe": _name(recipe),
        "params": params.model_dump(mode="json"),
        "step": state.step,
        "best": None if math.isinf(state.best) else state.best,
        "without_progress": state.without_progress,
        "seconds": state.seconds,
    }
    weights.write(path, tensors, facts)


def _restore(state: State, path: Path, recipe: Recipe) -> None:
    tensors, facts = weights.read(path)
    if facts.get("recipe") != _name(recipe):
        raise WeightsError(f"{path}: a checkpoint of recipe '{facts.get('recipe')}', not of '{_name(recipe)}'")
    for prefix, nets in (("net", state.nets), ("average", state.averaged)):
        for name, net in nets.items():
            try:
                net.load_state_dict(_under(tensors, f"{prefix}/{name}/"))
            except RuntimeError:
                raise WeightsError(f"{path}: its '{name}' has other dimensions; give this run its own folder") from None
    for name, optimizer in state.optimizers.items():
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, f"optimizer/{name}/").items():
            index, _, what = key.partition("/")
            entries.setdefault(int(index), {})[what] = value
        optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
    state.step, state.seconds = facts["step"], facts["seconds"]
    state.best = -math.inf if facts["best"] is None else facts["best"]
    state.without_progress = facts["without_progress"]


def _adopt(state: State, path: Path, recipe: Recipe, *, grow: bool) -> str:
    """Begins with the averaged weights of another run, or with finished ones; says how many tensors fit.

    Raises:
        WeightsError: the file cannot be trusted, or nothing in it fits.
    """
    tensors, facts = weights.read(path)
    if weights.finished(facts):
        name, _, part = _ships(recipe, state.nets).partition(".")
        prefix = f"average/{name}/{part}." if part else f"average/{name}/"
        tensors = {prefix + key: value for key, value in tensors.items()}
    taken = 0
    for nets in (state.nets, state.averaged):
        for name, net in nets.items():
            given, own = _under(tensors, f"average/{name}/"), net.state_dict()
            if grow:
                given = {key: _grown(value, own[key]) for key, value in given.items() if key in own}
            fitting = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
            net.load_state_dict(fitting, strict=False)
            taken += len(fitting)
    if not taken:
        raise WeightsError(f"{path}: nothing in it fits recipe '{_name(recipe)}' at these dimensions")
    return f"begins with {taken // 2} tensors of {path}"


def _grown(given: Tensor, own: Tensor) -> Tensor:
    """Weights of a narrower layer as the first channels of a wider one (after Chen et al. 2016, Net2Net).

    What it made is made as before: it looks at none of the new channels yet. These begin as `own` does.
    """
    if (
        given.shape == own.shape
        or given.dim() != own.dim()
        or any(a > b for a, b in zip(given.shape, own.shape, strict=True))
    ):
        return given
    made = own.clone()
    made[: len(given)] = 0
    made[tuple(slice(size) for size in given.shape)] = given
    return made


def _ships(recipe: Recipe, networks: Networks) -> str:
    """The network of a recipe that is its finished weights: "generator", or "generators.cleaner", a part of one."""
    return getattr(recipe, "SHIPS", next(iter(networks)))


def _name(recipe: Recipe) -> str:
    return recipe.__name__.rpartition(".")[2]


def _flat(nets: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{name}/{key}": value for name, net in nets.items() for key, value in net.state_dict().items()}


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@torch.no_grad()
def _average(averaged: nn.Module, net: nn.Module, memory: float) -> None:
    """Exponential moving average of the weights (Polyak and Juditsky 1992); counters and the like are copied."""
    for mean, value in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - memory)
        else:
            mean.copy_(value)


def _precision(wish: str, device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """bf16 autocast where it is wanted and, for "auto", where the processor multiplies in it."""
    able = device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if wish == "bf16" or (wish == "auto" and able):
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext


def _shared(net: nn.Module, place: Place) -> nn.Module:
    if place.processes == 1:
        return net
    devices = [place.device] if place.device.type == "cuda" else None
    # A recipe may leave parts of a network out of a step.
    return nn.parallel.DistributedDataParallel(net, device_ids=devices, find_unused_parameters=True)


def _chance(seed: int, rank: int, step: int, use: int) -> np.random.Generator:
    return np.random.default_rng([seed, rank, step, use])


@contextmanager
def _batches(run: _Run, last: int) -> Iterator[Iterator[Batch]]:
    """Batches of the steps that are left, prepared ahead in threads; which thread made one makes no difference."""
    params, device = run.params, run.place.device

    def make(step: int) -> Batch:
        made = run.recipe.batch(params, _chance(params.seed, run.place.rank, step, 0), run.data.training)
        return {name: value.pin_memory() if device.type == "cuda" else value for name, value in made.items()}

    def feed() -> Iterator[Batch]:
        waiting: deque[Future[Batch]] = deque()
        for step in range(run.state.step, last):
            while len(waiting) < params.loaders + 1 and step + len(waiting) < last:
                waiting.append(pool.submit(make, step + len(waiting)))
            made = waiting.popleft().result()
            yield {name: value.to(device, non_blocking=True) for name, value in made.items()}

    with ThreadPoolExecutor(params.loaders) as pool:
        try:
            yield feed()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that is no longer empty when the run was asked to stop (SIGTERM, SIGINT)."""
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread, which alone hears signals
        yield asked
        return
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Log:
    """log.csv: a row per `log_every` steps and per validation; rows past the step that a run resumes at are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists() and step:
            with path.open(encoding="utf-8", newline="") as lines:
                self.rows = [row for row in csv.DictReader(lines) if int(row["step"]) <= step]

    def write(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        columns = list(dict.fromkeys(key for each in self.rows for key in each))
        part = self.path.with_suffix(".part")
        with part.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        part.replace(self.path)


def write_sheet(rows: Sequence[Tensor], path: Path) -> None:
    """Writes rows of pictures, each (N, 3, H, W) in 0..1, as one PNG."""
    lines = [torch.cat(list(row.float().cpu()), dim=2) for row in rows]
    width = max(line.shape[2] for line in lines)
    sheet = torch.cat([nn.functional.pad(line, (0, width - line.shape[2])) for line in lines], dim=1)
    code = (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
    if not cv2.imwrite(str(path), np.ascontiguousarray(code)):
        raise TrainingError(f"{path}: the sheet of pictures cannot be written")
