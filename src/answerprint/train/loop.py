"""The one loop that trains every network: a recipe in, checkpoints, a log and pictures out.

Stopping and resuming changes nothing, bit for bit on a CPU.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from answerprint import disk
from answerprint.errors import TrainingError
from answerprint.inference import weights
from answerprint.train import checkpoint
from answerprint.train.checkpoint import BEST, CHECKPOINT, TrainingState, flatten
from answerprint.train.data import Splits, load
from answerprint.train.log import Log
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Recipe, Validation, recipe_name
from answerprint.train.sheet import write_sheet


@dataclass(frozen=True)
class TrainingOutcome:
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
) -> TrainingOutcome:
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
        data = load(
            folders, scales=params.scales, ratio=params.ratio, exclude=params.exclude, force_train=params.force_train
        )
        run.mkdir(parents=True, exist_ok=True)
        state = checkpoint.start(recipe, params, run, place.device, say)
        if place.first:
            checkpoint.record_clips(run, params.init_from if state.step == 0 else None, data.keys())
            disk.write(run / "manifest.json", json.dumps(data.manifest, indent=1) + "\n")
            disk.write(run / "params.json", params.model_dump_json(indent=1) + "\n")
            for line in data.training.skipped:
                say(f"left out: {line}")
        return _Run(recipe, params, data, run, state, place, say).steps(stop_after)


@dataclass(frozen=True)
class Place:
    """Rank of this process among those that train together, and its device."""

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


@dataclass
class _Run:
    """One call of `train` under way."""

    recipe: Recipe
    params: Training
    data: Splits
    run: Path
    state: TrainingState
    place: Place
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.losses: dict[str, list[Tensor]] = {}
        self.log = Log(self.run / "log.csv", self.state.step) if self.place.first else None
        self.autocast = _precision(self.params.precision, self.place.device)
        self.wrapped = {name: _distributed(net, self.place) for name, net in self.state.nets.items()}

    def steps(self, stop_after: int | None) -> TrainingOutcome:
        last = min(self.params.steps, stop_after or self.params.steps)
        last_save = time.monotonic()
        if self.state.step == 0:
            self._save()
        reason: Literal["finished", "stopped", "early"] = "finished" if last == self.params.steps else "stopped"
        with _signals() as signals, _batches(self, last) as batches:
            for batch in batches:
                start = time.monotonic()
                self._step(batch)
                self.state.seconds += time.monotonic() - start
                early = self._report()
                if early or self._any(bool(signals)):
                    reason = "early" if early else "stopped"
                    break
                if time.monotonic() - last_save > 60 * self.params.checkpoint_minutes:
                    self._save()
                    last_save = time.monotonic()
        self._save()
        return TrainingOutcome(self.state.step, reason, self.state.best)

    def _step(self, batch: Batch) -> None:
        state = self.state
        torch.manual_seed(_generator(self.params.seed, self.place.rank, state.step, 1).integers(2**62))
        for optimizer in state.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.params, state.step)
        with self.autocast():
            self.recipe.step(self.wrapped, batch, self._update)
        state.step += 1

    def _update(self, name: str, loss: Tensor) -> None:
        state, number = self.state, self.state.step + 1
        if not math.isfinite(float(loss.detach())):
            raise self._not_finite(f"the loss of '{name}'")
        optimizer = state.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(state.nets[name].parameters(), self.params.max_grad_norm or math.inf)
        if not math.isfinite(float(norm)):  # one more step, and the weights would be no numbers either
            raise self._not_finite(f"the gradient of '{name}'")
        optimizer.step()
        _update_average(state.averaged[name], state.nets[name], min(self.params.average, number / (number + 9)))
        self.losses.setdefault(name, []).append(loss.detach())

    def _not_finite(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} is not a number at step {self.state.step + 1}; the last good weights are kept in "
            f"{self.run / CHECKPOINT}: resume with a lower learning rate"
            + (", or with --precision fp32" if self.params.precision != "fp32" else "")
        )

    def _report(self) -> bool:
        """Writes the log and validates where it is due; returns whether there was no progress for too long."""
        step, params = self.state.step, self.params
        due = step % params.validate_every == 0 or step == params.steps
        figures = self._validate() if due and self.place.first else {}
        if self.log is not None and (step % params.log_every == 0 or figures):
            losses = {f"loss {name}": float(torch.stack(steps).mean()) for name, steps in self.losses.items()}
            self.losses.clear()
            row = {"step": step, "seconds": round(self.state.seconds, 1), "rate": learning_rate(params, step)}
            self.log.write({**row, **losses, **figures})
        # Only the first process validates; the others hear of it.
        return self._any(bool(params.patience) and self.state.without_progress >= params.patience) if due else False

    def _validate(self) -> dict[str, float]:
        validate: Callable[..., Validation] | None = getattr(self.recipe, "validate", None)
        if validate is None:
            return {}
        with torch.no_grad(), self.autocast():
            result = validate(self.state.averaged, self.params, self.data.validation)
        if result.rows:
            write_sheet(result.rows, self.run / "sheet.png")
        if result.score > self.state.best:
            self.state.best, self.state.without_progress = result.score, 0
            tensors = {f"average/{key}": value for key, value in flatten(self.state.averaged).items()}
            weights.write(self.run / BEST, tensors, {"recipe": recipe_name(self.recipe), "step": self.state.step})
        else:
            self.state.without_progress += 1
        self.say(f"step {self.state.step}: " + ", ".join(f"{key} {value:.4g}" for key, value in result.figures.items()))
        return {"score": result.score, **result.figures}

    def _any(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes."""
        if self.place.processes == 1:
            return flag
        shared = torch.tensor(float(flag), device=self.place.device)
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
        return bool(shared)

    def _save(self) -> None:
        if self.place.first:
            checkpoint.save(self.state, self.run / CHECKPOINT, self.recipe, self.params)


def learning_rate(params: Training, step: int) -> float:
    """Linear warm-up, then half a cosine down to `final_rate` (Loshchilov and Hutter 2017)."""
    if step < params.warm_up:
        return params.rate * (step + 1) / params.warm_up
    share = min((step - params.warm_up) / max(params.steps - params.warm_up, 1), 1.0)
    return params.rate * (params.final_rate + (1 - params.final_rate) * 0.5 * (1 + math.cos(math.pi * share)))


@torch.no_grad()
def _update_average(averaged: nn.Module, net: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights (Polyak and Juditsky 1992); counters and the like are copied."""
    for mean, value in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _precision(choice: str, device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """bf16 autocast where it is chosen and, for "auto", where the processor multiplies in it."""
    able = device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if choice == "bf16" or (choice == "auto" and able):
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext


def _distributed(net: nn.Module, place: Place) -> nn.Module:
    if place.processes == 1:
        return net
    devices = [place.device] if place.device.type == "cuda" else None
    # A recipe may leave parts of a network out of a step.
    return nn.parallel.DistributedDataParallel(net, device_ids=devices, find_unused_parameters=True)


def _generator(seed: int, rank: int, step: int, use: int) -> np.random.Generator:
    return np.random.default_rng([seed, rank, step, use])


@contextmanager
def _batches(run: _Run, last: int) -> Iterator[Iterator[Batch]]:
    """Batches of the steps that are left, prepared ahead in threads; which thread prepares one makes no difference."""
    params, device = run.params, run.place.device

    def prepare(step: int) -> Batch:
        batch = run.recipe.batch(params, _generator(params.seed, run.place.rank, step, 0), run.data.training)
        return {name: value.pin_memory() if device.type == "cuda" else value for name, value in batch.items()}

    def feed() -> Iterator[Batch]:
        waiting: deque[Future[Batch]] = deque()
        for step in range(run.state.step, last):
            while len(waiting) < params.workers + 1 and step + len(waiting) < last:
                waiting.append(pool.submit(prepare, step + len(waiting)))
            batch = waiting.popleft().result()
            yield {name: value.to(device, non_blocking=True) for name, value in batch.items()}

    with ThreadPoolExecutor(params.workers) as pool:
        try:
            yield feed()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that ask the run to stop (SIGTERM, SIGINT): a list that is empty until then."""
    signals: list[int] = []

    def append(number: int, _frame: FrameType | None) -> None:
        signals.append(number)

    try:
        before = {number: signal.signal(number, append) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread, which alone hears signals
        yield signals
        return
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
